"""Hand-made proxies on gated feed-forward layers: what they mean there, computed on the library's LlamaForCausalLM."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
import torch
from test_llama_space import SPACE, hugging_face, same_everywhere
from torch.nn import functional as F
from transformers import LlamaForCausalLM

from fitness.features.visit import Visited
from fitness.zoo import ZOO
from fitness.zoo.registry import NoValue
from models.tokens import TokenBatch

CONFIG = same_everywhere(4, 2)
HEADS, BATCH = 4, TokenBatch.from_passage(3, 20)
SILENT = ("Synflow", "LogSynflow")


class Library:
    """The library's network with the weights of ours, after one backward pass, and what its modules saw."""

    def __init__(self) -> None:
        self.model = LlamaForCausalLM(hugging_face(CONFIG)).eval()
        ours: Any = SPACE.build(SPACE.architecture("x", CONFIG), 0)
        self.model.load_state_dict(ours.state_dict())
        self.seen: dict[str, list[torch.Tensor]] = {"gate": [], "A": [], "H": [], "Q": []}
        for layer in self.model.model.layers:
            layer.mlp.gate_proj.register_forward_hook(lambda m, given, out: self.seen["gate"].append(out))
            layer.mlp.down_proj.register_forward_pre_hook(lambda m, given: self.seen["A"].append(given[0]))
            layer.self_attn.o_proj.register_forward_pre_hook(lambda m, given: self.seen["H"].append(given[0]))
            layer.self_attn.q_proj.register_forward_hook(lambda m, given, out: self.seen["Q"].append(out))
        found = self.model(BATCH.tokens, output_attentions=True)
        self.attentions = found.attentions
        loss = F.cross_entropy(found.logits[:, :-1].flatten(0, 1), BATCH.tokens[:, 1:].flatten())
        self.flows = torch.autograd.grad(loss, self.seen["A"], retain_graph=True)
        loss.backward()

    def maps(self, role: str = "") -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
        """Weight and gradient of every map of the blocks."""
        for name, parameter in self.model.model.layers.named_parameters():
            if parameter.dim() > 1 and role in name:
                assert parameter.grad is not None
                yield parameter.detach(), parameter.grad

    def saliency(self, role: str = "") -> float:
        return sum(float((w * g).abs().sum()) for w, g in self.maps(role))

    def kernel(self) -> np.ndarray:
        """Agreements of codes: a unit is on where its gate and its up map have one sign."""
        codes = torch.cat([(a > 0).flatten(1) for a in self.seen["A"]], 1).numpy()
        return np.array([[float((a == b).sum()) for b in codes] for a in codes])

    def components(self) -> int:
        """Of what the gate maps put out: 99% of their variance."""
        found = 0
        for gate in self.seen["gate"]:
            x = gate.detach().flatten(0, 1).double().numpy()
            spread = np.linalg.svd(x - x.mean(0), compute_uv=False) ** 2
            found += int(np.searchsorted(np.cumsum(spread) / spread.sum(), 0.99)) + 1
        return found


def nuclear(x: torch.Tensor) -> float:
    return float(torch.linalg.matrix_norm(x.double(), "nuc"))


GOLDEN: dict[str, Callable[[Library], float]] = {
    "GradNorm": lambda net: sum(float(g.double().norm()) for _, g in net.maps()),
    "SNIP": lambda net: net.saliency(),
    "synaptic saliency": lambda net: net.saliency("mlp"),
    "head importance": lambda net: net.saliency("self_attn"),
    "synaptic diversity": lambda net: sum(nuclear(w) * nuclear(g) for w, g in net.maps("self_attn")),
    "ZeroLM": lambda net: 0.5 * sum(float(w.double().square().sum()) / min(w.shape) for w, _ in net.maps()),
    "NWOT": lambda net: math.log(np.linalg.det(net.kernel())),
    "activation distance": lambda net: float(net.kernel().sum()),
    "W-PCA": lambda net: float(net.components() * net.model.num_parameters()),
    "Fisher": lambda net: sum(
        float((0.5 * (a.detach() * g).square().flatten(0, 1).mean(0)).sum())
        for a, g in zip(net.seen["A"], net.flows, strict=True)
    ),
    "softmax confidence": lambda net: sum(float(S.detach().amax(-1).mean()) for S in net.attentions),
    "attention confidence": lambda net: sum(
        float(H.detach().unflatten(-1, (HEADS, -1)).amax(-1).mean()) for H in net.seen["H"]
    ),
    "LPZero FlexiBERT": lambda net: float(np.mean([float(H.detach().square().mean()) for H in net.seen["H"]])),
    "LPZero FlexiBERT as released": lambda net: float(
        np.mean([float(Q.detach().square().mean()) for Q in net.seen["Q"]])
    ),
    "LPZero GPT-2": lambda net: float(
        np.mean([float(w.square().mean() + g.softmax(1).square().mean()) for w, g in net.maps()])
    ),
}
PASSED_ON = ("GraSP", "Jacobian covariance", "Jacobian cosine")  # read W, G and J alone: gates change nothing there


@pytest.fixture(scope="module")
def library() -> Library:
    return Library()


@pytest.fixture(scope="module")
def visited() -> Visited:
    return Visited.run(SPACE.architecture("x", CONFIG), BATCH)


def test_every_hand_made_proxy_is_computed_or_says_why_not() -> None:
    assert {*GOLDEN, *PASSED_ON, *SILENT} == set(ZOO)


@pytest.mark.parametrize("name", GOLDEN)
def test_the_proxy_equals_what_the_librarys_network_gives(name: str, library: Library, visited: Visited) -> None:
    assert ZOO[name].measure(visited) == pytest.approx(GOLDEN[name](library), rel=2e-4)


@pytest.mark.parametrize("name", PASSED_ON)
def test_a_proxy_of_weights_and_gradients_has_a_value(name: str, visited: Visited) -> None:
    assert math.isfinite(ZOO[name].measure(visited))


@pytest.mark.parametrize("name", SILENT)
def test_synaptic_flow_says_why_it_has_no_value(name: str, visited: Visited) -> None:
    with pytest.raises(NoValue, match="a gated feed-forward layer multiplies two flows"):
        ZOO[name].measure(visited)
