"""Nothing is lost: real processes killed, interrupted, out of disk and side by side end with the bytes of a quiet run."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from pathlib import Path

import psutil
import pytest
from holding import start as held
from holding import stopped

import cli
from commands.live import live
from tests.robustness.crashes import Study, contents, difference, start, study
from tests.robustness.small import evolve_here

ITERATIONS = 200


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A benchmark, a bank and an undisturbed run of it, `whole`."""
    folder = tmp_path_factory.mktemp("quiet")
    small = Study(folder, ITERATIONS, "cpu")
    evolve_here(small.table, folder / "bank", folder / "whole", "--iterations", str(ITERATIONS))
    return small


def resume_here(run: Path, bank: Path, *options: str) -> int:
    return cli.main(["evolve", "--resume", str(run), "--bank", str(bank), "--devices", "cpu", *options])


def test_a_killed_command_ends_with_the_same_bytes(tmp_path: Path) -> None:
    for name, crashes in study(tmp_path, 1, ITERATIONS, "cpu", 3).items():
        assert crashes.kills == 1 and not crashes.differences, (name, crashes)


@pytest.mark.parametrize("signals", [[signal.SIGTERM], [signal.SIGINT, signal.SIGINT]], ids=["once", "twice"])
def test_an_interrupt_saves_what_there_is(quiet: Study, tmp_path: Path, signals: list[signal.Signals]) -> None:
    process, _ = held("iteration 0/", *quiet.evolve(quiet.folder / "bank", tmp_path / "run"))
    error = stopped(process, *signals)
    assert f"next: python cli.py evolve --resume {tmp_path / 'run'}" in error
    if len(signals) == 1:
        assert json.loads((tmp_path / "run" / "checkpoint.json").read_bytes())["iteration"] == 0
    assert not (tmp_path / "run" / "hall_of_fame.json").exists()
    assert resume_here(tmp_path / "run", quiet.folder / "bank") == 0
    assert not difference(contents(quiet.folder / "whole"), contents(tmp_path / "run"))


@pytest.mark.parametrize(
    ("moment", "reached"),
    [("scores of every single-branch formula", None), ("exact scores on the search split", ITERATIONS)],
)
def test_an_interrupt_before_and_after_the_evolution_loses_nothing(
    moment: str, reached: int | None, quiet: Study, tmp_path: Path
) -> None:
    process, _ = held(moment, *quiet.evolve(tmp_path / "bank", tmp_path / "run"))
    stopped(process, signal.SIGINT)
    checkpoint = tmp_path / "run" / "checkpoint.json"
    assert (json.loads(checkpoint.read_bytes())["iteration"] if checkpoint.exists() else None) == reached
    assert not (tmp_path / "run" / "hall_of_fame.json").exists()
    assert resume_here(tmp_path / "run", tmp_path / "bank") == 0
    assert not difference(contents(quiet.folder / "whole"), contents(tmp_path / "run"))


