"""llama-cut: a trained checkpoint, its subnets as cut and healed, a training that stops anywhere, and what is committed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

import cli
from commands.feature_options import FeatureOptions
from models.benchmarks import load_benchmark
from models.benchmarks.origins import embedded_checkpoint, embedded_path, verify
from models.checkpoints.packages import BadPackage
from models.spaces import SPACES
from models.spaces.checkpoint import Checkpoint
from models.training import healing
from models.training.corpus import load_corpus
from models.training.cuts.sample import CutSample
from models.training.elastic import ElasticPlan
from models.training.healing import HealingPlan, HealingTask, cut_subnets, heal, train_and_cut, verify_healing
from models.training.learning import CLIP, Budget
from storage.files import BadFile
from storage.log import OtherTask

SAMPLE = CutSample((0.0,) * 8, (0.9, 0.6), borders=(0, 4), branches=(3, 3))
BASE = ElasticPlan(Budget(steps=4, batch=2, length=16), seed=1, parts=3, windows=4)
TINY = HealingPlan(BASE, SAMPLE, healing=Budget(steps=3, batch=2, length=16), looks=(2, 4), repeated=2, seeds=2)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of four steps and its nine subnets, made without interruption."""
    return train_and_cut(tmp_path_factory.mktemp("healing") / "tiny.jsonl", TINY)


def lines(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    header, *records = map(json.loads, path.read_text().splitlines())
    return header, records


def test_subnets_are_distinct_and_of_every_kind() -> None:
    found = cut_subnets()
    assert len(found) == len({a.digest for a in found}) == 527 and found[0].id == "whole"
    assert {a.config["n_layer"] for a in found} >= {6, 7, 8}
    assert {count for a in found for count in a.config["n_kv_head"]} == {1, 2}
    assert min(width for a in found for width in a.config["d_ffn"]) == 192
    sizes = [SPACES["llama"].parameters(a).decoder for a in found]
    assert max(sizes) == sizes[0] and 0.5 < min(sizes) / sizes[0] < 0.6


def test_the_checkpoint_is_one_that_the_library_loads(made: Path) -> None:
    folder, text = made.with_suffix(""), "def f(x):\n    return 'Grüße'\x00"
    tokens = torch.tensor([Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text).ids])
    assert tokens[0].tolist() == list(text.encode())
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    with torch.no_grad():
        wanted = theirs(input_ids=tokens, labels=tokens).loss.item()
    ours: Any = SPACES["llama"].loaded(cut_subnets(TINY)[0], Checkpoint.open(folder))  # type: ignore[attr-defined]
    assert ours.loss(tokens).item() == pytest.approx(wanted, rel=1e-6)
    with pytest.raises(BadPackage, match="exists and is never overwritten"):
        healing.new_checkpoint(folder, healing.SUPERNET, {})


def test_healing_is_a_training_in_plain_torch(made: Path) -> None:
    subnet, weights = cut_subnets(TINY)[2], Checkpoint.open(made.with_suffix(""))
    found = heal(HealingTask(subnet, weights, TINY, seed=5), "cpu")
    torch.set_flush_denormal(True)
    model: Any = SPACES["llama"].loaded(subnet, weights)  # type: ignore[attr-defined]
    text, seen, order = load_corpus().train, load_corpus().validation, torch.Generator().manual_seed(5)
    starts = torch.linspace(0, len(seen) - 16, 12).long()
    windows = torch.stack([seen[at : at + 16].long() for at in starts])
    shown = torch.stack([text[at : at + 16].long() for at in torch.linspace(0, len(text) - 16, 4).long()])

    def losses(*parts: torch.Tensor) -> list[float]:
        with torch.no_grad():
            return [round(model.loss(part).item(), 6) for part in parts]

    assert found.cut == losses(*windows.split(4)) and found.looks == losses(shown[::2], shown)
    matrices, gains = ([p for p in model.parameters() if (p.ndim > 1) == many] for many in (True, False))
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": gains, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)
    for step in range(3):
        begun = torch.randint(len(text) - 16, (2,), generator=order)
        for group in optimiser.param_groups:
            group["lr"] = TINY.healing.rate(step, 128)
        model.loss(torch.stack([text[at : at + 16].long() for at in begun])).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimiser.step()
        optimiser.zero_grad()
    torch.set_flush_denormal(False)
    assert found.healed == pytest.approx(losses(*windows.split(4)), abs=2e-6) and found.healed != found.cut


