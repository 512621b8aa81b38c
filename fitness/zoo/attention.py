"""Attention proxies, from the pruning of heads (Serianni and Kalita, ACL 2023, arXiv 2306.00288).

A confidence is a mean over the heads and tokens of a block, summed over blocks: the study adds up its layers, too.
A block where nothing attends adds 0.
"""

from __future__ import annotations

import torch

from fitness.features.visit import Visited
from fitness.zoo.registry import hand_made
from fitness.zoo.tensors import saliency, total

__all__ = ["attention_confidence", "head_importance", "softmax_confidence"]

SOURCE = "Serianni and Kalita 2023, arXiv 2306.00288"


@hand_made("attention confidence", r"\sum_l \overline{\max_d H_{l,k,t,d}}", f"{SOURCE}, after Voita et al. 2019")
def attention_confidence(network: Visited) -> float:
    """The largest feature of each head's output H (before the output projection), mean over heads and tokens."""
    value = 0.0
    for block in network.features.blocks:
        for H, S in zip(block["H"], block["S"], strict=False):
            heads = S.shape[0] // network.sequences  # K; S is (B K, T, T)
            value += float(H.unflatten(-1, (heads, -1)).amax(-1).mean(dtype=torch.float64))  # (tokens, K)
    return value


@hand_made("softmax confidence", r"\sum_l \overline{\max_j S_{l,k,i,j}}", f"{SOURCE}, after Voita et al. 2019")
def softmax_confidence(network: Visited) -> float:
    """The largest attention probability of each row of S, mean over heads and tokens."""
    return total(network, "S", lambda s: s.amax(-1).mean(dtype=torch.float64))


@hand_made("head importance", r"\sum_{attn} |W \odot G|", f"{SOURCE}, after Michel et al. 2019")
def head_importance(network: Visited) -> float:
    """SNIP's saliency on the attention maps alone."""
    return saliency(network, ".attn")
