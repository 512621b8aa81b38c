"""Candidates: architectures that nobody measured, one JSON object a line with id and config; lines that begin with #
are comments, and a header of our own layout may stand first."""

from __future__ import annotations

from pathlib import Path

from models.architecture import Architecture, BadArchitecture
from models.benchmarks.benchmark import BadBenchmark, as_mapping, place
from models.benchmarks.layouts.fields import written_out
from models.benchmarks.layouts.table import read_lines
from models.spaces import SPACES
from storage.datum import Datum
from storage.files import parse_json

__all__ = ["read_candidates"]


def read_candidates(path: Path, space: str) -> list[Architecture]:
    """The checked architectures of a file, of one space; whatever else a record says is not read."""
    found, seen = list[Architecture](), set[str]()
    for number, line in read_lines(path, "candidates in JSON lines")[1]:
        where = f"{path}, line {number}"
        if line.startswith("#"):
            continue
        record = as_mapping(parse_json(line.encode(), where, "one JSON object a line"), where)
        if "schema" in record and not found:
            continue
        id = Datum(f"{where}: id", record.get("id"), BadBenchmark).text()
        if id in seen:
            raise BadBenchmark(f"{where}: id {id} occurs twice, wanted distinct ids; remove one of the records")
        seen.add(id)
        config = Datum(f"{place(str(path), number, id)}: config", record.get("config"), BadBenchmark).mapping()
        try:
            found.append(SPACES[space].architecture(id, written_out(space, config, where)))
        except BadArchitecture as error:
            raise BadBenchmark(f"{where}: {error}; correct or remove the record") from error
    return found
