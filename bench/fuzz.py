"""Hostile input: halls of fame, checkpoints, settings, journals, bank entries, benchmarks in three layouts and
formulas, mutated or made up, thrown at the program and its loaders.

    python -m bench.fuzz [--count 10000] [--seed 0]

Each answer must be a sentence or a success: no traceback, no code run, no process, no connection, nothing written
outside the folder of the case, under 1 s (CPU) and 200 MB. Exit code 1 if one is not.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import random
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import cli
from bench.hostile import BOMBS, PLAIN, WORDS, mutate, replaced
from bench.small import evolve_here, write_glue, write_jsonl, write_yaml
from bench.watch import WATCH
from commands.output import say_ceiling
from fitness.features.bank import FeatureBank
from fitness.features.figures import formula_scores
from fitness.features.workshop import Workshop
from fitness.tables.branches import BranchTable
from fitness.zoo.measuring import hand_made_figures
from gp.runs.files import RunFiles
from models.benchmarks.layouts import read_benchmark
from primitives.grammar import parse
from primitives.inputs import INPUTS
from storage.errors import ZcpError
from storage.files import dump_json, sealed

SECONDS, MEGABYTES = 1.0, 200.0
SCORES, SNIP = formula_scores(()), hand_made_figures(("SNIP",))


@dataclass
class Result:
    """Counts, extremes, and every answer that is not as it must be."""

    kinds: Counter[str] = field(default_factory=Counter)
    accepted: int = 0
    slowest: float = 0.0
    largest: float = 0.0
    faults: list[str] = field(default_factory=list)


class Fuzz:
    """Real files in a sandbox, and a way to throw changed ones at the program."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.folder, self.rng, self.result = folder.resolve(), rng, Result()
        self.place = self.folder / "case"
        self.table = write_jsonl(folder / "tiny.jsonl", 28)
        self.yaml = write_yaml(folder / "yaml")
        self.glue = write_glue(folder / "glue.json")
        self.run = evolve_here(self.table, folder / "bank", folder / "run", "--iterations", "30")
        self.first, other = read_benchmark(self.table).architectures[:2]
        workshop = Workshop.open("gpt2", batch=2, length=24, devices="cpu", bank=folder / "bank")
        workshop.visit([SNIP], [self.first, other])
        self.bank, self.entry = workshop.bank, workshop.bank.entry(self.first)
        self.others = {kind: path.read_bytes() for kind, path in _entries(self.bank, self.bank.entry(other)).items()}
        self.proxies = [parse(f"mean[ softmax(abs({name})) ]") for name in INPUTS]
        self.kinds: dict[str, tuple[bytes, Callable[[bytes], object]]] = {
            "hall": ((self.run / "hall_of_fame.json").read_bytes(), self._hall),
            "checkpoint": ((self.run / "checkpoint.json").read_bytes(), self._checkpoint),
            "settings": ((self.run / "config.json").read_bytes(), self._settings),
            "journal": ((self.run / "generations.jsonl").read_bytes(), self._journal),
            "jsonl": (self.table.read_bytes(), self._jsonl),
            "yaml summary": ((self.yaml / "ppl_summary.yaml").read_bytes(), self._yaml_summary),
            "yaml config": ((self.yaml / "config_3/j0/model_config.yaml").read_bytes(), self._yaml_config),
            "glue": (self.glue.read_bytes(), self._glue),
            **{
                kind: (path.read_bytes(), partial(self._entry, kind))
                for kind, path in _entries(self.bank, self.entry).items()
            },
            "formula": (b"product( sum[ abs(log(W)) ], mean[ softmax(G.attn) ] )", self._formula),
        }

    def throw(self, kind: str, content: bytes) -> None:
        """One case: an answer is a sentence or a success, quick, small, and leaves nothing elsewhere."""
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir()
        # A case may write to its own folder only.
        WATCH.allowed, WATCH.seen = str(self.place), []
        call, before = self.kinds[kind][1], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start, fault, talk = time.process_time(), "", io.StringIO()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(talk), contextlib.chdir(self.place):
            try:
                accepted = call(content)
            except ZcpError as error:
                accepted = False
                fault = "" if str(error) and "\n" not in cli.one_line(str(error)) else "an empty message"
            except Exception as error:  # noqa: BLE001 - this is what is looked for
                accepted, fault = False, f"{type(error).__name__}: {error}"
            finally:
                WATCH.armed = False
        seconds = time.process_time() - start
        megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        self._judge(kind, content, fault, seconds, megabytes, talk.getvalue())
        self.result.accepted += bool(accepted)

    def _judge(self, kind: str, content: bytes, fault: str, seconds: float, megabytes: float, talk: str) -> None:
        result = self.result
        result.kinds[kind] += 1
        result.slowest, result.largest = max(result.slowest, seconds), max(result.largest, megabytes)
        faults = [fault] if fault else []
        faults += [f"did {event}" for event in WATCH.seen]
        faults += [f"took {seconds:.2f} s"] if seconds > SECONDS else []
        faults += [f"took {megabytes:.0f} MB"] if megabytes > MEGABYTES else []
        faults += ["a traceback"] if "Traceback" in talk else []
        faults += ["steered the terminal"] if "\x1b" in talk else []
        result.faults += [f"{kind}: {' '.join(what.split())[:200]}: {content[:60]!r}" for what in faults]

    def _cli(self, *arguments: str) -> bool:
        WATCH.armed = True
        return cli.main(arguments) == 0

    def _file(self, name: str | Path, content: bytes) -> str:
        path = self.place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return str(path)

    def _hall(self, content: bytes) -> object:
        form = self.rng.choice(("text", "latex", "python", "json"))
        return self._cli("show", self._file("hall.json", content), "--format", form)

    @contextlib.contextmanager
    def _opened(self, name: str, content: bytes) -> Iterator[RunFiles]:
        for file in ("config.json", "environment.json", "checkpoint.json", "generations.jsonl"):
            shutil.copy(self.run / file, self.place / file)
        self._file(name, content)
        WATCH.armed = True
        with RunFiles.resume(self.place) as files:
            yield files

    def _checkpoint(self, content: bytes) -> object:
        with self._opened("checkpoint.json", content) as files:
            return files.load_state() is not None

    def _settings(self, content: bytes) -> object:
        with self._opened("config.json", content):
            return True

    def _journal(self, content: bytes) -> object:
        with self._opened("generations.jsonl", content) as files, files.journal(files.load_state()):
            return True

    def _verify(self, path: str) -> object:
        accepted = self._cli("benchmarks", "verify", path)
        if accepted:
            say_ceiling(read_benchmark(Path(path)))
        return accepted

    def _jsonl(self, content: bytes) -> object:
        return self._verify(self._file("b.jsonl", content))

    def _glue(self, content: bytes) -> object:
        return self._verify(self._file("b.json", content))

    def _yaml(self, name: str, content: bytes) -> object:
        shutil.copytree(self.yaml, self.place / "b")
        self._file(f"b/{name}", content)
        return self._verify(str(self.place / "b"))

    def _yaml_summary(self, content: bytes) -> object:
        return self._yaml("ppl_summary.yaml", content)

    def _yaml_config(self, content: bytes) -> object:
        return self._yaml("config_3/j0/model_config.yaml", content)

    def _entry(self, kind: str, content: bytes) -> object:
        bank = FeatureBank(self.place, self.bank.key)
        self._file(_entries(bank, self.entry)[kind].relative_to(self.place), content)
        WATCH.armed = True
        if kind == "sketch":
            entry = bank.load_sketch(self.first)
            if served := entry is not None:
                BranchTable([entry, entry]).scores(self.proxies)
        else:
            served = bool((SCORES if kind == "exact scores" else SNIP).load(bank, self.first))
        if served and content == self.others[kind]:
            raise LookupError("the entry of another architecture is served")
        return served

    def _formula(self, content: bytes) -> object:
        text = content.decode("utf-8", "surrogateescape")
        return self._cli("replay", f"--proxy={text}", "--benchmark", "no-such-benchmark")

    def mutated(self, kind: str) -> bytes:
        """A real file with one to four changes; often with its digest made right again, as an attacker would."""
        rng, content = self.rng, bytearray(self.kinds[kind][0])
        if kind in self.others and rng.random() < 0.05:
            return self.others[kind]
        if kind in ("hall", "checkpoint", "settings", "glue", "exact scores", "zoo") and rng.random() < 0.5:
            return self.resealed(kind, replaced(json.loads(bytes(content)), rng))
        body = 32 if kind == "sketch" else 0
        for _ in range(rng.randint(1, 4)):
            mutate(content, rng, body)
        if body and rng.random() < 0.7:
            content[:body] = hashlib.sha256(content[body:]).digest()
        return bytes(content)

    @staticmethod
    def resealed(kind: str, data: Any) -> bytes:
        """The bytes of a JSON file, with its digest if it is of a kind that has one."""
        with contextlib.suppress(ValueError, RecursionError):
            if kind in ("hall", "checkpoint", "settings", "exact scores", "zoo") and isinstance(data, dict):
                return dump_json(sealed({k: v for k, v in data.items() if k != "digest"}))
        return json.dumps(data).encode()


