"""Hand-made proxies in plain torch, written from their papers, by attribute names of the networks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from fitness.features.collect import collect
from fitness.features.visit import Visited
from models.spaces import SPACES
from models.tokens import TokenBatch

B, T = 3, 20
GPT2 = {
    "n_layer": 3, "d_model": 24, "d_embed": 16, "div_val": 2, "n_head": [2, 4, 3], "d_inner": [30, 50, 41],
    "n_token": 260, "tgt_len": 32, "cutoffs": [90, 180],
}  # fmt: skip
ENCODER = {
    "hidden_size": 24, "operation": ["DFT", "SDP"], "heads": [2, 4], "ffn_dim": [40, 36], "ffn_stack": [1, 3],
}  # fmt: skip
CONFIGS = {"gpt2": GPT2, "flexibert": ENCODER}


class Plain:
    """One network with everything that the golden computations need, read by attribute names."""

    def __init__(self, space: str) -> None:
        self.space = space
        self.architecture = SPACES[space].architecture("tiny", CONFIGS[space])
        self.batch = TokenBatch.from_passage(B, T)
        self.model: Any = SPACES[space].build(self.architecture, 0).eval()
        self.tokens = self.batch.tokens
        self.heads = CONFIGS[space]["n_head" if space == "gpt2" else "heads"]
        self.blocks: list[Any] = list(self.model.h if space == "gpt2" else self.model.blocks)

    def visited(self) -> Visited:
        return Visited(self.model, self.tokens, collect(self.model, self.batch))

    def attention_weights(self, block: Any) -> list[torch.nn.Parameter]:
        if self.space == "gpt2":
            return [block.attn.c_attn.weight, block.attn.c_proj.weight]
        mixer = block.mixer
        return [m.weight for m in (mixer.query, mixer.key, mixer.value, block.project)]

    def ffn_weights(self, block: Any) -> list[torch.nn.Parameter]:
        if self.space == "gpt2":
            return [block.mlp.c_fc.weight, block.mlp.c_proj.weight]
        return [*(m.weight for m in block.ffn), block.ffn_out.weight]

    def weights(self, role: str = "all") -> list[torch.nn.Parameter]:
        chosen = []
        for block in self.blocks:
            chosen += self.attention_weights(block) if role != "ffn" else []
            chosen += self.ffn_weights(block) if role != "attn" else []
        return chosen

    def gradients(self, role: str = "all") -> list[torch.Tensor]:
        twin = Plain(self.space)  # .backward() would leave gradients in the shared network
        twin.model.loss(self.tokens).backward()
        return [w.grad for w in twin.weights(role) if w.grad is not None]

    def saliency(self, role: str = "all") -> float:
        return sum(
            float((w * g).detach().abs().sum()) for w, g in zip(self.weights(role), self.gradients(role), strict=True)
        )

    def run(self, x: torch.Tensor | None = None) -> dict[str, list[torch.Tensor]]:
        """The forward pass again, by hand: everything a block makes, with the graph kept."""
        x = self.model.embed(self.tokens) if x is None else x
        seen: dict[str, list[torch.Tensor]] = {"x": [], "Q": [], "H": [], "S": [], "pre": [], "A": []}
        for block, heads in zip(self.blocks, self.heads, strict=True):
            seen["x"].append(x)
            x = self._gpt2(block, x, heads, seen) if self.space == "gpt2" else self._encoder(block, x, heads, seen)
        seen["x"].append(x)
        return seen

    def _mix(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int, causal: bool, seen: dict) -> Any:
        D, length = q.shape[-1], q.shape[1]
        seen["Q"].append(q)
        q, k, v = (t.reshape(-1, length, heads, D // heads).transpose(1, 2) for t in (q, k, v))
        logits = q @ k.transpose(-1, -2) / math.sqrt(D // heads)
        if causal:
            logits = logits.masked_fill(torch.ones(length, length).triu(1).bool(), -1e30)
        S = logits.softmax(-1)
        H = (S @ v).transpose(1, 2).reshape(-1, length, D)
        seen["S"].append(S)
        seen["H"].append(H)
        return H

    def _gpt2(self, block: Any, x: torch.Tensor, heads: int, seen: dict) -> torch.Tensor:
        D = x.shape[-1]
        n = F.layer_norm(x, (D,), block.ln_1.weight, block.ln_1.bias)
        q, k, v = (n @ block.attn.c_attn.weight + block.attn.c_attn.bias).split(D, -1)
        H = self._mix(q, k, v, heads, True, seen)
        x = x + H @ block.attn.c_proj.weight + block.attn.c_proj.bias
        n = F.layer_norm(x, (D,), block.ln_2.weight, block.ln_2.bias)
        seen["pre"].append(n @ block.mlp.c_fc.weight + block.mlp.c_fc.bias)
        seen["A"].append(F.gelu(seen["pre"][-1], approximate="tanh"))
        return x + seen["A"][-1] @ block.mlp.c_proj.weight + block.mlp.c_proj.bias

    def _encoder(self, block: Any, x: torch.Tensor, heads: int, seen: dict) -> torch.Tensor:
        D, mixer = x.shape[-1], block.mixer
        H = self._mix(mixer.query(x), mixer.key(x), mixer.value(x), heads, False, seen)
        h = y = F.layer_norm(x + block.project(H), (D,), eps=1e-12)
        for linear in block.ffn:
            seen["pre"].append(linear(y))
            y = F.gelu(seen["pre"][-1])
            seen["A"].append(y)
        return F.layer_norm(h + block.ffn_out(y), (D,), eps=1e-12)

    def loss_of(self, last: torch.Tensor) -> torch.Tensor:
        """The loss from the last block's output, written again."""
        if self.space == "gpt2":
            hidden = self.model.ln_f(last)[:, :-1].reshape(-1, last.shape[-1])
            return self.model.adaptive_nll(hidden, self.tokens[:, 1:].reshape(-1)).mean()
        return (last * torch.randn(last.shape, generator=torch.Generator().manual_seed(0))).sum()

    def flow(self) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """|W| and its gradient in the linear network of synaptic flow, a single token of ones, by hand in float64."""
        x = torch.ones(1, CONFIGS[self.space]["d_model" if self.space == "gpt2" else "hidden_size"]).double()
        every, D = [], x.shape[1]
        for block in self.blocks:
            own = [w.detach().abs().double() for w in (*self.attention_weights(block), *self.ffn_weights(block))]
            own = [(w if self.space == "gpt2" else w.T).contiguous().requires_grad_() for w in own]  # (in, out)
            every += own
            if self.space == "gpt2":
                joined, out, *feeding = own
                x = x + x @ joined[:, 2 * D :] @ out
            else:
                _, _, value, out, *feeding = own
                x = x + x @ value @ out
            y = x
            for w in feeding:
                y = y @ w
            x = x + y
        gradients = torch.autograd.grad(x.sum(), every, allow_unused=True)
        return every, [torch.zeros_like(w) if g is None else g for w, g in zip(every, gradients, strict=True)]


