"""CutScores: one formula on very many subnets of a whole network, a million in a minute. Each block that can be kept is
valued once; a subnet is then a sum of numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fitness.features.cuts import Part, Parts, parts_of
from fitness.tables.branches import joined
from fitness.tables.cuts import CutTable
from primitives.budget import USUAL_T
from primitives.operators import AGGREGATION, BINARY, constant_of, fixed, turns
from primitives.proxy import Branch, Proxy
from primitives.scoring import resolved

__all__ = ["CutScores", "codes_of"]

CHUNK = 1 << 15  # subnets that are summed at a time
Pair = tuple[Part, Part]


class CutScores:
    """`blocks` are the different blocks that subnets may keep: pairs of an attention part and a feed-forward part."""

    def __init__(self, parts: Parts, blocks: Sequence[Pair]) -> None:
        self.blocks = list(blocks)
        alone = [
            {"n_layer": 1, "keep": (attention[0],), "n_kv_head": (attention[2],), "d_ffn": (feeding[2],)}
            for attention, feeding in self.blocks
        ]
        self.table = CutTable(parts, alone)

    def scores(self, proxy: Proxy, codes: np.ndarray) -> np.ndarray:
        """(N,) float64: the formula on subnets, given by the numbers (N, L) of their blocks in `blocks`, -1 where a
        block is dropped. They are the scores of `CutTable`, up to the rounding of sums."""
        found = [self._values(proxy.pruned(), codes[at : at + CHUNK]) for at in range(0, len(codes), CHUNK)]
        return resolved(np.concatenate(found)) if found else np.array([])

    def _values(self, proxy: Proxy, codes: np.ndarray) -> np.ndarray:
        kept = codes >= 0
        places = (np.cumsum(kept, axis=1) - 1, kept.sum(axis=1))
        with np.errstate(all="ignore"):
            terms = list(self._terms(proxy, codes, places))
            worth = terms[0]
            for binary, term in zip(_joins(proxy), terms[1:], strict=True):
                worth = joined(BINARY[binary], worth, term)
        return worth

    def _terms(self, proxy: Proxy, codes: np.ndarray, places: tuple[np.ndarray, np.ndarray]) -> Iterator[np.ndarray]:
        """The numbers of subnets that the formula joins."""
        pair = proxy.pair
        if pair.joins_blocks:
            values = self.table._joined_by_block(pair, *pair.branches)
            yield _summed(values, pair.aggregate, codes, places)
        else:
            branches = [(pair.aggregate, pair.left)]
            if pair.right is not None:
                branches.append((pair.right_aggregate or pair.aggregate, pair.right))
            for aggregate, branch in branches:
                yield _summed(self._blocks(aggregate, branch), aggregate, codes, places)
        for e in proxy.extensions:
            yield _summed(self._blocks(e.aggregate, e.branch), e.aggregate, codes, places)

    def _blocks(self, aggregate: str, branch: Branch) -> np.ndarray:
        """(P,): what each block adds before weights by depth: a branch, with its constant and its training budget."""
        constant, plain = constant_of(aggregate)
        own = "sum" if AGGREGATION[fixed(plain)].sums_tensors else "mean"
        return constant * (USUAL_T if turns(plain) else 1.0) * self.table.row(own, branch)


def _joins(proxy: Proxy) -> list[str]:
    """The operators between the terms of a formula."""
    pair = proxy.pair
    inner = [] if pair.joins_blocks or pair.right is None else [str(pair.binary)]
    return inner + [extension.binary for extension in proxy.extensions]


def _summed(values: np.ndarray, aggregate: str, codes: np.ndarray, places: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Values (P,) of blocks alone to values (n,) of subnets, weighted by the place of a block among those kept."""
    place, depth = places
    aggregation = AGGREGATION[fixed(constant_of(aggregate)[1])]
    most = codes.shape[1]
    weights = np.array([np.pad(aggregation.weights(count), (0, most - count)) for count in range(1, most + 1)])
    found = weights[depth[:, None] - 1, np.maximum(place, 0)]
    return np.where(codes >= 0, found * values[codes], 0.0).sum(axis=1)


def codes_of(configs: Sequence[Mapping[str, Any]], blocks: Sequence[Pair], depth: int) -> np.ndarray:
    """The numbers (N, L) of the blocks that configurations keep of a network of `depth` blocks."""
    place = {pair: i for i, pair in enumerate(blocks)}
    codes = np.full((len(configs), depth), -1, dtype=np.int32)
    for row, config in zip(codes, configs, strict=True):
        for pair in parts_of(config):
            row[pair[0][0]] = place[pair]
    return codes
