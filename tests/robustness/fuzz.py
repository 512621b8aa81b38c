"""Hostile input, mutated or made up, thrown at the program and its loaders: halls of fame, predictors, checkpoints,
settings, journals, bank entries (damaged, or those of others), benchmarks in four layouts, candidates, configurations
of Hugging Face, headers of trained benchmarks, names with markup and escapes, options, pipes and devices, formulas.

    python -m tests.robustness.fuzz [--count 10000] [--seed 0] [--minutes 60]

Each answer must be a sentence or a success: no traceback, no hang, nothing accepted that must be refused, no code run,
no process, no connection, nothing written outside the folder of the case, and no more than 200 MB more than before. The
process may have 1.5 GiB of memory in all: the system refuses more, and the peak is printed. Exit code 1 on a fault.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import cli
from storage.errors import ZcpError
from tests.robustness.hostile import PLAIN, WORDS, bombs, mutated, resealed
from tests.robustness.special import PLACES
from tests.robustness.targets import SLOW, Targets, WrongAcceptance
from tests.robustness.watch import WATCH

SECONDS, MEGABYTES = 5.0, 200.0
HANG = 300  # seconds on the clock, which a busy machine stretches
MEMORY = 3 << 29  # bytes that the process may have


@dataclass
class Result:
    """Counts, extremes, and every answer that is not as it must be."""

    kinds: Counter[str] = field(default_factory=Counter)
    accepted: int = 0
    slowest: float = 0.0
    largest: float = 0.0
    faults: list[str] = field(default_factory=list)


class Page(io.TextIOWrapper):
    """A page that is strict: what cannot be written down as UTF-8 is an error."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), "utf-8", write_through=True)

    def text(self) -> str:
        """What was printed."""
        return self.buffer.getvalue().decode()  # type: ignore[attr-defined]


@contextlib.contextmanager
def alarm(seconds: int) -> Iterator[None]:
    """A block that may take so long; a hang is an error."""

    def ring(number: int, frame: object) -> None:
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


class Fuzz:
    """Targets, and the judgement of every answer."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.result, self.page = Result(), Page()
        self.targets = Targets(folder, rng, lambda: self.page.text())

    def throw(self, kind: str, content: bytes, refuse: bool = False) -> None:
        """One case: an answer is a sentence or a success, quick, small, and leaves nothing elsewhere."""
        place = self.targets.place
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        # A case may write to its own folder only.
        WATCH.allowed, WATCH.seen = str(place), []
        call, before = self.targets.kinds[kind][1], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self.page, talk = Page(), Page()
        start, fault = time.process_time(), ""
        with contextlib.redirect_stdout(self.page), contextlib.redirect_stderr(talk), contextlib.chdir(place):
            try:
                with alarm(HANG):
                    accepted = call(content)
                fault = "accepted, wrongly" if refuse and accepted else ""
            except ZcpError as error:
                accepted = False
                fault = "" if str(error) and "\n" not in cli.one_line(str(error)) else "an empty message"
            except WrongAcceptance as error:
                accepted, fault = True, f"accepted, wrongly: {error}"
            except Exception as error:  # noqa: BLE001 - this is what is looked for
                accepted, fault = False, f"{type(error).__name__}: {error}"
            finally:
                WATCH.armed = False
        seconds = time.process_time() - start
        megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        self._judge(kind, content, fault, seconds, megabytes, self.page.text() + talk.text())
        self.result.accepted += bool(accepted)

    def _judge(self, kind: str, content: bytes, fault: str, seconds: float, megabytes: float, talk: str) -> None:
        result = self.result
        result.kinds[kind] += 1
        result.slowest, result.largest = max(result.slowest, seconds), max(result.largest, megabytes)
        faults = [fault] if fault else []
        faults += [f"did {event}" for event in WATCH.seen]
        faults += [f"took {seconds:.2f} s"] if seconds > SECONDS else []
        faults += [f"took {megabytes:.0f} MB"] if megabytes > MEGABYTES else []
        faults += ["a traceback"] if "Traceback" in talk else []
        faults += ["steered the terminal"] if not talk.replace("\n", "").isprintable() else []
        result.faults += [f"{kind}: {' '.join(what.split())[:200]}: {content[:60]!r}" for what in faults]


def run(count: int, seed_: int, folder: Path, seconds: float = math.inf) -> Result:
    """`count` cases: three quarters mutated real files, a quarter from hypothesis; fewer when the `seconds` are over."""
    end = time.monotonic() + seconds
    fuzz = Fuzz(folder, random.Random(seed_))
    "".encode("unicode_escape")  # Python imports this codec when it is first asked for
    targets = fuzz.targets
    for kind, (content, _) in targets.kinds.items():  # what is imported late is imported now
        fuzz.throw(kind, content)
    for where in PLACES:
        fuzz.throw("special", f"{where} pipe".encode())
    # The formula asks for a benchmark that there is not, and a pipe is no file.
    if fuzz.result.accepted != len(targets.kinds) - 2:
        raise SystemExit(f"an unchanged file was refused, or a pipe was not: {fuzz.result.faults[-3:]}")
    fuzz.result = Result()
    names = [name for name in targets.kinds if name not in SLOW]
    for kind, content in bombs():
        fuzz.throw(kind, content)
    for i in range(count - count // 4):
        if time.monotonic() > end:
            return fuzz.result
        kind = targets.rng.choice(SLOW) if i % 10 == 0 else names[i % len(names)]
        fuzz.throw(kind, *mutated(targets, kind))
    made = settings(max_examples=count // 12, database=None, deadline=None, phases=[Phase.generate],
                    suppress_health_check=list(HealthCheck))  # fmt: skip

    @seed(seed_)
    @made
    @given(st.sampled_from([n for n in names if n != "formula"]), PLAIN)
    def made_up_json(kind: str, data: Any) -> None:
        fuzz.throw(kind, resealed(kind, data if isinstance(data, dict) else {"records": data}))

    @seed(seed_)
    @made
    @given(st.sampled_from(names), st.binary(max_size=400))
    def made_up_bytes(kind: str, content: bytes) -> None:
        fuzz.throw(kind, content)

    @seed(seed_)
    @made
    @given(WORDS.map("".join) | st.text(max_size=60))
    def made_up_formula(text: str) -> None:
        fuzz.throw("formula", text.encode("utf-8", "replace"))

    for cases in (made_up_json, made_up_bytes, made_up_formula):
        if time.monotonic() < end:
            cases()
    return fuzz.result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after that many, with fewer cases")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    with tempfile.TemporaryDirectory() as folder:
        result = run(options.count, options.seed, Path(folder), 60 * options.minutes)
    for kind, number in sorted(result.kinds.items()):
        print(f"{kind:14} {number:6}")
    count, wrong = sum(result.kinds.values()), sum("accepted, wrongly" in fault for fault in result.faults)
    print(f"{count} inputs, {result.accepted} harmless, {len(result.faults)} faults, {wrong} of them wrong acceptances")
    tracebacks = sum("traceback" in fault or "Error" in fault for fault in result.faults)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{tracebacks} tracebacks; slowest answer {result.slowest:.2f} s of CPU; largest growth of memory "
          f"{result.largest:.0f} MB, peak {peak:.0f} MB, bound {MEMORY >> 20} MB")  # fmt: skip
    for fault in result.faults[:40]:
        print(f"FAULT {fault}")
    return 1 if result.faults or peak > MEMORY >> 20 else 0


if __name__ == "__main__":
    sys.exit(main())
