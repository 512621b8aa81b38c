"""Sample of the subnets of a checkpoint: the leaves of a tree. All subnets below a node keep the same of the
blocks before its border, so that these blocks are computed once for all of them."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.training.cuts.measuring import Cut, Kept, keys_of

__all__ = ["CutSample", "Subnet", "block_sizes", "cut_config", "subnets", "variations"]

TRIES = 1000  # until siblings differ
RESTORED = 3  # changed blocks, at most, that a variation makes whole again


@dataclass(frozen=True)
class CutSample:
    """The tree: at each of `borders`, blocks at which it branches, every node has so many `branches`. A root and all
    that is below it aim at one of `levels`, the share of all block weights that is kept. `cost` of dropping each block,
    in nats, measured one by one on calibration text: every second root prefers cheap blocks, and blocks that cost more
    than `dear` are never dropped."""

    cost: tuple[float, ...]
    levels: tuple[float, ...]
    borders: tuple[int, ...] = (0, 10, 18, 25)
    branches: tuple[int, ...] = (52, 2, 2, 3)
    steps: int = 8  # of the full feed-forward width; half of it is the narrowest
    dear: float = 1.5
    warmth: float = 0.1  # nats: how clear the preference for cheap blocks is
    seed: int = 0


@dataclass(frozen=True)
class Subnet:
    """A leaf: its root, the level that it aims at, and what it keeps."""

    root: int
    level: float
    cut: Cut


def block_sizes(config: Mapping[str, Any]) -> tuple[Kept, tuple[int, int]]:
    """Sizes of a whole block, (feed-forward width, key-value groups), and the weights of a unit and of a group."""
    heads, groups, ffn = config["n_head"][0], config["n_kv_head"][0], config["d_ffn"][0]
    width = config.get("head_dim", config["d_model"] // heads)
    return (ffn, groups), (3 * config["d_model"], 2 * config["d_model"] * width * (heads // groups + 1))


def subnets(sample: CutSample, config: Mapping[str, Any]) -> list[Subnet]:
    """All leaves, root by root; no two are alike."""
    found = dict[Any, Subnet]()
    for root in range(sample.branches[0]):
        level = sample.levels[root % len(sample.levels)]
        for cut in _below(_Cutter(sample, config, level, root), (), 0, str(root)):
            found.setdefault(keys_of(cut), Subnet(root, level, cut))
    return list(found.values())


def variations(sample: CutSample, config: Mapping[str, Any], cut: Cut, count: int, seed: str) -> list[Cut]:
    """Up to `count` different cuts near a cut, of the sample's first level; half of them prefer cheap blocks."""
    rng = random.Random(f"{sample.seed}:{seed}")
    cutters = [_Cutter(sample, config, sample.levels[0], root) for root in (0, 1)]
    found = {keys_of(new): new for new in (cutters[turn % 2].varied(cut, rng) for turn in range(count))}
    found.pop(keys_of(cut), None)
    return list(found.values())


def _below(cutter: _Cutter, begun: Cut, stage: int, path: str) -> Iterator[Cut]:
    """The leaves below a node; its children keep different things."""
    if stage == len(cutter.sample.borders):
        yield begun
        return
    children, rng = dict[Any, Cut](), random.Random(f"{cutter.sample.seed}:{path}")
    for _ in range(TRIES):
        if len(children) == (1 if stage == 0 else cutter.sample.branches[stage]):
            break
        child = cutter.continued(begun, stage, rng)
        children.setdefault(keys_of(child), child)
    for number, child in enumerate(children.values()):
        yield from _below(cutter, child, stage + 1, f"{path}.{number}")


