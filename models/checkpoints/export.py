"""An architecture, or a subnet of a checkpoint, as a folder that Hugging Face's library loads; the logits of a subnet
are equal to those that it has here.

The library has one feed-forward width and one number of heads for all blocks. Where blocks of a subnet differ, narrower
ones are padded with zeros to the widest: a unit without weights gives nothing.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from models.architecture import Architecture
from models.checkpoints.packages import BadPackage
from models.spaces.checkpoint import Checkpoint
from models.spaces.llama.configuration import head_widths
from models.spaces.llama.library import library_fields
from models.spaces.llama.space import LlamaSpace
from models.tokenizer import TOKENIZER_FILE, byte_tokenizer
from storage.files import write_atomic

__all__ = ["check_absent", "export_architecture", "export_subnet", "new_checkpoint"]

BESIDE = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "generation_config.json",
    "LICENSE",
    "LICENSE.txt",
)
ROWS = ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj")
FEEDING = ("gate_proj", "up_proj", "down_proj")
KINDS = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}


def export_subnet(architecture: Architecture, weights: Checkpoint, folder: Path) -> list[str]:
    """Write the subnet to a folder, which appears whole or not at all, in the precision of the checkpoint; returns a
    line for each field of the library that cannot say what the subnet is. BadPackage if the folder exists."""
    check_absent(folder)
    space = LlamaSpace()
    space.check_weights(architecture, weights)
    config, notes = _config(architecture.config, weights.config)
    network: Any = space.loaded(architecture, weights)
    kind = KINDS.get(str(config.get("dtype", config.get("torch_dtype"))), torch.float32)
    tensors = {name: _padded(name, p.detach(), config).to(kind) for name, p in network.named_parameters()}
    with _new_folder(folder) as made:
        _write(made, config, tensors)
        write_atomic(made / "subnet.json", (json.dumps(dict(architecture.config), sort_keys=True) + "\n").encode())
        for name in BESIDE:
            if (source := weights.folder / name).is_file():
                shutil.copyfile(source, made / name)
    return notes


def export_architecture(architecture: Architecture, folder: Path, init: str | None = None, seed: int = 0) -> None:
    """Write the config.json of an architecture of the space `llama` to a folder, which appears whole or not at all;
    with `init`, a build of the space hf, also weights that it draws. BadPackage if the folder exists."""
    from models.spaces import SPACES

    check_absent(folder)
    config, tensors = library_fields(architecture.config), dict[str, torch.Tensor]()
    if init is not None:
        network: Any = SPACES["hf"].build(SPACES["hf"].architecture(architecture.id, config), seed, init)
        tensors = {name: parameter.detach() for name, parameter in network.model.named_parameters()}
    with _new_folder(folder) as made:
        _write(made, config, tensors)


def new_checkpoint(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> None:
    """Write a trained network of the space `llama`, whose token ids are bytes, to a folder, which appears whole or not
    at all: float16 weights and a tokenizer. BadPackage if the folder exists."""
    check_absent(folder)
    fields = {**library_fields(config), "dtype": "float16"}
    with _new_folder(folder) as made:
        _write(made, fields, {name: tensor.half().contiguous() for name, tensor in tensors.items()})
        write_atomic(made / TOKENIZER_FILE, byte_tokenizer())


def check_absent(folder: Path) -> None:
    """BadPackage if the folder exists."""
    if folder.exists():
        raise BadPackage(f"{folder}: exists and is never overwritten; choose another --export, or move it away")


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """A folder beside, which takes the place of `folder` at the end of the block."""
    folder.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.absolute().parent, prefix=f".{folder.name}.", suffix=".part") as place:
        made = Path(place) / "made"
        made.mkdir()
        yield made
        made.rename(folder)


def _write(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> None:
    if tensors:
        save_file(dict(tensors), folder / "model.safetensors", {"format": "pt"})
    write_atomic(folder / "config.json", (json.dumps(config, indent=2, sort_keys=True) + "\n").encode())


def _config(config: Mapping[str, Any], stated: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The config.json of a subnet: that of the checkpoint with other sizes; and what it cannot say."""
    sizes = {
        "num_hidden_layers": config["n_layer"],
        "intermediate_size": max(config["d_ffn"]),
        "num_attention_heads": max(config["n_head"]),
        "num_key_value_heads": max(config["n_kv_head"]),
        "head_dim": head_widths(config)[0],
    }
    lists = {"intermediate_size": config["d_ffn"], "num_key_value_heads": config["n_kv_head"]}
    notes = [
        f"{field}: the library has one for all blocks, which have {min(values)} to {max(values)}; narrower ones are "
        f"padded with zeros to {max(values)}, so the folder has more parameters than the subnet and the same logits"
        for field, values in lists.items()
        if min(values) < max(values)
    ]
    kept = {name: value for name, value in stated.items() if not name.startswith("_")}
    return {**kept, **sizes}, notes


def _padded(name: str, weight: torch.Tensor, config: Mapping[str, Any]) -> torch.Tensor:
    """A map of a block with zeros for the units and heads that only wider blocks have."""
    kind = name.split(".")[-2]
    if kind not in (*ROWS, "o_proj", "down_proj"):
        return weight.clone()
    heads = "num_key_value_heads" if kind in ("k_proj", "v_proj") else "num_attention_heads"
    size = config["intermediate_size"] if kind in FEEDING else config[heads] * config["head_dim"]
    shape = (size, weight.shape[1]) if kind in ROWS else (weight.shape[0], size)
    found = torch.zeros(shape, dtype=weight.dtype)
    found[: weight.shape[0], : weight.shape[1]] = weight
    return found
