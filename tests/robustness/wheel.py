"""The installed command `zcp` outside a checkout: a search, a replay, a ranking of five Hugging Face families by what was
found, a selection and a report. `python tests/robustness/wheel.py VENV` tries the one of a virtual environment into which
`.ci/run` installs the wheel with the lowest versions that it allows. Exit code 1 where anything fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
FAMILIES = {
    "llama": SIZES, "mistral": {**SIZES, "num_key_value_heads": 2}, "gpt_neox": SIZES, "bert": SIZES,
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4},
}  # fmt: skip
SEARCH = (
    "--space", "llama", "--iterations", "60", "--population", "20", "--search-size", "20", "--hall-size", "3",
    "--pool", "8",
)  # fmt: skip
SELECT = ("--space", "llama", "--budget", "params=100K", "--population", "8", "--networks", "16")
VERSIONS = "import importlib.metadata as m; print(*(f'{n} {m.version(n)}' for n in %r), sep=', ')"
NAMES = ("torch", "transformers", "numpy", "scipy", "deap", "click")


def done(command: list[str], folder: Path) -> str:
    """Run a command that must succeed in a folder without the checkout; what it wrote to stdout."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "ZCP_DATA")}
    ended = subprocess.run(command, cwd=folder, env=inherited, text=True, capture_output=True)
    if ended.returncode or "Traceback" in ended.stderr:
        sys.exit(f"{' '.join(command)}: exit code {ended.returncode}\n{ended.stderr}")
    return ended.stdout


def one_package(environment: Path) -> None:
    """The wheel must put one package into site-packages."""
    pip = [str(environment / "bin" / "python"), "-m", "pip", "show", "-f", "zcp-evolution"]
    files = done(pip, environment).split("Files:")[1].split()
    found = {path.split("/")[0] for path in files if not path.startswith("..")}
    if found - {"zcp"} != {name for name in found if name.endswith(".dist-info")}:
        sys.exit(f"got the packages {sorted(found)}, wanted zcp alone")


def main(environment: Path) -> None:
    """Five commands, in a folder that goes away."""
    sys.stdout.write(done([str(environment / "bin" / "python"), "-c", VERSIONS % (NAMES,)], environment))
    one_package(environment)
    program = str(environment / "bin" / "zcp")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for family, sizes in FAMILIES.items():
            (folder / family).mkdir()
            config = {"model_type": family, "vocab_size": 300, "max_position_embeddings": 64, **sizes}
            (folder / family / "config.json").write_text(json.dumps(config))
        bank, hall = ("--bank", "bank"), "run/hall_of_fame.json"
        done([program, "evolve", *SEARCH, *bank, "--out", "run"], folder)
        done([program, "replay", hall, *bank], folder)
        ranking = done([program, "rank", *FAMILIES, "--hall", hall, *bank, "--format", "json"], folder)
        scores = {row["id"]: row["score"] for row in json.loads(ranking)["rows"]}
        if scores.keys() != FAMILIES.keys() or None in scores.values():
            sys.exit(f"rank: got {scores}, wanted a score for each of {', '.join(FAMILIES)}")
        done([program, "select", *SELECT, "--hall", hall, *bank], folder)
        done([program, "report", "run", "--out", "report.html"], folder)
        if not (folder / "report.html").stat().st_size:
            sys.exit("report: got an empty file")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
