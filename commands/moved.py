"""Benchmarks that lie elsewhere than a file says: known by their content, read where `--benchmark` says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click

from commands.loading import load_named

__all__ = ["MOVED", "places_now"]

MOVED = click.option(
    "--benchmark",
    "places",
    metavar="NAME|PATH",
    multiple=True,
    help="Where a benchmark of the hall lies now, if it has moved; repeatable.",
)


def places_now(names: Sequence[str], wanted: Mapping[str, str]) -> dict[str, str]:
    """The name or path of each benchmark by its digest; `wanted` are the names of those that a file speaks of, by
    digest. A usage error for one of another content."""
    found: dict[str, str] = {}
    for name in names:
        digest = load_named(name).digest
        if digest not in wanted:
            known = " or ".join(dict.fromkeys(wanted.values())) or "any benchmark: a formula by its text has none"
            raise click.UsageError(
                f"--benchmark: got {name}, whose content (and name of the file) is not that of {known}"
            )
        found[digest] = name
    return found
