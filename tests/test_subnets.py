"""Subnets of a checkpoint as networks: sliced, streamed, exported, refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny_checkpoint
import torch
from test_cuts import TOKENS, cut_by_hand, loss_of
from transformers import AutoTokenizer, LlamaForCausalLM

from fitness.features.workshop import Workshop
from models.architecture import Architecture
from models.checkpoints.export import export_subnet
from models.spaces import PARTED, SPACES, WEIGHTED
from models.spaces.checkpoint import BadWeights, Checkpoint
from models.spaces.llama import subnets as llama_subnets
from models.spaces.llama.checkpoint import whole_architecture
from models.training.cuts.measuring import Cut
from models.training.cuts.sample import cut_config
from primitives.grammar import parse

UNEVEN: Cut = ((40, 3), None, (20, 2), (10, 1))
EVEN: Cut = ((20, 2), None, (20, 2), (20, 2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint.write(tmp_path_factory.mktemp("subnets") / "tiny")


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Activations are those on the tokens of these tests."""
    monkeypatch.setattr(llama_subnets, "calibration_tokens", lambda weights: TOKENS)


def subnet(folder: Path, cut: Cut, order: str = "activation", **more: Any) -> Architecture:
    config = cut_config(whole_architecture(Checkpoint.open(folder)).config, cut, order)
    return SPACES["llama"].architecture("cut", config | more)


def test_the_tokenizer_is_read_once_for_all_subnets_and_again_when_it_changes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, read = shutil.copytree(folder, tmp_path / "copy"), list[Path]()
    one_read = llama_subnets.TextTokenizer.read
    monkeypatch.setattr(llama_subnets.TextTokenizer, "read", lambda path: read.append(path) or one_read(path))
    for cut in (UNEVEN, EVEN):
        WEIGHTED["llama"].loaded(subnet(place, cut), Checkpoint.open(place))
    assert read == [place / "tokenizer.json"]
    before = llama_subnets.calibration_tokens(Checkpoint.open(place))
    changed = json.loads((place / "tokenizer.json").read_text())
    changed["model"]["merges"] = changed["model"]["merges"][:1]
    (place / "tokenizer.json").write_text(json.dumps(changed))
    after = llama_subnets.calibration_tokens(Checkpoint.open(place))
    assert len(read) == 2 and before.shape == after.shape == (16, 128) and not torch.equal(before, after)


@pytest.mark.usefixtures("shown")
@pytest.mark.parametrize("cut", [UNEVEN, EVEN])
def test_a_loaded_subnet_is_the_librarys_network_cut_by_hand(folder: Path, cut: Cut) -> None:
    weights, architecture = Checkpoint.open(folder), subnet(folder, cut)
    WEIGHTED["llama"].check_weights(architecture, weights)
    network: Any = WEIGHTED["llama"].loaded(architecture, weights)
    library = cut_by_hand(folder, cut)
    for ours, theirs in zip(network.model.layers, library.model.layers, strict=True):
        for (name, a), (_, b) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
            assert torch.equal(a, b), name
    assert float(network.loss(TOKENS).detach()) == pytest.approx(loss_of(library, TOKENS), abs=1e-6)
    assert sum(p.numel() for p in network.parameters()) == SPACES["llama"].parameters(architecture).total


@pytest.mark.usefixtures("shown")
def test_a_streamed_subnet_is_the_whole_one(folder: Path, tmp_path: Path) -> None:
    weights, architecture = Checkpoint.open(folder), subnet(folder, UNEVEN)
    parts = PARTED["llama"].parts(architecture, 0, weights=weights)
    x = parts.embed(TOKENS)
    for index in range(parts.blocks):
        x = parts.block(index)(x)
    network: Any = WEIGHTED["llama"].loaded(architecture, weights)
    assert parts.loss(x, TOKENS) == float(network.loss(TOKENS).detach())
    proxies = [parse("sum[ frobenius_norm(G) ]"), parse("mean[ to_std(A) ]")]
    opened = [
        Workshop.open("llama", batch=2, length=12, weights=folder, bank=tmp_path / str(stream), stream=stream)
        for stream in (False, True)
    ]
    assert (
        opened[0].exact_scores(proxies, [architecture]).tolist()
        == opened[1].exact_scores(proxies, [architecture]).tolist()
    )


