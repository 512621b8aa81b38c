"""Pool and numbers of a lesson on subnets of a checkpoint, at the price `whole`: further subnets, which cost no visit,
and what each subnet lacks and what that costs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from fitness.features.bank import MAX_TABLE
from fitness.features.whole import PRICES
from fitness.features.workshop import Workshop
from fitness.predictors.numbers import NumberTable
from gp.cut_selection import CutLooks
from gp.pool import new_ones
from models.architecture import Architecture
from models.spaces.llama.subnets import Whole
from models.training.cuts.measuring import Cut, cut_of
from models.training.cuts.sample import block_sizes, cut_config
from storage.shelf import ArrayShelf

__all__ = ["block_costs", "cut_numbers", "cut_pool", "teaches_cuts"]

LEAST = 1e-3  # nats: what a block costs at least, so that there is a logarithm


def teaches_cuts(workshop: Workshop) -> bool:
    """True where subnets of a checkpoint cost no visit."""
    return workshop.weights is not None and workshop.price != PRICES[0]


def cut_pool(seen: Sequence[Architecture], workshop: Workshop, count: int) -> list[Architecture]:
    """At most `count` subnets that differ from those `seen`: the first blocks of one of them and the last of another.
    The same subnets give the same pool."""
    whole, rng = Whole.of(seen, workshop.weights), random.Random("pool:cuts")
    config, depth = whole.architecture.config, whole.architecture.config["n_layer"]
    cuts: list[Cut] = [cut_of(a.config, depth) for a in seen]

    def crossover() -> dict[str, Any] | None:
        first, second = rng.sample(cuts, 2)
        border = rng.randrange(1, depth)
        child = first[:border] + second[border:]
        return cut_config(config, child, whole.kind) if any(child) else None

    return new_ones(seen, count, crossover) if len(cuts) > 1 and depth > 1 else []


def block_costs(whole: Whole, workshop: Workshop) -> np.ndarray:
    """(L,): what the removal of each block alone adds to the loss on the workshop's tokens, nats per token; from the
    bank, or computed with a pass for each block and kept there."""
    shelf = ArrayShelf(workshop.bank.place / "costs", MAX_TABLE)
    key, depth = f"{workshop.bank.entry(whole.architecture)}:{whole.kind}", whole.architecture.config["n_layer"]
    known = (shelf.load(key) or {}).get("costs")
    if known is None or known.shape != (depth,) or not np.isfinite(known).all():
        known = np.array(CutLooks(whole).block_costs(workshop.batch.tokens))
        shelf.save(key, {"costs": known})
    return known


def cut_numbers(subnets: Sequence[Architecture], workshop: Workshop) -> NumberTable:
    """Numbers of subnets: how many blocks are gone, in how many places, how much of the others' attention and
    feed-forward layers is, and each of these weighed with what the block costs alone."""
    whole = Whole.of(subnets, workshop.weights)
    costs = block_costs(whole, workshop)
    (units, groups), _ = block_sizes(whole.architecture.config)
    kept = np.zeros((len(subnets), 2, len(costs)))
    for row, subnet in zip(kept, subnets, strict=True):
        for block, sizes in enumerate(cut_of(subnet.config, len(costs))):
            if sizes is not None:
                row[:, block] = sizes[0] / units, sizes[1] / groups
    gone = (kept == 0).all(1)
    narrower, fewer = ((1 - part) * ~gone for part in (kept[:, 0], kept[:, 1]))
    logs = np.log(np.maximum(costs, LEAST))
    columns = {
        "blocks gone": gone.sum(1),
        "gaps": (np.diff(gone, axis=1) & gone[:, 1:]).sum(1) + gone[:, 0],
        "ffn gone": narrower.sum(1),
        "attention gone": fewer.sum(1),
        "cost of blocks gone": gone @ costs,
        "log cost of blocks gone": gone @ logs,
        "cost of ffn gone": narrower @ costs,
        "cost of attention gone": fewer @ costs,
        "largest cost": (gone * costs).max(1),
    }
    return NumberTable(tuple(columns), np.stack([np.asarray(values, float) for values in columns.values()], axis=1))
