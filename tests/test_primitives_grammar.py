"""Text form: parse and str are inverse, errors point at the place, nothing is evaluated."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from primitives.grammar import MAX_CHAIN, MAX_TEXT, from_genotype, parse
from primitives.inputs import INPUTS
from primitives.operators import AGGREGATION, BINARY, UNARY
from primitives.proxy import BadProxy, Branch, Proxy

branches = st.builds(
    Branch, st.sampled_from(list(INPUTS)), st.lists(st.sampled_from(list(UNARY)), max_size=5).map(tuple)
)
aggregates = st.sampled_from(list(AGGREGATION))
one_branch = st.builds(Proxy, aggregates, branches)
two_branches = st.builds(Proxy, aggregates, branches, st.sampled_from(list(BINARY)), branches, st.none() | aggregates)
three_branches = st.builds(Proxy.extended, two_branches, st.sampled_from(list(BINARY)), aggregates, branches)
proxies = one_branch | two_branches | three_branches


@settings(max_examples=500, deadline=None)
@given(proxies)
def test_parse_and_str_are_inverse(proxy: Proxy) -> None:
    assert parse(str(proxy)) == proxy
    assert parse(str(proxy).replace(" ", "")) == proxy
    assert from_genotype(proxy.to_genotype()) == proxy


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
        ("maen[ W ]", "did you mean mean?"),
        ("mean[ X ]", "unknown input 'X'"),
        ("mean[ W", "got the end, wanted ']'"),
        ("mean[ W ] W", "wanted the end of the formula"),
        ("mean[ sum( W ) ]", "wanted ','"),
        ("mean", "wanted '['"),
        ("sum( sum( sum( mean[ W ], sum[ W ] ), sum[ A ] ), sum[ G ] )", "at most 3 branches"),
        ("sum( sum( mean[ sum( W, G ) ], sum[ W ] ), sum[ A ] )", "at most 3 branches"),
        ("sum( mean[ W ], sum( sum[ W ], sum[ A ] ) )", "wanted '[', because what is joined already"),
        ("", "got the end"),
        ("__import__('os').system('id')", 'got "\'"'),
        ("mean[ " + "abs(" * (MAX_CHAIN + 2) + "W" + ")" * (MAX_CHAIN + 2) + " ]", "at most"),
        ("m" * (MAX_TEXT + 1), "wanted at most"),
    ],
)
def test_a_bad_formula_is_answered_with_place_and_wish(text: str, message: str) -> None:
    with pytest.raises(BadProxy) as caught:
        parse(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        None, [], {}, {"branches": []}, {"branches": [{"input": "W", "chain": []}], "aggregates": []},
        {"branches": [{"input": "W", "chain": []}], "aggregates": ["mean"], "binary": "sum"},
        {"branches": [{"input": "os", "chain": []}], "aggregates": ["mean"], "binary": None},
        {"branches": [{"input": "W", "chain": ["__import__"]}], "aggregates": ["mean"], "binary": None},
        {"branches": [{"input": "W", "chain": ["abs"] * 99}], "aggregates": ["mean"], "binary": None},
        {"branches": [{"input": 3, "chain": []}], "aggregates": ["mean"], "binary": None},
        {"branches": [{"input": "W", "chain": []}], "aggregates": ["mean"], "binary": None,
         "extension": {"binary": "sum", "aggregate": "sum", "branch": {"input": "W", "chain": []}}},
        *[{"branches": [{"input": "W", "chain": []}] * 2, "aggregates": ["mean"], "binary": "sum", "extension": third}
          for third in (3, {}, {"binary": "sum", "aggregate": "sum"},
                        {"binary": "os", "aggregate": "sum", "branch": {"input": "W", "chain": []}},
                        {"binary": "sum", "aggregate": 1, "branch": {"input": "W", "chain": []}})],
    ],
)  # fmt: skip
def test_a_bad_genotype_is_refused(data: object) -> None:
    with pytest.raises(BadProxy, match="genotype"):
        from_genotype(data)


def test_published_champions_are_read() -> None:
    assert str(parse("mean[sum(pow2(revert(H)),logsoftmax(frobenius_norm(A)))]")) == (
        "mean[ sum( pow2(revert(H)), logsoftmax(frobenius_norm(A)) ) ]"
    )
