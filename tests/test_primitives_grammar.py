"""Text form: parse and str are inverse, errors point at the place, nothing is evaluated."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from primitives import grammar
from primitives.grammar import MAX_CHAIN, parse, read_proxy
from primitives.inputs import INPUTS
from primitives.operators import AGGREGATION, BINARY, UNARY, times
from primitives.proxy import BadProxy, Branch, Proxy
from storage.datum import Datum
from storage.files import BadFile

branches = st.builds(
    Branch, st.sampled_from(list(INPUTS)), st.lists(st.sampled_from(list(UNARY)), max_size=5).map(tuple)
)
aggregates = st.sampled_from(list(AGGREGATION))
one_branch = st.builds(Proxy, aggregates, branches)
two_branches = st.builds(Proxy, aggregates, branches, st.sampled_from(list(BINARY)), branches, st.none() | aggregates)
three_branches = st.builds(Proxy.extended, two_branches, st.sampled_from(list(BINARY)), aggregates, branches)
constants = st.builds(times, st.sampled_from([0.33, 1.2e-7, 45.0, 3e9, 1e-12]), aggregates)
linear = st.sampled_from([name for name in BINARY if BINARY[name].linear])
with_constants = st.builds(Proxy, aggregates, branches, linear, branches, constants) | st.builds(
    Proxy.extended, two_branches, linear, constants, branches
)
proxies = one_branch | two_branches | three_branches | with_constants


@settings(max_examples=500, deadline=None)
@given(proxies)
def test_parse_and_str_are_inverse(proxy: Proxy) -> None:
    assert parse(str(proxy)) == proxy
    assert parse(str(proxy).replace(" ", "")) == proxy


@settings(max_examples=300, deadline=None)
@given(proxies)
def test_canonical_form_is_a_fixed_point(proxy: Proxy) -> None:
    if all(branch.pruned for branch in proxy.branches):
        with pytest.raises(BadProxy, match="both branches are pruned"):
            proxy.canonical()
        return
    canonical = proxy.canonical()
    assert canonical.canonical() == canonical and not any(b.pruned for b in canonical.branches)


@settings(max_examples=500, deadline=None)
@given(st.text(max_size=80) | st.text("sumean[](),WG .prodct", max_size=60))
def test_any_text_is_a_proxy_or_a_sentence(text: str) -> None:
    try:
        assert str(parse(text))
    except BadProxy as error:
        assert "wanted" in str(error) or "did you mean" in str(error)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mean[ sqr(W) ]", "column 7: unknown unary operator 'sqr'; did you mean sqrt?"),
        ("sum( mean[ W ], 0.333*last[ J ] )", "column 17: got '0.333', wanted a constant of two digits, 0.33"),
        ("sum( mean[ W ], 1*last[ J ] )", "wanted no constant, for it is 1"),
        ("sum( mean[ W ], 1e13*last[ J ] )", "wanted a constant of two digits, 1e-12 to 1e+12"),
        ("sum( mean[ W ], 0*last[ J ] )", "wanted a constant of two digits, 1e-12 to 1e+12"),
        ("sum( mean[ W ], 1.2.3*last[ J ] )", "got '1.2.3', wanted a number before '*'"),
        ("sum( mean[ W ], W*last[ J ] )", "got 'W', wanted a number before '*'"),
        ("product( mean[ W ], 0.33*last[ J ] )", "wanted no constant in a product"),
        ("sum( 0.33*mean[ W ], last[ J ] )", "column 10: got '*', wanted '['"),
        ("0.33*mean[ W ]", "got '*', wanted '['"),
        ("maen[ W ]", "did you mean mean?"),
        ("mean[ X ]", "unknown input 'X'"),
        ("mean[ W", "got the end, wanted ']'"),
        ("mean[ W ] W", "wanted the end of the formula"),
        ("mean[ sum( W ) ]", "wanted ','"),
        ("mean", "column 5: got the end, wanted '[' after an aggregation or '(' after a binary operator"),
        ("sum( " * 8 + "mean[ W ]" + ", sum[ A ] )" * 8, "at most 8 branches"),
        ("sum( " * 7 + "mean[ sum( W, G ) ]" + ", sum[ A ] )" * 7, "at most 8 branches"),
        ("sum( mean[ W ], sum( sum[ W ], sum[ A ] ) )", "wanted '[', because what is joined already"),
        ("", "got the end"),
        ("__import__('os').system('id')", 'got "\'"'),
        ("mean[ " + "abs(" * (MAX_CHAIN + 2) + "W" + ")" * (MAX_CHAIN + 2) + " ]", "at most"),
        ("mean[ " + "abs(" * 17 + "W" + ")" * 17 + " ]", "column 75: got 'W', wanted at most 16 unary operators"),
        (f"sum[ W ]{' ' * 1993}", "formula of 2,001 characters, wanted at most 2,000"),
        ("mean[ sum( W, W ), W ]", "column 18: got ',', wanted ']'"),
        ("mean[ abs(sum(W)) ]", "column 11: unknown unary operator 'sum'"),
        ("mean[ W ], mean[ G ]", "column 10: got ',', wanted the end of the formula"),
        ("mean[ W ] \t ~", "column 13: got '~', wanted a name, a bracket or a comma"),
        (
            "abs( mean[ W ], mean[ W ] )",
            "column 1: got 'abs', wanted it inside an aggregation, such as mean[ abs(W) ], or one",
        ),
        ("log(H)", "'log(H)': got no aggregation over the blocks, wanted one, such as mean[ log(H) ]"),
        ("sum( W, G ) ", "such as mean[ sum( W, G ) ]"),
        ("H", "such as mean[ H ]"),
        ("product( l1_norm(A), softmax(S) )", "such as mean[ product( l1_norm(A), softmax(S) ) ]"),
        ("sum( mean[ W ], log(H) )", "column 17: got 'log', wanted an aggregation around it, such as mean[ log ... ]"),
        ("sum( mean[ W ], 2*H )", "column 19: got 'H', wanted an aggregation around it, such as mean[ H ... ]"),
        ("log(X)", "column 1: got 'log', wanted it inside an aggregation, such as mean[ log(W) ], or one of sum, diff"),
        ("sum( mean[ W ], mean( W ) )", "column 21: got '(', wanted '[', because what is joined already stands first"),
        ("mean[ abs W ]", "column 7: unknown input 'abs'"),
        ("mean[ W" + " " * 80, "column 88: got the end, wanted ']'"),
        ("sum( mean[ W ], 'W' )", "column 17"),
        (f"mean[ W ] {'x' * 60}", f"got '{'x' * 40}', wanted the end"),
        (f"{'x' * 60}[ W ]", f"unknown aggregation '{'x' * 40}'"),
        (
            "mean[ abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz ]",
            "unknown input 'abcdefghijklmnopqrstuvwxyzabcdefghijklmn'",
        ),
    ],
)
def test_a_bad_formula_is_answered_with_place_and_wish(text: str, message: str) -> None:
    with pytest.raises(BadProxy) as caught:
        parse(text)
    assert message in str(caught.value)


def test_the_longest_formula_and_the_longest_chain_are_read() -> None:
    chain = ("abs",) * 16
    assert parse(f"sum[ {Branch('W', chain)} ]").left.chain == chain
    assert str(parse(f"sum[ W ]{' ' * 1992}")) == "sum[ W ]"


def test_a_long_formula_is_quoted_by_its_beginning() -> None:
    text = "mean[ W ] " + "W" * 71
    with pytest.raises(BadProxy) as caught:
        parse(text)
    assert str(caught.value).startswith(f"'{text[:77]}...': column 11: ")
    with pytest.raises(BadProxy) as caught:
        parse(text[:80])
    assert str(caught.value).startswith(f"'{text[:80]}': column 11: ")


@pytest.mark.parametrize("fault", ["mean[ Q1 ]", 3, "x" * 2001])
def test_a_formula_in_a_file_is_refused_with_its_place(fault: object) -> None:
    with pytest.raises(BadFile, match="a hall: text: "):
        read_proxy(Datum("a hall: text", fault, BadFile))
    assert read_proxy(Datum("a hall: text", "mean[ W ]", BadFile)) == parse("mean[ W ]")


def test_published_champions_are_read() -> None:
    assert str(parse("mean[sum(pow2(revert(H)),logsoftmax(frobenius_norm(A)))]")) == (
        "mean[ sum( pow2(revert(H)), logsoftmax(frobenius_norm(A)) ) ]"
    )


def test_a_text_is_a_formula_or_not() -> None:
    assert grammar._reads("sum[ W ]") is True
    assert grammar._reads("sum[ W") is False
