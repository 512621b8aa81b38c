"""Feature options plus the source of the weights and the way networks are held in memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands.feature_options import FEATURES, FeatureOptions
from commands.names import Name, table_of
from commands.options import gathered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from commands.source import Workshops
    from models.architecture import Architecture

__all__ = ["drawing_notes", "ranking_options", "source_options"]

INIT = click.option(
    "--init",
    type=Name("common", "own"),
    help="How to draw weights of the space hf: with one standard deviation, or as each configuration says "
    "(default: common, or as in the run that ranks).",
)
WEIGHTS = (
    click.option(
        "--weights",
        metavar="DIR",
        type=click.Path(path_type=Path),
        help="Hugging Face checkpoint (safetensors) to read weights from, for the spaces llama and hf.",
    ),
    click.option(
        "--stream/--whole",
        default=None,
        help="Hold one block in memory at a time, for the space llama (default: if memory is short).",
    ),
    click.option(
        "--price",
        type=Name(table=table_of("fitness.features.whole", "PRICES", "own", "whole")),
        default="own",
        show_default=True,
        help="Features of subnets: visit each (own), or the whole network once (whole).",
    ),
)

source_options = gathered("features", FeatureOptions, *FEATURES, *WEIGHTS)
"""The feature options, --weights, --stream and --price."""
ranking_options = gathered("features", FeatureOptions, *FEATURES, *WEIGHTS, INIT)
"""The same, and --init."""


def drawing_notes(architectures: Sequence[Architecture], workshops: Workshops) -> list[str]:
    """Notes on how fresh weights of Hugging Face networks were drawn."""
    if not any(a.space == "hf" for a in architectures) or (key := workshops("hf").bank.key).weights:
        return []
    if key.build == "own":
        return ["space hf: weights are drawn as each configuration says (--init own), which scores depend on"]
    return [
        "space hf: all weight matrices are drawn with the standard deviation 0.02, whatever the configurations say "
        "(--init own: as they say)"
    ]
