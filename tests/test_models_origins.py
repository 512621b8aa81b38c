"""Fetching: only what is pinned arrives, whole or not at all, and nothing outside its folder is touched."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from models.benchmarks import origins
from models.benchmarks.benchmark import BadBenchmark
from models.benchmarks.layouts import read_benchmark
from models.benchmarks.origins import ORIGINS, fetch, find, load_benchmark
from tests.robustness.small import write_yaml


@pytest.fixture
def origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> origins.Origin:
    """A benchmark that is fetched from a folder of this machine."""
    source = write_yaml(tmp_path / "source")
    files = tuple(str(path.relative_to(source)) for path in sorted(source.rglob("*.yaml")))
    made = replace(ORIGINS["gpt2-wt103"], name="far", base=f"{source.as_uri()}/", files=files,
                   digest=read_benchmark(source, "far").digest)  # fmt: skip
    monkeypatch.setattr(origins, "PROJECT", tmp_path / "project")
    monkeypatch.delenv("ZCP_DATA", raising=False)
    monkeypatch.setitem(ORIGINS, "far", made)
    (tmp_path / "project").mkdir()
    return made


def left(tmp_path: Path) -> list[str]:
    return [path.name for path in (tmp_path / "project" / "data").iterdir()]


def test_what_is_pinned_arrives(origin: origins.Origin, tmp_path: Path) -> None:
    (tmp_path / "project" / "data" / ".far.killed.part").mkdir(parents=True)
    assert fetch("far") == tmp_path / "project" / "data" / "far" and len(load_benchmark("far")) == 12
    assert left(tmp_path) == ["far"] and fetch("far").is_dir()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"digest": "0" * 64}, "fetched content has digest .*, wanted 0000000000000000; nothing was kept"),
        ({"files": ("../../evil.yaml",)}, "would lie outside the benchmark's folder, refused"),
        ({"files": ("/tmp/evil.yaml",)}, "would lie outside the benchmark's folder, refused"),
        ({"files": ("not-there.yaml",)}, "cannot be fetched"),
    ],
)
def test_anything_else_is_refused_and_leaves_nothing(
    origin: origins.Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict, message: str
) -> None:
    monkeypatch.setitem(ORIGINS, "far", replace(origin, **change))
    with pytest.raises(BadBenchmark, match=message):
        fetch("far")
    assert left(tmp_path) == []


def test_a_file_that_is_too_large_is_refused(
    origin: origins.Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(origins, "MAX_DOWNLOAD", 100)
    with pytest.raises(BadBenchmark, match="larger than 100 bytes, refused"):
        fetch("far")
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    "name", ["..", ".hidden", "a/../../b", "/etc/passwd", "a\0b", "far\n", "x" * 65, "~root", "$HOME"]
)
def test_a_name_reaches_no_other_folder(name: str) -> None:
    with pytest.raises(BadBenchmark):
        load_benchmark(name)
    with pytest.raises(BadBenchmark, match="cannot be fetched"):
        fetch(name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: &x [1, 2]\nb: [*x, *x]\n", "an alias"),
        ("a: &x {k: 1}\nb: {<<: [*x, *x]}\n", "an alias"),
        ("a: " + "[" * 40 + "]" * 40, "nesting beyond 16 levels"),
        ("[" * 100_000, "nesting|not valid YAML"),
        ("a: !!python/object/apply:os.system ['touch pwned']", "line 1: got the tag"),
        ('a: 1\nb: !!int ""', "line 2: got the tag tag:yaml.org,2002:int"),
        ("a: !!timestamp x", "got the tag"),
        ("a: !!float _", "got the tag"),
        ("n_layer: 1\nn_layer: 2", "line 2: got the key 'n_layer' twice"),
        ("[1]: 2", "a key that is no text"),
        ("<<: {a: 1}", "a key that is no text"),
        ("a: 1\n---\na: 2", "got 2 documents, wanted one"),
        ("a: " + "9" * 5000, "a value of 5,000 characters"),
        ("n_layer: " + "9" * 900, "n_layer: got inf|n_layer: got '9|n_layer: got 9"),
        ("n_layer: 1:30:00", "n_layer: got '1:30:00'"),
        ("n_layer: 0x10", "n_layer: got '0x10'"),
        ('a: "\\ud800"', "not valid YAML|got"),
    ],
)
def test_yaml_that_grows_or_runs_is_refused(tmp_path: Path, content: str, message: str) -> None:
    folder = write_yaml(tmp_path / "source")
    (folder / "config_3" / "j0" / "model_config.yaml").write_text(content)
    with pytest.raises(BadBenchmark, match=message):
        load_benchmark(str(find(str(folder))))
    assert not Path("pwned").exists()


@pytest.mark.parametrize("kind", ["zip", "gztar"])
def test_a_fetched_archive_is_unpacked(
    origin: origins.Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "packed"), kind, tmp_path / "source"))
    monkeypatch.setitem(ORIGINS, "far", replace(origin, base=f"{tmp_path.as_uri()}/", files=(archive.name,)))
    place = fetch("far")
    assert len(load_benchmark("far")) == 12 and not (place / archive.name).exists()


@pytest.mark.parametrize(
    ("embedded", "base", "said"),
    [
        (True, "", "the embedded table is missing; run: .* benchmarks train NAME"),
        (False, "", "not on this machine; set ZCP_DATA to a folder that holds NAME/benchmark.jsonl"),
        (
            False,
            "here",
            "not on this machine; run '.* benchmarks fetch NAME' with a network, or set ZCP_DATA to a folder",
        ),
    ],
)
def test_where_data_are_missing_a_line_says_how_to_get_them(
    embedded: bool, base: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "gpt2-mini"
    origin = replace(ORIGINS[name], embedded=Path("missing") if embedded else None, base=base)
    monkeypatch.setitem(ORIGINS, name, origin)
    monkeypatch.setattr(origins, "locate", lambda name: None)
    with pytest.raises(BadBenchmark, match=f"^{name}: {said.replace('NAME', name)}"):
        find(name)
