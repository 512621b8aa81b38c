"""The `flexibert` space, and its two builds."""

import json
import random

import numpy as np
import pytest
import torch
from scipy.fft import dctn
from transformers import BertConfig, ConvBertConfig
from transformers.models.bert.modeling_bert import BertLayer
from transformers.models.convbert.modeling_convbert import ConvBertSelfAttention

from models.architecture import BadArchitecture
from models.spaces import SPACES
from models.spaces.flexibert.blocks import Encoder, EncoderBlock
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


# The space


def test_the_space_is_registered_under_its_name():
    assert isinstance(SPACES["flexibert"], FlexibertSpace)


def test_the_published_space_has_10621440_architectures():
    assert SPACE.count() == 10_621_440


def test_sampling_is_valid_reproducible_and_reaches_every_choice():
    configs = [SPACE.sample(random.Random(seed)) for seed in range(60)]
    assert configs == [SPACE.sample(random.Random(seed)) for seed in range(60)]
    assert all(SPACE.check(config) == config for config in configs)
    assert {config["hidden_size"] for config in configs} == {128, 256}
    assert {len(config["operation"]) for config in configs} == {2, 4}
    assert {entry for config in configs for entry in config["operation"]} == set(OPERATIONS)


def test_a_configuration_survives_json_and_keeps_its_digest():
    for architecture in sampled(1):
        again = json.loads(json.dumps(dict(architecture.config)))
        assert SPACE.architecture("again", again) == architecture


def test_inert_fields_still_tell_architectures_apart():
    first = SPACE.architecture("a", CONFIG)
    second = SPACE.architecture("b", {**CONFIG, "operation": ["WMA", "DSC9"]})
    third = SPACE.architecture("c", {**CONFIG, "ffn_dim": [1024, 1024]})
    assert len({first, second, third}) == 3


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"hidden_size": 130.0}, "hidden_size"),
        ({"hidden_size": None}, "hidden_size"),
        ({"operation": []}, "operation"),
        ({"operation": "SDP"}, "operation"),
        ({"operation": ["SDP", "DSC7"]}, r"operation\[1\].*DSC7.*wanted one of SDP, WMA"),
        ({"operation": [["SDP"], "SDP"]}, r"operation\[0\]"),
        ({"heads": [2]}, "heads: got 1 entries, wanted a list of 2"),
        ({"heads": [2, 3]}, r"heads\[1\]: got 3, wanted a divisor of hidden_size = 128"),
        ({"heads": [2, True]}, r"heads\[1\]: got True, wanted a whole number"),
        ({"heads": [2.0, 4]}, r"heads\[0\]: got 2\.0, wanted a whole number"),
        ({"ffn_stack": [1.0, 3]}, r"ffn_stack\[0\]: got 1\.0, wanted a whole number"),
        ({"operation": [True, "SDP"]}, r"operation\[0\]: got True, wanted one of SDP"),
        ({"ffn_dim": [512, 0]}, r"ffn_dim\[1\]"),
        ({"ffn_stack": [1, 99]}, r"ffn_stack\[1\]"),
        ({"dropout": 0.1}, "dropout: unknown field"),
    ],
)
def test_a_bad_field_is_named(change, named):
    with pytest.raises(BadArchitecture, match=named):
        SPACE.check({**CONFIG, **change})


def test_a_missing_field_is_named():
    for field in CONFIG:
        with pytest.raises(BadArchitecture, match=field):
            SPACE.check({key: value for key, value in CONFIG.items() if key != field})


def test_heads_that_do_not_fit_width_256_are_refused_by_the_published_build_only():
    odd = SPACE.architecture("odd", {**CONFIG, "hidden_size": 96, "heads": [2, 3]})
    assert SPACE.parameters(odd).total > 0
    with pytest.raises(BadArchitecture, match=r"heads\[1\]: got 3, wanted an even divisor of 256"):
        SPACE.parameters(odd, "as_published")


