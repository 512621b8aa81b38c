"""Sheets: numbers, separators, comments and widths of CSV files, and the lines about bad ones; Parquet without pandas."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from models import read_candidates
from models.benchmarks.benchmark import BadBenchmark
from models.benchmarks.layouts.columns import column_rows, field_columns, load_columns
from models.benchmarks.layouts.frame import frame_benchmark, frame_rows, load_parquet, parquet_rows
from models.benchmarks.layouts.sheet import numeric, parts_of, read_sheet
from models.candidates import BadCandidate, Refusal, drawn_candidates

PATH = Path("x.csv")


def sheet(*lines: str) -> Any:
    return read_sheet(list(enumerate(lines, start=1)), PATH)


@pytest.mark.parametrize(
    ("text", "comma", "value"),
    [
        ("12", False, 12), ("-3", False, -3), ("+3", True, 3), ("1.5", False, 1.5), (".5e-3", False, 0.0005),
        ("2.", False, 2.0), ("1,5", True, 1.5), (",5", True, 0.5), ("1,5", False, "1,5"), ("1,5e2", True, 150.0),
        ("true", False, True), ("FALSE", False, False), ("a", False, "a"), ("", False, ""), ("1e5", True, 1e5),
        ("9" * 18, False, int("9" * 18)), ("9" * 19, False, float("9" * 19)), ("0." + "1" * 57, False, float("0." + "1" * 57)),
        ("0." + "1" * 58, False, "0." + "1" * 58), ("1e1234", False, "1e1234"), ("nan", False, "nan"),
    ],
)  # fmt: skip
def test_a_cell_is_a_number_a_flag_or_a_text(text: str, comma: bool, value: Any) -> None:
    assert repr(numeric(text, comma)) == repr(value)


@pytest.mark.parametrize(
    ("cell", "parts"),
    [
        ("4 4 8", ["4", "4", "8"]), ("[4, 4, 8]", ["4", "4", "8"]), ("(4,)", ["4"]), ("['SDP', \"WMA\"]", ["SDP", "WMA"]),
        ("4; 4", ["4", "4"]), ("", []), ("[]", []), ("7", ["7"]),
    ],
)  # fmt: skip
def test_a_cell_has_an_entry_for_each_block(cell: str, parts: list[str]) -> None:
    assert parts_of(cell) == parts


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_separator_is_the_one_that_gives_most_columns(separator: str) -> None:
    found = sheet(
        "sep=;",
        "# space: gpt2",
        separator.join(["id", "a", "b c"]),
        separator.join(["x", "1", " 2 "]) + "\r",
        separator * 2,
    )
    assert found.said == {"space": "gpt2"} and found.comma == (separator != ",")
    assert found.rows == [(3, ["id", "a", "b c"]), (4, ["x", "1", "2"])]


def test_a_comma_is_a_decimal_mark_unless_some_number_has_a_point() -> None:
    assert sheet("id;a;b", "1;1,5;2").comma and not sheet("id;a;b", "1;1,5;2.5").comma
    assert sheet("id;a;b", "1.5;1,5;2").comma and sheet("a;b", "1.x;2").comma and not sheet("a,b", "1,2").comma
    assert sheet() == sheet("# a: b"[:0]) and not sheet().rows and not sheet().comma


def test_a_comment_may_have_its_value_in_a_cell_of_its_own() -> None:
    found = sheet('"# space: gpt2",,', "#metric:,loss", "# note: a, b", "a,b,c", "1,2,3")
    assert found.said == {"space": "gpt2", "metric": "loss", "note": "a"}


def test_cells_behind_the_last_name_are_empty() -> None:
    assert sheet("a,b,,", "1,2,,").rows == [(1, ["a", "b"]), (2, ["1", "2"])]
    for row, got in (("1", 1), ("1,2,3", 3), ("1,2,,4", 4)):
        with pytest.raises(BadBenchmark, match=f"x.csv, line 2: got {got} cells, wanted 2 as in the first row"):
            sheet("a,b,,", row)
    with pytest.raises(BadBenchmark, match=r"x.csv, line 2: no valid CSV \(.+\); a record is one line"):
        sheet("a,b", '"1,2')


FIELDS = "n_layer,d_model,d_embed,div_val,n_head,d_inner,n_token,tgt_len,cutoffs"
ROW = "1,16,16,1,2,32,300,64,"


def written(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def test_columns_of_fields_are_found_by_their_names(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", f"id,{FIELDS},loss", f"a,{ROW},1.5")
    assert field_columns(path, "gpt2") == {name: name for name in FIELDS.split(",")}
    assert column_rows(path, None)[0] == "gpt2" == column_rows(path, "gpt2")[0] and column_rows(path, "hf")[0] == "hf"
    rows = [f"a{i},{ROW.replace('32', str(32 + i))},{1.5 + i}" for i in range(10)]
    found = load_columns(written(tmp_path / "b.csv", f"id,{FIELDS},loss", *rows), "b", None)
    assert found.ground_truth.tolist() == [1.5 + i for i in range(10)] and found.metric == "loss"
    with pytest.raises(BadBenchmark, match="a.csv: column 3 has no name; name it or remove it"):
        column_rows(written(tmp_path / "a.csv", "id,a,,b", "1,2,3,4"), "gpt2")
    with pytest.raises(BadBenchmark, match="a.csv: got the columns a, a, wanted distinct ones"):
        column_rows(written(tmp_path / "a.csv", "a,a", "1,2"), "gpt2")


class Frame:
    """Stand-in for a data frame of pandas."""

    def __init__(self, records: list[dict[Any, Any]], columns: list[Any] | None = None) -> None:
        self.records, self.columns = records, columns if columns is not None else list(records[0])

    def to_dict(self, orient: str) -> list[dict[Any, Any]]:
        assert orient == "records"
        return self.records


def test_rows_of_a_frame_are_plain_values() -> None:
    assert frame_rows(Frame([{1: np.int64(3), "b": np.array([1, 2]), "c": None}]), "x") == [
        {"1": 3, "b": [1, 2], "c": None}
    ]
    with pytest.raises(BadBenchmark, match="x: got the columns a, a, wanted distinct ones"):
        frame_rows(Frame([{"a": 1}], ["a", "a"]), "x")
    assert len(frame_rows(Frame([{"a": 1}] * 50_000), "x")) == 50_000
    with pytest.raises(BadBenchmark, match="x: got 50,001 rows, wanted at most 50,000"):
        frame_rows(Frame([{"a": 1}] * 50_001), "x")


def records() -> list[dict[str, Any]]:
    values = [dict(zip(FIELDS.split(","), (1, 16, 16, 1, [2], [32 + i], 300, 64, []), strict=True)) for i in range(10)]
    return [{"id": f"a{i}", **fields, "loss": 1.5 + i} for i, fields in enumerate(values)]


class ArrowException(Exception):
    """Stand-in for pyarrow's error."""


