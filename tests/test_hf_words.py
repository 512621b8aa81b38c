"""Words of fields that the library does not have: which ones size a network or share its weights, and which say nothing;
words of metrics of a table without a header."""

from __future__ import annotations

import logging
import math
from typing import Any

import pytest
from transformers import CONFIG_MAPPING
from transformers.modeling_rope_utils import RopeParameters

from models.architecture import BadArchitecture
from models.benchmarks.benchmark import BadBenchmark
from models.benchmarks.layouts.unsaid import BESIDE, completed, records_of
from models.spaces.hf.fields import FamilyFields, fields_of, is_noise, plain, read_numbers
from models.spaces.hf.rope import KNOWN, check_rope
from models.spaces.hf.unknown import DIALECT, known_fields, nearest

OWN = (
    "hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers", "num_key_value_heads",
    "head_dim", "tie_word_embeddings", "vocab_size",
)  # fmt: skip


def family(*names: str, **aliases: str) -> FamilyFields:
    """The fields of a family that has these, all of whole numbers."""
    known = frozenset({*names, *aliases})
    return FamilyFields(dict.fromkeys(names, "int"), aliases, known, frozenset(), frozenset(), False, False)


LLAMA = family(*OWN)
BARE = family("dim_a", "dim_b")
SIZING = (
    "layer", "layers", "depth", "block", "blocks", "hidden", "width", "embd", "head", "heads", "kv", "ffn", "mlp",
    "inner", "intermediate", "expert", "experts",
)  # fmt: skip
SHARING = (
    "share", "shared", "sharing", "tie", "tied", "tying", "recurrent", "recurrence", "repeat", "repeats", "loop",
    "loops",
)  # fmt: skip


@pytest.mark.parametrize("word", SIZING)
def test_a_number_whose_name_has_a_word_of_size_is_refused(word: str, caplog: pytest.LogCaptureFixture) -> None:
    for value in (3, [1, 2], {"a": 1}):
        with pytest.raises(
            BadArchitecture, match=f"zz_{word}: got .*, but x has no such field, so the network would be"
        ):
            known_fields("x", BARE, {f"zz_{word}": value})
    for name in (f"zz_{word}_ratio", f"zz_{word}_multiplier"):
        with pytest.raises(BadArchitecture, match=f"{name}: got 0.5.*; remove it"):
            known_fields("x", BARE, {name: 0.5})
    with caplog.at_level(logging.WARNING, "zcp.hf"):  # no size: a word, a share, nothing
        for value in ("a", 0.5, None, False, "", [], {}):
            assert known_fields("x", BARE, {f"zz_{word}": value}) == {}
    assert len(caplog.records) == 7


@pytest.mark.parametrize("word", SHARING)
def test_a_field_whose_name_has_a_word_of_sharing_is_refused(word: str) -> None:
    for value in (True, "adjacent", 2):
        with pytest.raises(BadArchitecture, match=f"zz_{word}: got {value}, but x has no such field"):
            known_fields("x", BARE, {f"zz_{word}": value})
    assert known_fields("x", BARE, {f"zz_{word}": False}) == {}


@pytest.mark.parametrize("name", DIALECT)
def test_a_name_of_another_dialect_is_answered_with_the_librarys(name: str) -> None:
    assert nearest(name, LLAMA) == nearest(name.upper(), LLAMA) == DIALECT[name]
    with pytest.raises(BadArchitecture, match=f"^{name}: got 7, .*; did you mean {DIALECT[name]}\\?$"):
        known_fields("x", LLAMA, {name: 7})
    said = known_fields("x", LLAMA, {name: 7, DIALECT[name]: 7})
    assert said == {DIALECT[name]: 7}
    with pytest.raises(BadArchitecture, match=f"^{name}: got 7"):
        known_fields("x", LLAMA, {name: 7, DIALECT[name]: 8})
    assert known_fields("x", LLAMA, {name: 7}, refuse=False) == {}


def test_every_meaning_of_a_dialect_is_a_field_and_the_last_name_is_among_them() -> None:
    assert set(DIALECT.values()) == set(OWN) - {"head_dim", "vocab_size"} and len(DIALECT) == 33
    assert DIALECT["share_input_output_embeddings"] == "tie_word_embeddings"


