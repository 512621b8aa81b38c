"""extract: fill the feature bank ahead of time."""

from __future__ import annotations

import time
from typing import Any

import click

from commands.live import live
from commands.options import ON_INVALID, feature_options, load_named, open_workshop
from commands.output import say


@click.command()
@click.option("--benchmark", "name", required=True, help="Name or path.")
@ON_INVALID
@feature_options
def extract(name: str, on_invalid: str, **features: Any) -> None:
    """Fill the feature bank ahead of time."""
    from fitness.features.soundness import screen

    benchmark = load_named(name)
    workshop = open_workshop(benchmark.space, **features)
    start = time.monotonic()
    with live(0) as reporter:
        visited = workshop.extract(benchmark.architectures, reporter.networks)
        screened = screen(benchmark, workshop, None, on_invalid)
    if screened.report:
        say(screened.report)
    print(f"{visited} networks extracted, {len(benchmark)} architectures in the bank, {time.monotonic() - start:.1f} s")