def test_an_unknown_build_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"as_specified.*as_trained, as_published"):
        SPACE.build(SPACE.architecture("a", CONFIG), 0, "as_specified")


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


# The token mixers, against other people's code


def filled(module):
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0.0, 0.2)
    return module.eval()


def copied(target, source):
    with torch.no_grad():
        target.copy_(source.reshape(target.shape))


X = torch.randn(2, 12, 32, generator=torch.Generator().manual_seed(0))


def test_a_scaled_dot_product_block_is_a_bert_layer():
    block = filled(EncoderBlock(BlockPlan(32, "SDP", 4, (48,))))
    sizes = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 48}
    layer = BertLayer(BertConfig(**sizes, attn_implementation="eager")).eval()
    attention = layer.attention
    pairs = (
        (attention.self.query, block.mixer.query),
        (attention.self.key, block.mixer.key),
        (attention.self.value, block.mixer.value),
        (attention.output.dense, block.project),
        (attention.output.LayerNorm, block.mixer_norm),
        (layer.intermediate.dense, block.ffn[0]),
        (layer.output.dense, block.ffn_out),
        (layer.output.LayerNorm, block.ffn_norm),
    )
    for theirs, ours in pairs:
        theirs.load_state_dict(ours.state_dict())
    output = layer(X)
    assert torch.allclose(output[0] if isinstance(output, tuple) else output, block(X), atol=1e-5)


def test_weighted_attention_multiplies_the_queries_once_more():
    weighted, plain = (
        EncoderBlock(BlockPlan(32, "WMA", 4, (48,))).mixer,
        EncoderBlock(BlockPlan(32, "SDP", 4, (48,))).mixer,
    )
    filled(weighted)
    plain.load_state_dict(weighted.state_dict(), strict=False)
    copied(plain.query.weight, weighted.weight.weight @ weighted.query.weight)
    copied(plain.query.bias, weighted.weight.weight @ weighted.query.bias)
    assert torch.allclose(weighted(X)[0], plain(X)[0], atol=1e-5)


@pytest.mark.parametrize("operation", ["DSC5", "DSC9"])
def test_a_convolution_block_mixes_like_convbert(operation):
    mixer = filled(EncoderBlock(BlockPlan(32, operation, 4, (48,))).mixer)
    config = ConvBertConfig(
        hidden_size=32, num_attention_heads=4, head_ratio=2, conv_kernel_size=mixer.kernel, embedding_size=32
    )
    theirs = ConvBertSelfAttention(config).eval()
    for name in ("query", "key", "value"):
        getattr(theirs, name).load_state_dict(getattr(mixer, name).state_dict())
    theirs.conv_kernel_layer.load_state_dict(mixer.span_kernel.state_dict())
    theirs.conv_out_layer.load_state_dict(mixer.span_value.state_dict())
    copied(theirs.key_conv_attn_layer.depthwise.weight, mixer.depthwise)
    copied(theirs.key_conv_attn_layer.pointwise.weight, mixer.pointwise.weight)
    copied(theirs.key_conv_attn_layer.bias, mixer.pointwise.bias)
    mixed, S = mixer(X)
    assert torch.allclose(theirs(X)[0], mixed, atol=1e-5)
    assert S.shape == (2, 2, 12, 12)


@pytest.mark.parametrize(
    ("operation", "transform"),
    [
        ("DFT", lambda heads: np.fft.fft2(heads, axes=(1, 3)).real),
        ("DCT", lambda heads: dctn(heads, type=2, axes=(1, 3))),
    ],
)
def test_a_transform_block_mixes_like_numpy_and_scipy(operation, transform):
    mixer = filled(EncoderBlock(BlockPlan(32, operation, 4, (48,))).mixer)
    heads = mixer.input(X).detach().numpy().reshape(2, 12, 4, 8)
    mixed, S = mixer(X)
    assert S is None
    assert np.allclose(mixed.detach().numpy(), transform(heads).reshape(2, 12, 32), atol=1e-3)
