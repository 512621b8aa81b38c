"""Reports of the committed halls, opened in headless Chromium: `python -m tests.robustness.report [FOLDER]`

For each hall whose benchmark is at hand: seconds that `report` takes (features in the bank), size, errors in the
console, requests to anything but the file, charts drawn, points that a hover names, and pictures at 1280 pixels (light)
and 400 (dark) in FOLDER (a temporary one by default).
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import cli
from tests.robustness.browser import Tab, chromium

HALLS = sorted((Path(__file__).resolve().parents[2] / "proxies").glob("*.json"))
POINT = "document.querySelector('#scatter .scatterlayer .point').getBoundingClientRect()"


def hovered(tab: Tab) -> str:
    """Text of the label of the first point of the scatter."""
    tab.run("document.querySelector('#scatter').scrollIntoView({block: 'center'})")
    box = json.loads(tab.run(f"JSON.stringify({POINT})"))
    for shift in (1.5, 0.0):  # a hover needs a move
        tab.move(box["x"] + box["width"] / 2 + shift, box["y"] + box["height"] / 2)
    tab.until("document.querySelector('#scatter .hoverlayer .hovertext') !== null")
    return str(tab.run("document.querySelector('#scatter .hoverlayer .hovertext').textContent"))


def sorted_column(tab: Tab) -> tuple[list[str], list[str]]:
    """The first column of the first sortable table of formulas before and after a click on its head."""
    cells = "[...document.querySelector('#the-formulas tbody').rows].map((row) => row.cells[0].textContent)"
    before = tab.run(cells)
    tab.run("document.querySelector('#the-formulas th button').click()")
    return before, tab.run(cells)


def looked_at(tab: Tab, page: Path, folder: Path) -> str:
    """Verdict on one report."""
    words = []
    for width, dark in ((1280, False), (400, True)):
        tab.open(page, width, dark)
        tab.drawn()
        tab.picture(folder / f"{page.stem}-{width}.png")
        others = [url for url in tab.requests if url != page.resolve().as_uri()]
        overflow = tab.run("document.documentElement.scrollWidth - innerWidth")
        charts = tab.run("document.querySelectorAll('.chart[data-drawn]').length")
        words.append(f"{width} px: {len(tab.errors)} errors, {len(others)} requests, {charts} charts, "
                     f"{max(0, overflow)} px too wide")  # fmt: skip
        if width == 1280:
            before, after = sorted_column(tab)
            words.append(f"hover: {hovered(tab)!r}; sorted: {before != after and sorted(before) == sorted(after)}")
    return "; ".join(words)


def main() -> None:
    """A line per hall."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, chromium(Path(profile)) as tab:
        for hall in HALLS:
            page = folder / f"{hall.stem}.html"
            start = time.perf_counter(), time.process_time()
            if cli.main(["report", str(hall), "--out", str(page)]):
                continue
            spent = time.perf_counter() - start[0], time.process_time() - start[1]
            print(f"{hall.stem}: {spent[0]:.1f} s ({spent[1]:.1f} s of processor), {page.stat().st_size:,} bytes; "
                  f"{looked_at(tab, page, folder)}")  # fmt: skip


if __name__ == "__main__":
    main()
