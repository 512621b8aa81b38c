"""Refusals: changes of a real file by which it must be refused, and options that must be."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from storage.files import dump_json, sealed

if TYPE_CHECKING:
    pass

__all__ = ["OPTIONS", "TOLD", "renamed", "words"]

# What is no plain YAML, where a number or a text is expected.
YAML = ["!!int ''", "!!float x", "!!binary '='", "!!timestamp x", "!!set {a}", "!!python/name:os.system ''", "!x y",
        "&a 1", "*a", "[*a, *a]", "9" * 5000, "9" * 400, "1:30:00", "0x1F", "0b11", "1_000", ".inf", "1e400", "{<<: 1}",
        "!<tag:yaml.org,2002:int> x", "2001-99-99", "? [a]", "y\n---\n- z", "${x}"]  # fmt: skip
# Fields of a trained benchmark with values that say nothing of how it was trained.
HEADERS: list[tuple[str, Any]] = [
    *((f"budget {name}", value)
      for name in ("steps", "batch", "length", "checkpoints", "curve_windows", "final_windows")
      for value in (0, -1, 0.5, "3", True, None, [], 10**400)),
    *((f"budget {name}", value) for name in ("learning_rate", "warmup", "weight_decay")
      for value in (-1, "x", True, None, [], 10**400)),
    ("budget learning_rate", 1e30), ("budget learning_rate", 1e308), ("budget weight_decay", 1e308),
    ("budget warmup", 1.5), ("budget length", 4096), ("budget more", 1), ("budget", None), ("budget", []),
    ("budget", {}),
    ("corpus", None), ("corpus", {}), ("corpus digest", ["x"]), ("corpus digest", 3),
    ("noise_ceiling", None), ("noise_ceiling", {}), ("noise_ceiling", {"kendall": 1.0}), ("noise_ceiling sd", "x"),
    ("noise_ceiling sd", 1e308), ("noise_ceiling sd", -1.0), ("noise_ceiling slope", 1e300),
    ("noise_ceiling seeds", -1), ("space", ["gpt2"]), ("space", "flexibert"), ("space", None), ("space", {}),
]  # fmt: skip
SIZES: list[Any] = [0, -1, -(10**30), 0.5, 1e300, "2", "", True, None, [], {}, 10**400, 2**63]  # none of them is a size
SHAPE = ("n_layer", "d_model", "n_token", "tgt_len")  # of a gpt2 configuration, a number each
HF_SHAPE = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")
HF_SIZES: list[Any] = [-1, -(10**30), 0.5, 1e300, "two", [], {}, 10**400, 2**63, 2_000_000_000]
HF_UNKNOWN: list[tuple[str, Any]] = [
    ("num_hidden_layer", 4), ("d_model", 24), ("n_layer", 3), ("num_attention_head", 4), ("n_kv_heads", 2),
    ("layer_sharing", True),
]  # fmt: skip
PREDICTORS: list[tuple[str, Any]] = [
    ("schema", 2), ("schema", True), ("kind", "magic"), ("kind", None), ("factor", 0), ("factor", -1.0), ("factor", "x"),
    ("left_out", [0.0]), ("members", []), ("labels ids", []), ("labels values", []), ("labels numbers", []),
    ("formulas", [{}]), ("provenance space", "flexibert"), ("provenance space", "nowhere"), ("provenance space", None),
    ("provenance higher_is_better", 1), ("provenance config", []), ("provenance build", "as_nobody_built"),
]  # fmt: skip
LINES: list[tuple[str, Any]] = [
    ("space", "nowhere"), ("space", None), ("space", 3), ("schema", 2), ("schema", "1"), ("schema", None),
]  # fmt: skip
MEASURED = [*LINES, ("metric", None), ("metric", "no such"), ("higher_is_better", "false"), ("higher_is_better", 0)]
COLUMNS = [("space", "nowhere"), ("space", ""), ("higher_is_better", "maybe"), ("metric", "no such"), ("metric", "")]
COUNTS = ["0", "-1", "1.5", "x", "", "nan", "inf", "1e400", "\x00", "\x1b[2J", "10Q"]
OPTIONS: dict[str, tuple[list[str], list[str]]] = {
    # command -> (options that want a whole number from 1 on, options that want one of a few names)
    "rank": (["--top", "--sample", "--batch", "--seq-len"], ["--format", "--space", "--latency"]),
    "select": (["--top", "--networks", "--population", "--batch"], ["--format", "--space", "--budget"]),
    "suggest": (["--count", "--pool", "--batch", "--seq-len"], ["--format", "--goal", "--metric"]),
    "fit": (["--batch", "--seq-len"], ["--kind", "--format", "--benchmark"]),
    "replay": (["--batch", "--seq-len"], ["--format", "--benchmark", "--metric"]),
}
NO_NAMES = ["", "nowhere", "[red]x", "../../etc/passwd", "\x1b[2J", "a\u202eb", "x" * 3000, "\x00", "params=-1",
            "params=nan", "params=", "=", "params=10X", "--help me", "\udcff"]  # fmt: skip


def _with_value(data: Any, where: str, value: Any) -> Any:
    """The data with another value in one place, such as "budget steps"."""
    *path, field = where.split()
    place = data
    for key in path:
        place = place[key]
    place[field] = value
    return data


def words(rng: random.Random) -> bytes:
    """A command and an option with a value that it must refuse, a word a line."""
    command = rng.choice(list(OPTIONS))
    numbers, names = OPTIONS[command]
    flag, value = rng.choice([(rng.choice(numbers), rng.choice(COUNTS)), (rng.choice(names), rng.choice(NO_NAMES))])
    return f"{command}\n{flag}={value}".encode("utf-8", "surrogateescape")


def _trained(content: bytes, rng: random.Random) -> bytes:
    """A header that says nothing of how its networks were trained."""
    return _first_line(content, rng, HEADERS)


def _first_line(content: bytes, rng: random.Random, changes: Sequence[tuple[str, Any]]) -> bytes:
    """JSON lines with another value in their header."""
    header, *lines = content.splitlines(keepends=True)
    return json.dumps(_with_value(json.loads(header), *rng.choice(changes))).encode() + b"\n" + b"".join(lines)


def _yaml(content: bytes, rng: random.Random) -> bytes:
    """Something that is no plain YAML in the place of a number."""
    lines = content.decode().splitlines()
    place = rng.choice([n for n, line in enumerate(lines) if re.fullmatch(r" *(?!test_ppl)\w+: [\d.]+", line)])
    lines[place] = lines[place].partition(": ")[0] + ": " + rng.choice(YAML)
    return "\n".join(lines).encode()


def _candidates(content: bytes, rng: random.Random) -> bytes:
    """A header of no space, or a record that is no architecture, lacks its id, or has that of another one."""
    if rng.random() < 0.2:
        return _first_line(content, rng, LINES)
    header, *lines = map(json.loads, content.splitlines())
    record = rng.choice(lines)
    change = rng.choice(("size", "size", "unknown", "config", "id", "twice"))
    if change == "size":
        record["config"][rng.choice(SHAPE)] = rng.choice(SIZES)
    elif change == "unknown":
        record["config"]["num_layer"] = 3
    elif change == "config":
        record["config"] = rng.choice([None, [], "x", 3])
    else:
        record["id"] = rng.choice([None, [], {}]) if change == "id" else next(r["id"] for r in lines if r is not record)
    return b"".join(json.dumps(line).encode() + b"\n" for line in (header, *lines))


def _rows(content: bytes, rng: random.Random) -> bytes:
    """A row that is no architecture."""
    told = json.loads(content)
    rng.choice(told["rows"])["config"][rng.choice(SHAPE)] = rng.choice(SIZES)
    return json.dumps(told).encode()


def _hf(content: bytes, rng: random.Random) -> bytes:
    """A size that is none or fills any memory, or a size under a name that the family does not have."""
    name, value = rng.choice([(rng.choice(HF_SHAPE), rng.choice(HF_SIZES)), rng.choice(HF_UNKNOWN)])
    return json.dumps(json.loads(content) | {name: value}).encode()


def _predictor(content: bytes, rng: random.Random) -> bytes:
    """A predictor of another kind, space or size, with the digest made right."""
    told = {k: v for k, v in json.loads(content).items() if k != "digest"}
    return dump_json(sealed(_with_value(told, *rng.choice(PREDICTORS))))


def _csv(content: bytes, rng: random.Random) -> bytes:
    """A comment that says nothing where the header is expected."""
    name, value = rng.choice(COLUMNS)
    return re.sub(rf"# {name}: .*", f"# {name}: {value}", content.decode(), count=1).encode()


def _split(content: bytes, rng: random.Random) -> bytes:
    """A hall of fame with an empty part of its split."""
    hall = json.loads(content)
    del hall["digest"]
    hall["cases"][0]["split"][rng.choice(("search", "holdout"))] = []
    return json.dumps(hall if rng.random() < 0.5 else sealed(hall)).encode()


TOLD: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "verify": _trained, "yaml summary": _yaml, "yaml config": _yaml, "replay": _split,
    "candidates": _candidates, "suggested": _candidates, "rank rows": _rows, "hf config": _hf,
    "rank predictor": _predictor, "replay predictor": _predictor, "csv": _csv,
    "measured": lambda content, rng: _first_line(content, rng, MEASURED), "options": lambda _, rng: words(rng),
}  # fmt: skip
"""Kind -> what makes a file of it that must be refused."""


def renamed(content: bytes, name: str) -> bytes:
    """The benchmark with another name for its metric, and in its ids."""
    quoted = json.dumps(name)
    return content.decode().replace('"loss"', quoted).replace('"tiny', quoted[:-1]).encode()
