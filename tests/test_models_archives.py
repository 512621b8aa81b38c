"""Archives: plain files below the folder, and a sentence for everything else."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from models.benchmarks import archives
from models.benchmarks.archives import is_archive, unpack
from models.benchmarks.benchmark import BadBenchmark

SUFFIXES = {
    ".zip": "",
    ".tar": "",
    ".tar.gz": "gz",
    ".tgz": "gz",
    ".tar.bz2": "bz2",
    ".tbz2": "bz2",
    ".tar.xz": "xz",
    ".txz": "xz",
}


def packed(folder: Path, suffix: str, name: str, content: bytes = b"x", times: int = 1) -> Path:
    path = folder / f"a{suffix}"
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
            for _ in range(times):
                made.writestr(name, content)
        return path
    with tarfile.open(path, f"w:{SUFFIXES[suffix]}") as tar:
        for _ in range(times):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def linked(kind: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        with tarfile.open(folder / "a.tar.gz", "w:gz") as tar:
            member = tarfile.TarInfo("link")
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
        return folder / "a.tar.gz"

    return make


def zip_link(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "a.zip", "w") as made:
        entry = zipfile.ZipInfo("link")
        entry.external_attr = 0o120777 << 16
        made.writestr(entry, "/etc/passwd")
    return folder / "a.zip"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_plain_files_arrive(tmp_path: Path, suffix: str) -> None:
    archive = packed(tmp_path, suffix, "deep/er/f.yaml", b"a: 1")
    assert is_archive(archive.name)
    unpack(archive, tmp_path / "out")
    assert (tmp_path / "out/deep/er/f.yaml").read_bytes() == b"a: 1"


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
@pytest.mark.parametrize("name", ["/tmp/evil", "../evil", "a/../../evil", "a\\..\\evil", "C:evil", "a\x1bb"])
def test_a_path_that_leads_elsewhere_is_refused(tmp_path: Path, suffix: str, name: str) -> None:
    with pytest.raises(BadBenchmark, match="would lie outside the benchmark's folder, refused"):
        unpack(packed(tmp_path, suffix, name), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == [f"a{suffix}"]


@pytest.mark.parametrize(
    "make", [zip_link, *map(linked, (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE))]
)
def test_links_and_special_files_are_refused(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    with pytest.raises(BadBenchmark, match="is a link or a special file, refused"):
        unpack(make(tmp_path), tmp_path / "out")
    assert not os.path.lexists(tmp_path / "out" / "link")


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_too_much_is_refused(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = packed(tmp_path, suffix, "bomb", bytes(65 << 20))
    assert bomb.stat().st_size < 100_000
    with pytest.raises(BadBenchmark, match="more than 67,108,864 bytes unpacked, refused"):
        unpack(bomb, tmp_path / "out")
    monkeypatch.setattr(archives, "MAX_MEMBERS", 1)
    (tmp_path / "out" / "bomb").unlink()
    with pytest.warns(UserWarning) if suffix == ".zip" else pytest.MonkeyPatch.context():
        twice = packed(tmp_path, suffix, "f", times=2)
    with pytest.raises(BadBenchmark, match="more than 1 members, refused"):
        unpack(twice, tmp_path / "out")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("cut", [0, 40, 300])
def test_a_torn_archive_is_refused(tmp_path: Path, suffix: str, cut: int) -> None:
    path = packed(tmp_path, suffix, "f", os.urandom(5000))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(BadBenchmark, match="cannot be unpacked"):
        unpack(path, tmp_path / "out")


@pytest.mark.parametrize("suffix", [suffix for suffix, kind in SUFFIXES.items() if kind])
def test_an_end_that_is_missing_is_noticed(tmp_path: Path, suffix: str) -> None:
    path = packed(tmp_path, suffix, "f", b"x" * 5000)
    path.write_bytes(path.read_bytes()[:-6])  # a part of the check sum at the end; every member is whole
    with pytest.raises(BadBenchmark, match="cannot be unpacked"):
        unpack(path, tmp_path / "out")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damage_anywhere_is_a_sentence_or_harmless(tmp_path: Path, suffix: str) -> None:
    whole = packed(tmp_path, suffix, "f", os.urandom(300)).read_bytes()
    path = tmp_path / f"b{suffix}"
    for at in range(0, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        with contextlib.suppress(BadBenchmark):
            unpack(path, tmp_path / f"out{at}")


def test_a_header_that_claims_gigabytes_takes_no_memory(tmp_path: Path) -> None:
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 2 << 30
    with gzip.open(tmp_path / "a.tar.gz", "wb") as file:
        file.write(header.tobuf(tarfile.USTAR_FORMAT))
        for _ in range(100):
            file.write(bytes(1 << 20))
    tracemalloc.start()
    with pytest.raises(BadBenchmark, match="bytes unpacked, refused"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "out")
    assert tracemalloc.get_traced_memory()[1] < 200 << 20
    tracemalloc.stop()


def test_a_zip_with_a_long_list_of_members_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = packed(tmp_path, ".zip", "f" * 100)
    monkeypatch.setattr(archives, "MAX_DIRECTORY", 40)
    monkeypatch.setattr(archives.zipfile, "ZipFile", None)
    with pytest.raises(BadBenchmark, match="a list of members of 146 bytes, wanted at most 40"):
        unpack(path, tmp_path / "out")


@pytest.mark.parametrize("suffix", [".zip", ".tar.xz"])
def test_folders_count_as_members(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w") as made:
            for i in range(5):
                made.writestr(f"d{i}/", b"")
    else:
        with tarfile.open(path, "w:xz") as tar:
            for i in range(5):
                member = tarfile.TarInfo(f"d{i}")
                member.type = tarfile.DIRTYPE
                tar.addfile(member)
    monkeypatch.setattr(archives, "MAX_MEMBERS", 4)
    with pytest.raises(BadBenchmark, match="more than 4 members, refused"):
        unpack(path, tmp_path / "out")
    with pytest.raises(BadBenchmark, match="more than 32 folders deep"):
        unpack(packed(tmp_path, suffix, "d/" * 40 + "f"), tmp_path / "out")


def test_an_xz_file_that_asks_for_much_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "XZ_MEMORY", 1 << 16)
    with pytest.raises(BadBenchmark, match="cannot be unpacked .Memory usage limit exceeded.; fetch it again"):
        unpack(packed(tmp_path, ".tar.xz", "f"), tmp_path / "out")
