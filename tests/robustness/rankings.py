"""Targets that rank: rank, select, fit, suggest and replay --predictor, thrown at with candidates, configurations of
Hugging Face, halls of fame, predictors, tables and options."""

from __future__ import annotations

import contextlib
import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from fitness.predictors import ensemble, rivals
from fitness.predictors.predictor_file import load_predictor
from models.benchmarks.layouts import read_benchmark
from models.spaces import SPACES
from storage.files import sealed
from tests.robustness.small import FEATURES

if TYPE_CHECKING:
    from tests.robustness.targets import Targets

__all__ = ["SLOW_RANKINGS", "Rankings", "WrongAcceptance", "quick_regressions", "unchanged"]

SLOW_RANKINGS = (
    "hf config",
    "relative",
    "fit",
    "measured",
    "select",
    "rank rows",
    "replay predictor",
)  # which build or fit
FORMULA = "mean[ l1_norm(W) ]"
TINY_HF = {
    "model_type": "llama", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
    "num_key_value_heads": 1, "intermediate_size": 24, "vocab_size": 300, "max_position_embeddings": 64,
}  # fmt: skip
TINY_NAS = {
    "model_type": "nemotron-nas", "hidden_size": 16, "num_attention_heads": 2, "vocab_size": 300,
    "block_configs": [
        {"attention": {"n_heads_in_group": 2}, "ffn": {"no_op": True}},
        {"attention": {"no_op": True}, "ffn": {"ffn_mult": 1.5}},
    ],
}  # fmt: skip
BUDGET = 60_000  # parameters, of `select`


class WrongAcceptance(Exception):
    """Content was accepted that must be refused, or shown as something else than it is."""


@contextlib.contextmanager
def quick_regressions() -> Iterator[None]:
    """Regressions are reduced to the ridge, because their inputs are attacked and not they."""
    few = {"ridge": rivals.RIVALS["ridge"]}
    with patch.object(ensemble, "ENSEMBLE", ("ridge",)), patch.object(rivals, "RIVALS", few):
        yield


def new_candidates(table: Path) -> str:
    """JSON lines of four architectures that the table lacks."""
    records = [json.loads(line) for line in table.read_text().splitlines()[1:5]]
    for record in records:
        record["config"]["d_inner"] = [width + 100 for width in record["config"]["d_inner"]]
    lines = [{"schema": 1, "space": "gpt2"}, *({"id": f"new-{r['id']}", "config": r["config"]} for r in records)]
    return "".join(json.dumps(line) + "\n" for line in lines)


