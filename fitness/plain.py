"""Scores of plain PyTorch networks, with the weights that they have, by a formula."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

import torch
from torch import nn

from engine.repeatable import repeatable
from fitness.features.collect import FeatureError, collect
from models.budget import Tokens
from models.spaces.plain_network import NANOGPT, Logits, ModuleNames, PlainNetwork, plain_logits
from models.tokens import TokenBatch
from primitives.budget import USUAL
from primitives.grammar import parse
from primitives.invalid import Invalid
from primitives.scoring import Scorer

__all__ = ["rank_modules", "score_module"]

USUAL_TOKENS = Tokens(USUAL, per_parameter=True)


def score_module(
    model: nn.Module,
    tokens: torch.Tensor,
    formula: str,
    names: ModuleNames = NANOGPT,
    logits: Logits = plain_logits,
    budget: Tokens = USUAL_TOKENS,
) -> float:
    """The score of a network on token ids (B, T), if it is to be trained on `budget`: `names` says where its blocks,
    attention and FFN maps are, and `logits` how it gives (B, T, V). FeatureError where it overflows or a tap shows
    nothing."""
    network, digest = PlainNetwork(model, names, logits), hashlib.sha256(repr(tokens.tolist()).encode()).hexdigest()
    training = model.training
    try:
        with repeatable(next(model.parameters()).device.type):
            features = collect(network, TokenBatch(tokens, digest, "tokens"))
    finally:
        model.train(training)
    share = budget.amount / (1 if budget.per_parameter else network.block_parameters)
    value = Scorer(features.blocks).score(parse(formula), math.log2(share)) if features.finite else Invalid.OVERFLOW
    if isinstance(value, Invalid):
        raise FeatureError(f"{formula}: no score: {value.value}")
    return value


def rank_modules(
    models: Mapping[str, nn.Module],
    tokens: torch.Tensor,
    formula: str,
    names: ModuleNames = NANOGPT,
    logits: Logits = plain_logits,
    budget: Tokens = USUAL_TOKENS,
) -> list[tuple[str, float]]:
    """Networks by name with their scores, the highest first. Draw all their weights in one way: scores depend on it."""
    scores = {name: score_module(model, tokens, formula, names, logits, budget) for name, model in models.items()}
    return sorted(scores.items(), key=lambda pair: -pair[1])
