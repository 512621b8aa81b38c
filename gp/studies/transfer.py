"""Transfer: a formula that met other benchmarks only, tested on one that was left out, beside fixed rankings that were
chosen on the same architectures by the same criterion. Scores are those of sketches, figures are tau-b."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import stats

from fitness.across import AcrossTarget
from fitness.evaluation import Evaluation, Split, split_groups
from fitness.features.workshop import Workshop
from fitness.growth import GrowthTarget
from fitness.objectives import agreement
from fitness.protocol import near_pairs, within_budgets
from fitness.tables.table_file import branch_table
from fitness.zoo import ZOO
from fitness.zoo.measuring import hand_made_figures
from fitness.zoo.naive import NAIVE, naive_scores
from gp.benchmark_search import PreparedSearch
from gp.case import Case, nested_of
from gp.config import SearchConfig
from gp.problem import SearchProblem
from models.benchmarks.benchmark import Benchmark
from primitives.grammar import parse

__all__ = ["best_fixed", "counts", "hand_made", "left_out", "seen", "tested", "tested_near", "transferred", "unseen"]

SIZES = ("attention x FFN", "decoder params", "FLOPs")  # rows that nothing chooses
LPZERO = ("LPZero GPT-2", "LPZero FlexiBERT")  # formulas that were published as ready for use

Pool = Mapping[str, np.ndarray]


def unseen(benchmark: Benchmark, workshop: Workshop) -> Case:
    """A benchmark of which no search sees anything."""
    return Case(benchmark, workshop, Split((), tuple(range(len(benchmark)))))


def seen(case: Case, seed: int, size: int) -> Case:
    """The benchmark with a search split of `size`, at most two fifths of its architectures."""
    most = min(size, 2 * len(case.benchmark) // 5)
    return replace(case, split=split_groups(case.benchmark.groups, most, seed))


def left_out(mine: Case, others: Sequence[Case], config: SearchConfig) -> dict[str, Any]:
    """One search on the splits of the others, and every ranking of `mine`: {seconds, tau, near, fitness, ...},
    seconds of processor time; no fitness and no text where no formula was valid."""
    start = time.process_time()
    prepared = PreparedSearch.of(SearchProblem.of(others, config), config)
    found = prepared.evolve().hall.champions
    hall = prepared.judged(found, prepared.problem.scores([e.proxy for e in found])).champions if found else ()
    spent = round(time.process_time() - start, 1)
    best = hall[0] if hall else None
    told = {"fitness": best.fitness, "text": best.proxy.text, "sign": best.sign} if best else dict.fromkeys(_FOUND)
    beside = transferred(mine, others, hall, config)
    return {"seconds": spent, "tau": beside["tau"], "near": beside["near"], **told, "chosen": beside["chosen"]}


_FOUND = ("fitness", "text", "sign")


def transferred(mine: Case, others: Sequence[Case], hall: Sequence[Evaluation], config: SearchConfig) -> dict[str, Any]:
    """{tau, near, chosen}: tau-b on all architectures of `mine`, and tau over its pairs of one size, by who ranks, None
    without a score; and which count and which hand-made proxy were best on the splits of the others, with their signs.
    Where formulas are held to growth, there is also the count that is best if it is held to it too."""
    known = counts(mine)
    rankings = _evolved(mine, hall)
    chosen = {}
    pools: dict[str, Callable[[Case], Pool]] = {"count": counts, "hand-made": hand_made}
    for kind, pool in pools.items():
        best = best_fixed([pool(other) for other in others], others, config.across)
        if best is not None and (row := pool(mine).get(best[0])) is not None:
            rankings[f"best fixed {kind}"] = best[1] * row
            chosen[kind] = best
    if config.nested and (best := best_fixed([counts(other) for other in others], others, config.across, True)):
        rankings["best fixed count that grows"] = best[1] * known[best[0]]
        chosen["count that grows"] = best
    rankings |= dict(zip(LPZERO, _scores(mine, [str(ZOO[name].text) for name in LPZERO]), strict=True))
    rankings |= {name: known[name] for name in SIZES}
    found: dict[str, Any] = {"chosen": chosen}
    for figure, test in (("tau", tested), ("near", tested_near)):
        found[figure] = {who: None if row is None else test(row, mine.benchmark) for who, row in rankings.items()}
        found[figure]["oracle count"] = max(abs(test(row, mine.benchmark) or 0.0) for row in known.values())
    return found


def _evolved(mine: Case, hall: Sequence[Evaluation]) -> dict[str, np.ndarray | None]:
    """Scores (N,) of the first formula, and the mean ranks of all that have a score everywhere."""
    if not hall:
        return {"formula": None, "committee": None}
    signed = _scores(mine, [e.proxy.text for e in hall]) * [[e.sign] for e in hall]
    finite = signed[np.isfinite(signed).all(-1)]
    together = stats.rankdata(finite, axis=-1).mean(0) if len(finite) else None
    return {"formula": signed[0], "committee": together}


def _scores(case: Case, texts: Sequence[str]) -> np.ndarray:
    """(P, N) sketch scores of formulas on all architectures."""
    return branch_table(case.benchmark.architectures, case.workshop).scores([parse(text) for text in texts])


def counts(case: Case) -> Pool:
    """(N,) by name: what can be counted."""
    return {name: naive_scores(name, case.benchmark.architectures) for name in NAIVE}


def hand_made(case: Case) -> Pool:
    """(N,) by name, of those proxies that the bank knows on every architecture; a leaderboard leaves them there."""
    wanted = hand_made_figures(tuple(ZOO))
    rows = [wanted.load(case.workshop.bank, a) for a in case.benchmark.architectures]
    found = {}
    for name in ZOO:
        values = [None if (figure := row.get(name)) is None else figure.value for row in rows]
        if None not in values:
            found[name] = np.array(values, dtype=float)
    return found


def best_fixed(pools: Sequence[Pool], cases: Sequence[Case], how: str, grows: bool = False) -> tuple[str, int] | None:
    """The name and the sign that are best on the splits of the cases, among those that all of them know. What counts
    lack of growing with nested networks can be taken off."""
    names = sorted(set.intersection(*(set(pool) for pool in pools)))
    if not names:
        return None
    target = AcrossTarget(tuple(case.target for case in cases), how)
    rows = np.array([np.hstack([p[n][list(c.split.search)] for p, c in zip(pools, cases, strict=True)]) for n in names])
    if grows:
        nested = nested_of(cases)
        target = replace(target, growth=GrowthTarget.create([f for n in nested for f in n.families], rows.shape[-1]))
        networks = [architecture for each in nested for architecture in each.seen]
        rows = np.hstack([rows, np.array([naive_scores(name, networks) for name in names])])
    found = agreement("both", target, rows)
    best = int(np.argmax(np.abs(found)))
    return names[best], 1 if found[best] >= 0 else -1


def tested(scores: np.ndarray, benchmark: Benchmark) -> float | None:
    """tau-b within each training budget, 0 where everything is tied, None where something has no score."""
    if not np.isfinite(scores).all():
        return None
    return within_budgets(scores, benchmark, intervals=False)["kendall"] or 0.0


def tested_near(scores: np.ndarray, benchmark: Benchmark) -> float | None:
    """tau over pairs of one size and one training budget (`near_pairs`), None where something has no score."""
    return (near_pairs(scores, benchmark)["kendall"] or 0.0) if np.isfinite(scores).all() else None
