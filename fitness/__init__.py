"""Evaluation of formulas: features, scores, rankings, protocol and regressions.

evaluation.py   a formula with its fitness and sign; the split it is measured on
objectives.py   what a search maximises
ranking.py      rank statistics
near_pairs.py   pairs of one size, with the error of a jackknife
budgets.py      the training budget T of architectures
across.py       several benchmarks at once: the mean or the worst of the agreements
growth.py       whether scores grow when one size of a network grows alone
seen.py         the architectures that a search or a fit saw, which no held-out figure has
protocol.py     what is reported of scores on search split, held-out and all architectures
replay.py       formulas scored on a benchmark; committees
candidates.py   scores of architectures that nobody measured; positions.py: where a value stands among others
candidate_ranking.py  these in order, as records or a data frame, from Python
plain.py        scores of plain PyTorch networks
costs.py        parameters, FLOPs, memory and latency of a network; budgets
regret.py       what the first choices of a scorer lack
leaderboard.py  hand-made, naive and evolved proxies in one table
predictors/     what regressions make of the same labels, and quality with intervals
features/       networks are visited: sketches, exact scores, the bank that keeps them
tables/         branches of many architectures, from sketches
zoo/            hand-made proxies, a file per family, and naive baselines
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
