"""The block of LLaMA: the operations of Hugging Face's `LlamaDecoderLayer` with eager attention under the same names,
equal to it to the last bit (tests/test_llama_space.py), without the seconds that the import of transformers takes. A
block knows its positions, so it runs alone, wherever it stands in a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from models.spaces.llama.configuration import head_widths

__all__ = ["BlockSizes", "Gain", "GroupedAttention", "LlamaBlock", "Projection", "causal_mask", "rotated", "rotation"]


@dataclass(frozen=True)
class BlockSizes:
    """Sizes of one block."""

    width: int
    heads: int
    kv_heads: int
    ffn: int
    norm: str
    eps: float
    theta: int
    head_width: int

    @classmethod
    def of(cls, config: Mapping[str, Any], block: int) -> BlockSizes:
        """The sizes of a block of a checked configuration of the space `llama`."""
        heads, shared, ffn = (config[field][block] for field in ("n_head", "n_kv_head", "d_ffn"))
        kind = config["norm"], config["norm_eps"], config["rope_theta"]
        return cls(config["d_model"], heads, shared, ffn, *kind, head_widths(config)[block])


class Projection(nn.Module):
    """A linear map without bias, weight (out, in); whoever holds it draws its weights."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., in) -> (..., out)."""
        return F.linear(x, self.weight)


class Gain(nn.Module):
    """A norm with a gain and no bias: the root mean square (Zhang & Sennrich 2019, arXiv 1910.07467), or a layer
    norm."""

    def __init__(self, width: int, kind: str, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.kind, self.eps = kind, eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., D) -> (..., D)."""
        if self.kind == "layer":
            return F.layer_norm(x, self.weight.shape, self.weight, None, self.eps)
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps))


class GroupedAttention(nn.Module):
    """Scaled dot-product attention; each key-value head serves heads / kv_heads neighbouring query heads."""

    def __init__(self, sizes: BlockSizes) -> None:
        super().__init__()
        self.sizes, inner, shared = sizes, sizes.heads * sizes.head_width, sizes.kv_heads * sizes.head_width
        self.q_proj = Projection(sizes.width, inner)
        self.k_proj = Projection(sizes.width, shared)
        self.v_proj = Projection(sizes.width, shared)
        self.o_proj = Projection(inner, sizes.width)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, T, D) -> output (B, T, D) and S (B, K, T, T)."""
        q, k, v = self.mixed(x)
        group = self.sizes.heads // self.sizes.kv_heads
        k, v = (part.repeat_interleave(group, dim=1) for part in (k, v))  # (B, K, T, E)
        scores = q @ k.transpose(2, 3) * self.sizes.head_width**-0.5
        S = torch.softmax(scores + causal_mask(x.shape[-2]).to(x.device), dim=-1)  # (B, K, T, T)
        return self.o_proj((S @ v).transpose(1, 2).flatten(-2)), S

    def mixed(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(B, T, D) -> queries (B, K, T, E), keys and values (B, kv_heads, T, E); queries and keys are rotated."""
        shape = (*x.shape[:-1], -1, self.sizes.head_width)
        q, k, v = (m(x).view(shape).transpose(1, 2) for m in (self.q_proj, self.k_proj, self.v_proj))
        turn = [part.to(x.device) for part in rotation(x.shape[-2], self.sizes.head_width, self.sizes.theta)]
        return rotated(q, *turn), rotated(k, *turn), v


class Gate(nn.Module):
    """SiLU of one map times another one (SwiGLU, Shazeer 2020): its output is A, what the down projection reads."""

    def forward(self, gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
        """(B, T, F), (B, T, F) -> (B, T, F)."""
        return F.silu(gate) * up


class GatedFeedForward(nn.Module):
    """Two maps to the inner width, their gated product, and a map back."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.gate_proj, self.up_proj = Projection(width, inner), Projection(width, inner)
        self.down_proj = Projection(inner, width)
        self.act_fn = Gate()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, D) -> (B, T, D)."""
        return self.down_proj(self.act_fn(self.gate_proj(x), self.up_proj(x)))


class LlamaBlock(nn.Module):
    """x -> h = x + attention(norm(x)) -> h + FFN(norm(h)); without heads h = x, and without an FFN h is the output."""

    def __init__(self, sizes: BlockSizes) -> None:
        super().__init__()
        self.sizes = sizes
        if sizes.heads:
            self.self_attn = GroupedAttention(sizes)
        if sizes.ffn:
            self.mlp = GatedFeedForward(sizes.width, sizes.ffn)
        if sizes.heads:
            self.input_layernorm = Gain(sizes.width, sizes.norm, sizes.eps)
        if sizes.ffn:
            self.post_attention_layernorm = Gain(sizes.width, sizes.norm, sizes.eps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, D) -> (B, T, D), each token seeing itself and those before it."""
        if self.sizes.heads:
            attended, _ = self.self_attn(self.input_layernorm(x))
            x = x + attended
        return x + self.mlp(self.post_attention_layernorm(x)) if self.sizes.ffn else x


@lru_cache(maxsize=64)
def rotation(length: int, width: int, theta: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines (T, E) of the angles that rotary positions turn heads of width E by (Su et al. 2021, arXiv
    2104.09864)."""
    with torch.device("cpu"):
        speeds = 1.0 / (float(theta) ** (torch.arange(0, width, 2, dtype=torch.float32) / width))
        angles = torch.arange(length, dtype=torch.float32)[:, None] * speeds
        both = torch.cat((angles, angles), dim=-1)
        return both.cos(), both.sin()


def rotated(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Heads (B, K, T, E), each pair of features i and i + E/2 turned by its angle."""
    left, right = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-right, left), dim=-1) * sin


@lru_cache(maxsize=16)
def causal_mask(length: int) -> torch.Tensor:
    """(T, T): the most negative number where a token would see a later one."""
    with torch.device("cpu"):
        return torch.full((length, length), torch.finfo(torch.float32).min).triu(1)
