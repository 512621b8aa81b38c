"""Formulas as MathML, which browsers render natively and screen readers can read."""

from __future__ import annotations

from functools import cache
from xml.etree import ElementTree

from latex2mathml.converter import convert
from markupsafe import Markup

from primitives.proxy import Proxy
from primitives.rendering import as_latex

__all__ = ["mathml"]

MATH = "http://www.w3.org/1998/Math/MathML"
BAR = "\u2015"


@cache
def mathml(proxy: Proxy, sign: int = 1) -> Markup:
    """MathML of a formula with its sign; all markup comes from the operator tables."""
    latex = as_latex(proxy) if sign > 0 else rf"-\left({as_latex(proxy)}\right)"
    ElementTree.register_namespace("", MATH)
    tree = ElementTree.fromstring(convert(latex))
    for element in tree.iter(f"{{{MATH}}}mover"):
        if element[1].text == BAR:
            element.tag = f"{{{MATH}}}mrow"  # a bar as wide as what it is over, in every font: a border
            element.set("class", "over")
            element.remove(element[1])
    return Markup(ElementTree.tostring(tree, encoding="unicode"))  # of the tables of operators alone
