"""The trials of a study that are done, in a log: an interrupted study goes on where it was."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gp.studies.plan import Trial
from storage.datum import Datum
from storage.files import BadFile, dump_json
from storage.log import RecordLog

__all__ = ["Finished"]


class Finished:
    """The records of the finished trials by (place of the setting, seed), each on the disk before the next begins."""

    def __init__(self, log: RecordLog) -> None:
        self._log = log
        self.records = {(line["place"], line["seed"]): line["record"] for line in log.records}

    @classmethod
    @contextmanager
    def open(cls, path: Path, trials: Sequence[Trial]) -> Iterator[Finished]:
        """Trials in the log at `path`; OtherTask if it belongs to trials with other settings."""
        with RecordLog.open(path, {"settings": _settings(trials)}, most=len(trials), wanted=_is_trial) as log:
            yield cls(log)

    def add(self, trial: Trial, record: Mapping[str, Any]) -> None:
        """Keep one more."""
        self._log.append({"place": trial.place, "seed": trial.config.seed, "record": record})
        self.records[trial.place, trial.config.seed] = dict(record)

    def remove(self) -> None:
        """The study is written elsewhere now."""
        self._log.path.unlink(missing_ok=True)


def _is_trial(line: dict[str, Any]) -> bool:
    try:
        whole = Datum("a trial", line, BadFile)
        return bool(whole["record"].mapping()) and min(whole["place"].integer(), whole["seed"].integer()) >= 0
    except BadFile:
        return False


def _settings(trials: Sequence[Trial]) -> str:
    """A digest of everything that the records of these trials depend on."""
    whole = [
        [
            t.place,
            t.label,
            t.config.to_dict(),
            t.holdout,
            [[c.benchmark.digest, c.workshop.bank.key.digest, c.split.search] for c in t.everything],
        ]
        for t in sorted(trials, key=lambda t: (t.place, t.config.seed))
    ]
    return hashlib.sha256(dump_json(whole, None)).hexdigest()
