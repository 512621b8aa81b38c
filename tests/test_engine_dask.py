"""A cluster does what the local crew does, byte for byte, whatever happens to its workers, its scheduler or its user.

The scheduler and the workers are real processes on loopback, started by their own commands.
"""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from holding import read_until

import cli
from fitness.features.takers import SketchTaker
from fitness.features.visit import Visit
from models.architecture import Architecture
from models.benchmarks.layouts import read_benchmark
from models.spaces import SPACES
from models.tokens import TokenBatch
from tests.robustness.crashes import contents, difference, start
from tests.robustness.loopback import ROOT, Loopback, wait_until
from tests.robustness.small import SEARCH, write_jsonl

pytest.importorskip("distributed", reason="dask is not installed: pip install -r requirements-cluster.txt")
FEATURES = ["--batch", "2", "--seq-len", "24"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    """A scheduler; tests ask for the workers they need."""
    found = Loopback(tmp_path_factory.mktemp("cluster"))
    try:
        yield found
    finally:
        found.close()


@pytest.fixture
def workers(cluster: Loopback) -> Loopback:
    """The same with three workers."""
    cluster.staff(*{"a", "b", "c"} - cluster.workers.keys(), preload=True)
    return cluster


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_jsonl(tmp_path_factory.mktemp("table") / "tiny.jsonl")


@pytest.fixture(scope="module")
def quiet(table: Path) -> Path:
    """What one process makes: a bank and a run."""
    assert cli.main([*extracted(table, table.parent / "local" / "bank"), "--devices", "cpu"]) == 0
    assert cli.main([*searched(table, table.parent / "local", "all"), "--devices", "cpu"]) == 0
    return table.parent / "local"


def searched(table: Path, folder: Path, name: str) -> list[str]:
    """A small search."""
    out = ["--bank", str(folder / "bank"), "--out", str(folder / name)]
    return ["evolve", "--benchmark", str(table), *SEARCH, *FEATURES, "--iterations", "30", *out]


def extracted(table: Path, bank: Path) -> list[str]:
    return ["extract", "--benchmark", str(table), *FEATURES, "--bank", str(bank)]


def sketches(folder: Path) -> dict[str, bytes]:
    """Of the first initialisation and the second one of the probes."""
    found = [path for path in folder.rglob("*.safetensors") if not path.name.startswith(".")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}  # locks come and go meanwhile


def smallest(table: Path) -> str:
    """The id of the network with the fewest parameters."""
    found = read_benchmark(table).architectures
    return min(found, key=lambda a: SPACES[a.space].parameters(a).total).id


def error_of(capfd: pytest.CaptureFixture[str]) -> str:
    """The one line that a command ended with."""
    said = capfd.readouterr().err
    assert "Traceback" not in said and said.count("error: ") == 1, said
    return said[said.index("error: ") :].strip()


def test_a_bank_and_a_hall_of_a_cluster_have_the_bytes_of_one_process(
    workers: Loopback, table: Path, quiet: Path, tmp_path: Path
) -> None:
    before = workers.executed()
    assert cli.main([*extracted(table, tmp_path / "bank"), *workers.options]) == 0
    assert workers.executed() - before == 30
    assert cli.main([*searched(table, tmp_path, "all"), *workers.options]) == 0
    assert not difference(contents(quiet), contents(tmp_path))
    hall = str(tmp_path / "all" / "hall_of_fame.json")
    assert cli.main(["replay", hall, "--bank", str(tmp_path / "bank"), *workers.options]) == 0
    assert workers.executing() == [] and not difference(contents(quiet), contents(tmp_path))


def test_a_worker_killed_during_a_task_costs_one_more_try(
    workers: Loopback, table: Path, quiet: Path, tmp_path: Path
) -> None:
    left = workers.flag("tiny7", "1")
    assert cli.main([*extracted(table, tmp_path), *workers.options]) == 0
    assert left.read_text() == "0" and len(workers.names()) == 2
    found, whole = sketches(tmp_path), sketches(quiet / "bank")
    assert len(found) == 30 and all(whole[name] == content for name, content in found.items())
    forget(workers)


def forget(cluster: Loopback) -> None:
    """Workers that killed themselves are gone."""
    for name, process in list(cluster.workers.items()):
        if process.poll() is not None:
            del cluster.workers[name]


def test_a_task_that_kills_two_workers_is_one_line_with_its_name_and_theirs(
    workers: Loopback, table: Path, quiet: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    addresses = {workers.address(name) for name in "abc"}
    workers.flag("tiny7", "2")
    assert cli.main([*extracted(table, tmp_path), *workers.options]) == 1
    error = error_of(capfd)
    assert error.startswith("error: tiny7: lost the worker tcp://") and "what is finished is kept" in error
    assert len([address for address in addresses if address in error]) == 2
    forget(workers)
    assert cli.main([*extracted(table, tmp_path), *workers.options]) == 0
    found, whole = sketches(tmp_path), sketches(quiet / "bank")
    assert len(found) == 30 and all(whole[name] == content for name, content in found.items())


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_ends_with_130_and_leaves_the_cluster_idle_for_others(
    times: int, workers: Loopback, table: Path, tmp_path: Path
) -> None:
    hold, before = workers.flag("hold"), workers.executed()
    driver = start([*extracted(table, tmp_path), *workers.options])
    wait_until(lambda: len(workers.executing()) == 3, "three tasks on their way")
    said = ""
    for place in range(times):
        driver.send_signal(signal.SIGINT)
        said += read_until(driver, "stopping after the current step") if place == 0 else ""
    if times == 1:
        hold.unlink()
    _, error = driver.communicate(timeout=300)
    assert driver.returncode == 130 and "Traceback" not in error and error.count("error: ") == 1, error
    hold.unlink(missing_ok=True)
    wait_until(lambda: not workers.executing(), "idle workers")
    # Once: what is on its way is finished and kept. Twice: what runs ends, what has not begun never does, nothing is kept.
    done = workers.executed() - before
    assert workers.names() == {"a", "b", "c"} and (3 <= done <= 6 if times == 1 else done <= 3), done
    assert len(sketches(tmp_path)) == (done if times == 1 else 0)
    assert not list(tmp_path.rglob(".*.tmp"))


def test_a_lost_scheduler_is_one_line_and_a_second_start_goes_on(
    table: Path, quiet: Path, tmp_path: Path, cluster: Loopback
) -> None:
    doomed = Loopback(tmp_path / "doomed")
    try:
        doomed.flag("hold", smallest(table))  # the last to be visited
        doomed.staff("x", preload=True)
        driver = start([*extracted(table, tmp_path / "bank"), *doomed.options])
        wait_until(lambda: len(sketches(tmp_path / "bank")) == 29 and doomed.executing(), "a last task on its way")
        doomed.scheduler.kill()
        _, error = driver.communicate(timeout=300)
    finally:
        doomed.close()
    lines = [line for line in error.splitlines() if line.startswith("error: ")]
    assert driver.returncode == 1 and "Traceback" not in error and len(lines) == 1, error
    assert "the connection is lost" in lines[0] and "what is finished is kept" in lines[0]
    assert len(sketches(tmp_path / "bank")) == 29
    cluster.staff(*{"a"} - cluster.workers.keys(), preload=True)
    before = cluster.executed()
    assert cli.main([*extracted(table, tmp_path / "bank"), *cluster.options]) == 0
    assert cluster.executed() - before == 1
    found, whole = sketches(tmp_path / "bank"), sketches(quiet / "bank")
    assert len(found) == 30 and all(whole[name] == content for name, content in found.items())


def test_a_task_holds_no_torch_object_and_no_path(tiny_architectures: list[Architecture], batch: TokenBatch) -> None:
    task = Visit(tiny_architectures[0], batch, 0, "default", (SketchTaker(),))
    content = pickle.dumps(task)
    assert len(content) < 4096 and not [word for word in (b"torch", b"/", b"PosixPath") if word in content]
    again = pickle.loads(content)
    assert again.architecture == task.architecture and again.batch.tokens.equal(batch.tokens)
    assert subprocess.run([sys.executable, "-c", "import engine"], cwd=ROOT, check=True).returncode == 0
