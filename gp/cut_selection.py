"""The choice of a subnet of a checkpoint: very many candidates within a budget are scored by a formula on the parts of
the whole network, the best few are looked at on calibration text, and the one with the lowest loss there is taken."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from engine.threads import one_thread
from fitness.evaluation import Evaluation
from fitness.features.cuts import Parts, parts_of
from fitness.features.whole import parts_for
from fitness.features.workshop import Workshop
from fitness.tables.cut_scores import CutScores, codes_of
from models.architecture import Architecture
from models.spaces.llama.space import LlamaSpace
from models.spaces.llama.subnets import Whole
from models.training.cuts.measuring import Cut, CutNetwork, cut_of
from models.training.cuts.sample import CutSample, block_sizes, cut_config, subnets
from storage.errors import WrongInput

__all__ = ["CutChoice", "CutLooks", "UnreachableBudget", "block_influence", "choose_cut", "draw_cuts", "rival_choices"]

NEAR = 0.97  # of the budget, which candidates use at least
SPACE = LlamaSpace()


class UnreachableBudget(WrongInput):
    """A budget that no subnet of the checkpoint can meet; the message says what it got and what it wanted."""


@dataclass(frozen=True)
class CutChoice:
    """The chosen subnet, its calibration loss, its place by the formula, and the seconds by stage."""

    chosen: Architecture
    loss: float
    place: int
    candidates: int
    looked: tuple[tuple[Architecture, float], ...]
    seconds: Mapping[str, float] = field(default_factory=dict)


def draw_cuts(whole: Architecture, budget: int, count: int, seed: int, order: str) -> list[Architecture]:
    """Up to `count` different subnets with at most `budget` parameters in all and nearly as many; UnreachableBudget if
    there are none."""
    config, most = whole.config, SPACE.parameters(whole).total
    kept, (unit, group) = block_sizes(config)
    blocks = config["n_layer"] * (kept[0] * unit + kept[1] * group)
    level = 1 - (most - budget) / blocks
    if not 0.25 < level < 1:
        least = most - round(0.75 * blocks)
        raise UnreachableBudget(
            f"--budget params: got {budget:,}, wanted more than {least:,} and less than {most:,}, a quarter of the "
            "blocks and the whole network"
        )
    sample = CutSample((0.0,) * config["n_layer"], (level,), (0,), (count,), seed=seed)
    found = [
        SPACE.architecture(f"cut-{i}", cut_config(config, subnet.cut, order))
        for i, subnet in enumerate(subnets(sample, config))
    ]
    sizes = [SPACE.parameters(a).total for a in found]
    return [a for a, size in zip(found, sizes, strict=True) if NEAR * budget <= size <= budget]


class CutLooks:
    """Losses of subnets on calibration text; what several begin with is computed once."""

    def __init__(self, whole: Whole) -> None:
        self.whole, parts = whole, SPACE.parts(whole.architecture, 0, weights=whole.weights)
        self.depth, self.network = whole.architecture.config["n_layer"], CutNetwork(parts, whole.order())

    def losses(self, chosen: Sequence[Architecture], tokens: torch.Tensor) -> list[float]:
        """The mean loss of each on tokens (B, T), nats per token."""
        cuts: list[Cut] = [cut_of(a.config, self.depth) for a in chosen]
        with one_thread(flush_denormals=True):
            return [float(np.mean(row)) for row in self.network.losses(cuts, tokens)]


def choose_cut(
    formula: Evaluation,
    candidates: Sequence[Architecture],
    workshop: Workshop,
    tokens: torch.Tensor,
    look: int,
    looks: CutLooks | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> CutChoice:
    """The candidate with the lowest loss on tokens (B, T) among the `look` that the formula ranks first."""
    seconds, start = dict[str, float](), time.perf_counter()
    parts = parts_for(workshop, candidates)
    seconds["visit"], start = time.perf_counter() - start, time.perf_counter()
    scores = formula.sign * formula_scores(formula, parts, candidates)
    first = np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable")[:look]
    seconds["screening"], start = time.perf_counter() - start, time.perf_counter()
    tell(f"{len(candidates):,} candidates scored; looking at {len(first)}")
    looks = looks or CutLooks(Whole.of(candidates, workshop.weights))
    few = [candidates[i] for i in first]
    losses = looks.losses(few, tokens)
    seconds["looks"] = time.perf_counter() - start
    best = int(np.argmin(losses))
    looked = tuple(sorted(zip(few, losses, strict=True), key=lambda pair: pair[1]))
    return CutChoice(few[best], losses[best], best + 1, len(candidates), looked, seconds)


def formula_scores(formula: Evaluation, parts: Parts, candidates: Sequence[Architecture]) -> np.ndarray:
    """(N,): the formula on subnets, unsigned, from the parts of their whole network."""
    configs = [a.config for a in candidates]
    blocks = sorted({pair for config in configs for pair in parts_of(config)})
    depth = 1 + max(pair[0][0] for pair in blocks)
    return CutScores(parts, blocks).scores(formula.proxy, codes_of(configs, blocks, depth))


def rival_choices(
    candidates: Sequence[Architecture], looks: CutLooks, tokens: torch.Tensor, look: int, seed: int
) -> dict[str, Architecture]:
    """Choices of other methods with the same number of looks: the sum of block influences, and random choice."""
    influence = block_influence(looks.whole, tokens)
    _, (unit, group) = block_sizes(looks.whole.architecture.config)
    kept = np.zeros((len(candidates), looks.depth))  # weights of each block; all have as many in the whole
    for row, candidate in zip(kept, candidates, strict=True):
        for (block, _, groups), (_, _, ffn) in parts_of(candidate.config):
            row[block] = ffn * unit + groups * group
    by_influence = np.argsort(-(kept @ influence), kind="stable")[:look]
    by_chance = random.Random(seed).sample(range(len(candidates)), min(look, len(candidates)))
    found = {}
    for name, places in (("block influence", by_influence), ("random", by_chance)):
        few = [candidates[i] for i in places]
        found[f"{name}, {len(few)} looks"] = few[int(np.argmin(looks.losses(few, tokens)))]
    return found


@torch.no_grad()
def block_influence(whole: Whole, tokens: torch.Tensor) -> np.ndarray:
    """(L,): one minus the cosine of what goes into a block and what comes out of it, the mean over tokens (B, T) (Men
    et al. 2024, arXiv 2403.03853)."""
    parts: Any = SPACE.parts(whole.architecture, 0, weights=whole.weights)
    x, found = parts.embed(tokens), []
    for index in range(parts.blocks):
        output = parts.block(index)(x)
        found.append(1 - float(torch.nn.functional.cosine_similarity(x, output, dim=-1).mean()))
        x = output
    return np.array(found)
