"""Tables as people have them: CSV that pandas wrote, Parquet, data frames; in, and out again."""

from __future__ import annotations

import csv
import io
import json
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import tiny_config

import cli
from fitness import Workshop, rank_candidates
from gp.hall_file import BadHall, hall_path
from models import load_benchmark, read_candidates
from models.architecture import Architecture
from models.benchmarks.benchmark import BadBenchmark
from models.benchmarks.layouts import read_benchmark
from models.spaces import SPACES


def architectures(count: int = 12) -> list[Architecture]:
    rng = random.Random(5)
    return [SPACES["gpt2"].architecture(f"a{i}", tiny_config(rng)) for i in range(count)]


def rows(measured: bool = True) -> list[dict[str, Any]]:
    """Rows of a user: fields in columns, lists per block, a loss; no header."""
    found = [{"id": a.id, **a.config} for a in architectures()]
    return [{**row, **({"val_loss": 3 + i / 8} if measured else {})} for i, row in enumerate(found)]


def written(path: Path, records: list[dict[str, Any]], index: bool = True, drop: tuple[str, ...] = ()) -> Path:
    """CSV as `DataFrame.to_csv` writes it: a column of row numbers without a name, lists as Python writes them."""
    records = [{k: v for k, v in r.items() if k not in drop} for r in records]
    sink = io.StringIO()
    out = csv.writer(sink, lineterminator="\n")
    out.writerow([*([""] if index else []), *records[0]])
    for i, r in enumerate(records):
        cells = [str(list(v)) if isinstance(v, tuple) else v for v in r.values()]
        out.writerow([*([i] if index else []), *cells])
    path.write_text(sink.getvalue())
    return path


class Frame:
    """Stand-in for a data frame of pandas, with NumPy's values in it."""

    def __init__(self, records: list[dict[str, Any]]) -> None:
        self.records, self.columns = records, list(records[0])

    def to_dict(self, orient: str) -> list[dict[str, Any]]:
        assert orient == "records"
        return [{k: np.array(v) if isinstance(v, tuple) else np.float64(v) if isinstance(v, float) else v
                 for k, v in r.items()} for r in self.records]  # fmt: skip


def test_a_table_that_pandas_wrote_says_its_space_metric_and_direction_by_its_columns(tmp_path: Path) -> None:
    found = read_benchmark(written(tmp_path / "mine.csv", rows()))
    assert (found.space, found.metric, found.higher_is_better) == ("gpt2", "val_loss", False)
    assert list(found.architectures) == architectures() and [a.id for a in found.architectures] == [
        f"a{i}" for i in range(12)
    ]
    assert found.ground_truth.tolist() == [3 + i / 8 for i in range(12)]
    numbered = read_benchmark(written(tmp_path / "numbered.csv", rows(), drop=("id",)))
    assert [a.id for a in numbered.architectures] == [str(i) for i in range(12)]
    gaps = [{**r, "n_layer": float(r["n_layer"]), "lr": "" if i else 0.1} for i, r in enumerate(rows())]
    with pytest.raises(BadBenchmark, match=r"nothing says the metric: got the columns val_loss, lr, wanted one"):
        read_benchmark(written(tmp_path / "two.csv", gaps))
    assert read_benchmark(written(tmp_path / "two.csv", gaps), metric="val_loss").architectures == found.architectures


