"""The gpt2 space: counts equal what is built and what was published, every bad field is named, the model is causal."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
import yaml
from conftest import tiny_config
from transformers import GPT2Config
from transformers.models.gpt2.modeling_gpt2 import GPT2Block

from models.architecture import Architecture, BadArchitecture
from models.benchmarks.layouts import read_benchmark
from models.spaces import SPACES
from models.spaces.gpt2.blocks import Block
from models.spaces.gpt2.network import Gpt2Model

SPACE = SPACES["gpt2"]


def test_counts_equal_the_published_ones_for_200_of_200(published: Path) -> None:
    benchmark = read_benchmark(published / "gpt2-wt103")
    with (published / "gpt2-wt103" / "params_summary.yaml").open() as file:
        summary = yaml.safe_load(file)
    assert len(benchmark) == 200
    for architecture in benchmark.architectures:
        count, wanted = SPACE.parameters(architecture), summary[architecture.id]
        assert (count.attention, count.ffn, count.decoder, count.embedding, count.total) == tuple(
            wanted[key] for key in ("Attn", "FFN", "nonembedding", "AdaEmb", "total")
        ), architecture.id


@pytest.mark.parametrize("seed", range(12))
def test_counts_equal_the_built_module(seed: int) -> None:
    rng = random.Random(seed)
    config = SPACE.sample(rng) if seed % 2 else {**tiny_config(rng), "d_embed": 16, "d_model": 16, "div_val": 1}
    architecture = SPACE.architecture("x", config)
    with torch.device("meta"):
        model = Gpt2Model(architecture.config)
    assert SPACE.parameters(architecture).total == sum(p.numel() for p in model.parameters())
    blocks = sum(p.numel() for block in model.h for p in block.parameters()) + 2 * config["d_model"]
    assert SPACE.parameters(architecture).decoder == blocks
    assert not list(model.buffers())


def test_the_published_space_is_counted() -> None:
    assert SPACE.count() == 36 * sum((3 * 1537) ** n for n in range(2, 17))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_layer": 0}, "n_layer: got 0, wanted a whole number from 1"),
        ({"n_layer": True}, "n_layer: got True"),
        ({"d_model": "64"}, "d_model: got '64'"),
        ({"n_head": [2, 3]}, "n_head[1]: got 3, wanted a divisor of d_model"),
        ({"n_head": [2]}, "n_head: got 1 entries, wanted a list of 2"),
        ({"d_inner": [5, -1]}, "d_inner[1]: got -1"),
        ({"d_inner": None}, "d_inner: got None"),
        ({"div_val": 3}, "div_val: got 3, wanted one of 1, 2, 4"),
        ({"cutoffs": [100, 50]}, "wanted increasing numbers"),
        ({"cutoffs": [1000]}, "cutoffs: got [1000], wanted a list of token numbers below 300"),
        ({"n_token": 1.5}, "n_token: got 1.5"),
        ({"n_layer": 2.0}, "n_layer: got 2.0, wanted a whole number"),
        ({"div_val": 1.0}, "div_val: got 1.0, wanted one of 1, 2, 4"),
        ({"div_val": True}, "div_val: got True, wanted one of 1, 2, 4"),
        ({"n_head": [2, 1.0]}, "n_head[1]: got 1.0, wanted a whole number"),
        ({"d_inner": [True, 9]}, "d_inner[0]: got True, wanted a whole number"),
        ({"cutoffs": [100.0]}, "cutoffs: got [100.0], wanted a list of token numbers"),
        ({"colour": 1}, "colour: unknown field"),
    ],
)
def test_every_bad_field_is_named(change: dict, message: str) -> None:
    good = {**tiny_config(random.Random(0)), "n_layer": 2, "n_head": [2, 2], "d_inner": [9, 9]}
    SPACE.check(good)
    with pytest.raises(BadArchitecture) as caught:
        SPACE.check({**good, **change})
    assert message in str(caught.value)


def test_identity_is_the_configuration_and_not_the_label() -> None:
    config = tiny_config(random.Random(1))
    a, b = SPACE.architecture("a", config), SPACE.architecture("b", config)
    assert a == b and a.seed(0) == b.seed(0) != a.seed(1)
    assert a != SPACE.architecture("a", {**config, "tgt_len": 65})
    with pytest.raises(TypeError):
        a.config["n_layer"] = 3  # type: ignore[index]


def test_building_depends_on_nothing_but_its_arguments(tiny_architectures: list[Architecture]) -> None:
    torch.manual_seed(1)
    first = SPACE.build(tiny_architectures[0], 7).state_dict()
    torch.manual_seed(2)
    state = torch.random.get_rng_state()
    second = SPACE.build(tiny_architectures[0], 7).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(state, torch.random.get_rng_state())
    assert not torch.equal(first["positions"], SPACE.build(tiny_architectures[0], 8).state_dict()["positions"])


def test_a_later_token_changes_nothing_before_it(tiny_architectures: list[Architecture]) -> None:
    model = SPACE.build(tiny_architectures[3], 0).eval()
    tokens = torch.randint(0, 300, (1, 12), generator=torch.Generator().manual_seed(0))
    changed = tokens.clone()
    changed[0, -1] = (changed[0, -1] + 1) % 300
    before, after = model.hidden(tokens), model.hidden(changed)  # type: ignore[operator]
    assert torch.equal(before[0, :-1], after[0, :-1]) and not torch.equal(before[0, -1], after[0, -1])


@pytest.mark.parametrize(("heads", "inner"), [(1, 96), (4, 41)])
def test_a_block_is_that_of_hugging_face_bit_for_bit(heads: int, inner: int) -> None:
    generator = torch.Generator().manual_seed(5)
    own = Block(32, heads, inner)
    for p in own.parameters():
        p.data.normal_(0, 0.3, generator=generator)
    config = GPT2Config(
        n_embd=32, n_head=heads, n_inner=inner, n_layer=1, activation_function="gelu_pytorch_tanh",
        attn_implementation="eager",
    )  # fmt: skip
    theirs = GPT2Block(config, layer_idx=0).eval()
    theirs.load_state_dict(own.state_dict())
    assert [name for name, _ in own.named_parameters()] == [name for name, _ in theirs.named_parameters()]
    x = torch.randn(2, 9, 32, generator=generator, requires_grad=True)
    mask = torch.full((9, 9), torch.finfo(torch.float32).min).triu(1)
    ours, wanted = own(x, mask), theirs(x, attention_mask=mask)
    assert torch.equal(ours, wanted)
    assert torch.equal(own.attn(x, mask)[1], theirs.attn(x, attention_mask=mask)[1])
    gradients = [
        torch.autograd.grad(y.square().sum(), [x, *m.parameters()]) for y, m in ((ours, own), (wanted, theirs))
    ]
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize("div_val", [1, 2])
def test_adaptive_softmax_is_a_distribution_over_all_tokens(div_val: int) -> None:
    config = {**tiny_config(random.Random(2)), "div_val": div_val}
    model = SPACE.build(SPACE.architecture("x", config), 0)
    for p in model.parameters():
        p.data += 0.3 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1))
    x = torch.randn(1, config["d_model"]).expand(300, -1)
    assert torch.exp(-model.adaptive_nll(x, torch.arange(300))).sum().item() == pytest.approx(1, abs=1e-4)  # type: ignore[operator]


def test_a_network_that_was_used_is_drawn_anew() -> None:
    architecture = SPACES["gpt2"].architecture("x", tiny_config(random.Random(2)))
    used, fresh = Gpt2Model(architecture.config), Gpt2Model(architecture.config)
    for parameter in used.parameters():
        parameter.data.fill_(5.0)
    for model in (used, fresh):
        model.initialise(torch.Generator().manual_seed(3))
    assert all(torch.equal(x, y) for x, y in zip(used.parameters(), fresh.parameters(), strict=True))
    assert used.ln_f.weight.eq(1).all() and used.ln_f.bias.eq(0).all()
