"""Which networks were trained for the 500 FlexiBERT scores? The evidence in the data, recomputed:

    ZCP_DATA=... python bench/science/flexibert_as_trained.py [FOLDER OR BERT_benchmark.json]

docs/flexibert.md explains what is tested and why. Needs numpy and scipy only.
"""

from __future__ import annotations

import json
import os
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import f as f_distribution
from scipy.stats import kendalltau, rankdata, spearmanr
from scipy.stats import t as t_distribution

OPERATIONS = ("SDP", "WMA", "DFT", "DCT", 5, 9)
CELLS = tuple((depth, hidden) for depth in (2, 4) for hidden in (128, 256))
FAILED = 4.0  # points of GLUE below the median of one's twins

Record = dict[str, Any]
Columns = np.ndarray  # (N, number of columns)


def main(arguments: list[str]) -> int:
    default = Path(os.environ["ZCP_DATA"]) / "flexibert-glue" if "ZCP_DATA" in os.environ else None
    path = Path(arguments[0]) if arguments else default
    if path is None:
        print("give a folder with BERT_benchmark.json, or set ZCP_DATA", file=sys.stderr)
        return 2
    records = json.loads((path / "BERT_benchmark.json" if path.is_dir() else path).read_text())
    study = Study(records)
    for report in (cell_means, f_tests, operation_effects, twins, naive_rows, fitted_groups):
        print("\n".join(report(study)), end="\n\n")
    return 0


class Study:
    """The table in columns: GLUE (N,), seconds of training (N,), and counts of blocks per property (N,)."""

    def __init__(self, records: list[Record]) -> None:
        overrides = [record["hparams"]["model_hparam_overrides"] for record in records]
        self.blocks: list[list[Record]] = [o["nas_config"]["encoder_layers"] for o in overrides]
        self.hidden = np.array([o["hidden_size"] for o in overrides])
        self.depth = np.array([len(blocks) for blocks in self.blocks])
        self.glue = np.array([record["scores"]["glue"] for record in records], dtype=float)
        self.seconds = np.array([record["time_to_train"] for record in records], dtype=float)
        self.cells = np.array([(self.depth == d) & (self.hidden == h) for d, h in CELLS]).T.astype(float)
        self.operations = np.stack([self.count(operation_parameter=o) for o in OPERATIONS], axis=1)
        self.four_heads = self.count(num_operation_heads=4)
        self.stacked = self.count(num_feed_forward=3)
        self.wide_stacked = self.count(num_feed_forward=3, feed_forward_dimension=1024)
        self.wide_inert = self.count(num_feed_forward=1, feed_forward_dimension=1024)

    def count(self, **properties: int | str) -> np.ndarray:
        """(N,) number of blocks that have all the properties."""
        wanted = properties.items()
        counts = [sum(wanted <= block.items() for block in blocks) for blocks in self.blocks]
        return np.array(counts, dtype=float)

    def per_cell(self, *columns: np.ndarray) -> Columns:
        """Each column with a slope of its own in each depth-by-hidden cell."""
        return np.hstack([self.cells * column[:, None] for column in columns])

    def as_trained(self) -> Columns:
        """The linear model of what the training code reads."""
        return np.hstack([self.cells, self.per_cell(self.four_heads, self.stacked, self.wide_stacked)])


def cell_means(study: Study) -> list[str]:
    lines = ["1. GLUE by depth and hidden size", "depth  hidden    n   mean    sd"]
    for cell, (depth, hidden) in zip(study.cells.T, CELLS, strict=True):
        y = study.glue[cell > 0]
        lines.append(f"{depth:5d} {hidden:7d} {len(y):4d} {y.mean():6.2f} {y.std():5.2f}")
    return lines


def f_test(y: np.ndarray, base: Columns, extra: Columns) -> str:
    """Does `extra` explain more of y than `base` does? F with both degrees of freedom, and p."""
    both = np.hstack([base, extra])
    rank0, rank1 = np.linalg.matrix_rank(base), np.linalg.matrix_rank(both)
    rss0, rss1 = residual(y, base), residual(y, both)
    df, rest = rank1 - rank0, len(y) - rank1
    F = (rss0 - rss1) / df / (rss1 / rest)
    return f"F({df:2d},{rest:3d}) = {F:7.2f}  p = {f_distribution.sf(F, df, rest):.2g}"


def residual(y: np.ndarray, columns: Columns) -> float:
    """Sum of squares that least squares leaves."""
    return float(np.sum((y - columns @ np.linalg.lstsq(columns, y, rcond=None)[0]) ** 2))


def f_tests(study: Study) -> list[str]:
    s, model = study, study.as_trained()
    ranks, log_time = rankdata(s.glue), np.log(s.seconds)
    counts, counts_per_cell = s.operations, s.per_cell(*s.operations.T)
    no_heads = np.hstack([s.cells, s.per_cell(s.stacked, s.wide_stacked)])
    no_stack = np.hstack([s.cells, s.per_cell(s.four_heads)])
    no_width = np.hstack([s.cells, s.per_cell(s.four_heads, s.stacked)])
    depth_only = np.stack([s.depth == 2, s.depth == 4], 1).astype(float)
    return [
        "2. F-tests: does a property explain what the rest of the as-trained description does not?",
        "what the training code should not see",
        f"  operations                     GLUE     {f_test(s.glue, model, counts)}",
        f"  operations, per cell           GLUE     {f_test(s.glue, model, counts_per_cell)}",
        f"  operations, per cell           rank     {f_test(ranks, model, counts_per_cell)}",
        f"  operations, per cell           seconds  {f_test(log_time, model, counts_per_cell)}",
        f"  FFN width where not stacked    GLUE     {f_test(s.glue, model, s.per_cell(s.wide_inert))}",
        f"  FFN width where not stacked    seconds  {f_test(log_time, model, s.per_cell(s.wide_inert))}",
        "what it should see",
        f"  hidden size                    GLUE     {f_test(s.glue, depth_only, s.cells)}",
        f"  heads                          GLUE     {f_test(s.glue, no_heads, s.per_cell(s.four_heads))}",
        f"  stacked FFN layers             GLUE     {f_test(s.glue, no_stack, s.per_cell(s.stacked))}",
        f"  stacked FFN layers             seconds  {f_test(log_time, no_stack, s.per_cell(s.stacked))}",
        f"  their width                    GLUE     {f_test(s.glue, no_width, s.per_cell(s.wide_stacked))}",
        f"  their width                    seconds  {f_test(log_time, no_width, s.per_cell(s.wide_stacked))}",
    ]


