"""The `hf` space: every family has a tap per layer, and the same network has the same inputs as in the `gpt2` space."""

from __future__ import annotations

import copy
import json
import math
import pickle
from importlib.metadata import PackageNotFoundError
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from fitness.features.bank import FeatureKey, sketch_features
from fitness.features.collect import Features, collect
from fitness.features.visit import Visited
from fitness.zoo import ZOO
from fitness.zoo.measuring import hand_made_figures
from models.architecture import Architecture, BadArchitecture
from models.spaces import SPACES
from models.tokens import TokenBatch
from primitives.inputs import INPUTS

SPACE = SPACES["hf"]
SIZE: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48,
                        "vocab_size": 300, "max_position_embeddings": 64, "pad_token_id": 0}  # fmt: skip
GROUPED = SIZE | {"num_key_value_heads": 2}
BUILT_IN = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "vocab_size": 300}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": GROUPED, "mistral": GROUPED, "phi3": GROUPED, "olmo2": GROUPED, "starcoder2": GROUPED,
    "qwen3": GROUPED | {"head_dim": 16}, "gemma3_text": GROUPED | {"head_dim": 8},
    "gpt2": {"n_embd": 32, "n_layer": 3, "n_head": 4, "vocab_size": 300, "n_positions": 64},
    "gpt_neox": SIZE, "opt": SIZE | {"ffn_dim": 48, "word_embed_proj_dim": 32},
    "bert": SIZE, "roberta": SIZE, "electra": SIZE | {"embedding_size": 16}, "modernbert": SIZE,
    "distilbert": {"dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 48, "vocab_size": 300},
    "falcon": BUILT_IN | {"ffn_hidden_size": 48},
    "gptj": {"n_embd": 32, "n_layer": 3, "n_head": 4, "rotary_dim": 4, "vocab_size": 300, "n_positions": 64},
    "gpt_neo": {"hidden_size": 32, "num_layers": 3, "num_heads": 4, "vocab_size": 300,
                "attention_types": [[["global", "local", "local"], 1]], "max_position_embeddings": 64},
}  # fmt: skip
ENCODERS = ("bert", "roberta", "electra", "modernbert", "distilbert")
GATED = ("llama", "mistral", "qwen3", "gemma3_text", "phi3", "olmo2", "modernbert")
FUSED = ("gpt2", "gpt_neox", "phi3", "modernbert", "falcon")
INNER = {"gpt2": 128, "gptj": 128, "gpt_neo": 128}
REFUSED = {
    "bloom": "bloom: got 0 attention taps, wanted 3, one per layer",
    "mpt": "mpt: got 0 attention taps, wanted 3, one per layer",
    "deberta-v2": "deberta-v2: got 0 attention taps, wanted 3, one per layer",
    "albert": "albert: got 1 attention taps, wanted 3, one per layer with weights of its own",
    "mixtral": r"mixtral: model.layers.0.*got weights .* of no linear map",
    "t5": "t5: got an encoder with a decoder",
}
OWN_SIZES: dict[str, dict[str, Any]] = {
    "mpt": {"n_layers": 3, "d_model": 32, "n_heads": 4, "vocab_size": 300},
    "bloom": {"n_layer": 3, "hidden_size": 32, "n_head": 4, "vocab_size": 300},
    "t5": {"num_layers": 3, "d_model": 32, "num_heads": 4, "d_ff": 48, "vocab_size": 300},
}
BATCH = TokenBatch.from_passage(2, 24)


def architecture(family: str, **more: Any) -> Architecture:
    return SPACE.architecture(family, {"model_type": family, **FAMILIES.get(family, GROUPED), **more})


@pytest.fixture(scope="module")
def features() -> dict[str, Features]:
    return {family: collect(SPACE.build(architecture(family), 0), BATCH) for family in FAMILIES}


@pytest.mark.parametrize("family", FAMILIES)
def test_there_is_a_tap_for_every_layer_and_every_input(family: str, features: dict[str, Features]) -> None:
    found = features[family]
    assert found.finite and len(found.blocks) == 3 and SPACE.shape(architecture(family)) == (3, 32)
    heads = 64 if family == "qwen3" else 32
    for block in found.blocks:
        assert {name: [tuple(x.shape) for x in block[name]] for name in "AJHQS"} == {
            "A": [(48, INNER.get(family, 48))], "J": [(48, 32)], "H": [(48, heads)], "Q": [(48, heads)],
            "S": [(8, 24, 24)],
        }  # fmt: skip
        assert len(block["W.attn"]) == (2 if family in FUSED else 4)
        assert len(block["W.ffn"]) == (3 if family in GATED and family not in FUSED else 2)
        for name in INPUTS:
            assert all(x.abs().sum() > 0 for x in block[name]), name
        for letter in "WG":
            assert [x.shape for x in block[letter]] == [x.shape for x in (*block["W.attn"], *block["W.ffn"])]
    assert sketch_features(found).finite