@pytest.mark.parametrize(
    ("change", "drop", "message"),
    [
        ({"speed": 1.0}, ("val_loss",), "nothing says whether more speed is better, wanted a line '# higher_is_better"),
        ({}, ("val_loss",), "nothing says the metric: got no column of measured values"),
        ({}, ("d_model",), "nothing says the space, and the columns"),
    ],
)
def test_what_no_column_tells_is_asked_for(
    change: dict[str, Any], drop: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    path = written(tmp_path / "mine.csv", [{**r, **change} for r in rows()], drop=drop)
    with pytest.raises(BadBenchmark, match=message):
        read_benchmark(path)


def test_llama_and_encoders_are_known_by_their_columns(tmp_path: Path) -> None:
    for space in ("llama", "flexibert"):
        rng = random.Random(1)
        some = [SPACES[space].architecture(str(i), SPACES[space].sample(rng)) for i in range(12)]
        records = [{"id": a.id, **a.config, "accuracy": i} for i, a in enumerate(some)]
        found = read_benchmark(written(tmp_path / f"{space}.csv", records))
        assert (found.space, found.higher_is_better) == (space, True) and list(found.architectures) == some


def test_a_llama_whose_blocks_differ_is_a_row_of_a_table(tmp_path: Path) -> None:
    """Heads of one width that is not d_model / n_head, and other numbers of heads and other FFNs in every block."""
    config = {"n_layer": 2, "d_model": 64, "n_head": [4, 2], "n_kv_head": [2, 1], "n_token": 99, "tgt_len": 32}
    records = [{"id": f"a{i}", **config, "d_ffn": [64 + 8 * i, 192], "head_dim": 24, "loss": i} for i in range(12)]
    found = read_benchmark(written(tmp_path / "layers.csv", records))
    wanted = [
        SPACES["llama"].architecture(f"a{i}", {**config, "d_ffn": [64 + 8 * i, 192], "head_dim": 24}) for i in range(12)
    ]
    assert found.metric == "loss" and list(found.architectures) == wanted
    assert SPACES["llama"].parameters(wanted[0]).total < SPACES["llama"].parameters(wanted[1]).total
    assert {a.config["head_dim"] for a in found.architectures} == {24}


def test_a_data_frame_is_a_benchmark_and_candidates() -> None:
    found = load_benchmark(Frame(rows()), space="gpt2", metric="val_loss")
    assert list(found.architectures) == architectures() and found.name == "frame" and not found.higher_is_better
    assert load_benchmark(Frame(rows()), higher_is_better=True).higher_is_better
    assert found.digest == load_benchmark(Frame(rows())).digest != load_benchmark(Frame(rows()[:-1])).digest
    assert read_candidates(Frame(rows(measured=False))) == architectures()


def test_candidates_in_csv_are_read_and_a_bad_one_is_refused_alone(tmp_path: Path) -> None:
    bad = [{**r, "n_head": "[4, 5]"} if i == 3 else r for i, r in enumerate(rows())]
    refused: list[Any] = []
    found = read_candidates([written(tmp_path / "many.csv", bad)], None, refused)
    assert found == architectures()[:3] + architectures()[4:]
    assert [(r.id, r.space) for r in refused] == [("a3", "gpt2")] and "n_head" in refused[0].reason
    tokens = [{**r, "tokens": 1e9} for r in rows(measured=False)]
    assert {a.tokens for a in read_candidates([written(tmp_path / "t.csv", tokens)])} == {1e9}


def test_parquet_is_read_where_pandas_is_and_else_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.parquet"
    path.write_bytes(b"PAR1")
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pandas", None)
        with pytest.raises(BadBenchmark, match="got a Parquet file, wanted pandas with pyarrow: pip install"):
            load_benchmark(str(path))
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    with pytest.raises(BadBenchmark, match="no Parquet file that can be read"):
        load_benchmark(str(path))
    pandas.DataFrame([{k: list(v) if isinstance(v, tuple) else v for k, v in r.items()} for r in rows()]).to_parquet(
        path
    )
    assert list(load_benchmark(str(path)).architectures) == architectures() == read_candidates([path])
    pandas.DataFrame(rows()).to_csv(tmp_path / "mine.csv")
    assert list(load_benchmark(str(tmp_path / "mine.csv")).architectures) == architectures()


def test_a_ranking_in_python_is_that_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    path, formula = written(tmp_path / "some.csv", rows(measured=False)[:3]), "sum[ l1_norm(W) ]"
    where = [
        "--proxy",
        formula,
        "--bank",
        str(tmp_path / "bank"),
        "--devices",
        "cpu",
        "--batch",
        "2",
        "--seq-len",
        "12",
    ]
    assert cli.main(["rank", str(path), *where, "--format", "json"]) == 0
    said = json.loads(capfd.readouterr().out)["rows"]
    workshop = Workshop.open("gpt2", batch=2, length=12, bank=tmp_path / "bank", devices="cpu")
    ranking = rank_candidates(read_candidates([path]), formula, workshop)
    mine = ranking.records()
    assert [{n: v for n, v in row.items() if n != "notes"} for row in mine] == [
        {n: row[n] for n in mine[0] if n != "notes"} for row in said
    ]
    assert cli.main(["rank", str(path), *where, "--format", "csv"]) == 0
    header = capfd.readouterr().out.splitlines()[0].split(",")
    assert set(header) <= set(said[0]) and set(header) <= set(mine[0])
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="wanted pandas"):
        ranking.to_frame()


def test_the_directory_of_a_run_stands_for_its_hall_of_fame(tmp_path: Path) -> None:
    (tmp_path / "hall_of_fame.json").write_text("{}")
    assert hall_path(tmp_path) == tmp_path / "hall_of_fame.json" == hall_path(tmp_path / "hall_of_fame.json")
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        BadHall, match="has no hall_of_fame.json, wanted a finished run; finish it with evolve --resume"
    ):
        hall_path(tmp_path / "empty")
