"""Formulas as LaTeX that compiles, checked with matplotlib's TeX-math parser, and as torch code that says the same."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from matplotlib.mathtext import MathTextParser
from test_primitives_grammar import proxies

from primitives.grammar import MAX_CHAIN, parse
from primitives.operators import AGGREGATION, BINARY, UNARY
from primitives.proxy import Branch, Proxy
from primitives.rendering import as_latex, as_python
from primitives.scoring import apply_branch, score

PARSER = MathTextParser("path")


def compiles(latex: str) -> bool:
    PARSER.parse(f"${latex}$")  # ValueError otherwise
    return True


@pytest.mark.parametrize("name", UNARY)
def test_a_unary_operator_is_mathtext_on_an_input_and_on_a_long_argument(name: str) -> None:
    assert compiles(UNARY[name].formula)
    for branch in (Branch("W", (name,)), Branch("W.attn", (name,)), Branch("S", ("exp", name, name))):
        assert compiles(as_latex(Proxy("sum", branch))), as_latex(Proxy("sum", branch))


@pytest.mark.parametrize("name", BINARY)
def test_a_binary_operator_is_mathtext_inside_and_outside(name: str) -> None:
    assert compiles(BINARY[name].formula)
    for text in (f"sum[ {name}( W, exp(G.ffn) ) ]", f"{name}( {name}( sum[ W ], mean[ exp(A) ] ), last[ J ] )"):
        assert compiles(as_latex(parse(text))), text


@pytest.mark.parametrize("name", AGGREGATION)
def test_an_aggregation_is_mathtext(name: str) -> None:
    assert compiles(AGGREGATION[name].formula) and AGGREGATION[name].formula in as_latex(parse(f"{name}[ W ]"))


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(proxies)
def test_every_formula_is_mathtext(proxy: Proxy) -> None:
    assert compiles(as_latex(proxy))


@pytest.mark.parametrize("name", UNARY)
def test_a_long_chain_makes_no_long_latex(name: str) -> None:
    assert len(as_latex(Proxy("sum", Branch("W.attn", (name,) * MAX_CHAIN)))) < 2000


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("sum[ to_std(exp(W)) ]", r"\sum_{l} \overline{\sigma_{\left(e^{W}\right)}}"),
        ("mean[ to_mean(W.attn) ]", r"\frac{1}{L} \sum_{l} \overline{\overline{W_{\mathrm{attn}}}}"),
        ("last[ min_max(exp(J)) ]", r"\sum_{l=L} \overline{\mathrm{min\_max} \left(e^{J}\right)}"),
        ("first[ relu(H) ]", r"\sum_{l=1} \overline{\max(H, 0)}"),
        ("first[ exp(params.ffn) ]", r"\sum_{l=1} \overline{e^{\mathrm{params}_{\mathrm{ffn}}}}"),
        (
            "sum( difference( sum[ W ], mean[ A ] ), last[ J ] )",
            r"\sum_{l} \overline{W} - \frac{1}{L} \sum_{l} \overline{A} + \sum_{l=L} \overline{J}",
        ),
        ("sum[ product( W, abs(G) ) ]", r"\sum_{l} \overline{\left(W\right) \odot \left(|G|\right)}"),
        ("difference( sum[ W ], mean[ A ] )", r"\sum_{l} \overline{W} - \frac{1}{L} \sum_{l} \overline{A}"),
        (
            "product( sum( sum[ W ], mean[ A ] ), last[ J ] )",
            r"\left(\sum_{l} \overline{W} + \frac{1}{L} \sum_{l} \overline{A}\right) \odot \sum_{l=L} \overline{J}",
        ),
        (
            "sum( product( product( sum[ W ], mean[ A ] ), last[ J ] ), first[ H ] )",
            r"\sum_{l} \overline{W} \odot \frac{1}{L} \sum_{l} \overline{A} \odot \sum_{l=L} \overline{J} + \sum_{l=1} \overline{H}",
        ),
        (
            "matmul( sum[ W ], mean[ A ] )",
            r"\left(\sum_{l} \overline{W}\right)\,\left(\frac{1}{L} \sum_{l} \overline{A}\right)^{\top}",
        ),
    ],
)
def test_latex_of_a_formula(text: str, latex: str) -> None:
    assert as_latex(parse(text)) == latex


@pytest.mark.parametrize("letter", ["W.ffn", "J"])
@pytest.mark.parametrize("name", [name for name, operator in UNARY.items() if operator.kind.name != "DROP"])
def test_the_python_of_an_operator_computes_what_the_operator_does(name: str, letter: str) -> None:
    x = torch.tensor([[0.5, -1.0, 2.0], [0.0, 3.0, -0.25]], dtype=torch.float64)
    branch = Branch(letter, (name, "pow2"))
    code, names = as_python(Proxy("sum", branch)), {"torch": torch, letter.replace(".", "_"): x}
    if f"x = {name}(x)" in code:
        return  # an operator that is not of the paper is a call of its name
    exec(code, names)
    assert float(names["x"]) == pytest.approx(float(apply_branch(branch, x).mean()), rel=1e-6)


@pytest.mark.parametrize("name", list(UNARY)[:20])
def test_the_operators_of_the_paper_are_spelt_out_in_python(name: str) -> None:
    assert f"x = {name}(x)" not in as_python(Proxy("sum", Branch("W", (name,))))


@pytest.mark.parametrize("name", list(BINARY)[:4])
def test_the_python_of_a_join_computes_what_the_join_does(name: str) -> None:
    x, y = torch.arange(6.0).reshape(2, 3), torch.arange(6.0).reshape(2, 3) ** 2
    names = {"torch": torch, "W": x, "G": y}
    exec(as_python(parse(f"sum[ {name}( W, G ) ]")), names)
    assert float(names["x"]) == pytest.approx(
        float(score(parse(f"sum[ {name}( W, G ) ]"), [{"W": (x,), "G": (y,)}])), rel=1e-4
    )


def test_python_of_three_branches() -> None:
    assert as_python(parse("product( sum[ matmul( softmax(J), H ) ], last[ S ] )")).splitlines() == [
        "# product( sum[ matmul( softmax(J), H ) ], last[ S ] )",
        "x = J", "x = x.softmax(-2)", "y = H", "z = S",
        "x = x @ y.mT  # per tensor",
        "x = x.mean()  # one number per tensor; then sum over the tensors and blocks",
        "x = x * z  # after z is averaged; then last over it",
    ]  # fmt: skip


def test_python_of_five_branches_has_a_name_for_each() -> None:
    text = "product( difference( sum( sum( sum[ W ], mean[ A ] ), last[ S ] ), first[ G ] ), sum[ J ] )"
    assert as_python(parse(text)).splitlines()[1:] == [
        "x = W", "y = A", "z = S", "z2 = G", "z3 = J",
        "x = x + y  # after each is averaged and aggregated",
        "x = x.mean()  # one number per tensor; then sum and mean over the tensors and blocks",
        "x = x + z  # after z is averaged; then last over it",
        "x = x - z2  # after z2 is averaged; then first over it",
        "x = x * z3  # after z3 is averaged; then sum over it",
    ]  # fmt: skip
