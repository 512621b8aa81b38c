"""Symbolic regression by libraries of others, on the columns of a branch table: gplearn (Stephens 2016) and Operon
(Burlacu, Kronberger & Kommenda 2020, doi 10.1145/3377929.3398099) by pyoperon.

    pip install -r bench/requirements-peers.txt

A library gets standardised columns, a target and seconds of one core, and runs on until they are spent: both continue
a fitted population (`warm_start`), a chunk at a time. The best tree by the fitness of the library is kept.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from scipy import stats

__all__ = ["MODULES", "SEARCHERS", "Setting", "Task", "Tree", "missing", "screened", "standardised"]

MODULES = {"gplearn": "gplearn", "operon": "pyoperon"}
POPULATION = 1000
CHUNK = 50_000  # trees of Operon between two looks at the clock, at least; gplearn looks after each generation


@dataclass(frozen=True)
class Setting:
    """Settings of the libraries: columns that are left by screening (0: all), largest number of nodes of an Operon
    tree, steps of Levenberg-Marquardt for its constants, and gplearn's price of a node."""

    screen: int = 0
    length: int = 9
    steps: int = 0
    parsimony: float = 0.001


@dataclass(frozen=True, eq=False)
class Task:
    """Columns (n, K) and target (n,), both standardised; seconds of one core; the seed."""

    columns: np.ndarray
    target: np.ndarray
    seconds: float
    seed: int


@dataclass(frozen=True, eq=False)
class Tree:
    """The best tree: the places of its columns, its prediction (N,) from all columns (N, K), and how many trees were
    evaluated in how many seconds."""

    places: Sequence[int]
    predict: Callable[[np.ndarray], np.ndarray]
    trees: int
    seconds: float
    text: str


def missing(names: Sequence[str]) -> str:
    """One line that says which of these libraries are not installed; empty if all are."""
    absent = [MODULES[name] for name in names if find_spec(MODULES[name]) is None]
    return f"not installed: {', '.join(absent)}; pip install -r bench/requirements-peers.txt" if absent else ""


def screened(values: np.ndarray, quality: np.ndarray, count: int) -> np.ndarray:
    """The places, ascending, of the `count` rows of (K, n) with the largest |rho| with the quality (n,); all for 0."""
    if not count or count >= len(values):
        return np.arange(len(values))
    ranks = stats.rankdata(np.vstack([values, quality]), axis=-1)
    units = ranks - ranks.mean(-1, keepdims=True)
    units /= np.linalg.norm(units, axis=-1, keepdims=True)
    return np.sort(np.argsort(-np.abs(units[:-1] @ units[-1]), kind="stable")[:count])


def standardised(values: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Rows (K, N) in units of the mean and standard deviation of the rows (K, n) of the split."""
    return (values - seen.mean(-1, keepdims=True)) / seen.std(-1, keepdims=True)


def gplearn(task: Task, setting: Setting) -> Tree:
    """Sums, differences and products by gplearn, rho as the fitness; no constants, which gplearn draws at random."""
    from gplearn.genetic import SymbolicRegressor

    start = time.process_time()
    model = SymbolicRegressor(
        population_size=POPULATION, generations=0, function_set=("add", "sub", "mul"), metric="spearman",
        const_range=None, stopping_criteria=1.0, parsimony_coefficient=setting.parsimony, warm_start=True,
        low_memory=True, random_state=task.seed,
    )  # fmt: skip
    best: Any = None
    while best is None or (time.process_time() - start < task.seconds and best.raw_fitness_ < 1):
        model.set_params(generations=model.generations + 1).fit(task.columns, task.target)
        if best is None or model._program.raw_fitness_ > best.raw_fitness_:
            best = model._program
    seconds = time.process_time() - start
    sign = np.sign(stats.spearmanr(best.execute(task.columns), task.target).statistic)  # the fitness has none
    places = sorted({node for node in best.program if isinstance(node, int)})
    text = re.sub(r"X(\d+)", lambda found: f"X{int(found[1]) + 1}", str(best))  # Operon counts from 1
    return Tree(
        places, lambda columns: sign * best.execute(columns), POPULATION * model.generations, seconds,
        f"{'-' if sign < 0 else ''}{text}",
    )  # fmt: skip


def operon(task: Task, setting: Setting) -> Tree:
    """Sums, differences and products with constants by Operon, squared error after linear scaling as the fitness."""
    from pyoperon.sklearn import SymbolicRegressor

    start = time.process_time()
    model = SymbolicRegressor(
        allowed_symbols="add,sub,mul,constant,variable", max_length=setting.length, population_size=POPULATION,
        generations=10**9, max_evaluations=CHUNK, optimizer_iterations=setting.steps, n_threads=1, warm_start=True,
        random_state=task.seed,
    )  # fmt: skip
    trees, seconds, chunks = 0, 0.0, 0
    while seconds < task.seconds:
        chunks += 1
        model.set_params(random_state=task.seed * 100_000 + chunks).fit(task.columns, task.target)
        trees += model.stats_["evaluation_count"]
        seconds = time.process_time() - start
        left = (task.seconds - seconds) * trees / seconds
        model.set_params(max_evaluations=max(CHUNK, int(min(left, 10 * CHUNK))))
    text = model.get_model_string(model.model_)
    places = sorted({int(name[1:]) - 1 for name in re.findall(r"\bX\d+\b", text)})
    return Tree(places, model.predict, trees, seconds, text)


SEARCHERS: dict[str, Callable[[Task, Setting], Tree]] = {"gplearn": gplearn, "operon": operon}
