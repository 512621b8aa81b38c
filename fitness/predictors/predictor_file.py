"""A predictor as a file that describes itself, and the door it comes back through.

A file is data: hyper-parameters, labels, numbers, and formulas as texts that go through the grammar. Nothing in it is
evaluated or unpickled, every size is bounded, every number finite. Predictions are computed from the labels anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from fitness.evaluation import Evaluation
from fitness.predictors.ensemble import Ensemble
from fitness.predictors.members import GaussianMember, Member, RidgeMember
from fitness.predictors.numbers import COUNTS, NumberTable
from fitness.predictors.predictor import KINDS, Predictor, Provenance
from fitness.predictors.tuning import Noise
from fitness.seen import SeenCase
from models.spaces import SPACES
from primitives.grammar import read_proxy
from storage.datum import Datum, is_whole
from storage.files import BadFile, dump_json, load_json, sealed, unsealed, write_atomic

__all__ = ["BadPredictor", "load_predictor", "predictor_from_dict", "predictor_to_dict", "save_predictor"]

SCHEMA = 1
MAX_BYTES = 10_000_000
MAX_LABELS, MAX_NUMBERS, MAX_FORMULAS, MAX_MEMBERS = 2000, 200, 100, 16
MAX_CASES, MAX_IDS, MAX_PLACE = 100, 100_000, 4096
LARGEST = 1e100  # of any number, so that no square of it is infinite
LEAST = 1e-9  # of what something is divided by


class BadPredictor(BadFile):
    """Not a predictor we can trust; the message says where, what it got and what it wanted."""


def predictor_to_dict(predictor: Predictor) -> dict[str, Any]:
    """Plain data for JSON, without the digest that `save_predictor` adds."""
    return {
        "schema": SCHEMA,
        "kind": predictor.kind,
        "provenance": {**vars(predictor.provenance), "cases": [_seen_to_dict(c) for c in predictor.provenance.cases]},
        "labels": {
            "ids": list(predictor.ids),
            "values": predictor.labels.tolist(),
            **({} if predictor.noise is None else {"noise": predictor.noise.tolist()}),
            "numbers": [
                {"name": name, "values": column}
                for name, column in zip(predictor.numbers.names, predictor.numbers.values.T.tolist(), strict=True)
            ],
        },
        "formulas": [
            {"text": f.proxy.text, "sign": f.sign, "fitness": f.fitness, "scores": row.tolist()}
            for f, row in zip(predictor.all_formulas, predictor.scores, strict=True)
        ],
        "members": [_member_to_dict(member, weight) for member, weight in predictor.ensemble.members],
        "left_out": predictor.left_out.tolist(),
        "factor": predictor.factor,
        "cv": dict(predictor.cv),
    }


def _seen_to_dict(case: SeenCase) -> dict[str, Any]:
    return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(case).items()}


def _member_to_dict(member: Member, weight: float) -> dict[str, Any]:
    plain: dict[str, Any] = {"weight": weight, "counts": member.counts}
    if isinstance(member, RidgeMember):
        return {"kernel": "linear", "penalty": member.penalty, **plain}
    lengths = list(member.lengths)
    return {"kernel": "matern", "amplitude": member.amplitude, "lengths": lengths, "noise": member.noise, **plain}


def predictor_from_dict(data: Any, where: str = "predictor") -> Predictor:
    """The predictor that `predictor_to_dict` wrote; BadPredictor says what is wrong with anything else."""
    whole = Datum(where, data, BadPredictor)
    schema = whole["schema"]
    if not is_whole(schema.value) or schema.value != SCHEMA:
        raise schema.refuse(f"{SCHEMA}, the schema this version reads; use the version that wrote it")
    whole.only("schema", "kind", "provenance", "labels", "formulas", "members", "left_out", "factor", "cv", "digest")
    kind = whole["kind"]
    if kind.value not in KINDS:
        raise kind.refuse(f"one of {', '.join(KINDS)}")
    ids, labels, numbers, noise = _labels(whole["labels"])
    found = [_formula(item, len(ids)) for item in whole["formulas"].items(MAX_FORMULAS)]
    if kind.value != "numbers" and not found:
        raise whole["formulas"].refuse(f"at least one, because the kind is {kind.value}")
    members = tuple(_member(item, len(numbers.names)) for item in whole["members"].items(MAX_MEMBERS))
    if abs(sum(weight for _, weight in members) - 1) > 1e-3:
        raise whole["members"].refuse("members whose weights sum to 1")
    scores = np.array([row for _, row in found]).reshape(len(found), len(ids))
    return Predictor(
        kind.value,
        _provenance(whole["provenance"]),
        ids,
        labels,
        numbers,
        Ensemble(members),
        tuple(formula for formula, _ in found),
        scores,
        np.array(_row(whole["left_out"], len(ids))),
        _positive(whole["factor"]),
        {name: item.number() for name, item in whole["cv"].entries()},
        noise,
    )


def _provenance(item: Datum) -> Provenance:
    fields = ("space", "build", "name", "digest", "metric", "higher_is_better", "feature_key", "config")
    item.only(*fields, "place", "cases")
    item["config"].mapping()
    whole = item.mapping()
    space, name, digest, metric, key = (
        item[field].text() for field in ("space", "name", "digest", "metric", "feature_key")
    )
    higher, config = item["higher_is_better"].flag(), item["config"].plain()
    build = item["build"].optional_text()
    if space not in SPACES:
        raise item["space"].refuse(f"one of {', '.join(SPACES)}")
    if build not in (None, *SPACES[space].builds):
        raise item["build"].refuse(f"one of {', '.join(SPACES[space].builds)}, the builds of {space}, or null")
    place = item["place"].text(MAX_PLACE) if "place" in whole else str(config.get("benchmark", name))
    cases = tuple(_seen(case) for case in item["cases"].items(MAX_CASES)) if "cases" in whole else ()
    return Provenance(space, build, name, digest, metric, higher, key, config, place, cases)


def _seen(item: Datum) -> SeenCase:
    """Architectures of a benchmark that the run behind the formulas saw."""
    item.only("place", "space", "name", "digest", "metric", "higher_is_better", "search", "holdout")
    place, space, name, digest, metric = (
        item[field].text(MAX_PLACE) for field in ("place", "space", "name", "digest", "metric")
    )
    search, holdout = (tuple(id.text() for id in item[part].items(MAX_IDS)) for part in ("search", "holdout"))
    return SeenCase(place, space, name, digest, metric, item["higher_is_better"].flag(), search, holdout)


def _labels(item: Datum) -> tuple[tuple[str, ...], np.ndarray, NumberTable, Noise]:
    item.only("ids", "values", "noise", "numbers")
    ids = tuple(entry.text() for entry in item["ids"].items(MAX_LABELS))
    values = _row(item["values"], len(ids))
    if len(set(values)) < 2:
        raise item["values"].refuse("at least 2 different labels")
    columns = [_column(column, len(ids)) for column in item["numbers"].items(MAX_NUMBERS)]
    names = tuple(name for name, _ in columns)
    if not set(COUNTS) <= set(names) or len(set(names)) < len(names):
        raise item["numbers"].refuse(f"columns of different names, {', '.join(COUNTS)} among them")
    noise = np.array(_row(item["noise"], len(ids))) if "noise" in item.mapping() else None
    if noise is not None and noise.min() < 0:
        raise item["noise"].refuse("variances from 0")
    return ids, np.array(values), NumberTable(names, np.array([column for _, column in columns]).T), noise


def _column(item: Datum, count: int) -> tuple[str, list[float]]:
    item.only("name", "values")
    return item["name"].text(), _row(item["values"], count)


def _formula(item: Datum, count: int) -> tuple[Evaluation, list[float]]:
    item.only("text", "sign", "fitness", "scores")
    formula = Evaluation(read_proxy(item["text"]), item["fitness"].number(), item["sign"].sign())
    return formula, _row(item["scores"], count)


def _row(item: Datum, count: int) -> list[float]:
    """A list of numbers, one for each label."""
    found = [_bounded(entry) for entry in item.items(MAX_LABELS)]
    if len(found) != count:
        raise item.error(f"{item.where}: got {len(found):,} numbers, wanted one for each of the {count:,} ids")
    return found


def _member(item: Datum, count: int) -> tuple[Member, float]:
    kernels: dict[Any, tuple[tuple[str, ...], Callable[[Datum, int], Member]]] = {
        "linear": (("penalty",), _ridge),
        "matern": (("amplitude", "lengths", "noise"), _process),
    }
    kernel = item["kernel"]
    if not isinstance(kernel.value, str) or kernel.value not in kernels:
        raise kernel.refuse(f"one of {', '.join(kernels)}")
    fields, read = kernels[kernel.value]
    item.only("kernel", "weight", "counts", *fields)
    weight = item["weight"].number()
    if not 0 <= weight <= 1:
        raise item["weight"].refuse("a number from 0 to 1")
    return read(item, len(COUNTS) if item["counts"].flag() else count), weight


def _ridge(item: Datum, count: int) -> Member:
    return RidgeMember(_positive(item["penalty"]), item["counts"].flag())


def _process(item: Datum, count: int) -> Member:
    lengths = tuple(_positive(entry) for entry in item["lengths"].items(MAX_NUMBERS))
    if len(lengths) != count:
        raise item["lengths"].refuse(f"{count} lengths, one for each number that the member reads")
    return GaussianMember(_positive(item["amplitude"]), lengths, _positive(item["noise"]), item["counts"].flag())


def _bounded(item: Datum) -> float:
    if abs(value := item.number()) > LARGEST:
        raise item.refuse(f"a number of size at most {LARGEST:g}")
    return value


def _positive(item: Datum) -> float:
    if not LEAST <= (value := item.number()) <= 1 / LEAST:
        raise item.refuse(f"a number from {LEAST:g} to {1 / LEAST:g}")
    return value


def save_predictor(path: Path, predictor: Predictor) -> None:
    """Write the predictor whole or not at all. Raises BadPredictor for one that could not be read back."""
    data = predictor_to_dict(predictor)
    predictor_from_dict(data, str(path))
    write_atomic(path, dump_json(sealed(data)))


def load_predictor(path: Path) -> Predictor:
    """Read a predictor; BadPredictor if the file is missing, damaged, foreign, too large or of another schema."""
    try:
        data = load_json(path, MAX_BYTES, "a predictor")
        predictor = predictor_from_dict(data, str(path))
        unsealed(data, str(path), required=False)
    except BadFile as fault:
        raise BadPredictor(str(fault)) from None
    return predictor
