"""The teacher: regressions on numbers of the configuration, fitted to a few labels, that say what to expect of networks
without labels. Formulas are evolved to agree with it there (distillation; Hinton et al. 2015, arXiv 1503.02531)."""

from __future__ import annotations

import numpy as np

from fitness.predictors.members import standardised
from fitness.predictors.numbers import NumberTable
from fitness.predictors.tuning import Noise, calm, columns_of_family, tuned

__all__ = ["TEACHER", "taught"]

TEACHER = ("ridge", "process")
"""The families whose mean is the teacher's word; what a third one adds is not worth its time in every fold."""


def taught(numbers: NumberTable, places: np.ndarray, targets: np.ndarray, noise: Noise = None) -> np.ndarray:
    """(N,) in units of `targets` (n,): predictions of a teacher of the labels at the rows `places` of `numbers`, which
    may have a known `noise` (n,)."""
    said = np.zeros(len(numbers.values))
    seen = NumberTable(numbers.names, numbers.values[places])
    with calm():
        for name in TEACHER:
            member = tuned(name, columns_of_family(name, seen), targets, noise)
            near, asked = standardised(columns_of_family(name, seen), columns_of_family(name, numbers))
            said += member.predict(near, targets, asked, noise)[0]
    return (said / len(TEACHER)).round(9)
