"""Shelves: what is read back was written under that very key by the present version, or is nothing."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from storage.datum import Datum
from storage.files import BadFile
from storage.shelf import ArrayShelf, Shelf


def numbers(folder: Path, version: str = "1", limit: int = 10_000) -> Shelf[float]:
    return Shelf(folder, lambda name: version, lambda fields: fields["x"].number(), lambda x: {"x": x}, limit)


@pytest.fixture
def alarm() -> Iterator[None]:
    """A hang is a failure."""

    def ring(number: int, frame: object) -> None:
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(300)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def test_records_are_added_and_exact(tmp_path: Path) -> None:
    shelf = numbers(tmp_path)
    shelf.save("key", {"a": 0.1 + 0.2, "b": 1.0})
    shelf.save("key", {"b": -2.5, "c[ W ]": 1e300})
    assert shelf.load("key") == {"a": 0.1 + 0.2, "b": -2.5, "c[ W ]": 1e300} and not shelf.damaged("key")
    assert shelf.load("another") == {} and not shelf.damaged("another")


def test_records_of_another_version_are_absent_until_they_are_made_again(tmp_path: Path) -> None:
    numbers(tmp_path, "1").save("key", {"a": 1.0, "b": 2.0})
    later = numbers(tmp_path, "2")
    assert later.load("key") == {} and not later.damaged("key")
    later.save("key", {"a": 5.0})
    assert later.load("key") == {"a": 5.0} and numbers(tmp_path, "1").load("key") == {"b": 2.0}


@pytest.mark.parametrize("kind", ["records", "arrays"])
def test_an_entry_under_another_name_is_not_served(tmp_path: Path, kind: str) -> None:
    records, arrays = numbers(tmp_path), ArrayShelf(tmp_path, 10_000)
    for key, value in (("one", 1.0), ("two", 2.0)):
        records.save(key, {"a": value})
        arrays.save(key, {"a": np.array([value])})
    shelf = records if kind == "records" else arrays
    shelf.path("two").write_bytes(shelf.path("one").read_bytes())
    assert not shelf.load("two") and shelf.load("one")
    assert kind == "arrays" or records.damaged("two")


@pytest.mark.parametrize("place", [0, 40, -2])
def test_a_changed_entry_is_nothing(tmp_path: Path, place: int) -> None:
    records, arrays = numbers(tmp_path), ArrayShelf(tmp_path, 10_000)
    records.save("key", {"a": 1.25})
    arrays.save("key", {"a": np.arange(3.0), "b": np.zeros((0, 2), np.float32)})
    found = arrays.load("key")
    assert found is not None and set(found) == {"a", "b"} and found["b"].shape == (0, 2)
    for path in (records.path("key"), arrays.path("key")):
        content = bytearray(path.read_bytes())
        content[place] ^= 4
        path.write_bytes(content)
    assert records.load("key") == {} and records.damaged("key") and arrays.load("key") is None


def test_an_entry_that_would_get_too_large_is_a_sentence(tmp_path: Path) -> None:
    shelf = numbers(tmp_path, limit=300)
    shelf.save("key", {"a": 1.0})
    with pytest.raises(BadFile, match="21 records of one architecture fill it; remove the file"):
        shelf.save("key", {f"b{i}": 1.0 for i in range(20)})
    assert shelf.load("key") == {"a": 1.0}


def listen(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))


SPECIAL: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "folder": Path.mkdir,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "null": lambda path: path.symlink_to("/dev/null"),
    "socket": listen,
}


@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_file_is_refused_at_once(
    kind: str, tmp_path: Path, alarm: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    records, arrays = numbers(tmp_path), ArrayShelf(tmp_path, 10_000)
    SPECIAL[kind](records.path("key"))
    SPECIAL[kind](arrays.path("key"))
    assert records.load("key") == {} and arrays.load("key") is None
    for save in (lambda: records.save("key", {"a": 1.0}), lambda: arrays.save("key", {"a": np.zeros(1)})):
        with pytest.raises(BadFile, match="is no regular file, so nothing can be kept there; remove it"):
            save()


def test_a_record_that_no_reader_can_read_makes_the_entry_damaged(tmp_path: Path) -> None:
    Shelf(tmp_path, lambda name: "1", Datum.text, lambda text: {"y": text}).save("key", {"a": "text"})
    assert numbers(tmp_path).load("key") == {} and numbers(tmp_path).damaged("key")
