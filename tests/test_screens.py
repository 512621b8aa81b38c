"""Output on a terminal, in a pipe and for a program that reads CSV."""

from __future__ import annotations

import csv
import io
import json
import re
import time
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.mathtext import MathTextParser
from rich.console import Console

import cli
from commands import output
from commands.exhaust import _in_space
from commands.leaderboard import _cells
from commands.live import Bars, _note, progress_bars
from commands.outcome import case_rows
from commands.replay import _figures, _inside_rows
from commands.tables import Formula, Interval, Row, Score, literal, table
from gp.hall_file import load_hall
from primitives.grammar import parse

ROOT = Path(__file__).resolve().parent.parent
HALLS = sorted((ROOT / "proxies").glob("*.json"))
WIDTHS = (80, 100, 120)


def record(name: str, **more: object) -> dict:
    part = {"n": 450, "spearman": -0.123456, "kendall": 0.987654, "kendall_a": 0.5}
    part |= {"ci95_spearman": [-0.234567, 0.1], "ci95_kendall": [0.9, 0.999]}
    groups = {f"{kind} {size}": part for kind in ("depth", "width") for size in (2, 1024)}
    whole = {"name": name, "search": part, "holdout": part, "all": part, "inside": groups}
    return whole | {"near_pairs": {"pairs": 9, "kendall": 0.25}} | more


def replayed() -> list[dict]:
    text = json.loads(HALLS[0].read_text())["proxies"][0]["text"]
    return [record("", text=text, sign=-1), record("committee of 10"), record("depth, then width")]


def board() -> list[Row]:
    common = {"kind": "hand-made", "sign": 1, "inside_depth": 0.5, "p_value": 0.0005, "seconds": 12.3456}
    common |= {"reason": None, "shared_split": False}
    failed = {**common, "name": "NWOT", "sign": None, "inside_depth": None, "p_value": None, "reason": "no value"}
    return [_cells({**record("attention confidence"), **common}), _cells(failed)]


PAGES = {
    **{f"evolve {path.stem}": case_rows(hall := load_hall(path), hall.cases[-1]) for path in HALLS},
    "replay": [_figures(r) for r in replayed()],
    "replay, inside groups": _inside_rows(replayed()),
    "leaderboard": board(),
}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_a_table_fits_the_page_and_cuts_nothing(name: str, width: int) -> None:
    rows = PAGES[name]
    page = table(rows, f"{name}: correlation with -loss", width)
    assert max(map(len, page.splitlines())) <= width
    words, pieces = page.split(), set(re.findall(r"[^\s-]+-?", page))
    for row in rows:
        for heading, cell in row.items():
            assert set(re.findall(r"[^\s-]+-?", heading)) <= pieces
            if isinstance(cell, float):
                assert f"{cell:.3f}" in words
            elif isinstance(cell, Interval):
                assert f"{cell.low:.3f}..{cell.high:.3f}" in words
            elif isinstance(cell, Formula) and cell.numbered:
                assert "".join(cell.text.split()) in "".join(words)


def test_the_table_of_evolve_is_one_block_on_a_page_of_100() -> None:
    page = table(PAGES["evolve gpt2-mini"], "gpt2-mini: correlation with -loss", 100)
    table_lines = page.split("\n\n")[0].splitlines()
    assert len(table_lines) == 1 + 3 + 10 + 3 + 8 and table_lines[3].split()[-1] == "fidelity"
    assert table_lines[4].startswith("1 ") and "0.913..0.941" in table_lines[4]
    assert "\n10  +1  product( difference(" in page


def test_a_table_has_as_few_lines_as_its_columns_allow() -> None:
    """Long texts stand in a block of their own where wrapping them beside figures would take more lines."""
    rows: list[Row] = [
        {"place": n, "flops": 10**30, "params": 10**20, "notes": "outside in depth " * 4} for n in (1, 2, 3)
    ]
    for width, lines in ((200, 5), (80, 10)):
        page = table(rows, "ranking", width)
        assert len(page.splitlines()) == lines and max(map(len, page.splitlines())) <= width


@pytest.mark.parametrize(("score", "shown"), [(0.0000123456789, "1.23457e-05"), (-123.4, "-123.4"), (2e7, "2e+07")])
def test_a_score_has_six_digits_and_stands_on_the_right(score: float, shown: str) -> None:
    rows: list[Row] = [{"id": "a", "score": Score(score)}, {"id": "b", "score": Score(1.0)}]
    heading, first, second = table(rows, "ranking", 80).splitlines()[1:]
    assert first.endswith(f"  {shown}") and second.endswith("1") and len(first) == len(second) == len(heading)


def test_an_error_breaks_between_words_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "talk", Console(stderr=True, width=40, force_terminal=True))
    assert cli.main(["evolve", "--benchmark", "no such benchmark, whose name is long"]) == 1
    said = capfd.readouterr().err
    assert len(said.splitlines()) > 2 and max(map(len, said.splitlines())) <= 40
    monkeypatch.undo()
    assert cli.main(["evolve", "--benchmark", "no such benchmark, whose name is long"]) == 1
    assert capfd.readouterr().err.split() == said.split()


