"""Do stand-alone modules give our exact scores? `python -m tests.robustness.portable [COUNT]`

The champions and all other formulas of the committed halls, and COUNT (200) random formulas of one to three branches
over all inputs, on small GPT-2, LLaMA and BERT models of Hugging Face. Each becomes a module
(`show --format torch`), which a fresh process that cannot import this project runs on a model that it has built itself,
with the library's default attention. Printed: the largest relative difference per model, and how many have no value.
"""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.threads import one_thread
from fitness.features.collect import collect
from gp.hall_file import load_hall
from models.spaces import SPACES
from models.tokens import TokenBatch
from primitives import AGGREGATION, BINARY, UNARY, Invalid, parse
from primitives.inputs import TERMINALS
from primitives.proxy import Proxy
from primitives.scoring import Scorer
from report.portable.emission import as_torch_module

ROOT = Path(__file__).resolve().parents[2]
MODELS: dict[str, dict[str, Any]] = {
    "gpt2": {"model_type": "gpt2", "n_embd": 32, "n_layer": 3, "n_head": 4, "vocab_size": 300, "n_positions": 64},
    "llama": {"model_type": "llama", "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4,
              "num_key_value_heads": 2, "intermediate_size": 48, "vocab_size": 300, "max_position_embeddings": 64},
    "bert": {"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4,
             "intermediate_size": 48, "vocab_size": 300, "max_position_embeddings": 64},
}  # fmt: skip
BATCH = TokenBatch.from_passage(2, 24)

RUNNER = """
import importlib.util, json, sys
import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM
torch.set_num_threads(1)
task = json.load(open("task.json"))
models = {}
for name, (config, seed) in task["models"].items():
    torch.manual_seed(seed)
    family = config.pop("model_type")
    maker = AutoModel if name == "bert" else AutoModelForCausalLM
    models[name] = maker.from_config(AutoConfig.for_model(family, **config))
tokens, found = torch.tensor(task["tokens"]), {}
for path in task["modules"]:
    spec = importlib.util.spec_from_file_location("emitted", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["emitted"] = module
    spec.loader.exec_module(module)
    found[path] = {name: module.score(model, tokens) for name, model in models.items()}
ours = [name for name in sys.modules if name.split(".")[0] in ("primitives", "fitness", "models", "report", "storage")]
json.dump({"found": found, "ours": ours}, open("found.json", "w"))
"""


def random_formula(rng: random.Random) -> Proxy:
    """A formula of one to three branches with up to three operators each; what breaks the grammar's types counts too,
    as long as the parser reads it."""

    def branch() -> str:
        text = rng.choice(list(TERMINALS))
        for name in rng.choices([name for name in UNARY if name != "prune"], k=rng.randint(0, 3)):
            text = f"{name}({text})"
        return text

    def over() -> str:
        return f"{rng.choice(list(AGGREGATION))}[ {branch()} ]"

    kind = rng.choice(("one", "inside", "outside", "three"))
    if kind == "one":
        return parse(over())
    join = rng.choice(list(BINARY))
    if kind == "inside":
        return parse(f"{rng.choice(list(AGGREGATION))}[ {join}( {branch()}, {branch()} ) ]")
    text = f"{join}( {over()}, {over()} )"
    return parse(text if kind == "outside" else f"{rng.choice(list(BINARY))}( {text}, {over()} )")


def random_formulas(count: int, seed: int = 7) -> list[Proxy]:
    """Different ones."""
    rng, found = random.Random(seed), dict[Proxy, None]()
    while len(found) < count:
        found[random_formula(rng)] = None
    return list(found)


def ours(formulas: Sequence[Proxy]) -> dict[str, list[float]]:
    """The exact scores by model, nan where there is none."""
    found = {}
    for name, config in MODELS.items():
        with one_thread():
            model = SPACES["hf"].build(SPACES["hf"].architecture(name, config), 0, "own")
            scorer = Scorer(collect(model, BATCH).blocks)
            values = [scorer.score(formula) for formula in formulas]
        found[name] = [math.nan if isinstance(value, Invalid) else value for value in values]
    return found


def theirs(modules: Sequence[str], folder: Path) -> dict[str, list[float]]:
    """What the modules say, in a process that sees the folder and no project."""
    for place, text in enumerate(modules):
        (folder / f"module_{place}.py").write_text(text)
    architectures = {name: SPACES["hf"].architecture(name, config) for name, config in MODELS.items()}
    task = {
        "models": {name: (MODELS[name], a.seed(0)) for name, a in architectures.items()},
        "tokens": BATCH.tokens.tolist(), "modules": [f"module_{place}.py" for place in range(len(modules))],
    }  # fmt: skip
    (folder / "task.json").write_text(json.dumps(task))
    subprocess.run([sys.executable, "-I", "-c", RUNNER], cwd=folder, check=True)
    told = json.loads((folder / "found.json").read_text())
    if told["ours"]:
        raise SystemExit(f"the fresh process has imported {told['ours'][0]}")
    return {name: [told["found"][path][name] for path in task["modules"]] for name in MODELS}


def differences(mine: Sequence[float], found: Sequence[float]) -> list[float]:
    """Relative ones; infinite where only one has a value, 0 where neither has."""
    return [
        (0.0 if math.isnan(a) and math.isnan(b) else math.inf) if math.isnan(a) or math.isnan(b)
        else abs(a - b) / max(abs(a), 1e-300)
        for a, b in zip(mine, found, strict=True)
    ]  # fmt: skip


def main() -> None:
    """The table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    halls = [entry for path in sorted((ROOT / "proxies").glob("*.json")) for entry in load_hall(path).proxies]
    formulas = [entry.proxy for entry in halls] + random_formulas(count)
    with tempfile.TemporaryDirectory() as folder:
        found = theirs([as_torch_module(formula) for formula in formulas], Path(folder))
    mine = ours(formulas)
    print(f"{len(halls)} formulas of halls, {count} random ones")
    for name in MODELS:
        worst = differences(mine[name], found[name])
        without = sum(math.isnan(value) for value in mine[name])
        place = worst.index(max(worst))
        print(f"{name:6} largest relative difference {max(worst):.2e}, same bits {sum(w == 0 for w in worst)} of "
              f"{len(worst)}, without a value {without}")  # fmt: skip
        if worst[place] > 1e-6:
            print(f"       {formulas[place]}: {mine[name][place]} and {found[name][place]}")


if __name__ == "__main__":
    main()
