"""Studies and figures as a user meets them: real processes on real (small) networks."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.image
import pytest
from holding import start
from test_cli import SMALL, zcp

import cli
from gp.studies.plan import STUDIES
from primitives.operators import USUAL_AGGREGATIONS
from storage.files import dump_json, sealed

FEATURES = ["--batch", "2", "--seq-len", "24", "--devices", "cpu"]


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bank")


@pytest.fixture(scope="module")
def study(tiny_benchmark: Path, bank: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("studies") / "first"
    few = ["--seeds", "2", "--iterations", "20", "--search-size", "15", "--jobs", "2"]
    done = zcp("ablate", "--benchmark", tiny_benchmark, "--study", "pps", *few, *FEATURES, "--bank", bank, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "evolution without PPS" in done.stdout and "rejections by rule" in done.stdout
    assert "4/4" in done.stderr and "next: python cli.py plot" in done.stderr
    assert {p.name for p in out.iterdir()} == {"pps-tiny.json", "pps-tiny.png"}
    return out / "pps-tiny.json"


def size_of(path: Path) -> tuple[int, int]:
    """(width, height) of a PNG that is not empty."""
    pixels = matplotlib.image.imread(path)
    assert pixels[..., :3].min() < 0.2 and pixels[..., :3].max() > 0.9
    return pixels.shape[1], pixels.shape[0]


def test_a_study_is_a_file_with_every_trial(study: Path) -> None:
    document = json.loads(study.read_text())
    assert [(t["label"], t["seed"]) for t in document["trials"]] == [
        (f"evolution {word} PPS", seed) for word in ("with", "without") for seed in (42, 43)
    ]
    for trial in document["trials"]:
        assert trial["evaluations"] == 100 and trial["search_size"] == 15 and trial["holdout_size"] == 15
        fitness = [point["fitness"] for point in trial["curve"]]
        assert fitness == sorted(fitness) and fitness
        assert all(-1 <= point["holdout_spearman"] <= 1 for point in trial["curve"])
        assert bool(trial["rejections"]) == (trial["label"] == "evolution with PPS")
    assert document["held_out_scores"] == "sketch" and document["environment"]["numpy"]
    assert "seed" not in document["settings"]["evolution with PPS"]
    assert size_of(study.with_suffix(".png"))[0] == 1280


def test_one_process_finds_what_two_found(
    study: Path, tiny_benchmark: Path, bank: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    few = ["--seeds", "2", "--iterations", "20", "--search-size", "15", "--jobs", "1", "--format", "json"]
    asked = ["ablate", "--benchmark", tiny_benchmark, "--study", "pps", *few, *FEATURES, "--bank", bank]
    assert cli.main([*map(str, asked), "--out", str(tmp_path)]) == 0
    found, before = json.loads(capfd.readouterr().out), json.loads(study.read_text())
    for trial in (*found["trials"], *before["trials"]):
        for part in (trial, *trial["curve"]):
            part.pop("seconds")
    assert found["trials"] == before["trials"] and found["levels"]


@pytest.mark.slow
def test_a_killed_study_goes_on_where_it_was(study: Path, tiny_benchmark: Path, bank: Path, tmp_path: Path) -> None:
    few = ["--seeds", "2", "--iterations", "20", "--search-size", "15", "--jobs", "1"]
    asked = ["ablate", "--benchmark", tiny_benchmark, "--study", "pps", *few, *FEATURES, "--bank", bank]
    asked += ["--out", tmp_path]
    process, _ = start("2/4", *asked)
    process.kill()
    process.communicate()
    kept = tmp_path / "pps-tiny.trials.jsonl"
    assert len(kept.read_text().splitlines()) == 3
    done = zcp(*asked)
    assert done.returncode == 0 and "of 4 searches were done already" in done.stderr and not kept.exists()
    found, before = json.loads((tmp_path / "pps-tiny.json").read_text()), json.loads(study.read_text())
    for trial in (*found["trials"], *before["trials"]):
        for part in (trial, *trial["curve"]):
            part.pop("seconds")
    assert found["trials"] == before["trials"]


@pytest.mark.parametrize("damage", ["bytes", "digest", "settings"])
def test_kept_searches_that_cannot_be_trusted_are_not_used(
    damage: str, tiny_benchmark: Path, bank: Path, tmp_path: Path
) -> None:
    few = ["--seeds", "1", "--iterations", "5", "--search-size", "15", "--jobs", "1"]
    asked = ["ablate", "--benchmark", tiny_benchmark, "--study", "inputs", *few, *FEATURES, "--bank", bank]
    content = {"bytes": b"\x00{\n", "digest": b'{"settings": "", "digest": "no"}\n'}
    other = dump_json(sealed({"settings": "of another study"}), None)
    (tmp_path / "inputs-tiny.trials.jsonl").write_bytes(content.get(damage, other))
    done = zcp(*asked, "--out", tmp_path)
    assert "Traceback" not in done.stderr
    if damage == "settings":
        assert done.returncode == 1 and "begun with other values of settings" in done.stderr
    else:
        assert done.returncode == 0 and "put aside; what it held is done again" in done.stderr
        left = {"inputs-tiny.json", "inputs-tiny.png", "inputs-tiny.trials.damaged"}
        assert {path.name for path in tmp_path.iterdir()} == left


def test_settings_side_by_side_have_a_figure(
    tiny_benchmark: Path, bank: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    few = ["--seeds", "1", "--iterations", "5", "--search-size", "15", "--jobs", "1", "--format", "csv"]
    asked = ["ablate", "--benchmark", tiny_benchmark, "--study", "inputs", *few, *FEATURES, "--bank", bank]
    assert cli.main([*map(str, asked), "--out", str(tmp_path)]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert "wins_holdout pairs" in lines[0] and len(lines) == 1 + len(STUDIES["inputs"].settings)
    assert size_of(tmp_path / "inputs-tiny.png")[0] == 1280


def test_the_study_of_aggregations_reads_the_table() -> None:
    allowed = [setting.changes["aggregates"] for setting in STUDIES["aggregate"].settings]
    assert {name for names in allowed for name in names} == set(USUAL_AGGREGATIONS)
    for each in STUDIES.values():
        assert each.reference in [setting.label for setting in each.settings]


def test_a_hall_is_drawn_with_the_evolution_beside_it(
    tiny_benchmark: Path, bank: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run, features = tmp_path / "run", [*FEATURES, "--bank", str(bank)]
    assert cli.main(["evolve", "--benchmark", str(tiny_benchmark), *SMALL, "--bank", str(bank), "--out", str(run)]) == 0
    hall = run / "hall_of_fame.json"
    assert cli.main(["plot", str(hall), *features]) == 0
    assert capfd.readouterr().out.splitlines()[-1] == str(run / "hall_of_fame.png")
    assert size_of(run / "hall_of_fame.png") == (1280, 672)
    both = (run / "hall_of_fame.png").read_bytes()
    (run / "generations.jsonl").unlink()
    assert cli.main(["plot", str(hall), *features]) == 0
    assert (run / "hall_of_fame.png").read_bytes() != both


def test_a_leaderboard_is_drawn_with_the_rows_that_failed(tmp_path: Path) -> None:
    def row(name: str, kind: str, tau: float | None) -> dict:
        held = None if tau is None else {"kendall": tau, "ci95_kendall": [tau - 0.1, tau + 0.1]}
        return {"name": name, "kind": kind, "holdout": held}

    rows = [row("evolved", "evolved", 0.8), row("#params", "naive", 0.5), row("SNIP", "hand-made", -0.1)]
    document = {"benchmark": "tiny", "metric": "loss", "split": {"search": [0], "holdout": [1, 2]}}
    board = tmp_path / "board.json"
    board.write_text(json.dumps(document | {"rows": [*rows, row("NWOT $_$ :x:", "hand-made", None)]}))
    assert cli.main(["plot", str(board), "--out", str(tmp_path / "a.png")]) == 0
    assert size_of(tmp_path / "a.png")[0] == 1280


def test_a_study_is_drawn_again_as_the_same_svg(study: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "a.svg", tmp_path / "b.svg"
    for out in (first, second):
        assert cli.main(["plot", str(study), "--out", str(out)]) == 0
    assert first.read_bytes() == second.read_bytes() and first.read_text().startswith("<?xml")


def refused(arguments: list, capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and the line of a command that must fail."""
    code = cli.main([str(a) for a in arguments])
    error = capfd.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1, error
    return code, error


