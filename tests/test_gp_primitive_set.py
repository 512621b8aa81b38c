import itertools
import random
from collections import Counter

import pytest

from gp.config import PUBLISHED, SearchConfig
from gp.evolution.individual import Individual
from gp.evolution.primitive_set import Role, arguments_of, draw, primitive_set
from gp.evolution.variation import generate
from primitives.inputs import EXTENDED, PAPER
from primitives.operators import AGGREGATION, BINARY, UNARY, Kind

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


@pytest.mark.parametrize("joins", [("inside",), ("outside",), ("inside", "outside")])
def test_the_number_of_trees_is_the_number_of_trees(joins):
    pset = primitive_set(SearchConfig(n_unary=1, inputs=("S",), aggregates=("mean",), joins=joins))
    found = trees(pset, pset.network)
    assert len(found) == pset.count(pset.network)
    assert len({str(Individual(nodes, pset)) for nodes in found}) == len(found)


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
    pset = primitive_set(SearchConfig(n_unary=n_unary, inputs=inputs))
    assert set(pset.meaning) == set(pset.mapping)
    assert names(pset, Role.INPUT) == set(inputs)
    assert names(pset, Role.UNARY) == set(UNARY)
    assert names(pset, Role.JOIN_BRANCHES) == set(BINARY)
    assert names(pset, Role.JOIN_NUMBERS) == set(BINARY) - {"matmul"}
    assert names(pset, Role.AGGREGATE_JOINED) == names(pset, Role.AGGREGATE_BRANCH) == set(AGGREGATION)


def test_every_node_can_stand_in_some_tree():
    pset = primitive_set(SearchConfig())
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
    pset = primitive_set(SearchConfig())
    finished = [*(pset.tensor(name, 2) for name in pset.lists), pset.scalar(2), pset.dropped(2)]
    for one, other in itertools.product(finished, finished):
        allowed = pset.find(Role.JOIN_BRANCHES, "matmul", [one, other]) is not None
        assert allowed == (one is other and issubclass(one, pset.any_tensor))


def test_the_order_of_the_settings_does_not_matter():
    one = SearchConfig(inputs=("W", "A", "J"), aggregates=("sum", "mean"), joins=("outside", "inside"))
    other = SearchConfig(inputs=("A", "J", "W"), aggregates=("mean", "sum"))
    a, b = random.Random(1), random.Random(1)
    for _ in range(50):
        assert str(generate(a, primitive_set(one))) == str(generate(b, primitive_set(other)))


def test_a_set_is_built_once():
    assert primitive_set(SearchConfig(seed=1)) is primitive_set(SearchConfig(seed=2))


def test_draw_reaches_every_option():
    rng = random.Random(0)
    assert {draw(rng, "abc") for _ in range(100)} == set("abc")