@pytest.mark.parametrize("name", OWN[:6])
def test_a_size_that_is_misspelt_is_refused_if_it_is_any_number(name: str) -> None:
    for value in (3, 2.5):
        with pytest.raises(BadArchitecture, match=f"{name}x: got {value}.*did you mean {name}"):
            known_fields("x", LLAMA, {f"{name}x": value})
    assert known_fields("x", LLAMA, {f"{name}x": "a"}) == {}


def test_an_alias_that_says_the_same_is_no_other_network() -> None:
    fields = family("hidden_size", "num_attention_heads", n_embd="hidden_size")
    assert nearest("d_model", fields) == "hidden_size"
    assert known_fields("x", fields, {"n_embd": 8, "d_model": 8}) == {"n_embd": 8}
    with pytest.raises(BadArchitecture, match="d_model: got 9"):
        known_fields("x", fields, {"n_embd": 8, "d_model": 9})
    heads = {"num_attention_heads": 4}
    assert known_fields("x", fields, {**heads, "num_key_value_heads": 4}) == heads
    with pytest.raises(BadArchitecture, match="num_key_value_heads: got 2"):
        known_fields("x", fields, {**heads, "num_key_value_heads": 2})


@pytest.mark.parametrize(
    "name",
    ["pooler_layers", "vision_depth", "zz_layer_norm_eps", "zz_hidden_act", "zz_head_init", "zz_mlp_bias", "mtp_layers",
     "num_nextn_predict_layers", "max_window_layers", "head_to_tail", "zz_layer_types", "zz_mlp_fn", "lora_heads", "cache_blocks"],
)  # fmt: skip
def test_sizes_of_other_parts_are_ignored_with_a_line(name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "zcp.hf"):
        assert known_fields("x", BARE, {name: 3}) == {}
    assert [r.getMessage() for r in caplog.records] == [f"x: {name} is no field of this family and is ignored"]


@pytest.mark.parametrize(
    "name", ["transformers.js_config", "unsloth_fixed", "torch_compile", "gguf_file", "model_max_length", "made_date", "prefix",
             "top_k", "min_length", "typical_p", "pruned_heads", "tie_encoder_decoder", "is_decoder", "add_cross_attention"],
)  # fmt: skip
def test_what_tools_write_is_left_out_without_a_word(name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "zcp.hf"):
        assert known_fields("x", BARE, {name: 3, "dim_a": 1}) == {"dim_a": 1}
    assert not caplog.records


@pytest.mark.parametrize(
    "name", ["architectures", "use_cache", "transformers_version", "quantization_config", "_x", "output_hidden_states",
             "summary_type", "attn_pdrop", "eos_token_id", "bos_token_ids", "sep_token_index"],
)  # fmt: skip
def test_noise_shapes_no_network(name: str) -> None:
    assert is_noise(name) and not is_noise("pad_token_id") and not is_noise("hidden_size")
    assert known_fields("x", family(name), {name: 3}) == {}


def test_fields_shape_a_network_that_its_code_names() -> None:
    fields = FamilyFields(
        {}, {"n_embd": "hidden_size"}, frozenset(), frozenset({"n_embd", "depth"}), frozenset(), True, False
    )
    shaping = ("hidden_size", "depth", "n_embd", "pad_token_id", "tie_word_embeddings", "initializer_range", "init_std",
               "initializer_factor", "is_encoder_decoder")  # fmt: skip
    assert all(map(fields.shapes, shaping)) and not fields.shapes("width")
    assert BARE.shapes("width") and not BARE.shapes("pad_token_id")  # without code all do


