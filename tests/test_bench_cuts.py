"""bench.science.cuts: rows of published importances are what they say, and the table prints every row with its price."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_checkpoint
import torch
from scipy import stats
from test_cuts import PLAN, SAMPLE
from transformers import LlamaForCausalLM

from bench.science import cuts
from fitness.evaluation import split_groups
from fitness.features.workshop import Workshop
from gp.config import SearchConfig
from models.benchmarks.origins import load_benchmark
from models.spaces.checkpoint import Checkpoint
from models.spaces.llama.subnets import Whole, calibration_tokens
from models.training.cuts.campaign import measure_cuts

WIDE = replace(PLAN, sample=replace(SAMPLE, branches=(15, 5)))
MAPS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj",
        "mlp.down_proj")  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    tiny_checkpoint.write(folder / "tiny")
    measure_cuts(folder / "table.jsonl", Checkpoint.open(folder / "tiny"), folder, WIDE)
    return folder


def test_importances_are_those_of_the_librarys_network(place: Path) -> None:
    """The first row of the table is the whole network: all weights are kept."""
    weights = Checkpoint.open(place / "tiny")
    benchmark = load_benchmark(str(place / "table.jsonl"))
    own = Workshop.open("llama", weights=place / "tiny", bank=place / "bank", price="whole", devices="cpu")
    workshop, whole = cuts.calibrated(own, weights, benchmark), Whole.of(benchmark.architectures, weights)
    found = {row.name: row.scores[0] for row in cuts.published(benchmark, whole, workshop)}  # type: ignore[index]
    tokens = calibration_tokens(weights)[:2]
    model: Any = LlamaForCausalLM.from_pretrained(place / "tiny", attn_implementation="eager").eval()
    seen: dict[Any, torch.Tensor] = {}
    linear = [layer.get_submodule(name) for layer in model.model.layers for name in MAPS]
    for module in linear:
        module.register_forward_pre_hook(lambda m, given: seen.__setitem__(m, given[0].detach()))
    logits = model(input_ids=tokens, use_cache=False).logits[:, :-1]
    torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()).backward()
    wanted = dict.fromkeys(("magnitude", "Wanda", "Taylor", "Pruner-Zero"), 0.0)
    for module in linear:
        w, g = module.weight.detach().double(), module.weight.grad.double().abs()
        wanted["magnitude"] += float(w.abs().sum())
        wanted["Wanda"] += float((w.abs() * seen[module].flatten(0, 1).double().norm(dim=0)).sum())
        wanted["Taylor"] += float((w.abs() * g).sum())
        wanted["Pruner-Zero"] += float((w * w * (g - g.min()) / (g.max() - g.min())).sum())
    for name, value in wanted.items():
        assert found[name] == pytest.approx(value, rel=1e-4), name


def test_the_table_has_every_row_with_its_price(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ["--benchmark", str(place / "table.jsonl"), "--weights", str(place / "tiny"), "--bank", str(place / "bank")]
    small = partial(SearchConfig, iterations=20, population=20, brood=10, sweeps=1, inputs=("W",), n_unary=1)
    monkeypatch.setattr(cuts, "SearchConfig", small)
    cuts.main([*given, "--seeds", "100", "--evolve", "--own", "--devices", "cpu"])
    lines = capsys.readouterr().out.splitlines()
    rows = {line[:42].strip(): line[42:].split() for line in lines[4:-2]}
    assert {"(#params)", "(blocks)", "block influence", "sum of single-block losses", "Wanda", "Taylor", "magnitude",
            "Pruner-Zero", "ridge on 2 numbers per block", "loss on 12 calibration tokens"} <= set(rows)  # fmt: skip
    benchmark = load_benchmark(str(place / "table.jsonl"))
    looked = load_benchmark(str(place / "table.jsonl"), "calibration_all")
    held = np.array(split_groups(benchmark.groups, 50, 100).holdout)
    tau = stats.kendalltau(looked.ground_truth[held], benchmark.ground_truth[held]).statistic
    labels, each, passes, median = rows["loss on 36 calibration tokens"][:4]
    assert (labels, each, int(passes)) == ("0", "1", len(benchmark)) and float(median) == pytest.approx(tau, abs=6e-4)
    assert rows["ridge on 2 numbers per block"][0] == "50" and rows["block influence"][2] == "1"
    of_whole, of_own = (rows[f"evolved, features of the {name}"] for name in ("whole network", "subnet itself"))
    assert (
        rows["the search's teacher"][:3] == ["50", "0", "4"]
        and of_whole[:3] == ["50", "0", "5"]
        and of_own[:3] == ["50", "1", str(len(benchmark))]
    )
    assert all(abs(float(row[3])) <= 1 for row in (of_whole, of_own)) and lines[1].startswith("seed 100: ")
    for line, tokens in zip(lines[-2:], (12, 36), strict=True):
        gain, low, high = map(float, re.findall(r"[+-]\d\.\d+", line))
        assert line.endswith(f"to the loss on {tokens} calibration tokens") and low <= gain <= high
    assert lines[0].startswith("seed 100: ") and "[ " in lines[0]
