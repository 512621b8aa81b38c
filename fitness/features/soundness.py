"""Soundness: an architecture whose network overflows has no score. It is named and counted, and then it either ends
the command or is left out of everything, as the user asked; it never becomes a score.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from fitness.evaluation import Split
from fitness.features.bank import FeatureBank
from fitness.features.figures import formula_scores
from fitness.features.whole import PRICES
from fitness.features.workshop import Progress, Workshop
from models.architecture import Architecture
from models.benchmarks.benchmark import Benchmark
from models.spaces.stored_tensors import BadWeights
from primitives.invalid import Invalid
from storage.errors import CannotCompute

__all__ = ["Screened", "Unsound", "check_checkpoint", "overflowing", "screen"]

FEWEST = 10  # architectures that a ranking needs
SHOWN = 5  # ids that a message names


class Unsound(CannotCompute, ValueError):
    """Networks that produce NaN or infinities where all must be sound; the message names them."""


@dataclass(frozen=True)
class Screened:
    """Remainder of the `whole` benchmark and of its split after screening."""

    whole: Benchmark
    benchmark: Benchmark
    split: Split | None

    @property
    def dropped(self) -> tuple[str, ...]:
        """The ids that are left out, in the order of the benchmark."""
        left = {a.id for a in self.benchmark.architectures}
        return tuple(a.id for a in self.whole.architectures if a.id not in left)

    @property
    def report(self) -> str:
        """A sentence on what was dropped; empty if nothing was."""
        return f"dropped {_counted(self.dropped, len(self.whole))}" if self.dropped else ""


def overflowing(
    architectures: Sequence[Architecture], workshop: Workshop, progress: Progress | None = None
) -> tuple[str, ...]:
    """Ids of the architectures whose network produces NaN or infinities, as an exact score or a sketch in the bank
    tells; sketches are made of those of which there is neither."""
    bank = workshop.bank
    if workshop.price != PRICES[0]:
        workshop.extract(architectures, progress)  # refuses a whole network that overflows
        return ()
    finite = {a.digest: _known(bank, a) for a in architectures}
    lacking = [a for a in architectures if finite[a.digest] is None]
    workshop.extract(lacking, progress)
    finite |= {a.digest: bank.sketch(a).finite for a in lacking}
    return tuple(a.id for a in architectures if not finite[a.digest])


def _known(bank: FeatureBank, architecture: Architecture) -> bool | None:
    """True if the network ran without overflow, None if the bank does not tell."""
    for figure in formula_scores(()).load(bank, architecture).values():
        return figure.reason != Invalid.OVERFLOW.value
    entry = bank.load_sketch(architecture)
    return None if entry is None else entry.finite


def screen(
    benchmark: Benchmark,
    workshop: Workshop,
    split: Split | None,
    on_invalid: str,
    progress: Progress | None = None,
    part: Sequence[int] | None = None,
) -> Screened:
    """The benchmark without architectures that overflow (looking at those of `part` only, if given).

    Raises Unsound if there are some and `on_invalid` is "fail", or if too few are left; BadWeights if the benchmark was
    measured on a checkpoint and the workshop has other weights.
    """
    check_checkpoint(benchmark, workshop)
    chosen = benchmark.architectures if part is None else [benchmark.architectures[i] for i in part]
    bad = overflowing(chosen, workshop, progress)
    if not bad:
        return Screened(benchmark, benchmark, split)
    if on_invalid != "drop":
        raise Unsound(f"{benchmark.name}: {_counted(bad, len(chosen))}; correct them, or use --on-invalid drop")
    kept = [i for i, a in enumerate(benchmark.architectures) if a.id not in bad]
    left = _only(split, kept)
    if len(kept if left is None else left.search) < FEWEST:
        raise Unsound(f"{benchmark.name}: {_counted(bad, len(chosen))}; too few are left to rank anything")
    smaller = replace(
        benchmark,
        architectures=tuple(benchmark.architectures[i] for i in kept),
        ground_truth=benchmark.ground_truth[kept],
    )
    return Screened(benchmark, smaller, left)


def check_checkpoint(benchmark: Benchmark, workshop: Workshop) -> None:
    """BadWeights if a benchmark was measured on a checkpoint and the workshop has other weights."""
    wanted, got = benchmark.header.get("checkpoint"), workshop.bank.key.weights
    if isinstance(wanted, str) and re.fullmatch("[0-9a-f]{64}", wanted) and got != wanted:
        has = f"another checkpoint ({got[:16]})" if got else "weights drawn at random"
        raise BadWeights(
            f"{benchmark.name}: was measured on subnets of the checkpoint {wanted[:16]}, got {has}; give the "
            "checkpoint's folder with --weights"
        )


def _only(split: Split | None, kept: Sequence[int]) -> Split | None:
    """The split in the numbers of the architectures that are kept."""
    if split is None:
        return None
    place = {old: new for new, old in enumerate(kept)}
    parts = [tuple(place[i] for i in part if i in place) for part in (split.search, split.holdout)]
    return Split(*parts)


def _counted(ids: Collection[str], among: int) -> str:
    named = ", ".join(list(ids)[:SHOWN]) + (", ..." if len(ids) > SHOWN else "")
    return f"{len(ids)} of {among} networks produce NaN or infinities ({named})"
