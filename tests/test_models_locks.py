"""Locks and temporary files: held while their process lives, swept when it is gone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from storage.files import BadFile, sealed, unsealed, write_atomic
from storage.locks import held, sweep, temporary

HOLD = """
import sys
from pathlib import Path
from storage.locks import held, temporary
with held(Path(sys.argv[1]) / ".a.lock"), temporary(Path(sys.argv[1]), "b"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_is_for_one_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / ".a.lock"
    with held(path) as mine, held(path) as other:
        assert mine and not other
        sweep(tmp_path)
        assert path.exists()
    assert not list(tmp_path.iterdir())
    with held(path) as mine:
        assert mine


def test_what_a_killed_process_held_is_free_and_swept(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               cwd=Path(__file__).parent.parent)  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == b"held\n"
    sweep(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    with held(tmp_path / ".a.lock") as mine:
        assert not mine
    process.kill()
    process.communicate()
    with held(tmp_path / ".a.lock", wait=True) as mine:
        assert mine
    sweep(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_temporary_file_is_gone_unless_renamed(tmp_path: Path) -> None:
    with pytest.raises(KeyError), temporary(tmp_path, "x") as (_, path):
        assert path.exists()
        raise KeyError
    assert not list(tmp_path.iterdir())
    with temporary(tmp_path, "x") as (_, path):
        os.replace(path, tmp_path / "x")
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_the_previous_content_is_kept_under_its_name(tmp_path: Path) -> None:
    for content in (b"1", b"2", b"3"):
        write_atomic(tmp_path / "x", content, tmp_path / "old")
    assert (tmp_path / "x").read_bytes() == b"3" and (tmp_path / "old").read_bytes() == b"2"
    with pytest.raises(BadFile, match="cannot be written"):
        write_atomic(tmp_path / "x" / "y", b"4")
    assert {p.name for p in tmp_path.iterdir()} == {"x", "old"}


def test_a_seal_notices_any_other_content() -> None:
    data = sealed({"a": [1, 0.5], "b": "ü"})
    assert unsealed(data, "x") == {"a": [1, 0.5], "b": "ü"}
    for bad in (
        {**data, "a": [1]},
        {"a": 1},
        {**data, "digest": None},
        {"a": 1e999, "digest": 1},
        {"a": "\ud800"},
        [],
        None,
    ):
        with pytest.raises(BadFile, match="^x: got"):
            unsealed(bad, "x")
    assert unsealed({"a": 1}, "x", required=False) == {"a": 1}
