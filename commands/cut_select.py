"""select --weights: a subnet of a checkpoint within a budget, chosen by a formula and a few looks."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.feature_options import FeatureOptions
from commands.output import emit, say
from commands.source import Source
from commands.tables import Row

if TYPE_CHECKING:
    import torch

    from gp.cut_selection import CutChoice, CutLooks
    from models.architecture import Architecture
    from models.spaces.checkpoint import Checkpoint

__all__ = ["CutOrder", "select_cut"]

MEASURED = (32, 128)  # windows, and tokens of each, of the text that nothing was chosen by


@dataclass(frozen=True)
class CutOrder:
    """A request for a subnet: maximum parameters, candidates, looks, order of units, export folder, and
    whether the choice and its rivals are measured."""

    bounds: Mapping[str, float]
    networks: int
    look: int
    seed: int
    order: str
    export: Path | None
    measure: bool
    top: int | None
    form: str


def select_cut(source: Source, features: FeatureOptions, asked: CutOrder) -> None:
    """Choose a subnet, say what it is, and do with it what is asked for."""
    from gp.cut_selection import CutDraws, CutLooks, choose_cut
    from models.spaces.llama.checkpoint import whole_architecture
    from models.spaces.llama.subnets import Whole, calibration_tokens

    if set(asked.bounds) != {"params"}:
        raise click.UsageError("--budget: wanted params=N alone for subnets of a checkpoint")
    if source.predictor is not None or source.size is not None:
        raise click.UsageError("--weights: wanted one formula that chooses, a --hall without --committee")
    workshop = replace(features, price="whole").open("llama")
    checkpoint = workshop.weights
    if checkpoint is None:
        raise click.UsageError("--weights: wanted the folder of a checkpoint")
    whole = whole_architecture(checkpoint)
    workshop.check(whole)
    tokens, looks = calibration_tokens(checkpoint), CutLooks(Whole(whole, asked.order, checkpoint))
    start = time.perf_counter()
    costs = looks.block_costs(tokens[:1])
    say(f"losses without one block each: {time.perf_counter() - start:.1f} s")
    draws = CutDraws.create(whole, int(asked.bounds["params"]), asked.seed, asked.order, costs)
    candidates = draws.candidates(asked.networks)
    choice = choose_cut(source.formulas[0], draws, candidates, workshop, tokens, asked.look, looks, say)
    _show(choice, source, asked)
    if asked.measure:
        _measure(choice, candidates, looks, checkpoint, tokens, asked)
    if asked.export is not None:
        _export(choice.chosen, checkpoint, asked.export)


def _show(choice: CutChoice, source: Source, asked: CutOrder) -> None:
    from models.spaces import SPACES

    for stage, seconds in choice.seconds.items():
        say(f"{stage}: {seconds:.1f} s")
    rows: list[Row] = []
    for place, (architecture, loss) in enumerate(choice.looked[: asked.top], start=1):
        size, depth = SPACES["llama"].parameters(architecture).total, architecture.config["n_layer"]
        rows.append({"place": place, "id": architecture.id, "calibration loss": loss, "params": size, "depth": depth})
    if asked.form == "json":
        header = {"scorer": source.name, "scored": choice.candidates, "seed": asked.seed, "budget": dict(asked.bounds)}
        described = [{"space": "llama", "config": dict(architecture.config)} for architecture, _ in choice.looked]
        plain = [{**row, **more} for row, more in zip(rows, described, strict=False)]
        print(json.dumps({**header, "rows": plain}, indent=2, sort_keys=True, allow_nan=False))
        return
    title = f"{choice.candidates:,} subnets, the finalists of {asked.look} looked at; chosen by calibration loss"
    emit(rows, asked.form, title)


def _measure(
    choice: CutChoice,
    candidates: Sequence[Architecture],
    looks: CutLooks,
    checkpoint: Checkpoint,
    tokens: torch.Tensor,
    asked: CutOrder,
) -> None:
    """The losses of the choice, of the whole network and of what rivals choose at the price of as many looks."""
    from gp.cut_rivals import greedy_removal, rival_choices
    from models.spaces import SPACES
    from models.spaces.llama.checkpoint import whole_architecture

    named: dict[str, Any] = {"chosen": choice.chosen, "whole network": whole_architecture(checkpoint)}
    start = time.perf_counter()
    named |= rival_choices(candidates, looks, tokens, asked.look, asked.seed)
    say(f"rivals among the candidates: {time.perf_counter() - start:.1f} s")
    start = time.perf_counter()
    greedy = greedy_removal(looks, int(asked.bounds["params"]), asked.order, tokens, asked.look)
    named[f"greedy removal of blocks, tokens of {asked.look} looks"] = greedy
    say(f"greedy removal: {time.perf_counter() - start:.1f} s")
    losses = looks.losses(list(named.values()), _unseen(checkpoint))
    for (name, architecture), loss in zip(named.items(), losses, strict=True):
        size, depth = SPACES["llama"].parameters(architecture).total, architecture.config["n_layer"]
        what = f"{size:,} parameters, {depth} blocks"
        say(f"{name}: {loss:.4f} nats per token on text that nothing was chosen by ({what})")


def _unseen(checkpoint: Checkpoint) -> torch.Tensor:
    import torch

    from models.prose import load_prose
    from models.spaces.checkpoint import BadWeights
    from models.tokenizer import TextTokenizer
    from models.tokens import spread

    if (tokenizer := TextTokenizer.of(checkpoint.folder)) is None:
        raise BadWeights("--measure: wanted a checkpoint with its tokenizer.json")
    return torch.tensor(spread(tokenizer.encode(load_prose().measured), *MEASURED, "measured text"))


def _export(chosen: Architecture, checkpoint: Checkpoint, folder: Path) -> None:
    from models.checkpoints.export import export_subnet

    for note in export_subnet(chosen, checkpoint, folder):
        say(note)
    say(f"written: {folder}")
