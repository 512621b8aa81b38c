"""Do our `as_published` networks repeat the published figures? Parameter counts, attention confidence, and LPZero's
champion as the paper's words and as its released code read it:

    ZCP_DATA=... PYTHONPATH=. python bench/flexibert_as_published.py [FOLDER]

The folder holds BERT_benchmark.json and BERT_results_activation.csv. One core, about four minutes.
"""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path

import numpy as np
import torch
from scipy.stats import kendalltau, spearmanr

from fitness.features.collect import collect
from fitness.zoo import ZOO
from models.benchmarks.benchmark import Benchmark
from models.benchmarks.layouts.glue import load_glue_json
from models.spaces.bert_blocks import Encoder
from models.spaces.flexibert import FlexibertSpace
from models.tokens import TokenBatch
from primitives.grammar import parse
from primitives.scoring import Scorer

CHAMPIONS = ("LPZero FlexiBERT", "LPZero FlexiBERT as released")


def main(arguments: list[str]) -> int:
    default = Path(os.environ["ZCP_DATA"]) / "flexibert-glue" if "ZCP_DATA" in os.environ else None
    folder = Path(arguments[0]) if arguments else default
    if folder is None:
        print("give a folder with BERT_benchmark.json, or set ZCP_DATA", file=sys.stderr)
        return 2
    torch.set_num_threads(1)  # the networks are too small for more
    benchmark = load_glue_json(folder)
    with (folder / "BERT_results_activation.csv").open(newline="") as file:
        rows = {row["ID"]: row for row in csv.DictReader(file)}
    published = [rows[architecture.id] for architecture in benchmark.architectures]
    space = FlexibertSpace()
    counts = [space.parameters(a, "as_published").total for a in benchmark.architectures]
    equal = sum(ours == int(row["Number of Parameters"]) for ours, row in zip(counts, published, strict=True))
    print(f"parameter counts equal the published ones: {equal} of {len(counts)}\n")
    scores = np.array(confidences(benchmark, space))
    print("\n".join(table(benchmark, scores, published)))
    print("\n".join(["", *champions(benchmark, space)]))
    return 0


def champions(benchmark: Benchmark, space: FlexibertSpace) -> list[str]:
    """LPZero's FlexiBERT champion (Dong et al. 2024, arXiv 2410.04808): H by its paper, Q by its code."""
    batch, formulas = TokenBatch.from_passage(4, 64), [parse(ZOO[name].text or "") for name in CHAMPIONS]
    rows = []
    for architecture in benchmark.architectures:
        scorer = Scorer(collect(space.build(architecture, 0, "as_published"), batch).blocks)
        rows.append([float(scorer.score(formula)) for formula in formulas])
    lines = [f"{'LPZero FlexiBERT, published':45s}  0.511  0.748"]
    for name, x in zip(CHAMPIONS, np.array(rows).T, strict=True):
        tau, rho = kendalltau(x, benchmark.quality).statistic, spearmanr(x, benchmark.quality).statistic
        lines.append(f"{name + ', ours':45s} {tau:6.3f} {rho:6.3f}")
    return lines


def confidences(benchmark: Benchmark, space: FlexibertSpace) -> list[tuple[float, float]]:
    """Attention confidence and the number of maps that it adds up, for every architecture."""
    tokens = TokenBatch.from_passage(4, 64).tokens
    networks = (space.build(a, 0, "as_published") for a in benchmark.architectures)
    return [confidence(network, tokens) for network in networks if isinstance(network, Encoder)]


@torch.no_grad()
def confidence(network: Encoder, tokens: torch.Tensor) -> tuple[float, float]:
    """Attention confidence as the code of Serianni and Kalita 2023 computes it, and the number of maps.

    For each map into the heads (query, key, value, WMA's weight; a transform has one, its input): the largest
    output over the tokens of a sequence, averaged over sequences and features. Summed over all maps.
    """
    peaks: list[float] = []

    def record(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        peaks.append(output.amax(dim=1).mean().item())  # output is (B, T, features)

    hooks = [m.register_forward_hook(record) for block in network.projections() for m in block]
    try:
        network.hidden(tokens)
    finally:
        for hook in hooks:
            hook.remove()
    return sum(peaks), float(len(peaks))


def table(benchmark: Benchmark, scores: np.ndarray, published: list[dict[str, str]]) -> list[str]:
    theirs = np.array([float(row["Head Confidence"]) for row in published])
    lines = ["against GLUE, all 500                          tau-b    rho"]
    for name, x in (
        ("attention confidence, published column", theirs),
        ("attention confidence, ours", scores[:, 0]),
        ("number of maps that it adds up", scores[:, 1]),
    ):
        tau, rho = kendalltau(x, benchmark.quality).statistic, spearmanr(x, benchmark.quality).statistic
        lines.append(f"{name:45s} {tau:6.3f} {rho:6.3f}")
    agreement = spearmanr(scores[:, 0], theirs).statistic
    return [*lines, f"\nSpearman between the published column and ours: {agreement:.3f}"]


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
