"""extract: fill the feature bank ahead of time."""

from __future__ import annotations

import time
from typing import Any

import click

from commands.live import live
from commands.options import feature_options, load_named, open_workshop


@click.command()
@click.option("--benchmark", "name", required=True, help="Name or path.")
@feature_options
def extract(name: str, **features: Any) -> None:
    """Fill the feature bank ahead of time."""
    benchmark = load_named(name)
    workshop = open_workshop(benchmark.space, **features)
    start = time.monotonic()
    with live(0) as reporter:
        visited = workshop.extract(benchmark.architectures, reporter.networks)
    print(f"{visited} networks extracted, {len(benchmark)} architectures in the bank, {time.monotonic() - start:.1f} s")
