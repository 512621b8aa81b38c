"""How a long command shows that it is alive, and how it is asked to stop."""

from __future__ import annotations

import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from commands.output import say, talk


@contextmanager
def live(iterations: int) -> Iterator[Any]:
    """A reporter: a live display on a terminal, plain lines elsewhere. Ctrl-C and SIGTERM ask it to stop: a search
    after the current evaluation, anything else after the current network, whose features are kept."""
    from gp.runs.run import Reporter

    stop: list[int] = []

    def ask(number: int, frame: Any) -> None:
        if stop:
            raise KeyboardInterrupt
        stop.append(number)
        say("stopping after the current step; press Ctrl-C again to leave at once")

    def stoppable(show: Callable[[int, int], None]) -> Callable[[int, int], None]:
        def networks(done: int, total: int) -> None:
            show(done, total)
            if stop and done < total:
                raise KeyboardInterrupt

        return networks

    warnings = Warnings()
    log = logging.getLogger("zcp")
    log.addHandler(warnings)
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with _bars() if talk.is_terminal else nullcontext() as bars:
            shown = _bar_callbacks(bars, iterations) if bars else _line_callbacks(iterations)
            shown["networks"] = stoppable(shown["networks"])
            yield Reporter(**shown, should_stop=lambda: bool(stop))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        log.removeHandler(warnings)


class Warnings(logging.Handler):
    """What the library has to say, a line each on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        say(f"warning: {record.getMessage()}")


def _bars() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(24), MofNCompleteColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"), console=talk, transient=True,
    )  # fmt: skip


def _bar_callbacks(bars: Progress, iterations: int) -> dict[str, Any]:
    state: dict[str, Any] = {"stage": "networks", "task": None, "start": None}

    def stage(text: str) -> None:
        state.update(stage=text, task=None)
        say(text)

    def networks(done: int, total: int) -> None:
        if state["task"] is None or done == 1:
            state["task"] = bars.add_task("networks", total=total, note="")
        bars.update(state["task"], completed=done)

    def iteration(progress: Any) -> None:
        if state["start"] is None:
            state["start"], state["search"] = time.monotonic(), bars.add_task("search", total=iterations, note="")
        bars.update(state["search"], completed=progress.iteration, note=_note(progress, state["start"]))

    return {"stage": stage, "networks": networks, "iteration": iteration}


def _line_callbacks(iterations: int) -> dict[str, Any]:
    start = time.monotonic()

    def networks(done: int, total: int) -> None:
        if done == total or done % 50 == 0:
            print(f"networks {done}/{total}, {time.monotonic() - start:.0f} s", file=sys.stderr)

    def iteration(progress: Any) -> None:
        if progress.iteration % 50 == 0:
            print(f"iteration {progress.iteration}/{iterations}: {_note(progress, start)}", file=sys.stderr)

    return {"stage": lambda text: print(text, file=sys.stderr), "networks": networks, "iteration": iteration}


def _note(progress: Any, start: float) -> str:
    best = "none" if progress.best_fitness is None else f"{progress.best_fitness:.4f}"
    pace = progress.evaluations / max(time.monotonic() - start, 1e-3)
    top = sorted(progress.rejections.items(), key=lambda item: -item[1])[:4]
    refused = ", ".join(f"{rule} {count}" for rule, count in top)
    total = sum(progress.rejections.values())
    return f"best {best}, {pace:.0f} evaluations/s, PPS refused {total}" + (f" ({refused})" if top else "")
