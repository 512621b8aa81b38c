"""Checkpoints that are none, or that a network does not fit: one line for each."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_weights import SIZES, change, checkpoint, copied, ours, whole_features  # noqa: F401  (fixtures)
from transformers import GPT2Config

from fitness.features.bank import BadFeatures
from fitness.features.workshop import Workshop
from models.architecture import Architecture
from models.spaces import SPACES, WEIGHTED
from models.spaces.checkpoint import BadWeights, Checkpoint, Wanted, wanted_by
from models.spaces.stored_tensors import StoredTensor, read_header
from storage.errors import ZcpError


def header_of(folder: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "model.safetensors"
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    edit(header)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])


def overlapping(header: dict[str, Any]) -> None:
    """Two tensors of one size in one place."""
    names = [name for name, entry in header.items() if entry.get("shape") == [40, 24]]
    header[names[0]]["data_offsets"] = header[names[1]]["data_offsets"]


def without(folder: Path, name: str) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors[name]
    save_file(tensors, folder / "model.safetensors")


def indexed(folder: Path, names: dict[str, Any]) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))


def long_header(path: Path) -> None:
    """A file that has room for the header that it says it has."""
    with path.open("wb") as file:
        file.write((33 << 20).to_bytes(8, "little"))
        file.truncate(34 << 20)


FIRST = "model.layers.0.mlp.up_proj.weight"


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, "no such folder; give one with config.json and model.safetensors"),
    "pickle only": (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"),
                    "got pytorch_model.bin, which can run code, wanted model.safetensors; convert it"),
    "nothing": (lambda f: (f / "model.safetensors").unlink(), "holds neither model.safetensors nor"),
    "no config": (lambda f: (f / "config.json").unlink(), "config.json: cannot be read"),
    "config is a list": (lambda f: (f / "config.json").write_text("[]"), "config.json: got a list, wanted an object"),
    "other family": (lambda f: change(f / "config.json", model_type="mistral"),
                     "model_type: got 'mistral', wanted llama for the space llama"),
    "biases": (lambda f: change(f / "config.json", mlp_bias=True), "mlp_bias: got True, wanted False"),
    "biases of attention": (lambda f: change(f / "config.json", attention_bias=True), "attention_bias: got True"),
    "other nonlinearity": (lambda f: change(f / "config.json", hidden_act="gelu"), "hidden_act: got 'gelu', wanted silu"),
    "quantised": (lambda f: change(f / "config.json", quantization_config={"bits": 4}),
                  "quantization_config: got {'bits': 4}, wanted none"),
    "deeper": (lambda f: change(f / "config.json", num_hidden_layers=4), "num_hidden_layers: got 4, wanted 3 for net"),
    "wide": (lambda f: change(f / "config.json", hidden_size=48), "hidden_size: got 48, wanted 24 for net"),
    "other keys": (lambda f: change(f / "config.json", num_key_value_heads=4), "num_key_value_heads: got 4, wanted 2"),
    "keys left out": (lambda f: change(f / "config.json", num_key_value_heads=None), "num_key_value_heads: got 4"),
    "wide heads": (lambda f: change(f / "config.json", head_dim=12), "head_dim: got 12, wanted 6 for net"),
    "other epsilon": (lambda f: change(f / "config.json", rms_norm_eps=1e-5), "rms_norm_eps: got 1e-05, wanted 1e-06"),
    "a number for tied": (lambda f: change(f / "config.json", tie_word_embeddings=0), "got 0, wanted False for net"),
    "rope base": (lambda f: change(f / "config.json", rope_theta=5000.0), "rope_theta: got 5000.0, wanted 10000"),
    "rope base inside": (lambda f: change(f / "config.json", rope_parameters={"rope_theta": 5e3}),
                         "rope_theta: got 5000.0, wanted 10000"),
    "rope of an old file": (lambda f: change(f / "config.json", rope_parameters=None, rope_scaling={"type": "linear"}),
                            "rope_type: got 'linear', wanted 'default'"),
    "rope": (lambda f: change(f / "config.json", rope_parameters={"rope_type": "yarn", "rope_theta": 10000.0}),
             "rope_type: got 'yarn', wanted 'default'"),
    "other heads": (lambda f: change(f / "config.json", num_attention_heads=2),
                    "num_attention_heads: got 2, wanted 4 for net"),
    "heads of text": (lambda f: change(f / "config.json", num_attention_heads="4"), "num_attention_heads: got '4'"),
    "truncated": (lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-5]),
                  "truncated or not whole; copy it again"),
    "trailing": (lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes() + b"x"),
                 "truncated or not whole; copy it again"),
    "header of 33 MiB": (lambda f: long_header(f / "model.safetensors"), "no safetensors file, or a truncated one (35,"),
    "cut in the header": (lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:99]),
                          "no safetensors file, or a truncated one (99 bytes)"),
    "empty": (lambda f: (f / "model.safetensors").write_bytes(b""), "no safetensors file, or a truncated one (0 bytes)"),
    "no header": (lambda f: (f / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0xx"), "not valid JSON"),
    "missing": (lambda f: without(f, FIRST), f"{FIRST}: not in the checkpoint, but net has it"),
    "wider": (lambda f: header_of(f, lambda h: h[FIRST].update(shape=[39, 24])), "got 3,840 bytes for 39 x 24 F32"),
    "integers": (lambda f: header_of(f, lambda h: h[FIRST].update(dtype="I32")), "dtype: got 'I32', wanted one of F64"),
    "offsets": (lambda f: header_of(f, lambda h: h[FIRST].update(data_offsets=[1])), "wanted two whole numbers"),
    "overlap": (lambda f: header_of(f, overlapping), "begins at byte"),
    "index elsewhere": (lambda f: indexed(f, {FIRST: "../model.safetensors"}), "wanted the name of a safetensors file"),
    "index of another kind": (lambda f: indexed(f, {FIRST: "config.json"}), "wanted the name of a safetensors file"),
    "index of text": (lambda f: indexed(f, {FIRST: 3}), "got 3, wanted a text"),
    "index lies": (lambda f: indexed(f, {"x": "model.safetensors"}), "x: not in the file, though"),
    "no shard": (lambda f: indexed(f, {FIRST: "a.safetensors"}), "a.safetensors: cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("what", SPOILT)
def test_a_checkpoint_that_is_none_is_refused_in_one_line(what: str, copied: Path) -> None:  # noqa: F811
    spoil, message = SPOILT[what]
    spoil(copied)
    with pytest.raises(ZcpError) as caught:
        whole_features(copied, ours())
    assert message in str(caught.value) and str(copied) in str(caught.value) and "\n" not in str(caught.value)


LEFT_OUT = ("rms_norm_eps", "tie_word_embeddings", "attention_bias", "mlp_bias", "hidden_act", "head_dim")


@pytest.mark.parametrize("field", [*LEFT_OUT, "rope_parameters"])
def test_what_a_config_leaves_out_is_that_of_llama(field: str, copied: Path) -> None:  # noqa: F811
    config = json.loads((copied / "config.json").read_text())
    config.pop(field, None)
    (copied / "config.json").write_text(json.dumps(config))
    WEIGHTED["llama"].check_weights(ours(), Checkpoint.open(copied))


@pytest.mark.parametrize(
    ("name", "shape"),
    [("self_attn.q_proj", (12, 24)), ("mlp.gate_proj", (16, 12)), ("mlp.down_proj", (12, 16)), ("mlp.up_proj", (24,))],
)
def test_only_the_width_of_a_gated_layer_is_cut(name: str, shape: tuple[int, ...], checkpoint: Path) -> None:  # noqa: F811
    wanted = [Wanted((f"model.layers.0.{name}.weight",), torch.empty(shape), True)]
    with pytest.raises(BadWeights, match=f"{name}.weight: got .*, wanted {shape[0]}.* for net"):
        Checkpoint.open(checkpoint).check(wanted, "net")


def test_a_file_that_goes_away_is_named(copied: Path) -> None:  # noqa: F811
    found = Checkpoint.open(copied)
    (copied / "model.safetensors").unlink()
    with pytest.raises(BadWeights, match=r"model.safetensors: cannot be read \(No such file.*\); copy it again"):
        WEIGHTED["llama"].loaded(ours(), found)


def test_a_digest_is_of_every_byte(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    path, before = copied / "model.safetensors", Checkpoint.open(copied).digest
    monkeypatch.setattr("models.spaces.checkpoint.PIECE", 64)
    os.utime(path, ns=(1, 1))
    assert Checkpoint.open(copied).digest == before
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(2, 2))
    assert Checkpoint.open(copied).digest != before
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(3, 3))
    assert Checkpoint.open(copied).digest == before
    change(copied / "config.json", note="other")
    assert Checkpoint.open(copied).digest != before


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        (ours((41, 40, 40)), "model.layers.0.mlp.gate_proj.weight: got 40 x 24, wanted 41 x 24 for net"),
        (ours(n_token=261), "model.embed_tokens.weight: got 260 x 24, wanted 261 x 24 for net"),
        (ours(norm="layer"), "rms_norm_eps: got 1e-06, wanted 'a layer norm'"),
        (ours(n_head=[4, 4, 2]), "num_attention_heads: got 4, wanted [2, 4] for net"),
        (SPACES["hf"].architecture("net", {"model_type": "llama", **SIZES, "num_attention_heads": 2}),
         "head_dim: got 6, wanted 12 for net"),
        (SPACES["hf"].architecture("net", GPT2Config(n_embd=24, n_layer=2, n_head=4).to_dict()),
         "model_type: got 'llama', wanted 'gpt2' for net"),
    ],
    ids=["wider", "tokens", "norm", "heads", "hf heads", "hf family"],
)  # fmt: skip
def test_a_network_that_the_weights_do_not_fit_is_refused(
    checkpoint: Path,  # noqa: F811
    architecture: Architecture,
    message: str,
) -> None:
    with pytest.raises(BadWeights) as caught:
        whole_features(checkpoint, architecture)
    assert message in str(caught.value)


def test_spaces_and_builds_with_weights_of_their_own_are_refused(checkpoint: Path) -> None:  # noqa: F811
    with pytest.raises(BadFeatures, match="--weights: got the space gpt2, wanted llama or hf"):
        Workshop.open("gpt2", weights=checkpoint)
    with pytest.raises(BadFeatures, match="--weights: got the build as_trained as well"):
        Workshop.open("llama", build="as_trained", weights=checkpoint)


def test_a_tensor_whose_file_became_shorter_is_refused(tmp_path: Path) -> None:
    save_file({"a": torch.arange(12.0).view(4, 3), "b": torch.ones(2, dtype=torch.int8)}, path := tmp_path / "x")
    found = read_header(path)
    assert found["a"].first((2, 2)).tolist() == [[0, 1], [3, 4]] and found["a"].first((0, 3)).shape == (0, 3)
    with pytest.raises(BadWeights, match="x: b: dtype: got 'I8', wanted one of F64, F32, F16, BF16; convert"):
        found["b"].first((1,))
    os.truncate(path, found["a"].start + 47)
    assert found["a"].first((3, 3)).shape == (3, 3)
    with pytest.raises(BadWeights, match="x: a: got 47 bytes, wanted 48; copy the file again"):
        found["a"].first((4, 3))


def raw(path: Path, header: Any, size: int) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(size))
    return path


@pytest.mark.parametrize(
    ("header", "size", "message"),
    [
        (b"{", 0, r"x: no safetensors file, or a truncated one \(9 bytes\); copy it again"),
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 7]}}, 7, "got 7 bytes for 2 F32; copy the file again"),
        ({"a": {"dtype": "F32", "shape": [], "data_offsets": [0, 8]}}, 8, "got 8 bytes for one number F32"),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}, 4, "got -4 bytes for 1 F32"),
        ({"a": {"dtype": "odd", "shape": [1], "data_offsets": [4, 0]}}, 4, "got -4 bytes for 1 odd"),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, 8, "x: a: begins at byte 4, wanted 0; copy"),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0]}}, 4, "data_offsets: got .*, wanted two whole numbers"),
        ({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, 4, r"shape\[0\]: got -1, wanted"),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, 5, r"x: got [0-9]+ bytes, wanted [0-9]+: trunc"),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, 3, r"x: got [0-9]+ bytes, wanted [0-9]+: trunc"),
    ],
    ids=lambda value: str(value)[-40:],
)  # fmt: skip
def test_a_header_that_does_not_fit_its_file_is_refused(header: Any, size: int, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match=message):
        read_header(raw(tmp_path / "x", header, size))


def test_a_header_of_few_bytes_and_kinds_that_nobody_wants_are_read(tmp_path: Path) -> None:
    assert read_header(raw(tmp_path / "x", b"{}", 0)) == {}
    odd = {"__metadata__": {}, "a": {"dtype": "odd", "shape": [9], "data_offsets": [0, 5]}}
    path = raw(tmp_path / "x", odd, 5)
    assert read_header(path) == {"a": StoredTensor(path, "a", (9,), "odd", path.stat().st_size - 5)}


def test_what_a_network_wants_has_all_names_of_a_tied_table_and_the_buffers_that_are_saved() -> None:
    network = torch.nn.ModuleDict(
        {"a": torch.nn.Linear(2, 2), "b": torch.nn.Linear(2, 2), "pooler": torch.nn.Linear(1, 1)}
    )
    network["b"].weight = network["a"].weight
    network["b"].register_buffer("scale", torch.ones(3))
    network["b"].register_buffer("turn", torch.ones(3), persistent=False)
    network["b"].register_buffer("count", torch.ones(1, dtype=torch.int64))
    found = [(item.names, item.needed, item.shape()) for item in wanted_by(network)]
    assert found == [
        (("a.weight", "b.weight"), True, (2, 2)), (("a.bias",), True, (2,)), (("b.bias",), True, (2,)),
        (("pooler.weight",), False, (1, 1)), (("pooler.bias",), False, (1,)), (("b.scale",), False, (3,)),
    ]  # fmt: skip


@pytest.mark.parametrize(("heads", "width"), [(0, None), (-2, None), (3, 21), ("3", None)])
def test_the_width_of_a_head_follows_from_whole_heads(heads: object, width: int | None) -> None:
    from models.spaces.llama.checkpoint import _stated

    assert _stated({"hidden_size": 64, "num_attention_heads": heads}, "head_dim") == width


@pytest.mark.parametrize("kind", ["I64", "F8_E5M2", "F32"])
def test_entries_that_are_no_weights_are_refused_before_a_network_is_made(kind: str, checkpoint: Path) -> None:  # noqa: F811
    found, name = Checkpoint.open(checkpoint), "model.norm.weight"
    changed = found.named({name: replace(found.tensors[name], kind=kind)})  # type: ignore[type-var]
    wanted = [Wanted((name,), torch.empty(found.tensors[name].shape), True)]
    if kind == "F32":
        changed.check(wanted, "net")
    else:
        with pytest.raises(BadWeights, match=f"{name}: dtype: got '{kind}', wanted one of F64"):
            changed.check(wanted, "net")
