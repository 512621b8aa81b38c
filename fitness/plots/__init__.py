"""Figures of halls of fame, leaderboards and studies; the only library folder that imports matplotlib."""

from fitness.plots.board import BOARD, draw_board
from fitness.plots.documents import check
from fitness.plots.hall import Landscape, draw_hall
from fitness.plots.ink import save_figure
from fitness.plots.study import STUDY, draw_study

__all__ = ["BOARD", "STUDY", "Landscape", "check", "draw_board", "draw_hall", "draw_study", "save_figure"]
