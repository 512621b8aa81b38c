"""Callbacks of a search: one per step, whose answer may end it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fitness import Workshop, split_groups
from gp import Case, Reporter, SearchConfig, search
from gp.config import PRESETS
from gp.evolution.evolve import Step, Stop
from gp.hall_entries import Ending
from gp.runs.run import Run
from gp.runs.settings import RunCase, RunSettings
from models import load_benchmark

SMALL = SearchConfig(**PRESETS["lpzero"] | {"iterations": 20, "population": 8, "hall_size": 2})


@pytest.fixture(scope="module")
def case(tiny_benchmark: Path, tmp_path_factory: pytest.TempPathFactory) -> Case:
    benchmark = load_benchmark(str(tiny_benchmark))
    bank = tmp_path_factory.mktemp("bank")
    workshop = Workshop.open("gpt2", batch=2, length=24, devices="cpu", bank=bank)
    return Case(benchmark, workshop, split_groups(benchmark.groups, 12, 42))


@pytest.mark.parametrize(("answer", "stop"), [(True, Stop.CALLBACK), (Stop.TARGET, Stop.TARGET), (None, Stop.FINISHED)])
def test_a_true_answer_ends_a_search_and_its_hall_is_exact(answer: Stop | bool | None, stop: Stop, case: Case) -> None:
    seen: list[Step] = []

    def tell(step: Step) -> Stop | bool | None:
        seen.append(step)
        return answer if step.iteration == 6 else False

    found = search([case], SMALL, Reporter(iteration=tell))
    last = 6 if answer else SMALL.iterations
    assert [step.iteration for step in seen] == list(range(last + 1))
    assert found.result.stop is stop and found.complete and "exact" in found.seconds
    assert found.hall.best is not None and seen[-1].best_fitness == found.result.champion.fitness  # type: ignore[union-attr]


def test_a_request_to_stop_leaves_sketch_scores_whatever_the_answer(case: Case) -> None:
    found = search([case], SMALL, Reporter(iteration=lambda step: True, should_stop=lambda: True))
    assert found.result.stop is Stop.ASKED and not found.complete and found.result.state.iteration == 0


def test_a_run_ends_early_by_a_callback_and_goes_on_where_it_was(case: Case, tmp_path: Path) -> None:
    benchmark, workshop = case.benchmark, case.workshop
    began = RunCase(case.benchmark.name, benchmark.metric, benchmark.digest, workshop.batch.digest)
    settings = RunSettings((began,), SMALL, search_size=12, batch=2, seq_len=24)
    with Run.create(tmp_path / "run", settings) as run:
        first = run.execute([(benchmark, workshop)], Reporter(iteration=lambda step: step.iteration == 3)).document
    with Run.resume(tmp_path / "run") as run:
        last = run.execute([(benchmark, workshop)], Reporter()).document
    assert first is not None and first.ending == Ending("a callback ended it", 3, True)
    assert last is not None and last.ending == Ending("all iterations are done", 20, False)
