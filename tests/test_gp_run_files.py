"""A run directory: what is damaged is noticed, what can be saved is saved, and nothing is written twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from landscape import evaluate, short, sweep

from gp.evolution.evolve import SearchResult, Step, Stop, evolve
from gp.evolution.state import BadState
from gp.runs.files import RunFiles
from gp.runs.settings import BadRun, RunCase, RunSettings
from storage.files import BadFile, dump_json, sealed


def settings(**search: object) -> RunSettings:
    return RunSettings((RunCase("b", "loss", "d" * 64, "e" * 64),), short(**{"population": 12, **search}))


def go_on(files: RunFiles, until: int) -> SearchResult:
    """Search on the made-up landscape, from the last checkpoint until an iteration, with a checkpoint at each step."""
    config = files.settings.search
    state = files.load_state(config)
    with files.journal(state) as journal:

        def on_iteration(progress: Step) -> None:
            journal(progress)
            files.save_state(progress.state)

        return evolve(config, evaluate, None, on_iteration, state, lambda p: p.iteration >= until, sweep=sweep)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    with RunFiles.create(tmp_path / "run", settings()) as files:
        go_on(files, 20)
    return tmp_path / "run"


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("damage", [flip, lambda p: p.write_bytes(p.read_bytes()[:99]), lambda p: p.write_bytes(b"")])
@pytest.mark.parametrize("both", [False, True])
def test_a_damaged_checkpoint_gives_way_and_the_end_is_the_same(
    run: Path, tmp_path: Path, damage: Callable[[Path], object], both: bool, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("checkpoint.json", "checkpoint.previous.json")[: 1 + both]:
        damage(run / name)
    with RunFiles.resume(run) as files:
        result = go_on(files, 60)
    (warning,) = [record.getMessage() for record in caplog.records]
    assert ("starts anew" if both else "from the checkpoint before it, iteration 19") in warning
    with RunFiles.create(tmp_path / "quiet", settings()) as files:
        assert go_on(files, 60).state.to_dict() == result.state.to_dict()
    for name in ("checkpoint.json", "generations.jsonl"):
        assert (run / name).read_bytes() == (tmp_path / "quiet" / name).read_bytes()


@pytest.mark.parametrize(
    "chosen",
    [{"iterations": 1500}, {"population": 400}, {"n_unary": 4, "hall_size": 200},
     {"algorithm": "memetic", "iterations": 600, "brood": 1, "sweeps": 50, "population": 100}],
)  # fmt: skip
def test_a_checkpoint_of_any_size_comes_back(tmp_path: Path, chosen: dict, caplog: pytest.LogCaptureFixture) -> None:
    with RunFiles.create(tmp_path / "run", settings(**chosen)) as files:
        result = evolve(files.settings.search, evaluate, sweep=sweep)
        files.save_state(result.state)
        loaded = files.load_state(files.settings.search)
    assert loaded is not None and loaded.to_dict() == result.state.to_dict() and not caplog.records


@pytest.mark.parametrize("algorithm", ["nsga2", "random"])
def test_the_journal_of_generations_has_each_step_once(tmp_path: Path, algorithm: str) -> None:
    with RunFiles.create(tmp_path / "run", settings(algorithm=algorithm)) as files:
        go_on(files, 24)
        checkpoint = files.checkpoint.read_bytes()
        go_on(files, 48)
        files.checkpoint.write_bytes(checkpoint)  # as after a crash: the journal is ahead
        go_on(files, 60)
    lines = (tmp_path / "run" / "generations.jsonl").read_text().splitlines()
    assert [json.loads(line)["iteration"] for line in lines] == [0, 12, 24, 36, 48, 60]


def test_a_torn_journal_is_mended(run: Path) -> None:
    path = run / "generations.jsonl"
    path.write_bytes(path.read_bytes() + b'{"iteration": 2')
    with RunFiles.resume(run) as files:
        go_on(files, 22)
    assert [json.loads(line)["iteration"] for line in path.read_text().splitlines()] == list(range(23))


def test_a_checkpoint_of_another_version_is_refused_and_kept(run: Path) -> None:
    data = json.loads((run / "checkpoint.json").read_bytes())
    del data["digest"]
    (run / "checkpoint.json").write_bytes(dump_json(sealed({**data, "schema": 3})))
    with RunFiles.resume(run) as files, pytest.raises(BadState, match="schema: got 3"):
        files.load_state(files.settings.search)
    assert (run / "checkpoint.json").exists()


OLD = {"benchmark": "b", "metric": "loss", "benchmark_digest": "d" * 64, "tokens": "e" * 64}
OTHER = {"benchmark": "c", "metric": "glue", "digest": "f" * 64, "tokens": "a" * 64}


def test_a_run_of_the_form_with_one_benchmark_and_others_goes_on(run: Path, tmp_path: Path) -> None:
    path = run / "config.json"
    whole = {
        key: value for key, value in json.loads(path.read_bytes()).items() if key not in ("cases", "options", "digest")
    }
    path.write_bytes(dump_json(sealed({**whole, **OLD, "others": [OTHER]})))
    with RunFiles.resume(run) as files:
        read, result = files.settings, go_on(files, 40)
    assert read.cases == (RunCase("b", "loss", "d" * 64, "e" * 64), RunCase("c", "glue", "f" * 64, "a" * 64))
    assert read.options is None and read.with_on_invalid("drop").options is None
    assert RunSettings.from_dict(json.loads(dump_json(read.to_dict()))) == read
    with RunFiles.create(tmp_path / "today", settings()) as files:
        assert go_on(files, 40).state.to_dict() == result.state.to_dict()
    for changes, said in (
        ({"others": 3}, "others: got 3, wanted a list"), ({"others": [{}]}, r"cases\[1\]"),
        ({"tokens": None}, r"cases\[0\]: tokens"), ({"cases": [OTHER], "options": []}, "got the field 'benchmark'"),
    ):  # fmt: skip
        path.write_bytes(dump_json(sealed({**whole, **OLD, **changes})))
        with pytest.raises(BadRun, match=said), RunFiles.resume(run):
            pass


def test_damaged_or_impossible_settings_are_refused(run: Path) -> None:
    path = run / "config.json"
    whole = json.loads(path.read_bytes())
    path.write_bytes(path.read_bytes().replace(b'"seed": 42', b'"seed": 43'))
    with pytest.raises(BadFile, match="differs from its digest"), RunFiles.resume(run):
        pass
    del whole["digest"]
    changes = {"batch": "4", "corpus": 3, "on_invalid": "ignore", "search": [], "cases": 1, "more": 1}
    for name, value in changes.items():
        path.write_bytes(dump_json(sealed({**whole, name: value})))
        with pytest.raises(BadRun, match=name), RunFiles.resume(run):
            pass


def test_a_run_is_open_once_and_never_overwritten(run: Path) -> None:
    with RunFiles.resume(run), pytest.raises(BadRun, match="another process works on this run"), RunFiles.resume(run):
        pass
    with pytest.raises(BadRun, match="never overwritten"), RunFiles.create(run, settings()):
        pass


def test_what_a_killed_process_left_is_no_obstacle(tmp_path: Path, run: Path) -> None:
    folder = tmp_path / "begun"
    folder.mkdir()
    for name in (".run.lock", ".config.json.abc.tmp"):
        (folder / name).write_text("{")
    (run / ".checkpoint.json.abc.tmp").write_text("{")
    (run / "environment.json").unlink()
    with RunFiles.create(folder, settings()), RunFiles.resume(run):
        pass
    for place in (folder, run):
        assert {p.name for p in place.iterdir()} <= {"config.json", "environment.json", "generations.jsonl",
                                                     "checkpoint.json", "checkpoint.previous.json"}  # fmt: skip
        assert (place / "environment.json").exists()


def test_a_stop_is_named_by_who_asked_for_it() -> None:
    config = settings().search
    assert evolve(config, evaluate, should_stop=lambda p: Stop.TARGET).stop is Stop.TARGET
    assert evolve(config, evaluate, should_stop=lambda p: True).stop is Stop.ASKED