@pytest.mark.parametrize(
    ("kind", "given", "read"),
    [
        ("int", 3.0, 3), ("int", 3.5, 3.5), ("float", 3, 3.0), ("int | float", 3, 3), ("int | float", 3.0, 3.0),
        ("list[float]", [1, 2], [1.0, 2.0]), ("list[int]", (1.0, 2), [1, 2]), ("str", 3, 3), ("float", True, True),
        ("float", 1 << 53, 1 << 53), ("float", -(1 << 53), -(1 << 53)), ("float", (1 << 53) - 1, float((1 << 53) - 1)),
        ("float", {"__float__": "Infinity"}, math.inf), ("float", {"__float__": "-Infinity"}, -math.inf),
        ("dict", {"__float__": "x"}, {"__float__": "x"}), ("dict", {"a": ({"__float__": "Infinity"},)}, {"a": [math.inf]}),
        ("dict", {"__float__": "Infinity", "b": 1}, {"__float__": "Infinity", "b": 1}),
    ],
)  # fmt: skip
def test_numbers_have_the_kind_that_is_declared(kind: str, given: Any, read: Any) -> None:
    found = read_numbers({"x": kind}, {"x": given})["x"]
    assert repr(found) == repr(read)


@pytest.mark.parametrize(
    ("value", "spelt"),
    [
        (3.0, 3), (3.5, 3.5), (float((1 << 53) - 1), (1 << 53) - 1), (float(1 << 53), float(1 << 53)),
        (-float(1 << 53), -float(1 << 53)), ((1, [2.0]), [1, [2]]), (None, None), (True, True), ("a", "a"),
        ({"type": "x", "rope_type": "y", 3: 1.0}, {"rope_type": "y", "3": 1}), ({"type": "x"}, {"type": "x"}),
    ],
)  # fmt: skip
def test_a_value_has_one_spelling(value: Any, spelt: Any) -> None:
    assert repr(plain(value, "x")) == repr(spelt)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (math.nan, "x: got nan, wanted a finite number"), ({"a": [math.inf]}, "x: a: got inf, wanted a finite number"),
        ({1, 2}, "x: got set, wanted plain data"),
    ],
)  # fmt: skip
def test_a_value_that_is_no_plain_data_is_refused(value: Any, message: str) -> None:
    with pytest.raises(BadArchitecture, match=f"^{message}$"):
        plain(value, "x")


# Rotary positions


def test_the_fields_of_rotary_positions_are_known(caplog: pytest.LogCaptureFixture) -> None:
    """The library declares them."""
    declared = set(RopeParameters.__annotations__)
    assert declared and declared <= set(KNOWN)
    with caplog.at_level(logging.WARNING, "zcp.hf"):
        check_rope("x", {"rope_scaling": dict.fromkeys(declared, 1)})
        check_rope("x", {"rope_scaling": {"zeta": 1, "beta": 2}})
    assert [r.getMessage() for r in caplog.records] == ["x: beta, zeta is no field of rotary positions and is ignored"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rope_theta": 0}, "x: rope_theta: got '0', wanted a positive number"),
        ({"rope_theta": "1"}, "x: rope_theta: got '1', wanted a positive number"),
        ({"rope_parameters": {"rope_theta": -1}}, "x: rope_parameters: rope_theta: got '-1', wanted a positive number"),
        ({"rope_scaling": {"full": {"factor": 0}}}, "x: rope_scaling: factor: got '0', wanted a positive number"),
        (
            {"rope_scaling": {"type": "a", "rope_type": "b"}},
            "x: rope_scaling: type: got a, but rope_type is b; keep one",
        ),
        *(
            (
                {field: 2, "rope_parameters": {field: 3}},
                f"x: {field}: got 2, but rope_parameters: {field} is 3; keep one",
            )
            for field in ("rope_theta", "partial_rotary_factor", "original_max_position_embeddings")
        ),
        (
            {"rope_parameters": {}, "rope_scaling": {"type": "a"}},
            "x: rope_parameters: rope_type: got default, but rope_sca",
        ),
        (
            {"rope_parameters": {"factor": 1}, "rope_scaling": {"factor": 2}},
            "x: rope_parameters: factor: got 1, but rope_s",
        ),
    ],
)
def test_rotary_positions_that_contradict_each_other_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(BadArchitecture, match=f"^{message}"):
        check_rope("x", fields)


