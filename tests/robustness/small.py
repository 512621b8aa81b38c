"""Small real material for studies of robustness: a benchmark in each layout, a finished run, a bank."""

from __future__ import annotations

import contextlib
import io
import json
import random
from pathlib import Path
from typing import Any

import yaml

import cli
from models.benchmarks.layouts.glue import OPERATIONS
from models.spaces import SPACES

FEATURES = ["--batch", "2", "--seq-len", "24", "--devices", "cpu"]
SEARCH = [
    "--search-size", "16", "--population", "12", "--brood", "5", "--sweeps", "1", "--folds", "2", "--inputs", "paper", "--pool", "6",
]  # fmt: skip


def config(rng: random.Random) -> dict[str, Any]:
    """A gpt2 configuration that builds and runs in milliseconds."""
    n_layer = rng.randint(1, 4)
    return {
        "n_layer": n_layer, "d_model": rng.choice((16, 32, 48)), "d_embed": 32, "div_val": rng.choice((1, 2)),
        "n_head": [rng.choice((2, 4)) for _ in range(n_layer)],
        "d_inner": [rng.randint(20, 90) for _ in range(n_layer)],
        "n_token": 300, "tgt_len": 64, "cutoffs": [100, 200],
    }  # fmt: skip


def write_jsonl(path: Path, count: int = 30) -> Path:
    """Our own layout; the ground truth is a noisy count, so that a search finds something."""
    rng = random.Random(5)
    lines = [json.dumps({"schema": 1, "space": "gpt2", "metric": "loss", "higher_is_better": False})]
    for i in range(count):
        chosen = config(rng)
        size = SPACES["gpt2"].parameters(SPACES["gpt2"].architecture(f"tiny{i}", chosen)).decoder
        lines.append(json.dumps({"id": f"tiny{i}", "config": chosen, "loss": 9 - size**0.3 + rng.gauss(0, 0.1)}))
    path.write_text("\n".join(lines) + "\n")
    return path


def write_yaml(folder: Path, count: int = 12) -> Path:
    """The layout of LiteTransformerSearch."""
    rng, summary = random.Random(6), {}
    for i in range(count):
        summary[f"config_{i}_j0"] = {"valid_ppl": 40 + rng.random(), "test_ppl": 41 + rng.random()}
        place = folder / f"config_{i}" / "j0"
        place.mkdir(parents=True)
        (place / "model_config.yaml").write_text(yaml.safe_dump(config(rng)))
    (folder / "ppl_summary.yaml").write_text(yaml.safe_dump(summary))
    return folder


def write_glue(path: Path, count: int = 12) -> Path:
    """The layout of the FlexiBERT results."""
    rng, records = random.Random(7), []
    published = {ours: pair for pair, ours in OPERATIONS.items()}
    for i in range(count):
        ours = SPACES["flexibert"].sample(rng)
        layers = [
            {"operation_type": published[operation][0], "operation_parameter": published[operation][1],
             "num_operation_heads": heads, "feed_forward_dimension": ffn, "num_feed_forward": stack}
            for operation, heads, ffn, stack in zip(
                ours["operation"], ours["heads"], ours["ffn_dim"], ours["ffn_stack"], strict=True)
        ]  # fmt: skip
        overrides = {"hidden_size": ours["hidden_size"], "nas_config": {"encoder_layers": layers}}
        record = {"id": i, "scores": {"glue": 60 + rng.random(), "cola": 30.0}}
        records.append(record | {"hparams": {"model_hparam_overrides": overrides}})
    path.write_text(json.dumps(records))
    return path


def evolve_here(benchmark: Path, bank: Path, out: Path, *options: str) -> Path:
    """A finished search, made in this process."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as talk:
        search = ["evolve", "--benchmark", str(benchmark), *SEARCH, *FEATURES]
        arguments = [*search, "--bank", str(bank), "--out", str(out), *options]
        if cli.main(arguments) != 0:
            raise SystemExit(talk.getvalue())
    return out