def operation_effects(study: Study) -> list[str]:
    """Least squares within depth 4, where no training failed: points of GLUE for one block away from SDP."""
    deep = study.depth == 4
    base = study.as_trained()[deep]
    X = np.hstack([base[:, base.any(axis=0)], study.operations[deep, 1:]])
    y = study.glue[deep]
    rest = len(y) - X.shape[1]
    beta = np.linalg.lstsq(X, y, rcond=None)[0][-5:]
    error = np.sqrt(residual(y, X) / rest * np.diag(np.linalg.inv(X.T @ X))[-5:])
    error *= t_distribution.ppf(0.975, rest)
    lines = ["3. Effect on GLUE of one block's operation instead of SDP, depth 4, with its 95% interval"]
    names = ("WMA", "DFT", "DCT", "DSC5", "DSC9")
    rows = zip(names, beta, error, strict=True)
    return lines + [f"  {name:4s} {points:+.2f} +- {half:.2f} points" for name, points, half in rows]


def twins(study: Study) -> list[str]:
    lines = [
        "4. Spread of GLUE inside groups of twins (root of the mean square over degrees of freedom)",
        "twins by                    depth  distinct  groups   df    sd  failed  sd without failed",
    ]
    for name, key in (("the whole description", described), ("what was trained", trained)):
        for depth in (2, 4):
            lines.append(f"{name:27s} {depth:5d} {twin_row(study, depth, key)}")
    return lines


def twin_row(study: Study, depth: int, key: Callable[[int, list[Record]], str]) -> str:
    groups = defaultdict(list)
    for i in np.flatnonzero(study.depth == depth):
        groups[key(int(study.hidden[i]), study.blocks[i])].append(study.glue[i])
    scores = [np.array(group) for group in groups.values() if len(group) > 1]
    kept = [group[group > np.median(group) - FAILED] for group in scores]
    failed = sum(map(len, scores)) - sum(map(len, kept))
    return f"{len(groups):9d} {len(scores):7d} {freedom(scores):4d} {spread(scores)} {failed:7d} {spread(kept):>18s}"


def described(hidden: int, blocks: list[Record]) -> str:
    return json.dumps([hidden, blocks], sort_keys=True)


def trained(hidden: int, blocks: list[Record]) -> str:
    """The description without what the training code ignores."""
    stack = [b["feed_forward_dimension"] if b["num_feed_forward"] == 3 else 0 for b in blocks]
    return json.dumps([hidden, [b["num_operation_heads"] for b in blocks], stack])


def freedom(groups: list[np.ndarray]) -> int:
    return sum(len(group) - 1 for group in groups)


def spread(groups: list[np.ndarray]) -> str:
    if not freedom(groups):
        return "    -"
    squares = sum(float(np.sum((group - group.mean()) ** 2)) for group in groups)
    return f"{np.sqrt(squares / freedom(groups)):5.2f}"


def naive_rows(study: Study) -> list[str]:
    lines = ["5. Naive ranking of all 500 by GLUE", "                     tau-b  tau-a    rho"]
    for name, x in (("depth", study.depth), ("depth, then hidden", 1000 * study.depth + study.hidden)):
        rho, tau = spearmanr(x, study.glue).statistic, kendalltau(x, study.glue).statistic
        lines.append(f"{name:20s} {tau:6.3f} {tau_a(x, study.glue):6.3f} {rho:6.3f}")
    return lines


def fitted_groups(study: Study) -> list[str]:
    """Correlation of ranking by group means: an upper bound for scores that only distinguish groups."""
    stacks = [[b["num_feed_forward"] for b in blocks] for blocks in study.blocks]
    keys = {
        "depth, hidden": lambda i: (study.depth[i], study.hidden[i]),
        "and the first block's stack": lambda i: (study.depth[i], study.hidden[i], stacks[i][0]),
        "and every block's stack": lambda i: (study.depth[i], study.hidden[i], *stacks[i]),
    }
    lines = ["6. Ranking by the mean GLUE of one's own group (fitted to all 500)"]
    lines.append("                             groups  tau-b    rho")
    for name, key in keys.items():
        groups = defaultdict(list)
        for i, score in enumerate(study.glue):
            groups[key(i)].append(score)
        means = np.array([np.mean(groups[key(i)]) for i in range(len(study.glue))])
        rho, tau = spearmanr(means, study.glue).statistic, kendalltau(means, study.glue).statistic
        lines.append(f"{name:28s} {len(groups):6d} {tau:6.3f} {rho:6.3f}")
    return lines


def tau_a(x: np.ndarray, y: np.ndarray) -> float:
    """Kendall's tau-a: ties count as pairs, so a score with few values cannot reach 1."""
    agreement = np.sign(x[:, None] - x[None, :]) * np.sign(y[:, None] - y[None, :])
    return float(agreement.sum() / (len(x) * (len(x) - 1)))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
