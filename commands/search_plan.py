"""Plan of a search by `select`: the region of a space, how an architecture is checked and counted, and the folder that
the best one is written to."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.feature_options import FeatureOptions
from commands.output import say
from commands.source import Source
from storage.datum import is_whole

if TYPE_CHECKING:
    from fitness.costs import Costs
    from models.architecture import Architecture
    from models.spaces.asked_region import RegionWishes
    from models.spaces.variation import Region

__all__ = ["SearchPlan", "check_export", "known_architectures", "planned", "write_export"]

REACH = 0.9  # of a budget, which the largest architecture of a region must need

Count = Callable[["Architecture"], "Costs"]


@dataclass(frozen=True)
class SearchPlan:
    """A region of a space, and how its architectures are checked and counted."""

    space: str
    region: Region
    check: Callable[[Mapping[str, Any]], dict[str, Any]]
    count: Count


def known_architectures(source: Source, space: str) -> list[Architecture]:
    """The architectures of the hall's benchmarks of a space; a usage error for a hall of another space or without its
    benchmark."""
    mine = [home for home in source.homes if home.space == space]
    if not mine:
        home = ", ".join(dict.fromkeys(home.space for home in source.homes))
        raise click.UsageError(f"--hall: got formulas that were evolved on {home}, wanted {space}, the space searched")
    if not (architectures := [architecture for home in mine for architecture in home.architectures]):
        names = " or ".join(home.name for home in mine)
        raise click.UsageError(
            f"--hall: wanted its benchmark {names}, whose values the search uses; fetch it, or say with --benchmark "
            "where it lies now"
        )
    return architectures


def planned(
    space: str,
    architectures: list[Architecture],
    wishes: RegionWishes,
    exported: bool,
    bounds: Mapping[str, float],
    count: Count,
) -> SearchPlan:
    """The search that the options ask for; a usage error for a budget that nothing in its region reaches. Fields that
    are not varied have the values of the architecture nearest to the first budget that is counted."""
    from models.spaces import SPACES
    from models.spaces.asked_region import asked_region, held_choices
    from models.spaces.llama.library import check_library

    if (fields := SPACES[space].fields) is None:
        raise click.UsageError(f"--space: got {space}, whose configurations nothing varies")
    cost = next((name for name in bounds if name != "latency"), "params")
    target = math.log(bounds.get(cost, math.inf)) if cost in bounds else math.inf
    counted = [math.log(getattr(count(architecture), cost)) for architecture in architectures]
    least = min(range(len(counted)), key=lambda i: abs(target - counted[i]) if target < math.inf else -counted[i])
    region = asked_region(architectures, fields, architectures[least], wishes)
    for name, values in held_choices(architectures, fields, wishes).items():
        mine = architectures[least].config[name]
        others = ", ".join(_shown(value) for value in values if value != mine)
        say(f"{name} is {_shown(mine)} in all architectures; --fix {name}=VALUE sets another (benchmarks: {others})")
    plan = SearchPlan(space, region, check_library if exported else SPACES[space].check, count)
    _check_reach(plan, bounds)
    return plan


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _check_reach(plan: SearchPlan, bounds: Mapping[str, float]) -> None:
    """Refuse a budget below the least or above the largest cost in a region."""
    from models.architecture import BadArchitecture
    from models.spaces import SPACES
    from models.spaces.asked_region import cost_range

    for name, bound in bounds.items():
        if name == "latency":
            continue

        def cost(config: dict[str, Any], name: str = name) -> float:
            return float(getattr(plan.count(SPACES[plan.space].architecture("reach", config)), name))

        try:
            least, most = cost_range(plan.region, plan.check, cost)
        except BadArchitecture as error:
            raise click.UsageError(f"no architecture of the region can be built; the last one: {error}") from None
        if bound < least:
            raise click.UsageError(
                f"--budget {name}: got {bound:,.0f}, wanted at least {least:,.0f}, which the smallest architecture "
                "that is searched needs; allow more, or give smaller values with --range or --fix"
            )
        if most < REACH * bound:
            raise click.UsageError(
                f"--budget {name}: got {bound:,.0f}, wanted at most {most:,.0f}, which the largest architecture that "
                f"is searched needs; allow less, or give larger values with --range ({_searched(plan.region)})"
            )


def _searched(region: Region) -> str:
    """The ranges of the whole numbers that a region varies, as --range writes them."""
    spans = [
        f"{name}={min(values)}..{max(values)}"
        for name, values in region.values.items()
        if len(values) > 1 and all(is_whole(value) for value in values)
    ]
    return f"now {','.join(spans)}" if spans else "nothing is varied now"


def check_export(folder: Path, space: str) -> None:
    """Refuse a folder that exists, and a space whose networks the library does not have."""
    from models.checkpoints.export import check_absent

    if space != "llama":
        raise click.UsageError(
            f"--export: got --space {space}, wanted llama, whose networks Hugging Face's library has"
        )
    check_absent(folder)


def write_export(architecture: Architecture, folder: Path, features: FeatureOptions) -> None:
    """Write the folder, and say what is in it."""
    from models.checkpoints.export import export_architecture
    from models.spaces import SPACES

    export_architecture(architecture, folder, features.init, features.init_seed)
    what = "config.json" if features.init is None else f"config.json and drawn weights (--init {features.init})"
    total = SPACES[architecture.space].parameters(architecture).total
    say(f"written: {folder}, {what} of {architecture.id}, LlamaForCausalLM with {total:,} parameters")
