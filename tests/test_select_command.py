"""The command `select`: devices and interruptions, budgets, the figure, mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_rank import FAST, TEXTS, bank, hall, ranked  # noqa: F401  (fixtures)
from test_select import search

import cli
from commands.options import tightest
from report import draw_front


def run(capfd: pytest.CaptureFixture[str], *words: object) -> tuple[str, str]:
    assert cli.main(["select", *map(str, words)]) == 0
    said = capfd.readouterr()
    return said.out, said.err


def test_the_command_has_the_same_bytes_on_any_devices_and_after_an_interruption(
    hall: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]  # noqa: F811
) -> None:  # fmt: skip
    words = [
        "--space",
        "gpt2",
        "--hall",
        hall,
        "--budget",
        "params=60K",
        "--population",
        6,
        "--format",
        "json",
        "--bank",
    ]
    part, _ = run(capfd, *words, tmp_path / "one", "--networks", 12, "--devices", "cpu")  # half of it, then all
    whole, said = run(capfd, *words, tmp_path / "one", "--networks", 18, "--devices", "cpu")
    other, _ = run(capfd, *words, tmp_path / "two", "--networks", 18, "--devices", "cpu,cpu")
    assert whole == other != part and "scored 18/18, best " in said
    rows = json.loads(whole)["rows"]
    assert rows and all(row["params"] <= 60_000 for row in rows)
    (tmp_path / "front.json").write_text(whole)
    again, _ = ranked(capfd, tmp_path / "front.json", "--hall", hall, "--bank", tmp_path / "one", "--devices", "cpu")
    assert {r["id"]: r["score"] for r in again["rows"]} == {r["id"]: r["score"] for r in rows}


@pytest.mark.parametrize(
    ("bounds", "holds"),
    [
        ([("params", 5.0), ("params", 3.0)], {"params": 3.0}),
        ([("params", 3.0), ("params", 5.0)], {"params": 3.0}),
        ([("flops", 9.0), ("params", 3.0), ("flops", 7.0), ("flops", 8.0)], {"flops": 7.0, "params": 3.0}),
        ([("latency", 0.5), ("latency", 0.5)], {"latency": 0.5}),
    ],
)
def test_the_tightest_of_several_bounds_on_a_cost_holds(
    bounds: list[tuple[str, float]], holds: dict[str, float]
) -> None:
    assert list(tightest(bounds).items()) == list(holds.items())


def test_a_tighter_budget_before_a_wider_one_holds(
    hall: Path, bank: Path, capfd: pytest.CaptureFixture[str]  # noqa: F811
) -> None:  # fmt: skip
    words = ["--space", "gpt2", "--hall", hall, "--budget", "params=60K", "--budget", "params=10M", "--networks", 6]
    out, _ = run(capfd, *words, "--population", 6, "--bank", bank, "--devices", "cpu", "--format", "json")
    found = json.loads(out)
    assert found["budget"] == {"params": 60_000} and all(row["params"] <= 60_000 for row in found["rows"])


def test_a_measured_budget_holds_too(
    hall: Path, bank: Path, capfd: pytest.CaptureFixture[str]  # noqa: F811
) -> None:  # fmt: skip
    words = ["--space", "gpt2", "--hall", hall, "--budget", "latency=2s", "--networks", 4, "--population", 4]
    out, _ = run(capfd, *words, "--bank", bank, "--devices", "cpu", "--format", "json")
    assert all(0 < row["latency_ms"] <= 2000 for row in json.loads(out)["rows"])


def test_the_figure_shows_what_was_scored_and_the_front(
    hall: Path, bank: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]  # noqa: F811
) -> None:  # fmt: skip
    found = search()
    axis = draw_front(found.front, found.scored, "params", "x").axes[0]
    dots, steps = ([float(y) for y in line.get_ydata()] for line in axis.lines)
    assert len(dots) == sum(c.score is not None for c in found.scored) and len(steps) == len(found.front)
    assert steps == sorted(steps) and axis.get_xlabel() == "#params"
    words = ["--space", "gpt2", "--hall", hall, "--budget", "params=60K", "--networks", 4, "--population", 4]
    path = tmp_path / "front.png"
    _, said = run(capfd, *words, "--bank", bank, "--devices", "cpu", "--plot", path)
    assert path.read_bytes().startswith(b"\x89PNG") and f"written: {path}" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--space", "flexibert", "--budget", "params=1M"),
            "--hall: got formulas that were evolved on gpt2, wanted flex",
        ),
        (("--space", "hf", "--budget", "params=1M"), "got 'hf', wanted one of gpt2, flexibert"),
        (("--space", "gpt2", "--budget", "params=10X"), "got '10X', wanted a number such as 10M"),
        (
            ("--space", "gpt2", "--budget", "size=10M"),
            "got 'size=10M', wanted one of params=10M, flops=10M, memory=8G, latency=5ms",
        ),
        (("--space", "gpt2", "--budget", "latency=5"), "got '5', wanted a number such as 5ms"),
        (("--space", "gpt2", "--budget", "params=1M,memory=8G"), "wanted one cost; repeat --budget for each other"),
        (
            ("--space", "gpt2", "--budget", "params=1K"),
            "--budget params: got 1,000, wanted at least 10,291, which the smal",
        ),
        (("--space", "gpt2", "--budget", "params=9M"), "--budget params: got 9,000,000, wanted at most "),
        (("--space", "gpt2", "--budget", "params=9M"), "give larger values with --range (now n_layer="),
        (("--space", "gpt2", "--budget", "params=60K", "--export", "x"), "--export: got --space gpt2, wanted llama"),
        (
            ("--space", "gpt2", "--budget", "params=60K", "--fix", "n_tokens=9"),
            "--fix: got the field n_tokens, wanted one of n_layer, ",
        ),
        (
            ("--space", "gpt2", "--budget", "params=60K", "--fix", "n_token"),
            "got 'n_token', wanted a field and its val",
        ),
        (("--space", "gpt2", "--budget", "params=60K", "--range", "d_inner=9"), "got 'd_inner=9', wanted a field and "),
        (
            ("--space", "gpt2", "--budget", "params=60K", "--fix", "d_model=33,n_head=2"),
            "no architecture of the region can be built; the last one: n_head[0]: got 2, wanted a divisor",
        ),
        (
            ("--space", "gpt2", "--budget", "params=60K", "--fix", "d_inner=32", "--multiple", "d_inner=8"),
            "--fix: got d_inner in --fix and in --range or --multiple",
        ),
        (
            ("--space", "gpt2", "--budget", "params=60K", "--range", "d_inner=65..70", "--multiple", "d_inner=64"),
            "d_inner: got 65..70 in steps of 64, wanted 1 to 100,000 values",
        ),
        (
            ("--space", "gpt2", "--budget", "params=1M", "--plot", "x.txt"),
            "--plot: got 'x.txt', wanted a name that ends in",
        ),
        (("--space", "gpt2"), "Missing option '--budget'"),
        (("--space", "gpt2", "--budget", "params=1M", "--committee", "9"), "--committee: got 9, wanted at most 3"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_mistake_of_select_is_one_line(
    words: tuple[str, ...], message: str, hall: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]  # noqa: F811
) -> None:  # fmt: skip
    assert cli.main(["select", *words, "--hall", str(hall), "--bank", str(tmp_path), "--devices", "cpu"]) in (1, 2)
    said = capfd.readouterr()
    errors = [line for line in said.err.splitlines() if not line.startswith("features as in the run")]
    assert said.out == "" and len(errors) == 1 and errors[0].startswith("error: ") and message in errors[0], said.err
