"""Jacobian proxies: how differently the loss reacts to each sequence at the embedding, one row per sequence."""

from __future__ import annotations

import torch

from fitness.zoo.registry import NoValue, Subject, hand_made

__all__ = ["jacobian_cosine", "jacobian_covariance"]

EPSILON = 1e-5  # of the source


def _rows(subject: Subject) -> torch.Tensor:
    """J of the first block as (B, T D), float64."""
    if subject.sequences < 2:
        raise NoValue("one sequence has nothing to be compared with; raise --batch")
    rows = subject.features.blocks[0]["J"][0].reshape(subject.sequences, -1).double()
    if not bool((rows.abs().amax(1) > 0).all()):
        raise NoValue("the loss does not react to some sequence at all")
    return rows


@hand_made(
    "Jacobian covariance",
    r"-\sum_i \ln(\lambda_i + \epsilon) + 1 / (\lambda_i + \epsilon), \lambda = eig(corr(J))",
    "Mellor et al. 2020, arXiv 2006.04647v1",
)
def jacobian_covariance(subject: Subject) -> float:
    """Large when the Jacobians of different sequences do not correlate."""
    eigenvalues = torch.linalg.eigvalsh(torch.corrcoef(_rows(subject))) + EPSILON
    return -float((eigenvalues.log() + 1 / eigenvalues).sum())


@hand_made(
    "Jacobian cosine",
    r"1 - \frac{1}{B^2 - B} \sum_{i \neq j} |\cos(J_i, J_j)|^{1/20}",
    "Celotti et al. 2020, Improving Zero-Shot Neural Architecture Search with Parameters Scoring",
)
def jacobian_cosine(subject: Subject) -> float:
    """Large when the Jacobians of different sequences are orthogonal."""
    rows = _rows(subject)
    rows = rows / rows.norm(dim=1, keepdim=True)
    B = subject.sequences
    cosines = (rows @ rows.T)[~torch.eye(B, dtype=torch.bool, device=rows.device)]
    return 1.0 - float((cosines.abs() ** (1 / 20)).sum()) / (B * B - B)
