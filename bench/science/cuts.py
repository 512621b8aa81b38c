"""Agreement of cheap numbers with measured subnets of a checkpoint, each with its price: labels, passes per candidate,
passes in all.

python -m bench.science.cuts --weights DIR [--benchmark smollm2-subnets|PATH] [--evolve] [--hall HALL.json ...]
python -m bench.science.cuts --benchmark llama-cut [--metric healed] [--evolve]

Held-out tau-b of a table of `benchmarks measure`, or of `benchmarks train llama-cut`; medians and ranges over seeds,
each with its own 50 labels. A row with a pass per candidate reads the losses on calibration text that the table holds.
With --evolve the last lines say what the formula adds to these: the held-out tau-b of a ridge on both, less that of the
loss alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fitness.evaluation import split_groups
from fitness.features.cuts import cut_block, needed_parts, parts_of
from fitness.features.visit import Visited
from fitness.features.whole import parts_for
from fitness.features.workshop import Workshop
from fitness.predictors.members import rank_targets
from fitness.predictors.teacher import taught
from fitness.ranking import kendall
from fitness.tables.cuts import CutTable
from gp.benchmark_search import search
from gp.case import Case
from gp.config import SearchConfig
from gp.cut_lesson import block_costs, cut_numbers, teaches_cuts
from gp.cut_rivals import block_influence
from gp.hall_file import load_hall
from models.benchmarks.benchmark import Benchmark
from models.benchmarks.origins import embedded_checkpoint, find, load_benchmark
from models.spaces import SPACES
from models.spaces.checkpoint import Checkpoint
from models.spaces.llama.subnets import Whole, calibration_tokens

LABELS = 50
RESAMPLES = 200
LOOK = "loss on"
FEW = 256  # tokens of the single-block losses
ALPHAS = 10.0 ** np.arange(-2, 5)
MAPS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class Row:
    """A way to rank: scores (N,), larger is better, or a function of the split; and what it costs."""

    name: str
    scores: np.ndarray | Callable[[np.ndarray], np.ndarray]
    labels: int
    per_candidate: int
    passes: int


def counts(benchmark: Benchmark) -> list[Row]:
    found = [SPACES["llama"].parameters(a) for a in benchmark.architectures]
    depth = np.array([a.config["n_layer"] for a in benchmark.architectures], float)
    columns = {
        "#params": [c.total for c in found],
        "attention params": [c.attention for c in found],
        "FFN params": [c.ffn for c in found],
        "blocks": depth,
    }
    return [Row(f"({name})", np.array(values, float), 0, 0, 0) for name, values in columns.items()]


def input_norms(model: Any, tokens: torch.Tensor) -> list[dict[str, torch.Tensor]]:
    """Per block and map, the norm of each of its inputs over all tokens."""
    seen: list[dict[str, torch.Tensor]] = [{} for _ in model.model.layers]
    hooks = []
    for index, layer in enumerate(model.model.layers):
        for name, module in layer.named_modules():
            if (kind := name.rpartition(".")[2]) in MAPS:

                def note(m: Any, given: Any, store: dict[str, torch.Tensor] = seen[index], kind: str = kind) -> None:
                    store[kind] = given[0].flatten(0, -2).norm(dim=0)

                hooks.append(module.register_forward_pre_hook(note))
    with torch.no_grad():
        model.loss(tokens)
    for hook in hooks:
        hook.remove()
    return seen


def pruning(block: Mapping[str, Any], norms: dict[str, torch.Tensor]) -> dict[str, tuple[torch.Tensor, ...]]:
    """Per map, an importance of each weight."""
    W, G = block["W"], block["G"]
    spread = [(g.abs() - g.abs().min()) / (g.abs().max() - g.abs().min()).clamp(min=1e-30) for g in G]
    return {
        "magnitude": tuple(w.abs() for w in W),
        "Wanda": tuple(w.abs() * norms[kind] for w, kind in zip(W, MAPS, strict=True)),
        "Taylor": tuple((w * g).abs() for w, g in zip(W, G, strict=True)),
        "Pruner-Zero": tuple(w.abs() * w.abs() * s for w, s in zip(W, spread, strict=True)),
    }


def published(benchmark: Benchmark, whole: Whole, workshop: Workshop) -> list[Row]:
    """The sum of the importances of all weights that a subnet keeps."""
    visited = Visited.run(whole.architecture, workshop.batch, weights=whole.weights)
    norms, order = input_norms(visited.model, visited.tokens), whole.order()
    sums: dict[str, dict[Any, float]] = {}
    for part in needed_parts(benchmark.architectures):
        block = visited.features.blocks[part[0]]
        for name, maps in pruning(block, norms[part[0]]).items():
            shown = {**block, "W": maps, "W.attn": maps[:4], "W.ffn": maps[4:]}
            kept = cut_block(shown, part, order, visited.sequences)["W"]
            sums.setdefault(name, {})[part] = sum(float(w.sum(dtype=torch.float64)) for w in kept)
    return [Row(name, summed(benchmark, lambda part, own=own: own[part]), 0, 0, 1) for name, own in sums.items()]


def summed(benchmark: Benchmark, value: Callable[[Any], float]) -> np.ndarray:
    return np.array([sum(value(p) for pair in parts_of(a.config) for p in pair) for a in benchmark.architectures])


def kept_shares(benchmark: Benchmark, depth: int) -> np.ndarray:
    """(N, 2 L): which share of the attention and of the feed-forward layer of each block a subnet keeps."""
    found = np.zeros((len(benchmark), 2 * depth))
    most = {kind: max(p[2] for p in needed_parts(benchmark.architectures) if p[1] == kind) for kind in ("attn", "ffn")}
    for row, architecture in zip(found, benchmark.architectures, strict=True):
        for pair in parts_of(architecture.config):
            for offset, (block, kind, count) in enumerate(pair):
                row[2 * block + offset] = count / most[kind]
    return found


def by_blocks(benchmark: Benchmark, whole: Whole, workshop: Workshop, losses: bool) -> list[Row]:
    """Block influence, and the losses of the network without one block each."""
    depth, tokens = whole.architecture.config["n_layer"], workshop.batch.tokens
    shares = kept_shares(benchmark, depth).reshape(-1, depth, 2).mean(2)
    rows = [Row("block influence", shares @ block_influence(whole, tokens), 0, 0, 1)]
    if losses:
        rows.append(Row("sum of single-block losses", shares @ block_costs(whole, workshop), 0, 0, depth))
    return rows


def looks(benchmark: Benchmark, path: Path) -> list[Row]:
    """Losses on calibration text that the table holds."""
    import json

    records = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    plan, found = benchmark.header["plan"], []
    length = plan["base"]["budget"]["length"] if "looks" in plan else plan["length"]
    counts = plan["looks"] if "looks" in plan else (plan["few"], plan["calibration"])
    for field, windows in zip(("calibration_few", "calibration_all"), counts, strict=True):
        if all(field in record for record in records):
            scores = -np.array([record[field] for record in records])
            found.append(Row(f"{LOOK} {windows * length:,} calibration tokens", scores, 0, 1, len(records)))
    return found


def beyond(row: Row, formula: Row, benchmark: Benchmark, seeds: Sequence[int]) -> None:
    """Print what a formula adds to a row, with an interval over resampled held-out subnets for each seed."""
    quality, rng = benchmark.quality, np.random.default_rng(0)
    for seed in seeds:
        split = split_groups(benchmark.groups, LABELS, seed)
        seen, held = np.array(split.search), np.array(split.holdout)
        alone, more = (each.scores(seen) if callable(each.scores) else each.scores for each in (row, formula))
        both = ridge(np.argsort(np.argsort(np.stack([alone, more], 1), axis=0), axis=0).astype(float), quality, seen)
        gain = kendall(both[held], quality[held]) - kendall(alone[held], quality[held])
        drawn = (held[rng.integers(0, len(held), len(held))] for _ in range(RESAMPLES))
        gains = [kendall(both[own], quality[own]) - kendall(alone[own], quality[own]) for own in drawn]
        low, high = np.percentile(gains, [2.5, 97.5])
        print(f"seed {seed}: the formula adds {gain:+.3f} ({low:+.3f} to {high:+.3f}) to the {row.name}")


def ridge(inputs: np.ndarray, quality: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Ridge regression on the ranks of the labels; the penalty by leaving out one."""
    x = (inputs - inputs[seen].mean(0)) / np.where(inputs[seen].std(0) > 0, inputs[seen].std(0), 1)
    y = np.argsort(np.argsort(quality[seen])).astype(float)
    y -= y.mean()
    best, weights = np.inf, np.zeros(x.shape[1])
    for alpha in ALPHAS:
        inverse = np.linalg.inv(x[seen].T @ x[seen] + alpha * np.eye(x.shape[1]))
        hat = x[seen] @ inverse @ x[seen].T
        residual = (y - hat @ y) / (1 - np.diag(hat))
        if (error := float((residual**2).mean())) < best:
            best, weights = error, inverse @ x[seen].T @ y
    return x @ weights


