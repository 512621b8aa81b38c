"""Scorer that ranks in `rank` and `select`: a formula of a hall of fame, a committee of them, a formula by its text, or
a predictor; and what it says of its direction and of what it was evolved on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from commands.feature_options import FeatureOptions, other_features
from commands.moved import places_now
from commands.output import say
from commands.predicting import check_features, opened

if TYPE_CHECKING:
    from fitness.candidates import CandidateScorer
    from fitness.evaluation import Evaluation
    from fitness.features.workshop import Progress, Workshop
    from fitness.predictors.predictor import Predictor, Provenance
    from fitness.seen import Seen, SeenCase
    from gp.hall_file import HallCase, HallDocument
    from models.architecture import Architecture

UNIVERSAL = Path(__file__).resolve().parent.parent / "proxies" / "universal.json"
"""The formulas that rank where none are named: laws of shape and training budget, fitted to several benchmarks."""

SHORT = 100  # characters of a formula in a sentence
FEW = 6  # benchmarks in a sentence

Workshops = Callable[[str], "Workshop"]


class Predicted(NamedTuple):
    """A predicted value of the metric and the ends of its 90% interval."""

    predicted: float
    predicted_low: float
    predicted_high: float


@dataclass(frozen=True)
class Source:
    """Scorer that ranks: the first formula of a hall of fame, a committee of its first `size`, a formula by its text,
    or a predictor; `unasked` if the user named none. Its benchmarks are read where files say, or at the `places` where
    they lie now."""

    formulas: tuple[Evaluation, ...]
    size: int | None = None
    hall: HallDocument | None = None
    predictor: Predictor | None = None
    unasked: bool = False
    places: tuple[str, ...] = ()

    @classmethod
    def of(cls, hall: Path | None, text: str | None, size: int | None, fitted: Path | None = None) -> Source:
        """The scorer that the options name; usage error if they name none or several."""
        from fitness.evaluation import Evaluation
        from gp.hall_file import load_hall
        from primitives.grammar import parse

        count = sum(given is not None for given in (hall, text, fitted))
        if count > 1:
            raise click.UsageError(
                "wanted what ranks them: --hall HALL.json (perhaps --committee K), --proxy TEXT or --predictor FILE, "
                f"one of these; got {count}"
            )
        if count == 0:
            return cls._universal(size)
        if hall is None and size is not None:
            raise click.UsageError("--committee: wanted --hall HALL.json, whose first formulas it takes")
        if (predictor := opened(fitted)) is not None:
            return cls(predictor.formulas, predictor=predictor)
        if hall is None:
            return cls((Evaluation(parse(str(text)), 0.0, 1),))
        return cls._of_hall(load_hall(hall), size)

    @classmethod
    def _universal(cls, size: int | None) -> Source:
        """The hall that lies beside the code."""
        from gp.hall_file import load_hall

        if not UNIVERSAL.exists():
            raise click.UsageError(
                f"wanted what ranks them: --hall HALL.json, --proxy TEXT or --predictor FILE; {UNIVERSAL} is missing"
            )
        return replace(cls._of_hall(load_hall(UNIVERSAL), size), unasked=True)

    def introduce(self) -> None:
        """A line on what ranks, where the user named nothing."""
        if self.unasked and self.hall is not None:
            what = self.name if len(self.name) <= SHORT else "its first formula"
            say(f"no --hall given: {'/'.join(UNIVERSAL.parts[-2:])} ranks by {what}; {_record(self.hall)}")

    @classmethod
    def _of_hall(cls, document: HallDocument, size: int | None) -> Source:
        """Its first formulas."""
        if size is not None and size > len(document.proxies):
            raise click.UsageError(
                f"--committee: got {size}, wanted at most {len(document.proxies)}, all of its formulas"
            )
        return cls(tuple(record.formula for record in document.proxies[: size or 1]), size, document)

    @cached_property
    def seen(self) -> Seen:
        """The architectures whose labels decided, with benchmarks where they lie now; none of a formula by its text."""
        from fitness.seen import Seen

        source = self.predictor or self.hall
        found = source.seen if source else Seen()
        return found.at(places_now(self.places, {case.digest: case.name for case in found.cases}))

    @property
    def homes(self) -> tuple[SeenCase, ...]:
        """The benchmarks whose labels decided: of a predictor, the one that it was fitted to."""
        return self.seen.cases[:1] if self.predictor else self.seen.cases

    @property
    def direction(self) -> str:
        """Meaning of a higher score, in words."""
        if not self.homes:
            return "higher is better, if more of this formula is: nobody measured its direction"
        if len(self.homes) == 1:
            return f"higher is better: {self.homes[0].wanted} is expected, as on {self.homes[0].name}"
        if len(self.homes) > FEW:
            return f"higher is better, as on {len(self.homes)} benchmarks"
        asked = ", ".join(f"{home.name} ({home.wanted})" for home in self.homes)
        return f"higher is better, as on {asked}"

    @property
    def name(self) -> str:
        """The formula with its sign, how many there are, or the kind of predictor."""
        if self.predictor is not None:
            return f"standardised rank among {len(self.predictor.ids)} labels, predicted by {self.predictor.kind}"
        if self.size is not None:
            return f"committee of {self.size}"
        return ("-" if self.formulas[0].sign < 0 else "") + self.formulas[0].proxy.text

    @property
    def counts_alone(self) -> bool:
        """True if the formulas read nothing but sizes of tensors."""
        return all(formula.proxy.reads == "sizes" for formula in self.formulas)

    def check(self, architecture: Architecture) -> None:
        """BadPrediction for an architecture that a predictor has no numbers of."""
        if self.predictor is not None:
            self.predictor.check(architecture)

    def home_of(self, architecture: Architecture) -> str | None:
        """The spaces that the formulas were evolved on, if the architecture is of another one."""
        spaces = list(dict.fromkeys(home.space for home in self.homes))
        return None if not spaces or architecture.space in spaces else ", ".join(spaces)

    def known(self) -> list[Architecture]:
        """The architectures that the formulas were evolved on; says where it must be silent about them."""
        if missing := [home.name for home in self.homes if not home.architectures]:
            said = "is not here as it was" if len(missing) == 1 else "are not here as they were"
            whom = "it" if len(missing) == 1 else "them"
            where = "--benchmark says where one lies now"
            say(f"{', '.join(missing)} {said}: nothing tells which candidates are unlike {whom}; {where}")
        return [architecture for home in self.homes for architecture in home.known]

    def workshops(self, features: FeatureOptions) -> Workshops:
        """The workshop of each space, with the features of the hall's run; those that the user asks for instead are
        refused where he named the hall, and taken where the default one ranks."""
        from models.spaces import WEIGHTED

        config = self.predictor.provenance.config if self.predictor else self.hall.config if self.hall else {}

        @cache
        def opened(space: str) -> Workshop:
            case = self._recorded(space)
            counted = features.weights is not None and space not in WEIGHTED  # whoever ranks is refused before
            asked = replace(features, weights=None) if counted else features
            workshop = asked.of_run(config, case, binding=not self.unasked and not counted).open(space)
            if self.predictor is not None and case is not None:
                check_features(self.predictor, workshop)
            elif said := other_features(case, workshop):
                say(f"evolved {said}, so these are not quite the scores of its run")
            return workshop

        return opened

    def _recorded(self, space: str) -> HallCase | Provenance | None:
        """Record of the features of a space in the hall or the predictor; None if it has none."""
        if self.predictor is not None:
            return self.predictor.provenance if self.predictor.provenance.space == space else None
        return self.hall.case_in(space) if self.hall else None

    def scorer(self, workshops: Workshops, progress: Progress | None) -> CandidateScorer:
        """The scorer; a committee needs architectures that its formulas were evolved on, those of the first benchmark
        that is here."""
        from fitness.candidates import CommitteeScorer, FormulaScorer, PredictorScorer

        if self.predictor is not None:
            return PredictorScorer(self.predictor)
        if self.size is None or self.hall is None:
            return FormulaScorer(self.formulas[0])
        home = next((home for home in self.homes if home.known), None)
        if home is None:
            names = " or ".join(home.name for home in self.homes)
            raise click.UsageError(
                f"--committee: wanted {names}, among whose architectures it places candidates; fetch it, or say with "
                "--benchmark where it lies now"
            )
        proxies = [formula.proxy for formula in self.formulas]
        return CommitteeScorer(self.formulas, workshops(home.space).exact_scores(proxies, home.known, progress))

    def predictions(self, architectures: Sequence[Architecture], workshops: Workshops) -> dict[Architecture, Predicted]:
        """The value and 90% interval that a predictor gives, in the metric's unit; none of a formula."""
        if self.predictor is None or not architectures:
            return {}
        proxies = [formula.proxy for formula in self.formulas]
        scores = workshops(self.predictor.provenance.space).exact_scores(proxies, architectures)
        said = self.predictor.predict(architectures, scores)
        return {a: Predicted(*v) for a, *v in zip(architectures, said.values, said.low, said.high, strict=True)}


def _record(hall: HallDocument) -> str:
    """On which benchmarks a hall was evolved, and what its first formula has on each."""
    tau = {case.benchmark.name: (case.figures[0].holdout or {}).get("kendall") for case in hall.cases}
    said = [f"{name} {'-' if t is None else f'{t:.3f}'}" for name, t in tau.items()]
    whose = "its" if len(hall.proxies) == 1 else "its first formula's"
    return f"found on {len(hall.cases)} benchmarks, {whose} held-out tau-b there: {', '.join(said)}"
