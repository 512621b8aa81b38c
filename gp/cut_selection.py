"""The choice of a subnet of a checkpoint: very many candidates within a budget are scored by a formula on the parts of
the whole network, the best few are looked at on calibration text, and the one with the lowest loss there is taken."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
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
from models.training.cuts.sample import CutSample, block_sizes, cut_config, subnets, variations
from storage.errors import WrongInput

__all__ = ["CutChoice", "CutDraws", "CutLooks", "UnreachableBudget", "choose_cut", "finalists"]

NEAR = 0.97  # of the budget, which candidates use at least
FINALISTS = 12  # of the subnets looked at, compared on the whole calibration text
ROUNDS, PARENTS, NEARBY = 3, 3, 1000  # rounds of variations, of the best so far, so many of each
SPACE = LlamaSpace()


class UnreachableBudget(WrongInput):
    """A budget that no subnet of the checkpoint can meet; the message says what it got and what it wanted."""


@dataclass(frozen=True)
class CutChoice:
    """The chosen subnet, its calibration loss, the number of candidates, the finalists with their losses, and the
    seconds by stage."""

    chosen: Architecture
    loss: float
    candidates: int
    looked: tuple[tuple[Architecture, float], ...]
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class CutDraws:
    """Draws of different subnets of the network `whole` with at most `budget` parameters in all and nearly as many;
    their units are kept by `order`."""

    whole: Architecture
    budget: int
    order: str
    sample: CutSample

    @classmethod
    def create(cls, whole: Architecture, budget: int, seed: int, order: str, costs: Sequence[float]) -> CutDraws:
        """Half of the draws prefer to drop blocks that cost little alone, `costs` (L,) in nats, and none drops a block
        that costs more than 1.5. UnreachableBudget if the budget is too small or too large."""
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
        margin = 1.5 * (kept[0] // CutSample.steps) * unit / blocks  # a draw meets its level give or take a step
        return cls(whole, budget, order, CutSample(tuple(costs), (level - margin,), (0,), (), seed=seed))

    def candidates(self, count: int) -> list[Architecture]:
        """Up to `count` of them; UnreachableBudget if none was drawn."""
        sample = replace(self.sample, branches=(count,))
        if not (found := self._within("cut", (subnet.cut for subnet in subnets(sample, self.whole.config)))):
            raise UnreachableBudget(
                f"--budget params: got {self.budget:,}, which none of {count:,} draws met without a block whose "
                "removal alone costs more than 1.5 nats; wanted a larger one, or more --networks"
            )
        return found

    def near(self, parents: Sequence[Architecture], count: int, turn: int) -> list[Architecture]:
        """Up to `count` variations of each of the subnets `parents`."""
        config, found = self.whole.config, dict[str, Architecture]()
        for parent in parents:
            cuts = variations(self.sample, config, cut_of(parent.config, config["n_layer"]), count, parent.digest)
            found |= {a.digest: a for a in self._within(f"near-{turn}", cuts)}
        return list(found.values())

    def _within(self, name: str, cuts: Iterable[Cut]) -> list[Architecture]:
        config = self.whole.config
        drawn = (SPACE.architecture(f"{name}-{i}", cut_config(config, cut, self.order)) for i, cut in enumerate(cuts))
        return [a for a in drawn if NEAR * self.budget <= SPACE.parameters(a).total <= self.budget]


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

    def block_costs(self, tokens: torch.Tensor) -> list[float]:
        """(L,): what the removal of each block alone adds to the loss on tokens (B, T), nats per token."""
        config = self.whole.architecture.config
        full, _ = block_sizes(config)
        cuts: list[Cut] = [tuple(None if i == gone else full for i in range(self.depth)) for gone in range(self.depth)]
        without = [SPACE.architecture("without", cut_config(config, cut, self.whole.kind)) for cut in cuts]
        first, *losses = self.losses([self.whole.architecture, *without], tokens)
        return [loss - first for loss in losses]


def choose_cut(
    formula: Evaluation,
    draws: CutDraws,
    candidates: Sequence[Architecture],
    workshop: Workshop,
    tokens: torch.Tensor,
    look: int,
    looks: CutLooks,
    tell: Callable[[str], None] = lambda line: None,
) -> CutChoice:
    """The subnet with the lowest loss on tokens (B, T) of `look` that are looked at on the first eighth of these: first
    those that the formula ranks first, then, in rounds, those that it ranks first among variations of the best so far.
    The best of all are compared on the whole (`finalists`)."""
    start, part = time.perf_counter(), look // 6
    few, losses = _first(formula, candidates, workshop, look - ROUNDS * part), list[float]()
    seconds = {"screening": time.perf_counter() - start}
    tell(f"{len(candidates):,} candidates scored; looking at {len(few)}, then at variations of the best")
    start = time.perf_counter()
    for turn in range(ROUNDS if part else 0):
        losses += looks.losses(few[len(losses) :], eighth(tokens))
        best = [few[i] for i in np.argsort(losses, kind="stable")[:PARENTS]]
        seen = {a.digest for a in few}
        near = [a for a in draws.near(best, NEARBY, turn) if a.digest not in seen]
        few += _first(formula, near, workshop, part) if near else []
    losses += looks.losses(few[len(losses) :], eighth(tokens)) if len(few) > FINALISTS else []
    looked = finalists(looks, few, tokens, losses)
    seconds["looks"] = time.perf_counter() - start
    return CutChoice(*looked[0], len(candidates), looked, seconds)


def _first(
    formula: Evaluation, candidates: Sequence[Architecture], workshop: Workshop, count: int
) -> list[Architecture]:
    """The candidates that the formula ranks first."""
    scores = formula.sign * formula_scores(formula, parts_for(workshop, candidates), candidates)
    return [candidates[i] for i in np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable")[:count]]


def eighth(tokens: torch.Tensor) -> torch.Tensor:
    """The first eighth of the sequences (B, T), at least one."""
    return tokens[: max(1, len(tokens) // 8)]


def finalists(
    looks: CutLooks, chosen: Sequence[Architecture], tokens: torch.Tensor, short: Sequence[float] = ()
) -> tuple[tuple[Architecture, float], ...]:
    """Subnets and their losses on tokens (B, T), the lowest first. Of more than 12 only the 12 with the lowest
    loss on the first eighth of the sequences, `short` where it is known."""
    if len(chosen) > FINALISTS:
        short = short or looks.losses(chosen, eighth(tokens))
        chosen = [chosen[i] for i in np.argsort(short, kind="stable")[:FINALISTS]]
    return tuple(sorted(zip(chosen, looks.losses(chosen, tokens), strict=True), key=lambda pair: pair[1]))


def formula_scores(formula: Evaluation, parts: Parts, candidates: Sequence[Architecture]) -> np.ndarray:
    """(N,): the formula on subnets, unsigned, from the parts of their whole network."""
    configs = [a.config for a in candidates]
    blocks = sorted({pair for config in configs for pair in parts_of(config)})
    depth = 1 + max(pair[0][0] for pair in blocks)
    return CutScores(parts, blocks).scores(formula.proxy, codes_of(configs, blocks, depth))