words = st.text("abc.-[]/:é", min_size=1, max_size=12)
cells = st.one_of(st.floats(-1, 1), st.integers(-5, 10**6), st.lists(words, min_size=1, max_size=9).map(" ".join))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.dictionaries(st.sampled_from("abcdefgh"), cells, min_size=1), min_size=1, max_size=4),
    st.integers(20, 140),
)
def test_no_word_and_no_number_of_any_table_is_cut(rows: list[Row], width: int) -> None:
    page = table(rows, "title", width)
    shown = page.split()
    for row in rows:
        for cell in row.values():
            for word in (f"{cell:.3f}" if isinstance(cell, float) else str(cell)).split():
                assert word in shown
    assert max(map(len, page.splitlines())) <= max(width, 16)


def test_the_last_resort_is_a_paragraph_per_record() -> None:
    rows: list[Row] = [{"name": "a", "where": "/" + "x" * 30}, {"name": "b", "where": "no"}]
    page = table(rows, "found", 24)
    assert page == f"found\nname   a\nwhere  /{'x' * 30}\n\nname   b\nwhere  no\n"


NASTY = {
    "markup": "[/x][red]m[/red]",
    "emoji": "runs:100:x :smile:",
    "escape": "a\x1b[31mred\x1b]0;title\x07",
    "surrogate": "half \ud800 of it",
    "latin": "naïve",
    "newline": "a\nb",
}


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY)
@pytest.mark.parametrize("form", ["table", "json", "csv", "markdown"])
def test_texts_from_files_are_shown_literally(text: str, form: str, capfd: pytest.CaptureFixture[str]) -> None:
    output.emit([{"name": text, "value": 0.5}], form, text)
    output.say(text)
    shown = capfd.readouterr()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", shown.out + shown.err)
    wanted = json.dumps(text)[1:-1] if form == "json" else literal(text)
    assert "".join(wanted.split()) in "".join(shown.out.split())
    assert shown.err == literal(text) + "\n"
    assert literal(text).encode("ascii", "backslashreplace")


@pytest.mark.parametrize("form", ["table", "json", "csv", "markdown"])
def test_nothing_to_show_is_shown_as_nothing(form: str, capfd: pytest.CaptureFixture[str]) -> None:
    output.emit([], form, "title")
    shown = {"table": "title\nnothing to show\n", "json": "[]\n", "csv": "\n", "markdown": "title\n\n|  |\n|  |\n"}
    assert capfd.readouterr().out == shown[form]


def test_literal_keeps_what_can_be_shown() -> None:
    assert literal("naïve [x] :y:") == "naïve [x] :y:"
    assert literal("\x1b\ud800\n") == "\\x1b\\ud800\\n"


@pytest.mark.parametrize("rows", PAGES.values(), ids=PAGES)
def test_csv_has_distinct_headers_and_numbers_that_load(rows: list[Row], capfd: pytest.CaptureFixture[str]) -> None:
    output.emit(rows, "csv", "")
    text = capfd.readouterr().out
    header, *lines = csv.reader(io.StringIO(text))
    squeezed = ["".join(name.split()).lower() for name in header]
    assert len(set(squeezed)) == len(header) and all(len(line) == len(header) for line in lines)
    ends = [name for name in header if name.endswith(("low", "high"))]
    figures = [name for name in header if any(part in name for part in ("rho", "tau"))]
    assert set(ends) <= set(figures) and len(ends) % 2 == 0
    for line in lines:
        for name, cell in zip(header, line, strict=True):
            if cell and name in figures:
                assert -1 <= float(cell) <= 1
    for low, high in zip(ends[::2], ends[1::2], strict=True):
        assert (low.removesuffix(" low"), "ci95") == (high.removesuffix(" high"), low.split()[-2])


def test_an_interval_is_two_numbers_for_machines() -> None:
    rows: list[Row] = [{"rho ci95": Interval(0.25, 0.5), "proxy": Formula("abs", -1)}, {"rho ci95": None}]
    assert output.flat(rows) == [
        {"rho ci95 low": 0.25, "rho ci95 high": 0.5, "proxy": "abs", "sign": -1},
        {"rho ci95 low": None, "rho ci95 high": None},
    ]


def progress_line(width: int) -> str:
    """Last line on a terminal of a search that is nearly done."""
    step = SimpleNamespace(
        iteration=998, evaluations=123456, best_fitness=0.97123,
        rejections={"equivalent": 12345, "inverse_pair": 2345, "probe_noise": 1234, "commutative_twin": 999},
    )  # fmt: skip
    sink = io.StringIO()
    console = Console(file=sink, width=width, force_terminal=True, color_system=None)
    with progress_bars(console) as bars:
        shown = Bars(bars, 1000)
        shown.iteration(step)  # type: ignore[arg-type]
        time.sleep(0.01)
        bars.refresh()
        lines = [str(line) for line in console.render_lines(bars.get_renderable(), pad=False)]
    assert len(lines) == 1, lines
    return "".join(segment for segment in re.findall(r"Segment\('([^']*)'", lines[0]))


