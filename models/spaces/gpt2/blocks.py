"""The block of GPT-2 (Radford et al. 2019): the operations of Hugging Face's `GPT2Block` with eager attention, bit for
bit (tests/test_models_gpt2.py), without the seconds that the import of transformers and its configurations take."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["Block"]


class Map(nn.Module):
    """A linear map stored as (in, out); whoever holds it draws its weights."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, out))
        self.bias = nn.Parameter(torch.empty(out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, in) -> (B, T, out)."""
        return torch.addmm(self.bias, x.view(-1, x.shape[-1]), self.weight).view(*x.shape[:-1], -1)


class Attention(nn.Module):
    """Scaled dot-product attention of `heads` heads."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.width, self.heads = width, heads
        self.c_attn, self.c_proj = Map(width, 3 * width), Map(width, width)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, T, D), (T, T) -> output (B, T, D) and S (B, K, T, T)."""
        shape = (*x.shape[:-1], self.heads, -1)
        q, k, v = (part.view(shape).transpose(1, 2) for part in self.c_attn(x).split(self.width, dim=2))
        S = torch.softmax(q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5 + mask, dim=-1)  # (B, K, T, T)
        return self.c_proj((S @ v).transpose(1, 2).flatten(-2)), S


class FeedForward(nn.Module):
    """Two maps with GPT-2's approximate GELU between them."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.c_fc, self.c_proj = Map(width, inner), Map(inner, width)
        self.act = nn.GELU(approximate="tanh")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, D) -> (B, T, D)."""
        return self.c_proj(self.act(self.c_fc(x)))


class Block(nn.Module):
    """x -> h = x + attention(LayerNorm(x)) -> h + FFN(LayerNorm(h))."""

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.ln_1, self.attn = nn.LayerNorm(width), Attention(width, heads)  # weights are drawn in this order
        self.ln_2, self.mlp = nn.LayerNorm(width), FeedForward(width, inner)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | float = 0.0) -> torch.Tensor:
        """(B, T, D), (T, T) -> (B, T, D); `mask` is added to the logits; without one every token
        sees every token."""
        attended, _ = self.attn(self.ln_1(x), mask)
        h = attended + x
        return h + self.mlp(self.ln_2(h))
