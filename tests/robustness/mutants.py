"""A mutation study: do the tests notice when a line of the product changes?

Each mutant is one small change of the syntax tree of one module, in a copy of the tree, run against those tests of the
module that run the changed line (`reach.py`), the quick ones first; if none notices, against those of all other test
files. The table names the tests of a module, so that these are tried first; of one without a row they are the six files
that run the most of it. Processes are forked from one that has
imported all packages, so a mutant costs what these tests cost. Survivors are printed with the number of tests: read
each, and write a test or say why the change changes nothing.

    nice python -m tests.robustness.mutants --count 400 --seed 0 [--only models/spaces] [--since COMMIT] > mutants.txt
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import math
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.robustness.reach import Chosen, Reach, Tracer, runs_in_a_function
from tests.robustness.syntax import mutants

ROOT = Path(__file__).resolve().parents[2]
HEAVY = (
    "torch", "scipy.stats", "scipy.fft", "hypothesis.extra.numpy", "joblib", "deap.gp", "yaml", "rich.progress",
    "click", "matplotlib.mathtext", "transformers.models.gpt2.modeling_gpt2", "transformers.models.bert.modeling_bert",
    "transformers.models.convbert.modeling_convbert",
)  # fmt: skip
SEEN, LONGEST = "seen.json", 3600  # what a run of a test file reached, and its seconds at most
LONG = 60  # seconds of tests that a mutant is run against, of the module's own and of the others
LANGUAGE = "primitives_operators primitives_scoring primitives_pps"
TESTS = {
    "primitives/grammar.py": "primitives_grammar primitives_budget",
    "primitives/proxy.py": "primitives_grammar primitives_proxy primitives_pps primitives_scoring primitives_budget primitives_rendering",
    "primitives/pps.py": "primitives_pps primitives_budget",
    "primitives/rendering.py": "primitives_rendering primitives_budget",
    "primitives/frames.py": f"{LANGUAGE} goldens",
    "primitives/inputs.py": f"{LANGUAGE} goldens counts",
    "primitives/scoring.py": "primitives_scoring goldens",
    "primitives/operators/registry.py": "primitives_operators primitives_pps",
    "primitives/operators/unary.py": f"{LANGUAGE} primitives_rendering goldens",
    "primitives/operators/binary.py": f"{LANGUAGE} primitives_rendering goldens",
    "primitives/operators/aggregation.py": f"{LANGUAGE} primitives_rendering goldens primitives_budget",
    "fitness/ranking.py": "fitness_ranking fitness_evaluation fitness_groups pairs_and_law",
    "fitness/protocol.py": "fitness_groups fitness_protocol pairs_and_law",
    "fitness/evaluation.py": "fitness_evaluation fitness_ranking",
    "fitness/candidates.py": "candidate_order ranking rank select rank_refusals rank_candidates select_command",
    "fitness/costs.py": "costs rank select_real amounts candidate_order rank_refusals rank_candidates",
    "fitness/positions.py": "candidate_order",
    "gp/selection.py": "select select_real select_command",
    "gp/evolution/fronts.py": "select select_command",
    "fitness/objectives.py": "fitness_evaluation fitness_ranking pairs_and_law across",
    "fitness/features/sketch.py": "fitness_sketch goldens fitness_features fitness_branches",
    "fitness/features/bank.py": "fitness_entries goldens fitness_bank fitness_shared_bank",
    "models/architecture.py": "models_architecture models_gpt2 goldens",
    "models/tokens.py": "limits models_tokens goldens search_settings tokenizer",
    "models/spaces/space.py": "models_spaces models_gpt2 models_flexibert goldens flexibert_space flexibert_mixers pairs_and_law",
    "models/spaces/gpt2/space.py": "limits models_spaces models_gpt2 goldens search_settings pairs_and_law",
    "models/spaces/gpt2/network.py": "goldens models_gpt2",
    "models/spaces/flexibert/space.py": "limits models_spaces models_flexibert goldens search_settings flexibert_space flexibert_mixers",
    "models/candidates.py": "candidate_records sheets rank refused frames models_own_benchmarks universal rank_refusals rank_candidates",
    "models/benchmarks/layouts/sheet.py": "sheets models_own_benchmarks",
    "models/benchmarks/layouts/columns.py": "candidate_records sheets models_own_benchmarks",
    "models/benchmarks/layouts/jsonl.py": "models_own_benchmarks models_benchmark",
    "models/benchmarks/benchmark.py": "limits models_benchmark models_own_benchmarks fitness_groups pairs_and_law predictor_file search_settings",
    "models/spaces/checkpoint.py": "checkpoint_files checkpoint_changes weights weights_refused",
    "models/spaces/stored_tensors.py": "limits checkpoint_files checkpoint_changes weights weights_refused search_settings",
    "models/spaces/tensor_names.py": "checkpoint_families",
    "models/spaces/hf/saved.py": "hf_parts checkpoint_families",
    "models/spaces/hf/checkpoint.py": "checkpoint_families weights weights_refused",
    "models/spaces/llama/checkpoint.py": "checkpoint_files weights weights_refused",
    "models/spaces/llama/subnets.py": "limits checkpoint_files subnets whole_price cut_select search_settings",
    "models/spaces/llama/unit_order.py": "subnets cuts cut_plan",
    "models/checkpoints/export.py": "subnets select_real",
    "models/checkpoints/gguf_file.py": "gguf checkpoint_package",
    "models/checkpoints/packages.py": "gguf checkpoint_package",
    "models/tokenizer.py": "limits checkpoint_package cuts cut_plan search_settings tokenizer",
    "fitness/features/cuts.py": "cut_parts cuts whole_price cut_plan",
    "fitness/features/fitting.py": "limits refused fitness_features search_settings",
    "fitness/features/whole.py": "whole_price cut_parts",
    "fitness/tables/cuts.py": "whole_price cut_select cut_parts",
    "fitness/tables/cut_scores.py": "whole_price cut_parts",
    "fitness/seen.py": "seen six_cases rank predictors rank_refusals rank_candidates",
    "fitness/growth.py": "nested",
    "fitness/predictors/ensemble.py": "label_noise ensemble predictors",
    "fitness/predictors/predictor.py": "predictors predictor_file",
    "fitness/predictors/predictor_file.py": "label_noise limits predictor_file search_settings",
    "fitness/predictors/suggestion.py": "label_noise predictors suggest",
    "gp/case.py": "label_noise limits seen six_cases across search_settings fitness_soundness",
    "gp/cut_selection.py": "limits cut_choice cut_select search_settings",
    "gp/hall_cases.py": "limits gp_hall_file gp_hall_cases verdict search_settings",
    "gp/hall_entries.py": "gp_hall_file gp_hall_cases verdict",
    "gp/hall_file.py": "limits gp_hall_file gp_hall_cases verdict across search_settings",
    "models/spaces/variation.py": "regions select llama_space select_real select_command",
    "models/spaces/hf/space.py": "hf_parts models_hf hf_trace hf_fields hf_initialiser",
    "models/spaces/hf/config.py": "limits hf_parts models_hf hf_trace hf_fields search_settings",
    "models/spaces/hf/drawing.py": "limits hf_parts hf_initialiser search_settings",
    "models/spaces/hf/fields.py": "hf_words hf_fields",
    "models/spaces/hf/rope.py": "hf_parts hf_words hf_fields",
    "models/spaces/hf/sizes.py": "limits hf_fields search_settings",
    "models/spaces/hf/trace.py": "hf_parts models_hf hf_trace hf_fields",
    "models/spaces/hf/unknown.py": "hf_parts hf_words hf_fields",
    "models/spaces/hf/layout.py": "hf_parts models_hf hf_trace hf_fields",
    "models/spaces/hf/library.py": "hf_parts models_hf hf_trace",
    "models/spaces/hf/network.py": "hf_parts models_hf hf_trace hf_fields",
    "models/spaces/flexibert/plans.py": "models_spaces models_flexibert goldens flexibert_space flexibert_mixers",
    "models/spaces/flexibert/blocks.py": "goldens models_flexibert flexibert_space flexibert_mixers",
    "gp/evolution/variation.py": "gp_golden gp_variation gp_plug_points",
    "gp/evolution/evolve.py": "gp_golden gp_evolve gp_search_state gp_plug_points",
    "gp/evolution/breeder.py": "gp_golden gp_memetic gp_evolve",
    "gp/evolution/algorithms/memetic.py": "gp_golden gp_memetic",
    "gp/choice.py": "gp_choice folds gp_teacher",
    "gp/sweeps.py": "limits additions gp_sweeps gp_teacher gp_constants search_settings",
    "gp/problem.py": "label_noise limits lesson gp_sweeps gp_choice folds gp_teacher across gp_constants search_settings nested",
    "fitness/near_pairs.py": "limits pairs_and_law fitness_groups search_settings",
    "fitness/plain.py": "plain_network",
    "fitness/predictors/shape_law.py": "pairs_and_law shape_law",
    "fitness/predictors/members.py": "label_noise predictors ensemble",
    "fitness/predictors/tuning.py": "label_noise ensemble",
    "fitness/predictors/teacher.py": "label_noise lesson gp_teacher",
    "gp/additions.py": "additions gp_sweeps gp_teacher",
    "gp/config.py": "limits gp_config search_settings",
    "gp/constants.py": "gp_constants",
    "gp/regression.py": "gp_regression",
    "gp/evolution/algorithms/operon.py": "gp_regression gp_evolve",
    "fitness/tables/chains.py": "counts fitness_branches",
    "models/spaces/llama/relatives.py": "candidate_records llama_relatives",
    "models/spaces/llama/blocks.py": "llama_sparse llama_relatives llama_space",
    "models/spaces/llama/network.py": "llama_sparse llama_relatives llama_space",
    "commands/every_command.py": "common_options rank_refusals commands",
    "gp/lesson.py": "label_noise limits lesson gp_teacher search_settings",
    "gp/pool.py": "regions limits gp_teacher search_settings",
    "models/benchmarks/layouts/frame.py": "candidate_records sheets frames",
    "models/benchmarks/layouts/table.py": "limits frames models_own_benchmarks training_tokens search_settings",
    "models/benchmarks/layouts/unsaid.py": "candidate_records hf_words models_own_benchmarks",
    "models/benchmarks/origins.py": "models_origins models_benchmark",
    "models/spaces/asked_region.py": "region_costs regions select_real",
    "models/spaces/llama/configuration.py": "limits llama_configuration llama_relatives llama_space weights weights_refused cuts cut_plan search_settings",
    "models/spaces/plain_network.py": "plain_network",
    "models/training/budgets.py": "limits training_budgets search_settings",
    "models/training/cuts/campaign.py": "cut_table cuts cut_plan",
    "models/training/cuts/measuring.py": "cut_table cuts cut_plan",
    "models/training/cuts/plan.py": "cut_table cuts cut_plan",
    "models/training/cuts/sample.py": "cut_table cuts cut_select cut_plan",
    "models/training/cuts/table.py": "limits cut_table cuts whole_price cut_plan search_settings",
    "primitives/budget.py": "limits primitives_budget search_settings",
    "report/portable/sympy_module.py": "portable counts",
    "report/portable/torch_module.py": "portable counts",
    "report/portable/torch_taps.py": "portable counts hf_fields",
    "storage/plugins.py": "plugins",
    "commands/cut_select.py": "limits cut_choice cut_select search_settings",
    "commands/feature_options.py": "limits feature_options rank commands search_settings rank_refusals rank_candidates",
    "commands/ranking.py": "limits ranking rank refused search_settings rank_refusals rank_candidates training_tokens",
    "commands/region_options.py": "regions select_real",
    "commands/search_options.py": "commands common_options gp_config search_settings",
    "commands/search_plan.py": "limits search_plan commands gp_config search_settings select_real select_command",
    "commands/select.py": "select select_real select_command cut_select",
}


def forked(folder: Path, files: Sequence[str], plugin: object, limit: float, stop: bool = True) -> str:
    """Verdict of some test files of the copy, run in a process of their own with a plugin of pytest: caught (a test
    fails), survived, or hung."""
    if (child := os.fork()) == 0:
        os.setsid()
        os.chdir(folder)
        sys.path[:0] = [str(folder), str(folder / "tests")]
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1), os.dup2(null, 2)
        importlib.import_module("torch").set_num_threads(1)
        code = 1
        try:
            code = pytest.main([*(["-x"] * stop), "-q", "-n", "0", "-p", "no:cacheprovider", *files], plugins=[plugin])
            if isinstance(plugin, Tracer):
                plugin.save(folder / SEEN)
        finally:
            os._exit(code)
    end = time.monotonic() + limit
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return "caught" if status else "survived"
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hung"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[""], help="beginnings of the paths that are tried")
    parser.add_argument("--others", action="store_true", help="only modules that have no row in the table of tests")
    parser.add_argument("--since", metavar="COMMIT", help="try only lines that were written after that commit")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="stop after that many, with fewer mutants, a random part"
    )
    asked = parser.parse_args(arguments)
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.dont_write_bytecode = True  # a cached module of the same second would hide a mutant
    for name in HEAVY:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "tree"
        ignored = shutil.ignore_patterns(".git", "__pycache__", ".cache", ".hypothesis")
        shutil.copytree(ROOT, folder, ignore=ignored)
        files = [name for name in product(folder) if name.startswith(tuple(asked.only))]
        files = [name for name in files if name not in TESTS or not asked.others]
        lines = {name: written(name, asked.since) if asked.since else None for name in files}
        possible = [(name, *mutant) for name in files for mutant in mutants((folder / name).read_text(), lines[name])]
        drawn = random.Random(asked.seed).sample(possible, min(asked.count, len(possible)))
        end = time.monotonic() + 60 * asked.minutes
        return study(folder, drawn, len(possible), end)


def written(name: str, since: str) -> set[int]:
    """The lines of a file that a commit does not have."""
    command = ["git", "diff", "--unified=0", since, "--", name]
    hunks = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    found: set[int] = set()
    for start, count in re.findall(r"^@@ -\S+ \+(\d+)(?:,(\d+))? @@", hunks, re.M):
        found |= set(range(int(start), int(start) + int(count or 1)))
    return found


def product(folder: Path) -> list[str]:
    """Every module of the product."""
    rooms = ("commands", "engine", "fitness", "gp", "models", "primitives", "report", "storage")
    found = (path.relative_to(folder).as_posix() for room in rooms for path in (folder / room).rglob("*.py"))
    return [*sorted(found), "cli.py"]


def paths(folder: Path, row: str) -> list[str]:
    """The test files of a row of the table that exist."""
    found = (f"tests/test_{test}.py" for test in row.split())
    return [path for path in found if (folder / path).exists()]


def within(chosen: dict[str, float], most: float) -> dict[str, float]:
    """The first tests that take together at most so many seconds."""
    ends = itertools.accumulate(chosen.values())
    return {test: seconds for (test, seconds), end in zip(chosen.items(), ends, strict=True) if end <= most}


def study(folder: Path, drawn: list[tuple[str, int, str, str]], everything: int, end: float) -> int:
    """Try the mutants until `end` on the clock; print each survivor and the share that was caught."""
    names, tally = sorted({name for name, *_ in drawn}), dict[str, list[str]]()
    every = sorted(f"tests/{path.name}" for path in (folder / "tests").glob("test_*.py"))

    def trace(file: str) -> Path:
        (folder / SEEN).unlink(missing_ok=True)
        forked(folder, [file], Tracer(folder, names), LONGEST, stop=False)
        return folder / SEEN

    reach = Reach(trace)
    for name, line, what, source in drawn:
        if time.monotonic() > end:
            break
        original, found, asked = (folder / name).read_text(), "survived", 0
        own = paths(folder, TESTS[name]) if name in TESTS else reach.closest(every, name)
        for files in (own, [file for file in every if file not in own]):
            if found != "survived" or (own and files is not own and not runs_in_a_function(original, line)):
                break  # what an import runs, every test would be asked about
            reached = reach.tests(files, name, original, line)  # not the text of an emitted module
            chosen = within(reached or (reach.every(files) if files is own else {}), LONG)
            asked += len(chosen)
            if chosen:
                (folder / name).write_text(source)
                asking = [file for file in files if any(test.startswith(f"{file}::") for test in chosen)]
                found = forked(folder, asking, Chosen(list(chosen)), 300 + 10 * sum(chosen.values()))
                (folder / name).write_text(original)
        tally.setdefault(name, []).append(found)
        if found != "caught":
            print(f"{found:9} {name}:{line}  {what}  ({asked} tests)", flush=True)
    for name, several in tally.items():
        print(f"{len(several) - several.count('survived'):4} of {len(several):4}  {name}")
    total = [found for part in tally.values() for found in part]
    noticed = len(total) - total.count("survived")
    print(f"{noticed} of {len(total)} caught ({noticed / max(1, len(total)):.1%}), of {everything} possible mutants")
    return 0


if __name__ == "__main__":
    sys.exit(main())
