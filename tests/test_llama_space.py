"""The space llama against transformers: counts, networks, inputs, and what a search makes of its configurations."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRotaryEmbedding

from fitness.features.collect import collect
from models.architecture import BadArchitecture
from models.spaces import SPACES
from models.spaces.llama.configuration import full_ffn
from models.spaces.llama.network import block_of, draw
from models.spaces.variation import crossed, drawn, mutated, region_of, valid
from models.tokens import TokenBatch

SPACE = SPACES["llama"]
MIXED: dict[str, Any] = {
    "n_layer": 3, "d_model": 48, "n_head": [4, 6, 2], "n_kv_head": [2, 6, 1], "d_ffn": [40, 96, 17], "n_token": 300,
    "tgt_len": 64,
}  # fmt: skip


def same_everywhere(heads: int, shared: int, width: int = 48, blocks: int = 3, **more: Any) -> dict[str, Any]:
    """A configuration that LlamaForCausalLM can have."""
    lists = {"n_head": [heads] * blocks, "n_kv_head": [shared] * blocks, "d_ffn": [72] * blocks}
    return {"n_layer": blocks, "d_model": width, "n_token": 300, "tgt_len": 64, **lists, **more}


def hugging_face(config: dict[str, Any], block: int = 0) -> LlamaConfig:
    """The library's configuration of a network whose blocks all are like this one."""
    return LlamaConfig(
        hidden_size=config["d_model"], num_hidden_layers=config["n_layer"], num_attention_heads=config["n_head"][block],
        num_key_value_heads=config["n_kv_head"][block], intermediate_size=config["d_ffn"][block],
        vocab_size=config["n_token"], max_position_embeddings=config["tgt_len"], attn_implementation="eager",
        tie_word_embeddings=config.get("tied", False), rms_norm_eps=config.get("norm_eps", 1e-6),
        rope_parameters={"rope_type": "default", "rope_theta": float(config.get("rope_theta", 10_000))},
    )  # fmt: skip


def built(config: dict[str, Any], seed: int = 0) -> Any:
    return SPACE.build(SPACE.architecture("x", config), seed)


def tokens(length: int = 20) -> torch.Tensor:
    return torch.randint(300, (2, length), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    "config",
    [
        same_everywhere(4, 4), same_everywhere(4, 1, tied=True), same_everywhere(6, 3, blocks=1),
        {"n_layer": 32, "d_model": 4096, "n_head": [32] * 32, "n_kv_head": [32] * 32, "d_ffn": [11008] * 32,
         "n_token": 32000, "tgt_len": 2048},
    ],
    ids=["all heads", "tied", "one block", "LLaMA-7B"],
)  # fmt: skip
def test_counts_are_those_of_the_library(config: dict[str, Any]) -> None:
    with torch.device("meta"):
        theirs = LlamaForCausalLM(hugging_face(config))
    count = SPACE.parameters(SPACE.architecture("x", config))
    assert count.total == theirs.num_parameters()
    blocks = sum(p.numel() for p in theirs.model.layers.parameters())
    assert count.decoder == blocks + config["d_model"]
    assert count.ffn == sum(p.numel() for layer in theirs.model.layers for p in layer.mlp.parameters())


def test_counts_are_those_of_what_is_built() -> None:
    count = SPACE.parameters(SPACE.architecture("x", MIXED))
    sizes = {name: p.numel() for name, p in built(MIXED).named_parameters()}
    assert count.total == sum(sizes.values())
    assert count.attention == sum(n for name, n in sizes.items() if "self_attn" in name)
    assert count.embedding == sizes["model.embed_tokens.weight"]


def test_lonas_heuristic_subnet_has_5_66_billion_parameters() -> None:
    config = {"n_layer": 32, "d_model": 4096, "n_head": [32] * 32, "n_kv_head": [32] * 32, "d_ffn": [8256] * 32,
              "n_token": 32000, "tgt_len": 2048}  # fmt: skip
    assert SPACE.parameters(SPACE.architecture("x", config)).total == 5_656_285_184


