"""show: print the formulas of a hall of fame."""

from __future__ import annotations

import json
from pathlib import Path

import click

from commands.options import Name


@click.command()
@click.argument("hall", type=click.Path(path_type=Path))
@click.option("--format", "form", type=Name("text", "latex", "python", "json"), default="text", show_default=True)
def show(hall: Path, form: str) -> None:
    """Print the formulas of a hall of fame."""
    from gp.hall_file import load_hall
    from primitives.rendering import as_latex, as_python

    document = load_hall(hall)
    if form == "json":
        print(json.dumps(document.to_dict(), indent=2, sort_keys=True, allow_nan=False))
        return
    render = as_latex if form == "latex" else as_python
    for place, record in enumerate(document.proxies, start=1):
        if form == "text":
            part = record.holdout or {}
            figures = f"held-out rho {part.get('spearman')}  tau {part.get('kendall')}"
            print(f"{place:3}  {record.sign:+d}  {figures}  {record.proxy}")
        else:
            print(render(record.proxy))
