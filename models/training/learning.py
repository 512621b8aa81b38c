"""A training run: an architecture, a seed and a budget give a learning curve."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from engine.threads import one_thread
from models.architecture import Architecture
from models.spaces import SPACES
from models.spaces.llama.network import LlamaNetwork
from models.training.corpus import Corpus
from storage.errors import CannotCompute, WrongInput

__all__ = [
    "CLIP",
    "BadBudget",
    "Budget",
    "DivergedError",
    "Learned",
    "drawn_windows",
    "optimiser_of",
    "spread_windows",
    "train_one",
    "training_loss",
    "update",
    "validation_windows",
]

CLIP = 1.0  # largest norm of the gradient
EVALUATION_BATCH = 32  # windows
REFERENCE_WIDTH = 64


class DivergedError(CannotCompute, RuntimeError):
    """A loss that is not a finite number; the message names the architecture, the seed and the step."""


class BadBudget(WrongInput):
    """A budget that no run can spend; the message names the field."""


@dataclass(frozen=True)
class Budget:
    """Budget of every run: `steps` updates on `batch` windows of `length` bytes, and its measurements."""

    steps: int = 1200
    batch: int = 8
    length: int = 32
    learning_rate: float = 2.5e-3  # of a network of width REFERENCE_WIDTH
    warmup: float = 0.1  # share of the steps
    weight_decay: float = 0.1
    checkpoints: int = 10
    curve_windows: int = 256  # of the validation text, for the points of the curve
    final_windows: int = 2048  # of the validation text, for the final loss

    def __post_init__(self) -> None:
        for field in ("steps", "batch", "length", "checkpoints", "curve_windows", "final_windows"):
            if getattr(self, field) < 1:
                raise BadBudget(f"{field}: got {getattr(self, field)}, wanted at least 1")
        for field, most in (("learning_rate", math.inf), ("warmup", 1.0), ("weight_decay", math.inf)):
            if not 0 <= getattr(self, field) <= most:
                raise BadBudget(f"{field}: got {getattr(self, field)}, wanted a number from 0 to {most}")

    def rate(self, step: int, width: int) -> float:
        """Learning rate of a step: linear warm-up, then a cosine down to zero (Loshchilov & Hutter 2017). Its
        peak falls with the square root of the width (Vaswani et al. 2017)."""
        peak = self.learning_rate * math.sqrt(REFERENCE_WIDTH / width)
        start = max(1, round(self.warmup * self.steps))
        if step < start:
            return peak * (step + 1) / start
        return peak * 0.5 * (1 + math.cos(math.pi * (step - start) / max(1, self.steps - start)))

    def checkpoint_steps(self) -> tuple[int, ...]:
        """Numbers of finished steps after which the curve is measured; the last is the end."""
        return tuple(math.ceil(self.steps * (k + 1) / self.checkpoints) for k in range(self.checkpoints))


@dataclass(frozen=True)
class Learned:
    """Result of a training run: `curve` (checkpoints,) on a few, `loss` on all validation windows, nats per byte."""

    loss: float
    curve: tuple[float, ...]


def train_one(architecture: Architecture, seed: int, budget: Budget, corpus: Corpus) -> Learned:
    """Train from scratch; the result depends on the arguments alone, not on worker, order or other runs."""
    with one_thread(flush_denormals=True):
        model = SPACES[architecture.space].build(architecture, seed).eval()  # no dropout anywhere
        optimiser = optimiser_of(model, budget)
        # All architectures of one seed see the same windows in the same order: differences are their own.
        order = torch.Generator().manual_seed(seed)
        probe = validation_windows(corpus, budget.curve_windows, budget.length)
        due, curve, width = budget.checkpoint_steps(), [], architecture.config["d_model"]
        for step in range(budget.steps):
            loss = update(model, optimiser, budget.rate(step, width), drawn_windows(corpus.train, budget, order))
            _check_finite(loss, architecture, seed, step)
            for _ in range(due.count(step + 1)):
                curve.append(_validate(model, probe))
        final = _validate(model, validation_windows(corpus, budget.final_windows, budget.length))
        _check_finite(final, architecture, seed, budget.steps)
    return Learned(final, tuple(curve))


def training_loss(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    """Equal to `model.loss(tokens)` for tokens (B, T), but GPT-2's attention is one fused kernel, which is faster (for
    grouped heads of this size it is not)."""
    if isinstance(model, LlamaNetwork):
        return model.loss(tokens)
    x = model.embed(tokens)  # (B, T, D)
    for block in model.h:
        x = x + _attend(block.attn, block.ln_1(x))
        x = x + block.mlp(block.ln_2(x))
    x = model.ln_f(x)[:, :-1].reshape(-1, x.shape[-1])
    return model.adaptive_nll(x, tokens[:, 1:].reshape(-1)).mean()


def _attend(attention: Any, x: torch.Tensor) -> torch.Tensor:
    """Causal self-attention of (B, T, D) with the parameters of a GPT-2 block."""
    B, T, D = x.shape
    heads = attention.heads
    q, k, v = attention.c_attn(x).view(B, T, 3, heads, D // heads).permute(2, 0, 3, 1, 4)  # (B, K, T, D/K)
    mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return attention.c_proj(mixed.transpose(1, 2).reshape(B, T, D))


def validation_windows(corpus: Corpus, count: int, length: int) -> torch.Tensor:
    """int64 (count, length): windows spread evenly over the validation text."""
    return spread_windows(corpus.validation, count, length)


def spread_windows(text: torch.Tensor, count: int, length: int) -> torch.Tensor:
    """int64 (count, length): windows spread evenly over a text (n,)."""
    return _windows(text, torch.linspace(0, len(text) - length, count).long(), length)


def _windows(text: torch.Tensor, starts: torch.Tensor, length: int) -> torch.Tensor:
    return text[starts[:, None] + torch.arange(length)].long()


def drawn_windows(text: torch.Tensor, budget: Budget, order: torch.Generator) -> torch.Tensor:
    """int64 (batch, length): windows that begin anywhere in the text."""
    starts = torch.randint(len(text) - budget.length, (budget.batch,), generator=order)
    return _windows(text, starts, budget.length)


def optimiser_of(model: torch.nn.Module, budget: Budget) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101); only matrices decay."""
    matrices = [p for p in model.parameters() if p.ndim > 1 and p.numel()]
    vectors = [p for p in model.parameters() if p.ndim == 1 and p.numel()]
    groups = [{"params": matrices, "weight_decay": budget.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=budget.learning_rate, betas=(0.9, 0.98), fused=True)


def update(model: torch.nn.Module, optimiser: torch.optim.Optimizer, rate: float, tokens: torch.Tensor) -> float:
    """One update; the training loss before it."""
    for group in optimiser.param_groups:
        group["lr"] = rate
    loss = training_loss(model, tokens)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
    optimiser.step()
    optimiser.zero_grad()
    return float(loss.detach())


@torch.no_grad()
def _validate(model: torch.nn.Module, windows: torch.Tensor) -> float:
    """Mean loss over windows (n, T), nats per byte."""
    parts = [float(training_loss(model, w)) * len(w) for w in windows.split(EVALUATION_BATCH)]
    return math.fsum(parts) / len(windows)


def _check_finite(loss: float, architecture: Architecture, seed: int, step: int) -> None:
    if not math.isfinite(loss):
        where = f"{architecture.id}, seed {seed}, step {step}"
        raise DivergedError(f"{where}: loss {loss}, wanted a finite number; lower the learning rate")
