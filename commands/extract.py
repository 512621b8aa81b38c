"""extract: fill the feature bank ahead of time."""

from __future__ import annotations

import time

import click

from commands.feature_options import FeatureOptions
from commands.live import live
from commands.loading import load_named
from commands.options import BENCHMARK, ON_INVALID, examples
from commands.output import say
from commands.weights import source_options


@click.command(epilog=examples("extract --benchmark gpt2-mini --devices cpu,cpu"))
@BENCHMARK
@ON_INVALID
@source_options
def extract(name: str, on_invalid: str, features: FeatureOptions) -> None:
    """Fill the feature bank ahead of time."""
    from fitness.features.soundness import screen

    benchmark = load_named(name)
    workshop = features.open_for(benchmark)
    start = time.monotonic()
    with live(0) as reporter:
        visited = workshop.extract(benchmark.architectures, reporter.networks)
        screened = screen(benchmark, workshop, None, on_invalid)
    if screened.report:
        say(screened.report)
    print(f"{visited} networks extracted, {len(benchmark)} architectures in the bank, {time.monotonic() - start:.1f} s")
