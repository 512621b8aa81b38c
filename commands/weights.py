"""Feature options plus the source of the weights and the way networks are held in memory."""

from __future__ import annotations

from pathlib import Path

import click

from commands.feature_options import FEATURES, FeatureOptions
from commands.options import gathered

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
)  # fmt: skip
"""The feature options, --weights and --stream."""
