import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from landscape import evaluate, fingerprint, search, short, sweep

from gp.config import PRESETS, SearchConfig
from gp.evolution.algorithms import ALGORITHMS
from gp.evolution.evolve import Stop, evolve
from gp.evolution.state import SearchState
from gp.evolution.variation import Exhausted
from primitives.pps import violation

TINY = {**PRESETS["lpzero"], "inputs": ("S",), "n_unary": 1, "aggregates": ("mean",), "joins": ("inside",), "tries": 10}


def as_json(state):
    return json.dumps(state.to_dict())


@pytest.mark.parametrize("pps", [True, False])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_evaluates_as_much_as_it_may(algorithm, pps):
    batches = []

    def counting(proxies):
        batches.append(len(proxies))
        return evaluate(proxies)

    result = evolve(short(algorithm=algorithm, pps=pps), counting)
    assert result.stop is Stop.FINISHED and result.state.iteration == 60
    assert sum(batches) == result.state.evaluations == 76 and batches[0] == 16
    assert len(result.state.population) == 16
    assert bool(result.state.rejections) == pps
    assert (
        result.champion == result.hall.champions[0]
        and len(result.hall.champions) == short(algorithm=algorithm).finalists
    )


def test_lpzero_tries_one_offspring_per_iteration():
    iterations = []
    evolve(short(), evaluate, on_iteration=lambda progress: iterations.append(progress.iteration))
    assert iterations == list(range(61))


def test_lpzero_keeps_the_best_and_drops_the_worst():
    worst = []

    def on_iteration(progress):
        fitness = [individual.fitness.values[0] for individual in progress.state.population]
        assert fitness == sorted(fitness, reverse=True)
        worst.append(fitness[-1])

    evolve(short(), evaluate, on_iteration=on_iteration)
    assert worst == sorted(worst) and worst[0] < worst[-1]


def test_nsga2_keeps_the_front_of_fitness_and_complexity():
    seen = []

    def remembering(proxies):
        seen.extend(found := evaluate(proxies))
        return found

    population = evolve(short(algorithm="nsga2"), remembering).state.population
    worth = [(e.fitness, -e.proxy.complexity) for e in seen if e.invalid is None]
    front = {w for w in worth if not any(o != w and o[0] >= w[0] and o[1] >= w[1] for o in worth)}
    assert front <= {(i.fitness.values[0], -i.fitness.values[1]) for i in population}


def test_evolution_finds_better_formulas_than_chance_where_there_is_something_to_learn():
    def smooth(proxies):
        found = evaluate(proxies)
        parts = ["pow2", "to_std", "W", "product", "sum["]
        fitness = [sum(part in e.proxy.text for part in parts) / 5 for e in found]
        return [type(e)(e.proxy, f, 1, e.proxy.text.encode()) for e, f in zip(found, fitness, strict=True)]

    def mean_fitness(algorithm, seed):
        settings = {"iterations": 200, "population": 40, "seed": seed, "algorithm": algorithm}
        population = evolve(short(**settings), smooth).state.population
        return np.mean([individual.fitness.values[0] for individual in population])

    assert all(mean_fitness("lpzero", seed) > mean_fitness("random", seed) for seed in range(3))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_seed_decides_everything(algorithm):
    one = fingerprint(search(seed=1, algorithm=algorithm))
    assert one == fingerprint(search(seed=1, algorithm=algorithm))
    assert one != fingerprint(search(seed=2, algorithm=algorithm))


@pytest.mark.slow
def test_another_process_with_another_hash_seed_finds_the_same():
    tests = Path(__file__).parent
    program = "from landscape import *; print([fingerprint(search(algorithm=a)) for a in ('memetic', 'nsga2')])"
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": f"{tests.parent}{os.pathsep}{tests}"},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    here = str([fingerprint(search(algorithm=a)) for a in ("memetic", "nsga2")])
    assert [process.communicate()[0].strip() for process in running] == [here, here]


def test_the_global_generators_are_untouched():
    before, numpy_before = random.getstate(), np.random.get_state()[1].tolist()
    for algorithm in ALGORITHMS:
        search(algorithm=algorithm)
    assert random.getstate() == before and np.random.get_state()[1].tolist() == numpy_before


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_with_pps_no_violating_and_no_repeated_formula_is_evaluated(algorithm):
    seen = []

    def remembering(proxies):
        seen.extend(proxies)
        return evaluate(proxies)

    result = evolve(short(algorithm=algorithm), remembering, sweep=sweep)
    assert not any(violation(proxy) for proxy in seen)
    assert all(proxy == proxy.canonical() for proxy in seen)
    assert len({proxy.text for proxy in seen}) == len(seen) == len(result.state.seen)


