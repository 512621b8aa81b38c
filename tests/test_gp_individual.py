import copy
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gp.config import PRESETS, SearchConfig
from gp.evolution.individual import Individual, Misfit
from gp.evolution.primitive_set import primitive_set
from gp.evolution.variation import generate
from primitives.grammar import parse
from primitives.inputs import INPUT_SETS, PAPER

PSET = primitive_set(SearchConfig(**PRESETS["lpzero"]))
SETTINGS = [
    SearchConfig(n_unary=n, inputs=inputs, joins=joins, branches=branches)
    for n in (1, 2, 3)
    for inputs in (PAPER, SearchConfig().inputs, INPUT_SETS["counts"], INPUT_SETS["both"])
    for joins in (("inside",), ("outside",), ("inside", "outside"))
    for branches in (2, 3)
]
individuals = st.builds(
    lambda config, seed: generate(random.Random(seed), primitive_set(config)),
    st.sampled_from(SETTINGS),
    st.integers(0, 2**32),
)


def test_parse_and_str_are_inverse_for_10_000_random_trees():
    rng = random.Random(0)
    for setting in SETTINGS:  # one after the other, because a primitive set takes longer to make than a tree
        pset = primitive_set(setting)
        for _ in range(-(-10_000 // len(SETTINGS))):
            individual = generate(rng, pset)
            for proxy in (individual.spelling, individual.to_proxy()):
                assert parse(str(proxy)) == proxy


@given(individuals)
def test_a_tree_comes_back_from_its_text(individual):
    assert Individual.from_proxy(parse(str(individual)), individual.pset) == individual


@given(individuals)
def test_a_formula_comes_back_from_its_own_tree(individual):
    proxy = individual.to_proxy()
    again = Individual.from_proxy(proxy, individual.pset)
    assert again.canonical == individual.canonical == proxy.canonical()


@given(individuals)
def test_every_branch_has_n_unary_operators(individual):
    branches = individual.spelling.branches
    assert {len(branch.chain) for branch in branches} == {individual.pset.n_unary}
    assert len(branches) <= individual.pset.branches and individual.branches == list(branches)


@given(individuals)
def test_a_pruned_branch_is_gone_from_the_formula(individual):
    assert not any(branch.pruned for branch in individual.to_proxy().branches)
    assert individual.to_proxy().canonical() == individual.canonical


def test_a_short_branch_is_padded_with_no_op():
    individual = Individual.from_proxy(parse("mean[ sum( W, log(G) ) ]"), PSET)
    assert str(individual) == "mean[ sum( no_op(no_op(W)), no_op(log(G)) ) ]"
    assert str(individual.canonical) == "mean[ sum( W, log(G) ) ]"


def test_a_single_branch_gets_a_pruned_partner():
    individual = Individual.from_proxy(parse("sum[ exp(abs(J)) ]"), PSET)
    assert str(individual) == "sum[ sum( exp(abs(J)), no_op(prune(A)) ) ]"
    assert str(individual.to_proxy()) == "sum[ exp(abs(J)) ]"


def test_a_single_branch_is_a_tree_of_its_own_where_branches_join_outside_only():
    individual = Individual.from_proxy(parse("sum[ exp(abs(J)) ]"), primitive_set(SearchConfig()))
    assert str(individual) == str(individual.to_proxy()) == "sum[ exp(abs(J)) ]"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("sum( mean[ product( G, W ) ], last[ abs(J) ] )", "sum( mean[ product( G, W ) ], last[ abs(J) ] )"),
        ("sum( mean[ product( W, prune(G) ) ], last[ abs(J) ] )", "sum( mean[ W ], last[ abs(J) ] )"),
        ("sum( mean[ product( prune(W), log(A) ) ], mean[ exp(J) ] )", "mean[ sum( exp(J), log(A) ) ]"),
    ],
)
def test_a_third_branch_is_joined_to_what_a_prune_leaves_of_the_others(text, left):
    individual = Individual.from_proxy(parse(text), primitive_set(SearchConfig(joins=("inside", "outside"))))
    assert str(individual.canonical) == left and not any(b.pruned for b in individual.to_proxy().branches)


def test_the_branch_that_is_left_may_be_the_right_one():
    individual = Individual.from_proxy(parse("sum[ product( no_op(prune(A)), exp(abs(J)) ) ]"), PSET)
    assert str(individual.to_proxy()) == "sum[ exp(abs(J)) ]"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("mean[ sum( log(log(log(W))), G ) ]", "3 operators in log(log(log(W))), wanted at most 2"),
        ("mean[ product( log(W), log(J) ) ]", "product as a binary operator on two branches on Tensor:weights:2"),
        ("mean[ matmul( to_mean(W), to_mean(G) ) ]", "matmul as a binary operator"),
        ("mean[ sum( softmax(to_mean(W)), G ) ]", "softmax as a unary operator"),
        ("mean[ product( prune(W), prune(G) ) ]", "product as a binary operator"),
        ("mean[ sum( log(prune(W)), G ) ]", "log as a unary operator in a branch on Dropped:1"),
        ("product( mean[ prune(W) ], mean[ G ] )", "mean as the aggregation of one branch on Dropped:2"),
    ],
)
def test_a_formula_that_the_types_forbid_is_refused_with_the_place(text, reason):
    with pytest.raises(Misfit) as caught:
        Individual.from_proxy(parse(text), PSET)
    assert reason in str(caught.value) and "wanted" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("mean[ sum( W.attn, G.attn ) ]", {"inputs": PAPER}),
        ("sum[ sum( W, G ) ]", {"aggregates": ("mean",)}),
        ("mean[ product( W, G ) ]", {"joins": ("outside",)}),
        ("sum( mean[ W ], sum[ G ] )", {"joins": ("inside",)}),
    ],
)
def test_a_formula_outside_the_settings_is_refused(text, settings):
    with pytest.raises(Misfit, match="wanted what the settings allow"):
        Individual.from_proxy(parse(text), primitive_set(SearchConfig(**settings)))


@pytest.mark.parametrize("text", ["mean[ sum( W, G ) ]", "sum[ difference( log(J), W ) ]"])
def test_a_linear_join_inside_is_spelled_outside_where_branches_cannot_meet_inside(text):
    individual = Individual.from_proxy(parse(text), primitive_set(SearchConfig(joins=("outside",))))
    spelled = individual.spelling
    assert spelled.right_aggregate == spelled.aggregate == text.split("[")[0]
    assert individual.canonical == parse(text).canonical()


def test_the_aggregation_sum_and_the_binary_sum_are_told_apart():
    text = "sum( sum[ log(abs(W)) ], mean[ exp(abs(G)) ] )"
    assert str(Individual.from_proxy(parse(text), PSET)) == text


def test_a_copy_shares_the_set_and_keeps_the_fitness():
    individual = Individual.from_proxy(parse("mean[ sum( W, G ) ]"), PSET)
    individual.fitness.values = (0.5, 4)
    twin = copy.deepcopy(individual)
    assert twin == individual and twin is not individual and twin.pset is PSET
    assert twin.fitness.values == (0.5, 4)