@pytest.mark.usefixtures("shown")
@pytest.mark.parametrize(("cut", "notes"), [(UNEVEN, 2), (EVEN, 0)])
def test_an_exported_subnet_has_the_logits_of_the_sliced_one(
    folder: Path, tmp_path: Path, cut: Cut, notes: int
) -> None:
    weights, architecture = Checkpoint.open(folder), subnet(folder, cut)
    said = export_subnet(architecture, weights, tmp_path / "out")
    assert len(said) == notes
    library: Any = LlamaForCausalLM.from_pretrained(tmp_path / "out", attn_implementation="eager").eval()
    network: Any = WEIGHTED["llama"].loaded(architecture, weights)
    with torch.no_grad():
        theirs = library(input_ids=TOKENS, use_cache=False).logits
        ours = network.model.embed_tokens(network.hidden(TOKENS))
    if notes:  # sums over zeros as well are sums in another order
        torch.testing.assert_close(theirs, ours, rtol=1e-5, atol=1e-5)
        assert said[0] == (
            "intermediate_size: the library has one for all blocks, which have 10 to 40; narrower ones are padded with "
            "zeros to 40, so the folder has more parameters than the subnet and the same logits"
        )
    else:
        assert torch.equal(theirs, ours)
    text = "the other thing"
    assert (
        AutoTokenizer.from_pretrained(tmp_path / "out")(text).input_ids == tiny_checkpoint.tokenizer().encode(text).ids
    )
    assert json.loads((tmp_path / "out" / "subnet.json").read_text())["keep"] == [0, 2, 3]
    with pytest.raises(ValueError, match=r"out: exists and is never overwritten; choose another --export"):
        export_subnet(architecture, weights, tmp_path / "out")


def test_a_subnet_that_the_checkpoint_does_not_hold_is_not_exported(folder: Path, tmp_path: Path) -> None:
    weights, config = Checkpoint.open(folder), subnet(folder, EVEN).config
    wide = SPACES["llama"].architecture("wide", {**config, "d_ffn": [4000] * config["n_layer"]})
    with pytest.raises(BadWeights, match="d_ffn"):
        export_subnet(wide, weights, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"keep": [0, 2, 4]}, r"tiny: block 4, which cut keeps: is not there, wanted one of the 4 from 0 on"),
        ({"d_ffn": [41, 20, 10]}, r"block 0, which cut keeps: d_ffn: got 41, wanted at most 40, the units of the"),
        (
            {"n_head": [8, 4, 2], "n_kv_head": [4, 2, 1]},
            r"got 8 heads of 4 on 4, wanted at most 3 groups of 2 heads of 4",
        ),
        ({"n_head": [3, 4, 2]}, r"got 3 heads of 4 on 3, wanted at most 3 groups of 2 heads"),
        ({"head_dim": 6}, r"got 6 heads of 6 on 3, wanted at most 3 groups of 2 heads of 4 on one; give n_head"),
        ({"n_token": 301}, r"config\.json: n_token: got 300, wanted 301 for cut"),
        ({"rope_theta": 3}, r"config\.json: rope_theta: got 10000, wanted 3 for cut"),
    ],
)
def test_a_subnet_of_another_network_is_refused_in_a_line(folder: Path, more: dict[str, Any], said: str) -> None:
    with pytest.raises(BadWeights, match=said):
        WEIGHTED["llama"].check_weights(subnet(folder, UNEVEN, **more), Checkpoint.open(folder))


def test_activations_want_a_tokenizer(tmp_path: Path) -> None:
    tiny_checkpoint.network().save_pretrained(tmp_path / "bare")
    weights = Checkpoint.open(tmp_path / "bare")
    with pytest.raises(BadWeights, match=r"bare: order: got activation, but there is no tokenizer\.json"):
        WEIGHTED["llama"].loaded(subnet(tmp_path / "bare", EVEN), weights)
    WEIGHTED["llama"].loaded(subnet(tmp_path / "bare", EVEN, "magnitude"), weights)


def test_the_token_batch_is_the_checkpoints_own(folder: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("the other thing in the river " * 40)
    opened = Workshop.open("llama", batch=2, length=8, corpus=text, weights=folder, bank=tmp_path)
    ids = tiny_checkpoint.tokenizer().encode(text.read_text()).ids
    assert opened.batch.tokens.tolist() == [ids[:8], ids[len(ids) // 2 : len(ids) // 2 + 8]]
    (tmp_path / "other").mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (tmp_path / "other" / name).write_bytes((folder / name).read_bytes())
    changed = json.loads((folder / "tokenizer.json").read_text())
    changed["added_tokens"] = [
        {
            **dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False),
            "id": 262,
            "content": "zz",
            "special": False,
        }
    ]
    (tmp_path / "other" / "tokenizer.json").write_text(json.dumps(changed))
    again = Workshop.open("llama", batch=2, length=8, corpus=text, weights=tmp_path / "other", bank=tmp_path)
    assert again.batch.tokens.tolist() == opened.batch.tokens.tolist() and again.batch.digest != opened.batch.digest


def test_the_order_of_units_is_found_once_for_a_checkpoint_however_often_it_is_opened(folder: Path) -> None:
    first, again = (llama_subnets.order_of(Checkpoint.open(folder), "magnitude") for _ in range(2))
    assert first is again
    assert llama_subnets.order_of(Checkpoint.open(folder), "first") is not first
