"""The fields of a gpt2 configuration as people write them: one number for all blocks, other names, nothing said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from storage.datum import is_whole

__all__ = ["for_all_blocks"]

PER_BLOCK = ("n_head", "d_inner")


def for_all_blocks(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with a list where one number stands for every block."""
    depth, found = config.get("n_layer"), dict(config)
    if is_whole(depth) and 0 < depth <= 1024:
        found |= {name: [config[name]] * depth for name in PER_BLOCK if is_whole(config.get(name))}
    return found