def _entries(bank: FeatureBank, key: str) -> dict[str, Path]:
    """The files of one architecture in a bank, by kind."""
    figures = {"exact scores": SCORES, "zoo": SNIP}
    return {"sketch": bank.sketches.path(key), **{k: taker.shelf(bank).path(key) for k, taker in figures.items()}}


def run(count: int, seed_: int, folder: Path) -> Result:
    """`count` cases: three quarters mutated real files, a quarter from hypothesis."""
    fuzz = Fuzz(folder, random.Random(seed_))
    "".encode("unicode_escape")  # Python imports this codec when it is first asked for
    for kind, (content, _) in fuzz.kinds.items():  # what is imported late is imported now
        fuzz.throw(kind, content)
    if fuzz.result.accepted < len(fuzz.kinds) - 1:  # the formula asks for a benchmark that there is not
        raise SystemExit(f"an unchanged file was refused: {fuzz.result.faults}")
    fuzz.result = Result()
    names = list(fuzz.kinds)
    for i in range(count - count // 4):
        kind = names[i % len(names)]
        fuzz.throw(kind, fuzz.mutated(kind))
    made = settings(max_examples=count // 12, database=None, deadline=None, phases=[Phase.generate],
                    suppress_health_check=list(HealthCheck))  # fmt: skip

    @seed(seed_)
    @made
    @given(st.sampled_from([n for n in names if n != "formula"]), PLAIN)
    def made_up_json(kind: str, data: Any) -> None:
        fuzz.throw(kind, fuzz.resealed(kind, data if isinstance(data, dict) else {"records": data}))

    @seed(seed_)
    @made
    @given(st.sampled_from(names), st.binary(max_size=400))
    def made_up_bytes(kind: str, content: bytes) -> None:
        fuzz.throw(kind, content)

    @seed(seed_)
    @made
    @given(WORDS.map("".join) | st.text(max_size=60))
    def made_up_formula(text: str) -> None:
        fuzz.throw("formula", text.encode("utf-8", "replace"))

    for kind, content in BOMBS:
        if kind in names:
            fuzz.throw(kind, content)
    for cases in (made_up_json, made_up_bytes, made_up_formula):
        cases()
    return fuzz.result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = run(options.count, options.seed, Path(folder))
    for kind, number in sorted(result.kinds.items()):
        print(f"{kind:14} {number:6}")
    print(f"{sum(result.kinds.values())} inputs, {result.accepted} harmless, {len(result.faults)} faults")
    print(f"slowest answer {result.slowest:.2f} s of CPU, largest growth of memory {result.largest:.0f} MB")
    for fault in result.faults[:40]:
        print(f"FAULT {fault}")
    return 1 if result.faults else 0


if __name__ == "__main__":
    sys.exit(main())
