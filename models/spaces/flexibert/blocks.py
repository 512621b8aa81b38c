"""Post-LayerNorm encoder blocks with six ways to mix tokens: what the `flexibert` networks are made of.

Sources: BERT (Devlin et al., NAACL 2019, arXiv 1810.04805), FNet (Lee-Thorp et al., NAACL 2022, arXiv
2105.03824), ConvBERT (Jiang et al., NeurIPS 2020, arXiv 2008.02496), FlexiBERT (Tuli et al., JAIR 2023, arXiv
2205.11656).
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from models.spaces.flexibert.plans import EMBEDDING, KERNELS, POSITIONS, SEGMENTS, VOCABULARY, BlockPlan
from models.spaces.space import BlockTaps, WeightTap

__all__ = ["Encoder", "EncoderBlock"]

INIT_STD = 0.02


class Linear(nn.Linear):
    """A linear map whose weights are not drawn here: the network draws those of all its maps."""

    def reset_parameters(self) -> None: ...


def split_heads(x: torch.Tensor, heads: int) -> torch.Tensor:
    """(B, T, K E) -> (B, K, T, E)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def join_heads(x: torch.Tensor) -> torch.Tensor:
    """(B, K, T, E) -> (B, T, K E)."""
    return x.transpose(1, 2).flatten(-2)


def attend(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """(B, K, T, E) twice -> attention probabilities (B, K, T, T): softmax(Q K^T / sqrt(E)) along keys."""
    return torch.softmax(query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1]), dim=-1)


class EncoderAttention(nn.Module):
    """SDP: scaled dot-product attention. WMA: the same with the queries multiplied by one more matrix
    (weighted multiplicative attention, Luong et al. 2015, arXiv 1508.04025)."""

    def __init__(self, plan: BlockPlan) -> None:
        super().__init__()
        D = plan.width
        self.heads = plan.heads
        self.query, self.key, self.value = Linear(D, D), Linear(D, D), Linear(D, D)
        self.weight = Linear(D, D, bias=False) if plan.operation == "WMA" else None

    def projections(self) -> tuple[nn.Module, ...]:
        extra = () if self.weight is None else (self.weight,)
        return (self.query, self.key, self.value, *extra)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, T, D) -> H (B, T, D) and S (B, K, T, T)."""
        query = self.query(x) if self.weight is None else self.weight(self.query(x))
        S = attend(split_heads(query, self.heads), split_heads(self.key(x), self.heads))
        return join_heads(S @ split_heads(self.value(x), self.heads)), S


class Transform(nn.Module):
    """DFT: real part of the two-dimensional Fourier transform of each head, over tokens and features.
    DCT: the two-dimensional cosine transform (type II, not normalised) instead."""

    def __init__(self, plan: BlockPlan) -> None:
        super().__init__()
        self.heads, self.cosine = plan.heads, plan.operation == "DCT"
        self.input = Linear(plan.width, plan.width)

    def projections(self) -> tuple[nn.Module, ...]:
        return (self.input,)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, None]:
        """(B, T, D) -> H (B, T, D), and nothing attends."""
        heads = split_heads(self.input(x), self.heads)  # (B, K, T, E)
        if self.cosine:
            mixed = cosines(heads.shape[-2], heads) @ heads @ cosines(heads.shape[-1], heads).T
        else:
            mixed = torch.fft.fft2(heads).real
        return join_heads(mixed), None


def cosines(n: int, like: torch.Tensor) -> torch.Tensor:
    """(n, n) matrix of the type II cosine transform: row i is 2 cos(pi i (2 j + 1) / 2 n)."""
    i = torch.arange(n, dtype=torch.float64, device=like.device)
    return (2 * torch.cos(math.pi / (2 * n) * i[:, None] * (2 * i[None, :] + 1))).to(like.dtype)


class SpanConvolution(nn.Module):
    """DSC: half of the heads attend, the other half are convolutions whose kernel depends on the tokens
    (ConvBERT's mixed attention; the kernel comes from a depthwise separable convolution of the input)."""

    def __init__(self, plan: BlockPlan) -> None:
        super().__init__()
        D, half = plan.width, plan.width // 2
        self.heads, self.kernel = plan.heads // 2, KERNELS[plan.operation]
        self.query, self.key, self.value = Linear(D, half), Linear(D, half), Linear(D, half)
        self.depthwise = nn.Parameter(torch.empty(D, self.kernel))
        self.pointwise = Linear(D, half)  # a convolution with kernel 1, stored as the matrix that it is
        self.span_kernel = Linear(half, self.heads * self.kernel)
        self.span_value = Linear(D, half)

    def projections(self) -> tuple[nn.Module, ...]:
        return (self.query, self.key, self.value)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, T, D) -> H (B, T, D) and S (B, K/2, T, T)."""
        query = self.query(x)
        S = attend(split_heads(query, self.heads), split_heads(self.key(x), self.heads))
        attended = S @ split_heads(self.value(x), self.heads)
        return torch.cat([join_heads(attended), self.convolve(x, query)], dim=-1), S

    def convolve(self, x: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
        """(B, T, D), (B, T, D/2) -> (B, T, D/2): each head's values weighted by its softmaxed kernel."""
        reach = self.kernel // 2
        local = F.conv1d(x.transpose(1, 2), self.depthwise.unsqueeze(1), padding=reach, groups=x.shape[-1])
        local = self.pointwise(local.transpose(1, 2))  # (B, T, D/2)
        kernel = self.span_kernel(local * query).unflatten(-1, (self.heads, self.kernel)).softmax(-1)
        windows = F.pad(self.span_value(x), (0, 0, reach, reach)).unfold(1, self.kernel, 1)  # (B, T, D/2, k)
        windows = windows.unflatten(2, (self.heads, -1))  # (B, T, K/2, E, k)
        return (windows @ kernel.unsqueeze(-1)).squeeze(-1).flatten(-2)


