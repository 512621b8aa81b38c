"""Reading benchmarks: what is there is read, what is wrong is named with its record."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from models.benchmarks.benchmark import BadBenchmark, Benchmark
from models.benchmarks.layouts import read_benchmark
from models.benchmarks.origins import ORIGINS, fetch, find, load_benchmark, verify
from models.spaces import SPACES
from storage.files import BadFile
from tests.robustness.small import write_yaml


def test_the_published_folder_is_read_whole(published: Path) -> None:
    benchmark = read_benchmark(published / "gpt2-wt103")
    assert len(benchmark) == 200 and benchmark.metric == "valid_ppl" and not benchmark.higher_is_better
    assert benchmark.architectures[0].id == "config_0_j0"
    assert benchmark.ground_truth[0] == pytest.approx(45.022968707221274)
    assert np.array_equal(benchmark.quality, -benchmark.ground_truth)
    assert read_benchmark(published / "gpt2-wt103", metric="test_ppl").ground_truth[0] == pytest.approx(
        45.11893898899607
    )


def test_the_published_data_have_the_pinned_digest(published: Path) -> None:
    assert verify("gpt2-wt103").digest == ORIGINS["gpt2-wt103"].digest


@pytest.fixture
def copy(published: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(published / "gpt2-wt103", tmp_path / "copy"))


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("ppl_summary.yaml", "valid_ppl: 45.022968707221274", "valid_ppl: many", "record 0 (config_0_j0): valid_ppl: got 'many'"),
        ("ppl_summary.yaml", "valid_ppl: 45.022968707221274", "valid_ppl: .nan", "valid_ppl: got nan, wanted a finite number"),
        ("ppl_summary.yaml", "config_0_j0:", "config_0_j0: [", "not valid YAML"),
        ("ppl_summary.yaml", "config_0_j0:", "../../etc/passwd:", "wanted ids like config_0_j0"),
        ("config_0/j0/model_config.yaml", "d_model: 128", "d_model: 127", "record 0 (config_0_j0): n_head[0]: got 2, wanted a divisor"),
        ("config_0/j0/model_config.yaml", "n_layer: 5", "n_layer: 6", "wanted a list of 6"),
        ("config_0/j0/model_config.yaml", "n_layer: 5", "n_layer: [", "not valid YAML"),
    ],
)  # fmt: skip
def test_a_bad_record_is_named(copy: Path, file: str, old: str, new: str, message: str) -> None:
    path = copy / file
    path.chmod(0o644)
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(BadBenchmark) as caught:
        read_benchmark(copy)
    assert message in str(caught.value)


def test_one_number_stands_for_all_blocks_and_minus_one_for_the_width(tmp_path: Path) -> None:
    folder = write_yaml(tmp_path / "plain")
    path = folder / "config_3" / "j0" / "model_config.yaml"
    config = yaml.safe_load(path.read_text()) | {"n_layer": 3, "d_model": 48}
    path.write_text(yaml.safe_dump({**config, "d_embed": 48, "n_head": [4] * 3, "d_inner": [64] * 3}))
    written_out = read_benchmark(folder).architectures[3]
    path.write_text(yaml.safe_dump({**config, "d_embed": -1, "d_head": -1, "n_head": 4, "d_inner": 64}))
    assert read_benchmark(folder).architectures[3] == written_out
    assert written_out.config["d_embed"] == 48 and written_out.config["d_inner"] == (64, 64, 64)


def test_a_missing_or_truncated_file_is_named(copy: Path) -> None:
    (copy / "config_3" / "j3").chmod(0o755)
    (copy / "config_3" / "j3" / "model_config.yaml").unlink()
    with pytest.raises(BadFile, match=r"config_3/j3/model_config.yaml: cannot be read"):
        read_benchmark(copy)


def rewrite(source: Path, target: Path, index: int, change: dict) -> Path:
    lines = source.read_text().splitlines()
    lines[index] = json.dumps({**json.loads(lines[index]), **change})
    target.write_text("\n".join(lines))
    return target


@pytest.mark.parametrize(
    ("index", "change", "message"),
    [
        (0, {"schema": 9}, "schema 9, this version reads schema 1"),
        (0, {"space": "gtp2"}, "space: got 'gtp2'"),
        (0, {"higher_is_better": "no"}, "line 1: higher_is_better: got 'no', wanted true or false"),
        (0, {"metric": 3}, "line 1: metric: got 3, wanted a text"),
        (0, {"metric": "\x1b[31m"}, "line 1: metric: got"),
        (0, {"space": ["gpt2"]}, "line 1: space: got a list, wanted a text"),
        (
            0,
            {"noise_ceiling": {"spearman": True, "kendall": 0.5}},
            "noise_ceiling: spearman: got True, wanted a number",
        ),
        (0, {"noise_ceiling": {"spearman": 0.5}}, "noise_ceiling: kendall is missing"),
        (3, {"id": None}, "record 2 (None): id: got nothing, wanted a text or a whole number"),
        (3, {"id": 1.0}, "record 2 (1.0): id: got 1.0, wanted a text or a whole number"),
        (3, {"id": True}, "id: got True, wanted a text or a whole number"),
        (3, {"id": "\ud800"}, "id: wanted 1 to 200 printable characters"),
        (3, {"id": "a\x1b[31m"}, "id: wanted 1 to 200 printable characters"),
        (3, {"loss": True}, "loss: got True, wanted a finite number"),
        (3, {"loss": "low"}, "record 2 (tiny2): loss: got 'low', wanted a finite number"),
        (3, {"id": "tiny0"}, "id occurs twice"),
        (3, {"config": {}}, "record 2 (tiny2): n_layer: got None"),
        (3, {"config": 5}, "record 2 (tiny2): config: got 5, wanted an object"),
    ],
)
def test_a_bad_line_is_named(tiny_benchmark: Path, tmp_path: Path, index: int, change: dict, message: str) -> None:
    with pytest.raises(BadBenchmark) as caught:
        read_benchmark(rewrite(tiny_benchmark, tmp_path / "bad.jsonl", index, change))
    assert message in str(caught.value)


def test_a_field_that_occurs_twice_is_refused(tiny_benchmark: Path, tmp_path: Path) -> None:
    (tmp_path / "twice.jsonl").write_text(tiny_benchmark.read_text().replace('"loss": ', '"loss": 1, "loss": ', 1))
    with pytest.raises(BadFile, match="line 2: .*the field 'loss' occurs twice"):
        read_benchmark(tmp_path / "twice.jsonl")


def test_one_network_has_one_digest(tiny_benchmark: Path, tmp_path: Path) -> None:
    config = json.loads(tiny_benchmark.read_text().splitlines()[3])["config"]
    with pytest.raises(BadBenchmark, match="div_val: got 1.0, wanted one of 1, 2, 4"):
        read_benchmark(rewrite(tiny_benchmark, tmp_path / "float.jsonl", 3, {"config": {**config, "div_val": 1.0}}))


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_distinct_architectures_are_refused_with_the_number_that_would_do(
    tiny_benchmark: Path, tmp_path: Path, count: int
) -> None:
    header, *records = map(json.loads, tiny_benchmark.read_text().splitlines())
    same = [{**record, "config": records[i % count]["config"]} for i, record in enumerate(records)]
    path = tmp_path / "same.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in (header, *same)))
    with pytest.raises(
        BadBenchmark, match=f"got 30 architectures, {count} of them distinct, wanted at least 10 distinct"
    ):
        read_benchmark(path)


def test_labels_that_are_all_the_same_are_refused(tiny_benchmark: Path, tmp_path: Path) -> None:
    header, *records = map(json.loads, tiny_benchmark.read_text().splitlines())
    path = tmp_path / "flat.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in (header, *({**r, "loss": 3} for r in records))))
    with pytest.raises(
        BadBenchmark, match="loss: got 3 for each of the 30 architectures, which ranks nothing; wanted at least 2"
    ):
        read_benchmark(path)


def test_a_file_may_be_called_anything(tiny_benchmark: Path, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"a\x1b[31m\xff.jsonl")
    shutil.copy(tiny_benchmark, path)
    name = load_benchmark(str(path)).name
    assert name == "a?[31m?" and name.encode()


@pytest.mark.parametrize(
    "id", ["config_0_j²", "config_٣_j0", "config_0_j", "config_0_j0_j0", "config__j0", "null", "3"]
)
def test_an_id_that_names_no_file_is_refused(tmp_path: Path, id: str) -> None:
    folder = write_yaml(tmp_path / "plain")
    path = folder / "ppl_summary.yaml"
    path.write_text(path.read_text().replace("config_0_j0:", f"{id}:"), encoding="utf-8")
    with pytest.raises(BadBenchmark, match=f"record '{id}' in ppl_summary.yaml, wanted ids like config_0_j0"):
        read_benchmark(folder)


def test_a_transformer_xl_folder_is_not_read_as_gpt2(tmp_path: Path) -> None:
    folder = write_yaml(tmp_path / "xl")
    path = folder / "config_3" / "j0" / "model_config.yaml"
    config = yaml.safe_load(path.read_text())
    for tell in ({"same_length": True}, {"vocab": "word"}, {"n_token": 267736}):
        path.write_text(yaml.safe_dump({**config, **tell}))
        with pytest.raises(
            BadBenchmark, match="record config_3_j0: .*so this is a Transformer-XL network, wanted GPT-2"
        ):
            read_benchmark(folder)


def test_nan_and_torn_json_are_refused(tiny_benchmark: Path, tmp_path: Path) -> None:
    text = tiny_benchmark.read_text()
    (tmp_path / "nan.jsonl").write_text(text.replace('"loss": ', '"loss": NaN, "x": ', 1))
    (tmp_path / "torn.jsonl").write_text(text[:-30])
    for name, message in (("nan", "NaN is not a JSON number"), ("torn", "line 31: not valid JSON")):
        with pytest.raises(BadFile, match=message):
            read_benchmark(tmp_path / f"{name}.jsonl")


def test_exact_repeats_share_a_group(tiny_benchmark: Path, tmp_path: Path) -> None:
    lines = tiny_benchmark.read_text().splitlines()
    lines.append(json.dumps({**json.loads(lines[1]), "id": "again"}))
    (tmp_path / "twice.jsonl").write_text("\n".join(lines))
    groups = read_benchmark(tmp_path / "twice.jsonl").groups
    assert groups[0] == groups[-1] and len(set(groups.tolist())) == 30


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gpt2-wt104", "did you mean gpt2-wt103?"),
        ("../../nowhere/at/all", "no such file or folder"),
        ("a b", "wanted a name of letters"),
        ("nothing-like-it", "wanted one of"),
    ],
)
def test_an_unknown_benchmark_is_answered_with_a_way_out(name: str, message: str) -> None:
    with pytest.raises(BadBenchmark) as caught:
        find(name)
    assert message in str(caught.value)


def test_missing_data_are_answered_with_two_ways_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZCP_DATA", str(tmp_path))
    monkeypatch.setattr("models.benchmarks.origins.PROJECT", tmp_path)
    with pytest.raises(BadBenchmark, match="benchmarks fetch gpt2-wt103.*ZCP_DATA"):
        find("gpt2-wt103")


def test_fetch_takes_only_known_names() -> None:
    with pytest.raises(BadBenchmark, match="cannot be fetched"):
        fetch("../evil")


def test_training_tokens_are_those_of_the_record_else_of_the_header_else_unknown(
    tiny_benchmark: Path, tmp_path: Path
) -> None:
    header, *records = map(json.loads, tiny_benchmark.read_text().splitlines())
    for field in ("tokens", "budget"):
        header.pop(field, None)
    records[0] |= {"tokens": 5e6, "sd": 0.25}

    def read(**more: object) -> Benchmark:
        (path := tmp_path / "mine.jsonl").write_text("".join(json.dumps(x) + "\n" for x in (header | more, *records)))
        return read_benchmark(path)

    assert [a.tokens for a in read().architectures[:2]] == [5e6, None]
    assert [a.tokens for a in read(tokens=7e6).architectures[:2]] == [5e6, 7e6]
    trained = {"steps": 10, "batch": 8, "length": 32}
    assert [a.tokens for a in read(budget=trained).architectures[:2]] == [5e6, 2560]
    found = read()
    assert found.sd is not None and found.sd[0] == 0.25 and np.isnan(found.sd[1:]).all()
    records[0]["tokens"] = -1
    with pytest.raises(BadBenchmark, match="tokens: got -1, wanted a number above 0"):
        read()


def test_the_published_grid_has_one_budget_of_twenty_tokens_a_parameter() -> None:
    try:
        grid = load_benchmark("openlm-grid")
    except BadBenchmark:
        pytest.skip("not on this machine")
    totals = [SPACES["llama"].parameters(a).total for a in grid.architectures]
    assert [a.tokens for a in grid.architectures] == pytest.approx([20 * total for total in totals], rel=1e-3)
    assert set(grid.budgets.tolist()) == {0}
