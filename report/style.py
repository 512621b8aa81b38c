"""Style of all figures: readable without colour and at a width of 800 pixels."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from storage.files import BadFile, write_atomic

__all__ = ["BAND", "KINDS", "SERIES", "WIDTH", "SeriesStyle", "blank", "legend_below", "save_figure", "style"]

WIDTH = 8.0  # inches; 9 point text is then 12 pixels high where the figure is 800 pixels wide
DPI = 160
KINDS = (".png", ".svg")
BAND = {"elinewidth": 1.0, "capsize": 2.5}


@dataclass(frozen=True)
class SeriesStyle:
    """Style of one series, distinguished by line, marker and hatch as well as by colour."""

    color: str
    line: Any
    marker: str
    hatch: str
    filled: bool = True

    @property
    def face(self) -> str:
        """Fill colour of the markers."""
        return self.color if self.filled else "white"


SERIES = (
    SeriesStyle("#000000", "-", "o", ""),
    SeriesStyle("#b2473e", "--", "s", "///", False),
    SeriesStyle("#3b6fa0", "-.", "^", "..."),
    SeriesStyle("#7a7a7a", ":", "D", "xxx", False),
    SeriesStyle("#4f7f3f", (0, (5, 1, 1, 1, 1, 1)), "v", "\\\\\\"),
    SeriesStyle("#8a5a9a", (0, (8, 3)), "P", "++", False),
)


@contextmanager
def style() -> Iterator[None]:
    """Apply our matplotlib settings inside the block; the same input gives the same SVG."""
    small: dict[Any, Any] = {
        "font.size": 9,
        "axes.titlesize": 9.5,
        "axes.labelsize": 9,
        "legend.fontsize": 8.5,
        "hatch.linewidth": 0.6,
    }
    frame: dict[Any, Any] = {
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "svg.hashsalt": "zcp",
        "text.parse_math": False,  # a name from a file is no formula
    }
    with mpl.rc_context():
        mpl.rcParams.update({k: v for k, v in mpl.rcParamsDefault.items() if k != "backend"})
        mpl.rcParams.update(small | frame)
        yield


def blank(height: float) -> Figure:
    """Create an empty figure with constrained layout."""
    return Figure(figsize=(WIDTH, height), layout="constrained")


def legend_below(figure: Figure, axes: Iterable[Any], columns: int) -> None:
    """Draw one legend for several panels, below them."""
    entries = [axis.get_legend_handles_labels() for axis in axes]
    handles, labels = ([item for entry in entries for item in entry[part]] for part in (0, 1))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, handlelength=3.2)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure atomically as PNG or SVG; BadFile for another file extension."""
    kind = path.suffix.lower()
    if kind not in KINDS:
        raise BadFile(f"{path}: got the ending {path.suffix!r}, wanted {' or '.join(KINDS)}")
    metadata = {"Date": None} if kind == ".svg" else {"Software": None}
    content = io.BytesIO()
    with style(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name may hold what the font has no picture of
        figure.savefig(content, format=kind[1:], dpi=DPI, metadata=metadata)
    write_atomic(path, content.getvalue())
