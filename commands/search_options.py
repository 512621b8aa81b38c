"""Options of a search: its settings, and the conditions that end it early."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.names import Name, table_of
from commands.options import Duration, gathered, removed
from commands.output import was_given

if TYPE_CHECKING:
    from gp.config import SearchConfig
    from gp.runs.limits import Limits


_objectives = table_of("fitness.objectives", "OBJECTIVES", "spearman", "kendall", "both", "pairs")
_BEYOND_COUNTS = dict.fromkeys(("partial", "joint"), "use both, and fit to predict from formulas and counts together")
_presets = table_of("gp.config", "PRESETS", "default", "lpzero", "universal")
_algorithms = table_of("gp.evolution.algorithms", "ALGORITHMS", "lpzero", "memetic", "nsga2", "operon", "random")
_aggregations = table_of("primitives.operators", "AGGREGATION", "mean", "sum", "first", "last", "rising", "falling",
                         "log_depth", "squared_log_depth")  # fmt: skip


def _config(
    preset: str,
    aggregate: str,
    joins: str,
    inputs: str,
    mutations: str,
    operators: str,
    no_pps: bool,
    start: str | None,
    **plain: Any,
) -> SearchConfig:
    """Settings of the search: options given by the user, then those of the preset, then the defaults."""
    from gp.config import JOINS, PRESETS, SearchConfig
    from primitives.inputs import INPUT_SETS
    from primitives.operators import USUAL_AGGREGATIONS

    chosen = {
        "aggregates": {"all": USUAL_AGGREGATIONS, "both": ("mean", "sum")}.get(aggregate, (aggregate,)),
        "joins": JOINS if joins == "both" else (joins,),
        "inputs": INPUT_SETS[inputs],
        "mutations": tuple(mutations.split(",")),
        "operators": tuple(operators.split(",")),
        "pps": not no_pps,
        "start": _texts(start) if start else (),
        **plain,
    }
    config = SearchConfig(**chosen | {n: v for n, v in PRESETS[preset].items() if not was_given(n)})
    _check_spelled(config)
    return config


def _texts(start: str) -> tuple[str, ...]:
    """The formulas of a hall of fame, or the one that is spelled out."""
    from gp.hall_file import load_hall

    if "[" in start:
        return (start,)
    return tuple(dict.fromkeys(entry.proxy.without_constants().text for entry in load_hall(Path(start)).proxies))


def _check_spelled(config: SearchConfig) -> None:
    """Refuse names that are not registered and formulas that the settings cannot spell, before anything is computed."""
    from gp.evolution.evolve import check_registered, starters
    from gp.evolution.primitive_set import primitive_set

    check_registered(config)
    if config.start:
        starters(config, primitive_set(config))


def _limits(time_budget: float | None, patience: int | None, target: float | None) -> Limits:
    from gp.runs.limits import Limits

    return Limits(time_budget, patience, target)


search_options = gathered(
    "search",
    _config,
    click.option("--preset", type=Name(table=_presets), default="default", show_default=True,
                 help="Named settings: lpzero, the published search; universal, one formula for several benchmarks."),
    click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=42, show_default=True,
                 help="Random seed of the split and the search."),
    click.option("--iterations", type=click.IntRange(0), default=6000, show_default=True,
                 help="New formulas after the initial population."),
    click.option("--population", type=click.IntRange(2), default=600, show_default=True,
                 help="Number of formulas in the population."),
    click.option("--n-unary", type=click.IntRange(1, 16), default=2, show_default=True,
                 help="Unary operators per branch."),
    click.option("--objective", type=Name(table=_objectives, removed=_BEYOND_COUNTS), default="both", show_default=True,
                 help="Rank correlation to maximise; both: mean of Spearman's rho and Kendall's tau-b."),
    click.option("--algorithm", type=Name(table=_algorithms), default="memetic", show_default=True,
                 help="Search algorithm."),
    click.option("--aggregate", type=Name("all", "both", table=_aggregations), default="all", show_default=True,
                 help="Aggregation over blocks; both: mean and sum."),
    click.option("--joins", type=Name("both", "inside", "outside"), default="outside", show_default=True,
                 help="Join branches before (inside) or after (outside) the aggregation."),
    click.option("--inputs", type=Name("extended", "paper", "all", "counts", "both"), default="extended",
                 show_default=True, help="What formulas may read: tensors of the network (extended, paper, all), its "
                                         "sizes alone (counts), or extended and sizes (both)."),
    click.option("--mutations", default="branch,replace", show_default=True, metavar="NAME,...",
                 help="Mutations, drawn with equal probability; LPZero's: regrow,replace."),
    click.option("--operators", default="sum,difference,product,matmul", show_default=True, metavar="NAME,...",
                 help="Binary operators; product alone keeps formulas independent of units."),
    click.option("--branches", type=click.IntRange(2, 8), default=3, show_default=True,
                 help="Maximum number of branches."),
    click.option("--teacher", type=Name("auto", "none", "always"), default="auto", show_default=True,
                 help="Evolve longer formulas against a regression on networks without labels; auto: where "
                      "cross-validation prefers them."),
    click.option("--start", metavar="HALL|FORMULA",
                 help="Formulas of the first population: a hall of fame, or the text of one."),
    click.option("--pool", type=click.IntRange(1, 10_000), default=100, show_default=True,
                 help="Networks without labels that the teacher labels, drawn in the range of the search split."),
    click.option("--teacher-branches", type=click.IntRange(2, 8), default=8, show_default=True,
                 help="Maximum number of branches of a formula evolved against the teacher."),
    click.option("--brood", type=click.IntRange(1), default=200, show_default=True,
                 help="Children per generation (memetic)."),
    click.option("--sweeps", type=click.IntRange(0, 1000), default=20, show_default=True,
                 help="Local searches per generation (memetic): replace one branch by the best of all."),
    click.option("--folds", type=click.IntRange(0, 100), default=5, show_default=True,
                 help="Cross-validation folds to choose between continuous, tied-level and distilled formulas (0: "
                      "continuous)."),
    click.option("--hall-size", type=click.IntRange(1, 1000), default=10, show_default=True,
                 help="Number of formulas in the hall of fame."),
    click.option("--across", type=Name("mean", "worst"), default="mean", show_default=True,
                 help="Fitness over several benchmarks: mean or minimum of the correlations."),
    click.option("--nested", is_flag=True,
                 help="Penalise formulas that do not score a larger version of the same network higher."),
    click.option("--retest", type=click.FloatRange(0, 1), default=0.5, show_default=True,
                 help="Minimum rho between the scores under two initialisations."),
    click.option("--champion", type=Name("fittest", "consensus"), default="fittest", show_default=True,
                 help="First formula of the hall of fame: highest fitness, or nearest to the mean ranking of all."),
    click.option("--constants", is_flag=True, help="Fit a constant for every added or subtracted branch."),
    click.option("--no-pps", is_flag=True, help="Disable the pruning rules (for the ablation)."),
    removed("--coarse", "use --folds 0 for continuous formulas"),
)  # fmt: skip
limit_options = gathered(
    "limits",
    _limits,
    click.option("--time-budget", type=Duration(), help="Stop the search after this time, such as 30m."),
    click.option(
        "--patience", type=click.IntRange(1), help="Stop after this number of iterations without improvement."
    ),
    click.option("--target", type=click.FloatRange(0, 1), help="Stop at this fitness, such as 0.95."),
)
