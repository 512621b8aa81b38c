"""One bad candidate among many: the others are ranked, it stands last with its reason, and nothing else changes."""

from __future__ import annotations

import csv
import io
import json
import random
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import tiny_config

import cli
from engine.crew import WorkerCrash
from fitness.features.bank import SketchEntry
from fitness.features.collect import FeatureError
from fitness.features.figures import Figure, part_scores
from fitness.features.gathering import BadAnswer
from fitness.features.takers import SketchTaker
from fitness.features.visit import Failure
from fitness.features.workshop import Workshop
from models.architecture import Architecture
from models.candidates import Refusal, read_candidates
from models.spaces import SPACES
from primitives.grammar import parse

CONFIG = tiny_config(random.Random(2))
GOOD = [{"id": f"good{i}", "space": "gpt2", "config": tiny_config(random.Random(i))} for i in range(3)]
LLAMA = {"model_type": "llama", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
         "intermediate_size": 48, "vocab_size": 256, "max_position_embeddings": 64}  # fmt: skip


@pytest.mark.parametrize(
    ("line", "id", "reason"),
    [
        ({"id": "bad", "space": "gpt2", "config": CONFIG | {"d_modell": 8}}, "bad", "d_modell: unknown field"),
        ({"id": "bad", "space": "gpt2", "config": CONFIG | {"n_layer": "two"}}, "bad", "n_layer: got 'two', wanted a"),
        ({"id": "bad", "space": "gtp", "config": CONFIG}, "bad", "space: got 'gtp', wanted one of gpt2"),
        ({"id": "bad", "space": "gpt2"}, "bad", "config is missing"),
        ({"id": "bad", "space": "gpt2", "config": 3}, "bad", "config: got 3, wanted an object"),
        ({"id": "good0", "space": "gpt2", "config": CONFIG}, "good0", "id occurs twice"),
        ({"space": "gpt2", "config": CONFIG}, "line 3", "id: got nothing"),
        ({"id": [1], "space": "gpt2", "config": CONFIG}, "[1]", "id: got .1., wanted a text"),
        ({"id": "x" * 300, "space": "gpt2", "config": CONFIG}, "x" * 200, "id: wanted 1 to 200"),
        ({"id": "bad", "space": "hf", "config": LLAMA | {"model_type": "lama"}}, "bad", "model_type: got 'lama'"),
        ('{"id": "bad", "space"', "line 3", "not valid JSON"),
        ("[1, 2]", "line 3", "got list, wanted a mapping"),
    ],
)
def test_a_bad_record_is_refused_and_the_others_are_read(
    tmp_path: Path, line: dict[str, Any] | str, id: str, reason: str
) -> None:
    path = tmp_path / "some.jsonl"
    lines = [GOOD[0], GOOD[1], line, GOOD[2]]
    path.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in lines))
    refused: list[Refusal] = []
    assert [a.id for a in read_candidates([path], None, refused)] == ["good0", "good1", "good2"]
    [found] = refused
    assert found.id.endswith(id) and len(found.id) <= 200
    assert re.search(reason, found.reason)
    with pytest.raises(ValueError, match=reason):
        read_candidates([path])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"model_type": "llama"', "not valid JSON"),
        (b"{}", "model_type is missing"),
        (b"3", "got int, wanted a mapping"),
        (b'{"model_type": "llama", "num_hidden_layers": "x"}', "llama: transformers refuses the configuration"),
        (b"\xff\xfe{", "got UTF-16"),
        (b"", "not valid JSON"),
    ],
)
def test_a_bad_configuration_in_a_folder_is_refused_and_the_others_are_read(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    for name in ("a", "z"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(LLAMA))
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "config.json").write_bytes(content)
    refused: list[Refusal] = []
    assert [a.id for a in read_candidates([tmp_path], None, refused)] == ["a", "z"]
    assert [(found.id, reason in found.reason) for found in refused] == [("bad", True)]


def test_a_path_where_nothing_is_is_a_mistake_even_where_bad_candidates_are_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such file or folder"):
        read_candidates([tmp_path / "x.json"], None, [])
    (tmp_path / "bare.jsonl").write_text(json.dumps({"id": "a", "config": CONFIG}) + "\n")
    with pytest.raises(ValueError, match="space is missing"):
        read_candidates([tmp_path / "bare.jsonl"], None, [])


