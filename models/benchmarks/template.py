"""The beginning of a benchmark of one's own: a file with comments, to be filled in."""

from __future__ import annotations

import json
import random
import textwrap
from typing import Any

from models.benchmarks.benchmark import FEWEST, BadBenchmark
from models.benchmarks.layouts.fields import ALIASES, DEFAULTS, FIELDS, REQUIRED
from models.spaces import SPACES
from storage.program import program_name

__all__ = ["template"]

GPT2: tuple[dict[str, Any], ...] = (
    {"n_layer": 2, "d_model": 64, "n_head": 2, "d_inner": 256},
    {"n_layer": 4, "d_model": 128, "n_head": [4, 4, 8, 8], "d_inner": [512, 512, 256, 256]},
)
LLAMA: tuple[dict[str, Any], ...] = (
    {"n_layer": 2, "d_model": 64, "n_head": 4, "d_ffn": 192},
    {"n_layer": 4, "d_model": 128, "n_head": 8, "n_kv_head": [8, 4, 4, 2], "d_ffn": [384, 384, 256, 256]},
)
CONFIGURED = {"model_type": "llama", "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 32000}
HF: tuple[dict[str, Any], ...] = (
    {**CONFIGURED, "num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 192},
    {**CONFIGURED, "num_hidden_layers": 4, "hidden_size": 128, "intermediate_size": 384},
)
FIELDED = (
    "One number stands for all blocks, a list has one for each.",
    "The same as CSV: '# space: ...', '# metric: ...', '# higher_is_better: ...', then a column for each field.",
)
LIBRARY = ("config is that of the transformers library: model_type, then fields of that family as in its config.json.",)
DERIVED = {
    "gpt2": {"d_embed": "d_model", "d_inner": "4 d_model"},
    "llama": {"n_kv_head": "n_head", "head_dim": "d_model / n_head"},
}
EXAMPLES = {"gpt2": GPT2, "llama": LLAMA, "hf": HF}


def template(space: str) -> str:
    """JSON lines that `read_benchmark` reads once there are enough records: the fields explained, two examples."""
    if space not in SPACES:
        raise BadBenchmark(f"space: got {space!r}, wanted one of {', '.join(SPACES)}")
    rng = random.Random(0)
    examples = EXAMPLES.get(space) or tuple(SPACES[space].sample(rng) for _ in range(2))
    header = {"schema": 1, "space": space, "metric": "loss", "higher_is_better": False}
    records = [{"id": f"example-{i}", "config": config, "loss": 3.5 + i / 8} for i, config in enumerate(examples)]
    return "".join(f"# {line}\n" for line in _comments(space)) + "".join(
        json.dumps(x) + "\n" for x in (header, *records)
    )


def _comments(space: str) -> list[str]:
    lines = [
        f"A benchmark of the space {space}: the header, then one JSON object a line. Lines with # are comments.",
        "Header: metric is the name of the value to predict, higher_is_better its direction.",
        f"Record: id, config, and the measured value. At least {FEWEST} different architectures; replace the examples.",
        *(FIELDED if space in FIELDS else LIBRARY),
        f"Then: {program_name()} benchmarks verify ./THIS_FILE",
    ]
    if space in FIELDS:
        lines.insert(3, f"config needs {', '.join(REQUIRED[space])}.")
    if space in DEFAULTS:
        known = DEFAULTS[space] | DERIVED[space]
        aliases = [f"{ours} ({', '.join(names)})" for ours, names in _other_names(space).items()]
        lines[5:5] = [
            *_wrapped(f"May be left out: {', '.join(f'{name} = {value}' for name, value in known.items())}."),
            *_wrapped(f"Other names: {', '.join(aliases)}."),
        ]
    return lines


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, 116, subsequent_indent="    ")


def _other_names(space: str) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for theirs, ours in ALIASES[space].items():
        names.setdefault(ours, []).append(theirs)
    return names