@pytest.mark.parametrize(
    "fields",
    [
        {}, {"rope_theta": 1, "rope_scaling": None}, {"rope_theta": 5, "rope_parameters": {"rope_theta": 5}},
        {"rope_theta": 5, "rope_parameters": {"full": {"rope_theta": 5}, "part": {"rope_theta": 6}}},
        {"rope_parameters": {"type": "a", "factor": 2}, "rope_scaling": {"rope_type": "a", "factor": 2}},
        {"rope_scaling": {"type": "a", "rope_type": "a"}}, {"rope_theta": None, "rope_scaling": {"factor": 0.5}},
    ],
)  # fmt: skip
def test_rotary_positions_that_say_the_same_twice_are_taken(fields: dict[str, Any]) -> None:
    check_rope("x", fields)


# Words of metrics

LOWER = ("loss", "ppl", "perplexity", "error", "mse", "bits", "bpb", "nats")
HIGHER = ("acc", "accuracy", "score", "f1", "glue", "auc", "bleu", "quality")


@pytest.mark.parametrize("word", LOWER + HIGHER)
def test_the_direction_of_a_metric_is_known_by_a_word_of_its_name(word: str) -> None:
    for name in (word, f"val-{word.upper()}", f"{word}_test"):
        found = completed({"space": "gpt2"}, ["id", name], None, "x")
        assert found == {"space": "gpt2", "metric": name, "higher_is_better": word in HIGHER}
    other = {"space": "gpt2", "metric": word, "higher_is_better": word in LOWER}
    assert completed(other, [], None, "x") == other
    with pytest.raises(BadBenchmark, match=f"nothing says whether more {word}_{word}x is better|nothing says"):
        completed({"space": "gpt2"}, ["id", f"{word}x"], None, "x")


def test_columns_beside_the_metric_are_none() -> None:
    beside = ("id", "tokens", "sd", "split", "seed", "params", "seconds", "depth", "width", "predicted", "predicted_low",
              "predicted_high", "note")  # fmt: skip
    assert beside == BESIDE
    columns = [*beside, "", "Unnamed: 0", "n_layer", "loss"]
    assert completed({"space": "gpt2"}, columns, None, "x")["metric"] == "loss"
    with pytest.raises(BadBenchmark, match="nothing says the metric: got no column of measured values, wanted one"):
        completed({"space": "gpt2"}, columns[:-1], None, "x")
    with pytest.raises(BadBenchmark, match="got the columns loss, ppl, wanted one"):
        completed({"space": "gpt2"}, [*columns, "ppl"], None, "x")
    for name in ("space", "metric"):
        with pytest.raises(
            BadBenchmark, match=f"x: {name}: got nothing, wanted a name; fill it in, or remove the line"
        ):
            completed({"space": "gpt2", "metric": "loss"} | {name: ""}, columns, None, "x")


def test_cells_without_a_value_say_nothing_and_whole_numbers_are_whole() -> None:
    row = {"id": 3.0, "n_layer": 2.0, "d_inner": [8.0, 8.5], "loss": 1.0, "ppl": math.nan, "sd": "", "note": None}
    wanted = {"id": 3, "loss": 1.0, "config": {"n_layer": 2, "d_inner": [8, 8.5]}}
    assert repr(records_of([row], "gpt2", "x")) == repr([wanted])
    named = [{"": 7, "loss": 1.0}, {"Unnamed: 0": 8, "loss": 1.0}, {"loss": 1.0}, {"id": None, "": 9, "loss": 1.0}]
    assert [r["id"] for r in records_of(named, "gpt2", "x")] == [7, 8, 2, None]
    assert records_of([{"n_layer": 1e15}], "gpt2", "x")[0]["config"] == {"n_layer": 1e15}
    with pytest.raises(BadBenchmark, match="x: space: got hf, wanted .*; write it as JSON lines"):
        records_of([{"id": 1}], "hf", "x")


@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("jamba", "attn_layer_period"),  # a property of the configuration reads it, and the network the property
        ("bamba", "attn_layer_indices"),
        ("gemma3n_text", "num_kv_shared_layers"),
        ("nemotron_h", "max_position_embeddings"),  # the library's rotary positions read it
    ],
)
def test_a_field_that_the_network_reads_by_a_detour_shapes_it(family: str, name: str) -> None:
    fields = fields_of(CONFIG_MAPPING[family])
    assert name in fields.declared and fields.shapes(name) and not fields.shapes("bos_token_id")
