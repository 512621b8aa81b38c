"""Candidates: architectures that nobody measured, from files of every layout that is read here, or drawn from a space.

JSON lines of our own, the published layouts without their measured values, what `rank` and `select` print as JSON, and
Hugging Face's `config.json`. Nothing is downloaded.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from models.architecture import Architecture, BadArchitecture
from models.benchmarks.benchmark import MAX_FILE, BadBenchmark, as_mapping, described
from models.benchmarks.layouts.fields import written_out
from models.benchmarks.layouts.glue import GLUE_FILE, glue_configs
from models.benchmarks.layouts.jsonl import check_schema, read_objects
from models.benchmarks.layouts.perplexity import CONFIGS, perplexity_configs
from models.spaces import SPACES
from storage.datum import Datum
from storage.errors import ZcpError
from storage.files import load_json

__all__ = ["BadCandidate", "drawn_candidates", "read_candidates"]

WANTED = "a config.json or a folder with one, JSON lines, or a folder of a published layout"
HF_FILE = "config.json"


class BadCandidate(ZcpError, ValueError):
    """A candidate that cannot be read; the message names the file, what it got and what it wanted."""


def drawn_candidates(space: str, count: int, seed: int) -> list[Architecture]:
    """`count` architectures drawn from a space that can be drawn from, the same ones for the same seed."""
    rng = random.Random(f"candidates:{seed}")
    return [SPACES[space].architecture(f"{space}-{seed}-{i}", SPACES[space].sample(rng)) for i in range(count)]


def read_candidates(paths: Sequence[Path], space: str | None = None) -> list[Architecture]:
    """The architectures of all files and folders, in their order; JSON lines without a header are of `space`. Ids that
    several files share are told apart by the names of the files."""
    found = [(path, architecture) for path in paths for architecture in _read(path, space)]
    times = Counter(architecture.id for _, architecture in found)
    return [a if times[a.id] == 1 else replace(a, id=f"{path}: {a.id}"[:200]) for path, a in found]


def _read(path: Path, space: str | None) -> list[Architecture]:
    if not path.exists():
        raise BadCandidate(f"{path}: no such file or folder, and nothing is downloaded; give the path of {WANTED}")
    if path.is_dir():
        return _read_folder(path, space)
    if path.suffix == ".jsonl":
        return _read_lines(path, space)
    if path.suffix == ".json":
        return _read_json(path)
    raise BadCandidate(f"{path}: got a file that is neither .json nor .jsonl, wanted {WANTED}")


def _read_folder(path: Path, space: str | None) -> list[Architecture]:
    """By what the folder holds."""
    readers: dict[str, Callable[[Path], list[Architecture]]] = {
        HF_FILE: _read_json,
        GLUE_FILE: lambda found: _in("flexibert", found, glue_configs(found)),
        CONFIGS: lambda found: _in("gpt2", path, perplexity_configs(path)),
        f"*/{HF_FILE}": lambda found: [a for file in sorted(path.glob(f"*/{HF_FILE}")) for a in _read_json(file)],
        "*.jsonl": lambda found: _read_lines(found, space),
    }
    for pattern, read in readers.items():
        if first := next(iter(sorted(path.glob(pattern))), None):
            return read(first)
    raise BadCandidate(f"{path}: holds no candidates, wanted {WANTED}")


def _read_lines(path: Path, space: str | None) -> list[Architecture]:
    """Our own layout; a header says the space, measured values are not read."""
    _, objects = read_objects(path, "candidates in JSON lines")
    if objects and "schema" in objects[0][1]:
        where, header = objects.pop(0)
        check_schema(path, header)
        space = _space(Datum(where, header, BadBenchmark)["space"])
    if not objects:
        raise BadCandidate(f"{path}: holds no candidate, wanted one JSON object a line with id and config")
    rows = []
    for where, record in objects:
        config = Datum(where, record, BadBenchmark)["config"].mapping()
        own = _space(Datum(where, record, BadBenchmark)["space"]) if "space" in record else space
        if own is None:
            raise BadCandidate(f"{where}: space is missing, wanted it in a header, in the record, or as --space")
        rows.append((own, record.get("id"), written_out(own, config, where)))
    return described(str(path), rows)


def _in(space: str, path: Path, rows: Sequence[tuple[Any, Mapping[str, Any]]]) -> list[Architecture]:
    return described(path.name, [(space, id, config) for id, config in rows])


def _space(item: Datum) -> str:
    if item.text() not in SPACES:
        raise item.refuse(f"one of {', '.join(SPACES)}")
    return item.text()


def _read_json(path: Path) -> list[Architecture]:
    """A configuration of Hugging Face, a list in the layout of FlexiBERT, or the rows that `rank` printed."""
    data = load_json(path, MAX_FILE, "a configuration")
    if isinstance(data, list):
        return _in("flexibert", path, glue_configs(path))
    fields = as_mapping(data, str(path))
    if "rows" in fields:
        items = [*Datum(str(path), fields, BadBenchmark)["rows"].items(100_000)]
        return described(str(path), [(_space(r["space"]), r["id"].value, r["config"].mapping()) for r in items])
    if "model_type" not in fields:
        raise BadCandidate(f"{path}: model_type is missing, wanted the config.json of a Hugging Face model")
    id = path.absolute().parent.name if path.name == HF_FILE else path.stem
    try:
        return [SPACES["hf"].architecture(id, fields)]
    except BadArchitecture as error:
        raise BadCandidate(f"{path}: {error}") from None
