"""Candidates and tables record by record: what their columns say, what is kept of bad ones, exact lines."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from models import candidates
from models.architecture import BadArchitecture
from models.benchmarks.benchmark import BadBenchmark
from models.benchmarks.layouts import unsaid
from models.benchmarks.layouts.columns import column_rows, field_value
from models.benchmarks.layouts.frame import frame_benchmark, frame_rows
from models.benchmarks.layouts.unsaid import completed, records_of, space_of
from models.candidates import BadCandidate, Refusal, read_candidates
from models.spaces.llama.relatives import _multiplied
from storage.errors import ZcpError

GPT2 = {"n_layer": 1, "d_model": 16, "n_head": 2}
LLAMA = {"n_layer": 1, "d_model": 16, "n_head": 2, "d_ffn": 32}
WANTED = (
    "gpt2: n_layer, d_model, n_head; flexibert: hidden_size, operation, heads, ffn_dim, ffn_stack; llama: n_layer, "
    "d_model, n_head, d_ffn"
)


@pytest.mark.parametrize(
    ("columns", "space"),
    [
        (["n_layer", "d_model", "n_head"], "gpt2"), (["n_layer", "n_embd", "n_head", "d_inner"], "gpt2"),
        (["n_layer", "d_model", "n_head", "d_ffn"], "llama"),
        (["num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size", "num_key_value_heads"], "llama"),
        (["hidden_size", "operation", "heads", "ffn_dim", "ffn_stack"], "flexibert"),
    ],
)  # fmt: skip
def test_the_space_is_the_one_whose_fields_are_columns(columns: list[str], space: str) -> None:
    assert space_of([*columns, "id", "loss"], "x") == space
    assert completed({}, [*columns, "id", "loss"], None, "x") == {
        "space": space, "metric": "loss", "higher_is_better": False
    }  # fmt: skip


@pytest.mark.parametrize("columns", [["id", "loss"], ["n_layer", "d_model"], ["x" * 99, "y" * 120]])
def test_columns_of_no_space_are_refused(columns: list[str]) -> None:
    with pytest.raises(BadBenchmark) as caught:
        space_of(columns, "x")
    assert str(caught.value) == (
        f"x: nothing says the space, and the columns {', '.join(columns)[:200]} are not those of one; wanted columns "
        f"such as {WANTED}; or the space, as --space or in a line '# space: NAME' before the columns"
    )


def test_words_of_metrics_and_columns_of_row_numbers_stay_as_they_are() -> None:
    assert unsaid.INDEX == ("", "Unnamed: 0")
    assert completed({"metric": "speed", "higher_is_better": True}, [*GPT2], "loss", "x") == {
        "space": "gpt2", "metric": "speed", "higher_is_better": True
    }  # fmt: skip
    assert completed({"space": "gpt2"}, ["a", "b"], "acc", "x")["higher_is_better"] is True
    for metric in ("speed", "loss_acc"):
        with pytest.raises(BadBenchmark) as caught:
            completed({"space": "gpt2"}, [], metric, "x")
        assert str(caught.value) == (
            f"x: nothing says whether more {metric} is better, wanted a line '# higher_is_better: false' (or true) "
            "before the columns"
        )


def test_a_row_has_an_id_measured_values_and_a_configuration() -> None:
    row = {"Unnamed: 0": 4.0, "": None, "n_layer": 1.0, "loss": math.nan, "note": "", "sd": 0.0, "d_inner": (2.0, 3.5)}
    assert records_of([row], "gpt2", "x") == [{"id": 4, "sd": 0.0, "config": {"n_layer": 1, "d_inner": [2, 3.5]}}]
    with pytest.raises(BadBenchmark) as caught:
        records_of([row], "hf", "x")
    assert str(caught.value) == "x: space: got hf, wanted gpt2, flexibert, llama; write it as JSON lines"


class Frame:
    """Stand-in for a data frame of pandas."""

    def __init__(self, records: list[dict[str, Any]]) -> None:
        self.records, self.columns = records, list(records[0])

    def to_dict(self, orient: str) -> list[dict[str, Any]]:
        return self.records


def test_the_digest_of_a_frame_does_not_depend_on_the_order_of_its_columns() -> None:
    rows = [{"id": f"a{i}", **GPT2, "d_inner": 32 + i, "loss": 1.5 + i} for i in range(12)]
    turned = [dict(reversed(row.items())) for row in rows]
    found = [frame_benchmark(Frame(some), None, None, None, "x") for some in (rows, turned)]
    assert found[0].digest == found[1].digest and found[0].architectures == found[1].architectures
    with pytest.raises(BadBenchmark) as caught:
        names = Frame([{"a" * 150: 1, "b" * 150: 2}])
        names.columns *= 2
        frame_rows(names, "x")
    assert str(caught.value) == f"x: got the columns {'a' * 150}, {'b' * 48}, wanted distinct ones"


def test_candidates_of_a_frame_are_of_the_space_that_is_named_or_that_its_columns_say() -> None:
    rows = [{"id": "a", **GPT2}]
    assert [(a.id, a.space) for a in read_candidates(Frame(rows))] == [("a", "gpt2")]
    assert [a.space for a in read_candidates(Frame(rows), "gpt2")] == ["gpt2"]
    with pytest.raises(BadCandidate, match="^frame: space: got odd, wanted one of gpt2"):
        read_candidates(Frame(rows), "odd")


def test_an_id_that_is_taken_gets_a_number() -> None:
    taken = {"a", "a (2)", "b"}
    assert [candidates._apart(id, taken) for id in ("a", "a", "c", "b")] == ["a (3)", "a (4)", "c", "b (2)"]
    long = "x" * 199 + "yz"
    assert [candidates._apart(long, taken) for _ in range(2)] == [long[1:], long[5:] + " (2)"]
    assert taken >= {"a (3)", "a (4)", "c", "b (2)", long[1:]}


MOBILE = {"model_type": "mobilellm", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
          "num_key_value_heads": 1, "intermediate_size": 48, "vocab_size": 300}  # fmt: skip


def test_a_relative_of_llama_is_read_as_one_where_that_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(MOBILE))
    (found,) = read_candidates([path], "llama")
    assert (found.id, found.space, found.config["d_ffn"]) == (tmp_path.name, "llama", (48,))
    hint = "; --space llama reads its sizes as those of LLaMA's blocks"
    for space in (None, "hf"):
        with pytest.raises(BadCandidate) as caught:
            read_candidates([path], space)
        assert str(caught.value).startswith(f"{path}: model_type: got 'mobilellm'") and str(caught.value).endswith(hint)
    path.write_text(json.dumps(MOBILE | {"num_hidden_layers": 0}))
    with pytest.raises(BadCandidate) as caught:
        read_candidates([path], "llama")
    assert str(caught.value) == f"{path}: num_hidden_layers: got 0, wanted a whole number from 1"
    path.write_text(json.dumps(MOBILE | {"model_type": "lama"}))
    with pytest.raises(BadCandidate) as caught:
        read_candidates([path], "llama")
    assert "--space llama" not in str(caught.value)


def test_what_rank_printed_is_read_with_its_refusals(tmp_path: Path) -> None:
    path, refused = tmp_path / "rows.json", list[Refusal]()
    rows: list[Any] = [
        {"id": "a", "space": "gpt2", "config": GPT2, "reason": None},
        {"id": "b", "space": None, "config": {}, "reason": "bad b"}, {"id": "c", "space": "gpt2", "config": None, "reason": "bad c"},
        {"id": "d", "space": "gpt2", "config": GPT2 | {"n_layer": -1}, "reason": None},
    ]  # fmt: skip
    config = {
        **GPT2,
        "d_embed": 16,
        "div_val": 1,
        "n_head": [2],
        "d_inner": [32],
        "n_token": 300,
        "tgt_len": 64,
        "cutoffs": [],
    }
    rows[0]["config"], rows[3]["config"] = config, config | {"n_layer": -1}
    path.write_text(json.dumps({"rows": rows}))
    assert [a.id for a in read_candidates([path], None, refused)] == ["a"]
    assert refused[:2] == [Refusal("b", "bad b"), Refusal("c", "bad c")]
    assert (refused[2].id, refused[2].space, refused[2].config) == ("d", "gpt2", config | {"n_layer": -1})
    path.write_text(json.dumps({"rows": rows[1:2]}))
    with pytest.raises(ValueError, match="space: got None, wanted a text"):
        read_candidates([path])


def test_an_id_that_cannot_be_printed_is_that_of_the_place(tmp_path: Path) -> None:
    path, refused = tmp_path / "a.jsonl", list[Refusal]()
    lines: list[Any] = [
        {"id": "a\u0007", "space": "gpt2", "config": {"x": 1}}, {"id": "b", "space": 3, "config": {}}, {"id": "c", "space": "gpt2", "config": {}},
        {"id": "d", "space": "gpt2", "config": GPT2, "tokens": 7}, {"id": "e", "space": "gpt2", "config": GPT2, "tokens": None},
    ]  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert [(a.id, a.tokens) for a in read_candidates([path], None, refused)] == [("d", 7.0), ("e", None)]
    assert [(r.id, r.space, r.config) for r in refused] == [
        (f"{path}, line 1", "gpt2", {"x": 1}), ("b", None, None), ("c", "gpt2", None),
    ]  # fmt: skip
    assert Refusal("a", "b") == Refusal("a", "b", None, None)


@pytest.mark.parametrize(
    ("name", "cell", "space", "value"),
    [
        ("id", "3", "gpt2", "3"), ("loss", "", "gpt2", ""), ("loss", 3, "gpt2", 3), ("loss", "1,5", "gpt2", "1,5"),
        ("n_layer", "3", "gpt2", 3), ("n_head", "4", "gpt2", 4), ("n_head", "[4]", "gpt2", [4]), ("n_head", "(4,)", "gpt2", [4]),
        ("num_attention_heads", "4 8", "gpt2", [4, 8]), ("d_inner", "4.5", "gpt2", [4.5]), ("cutoffs", "4", "gpt2", [4]),
        ("operation", "SDP", "flexibert", ["SDP"]), ("n_head", "4 8", "hf", "4 8"), ("d_ffn", "8", "llama", 8),
    ],
)  # fmt: skip
def test_a_cell_is_a_value_or_one_for_each_block(name: str, cell: Any, space: str, value: Any) -> None:
    assert repr(field_value(name, cell, space)) == repr(value)
    assert field_value("loss", "1,5", "gpt2", True) == 1.5


def test_names_of_columns_are_shown_as_far_as_200_characters(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"{'a' * 150},{'b' * 150},{'b' * 150}\n1,2,3\n")
    with pytest.raises(BadBenchmark) as caught:
        column_rows(path, "gpt2")
    assert str(caught.value) == f"{path}: got the columns {'a' * 150}, {'b' * 48}, wanted distinct ones"


@pytest.mark.parametrize(
    ("width", "factor", "inner"), [(513, 1.5, 768), (512, 1.5, 512), (3, 64, 256), (768, 64, 32768)]
)
def test_the_width_inside_an_ffn_of_nemotron_is_the_next_multiple_of_256(width: int, factor: float, inner: int) -> None:
    assert _multiplied({"ffn_mult": factor}, width, "x") == inner
    for other in (64.01, 0, "1"):
        with pytest.raises(BadArchitecture) as caught:
            _multiplied({"ffn_mult": other}, width, "x")
        assert str(caught.value) == f"x.ffn_mult: got {other}, wanted a number above 0"


@pytest.mark.parametrize(("count", "message"), [(100_000, "rows[0]"), (100_001, "rows: ")])
def test_the_rows_of_rank_are_at_most_100000(count: int, message: str, tmp_path: Path) -> None:
    path = tmp_path / "ranked.json"
    path.write_text(json.dumps({"rows": [0] * count}))
    with pytest.raises(ZcpError) as caught:
        read_candidates([path])
    assert message in str(caught.value)
