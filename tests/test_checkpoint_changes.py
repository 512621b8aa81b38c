"""A checkpoint that is replaced, or written to, while somebody reads it: refused in one line, and nothing of the new
files is ever in the bank under the digest of the old ones."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from processes import program
from transformers import LlamaConfig, LlamaForCausalLM

from fitness.features.workshop import Workshop
from models.architecture import Architecture
from models.spaces import SPACES, WEIGHTED
from models.spaces.checkpoint import BadWeights, ChangedWeights, Checkpoint
from primitives import parse

ROOT = Path(__file__).resolve().parent.parent
SIZES: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2,
    "intermediate_size": 24, "vocab_size": 260, "max_position_embeddings": 64,
}  # fmt: skip
FORMULA = "sum[ frobenius_norm(W) ]"
SHARDS = {"one file": None, "shards": "8KB"}
INDEX = "model.safetensors.index.json"


def save(folder: Path, seed: int, shards: str | None) -> Path:
    torch.manual_seed(seed)
    model = LlamaForCausalLM(LlamaConfig(**SIZES))
    model.save_pretrained(folder, **({} if shards is None else {"max_shard_size": shards}))
    return folder


@pytest.fixture(params=SHARDS)
def folders(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    """A checkpoint, and another one of the same sizes."""
    shards = SHARDS[request.param]
    return save(tmp_path / "model", 1, shards), save(tmp_path / "other", 2, shards)


def net(width: int = 24) -> Architecture:
    fields = {"n_head": [2] * 2, "n_kv_head": [2] * 2, "d_ffn": [24, width]}
    config = {"n_layer": 2, "d_model": 16, "n_token": 260, "tgt_len": 64, **fields}
    return SPACES["llama"].architecture(f"net-{width}", config)


def last_file(folder: Path) -> Path:
    return max(folder.glob("*.safetensors"))


def replace_all(folder: Path, other: Path) -> None:
    for path in other.iterdir():
        os.replace(shutil.copy(path, folder / "new"), folder / path.name)


def rewrite_one(folder: Path, other: Path) -> None:
    """The same size, the same inode and the same time of change."""
    path, times = last_file(folder), last_file(folder).stat()
    with path.open("r+b") as file:
        file.write(last_file(other).read_bytes())
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert (path.stat().st_ino, path.stat().st_size, path.stat().st_mtime_ns) == (
        times.st_ino, times.st_size, times.st_mtime_ns,
    )  # fmt: skip


def cut_one(folder: Path, other: Path) -> None:
    os.truncate(last_file(folder), 200)


def new_config(folder: Path, other: Path) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "note": "other"}))


def new_index(folder: Path, other: Path) -> None:
    """Elsewhere a file that has every tensor as well, and says where."""
    if not (folder / INDEX).exists():
        pytest.skip("one file has no index")
    shutil.copy(last_file(other), folder / "another.safetensors")
    content = json.loads((folder / INDEX).read_text())
    names = {n: "another.safetensors" if s == last_file(other).name else s for n, s in content["weight_map"].items()}
    (folder / INDEX).write_text(json.dumps({**content, "weight_map": names}))


def remove_one(folder: Path, other: Path) -> None:
    last_file(folder).unlink()


CHANGES: dict[str, Callable[[Path, Path], None]] = {
    "all files are replaced": replace_all, "a file is rewritten in place": rewrite_one, "a file is cut": cut_one,
    "another config.json": new_config, "another index": new_index, "a file is removed": remove_one,
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_checkpoint_that_changed_is_refused_when_it_is_read(change: str, folders: tuple[Path, Path]) -> None:
    found = Checkpoint.open(folders[0])
    WEIGHTED["llama"].loaded(net(), found)
    CHANGES[change](*folders)
    with pytest.raises(ChangedWeights) as caught:
        WEIGHTED["llama"].loaded(net(), found)
    wanted = "cannot be read (No such file" if change == "a file is removed" else "was changed while it was in use"
    assert wanted in str(caught.value) and str(folders[0]) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("change", [c for c in CHANGES if c not in ("a file is cut", "a file is removed")])
def test_every_file_is_in_the_digest(change: str, folders: tuple[Path, Path]) -> None:
    before = Checkpoint.open(folders[0]).digest
    CHANGES[change](*folders)
    assert Checkpoint.open(folders[0]).digest != before


def copied_onto_itself(folder: Path) -> None:
    replace_all(folder, Path(shutil.copytree(folder, folder.parent / "copy")))


@pytest.mark.parametrize("change", [copied_onto_itself, lambda folder: os.utime(last_file(folder), ns=(5, 5))])
def test_a_copy_of_the_same_bytes_is_accepted(change: Callable[[Path], None], folders: tuple[Path, Path]) -> None:
    found, before = Checkpoint.open(folders[0]), last_file(folders[0]).stat()
    wanted: dict[str, Any] = WEIGHTED["llama"].loaded(net(), found).state_dict()
    change(folders[0])
    assert (before.st_ino, before.st_mtime_ns) != (
        last_file(folders[0]).stat().st_ino, last_file(folders[0]).stat().st_mtime_ns,
    )  # fmt: skip
    again = WEIGHTED["llama"].loaded(net(), found).state_dict()
    assert all(torch.equal(again[name], wanted[name]) for name in wanted)


def test_a_change_in_the_middle_of_a_network_is_noticed(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from models.spaces.stored_tensors import StoredTensor

    found, read, seen = Checkpoint.open(folders[0]), StoredTensor.first, list[str]()

    def first(self: StoredTensor, shape: tuple[int, ...]) -> torch.Tensor:
        value = read(self, shape)
        seen.append(self.name)
        if len(seen) == 4:
            rewrite_one(*folders)
        return value

    monkeypatch.setattr(StoredTensor, "first", first)
    with pytest.raises(
        ChangedWeights, match="was changed while it was in use, wanted the file of the start; start again"
    ):
        WEIGHTED["llama"].loaded(net(), found)
    assert len(seen) > 4


def scores(folder: Path, bank: Path, widths: range) -> list[float]:
    workshop = Workshop.open("llama", devices="cpu", bank=bank, weights=folder, batch=1, length=8)
    return list(workshop.exact_scores([parse(FORMULA)], [net(width) for width in widths])[0])


@pytest.mark.parametrize(
    ("change", "shards"),
    [("all files are replaced", None), ("a file is rewritten in place", "8KB"), ("another index", "8KB")],
)
def test_workers_refuse_a_checkpoint_that_changed_and_the_bank_stays_clean(
    change: str, shards: str | None, tmp_path: Path
) -> None:
    folders = save(tmp_path / "model", 1, shards), save(tmp_path / "other", 2, shards)
    old = Path(shutil.copytree(folders[0], tmp_path / "old"))
    workshop = Workshop.open("llama", devices="cpu,cpu", bank=tmp_path / "bank", weights=folders[0], batch=1, length=8)

    def progress(done: int, total: int) -> None:
        if done == 2:
            CHANGES[change](*folders)

    with pytest.raises(BadWeights, match="was changed while it was in use"):
        workshop.exact_scores([parse(FORMULA)], [net(width) for width in range(8, 20)], progress)
    found, fresh = (scores(old, tmp_path / bank, range(8, 20)) for bank in ("bank", "fresh"))
    assert found == fresh != scores(folders[1], tmp_path / "others", range(8, 20))
    kept = list((tmp_path / "bank").rglob("*"))
    assert len(kept) >= 2


def test_a_writer_that_never_rests_spoils_no_score(tmp_path: Path) -> None:
    """`rank` beside a process that writes two checkpoints in turn, into the same file: an answer is that of one of
    them, or one line."""
    one, other = save(tmp_path / "one", 1, None), save(tmp_path / "other", 2, None)
    lines = [json.dumps({"id": net(w).id, "space": "llama", "config": dict(net(w).config)}) for w in range(8, 14)]
    (tmp_path / "nets.jsonl").write_text("\n".join(lines) + "\n")
    right = [scores(folder, tmp_path / "right", range(8, 14)) for folder in (one, other)]
    model = Path(shutil.copytree(one, tmp_path / "model"))
    writer = subprocess.Popen([sys.executable, "-c", WRITER, *map(str, (model, one, other))])
    try:
        for round_ in range(2):
            answer(tmp_path, model, right, wait=0.3 * round_)
    finally:
        writer.kill()
        writer.wait()
    for folder, wanted in zip((one, other), right, strict=True):
        shutil.copy(folder / "model.safetensors", model)
        assert scores(model, tmp_path / "bank", range(8, 14)) == wanted


WRITER = """
import sys, time
from pathlib import Path
model, *sources = map(Path, sys.argv[1:])
contents = [(source / "model.safetensors").read_bytes() for source in sources]
while True:
    for content in contents:
        with (model / "model.safetensors").open("r+b") as file:
            for start in range(0, len(content), 4096):
                file.write(content[start : start + 4096])
                file.flush()
        time.sleep(0.05)
"""


def answer(place: Path, model: Path, right: list[list[float]], wait: float) -> None:
    time.sleep(wait)
    done = program("rank", "nets.jsonl", "--weights", model, "--proxy", FORMULA, "--bank", "bank", "--devices", "cpu",
                   "--batch", 1, "--seq-len", 8, "--format", "jsonl", folder=place)  # fmt: skip
    if done.returncode == 0:
        found = {row["id"]: row["score"] for row in map(json.loads, done.stdout.splitlines())}
        assert [found[net(width).id] for width in range(8, 14)] in [pytest.approx(r, rel=1e-9) for r in right]
    else:
        assert done.returncode == 1 and "Traceback" not in done.stderr
        assert "was changed while it was in use" in done.stderr or "copy it again" in done.stderr
