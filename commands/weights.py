"""Where the weights of networks are from, and how networks are held, for commands that need no more than features."""

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
        help="A Hugging Face checkpoint (safetensors) instead of fresh weights, for the spaces llama and hf.",
    ),
    click.option(
        "--stream/--whole", default=None,
        help="One block in memory at a time, for the space llama (default: where the free memory wants it).",
    ),
)  # fmt: skip
"""The feature options and these two."""
