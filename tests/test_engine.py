"""Workers: every task once, one retry after a crash, clear errors, nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from engine import BadDevice, Crew, WorkerCrash, check_devices, free_memory, map_on_devices, one_thread

ROOT = Path(__file__).resolve().parent.parent


def square(task: int, device: str) -> tuple[int, str, int]:
    return task * task, device, torch.get_num_threads()


def die_once(task: tuple[Path, int], device: str) -> int:
    folder, number = task
    marker = folder / str(number)
    if number == 3 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def die(task: int, device: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_first(task: Path, device: str) -> bool:
    if task.exists():
        return True
    task.touch()
    os.kill(os.getpid(), signal.SIGKILL)
    return False


def refuse(task: int, device: str) -> int:
    raise BadDevice(f"task {task}")


def niceness(task: int, device: str) -> int:
    return os.nice(0)


def many_bytes(task: int, device: str) -> bytes:
    return bytes(1 << 20)


def leave_silently(task: int, device: str) -> None:
    os._exit(7)


@pytest.mark.parametrize("devices", [("cpu",), ("cpu", "cpu")])
def test_every_task_is_done_once_with_one_thread(devices: tuple[str, ...]) -> None:
    results = dict(map_on_devices(square, range(9), devices))
    assert results == {n: (n * n, "cpu", 1) for n in range(9)}


def test_a_killed_worker_costs_nothing_but_a_retry(tmp_path: Path) -> None:
    tasks = [(tmp_path, n) for n in range(8)]
    assert sorted(r for _, r in map_on_devices(die_once, tasks, ("cpu", "cpu"))) == list(range(8))
    assert (tmp_path / "3").exists()


def test_a_task_that_kills_twice_is_an_error_with_a_sentence() -> None:
    with pytest.raises(WorkerCrash, match=r"died twice on one task \(killed by SIGKILL\); free memory"):
        list(map_on_devices(die, [1], ("cpu", "cpu")))
    with Crew(("cpu",)) as crew:
        with pytest.raises(WorkerCrash, match="exit code 7") as crash:
            list(crew.run(leave_silently, [1, 2]))
        assert crash.value.task == 1
        assert list(crew.run(square, [3])) == [(3, (9, "cpu", 1))]  # the crew still has its device


def test_each_of_many_tasks_may_lose_one_worker(tmp_path: Path) -> None:
    def tasks() -> Iterator[Path]:  # each is gone when it is done, so that the next may have its address
        for n in range(4):
            yield tmp_path / str(n)

    assert [done for _, done in map_on_devices(die_first, tasks(), ("cpu",), 1)] == [True] * 4


def test_an_error_of_the_function_is_raised_as_it_is_and_says_where_it_was() -> None:
    with pytest.raises(BadDevice, match="^task 1") as caught:
        list(map_on_devices(refuse, [1], ("cpu", "cpu")))
    assert str(caught.value) == "task 1" and "in refuse" in "".join(caught.value.__notes__)


def test_workers_are_as_nice_as_they_are_told() -> None:
    before = os.nice(0)
    assert [nice for _, nice in map_on_devices(niceness, [1], ("cpu",), 3)] == [min(before + 3, 19)]
    assert os.nice(0) == before


def test_what_nobody_reads_holds_nobody_up() -> None:
    results = map_on_devices(many_bytes, range(6), ("cpu", "cpu"))
    assert len(next(results)[1]) == 1 << 20
    results.close()  # type: ignore[attr-defined]


def number(task: int, device: str) -> int:
    return os.getpid()


def test_a_crew_keeps_its_workers_for_the_next_list_of_tasks_and_none_after_the_block() -> None:
    with Crew(("cpu", "cpu")) as crew:
        first = {pid for _, pid in crew.run(number, range(6))}
        assert {pid for _, pid in crew.run(number, range(6))} <= {worker.process.pid for worker in crew.idle}
        assert first <= {worker.process.pid for worker in crew.idle} and os.getpid() not in first
        workers = list(crew.idle)
    assert not any(worker.process.is_alive() for worker in workers)


def test_an_answer_that_nobody_waited_for_is_not_that_of_a_later_task() -> None:
    with Crew(("cpu", "cpu")) as crew:
        abandoned = crew.run(many_bytes, range(6))
        next(abandoned)
        abandoned.close()  # type: ignore[attr-defined]
        assert sorted(dict(crew.run(square, range(5)))) == list(range(5))
        assert {result[0] for _, result in crew.run(square, range(5))} == {0, 1, 4, 9, 16}
        with pytest.raises(BadDevice, match="^task"):
            list(crew.run(refuse, range(4)))
        assert {result[0] for _, result in crew.run(square, range(5))} == {0, 1, 4, 9, 16}


def test_a_worker_killed_between_two_lists_of_tasks_is_replaced() -> None:
    with Crew(("cpu", "cpu")) as crew:
        list(crew.run(square, range(4)))
        os.kill(crew.idle[0].process.pid, signal.SIGKILL)
        assert [result[0] for _, result in sorted(crew.run(square, range(4)))] == [0, 1, 4, 9]


def script(folder: Path, guard: str) -> subprocess.Popen[str]:
    """A script that squares numbers in two workers, started."""
    path = folder / "script.py"
    path.write_text(f"import sys\nsys.path[:0] = {[str(ROOT), str(ROOT / 'tests')]!r}\n"
                    f"from engine import map_on_devices\nfrom test_engine import square\n{guard}"
                    f"    print(len(list(map_on_devices(square, range(4), ('cpu', 'cpu')))), flush=True)\n")  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-B", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_a_script_without_a_main_guard_is_told_so(tmp_path: Path) -> None:
    _, error = script(tmp_path, "if True:\n").communicate(timeout=300)
    assert error.count("Traceback") == 1 and "WorkerCrash: the script starts workers while it is imported" in error
    assert 'put what it does under if __name__ == "__main__":' in error
    assert script(tmp_path, "if __name__ == '__main__':\n").communicate(timeout=300) == ("4\n", "")


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.02, 0.5])
def test_a_kill_while_workers_start_is_silent(tmp_path: Path, delay: float) -> None:
    """For some microseconds a child of Python's own waits for its first bytes, and nobody can silence that; a kill
    that hits them three times in a row does not happen."""

    def said_after_kill() -> str:
        process = script(tmp_path, "print('begun', flush=True)\nif __name__ == '__main__':\n")
        assert process.stdout is not None and process.stdout.readline() == "begun\n"
        time.sleep(delay)
        process.kill()
        return process.communicate(timeout=300)[1]

    assert any(said_after_kill() == "" for _ in range(3))


@pytest.mark.parametrize("text", ["", "gpu", "cpu:1", "cuda:99", "cuda:x", "cuda:²", "cuda:٣", "cuda:-1", "cuda:"])
def test_a_device_that_is_not_there_is_refused(text: str) -> None:
    with pytest.raises(BadDevice, match="got"):
        check_devices(text)


def test_auto_means_at_least_one_device() -> None:
    assert check_devices("auto") and check_devices("cpu, cpu") == ("cpu", "cpu")


def test_the_number_of_threads_is_restored() -> None:
    before = torch.get_num_threads()
    with pytest.raises(ValueError), one_thread():
        assert torch.get_num_threads() == 1
        raise ValueError
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("meminfo", "limit", "used", "free"),
    [
        ("MemTotal: 9 kB\nMemAvailable:   5 kB\n", None, None, 5 * 1024),
        ("MemAvailable:   5 kB\n", "4096", "1096", 3000),
        ("MemAvailable:   1 kB\n", "4096", "1096", 1024),
        ("MemAvailable:   5 kB\n", "max", "1096", 5 * 1024),
        ("MemAvailable:   5 kB\n", "1000", "2000", 0),
        (None, None, None, None),
    ],
)
def test_free_memory_is_the_least_that_is_told(
    tmp_path: Path, meminfo: str | None, limit: str | None, used: str | None, free: int | None
) -> None:
    told = {"meminfo": meminfo, "memory.max": limit, "memory.current": used}
    for name, text in told.items():
        if text is not None:
            (tmp_path / name).write_text(text)
    assert free_memory(tmp_path / "meminfo", tmp_path) == free
    assert (free_memory() or 1) > 0