class EncoderBlock(nn.Module):
    """x -> h = LayerNorm(x + projection of the mixing) -> LayerNorm(h + FFN(h)), a GELU after every FFN layer
    but the last. DFT and DCT have neither projection nor residual nor first LayerNorm: h is the transform."""

    def __init__(self, plan: BlockPlan) -> None:
        super().__init__()
        D = plan.width
        self.mixer: EncoderAttention | Transform | SpanConvolution
        if plan.operation in KERNELS:
            self.mixer = SpanConvolution(plan)
        else:
            self.mixer = (Transform if plan.operation in ("DFT", "DCT") else EncoderAttention)(plan)
        self.project = None if isinstance(self.mixer, Transform) else Linear(D, D)
        self.mixer_norm = None if self.project is None else nn.LayerNorm(D, eps=1e-12)
        widths = (D, *plan.ffn)
        self.ffn = nn.ModuleList(Linear(a, b) for a, b in pairwise(widths))
        self.gelu = nn.ModuleList(nn.GELU() for _ in self.ffn)
        self.ffn_out = Linear(widths[-1], D)
        self.ffn_norm = nn.LayerNorm(D, eps=1e-12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, D) -> (B, T, D)."""
        h, _ = self.mixer(x)
        if self.project is not None and self.mixer_norm is not None:
            h = self.mixer_norm(x + self.project(h))
        y = h
        for linear, gelu in zip(self.ffn, self.gelu, strict=True):
            y = gelu(linear(y))
        return self.ffn_norm(h + self.ffn_out(y))

    def taps(self) -> BlockTaps:
        """H of a transform is read where it leaves: at the first FFN map."""
        mixing = _matrices(self.mixer) + ([] if self.project is None else _matrices(self.project))
        feeding = _matrices(self.ffn) + _matrices(self.ffn_out)
        return BlockTaps(
            block=self,
            activations=tuple(self.gelu),
            heads=(self.ffn[0] if self.project is None else self.project,),
            queries=(self.mixer.projections()[0],),
            attentions=() if isinstance(self.mixer, Transform) else (self.mixer,),
            weights=(*(WeightTap("attn", p) for p in mixing), *(WeightTap("ffn", p) for p in feeding)),
        )


def _matrices(module: nn.Module) -> list[nn.Parameter]:
    return [p for p in module.parameters() if p.dim() == 2]


class Encoder(nn.Module):
    """Word, position and segment embeddings of width 128 -> LayerNorm -> map to D (unless 128) -> blocks."""

    def __init__(self, plans: tuple[BlockPlan, ...], projected_loss: bool = True) -> None:
        super().__init__()
        D = plans[0].width
        self.projected_loss = projected_loss
        self.words = nn.Parameter(torch.empty(VOCABULARY, EMBEDDING))
        self.positions = nn.Parameter(torch.empty(POSITIONS, EMBEDDING))
        self.segments = nn.Parameter(torch.empty(SEGMENTS, EMBEDDING))
        self.norm = nn.LayerNorm(EMBEDDING, eps=1e-12)
        self.project = None if D == EMBEDDING else Linear(EMBEDDING, D)
        self.blocks = nn.ModuleList(EncoderBlock(plan) for plan in plans)

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, T) -> (B, T, D), every token in the first segment."""
        if tokens.shape[1] > POSITIONS:
            raise ValueError(f"tokens: got sequences of {tokens.shape[1]}, wanted at most {POSITIONS} tokens")
        x = F.embedding(tokens, self.words) + self.positions[: tokens.shape[1]] + self.segments[0]
        return self.norm(x) if self.project is None else self.project(self.norm(x))

    def hidden(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, T) -> (B, T, D): output of the last block; every token sees every token."""
        x = self.embed(tokens)
        for block in self.blocks:
            x = block(x)
        return x

    def loss(self, tokens: torch.Tensor) -> torch.Tensor:
        """A fixed random projection of the last hidden state, or its plain sum as published.

        The last step is a LayerNorm with gain 1 and bias 0, whose outputs sum to 0 for every token: the gradient of
        the plain sum is 0 in exact arithmetic, and J and G are then rounding errors (docs/flexibert.md).
        """
        hidden = self.hidden(tokens)
        if not self.projected_loss:
            return hidden.sum()
        direction = torch.randn(hidden.shape, generator=torch.Generator().manual_seed(0))
        return (hidden * direction.to(hidden)).sum()

    def taps(self) -> tuple[BlockTaps, ...]:
        """Taps for A, J, G, H, W and S of each block."""
        return tuple(block.taps() for block in self.blocks if isinstance(block, EncoderBlock))

    def projections(self) -> tuple[tuple[nn.Module, ...], ...]:
        """Per block, the maps into the heads (query, key, value, WMA's weight, a transform's input), whose
        outputs (B, T, .) the published attention confidence is computed on."""
        return tuple(block.mixer.projections() for block in self.blocks if isinstance(block, EncoderBlock))

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """BERT's start: biases 0, LayerNorm gains 1, matrices normal with deviation 0.02, the padding word 0."""
        for name, parameter in self.named_parameters():
            if parameter.dim() == 1:
                parameter.fill_(1.0 if name.endswith("norm.weight") else 0.0)
            else:
                parameter.normal_(0.0, INIT_STD, generator=generator)
        self.words[0].zero_()
