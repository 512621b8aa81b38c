"""The options of a search, and of when it ends early."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from commands.options import Duration, Name, gathered, table_of

if TYPE_CHECKING:
    from gp.config import SearchConfig
    from gp.runs.limits import Limits


_objectives = table_of("fitness.objectives", "OBJECTIVES")
_algorithms = table_of("gp.evolution.algorithms", "ALGORITHMS")
_aggregations = table_of("primitives.operators", "AGGREGATION")


def _config(
    aggregate: str, joins: str, inputs: str, mutations: str, operators: str, no_pps: bool, **plain: Any
) -> SearchConfig:
    """The settings of the search, from the options of the same names."""
    from gp.config import JOINS, SearchConfig
    from primitives.inputs import INPUT_SETS

    return SearchConfig(
        aggregates={"all": tuple(_aggregations()), "both": ("mean", "sum")}.get(aggregate, (aggregate,)),
        joins=JOINS if joins == "both" else (joins,),
        inputs=INPUT_SETS[inputs],
        mutations=tuple(mutations.split(",")),
        operators=tuple(operators.split(",")),
        pps=not no_pps,
        **plain,
    )


def _limits(time_budget: float | None, patience: int | None, target: float | None) -> Limits:
    from gp.runs.limits import Limits

    return Limits(time_budget, patience, target)


search_options = gathered(
    "search",
    _config,
    click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=42, show_default=True,
                 help="Of the split and the search."),
    click.option("--iterations", type=click.IntRange(0), default=6000, show_default=True,
                 help="New formulas after the first population."),
    click.option("--population", type=click.IntRange(2), default=600, show_default=True,
                 help="Formulas kept at a time."),
    click.option("--n-unary", type=click.IntRange(1, 16), default=2, show_default=True,
                 help="Unary operators in a branch."),
    click.option("--objective", type=Name(table=_objectives), default="both", show_default=True,
                 help="Rank correlation to maximise; both: the mean of rho and tau."),
    click.option("--algorithm", type=Name(table=_algorithms), default="memetic", show_default=True,
                 help="How new formulas are made."),
    click.option("--aggregate", type=Name("all", "both", table=_aggregations), default="all", show_default=True,
                 help="From blocks to the network; both: mean and sum."),
    click.option("--joins", type=Name("both", "inside", "outside"), default="outside", show_default=True,
                 help="Branches joined before or after they are aggregated."),
    click.option("--inputs", type=Name("extended", "paper", "all"), default="extended", show_default=True,
                 help="Quantities that a formula may read."),
    click.option("--mutations", default="branch,replace", show_default=True, metavar="NAME,...",
                 help="Which are drawn, all alike; LPZero's: regrow,replace."),
    click.option("--operators", default="sum,difference,product,matmul", show_default=True, metavar="NAME,...",
                 help="What joins branches; products alone have no units to disagree."),
    click.option("--branches", type=click.IntRange(2, 3), default=3, show_default=True, help="Most of a formula."),
    click.option("--brood", type=click.IntRange(1), default=200, show_default=True,
                 help="Children of a generation of memetic."),
    click.option("--sweeps", type=click.IntRange(0, 1000), default=20, show_default=True,
                 help="Sweeps of a generation of memetic: a branch replaced by the best of all."),
    click.option("--folds", type=click.IntRange(0, 100), default=5, show_default=True,
                 help="Of the cross-validation that chooses fine or coarse formulas; 0: fine ones."),
    click.option("--coarse", type=click.FloatRange(0, 1), default=0.1, show_default=True,
                 help="Least share of the architectures at a level of a coarse formula; 0: fine formulas only."),
    click.option("--hall-size", type=click.IntRange(1, 1000), default=10, show_default=True,
                 help="Formulas in the hall of fame."),
    click.option("--across", type=Name("mean", "worst"), default="mean", show_default=True,
                 help="How the agreements with several benchmarks are joined."),
    click.option("--nested", is_flag=True,
                 help="Prefer formulas that say more of a network when one of its sizes grows alone; needs no labels."),
    click.option("--retest", type=click.FloatRange(0, 1), default=0.5, show_default=True,
                 help="Least rho of a formula between two initialisations of a few networks."),
    click.option("--champion", type=Name("fittest", "consensus"), default="fittest", show_default=True,
                 help="Which formula leads the hall of fame; consensus: the one nearest to the mean ranking of all."),
    click.option("--constants", is_flag=True, help="Fit a constant for each branch that is added or taken off."),
    click.option("--no-pps", is_flag=True, help="Switch the pruning rules off (for the ablation)."),
)  # fmt: skip
limit_options = gathered(
    "limits",
    _limits,
    click.option("--time-budget", type=Duration(), help="End the search after this time, such as 30m."),
    click.option("--patience", type=click.IntRange(1), help="End it after so many iterations without a better one."),
    click.option("--target", type=click.FloatRange(0, 1), help="End it at this fitness, such as 0.95."),
)