@pytest.mark.parametrize(
    "config", [same_everywhere(4, 2), same_everywhere(4, 4, tied=True), same_everywhere(8, 1, rope_theta=500_000),
               same_everywhere(2, 1, norm_eps=1e-5)], ids=["grouped", "tied", "theta", "eps"],
)  # fmt: skip
def test_a_networks_outputs_are_those_of_the_library_bit_for_bit(config: dict[str, Any]) -> None:
    ours, theirs = built(config), LlamaForCausalLM(hugging_face(config)).eval()
    missing = theirs.load_state_dict(ours.state_dict(), strict=False)
    assert not missing.unexpected_keys and missing.missing_keys == (["lm_head.weight"] if config.get("tied") else [])
    seen = tokens()
    assert torch.equal(ours.hidden(seen), theirs.model(seen).last_hidden_state)
    logits = theirs(seen).logits[:, :-1]
    wanted = F.cross_entropy(logits.flatten(0, 1), seen[:, 1:].flatten())
    assert torch.equal(ours.loss(seen), wanted)
    for loss in (ours.loss(seen), wanted):
        loss.backward()
    gradients = {name: p.grad for name, p in theirs.named_parameters()}
    for name, p in ours.named_parameters():  # gradients of shared keys are summed in another order
        torch.testing.assert_close(p.grad, gradients[name], rtol=1e-4, atol=1e-8)


def watched(layer: Any) -> dict[str, torch.Tensor]:
    """Quantities of the library's block on its input: H, A, Q and S."""
    kept: dict[str, torch.Tensor] = {}
    layer.self_attn.o_proj.register_forward_pre_hook(lambda module, given: kept.update(H=given[0]))
    layer.mlp.down_proj.register_forward_pre_hook(lambda module, given: kept.update(A=given[0]))
    layer.self_attn.q_proj.register_forward_hook(lambda module, given, output: kept.update(Q=output))
    layer.self_attn.register_forward_hook(lambda module, given, output: kept.update(S=output[1]))
    return kept


def library_blocks(config: dict[str, Any], model: Any) -> list[dict[str, torch.Tensor]]:
    """Output of the library's blocks, of differing sizes and with the model's weights, on the tokens."""
    x, made = model.embed(tokens()).detach(), []
    mask = torch.full((20, 20), torch.finfo(torch.float32).min).triu(1)[None, None]
    for i, own in enumerate(model.model.layers):
        sizes = hugging_face(config, i)
        layer = LlamaDecoderLayer(sizes, 0).eval()
        layer.load_state_dict(own.state_dict())
        kept = watched(layer)
        turn = LlamaRotaryEmbedding(sizes)(x, torch.arange(20)[None])
        x = layer(x, attention_mask=mask, position_embeddings=turn)
        made.append(kept)
    return made


def test_inputs_of_blocks_of_differing_sizes_are_those_of_the_librarys_blocks() -> None:
    model = built(MIXED)
    found = collect(model, TokenBatch(tokens(), "x")).blocks
    for block, kept in zip(found, library_blocks(MIXED, model), strict=True):
        for name in ("A", "H", "Q"):
            assert torch.equal(block[name][0], kept[name].flatten(0, 1).detach()), name
        assert torch.equal(block["S"][0], kept["S"].flatten(0, 1))
    assert [block["A"][0].shape[1] for block in found] == [40, 96, 17]
    assert [block["S"][0].shape for block in found] == [(8, 20, 20), (12, 20, 20), (4, 20, 20)]


def test_weights_gradients_and_the_jacobian_are_named_parts_of_the_network() -> None:
    model = built(MIXED)
    found = collect(model, TokenBatch(tokens(), "x")).blocks
    layers = model.model.layers
    inputs: list[torch.Tensor] = []
    hooks = [layer.register_forward_pre_hook(lambda m, given: inputs.append(given[0])) for layer in layers]
    model.loss(tokens()).backward(inputs=[*model.parameters()])
    for i, (block, layer) in enumerate(zip(found, layers, strict=True)):
        a, f = layer.self_attn, layer.mlp
        maps = {"attn": (a.q_proj, a.k_proj, a.v_proj, a.o_proj), "ffn": (f.gate_proj, f.up_proj, f.down_proj)}
        for role, modules in maps.items():
            for letter, tensors in {"W": [m.weight for m in modules], "G": [m.weight.grad for m in modules]}.items():
                pairs = zip(block[f"{letter}.{role}"], tensors, strict=True)
                assert all(torch.equal(x, y) for x, y in pairs), (i, letter, role)
        assert len(block["W"]) == len(block["G"]) == 7
    for hook in hooks:
        hook.remove()
    (J,) = torch.autograd.grad(_from(model, 1, inputs[1]), inputs[1])
    assert torch.allclose(J.flatten(0, 1), found[1]["J"][0], rtol=1e-4, atol=1e-9)


