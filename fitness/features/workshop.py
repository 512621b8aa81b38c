"""Workshop: where the networks of one space are visited, for sketches, exact scores and whatever else is taken."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from engine.cluster import Cluster
from engine.crew import Crew, map_on_devices
from engine.devices import MIXED, BadDevice, check_devices, kind_of
from engine.memory import free_on
from engine.protocol import Engine
from engine.workers import Need
from fitness.features.bank import FeatureBank, FeatureKey
from fitness.features.collect import FeatureError
from fitness.features.figures import Figure, of_parts, part_scores
from fitness.features.fitting import bytes_of, check_batch, check_size, size_of
from fitness.features.gathering import Gathering, Progress, Refused
from fitness.features.takers import SketchTaker, Taker, counts_alone, reads_gradients
from fitness.features.trained import check_whole, opened_weights, token_batch
from fitness.features.visit import Visit
from fitness.features.whole import PRICES, visit_whole
from models.architecture import Architecture
from models.spaces import PARTED, WEIGHTED
from models.spaces.checkpoint import BadWeights, Checkpoint
from models.tokens import TokenBatch
from primitives.proxy import Proxy

__all__ = ["NEEDS", "Progress", "Refused", "Workshop"]

NEEDS = (
    Need("torch", "torch", "__version__"),
    Need("transformers", "transformers", "__version__"),
    Need("extractor version", "fitness.features.collect", "EXTRACTOR_VERSION"),
    Need("sketch version", "fitness.features.sketch", "SKETCH_VERSION"),
    Need("scoring version", "primitives.scoring", "SCORING_VERSION"),
)
"""Packages and versions that a worker elsewhere must share with this process."""


@dataclass(frozen=True)
class Workshop:
    """A bank, a token batch, and the devices that networks are visited on, by workers of an `engine` if it has one;
    `price` says whether each network is visited, or the whole one of which all are subnets.

    Networks have fresh weights, or those of a checkpoint. They `stream` block by block or are held as a whole; where
    nothing is said, the first if they would not fit in a third of the free memory.
    """

    bank: FeatureBank
    batch: TokenBatch
    devices: tuple[str, ...] = ("cpu",)
    engine: Engine | None = field(default=None, compare=False, repr=False)
    weights: Checkpoint | None = None
    stream: bool | None = None
    price: str = PRICES[0]

    @classmethod
    def open(
        cls,
        space: str,
        *,
        build: str | None = None,
        batch: int = 4,
        length: int = 64,
        corpus: Path | None = None,
        init_seed: int = 0,
        devices: str = "auto",
        mix_devices: bool = False,
        cluster: Cluster | None = None,
        bank: Path = Path(".cache/bank"),
        weights: Path | None = None,
        stream: bool | None = None,
        price: str = "own",
    ) -> Workshop:
        """A workshop for a space: `batch` sequences of `length` tokens of the built-in passage (or of `corpus`), the
        first build of the space or the named one, or the weights of the checkpoint in a folder, visited by the workers
        of a `cluster` or on `devices` of this machine. Tokens are bytes, or those of the checkpoint's tokenizer if it
        has one. Raises BadFeatures, BadCorpus, BadWeights, BadTokenizer or BadDevice; devices whose numbers differ
        share nothing in the bank, unless they are to be mixed."""
        checkpoint = None if weights is None else opened_weights(weights, space, build)
        tokens = token_batch(checkpoint, corpus, batch, length)
        names = check_devices(devices) if cluster is None else ()
        kind = kind_of(names, mix_devices) if cluster is None else cluster.kind
        digest = "" if checkpoint is None else checkpoint.digest
        own = price == PRICES[0]
        if not own:
            check_whole(space, build, checkpoint)
        key = FeatureKey.create(space, tokens.digest, init_seed, build, kind, digest, "" if own else price)
        return cls(FeatureBank(bank, key), tokens, names, cluster, checkpoint, stream, price)

    @contextmanager
    def staffed(self) -> Iterator[Workshop]:
        """Keep worker processes alive between visits until the end of the block; otherwise every call of `visit` starts
        its own."""
        if self.engine is not None:
            yield self
            return
        with Crew(self.devices) as crew:
            yield replace(self, engine=crew if len(self.devices) > 1 else None)

    def at_own_price(self) -> Workshop:
        """This workshop with one visit per network (price `own`)."""
        return replace(self, price=PRICES[0])

    def alone(self) -> Workshop:
        """A copy for another process that reads features from the bank only."""
        return replace(self, devices=self.devices[:1], engine=None)

    def initialised(self, init_seed: int) -> Workshop:
        """This workshop with another initialisation seed."""
        return replace(self, bank=FeatureBank(self.bank.folder, replace(self.bank.key, init_seed=init_seed)))

    def fresh(self) -> Workshop:
        """This workshop with random weights and the first build of the space."""
        old = self.bank.key
        key = FeatureKey.create(old.space, old.tokens, old.init_seed, None, old.device)
        return replace(self, bank=FeatureBank(self.bank.folder, key), weights=None)

    def extract(self, architectures: Sequence[Architecture], progress: Progress | None = None) -> int:
        """Make every missing sketch; returns how many networks this process visited."""
        return self.visit([SketchTaker()], architectures, progress)

    def prepare(
        self, proxies: Sequence[Proxy], architectures: Sequence[Architecture], progress: Progress | None = None
    ) -> int:
        """Make every missing exact score; returns how many networks were visited."""
        return self.visit([part_scores(proxies)], architectures, progress)

    def exact_scores(
        self,
        proxies: Sequence[Proxy],
        architectures: Sequence[Architecture],
        progress: Progress | None = None,
        refused: Refused | None = None,
    ) -> np.ndarray:
        """Scores (P, N) over all entries, nan where a proxy has no finite score; cached in the bank. Formulas that read
        the training budget are scored for the tokens of each architecture.

        A network that cannot be visited is an error, unless there are those `refused` to add it to; then its scores
        are nan.
        """
        scores = part_scores(proxies)
        self.visit([scores], architectures, progress, refused)
        lost = dict.fromkeys(scores.names, Figure())
        found = [lost if refused and a in refused else scores.needed(self.bank, a) for a in architectures]
        values = [[figures[text].value for figures in found] for text in scores.names]
        rows = [[math.nan if value is None else value for value in row] for row in values]
        known = np.array(rows, dtype=float).reshape(len(rows), len(architectures))
        return of_parts(proxies, dict(zip(scores.names, known, strict=True)), architectures)

    def visit(
        self,
        takers: Sequence[Taker],
        architectures: Sequence[Architecture],
        progress: Progress | None = None,
        refused: Refused | None = None,
    ) -> int:
        """Visit each network that some taker lacks something of, once; returns how many this process visited. A network
        that cannot be visited is an error, unless there are those `refused` to add it to."""
        if self.price != PRICES[0]:
            return visit_whole(self, takers, architectures, progress)
        bank, chosen, damaged = self.bank, dict[Architecture, list[Taker]](), list[Path | None]()
        for architecture in {a.digest: a for a in architectures}.values():
            if lacking := [taker for taker in takers if taker.lacking(bank, architecture)]:
                damaged += [taker.damaged(bank, architecture) for taker in lacking]
                chosen[architecture] = lacking
        bank.tell_damaged([path for path in damaged if path is not None])
        streamed = self._streamed(chosen, refused)
        left = [architecture for architecture in chosen if refused is None or architecture not in refused]
        bank.sweep()
        # The largest networks first, so that no device is left alone with one at the end.
        order = sorted(left, key=lambda architecture: -size_of(architecture))
        gathering = Gathering(bank, self.batch, takers, len(left), progress, self.weights, streamed, refused)
        # What takes milliseconds is not worth the start of a worker.
        here = partial(map_on_devices, devices=("cpu",)) if self._by_shapes(takers) else None
        gathering.gather(order, here or partial(self._run, len(order)))
        return gathering.made

    def _by_shapes(self, takers: Sequence[Taker]) -> bool:
        return self.weights is None and counts_alone(takers)

    def _streamed(self, chosen: Mapping[Architecture, Sequence[Taker]], refused: Refused | None) -> set[str]:
        """The digests of networks that are visited block by block; those that cannot be visited are refused."""
        streamed = set[str]()
        for architecture, takers in chosen.items():
            try:
                if self._by_shapes(takers):
                    check_batch(architecture, self.batch)
                    continue
                passes = self.streams(architecture, takers)
                self.check(architecture, passes, reads_gradients(takers))
            except (FeatureError, BadWeights) as error:
                if refused is None:
                    raise
                refused[architecture] = str(error)
                continue
            if passes:
                streamed.add(architecture.digest)
        return streamed

    def _run(
        self, count: int, function: Callable[[Visit, str], list[Any]], tasks: Iterable[Visit]
    ) -> Iterator[tuple[Visit, list[Any]]]:
        """Visit by the engine, or by workers for these tasks alone, of which there are at most `count`: a single one
        needs no worker process, whose start takes longer than a small network."""
        if self.engine is not None:
            return self.engine.run(function, tasks)
        if self.bank.key.device not in (MIXED, *(device.split(":")[0] for device in self.devices)):
            got = self.devices[0] if self.devices else "no device"
            raise BadDevice(f"{self.bank.folder}: got {got}, wanted {self.bank.key.device}, which the features are of")
        return map_on_devices(function, tasks, self.devices[: max(count, 1)])

    def streams(self, architecture: Architecture, takers: Sequence[Taker] = ()) -> bool:
        """True if a network is visited block by block."""
        if architecture.space not in PARTED:
            if self.stream:
                raise FeatureError(
                    f"{architecture.id}: --stream: got the space {architecture.space}, wanted {', '.join(PARTED)}, "
                    "whose blocks are made one by one; leave it out"
                )
            return False
        if self.stream is not None:
            return self.stream
        free = self._free()
        needs_whole = any(taker.reader() is None for taker in takers)
        return free is not None and not needs_whole and 3 * bytes_of(architecture) > free

    def check(self, architecture: Architecture, streamed: bool = False, gradients: bool = True) -> None:
        """Refuse an architecture that is too large, a batch that it cannot read and a checkpoint that is not one of
        it; FeatureError or BadWeights says why. `gradients` tells whether somebody reads any."""
        check_size(architecture, streamed, gradients, self._free())
        self.check_weights(architecture)
        check_batch(architecture, self.batch)

    def check_weights(self, architecture: Architecture) -> None:
        """Refuse a checkpoint, if there is one, that has no weights for an architecture; BadWeights says why."""
        if self.weights is not None:
            WEIGHTED[architecture.space].check_weights(architecture, self.weights)

    def _free(self) -> int | None:
        return free_on(self.devices) if self.engine is None else self.engine.free_memory()