class _Cutter:
    """Draws what a root's subnets keep, segment by segment, so that the sum meets their level."""

    def __init__(self, sample: CutSample, config: Mapping[str, Any], level: float, root: int) -> None:
        self.sample, self.depth, self.cheap = sample, config["n_layer"], root % 2 == 0
        self.whole, (self.unit, self.group) = block_sizes(config)
        self.full = self.whole[0] * self.unit + self.whole[1] * self.group
        self.wanted = (1 - level) * self.full * self.depth
        self.step = self.whole[0] // sample.steps

    def continued(self, begun: Cut, stage: int, rng: random.Random) -> Cut:
        """The cut with the blocks up to the next border; the last segment takes what is left to cut, give or take a
        step of a width."""
        ends = (*self.sample.borders, self.depth)
        blocks = list(range(ends[stage], ends[stage + 1]))
        left = self.wanted - sum(self.full - self._size(kept) for kept in begun)
        target = left * len(blocks) / (self.depth - ends[stage]) * rng.uniform(0.3, 1.7)
        if ends[stage + 1] == self.depth:
            target = left + rng.choice((-1, 0, 1)) * self.step * self.unit
        return begun + self._segment(blocks, min(target, 0.8 * self.full * len(blocks)), rng)

    def _segment(self, blocks: Sequence[int], target: float, rng: random.Random) -> Cut:
        kept: dict[int, Kept | None] = dict.fromkeys(blocks, self.whole)
        self._remove(kept, target, rng)
        return tuple(kept[block] for block in blocks)

    def _remove(self, kept: dict[int, Kept | None], target: float, rng: random.Random) -> None:
        """Drop and narrow blocks until `target` weights less are kept, give or take half a step of a width."""
        removed, blocks = 0.0, list(kept)
        for _ in range(TRIES):
            if target - removed < self.step * self.unit / 2:
                break
            block = rng.choices(blocks, [self._taste(block) for block in blocks])[0]
            if (smaller := self._smaller(block, kept[block], rng)) == kept[block]:
                continue
            freed = self._size(kept[block]) - self._size(smaller)
            if freed <= target - removed + self.step * self.unit / 2:
                kept[block], removed = smaller, removed + freed

    def varied(self, cut: Cut, rng: random.Random) -> Cut:
        """The cut with one to three of its changed blocks whole again, and other changes for them."""
        kept = dict(enumerate(cut))
        changed = [block for block, own in kept.items() if own != self.whole]
        kept |= dict.fromkeys(rng.sample(changed, min(rng.randint(1, RESTORED), len(changed))), self.whole)
        self._remove(kept, self.wanted - sum(self.full - self._size(own) for own in kept.values()), rng)
        return tuple(kept.values())

    def _taste(self, block: int) -> float:
        return math.exp(-self.sample.cost[block] / self.sample.warmth) + 1e-6 if self.cheap else 1.0

    def _smaller(self, block: int, kept: Kept | None, rng: random.Random) -> Kept | None:
        """One change of a block: it is dropped, narrowed by a step or two, or loses a key-value group."""
        if kept is None:
            return None
        kind, (ffn, groups) = rng.random(), kept
        if kind < 0.3 and self.sample.cost[block] <= self.sample.dear:
            return None
        if kind < 0.8:
            return max(ffn - rng.choice((1, 2)) * self.step, self.whole[0] // 2), groups
        return ffn, max(groups - 1, 1)

    def _size(self, kept: Kept | None) -> int:
        return 0 if kept is None else kept[0] * self.unit + kept[1] * self.group


def cut_config(config: Mapping[str, Any], cut: Cut, order: str) -> dict[str, Any]:
    """The configuration of a subnet in the space `llama`, of that of the whole network."""
    keep = [block for block, kept in enumerate(cut) if kept is not None]
    kept = [entry for entry in cut if entry is not None]
    heads, groups = config["n_head"][0], config["n_kv_head"][0]
    return {
        **config,
        "n_layer": len(keep),
        "keep": keep,
        "order": order,
        "d_ffn": [ffn for ffn, _ in kept],
        "n_kv_head": [shared for _, shared in kept],
        "n_head": [shared * (heads // groups) for _, shared in kept],
        "head_dim": config.get("head_dim", config["d_model"] // heads),
    }
