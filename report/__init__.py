"""Figures of halls of fame, leaderboards and studies; the only library folder that imports matplotlib."""

from report.board import BOARD, draw_board
from report.documents import check
from report.hall import Landscape, draw_hall
from report.ink import save_figure
from report.study import STUDY, draw_study

__all__ = ["BOARD", "STUDY", "Landscape", "check", "draw_board", "draw_hall", "draw_study", "save_figure"]
