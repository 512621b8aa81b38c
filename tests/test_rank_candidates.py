"""Candidates from files and draws: layouts, ids, headers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from test_llama_relatives import NAS as NEMOTRON
from test_models_hf import FAMILIES
from test_rank import hall, lines  # noqa: F401

import cli
from models.benchmarks.origins import load_benchmark
from models.candidates import BadCandidate, drawn_candidates, read_candidates
from models.spaces import DRAWABLE
from storage.errors import ZcpError


@pytest.mark.parametrize("space", DRAWABLE)
def test_a_seed_draws_the_same_candidates(space: str) -> None:
    drawn = drawn_candidates(space, 20, 4)
    assert drawn == drawn_candidates(space, 20, 4) and drawn[:5] == drawn_candidates(space, 5, 4)
    assert drawn != drawn_candidates(space, 20, 5) and len({a.id for a in drawn}) == 20


def test_published_layouts_are_read_without_their_values(published: Path, tmp_path: Path) -> None:
    for name, unread in (("gpt2-wt103", "ppl_summary.yaml"), ("flexibert-glue", None)):
        benchmark = load_benchmark(str(published / name))
        copy = Path(shutil.copytree(published / name, tmp_path / name))
        copy.chmod(0o755)
        if unread:
            (copy / unread).unlink()
        else:
            (copy / "BERT_benchmark.json").chmod(0o644)
            records = json.loads((copy / "BERT_benchmark.json").read_text())
            for record in records:
                del record["scores"]
            (copy / "BERT_benchmark.json").write_text(json.dumps(records))
        found = read_candidates([copy])
        assert {a.id: a for a in found} == {a.id: a for a in benchmark.architectures}
    assert read_candidates([tmp_path / "flexibert-glue" / "BERT_benchmark.json"]) == found


def test_ids_that_two_files_share_are_told_apart(lines: Path, tmp_path: Path) -> None:  # noqa: F811
    copy = Path(shutil.copy(lines, tmp_path / "more.jsonl"))
    found = read_candidates([lines, copy])
    assert len({a.id for a in found}) == 24 and found[12].id.endswith("more.jsonl: c0")


def test_lines_without_a_header_are_of_the_named_space(lines: Path, tmp_path: Path) -> None:  # noqa: F811
    bare = tmp_path / "bare.jsonl"
    bare.write_text("\n".join(lines.read_text().splitlines()[1:]) + "\n")
    assert read_candidates([bare], "gpt2") == read_candidates([lines])
    with pytest.raises(BadCandidate, match="line 1: space is missing"):
        read_candidates([bare])


@pytest.mark.parametrize("space", [None, "hf", "llama"])
@pytest.mark.parametrize("config", [{"model_type": "llama", **FAMILIES["llama"]}, NEMOTRON], ids=["llama", "relative"])
def test_lines_of_the_library_are_read_as_its_config_json(
    config: dict[str, Any], space: str | None, tmp_path: Path
) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "config.json").write_text(json.dumps(config))
    many = tmp_path / "many.jsonl"
    many.write_text(json.dumps({"id": "own", "config": config}) + "\n")
    if config is NEMOTRON and space != "llama":  # needs code of its own
        for path in (many, tmp_path / "own"):
            with pytest.raises(ZcpError, match="nemotron-nas"):
                read_candidates([path], space)
    else:
        assert read_candidates([many], space) == read_candidates([tmp_path / "own"], space)
    for family in ("nonsense", ["llama"]):
        many.write_text(json.dumps({"id": "own", "config": config | {"model_type": family}}) + "\n")
        with pytest.raises(ZcpError, match="model_type"):
            read_candidates([many], space)


@pytest.mark.parametrize("bound", [(), ("--max-memory", "8G")])
def test_memory_is_a_column_where_it_was_asked_for(
    bound: tuple[str, ...],
    lines: Path,  # noqa: F811
    hall: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["rank", str(lines), "--hall", str(hall), "--devices", "cpu", "--bank", str(tmp_path / "bank"), *bound]
    assert cli.main(words) == 0
    assert ("memory" in capsys.readouterr().out) is bool(bound)
