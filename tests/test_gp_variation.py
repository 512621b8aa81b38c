import copy
import random
from collections import Counter

import pytest
import torch

from gp.config import PRESETS, SearchConfig
from gp.evolution.algorithms import ALGORITHMS
from gp.evolution.individual import Individual
from gp.evolution.primitive_set import arguments_of, primitive_set
from gp.evolution.variation import (
    MUTATIONS,
    SEEN,
    Exhausted,
    Guard,
    crossover,
    generate,
    make_toolbox,
    mutate,
    replace_branch,
    vary,
)
from gp.lineage import Birth
from primitives.grammar import parse
from primitives.inputs import EXTENDED, PAPER
from primitives.invalid import Invalid
from primitives.operators import USUAL_AGGREGATIONS
from primitives.pps import branch_violation, violation
from primitives.scoring import Scorer

CONFIG = SearchConfig(**PRESETS["lpzero"])
PSET = primitive_set(CONFIG)


def blocks(count=2):
    """A tiny network: per block the tensors of every input, in the true shapes' order of axes."""
    generator = torch.Generator().manual_seed(0)

    def noise(*shape):
        return torch.randn(*shape, generator=generator)

    made = []
    for _ in range(count):
        roles = {"attn": [(3, 4)], "ffn": [(5, 4), (4, 5)]}
        block = {f"{x}.{role}": [noise(*s) for s in shapes] for x in "WG" for role, shapes in roles.items()}
        block |= {x: block[f"{x}.attn"] + block[f"{x}.ffn"] for x in "WG"}
        block |= {"A": [noise(6, 5)], "J": [noise(6, 4)], "H": [noise(6, 4)], "S": [noise(2, 3, 3).softmax(-1)]}
        made.append(block)
    return made


def is_typed(individual):
    open_slots = [individual.pset.network]
    for node in individual:
        if not issubclass(node.ret, open_slots.pop()):
            return False
        open_slots.extend(reversed(arguments_of(node)))
    return not open_slots


def some(count, seed=0, pset=PSET):
    rng = random.Random(seed)
    return [generate(rng, pset) for _ in range(count)]


def varied(how, rng, first, second):
    if how == 0:
        return generate(rng, first.pset)
    return mutate(rng, first, tuple(MUTATIONS)) if how == 1 else crossover(rng, first, second)


def valid_population(count):
    rng, toolbox = random.Random(0), make_toolbox(PSET, Guard(PSET, 50))
    return [toolbox.individual(rng) for _ in range(count)]


@pytest.mark.slow
def test_10_000_generated_and_varied_trees_keep_the_form_and_score_without_a_shape_error():
    rng, scorer, results = random.Random(1), Scorer(blocks()), Counter()
    sets = (
        (1, PAPER, PRESETS["lpzero"]),
        (2, EXTENDED, PRESETS["lpzero"]),
        (3, EXTENDED, PRESETS["lpzero"]),
        (2, PAPER, {}),
    )
    for n_unary, inputs, settings in sets:
        config = SearchConfig(**settings, n_unary=n_unary, inputs=inputs)
        parents = some(40, n_unary, primitive_set(config))
        for i in range(2500):
            first, second = parents[i % 40], parents[int(rng.random() * 40)]
            child = varied(i % 3, rng, first, second)
            assert is_typed(child)
            assert {len(branch.chain) for branch in child.spelling.branches} == {n_unary}
            assert len(child.spelling.branches) in ((1, 2, 3) if config.branches == 3 else (2,))
            results[type(scorer.score(child.to_proxy()))] += 1
            parents[i % 40] = child
    assert set(results) <= {float, Invalid} and results[float] > 8000


@pytest.mark.parametrize("operator", [crossover, lambda rng, first, second: mutate(rng, first)])
def test_variation_leaves_the_parents_alone(operator):
    parents, rng = some(60), random.Random(2)
    before = [str(parent) for parent in parents]
    for first, second in zip(parents, reversed(parents), strict=True):
        operator(rng, first, second)
    assert [str(parent) for parent in parents] == before


