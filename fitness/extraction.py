"""Extraction: fill the bank, and score proxies exactly, in one visit per network."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fitness.bank import FeatureBank, FeatureKey, sketch_features
from fitness.devices import map_on_devices
from fitness.features import FeatureError, Features, with_features
from models.architecture import Architecture
from models.spaces import SPACES
from models.tokens import TokenBatch
from primitives.grammar import parse
from primitives.invalid import Invalid
from primitives.proxy import Proxy
from primitives.scoring import Scorer

__all__ = ["Progress", "Workshop"]

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


def _visit(task: _Visit, device: str) -> None:
    """Build the network once; write what is wanted into the bank."""
    bank = FeatureBank(task.folder, task.key)

    def use(features: Features) -> None:
        if task.sketch:
            bank.save_sketch(task.architecture, sketch_features(features))
        if task.texts:
            scorer = Scorer(features.blocks)
            bank.save_exact(task.architecture, {text: scorer.score(parse(text)) for text in task.texts})

    with_features(task.architecture, task.batch, task.key.init_seed, use, task.key.build, device)


@dataclass(frozen=True)
class Workshop:
    """Where networks of one space are visited: a bank, a token batch and the devices to work on."""

    bank: FeatureBank
    batch: TokenBatch
    devices: tuple[str, ...] = ("cpu",)

    def extract(self, architectures: Sequence[Architecture], progress: Progress | None = None) -> int:
        """Make every missing sketch; returns how many networks had to be visited."""
        return self._run([self._task(a, True, ()) for a in self.bank.missing(architectures)], progress)

    def exact_scores(
        self, proxies: Sequence[Proxy], architectures: Sequence[Architecture], progress: Progress | None = None
    ) -> np.ndarray:
        """Scores (P, N) over all entries, nan where a proxy has no finite score; cached in the bank.

        A network that has to be visited leaves its sketch in the bank as well.
        """
        texts = [proxy.text for proxy in proxies]
        tasks = []
        for architecture in {a.digest: a for a in architectures}.values():
            known = self.bank.load_exact(architecture)
            if wanted := tuple(dict.fromkeys(text for text in texts if text not in known)):
                no_sketch = self.bank.load_sketch(architecture) is None
                tasks.append(self._task(architecture, no_sketch, wanted))
        self._run(tasks, progress)
        columns = [self.bank.load_exact(a) for a in architectures]
        return np.array([[_number(column[text]) for column in columns] for text in texts])

    def _task(self, architecture: Architecture, sketch: bool, texts: tuple[str, ...]) -> _Visit:
        return _Visit(self.bank.folder, self.bank.key, self.batch, architecture, sketch, texts)

    def check(self, architecture: Architecture) -> None:
        """Refuse a batch that the architecture cannot read; FeatureError says why."""
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
        # The largest networks first, so that no device is left alone with one at the end.
        tasks.sort(key=lambda task: -_size(task.architecture))
        for done, _ in enumerate(map_on_devices(_visit, tasks, self.devices), start=1):
            if progress:
                progress(done, len(tasks))
        return len(tasks)


def _size(architecture: Architecture) -> int:
    return SPACES[architecture.space].parameters(architecture).total


def _number(score: float | Invalid) -> float:
    return math.nan if isinstance(score, Invalid) else score
