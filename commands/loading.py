"""Benchmarks and splits as commands name them: loaded, matched with a hall of fame, refused where too small."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from commands.options import LEAST
from commands.output import say

if TYPE_CHECKING:
    from fitness.evaluation import Split
    from fitness.seen import Seen
    from models.benchmarks.benchmark import Benchmark


def load_named(name: str, metric: str | None = None) -> Benchmark:
    """A benchmark by name or path."""
    from models.benchmarks.origins import load_benchmark

    return load_benchmark(name, metric)


def load_recorded(place: str, metric: str | None) -> Benchmark:
    """The benchmark where a file says that it lies; the error says what to give if it has moved."""
    from models.benchmarks.benchmark import BadBenchmark

    try:
        return load_named(place, metric)
    except BadBenchmark as error:
        raise BadBenchmark(f"{error}; if it lies elsewhere now, say where with --benchmark") from None


def load_different(names: Sequence[str], metric: str | None) -> list[Benchmark]:
    """Several benchmarks, each once and with its own metric."""
    if metric is not None:
        raise click.UsageError(f"--metric: got {metric} with {len(names)} benchmarks; leave it out")
    found = [load_named(name) for name in names]
    digests = [benchmark.digest for benchmark in found]
    if twice := [name for name, digest in zip(names, digests, strict=True) if digests.count(digest) > 1]:
        raise click.UsageError(f"--benchmark: got {twice[0]} twice, wanted different ones")
    return found


def load_for(seen: Seen, name: str | None, metric: str | None) -> Benchmark:
    """The first benchmark that a hall or a predictor has seen, or the named one; of one that it has seen, the run's
    metric is the default."""
    place = seen.cases[0].place if name is None else name
    benchmark = load_recorded(place, metric) if name is None else load_named(place, metric)
    case = seen.case_of(benchmark)
    if case is None or benchmark.metric == case.metric:
        return benchmark
    if metric is not None:
        say(f"--metric: {metric} here, {case.metric} in the run, so this is another target")
        return benchmark
    say(f"metric as in the run: {case.metric}")
    return load_named(place, case.metric)


def say_transfer(who: str, seen: Seen, benchmark: Benchmark) -> None:
    """A line where formulas meet a benchmark that their search did not, and how many of its architectures it met in
    another one."""
    if seen.case_of(benchmark) is None:
        met = len(seen.places(benchmark))
        but = f"; {met} of its architectures were seen elsewhere and are not held-out" if met else ""
        say(f"{who} on {', '.join(f'{case.name} ({case.space})' for case in seen.cases)}; here {benchmark.name}{but}")


def split_ids(benchmark: Benchmark, split: Split | None) -> dict[str, list[str]] | None:
    """The ids of a split, for machines."""
    if split is None:
        return None
    parts = {"search": split.search, "holdout": split.holdout}
    return {name: [benchmark.architectures[place].id for place in part] for name, part in parts.items()}


def draw_split(benchmark: Benchmark, search_size: int, seed: int) -> Split:
    """A search split that leaves LEAST architectures held out."""
    from fitness.evaluation import split_groups
    from fitness.protocol import check_rankable

    check_search_size(benchmark, search_size)
    split = split_groups(benchmark.groups, search_size, seed)
    check_rankable(benchmark, split, LEAST)
    return split


def check_search_size(benchmark: Benchmark, search_size: int) -> None:
    """Refuse a benchmark that is too small for a search, and a search split that leaves too few architectures."""
    check_enough(benchmark)
    if search_size > len(benchmark) - LEAST:
        most = len(benchmark) - LEAST
        wanted = f"{LEAST} to {most}" if most > LEAST else f"{LEAST}"
        raise click.UsageError(
            f"--search-size: got {search_size}, wanted {wanted}, so that {LEAST} of {len(benchmark)} architectures are "
            "held out"
        )


def check_enough(benchmark: Benchmark) -> None:
    """Refuse a benchmark that no --search-size splits."""
    if len(benchmark) < 2 * LEAST:
        raise click.UsageError(
            f"{benchmark.name}: got {len(benchmark)} architectures, wanted at least {2 * LEAST} in all, {LEAST} that a "
            f"search sees and {LEAST} that are held out; measure {2 * LEAST - len(benchmark)} more"
        )
