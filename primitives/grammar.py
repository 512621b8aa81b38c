"""The grammar: a text becomes a Proxy. Nothing is ever evaluated; every name is looked up in a table.

proxy  := AGG "[" joined "]" | BINARY "(" proxy "," number ")" | turned(proxy)    at most eight branches
number := [CONSTANT "*"] AGG "[" branch "]" | turned(number)
turned(x) := "product" "(" "T" "," x ")" | "product" "(" x "," "T" ")"    the training budget, once in a number
joined := BINARY "(" branch "," branch ")" | branch
branch := UNARY "(" branch ")" | INPUT
"""

from __future__ import annotations

import re
from collections.abc import Collection
from difflib import get_close_matches
from functools import lru_cache
from typing import NoReturn

from primitives.inputs import TERMINALS
from primitives.operators import AGGREGATION, BINARY, BUDGET, UNARY, times, turned, turns
from primitives.operators.aggregation import LARGEST, spelled
from primitives.proxy import MAX_BRANCHES, BadProxy, Branch, Proxy
from storage.datum import Datum

__all__ = ["MAX_CHAIN", "MAX_TEXT", "parse", "read_proxy"]

MAX_TEXT = 2000  # characters
MAX_CHAIN = 16  # unary operators in a branch
_TOKEN = re.compile(r"\s*([A-Za-z_][A-Za-z_0-9.]*|[0-9][0-9.]{0,9}(?:e[+-]?[0-9]{1,3})?|[\[\](),*])")


def _unknown(kind: str, name: str, known: Collection[str]) -> str:
    near = get_close_matches(name, known, 1)
    hint = f"; did you mean {near[0]}?" if near else f"; wanted one of {', '.join(known)}"
    return f"unknown {kind} {name!r}{hint}"


@lru_cache(maxsize=65536)
def parse(text: str) -> Proxy:
    """The proxy that `text` spells; BadProxy says what was found and what was wanted, and where."""
    if len(text) > MAX_TEXT:
        raise BadProxy(f"formula of {len(text):,} characters, wanted at most {MAX_TEXT:,}")
    return _Parser(text).proxy()


def read_proxy(text: Datum) -> Proxy:
    """The proxy that a text of a file spells; the file's own error names the place otherwise."""
    try:
        return parse(text.text(MAX_TEXT))
    except BadProxy as fault:
        raise text.error(f"{text.where}: {fault}") from None


def _reads(text: str) -> bool:
    """True if a text is a formula."""
    try:
        _Parser(text)._whole()
    except BadProxy:
        return False
    return True


