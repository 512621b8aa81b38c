"""The guide on small data: every command and every block of Python of docs/guide.md, that of README.md, and the notebook.

    python -m tests.robustness.guide

In a temporary folder with 20 measured models and five configurations, commands run one after the other with sizes that
take no time; what they print is thrown away, and the first that fails ends it. At the end it prints the seconds of
processor of each task, those of worker processes included.
"""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import subprocess
import sys
import tempfile
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cli
from models.spaces import SPACES

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
NOTEBOOK = json.loads((ROOT / "examples" / "tour.ipynb").read_text(encoding="utf-8"))
SHELL = re.compile(r"^```sh\n(.*?)^```$", re.M | re.S)
PYTHON = re.compile(r"(<!-- .*? -->\n)?```python\n(.*?)^```$", re.M | re.S)
SMALLER = {
    "evolve": {"--iterations": "12", "--population": "10", "--brood": "6", "--sweeps": "1", "--folds": "2",
               "--hall-size": "3", "--n-unary": "1", "--branches": "2", "--search-size": "10", "--devices": "cpu",
               "--pool": "6"},
    "rank": {"--sample": "2"}, "select": {"--networks": "6", "--population": "3", "--budget": "params=400K", "--fix": "n_token=512"}, "suggest": {"--pool": "8"},
}  # fmt: skip
RANGE = "n_layer=1..3,d_model=64..128,n_head=2/4,d_ffn=64..256"  # of `select`, where the guide gives one
ADDED = ("evolve", "select", "suggest")  # that get all of these; others only what they have anyway
EXAMPLES = {"search.py": ["12"], "select_and_train.py": ["6", "1"]}  # what their own numbers become
FAMILIES = ("gpt2", "llama", "qwen3", "gpt_neox", "opt")


@dataclass(frozen=True)
class Line:
    """A command of a page, and where what it prints goes."""

    words: tuple[str, ...]
    target: str | None = None

    @classmethod
    def read(cls, text: str) -> Line:
        words, _, target = text.partition(" > ")
        return cls(tuple(shlex.split(words)), target.strip() or None)

    @property
    def smaller(self) -> list[str]:
        """The words after `python cli.py`, with sizes that take no time."""
        given = list(self.words[2:])
        for flag, value in SMALLER.get(given[0], {}).items():
            if flag in given:
                given[given.index(flag) + 1] = value
            elif given[0] in ADDED:
                given += [flag, value]
        if "--range" in given:
            given[given.index("--range") + 1] = RANGE
        return given


def tasks_of(page: str) -> dict[str, str]:
    """The text of each section of a page by its title."""
    return dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", page, re.M | re.S))


def processor_seconds() -> float:
    """Seconds of processor of this process and of those that it has waited for."""
    found = os.times()
    return found.user + found.system + found.children_user + found.children_system


def lines_of(page: str) -> list[Line]:
    """The commands of a page."""
    return [Line.read(text) for block in SHELL.findall(page) for text in block.strip().splitlines()]


COMMANDS = [line for line in lines_of(GUIDE) if line.words[1] == "cli.py"]
SCRIPTS = [line for line in lines_of(GUIDE) if line.words[1] != "cli.py"]


def laid(folder: Path) -> None:
    """Write the files of a reader of the guide: measured models, five configurations, and this project."""
    rng = random.Random(4)
    lines: list[dict[str, Any]] = [{"schema": 1, "space": "gpt2", "metric": "loss", "higher_is_better": False}]
    for place in range(20):
        depth = rng.randint(1, 3)
        config = {
            "n_layer": depth, "d_model": rng.choice((16, 32)), "n_head": [2] * depth, "div_val": 1, "d_embed": 16,
            "d_inner": [rng.randint(20, 90) for _ in range(depth)], "n_token": 300, "cutoffs": [100, 200],
            "tgt_len": 64,
        }  # fmt: skip
        size = SPACES["gpt2"].parameters(SPACES["gpt2"].architecture("a", config)).decoder
        lines.append({"id": f"m{place}", "config": config, "loss": 9 - size**0.3 + rng.gauss(0, 0.1)})
    (folder / "mine.jsonl").write_text("\n".join(map(json.dumps, lines)))
    for family in FAMILIES:
        (folder / "configs" / family).mkdir(parents=True)
        (folder / "configs" / family / "config.json").write_text(json.dumps(config_of(family)))
    for name in ("proxies", "examples"):
        (folder / name).symlink_to(ROOT / name)


