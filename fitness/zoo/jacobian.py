"""Jacobian proxies: how differently the loss reacts to each sequence at the embedding, one row per sequence."""

from __future__ import annotations

import torch

from fitness.features.visit import Visited
from fitness.zoo.registry import NoValue, hand_made

__all__ = ["jacobian_cosine", "jacobian_covariance"]

EPSILON = 1e-5  # of the source


def _rows(network: Visited) -> torch.Tensor:
    """J of the first block as (B, T D), float64."""
    if network.sequences < 2:
        raise NoValue("one sequence has nothing to be compared with; raise --batch")
    rows = network.features.blocks[0]["J"][0].reshape(network.sequences, -1).double()
    if not bool((rows.abs().amax(1) > 0).all()):
        raise NoValue("the loss does not react to some sequence at all")
    return rows


@hand_made(
    "Jacobian covariance",
    r"-\sum_i \ln(\lambda_i + \epsilon) + 1 / (\lambda_i + \epsilon), \lambda = eig(corr(J))",
    "Mellor et al. 2020, arXiv 2006.04647v1",
)
def jacobian_covariance(network: Visited) -> float:
    """Large when the Jacobians of different sequences do not correlate."""
    eigenvalues = torch.linalg.eigvalsh(torch.corrcoef(_rows(network))) + EPSILON
    return -float((eigenvalues.log() + 1 / eigenvalues).sum())


@hand_made(
    "Jacobian cosine",
    r"1 - \frac{1}{B^2 - B} \sum_{i \neq j} |\cos(J_i, J_j)|^{1/20}",
    "Celotti et al. 2020, Improving Zero-Shot Neural Architecture Search with Parameters Scoring",
)
def jacobian_cosine(network: Visited) -> float:
    """Large when the Jacobians of different sequences are orthogonal."""
    rows = _rows(network)
    rows = rows / rows.norm(dim=1, keepdim=True)
    B = network.sequences
    cosines = (rows @ rows.T)[~torch.eye(B, dtype=torch.bool, device=rows.device)]
    return 1.0 - float((cosines.abs() ** (1 / 20)).sum()) / (B * B - B)
