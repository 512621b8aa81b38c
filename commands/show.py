"""show: print the formulas of a hall of fame."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands.names import Name
from commands.options import examples
from commands.output import page_width
from commands.tables import hanging, literal

if TYPE_CHECKING:
    from gp.hall_file import HallDocument


@click.command(epilog=examples("show proxies/gpt2-mini.json", "show proxies/gpt2-mini.json --format torch"))
@click.argument("hall", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=Name("text", "latex", "python", "torch", "sympy", "json"),
    default="text",
    show_default=True,
    help="Formulas with figures, for a paper, as code to read, one as a module that runs alone, or the whole file.",
)
@click.option(
    "--place", type=click.IntRange(1), default=1, show_default=True, help="Place of the formula that a module computes."
)
@click.option("--lineage", is_flag=True, help="Where the champion comes from, back to the first population.")
def show(hall: Path, form: str, place: int, lineage: bool) -> None:
    """Print the formulas of a hall of fame."""
    from gp.hall_file import load_hall
    from primitives.rendering import as_latex, as_python

    document = load_hall(hall)
    if form == "json":
        print(json.dumps(document.to_dict(), indent=2, sort_keys=True, allow_nan=False))
        return
    if lineage:
        _show_lineage(document)
        return
    if form in ("torch", "sympy"):
        print(_module(document, form, place), end="")
        return
    render = as_latex if form == "latex" else as_python
    for number, record in enumerate(document.proxies, start=1):
        if form == "text":
            rho, tau = (_figure((record.holdout or {}).get(name)) for name in ("spearman", "kendall"))
            print(f"{number:3}  held-out rho {rho}  tau {tau}  reads {record.proxy.reads}")
            print("\n".join(hanging(literal(record.proxy.text), f"     {record.sign:+d}  ", page_width())))
        else:
            print(render(record.proxy))


def _module(document: HallDocument, form: str, place: int) -> str:
    """One formula as a module that needs torch or SymPy alone."""
    from report.portable.emission import as_sympy_module, as_torch_module

    if place > len(document.proxies):
        raise click.UsageError(f"--place: got {place}, wanted at most {len(document.proxies)}, the number of formulas")
    formula = document.proxies[place - 1].formula
    return (as_torch_module if form == "torch" else as_sympy_module)(formula.proxy, formula.sign)


def _show_lineage(document: HallDocument) -> None:
    """A numbered line per ancestor, parents before children, the champion last."""
    from gp.lineage import ancestry

    text = document.proxies[0].proxy.without_constants().text
    found = ancestry(document.lineage, [text])
    if not found:
        print(f"no lineage: the file does not say how {literal(text)} was made")
    places = {ancestor: place for place, ancestor in enumerate(found, start=1)}
    for ancestor, birth in found.items():
        made = " and ".join(str(places[p]) for p in birth.parents if p in places)
        lead = f"{places[ancestor]:4}  {literal(birth.operator)}{' of ' + made if made else ''}: "
        print("\n".join(hanging(literal(ancestor), lead, page_width())))


def _figure(value: object) -> str:
    return f"{value:6.3f}" if isinstance(value, int | float) else "     -"
