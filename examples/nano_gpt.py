"""Networks of your own, here a GPT in plain PyTorch, ranked by a formula: python examples/nano_gpt.py"""

from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from fitness.plain import rank_modules
from models import TokenBatch

FORMULA = "sum[ product( frobenius_norm(W.attn), sqrt(frobenius_norm(G.ffn)) ) ]"


class CausalSelfAttention(nn.Module):
    """Causal self-attention of all heads at once."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.c_attn = nn.Linear(width, 3 * width)
        self.c_proj = nn.Linear(width, width)

    def forward(self, x):
        B, T, D = x.shape
        q, k, v = (y.view(B, T, self.heads, D // self.heads).transpose(1, 2) for y in self.c_attn(x).split(D, 2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(y.transpose(1, 2).reshape(B, T, D))


class MLP(nn.Module):
    """Two maps with GELU between them."""

    def __init__(self, width, inner):
        super().__init__()
        self.c_fc = nn.Linear(width, inner)
        self.c_proj = nn.Linear(inner, width)

    def forward(self, x):
        return self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))


class DecoderBlock(nn.Module):
    """Attention and feed-forward layer, each behind a norm and beside the residual stream."""

    def __init__(self, width, heads, inner):
        super().__init__()
        self.ln_1, self.attn = nn.LayerNorm(width), CausalSelfAttention(width, heads)
        self.ln_2, self.mlp = nn.LayerNorm(width), MLP(width, inner)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class NanoGPT(nn.Module):
    """Tokens (B, T) to logits (B, T, V), under the names of nanoGPT."""

    def __init__(self, layers, width, heads, vocabulary=256, context=64):
        super().__init__()
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(vocabulary, width),
                "wpe": nn.Embedding(context, width),
                "h": nn.ModuleList(DecoderBlock(width, heads, 4 * width) for _ in range(layers)),
                "ln_f": nn.LayerNorm(width),
            }
        )
        self.lm_head = nn.Linear(width, vocabulary, bias=False)
        self.lm_head.weight = self.transformer.wte.weight

    def forward(self, tokens):
        t = self.transformer
        x = t.wte(tokens) + t.wpe(torch.arange(tokens.shape[1], device=tokens.device))
        for block in t.h:
            x = block(x)
        return self.lm_head(t.ln_f(x))


def drawn(layers, width, heads, seed=0):
    """A network whose matrices are all drawn with one standard deviation, as formulas want them."""
    model, generator = NanoGPT(layers, width, heads), torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, 0.0, 0.02, generator=generator)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
    return model


SHAPES = ((2, 32, 2), (4, 32, 4), (2, 64, 4))  # layers, width, heads
NETWORKS = {"-".join(map(str, shape)): partial(drawn, *shape) for shape in SHAPES}  # for `rank --modules`


def main(shapes=SHAPES):
    """The networks of these (layers, width, heads), the most promising first."""
    tokens = TokenBatch.from_passage(4, 64).tokens
    ranking = rank_modules({str(shape): drawn(*shape) for shape in shapes}, tokens, FORMULA)
    for name, score in ranking:
        print(f"{score:12.5g}  layers, width, heads = {name}")
    return ranking


if __name__ == "__main__":
    main()
