"""Figures of a ranking: correlations without what is not finite, inside groups, on pairs of like size."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
import pytest

import cli
from commands.loading import draw_split
from fitness.evaluation import Evaluation, Split, split_groups
from fitness.protocol import Unrankable, check_rankable, correlation, inside_groups, interval_note, near_pairs, report
from fitness.replay import ReplayRow, committee
from fitness.zoo.naive import naive_scores
from models.benchmarks.benchmark import Benchmark
from models.benchmarks.origins import load_benchmark
from models.spaces import SPACES
from primitives.grammar import parse


def test_a_correlation_is_signed_and_knows_ties() -> None:
    found = correlation(np.array([1.0, 1.0, 2.0, 3.0]), np.array([4.0, 3.0, 2.0, 1.0]), intervals=False)
    # Six pairs: five disagree, one is tied in the scores; tau-b = -5 / sqrt(5 * 6), tau-a = -5 / 6.
    assert found["kendall"] == pytest.approx(-5 / np.sqrt(30), abs=1e-6)
    assert found["kendall_a"] == pytest.approx(-5 / 6, abs=1e-6)
    assert found["spearman"] < 0 and found["n"] == 4 and found["invalid"] == 0


def test_scores_that_are_not_finite_are_counted_and_left_out() -> None:
    scores, quality = np.array([1.0, np.nan, 2.0, np.inf, 3.0]), np.arange(5.0)
    found = correlation(scores, quality)
    assert (found["n"], found["invalid"], found["spearman"]) == (3, 2, 1.0)


@pytest.mark.parametrize("scores", [np.zeros(5), np.array([1.0, 2.0, np.nan, np.nan, np.nan])])
def test_where_there_is_no_ranking_there_is_no_figure(scores: np.ndarray) -> None:
    found = correlation(scores, np.arange(5.0))
    assert found["spearman"] is None and found["kendall"] is None and "ci95_spearman" not in found


def test_parts_of_a_report_are_those_of_the_split(tiny_benchmark: Path) -> None:
    benchmark = load_benchmark(str(tiny_benchmark))
    half = len(benchmark) // 2
    split = Split(tuple(range(half)), tuple(range(half, len(benchmark))))
    scores = benchmark.quality.copy()
    scores[half:] *= -1
    found = report(scores, benchmark, split)
    assert found["search"]["spearman"] == pytest.approx(1.0) and found["holdout"]["spearman"] == pytest.approx(-1.0)
    assert found["all"]["n"] == len(benchmark)


def published_benchmark(published: Path, name: str) -> Benchmark:
    return load_benchmark(str(published / name))


@pytest.mark.parametrize(
    ("name", "benchmark", "spearman", "kendall"),
    [
        ("depth", "flexibert-glue", 0.834, 0.682),
        ("depth, then width", "flexibert-glue", 0.925, 0.801),
        ("attention params", "gpt2-wt103", 0.976, 0.883),
        ("FFN params", "gpt2-wt103", 0.955, 0.823),
        ("decoder params", "gpt2-wt103", 0.967, 0.847),
        ("#params", "gpt2-wt103", 0.737, 0.582),
    ],
)
def test_naive_baselines_reach_the_known_figures(
    published: Path, name: str, benchmark: str, spearman: float, kendall: float
) -> None:
    data = published_benchmark(published, benchmark)
    found = correlation(naive_scores(name, data.architectures), data.quality, intervals=False)
    assert found["spearman"] == pytest.approx(spearman, abs=6e-4)
    assert found["kendall"] == pytest.approx(kendall, abs=6e-4)


def test_groups_hold_one_depth_or_one_width(published: Path) -> None:
    data = published_benchmark(published, "flexibert-glue")
    found = inside_groups(data.quality, data)
    assert {name: group["n"] for name, group in found.items()} == {
        "depth 2": 239, "depth 4": 261, "width 128": 251, "width 256": 249,
    }  # fmt: skip
    assert all(group["spearman"] == pytest.approx(1.0) for group in found.values())


def test_near_pairs_are_those_of_like_size(tiny_benchmark: Path) -> None:
    data = load_benchmark(str(tiny_benchmark))
    sizes = [SPACES[a.space].parameters(a).total for a in data.architectures]
    pairs = [
        (i, j)
        for i in range(len(sizes))
        for j in range(i)
        if abs(sizes[i] - sizes[j]) <= 0.1 * max(sizes[i], sizes[j]) and data.quality[i] != data.quality[j]
    ]
    found = near_pairs(data.quality, data)
    assert found == ({"pairs": len(pairs), "kendall": 1.0, "error": 0.0} if pairs else {"pairs": 0, "kendall": None})
    assert near_pairs(-data.quality, data)["kendall"] == (-1.0 if pairs else None)
    assert pairs, "the fixture has no pair of like size, so this test shows nothing"


def test_a_committee_is_the_mean_of_its_members_ranks(tiny_benchmark: Path) -> None:
    data = load_benchmark(str(tiny_benchmark))
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(3, len(data))) + 0.5 * data.quality
    rows = [ReplayRow(Evaluation(parse("sum[ W ]"), 0.0, 1), row, {}, {}, {}, (), None) for row in scores]
    ranks = sum(np.argsort(np.argsort(row)) for row in scores[:2])
    found = committee(rows, 2, data)
    assert found["name"] == "committee of 2"
    assert found["all"]["spearman"] == correlation(ranks.astype(float), data.quality)["spearman"]
    rows[0].scores[4] = np.nan
    assert committee(rows, 2, data)["all"]["invalid"] == 1


def _benchmark(path: Path, labels: Sequence[float], kinds: Sequence[int]) -> Benchmark:
    """A benchmark with these labels, whose architectures are repeats of a few `kinds`."""
    data = load_benchmark(str(path))
    chosen = tuple(
        dataclasses.replace(data.architectures[kind], id=f"copy{i}") for i, kind in enumerate(kinds[: len(labels)])
    )
    return dataclasses.replace(data, architectures=chosen, ground_truth=np.array(labels, dtype=float))


TEN = tuple(range(10))


@pytest.mark.parametrize(
    ("labels", "kinds", "search", "message"),
    [
        (TEN, TEN, (), "fewer than 3 different architectures to search on; --search-size 3 would do"),
        (TEN, (0, 0, 1, 2, 3, 4, 5, 6, 7, 8), (0, 1), "to search on; --search-size 4 would do"),
        (TEN, (0, 0, 0, 1, 1, 2, 2, 3, 4, 5), (0, 1, 2), "to search on; add more different ones"),
        ([5, 5, 5, 5, 4, 3, 2, 1, 0, 6], TEN, (0, 1, 2, 3), "same loss everywhere; --search-size 5 would do"),
        (TEN, TEN, TEN[:8], "fewer than 3 different architectures held out; --search-size 7 would do"),
    ],
)
def test_what_cannot_be_ranked_is_refused_with_what_would_do(
    tiny_benchmark: Path, labels: Sequence[float], kinds: Sequence[int], search: tuple[int, ...], message: str
) -> None:
    data = _benchmark(tiny_benchmark, labels, kinds)
    split = Split(search, tuple(sorted(set(TEN) - set(search))))
    with pytest.raises(Unrankable, match=message):
        check_rankable(data, split)
    if "would do" not in message:
        return
    size = int(message.split("--search-size ")[1].split()[0])
    for seed in range(40):
        check_rankable(data, split_groups(data.groups, size, seed))


def test_what_can_be_ranked_is_not_refused(tiny_benchmark: Path) -> None:
    check_rankable(_benchmark(tiny_benchmark, TEN, TEN), Split(TEN[:4], TEN[4:]))


@pytest.mark.parametrize("command", [["evolve"], ["exhaust"], ["leaderboard"], ["ablate", "--study", "search"],
                                     ["replay", "--proxy", "sum[ W ]"]])  # fmt: skip
def test_equal_labels_are_refused_before_any_network_is_built(
    command: list[str], tiny_benchmark: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    header, *lines = tiny_benchmark.read_text().splitlines()
    records = [json.dumps({**json.loads(line), "loss": 2.5}) for line in lines]
    path = tmp_path / "flat.jsonl"
    path.write_text("\n".join([header, *records]))
    monkeypatch.chdir(tmp_path)
    options = ["--benchmark", str(path), "--bank", str(tmp_path / "bank"), "--devices", "cpu"]
    assert cli.main([*command, *options, *([] if command[0] == "replay" else ["--search-size", "12"])]) == 1
    assert (
        "flat: loss: got 2.5 for each of the 30 architectures, which ranks nothing; wanted" in capsys.readouterr().err
    )
    assert not (tmp_path / "bank").exists() and not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("count", "size", "message"),
    [
        (14, 10, "got 14 architectures, wanted at least 20 in all, 10 that a search sees and 10 that are held out; "
                 "measure 6 more"),
        (19, 50, "got 19 architectures, wanted at least 20 in all"),
        (20, 11, "--search-size: got 11, wanted 10, so that 10 of 20 architectures are held out"),
        (25, 50, "--search-size: got 50, wanted 10 to 15, so that 10 of 25 architectures are held out"),
        (20, 10, None),
    ],
)  # fmt: skip
def test_a_search_needs_twenty_architectures_in_all(
    tiny_benchmark: Path, count: int, size: int, message: str | None
) -> None:
    data = _benchmark(tiny_benchmark, range(count), range(count))
    if message is None:
        assert len(draw_split(data, size, 1).search) == size
        return
    with pytest.raises(click.UsageError, match=message):
        draw_split(data, size, 1)


@pytest.mark.parametrize("kinds", [(0,) * 11 + tuple(range(1, 10)), (0,) * 9 + tuple(range(1, 12)), (0, 1) * 10])
def test_advice_on_the_size_of_a_split_can_be_followed(tiny_benchmark: Path, kinds: tuple[int, ...]) -> None:
    data = _benchmark(tiny_benchmark, range(20), kinds)
    for seed in range(20):
        try:
            draw_split(data, 10, seed)
        except Unrankable as error:
            assert "--search-size" not in str(error) or int(str(error).split("--search-size ")[1].split()[0]) >= 10


@pytest.mark.parametrize(("count", "wide"), [(3, True), (29, True), (30, False), (450, False)])
def test_intervals_of_few_architectures_are_called_wide(count: int, wide: bool) -> None:
    note = interval_note(count)
    assert note == (f"the 95% intervals are wide: {count} architectures are held out, fewer than 30" if wide else None)
