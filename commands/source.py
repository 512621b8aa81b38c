"""Who ranks in `rank` and `select`: a formula of a hall of fame, a committee of them, a formula by its text, or a
predictor; and what it says of its direction and of what it was evolved on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands.feature_options import FeatureOptions
from commands.loading import load_for
from commands.output import say, was_given
from commands.predicting import benchmark_of, opened
from commands.tables import Interval
from storage.errors import ZcpError

if TYPE_CHECKING:
    from fitness.candidates import CandidateScorer
    from fitness.evaluation import Evaluation
    from fitness.features.workshop import Progress, Workshop
    from fitness.predictors.predictor import Predictor, Provenance
    from gp.hall_file import BenchmarkRef, HallDocument
    from models.architecture import Architecture

Workshops = Callable[[str], "Workshop"]


@dataclass(frozen=True)
class Source:
    """Who ranks: the first formula of a hall of fame, a committee of its first `size`, a formula by its text, or a
    predictor."""

    formulas: tuple[Evaluation, ...]
    size: int | None = None
    hall: HallDocument | None = None
    predictor: Predictor | None = None

    @classmethod
    def of(cls, hall: Path | None, text: str | None, size: int | None, fitted: Path | None = None) -> Source:
        """What the user names; a usage error says what to give."""
        from fitness.evaluation import Evaluation
        from gp.hall_file import load_hall
        from primitives.grammar import parse

        if sum(given is not None for given in (hall, text, fitted)) != 1:
            raise click.UsageError(
                "wanted what ranks them: --hall HALL.json (perhaps --committee K), --proxy TEXT or --predictor FILE"
            )
        if hall is None and size is not None:
            raise click.UsageError("--committee: wanted --hall HALL.json, whose first formulas it takes")
        if (predictor := opened(fitted)) is not None:
            return cls(predictor.formulas, predictor=predictor)
        if hall is None:
            return cls((Evaluation(parse(str(text)), 0.0, 1),))
        document = load_hall(hall)
        if size is not None and size > len(document.proxies):
            raise click.UsageError(
                f"--committee: got {size}, wanted at most {len(document.proxies)}, all of its formulas"
            )
        return cls(tuple(record.formula for record in document.proxies[: size or 1]), size, document)

    @property
    def run(self) -> HallDocument | Provenance | None:
        """Where space, build and features are from."""
        return self.predictor.provenance if self.predictor else self.hall

    @property
    def labels(self) -> BenchmarkRef | Provenance | None:
        """The benchmark whose labels decided."""
        if self.predictor is not None:
            return self.predictor.provenance
        return self.hall.benchmark if self.hall else None

    @property
    def direction(self) -> str:
        """What a higher score means, in words."""
        if self.labels is None:
            return "higher is better, if more of this formula is: nobody measured its direction"
        wanted = f"a {'higher' if self.labels.higher_is_better else 'lower'} {self.labels.metric}"
        return f"higher is better: {wanted} is expected, as on {self.labels.name}"

    @property
    def name(self) -> str:
        """The formula with its sign, how many there are, or the kind of predictor."""
        if self.predictor is not None:
            return f"standardised rank among {len(self.predictor.ids)} labels, predicted by {self.predictor.kind}"
        if self.size is not None:
            return f"committee of {self.size}"
        return ("-" if self.formulas[0].sign < 0 else "") + self.formulas[0].proxy.text

    def home_of(self, architecture: Architecture) -> str | None:
        """The space that the formulas were evolved on, if the architecture is of another one."""
        return None if self.run is None or self.run.space == architecture.space else self.run.space

    def benchmark(self) -> tuple[Architecture, ...]:
        """The architectures of the benchmark that the formulas were evolved on; none where it cannot be read here."""
        try:
            if self.predictor is not None:
                found = benchmark_of(self.predictor.provenance, None, None)
            elif self.hall is not None:
                found = load_for(self.hall, None, None)
            else:
                return ()
        except ZcpError:
            return ()
        return found.architectures if self.labels and found.digest == self.labels.digest else ()

    def known(self) -> list[Architecture]:
        """Those of them that the formulas were evolved on; says where it must be silent about them."""
        if self.labels is None:
            return []
        everyone = self.benchmark()
        seen = set(self.predictor.ids if self.predictor else self.hall.split.search if self.hall else ())
        if not everyone:
            say(f"{self.labels.name} is not here as it was: nothing tells which candidates are unlike it")
        return [architecture for architecture in everyone if architecture.id in seen]

    def workshops(self, features: FeatureOptions) -> Workshops:
        """The workshop of each space, with the features of the hall's run where the user gives no others."""
        from models.spaces import WEIGHTED

        taken = features if self.run is None else features.of_run(self.run, self.run.space)
        home = None if self.run is None else self.run.space

        @cache
        def opened(space: str) -> Workshop:
            own = taken if space == home or was_given("build") else replace(taken, build=None)
            own = own if space == home else replace(own, trained=None)
            own = own if space in WEIGHTED else replace(own, weights=None)  # only counted: who ranks is refused before
            return own.open(space)

        return opened

    def scorer(self, known: Sequence[Architecture], workshops: Workshops, progress: Progress | None) -> CandidateScorer:
        """The scorer; a committee needs the architectures that its formulas were evolved on."""
        from fitness.candidates import CommitteeScorer, FormulaScorer, PredictorScorer

        if self.predictor is not None:
            return PredictorScorer(self.predictor)
        if self.size is None or self.hall is None:
            return FormulaScorer(self.formulas[0])
        if not known:
            name = self.hall.benchmark.name
            raise click.UsageError(
                f"--committee: wanted {name}, among whose architectures it places candidates; fetch it"
            )
        proxies = [formula.proxy for formula in self.formulas]
        return CommitteeScorer(self.formulas, workshops(self.hall.space).exact_scores(proxies, known, progress))

    def predictions(self, architectures: Sequence[Architecture], workshops: Workshops) -> dict[Architecture, Interval]:
        """The 90% interval that a predictor gives, in the metric's unit; none of a formula."""
        if self.predictor is None:
            return {}
        proxies = [formula.proxy for formula in self.formulas]
        scores = workshops(self.predictor.provenance.space).exact_scores(proxies, architectures)
        said = self.predictor.predict(architectures, scores.reshape(len(proxies), len(architectures)))
        return {a: Interval(*ends) for a, *ends in zip(architectures, said.low, said.high, strict=True)}
