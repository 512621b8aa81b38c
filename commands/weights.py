"""Feature options plus the source of the weights and the way networks are held in memory."""

from __future__ import annotations

from pathlib import Path

import click

from commands.feature_options import FEATURES, FeatureOptions
from commands.options import Name, gathered, table_of

__all__ = ["source_options"]

source_options = gathered(
    "features",
    FeatureOptions,
    *FEATURES,
    click.option(
        "--weights", metavar="DIR", type=click.Path(path_type=Path),
        help="Hugging Face checkpoint (safetensors) to read weights from, for the spaces llama and hf.",
    ),
    click.option(
        "--stream/--whole", default=None,
        help="Hold one block in memory at a time, for the space llama (default: if memory is short).",
    ),
    click.option(
        "--price", type=Name(table=table_of("fitness.features.whole", "PRICES")), default="own", show_default=True,
        help="Features of subnets: visit each (own), or the whole network once (whole).",
    ),
)  # fmt: skip
"""The feature options, --weights, --stream and --price."""
