"""Figures and HTML reports of halls of fame, leaderboards and studies; the only folder that imports matplotlib, plotly
and jinja2.

draw_hall, landscape_of, Landscape    how a champion ranks the architectures, and how it was found
draw_board, board_document, BOARD     a leaderboard as bars, as plain data, and the shape of that
draw_study, study_document, STUDY     a study as curves or intervals, as plain data, and the shape of that
draw_transfer, transfer_document      the transfer study: one benchmark left out at a time
draw_front                            a selection: scores against cost, and the best at every cost
load_document, Document, check        a JSON document that can be drawn, and its validation
save_figure                           writes a PNG or SVG atomically
pages/                                reports: one HTML file that works offline
portable/                             formulas as modules that run without this project
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
