import itertools
import random
from collections import Counter
from dataclasses import replace

import pytest

from gp.config import PRESETS, SearchConfig
from gp.evolution.individual import Individual
from gp.evolution.primitive_set import Role, arguments_of, draw, primitive_set
from gp.evolution.variation import generate
from primitives.grammar import parse
from primitives.inputs import EXTENDED, PAPER
from primitives.operators import BINARY, UNARY, USUAL_AGGREGATIONS, Kind

SMALL = SearchConfig(n_unary=1, inputs=("S",), aggregates=("mean",), joins=("inside",))


def trees(pset, wanted):
    """Every tree that returns `wanted`, found the slow way."""
    found = []
    for node in pset.options(wanted):
        for below in itertools.product(*(trees(pset, t) for t in arguments_of(node))):
            found.append([node, *itertools.chain(*below)])
    return found


def names(pset, role):
    return {meaning.operator for meaning in pset.meaning.values() if meaning.role is role}


TINY = SearchConfig(n_unary=1, inputs=("S",), aggregates=("mean",))
SETS = [(("inside",), 2), (("outside",), 2), (("outside",), 3), (("inside", "outside"), 3)]


@pytest.mark.slow
@pytest.mark.parametrize(("joins", "branches"), SETS)
def test_the_number_of_trees_is_the_number_of_trees_and_each_has_its_own_text(joins, branches):
    pset = primitive_set(replace(TINY, joins=joins, branches=branches))
    found = trees(pset, pset.network)
    assert len(found) == pset.count(pset.network)
    assert len({str(Individual(nodes, pset)) for nodes in found}) == len(found)


def test_trees_of_one_two_and_three_branches_come_back_from_their_texts():
    pset = primitive_set(TINY)
    some = [Individual(nodes, pset) for nodes in trees(pset, pset.network)[::53]]
    assert all(Individual.from_proxy(parse(str(individual)), pset) == individual for individual in some)
    alone, pair = (
        Individual.from_proxy(parse(text), pset) for text in ("mean[ abs(S) ]", "sum( mean[ abs(S) ], mean[ exp(S) ] )")
    )
    assert str(alone) == "mean[ abs(S) ]" and (alone[0].ret, pair[0].ret) == (pset.network, pset.pair)
    assert {len(individual.spelling.branches) for individual in some} == {1, 2, 3}


def test_two_branches_are_as_likely_as_three_although_they_are_few():
    pset, rng = primitive_set(TINY), random.Random(3)
    counts = Counter(len(generate(rng, pset).spelling.branches) for _ in range(4000))
    assert set(counts) <= {1, 2, 3} and counts[3] / 4000 == pytest.approx(0.5, abs=0.05)
    assert pset.count(pset.pair) < 0.02 * pset.count(pset.network)


def test_every_tree_is_equally_likely():
    pset, rng, draws = primitive_set(SMALL), random.Random(3), 20_000
    seen = Counter(str(generate(rng, pset)) for _ in range(draws))
    expected = draws / pset.count(pset.network)
    statistic = sum((seen[str(Individual(t, pset))] - expected) ** 2 / expected for t in trees(pset, pset.network))
    freedom = pset.count(pset.network) - 1
    assert abs(statistic - freedom) < 4 * (2 * freedom) ** 0.5  # chi-squared: mean k, variance 2k


def test_the_published_space_joined_inside_has_its_size_less_what_the_types_forbid():
    paper = SearchConfig(n_unary=1, inputs=PAPER, aggregates=("mean",), joins=("inside",))
    pset = primitive_set(paper)
    tensor = sum(operator.kind in (Kind.ENTRY, Kind.WHOLE, Kind.LINE) for operator in UNARY.values())
    scalar = sum(operator.kind is Kind.REDUCE for operator in UNARY.values())
    same_list = (1 + 4 + 4 + 1) * tensor**2 * 4
    numbers = 36 * scalar**2 * 3 + 2 * 36 * tensor * scalar * 3
    dropped = 2 * 36 * (tensor + scalar) * 3
    assert pset.count(pset.network) == same_list + numbers + dropped