def golden_grasp(net: Plain) -> float:
    """The Hessian-gradient product by differences of gradients along g, in float64."""
    twin = Plain(net.space)
    twin.model.double()

    def gradient() -> list[torch.Tensor]:
        return list(torch.autograd.grad(twin.model.loss(twin.tokens), twin.weights()))

    g, step = gradient(), 1e-6 / float(torch.cat([x.flatten() for x in gradient()]).norm())
    start = [w.detach().clone() for w in twin.weights()]
    sides = []
    for side in (1, -1):
        with torch.no_grad():
            for w, w0, d in zip(twin.weights(), start, g, strict=True):
                w.copy_(w0 + side * step * d)
        sides.append(gradient())
    return -sum(
        float((w * (up - down)).sum()) / (2 * step) for w, up, down in zip(start, sides[0], sides[1], strict=True)
    )


def golden_fisher(net: Plain) -> float:
    seen = net.run()
    gradients = torch.autograd.grad(net.loss_of(seen["x"][-1]), seen["A"])
    return sum(
        float((0.5 * (a * g).detach().square().flatten(0, 1).mean(0)).sum())
        for a, g in zip(seen["A"], gradients, strict=True)
    )


def golden_kernel(net: Plain) -> np.ndarray:
    codes = np.concatenate([(pre > 0).flatten(1).numpy() for pre in net.run()["pre"]], axis=1)
    return np.array([[float((a == b).sum()) for b in codes] for a in codes])