class Rankings:
    """Files of the kinds that these commands read, and a way to throw changed ones at each command."""

    def __init__(self, targets: Targets) -> None:
        self.targets, self.table, self.run = targets, targets.table, targets.run
        self.where = [*FEATURES, "--bank", targets.folder / "bank"]
        self.candidates = targets.folder / "candidates.jsonl"
        self.candidates.write_text(new_candidates(self.table))
        predictor = self._fitted()
        hall = (self.run / "hall_of_fame.json").read_bytes()
        self.kinds: dict[str, tuple[bytes, Callable[[bytes], object]]] = {
            "candidates": (self.candidates.read_bytes(), self._candidates),
            "hf config": (json.dumps(TINY_HF).encode(), self._hf),
            "relative": (json.dumps(TINY_NAS).encode(), partial(self._hf, words=("--space", "llama"))),
            "rank rows": (self._rows(), self._read_rows),
            "suggested": (self.candidates.read_bytes(), self._suggested),
            "measured": (self.table.read_bytes(), self._measured),
            "csv": (self._columns(), self._csv),
            "fit": (hall, self._fit),
            "select": (hall, self._select),
            "rank hall": (hall, self._rank_hall),
            "rank predictor": (predictor, self._rank_predictor),
            "replay predictor": (predictor, self._replay_predictor),
            "options": (b"rank\n--top\n2", self._options),
        }

    def _fitted(self) -> bytes:
        """The bytes of a predictor that reads formulas."""
        path = self.targets.folder / "predictor.json"
        words = ["fit", self.run / "hall_of_fame.json", "--benchmark", self.table, "--out", path, *self.where]
        with quick_regressions():
            self.targets.printed(*words, "--kind", "numbers and committee")
        return path.read_bytes()

    def _rows(self) -> bytes:
        """JSON of `rank`, which it reads again."""
        return self.targets.printed(
            "rank", self.candidates, "--proxy", FORMULA, "--format", "json", *self.where
        ).encode()

    def _columns(self) -> bytes:
        """The table in CSV."""
        path = self.targets.folder / "columns.csv"
        records = [json.loads(line) for line in self.table.read_text().splitlines()[1:]]
        names = [*records[0]["config"]]
        with path.open("w", newline="") as file:
            file.write("# space: gpt2\n# metric: loss\n# higher_is_better: false\n")
            writer = csv.writer(file)
            writer.writerow(["id", *names, "loss"])
            for record in records:
                cells = [record["config"][name] for name in names]
                shown = [" ".join(map(str, cell)) if isinstance(cell, list) else cell for cell in cells]
                writer.writerow([record["id"], *shown, record["loss"]])
        return path.read_bytes()

    def _ranked(self, *words: str | Path) -> list[dict[str, Any]] | None:
        """The rows that `rank` prints, checked; None where it refuses."""
        if not self.targets.in_bank("rank", *words, "--format", "json", *self.where):
            return None
        return checked(self.targets.said())

    def _candidates(self, content: bytes) -> object:
        rows = self._ranked(self.targets.file("c.jsonl", content), "--proxy", FORMULA)
        if rows is not None:
            lines = [line for line in content.decode("utf-8-sig").split("\n") if line.strip()]
            same(rows, [record for line in lines if not is_header(record := loaded(line))])
        return whole(rows)

    def _hf(self, content: bytes, words: Sequence[str] = ()) -> object:
        path, most = self.targets.file("m/config.json", content), "10M"  # a large network is no fault
        rows = self._ranked(path, "--proxy", FORMULA, "--max-params", most, *words)
        if rows is not None:
            same(rows, [{"id": "m", "config": {}}])
        return whole(rows)

    def _read_rows(self, content: bytes) -> object:
        rows = self._ranked(self.targets.file("rows.json", content), "--proxy", FORMULA)
        if rows is not None:
            same(rows, json.loads(content)["rows"])
        return whole(rows)

    def _rank_hall(self, content: bytes) -> object:
        rows = self._ranked(self.candidates, "--hall", self.targets.file("hall.json", content))
        return unchanged(content, rows is not None)

    def _rank_predictor(self, content: bytes) -> object:
        rows = self._ranked(self.candidates, "--predictor", self.targets.file("p.json", content))
        for row in rows or ():
            low, high = row.get("predicted_low", 0), row.get("predicted_high", 0)
            if not low <= high:
                raise WrongAcceptance("an interval that ends before it begins")
        return unchanged(content, rows is not None)

    def _replay_predictor(self, content: bytes) -> object:
        path = self.targets.file("p.json", content)
        words = ["--predictor", path, "--benchmark", self.table, "--format", "json"]
        with quick_regressions():
            accepted = self.targets.in_bank("replay", *words, *self.where)
        if accepted:
            strict(self.targets.said())
        return unchanged(content, accepted)

    def _suggested(self, content: bytes) -> object:
        return self._suggest(self.table, "--candidates", self.targets.file("c.jsonl", content))

    def _measured(self, content: bytes) -> object:
        return self._suggest(self.targets.file("b.jsonl", content), "--pool", "8")

    def _suggest(self, table: Path, *words: str | Path) -> object:
        """True if `suggest` answers; what it names is new, its ids differ, and its intervals are none of nan."""
        with quick_regressions():
            if not self.targets.in_bank(
                "suggest", "--benchmark", table, *words, "--count", "2", "--format", "json", *self.where
            ):
                return False
        rows = checked(self.targets.said())
        known = read_benchmark(table)
        digests, ids = ({getattr(a, name) for a in known.architectures} for name in ("digest", "id"))
        if len({row["id"] for row in rows}) < len(rows) or len(rows) > 2:
            raise WrongAcceptance("suggestions that share an id, or more than were asked for")
        if any(SPACES[known.space].architecture("x", row["config"]).digest in digests for row in rows):
            raise WrongAcceptance("a suggestion that is measured")
        if words[0] == "--pool" and ids & {row["id"] for row in rows}:
            raise WrongAcceptance("a drawn suggestion with the id of a measured one")
        return True

    def _csv(self, content: bytes) -> object:
        return self.targets.verify(self.targets.file("b.csv", content))

    def _fit(self, content: bytes) -> object:
        out = self.targets.place / "out.json"
        words = ["fit", self.targets.file("hall.json", content), "--benchmark", self.table, "--out", out]
        with quick_regressions():
            accepted = unchanged(content, self.targets.in_bank(*words, *self.where))
        if accepted:
            found, table = load_predictor(out), read_benchmark(self.table)
            labels = {a.id: value for a, value in zip(table.architectures, table.ground_truth, strict=True)}
            if [labels.get(id) for id in found.ids] != found.labels.tolist():
                raise WrongAcceptance("a predictor of labels that the table does not have")
        return accepted

    def _select(self, content: bytes) -> object:
        words = ["--space", "gpt2", "--hall", self.targets.file("hall.json", content), "--budget", f"params={BUDGET}"]
        few = ["--networks", "2", "--population", "2", "--format", "json"]
        accepted = self.targets.in_bank("select", *words, *few, *self.where)
        if accepted and any(row["params"] > BUDGET for row in checked(self.targets.said())):
            raise WrongAcceptance("an architecture beyond the budget")
        return unchanged(content, accepted)

    def _options(self, content: bytes) -> object:
        """A command of few words and the options of the case, a word a line."""
        name, *words = content.decode("utf-8", "surrogateescape").split("\n")
        first: dict[str, Sequence[str | Path]] = {
            "rank": (self.candidates, "--proxy", FORMULA),
            "suggest": ("--benchmark", self.table, "--pool", "4"),
            "select": ("--space", "gpt2", "--hall", self.run / "hall_of_fame.json", "--networks", "2"),
            "fit": (self.run / "hall_of_fame.json", "--benchmark", self.table, "--out", self.targets.place / "p"),
            "replay": ("--predictor", self.targets.folder / "predictor.json", "--benchmark", self.table),
        }
        with quick_regressions():
            return self.targets.in_bank(name, *first.get(name, ()), *self.where, *words)