@pytest.mark.parametrize("family", FAMILIES)
def test_attention_is_a_distribution_and_sees_the_past_alone_in_decoders(
    family: str, features: dict[str, Features]
) -> None:
    for block in features[family].blocks:
        (S,) = block["S"]
        assert torch.allclose(S.sum(-1), torch.ones(()), atol=1e-5)
        future = S.triu(1).abs().max()
        assert future > 0 if family in ENCODERS else future == 0
    assert (family in ENCODERS) or math.isclose(features[family].loss, math.log(300), rel_tol=0.1)


@pytest.mark.parametrize("family", FAMILIES)
def test_heads_and_activations_are_what_the_maps_behind_them_read(family: str) -> None:
    model: Any = SPACE.build(architecture(family), 0)
    block, seen = model.layout.blocks[1], {}
    for name in (block.output, block.down):
        model._named[name].register_forward_pre_hook(lambda m, given, name=name: seen.update({name: given[0]}))
    found = collect(model, BATCH).blocks[1]
    assert torch.equal(found["H"][0], seen[block.output].flatten(0, -2))
    assert torch.equal(found["A"][0], seen[block.down].flatten(0, -2))


@pytest.mark.parametrize("family", FAMILIES)
def test_counts_are_those_of_the_network(family: str) -> None:
    chosen = architecture(family)
    model: Any = SPACE.build(chosen, 0)
    count = SPACE.parameters(chosen)
    assert count.total == sum(p.numel() for p in model.parameters())
    assert count.decoder == count.total - count.embedding > count.attention + count.ffn
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.loss(BATCH.tokens[:1])
    everything = counter.get_total_flops() // 2
    head = 0 if family in ENCODERS else 24 * 32 * 300
    rest = {"electra": 24 * 16 * 32, "bert": 32 * 32}.get(family, 0)  # the map behind the embedding; the pooler
    more = {"roberta": 32 * 32}.get(family, 0)
    rotary = everything - head - rest - more - SPACE.multiply_adds(chosen, 24)
    assert 0 <= rotary <= 24 * 16 * 3  # tables of angles are products too


@pytest.mark.parametrize("family", FAMILIES)
def test_a_network_is_that_of_its_description_and_seed(family: str) -> None:
    chosen = architecture(family)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first: Any = SPACE.build(chosen, 0)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    again: Any = SPACE.build(pickle.loads(pickle.dumps(chosen)), 0)
    other: Any = SPACE.build(chosen, 1)
    pairs = list(zip(first.state_dict().values(), again.state_dict().values(), strict=True))
    assert pairs and all(torch.equal(a, b) for a, b in pairs)
    assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))
    with torch.no_grad():
        assert float(first.train().loss(BATCH.tokens)) == float(first.eval().loss(BATCH.tokens))  # no dropout


@pytest.mark.parametrize("family", FAMILIES)
def test_the_checked_form_is_checked_again_to_itself_and_ignores_noise(family: str) -> None:
    chosen = architecture(family)
    plain = json.loads(json.dumps(dict(chosen.config)))
    assert SPACE.architecture("again", plain) == chosen
    noise = {"architectures": ["X"], "torch_dtype": "bfloat16", "transformers_version": "4.0", "eos_token_id": 7,
             "use_cache": False, "_name_or_path": "somewhere", "auto_map": {"AutoConfig": "remote.Code"}}  # fmt: skip
    assert SPACE.architecture("noise", plain | noise) == chosen
    assert {p.dtype for p in SPACE.build(SPACE.architecture("noise", plain | noise), 0).parameters()} == {torch.float32}


