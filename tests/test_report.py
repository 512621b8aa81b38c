"""Reports: one file whose hostile names run nothing, and what Chromium shows of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import cli
from gp.hall_file import HallDocument, load_hall
from models.architecture import Architecture
from models.spaces import SPACES
from primitives import Invalid, parse, score
from report.pages.charts import bars
from report.pages.evidence import _per_block, parts_of
from report.pages.hall_page import _cases, _plainly, _settings
from report.pages.page import LONGEST, chart_text, shown
from report.pages.recommendation import front_of, recommended
from tests.robustness.browser import NoBrowser, Tab, chromium
from tests.robustness.report import hovered, sorted_column

ROOT = Path(__file__).resolve().parent.parent
HOSTILE = (
    "<script>window.hit = 1</script>", "</script><script>window.hit = 2</script>", "\"><img src=x onerror='window.hit=3'>",
    "<a href=\"javascript:window.hit=4\">%{x} $\\alpha$</a>", "&lt;b&gt; &amp;amp;", "<!-- {{ 7 * 7 }} {% raw %}", "é" * 200,
)  # fmt: skip
SMALL = ("--iterations", "20", "--population", "12", "--brood", "9", "--sweeps", "1", "--folds", "2", "--search-size", "16",
         "--hall-size", "3", "--devices", "cpu")  # fmt: skip


@pytest.fixture(scope="session")
def hostile_benchmark(tmp_path_factory: pytest.TempPathFactory, tiny_architectures: list[Architecture]) -> Path:
    """The small benchmark, its first architectures with the worst names that a benchmark may have."""
    path = tmp_path_factory.mktemp("hostile") / "<b>names.jsonl"
    lines: list[dict] = [{"schema": 1, "space": "gpt2", "metric": "<i>loss</i>", "higher_is_better": False}]
    for place, a in enumerate(tiny_architectures):
        id = HOSTILE[place] if place < len(HOSTILE) else a.id
        loss = 9 - SPACES["gpt2"].parameters(a).decoder ** 0.3 + place % 7 / 20
        lines.append({"id": id, "config": dict(a.config), "<i>loss</i>": loss})
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    return path


@pytest.fixture(scope="session")
def hostile_run(hostile_benchmark: Path) -> Path:
    """A finished run on it, with its report."""
    folder, bank = hostile_benchmark.parent, ("--bank", str(hostile_benchmark.parent / "bank"))
    asked = ["evolve", "--benchmark", str(hostile_benchmark), "--out", str(folder / "run"), *SMALL, *bank]
    assert cli.main([*asked, "--batch", "2", "--seq-len", "24"]) == 0
    assert cli.main(["report", str(folder / "run"), *bank]) == 0
    return folder / "run"


@pytest.fixture(scope="session")
def hostile_board(hostile_benchmark: Path) -> Path:
    """The report of a leaderboard by hand: no file of ours holds such ids, but anybody may write one."""
    held = {"n": 8, "kendall": 0.5, "spearman": 0.6, "ci95_kendall": [0.2, 0.7], "ci95_spearman": [0.3, 0.8]}
    row = {"kind": "hand-made", "formula": HOSTILE[0], "holdout": held, "sign": -1, "p_value": None, "seconds": 0.1,
           "scores": [float(i) for i in range(12)]}  # fmt: skip
    document = {
        "benchmark": HOSTILE[1], "metric": HOSTILE[2], "split": {"search": [0, 1, 2, 3], "holdout": list(range(4, 12))},
        "rows": [row | {"name": HOSTILE[2]}, row | {"name": HOSTILE[3], "kind": HOSTILE[0]}],
        "architectures": [*HOSTILE, "x" * 10_000, "\x1b[31m\x00\u2028\ud800", "<" * 300, "a", "b"],
        "quality": [float(i % 5) for i in range(12)], "environment": {HOSTILE[0]: HOSTILE[1]},
    }  # fmt: skip
    path = hostile_benchmark.parent / "board.json"
    path.write_text(json.dumps(document))
    assert cli.main(["report", str(path)]) == 0
    return path.with_suffix(".html")


class Tags(HTMLParser):
    """The tags of a page and its text outside of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] not in ("script", "style"):
            self.text += data


@pytest.fixture(params=["run", "board"])
def page(request: pytest.FixtureRequest, hostile_run: Path, hostile_board: Path) -> Path:
    return hostile_run / "hall_of_fame.html" if request.param == "run" else hostile_board


