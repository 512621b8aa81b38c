"""Workers: every task once, one retry after a crash, clear errors."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch

from engine.crew import BadDevice, WorkerCrash, check_devices, map_on_devices, one_thread


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


@pytest.mark.parametrize("devices", [("cpu",), ("cpu", "cpu")])
def test_every_task_is_done_once_with_one_thread(devices: tuple[str, ...]) -> None:
    results = dict(map_on_devices(square, range(9), devices))
    assert results == {n: (n * n, "cpu", 1) for n in range(9)}


def test_a_killed_worker_costs_nothing_but_a_retry(tmp_path: Path) -> None:
    tasks = [(tmp_path, n) for n in range(8)]
    assert sorted(r for _, r in map_on_devices(die_once, tasks, ("cpu", "cpu"))) == list(range(8))
    assert (tmp_path / "3").exists()


def test_a_task_that_kills_twice_is_an_error_with_a_sentence() -> None:
    with pytest.raises(WorkerCrash, match="died twice"):
        list(map_on_devices(die, [1], ("cpu", "cpu")))


@pytest.mark.parametrize("text", ["", "gpu", "cpu:1", "cuda:99", "cuda:x"])
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
