"""The reader of the published layout of FlexiBERT, and the published data."""

import csv
import json
import os
from pathlib import Path

import pytest

from models.benchmarks.benchmark import BadBenchmark
from models.benchmarks.layouts.glue import load_glue_json
from models.spaces.flexibert.space import FlexibertSpace
from storage.files import BadFile

SPACE = FlexibertSpace()

data = pytest.mark.skipif(
    not os.environ.get("ZCP_DATA"), reason="ZCP_DATA is not set, so the published FlexiBERT files are missing"
)


def layer(kind="SA", parameter="SDP", heads=2, width=512, stack=1):
    return {
        "operation_type": kind,
        "operation_parameter": parameter,
        "num_operation_heads": heads,
        "feed_forward_dimension": width,
        "num_feed_forward": stack,
    }


def published(n=12):
    """Records like the published ones; records 0 and 1 repeat one description."""
    pairs = [("SA", "SDP"), ("SA", "WMA"), ("LT", "DFT"), ("LT", "DCT"), ("DSC", 5), ("DSC", 9)]
    layers = [[layer(*pairs[max(i, 1) % 6]), layer(width=512 * (1 + i // 6))] for i in range(n)]
    return [
        {
            "id": 100 + i,
            "scores": {"cola": 10.0 + i, "glue": 60.0 + i},
            "hparams": {
                "model_hparam_overrides": {
                    "hidden_size": 128 if i % 4 < 2 else 256,
                    "nas_config": {"encoder_layers": layers[i]},
                }
            },
        }
        for i in range(n)
    ]


def written(tmp_path, records):
    folder = tmp_path / "some-glue"
    folder.mkdir()
    (folder / "BERT_benchmark.json").write_text(json.dumps(records))
    return folder


def test_the_published_layout_loads_from_its_folder_or_file(tmp_path):
    folder = written(tmp_path, published())
    benchmark = load_glue_json(folder)
    assert (benchmark.name, benchmark.space, benchmark.metric) == ("some-glue", "flexibert", "glue")
    assert benchmark.higher_is_better and list(benchmark.ground_truth) == [60.0 + i for i in range(12)]
    assert [a.id for a in benchmark.architectures[:2]] == ["100", "101"]
    assert benchmark.architectures[5].config["operation"] == ("DSC9", "SDP")
    assert load_glue_json(folder / "BERT_benchmark.json", "named").digest == benchmark.digest


def test_exact_repeats_share_a_group(tmp_path):
    groups = load_glue_json(written(tmp_path, published())).groups
    assert groups[0] == groups[1] and len(set(groups)) == 11


def test_the_metric_is_selectable_and_a_misspelling_is_answered(tmp_path):
    folder = written(tmp_path, published())
    assert load_glue_json(folder, metric="cola").ground_truth[3] == 13.0
    with pytest.raises(BadBenchmark, match=r"unknown metric 'colla'.*did you mean cola"):
        load_glue_json(folder, metric="colla")


MISSING = object()


def change(path, value):
    """A function that sets the value at a dotted path of a record, or deletes what is there."""

    def spoil(record):
        *parents, last = [int(key) if key.isdigit() else key for key in path.split(".")]
        for key in parents:
            record = record[key]
        if value is MISSING:
            del record[last]
        else:
            record[last] = value

    return spoil


OVERRIDES = "hparams.model_hparam_overrides"


LAYER = f"{OVERRIDES}.nas_config.encoder_layers.1"


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (change("hparams", MISSING), "hparams: missing"),
        (change(f"{OVERRIDES}.hidden_size", MISSING), "hidden_size: missing"),
        (change(f"{OVERRIDES}.hidden_size", "128"), "hidden_size: got '128'"),
        (change(f"{OVERRIDES}.hidden_size", 129), r"heads\[0\]: got 2, wanted a divisor of hidden_size"),
        (change(f"{OVERRIDES}.nas_config", [1]), "nas_config.encoder_layers: missing"),
        (change(f"{OVERRIDES}.nas_config.encoder_layers", {}), "encoder_layers: got {}, wanted a list"),
        (change(f"{OVERRIDES}.nas_config.encoder_layers", []), "operation: got \\[\\]"),
        (change(LAYER, None), r"encoder_layers\[1\]: num_operation_heads: missing"),
        (change(f"{LAYER}.num_feed_forward", MISSING), r"encoder_layers\[1\]: num_feed_forward: missing"),
        (change(f"{LAYER}.operation_type", "RNN"), r"operation\[1\]: got \"RNN 'SDP'\", wanted one of SDP"),
        (change(f"{LAYER}.operation_parameter", ["SDP"]), r"operation\[1\]"),
        (change(f"{LAYER}.operation_parameter", 5), r"operation\[1\]: got 'SA 5'"),
        (change(f"{LAYER}.num_operation_heads", 2.0), r"heads\[1\]: got 2.0"),
        (change("scores", MISSING), "scores: missing"),
        (change("scores", [60]), "scores.glue: missing"),
        (change("scores.glue", MISSING), "scores.glue: missing"),
        (change("scores.glue", "high"), "glue: got 'high', wanted a finite number"),
        (change("scores.glue", None), "glue: got None"),
        (change("scores.glue", True), "glue: got True"),
        (change("scores.glue", float("nan")), "got NaN or Infinity"),
        (change("scores.cola", float("-inf")), "got NaN or Infinity"),
    ],
)
def test_a_bad_record_is_named_by_index_and_id(tmp_path, spoil, named):
    records = published()
    spoil(records[3])
    with pytest.raises(BadBenchmark, match=rf"some-glue: record 3 \(103\).*{named}"):
        load_glue_json(written(tmp_path, records))


def test_a_record_without_a_usable_id_is_named_by_its_index(tmp_path):
    records = published()
    records[3]["id"] = 1.5
    with pytest.raises(BadBenchmark, match=r"record 3 .*id: got 1\.5"):
        load_glue_json(written(tmp_path, records))
    (tmp_path / "two").mkdir()
    with pytest.raises(BadBenchmark, match=r"record 3 \(None\): id: missing"):
        load_glue_json(written(tmp_path / "two", [*records[:3], "text"]))


def test_an_id_that_occurs_twice_is_refused(tmp_path):
    records = published()
    records[3]["id"] = 100
    with pytest.raises(BadBenchmark, match=r"record 3 \(100\).*twice"):
        load_glue_json(written(tmp_path, records))


def test_a_file_that_is_no_list_or_no_json_is_refused_by_path(tmp_path):
    folder = written(tmp_path, {"records": []})
    with pytest.raises(BadBenchmark, match=r"BERT_benchmark\.json: got dict, wanted a list"):
        load_glue_json(folder)
    (folder / "BERT_benchmark.json").write_text("[{,")
    with pytest.raises(BadFile, match=r"BERT_benchmark\.json: not valid JSON"):
        load_glue_json(folder)
    with pytest.raises(BadFile, match="cannot be read"):
        load_glue_json(tmp_path / "nothing")


def folder():
    return Path(os.environ["ZCP_DATA"]) / "flexibert-glue"


@data
def test_all_500_published_records_load_and_491_are_distinct():
    benchmark = load_glue_json(folder())
    assert len(benchmark) == 500 and len(set(benchmark.architectures)) == 491
    assert {SPACE.shape(a) for a in benchmark.architectures} == {(2, 128), (2, 256), (4, 128), (4, 256)}


@data
def test_published_parameter_counts_are_met_500_times_of_500():
    with (folder() / "BERT_results_activation.csv").open(newline="") as file:
        counts = {row["ID"]: int(row["Number of Parameters"]) for row in csv.DictReader(file)}
    for architecture in load_glue_json(folder()).architectures:
        assert SPACE.parameters(architecture, "as_published").total == counts[architecture.id]
