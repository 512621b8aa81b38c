"""A smoke search on the installed versions, which `.ci/run` makes the lowest ones that requirements.txt allows: a search,
a ranking of five Hugging Face families by what was found, and the report. Exit code 1 where any of them fails."""

from __future__ import annotations

import json
import sys
import tempfile
from contextlib import redirect_stdout
from importlib.metadata import version
from io import StringIO
from pathlib import Path

import cli

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
FAMILIES = {
    "llama": SIZES, "mistral": {**SIZES, "num_key_value_heads": 2}, "gpt_neox": SIZES, "bert": SIZES,
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4},
}  # fmt: skip
SEARCH = ("--benchmark", "gpt2-mini", "--iterations", "60", "--population", "20", "--search-size", "20")


def done(*arguments: str) -> None:
    """A command that must succeed."""
    if code := cli.main(list(arguments)):
        sys.exit(f"python cli.py {' '.join(arguments)}: exit code {code}")


def main() -> None:
    """Search, rank, report, in a folder that goes away."""
    names = ("torch", "transformers", "numpy", "scipy", "deap", "click")
    sys.stdout.write(", ".join(f"{name} {version(name)}" for name in names) + "\n")
    with tempfile.TemporaryDirectory() as place:
        smoke(Path(place))


def smoke(folder: Path) -> None:
    """The three commands on five tiny configurations."""
    bank, run = ("--bank", str(folder / "bank")), folder / "run"
    for family, sizes in FAMILIES.items():
        (folder / family).mkdir(parents=True)
        config = {"model_type": family, "vocab_size": 300, "max_position_embeddings": 64, **sizes}
        (folder / family / "config.json").write_text(json.dumps(config))
    done("evolve", *SEARCH, *bank, "--out", str(run))
    with redirect_stdout(StringIO()) as ranking:
        candidates = [str(folder / family) for family in FAMILIES]
        done("rank", *candidates, "--hall", str(run / "hall_of_fame.json"), *bank, "--format", "json")
    scores = {row["id"]: row["score"] for row in json.loads(ranking.getvalue())["rows"]}
    if scores.keys() != FAMILIES.keys() or None in scores.values():
        sys.exit(f"rank: got {scores}, wanted a score for each of {', '.join(FAMILIES)}")
    done("report", str(run), "--out", str(folder / "report.html"))
    if not (folder / "report.html").stat().st_size:
        sys.exit("report: got an empty file")


if __name__ == "__main__":
    main()