def test_a_report_is_one_file_below_6_megabytes_that_fetches_nothing(page: Path) -> None:
    found = Tags(page.read_text())
    assert page.stat().st_size < 6_000_000
    assert [tag for tag, _ in found.tags if tag == "script"] == ["script"] * 3
    for tag, attributes in found.tags:
        assert not {"src", "srcset", "action"} & set(attributes) and not any(
            name.startswith("on") for name in attributes
        )
        assert attributes.get("href", "#")[:1] in "#d", (tag, attributes)
    policy = next(a["content"] for _, a in found.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy and policy.startswith("default-src 'none'; script-src 'sha256-") and "unsafe-eval" not in policy


def test_hostile_names_are_text(page: Path) -> None:
    raw, found = page.read_text(), Tags(page.read_text())
    for name in HOSTILE[:4]:
        assert shown(name) in found.text and name not in raw
    assert "49" not in re.findall(r"<!-- (\S+)", found.text)
    data = json.loads(re.findall(r'<script type="application/json" id="charts">(.*?)</script>', raw, re.S)[0])
    assert data["scatter"]["data"] and "<" not in re.findall(r'id="charts">(.*?)</script>', raw, re.S)[0]
    assert max(map(len, re.findall(r"x+", found.text))) <= LONGEST


def test_a_name_in_a_chart_has_no_tag_and_no_control_character() -> None:
    assert chart_text("<b>&\x1b\n") == "&lt;b&gt;&amp;\\x1b\\n"
    assert len(shown("y" * 10_000)) == LONGEST and shown("ü") == "ü"


@pytest.mark.parametrize("id", ["x" * 10_000, "a\x00b", "\x1b[31m"])
def test_ids_that_nothing_can_show_are_refused_at_the_door(
    id: str, hostile_benchmark: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    lines = hostile_benchmark.read_text().splitlines()
    lines[3] = json.dumps(json.loads(lines[3]) | {"id": id})
    (tmp_path / "bad.jsonl").write_text("\n".join(lines))
    assert (
        cli.main(["report", str(ROOT / "proxies" / "gpt2-mini.json"), "--benchmark", str(tmp_path / "bad.jsonl")]) == 1
    )
    assert "printable characters" in capsys.readouterr().err.splitlines()[-1]


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    try:
        with chromium(tmp_path_factory.mktemp("profile")) as opened:
            yield opened
    except NoBrowser as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (400, True)])
def test_chromium_shows_it_without_an_error_or_a_request(tab: Tab, page: Path, width: int, dark: bool) -> None:
    tab.open(page, width, dark)
    tab.drawn()
    assert tab.errors == [] and tab.requests == [page.resolve().as_uri()]
    assert tab.run("window.hit") is None and tab.run("document.querySelectorAll('img, .chart a').length") == 0
    assert tab.run("document.documentElement.scrollWidth") <= width
    assert (
        tab.run("document.querySelectorAll('#scatter .scatterlayer .point').length") == 30
        if "hall" in page.name
        else 12
    )
    marks = "[...document.querySelectorAll('.chart')].every(c => c.querySelector('.point, .js-line'))"
    assert tab.run(marks)
    paper = tab.run("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)")


def test_hover_keys_choices_and_sorting_work(tab: Tab, hostile_run: Path) -> None:
    tab.open(hostile_run / "hall_of_fame.html")
    tab.drawn()
    hall = load_hall(hostile_run / "hall_of_fame.json")
    said = hovered(tab)
    assert any(shown(id) in said for id in hall.cases[0].split.holdout) and "depth" in said
    tab.run("document.querySelector('#scatter').focus()")
    tab.press("ArrowRight")
    assert tab.run("document.querySelector('.told[data-for=scatter]').textContent").startswith(
        shown(hall.cases[0].split.holdout[0])
    )
    before, after = sorted_column(tab)
    assert before == ["1", "2", "3"][: len(before)] and after == before[::-1]
    assert tab.run("document.querySelector('#the-formulas th').getAttribute('aria-sort')") == "descending"
    for choice, label in ((0, "place by score"), (1, "width")):
        select = f"document.querySelector('select[data-chart=scatter][data-choice=\"{choice}\"]')"
        tab.run(f"{select}.value = '{label}'; {select}.dispatchEvent(new Event('change'))")
    tab.until("document.querySelector('#scatter').layout.xaxis.title.text.startsWith('place')")
    places = tab.run("document.querySelector('#scatter').data.flatMap((trace) => [...trace.x])")
    assert sorted(places) == list(range(1, 31))
    assert tab.errors == []


def test_the_parts_of_a_formula_add_up_to_its_value(tiny_features) -> None:
    blocks = tiny_features.blocks
    for text in ("falling[ l1_norm(W.attn) ]", "mean[ product( W, abs(G) ) ]",
                 "product( product( sum[ abs(W) ], rising[ l1_norm(J) ] ), last[ to_std(S) ] )"):  # fmt: skip
        values = [sum(_per_block(part, blocks)) for part in parts_of(parse(text))]
        wanted = score(parse(text), blocks)
        assert not isinstance(wanted, Invalid)
        assert float(np.prod(values)) == pytest.approx(wanted, rel=1e-4)


@pytest.fixture
def hall() -> HallDocument:
    return load_hall(ROOT / "proxies" / "gpt2-mini.json")


