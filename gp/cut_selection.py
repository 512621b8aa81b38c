"""The choice of a subnet of a checkpoint: very many candidates within a budget are scored by a formula on the parts of
the whole network, the best few are looked at on calibration text, and the one with the lowest loss there is taken."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

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

__all__ = ["CutChoice", "CutLooks", "UnreachableBudget", "choose_cut", "draw_cuts", "finalists"]

NEAR = 0.97  # of the budget, which candidates use at least
FINALISTS = 12  # of the subnets looked at, compared on the whole calibration text
SPACE = LlamaSpace()


class UnreachableBudget(WrongInput):
    """A budget that no subnet of the checkpoint can meet; the message says what it got and what it wanted."""


@dataclass(frozen=True)
class CutChoice:
    """The chosen subnet, its calibration loss, its place by the formula, the finalists with theirs, and the seconds by
    stage."""

    chosen: Architecture
    loss: float
    place: int
    candidates: int
    looked: tuple[tuple[Architecture, float], ...]
    seconds: Mapping[str, float] = field(default_factory=dict)


def draw_cuts(
    whole: Architecture, budget: int, count: int, seed: int, order: str, costs: Sequence[float]
) -> list[Architecture]:
    """Up to `count` different subnets with at most `budget` parameters in all and nearly as many; UnreachableBudget if
    there are none. Half of the draws prefer to drop blocks that cost little alone, `costs` (L,) in nats, and none drops
    a block that costs more than 1.5."""
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
    sample = CutSample(tuple(costs), (), (0,), (count,), seed=seed)
    margin = 1.5 * (kept[0] // sample.steps) * unit / blocks  # a draw meets its level give or take a step of a width
    sample = replace(sample, levels=(level - margin,))
    drawn = (
        SPACE.architecture(f"cut-{i}", cut_config(config, subnet.cut, order))
        for i, subnet in enumerate(subnets(sample, config))
    )
    found = [a for a in drawn if NEAR * budget <= SPACE.parameters(a).total <= budget]
    if not found:
        raise UnreachableBudget(
            f"--budget params: got {budget:,}, which none of {count:,} draws met without a block whose removal alone "
            "costs more than 1.5 nats; wanted a larger one, or more --networks"
        )
    return found


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

    def block_costs(self, tokens: torch.Tensor) -> np.ndarray:
        """(L,): what the removal of each block alone adds to the loss on tokens (B, T), nats per token."""
        config = self.whole.architecture.config
        full, _ = block_sizes(config)
        cuts: list[Cut] = [tuple(None if i == gone else full for i in range(self.depth)) for gone in range(self.depth)]
        without = [SPACE.architecture("without", cut_config(config, cut, self.whole.kind)) for cut in cuts]
        first, *losses = self.losses([self.whole.architecture, *without], tokens)
        return np.array(losses) - first


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
    looked = finalists(looks, few, tokens)
    seconds["looks"] = time.perf_counter() - start
    (best, loss), *_ = looked
    return CutChoice(best, loss, few.index(best) + 1, len(candidates), looked, seconds)


def finalists(
    looks: CutLooks, chosen: Sequence[Architecture], tokens: torch.Tensor
) -> tuple[tuple[Architecture, float], ...]:
    """Subnets and their losses on tokens (B, T), the lowest first. Of more than 12 only the 12 with the lowest
    loss on the first eighth of the sequences."""
    if len(chosen) > FINALISTS:
        short = looks.losses(chosen, tokens[: max(1, len(tokens) // 8)])
        chosen = [chosen[i] for i in np.argsort(short, kind="stable")[:FINALISTS]]
    return tuple(sorted(zip(chosen, looks.losses(chosen, tokens), strict=True), key=lambda pair: pair[1]))


def formula_scores(formula: Evaluation, parts: Parts, candidates: Sequence[Architecture]) -> np.ndarray:
    """(N,): the formula on subnets, unsigned, from the parts of their whole network."""
    configs = [a.config for a in candidates]
    blocks = sorted({pair for config in configs for pair in parts_of(config)})
    depth = 1 + max(pair[0][0] for pair in blocks)
    return CutScores(parts, blocks).scores(formula.proxy, codes_of(configs, blocks, depth))
