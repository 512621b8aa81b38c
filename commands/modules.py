"""Networks of the user's own, given by a Python file, ranked by a formula with the weights that they have."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.feature_options import FeatureOptions
from commands.output import emit, say, was_given
from commands.ranking import NoneRanked
from commands.source import Source
from commands.tables import Row, Score
from storage.errors import ZcpError
from storage.plugins import load_plugins, plugin_module

if TYPE_CHECKING:
    from torch import nn

    from models.budget import Tokens

__all__ = ["rank_networks"]

READ = {
    "modules", "hall", "size", "text", "fitted", "tokens", "top", "form", "batch", "seq_len", "config_file", "plugin",
    "quiet", "verbose",
}  # fmt: skip
"""The options of `rank` that a ranking of such networks reads."""


@dataclass(frozen=True)
class _Scored:
    """A network by name: its parameters, and its score or the reason why it has none."""

    name: str
    params: int | None = None
    score: float | None = None
    reason: str | None = None


def rank_networks(
    path: Path, source: Source, features: FeatureOptions, form: str, top: int | None, budget: Tokens | None
) -> None:
    """Print the networks of a file, the highest score first, and last those without one, with the reason; they are to
    be trained on `budget`, by default 20 tokens for each parameter of the blocks. The file has NETWORKS, modules or
    functions that make them by name, and perhaps NAMES and LOGITS (`models/spaces/plain_network.py`). NoneRanked if
    none has a score."""
    from fitness.plain import USUAL_TOKENS, score_module
    from models.spaces.plain_network import NANOGPT, plain_logits
    from models.tokens import TokenBatch

    _check(source)
    load_plugins([path])
    found = plugin_module(path)
    networks = _networks(getattr(found, "NETWORKS", None), path)
    names, logits = getattr(found, "NAMES", NANOGPT), getattr(found, "LOGITS", plain_logits)
    tokens, formula = TokenBatch.from_passage(features.batch, features.seq_len).tokens, source.formulas[0]
    source.introduce()

    def score(model: nn.Module) -> float:
        return formula.sign * score_module(model, tokens, formula.proxy.text, names, logits, budget or USUAL_TOKENS)

    rows = sorted((_scored(name, network, score) for name, network in networks.items()), key=_order)
    if formula.proxy.reads_budget:
        say(f"training budget: {budget or USUAL_TOKENS}")
    if not source.counts_alone:
        say("scores depend on how weights were drawn: draw those of all networks in one way")
    _show(rows[:top], source, form)
    if rows[0].score is None:
        raise NoneRanked(f"none of {len(rows)} networks could be ranked; {rows[0].name}: {rows[0].reason}")


def _scored(name: str, network: Callable[[], nn.Module] | nn.Module, score: Callable[[nn.Module], float]) -> _Scored:
    """A network that is made and scored; whatever the user's code raises is the reason why it has no score."""
    from torch import nn

    params = None
    try:
        model = network if isinstance(network, nn.Module) else network()
        if not isinstance(model, nn.Module):
            return _Scored(name, reason=f"got {type(model).__name__}, wanted a torch.nn.Module")
        params = sum(parameter.numel() for parameter in model.parameters())
        return _Scored(name, params, score(model))
    except ZcpError as error:
        return _Scored(name, params, reason=" ".join(str(error).split()))
    except Exception as error:  # noqa: BLE001  code of the user may raise anything
        return _Scored(name, params, reason=" ".join(f"{type(error).__name__}: {error}".split()))


def _order(row: _Scored) -> tuple[bool, float]:
    return row.score is None, -(row.score or 0.0)


def _check(source: Source) -> None:
    """Refuse options that nothing reads here, and scorers that are no formula."""
    context = click.get_current_context()
    for parameter in context.command.params:
        if parameter.name not in READ and was_given(str(parameter.name)):
            raise click.UsageError(f"--modules: got {parameter.opts[0]} as well, which it does not read; leave it out")
    if source.predictor is not None or source.size is not None:
        raise click.UsageError("--modules: wanted a formula to rank by, --hall or --proxy, no committee or predictor")


def _networks(found: Any, path: Path) -> Mapping[str, Callable[[], nn.Module] | nn.Module]:
    if not isinstance(found, dict) or not found or not all(map(callable, found.values())):
        raise click.UsageError(f"{path}: wanted NETWORKS = {{'name': a module or a function that makes one, ...}}")
    return {str(name): network for name, network in found.items()}


def _show(rows: list[_Scored], source: Source, form: str) -> None:
    scored = sum(row.score is not None for row in rows)
    cells: list[Row] = [
        {
            "place": None if row.score is None else place,
            "id": row.name,
            "score": None if row.score is None else Score(row.score),
            "params": row.params,
            **({"reason": row.reason} if scored < len(rows) else {}),
        }
        for place, row in enumerate(rows, 1)
    ]
    if form == "json":
        print(json.dumps({"scorer": source.name, "direction": source.direction, "rows": cells}, indent=2))
    elif form == "jsonl":
        print(*(json.dumps(cell) for cell in cells), sep="\n")
    else:
        emit(cells, form, f"{len(rows)} networks; {source.direction}; score: {source.name}")
