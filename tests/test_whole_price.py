"""Features at the price `whole`: one visit of the whole network, whose parts are the quantities of every subnet."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_checkpoint
import torch

from fitness.features.bank import BadFeatures
from fitness.features.collect import FeatureError, collect
from fitness.features.cuts import needed_parts, parts_of
from fitness.features.whole import parts_for
from fitness.features.workshop import Workshop
from fitness.tables.branches import BranchTable
from fitness.tables.cut_scores import CutScores, codes_of
from fitness.tables.cuts import CutTable
from fitness.tables.table_file import branch_table, sketches
from models.architecture import Architecture
from models.spaces import SPACES
from models.spaces.checkpoint import Checkpoint
from models.spaces.llama.checkpoint import whole_architecture
from models.spaces.llama.subnets import order_of
from primitives.grammar import parse
from primitives.operators import AGGREGATION
from primitives.scoring import Scorer

TEXTS = (
    "sum[ frobenius_norm(W) ]",
    "mean[ to_std(A) ]",
    "falling[ l1_norm(G.ffn) ]",
    "last[ frobenius_norm(H) ]",
    "mean[ product( l1_norm(W), frobenius_norm(G) ) ]",
    "sum[ product( W, G ) ]",
    "product( sum[ to_mean(S) ], rising[ frobenius_norm(Q) ] )",
    "difference( product( last[ frobenius_norm(W.attn) ], mean[ to_std(G) ] ), 2.5*sum[ l1_norm(J) ] )",
    "mean[ matmul( W, G ) ]",
    "sum[ product( l1_norm(A), frobenius_norm(W) ) ]",
    *(f"sum( {name}[ l1_norm(W) ], 0.5*{name}[ l1_norm(G) ] )" for name in AGGREGATION),
    "sum( mean[ log(params.ffn) ], product( T, 0.5*log_depth[ block ] ) )",
    "product( T, rising[ l1_norm(G) ] )",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint.write(tmp_path_factory.mktemp("price") / "tiny")


def subnet(whole: Architecture, keep: Sequence[int], ffn: Sequence[int], groups: Sequence[int]) -> Architecture:
    config = {
        **whole.config, "n_layer": len(keep), "keep": list(keep), "order": "activation", "d_ffn": list(ffn),
        "n_kv_head": list(groups), "n_head": [2 * g for g in groups], "head_dim": 4,
    }  # fmt: skip
    return SPACES["llama"].architecture(f"{keep}{ffn}{groups}", config)


def some_subnets(whole: Architecture) -> list[Architecture]:
    return [
        subnet(whole, (0, 1, 2, 3), (40, 20, 30, 40), (3, 3, 3, 3)),
        subnet(whole, (0, 2, 3), (40, 30, 10), (3, 2, 1)),
        subnet(whole, (1,), (20,), (2,)),
    ]


def workshop(folder: Path, bank: Path, price: str = "whole") -> Workshop:
    return Workshop.open("llama", batch=2, length=12, bank=bank, weights=folder, price=price, devices="cpu")


def sliced_by_hand(whole: Architecture, weights: Checkpoint, batch: Any, config: Any) -> list[dict[str, Any]]:
    """What is left of the features of the whole network, unit by unit, without the code that cuts them."""
    model: Any = SPACES["llama"].loaded(whole, weights)  # type: ignore[attr-defined]
    features, order = collect(model, batch), order_of(weights, "activation")
    found = []
    for place, block in enumerate(config["keep"]):
        seen, units = features.blocks[block], order.ffn[block][: config["d_ffn"][place]].tolist()
        groups = order.groups[block][: config["n_kv_head"][place]].tolist()
        heads = [8 * g + i for g in groups for i in range(8)]
        keys = [4 * g + i for g in groups for i in range(4)]
        S = seen["S"][0].view(2, 6, 12, 12)
        own: dict[str, Any] = {
            "A": (seen["A"][0][:, units],), "H": (seen["H"][0][:, heads],), "Q": (seen["Q"][0][:, heads],),
            "J": seen["J"], "S": (torch.cat([S[b][[2 * g + i for g in groups for i in (0, 1)]] for b in range(2)]),),
        }  # fmt: skip
        for letter in "WG":
            q, k, v, o, gate, up, down = seen[letter]
            own[f"{letter}.attn"] = (q[heads], k[keys], v[keys], o[:, heads])
            own[f"{letter}.ffn"] = (gate[units], up[units], down[:, units])
            own[letter] = own[f"{letter}.attn"] + own[f"{letter}.ffn"]
        found.append(own)
    return found


def test_exact_scores_are_those_of_the_parts_of_the_whole_network(folder: Path, tmp_path: Path) -> None:
    here, weights = workshop(folder, tmp_path), Checkpoint.open(folder)
    whole = whole_architecture(weights)
    chosen, proxies = some_subnets(whole), [parse(text) for text in TEXTS]
    found = here.exact_scores(proxies, chosen)
    for n, architecture in enumerate(chosen):
        scorer = Scorer(sliced_by_hand(whole, weights, here.batch, architecture.config))
        wanted = [scorer.score(proxy) for proxy in proxies]
        assert found[:, n] == pytest.approx(wanted, rel=2e-5), architecture.id  # a step of a score's resolution
    assert here.visit([], chosen) == 0


def test_the_whole_network_has_the_same_features_at_both_prices(folder: Path, tmp_path: Path) -> None:
    plain = whole_architecture(Checkpoint.open(folder))
    proxies = [parse(text) for text in TEXTS]
    own, whole = workshop(folder, tmp_path, "own"), workshop(folder, tmp_path, "whole")
    assert own.bank.key.digest != whole.bank.key.digest
    assert np.array_equal(own.exact_scores(proxies, [plain]), whole.exact_scores(proxies, [plain]))
    (ours,), (theirs,) = sketches([plain], own), sketches([plain], whole)
    for letter in "AJGHQWS":
        assert np.array_equal(ours.samples[letter], theirs.samples[letter]), letter
        assert np.array_equal(ours.layout[letter], theirs.layout[letter]), letter


def test_a_table_of_parts_scores_like_a_table_of_sketches(folder: Path, tmp_path: Path) -> None:
    here, proxies = workshop(folder, tmp_path), [parse(text) for text in TEXTS]
    chosen = some_subnets(whole_architecture(Checkpoint.open(folder)))
    table = branch_table(chosen, here)
    assert isinstance(table, CutTable)
    wanted = BranchTable(sketches(chosen, here)).scores(proxies)
    assert table.scores(proxies) == pytest.approx(wanted, rel=1e-12)
    assert len(np.unique(wanted)) > 3 * len(TEXTS) - 8


def test_very_many_subnets_are_scored_by_sums_alone(folder: Path, tmp_path: Path) -> None:
    whole, rng = whole_architecture(Checkpoint.open(folder)), random.Random(0)
    chosen = []
    for _ in range(60):
        keep = sorted(rng.sample(range(4), rng.randint(1, 4)))
        sizes = [(rng.choice((10, 20, 40)), rng.randint(1, 3)) for _ in keep]
        chosen.append(subnet(whole, keep, [f for f, _ in sizes], [g for _, g in sizes]))
    parts = parts_for(workshop(folder, tmp_path), chosen)
    blocks = sorted({pair for a in chosen for pair in parts_of(a.config)})
    scores, codes = CutScores(parts, blocks), codes_of([a.config for a in chosen], blocks, 4)
    table = CutTable(parts, [a.config for a in chosen])
    for text in TEXTS:
        assert scores.scores(parse(text), codes) == pytest.approx(table.score(parse(text)), rel=3e-5), text


def test_parts_that_the_bank_has_are_not_visited_again(folder: Path, tmp_path: Path) -> None:
    here, chosen = workshop(folder, tmp_path), some_subnets(whole_architecture(Checkpoint.open(folder)))
    assert here.extract(chosen[:1]) == 1 and here.extract(chosen[:1]) == 0
    assert here.extract(chosen) == 1 and here.extract(chosen) == 0
    assert set(needed_parts(chosen)) <= set(parts_for(here, chosen[:1]).sketches)


def test_the_supernet_of_llama_elastic_is_a_whole_network_too(tmp_path: Path) -> None:
    from models.benchmarks import load_benchmark

    here = Workshop.open("llama", build="as_trained", batch=1, length=16, bank=tmp_path, price="whole", devices="cpu")
    chosen = load_benchmark("llama-elastic").architectures[:4]
    scores = here.exact_scores([parse("sum[ frobenius_norm(W.ffn) ]")], chosen)[0]
    assert scores[0] > scores[1] > scores[2] and here.extract(chosen) == 1 and here.extract(chosen) == 0


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"weights": None}, r"--price: got whole for the space llama without trained weights; wanted"),
        ({"space": "gpt2", "weights": None}, r"--price: got whole for the space gpt2 without trained weights"),
    ],
)
def test_without_trained_weights_there_is_no_whole_network(
    changed: dict[str, Any], said: str, folder: Path, tmp_path: Path
) -> None:
    given: dict[str, Any] = {"space": "llama", "weights": folder, "bank": tmp_path, "price": "whole"} | changed
    with pytest.raises(BadFeatures, match=said):
        Workshop.open(**given)


def test_subnets_of_two_orders_have_no_one_whole_network(folder: Path, tmp_path: Path) -> None:
    chosen = some_subnets(whole_architecture(Checkpoint.open(folder)))
    other = SPACES["llama"].architecture("other", {**chosen[0].config, "order": "magnitude"})
    with pytest.raises(ValueError, match=r"order: got subnets whose units are kept by activation and by magnitude"):
        workshop(folder, tmp_path).extract([*chosen, other])


def test_what_needs_each_network_is_refused(folder: Path, tmp_path: Path) -> None:
    from fitness.features.figures import formula_costs

    with pytest.raises(
        FeatureError, match=r"--price whole: something that is asked for needs each subnet's own network"
    ):
        workshop(folder, tmp_path).visit(
            [formula_costs(["sum[ W ]"])], some_subnets(whole_architecture(Checkpoint.open(folder)))
        )