def test_the_table_has_two_metrics_with_the_noise_of_each(made: Path) -> None:
    header, records = lines(made)
    assert header["checkpoint"] == Checkpoint.open(made.with_suffix("")).digest and header["name"] == "tiny"
    assert [r["id"] for r in records] == ["whole", *(f"cut-{i:03d}" for i in range(9))]
    assert [len(r.get("healed_seeds", ())) for r in records] == [2, 2, *[0] * 8]
    assert header["noise_ceiling"]["seeds"] == 3 and header["healed_noise_ceiling"]["seeds"] == 2
    for record in records:
        assert record["loss"] == pytest.approx(sum(record["replicates"]) / 3, abs=1e-6)
        assert record["healed"] == record.get("healed_seeds", [record["healed"]])[0]
    by_loss, by_healed = (load_benchmark(str(made), metric) for metric in ("loss", "healed"))
    assert by_loss.ground_truth.tolist() == [r["loss"] for r in records] != by_healed.ground_truth.tolist()
    assert not by_healed.higher_is_better and by_healed.ground_truth.tolist() == [r["healed"] for r in records]
    assert by_loss.architectures[1].config["keep"] == tuple(records[1]["config"]["keep"])


@pytest.mark.parametrize("stops", [(1,), (3,), (5, 2), (9,)])
def test_a_training_that_stops_anywhere_gives_the_same_bytes(
    made: Path, tmp_path: Path, stops: tuple[int, ...]
) -> None:
    path, said = tmp_path / "tiny.jsonl", list[str]()
    for most in stops:
        asked = iter(range(100))
        with pytest.raises(KeyboardInterrupt):
            train_and_cut(path, TINY, should_stop=lambda asked=asked, most=most: next(asked) >= most)
    train_and_cut(path, TINY, on_progress=lambda p: said.append(f"{p.stage} {p.done}/{p.total}"))
    assert path.read_bytes() == made.read_bytes() and said[-1] == "healed 12/12"


def test_two_processes_give_the_same_bytes(made: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny").symlink_to(made.with_suffix(""))
    assert train_and_cut(tmp_path / "tiny.jsonl", TINY, jobs=2, niceness=3).read_bytes() == made.read_bytes()
    with pytest.raises(OtherTask):
        train_and_cut(tmp_path / "tiny.jsonl", replace(TINY, seeds=1))


def test_some_are_measured_and_healed_again(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadFile, match=r"tiny.jsonl: got another plan, wanted a file that this version made"):
        verify_healing(made)
    monkeypatch.setattr(healing, "CUT", TINY)
    found = verify_healing(made, 2, seed=3)
    assert found.corpus_matches and found.agrees and len(found.checks) == 4
    assert [check.id.split()[1] for check in found.checks] == ["healed", "loss"] * 2
    allowed = 4 * lines(made)[0]["healed_noise_ceiling"]["sd"]
    assert [check.allowed for check in found.checks] == [allowed, 1e-4] * 2
    header, records = lines(made)
    for record in records:
        record["healed"] += 5 * header["healed_noise_ceiling"]["sd"]
    text = "\n".join(map(json.dumps, [{**header, "checkpoint": "0"}, *records]))
    (tmp_path / "tiny").symlink_to(made.with_suffix(""))
    (tmp_path / "tiny.jsonl").write_text(text)
    with pytest.raises(BadFile, match="got another checkpoint, wanted"):
        verify_healing(tmp_path / "tiny.jsonl")
    (tmp_path / "tiny.jsonl").write_text("\n".join(map(json.dumps, [header, *records])))
    assert [check.agrees for check in verify_healing(tmp_path / "tiny.jsonl", 1).checks] == [False, True]


def test_what_is_embedded_is_what_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    benchmark, folder = verify("llama-cut"), embedded_path("llama-cut").with_suffix("")
    assert [a.digest for a in benchmark.architectures] == [a.digest for a in cut_subnets()]
    assert embedded_checkpoint(benchmark) == folder
    assert Checkpoint.open(folder).digest == benchmark.header["checkpoint"]
    assert embedded_checkpoint(load_benchmark("smollm2-subnets")) is None
    assert cli.main(["benchmarks", "verify", "llama-cut", "--sample", "1"]) == 0
    loss, healed = sorted(capsys.readouterr().out.splitlines()[1:], key=lambda line: " healed:" in line)
    assert loss.endswith("within 0.000100") and healed.endswith("within 0.004884")


def test_its_commands_take_the_embedded_checkpoint(tmp_path: Path) -> None:
    benchmark = load_benchmark("llama-cut")
    workshop = FeatureOptions(devices="cpu", bank=tmp_path, price="whole").open_for(benchmark)
    assert workshop.bank.key.weights == benchmark.header["checkpoint"] and workshop.batch.unit == "tokens"


def test_the_command_trains_it_with_the_workers_that_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[Path, Any, Any]] = []

    def training(path: Path, jobs: int, niceness: int, on_progress: Any, should_stop: Any) -> Path:
        asked.append((path, jobs, niceness))
        return path

    monkeypatch.setattr(healing, "train_and_cut", training)
    words = ["benchmarks", "train", "llama-cut", "--out", str(tmp_path / "x.jsonl"), "--jobs", "3", "--niceness", "7"]
    assert cli.main(words) == 0 and asked == [(tmp_path / "x.jsonl", 3, 7)]
    assert capsys.readouterr().out.strip() == str(tmp_path / "x.jsonl")
