"""Files: whole or absent, and nothing that is no file is replaced by one or waited for."""

from __future__ import annotations

import os
import socket
import stat
import threading
from pathlib import Path

import pytest

from models.benchmarks import load_benchmark
from models.tokens import TokenBatch
from storage.errors import ZcpError
from storage.files import BadFile, dump_json, load_json, parse_json, read_limited, sealed, unsealed, write_atomic
from storage.locks import held


def test_a_device_is_written_to_and_stays_one(tmp_path: Path) -> None:
    link = tmp_path / "null"
    link.symlink_to(os.devnull)
    for path in (Path(os.devnull), link):
        write_atomic(path, b"x")
        assert stat.S_ISCHR(path.stat().st_mode)
    assert link.is_symlink()


def test_a_pipe_that_is_read_gets_everything_and_one_that_is_not_is_refused(tmp_path: Path) -> None:
    pipe, got = tmp_path / "pipe", list[bytes]()
    os.mkfifo(pipe)
    with pytest.raises(BadFile, match="pipe: cannot be written .nobody reads it."):
        write_atomic(pipe, b"x")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reader, True)
    thread = threading.Thread(target=lambda: got.extend(iter(lambda: os.read(reader, 1 << 16), b"")))

    content = bytes(range(256)) * 2000  # more than a pipe holds
    writer = os.open(pipe, os.O_WRONLY)  # so that the reader does not see an end before the beginning
    thread.start()
    write_atomic(pipe, content)
    os.close(writer)
    thread.join(30)
    os.close(reader)
    assert b"".join(got) == content and stat.S_ISFIFO(pipe.stat().st_mode)


def test_folders_and_sockets_are_refused_and_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    (tmp_path / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        for name in ("folder", "socket"):
            with pytest.raises(BadFile, match=f"{name}: is a .*; give the name of a file"):
                write_atomic(tmp_path / name, b"x")
        assert stat.S_ISSOCK((tmp_path / "socket").stat().st_mode) and (tmp_path / "folder").is_dir()


def test_a_link_is_followed_and_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "there")
    write_atomic(tmp_path / "link", b"1")
    write_atomic(tmp_path / "link", b"2")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "there").read_bytes() == b"2"


@pytest.mark.parametrize("name", ["a\0b", "x" * 300])
def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadFile):
        write_atomic(tmp_path / name, b"x")
    with pytest.raises(BadFile):
        read_limited(tmp_path / name, 10, "a file")


@pytest.mark.parametrize("suffix", ["", ".json", ".jsonl", ".csv"])
def test_a_pipe_or_a_device_where_a_file_is_expected_is_refused_at_once(tmp_path: Path, suffix: str) -> None:
    pipe, zero = tmp_path / f"pipe{suffix}", tmp_path / f"zero{suffix}"
    os.mkfifo(pipe)
    zero.symlink_to("/dev/zero")
    for path in (pipe, zero):
        with pytest.raises(BadFile, match="it is no regular file"):
            load_json(path, 100, "a hall of fame")
        with pytest.raises(ZcpError, match="no regular file|no benchmark here"):
            load_benchmark(str(path))
        with pytest.raises(ZcpError):
            TokenBatch.from_file(path, 2, 8)


@pytest.mark.parametrize("name", ["\ud800", "a\udcffb", "\udfff\ud800", "ü\\ud800", "\U0001f480"])
@pytest.mark.parametrize("indent", [None, 2])
def test_what_is_written_is_read_back_equal_with_halves_of_characters_too(
    tmp_path: Path, name: str, indent: int | None
) -> None:
    data = sealed({"name": name, name: [name, 1]})
    write_atomic(tmp_path / "x.json", dump_json(data, indent))
    found = load_json(tmp_path / "x.json", 1000, "a file")
    assert found == data and unsealed(found, "x") == {"name": name, name: [name, 1]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1}', None),
        (b'\xef\xbb\xbf{"a": 1}', None),
        ('\ufeff{"a": 1}'.encode("utf-16-le"), "x: got UTF-16, wanted a file in UTF-8; save it as UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "x: got UTF-16"),
        (b'{"\xe4": 1}', "x: got the byte 0xe4 at 2, which is no UTF-8, wanted a file; save it as UTF-8"),
    ],
)
def test_json_is_utf8_with_or_without_a_byte_order_mark(content: bytes, message: str | None) -> None:
    if message is None:
        assert parse_json(content, "x", "a file") == {"a": 1}
        return
    with pytest.raises(BadFile, match=message):
        parse_json(content, "x", "a file")


def test_a_corpus_is_read_without_its_byte_order_mark(tmp_path: Path) -> None:
    for name, start in (("plain.txt", b""), ("marked.txt", b"\xef\xbb\xbf")):
        (tmp_path / name).write_bytes(start + bytes(range(40, 100)))
    plain, marked = (TokenBatch.from_file(tmp_path / name, 2, 24) for name in ("plain.txt", "marked.txt"))
    assert plain.digest == marked.digest


@pytest.mark.parametrize(
    ("content", "suffix"),
    [
        pytest.param(b'\xef\xbb\xbf{"schema": 1, "space": "gpt2", "metric": "loss", "higher_is_better": false}\n',
                     ".jsonl", id="json lines"),
        pytest.param(b"\xef\xbb\xbf[]", ".json", id="a published list"),
        pytest.param(b"\xef\xbb\xbf# space: gpt2\n# metric: loss\n# higher_is_better: false\nid,loss\n", ".csv",
                     id="a table"),
    ],
)  # fmt: skip
def test_a_benchmark_is_read_without_its_byte_order_mark(tmp_path: Path, content: bytes, suffix: str) -> None:
    (tmp_path / f"x{suffix}").write_bytes(content)
    with pytest.raises(ZcpError, match="got 0 architectures, 0 of them distinct"):
        load_benchmark(str(tmp_path / f"x{suffix}"))


@pytest.mark.parametrize("name", ["x" * 255, "ä" * 127, "x" * 199 + "ä" * 28])
def test_a_file_of_the_longest_name_is_written_and_a_longer_one_refused(tmp_path: Path, name: str) -> None:
    write_atomic(tmp_path / name, b"1")
    assert [path.name for path in tmp_path.iterdir()] == [name] and (tmp_path / name).read_bytes() == b"1"
    with pytest.raises(BadFile, match="cannot be written"):
        write_atomic(tmp_path / f"{name}xx", b"1")
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o022, 0o644), (0o002, 0o664), (0o027, 0o640)])
def test_files_have_the_mode_that_the_umask_leaves(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        write_atomic(tmp_path / "new.json", b"{}")
        write_atomic(tmp_path / "new.json", b"{}", tmp_path / "old.json")
        with held(tmp_path / ".x.lock"):
            found = [stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()]
    finally:
        os.umask(before)
    assert found == [mode] * 3