def regressions(benchmark: Benchmark, depth: int, workshop: Workshop, losses: bool) -> list[Row]:
    shares, quality = kept_shares(benchmark, depth), benchmark.quality
    rows = [Row("ridge on 2 numbers per block", lambda seen: ridge(shares, quality, seen), LABELS, 0, 0)]
    if losses and teaches_cuts(workshop):
        numbers = cut_numbers(benchmark.architectures, workshop)

        def teacher(seen: np.ndarray) -> np.ndarray:
            return taught(numbers, seen, rank_targets(quality[seen]))

        rows.append(Row("the search's teacher", teacher, LABELS, 0, depth))
    return rows


def transferred(benchmark: Benchmark, halls: Sequence[Path], workshop: Workshop) -> list[Row]:
    """The first formula of each hall of a search elsewhere, on the features of the whole network: it needs no label."""
    rows, table = [], table_of(benchmark, workshop)
    for path in halls:
        document = load_hall(path)
        if document.case_of(benchmark) is not None:
            raise SystemExit(
                f"{path}: was evolved on {benchmark.name}; wanted a search elsewhere (--evolve makes ours)"
            )
        formula = document.proxies[0].formula
        scores = formula.sign * table.score(formula.proxy)
        rows.append(Row(f"evolved on {document.names}, seed {document.seed}", scores, 0, 0, 1))
    return rows


