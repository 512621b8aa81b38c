"""Reach: which tests run which lines of the product, seen in one run of each test file."""

from __future__ import annotations

import ast
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

__all__ = ["Chosen", "Reach", "Tracer", "runs_in_a_function"]

Line = tuple[str, int]
ALL = ""  # a fixture that several tests share: what it runs, all of them depend on


class Tracer:
    """A pytest plugin that notes the lines of files that each test runs, its seconds, and whether it passes."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.names = {str(folder / name): name for name in names}
        self.lines: dict[str, set[Line]] = {ALL: set()}
        self.seconds: dict[str, float] = {}
        self.failed: set[str] = set()
        self._now: set[Line] = set()

    def __call__(self, frame: FrameType, event: str, arg: object) -> Callable[..., Any] | None:
        """Trace function: only frames of the files are looked into."""
        return self._inside if frame.f_code.co_filename in self.names else None

    def _inside(self, frame: FrameType, event: str, arg: object) -> Callable[..., Any]:
        self._now.add((self.names[frame.f_code.co_filename], frame.f_lineno))
        return self._inside

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._now = self.lines[item.nodeid] = set()
        start = time.perf_counter()
        threading.settrace(self)
        sys.settrace(self)
        yield
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]
        self.seconds[item.nodeid] = time.perf_counter() - start

    @pytest.hookimpl(hookwrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[None]:
        own = self._now
        if fixturedef.scope != "function":
            self._now = self.lines[ALL]
        yield
        self._now = own

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.add(report.nodeid)

    def save(self, path: Path) -> None:
        """Write what was seen of tests that pass."""
        kept = {test: sorted(lines) for test, lines in self.lines.items() if test not in self.failed}
        path.write_text(json.dumps({"lines": kept, "seconds": self.seconds, "failed": sorted(self.failed)}))


class Chosen:
    """A pytest plugin that runs some tests only, those of a file one after the other, so that its fixtures are made
    once; the order given decides among files by their first test, and inside each."""

    def __init__(self, tests: Sequence[str]) -> None:
        first: dict[str, int] = {}
        for place, test in enumerate(tests):
            first.setdefault(test.split("::")[0], place)
        self.place = {test: (first[test.split("::")[0]], place) for place, test in enumerate(tests)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted((i for i in items if i.nodeid in self.place), key=lambda i: self.place[i.nodeid])


@dataclass
class Reach:
    """Lines that the tests of each file reach, by the file's name; `trace` runs one and writes what a Tracer saw."""

    trace: Callable[[str], Path]
    known: dict[str, dict[str, Any]] = field(default_factory=dict)

    def of(self, file: str) -> dict[str, Any]:
        """Lines that a Tracer saw in one test file, seen now if it is not known."""
        if file not in self.known:
            path = self.trace(file)
            found = json.loads(path.read_text()) if path.exists() else {"lines": {}, "seconds": {}, "failed": [file]}
            for test in found["failed"]:
                print(f"{test}: fails without any change, so it is not asked", flush=True)
            found["lines"] = {test: {tuple(line) for line in lines} for test, lines in found["lines"].items()}
            self.known[file] = found
        return self.known[file]

    def tests(self, files: Sequence[str], name: str, source: str, line: int) -> dict[str, float]:
        """Seconds by test of those that run a line of a module, or anything of its statement; all where only the import
        runs it. The quick ones first."""
        chosen: dict[str, float] = {}
        wanted = {(name, near) for near in statement(source, line)}
        exact = any((name, line) in lines for file in files for lines in self.of(file)["lines"].values())
        wanted = {(name, line)} if exact else wanted
        whole = not runs_in_a_function(source, line)
        for file in files:
            found = self.of(file)
            everyone = whole or bool(wanted & found["lines"].get(ALL, set()))
            for test, lines in found["lines"].items():
                if test != ALL and (everyone or wanted & lines):
                    chosen[test] = found["seconds"][test]
        return dict(sorted(chosen.items(), key=lambda pair: pair[1]))

    def closest(self, files: Sequence[str], name: str, most: int = 6) -> list[str]:
        """The test files whose tests run the most lines of a module."""
        lines = {
            file: {line for seen in self.of(file)["lines"].values() for line in seen if line[0] == name}
            for file in files
        }
        return sorted((file for file in files if lines[file]), key=lambda file: -len(lines[file]))[:most]

    def every(self, files: Sequence[str]) -> dict[str, float]:
        """Seconds of every test of some files, the quick ones first."""
        seconds = {
            test: self.of(file)["seconds"][test] for file in files for test in self.of(file)["lines"] if test != ALL
        }
        return dict(sorted(seconds.items(), key=lambda pair: pair[1]))


def statement(source: str, line: int) -> range:
    """The lines of the smallest statement that holds a line."""
    spans = [range(node.lineno, (node.end_lineno or node.lineno) + 1) for node in ast.walk(ast.parse(source))
             if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or node.lineno)]  # fmt: skip
    return min(spans, key=len, default=range(line, line + 1))


def runs_in_a_function(source: str, line: int) -> bool:
    """True if a line is in the body of a function, so that an import does not run it."""
    bodies = [node.body[0].lineno for node in ast.walk(ast.parse(source))
              if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
              and node.body[0].lineno <= line <= (node.end_lineno or node.lineno)]  # fmt: skip
    return bool(bodies)