def test_crossover_takes_every_node_from_one_parent_or_the_other():
    rng, parents = random.Random(3), some(200)
    for first, second in zip(parents[::2], parents[1::2], strict=True):
        types = {node.ret for node in first} & {node.ret for node in second} - {PSET.network}
        if types:
            child = crossover(rng, first, second)
            assert {node.name for node in child} <= {node.name for node in first} | {node.name for node in second}


def test_parents_without_a_common_type_give_a_mutant():
    texts = "mean[ sum( S, log(S) ) ]", "sum( mean[ A ], sum[ log(A) ] )"
    first, second = (Individual.from_proxy(parse(text), PSET) for text in texts)
    children = {str(crossover(random.Random(seed), first, second)) for seed in range(40)}
    assert len(children) > 20


def test_mutation_changes_inputs_operators_joins_and_aggregations():
    rng, parent = random.Random(4), Individual.from_proxy(parse("mean[ sum( log(W), exp(G) ) ]"), PSET)
    children = [mutate(rng, parent, PRESETS["lpzero"]["mutations"]).to_proxy() for _ in range(400)]
    assert {child.aggregate for child in children} == set(USUAL_AGGREGATIONS)
    assert len({child.binary for child in children}) >= 4
    assert len({child.left.input for child in children}) > 3
    assert any(child.right_aggregate for child in children)


def test_parents_are_two_different_members_of_the_best_tenth():
    population, rng = some(80), random.Random(5)
    pairs = [ALGORITHMS["lpzero"].select(rng, population, 2, SearchConfig()) for _ in range(500)]
    best = {id(individual) for individual in population[:8]}
    assert {id(parent) for pair in pairs for parent in pair} == best
    assert all(first is not second for first, second in pairs)


def test_a_small_population_still_has_two_parents():
    config = SearchConfig(selection_ratio=0.01)
    parents = ALGORITHMS["lpzero"].select(random.Random(0), some(3), 2, config)
    assert len({id(parent) for parent in parents}) == 2


def test_crossover_and_mutation_follow_their_probabilities():
    calls = Counter()

    class Toolbox:
        def __getattr__(self, name):
            return lambda rng, *parents: calls.update([name]) or copy.copy(parents[0])

    (one,), rng, config = some(1), random.Random(6), SearchConfig(crossover=0.5, mutation=0.25)
    for _ in range(5000):
        vary(rng, Toolbox(), config, one, one)
    both, mate, mutant = (calls[name] / 5000 for name in ("mate_and_mutate", "mate", "mutate"))
    assert (both, mate, mutant) == pytest.approx((0.2, 0.6, 0.2), abs=0.02)  # given that something happens


@pytest.mark.parametrize(("rates", "used"), [((1.0, 0.0), "mate"), ((0.0, 1.0), "mutate")])
def test_an_operator_of_probability_zero_is_never_used(rates, used):
    calls = Counter()

    class Toolbox:
        def __getattr__(self, name):
            return lambda rng, *parents: calls.update([name]) or copy.copy(parents[0])

    (one,), config = some(1), SearchConfig(crossover=rates[0], mutation=rates[1])
    for seed in range(200):
        vary(random.Random(seed), Toolbox(), config, one, one)
    assert set(calls) == {used}


@pytest.mark.parametrize(
    ("rates", "operator", "parents"),
    [((1.0, 0.0), "mate", 2), ((0.0, 1.0), "mutate", 1), ((1.0, 1.0), "mate_and_mutate", 2)],
)
def test_a_child_knows_its_operator_and_its_parents(rates, operator, parents):
    pair, config = some(2), SearchConfig(crossover=rates[0], mutation=rates[1])
    child = vary(random.Random(0), make_toolbox(PSET, None), config, *pair)
    assert child.birth == Birth(operator, tuple(parent.canonical.text for parent in pair[:parents]))
    assert all(parent.birth == Birth("newborn") for parent in pair)


def test_a_mutation_of_branches_leaves_all_others_and_draws_none_that_a_rule_refuses():
    rng, pset = random.Random(4), primitive_set(SearchConfig())
    parent = Individual.from_proxy(parse("sum( product( sum[ exp(W) ], mean[ log(G) ] ), last[ sqrt(J) ] )"), pset)
    before = [branch.canonical() for branch in parent.spelling.branches]
    refused = changed = 0
    for _ in range(400):
        child = replace_branch(rng, parent).spelling
        pairs = [(old, new) for old, new in zip(before, child.branches, strict=True) if old != new.canonical()]
        assert len(pairs) <= 1 and (child.binary, child.aggregate) == ("product", "sum")
        changed += len(pairs)
        refused += any(branch_violation(new) is not None for _, new in pairs)
    assert changed > 350 and refused == 0


