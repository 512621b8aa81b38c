"""Questions inside one size: the objective `pairs`, the shape-aware scaling law, and formulas that read T."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import cli
from fitness.evaluation import Split
from fitness.features.workshop import Workshop
from fitness.near_pairs import Pairs, pairs_of_one_size
from fitness.objectives import agreement
from fitness.predictors.rivals import rival_scores
from fitness.predictors.shape_law import fitted_law, law_inputs, losses_of
from fitness.ranking import RankTarget, kendall
from fitness.zoo.naive import naive_scores
from gp.case import Case
from gp.hall_file import load_hall
from models.benchmarks.benchmark import Benchmark
from models.spaces import SPACES

SHAPES = [(depth, width, inner) for depth in (1, 2, 4) for width in (16, 32, 48) for inner in (40, 80)]


def benchmark(tokens: tuple[float, ...] = (1e6,), **more: object) -> Benchmark:
    """Shapes whose losses follow the law, at each budget."""
    rows, losses = [], []
    for D in tokens:
        for depth, width, inner in SHAPES:
            config = {"n_layer": depth, "d_model": width, "d_embed": width, "div_val": 1, "n_head": [2] * depth,
                      "d_inner": [inner] * depth, "n_token": 256, "tgt_len": 64, "cutoffs": []}  # fmt: skip
            rows.append(SPACES["gpt2"].architecture(f"{depth}-{width}-{inner}@{D:g}", config))
            N = SPACES["gpt2"].parameters(rows[-1]).decoder
            losses.append((1.5 + 40 / N**0.4 + 300 / D**0.5) * (1 + 0.05 * (width / depth) ** 0.5))
    from dataclasses import replace

    rows = [replace(a, tokens=D) for a, D in zip(rows, np.repeat(tokens, len(SHAPES)), strict=True)]
    return Benchmark("made", "gpt2", "loss", False, tuple(rows), np.array(losses), "0" * 64, **more)


def test_the_objective_pairs_is_the_statistic_of_the_tables() -> None:
    rng = np.random.default_rng(1)
    quality, sizes, scores = rng.normal(size=40), rng.uniform(1, 2, size=40), rng.normal(size=(5, 40)).round(1)
    found = agreement("pairs", RankTarget.create(quality, sizes=sizes), scores)
    assert found == pytest.approx([pairs_of_one_size(row, quality, sizes).tau for row in scores])
    some = np.arange(0, 40, 2)
    part = RankTarget.create(quality, sizes=sizes).only(some)
    wanted = [pairs_of_one_size(row[some], quality[some], sizes[some]).tau for row in scores]
    assert agreement("pairs", part, scores[:, some]) == pytest.approx(wanted)
    far = RankTarget.create(quality, sizes=2.0 ** np.arange(40))
    assert (agreement("pairs", far, scores) == 0).all()


def test_a_search_is_asked_about_pairs_of_the_size_that_the_benchmark_names(tmp_path: Path) -> None:
    data = benchmark(header={"size": "decoder params"})
    case = Case(data, Workshop.open("gpt2", bank=tmp_path, devices="cpu"), Split((0, 3, 5), ()))
    assert case.target.sizes == pytest.approx(naive_scores("decoder params", data.architectures)[[0, 3, 5]])


def test_the_law_ranks_what_follows_it_at_budgets_that_it_has_not_seen() -> None:
    data = benchmark((1e6, 4e6, 1.6e7))
    inputs, losses = law_inputs(data.architectures), losses_of(data, range(len(data)))
    seen = np.arange(0, len(data), 2)
    held = np.arange(1, len(data), 2)
    assert kendall(fitted_law(inputs[seen], losses[seen], inputs[held]), losses[held]) > 0.9
    alone = [float(fitted_law(inputs[seen], losses[seen], inputs[[i]])[0]) for i in held[:3]]
    assert alone == pytest.approx(fitted_law(inputs[seen], losses[seen], inputs[held[:3]]).tolist())


def test_the_law_reads_tokens_where_all_rows_have_them_and_they_differ() -> None:
    from dataclasses import replace

    several = list(benchmark((1e6, 4e6)).architectures)
    depths, widths = zip(*((SPACES["gpt2"].shape(a)) for a in several), strict=True)
    found = law_inputs(several)
    assert found[:, 0] == pytest.approx([np.log(SPACES["gpt2"].parameters(a).decoder) for a in several])
    assert found[:, 1] == pytest.approx(np.log(np.repeat([1e6, 4e6], 18)))
    assert found[:, 2] == pytest.approx(np.log(np.divide(widths, depths)))
    assert (law_inputs(several[:18])[:, 1] == 0).all()
    assert (law_inputs([replace(several[0], tokens=None), *several[1:]])[:, 1] == 0).all()


@pytest.mark.parametrize(
    ("metric", "higher", "truth", "losses"),
    [
        ("acc", True, [0.5, 0.7, 1.0], [1.0, 0.8, 0.5]),  # the best lacks nothing, so all are moved up by their range
        ("acc", True, [0.5, 0.7, 0.9], [0.5, 0.3, 0.1]), ("acc", True, [0.5, 1.5, 1.25], [99.5, 98.5, 98.75]), ("glue", True, [50.0, 120.0, 80.0], [140.0, 70.0, 110.0]),
        ("loss", False, [-1.0, 0.0, 3.0], [4.0, 5.0, 8.0]), ("ppl", False, [1.0, 2.0, 4.0], [1.0, 2.0, 4.0]),
        ("ppl", False, [2.0, 4.0, 8.0], [np.log(2), np.log(4), np.log(8)]),
        ("loss", False, [0.0, 0.0, 0.0], [1e-9, 1e-9, 1e-9]),
    ],
)  # fmt: skip
def test_losses_are_above_0(metric: str, higher: bool, truth: list[float], losses: list[float]) -> None:
    some = Benchmark("made", "gpt2", metric, higher, benchmark().architectures[:3], np.array(truth), "0" * 64)
    assert losses_of(some, [0, 1, 2]) == pytest.approx(losses, rel=1e-12)
    assert losses_of(some, [2, 1, 0])[::-1] == pytest.approx(losses, rel=1e-12)


@pytest.mark.parametrize("grouped", [False, True])
def test_pairs_of_one_size_are_those_counted_one_by_one(grouped: bool) -> None:
    rng = np.random.default_rng(2)
    scores, quality = rng.integers(0, 6, 14).astype(float), rng.integers(0, 9, 14).astype(float)
    sizes, budgets = rng.choice([100, 110, 111, 112, 150], 14), rng.integers(0, 2, 14)
    groups = np.repeat(np.arange(7), 2) if grouped else np.arange(14)

    def tau(rows: list[int]) -> tuple[float, int]:
        signs = [
            np.sign((scores[i] - scores[j]) * (quality[i] - quality[j]))
            for i in rows for j in rows
            if i < j and abs(int(sizes[i]) - int(sizes[j])) <= 0.1 * max(sizes[i], sizes[j])
            and budgets[i] == budgets[j] and quality[i] != quality[j]
        ]  # fmt: skip
        return float(np.mean(signs)), len(signs)

    found = pairs_of_one_size(scores, quality, sizes, budgets, groups if grouped else None)
    assert (found.tau, found.count) == pytest.approx(tau(list(range(14))))
    without = [tau([i for i in range(14) if groups[i] != own])[0] for own in range(groups.max() + 1)]
    assert found.without == pytest.approx(without)
    count = len(without)
    assert found.error == pytest.approx(np.sqrt((count - 1) / count * ((without - np.mean(without)) ** 2).sum()))
    assert np.isnan(pairs_of_one_size(scores[:2], quality[:2], np.array([1, 9])).tau)
    assert np.isnan(pairs_of_one_size(scores[:2], np.array([1, 2]), np.array([9, 9])).error)
    assert Pairs(0.1, np.array([1.0, np.nan, 2.0]), 3).error == pytest.approx(0.5)  # sqrt(1/2 (1/4 + 1/4))
    assert np.isnan(Pairs(0.1, np.array([1.0, np.nan]), 3).error)


def test_the_size_of_a_pair_is_what_the_header_names_and_else_all_parameters() -> None:
    from fitness.protocol import sizes_of

    some = benchmark().architectures
    for header, name in (({}, "#params"), ({"size": "decoder params"}, "decoder params"), ({"size": "x"}, "#params")):
        assert sizes_of(benchmark(header=header)).tolist() == naive_scores(name, some).tolist()
    assert sizes_of(benchmark()).tolist() != naive_scores("decoder params", some).tolist()


@pytest.mark.parametrize(
    ("tokens", "budgets"),
    [
        ([None, None, None], [0, 0, 0]), ([1e6, None, 1e6], [1, 0, 1]), ([1e6, 1e6, 4e6], [0, 0, 1]),
        ([1e6, 1.01e6, 1.2e6], [0, 0, 1]),
    ],
)  # fmt: skip
def test_rows_of_one_budget_have_like_tokens(tokens: list[float | None], budgets: list[int]) -> None:
    from dataclasses import replace

    rows = tuple(replace(benchmark().architectures[0], tokens=t) for t in tokens)
    some = Benchmark("made", "gpt2", "loss", False, rows, np.arange(3.0), "0" * 64)
    assert some.budgets.tolist() == budgets
    assert [found.tolist() for found in some.of_budgets()] == [
        [i for i in range(3) if budgets[i] == own] for own in sorted(set(budgets))
    ]


def test_the_law_is_a_rival_and_never_scores_a_label_by_itself() -> None:
    data = benchmark()
    split = Split(tuple(range(0, 18, 2)), tuple(range(1, 18, 2)))
    before = rival_scores(data, split)["shape law"]
    assert kendall(before[list(split.holdout)], data.quality[list(split.holdout)]) > 0.6
    truth = data.ground_truth.copy()
    truth[4] += 1.0
    other = Benchmark("made", "gpt2", "loss", False, data.architectures, truth, "0" * 64)
    assert rival_scores(other, split)["shape law"][4] == before[4]


@pytest.mark.parametrize(("metric", "higher", "loss"), [("ppl", False, np.log), ("glue", True, lambda x: 100 - x), ("loss", False, lambda x: x)])  # fmt: skip
def test_what_is_measured_becomes_a_loss(metric: str, higher: bool, loss: Callable[[np.ndarray], np.ndarray]) -> None:
    data = benchmark()
    other = Benchmark("made", "gpt2", metric, higher, data.architectures, 40.0 + np.arange(18) / 100, "0" * 64)
    assert losses_of(other, range(18)) == pytest.approx(loss(40.0 + np.arange(18) / 100))


def test_attention_times_ffn_is_the_product_of_the_counts() -> None:
    some = benchmark().architectures[:3]
    attention, ffn = (naive_scores(f"{name} params", some) for name in ("attention", "FFN"))
    assert (naive_scores("attention x FFN", some) == attention * ffn).all()


@pytest.mark.slow
@pytest.mark.parametrize(("more", "reads"), [((), True), (("--no-training-budget",), False)])
def test_evolve_reads_t_where_there_are_several_budgets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], reads: bool
) -> None:
    header = {"schema": 1, "space": "gpt2", "metric": "loss", "higher_is_better": False}
    made = benchmark((1e5, 1e8))
    lines = [
        {"id": a.id, "config": dict(a.config), "tokens": a.tokens, "loss": float(loss)}
        for a, loss in zip(made.architectures, made.ground_truth, strict=True)
    ]
    (path := tmp_path / "two.jsonl").write_text("".join(json.dumps(line) + "\n" for line in (header, *lines)))
    asked = ["evolve", "--benchmark", str(path), "--search-size", "20", "--iterations", "30", "--population", "20",
             "--brood", "10", "--sweeps", "1", "--folds", "2", "--n-unary", "1", "--inputs", "paper", "--batch", "2",
             "--seq-len", "24", "--devices", "cpu", "--bank", str(tmp_path / "bank"), "--out", str(tmp_path / "run"),
             "--format", "json", *more]  # fmt: skip
    assert cli.main(asked) == 0
    printed = capsys.readouterr()
    hall = json.loads(printed.out)
    assert ("2 training budgets, so formulas may read T" in printed.err) is reads
    assert any("T*sum" in name for name in hall["config"]["search"]["aggregates"]) is reads
    (case,) = hall["cases"]
    assert all(record["holdout"]["budgets"] == 2 for record in case["baselines"])
    assert load_hall(tmp_path / "run" / "hall_of_fame.json").proxies[0].proxy.text == hall["proxies"][0]["text"]
    ids = {id.split("@")[0] for id in case["split"]["search"]} & {id.split("@")[0] for id in case["split"]["holdout"]}
    assert not ids  # an architecture is on one side, at all its budgets