def test_wrong_settings_of_a_study_are_refused_in_a_line(
    study: Path, tiny_benchmark: Path, bank: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = ["ablate", "--benchmark", tiny_benchmark, *FEATURES, "--bank", bank]
    code, error = refused([*asked, "--study", "popluation"], capfd)
    assert code == 2 and "did you mean population?" in error
    code, error = refused([*asked, "--study", "sample"], capfd)
    assert code == 1 and "too few for the study sample" in error
    code, error = refused([*asked, "--study", "pps", "--search-size", "25"], capfd)
    assert code == 1 and "--search-size" in error
    code, error = refused([*asked, "--study", "pps", "--out", study.parent], capfd)
    assert code == 2 and "never overwritten" in error


def damaged(study: Path, change: object) -> str:
    document = json.loads(study.read_text())
    change(document)  # type: ignore[operator]
    return json.dumps(document)


def test_files_that_are_no_source_of_a_figure_are_refused_in_a_line(
    study: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "it.json"
    cases = {
        "{": "not valid JSON",
        "[]": "another kind of file",
        '{"rows": [], "split": {}}': "leaderboard: benchmark is missing",
        '{"proxies": [], "counts": {}}': "schema",
        damaged(study, lambda d: d.pop("levels")): "study: levels is missing",
        damaged(
            study, lambda d: d["trials"][1]["curve"][0].update(fitness="much")
        ): "fitness: got text, wanted a number",
        damaged(study, lambda d: d["summary"][0].update(best=None)): "wanted an object",
        damaged(study, lambda d: d.update(title="half \ud800")): "halves of characters",
        damaged(study, lambda d: d["benchmark"].update(name="\x1b[31m")): "control characters",
    }
    for text, message in cases.items():
        source.write_text(text)
        code, error = refused(["plot", source], capfd)
        assert code == 1 and message in error, error
    assert [p.name for p in tmp_path.iterdir()] == ["it.json"]
    assert refused(["plot", study, "--out", tmp_path / "it.pdf"], capfd)[0] == 2
    assert refused(["plot", study, "--benchmark", "gpt2-mini"], capfd)[0] == 2
    assert refused(["plot", tmp_path / "absent.json"], capfd)[0] == 1
