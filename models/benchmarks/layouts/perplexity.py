"""The layout of LiteTransformerSearch (arXiv 2203.02094): a folder of YAML files, lower perplexity is better."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from models.benchmarks.benchmark import BadBenchmark, Benchmark, as_mapping, choose_metric, finish
from models.benchmarks.layouts.gpt2_fields import for_all_blocks
from storage.datum import is_whole
from storage.files import digest_of, read_limited

__all__ = ["SUMMARY", "load_perplexity_folder"]

SUMMARY = "ppl_summary.yaml"
MAX_DEPTH = 16
MAX_YAML = 256 << 10  # bytes; YAML is slow, and the published files are below 64 KiB


def load_perplexity_folder(path: Path, name: str, metric: str | None) -> Benchmark:
    """Read ppl_summary.yaml and config_X/jY/model_config.yaml."""
    summary, content = _load_yaml(path / "ppl_summary.yaml")
    parts = [("ppl_summary.yaml", content)]
    known = sorted({str(key) for record in summary.values() if isinstance(record, dict) for key in record})
    metric = choose_metric(metric, "valid_ppl", [key for key in known if "ppl" in key] or ["valid_ppl"], name)
    rows = []
    for id in sorted(
        summary, key=lambda key: [int(s) if s.isdigit() else 0 for s in str(key).replace("j", "").split("_")]
    ):
        group, _, job = str(id).rpartition("_")
        if not group.startswith("config_") or not job.startswith("j") or not (group[7:] + job[1:]).isdigit():
            raise BadBenchmark(f"{path}: record {id!r} in ppl_summary.yaml, wanted ids like config_0_j0")
        relative = f"{group}/{job}/model_config.yaml"
        published, content = _load_yaml(path / relative)
        parts.append((relative, content))
        record = as_mapping(summary[id], f"{name}: record {id}")
        rows.append((str(id), _from_published(published), record.get(metric)))
    if (path / "params_summary.yaml").is_file():
        content = read_limited(path / "params_summary.yaml", MAX_YAML, "a YAML file of the benchmark")
        parts.append(("params_summary.yaml", content))
    return finish(name, "gpt2", metric, False, rows, digest_of(parts))


def _load_yaml(path: Path) -> tuple[Mapping[str, Any], bytes]:
    content = read_limited(path, MAX_YAML, "a YAML file of the benchmark")
    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        _check_plain(content, loader, path)
        return as_mapping(yaml.load(content, Loader=loader), str(path)), content
    except BadBenchmark:
        raise
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:120]
        raise BadBenchmark(f"{path}: not valid YAML ({reason}); restore the file") from None


def _check_plain(content: bytes, loader: Any, path: Path) -> None:
    """Refuse what makes a small file large in memory: aliases, which the published files do not have, and depth."""
    depth = 0
    for event in yaml.parse(content, Loader=loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or depth > MAX_DEPTH:
            what = f"nesting beyond {MAX_DEPTH} levels" if depth > MAX_DEPTH else "an alias (*name)"
            raise BadBenchmark(f"{path}: got {what}, wanted plain YAML; restore the file")


def _from_published(published: Mapping[str, Any]) -> dict[str, Any]:
    """Our configuration from a published model_config.yaml: -1 is the model's width, one number for `n_head` or
    `d_inner` is that of every block, and cutoffs beyond the vocabulary have no tokens."""
    fields = ("n_layer", "d_model", "d_embed", "div_val", "n_head", "d_inner", "n_token", "tgt_len")
    config = {key: published.get(key) for key in fields}
    if config["d_embed"] == -1:
        config["d_embed"] = config["d_model"]
    cutoffs, n_token = published.get("cutoffs", []), published.get("n_token")
    if isinstance(cutoffs, list) and is_whole(n_token):
        cutoffs = [c for c in cutoffs if not is_whole(c) or c < n_token]
    return for_all_blocks({**config, "cutoffs": cutoffs})