@pytest.mark.parametrize("ends", [("", ""), ("1", "2")])
def test_long_ids_of_several_files_stay_distinct(tmp_path: Path, ends: tuple[str, str]) -> None:
    for name in ("one", "two", "three"):
        records = [GOOD[i] | {"id": "x" * (200 - len(end)) + end} for i, end in enumerate(ends) if end or i == 0]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    found = read_candidates([tmp_path / f"{name}.jsonl" for name in ("one", "two", "three")])
    ids = [architecture.id for architecture in found]
    assert len(set(ids)) == len(ids) in (3, 6) and max(map(len, ids)) <= 200


FORMULAS = ["sum[ frobenius_norm(W) ]", "mean[ l1_norm(A) ]", "sum[ l1_norm(G) ]"]


@pytest.mark.parametrize(("text", "read"), [(FORMULAS[0], False), (FORMULAS[1], False), (FORMULAS[2], True)])
def test_no_memory_is_asked_for_gradients_that_no_formula_reads(
    text: str, read: bool, tmp_path: Path, tiny_architectures: list[Architecture], monkeypatch: pytest.MonkeyPatch
) -> None:
    small, large = sorted(tiny_architectures, key=lambda a: SPACES["gpt2"].parameters(a).total)[
        :: len(tiny_architectures) - 1
    ]
    proxies = [parse(text)]
    wanted = Workshop.open("gpt2", batch=2, length=24, devices="cpu", bank=tmp_path / "a").exact_scores(
        proxies, [large]
    )
    count = SPACES["gpt2"].parameters(large)
    free = 4 * count.total + 2 * count.decoder
    monkeypatch.setattr("fitness.features.workshop.free_on", lambda devices: free)
    workshop = Workshop.open("gpt2", batch=2, length=24, devices="cpu", bank=tmp_path / "b")
    refused: dict[Architecture, str] = {}
    found = workshop.exact_scores(proxies, [small, large], refused=refused)
    assert np.isfinite(found[0, 0])
    if read:
        assert list(refused) == [large] and "for weights and gradients" in refused[large] and np.isnan(found[0, 1])
        with pytest.raises(FeatureError, match="for weights and gradients"):
            workshop.exact_scores(proxies, [large])
    else:
        assert not refused and found[0, 1] == wanted[0, 0]
        assert workshop.bank.load_sketch(large) is workshop.bank.load_sketch(small) is None  # exact scores want none


def _rank(tmp_path: Path, capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    common = ["--bank", str(tmp_path / "bank"), "--devices", "cpu", "--batch", "2", "--seq-len", "24"]
    code = cli.main(["rank", *words, *common])
    said = capfd.readouterr()
    return code, said.out, said.err


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (CONFIG | {"d_modell": 8}, "d_modell: unknown field"),
        (CONFIG | {"tgt_len": 8}, "got sequences of 24 tokens, wanted at most 8; lower --seq-len"),
        (CONFIG | {"n_token": 60, "cutoffs": []}, "its vocabulary has 60"),
    ],
)
def test_a_bad_candidate_stands_last_in_every_form(
    bad: dict[str, Any], reason: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "some.jsonl"
    records = [GOOD[0], {"id": "bad", "space": "gpt2", "config": bad}, *GOOD[1:]]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    words = (str(path), "--proxy", FORMULAS[0])
    code, out, err = _rank(tmp_path, capfd, *words, "--format", "json")
    rows = json.loads(out)["rows"]
    assert code == 0 and "1 of 4 candidates could not be ranked" in err and json.loads(out)["refused"] == 1
    assert [row["place"] for row in rows] == [1, 2, 3, None] and rows[-1]["id"] == "bad"
    assert reason in rows[-1]["reason"] and rows[-1]["config"]["n_layer"] == bad["n_layer"]
    (tmp_path / "again.json").write_text(out)
    code, again, _ = _rank(tmp_path, capfd, str(tmp_path / "again.json"), *words[1:], "--format", "csv")
    cells = list(csv.DictReader(io.StringIO(again)))
    assert code == 0 and [cell["id"] for cell in cells] == [row["id"] for row in rows]
    assert reason in cells[-1]["notes"] and cells[-1]["place"] == cells[-1]["score"] == ""
    path.write_text(json.dumps(records[1]) + "\n")
    code, out, err = _rank(tmp_path, capfd, *words, "--format", "json")
    assert code == 1 and reason in json.loads(out)["rows"][0]["reason"]
    assert "error: none of 1 candidates could be ranked; bad: " in err and reason in err


def test_a_candidate_that_ends_its_worker_stands_last(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(function: Callable[[Any, str], Any], tasks: Iterable[Any], devices: object) -> Iterator[tuple[Any, Any]]:
        for task in tasks:
            if str(task) == "bad":
                raise WorkerCrash("a worker process died twice on one task (killed by SIGKILL)", task)
            yield task, function(task, "cpu")

    monkeypatch.setattr("fitness.features.workshop.map_on_devices", killed)
    path = tmp_path / "some.jsonl"
    # The largest network is visited first, so all others come after the crash.
    records = [{"id": "bad", "space": "gpt2", "config": CONFIG | {"n_token": 900}}, *GOOD]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    code, out, err = _rank(tmp_path, capfd, str(path), "--proxy", FORMULAS[0], "--format", "json")
    rows = json.loads(out)["rows"]
    assert code == 0 and [row["place"] for row in rows] == [1, 2, 3, None] and rows[-1]["id"] == "bad"
    assert "killed by SIGKILL" in rows[-1]["reason"] and "1 of 4 candidates could not be ranked" in err
    workshop = Workshop.open("gpt2", batch=2, length=24, devices="cpu", bank=tmp_path / "elsewhere")
    several = [SPACES["gpt2"].architecture(record["id"], record["config"]) for record in records]
    with pytest.raises(WorkerCrash):  # whoever lists no refusals hears of it
        workshop.extract(several)
    told, refused = list[tuple[int, int]](), dict[Architecture, str]()
    workshop.exact_scores([parse(FORMULAS[0])], several, lambda *done: told.append(done), refused)
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)] and [a.id for a in refused] == ["bad"]


