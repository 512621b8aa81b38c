"""Counts as inputs: sizes of the blocks, exact and in sketches, in searches and in stand-alone modules."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from processes import program as zcp
from test_cli import SMALL
from test_portable import loaded

from fitness.features.bank import sketch_features
from fitness.features.figures import ScoreReader
from fitness.features.takers import letters_of
from fitness.features.visit import Visited
from fitness.tables.branches import BranchTable
from gp.config import SearchConfig
from gp.evolution.individual import Individual
from gp.evolution.primitive_set import primitive_set
from gp.evolution.variation import generate
from gp.hall_file import load_hall
from models.spaces import SPACES
from models.tokens import TokenBatch
from primitives import parse, score
from primitives.inputs import COUNTS, EXTENDED, INPUT_SETS
from primitives.pps import violation
from primitives.rendering import as_latex
from report.portable.emission import as_sympy_module, as_torch_module

CONFIG = {
    **{"n_layer": 2, "d_model": 32, "d_embed": 32, "div_val": 1, "n_head": (4, 2), "d_inner": (48, 80)},
    **{"n_token": 256, "tgt_len": 64, "cutoffs": ()},
}
FLEXIBERT = {
    "hidden_size": 128,
    "operation": ("SDP", "DFT"),
    "heads": (4, 2),
    "ffn_dim": (512, 1024),
    "ffn_stack": (1, 3),
}
LLAMA = {
    **{"n_layer": 2, "d_model": 32, "n_head": (4, 2), "n_kv_head": (2, 1), "d_ffn": (48, 80), "n_token": 256},
    **{"tgt_len": 64, "tied": False, "norm": "rms", "norm_eps": 1e-6, "rope_theta": 10000.0},
}
WANTED = {
    "gpt2": {
        **{"params.attn": [4 * 32 * 32] * 2, "params.ffn": [2 * 32 * 48, 2 * 32 * 80], "width": [32, 32]},
        **{"hidden": [48, 80], "heads": [4, 2], "block": [1, 1]},
    },
    "flexibert": {
        **{"params.attn": [4 * 128 * 128] * 2, "width": [128, 128], "heads": [4, 2], "block": [1, 1]},
        **{"params.ffn": [2 * 128 * 512, 128 * 512 + 512 * 1024 + 1024 * 1024 + 1024 * 128]},
    },
    "llama": {
        **{"params.attn": [2 * 32 * 32 + 2 * 32 * 16] * 2, "params.ffn": [3 * 32 * 48, 3 * 32 * 80]},
        **{"width": [32, 32], "hidden": [48, 80], "heads": [4, 2], "block": [1, 1]},
    },
}


@pytest.fixture(scope="module", params=["gpt2", "flexibert", "llama"])
def seen(request: pytest.FixtureRequest) -> tuple[str, Visited]:
    config = {"gpt2": CONFIG, "flexibert": FLEXIBERT, "llama": LLAMA}[request.param]
    architecture = SPACES[request.param].architecture("x", config)
    return request.param, Visited.run(architecture, TokenBatch.from_passage(3, 16))


def test_a_count_is_what_the_configuration_says(seen: tuple[str, Visited]) -> None:
    space, visited = seen
    for name, numbers in WANTED[space].items():
        for aggregate, value in (("sum", sum(numbers)), ("first", numbers[0]), ("last", numbers[-1])):
            found = score(parse(f"{aggregate}[ {name} ]"), visited.features.blocks)
            assert found == pytest.approx(value, rel=1e-5), (name, aggregate)


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("chain", ["{}", "log({})", "invert(sqrt({}))", "pow2({})"])
def test_a_table_of_sketches_has_the_exact_value(seen: tuple[str, Visited], name: str, chain: str) -> None:
    blocks = seen[1].features.blocks
    table = BranchTable([sketch_features(seen[1].features)] * 2)
    texts = [f"falling[ {chain.format(name)} ]", f"mean[ product( {chain.format(name)}, sqrt(width) ) ]"]
    texts.append(f"sum( sum[ {chain.format(name)} ], 0.5*mean[ to_std(W) ] )")
    exact = [score(parse(text), blocks) for text in texts[:2]]
    assert [list(row) for row in table.scores([parse(text) for text in texts[:2]])] == [[x, x] for x in exact]
    assert table.score(parse(texts[2]))[1] == pytest.approx(score(parse(texts[2]), blocks), rel=1e-3)


def test_counts_read_no_gradients_and_one_letter() -> None:
    wanted = {"params.ffn": {"W"}, "width": {"H"}, "heads": {"S", "H"}, "hidden": {"A"}, "block": {"A"}}
    for name, letters in wanted.items():
        assert letters_of([ScoreReader([f"sum[ log({name}) ]"])]) == letters


@pytest.mark.parametrize("inputs", ["counts", "both"])
def test_every_formula_of_a_search_over_counts_is_a_tree_and_back(inputs: str) -> None:
    pset, rng = primitive_set(SearchConfig(inputs=INPUT_SETS[inputs])), random.Random(3)
    read = set[str]()
    for _ in range(1000):
        proxy = generate(rng, pset).to_proxy()
        assert Individual.from_proxy(proxy, pset).canonical == proxy.canonical()
        read |= {branch.input for branch in proxy.branches}
    assert read == set(INPUT_SETS[inputs])


def test_the_default_search_reads_no_counts() -> None:
    assert not set(EXTENDED) & set(COUNTS) and not set(INPUT_SETS["all"]) & set(COUNTS)


@pytest.mark.parametrize("text", ["sum[ softmax(width) ]", "mean[ to_std(params) ]", "first[ l1_norm(heads) ]"])
def test_an_operator_that_needs_many_entries_is_refused(text: str) -> None:
    broken = violation(parse(text))
    assert broken is not None and broken.name in ("scalar_collapse", "equivalent")


def test_modules_count_as_we_do(tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=2, n_head=4, n_inner=48, vocab_size=300, n_positions=32))
    wanted = {"params": 2 * (4 * 32 * 32 + 2 * 32 * 48), "params.attn": 2 * 4 * 32 * 32, "params.ffn": 2 * 2 * 32 * 48}
    wanted |= {"width": 64, "hidden": 96, "heads": 8, "block": 2}
    assert wanted.keys() == COUNTS.keys()
    for name, value in wanted.items():
        module = loaded(as_torch_module(parse(f"sum[ {name} ]")), tmp_path)
        assert module.score(model, torch.arange(48).reshape(3, 16)) == pytest.approx(value, rel=1e-5), name


def test_symbolic_counts_are_integers(tmp_path: Path) -> None:
    module = loaded(as_sympy_module(parse("sum[ heads ]")), tmp_path)
    block = {"S": [module.symbolic("S", 3, 3, 4)], "H": [module.symbolic("H", 3, 8)], "W": [module.symbolic("W", 2, 5)]}
    block["A"] = [module.symbolic("A", 3, 7)]
    for name, value in {"heads": 4, "width": 8, "params": 10, "hidden": 7, "block": 1}.items():
        module = loaded(as_sympy_module(parse(f"sum[ {name} ]")), tmp_path)
        assert module.formula([block, block]) == 2 * value


def test_latex_names_a_count_in_upright_letters() -> None:
    assert r"\mathrm{params}_{\mathrm{ffn}}" in as_latex(parse("sum[ params.ffn ]"))


def test_a_search_over_counts_ends_with_a_law_of_shape(tmp_path: Path, tiny_benchmark: Path) -> None:
    settings = [*SMALL, "--inputs", "counts", "--bank", tmp_path / "bank", "--out", tmp_path / "run"]
    done = zcp("evolve", "--benchmark", tiny_benchmark, *settings)
    assert done.returncode == 0, done.stderr
    formulas = [entry.proxy for entry in load_hall(tmp_path / "run" / "hall_of_fame.json").proxies]
    read = {branch.input for formula in formulas for branch in formula.branches}
    assert read and read <= set(COUNTS)
    assert " reads" in done.stdout and "sizes" in done.stdout
    shown = zcp("show", tmp_path / "run")
    assert shown.stdout.splitlines()[0].endswith("reads sizes")


def test_what_a_formula_reads() -> None:
    texts = {
        "sum[ W ]": "network",
        "sum[ log(width) ]": "sizes",
        "sum( sum[ log(width) ], sum[ W ] )": "network and sizes",
    }
    assert {text: parse(text).reads for text in texts} == texts
