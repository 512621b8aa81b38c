"""Targets: where the fuzz study throws content, by kind, over real files in a sandbox.

A call says whether the content was accepted, raises what the program raises, and WrongAcceptance where content was
accepted that must not be.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from unittest.mock import patch

import cli
from commands.output import say_ceiling
from commands.tables import literal
from fitness.features.bank import FeatureBank
from fitness.features.figures import formula_scores
from fitness.features.workshop import Workshop
from fitness.tables.branches import BranchTable
from fitness.zoo.measuring import hand_made_figures
from gp.runs.files import RunFiles
from models.benchmarks.layouts import read_benchmark
from models.training import Budget, train, verification
from models.training.learning import Learned
from primitives.grammar import parse
from primitives.inputs import INPUTS
from tests.robustness.rankings import SLOW_RANKINGS, Rankings, WrongAcceptance, quick_regressions, unchanged
from tests.robustness.small import FEATURES, evolve_here, write_glue, write_jsonl, write_yaml
from tests.robustness.special import FINE, PLACES, SPECIAL
from tests.robustness.watch import WATCH

__all__ = ["SLOW", "Targets", "WrongAcceptance"]

SCORES, SNIP = formula_scores(()), hand_made_figures(("SNIP",))
SLOW = ("replay", "verify", "names", *SLOW_RANKINGS)  # which do real work
FEW = Budget(steps=3, batch=2, length=16, checkpoints=3, curve_windows=2, final_windows=4)
TRAINED = verification.work


def cheap(task: verification.Task, device: str) -> tuple[Learned, float]:
    """One training, unless the file asks for a long one, which is no fault."""
    most = {name: 20 * value for name, value in vars(FEW).items()}
    if any(getattr(task.budget, name) > value for name, value in most.items() if isinstance(value, int)):
        return Learned(3.0, ()), 0.0
    return TRAINED(task, device)


class Targets:
    """Real files in a sandbox, and a way to throw changed ones at the program; `said` reads what it printed."""

    def __init__(self, folder: Path, rng: random.Random, said: Callable[[], str]) -> None:
        self.folder, self.rng, self.said = folder.resolve(), rng, said
        self.place = self.folder / "case"
        self.table = write_jsonl(folder / "tiny.jsonl", 28)
        self.yaml = write_yaml(folder / "yaml")
        self.glue = write_glue(folder / "glue.json")
        self.trained = train(folder / "trained.jsonl", count=12, replicated=3, seeds=2, jobs=1, budget=FEW)
        self.run = evolve_here(self.table, folder / "bank", folder / "run", "--iterations", "30", "--hall-size", "3")
        self._fill_bank()
        self.proxies = [parse(f"mean[ softmax(abs({name})) ]") for name in INPUTS]
        hall = (self.run / "hall_of_fame.json").read_bytes()
        self.kinds: dict[str, tuple[bytes, Callable[[bytes], object]]] = {
            "hall": (hall, self._hall),
            "replay": (hall, self._replay),
            "checkpoint": ((self.run / "checkpoint.json").read_bytes(), self._checkpoint),
            "settings": ((self.run / "config.json").read_bytes(), self._settings),
            "journal": ((self.run / "generations.jsonl").read_bytes(), self._journal),
            "jsonl": (self.table.read_bytes(), self._jsonl),
            "verify": (self.trained.read_bytes(), self._trained),
            "names": (self.table.read_bytes(), self._names),
            "yaml summary": ((self.yaml / "ppl_summary.yaml").read_bytes(), self._yaml_summary),
            "yaml config": ((self.yaml / "config_3/j0/model_config.yaml").read_bytes(), self._yaml_config),
            "glue": (self.glue.read_bytes(), self._glue),
            **{
                kind: (path.read_bytes(), partial(self._entry, kind))
                for kind, path in self.entries(self.bank, self.entry).items()
            },
            "formula": (b"product( sum[ abs(log(W)) ], mean[ softmax(G.attn) ] )", self._formula),
            "special": (b"show pipe", self._special),
            **Rankings(self).kinds,
        }

    def _fill_bank(self) -> None:
        """Entries of two architectures, and those of one of them under other features."""
        self.first, other = read_benchmark(self.table).architectures[:2]
        workshop = Workshop.open("gpt2", batch=2, length=24, devices="cpu", bank=self.folder / "bank")
        workshop.visit([SNIP], [self.first, other])
        self.bank, self.entry = workshop.bank, workshop.bank.entry(self.first)
        elsewhere = Workshop.open("gpt2", batch=2, length=24, init_seed=1, devices="cpu", bank=self.folder / "bank")
        elsewhere.visit([SNIP], [self.first])
        elsewhere.exact_scores([parse("mean[ abs(W) ]")], [self.first])
        elsewhere.extract([self.first])
        places = [
            self.entries(self.bank, self.bank.entry(other)),
            self.entries(elsewhere.bank, elsewhere.bank.entry(self.first)),
        ]
        self.others = {kind: [place[kind].read_bytes() for place in places] for kind in places[0]}

    @staticmethod
    def entries(bank: FeatureBank, key: str) -> dict[str, Path]:
        """The files of one architecture in a bank, by kind."""
        figures = {"exact scores": SCORES, "zoo": SNIP}
        return {"sketch": bank.sketches.path(key), **{k: taker.shelf(bank).path(key) for k, taker in figures.items()}}

    def command(self, *arguments: str | Path) -> bool:
        """Whether the program accepts the arguments."""
        WATCH.armed = True
        return cli.main([str(argument) for argument in arguments]) == 0

    def file(self, name: str | Path, content: bytes) -> Path:
        """A file of the case with this content."""
        path = self.place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def in_bank(self, *arguments: str | Path) -> bool:
        """As `command`, for one that reads and fills the bank of the study."""
        WATCH.allowed = str(self.folder)
        return self.command(*arguments)

    @staticmethod
    def printed(*arguments: str | Path) -> str:
        """What a command prints that must succeed, before any case."""
        with contextlib.redirect_stdout(io.StringIO()) as paper, contextlib.redirect_stderr(io.StringIO()) as talk:
            if cli.main([str(argument) for argument in arguments]) != 0:
                raise SystemExit(talk.getvalue())
        return paper.getvalue()

    def _hall(self, content: bytes) -> object:
        form = self.rng.choice(("text", "latex", "python", "json"))
        return unchanged(content, self.command("show", self.file("hall.json", content), "--format", form))

    def _replay(self, content: bytes) -> object:
        features = [*FEATURES, "--init-seed", "0", "--bank", self.folder / "bank", "--benchmark", self.table]
        with quick_regressions():
            accepted = self.in_bank("replay", self.file("hall.json", content), "--sketch", *features)
        unchanged(content, accepted)
        splits = [case["split"] for case in json.loads(content).get("cases", ())] if accepted else []
        if not all(split["search"] and split["holdout"] for split in splits):
            raise WrongAcceptance("a hall of fame with an empty split")
        return accepted

    @contextlib.contextmanager
    def _opened(self, name: str, content: bytes) -> Iterator[RunFiles]:
        self.copy_run()
        self.file(name, content)
        WATCH.armed = True
        with RunFiles.resume(self.place) as files:
            yield files

    def copy_run(self) -> None:
        """The files of a run, in the folder of the case."""
        for file in ("config.json", "environment.json", "checkpoint.json", "generations.jsonl"):
            shutil.copy(self.run / file, self.place / file)

    def _checkpoint(self, content: bytes) -> object:
        with self._opened("checkpoint.json", content) as files:
            return files.load_state(files.settings.search) is not None

    def _settings(self, content: bytes) -> object:
        with self._opened("config.json", content):
            return True

    def _journal(self, content: bytes) -> object:
        with (
            self._opened("generations.jsonl", content) as files,
            files.journal(files.load_state(files.settings.search)),
        ):
            return True

    def verify(self, path: Path) -> object:
        """Whether a benchmark is accepted."""
        accepted = self.command("benchmarks", "verify", path)
        if accepted:
            say_ceiling(read_benchmark(path))
        return accepted

    def _jsonl(self, content: bytes) -> object:
        return self.verify(self.file("b.jsonl", content))

    def _trained(self, content: bytes) -> object:
        path = self.file("b.jsonl", content)
        WATCH.armed = True
        with patch.object(verification, "work", cheap):
            found = verification.verify_by_training(path, sample=1, jobs=1)
        if not all(0 <= check.allowed < float("inf") for check in found.checks):
            raise WrongAcceptance("noise that is none")
        return True

    def _names(self, content: bytes) -> object:
        features = [*FEATURES, "--bank", self.folder / "bank", "--benchmark", self.file("b.jsonl", content)]
        with quick_regressions():
            accepted = self.in_bank("replay", "--proxy", "mean[ abs(W) ]", "--sketch", *features)
        if accepted and literal(json.loads(content.splitlines()[0])["metric"]) not in self.said():
            raise WrongAcceptance("a metric is shown as something else")
        return accepted

    def _glue(self, content: bytes) -> object:
        return self.verify(self.file("b.json", content))

    def _yaml(self, name: str, content: bytes) -> object:
        shutil.copytree(self.yaml, self.place / "b")
        self.file(f"b/{name}", content)
        return self.verify(self.place / "b")

    def _yaml_summary(self, content: bytes) -> object:
        return self._yaml("ppl_summary.yaml", content)

    def _yaml_config(self, content: bytes) -> object:
        return self._yaml("config_3/j0/model_config.yaml", content)

    def _entry(self, kind: str, content: bytes) -> object:
        bank = FeatureBank(self.place, self.bank.key)
        self.file(self.entries(bank, self.entry)[kind].relative_to(self.place), content)
        served = self.served(kind, bank)
        if served and content in self.others[kind]:
            raise WrongAcceptance("the entry of another architecture or of other features is served")
        return served

    def served(self, kind: str, bank: FeatureBank) -> bool:
        """Whether a bank serves the entry of the architecture."""
        WATCH.armed = True
        if kind != "sketch":
            return bool((SCORES if kind == "exact scores" else SNIP).load(bank, self.first))
        if (entry := bank.load_sketch(self.first)) is not None:
            BranchTable([entry, entry]).scores(self.proxies)
        return entry is not None

    def _formula(self, content: bytes) -> object:
        text = content.decode("utf-8", "surrogateescape")
        return self.command("replay", f"--proxy={text}", "--benchmark", "no-such-benchmark")

    def _special(self, content: bytes) -> object:
        """A pipe, a device, a folder or a socket where a command or a loader expects a file."""
        where, _, kind = content.decode("utf-8", "replace").partition(" ")
        if kind not in SPECIAL or where not in PLACES:
            return False
        if (taken := PLACES[where](self, SPECIAL[kind])) and (where, kind) not in FINE:
            raise WrongAcceptance("what is no file was taken for one")
        return taken
