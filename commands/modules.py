"""Networks of the user's own, given by a Python file, ranked by a formula with the weights that they have."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.feature_options import FeatureOptions
from commands.output import emit, say, was_given
from commands.source import Source
from commands.tables import Row, Score
from storage.plugins import load_plugins, plugin_module

if TYPE_CHECKING:
    from torch import nn

__all__ = ["rank_networks"]

READ = (
    "modules",
    "hall",
    "size",
    "text",
    "fitted",
    "top",
    "form",
    "batch",
    "seq_len",
    "config_file",
    "plugin",
    "quiet",
    "verbose",
)
"""The options of `rank` that a ranking of such networks reads."""


def rank_networks(path: Path, source: Source, features: FeatureOptions, form: str, top: int | None) -> None:
    """Print the networks of a file, the highest score first. The file has NETWORKS, modules or functions that make
    them by name, and perhaps NAMES and LOGITS (`models/spaces/plain_network.py`)."""
    from torch import nn

    from fitness.plain import score_module
    from models.spaces.plain_network import NANOGPT, plain_logits
    from models.tokens import TokenBatch

    _check(source)
    load_plugins([path])
    found = plugin_module(path)
    networks = _networks(getattr(found, "NETWORKS", None), path)
    names, logits = getattr(found, "NAMES", NANOGPT), getattr(found, "LOGITS", plain_logits)
    tokens, formula = TokenBatch.from_passage(features.batch, features.seq_len).tokens, source.formulas[0]
    source.introduce()
    rows: list[tuple[float, str, int]] = []
    for name, network in networks.items():
        model = network if isinstance(network, nn.Module) else network()
        score = formula.sign * score_module(model, tokens, formula.proxy.text, names, logits)
        rows.append((score, name, sum(parameter.numel() for parameter in model.parameters())))
    rows.sort(key=lambda row: -row[0])
    say("scores depend on how weights were drawn: draw those of all networks in one way")
    _show(rows[:top], source, form)


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


def _show(rows: list[tuple[float, str, int]], source: Source, form: str) -> None:
    cells: list[Row] = [
        {"place": n, "id": id, "score": Score(score), "params": params} for n, (score, id, params) in enumerate(rows, 1)
    ]
    if form == "json":
        print(json.dumps({"scorer": source.name, "direction": source.direction, "rows": cells}, indent=2))
    elif form == "jsonl":
        print(*(json.dumps(row) for row in cells), sep="\n")
    else:
        emit(cells, form, f"{len(rows)} networks; {source.direction}; score: {source.name}")