@pytest.mark.parametrize("n_unary", [1, 2, 3])
@pytest.mark.parametrize("inputs", [PAPER, EXTENDED])
def test_every_operator_has_a_node_and_every_node_a_meaning(n_unary, inputs):
    pset = primitive_set(SearchConfig(**{**PRESETS["lpzero"], "branches": 3}, n_unary=n_unary, inputs=inputs))
    assert set(pset.meaning) == set(pset.mapping)
    assert names(pset, Role.INPUT) == set(inputs)
    assert names(pset, Role.UNARY) == set(UNARY)
    assert names(pset, Role.JOIN_BRANCHES) == set(BINARY)
    assert names(pset, Role.JOIN_NUMBERS) == names(pset, Role.JOIN_THIRD) == set(BINARY) - {"matmul"}
    assert names(pset, Role.AGGREGATE_JOINED) == names(pset, Role.AGGREGATE_BRANCH) == set(USUAL_AGGREGATIONS)
    assert Role.ALONE not in pset.roles and Role.ALONE in primitive_set(SearchConfig()).roles


def test_every_node_can_stand_in_some_tree():
    pset = primitive_set(SearchConfig(**{**PRESETS["lpzero"], "branches": 3}))
    reached, open_types = set(), [pset.network]
    while open_types:
        for node in pset.options(open_types.pop()):
            if node.name not in reached:
                reached.add(node.name)
                open_types += arguments_of(node)
    assert reached == set(pset.mapping)


def test_only_entry_operators_and_prune_take_a_scalar():
    pset = primitive_set(SearchConfig())
    scalar = pset.scalar(1)
    taking = {pset.meaning[n.name].operator for n in pset.mapping.values() if arguments_of(n) == [scalar]}
    assert taking == {operator.name for operator in UNARY.values() if operator.on_scalars}


def test_only_no_op_passes_a_dropped_branch_on():
    pset = primitive_set(SearchConfig(n_unary=3))
    for depth in (1, 2):
        taking = [n for n in pset.mapping.values() if arguments_of(n) == [pset.dropped(depth)]]
        assert [pset.meaning[node.name].operator for node in taking] == ["no_op"]


def test_two_dropped_branches_are_never_joined():
    pset = primitive_set(SearchConfig())
    dropped = pset.dropped(2)
    for name in BINARY:
        assert pset.find(Role.JOIN_BRANCHES, name, [dropped, dropped]) is None


def test_tensors_of_different_lists_are_never_joined():
    pset = primitive_set(SearchConfig())
    for one, other in itertools.permutations(pset.lists, 2):
        for name in BINARY:
            assert pset.find(Role.JOIN_BRANCHES, name, [pset.tensor(one, 2), pset.tensor(other, 2)]) is None


def test_matmul_joins_only_two_tensors_of_one_list():
    pset = primitive_set(SearchConfig(**PRESETS["lpzero"]))
    finished = [*(pset.tensor(name, 2) for name in pset.lists), pset.scalar(2), pset.dropped(2)]
    for one, other in itertools.product(finished, finished):
        allowed = pset.find(Role.JOIN_BRANCHES, "matmul", [one, other]) is not None
        assert allowed == (one is other and issubclass(one, pset.any_tensor))


def test_the_order_of_the_settings_does_not_matter():
    one = SearchConfig(inputs=("W", "A", "J"), aggregates=("sum", "mean"), joins=("outside", "inside"))
    other = SearchConfig(inputs=("A", "J", "W"), aggregates=("mean", "sum"), joins=("inside", "outside"))
    a, b = random.Random(1), random.Random(1)
    for _ in range(50):
        assert str(generate(a, primitive_set(one))) == str(generate(b, primitive_set(other)))


def test_a_set_is_built_once():
    assert primitive_set(SearchConfig(seed=1)) is primitive_set(SearchConfig(seed=2))


def test_draw_reaches_every_option():
    rng = random.Random(0)
    assert {draw(rng, "abc") for _ in range(100)} == set("abc")