class Liar:
    """An engine whose workers run something else."""

    def __init__(self, change: Callable[[Any], Any]) -> None:
        self.change = change

    def run(self, function: Callable[[Any, str], Any], tasks: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        for task in tasks:
            yield task, self.change(function(task, "cpu"))

    def free_memory(self) -> None:
        return None


def _narrow(entry: SketchEntry) -> SketchEntry:
    return replace(entry, samples={name: x[:, :5] for name, x in entry.samples.items()})


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda taken: None, id="nothing"),
        pytest.param(lambda taken: taken[:1], id="one part"),
        pytest.param(lambda taken: [*taken, 1], id="a part more"),
        pytest.param(lambda taken: tuple(taken), id="a tuple"),
        pytest.param(lambda taken: [taken[1], taken[0]], id="another order"),
        pytest.param(lambda taken: [{}, taken[1]], id="no figures"),
        pytest.param(lambda taken: [{FORMULAS[0]: 3.0}, taken[1]], id="a number for a figure"),
        pytest.param(lambda taken: [{FORMULAS[0]: Figure(float("nan"))}, taken[1]], id="nan"),
        pytest.param(lambda taken: [{FORMULAS[0]: Figure("3")}, taken[1]], id="a text for a number"),
        pytest.param(lambda taken: [{FORMULAS[1]: Figure(3.0)}, taken[1]], id="another formula"),
        pytest.param(lambda taken: [taken[0], _narrow(taken[1])], id="a narrow sketch"),
        pytest.param(lambda taken: [taken[0], replace(taken[1], blocks="2")], id="a text for blocks"),
        pytest.param(lambda taken: [taken[0], replace(taken[1], layout={})], id="no layout"),
        pytest.param(lambda taken: Failure("asked for nothing that may fail"), id="a failure"),
    ],
)
def test_an_answer_of_another_shape_never_reaches_the_bank(
    change: Callable[[Any], Any], tmp_path: Path, tiny_architectures: list[Architecture]
) -> None:
    workshop = Workshop.open("gpt2", batch=2, length=24, devices="cpu", bank=tmp_path)
    takers = [part_scores([parse(FORMULAS[0])]), SketchTaker()]
    with pytest.raises(BadAnswer, match="tiny0: got an answer of another shape from a worker"):
        replace(workshop, engine=Liar(change)).visit(takers, tiny_architectures[:1])
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert np.isfinite(workshop.exact_scores([parse(FORMULAS[0])], tiny_architectures[:1])).all()


class Ordered:
    """An engine that notes the order in which networks are asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def run(self, function: Callable[..., Any], tasks: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        for task in tasks:
            self.asked.append(task.architecture.id)
            yield task, function(task, "cpu")

    def free_memory(self) -> None:
        return None


def test_the_largest_networks_are_visited_first(tmp_path: Path, tiny_architectures: list[Architecture]) -> None:
    engine = Ordered()
    workshop = replace(Workshop.open("gpt2", batch=2, length=24, devices="cpu", bank=tmp_path), engine=engine)
    chosen = tiny_architectures[:6]
    assert workshop.extract(chosen) == 6
    sizes = {a.id: SPACES["gpt2"].parameters(a).total for a in chosen}
    found = [sizes[id] for id in engine.asked]
    assert found == sorted(found, reverse=True) and len(set(found)) > 1