def config_of(family: str) -> dict[str, Any]:
    """A tiny configuration of a family."""
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24,
            "vocab_size": 256, "max_position_embeddings": 64}  # fmt: skip
    own = {"gpt2": {"n_embd": 16, "n_layer": 1, "n_head": 2, "vocab_size": 256, "n_positions": 64},
           "qwen3": size | {"num_key_value_heads": 1, "head_dim": 8}, "llama": size | {"num_key_value_heads": 1},
           "opt": size | {"ffn_dim": 24, "word_embed_proj_dim": 16}}  # fmt: skip
    return {"model_type": family, **own.get(family, size)}


def run_command(line: Line, folder: Path) -> str:
    """Run a command in the folder and return its output; SystemExit if it failed."""
    path = folder / (line.target or "printed.txt")
    with path.open("w") as file, redirect_stdout(file):
        if code := cli.main(line.smaller):
            raise SystemExit(f"{' '.join(line.words)}: exit code {code}")
    return path.read_text()


FEW = "iterations=12, population=10, brood=6, sweeps=1, folds=2, n_unary=1, branches=2"


def notebook_code() -> str:
    """The cells as one script on small data."""
    text = "\n".join("".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code")
    text = text.replace('"gpt2-mini"', '"mine.jsonl"').replace("search_size = 50", "search_size = 10")
    return text.replace("iterations=600", FEW)


def readme_code() -> str:
    """The search of README.md on small data."""
    text = "\n".join(text for mark, text in PYTHON.findall(README) if mark)
    text = text.replace('"gpt2-mini"', '"mine.jsonl"').replace("50, seed", "10, seed")
    return text.replace("SearchConfig()", f"SearchConfig({FEW})").replace('__name__ == "__main__"', "True")


def steps_of_all() -> list[tuple[str, str]]:
    """The task and the code of the scripts of the guide, of the notebook, and of the blocks of Python, which are last:
    what they register is of one process."""
    steps, blocks = [], []
    for task, text in tasks_of(GUIDE).items():
        for line in (line for line in lines_of(text) if line in SCRIPTS):
            name = Path(line.words[1]).name
            given = [word for word in line.words[2:] if not word.isdigit()] + EXAMPLES.get(name, [])
            code = f"sys.argv = {[name, *given]!r}; runpy.run_path({line.words[1]!r}, run_name='__main__')"
            steps.append((task, code))
        blocks += [(task, block) for mark, block in PYTHON.findall(text) if mark]
    blocks = [("From a notebook", notebook_code()), ("README.md", readme_code()), *blocks]
    return steps + [(task, f"exec(compile({block!r}, 'guide', 'exec'), {{}})") for task, block in blocks]


def script_of_all() -> str:
    """One script that runs all steps and writes the seconds of each task to seconds.json."""
    lines = ["import json, runpy, sys", "from tests.robustness.guide import processor_seconds"]
    lines += ["if __name__ == '__main__':", "    seconds, start = {}, 0.0"]
    for task, code in steps_of_all():
        lines += [f"    {code}", f"    seconds[{task!r}] = seconds.get({task!r}, 0.0) + processor_seconds() - start"]
        lines.append("    start = processor_seconds()")
    return "\n".join([*lines, "    json.dump(seconds, open('seconds.json', 'w'))"])


def run_all(folder: Path) -> dict[str, float]:
    """Run commands, scripts and blocks; returns the seconds of processor of each task."""
    seconds = dict[str, float]()
    for task, text in tasks_of(GUIDE).items():
        for line in (line for line in lines_of(text) if line in COMMANDS):
            start = processor_seconds()
            run_command(line, folder)
            spent = processor_seconds() - start
            seconds[task] = seconds.get(task, 0.0) + spent
            print(f"{spent:6.1f} s of processor  {' '.join(line.words[1:])}", flush=True)
    (folder / "all.py").write_text(script_of_all())
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{folder}", "HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, "all.py"], env=environment, check=True, stdout=subprocess.DEVNULL)
    for task, spent in json.loads((folder / "seconds.json").read_text()).items():
        seconds[task] = seconds.get(task, 0.0) + spent
    return seconds


def main() -> None:
    """A line per command with its seconds, then one per task."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        laid(folder)
        os.chdir(folder)
        try:
            seconds = run_all(folder)
        finally:
            os.chdir(ROOT)
    print(*(f"{spent:6.1f} s of processor, task: {task}" for task, spent in seconds.items()), sep="\n")
    blocks = len(PYTHON.findall(GUIDE))
    print(
        f"{len(COMMANDS)} commands, {len(SCRIPTS)} scripts, {blocks} blocks of Python, that of README.md and the notebook have run"
    )


if __name__ == "__main__":
    main()
