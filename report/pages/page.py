"""ReportPage: the parts of a report, rendered to one HTML file.

The file holds all it needs and may fetch nothing: its Content-Security-Policy allows two scripts by their digests,
plotly.js and ours, and no network. All text goes through Jinja's autoescape; what the charts show is JSON in an element
that is never run.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from storage.text import literal

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = ["Chart", "Choice", "PageTable", "ReportPage", "Section", "chart_text", "rendered_page", "shown"]

HERE = Path(__file__).parent
LONGEST = 120  # characters of a name

PageCell = str | int | float | Markup | None


@dataclass(frozen=True)
class Choice:
    """Another view of a chart: by label, the changes of its traces and of its layout."""

    title: str
    views: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]]


@dataclass(frozen=True)
class PageTable:
    """Rows that can be sorted by each column; `marked` is the place of a row that stands out."""

    caption: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[PageCell]]
    marked: int | None = None


@dataclass(frozen=True)
class Chart:
    """A chart with a name, a sentence for who does not see it, and its numbers as a table."""

    name: str
    figure: go.Figure
    alternative: str
    numbers: PageTable
    choices: tuple[Choice, ...] = ()


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it: paragraphs, then tables and charts, then lines to copy."""

    title: str
    paragraphs: Sequence[str | Markup] = ()
    parts: Sequence[PageTable | Chart] = ()
    commands: Sequence[str] = ()

    @property
    def anchor(self) -> str:
        """Name of the section in links: its title in lower case with hyphens."""
        return self.title.lower().replace(" ", "-")


@dataclass(frozen=True)
class ReportPage:
    """A title, the answer in a few sentences, and sections."""

    title: str
    answer: Sequence[str | Markup]
    sections: Sequence[Section] = field(default_factory=tuple)


def shown(text: object) -> str:
    """A name from a file: no control characters, and not longer than a line."""
    plain = literal(str(text))
    return plain if len(plain) <= LONGEST else f"{plain[: LONGEST - 1]}…"


def chart_text(text: object) -> str:
    """Like `shown`, with tags escaped for plotly.js."""
    return html.escape(shown(text), quote=False)


def rendered_page(page: ReportPage) -> bytes:
    """Render the page to HTML; the same page gives the same bytes."""
    charts = [part for section in page.sections for part in section.parts if isinstance(part, Chart)]
    scripts = [get_plotlyjs(), (HERE / "page.js").read_text(encoding="utf-8")]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.tests |= {"chart": lambda part: isinstance(part, Chart), "number": _is_number}
    environment.filters["figure"] = _number
    text = environment.get_template("page.html.j2").render(
        page=page,
        data=Markup(_embedded({chart.name: _spec(chart) for chart in charts})),
        scripts=[Markup(script) for script in scripts],
        digests=" ".join(_digest(script) for script in scripts),
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
    )
    return text.encode("utf-8", errors="backslashreplace")


def _spec(chart: Chart) -> dict[str, Any]:
    return json.loads(chart.figure.to_json()) | {"choices": [dict(choice.views) for choice in chart.choices]}


def _embedded(data: Any) -> str:
    """JSON escaped so that no HTML parser finds a tag in it."""
    text = json.dumps(data, allow_nan=False, sort_keys=True, ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _digest(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _is_number(cell: PageCell) -> bool:
    return isinstance(cell, int | float)


def _number(cell: PageCell) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:.3f}" if 1e-3 <= abs(cell) < 1e5 or cell == 0 else f"{cell:.3g}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)