class _Parser:
    """Recursive descent over the tokens; one method per rule of the grammar."""

    def __init__(self, text: str) -> None:
        self.text, self.tokens, position = text, list[tuple[str, int]](), 0
        stripped = text.rstrip()
        while position < len(stripped):
            if (match := _TOKEN.match(stripped, position)) is None:
                at = position + len(stripped[position:]) - len(stripped[position:].lstrip())
                self._fail(at, repr(stripped[at]), "a name, a bracket or a comma")
            self.tokens.append((match[1], match.start(1)))
            position = match.end()
        self.next = 0

    def proxy(self) -> Proxy:
        """A whole formula. BadProxy shows one that only lacks its aggregation with one."""
        try:
            return self._whole()
        except BadProxy:
            around = f"mean[ {self.text.strip()} ]"
            if not _reads(around):
                raise
        raise BadProxy(f"{self._shown()}: got no aggregation over the blocks, wanted one, such as {around[:200]}")

    def _whole(self) -> Proxy:
        """A whole formula."""
        found = self._joins()
        if self.next < len(self.tokens):
            self._fail_here("the end of the formula")
        return found

    def _joins(self) -> Proxy:
        """Joins nest to the left, so their operators come first, outermost first."""
        joins: list[str] = []
        name = self._name("an aggregation or a binary operator")
        while self._peek() == "(":
            if name in UNARY:
                self._fail_at_name(
                    f"it inside an aggregation, such as mean[ {name}(W) ], or one of {', '.join(BINARY)}"
                )
            joins.append(self._known("binary operator", name, BINARY))
            self._take("(")
            if self._takes_budget(joins[-1], first=True):
                joins[-1] = BUDGET
            name = self._name("an aggregation or a binary operator")
        if self._peek() != "[":
            self._fail_here("'[' after an aggregation or '(' after a binary operator")
        found = self._inside(self._known("aggregation", name, AGGREGATION))
        for binary in reversed(joins):
            if binary == BUDGET:
                found = self._turned(found)
                continue
            self._take(",")
            if self._takes_budget(binary):
                found = self._turned(found)
                continue
            if len(found.branches) == MAX_BRANCHES:
                self._fail_here(f"at most {MAX_BRANCHES} branches")
            found = found.extended(binary, *self._aggregated(binary))
            self._take(")")
        return found

    def _takes_budget(self, binary: str, first: bool = False) -> bool:
        """True if a product joins the training budget here; it is taken, and the comma after a first one."""
        if self._peek() != BUDGET:
            return False
        if binary != "product":
            self._fail_here(f"an aggregation; {BUDGET} stands in a product, such as product( {BUDGET}, sum[ W ] )")
        self.next += 1
        if first:
            self._take(",")
        return True

    def _turned(self, found: Proxy) -> Proxy:
        """The formula times the training budget, after its closing bracket."""
        if found.reads_budget:
            self._fail_here(f"{BUDGET} only once in what it multiplies")
        self._take(")")
        return found.times_budget()

    def _inside(self, aggregate: str) -> Proxy:
        self._take("[")
        is_join = self._peek() in BINARY and self._peek(1) == "("
        if not is_join:
            proxy = Proxy(aggregate, self._branch())
        else:
            binary = self._name("a binary operator")
            self._take("(")
            left = self._branch()
            self._take(",")
            proxy = Proxy(aggregate, left, binary, self._branch())
            self._take(")")
        self._take("]")
        return proxy

    def _aggregated(self, binary: str) -> tuple[str, Branch]:
        if self._peek() == "product" and self._peek(1) == "(":
            return self._budgeted(binary)
        constant = self._constant(binary) if self._peek(1) == "*" else 1.0
        if self._peek() in UNARY or self._peek() in TERMINALS:
            self._fail_here(f"an aggregation around it, such as mean[ {self._peek()} ... ]")
        aggregate = times(constant, self._known("aggregation", self._name("an aggregation"), AGGREGATION))
        if self._peek() == "(":
            self._fail_here("'[', because what is joined already stands first")
        self._take("[")
        branch = self._branch()
        self._take("]")
        return aggregate, branch

    def _budgeted(self, binary: str) -> tuple[str, Branch]:
        """The training budget times what is aggregated, or the other way round."""
        self.next += 2
        before = self._takes_budget("product", first=True)
        aggregate, branch = self._aggregated(binary)
        if not before:
            self._take(",")
            if not self._takes_budget("product"):
                self._fail_here(f"{BUDGET}, because only the training budget is joined to a later branch")
        if turns(aggregate):
            self._fail_here(f"{BUDGET} only once in what it multiplies")
        self._take(")")
        return turned(aggregate), branch

    def _constant(self, binary: str) -> float:
        """A constant and its star."""
        text = self._peek()
        if not BINARY[binary].linear:
            self._fail_here(f"no constant in a {binary}, since it changes no ranking there")
        try:
            constant = float(text)
        except ValueError:
            self._fail_here("a number before '*'")
        if not 1 / LARGEST <= constant <= LARGEST or constant == 1 or text != spelled(constant):
            digits = spelled(constant) if 1 / LARGEST <= constant <= LARGEST else f"{1 / LARGEST:g} to {LARGEST:g}"
            self._fail_here(f"a constant of two digits, {digits}" if constant != 1 else "no constant, for it is 1")
        self.next += 2
        return constant

    def _branch(self) -> Branch:
        outer: list[str] = []
        while self._peek(1) == "(":
            outer.append(self._known("unary operator", self._name("a unary operator"), UNARY))
            self._take("(")
            if len(outer) > MAX_CHAIN:
                self._fail_here(f"at most {MAX_CHAIN} unary operators in a branch")
        name = self._known("input", self._name("an input"), TERMINALS)
        for _ in outer:
            self._take(")")
        return Branch(name, tuple(reversed(outer)))

    def _peek(self, ahead: int = 0) -> str:
        at = self.next + ahead
        return self.tokens[at][0] if at < len(self.tokens) else ""

    def _name(self, wanted: str) -> str:
        if not self._peek() or self._peek() in "[](),*":
            self._fail_here(wanted)
        self.next += 1
        return self.tokens[self.next - 1][0]

    def _known(self, kind: str, name: str, table: Collection[str]) -> str:
        if name not in table:
            at = self.tokens[self.next - 1][1]
            raise BadProxy(f"{self._shown()}: column {at + 1}: {_unknown(kind, name[:40], table)}")
        return name

    def _fail_at_name(self, wanted: str) -> NoReturn:
        name, at = self.tokens[self.next - 1]
        self._fail(at, repr(name), wanted)

    def _take(self, symbol: str) -> None:
        if self._peek() != symbol:
            self._fail_here(repr(symbol))
        self.next += 1

    def _fail_here(self, wanted: str) -> NoReturn:
        at = self.tokens[self.next][1] if self.next < len(self.tokens) else len(self.text)
        self._fail(at, repr(self._peek()[:40]) if self._peek() else "the end", wanted)

    def _fail(self, at: int, got: str, wanted: str) -> NoReturn:
        raise BadProxy(f"{self._shown()}: column {at + 1}: got {got}, wanted {wanted}")

    def _shown(self) -> str:
        return repr(self.text if len(self.text) <= 80 else self.text[:77] + "...")