def test_a_second_interrupt_leaves_at_once() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), live(0) as reporter:
        assert signal.getsignal(signal.SIGINT) != before
        os.kill(os.getpid(), signal.SIGTERM)
        assert reporter.should_stop()
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
        pytest.fail("the second interrupt was not answered")
    assert signal.getsignal(signal.SIGINT) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_only_sigterm_gives_up_a_step_that_does_not_end(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("commands.live.GRACE", 0.1)
    rounds = 0
    with contextlib.suppress(KeyboardInterrupt), live(0):
        os.kill(os.getpid(), number)
        while rounds < 20:
            time.sleep(0.1)
            rounds += 1
    assert (rounds < 20) == (number == signal.SIGTERM)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_step_that_hears_sigterm_is_not_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("commands.live.GRACE", 0.1)
    with live(0) as reporter:
        os.kill(os.getpid(), signal.SIGTERM)
        assert reporter.should_stop()
        time.sleep(0.5)


ENDLESS = """
import commands.live, torch
import fitness.features.visit as visit
def deep(*given):
    sys.stderr.write("inside a network\\n")
    x = torch.ones(64, 64)
    while True:
        x = torch.tanh(x @ x)
commands.live.GRACE = 0.5
visit.collect = deep
"""


@pytest.mark.parametrize("command", ["extract", "evolve"])
def test_sigterm_ends_inside_the_visit_of_a_network(command: str, quiet: Study, tmp_path: Path) -> None:
    words = {"extract": quiet.extract(tmp_path / "bank"), "evolve": quiet.evolve(tmp_path / "bank", tmp_path / "run")}
    process, _ = held("inside a network", *words[command], before=ENDLESS)
    assert "next: python cli.py" in stopped(process, signal.SIGTERM)
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_nothing_is_lost(quiet: Study, tmp_path: Path) -> None:
    run, bank = tmp_path / "run", quiet.folder / "bank"
    assert cli.main([*quiet.evolve(bank, run), "--time-budget", "0.001s"]) == 0
    before = (run / "checkpoint.json").read_bytes()
    process = start(quiet.evolve(bank, run), len(before) // 2)
    _, error = process.communicate(timeout=300)
    assert process.returncode == 1
    errors = [line for line in error.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "cannot be written (File too large); free space" in errors[0], error
    assert (run / "checkpoint.json").read_bytes() == before and not list(run.glob(".*"))
    assert resume_here(run, bank) == 0
    assert not difference(contents(quiet.folder / "whole"), contents(run))


@pytest.mark.slow
def test_a_search_that_ended_early_says_so_and_can_go_on(
    quiet: Study, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run, bank = tmp_path / "run", quiet.folder / "bank"
    assert cli.main([*quiet.evolve(bank, run), "--patience", "15"]) == 0
    assert "ended early at iteration" in capfd.readouterr().err
    ending = json.loads((run / "hall_of_fame.json").read_bytes())["ending"]
    assert ending["early"] and 15 <= ending["iteration"] < ITERATIONS and "patience" in ending["reason"]
    first = (run / "hall_of_fame.json").read_bytes()
    assert resume_here(run, bank, "--patience", "15") == 0 and (run / "hall_of_fame.json").read_bytes() == first
    assert resume_here(run, bank, "--target", "0.5") == 0
    assert "target" in json.loads((run / "hall_of_fame.json").read_bytes())["ending"]["reason"]
    assert resume_here(run, bank) == 0
    assert not difference(contents(quiet.folder / "whole"), contents(run))


@pytest.mark.parametrize("text", ["0", "soon", "30x", "-5m", "1e3"])
def test_a_time_that_is_none_is_refused(text: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evolve", "--space", "gpt2", "--time-budget", text]) == 2
    assert "wanted a time of at most 3650d, such as 90s, 30m, 2h or 1d" in capfd.readouterr().err


@pytest.mark.slow
def test_two_extracts_share_the_work(quiet: Study, tmp_path: Path) -> None:
    both = [start(quiet.extract(tmp_path / "bank")) for _ in range(2)]
    answers = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    assert sum(int(out.split()[0]) for out, _ in answers) == 30
    found, whole = contents(tmp_path / "bank"), contents(quiet.folder / "bank")
    assert len(found) == 30 and all(whole[name] == content for name, content in found.items())


def test_workers_leave_with_a_killed_parent(quiet: Study, tmp_path: Path) -> None:
    twin = Study(quiet.folder, ITERATIONS, "cpu,cpu")
    process = start(twin.extract(tmp_path / "bank"))
    workers: list[psutil.Process] = []
    starters: list[psutil.Process] = []
    while not workers and process.poll() is None:
        time.sleep(0.05)
        with contextlib.suppress(psutil.NoSuchProcess):  # one of them may just have left
            starters = psutil.Process(process.pid).children()
            workers = [worker for starter in starters for worker in starter.children()]
    process.kill()
    process.communicate()
    assert workers and not psutil.wait_procs([*workers, *starters], timeout=60)[1]
