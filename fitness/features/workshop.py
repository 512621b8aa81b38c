"""Extraction: fill the bank, and score proxies exactly, in one visit per network."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

import numpy as np

from engine.crew import map_on_devices
from fitness.features.bank import FeatureBank, FeatureKey, sketch_features
from fitness.features.collect import FeatureError, Features, with_features
from models.architecture import Architecture
from models.spaces import SPACES
from models.tokens import TokenBatch
from primitives.grammar import parse
from primitives.invalid import Invalid
from primitives.proxy import Proxy
from primitives.scoring import Scorer

__all__ = ["Progress", "Workshop"]

MAX_PARAMETERS = 4_000_000_000  # 16 GB of weights: beyond that a description is a mistake or an attack

Progress = Callable[[int, int], None]
"""Called with (networks done, networks in all)."""


@dataclass(frozen=True)
class _Visit:
    """What one worker does with one network."""

    folder: Path
    key: FeatureKey
    batch: TokenBatch
    architecture: Architecture
    sketch: bool
    texts: tuple[str, ...]
    wait: bool = False  # for another process that works on the same network


class _Done(Enum):
    MADE = "this process did the work"
    FOUND = "another process did it meanwhile"
    BUSY = "another process is doing it"


def _visit(task: _Visit, device: str) -> _Done:
    """Build the network once; write what the bank still lacks, as the only process that works on it."""
    bank, architecture = FeatureBank(task.folder, task.key), task.architecture
    with bank.claim(architecture, task.wait) as mine:
        if not mine:
            return _Done.BUSY
        known = bank.load_exact(architecture) if task.texts else {}
        texts = tuple(text for text in task.texts if text not in known)
        lacks_sketch = task.sketch and bank.load_sketch(architecture) is None

        def use(features: Features) -> None:
            if lacks_sketch:
                bank.save_sketch(architecture, sketch_features(features))
            if texts:
                bank.save_exact(architecture, _scored(texts, features))

        if not texts and not lacks_sketch:
            return _Done.FOUND
        with_features(architecture, task.batch, task.key.init_seed, use, task.key.build, device)
        return _Done.MADE


def _scored(texts: Sequence[str], features: Features) -> dict[str, float | Invalid]:
    """Exact scores; a network that overflows has none, not even of formulas that see nothing of it."""
    if not features.finite:
        return dict.fromkeys(texts, Invalid.OVERFLOW)
    scorer = Scorer(features.blocks)
    return {text: scorer.score(parse(text)) for text in texts}


@dataclass(frozen=True)
class Workshop:
    """Where networks of one space are visited: a bank, a token batch and the devices to work on."""

    bank: FeatureBank
    batch: TokenBatch
    devices: tuple[str, ...] = ("cpu",)

    def extract(self, architectures: Sequence[Architecture], progress: Progress | None = None) -> int:
        """Make every missing sketch; returns how many networks this process visited."""
        return self._run([self._task(a, True, ()) for a in self.bank.missing(architectures)], progress)

    def exact_scores(
        self, proxies: Sequence[Proxy], architectures: Sequence[Architecture], progress: Progress | None = None
    ) -> np.ndarray:
        """Scores (P, N) over all entries, nan where a proxy has no finite score; cached in the bank.

        A network that has to be visited leaves its sketch in the bank as well.
        """
        texts = [proxy.text for proxy in proxies]
        tasks, unknown = [], []
        for architecture in {a.digest: a for a in architectures}.values():
            known = self.bank.load_exact(architecture)
            if not known:
                unknown.append(self.bank.exact_path(architecture))
            if wanted := tuple(dict.fromkeys(text for text in texts if text not in known)):
                no_sketch = self.bank.load_sketch(architecture) is None
                tasks.append(self._task(architecture, no_sketch, wanted))
        self.bank.tell_damaged(unknown)
        self._run(tasks, progress)
        columns = [self.bank.load_exact(a) for a in architectures]
        return np.array([[_number(column[text]) for column in columns] for text in texts])

    def _task(self, architecture: Architecture, sketch: bool, texts: tuple[str, ...]) -> _Visit:
        return _Visit(self.bank.folder, self.bank.key, self.batch, architecture, sketch, texts)

    def check(self, architecture: Architecture) -> None:
        """Refuse an architecture that is too large and a batch that it cannot read; FeatureError says why."""
        if (size := _size(architecture)) > MAX_PARAMETERS:
            raise FeatureError(
                f"{architecture.id}: got {size:,} parameters, wanted at most {MAX_PARAMETERS:,}; remove the record"
            )
        length, vocabulary = SPACES[architecture.space].limits(architecture)
        if self.batch.tokens.shape[1] > length:
            got = self.batch.tokens.shape[1]
            raise FeatureError(
                f"{architecture.id}: got sequences of {got} tokens, wanted at most {length}; lower --seq-len"
            )
        if int(self.batch.tokens.max()) >= vocabulary:
            raise FeatureError(
                f"{architecture.id}: got token {int(self.batch.tokens.max())}, but its vocabulary has {vocabulary}; "
                "use another --corpus"
            )

    def _run(self, tasks: list[_Visit], progress: Progress | None) -> int:
        for task in tasks:
            self.check(task.architecture)
        self.bank.sweep()
        # The largest networks first, so that no device is left alone with one at the end.
        tasks.sort(key=lambda task: -_size(task.architecture))
        done, made, busy = 0, 0, list[_Visit]()
        for waiting in (False, True):  # what other processes are at is left for later, then waited for
            todo = [replace(task, wait=True) for task in busy] if waiting else tasks
            for task, outcome in map_on_devices(_visit, todo, self.devices) if todo else ():
                if outcome is _Done.BUSY:
                    busy.append(task)
                    continue
                made, done = made + (outcome is _Done.MADE), done + 1
                if progress:
                    progress(done, len(tasks))
        return made


def _size(architecture: Architecture) -> int:
    return SPACES[architecture.space].parameters(architecture).total


def _number(score: float | Invalid) -> float:
    return math.nan if isinstance(score, Invalid) else score
