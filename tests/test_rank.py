"""rank: what nobody measured in order of a formula's score, from files of every layout, and a line for every mistake."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import tiny_config
from test_models_hf import FAMILIES

import cli
from fitness.candidates import beyond, ranges
from fitness.costs import Costs, costs_of
from fitness.evaluation import Evaluation
from fitness.features.bank import FeatureKey
from fitness.features.workshop import Workshop
from fitness.predictors.predictor_file import load_predictor
from gp.hall_file import BenchmarkRef, HallCase, HallDocument, HallProxy, Measured, SplitIds, save_hall
from models.benchmarks.origins import load_benchmark
from models.spaces import SPACES
from models.tokens import TokenBatch
from primitives.grammar import parse

TEXTS = ("sum[ frobenius_norm(W) ]", "mean[ frobenius_norm(G) ]", "sum[ l1_norm(H) ]")
KEY = FeatureKey.create("gpt2", TokenBatch.from_passage(2, 24).digest).digest
FAST = ("--batch", "2", "--seq-len", "24", "--devices", "cpu")
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def hall(tmp_path_factory: pytest.TempPathFactory, tiny_benchmark: Path) -> Path:
    """Three formulas, the first with the sign -1, evolved on half of the small benchmark."""
    benchmark = load_benchmark(str(tiny_benchmark))
    ids = [architecture.id for architecture in benchmark.architectures]
    proxies = [HallProxy(Evaluation(parse(text), 0.9, sign)) for text, sign in zip(TEXTS, (-1, 1, 1), strict=True)]
    case = HallCase(
        str(tiny_benchmark), "gpt2", None, BenchmarkRef("tiny", benchmark.digest, "loss", False),
        SplitIds(tuple(ids[:15]), tuple(ids[15:])), KEY, (Measured(),) * len(TEXTS),
    )  # fmt: skip
    document = HallDocument(1, {"batch": 2, "seq_len": 24}, (case,), tuple(proxies))
    path = tmp_path_factory.mktemp("hall") / "hall.json"
    save_hall(path, document)
    return path


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve candidates as JSON lines with a header."""
    rng = random.Random(3)
    path = tmp_path_factory.mktemp("lines") / "some.jsonl"
    records: list[dict[str, Any]] = [{"schema": 1, "space": "gpt2"}]
    records += [{"id": f"c{i}", "config": tiny_config(rng)} for i in range(12)]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five folders with a config.json of five families."""
    folder = tmp_path_factory.mktemp("models")
    for family in ("llama", "gpt2", "bert", "falcon", "modernbert"):
        (folder / family).mkdir()
        (folder / family / "config.json").write_text(json.dumps({"model_type": family, **FAMILIES[family]}))
    return folder


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bank")


def ranked(capfd: pytest.CaptureFixture[str], *words: object) -> tuple[dict[str, Any], str]:
    """The JSON of a run that ends well, and its talk."""
    assert cli.main(["rank", *map(str, words), "--format", "json"]) == 0
    said = capfd.readouterr()
    return json.loads(said.out), said.err


def test_candidates_stand_in_the_order_of_the_signed_exact_score(
    hall: Path, lines: Path, bank: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    answer, said = ranked(capfd, lines, "--hall", hall, "--bank", bank, "--devices", "cpu")
    rows = answer["rows"]
    scores = [row["score"] for row in rows]
    assert len(rows) == 12 and scores == sorted(scores, reverse=True) and all(score < 0 for score in scores)
    assert [row["place"] for row in rows] == list(range(1, 13))
    assert answer["direction"] == "higher is better: a lower loss is expected, as on tiny"
    assert "features as in the run: --batch 2 --seq-len 24" in said
    for row in rows:
        architecture = SPACES["gpt2"].architecture("x", row["config"])
        count = SPACES["gpt2"].parameters(architecture)
        assert (row["params"], row["decoder_params"]) == (count.total, count.decoder)
        assert (row["depth"], row["width"]) == SPACES["gpt2"].shape(architecture)
        assert row["flops"] == 2 * SPACES["gpt2"].multiply_adds(architecture, 24)
        assert row["space"] == "gpt2" and row["reason"] is None


@pytest.mark.parametrize("more", [(), ("--committee", "3")], ids=["formula", "committee"])
def test_a_candidate_has_one_score_in_any_company_and_order(
    more: tuple[str, ...], hall: Path, lines: Path, models: Path, bank: Path, tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    options = ("--hall", hall, "--devices", "cpu", *more)
    together, _ = ranked(capfd, lines, models, *options, "--bank", bank)
    scores = {row["id"]: row["score"] for row in together["rows"]}
    assert len(scores) == 17 and len(set(scores.values())) == 17
    header, *records = lines.read_text().splitlines()
    (tmp_path / "few.jsonl").write_text("\n".join([header, *reversed(records[:3])]) + "\n")
    few, _ = ranked(capfd, models / "bert", tmp_path / "few.jsonl", *options, "--bank", tmp_path / "cold")
    assert {row["id"] for row in few["rows"]} == {"bert", "c0", "c1", "c2"}
    assert all(row["score"] == scores[row["id"]] for row in few["rows"])


def test_what_rank_prints_it_reads_again(
    hall: Path, lines: Path, models: Path, bank: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options = ("--hall", hall, "--bank", bank, "--devices", "cpu")
    first, _ = ranked(capfd, lines, models, *options)
    (tmp_path / "rows.json").write_text(json.dumps(first))
    again, _ = ranked(capfd, tmp_path / "rows.json", *options)
    assert again == first
    assert cli.main(["rank", str(lines), str(models), *map(str, options), "--format", "jsonl"]) == 0
    (tmp_path / "rows.jsonl").write_text(capfd.readouterr().out)
    third, _ = ranked(capfd, tmp_path / "rows.jsonl", *options)
    assert third == first


def test_candidates_unlike_what_the_formula_was_evolved_on_are_noted(
    hall: Path, lines: Path, models: Path, bank: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    answer, said = ranked(capfd, lines, models / "llama", "--hall", hall, "--bank", bank, "--devices", "cpu")
    (llama,) = (row for row in answer["rows"] if row["id"] == "llama")
    assert llama["notes"][0] == "space hf, not gpt2"
    assert "transfer: 1 of 13 candidates are of another space than gpt2" in said
    known = SPACES["gpt2"].architecture("wide", tiny_config(random.Random(0)) | {"d_model": 96})
    usual = ranges([Costs(10, 5, 1, 2, 16), Costs(30, 9, 1, 4, 32)])
    assert usual == {"#params": (10, 30), "decoder params": (5, 9), "depth": (2, 4), "width": (16, 32)}
    assert beyond(Costs(10, 9, 999, 4, 16), usual) == ()
    assert beyond(Costs(9, 10, 0, 5, 33), usual) == ("#params", "decoder params", "depth", "width")
    assert beyond(costs_of(known, 24), {}) == ()


def test_where_the_benchmark_of_a_hall_is_missing_it_says_that_it_cannot_compare(
    hall: Path, lines: Path, bank: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    document = json.loads(hall.read_text())
    del document["digest"]
    document["cases"][0]["place"] = str(tmp_path / "gone.jsonl")
    (tmp_path / "hall.json").write_text(json.dumps(document))
    options = ("--hall", tmp_path / "hall.json", "--bank", bank, "--devices", "cpu")
    answer, said = ranked(capfd, lines, *options)
    assert "tiny is not here as it was: nothing tells which candidates are unlike it" in said
    assert not any(row["notes"] for row in answer["rows"])
    assert cli.main(["rank", str(lines), *map(str, options), "--committee", "2"]) == 2
    assert "--committee: wanted tiny, among whose architectures" in capfd.readouterr().err


def test_bounds_leave_out_and_say_how_many(
    hall: Path, lines: Path, bank: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options = (lines, "--hall", hall, "--bank", bank, "--devices", "cpu")
    everything = ranked(capfd, *options)[0]["rows"]
    bound = sorted(row["params"] for row in everything)[5]
    rows = ranked(capfd, *options, "--max-params", f"{bound / 1000}K")[0]
    assert {row["id"] for row in rows["rows"]} == {row["id"] for row in everything if row["params"] <= bound}
    assert rows["left_out"] == 6
    flops = sorted(row["flops"] for row in everything)[3]
    rows, said = ranked(capfd, *options, "--max-flops", flops)
    assert len(rows["rows"]) == 4 and "8 candidates beyond the bounds are left out" in said
    assert len(ranked(capfd, *options, "--top", 3)[0]["rows"]) == 3
    assert cli.main(["rank", *map(str, options), "--max-params", "1K"]) == 2
    error = capfd.readouterr().err
    assert "none of 12 candidates meets the bounds: the smallest has " in error and error.count("error") == 1
    assert cli.main(["rank", *map(str, options), "--max-latency", "0.000001us"]) == 2
    assert "the fastest takes " in capfd.readouterr().err


def test_the_time_of_a_forward_pass_stands_beside_the_score(
    hall: Path, lines: Path, bank: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options = (lines, "--hall", hall, "--bank", bank, "--devices", "cpu", "--latency", "cpu")
    found, _ = ranked(capfd, *options, "--max-latency", "9s", "--top", 2)
    for row in found["rows"]:
        assert 0 < row["latency_ms_low"] <= row["latency_ms"] <= row["latency_ms_high"]
    assert cli.main(["rank", *map(str, options), "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capfd.readouterr().out)))
    assert set(rows[0]) == set(found["rows"][0]) - {"config", "space", "reason"}
    assert cli.main(["rank", *map(str, options[:-1]), "cpu,cpu"]) == 2
    assert "--latency: got cpu,cpu, wanted one device" in capfd.readouterr().err


def test_a_network_that_overflows_is_named_and_last(
    bank: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    loud = {"model_type": "gpt2", **FAMILIES["gpt2"], "initializer_range": 1e30}
    for name, config in {"aaa": loud, "zzz": {"model_type": "gpt2", **FAMILIES["gpt2"]}}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(config))
    files = (tmp_path / "aaa.json", tmp_path / "zzz.json")
    own = ("--init", "own")  # else both are drawn alike
    answer, said = ranked(capfd, *files, "--proxy", TEXTS[0], "--bank", bank, *own, *FAST)
    first, last = answer["rows"]
    assert (first["id"], first["place"]) == ("zzz", 1) and math.isfinite(first["score"])
    assert (last["id"], last["place"], last["score"]) == ("aaa", None, None) and "NaN or infinities" in last["reason"]
    assert "aaa: no score" in said and "nobody measured its direction" in answer["direction"]
    assert cli.main(["rank", *map(str, files), "--proxy", TEXTS[0], "--bank", str(bank), *own, *FAST]) == 0
    table = capfd.readouterr().out
    assert table.index("zzz") < table.index("aaa") and "higher is better" in table


def test_sampled_candidates_are_ranked_within_bounds(bank: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options = ("--sample", 40, "--space", "gpt2", "--max-params", "5M", "--proxy", TEXTS[0], "--bank", bank, *FAST)
    rows = ranked(capfd, *options)[0]["rows"]
    assert rows and all(row["params"] <= 5e6 and row["id"].startswith("gpt2-0-") for row in rows)


def test_ctrl_c_ends_with_130_and_the_next_command(hall: Path, tmp_path: Path) -> None:
    rng = random.Random(8)
    records = [json.dumps({"id": f"c{i}", "config": tiny_config(rng)}) + "\n" for i in range(2000)]
    (tmp_path / "many.jsonl").write_text("".join(records))
    words = ["rank", str(tmp_path / "many.jsonl"), "--space", "gpt2", "--hall", str(hall), "--devices", "cpu", "--bank",
             str(tmp_path / "bank")]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "cli.py", *words], cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("networks 50/"):
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130 and out == "" and "next: python cli.py rank " in err
    assert "Traceback" not in err


def test_a_predictor_ranks_with_intervals_in_the_unit_of_the_metric(
    hall: Path, lines: Path, models: Path, bank: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "predictor.json"
    assert cli.main(["fit", str(hall), "--out", str(path), "--bank", str(bank), *FAST[-2:]]) == 0
    capfd.readouterr()
    answer, _ = ranked(capfd, lines, "--predictor", path, "--bank", bank, "--devices", "cpu")
    rows = answer["rows"]
    predictor = load_predictor(path)
    architectures = [SPACES["gpt2"].architecture(row["id"], row["config"]) for row in rows]
    workshop = Workshop.open("gpt2", batch=2, length=24, bank=bank, devices="cpu")
    proxies = [formula.proxy for formula in predictor.formulas]
    exact = workshop.exact_scores(proxies, architectures).reshape(len(proxies), len(rows))
    said = predictor.predict(architectures, exact)
    assert [row["score"] for row in rows] == pytest.approx(said.positions) and np.all(np.diff(said.positions) <= 0)
    names = ("predicted", "predicted_low", "predicted_high")
    assert np.allclose([[row[n] for n in names] for row in rows], np.stack([said.values, said.low, said.high], 1))
    assert answer["direction"].startswith("higher is better: a lower loss is expected, as on tiny")
    assert cli.main(["rank", str(models / "llama"), "--predictor", str(path), "--bank", str(bank)]) == 1
    assert "got the space hf, wanted gpt2" in capfd.readouterr().err