def _from(model: Any, block: int, x: torch.Tensor) -> torch.Tensor:
    """The loss from the input of a block on."""
    for layer in model.model.layers[block:]:
        x = layer(x)
    return model.predicted(model.model.norm(x), tokens())


def test_layer_norms_with_gains_alone_take_the_place_of_root_mean_squares() -> None:
    model = built(MIXED | {"norm": "layer", "norm_eps": 1e-5})
    norm, x = model.model.norm, torch.randn(2, 5, 48)
    norm.weight.data.normal_()
    wanted = (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, unbiased=False) + 1e-5).sqrt() * norm.weight
    torch.testing.assert_close(norm(x), wanted)
    assert SPACE.parameters(SPACE.architecture("x", MIXED | {"norm": "layer"})).total == sum(
        p.numel() for p in model.parameters()
    )


def test_heads_of_a_width_that_does_not_divide_are_rounded_down() -> None:
    config = same_everywhere(12, 12, width=488, blocks=1)
    attention = built(config).model.layers[0].self_attn
    assert attention.q_proj.weight.shape == (480, 488) and attention.o_proj.weight.shape == (488, 480)
    assert SPACE.parameters(SPACE.architecture("x", config)).attention == 4 * 488 * 12 * 40


def test_a_block_drawn_alone_has_the_weights_that_it_has_in_the_network() -> None:
    architecture = SPACE.architecture("x", MIXED)
    whole = built(MIXED, 5).model.layers[1]
    alone = block_of(architecture.config, 1)
    draw(alone, architecture.seed(5), "model.layers.1.")
    pairs = zip(alone.named_parameters(), whole.named_parameters(), strict=True)
    assert all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


def test_building_depends_on_nothing_but_its_arguments() -> None:
    state = torch.random.get_rng_state()
    first, second, other = (built(MIXED, seed).state_dict() for seed in (7, 7, 8))
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(x, second[name]) for name, x in first.items())
    assert not torch.equal(first["lm_head.weight"], other["lm_head.weight"])
    spread = torch.cat([x.flatten() for x in first.values() if x.dim() > 1]).std()
    assert float(spread) == pytest.approx(0.02, rel=0.02) and bool((first["model.norm.weight"] == 1).all())


def test_the_weights_of_a_seed_are_the_same_for_ever() -> None:
    state = built(MIXED, 3).state_dict()
    assert float(state["lm_head.weight"].double().sum()) == pytest.approx(-4.473094578807263, abs=1e-5)


def test_a_later_token_changes_nothing_before_it() -> None:
    model, seen = built(MIXED), tokens()
    changed = seen.clone()
    changed[:, -1] = (changed[:, -1] + 1) % 300
    before, after = model.hidden(seen), model.hidden(changed)
    assert torch.equal(before[:, :-1], after[:, :-1]) and not torch.equal(before[:, -1], after[:, -1])


def test_multiply_adds_are_what_torch_counts() -> None:
    model: Any = built(MIXED)
    x = torch.zeros(1, 24, 48)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        for layer in model.model.layers:
            layer(x)
    assert SPACE.multiply_adds(SPACE.architecture("x", MIXED), 24) == counter.get_total_flops() // 2


@pytest.mark.parametrize(("width", "ffn"), [(24, 64), (48, 128), (64, 192), (4096, 10944)])
def test_the_full_width_of_a_layer_is_two_thirds_of_four_widths(width: int, ffn: int) -> None:
    assert full_ffn(width) == ffn


