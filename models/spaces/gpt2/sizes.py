"""Sizes that follow from a configuration of the space `gpt2`."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

__all__ = ["clusters", "projection_widths", "untied_widths"]


def clusters(config: Mapping[str, Any]) -> list[tuple[int, int]]:
    """(number of tokens, embedding width) of each table; a single one when div_val is 1."""
    if config["div_val"] == 1:
        return [(config["n_token"], config["d_embed"])]
    ends = pairwise([0, *config["cutoffs"], config["n_token"]])
    return [(high - low, config["d_embed"] // config["div_val"] ** i) for i, (low, high) in enumerate(ends)]


def projection_widths(config: Mapping[str, Any]) -> list[int]:
    """Widths that need a map to d_model: all clusters if they differ, the one table only if it does."""
    widths = [width for _, width in clusters(config)]
    return [] if widths == [config["d_model"]] else widths


def untied_widths(config: Mapping[str, Any]) -> list[int]:
    """The softmax owns the projection of its first cluster only (tie_projs is false there)."""
    return projection_widths(config)[:1]
