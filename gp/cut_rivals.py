"""Choices of other methods among the subnets of a checkpoint: by the sum of block influences, by chance, and by the
removal of one block after another."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from fitness.features.cuts import parts_of
from gp.cut_selection import SPACE, CutLooks, finalists
from models.architecture import Architecture
from models.spaces.llama.subnets import Whole
from models.training.cuts.measuring import Cut
from models.training.cuts.sample import CutSample, block_sizes, cut_config

__all__ = ["block_influence", "greedy_removal", "rival_choices"]


def rival_choices(
    candidates: Sequence[Architecture], looks: CutLooks, tokens: torch.Tensor, look: int, seed: int
) -> dict[str, Architecture]:
    """Choices among candidates with `look` looks: by the sum of block influences, and by chance."""
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
        found[f"{name}, {len(few)} looks"] = finalists(looks, few, tokens)[0][0]
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


def greedy_removal(looks: CutLooks, budget: int, order: str, tokens: torch.Tensor, look: int) -> Architecture:
    """The whole network without blocks, with at most `budget` parameters. Again and again the block is removed whose
    removal leaves the lowest loss (Song et al. 2024, SLEB, arXiv 2402.09025); where a narrower feed-forward layer is
    enough at the end, one is narrowed instead. Losses are compared on the first of tokens (B, T): as many sequences,
    at least one, as make all comparisons cost what `look` looks at (B, T) cost."""
    config, depth = looks.whole.architecture.config, looks.depth
    whole, (unit, group) = block_sizes(config)
    block, surplus = whole[0] * unit + whole[1] * group, SPACE.parameters(looks.whole.architecture).total - budget
    wanted = sum(depth - turn for turn in range(-(-surplus // block)))
    few = tokens[: max(1, look * len(tokens) // wanted)]
    cut: Cut = (whole,) * depth
    while surplus > 0:
        narrower = _narrowed(whole[0], -(-surplus // unit))
        smaller = (narrower, whole[1]) if narrower else None
        options = [(*cut[:i], smaller, *cut[i + 1 :]) for i in range(depth) if cut[i] is not None]
        found = [SPACE.architecture("greedy", cut_config(config, option, order)) for option in options]
        cut = options[int(np.argmin(looks.losses(found, few)))]
        surplus -= (whole[0] - narrower) * unit if narrower else block
    return SPACE.architecture("greedy", cut_config(config, cut, order))


def _narrowed(width: int, surplus: int) -> int:
    """The largest width in steps of those of the candidates without `surplus` units; 0 if that is less than half."""
    steps = CutSample.steps
    kept = next((k for k in range(steps - 1, steps // 2 - 1, -1) if width - width * k // steps >= surplus), 0)
    return width * kept // steps
