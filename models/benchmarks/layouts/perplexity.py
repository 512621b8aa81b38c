"""The layout of LiteTransformerSearch (arXiv 2203.02094): a folder of YAML files, lower perplexity is better."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.benchmarks.benchmark import BadBenchmark, Benchmark, as_mapping, choose_metric, finish
from models.benchmarks.layouts.fields import for_all_blocks
from models.benchmarks.layouts.plain_yaml import NotPlain, parse_plain
from storage.datum import is_whole
from storage.files import digest_of, read_limited

__all__ = ["CONFIGS", "SUMMARY", "load_perplexity_folder", "perplexity_configs"]

SUMMARY = "ppl_summary.yaml"
CONFIGS = "config_*/j*/model_config.yaml"
PARAMETERS = "params_summary.yaml"
WHAT = "a YAML file of the benchmark"
MAX_YAML = 256 << 10  # bytes; YAML is slow, and the published files are below 64 KiB
WORD_VOCABULARIES = (267735, 267736)  # of WikiText-103 by words; the GPT-2 networks read 50,264 word pieces


def load_perplexity_folder(path: Path, name: str, metric: str | None) -> Benchmark:
    """Read ppl_summary.yaml and config_X/jY/model_config.yaml."""
    summary, content = _load_yaml(path / SUMMARY)
    parts = [(SUMMARY, content)]
    known = sorted({key for record in summary.values() if isinstance(record, dict) for key in record})
    metric = choose_metric(metric, "valid_ppl", [key for key in known if "ppl" in key] or ["valid_ppl"], name)
    rows = []
    for id in sorted(summary, key=lambda id: _numbers(id, path)):
        group, _, job = id.rpartition("_")
        relative = f"{group}/{job}/model_config.yaml"
        published, content = _load_yaml(path / relative)
        parts.append((relative, content))
        record = as_mapping(summary[id], f"{name}: record {id}")
        rows.append((id, _from_published(published, f"{name}: record {id}"), record.get(metric)))
    if (path / PARAMETERS).is_file():
        parts.append((PARAMETERS, read_limited(path / PARAMETERS, MAX_YAML, WHAT)))
    return finish(name, "gpt2", metric, False, rows, digest_of(parts))


def perplexity_configs(path: Path) -> list[tuple[str, Mapping[str, Any]]]:
    """(id, configuration) of every config_X/jY/model_config.yaml in a folder, whatever was measured."""
    ids = [f"{file.parent.parent.name}_{file.parent.name}" for file in path.glob(CONFIGS)]
    found = list[tuple[str, Mapping[str, Any]]]()
    for id in sorted(ids, key=lambda id: _numbers(id, path)):
        group, _, job = id.rpartition("_")
        published, _ = _load_yaml(path / group / job / "model_config.yaml")
        found.append((id, _from_published(published, f"{path.name}: record {id}")))
    return found


def _numbers(id: str, path: Path) -> tuple[int, int]:
    """12 and 3 of config_12_j3, which is also where the configuration lies."""
    if (found := re.fullmatch(r"config_([0-9]{1,6})_j([0-9]{1,6})", id)) is None:
        raise BadBenchmark(f"{path}: record {id[:60]!r} in {SUMMARY}, wanted ids like config_0_j0")
    return int(found[1]), int(found[2])


def _load_yaml(path: Path) -> tuple[Mapping[str, Any], bytes]:
    content = read_limited(path, MAX_YAML, WHAT)
    try:
        return as_mapping(parse_plain(content), str(path)), content
    except NotPlain as error:
        raise BadBenchmark(f"{path}: {error}; restore the file") from None


def _from_published(published: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Our configuration from a published model_config.yaml: -1 is the model's width, one number for `n_head` or
    `d_inner` is that of every block, and cutoffs beyond the vocabulary have no tokens."""
    _refuse_transformer_xl(published, where)
    fields = ("n_layer", "d_model", "d_embed", "div_val", "n_head", "d_inner", "n_token", "tgt_len")
    config = {key: published.get(key) for key in fields}
    if config["d_embed"] == -1:
        config["d_embed"] = config["d_model"]
    cutoffs, n_token = published.get("cutoffs", []), published.get("n_token")
    if isinstance(cutoffs, list) and is_whole(n_token):
        cutoffs = [c for c in cutoffs if not is_whole(c) or c < n_token]
    return for_all_blocks("gpt2", {**config, "cutoffs": cutoffs})


def _refuse_transformer_xl(published: Mapping[str, Any], where: str) -> None:
    """Transformer-XL (Dai et al. 2019, arXiv 1901.02860) has the same fields, other values, and another network."""
    tells = {"same_length": (True,), "vocab": ("word",), "n_token": WORD_VOCABULARIES}
    if tell := next((name for name, values in tells.items() if published.get(name) in values), None):
        raise BadBenchmark(
            f"{where}: {tell}: got {published[tell]}, so this is a Transformer-XL network, wanted GPT-2; no space here "
            "builds what was trained: take the GPT-2 folder of the same publication"
        )