def unchanged(content: bytes, accepted: bool) -> bool:
    """The answer to a file with a digest, which must not be accepted with one that is not its own."""
    told = json.loads(content) if accepted else {}
    if "digest" in told and sealed({k: v for k, v in told.items() if k != "digest"})["digest"] != told["digest"]:
        raise WrongAcceptance("content that differs from its digest")
    return accepted


def strict(text: str) -> Any:
    """The JSON of a text in which every number is finite."""

    def refuse(constant: str) -> None:
        raise WrongAcceptance(f"{constant} is printed where a number is expected")

    return json.loads(text, parse_constant=refuse)


def checked(text: str) -> list[dict[str, Any]]:
    """The rows of a document that a command printed; those with a score come first, best first."""
    rows = strict(text)["rows"]
    scores = [row["score"] for row in rows if "score" in row]
    known = [score for score in scores if score is not None]
    if known != sorted(known, reverse=True) or None in scores[: len(known)]:
        raise WrongAcceptance("an order that is not that of the scores")
    return list(rows)


def whole(rows: Sequence[Mapping[str, Any]] | None) -> bool:
    """True if every candidate has a score."""
    return bool(rows) and all(row["score"] is not None for row in rows or ())


def loaded(line: str) -> Any:
    """A line as JSON; None where it is none."""
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(line)
    return None


def is_header(record: Any) -> bool:
    """True if a line says what the others are."""
    return isinstance(record, dict) and "schema" in record


def same(rows: Sequence[Mapping[str, Any]], told: Sequence[Any]) -> None:
    """Raise WrongAcceptance unless the rows are the candidates that were told, each with its configuration."""
    if len(rows) != len(told):
        raise WrongAcceptance(f"{len(told)} candidates are told, {len(rows)} are ranked")
    known = [record for record in told if isinstance(record, dict) and isinstance(record.get("config"), dict)]
    for row in rows:
        mine = [record["config"] for record in known if str(record.get("id")) == row["id"]]
        if row["score"] is not None and mine and not any(agrees(row["config"], config) for config in mine):
            raise WrongAcceptance(f"{row['id']}: another configuration than the one that is told is ranked")


def agrees(ranked: Mapping[str, Any], told: Mapping[str, Any]) -> bool:
    """True if every number that is told is the one that is ranked; a `d_embed` of -1 is the width of the model, as in
    the published layout."""
    told = {**told, "d_embed": told.get("d_model")} if told.get("d_embed") == -1 else told
    pairs = [(value, ranked.get(name, value)) for name, value in told.items()]
    numbers = [(a, b) for a, b in pairs if isinstance(a, int | float) and isinstance(b, int | float)]
    return all(a == b and isinstance(a, bool) == isinstance(b, bool) for a, b in numbers)
