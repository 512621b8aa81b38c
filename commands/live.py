"""Progress of a long command, and signals that ask it to stop."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from types import FrameType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.progress import TimeRemainingColumn as TimeLeft
from rich.table import Column
from rich.text import Text

from commands.output import say, talk
from gp.reporter import Reporter

if TYPE_CHECKING:
    from fitness.evaluation import Evaluation
    from gp.evolution.evolve import Step

EVERY = 50  # networks or iterations between two plain lines
GRACE, AGAIN = 4.0, 5.0  # seconds from SIGTERM until the current step is given up, and until that is tried again


@contextmanager
def live(iterations: int) -> Iterator[Reporter]:
    """A reporter: a live display on a terminal, plain lines elsewhere. Ctrl-C and SIGTERM ask it to stop: a search
    after the current evaluation, anything else after the current network, whose features are kept. Who sends SIGTERM
    waits a few seconds only: after GRACE the current step is given up, even inside the visit of a deep network."""
    stop: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        if stop:
            raise KeyboardInterrupt
        stop.append(number)
        if number == signal.SIGTERM:
            signal.setitimer(signal.ITIMER_REAL, GRACE, AGAIN)
            say(f"stopping after the current step, or in {GRACE:.0f} seconds without its end")
        else:
            say("stopping after the current step; press Ctrl-C again to leave at once")

    def asked() -> bool:
        if stop:  # the step has heard it, and ends by itself
            signal.setitimer(signal.ITIMER_REAL, 0)
        return bool(stop)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    before[signal.SIGALRM] = signal.signal(signal.SIGALRM, _give_up)
    try:
        with progress_bars(talk) if talk.is_terminal else nullcontext() as bars:
            display = Bars(bars, iterations) if bars else Lines(iterations)

            def networks(done: int, total: int) -> None:
                display.networks(done, total)
                if done < total and asked():
                    raise KeyboardInterrupt

            yield Reporter(display.stage, networks, display.iteration, asked, say_early)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def _give_up(number: int, frame: FrameType | None) -> None:
    """Leave the current step; what was finished before it is on the disk."""
    raise KeyboardInterrupt


def say_early(champions: Sequence[Evaluation]) -> None:
    """The hall of fame as it stands before the exact scores, which take longest; a line each on stderr."""
    say("hall of fame by sketch scores on the search split; exact scores, to follow, have the last word:")
    for champion in champions:
        say(f"  {champion.fitness:.3f}  {champion.sign:+d}  {champion.proxy.text}")


class Note(ProgressColumn):
    """The end of a progress line, which gives way where there is no room."""

    def __init__(self) -> None:
        super().__init__(Column(no_wrap=False, ratio=1))

    def render(self, task: Task) -> Text:
        return Text(task.fields["note"], no_wrap=True, overflow="ellipsis")


def progress_bars(console: Console) -> Progress:
    """Progress lines whose bar and count keep their room."""
    return Progress(
        TextColumn("{task.description}", table_column=Column(no_wrap=True)),
        BarColumn(24, table_column=Column(no_wrap=True)),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TimeLeft(table_column=Column(no_wrap=True)),
        Note(),
        console=console,
        transient=True,
        expand=True,
    )


class Bars:
    """Progress on a terminal: a bar per stage that visits networks, one for the search, and one that moves while
    neither counts anything."""

    def __init__(self, bars: Progress, iterations: int) -> None:
        self._bars, self._iterations = bars, iterations
        self._visits: TaskID | None = None
        self._search: TaskID | None = None
        self._waiting: TaskID | None = None
        self._start = time.monotonic()

    def stage(self, text: str) -> None:
        """Another part of the work begins."""
        self._visits = None
        say(text)
        self._wait(True)

    def _wait(self, begins: bool) -> None:
        """Begin or end a bar without a count."""
        if self._waiting is not None:
            self._bars.remove_task(self._waiting)
        self._waiting = self._bars.add_task("working", total=None, note="") if begins else None

    def networks(self, done: int, total: int) -> None:
        """Another network is done."""
        if self._visits is None or done == 1:
            self._visits = self._bars.add_task("networks", total=total, note="")
        self._bars.update(self._visits, completed=done)
        if (done == total) is (self._waiting is None):
            self._wait(done == total)

    def iteration(self, step: Step) -> None:
        """Another iteration is done."""
        if self._search is None:
            self._wait(False)
            self._start = time.monotonic()
            self._search = self._bars.add_task("search", total=self._iterations, note="")
        self._bars.update(self._search, completed=step.iteration, note=_note(step, self._start))


class Lines:
    """Progress for a file or a pipe: an occasional line."""

    def __init__(self, iterations: int) -> None:
        self._iterations, self._start = iterations, time.monotonic()

    def stage(self, text: str) -> None:
        """Another part of the work begins."""
        say(text)

    def networks(self, done: int, total: int) -> None:
        """Another network is done."""
        if done == total or done % EVERY == 0:
            say(f"networks {done}/{total}, {time.monotonic() - self._start:.0f} s")

    def iteration(self, step: Step) -> None:
        """Another iteration is done."""
        if step.iteration % EVERY == 0:
            say(f"iteration {step.iteration}/{self._iterations}: {_note(step, self._start)}")


def _note(step: Step, start: float) -> str:
    best = "none" if step.best_fitness is None else f"{step.best_fitness:.4f}"
    pace = step.evaluations / max(time.monotonic() - start, 1e-3)
    top = sorted(step.rejections.items(), key=lambda item: -item[1])[:4]
    refused = ", ".join(f"{rule} {count}" for rule, count in top)
    total = sum(step.rejections.values())
    return f"best {best}, {pace:.0f} evaluations/s, PPS refused {total}" + (f" ({refused})" if top else "")
