"""Mistakes in what `rank` is given, and its notes on what it left out: one line each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_rank import FAST, TEXTS, hall  # noqa: F401

import cli

RECORD = '{"id": "a", "config": {"n_layer": 2, "d_model": 64, "n_head": 4}}\n'
MISTAKES: list[tuple[tuple[str, ...], dict[str, str], str]] = [
    ((), {}, "wanted candidates: files or folders, or --sample N --space NAME"),
    (("--committee", "99", "x.jsonl"), {"x.jsonl": RECORD}, "--committee: got 99, wanted at most 4"),
    (("--hall", "H"), {}, "wanted candidates: files or folders, or --sample N --space NAME"),
    (("--hall", "H", "--proxy", TEXTS[0], "x"), {}, "wanted what ranks them"),
    (("--proxy", TEXTS[0], "--committee", "2", "x"), {}, "--committee: wanted --hall"),
    (("--hall", "H", "--committee", "9", "x"), {}, "--committee: got 9, wanted at most 3"),
    (("--hall", "H", "--sample", "3"), {}, "--space: got nothing, wanted one of gpt2, flexibert"),
    (("--hall", "H", "--sample", "3", "--space", "hf"), {}, "--space: got hf, wanted one of gpt2, flexibert"),
    (("--hall", "H", "meta-llama/Llama-3"), {}, "meta-llama/Llama-3: no such file or folder, and nothing is downloaded"),
    (("--hall", "H", "."), {}, ".: holds no candidates, wanted a config.json"),
    (("--hall", "H", "x.txt"), {"x.txt": ""}, "x.txt: got a file that is no .json, .jsonl, .csv or .parquet"),
    (("--hall", "H", "x.json"), {"x.json": "{"}, "x.json: not valid JSON"),
    (("--hall", "H", "x.json"), {"x.json": "{}"}, "x.json: model_type is missing"),
    (("--hall", "H", "x.json"), {"x.json": "3"}, "x.json: got int, wanted a mapping"),
    (("--hall", "H", "x.json"), {"x.json": '{"rows": 3}'}, "x.json: rows: got 3, wanted a list"),
    (("--hall", "H", "x.json"), {"x.json": '{"model_type": "lama"}'}, "x.json: model_type: got 'lama'"),
    (("--hall", "H", "b.json"), {"b.json": '{"model_type": "bloom", "n_layer": 2, "n_head": 2, "hidden_size": 8}'},
     "b: bloom: got 0 attention taps, wanted 2, one per layer"),
    (("--hall", "H", "x.jsonl"), {"x.jsonl": ""}, "x.jsonl: holds no candidate"),
    (("--hall", "H", "x.jsonl", "--space", "gpt2"), {"x.jsonl": "{}\n" + RECORD}, "the header has no schema, wanted {"),
    (("--hall", "H", "x.jsonl", "--space", "gpt2"), {"x.jsonl": '{"id": "a"\n'}, "x.jsonl, line 1: not valid JSON"),
    (("--hall", "H", "x.jsonl"), {"x.jsonl": '{"schema": 1, "space": "gtp"}\n' + RECORD}, "space: got 'gtp', wanted one of"),
    (("--hall", "H", "x.jsonl", "--space", "gpt2"), {"x.jsonl": '{"id": "a"}'}, "x.jsonl, line 1: config is missing"),
    (("--hall", "H", "x.jsonl", "--space", "flexibert"), {"x.jsonl": RECORD}, "record 0 (a): d_model: unknown field"),
    (("--hall", "H", "x", "--max-params", "10X"), {}, "'10X', wanted a number such as 10M; units are K, k, M, G, B, T"),
    (("--hall", "H", "x", "--max-flops", "-3G"), {}, "'-3G', wanted a number such as 10M"),
    (("--hall", "H", "x", "--max-latency", "5"), {}, "'5', wanted a number such as 5ms; units are us, ms, s"),
    (("--hall", "H", "x.jsonl", "--space", "gpt2", "--latency", "tpu"), {"x.jsonl": RECORD}, "devices: got 'tpu'"),
    (("--hall", "H", "x.jsonl", "--space", "gpt2", "--latency="), {"x.jsonl": RECORD}, "--latency: got an empty text"),
    (("--hall", "H", ""), {}, "PATHS: got an empty text"),
    (("--proxy", "sum[ frobenius_norm(W ]", "x"), {}, "wanted"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "files", "message"), MISTAKES, ids=lambda value: str(value)[:50])
def test_a_mistake_is_one_line(
    words: tuple[str, ...], files: dict[str, str], message: str, hall: Path, tmp_path: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    for name, content in files.items():
        Path(name).write_text(content)
    assert cli.main(["rank", *(str(hall) if word == "H" else word for word in words)]) in (1, 2)
    said = capfd.readouterr()
    errors = [line for line in said.err.splitlines() if not line.startswith("features as in the run")]
    assert said.out == "" and len(errors) == 1 and errors[0].startswith("error: ") and message in errors[0], said.err


def test_notes_about_a_ranking_say_how_many_and_the_first_twenty_refusals() -> None:
    from types import SimpleNamespace

    from commands.ranking import _least, _notes
    from models.candidates import Refusal

    def row(id: str, **more: Any) -> Any:
        fields = {"home": None, "outside": (), "seen": None, "score": 1.0, "reason": None} | more
        return SimpleNamespace(candidate=SimpleNamespace(architecture=SimpleNamespace(id=id), **fields))

    rows = [
        row("a", home="flexibert"), row("b", outside=("depth",), seen="search"), row("c", score=None, reason="nan", seen="x"),
    ]  # fmt: skip
    refused = [Refusal(f"r{i}", "bad") for i in range(21)]
    source: Any = None
    usual = {"depth": (1, 2000)}
    assert _notes(rows, refused, 2, source, usual) == [
        "2 candidates beyond the bounds are left out",
        "transfer: 1 of 3 candidates are of another space than flexibert",
        "1 of 3 candidates lie outside what the formula was evolved on: depth 1..2,000",
        "2 of 3 candidates were seen when the formula was chosen: no test of it",
        "c: no score (nan); last",
        "21 of 24 candidates could not be ranked; they stand last:",
        *(f"  r{i}: bad" for i in range(20)),
        "  and 1 more",
    ]
    assert (
        _notes([row("a")], refused[:20], 0, source, {})[-1] == "  r19: bad" and _notes([], refused, 0, source, {}) == []
    )
    counted: Any = {"a": SimpleNamespace(params=5000, flops=70), "b": SimpleNamespace(params=6000, flops=60)}
    times: Any = {"a": SimpleNamespace(median=0.002), "b": SimpleNamespace(median=0.001)}
    least = "the smallest has 5,000 parameters, the least FLOPs are 60"
    assert _least(counted, {}) == least and _least(counted, times) == f"{least}, the fastest takes 1 ms"
