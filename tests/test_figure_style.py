"""The style of all figures: sizes that can be read at 800 pixels, no colour alone, the same bytes again."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib as mpl
import matplotlib.image
import plotly.graph_objects as go
import pytest

from report.pages.charts import styled
from report.style import BAND, SERIES, WIDTH, SeriesStyle, blank, legend_below, save_figure, style
from storage.files import BadFile


def test_text_is_of_nine_points_on_eight_inches() -> None:
    before = dict(mpl.rcParams)
    with style():
        sizes = [mpl.rcParams[name] for name in ("font.size", "axes.titlesize", "axes.labelsize", "legend.fontsize")]
        assert sizes == [9, 9.5, 9, 8.5] and mpl.rcParams["hatch.linewidth"] == 0.6
        assert not mpl.rcParams["axes.spines.top"] and not mpl.rcParams["axes.spines.right"]
        assert mpl.rcParams["axes.spines.left"] and mpl.rcParams["axes.axisbelow"] is True
        assert mpl.rcParams["svg.hashsalt"] == "zcp" and mpl.rcParams["text.parse_math"] is False
    assert dict(mpl.rcParams) == before
    assert tuple(blank(3.5).get_size_inches()) == (8.0, 3.5) == (WIDTH, 3.5)
    assert blank(1.0).get_layout_engine().__class__.__name__ == "ConstrainedLayoutEngine"
    assert BAND == {"elinewidth": 1.0, "capsize": 2.5}


def test_a_users_own_settings_change_no_figure() -> None:
    with mpl.rc_context({"font.size": 30, "lines.linewidth": 9}), style():
        assert mpl.rcParams["font.size"] == 9
        assert mpl.rcParams["lines.linewidth"] == mpl.rcParamsDefault["lines.linewidth"]


@pytest.mark.parametrize("part", ["color", "line", "marker", "hatch"])
def test_series_differ_in_everything(part: str) -> None:
    values = [getattr(series, part) for series in SERIES]
    assert len(set(map(str, values))) == len(SERIES) == 6


def test_every_other_series_has_hollow_markers() -> None:
    assert [series.filled for series in SERIES] == [True, False, True, False, True, False]
    assert SeriesStyle("#123456", "-", "o", "").face == "#123456"
    assert SeriesStyle("#123456", "-", "o", "", False).face == "white"


def drawn() -> object:
    with style():
        figure = blank(2.0)
        axes = figure.subplots(1, 2)
        axes[0].plot([0, 1], [1, 0], label="one")
        axes[1].plot([0, 1], [0, 1], label="two")
        legend_below(figure, axes, 2)
    return figure


def test_one_legend_names_the_series_of_all_panels() -> None:
    (legend,) = drawn().legends  # type: ignore[attr-defined]
    assert [text.get_text() for text in legend.get_texts()] == ["one", "two"] and not legend.get_frame_on()
    assert legend._ncols == 2 and legend.handlelength == 3.2


def test_a_png_is_of_160_dots_an_inch_and_both_kinds_are_the_same_bytes_again(tmp_path: Path) -> None:
    for kind in ("png", "svg", "PNG"):
        one, two = (tmp_path / f"{name}.{kind}" for name in ("a", "b"))
        save_figure(drawn(), one), save_figure(drawn(), two)  # type: ignore[arg-type]
        assert one.read_bytes() == two.read_bytes()
        if kind != "svg":
            assert matplotlib.image.imread(io.BytesIO(one.read_bytes()), "png").shape[:2] == (320, 1280)
            assert b"Software" not in one.read_bytes()
    assert b"<dc:date>" not in (tmp_path / "a.svg").read_bytes()
    with pytest.raises(BadFile, match=r"got the ending '.pdf', wanted .png or .svg"):
        save_figure(drawn(), tmp_path / "a.pdf")  # type: ignore[arg-type]


def test_a_chart_of_a_page_has_room_for_its_legend_and_no_ground_of_its_own() -> None:
    found = styled(go.Figure(), xaxis={"title": {"text": "x"}})
    layout = found.layout
    assert layout.height == 420 and styled(go.Figure(), 300).layout.height == 300 and layout.xaxis.title.text == "x"
    assert layout.margin.to_plotly_json() == {"l": 10, "r": 10, "t": 44, "b": 10}
    assert layout.paper_bgcolor == layout.plot_bgcolor == layout.modebar.bgcolor == "rgba(0,0,0,0)"
    assert layout.legend.to_plotly_json() == {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0}
    assert (layout.font.size, layout.hovermode, layout.hoverlabel.align) == (13, "closest", "left")
    for axis in (layout.xaxis, layout.yaxis):
        assert axis.automargin and axis.showline and not axis.zeroline and axis.gridcolor == "#d5dbe1"
