"""Archives: plain files below the folder, and a sentence for everything else."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from models.benchmarks import archives
from models.benchmarks.archives import unpack
from models.benchmarks.benchmark import BadBenchmark


def packed(folder: Path, suffix: str, name: str, content: bytes = b"x", times: int = 1) -> Path:
    path = folder / f"a{suffix}"
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
            for _ in range(times):
                made.writestr(name, content)
        return path
    with tarfile.open(path, "w:gz") as tar:
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


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_plain_files_arrive(tmp_path: Path, suffix: str) -> None:
    unpack(packed(tmp_path, suffix, "deep/er/f.yaml", b"a: 1"), tmp_path / "out")
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


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
@pytest.mark.parametrize("cut", [0, 40, 300])
def test_a_torn_archive_is_refused(tmp_path: Path, suffix: str, cut: int) -> None:
    path = packed(tmp_path, suffix, "f", os.urandom(5000))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(BadBenchmark, match="cannot be unpacked"):
        unpack(path, tmp_path / "out")