@pytest.mark.parametrize("name", ["individual", "mate", "mutate", "mate_and_mutate"])
def test_pps_never_lets_a_violating_formula_through(name):
    parents, guard, rng = valid_population(40), Guard(PSET, 50), random.Random(7)
    toolbox, plain = make_toolbox(PSET, guard), make_toolbox(PSET, None)
    arguments = {"individual": 0, "mutate": 1}.get(name, 2)
    pairs = [(parents[i % 40], parents[(i * 7 + 1) % 40])[:arguments] for i in range(400)]
    assert all(violation(getattr(toolbox, name)(rng, *pair).to_proxy()) is None for pair in pairs)
    assert any(violation(getattr(plain, name)(rng, *pair).to_proxy()) for pair in pairs)
    assert sum(guard.rejections.values()) > 20


def test_a_copy_of_a_parent_is_never_returned():
    guard, (parent,) = Guard(PSET, 5), valid_population(1)
    guard.open({parent.canonical.text})
    copying = guard.limit(lambda rng, failed: failed)(lambda rng, parent: parent)
    child = copying(random.Random(0), parent)
    assert child.canonical != parent.canonical
    assert guard.rejections[SEEN] >= 5


def test_rejections_are_counted_by_rule():
    guard = Guard(PSET, 1)
    bad = Individual.from_proxy(parse("mean[ sum( exp(log(W)), abs(G) ) ]"), PSET)
    guard.limit(mutate)(lambda rng: bad)(random.Random(0))
    assert guard.rejections["inverse_pair"] == 1
    guard.open(())
    assert not guard.rejections


def test_a_predictive_rule_is_asked_once_per_formula_and_counted_every_time():
    asked = Counter()

    def predict(proxies):
        asked.update(proxy.text for proxy in proxies)
        return ["probe_noise" if "softmax" in proxy.text else None for proxy in proxies]

    guard, rng = Guard(PSET, 50, predict), random.Random(8)
    toolbox = make_toolbox(PSET, guard)
    assert not any("softmax" in toolbox.individual(rng).canonical.text for _ in range(200))
    assert guard.rejections["probe_noise"] > 20 and set(asked.values()) == {1}


def test_a_guard_of_many_leaves_the_predictive_rules_to_the_end():
    asked = []

    def predict(proxies):
        asked.append(len(proxies))
        return ["probe_noise" if "softmax" in proxy.text else None for proxy in proxies]

    guard, rng = Guard(PSET, 50, predict, together=True), random.Random(8)
    toolbox = make_toolbox(PSET, guard)
    made = [toolbox.individual(rng) for _ in range(100)]
    assert not asked
    admitted = guard.admitted(made)
    assert [i for i in made if i in admitted] == admitted and len(admitted) == 100 - guard.rejections[
        "probe_noise"
    ] < 100
    assert (
        asked == [len({i.canonical.text for i in made})] and guard.admitted(admitted) == admitted and asked[1:] == [0]
    )


def test_a_static_rule_comes_before_a_predictive_one():
    guard = Guard(PSET, 1, lambda proxies: pytest.fail("asked about a formula that a static rule refuses"))
    assert guard.fault(Individual.from_proxy(parse("mean[ sum( exp(log(W)), G ) ]"), PSET)) == "inverse_pair"


def test_nothing_left_is_said_after_a_bounded_number_of_tries():
    toolbox = make_toolbox(PSET, Guard(PSET, 2, lambda proxies: ["probe_constant"] * len(proxies)))
    with pytest.raises(Exhausted, match="probe_constant"):
        toolbox.individual(random.Random(0))


def test_the_global_generators_are_untouched():
    before = random.getstate()
    rng, parents = random.Random(9), some(20)
    for first, second in zip(parents, reversed(parents), strict=True):
        mutate(rng, crossover(rng, first, second))
    assert random.getstate() == before
