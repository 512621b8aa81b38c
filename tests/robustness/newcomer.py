"""How long the tasks of the guide take as they are written: every command of docs/guide.md with its own sizes, each a
process of its own, in a folder with 40 models of gpt2-mini of every size as a reader's own and five configurations of real size.

    python -m tests.robustness.newcomer [--tree CHECKOUT] [--only WORDS]

`--tree` is another checkout of this project, of an earlier commit for example; commands that it does not know fail, and
the task is printed with the first one that did. Times are seconds of wall clock, without those of a reader.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from models.architecture import Architecture
from models.benchmarks import load_benchmark
from models.spaces import SPACES
from tests.robustness.guide import GUIDE, PYTHON, ROOT, lines_of, tasks_of

MEASURED = 40
CONFIGS: dict[str, dict[str, Any]] = {  # five published networks of about the same size
    "gpt2": {"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "vocab_size": 50257},
    "pythia-160m": {
        **{"model_type": "gpt_neox", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12},
        **{"intermediate_size": 3072, "vocab_size": 50304},
    },
    "opt-125m": {
        **{"model_type": "opt", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12},
        **{"ffn_dim": 3072, "word_embed_proj_dim": 768, "vocab_size": 50272},
    },
    "smollm2-135m": {
        **{"model_type": "llama", "hidden_size": 576, "num_hidden_layers": 30, "num_attention_heads": 9},
        **{"num_key_value_heads": 3, "intermediate_size": 1536, "vocab_size": 49152, "tie_word_embeddings": True},
    },
    "bert-base": {"model_type": "bert", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12},
}


def laid(folder: Path, tree: Path) -> None:
    """Write the files of a reader: measured models, configurations, and what the checkout has."""
    benchmark = load_benchmark("gpt2-mini")
    measured = sorted(zip(benchmark.architectures, benchmark.ground_truth.tolist(), strict=True), key=_size)
    measured = measured[:: len(measured) // MEASURED][:MEASURED]
    head = {"schema": 1, "space": "gpt2", "metric": "loss", "higher_is_better": False}
    rows = [{"id": a.id, "config": dict(a.config), "loss": loss} for a, loss in measured]
    (folder / "mine.jsonl").write_text("\n".join(map(json.dumps, [head, *rows])))
    for name, fields in CONFIGS.items():
        (folder / "configs" / name).mkdir(parents=True)
        (folder / "configs" / name / "config.json").write_text(json.dumps(fields))
    for name in ("proxies", "examples", "cli.py"):
        (folder / name).symlink_to(tree / name)


def _size(pair: tuple[Architecture, float]) -> int:
    return SPACES["gpt2"].parameters(pair[0]).total


def steps_of(text: str) -> list[tuple[list[str], str | None]]:
    """The words after `python` of each command of a section, or the code of a block, and where its output goes."""
    lines = [([*line.words[1:]], line.target) for line in lines_of(text) if line.words[0] == "python"]
    return [*lines, *((["-c", block], None) for _, block in PYTHON.findall(text))]


def timed(text: str, folder: Path, environment: dict[str, str]) -> tuple[float, str]:
    """Seconds of all steps of a section, and why the first that failed did; nothing if none did."""
    seconds = 0.0
    for words, target in steps_of(text):
        start = time.monotonic()
        with (folder / (target or "printed.txt")).open("w") as file:
            done = subprocess.run(
                [sys.executable, *words], cwd=folder, env=environment, stdout=file, stderr=subprocess.PIPE, text=True
            )
        seconds += time.monotonic() - start
        if done.returncode:
            said = done.stderr.strip().splitlines() or ["no message"]
            return seconds, f"{' '.join(words)[:60]}: {said[-1][:120]}"
    return seconds, ""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", type=Path, default=ROOT, help="checkout whose commands are run (default: this one)")
    parser.add_argument("--only", default="", help="words of the title of a task")
    asked = parser.parse_args(arguments)
    tree = asked.tree.resolve()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        laid(folder, tree)
        environment = {**os.environ, "PYTHONPATH": f"{tree}:{folder}", "HF_HUB_OFFLINE": "1"}
        for title, text in tasks_of(GUIDE).items():
            if asked.only.lower() in title.lower():
                seconds, failed = timed(text, folder, environment)
                print(f"{seconds:6.1f} s  {title}{f': fails: {failed}' if failed else ''}", flush=True)


if __name__ == "__main__":
    main()