def test_a_bar_moves_while_nothing_is_counted() -> None:
    with progress_bars(Console(file=io.StringIO(), width=80, force_terminal=True)) as bars:
        shown = Bars(bars, 10)
        names = lambda: [task.description for task in bars.tasks]  # noqa: E731
        shown.stage("scores")
        assert names() == ["working"] and bars.tasks[0].total is None
        shown.networks(1, 2)
        assert names() == ["networks"]
        shown.networks(2, 2)
        shown.stage("again")
        assert names() == ["networks", "working"]
        shown.iteration(SimpleNamespace(iteration=1, evaluations=1, best_fitness=0.5, rejections={}))  # type: ignore[arg-type]
        assert names() == ["networks", "search"]


@pytest.mark.parametrize("width", WIDTHS)
def test_the_progress_line_keeps_bar_and_count(width: int) -> None:
    line = progress_line(width)
    assert len(line) <= width and "998/1000" in line and "best 0.97" in line
    assert len(re.findall("[━╸╺]", line)) == 24


def test_the_note_gives_way() -> None:
    assert "…" in progress_line(80) and len(progress_line(80)) > 70
    step = SimpleNamespace(best_fitness=None, evaluations=0, rejections={})
    assert _note(step, 0.0).startswith("best none, 0 evaluations/s")  # type: ignore[arg-type]


@pytest.mark.parametrize("path", HALLS, ids=lambda path: path.stem)
@pytest.mark.parametrize("width", WIDTHS)
def test_show_fits_the_page(
    path: Path, width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    assert cli.main(["show", str(path)]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= width
    for proxy in json.loads(path.read_text())["proxies"]:
        assert "".join(proxy["text"].split()) in "".join(shown.split())


@pytest.mark.parametrize("path", HALLS, ids=lambda path: path.stem)
def test_latex_of_the_published_halls_compiles(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["show", str(path), "--format", "latex"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(json.loads(path.read_text())["proxies"])
    for line in lines:
        MathTextParser("path").parse(f"${line}$")


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("mean[ sum( abs(W), G ) ]", True),
        ("mean[ abs(W) ]", True),
        ("sum[ sum( abs(W), G ) ]", False),
        ("mean[ sum( abs(log(W)), G ) ]", False),
        ("mean[ sum( W, abs(W) ) ]", False),
        ("mean[ sum( W.attn, G ) ]", False),
        ("sum( mean[ abs(W) ], mean[ G ] )", False),
        ("sum( mean[ product( W, G ) ], last[ abs(J) ] )", False),
    ],
)
def test_only_what_an_enumeration_meets_is_in_its_space(text: str, inside: bool) -> None:
    assert _in_space(parse(text), 1, "mean", ("A", "J", "G", "H", "W", "S")) is inside


def test_the_next_command_is_quoted_and_keeps_where_things_are(capfd: pytest.CaptureFixture[str]) -> None:
    @click.command()
    @click.option("--bank", type=click.Path(path_type=Path), default=Path("here"))
    @click.option("--devices", default="auto")
    @click.option("--seed", default=1)
    def command(bank: Path, devices: str, seed: int) -> None:
        output.say_next("replay", Path("a b.json"), keep=("bank", "devices"))

    command.main(["--bank", "my bank", "--seed", "3"], standalone_mode=False)
    assert capfd.readouterr().err == "next: python cli.py replay 'a b.json' --bank 'my bank'\n"


def test_a_line_for_a_terminal_breaks_between_words_only() -> None:
    line = "  1,234,567 of 2,000,000 networks " + "have a score of -0.123456e-78, " * 9 + "x" * 90
    for width in (40, 80, 120):
        shown = output.between_words(line, width).splitlines()
        assert all(len(piece) <= width or piece.strip() == "x" * 90 for piece in shown)
        assert " ".join(piece.strip() for piece in shown) == line.strip()
        assert len({len(piece) - len(piece.lstrip()) for piece in shown[1:]}) == 1


def test_a_quiet_command_says_errors_only_and_a_verbose_one_its_seconds(capfd: pytest.CaptureFixture[str]) -> None:
    words = ["rank", "--sample", "1", "--space", "gpt2", "--max-params", "1", "--devices", "cpu"]
    assert cli.main(words) == 2
    assert "no --hall given" in capfd.readouterr().err
    assert cli.main([*words, "--quiet"]) == 2
    said = capfd.readouterr().err
    assert said.startswith("error: none of 1 candidates meets the bounds") and said.count("\n") == 1
    assert cli.main([*words, "--verbose"]) == 2
    assert re.match(r"\[\d+\.\d s\] no --hall given", capfd.readouterr().err)
    assert cli.main(words) == 2
    assert capfd.readouterr().err.startswith("no --hall given")
