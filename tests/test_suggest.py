"""suggest: architectures to measure next, of one family each, under ids that are never used again."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_predictor_file import benchmark, run  # noqa: F401  (a fixture)

from fitness.predictors.numbers import number_table
from fitness.predictors.suggestion import drawn
from models.benchmarks.benchmark import Benchmark
from models.benchmarks.origins import load_benchmark


@pytest.mark.parametrize("goal", ["interval", "improvement"])
def test_suggest_names_architectures_that_nobody_measured(
    goal: str,
    benchmark: Benchmark,  # noqa: F811
    tiny_benchmark: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = ("suggest", "--benchmark", tiny_benchmark, "--count", 3, "--pool", 40, "--goal", goal)
    code, shown, said = run(capsys, *asked, "--format", "json")
    rows = json.loads(shown)["rows"]
    assert code == 0 and len({row["id"] for row in rows}) == 3 and "30 measured" in said
    known = [dict(a.config) for a in benchmark.architectures]
    assert all(
        row["config"] not in known and row["predicted_low"] <= row["predicted"] <= row["predicted_high"] for row in rows
    )
    assert run(capsys, *asked)[1].startswith("tiny: measure these next")


def test_suggestions_in_csv_are_rows_of_the_users_table_once_they_are_measured(
    benchmark: Benchmark,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = {"d_model": "n_embd", "n_layer": "num_hidden_layers", "d_inner": "n_inner"}
    fields = {key: names.get(key, key) for key in benchmark.architectures[0].config}
    rows = [
        {"id": a.id, **{fields[key]: json.dumps(value) for key, value in a.config.items()}, "loss": str(loss)}
        for a, loss in zip(benchmark.architectures, benchmark.ground_truth.tolist(), strict=True)
    ]
    path = tmp_path / "mine.csv"
    _write(path, rows)
    asked = ("suggest", "--benchmark", path, "--count", 10, "--pool", 40)
    code, shown, _ = run(capsys, *asked, "--format", "csv")
    suggested = list(csv.DictReader(io.StringIO(shown)))
    assert code == 0 and len(suggested) == 10 and {row["loss"] for row in suggested} == {""}
    assert set(rows[0]) <= set(suggested[0]) and not set(fields) - set(fields.values()) & set(suggested[0])
    measured = [row | {"loss": row["predicted"]} for row in suggested]
    pool = {a.id: a.digest for a in drawn(benchmark.architectures, 40, 42)}
    wanted = [pool[row["id"]] for row in suggested]
    _write(path, [*rows, *({key: row[key] for key in rows[0]} for row in measured)])
    grown = load_benchmark(str(path))
    assert [a.digest for a in grown.architectures[-10:]] == wanted and len(grown) == len(rows) + 10
    _write(tmp_path / "alone.csv", measured)
    alone = load_benchmark(str(tmp_path / "alone.csv"))
    assert alone.metric == "loss" and [a.digest for a in alone.architectures] == wanted


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def _records(*kinds: Callable[[int], dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"id": f"{k}-{i}", "config": kind(i), "loss": 4 - i / 9 + k / 7}
        for k, kind in enumerate(kinds)
        for i in range(6)
    ]


SIZES = {"vocab_size": 256, "max_position_embeddings": 64}
FAMILIES: dict[str, Callable[[int], dict[str, Any]]] = {
    "llama": lambda i: {"model_type": "llama", "hidden_size": 16 + 16 * (i % 2), "num_hidden_layers": 1 + i % 3,
                        "num_attention_heads": 2, "intermediate_size": 32 + 16 * i, **SIZES},
    "gpt2": lambda i: {"model_type": "gpt2", "n_embd": 16 + 16 * (i % 2), "n_layer": 1 + i % 3, "n_head": 2,
                       "n_inner": 32 + 16 * i, "vocab_size": 256, "n_positions": 64},
    "qwen3": lambda i: {"model_type": "qwen3", "hidden_size": 16, "num_hidden_layers": 1 + i % 3, "head_dim": 8,
                        "num_attention_heads": 2, "num_key_value_heads": 1 + i % 2, "intermediate_size": 32 + 16 * i,
                        **SIZES},
    "scaled": lambda i: {**FAMILIES["llama"](i), "rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}},
}  # fmt: skip


@pytest.mark.parametrize(
    "kinds", [("llama", "gpt2"), ("qwen3", "llama"), ("gpt2", "qwen3", "scaled"), ("llama", "scaled")]
)
def test_suggestions_of_mixed_families_are_of_one_family_each(kinds: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "mixed.jsonl"
    header = {"schema": 1, "space": "hf", "metric": "loss", "higher_is_better": False}
    path.write_text("".join(json.dumps(x) + "\n" for x in (header, *_records(*(FAMILIES[kind] for kind in kinds)))))
    measured = load_benchmark(str(path)).architectures
    found = drawn(measured, 6, 1)
    fields = {a.config["model_type"]: set(a.config) for a in measured}
    assert found and all(set(a.config) == fields[a.config["model_type"]] for a in found)
    assert number_table(found).values.shape[0] == len(found)


def test_an_id_of_a_suggestion_names_one_configuration_for_ever(benchmark: Benchmark) -> None:  # noqa: F811
    first = drawn(benchmark.architectures, 8, 1)
    again = drawn([*benchmark.architectures, *first[:4]], 30, 2)
    names: dict[str, str] = {}
    for architecture in (*benchmark.architectures, *first, *again):
        assert names.setdefault(architecture.id, architecture.digest) == architecture.digest
    squatter = dataclasses.replace(benchmark.architectures[0], id=first[0].id)
    moved = drawn([squatter, *benchmark.architectures[1:]], 8, 1)
    assert len({a.id for a in (squatter, *moved)}) == len(moved) + 1


@pytest.mark.parametrize(
    "config", [FAMILIES["llama"](1), {"model_type": "bloom", "n_layer": 2, "n_head": 2, "hidden_size": 8}]
)
def test_candidates_that_labels_tell_nothing_of_are_one_line(
    config: dict[str, Any], tiny_benchmark: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text(json.dumps({"id": "other", "space": "hf", "config": config}) + "\n")
    code, shown, said = run(capsys, "suggest", "--benchmark", tiny_benchmark, "--candidates", path)
    assert code == 2 and shown == "" and "other: got the space hf, wanted gpt2, which tiny is of" in said


def test_candidates_come_from_a_file(
    tiny_benchmark: Path,
    benchmark: Benchmark,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = {**benchmark.architectures[0].config, "d_embed": 24}
    lines = [
        {"schema": 1, "space": "gpt2"},
        {"id": "mine", "config": config},
        {"id": "old", "config": dict(benchmark.architectures[1].config)},
    ]
    path = tmp_path / "candidates.jsonl"
    path.write_text("# mine\n" + "".join(json.dumps(line) + "\n" for line in lines))
    asked = ("suggest", "--benchmark", tiny_benchmark, "--format", "json", "--candidates", path)
    assert [row["id"] for row in json.loads(run(capsys, *asked)[1])["rows"]] == ["mine"]
    for bad, message in (
        ({"id": "x", "config": {**config, "n_layer": 0}}, "n_layer: got 0"),
        ({"id": None, "config": config}, "id: got nothing, wanted a text"),
        ({"id": "mine", "config": config}, "id occurs twice"),
    ):
        path.write_text(json.dumps(lines[1]) + "\n" + json.dumps(bad) + "\n")
        code, _, said = run(capsys, *asked)
        assert code == 1 and message in said and said.startswith("error: ") and said.count("\n") == 1


def test_where_all_is_measured_a_line_says_so(
    tiny_benchmark: Path,
    benchmark: Benchmark,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "known.jsonl"
    known = [
        {"id": f"again{i}", "space": "gpt2", "config": dict(a.config)} for i, a in enumerate(benchmark.architectures)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in known[:3]))
    code, shown, said = run(capsys, "suggest", "--benchmark", tiny_benchmark, "--candidates", path)
    assert code == 2 and shown == ""
    assert f"{path}: no architecture left that is not measured; give others with --candidates" in said


@pytest.mark.parametrize("beyond", [False, True])
def test_a_note_has_a_column_where_there_is_one(
    beyond: bool,
    tiny_benchmark: Path,
    benchmark: Benchmark,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = dict(benchmark.architectures[0].config)
    changed = {"n_layer": 9, "n_head": [1] * 9, "d_inner": [9000] * 9} if beyond else {"tgt_len": config["tgt_len"] + 1}
    path = tmp_path / "new.jsonl"
    path.write_text(json.dumps({"id": "new", "space": "gpt2", "config": config | changed}) + "\n")
    code, shown, _ = run(capsys, "suggest", "--benchmark", tiny_benchmark, "--candidates", path)
    assert code == 0 and ("extrapolates" in shown) == ("note" in shown) == beyond