def test_without_pps_violating_formulas_are_evaluated():
    seen = []

    def remembering(proxies):
        seen.extend(proxies)
        return evaluate(proxies)

    evolve(short(pps=False), remembering, predict=lambda proxies: pytest.fail("asked without PPS"))
    assert any(violation(proxy) for proxy in seen)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_the_predictive_check_refuses_is_never_evaluated_and_counted(algorithm):
    def refuse_weights(proxies):
        return ["probe_noise" if "W" in proxy.text else None for proxy in proxies]

    result = evolve(short(algorithm=algorithm), evaluate, predict=refuse_weights, sweep=sweep)
    assert not any("W" in text for text in result.state.seen)
    assert result.state.rejections["probe_noise"] > 10


def test_an_invalid_formula_never_enters_the_hall_and_sorts_last():
    result = search(iterations=0, population=200)
    fitness = [individual.fitness.values[0] for individual in result.state.population]
    assert fitness[-1] == float("-inf") and fitness == sorted(fitness, reverse=True)
    everything = search(iterations=0, population=200, hall_size=1000)
    assert all(np.isfinite(champion.fitness) for champion in everything.hall.champions)


def test_progress_says_how_it_stands():
    records = []
    result = evolve(short(), evaluate, on_iteration=records.append)
    last, best = records[-1], result.champion
    assert (last.iteration, last.evaluations) == (60, 76)
    assert (last.best_fitness, last.best_text, last.best_found_at) == (best.fitness, best.proxy.text, best.found_at)
    assert last.rejections == dict(result.state.rejections) and last.rejections != records[0].rejections
    fitness = [i.fitness.values[0] for i in result.state.population if np.isfinite(i.fitness.values[0])]
    assert last.statistics == {"mean_fitness": pytest.approx(np.mean(fitness))}
    assert last.record()["mean_fitness"] == last.statistics["mean_fitness"] and "state" not in last.record()


def test_the_search_stops_when_asked_and_continues_to_the_same_end():
    config = short()
    stopped = evolve(config, evaluate, should_stop=lambda progress: progress.iteration == 25)
    assert stopped.stop is Stop.ASKED and stopped.state.iteration == 25
    assert fingerprint(evolve(config, evaluate, state=stopped.state)) == fingerprint(evolve(config, evaluate))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("pps", [True, False])
def test_a_search_interrupted_at_any_iteration_and_reloaded_from_json_ends_equal(algorithm, pps):
    config, checkpoints = short(algorithm=algorithm, pps=pps), []
    whole = evolve(
        config, evaluate, sweep=sweep, on_iteration=lambda progress: checkpoints.append(as_json(progress.state))
    )
    for text in checkpoints:
        state = SearchState.from_dict(json.loads(text), config)
        assert as_json(state) == text
        assert fingerprint(evolve(config, evaluate, state=state, sweep=sweep)) == fingerprint(whole)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("failing_call", [0, 1, 5])
@pytest.mark.parametrize("algorithm", ["lpzero", "memetic"])
def test_an_interrupt_inside_evaluate_leaves_the_state_as_it_was(error, failing_call, algorithm):
    config, calls = short(seed=3, algorithm=algorithm, brood=5, sweeps=1), []

    def interrupted(proxies):
        calls.append(proxies)
        if len(calls) == failing_call + 1:
            raise error
        return evaluate(proxies)

    state = SearchState.start(config)
    texts = [as_json(state)]
    with pytest.raises(error):
        evolve(
            config,
            interrupted,
            sweep=sweep,
            on_iteration=lambda progress: texts.append(as_json(progress.state)),
            state=state,
        )
    assert as_json(state) == texts[-1]
    assert fingerprint(evolve(config, evaluate, state=state, sweep=sweep)) == fingerprint(
        evolve(config, evaluate, sweep=sweep)
    )


def test_a_small_space_ends_the_search_instead_of_repeating_itself():
    result = evolve(SearchConfig(**{**TINY, "iterations": 5000, "population": 30}), evaluate)
    assert result.stop is Stop.EXHAUSTED
    assert len(result.state.seen) == result.state.evaluations > 30


def test_a_space_smaller_than_the_population_is_searched_whole():
    result = evolve(SearchConfig(**{**TINY, "population": 5000, "algorithm": "random"}), evaluate)
    assert result.stop is Stop.EXHAUSTED and 30 < len(result.state.population) < 1545


@pytest.mark.parametrize("algorithm", ["lpzero", "memetic"])
def test_rules_that_leave_nothing_are_reported(algorithm):
    with pytest.raises(Exhausted, match=r"no new valid formula|leave no new formula"):
        evolve(short(algorithm=algorithm, tries=2), evaluate, predict=lambda proxies: ["probe_constant"] * len(proxies))


def test_an_evaluate_that_loses_formulas_is_refused():
    with pytest.raises(ValueError, match="got 15 evaluations, wanted 16"):
        evolve(short(), lambda proxies: evaluate(proxies)[1:])


def test_the_bookkeeping_of_1000_iterations_is_cheap():
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        evolve(SearchConfig(**PRESETS["lpzero"], seed=11), evaluate, on_iteration=lambda progress: None)
    finally:
        sys.setprofile(before)
    assert calls < 4_000_000  # of Python functions: 1.9 million, about 1 s
