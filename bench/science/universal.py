"""Figures of a formula that was evolved on several benchmarks, on each: all pairs, pairs of one size, repetition.

    python -m bench.science.universal HALL [--benchmark NAME ...] [--sample 100] [--out FILE.json]

Per benchmark, by exact scores of the first formula, of the committee of the first ten and of four counts: tau-b on all
architectures; tau over pairs whose #params differ by at most 10% of the larger, all that are not tied in quality, ties
of the score count 0, with the standard error of a jackknife over architectures, and the lead over the best of the four
counts (chosen afterwards, so the count is favoured); and Spearman's rho between the ranking and that of another
initialisation, and that of another text (second_passage.txt). --sample repeats on a seeded sample only.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from commands.output import emit, say
from commands.tables import Row
from fitness.features.workshop import Workshop
from fitness.near_pairs import NEAR, Pairs, pairs_of_one_size
from fitness.protocol import correlation
from fitness.ranking import spearman
from fitness.replay import mean_ranks
from fitness.zoo.naive import naive_scores
from gp.hall_file import HallDocument, load_hall
from gp.runs.files import environment
from models.benchmarks.benchmark import Benchmark
from models.benchmarks.origins import load_benchmark
from storage.files import dump_json, write_atomic

COUNTS = ("attention params", "FLOPs", "width", "depth")
TEXT = Path(__file__).with_name("second_passage.txt")
COMMITTEE = 10
REPEATED = ("rho, init", "rho, text", "repeated")

Scores = Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Judged:
    """A benchmark, where its networks are visited, and the formulas of the hall."""

    benchmark: Benchmark
    hall: HallDocument
    bank: Path

    def workshop(self, seed: int = 0, text: Path | None = None) -> Workshop:
        """With the features of the hall's run, another initialisation or another text."""
        config, space = self.hall.config, self.benchmark.space
        corpus = text or (Path(config["corpus"]) if config.get("corpus") else None)
        case = self.hall.case_in(space)
        return Workshop.open(
            space, build=case.build if case else None, batch=config.get("batch", 4), length=config.get("seq_len", 64),
            corpus=corpus, init_seed=config.get("init_seed", 0) + seed, devices="cpu", bank=self.bank,
        )  # fmt: skip

    def scores(self, places: Sequence[int], workshop: Workshop) -> Scores:
        """(n,) of the first formula and of the committee."""
        formulas = self.hall.proxies[:COMMITTEE]
        few = [self.benchmark.architectures[place] for place in places]
        exact = workshop.exact_scores([formula.proxy for formula in formulas], few, say_progress)
        signed = exact * np.array([formula.sign for formula in formulas])[:, None]
        return {"formula": signed[0], f"committee of {len(formulas)}": mean_ranks(signed)}

    def counts(self) -> Scores:
        """(N,) by name."""
        return {name: naive_scores(name, self.benchmark.architectures).astype(float) for name in COUNTS}


def say_progress(done: int, total: int) -> None:
    if done % 50 == 0 or done == total:
        say(f"networks {done}/{total}")


def rows_of(judged: Judged, sample: int | None, seed: int) -> list[Row]:
    """A line per ranking."""
    everyone = range(len(judged.benchmark))
    mine = judged.scores(everyone, judged.workshop())
    again = repeated(judged, mine, sample, seed)
    quality, sizes = judged.benchmark.quality, naive_scores("#params", judged.benchmark.architectures).astype(float)
    counts = judged.counts()
    pairs = {who: pairs_of_one_size(values, quality, sizes) for who, values in counts.items()}
    best = max(pairs, key=lambda who: pairs[who].tau)
    rows: list[Row] = []
    for who, values in {**mine, **counts}.items():
        known = np.isfinite(values)
        near = pairs_of_one_size(values[known], quality[known], sizes[known])
        row: Row = {"benchmark": judged.benchmark.name, "ranked by": who, "n": int(known.sum())}
        row |= {"tau-b": correlation(values, quality, False)["kendall"]}
        row |= {"tau, near pairs": _or_none(near.tau), "se": _or_none(near.error), "pairs": near.count}
        row |= lead(near, pairs[best], best) if who in mine and known.all() else {}
        rows.append(row | again.get(who, {}))
    return rows


def lead(mine: Pairs, best: Pairs, name: str) -> Row:
    """Difference in tau between a ranking and the best count on the same pairs."""
    difference = Pairs(mine.tau - best.tau, mine.without - best.without, mine.count)
    return {"ahead": _or_none(difference.tau), "se of it": _or_none(difference.error), "of": name}


def repeated(judged: Judged, mine: Scores, sample: int | None, seed: int) -> dict[str, Row]:
    """Spearman's rho of each ranking with itself, under another initialisation and with another text."""
    total = len(judged.benchmark)
    count = total if sample is None else min(sample, total)
    places = sorted(random.Random(f"retest:{seed}").sample(range(total), count))
    others = {"rho, init": judged.workshop(seed=1), "rho, text": judged.workshop(text=TEXT)}
    found: dict[str, Row] = {who: {} for who in mine}
    first = judged.scores(places, judged.workshop())  # a committee's ranks are among these
    for label, workshop in others.items():
        for who, values in judged.scores(places, workshop).items():
            both = np.isfinite(values) & np.isfinite(first[who])
            varies = both.sum() > 2 and np.ptp(values[both]) > 0 and np.ptp(first[who][both]) > 0
            found[who][label] = float(spearman(first[who][both], values[both])) if varies else None
    return {who: row | {"repeated": f"{count} of {total}"} for who, row in found.items()}


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def at_hand(hall: HallDocument) -> list[str]:
    """The hall's benchmarks that lie on this machine; says which do not."""
    if missing := [case.name for case in hall.seen.cases if not case.architectures]:
        say(f"not here, so left out: {', '.join(missing)}")
    return [case.place for case in hall.seen.cases if case.name not in missing]


def show(rows: Sequence[Row], title: str) -> None:
    """Two tables: how well everything ranks, and how well the formulas repeat themselves."""
    emit([{key: cell for key, cell in row.items() if key not in REPEATED} for row in rows], "table", title)
    again = [row for row in rows if REPEATED[-1] in row]
    print()
    emit([{key: row.get(key) for key in ("benchmark", "ranked by", *REPEATED)} for row in again], "table",
         "rho of two rankings: another initialisation, another text")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("hall", type=Path)
    parser.add_argument("--benchmark", nargs="+", help="default: those of the hall that are here")
    parser.add_argument("--sample", type=int, help="architectures of each benchmark that are repeated (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--bank", type=Path, default=Path(".cache/bank"))
    parser.add_argument("--out", type=Path, help="the rows as JSON")
    o = parser.parse_args()
    hall = load_hall(o.hall)
    rows = list[Row]()
    for name in o.benchmark or at_hand(hall):
        say(f"{name}: exact scores of {len(hall.proxies[:COMMITTEE])} formulas")
        rows += rows_of(Judged(load_benchmark(name), hall, o.bank), o.sample, o.seed)
    if o.out:
        plain = {"hall": str(o.hall), "sample": o.sample, "seed": o.seed, "environment": environment(), "rows": rows}
        write_atomic(o.out, dump_json(json.loads(json.dumps(plain))))
    show(rows, f"formulas of {o.hall}: exact scores; near pairs: #params within {NEAR:.0%}; se: jackknife")


if __name__ == "__main__":
    main()
