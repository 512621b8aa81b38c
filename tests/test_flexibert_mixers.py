"""FlexiBERT's token mixers, against other people's code."""

import numpy as np
import pytest
import torch
from scipy.fft import dctn
from transformers import BertConfig, ConvBertConfig
from transformers.models.bert.modeling_bert import BertLayer
from transformers.models.convbert.modeling_convbert import ConvBertSelfAttention

from models.spaces.flexibert.blocks import EncoderBlock
from models.spaces.flexibert.plans import BlockPlan

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