@pytest.fixture
def pandas(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Modules with the one function and the one error that are used of pandas and pyarrow."""
    fake, arrow = ModuleType("pandas"), ModuleType("pyarrow")
    fake.read_parquet = lambda path: Frame(records())  # type: ignore[attr-defined]
    arrow.ArrowException = ArrowException  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pandas", fake)
    monkeypatch.setitem(sys.modules, "pyarrow", arrow)
    return fake


def test_parquet_is_read_by_pandas(pandas: Any, tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet", "x")
    assert [row["id"] for row in parquet_rows(path)] == [f"a{i}" for i in range(10)]
    found = load_parquet(path, "mine", None)
    assert (found.name, found.space, found.metric, found.ground_truth[1]) == ("mine", "gpt2", "loss", 2.5)
    assert [a.id for a in read_candidates([path])] == [f"a{i}" for i in range(10)]
    other = frame_benchmark(Frame(records()), "gpt2", "loss", True, "mine")
    assert other.higher_is_better and other.digest != found.digest

    for error in (ArrowException("bad"), OSError("bad"), ValueError("bad")):

        def refuse(path: Path, error: Exception = error) -> Frame:
            raise error

        pandas.read_parquet = refuse
        with pytest.raises(BadBenchmark, match=r"a.parquet: no Parquet file that can be read \(bad\); write it again"):
            parquet_rows(path)
    for read in (parquet_rows, lambda path: load_parquet(path, "mine", None)):
        with pytest.raises(Exception, match="gone.parquet"):
            read(tmp_path / "gone.parquet")


# Candidates


def test_files_without_candidates_are_refused_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    cases = {
        written(tmp_path / "a.csv", FIELDS): "a.csv: holds no candidate, wanted a row for each below the names",
        written(tmp_path / "b.csv", "# space: other", FIELDS, ROW): "b.csv: space: got other, wanted one of gpt2",
        written(
            tmp_path / "c.txt", "x"
        ): "c.txt: got a file that is no .json, .jsonl, .csv or .parquet, wanted a config",
        written(tmp_path / "d.jsonl", "# only"): "d.jsonl: holds no candidate, wanted one JSON object a line with id",
        written(tmp_path / "e.json", '{"a": 1}'): "e.json: model_type is missing, wanted the config.json of a Hugging",
        tmp_path / "empty": "empty: holds no candidates, wanted a config.json or a folder with one",
        tmp_path / "gone": "gone: no such file or folder, and nothing is downloaded; give the path of",
    }
    for path, said in cases.items():
        with pytest.raises(BadCandidate, match=said):
            read_candidates([path])


def test_rows_that_cannot_be_read_are_refused_with_what_is_known_of_them(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.csv", f"id,{FIELDS},tokens", f"a,{ROW},5", f"b,{ROW.replace('16', '-1', 1)},", f"c,{ROW},0"
    )
    refused = list[Refusal]()
    (found,) = read_candidates([path], refused=refused)
    assert (found.id, found.tokens) == ("a", 5.0)
    assert [(r.id, r.space) for r in refused] == [("b", "gpt2"), ("c", "gpt2")]
    assert "a.csv: record 1 (b): d_model: got -1, wanted a whole number" in refused[0].reason
    assert refused[0].config is not None and refused[0].config["d_model"] == -1
    assert "tokens: got 0, wanted a number above 0" in refused[1].reason
    with pytest.raises(Exception, match="d_model: got -1"):
        read_candidates([path])


def test_ids_of_several_files_are_told_apart_by_their_files(tmp_path: Path) -> None:
    paths = [written(tmp_path / name, f"id,{FIELDS}", f"a,{ROW}", f"{name},{ROW}") for name in ("a.csv", "b.csv")]
    ids = [a.id for a in read_candidates([*paths, paths[0]])]
    assert ids == [
        f"{paths[0]}: a",
        f"{paths[0]}: a.csv",
        f"{paths[1]}: a",
        "b.csv",
        f"{paths[0]}: a (2)",
        f"{paths[0]}: a.csv (2)",
    ]


def test_drawn_candidates_are_the_same_for_a_seed() -> None:
    found = drawn_candidates("gpt2", 3, 5)
    assert [a.id for a in found] == ["gpt2-5-0", "gpt2-5-1", "gpt2-5-2"] and found == drawn_candidates("gpt2", 3, 5)
    assert found != drawn_candidates("gpt2", 3, 6)
