"""Every hand-made proxy equals plain torch written a second time, in zoo_by_hand.py, without hooks, taps or features."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from zoo_by_hand import CONFIGS, ENCODER, GOLDEN, GPT2, Plain, T

from fitness.features.collect import collect
from fitness.features.visit import Visited
from fitness.zoo import ZOO, find
from fitness.zoo.naive import NAIVE, naive_scores
from fitness.zoo.registry import BadZoo, NoValue, hand_made
from fitness.zoo.wpca import principal_components
from models.architecture import Architecture
from models.spaces import SPACES
from models.tokens import TokenBatch
from primitives.grammar import parse
from primitives.scoring import score


@pytest.fixture(scope="module", params=CONFIGS)
def net(request: pytest.FixtureRequest) -> Plain:
    return Plain(request.param)


def test_every_hand_made_proxy_has_a_golden_computation_and_a_source() -> None:
    assert set(GOLDEN) == set(ZOO)
    for proxy in ZOO.values():
        assert proxy.formula and any(c.isdigit() for c in proxy.source) and proxy.version >= 1


@pytest.mark.parametrize("name", ZOO)
def test_the_proxy_equals_plain_torch(name: str, net: Plain) -> None:
    wanted = GOLDEN[name](net)
    assert wanted != 0 and math.isfinite(wanted)
    assert ZOO[name].measure(net.visited()) == pytest.approx(wanted, rel=2e-4)


@pytest.mark.parametrize("name", [name for name, proxy in ZOO.items() if proxy.text])
def test_engine_and_hand_written_code_agree(name: str, net: Plain) -> None:
    network = net.visited()
    engine = score(parse(str(ZOO[name].text)), network.features.blocks)
    assert ZOO[name].measure(network) == pytest.approx(engine, rel=1e-5)  # an engine's score has a resolution


def test_measuring_leaves_no_trace_in_the_model(net: Plain) -> None:
    before = {name: x.clone() for name, x in net.model.state_dict().items()}
    network = net.visited()
    for proxy in ZOO.values():
        proxy.measure(network)
    assert all(torch.equal(x, before[name]) for name, x in net.model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in net.model.parameters())
    assert not [m for m in net.model.modules() if m._forward_hooks or m._forward_pre_hooks]


def test_synaptic_flow_of_a_hundred_blocks_does_not_overflow() -> None:
    config = GPT2 | {"n_layer": 100, "n_head": [2] * 100, "d_inner": [30] * 100}
    model = SPACES["gpt2"].build(SPACES["gpt2"].architecture("deep", config), 0).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1000)
    network = Visited(model, torch.zeros(1, 1, dtype=torch.int64), None)  # type: ignore[arg-type]
    # exp(709) is the end of float64
    assert 709 < ZOO["Synflow"].measure(network) < math.inf and math.isfinite(ZOO["LogSynflow"].measure(network))


def test_a_proxy_that_needs_two_sequences_says_so(net: Plain) -> None:
    batch = TokenBatch.from_passage(1, T)
    with pytest.raises(NoValue, match="raise --batch"):
        ZOO["Jacobian cosine"].measure(Visited(net.model, batch.tokens, collect(net.model, batch)))
    same = TokenBatch(net.tokens[:1].repeat(2, 1), "same")
    with pytest.raises(NoValue, match="switch on the same units"):
        ZOO["NWOT"].measure(Visited(net.model, same.tokens, collect(net.model, same)))


def test_principal_components_of_a_plane_are_two() -> None:
    generator = torch.Generator().manual_seed(0)
    plane = torch.randn(50, 2, generator=generator) @ torch.randn(2, 30, generator=generator) + 7
    assert principal_components(plane) == 2 and principal_components(plane.T.contiguous()) == 2


@pytest.mark.parametrize("name", ["SNIP", "snip", "a[b", ""])
def test_a_name_is_given_once_and_is_no_formula(name: str) -> None:
    before = dict(ZOO)
    with pytest.raises(BadZoo, match="choose another name"):
        hand_made(name, "x", "nobody 2020")(lambda network: 0.0)
    assert before == ZOO


def test_a_misspelt_name_gets_a_suggestion() -> None:
    assert find("gradnorm").name == "GradNorm"
    with pytest.raises(BadZoo, match="did you mean synaptic saliency"):
        find("synaptic salience")


@pytest.mark.parametrize(
    ("space", "build", "config"),
    [
        ("gpt2", "as_trained", GPT2),
        ("flexibert", "as_trained", ENCODER),
        *(
            ("flexibert", "as_published", ENCODER | {"operation": [o, "SDP"]})
            for o in ("SDP", "WMA", "DFT", "DCT", "DSC5", "DSC9")
        ),
    ],
)
def test_flops_are_those_that_torch_counts(space: str, build: str, config: dict) -> None:
    architecture = SPACES[space].architecture("a", config)
    model: Any = SPACES[space].build(architecture, 0, build)
    blocks = model.h if space == "gpt2" else model.blocks
    length = SPACES[space].limits(architecture)[0]
    width = 256 if build == "as_published" else 24
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        for block in blocks:
            block(torch.zeros(1, length, width))
    assert naive_scores("FLOPs", [architecture], build) == [counter.get_total_flops()]


def test_every_naive_baseline_counts_every_space(tiny_architectures: list[Architecture]) -> None:
    for name in NAIVE:
        assert (naive_scores(name, tiny_architectures) > 0).all()