def golden_jacobian(net: Plain) -> np.ndarray:
    seen = net.run()
    return torch.autograd.grad(net.loss_of(seen["x"][-1]), seen["x"][0])[0].reshape(B, -1).double().numpy()


def golden_covariance(net: Plain) -> float:
    v = np.linalg.eigvalsh(np.corrcoef(golden_jacobian(net))) + 1e-5
    return float(-(np.log(v) + 1 / v).sum())


def golden_cosine(net: Plain) -> float:
    J = golden_jacobian(net)
    cosines = [abs(J[i] @ J[j]) / np.sqrt((J[i] @ J[i]) * (J[j] @ J[j])) for i in range(B) for j in range(B) if i != j]
    return 1 - float(np.mean(np.array(cosines) ** 0.05))


def golden_diversity(net: Plain) -> float:
    nuclear = [
        torch.linalg.matrix_norm(x.detach().double(), "nuc") for x in (*net.weights("attn"), *net.gradients("attn"))
    ]
    half = len(nuclear) // 2
    return sum(float(w * g) for w, g in zip(nuclear[:half], nuclear[half:], strict=True))


def golden_attention_confidence(net: Plain) -> float:
    return sum(
        float(torch.stack([part.max(-1).values for part in H.detach().chunk(heads, -1)]).mean())
        for H, heads in zip(net.run()["H"], net.heads, strict=True)
    )


def golden_zero_lm(net: Plain) -> float:
    return sum(
        0.5 * float((torch.linalg.svdvals(w.detach().double()) ** 2).sum()) / min(w.shape) for w in net.weights()
    )


def golden_w_pca(net: Plain) -> float:
    components = 0
    for pre in net.run()["pre"]:
        x = pre.detach().flatten(0, 1).double().numpy()
        spread = np.linalg.svd(x - x.mean(0), compute_uv=False) ** 2
        components += int(np.searchsorted(np.cumsum(spread) / spread.sum(), 0.99)) + 1
    return float(components * sum(p.numel() for p in net.model.parameters()))


def golden_log_synflow(net: Plain) -> float:
    return sum(float((w[g > 0] * g[g > 0].log().abs()).detach().sum()) for w, g in zip(*net.flow(), strict=True))


def golden_lpzero_gpt2(net: Plain) -> float:
    fan_in = 0 if net.space == "gpt2" else 1  # where the matrices are stored as (in, out)
    values = [
        float(w.detach().square().mean() + g.softmax(fan_in).square().mean())
        for w, g in zip(net.weights(), net.gradients(), strict=True)
    ]
    sizes = [len(net.attention_weights(block)) + len(net.ffn_weights(block)) for block in net.blocks]
    ends = np.cumsum(sizes)
    return float(np.mean([np.mean(values[end - size : end]) for end, size in zip(ends, sizes, strict=True)]))


GOLDEN: dict[str, Callable[[Plain], float]] = {
    "GradNorm": lambda net: sum(math.sqrt(float(g.double().square().sum())) for g in net.gradients()),
    "SNIP": Plain.saliency,
    "GraSP": golden_grasp,
    "Synflow": lambda net: math.log(sum(float((w * g).detach().sum()) for w, g in zip(*net.flow(), strict=True))),
    "LogSynflow": golden_log_synflow,
    "Fisher": golden_fisher,
    "NWOT": lambda net: math.log(np.linalg.det(golden_kernel(net))),
    "activation distance": lambda net: float(golden_kernel(net).sum()),
    "Jacobian covariance": golden_covariance,
    "Jacobian cosine": golden_cosine,
    "synaptic diversity": golden_diversity,
    "synaptic saliency": lambda net: net.saliency("ffn"),
    "attention confidence": golden_attention_confidence,
    "softmax confidence": lambda net: sum(float(S.detach().max(-1).values.mean()) for S in net.run()["S"]),
    "head importance": lambda net: net.saliency("attn"),
    "ZeroLM": golden_zero_lm,
    "W-PCA": golden_w_pca,
    "LPZero GPT-2": golden_lpzero_gpt2,
    "LPZero FlexiBERT": lambda net: float(np.mean([float((H.detach() ** 2).mean()) for H in net.run()["H"]])),
    "LPZero FlexiBERT as released": lambda net: float(
        np.mean([float((Q.detach() ** 2).mean()) for Q in net.run()["Q"]])
    ),
}
