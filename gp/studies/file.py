"""The trials of a study that are done, in a file: an interrupted study goes on where it was."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gp.studies.plan import Trial
from storage.files import BadFile, dump_json, load_json, sealed, unsealed, write_atomic

__all__ = ["Finished", "OtherStudy"]

MAX_BYTES = 50_000_000
Key = tuple[int, int]


class OtherStudy(BadFile):
    """A sound file, but of trials with other settings."""


@dataclass
class Finished:
    """Records by (place of the setting, seed); the file is rewritten with each, and holds nothing of other trials."""

    path: Path
    asked: str
    records: dict[Key, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def begin(cls, path: Path, trials: Sequence[Trial]) -> Finished:
        """Nothing is done yet, whatever lies at `path`."""
        return cls(path, _asked(trials))

    @classmethod
    def open(cls, path: Path, trials: Sequence[Trial]) -> Finished:
        """What `path` holds of these trials, nothing if there is no such file. BadFile if it is damaged, OtherStudy
        if it is of trials with other settings."""
        finished = cls.begin(path, trials)
        if not path.exists():
            return finished
        data = unsealed(load_json(path, MAX_BYTES, "the finished trials of a study"), str(path))
        if data.get("asked") != finished.asked:
            raise OtherStudy(f"{path}: holds trials with other settings; choose another folder, or delete it")
        try:
            finished.records = {(entry["place"], entry["seed"]): dict(entry["record"]) for entry in data["trials"]}
        except (KeyError, TypeError, ValueError):
            raise BadFile(f"{path}: got trials of another form, wanted place, seed and record; delete it") from None
        return finished

    def add(self, trial: Trial, record: Mapping[str, Any]) -> None:
        """Keep one more."""
        self.records[trial.place, trial.config.seed] = dict(record)
        entries = [{"place": p, "seed": s, "record": self.records[p, s]} for p, s in sorted(self.records)]
        write_atomic(self.path, dump_json(sealed({"asked": self.asked, "trials": entries}), None))

    def remove(self) -> None:
        """The study is written elsewhere now."""
        self.path.unlink(missing_ok=True)


def _asked(trials: Sequence[Trial]) -> str:
    """A digest of everything that the records of these trials depend on."""
    whole = [
        [
            t.benchmark.digest,
            t.workshop.bank.key.digest,
            t.place,
            t.label,
            t.config.to_dict(),
            t.split.search,
            t.holdout,
        ]
        for t in sorted(trials, key=lambda t: (t.place, t.config.seed))
    ]
    return hashlib.sha256(dump_json(whole, None)).hexdigest()