@pytest.mark.parametrize("family", REFUSED)
def test_a_family_without_taps_is_refused_with_the_reason(family: str) -> None:
    sizes = OWN_SIZES.get(family, SIZE if family in ("deberta-v2", "albert") else GROUPED)
    with pytest.raises(BadArchitecture, match=REFUSED[family]) as caught:
        chosen = SPACE.architecture(family, {"model_type": family, **sizes})
        SPACE.shape(chosen)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "lama"}, "model_type: got 'lama'.*did you mean .*ll?ama"),
        ({"model_type": None}, "model_type: got None"),
        ({"model_type": ["llama"]}, "model_type: got"),
        ({"num_hidden_layers": 0}, "num_hidden_layers: got 0, wanted a whole number from 1 to 1024"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers: got 1000000000, wanted at most 1,024"),
        ({"hidden_size": "wide"}, "llama: transformers refuses the configuration"),
        ({"hidden_size": 30, "head_dim": None}, "llama"),
        ({"hidden_act": "no such"}, "llama: transformers cannot run it .*no such"),
        ({"vocab_size": 1 << 40}, "vocab_size: got 1099511627776"),
        ({"rope_parameters": {"rope_type": "other"}}, "llama"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_bad_configuration_is_one_sentence(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BadArchitecture, match=message) as caught:
        SPACE.shape(SPACE.architecture("bad", {"model_type": "llama", **GROUPED, **change}))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_of_a_model_of_several_parts_the_text_part_is_taken() -> None:
    text = {"model_type": "gemma3_text", **FAMILIES["gemma3_text"]}
    whole = SPACE.architecture("whole", {"model_type": "gemma3", "text_config": text})
    assert whole == architecture("gemma3_text")


def test_a_table_with_a_padding_position_shortens_the_longest_sequence() -> None:
    assert SPACE.limits(architecture("bert")) == (64, 300)
    longest = SPACE.limits(architecture("roberta", pad_token_id=1))[0]
    tokens = torch.full((1, longest + 1), 5)
    model: Any = SPACE.build(architecture("roberta", pad_token_id=1), 0)
    assert longest == 62 and model.loss(tokens[:, 1:]).isfinite()
    with pytest.raises((IndexError, RuntimeError)):
        model.loss(tokens)


def test_the_key_of_features_knows_the_version_of_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    before = FeatureKey.create("hf", "x")
    monkeypatch.setattr("models.spaces.hf.space.version", lambda name: "99.3.1")
    assert SPACE.version == 2_099_003 and FeatureKey.create("hf", "x").digest != before.digest


@pytest.mark.parametrize("fault", [PackageNotFoundError, ValueError])
def test_without_a_library_the_version_is_ours(fault: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise fault(name)

    monkeypatch.setattr("models.spaces.hf.space.version", absent)
    assert SPACE.version == 2_000_000 and SPACE.numbers(SPACE.architecture("a", {"model_type": "gpt2"})) == {}


def test_there_is_nothing_to_draw_from() -> None:
    assert not SPACE.drawable
    with pytest.raises(BadArchitecture, match="nothing to draw from"):
        SPACE.sample(None)  # type: ignore[arg-type]
    with pytest.raises(BadArchitecture, match="nobody can count"):
        SPACE.count()


GPT2 = {"n_layer": 3, "d_model": 32, "d_embed": 32, "div_val": 1, "n_head": [4] * 3, "d_inner": [128] * 3,
        "n_token": 300, "tgt_len": 64, "cutoffs": []}  # fmt: skip


def twins() -> tuple[Any, Any]:
    """One network built by both spaces, with the weights of the first copied into the second."""
    ours: Any = SPACES["gpt2"].build(SPACES["gpt2"].architecture("ours", GPT2), 0)
    theirs: Any = SPACE.build(architecture("gpt2", tie_word_embeddings=False), 0)
    weights = {k: v for k, v in copy.deepcopy(ours.state_dict()).items() if k.startswith(("h.", "ln_f."))}
    renamed = {f"transformer.{name}": value for name, value in weights.items()}
    renamed["transformer.wte.weight"] = ours.tables[0] * 32**0.5  # the adaptive embedding is scaled
    renamed["lm_head.weight"] = ours.tables[0]
    renamed["transformer.wpe.weight"] = ours.positions
    theirs.model.load_state_dict(renamed, strict=True)
    return ours, theirs


def test_inputs_equal_those_of_the_gpt2_space() -> None:
    ours, theirs = (collect(model, BATCH) for model in twins())
    assert abs(ours.loss - theirs.loss) < 1e-6
    for mine, other in zip(ours.blocks, theirs.blocks, strict=True):
        assert mine.keys() == other.keys() == set(INPUTS)
        for name in INPUTS:
            assert len(mine[name]) == len(other[name]) > 0
            for x, y in zip(mine[name], other[name], strict=True):
                assert x.shape == y.shape and float((x - y).abs().max()) < 1e-6, name


def test_counts_of_one_network_agree_between_the_spaces() -> None:
    ours, theirs = SPACES["gpt2"].architecture("x", GPT2), architecture("gpt2")
    mine, other = SPACES["gpt2"].parameters(ours), SPACE.parameters(theirs)
    assert (mine.attention, mine.ffn, mine.decoder) == (other.attention, other.ffn, other.decoder)
    assert SPACES["gpt2"].multiply_adds(ours, 24) == SPACE.multiply_adds(theirs, 24)


@pytest.mark.parametrize("family", FAMILIES)
def test_hand_made_proxies_have_a_value_or_say_why_not(family: str) -> None:
    figures = hand_made_figures(tuple(ZOO))
    visited = Visited.run(architecture(family), BATCH)
    found = figures.measure(visited, figures.names)
    silent = {name: figure.reason for name, figure in found.items() if figure.value is None}
    assert silent.keys() == {"Synflow", "LogSynflow", "W-PCA"}
    assert "do not run alone" in silent["Synflow"] and "is not seen" in silent["W-PCA"]


@pytest.mark.parametrize("family", ["llama", "bert", "falcon"])
def test_the_last_hidden_state_is_that_of_the_whole_network(family: str) -> None:
    model: Any = SPACE.build(architecture(family), 0)
    seen = []
    (model.model.lm_head if model.decoder else model._named[model.layout.blocks[-1].block]).register_forward_hook(
        lambda module, given, output: seen.append(given[0] if model.decoder else output)
    )
    model.loss(BATCH.tokens)
    last = seen[0][0] if isinstance(seen[0], tuple) else seen[0]
    assert torch.equal(model.hidden(BATCH.tokens), last) and last.shape == (2, 24, 32)