def evolved(benchmark: Benchmark, workshop: Workshop, seeds: Sequence[int]) -> Row:
    """The champion of a search for each split, on the features of the whole network, or of each subnet."""
    own, whole = dict[tuple[int, ...], np.ndarray](), workshop.price == "whole"
    for seed in seeds:
        split = split_groups(benchmark.groups, LABELS, seed)
        config = SearchConfig(seed=seed)
        champion = search([Case(benchmark, workshop, split)], config).hall.champions[0]
        own[split.search] = champion.sign * workshop.exact_scores([champion.proxy], benchmark.architectures)[0]
        print(f"seed {seed}: {champion.sign:+d} {champion.proxy}", flush=True)
    depth = Whole.of(benchmark.architectures, workshop.weights).architecture.config["n_layer"]
    name, passes = ("whole network", (0, 1 + depth)) if whole else ("subnet itself", (1, len(benchmark)))
    return Row(f"evolved, features of the {name}", lambda seen: own[tuple(seen.tolist())], LABELS, *passes)


def table_of(benchmark: Benchmark, workshop: Workshop) -> CutTable:
    return CutTable(parts_for(workshop, benchmark.architectures), [a.config for a in benchmark.architectures])


def show(rows: Sequence[Row], benchmark: Benchmark, seeds: Sequence[int]) -> None:
    named = "noise_ceiling" if benchmark.metric == "loss" else f"{benchmark.metric}_noise_ceiling"
    ceiling = benchmark.header.get(named)
    print(
        f"{benchmark.name}: {len(benchmark)} subnets; noise ceiling tau {ceiling['kendall']:.3f}"
        if ceiling
        else benchmark.name
    )
    print(f"{'row':42} {'labels':>6} {'passes each':>11} {'passes':>6} {'tau-b, median (range)':>24}")
    for row in rows:
        found = []
        for seed in seeds:
            split = split_groups(benchmark.groups, LABELS, seed)
            held = np.array(split.holdout)
            scores = row.scores(np.array(split.search)) if callable(row.scores) else row.scores
            found.append(kendall(scores[held], benchmark.quality[held]))
        spread = f"{np.median(found):.3f} ({min(found):.3f} to {max(found):.3f})"
        print(f"{row.name:42} {row.labels:>6} {row.per_candidate:>11} {row.passes:>6} {spread:>24}")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--benchmark", default="smollm2-subnets")
    parser.add_argument("--metric", help="which quality of the table (default: the one that it names)")
    parser.add_argument("--weights", type=Path, help="the checkpoint's folder (default: the one that is embedded)")
    parser.add_argument("--hall", type=Path, nargs="*", default=[], help="halls of searches on other benchmarks")
    parser.add_argument("--evolve", action="store_true", help="search on the 50 labels of each seed")
    parser.add_argument("--own", action="store_true", help="search on the features of each subnet as well")
    parser.add_argument("--devices", default="auto", help="of the visits of --own")
    parser.add_argument("--seeds", default="42,43,44,45,46")
    parser.add_argument("--bank", type=Path, default=Path(".cache/bank"))
    parser.add_argument("--no-losses", action="store_true", help="leave out the single-block losses, a pass per block")
    options = parser.parse_args(arguments)
    benchmark = load_benchmark(options.benchmark, options.metric)
    if (folder := options.weights or embedded_checkpoint(benchmark)) is None:
        parser.error("--weights: wanted the folder of the checkpoint")
    weights = Checkpoint.open(folder)
    whole = Whole.of(benchmark.architectures, weights)
    opened = partial(Workshop.open, "llama", weights=folder, bank=options.bank)
    workshop = calibrated(opened(price="whole", devices="cpu"), weights, benchmark)
    depth = whole.architecture.config["n_layer"]
    rows = [*counts(benchmark), *by_blocks(benchmark, whole, workshop, not options.no_losses)]
    seeds = [int(seed) for seed in options.seeds.split(",")]
    rows += [*published(benchmark, whole, workshop), *transferred(benchmark, options.hall, workshop)]
    rows += regressions(benchmark, depth, workshop, not options.no_losses)
    rows += looks(benchmark, find(options.benchmark))
    if options.evolve:
        if options.own:
            rows.append(evolved(benchmark, calibrated(opened(devices=options.devices), weights, benchmark), seeds))
        rows.append(evolved(benchmark, workshop, seeds))
    show(rows, benchmark, seeds)
    for row in [row for row in rows if row.name.startswith(LOOK)] if options.evolve else ():
        beyond(row, rows[-1], benchmark, seeds)


def calibrated(workshop: Workshop, weights: Checkpoint, benchmark: Benchmark) -> Workshop:
    """A copy of the workshop whose batch is the first calibration tokens; of the text of the training, if the network
    was trained here."""
    from dataclasses import replace

    from fitness.features.bank import FeatureBank
    from models.tokens import TokenBatch
    from models.training.corpus import load_corpus
    from models.training.learning import spread_windows

    if "corpus" in benchmark.header:
        tokens = spread_windows(load_corpus().train, 4, FEW // 4)
    else:
        tokens = calibration_tokens(weights)
        tokens = tokens[: max(1, FEW // tokens.shape[1])]
    batch = TokenBatch(tokens, f"calibration:{weights.digest}:{tuple(tokens.shape)}", "tokens")
    bank = FeatureBank(workshop.bank.folder, replace(workshop.bank.key, tokens=batch.digest))
    return replace(workshop, batch=batch, bank=bank)


if __name__ == "__main__":
    main()
