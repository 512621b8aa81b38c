"""The record log: only whole, undamaged lines count, whatever happened to the file."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from storage import BadFile, OtherTask, RecordLog

HEADER = {"task": 1}
RUNS = [{"run": 1, "loss": 0.25}, {"run": 2, "loss": 3.5}]


def written(path: Path, header: dict | None = None) -> Path:
    """A log of two runs."""
    with RecordLog.open(path, header, most=10) as log:
        for run in RUNS:
            log.append(run)
    return path


def held_by(path: Path, header: dict | None = None, **options: object) -> list[dict]:
    with RecordLog.open(path, header, **{"most": 10, **options}) as log:
        return log.records


@pytest.mark.parametrize("header", [None, HEADER])
def test_a_log_gives_back_its_records(tmp_path: Path, header: dict | None) -> None:
    path = written(tmp_path / "deep" / "log.jsonl", header)
    assert held_by(path, header) == RUNS and [p.name for p in path.parent.iterdir()] == ["log.jsonl"]
    if header is None:
        assert path.read_text() == "".join(json.dumps(run, sort_keys=True) + "\n" for run in RUNS)


@pytest.mark.parametrize("header", [None, HEADER])
@pytest.mark.parametrize("torn", [b'{"run": 3', b'{"run": 3}', b"\xff\n", b"[]\n", b'{"run": 1e999}\n'[:-1]])
def test_a_torn_last_line_is_cut_and_the_log_goes_on(tmp_path: Path, torn: bytes, header: dict | None) -> None:
    path = written(tmp_path / "log.jsonl", header)
    before = path.read_bytes()
    path.write_bytes(before + torn)
    with RecordLog.open(path, header, most=10) as log:
        assert log.records == RUNS and path.read_bytes() == before
        log.append({"run": 3})
    assert held_by(path, header) == [*RUNS, {"run": 3}]


def test_every_flipped_bit_of_a_log_with_a_header_is_noticed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = written(tmp_path / "log.jsonl", HEADER)
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for at in range(0, len(whole) - 1, 3):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        caplog.clear()
        records = held_by(path, HEADER)
        assert all(record in RUNS for record in records) and len(records) <= (1 if at >= first else 0), at
        said = "damaged lines are left out" if at >= first else "damaged in its first line, put aside"
        assert said in caplog.text
        assert at >= first or (tmp_path / "log.damaged").exists()
        assert held_by(path, HEADER) == records


def test_a_log_with_a_torn_header_starts_again(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"ta')
    assert held_by(path, HEADER) == []
    assert held_by(written(path, HEADER), HEADER) == RUNS


def test_a_log_of_another_task_is_refused_and_kept(tmp_path: Path) -> None:
    path = written(tmp_path / "log.jsonl", HEADER)
    before = path.read_bytes()
    with pytest.raises(OtherTask, match="begun with other values of task; restore them, or remove the file"):
        held_by(path, {"task": 2})
    assert path.read_bytes() == before


def test_only_wanted_records_stay_and_no_more_than_there_can_be(tmp_path: Path) -> None:
    path = written(tmp_path / "log.jsonl")
    assert held_by(path, wanted=lambda record: record["run"] == 2) == RUNS[1:] == held_by(path)
    assert held_by(written(path), most=0) == [] and path.read_bytes() == b""


def test_a_second_writer_of_a_log_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with (
        RecordLog.open(path, HEADER, most=1),
        pytest.raises(BadFile, match="another process writes it"),
        RecordLog.open(path, HEADER, most=1),
    ):
        pass


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(BadFile, match="it is no regular file"):
            held_by(tmp_path / name)
