"""show: print the formulas of a hall of fame."""

from __future__ import annotations

import json
from pathlib import Path

import click

from commands.options import Name, examples
from commands.output import page_width
from commands.tables import hanging, literal


@click.command(epilog=examples("show proxies/gpt2-mini.json", "show proxies/gpt2-mini.json --format latex"))
@click.argument("hall", type=click.Path(path_type=Path))
@click.option(
    "--format", "form", type=Name("text", "latex", "python", "json"), default="text", show_default=True,
    help="Formulas with figures, for a paper, as code to read, or the whole file.",
)  # fmt: skip
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
            rho, tau = (_figure((record.holdout or {}).get(name)) for name in ("spearman", "kendall"))
            print(f"{place:3}  held-out rho {rho}  tau {tau}")
            print("\n".join(hanging(literal(record.proxy.text), f"     {record.sign:+d}  ", page_width())))
        else:
            print(render(record.proxy))


def _figure(value: object) -> str:
    return f"{value:6.3f}" if isinstance(value, int | float) else "     -"
