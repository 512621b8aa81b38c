"""Benchmarks of one's own: the names people use, what may be left out, CSV, and the template."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from models.benchmarks.benchmark import BadBenchmark, Benchmark
from models.benchmarks.layouts import read_benchmark
from models.benchmarks.template import template
from models.spaces import SPACES

PLAIN = {"n_layer": 2, "d_model": 64, "d_embed": 64, "div_val": 1, "n_head": [4, 4], "d_inner": [256, 256],
         "n_token": 50257, "tgt_len": 1024, "cutoffs": []}  # fmt: skip
HEADER = {"schema": 1, "space": "gpt2", "metric": "loss", "higher_is_better": False}
COLUMNS = "# space: gpt2\n# metric: loss\n# a remark\n# higher_is_better: false\n"


def with_first(path: Path, config: dict[str, Any]) -> Benchmark:
    """A benchmark of twelve, the first with this configuration."""
    others = [PLAIN | {"d_inner": [128 + i, 256]} for i in range(11)]
    records = [{"id": i, "config": c, "loss": 3 + i / 9} for i, c in enumerate([config, *others])]
    path.write_text("".join(json.dumps(line) + "\n" for line in (HEADER, *records)))
    return read_benchmark(path)


@pytest.mark.parametrize(
    "config",
    [
        {"n_layer": 2, "d_model": 64, "n_head": 4},
        {"n_layer": 2, "d_model": 64, "n_head": 4, "d_inner": 256, "d_embed": -1},
        {"n_layer": 2, "n_embd": 64, "n_head": 4, "n_inner": None, "vocab_size": 50257, "n_positions": 1024},
        {"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 256},
        {"n_layer": 2, "d_model": 64, "n_embd": 64, "n_head": [4, 4], "n_ctx": 1024, "cutoffs": []},
    ],
)
def test_what_people_write_is_the_configuration_they_mean(tmp_path: Path, config: dict[str, Any]) -> None:
    found = with_first(tmp_path / "mine.jsonl", config).architectures[0]
    assert found == SPACES["gpt2"].architecture("0", PLAIN)


def test_two_names_of_one_field_must_agree(tmp_path: Path) -> None:
    message = "record 0 .0.: d_model: got 64 and, as n_embd, 32; keep one of them"
    with pytest.raises(BadBenchmark, match=message):
        with_first(tmp_path / "mine.jsonl", PLAIN | {"n_embd": 32})


@pytest.mark.parametrize("missing", ["n_layer", "d_model", "n_head"])
def test_what_has_no_default_is_asked_for(tmp_path: Path, missing: str) -> None:
    with pytest.raises(BadBenchmark, match=f"{missing}"):
        with_first(tmp_path / "mine.jsonl", {k: v for k, v in PLAIN.items() if k != missing})


@pytest.mark.parametrize("delimiter", [",", ";"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_csv_with_a_column_for_each_field_is_read(tmp_path: Path, delimiter: str, start: str) -> None:
    rows = [["id", "n_layer", "d_model", "n_head", "d_inner", "div_val", "loss", "accuracy"]]
    rows += [
        [f"net {i}", "2", "64", "4 4" if i % 2 else "4", f"{128 + i} 256", "", f"{3 + i / 8:.3f}", "1e-1"]
        for i in range(12)
    ]
    path = tmp_path / "mine.csv"
    path.write_text(start + COLUMNS + "\r\n".join(delimiter.join(row) for row in rows) + "\r\n", newline="")
    found = read_benchmark(path)
    assert len(found) == 12 and found.metric == "loss" and not found.higher_is_better
    assert found.ground_truth.tolist() == [3 + i / 8 for i in range(12)] and found.architectures[5].id == "net 5"
    assert found.architectures[5] == SPACES["gpt2"].architecture("x", PLAIN | {"d_inner": [133, 256]})
    with pytest.raises(BadBenchmark, match="accuracy: got 0.1 for each of the 12"):
        read_benchmark(path, metric="accuracy")


def test_csv_of_encoders_is_read(tmp_path: Path) -> None:
    lines = [
        "# space: flexibert",
        "# metric: glue",
        "# higher_is_better: true",
        "id,hidden_size,operation,heads,ffn_dim,ffn_stack,glue",
    ]
    lines += [
        f"{i},128,SDP {'DCT' if i % 2 else 'SDP'},{2 if i < 6 else '2 4'},{512 + i},1,{60 + i}" for i in range(12)
    ]
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(lines))
    found = read_benchmark(path)
    assert found.higher_is_better and dict(found.architectures[7].config) == {
        "hidden_size": 128, "operation": ("SDP", "DCT"), "heads": (2, 4), "ffn_dim": (519, 519), "ffn_stack": (1, 1)
    }  # fmt: skip


SHEET = [["# space: gpt2"], ["# metric: loss"], ["# higher_is_better: false"],
         ["id", "n_layer", "d_model", "n_head", "d_inner", "loss", "lr"]]  # fmt: skip
SHEET += [[f"m{i}", "2", "64", "[4, 4]" if i % 2 else "4", f"{128 + i} 256", f"{3 + i / 8}", "0.5"] for i in range(12)]


def written(separator: str, rows: list[list[str]], newline: str = "\r\n") -> bytes:
    """A table as a spreadsheet saves it: every line as wide as the widest, quotes where a cell needs them."""
    sink = io.StringIO(newline="")
    width = max(map(len, rows))
    csv.writer(sink, delimiter=separator, lineterminator=newline).writerows(
        [*row, *[""] * (width - len(row))] for row in rows
    )
    return sink.getvalue().encode()


def commas(rows: list[list[str]]) -> list[list[str]]:
    """A table with decimal commas."""
    return [row if row[0].startswith("#") else [cell.replace(".", ",") for cell in row] for row in rows]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(written(",", SHEET), id="padded comments"),
        pytest.param(b"\xef\xbb\xbf" + written(",", SHEET), id="and a byte order mark"),
        pytest.param(written(";", SHEET), id="semicolons"),
        pytest.param(written(";", commas(SHEET)), id="decimal commas"),
        pytest.param(written("\t", commas(SHEET)), id="tabs and decimal commas"),
        pytest.param(b"sep=;\r\n" + written(";", SHEET), id="a line that names the separator"),
        pytest.param(written(",", [*SHEET, [""], ["", ""]]), id="empty rows"),
        pytest.param(written(",", [[*row, "", ""] for row in SHEET]), id="empty columns"),
        pytest.param(written(",", [["# a, quoted, comment"], *SHEET]), id="a quoted comment"),
        pytest.param(written(",", [["# space:", "gpt2"], *SHEET[1:]]), id="a value in a cell of its own"),
        pytest.param(
            written(",", [[cell.replace("[4, 4]", "4,4") for cell in row] for row in SHEET]), id="no brackets"
        ),
        pytest.param(written(",", [[cell.replace("[4, 4]", "(4 4)") for cell in row] for row in SHEET]), id="a tuple"),
        pytest.param(written(",", [[f" {cell} " for cell in row] for row in SHEET], "\n"), id="blanks around cells"),
        pytest.param(written(",", [[c.replace("d_inner", "n_inner") for c in r] for r in SHEET]), id="another name"),
    ],
)
def test_a_table_is_read_as_spreadsheets_save_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mine.csv").write_bytes(content)
    found = read_benchmark(tmp_path / "mine.csv")
    assert found.ground_truth.tolist() == [3 + i / 8 for i in range(12)]
    wanted = [SPACES["gpt2"].architecture("x", PLAIN | {"d_inner": [128 + i, 256]}) for i in range(12)]
    assert list(found.architectures) == wanted and found.architectures[3].id == "m3"


RECORDS = [{"id": i, "config": PLAIN | {"d_inner": [128 + i, 256]}, "loss": 3 + i / 9} for i in range(12)]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (RECORDS, "line 1: got a record, wanted the header before the records; add a first line {.schema.: 1, "),
        ([{"id": "a", "n_layer": 2, "loss": 1}, *RECORDS], "line 1: got a record, wanted the header"),
        ([RECORDS[0], HEADER, *RECORDS[1:]], "line 1: got a record, wanted the header"),
        ([{k: v for k, v in HEADER.items() if k != "schema"}, *RECORDS], "the header has no schema, wanted {"),
        ([HEADER | {"schema": 2}, *RECORDS], "schema 2, this version reads schema 1; update the toolkit"),
    ],
)
def test_json_lines_without_a_header_are_told_what_it_is(tmp_path: Path, lines: list[Any], message: str) -> None:
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(BadBenchmark, match=message):
        read_benchmark(tmp_path / "mine.jsonl")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,n_layer,loss\n", "nothing says the space, and the columns id, n_layer, loss are not those"),
        (COLUMNS.replace("false", "down") + "id,loss\n", "higher_is_better: got 'down', wanted true or false"),
        (COLUMNS.replace("gpt2", "gtp2") + "id,loss\n", "space: got 'gtp2', wanted one of gpt2"),
        (COLUMNS.replace("gpt2", "") + "id,loss\n", "space: got nothing, wanted a name"),
        (COLUMNS.replace("metric: loss", "metric:") + "id,loss\n", "metric: got nothing, wanted a name"),
        (COLUMNS, "got 0 architectures, 0 of them distinct"),
        (COLUMNS + "id,loss,loss\n", "wanted distinct ones"),
        (COLUMNS + "id,n_layer,loss\na,1\n", "line 6: got 2 cells, wanted 3 as in the first row"),
        (COLUMNS + 'id,loss\n"a\nb",1\n', "line|quoted|CSV"),
        (COLUMNS + 'id,loss\n"a"b,1\n', "no valid CSV"),
        (COLUMNS + "id,n_layer,d_model,n_head,loss\na,2,64,4,low\n", "loss: got 'low', wanted a finite number"),
        (COLUMNS + "id,n_layer,d_model,n_head,loss\na,2.5,64,4,1\n", "n_layer: got 2.5, wanted a whole number"),
        (COLUMNS + "id,n_layer,d_model,n_head,loss\n,2,64,4,1\n", "id: wanted 1 to 200 printable"),
        (COLUMNS + "id,n_layer,d_model,n_head,loss\na,2,64,4,1\n", "1 of them distinct, wanted at least 10"),
        (COLUMNS + "id,n_layer,,loss\na,2,7,1\n", "column 3 has no name; name it or remove it"),
        (COLUMNS + "id,n_layer,loss\na,2,1,,5\n", "line 6: got 5 cells, wanted 3 as in the first row"),
        (COLUMNS + "id,n_layer,loss\na,\n", "line 6: got 2 cells, wanted 3 as in the first row"),
        (COLUMNS + "id;n_layer;d_model;n_head;loss;lr\na;2;64;4;3,5;0.1\n", "loss: got '3,5', wanted a finite number"),
        (COLUMNS + 'id,n_layer,d_model,n_head,loss\na,2,64,4,"3,5"\n', "loss: got '3,5', wanted a finite number"),
        (
            COLUMNS + 'id,n_layer,d_model,n_head,loss\na,2,64,"[4, 4, 8]",1\n',
            "n_head: got 3 entries, wanted a list of 2",
        ),
        (COLUMNS + "id,n_layer,d_model,n_head,loss\na,2,64,[4],1\n", "n_head: got 1 entries, wanted a list of 2"),
        (b"\xff\xfei\x00d\x00", "got UTF-16, wanted a benchmark in CSV in UTF-8; save it as UTF-8"),
        ("id,loss\nb\u00e4r,1\n".encode("latin1"), "byte 0xe4 at 9, which is no UTF-8, .* save it as UTF-8"),
    ],
)
def test_a_bad_table_is_one_sentence(tmp_path: Path, content: str | bytes, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BadBenchmark, match=message):
        read_benchmark(path)


@pytest.mark.parametrize("space", SPACES)
def test_the_template_is_read_once_there_are_enough_records(tmp_path: Path, space: str) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(template(space))
    with pytest.raises(BadBenchmark, match="got 2 architectures, 2 of them distinct, wanted at least 10"):
        read_benchmark(path)
    *_, last = template(space).splitlines()
    field = "d_model" if space in ("gpt2", "llama") else "hidden_size"
    record = json.loads(last)
    more = [
        {**record, "id": f"more{i}", "config": {**record["config"], field: 64 * (i + 5)}, "loss": i} for i in range(9)
    ]
    path.write_text(template(space) + "# a remark\n\n" + "".join(json.dumps(r) + "\n" for r in more))
    assert len(read_benchmark(path)) == 11
    assert all(len(line) <= 120 for line in template(space).splitlines() if line.startswith("#"))


def test_a_space_without_fields_of_its_own_has_no_columns(tmp_path: Path) -> None:
    path = tmp_path / "hf.csv"
    path.write_text("# space: hf\n# metric: loss\n# higher_is_better: false\nid,model_type,loss\na,llama,1\n")
    with pytest.raises(BadBenchmark, match="space: got hf, wanted gpt2, flexibert, llama; write it as JSON lines"):
        read_benchmark(path)


def test_a_template_of_an_unknown_space_is_refused() -> None:
    with pytest.raises(BadBenchmark, match="space: got 'gtp', wanted one of"):
        template("gtp")


@pytest.mark.parametrize(
    ("space", "known"),
    [
        ("gpt2", "d_embed = d_model, d_inner = 4 d_model."),
        ("llama", "n_kv_head = n_head, head_dim = d_model / n_head."),
    ],
)
def test_the_template_says_what_fields_follow_from_others(space: str, known: str) -> None:
    comments = " ".join(line[1:].strip() for line in template(space).splitlines() if line.startswith("#"))
    assert known in comments and "May be left out: " in comments
