"""Candidates: architectures that nobody measured, from files of every layout that is read here, or drawn from a space.

JSON lines, CSV and Parquet of our own, the published layouts without their measured values, what `rank` and `select`
print as JSON, and Hugging Face's `config.json`. Nothing is downloaded.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from models.architecture import Architecture
from models.benchmarks.benchmark import MAX_FILE, MAX_ID, BadBenchmark, as_mapping, one_described
from models.benchmarks.layouts.columns import column_rows, field_value
from models.benchmarks.layouts.fields import written_out
from models.benchmarks.layouts.frame import DataFrameLike, frame_rows, parquet_rows
from models.benchmarks.layouts.glue import GLUE_FILE, glue_configs
from models.benchmarks.layouts.jsonl import check_schema, is_record, one_object
from models.benchmarks.layouts.perplexity import CONFIGS, perplexity_configs
from models.benchmarks.layouts.table import positive, read_lines
from models.benchmarks.layouts.unsaid import records_of, space_of
from models.spaces import SPACES
from models.spaces.llama.relatives import RELATIVES, as_llama
from storage.datum import Datum
from storage.errors import WrongInput, ZcpError
from storage.files import load_json

__all__ = ["BadCandidate", "Refusal", "drawn_candidates", "read_candidates"]

WANTED = "a config.json or a folder with one, JSON lines, CSV, Parquet, or a folder of a published layout"
HF_FILE = "config.json"


class BadCandidate(WrongInput):
    """A candidate that cannot be read; the message names the file, what it got and what it wanted."""


class NoSpace(BadCandidate):
    """JSON lines that nothing gives a space: not one bad candidate, but an option that is missing."""


@dataclass(frozen=True)
class Refusal:
    """A candidate that cannot be ranked, and why; its space and its configuration as far as they are known."""

    id: str
    reason: str
    space: str | None = None
    config: Mapping[str, Any] | None = None


def drawn_candidates(space: str, count: int, seed: int) -> list[Architecture]:
    """`count` architectures drawn from a space that can be drawn from, the same ones for the same seed."""
    rng = random.Random(f"candidates:{seed}")
    return [SPACES[space].architecture(f"{space}-{seed}-{i}", SPACES[space].sample(rng)) for i in range(count)]


def read_candidates(
    paths: Sequence[Path] | DataFrameLike, space: str | None = None, refused: list[Refusal] | None = None
) -> list[Architecture]:
    """The architectures of all files and folders, in their order, or of a data frame of pandas; JSON lines without a
    header are of `space`. Ids that several files share are told apart by the names of the files.

    A candidate that cannot be read ends this with its error, unless there is a list of those `refused` to add it to. A
    path where nothing is, or a file of another kind, is an error always.
    """
    if not isinstance(paths, Sequence):
        rows = frame_rows(paths, "frame")
        own = space or space_of([str(name) for name in paths.columns], "frame")
        return _Reading(own, refused)._columns(Path("frame"), own, rows)
    found = list[tuple[Path, Architecture]]()
    for path in paths:
        found += [(path, architecture) for architecture in _Reading(space, refused).read(path)]
    times, taken = Counter(architecture.id for _, architecture in found), set[str]()
    return [a if times[a.id] == 1 else replace(a, id=_apart(f"{path}: {a.id}", taken)) for path, a in found]


def _apart(id: str, taken: set[str]) -> str:
    """An id of at most MAX_ID characters that is not taken: the end of a long one, then numbered."""
    short, number = id[-MAX_ID:], 1
    while short in taken:
        number += 1
        end = f" ({number})"
        short = id[-MAX_ID + len(end) :] + end
    taken.add(short)
    return short


@dataclass
class _Reading:
    """Candidates of one file or folder, and where those go that cannot be read."""

    space: str | None
    refused: list[Refusal] | None

    def read(self, path: Path) -> list[Architecture]:
        if not path.exists():
            raise BadCandidate(f"{path}: no such file or folder, and nothing is downloaded; give the path of {WANTED}")
        if path.is_dir():
            return self._folder(path)
        if path.suffix == ".jsonl":
            return self._lines(path)
        if path.suffix == ".json":
            return self._json(path)
        if path.suffix == ".csv":
            return self._columns(path, *column_rows(path, self.space))
        if path.suffix == ".parquet":
            rows = parquet_rows(path)
            return self._columns(path, self.space or space_of(list(rows[0]) if rows else [], str(path)), rows)
        raise BadCandidate(f"{path}: got a file that is no .json, .jsonl, .csv or .parquet, wanted {WANTED}")

    def _columns(self, path: Path, space: str, rows: Sequence[Mapping[str, Any]]) -> list[Architecture]:
        """The rows of a table with a column for each field."""
        if not rows:
            raise BadCandidate(f"{path}: holds no candidate, wanted a row for each below the names of the columns")
        if space not in SPACES:
            raise BadCandidate(f"{path}: space: got {space}, wanted one of {', '.join(SPACES)}")
        typed = [{name: field_value(name, value, space) for name, value in row.items()} for row in rows]
        found, seen = list[Architecture](), set[str]()
        for index, record in enumerate(records_of(typed, space, str(path))):
            read = partial(_tabled, str(path), index, space, record, seen)
            found += self._tried(
                read, f"{path}, row {index + 1}", {"id": record["id"], "config": record["config"]}, space
            )
        return found

    def _folder(self, path: Path) -> list[Architecture]:
        """By what the folder holds."""
        readers: dict[str, Callable[[Path], list[Architecture]]] = {
            HF_FILE: self._json,
            GLUE_FILE: lambda found: self._rows(found.name, [("flexibert", *row) for row in glue_configs(found)]),
            CONFIGS: lambda found: self._rows(path.name, [("gpt2", *row) for row in perplexity_configs(path)]),
            f"*/{HF_FILE}": lambda found: [a for file in sorted(path.glob(f"*/{HF_FILE}")) for a in self._json(file)],
            "*.jsonl": self._lines,
        }
        for pattern, read in readers.items():
            if first := next(iter(sorted(path.glob(pattern))), None):
                return read(first)
        raise BadCandidate(f"{path}: holds no candidates, wanted {WANTED}")

    def _lines(self, path: Path) -> list[Architecture]:
        """Our own layout; a header says the space, measured values are not read."""
        _, lines = read_lines(path, "candidates in JSON lines")
        lines = [(number, line) for number, line in lines if not line.startswith("#")]
        space, seen = self.space, set[str]()
        if lines and (header := _header(path, *lines[0])) is not None:
            space = _space(Datum(f"{path}, line {lines.pop(0)[0]}", header, BadBenchmark)["space"])
        if not lines:
            raise BadCandidate(f"{path}: holds no candidate, wanted one JSON object a line with id and config")
        found = list[Architecture]()
        for index, (number, line) in enumerate(lines):
            where, known = f"{path}, line {number}", dict[str, Any]()
            read = partial(_record, str(path), index, line, space, where, seen, known)
            found += self._tried(read, where, known, space)
        return found

    def _json(self, path: Path) -> list[Architecture]:
        """A configuration of Hugging Face, a list in the layout of FlexiBERT, or the rows that `rank` printed."""
        id, known = path.absolute().parent.name if path.name == HF_FILE else path.stem, dict[str, Any]()
        return self._tried(lambda: self._content(path, id, known), id, {"config": known}, "hf")

    def _content(self, path: Path, id: str, known: dict[str, Any]) -> list[Architecture]:
        data = load_json(path, MAX_FILE, "a configuration")
        if isinstance(data, list):
            return self._rows(path.name, [("flexibert", *row) for row in glue_configs(path)])
        fields = as_mapping(data, str(path))
        if "rows" in fields:
            return self._printed(path, [*Datum(str(path), fields, BadBenchmark)["rows"].items(100_000)])
        known |= fields
        if "model_type" not in fields:
            raise BadCandidate(f"{path}: model_type is missing, wanted the config.json of a Hugging Face model")
        relative, as_asked = str(fields["model_type"]) in RELATIVES, self.space == "llama"
        try:
            space, config = _of_library(fields, self.space)
            return [SPACES[space].architecture(id, config)]
        except ZcpError as error:
            hint = "; --space llama reads its sizes as those of LLaMA's blocks" if relative and not as_asked else ""
            raise BadCandidate(f"{path}: {error}{hint}") from None

    def _printed(self, path: Path, rows: Sequence[Datum]) -> list[Architecture]:
        """The rows of `rank` and `select`; what could not be read there cannot be read here."""
        found = list[tuple[str, Any, Mapping[str, Any]]]()
        for row in rows:
            if self.refused is not None and None in (row["space"].value, row["config"].value):
                self.refused.append(Refusal(row["id"].text(), row["reason"].text(10_000)))
            else:
                found.append((_space(row["space"]), row["id"].value, row["config"].mapping()))
        return self._rows(str(path), found)

    def _rows(self, name: str, rows: Iterable[tuple[str, Any, Mapping[str, Any]]]) -> list[Architecture]:
        found, seen = list[Architecture](), set[str]()
        for index, row in enumerate(rows):
            known = {"id": row[1], "config": row[2]}
            found += self._tried(partial(_described, name, index, row, seen), f"{name}, row {index}", known, row[0])
        return found

    def _tried(
        self, read: Callable[[], list[Architecture]], name: str, known: Mapping[str, Any], space: str | None
    ) -> list[Architecture]:
        """Read candidates; unreadable ones are returned as refused, with the reason."""
        try:
            return read()
        except ZcpError as error:
            if self.refused is None or isinstance(error, NoSpace):
                raise
            id, own, config = str(known.get("id") or name), known.get("space", space), known.get("config")
            shown = id if id.isprintable() else name
            mine = config if isinstance(config, Mapping) and config else None
            self.refused.append(Refusal(shown[:MAX_ID], str(error), own if isinstance(own, str) else None, mine))
            return []


def _tabled(name: str, index: int, space: str, record: Mapping[str, Any], seen: set[str]) -> list[Architecture]:
    """The architecture of a row with id, config and perhaps tokens."""
    where = f"{name}, row {index + 1}"
    tokens = positive(Datum(where, record, BadBenchmark)["tokens"]) if "tokens" in record else None
    config = written_out(space, record["config"], where)
    return [replace(a, tokens=tokens) for a in _described(name, index, (space, record["id"], config), seen)]


def _described(name: str, index: int, row: tuple[str, Any, Mapping[str, Any]], seen: set[str]) -> list[Architecture]:
    return [one_described(name, index, row, seen)]


def _record(
    name: str, index: int, line: str, space: str | None, where: str, seen: set[str], known: dict[str, Any]
) -> list[Architecture]:
    """The architecture of a line; its fields are `known` as soon as they are read."""
    known |= one_object(where, line)
    record = Datum(where, known, BadBenchmark)
    config: Mapping[str, Any] = record["config"].mapping()
    own = _space(record["space"]) if "space" in known else space
    if own in (None, "llama") and "model_type" in config:
        own, config = _of_library(config, own)
    if own is None:
        raise NoSpace(f"{where}: space is missing, wanted it in a header, in the record, or as --space")
    tokens = positive(record["tokens"]) if known.get("tokens") is not None else None
    (found,) = _described(name, index, (own, known.get("id"), written_out(own, config, where)), seen)
    return [replace(found, tokens=tokens)]


def _of_library(fields: Mapping[str, Any], space: str | None) -> tuple[str, Mapping[str, Any]]:
    """The space and the configuration of fields with a model_type: a relative of LLaMA where `space` is llama, else a
    network of the library."""
    if space == "llama" and str(fields["model_type"]) in RELATIVES:
        return space, as_llama(fields)
    return "hf", fields


def _header(path: Path, number: int, line: str) -> dict[str, Any] | None:
    """The header of a file, if its first line is one."""
    try:
        found = one_object(f"{path}, line {number}", line)
    except ZcpError:
        return None
    if is_record(found):
        return None
    check_schema(path, found)
    return found


def _space(item: Datum) -> str:
    if item.text() not in SPACES:
        raise item.refuse(f"one of {', '.join(SPACES)}")
    return item.text()