def test_the_narrowest_network_has_width_four() -> None:
    one = {name: [1] for name in ("n_head", "n_kv_head", "d_ffn")}
    assert SPACE.check(MIXED | one | {"n_layer": 1, "d_model": 4})["d_model"] == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_layer": 0}, "n_layer: got 0, wanted a whole number from 1 to 128"),
        ({"n_layer": 2}, "n_head: got 3 entries, wanted a list of 2, one per block"),
        ({"n_layer": 10**9}, "n_layer: got 1000000000"),
        ({"d_model": 48.0}, "d_model: got 48.0, wanted a whole number"),
        ({"d_model": 16385}, "d_model: got 16385"),
        ({"d_model": 3}, "d_model: got 3, wanted a whole number from 4 to 16384"),
        ({"n_head": [4, 6, 5]}, "n_head[2]: got 5, so heads of 9 features at d_model = 48, wanted an even number"),
        ({"n_head": [4, 6, 96]}, "n_head[2]: got 96, so heads of 0 features"),
        ({"n_head": [4, 6, True]}, "n_head[2]: got True, wanted a whole number"),
        ({"n_kv_head": [3, 6, 1]}, "n_kv_head[0]: got 3, wanted a divisor of n_head[0] = 4"),
        ({"n_kv_head": [8, 6, 1]}, "n_kv_head[0]: got 8, wanted a divisor"),
        ({"n_kv_head": 1}, "n_kv_head: got 1, wanted a list of 3"),
        ({"d_ffn": [40, -1, 17]}, "d_ffn[1]: got -1"),
        ({"d_ffn": [40, 65537, 17]}, "d_ffn[1]: got 65537"),
        ({"d_ffn": None}, "d_ffn: got None"),
        ({"n_token": 1}, "n_token: got 1"),
        ({"tgt_len": 0}, "tgt_len: got 0"),
        ({"tied": 1}, "tied: got 1, wanted one of False, True"),
        ({"norm": "batch"}, "norm: got 'batch', wanted one of rms, layer"),
        ({"norm_eps": 0.0}, "norm_eps: got 0.0"),
        ({"rope_scaling": {}}, "rope_scaling: unknown field"),
    ],
)
def test_every_bad_field_is_named(change: dict[str, Any], message: str) -> None:
    SPACE.check(MIXED)
    with pytest.raises(BadArchitecture) as caught:
        SPACE.check(MIXED | change)
    assert message in str(caught.value)


def test_what_is_left_out_is_llamas_and_the_same_network() -> None:
    said = {"tied": False, "norm": "rms", "norm_eps": 1e-6, "rope_theta": 10_000}
    assert SPACE.architecture("a", MIXED) == SPACE.architecture("b", MIXED | said)
    assert SPACE.architecture("a", MIXED) != SPACE.architecture("a", MIXED | {"norm": "layer"})


def test_the_space_holds_as_many_as_can_be_drawn() -> None:
    per_block = 4 * 2 * 5
    assert SPACE.count() == 4 * sum(per_block**n for n in range(2, 17))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_draws_changes_and_crossings_of_a_region_can_be_built(seed: int) -> None:
    rng = random.Random(seed)
    parents = [SPACE.architecture(str(i), SPACE.sample(rng)) for i in range(4)]
    region = region_of(parents, SPACE.fields)  # type: ignore[arg-type]
    makers: tuple[Callable[[], dict[str, Any]], ...] = (
        lambda: drawn(region, rng), lambda: mutated(region, parents[0].config, rng),
        lambda: crossed(region, parents[1].config, parents[2].config, rng),
    )  # fmt: skip
    for make in makers:
        config = valid(make, SPACE.check)
        pairs = set(zip(config["n_head"], config["n_kv_head"], strict=True))
        assert pairs <= set(region.joint) and set(config["d_ffn"]) <= set(region.values["d_ffn"])
        assert config["n_layer"] == len(config["d_ffn"]) and config["n_layer"] in region.depths


def test_a_draw_of_many_blocks_keeps_heads_and_their_sharing_together() -> None:
    heads = [4, 8, 12, 16]
    deep = [same_everywhere(h, h, width=384, blocks=24) for h in heads]
    region = region_of([SPACE.architecture(str(i), c) for i, c in enumerate(deep)], SPACE.fields)  # type: ignore[arg-type]
    config = SPACE.check(drawn(region, random.Random(0)))
    assert config["n_head"] == config["n_kv_head"] and len(set(config["n_head"])) == 4


@pytest.mark.parametrize(("heads", "kept"), [((4, 8), True), ((8, 8), True), ((4, 4), False), ((4, 0), False)])
def test_a_width_of_heads_is_said_where_it_is_not_the_usual_one(heads: tuple[int, int], kept: bool) -> None:
    config = {"n_layer": 2, "d_model": 32, "n_head": heads, "n_kv_head": heads, "d_ffn": (16, 16), "head_dim": 8}
    assert ("head_dim" in SPACES["llama"].check({**config, "n_token": 9, "tgt_len": 8})) is kept
