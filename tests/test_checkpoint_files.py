"""Checkpoints as files and as whole networks of the space `llama`: exact values, without the library."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from models.spaces import SPACES
from models.spaces import checkpoint as checkpoints
from models.spaces.checkpoint import PICKLED, BadWeights, ChangedWeights, Checkpoint, Stamp, wanted_by
from models.spaces.llama import subnets
from models.spaces.llama.checkpoint import check_checkpoint, library_names, whole_architecture
from models.spaces.llama.subnets import Whole, _too_large
from models.spaces.stored_tensors import read_header

CONFIG: dict[str, Any] = {
    "model_type": "llama", "num_hidden_layers": 2, "hidden_size": 24, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 40, "head_dim": 8, "vocab_size": 260, "rope_theta": 5000.0,
}  # fmt: skip
WHOLE: dict[str, Any] = {
    "n_layer": 2, "d_model": 24, "n_head": (4, 4), "n_kv_head": (2, 2), "d_ffn": (40, 40), "n_token": 260,
    "tgt_len": 2048, "tied": False, "norm": "rms", "norm_eps": 1e-6, "rope_theta": 5000, "head_dim": 8,
}  # fmt: skip


def described(folder: str = "some/net", **more: Any) -> Checkpoint:
    """A checkpoint that is its config.json alone."""
    return Checkpoint(Path(folder), CONFIG | more, {}, {}, "")


def written(folder: Path, tensors: dict[str, torch.Tensor], **config: Any) -> Checkpoint:
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    return Checkpoint.open(folder)


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ({}, {}),
        ({"rope_theta": 10_000}, {"rope_theta": 10_000}),
        ({"num_hidden_layers": 1}, {"n_layer": 1, "n_head": (4,), "n_kv_head": (2,), "d_ffn": (40,)}),
        ({"max_position_embeddings": 64}, {"tgt_len": 64}),
        ({"num_key_value_heads": None}, {"n_kv_head": (4, 4)}),
        ({"rms_norm_eps": 1e-5, "tie_word_embeddings": True}, {"norm_eps": 1e-5, "tied": True}),
    ],
)
def test_the_whole_network_has_the_sizes_of_its_config(more: dict[str, Any], wanted: dict[str, Any]) -> None:
    found = whole_architecture(described(**more))
    assert (found.id, found.space, dict(found.config)) == ("net", "llama", WHOLE | wanted)
    assert type(found.config["rope_theta"]) is int
    assert whole_architecture(described(".")).id == "whole"


def test_a_whole_network_may_have_128_blocks() -> None:
    assert whole_architecture(described(num_hidden_layers=128)).config["n_layer"] == 128


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"num_hidden_layers": 129}, "n_layer: got 129, wanted a whole number from 1 to 128"),
        ({"num_hidden_layers": 0}, "n_layer: got 0, wanted a whole number from 1 to 128"),
        ({"num_hidden_layers": "2"}, "n_layer: got '2', wanted a whole number from 1 to 128"),
        ({"num_hidden_layers": True}, "n_layer: got True, wanted a whole number from 1 to 128"),
        ({"rope_theta": 5000.5}, "rope_theta: got 5000.5, wanted a whole number from 1 to 1000000000"),
        ({"rope_theta": "a"}, "rope_theta: got 'a', wanted a whole number from 1 to 1000000000"),
        ({"mlp_bias": True}, "mlp_bias: got True, wanted False for the space llama"),
        ({"model_type": None}, "model_type: got None, wanted llama for the space llama"),
    ],
)
def test_a_whole_network_that_the_space_has_not_is_refused(more: dict[str, Any], said: str) -> None:
    with pytest.raises(BadWeights) as caught:
        whole_architecture(described(**more))
    assert str(caught.value) == f"some/net/config.json: {said}"


@pytest.mark.parametrize(
    ("field", "block"), [("n_head", {"n_head": [4, 0], "n_kv_head": [2, 0]}), ("d_ffn", {"d_ffn": [40, 0]})]
)
def test_a_block_without_a_half_is_in_no_checkpoint(field: str, block: dict[str, Any]) -> None:
    net = SPACES["llama"].architecture(
        "net", {k: list(v) if isinstance(v, tuple) else v for k, v in WHOLE.items()} | block
    )
    with pytest.raises(BadWeights) as caught:
        check_checkpoint(net, described())
    assert str(caught.value) == f"net: {field}: got a block without any, which no checkpoint of LLaMA has"


def test_a_checkpoint_with_two_networks_is_none() -> None:
    table: Any = "model.embed_tokens.weight"
    both = described().named({f"{who}.{table}": who for who in ("a", "b")})  # type: ignore[misc]
    with pytest.raises(BadWeights, match=r"^some/net: got the network 2 times, behind a\. and b\.; save"):
        library_names(both)
    assert library_names(described().named({f"a.{table}": "x"})).tensors[table] == "x"  # type: ignore[dict-item, comparison-overlap]


def net(**more: Any) -> Any:
    return SPACES["llama"].architecture(
        "net", {**{k: list(v) if isinstance(v, tuple) else v for k, v in WHOLE.items()}, **more}
    )


def test_subnets_say_by_which_order_their_units_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = described()
    plain, kept, active = net(), net(keep=[0, 3]), net(keep=[0, 3], order="activation")
    for chosen, kind in (
        ([plain], "first"),
        ([kept, plain], "first"),
        ([plain, active], "activation"),
        ([net(order="activation")], "activation"),
    ):
        assert Whole.of(chosen, None).kind == kind
        whole = Whole.of(chosen, weights)
        assert whole == Whole(whole_architecture(weights), kind, weights)
    assert Whole.of([plain], None).architecture.id == "supernet"
    with pytest.raises(BadWeights) as caught:
        Whole.of([active, kept], None)
    assert str(caught.value) == "order: got subnets whose units are kept by activation and by first, wanted one of them"
    monkeypatch.setattr(subnets, "order_of", lambda weights, kind: kind)
    whole = whole_architecture(described())
    assert Whole(whole, "magnitude", described()).order() == "magnitude"
    for found in (Whole(whole, "first", described()).order(), Whole(whole, "magnitude").order()):
        assert [x.tolist() for x in found.ffn] == [list(range(40))] * 2
        assert [x.tolist() for x in found.groups] == [[0, 1]] * 2


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ((40, 4, 2, 8), None),
        ((39, 2, 1, 8), None),
        ((41, 4, 2, 8), "d_ffn: got 41, wanted at most 40, the units of the checkpoint"),
        ((40, 6, 3, 8), "got 6 heads of 8 on 3, "),
        ((40, 2, 2, 8), "got 2 heads of 8 on 2, "),
        ((40, 4, 2, 6), "got 4 heads of 6 on 2, "),
    ],
)
def test_a_block_of_a_subnet_fits_into_one_of_the_whole_network(sizes: tuple[int, ...], said: str | None) -> None:
    ffn, heads, groups, width = sizes
    ours = net(d_ffn=[40, ffn], n_head=[4, heads], n_kv_head=[2, groups], head_dim=width).config
    rest = "wanted at most 2 groups of 2 heads of 8 on one; give n_head, n_kv_head and head_dim"
    theirs = whole_architecture(described(num_hidden_layers=1)).config
    assert _too_large(ours, 1, theirs) == (f"{said}{rest}" if said and said.startswith("got") else said)


def test_tied_tables_that_differ_are_refused_and_alike_ones_are_read(tmp_path: Path) -> None:
    tied = nn.ModuleDict({"a": nn.Linear(2, 3, bias=False), "b": nn.Linear(2, 3, bias=False)})
    tied["b"].weight = tied["a"].weight
    values = torch.arange(6.0).view(3, 2)
    written(tmp_path, {"x.a.weight": values, "x.b.weight": values.clone()}).fill(tied, "x.")
    assert torch.equal(tied["a"].weight, values)
    with pytest.raises(BadWeights) as caught:
        written(tmp_path, {"x.a.weight": values, "x.b.weight": values + 1}).fill(tied, "x.")
    assert str(caught.value) == (
        f"{tmp_path}: x.a.weight and x.b.weight: got tensors that differ, but config.json ties them; set "
        "tie_word_embeddings to false there"
    )
    alone = written(tmp_path, {"x.b.weight": values + 2})
    alone.fill(tied, "x.")
    assert torch.equal(tied["b"].weight, values + 2)
    untouched = nn.Linear(2, 3)
    before = untouched.weight.clone()
    alone.fill(untouched)
    assert torch.equal(untouched.weight, before) and [item.needed for item in wanted_by(untouched)] == [True, True]


def test_a_file_that_changes_while_its_digest_is_made_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"12345")
    found = path.stat()
    stamp = Stamp(5, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
    assert checkpoints._stamp(path) == stamp
    # printf 'x:5\n12345' | sha256sum
    assert checkpoints._hashed(((path, stamp),)) == "7580e40063a77a4d8ae09d68103ae7bd6e3f36d05187456a5dabecc0183a05f0"
    for other in (
        stamp._replace(size=4),
        stamp._replace(mtime_ns=0),
        stamp._replace(ctime_ns=0),
        stamp._replace(inode=0),
    ):
        with pytest.raises(ChangedWeights) as caught:
            checkpoints._hashed(((path, other),))
        said = "was changed while it was in use, wanted the file of the start; start again"
        assert str(caught.value) == f"{path}: {said}"


def test_a_path_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(ChangedWeights, match=r"cannot be read \(.*null byte.*\); copy it again"):
        checkpoints._stamp(Path("a\0b"))


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "pytorch_model.bin.index.json", "model.ckpt", "model.pt", "model.pth"]
)
def test_files_that_can_run_code_are_named(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(BadWeights) as caught:
        Checkpoint.open(tmp_path)
    said = f"{tmp_path}: got {name}, which can run code, wanted model.safetensors; convert it to safetensors"
    assert str(caught.value) == said and name in PICKLED


def test_what_a_checkpoint_says_of_quantising_is_cut_to_80_characters(tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match=re.escape(f"got '{'x' * 79}, wanted none; save the plain weights")):
        written(tmp_path, {"a": torch.ones(1)}, quantization_config="x" * 100)


@pytest.mark.parametrize(
    ("name", "wanted", "fits"),
    [
        ("a.mlp.gate_proj.weight", (3, 4), True), ("a.mlp.gate_proj.weight", (6, 4), False),
        ("a.mlp.up_proj.weight", (5, 4), True), ("a.mlp.up_proj.weight", (5, 3), False),
        ("a.mlp.down_proj.weight", (5, 4), True), ("a.mlp.down_proj.weight", (5, 1), True),
        ("a.mlp.down_proj.weight", (4, 4), False), ("a.mlp.down_proj.weight", (5, 5), False),
        ("a.mlp.down_proj.weight", (5,), False), ("a.mlp.fc.weight", (5, 4), True), ("a.mlp.fc.weight", (4, 4), False),
    ],
)  # fmt: skip
def test_gated_layers_alone_may_be_narrower(name: str, wanted: tuple[int, ...], fits: bool) -> None:
    assert checkpoints._fits(name, wanted, (5, 4)) is fits


def header(path: Path, **entry: Any) -> Path:
    text = json.dumps({"a": {"dtype": "odd", "shape": [1], "data_offsets": [0, 3], **entry}}).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(3))
    return path


def test_a_shape_has_at_most_eight_axes_of_2_to_the_40(tmp_path: Path) -> None:
    for shape in ([2] * 8, [1 << 40], [0]):
        assert read_header(header(tmp_path / "x", shape=shape))["a"].shape == tuple(shape)
    for shape in ([2] * 9, [(1 << 40) + 1], [-1]):
        with pytest.raises(BadWeights, match="x: a: shape"):
            read_header(header(tmp_path / "x", shape=shape))
    for places in ([0], [0, 3, 3]):
        with pytest.raises(BadWeights, match="x: a: data_offsets"):
            read_header(header(tmp_path / "x", data_offsets=places))
    with pytest.raises(BadWeights, match="x: a: data_offsets: got .*, wanted two whole numbers"):
        read_header(header(tmp_path / "x", data_offsets=[0]))