@pytest.mark.parametrize(("marked", "first_stands_out"), [((), False), (("a",), True)])
def test_a_marked_bar_has_a_colour_of_its_own(marked: tuple[str, ...], first_stands_out: bool) -> None:
    chart = bars("rivals", [("a", 0.5, None), ("b", 0.4, None), ("c", 0.3, None)], "tau", "what", marked=marked)
    first, *others = chart.figure.data[0].marker.color
    assert len(set(others)) == 1 and (first not in others) is first_stands_out


def test_the_recommended_formula_is_the_simplest_within_one_standard_error(hall: HallDocument) -> None:
    pick = recommended(hall.proxies)
    assert pick is not None and 0 < pick.error < 0.1
    near = [p for p in hall.proxies if (p.search or {})["kendall"] >= pick.least]
    assert hall.proxies[pick.place].proxy.complexity == min(p.proxy.complexity for p in near)
    assert recommended([]) is None


def test_the_front_rises_with_complexity(hall: HallDocument) -> None:
    front = [hall.proxies[place] for place in front_of(hall.proxies)]
    assert [p.proxy.complexity for p in front] == sorted({p.proxy.complexity for p in front})
    assert [p.formula.fitness for p in front] == sorted({p.formula.fitness for p in front})
    assert max(p.formula.fitness for p in hall.proxies) == front[-1].formula.fitness


def test_a_report_ends_with_commands_settings_identity_and_versions(hall: HallDocument) -> None:
    case = hall.cases[0]
    section = _settings(hall, case, ["first", "second"], {"numpy": "2.0", "torch": 3})
    assert section.title == "How to repeat it" and list(section.commands) == ["first", "second"]
    settings, identity, versions = section.parts
    assert [part.caption for part in section.parts] == ["Settings", "Identity", "Versions"]  # type: ignore[union-attr]
    assert dict(versions.rows) == {"numpy": "2.0", "torch": "3"}  # type: ignore[union-attr]
    known = dict(identity.rows)  # type: ignore[union-attr]
    assert list(known) == ["space", "build", "seed", "benchmark", "benchmark digest", "feature key", "search split",
                           "held-out", "dropped"]  # fmt: skip
    assert known["benchmark"] == "gpt2-mini" and known["search split"] == "50" and known["held-out"] == "450"
    named = dict(settings.rows)  # type: ignore[union-attr]
    assert "search" not in named and {"population", "iterations", "batch"} <= set(named)
    repeats = replace(hall, config={**hall.config, "options": []})
    told = [str(_settings(h, case, [], {}).paragraphs[0]) for h in (repeats, replace(hall, config={"search": 3}))]
    assert told[0].startswith("The first command repeats the run") and told[1].startswith("The commands check")


def test_a_report_has_a_row_for_every_benchmark(hall: HallDocument) -> None:
    case = hall.cases[0]
    (table,) = _cases(replace(hall, cases=(case, replace(case, baselines=())))).parts
    first, second = table.rows  # type: ignore[union-attr]
    figures, best = case.figures[0], max(case.baselines, key=lambda b: (b.holdout or {})["kendall"])
    assert first[:4] == ("gpt2-mini", "gpt2", 50, 450) and len(first) == len(table.columns)  # type: ignore[union-attr]
    assert (first[4], first[5], first[7]) == (
        (figures.search or {})["kendall"], (figures.holdout or {})["spearman"], (figures.holdout or {})["kendall"],
    )  # fmt: skip
    assert first[-2:] == (best.name, (best.holdout or {})["kendall"]) and second[-2:] == (None, None)


def test_a_long_setting_is_cut_at_400_characters() -> None:
    assert _plainly("x" * 400) == "x" * 400 and _plainly("x" * 401) == "x" * 399 + "…" and _plainly(["é"]) == '["é"]'


def test_the_command_of_a_report_is_one_that_evolve_accepts(hostile_run: Path, hostile_benchmark: Path) -> None:
    line = re.findall(r"<code>(python cli.py evolve .*?)</code>", (hostile_run / "hall_of_fame.html").read_text())[0]
    assert (
        "--population 12" in line and "--seq-len 24" in line and "--iterations 20" in line and "--aggregate" not in line
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["proxies/none.json"], "none.json: cannot be read"),
        (["docs"], "has no hall_of_fame.json, wanted a finished run"),
        (["docs/results/search-gpt2-wt103.json"], "got a study, which plot draws"),
        (["docs/results/leaderboard-gpt2-wt103.json", "--benchmark", "x"], "goes with a hall of fame"),
        (["proxies/gpt2-mini.json", "--out", "x.pdf"], "wanted a name that ends in .html"),
    ],
)
def test_what_cannot_be_reported_is_one_line(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    monkeypatch.chdir(ROOT)
    assert cli.main(["report", *arguments]) in (1, 2)
    assert message in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    "damage", [{"quality": [1.0]}, {"split": {"search": [99], "holdout": []}}, {"architectures": 3}]
)
def test_a_damaged_leaderboard_is_one_line(
    damage: dict, hostile_board: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(json.loads(hostile_board.with_suffix(".json").read_text()) | damage))
    assert cli.main(["report", str(path)]) == 1
    assert "error: leaderboard" in capsys.readouterr().err
