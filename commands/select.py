"""select: search architectures that nobody measured for the best score at every cost, under budgets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands.cut_select import CutOrder, select_cut
from commands.feature_options import FeatureOptions
from commands.live import live
from commands.moved import MOVED
from commands.names import Name, table_of
from commands.options import MEMORY_AT, Bound, examples, tightest
from commands.output import emit, say
from commands.ranking import Ranked, columns
from commands.region_options import RegionOptions, region_options
from commands.search_plan import Count, SearchPlan, check_export, known_architectures, planned, write_export
from commands.source import Source, Workshops
from commands.training_tokens import TOKENS, budget_notes, trained_for
from commands.weights import ranking_options

if TYPE_CHECKING:
    from fitness.costs import Costs, Latency
    from fitness.features.workshop import Workshop
    from gp.reporter import Reporter
    from gp.selection import Selection, SelectionConfig
    from models.architecture import Architecture
    from models.budget import Tokens


@click.command(
    epilog=examples(
        "select --space gpt2 --budget params=200K",
        "select --space gpt2 --hall proxies/gpt2-mini.json --budget params=400K --budget flops=50M --format json",
        "select --space llama --budget params=90M --range d_model=512..1024,d_ffn=1024..4096 --export model",
        "select --space llama --weights checkpoints/smollm2 --budget params=100M --networks 100000 --export cut",
    )
)
@click.option(
    "--space",
    type=Name(table=table_of("models.spaces", "DRAWABLE")),
    required=True,
    help="Family of architectures to search.",
)
@click.option(
    "--hall",
    type=click.Path(path_type=Path),
    help="Hall of fame whose first formula scores (default: proxies/universal.json).",
)
@click.option(
    "--committee",
    "size",
    type=click.IntRange(2),
    help="Score by the mean position under the first K formulas of --hall.",
)
@click.option(
    "--budget",
    "bounds",
    type=Bound(),
    multiple=True,
    required=True,
    metavar="COST=N",
    help="params=10M, flops=2G, memory=8G (to train) or latency=5ms; repeatable, the tightest holds. The first is the "
    "cost of the front.",
)
@MEMORY_AT
@region_options
@TOKENS
@click.option(
    "--networks",
    type=click.IntRange(2, 1_000_000),
    default=1000,
    show_default=True,
    help="Number of networks to score.",
)
@click.option(
    "--population",
    type=click.IntRange(2, 10_000),
    default=50,
    show_default=True,
    help="Number of architectures in a generation.",
)
@click.option(
    "--look",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="With --weights: subnets whose loss on calibration text is computed.",
)
@click.option(
    "--order",
    type=Name("first", "magnitude", "activation"),
    default="activation",
    show_default=True,
    help="With --weights: by which order units are kept.",
)
@click.option(
    "--export",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write the best as a Hugging Face folder: its config.json (space llama), and with --init also drawn weights; "
    "with --weights a checkpoint.",
)
@click.option("--measure", is_flag=True, help="With --weights: loss of the choice and its rivals on unseen text.")
@click.option("--seed", type=click.IntRange(0), default=42, show_default=True, help="Random seed of the search.")
@MOVED
@click.option("--plot", "figure", type=click.Path(path_type=Path), help="Draw all of them there, FILE.png or .svg.")
@click.option("--top", type=click.IntRange(1), help="Show that many of the front, the best.")
@click.option(
    "--format",
    "form",
    type=Name("table", "json", "csv"),
    default="table",
    show_default=True,
    help="How results are printed; rank reads json.",
)
@ranking_options
def select(
    space: str, hall: Path | None, size: int | None, bounds: Sequence[tuple[str, float]], networks: int,
    population: int, look: int, order: str, export: Path | None, measure: bool, seed: int, places: tuple[str, ...],
    figure: Path | None, top: int | None, form: str, features: FeatureOptions, tokens: Tokens | None,
    asked: RegionOptions, shape: tuple[int, int],
) -> None:  # fmt: skip
    """Search architectures for the best score at every cost, none of them beyond a budget.

    The values of every field are those that the hall's benchmarks have, unless --fix, --range or --multiple say
    others. Vocabulary, context, norm and other fields that nobody searches are only varied if asked; they are those of
    the measured architecture nearest to the budget. Interrupted, the same command goes on where it stopped: what was
    scored is in the bank. One seed is one result, unless a latency is measured.

    With --weights DIR it chooses a subnet of that checkpoint: a formula scores --networks random cuts within the
    budget from one visit of the whole network. The loss on calibration text is computed of --look of them, half of
    which are variations of the best so far, and the one with the lowest is taken.
    """
    from fitness.candidates import in_order
    from gp.selection import SelectionConfig

    if figure is not None and figure.suffix.lower() not in (".png", ".svg"):
        raise click.UsageError(f"--plot: got {figure.name!r}, wanted a name that ends in .png or .svg")
    source = replace(Source.of(hall, None, size), places=places)
    if features.weights is not None and space == "llama":
        if asked.given:
            raise click.UsageError(
                "--fix, --range, --multiple, --uniform: wanted none of these with --weights, whose "
                "subnets have the checkpoint's fields"
            )
        source.introduce()
        budget = tightest(bounds)
        select_cut(source, features, CutOrder(budget, networks, look, seed, order, export, measure, top, form))
        return
    if measure:
        raise click.UsageError("--measure: wanted --space llama and --weights DIR, whose subnets are cut")
    if export is not None:
        check_export(export, space)
    cost = next((name for name, _ in bounds if name != "latency"), "params")
    budget, known = tightest(bounds), known_architectures(source, space)
    config = SelectionConfig(networks, population, cost, seed=seed)
    source.introduce()
    workshops = source.workshops(features)
    count = _count(workshops(space), shape)
    plan = planned(space, known, asked.wishes(export is not None), export is not None, budget, count)
    with live(0) as reporter:
        found, times = _searched(source, plan, config, budget, workshops, reporter, tokens)
    if export is not None:
        write_export(found.front[0].architecture, export, features)
    if figure is not None:
        _draw(found, cost, source, figure)
    met = [replace(candidate, seen=source.seen.by(candidate.architecture)) for candidate in found.front]
    front = [Ranked(place, c, times.get(c.architecture)) for place, c in in_order(met)][:top]
    title = f"{len(found.front)} of {len(found.scored)} architectures; {source.direction}; score: {source.name}"
    if form == "json":
        header = {"scorer": source.name, "direction": source.direction, "scored": len(found.scored), "seed": seed}
        document = {**header, "budget": budget, "rows": [row.plain() for row in front]}
        print(json.dumps(document, indent=2, sort_keys=True, allow_nan=False))
        return
    emit(columns(front, form, memory="memory" in budget), form, title)


def _draw(found: Selection, cost: str, source: Source, path: Path) -> None:
    from report import draw_front, save_figure

    save_figure(draw_front(found.front, found.scored, cost, source.name), path)
    say(f"written: {path}")


def _count(workshop: Workshop, shape: tuple[int, int]) -> Count:
    """A function that counts the costs of architectures: for one sequence of the workshop's batch, memory for a
    training batch."""
    from fitness.costs import TrainingBatch, costs_of

    batch = TrainingBatch(*shape)
    length, build = workshop.batch.tokens.shape[1], workshop.bank.key.build
    return lambda architecture: costs_of(architecture, length, build, batch)


def _searched(
    source: Source,
    plan: SearchPlan,
    config: SelectionConfig,
    bounds: dict[str, float],
    workshops: Workshops,
    reporter: Reporter,
    tokens: Tokens | None = None,
) -> tuple[Selection, dict[Architecture, Latency]]:
    """The search with workers that stay, and the latencies that it measured."""
    from fitness.candidates import score_candidates
    from fitness.costs import CostLimits, latency_of
    from gp.selection import select as search

    budget = CostLimits(bounds.get("params"), bounds.get("flops"), bounds.get("latency"), bounds.get("memory"))
    space, build = plan.space, workshops(plan.space).bank.key.build
    times: dict[Architecture, Latency] = {}

    def allowed(architecture: Architecture, costs: Costs) -> bool:
        if budget.seconds is None or not budget.allows(costs):
            return budget.allows(costs)
        times[architecture] = latency_of(architecture, workshops(space).batch, build)
        return budget.allows_time(times[architecture])

    def watch(done: int, total: int) -> None:
        if reporter.should_stop():
            raise KeyboardInterrupt

    scorer = source.scorer(workshops, watch)
    with workshops(space).staffed() as workshop:
        found = search(
            space, plan.region, config, allowed=allowed, count=plan.count, check=plan.check,
            score=lambda batch: score_candidates(trained_for(batch, tokens), scorer, lambda _: workshop, watch),
            on_generation=lambda done, best: say(f"scored {done}/{config.networks}, best {best:.6g}"),
        )  # fmt: skip
        front = [replace(c, architecture=trained_for([c.architecture], tokens)[0]) for c in found.front]
        for line in budget_notes(front, tokens, source, lambda _: workshop, watch):
            say(line)
    return replace(found, front=tuple(front)), times
