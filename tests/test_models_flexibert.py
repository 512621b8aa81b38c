"""The `flexibert` space, and its two builds."""

import random

import pytest
import torch

from models.spaces.flexibert.blocks import Encoder
from models.spaces.flexibert.plans import OPERATIONS, BlockPlan
from models.spaces.flexibert.space import FlexibertSpace

SPACE = FlexibertSpace()
CONFIG = {
    "hidden_size": 128,
    "operation": ["SDP", "DSC9"],
    "heads": [2, 4],
    "ffn_dim": [512, 1024],
    "ffn_stack": [1, 3],
}
TOKENS = torch.randint(256, (2, 16), generator=torch.Generator().manual_seed(0))


def sampled(seed, n=6):
    rng = random.Random(seed)
    return [SPACE.architecture(str(i), SPACE.sample(rng)) for i in range(n)]


def one_of_each():
    """Two architectures that hold all six operations."""
    rest = {"hidden_size": 128, "heads": [2, 4, 4], "ffn_dim": [512, 1024, 512], "ffn_stack": [3, 1, 3]}
    halves = OPERATIONS[:3], OPERATIONS[3:]
    return [SPACE.architecture(half[0], {"operation": half, **rest}) for half in halves]


# The networks


@pytest.mark.parametrize("build", SPACE.builds)
def test_parameter_counts_equal_the_built_network(build):
    for architecture in [*sampled(2), *one_of_each()]:
        with torch.device("meta"):
            model = Encoder(SPACE.plans(architecture.config, build))
        count = SPACE.parameters(architecture, build)
        blocks = sum(p.numel() for block in model.blocks for p in block.parameters())
        assert (count.decoder, count.total) == (blocks, sum(p.numel() for p in model.parameters()))
        assert count.embedding == count.total - count.decoder


def test_as_trained_reads_width_and_ffn_but_not_the_operation():
    plans = SPACE.plans(SPACE.check(CONFIG))
    assert plans == (BlockPlan(128, "SDP", 2, (512,)), BlockPlan(128, "SDP", 4, (512, 1024, 1024)))


def test_as_published_reads_the_operation_but_not_width_and_ffn_dim():
    plans = SPACE.plans(SPACE.check(CONFIG), "as_published")
    assert plans == (BlockPlan(256, "SDP", 2, (1024,)), BlockPlan(256, "DSC9", 4, (1024, 1024, 1024)))


@pytest.mark.parametrize("build", SPACE.builds)
def test_one_forward_and_backward_pass_is_finite(build):
    for architecture in one_of_each():
        model = SPACE.build(architecture, 0, build).eval()
        assert model.hidden(TOKENS).shape == (2, 16, 256 if build == "as_published" else 128)
        model.loss(TOKENS).backward()
        assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("build", SPACE.builds)
def test_every_matrix_of_a_block_is_tapped_once_with_its_role(build):
    for architecture in one_of_each():
        model = SPACE.build(architecture, 0, build)
        for taps, block in zip(model.taps(), model.blocks, strict=True):
            tapped = [id(weight.parameter) for weight in taps.weights]
            assert sorted(tapped) == sorted(id(p) for p in block.parameters() if p.dim() > 1)
            ffn = [id(layer.weight) for layer in (*block.ffn, block.ffn_out)]
            assert ffn == [id(weight.parameter) for weight in taps.weights if weight.role == "ffn"]
            assert {weight.role for weight in taps.weights} == {"attn", "ffn"}


def passed(model, modules):
    """(inputs, output) of each module in one forward pass."""
    seen = {}

    def record(module, inputs, output):
        seen[module] = inputs, output

    hooks = [module.register_forward_hook(record) for module in modules]
    model.hidden(TOKENS)
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize("build", SPACE.builds)
def test_taps_find_activations_heads_and_attention(build):
    for architecture in one_of_each():
        model = SPACE.build(architecture, 0, build).eval()
        D = 256 if build == "as_published" else 128
        operations, stacks = architecture.config["operation"], architecture.config["ffn_stack"]
        for taps, operation, stack in zip(model.taps(), operations, stacks, strict=True):
            seen = passed(model, (taps.block, *taps.activations, *taps.heads, *taps.attentions))
            assert len(taps.activations) == stack
            assert all(seen[module][1].min() > -0.2 for module in taps.activations)  # GELU's minimum is -0.17
            assert seen[taps.block][0][0].shape == (2, 16, D)
            assert [seen[module][0][0].shape for module in taps.heads] == [(2, 16, D)]
            transforms = build == "as_published" and operation in ("DFT", "DCT")
            assert len(taps.attentions) == (0 if transforms else 1)
            for module in taps.attentions:
                S = seen[module][1][1]
                assert S.shape[0] == 2 and S.shape[2:] == (16, 16)
                assert torch.allclose(S.sum(-1), torch.ones(S.shape[:-1]))


def test_projections_are_the_maps_into_the_heads():
    numbers = {"SDP": 3, "WMA": 4, "DFT": 1, "DCT": 1, "DSC5": 3, "DSC9": 3}
    for architecture in one_of_each():
        maps = SPACE.build(architecture, 0, "as_published").projections()
        wanted = [numbers[entry] for entry in architecture.config["operation"]]
        assert [len(block) for block in maps] == wanted


@pytest.mark.parametrize("build", SPACE.builds)
def test_weights_depend_on_architecture_and_seed_and_on_nothing_else(build):
    first, second = sampled(3, 2)
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    model = SPACE.build(first, 0, build)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(2)
    again = SPACE.build(first, 0, build)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    assert not torch.equal(model.words, SPACE.build(first, 1, build).words)
    assert not torch.equal(model.words, SPACE.build(second, 0, build).words)
    assert not list(model.buffers())


@pytest.mark.parametrize("build", SPACE.builds)
def test_networks_start_like_bert(build):
    model = SPACE.build(SPACE.architecture("a", {**CONFIG, "hidden_size": 256}), 0, build)
    for matrix in (model.words[1:], model.project.weight, model.blocks[0].ffn[0].weight):
        assert matrix.std().item() == pytest.approx(0.02, rel=0.03)
    assert not model.words[0].any()


def test_sequences_beyond_the_position_table_are_refused():
    model = SPACE.build(SPACE.architecture("a", CONFIG), 0)
    with pytest.raises(ValueError, match="got sequences of 513, wanted at most 512"):
        model.hidden(torch.zeros(1, 513, dtype=torch.int64))


def largest_gradients(build: str) -> tuple[float, float]:
    """In float32 and in float64."""
    model = SPACE.build(one_of_each()[0], 0, build).eval()
    matrices = [weight.parameter for taps in model.taps() for weight in taps.weights]
    largest = []
    for precise in (model, model.double()):
        precise.zero_grad()
        precise.loss(TOKENS).backward()
        largest.append(max(p.grad.abs().max().item() for p in matrices))
    return largest[0], largest[1]


def test_the_published_loss_is_constant_so_its_gradient_is_rounding():
    single, double = largest_gradients("as_published")
    assert single < 1e-5 and double < 1e-12


def test_the_projected_loss_has_a_gradient_that_is_not_rounding():
    single, double = largest_gradients("as_trained")
    assert single > 1e-2 and single == pytest.approx(double, rel=1e-3)
