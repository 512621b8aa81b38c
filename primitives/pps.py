"""PPS, the predictive-pruning strategy: rules that refuse a formula before it costs anything.

Each rule is a small function under `@rule(name, sentence)`, and the sentence is what a user reads; the rules are asked
in the order of this file. They look only at the formula; the predictive part
(scores on a few probe architectures must be finite, not constant and not noise) is in `fitness/tables/probes.py`,
because it needs features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from primitives.operators import UNARY, Sign, turns
from primitives.proxy import Branch, Extension, Proxy
from storage.errors import WrongInput

__all__ = [
    "RULES",
    "BadRule",
    "Rule",
    "branch_violation",
    "join_violation",
    "rule",
    "sign_of",
    "violation",
    "violations",
]


class BadRule(WrongInput):
    """A rule that the table refuses; the message names it and the probe that failed."""


@dataclass(frozen=True)
class Rule:
    """`breaks(proxy)` is True when the formula is not worth its price, for the reason in `sentence`; `of_branches`: one
    branch alone can break it."""

    name: str
    sentence: str
    breaks: Callable[[Proxy], bool]
    of_branches: bool = False


RULES: dict[str, Rule] = {}
_W, _S, _PRUNED = Branch("W"), Branch("S", ("exp", "to_mean", "log")), Branch("G", ("prune",))
_PROBES = (
    Proxy("sum", _W),
    Proxy("mean", _PRUNED),
    Proxy("sum", _W, "product", _S),
    Proxy("sum", _S, "sum", _PRUNED, "mean"),
    Proxy("last", _W, "matmul", _W, None, (Extension("difference", "first", _S),)),
)


def rule(name: str, sentence: str) -> Callable[[Callable[[Proxy], bool]], Callable[[Proxy], bool]]:
    """The decorator that registers a rule; BadRule if its name is taken or it does not answer True or False to
    formulas of one, two and three branches."""

    def register(breaks: Callable[[Proxy], bool]) -> Callable[[Proxy], bool]:
        if name in RULES:
            raise BadRule(f"{name}: a rule of that name exists; choose another name")
        for probe in _PROBES:
            if not isinstance(answer := breaks(probe), bool):
                raise BadRule(f"{name}: got {answer!r} for {probe}, wanted True or False; return a bool")
        RULES[name] = Rule(name, sentence, breaks, isinstance(breaks, _OfBranches))
        return breaks

    return register


INVERSE = {
    ("exp", "log"),
    ("log", "exp"),
    ("exp", "abslog"),
    ("abslog", "exp"),
    ("revert", "revert"),
    ("invert", "invert"),
    ("sqrt", "pow2"),
    ("pow2", "sqrt"),
}
IDEMPOTENT = {"abs", "relu", "normalize", "min_max", "no_op"}
# (inner, outer): the pair equals one operator, so a shorter spelling exists.
EQUIVALENT = {
    ("softmax", "log"): "logsoftmax", ("softmax", "abslog"): "logsoftmax", ("logsoftmax", "exp"): "softmax",
    ("revert", "abs"): "abs", ("revert", "pow2"): "pow2", ("abs", "pow2"): "pow2", ("pow2", "abs"): "pow2",
    ("revert", "abslog"): "abslog", ("abs", "abslog"): "abslog", ("abs", "log"): "abslog",
    ("revert", "frobenius_norm"): "frobenius_norm", ("abs", "frobenius_norm"): "frobenius_norm",
    ("revert", "l1_norm"): "l1_norm", ("abs", "l1_norm"): "l1_norm", ("abs", "to_mean"): "l1_norm",
    ("revert", "to_std"): "to_std", ("normalize", "min_max"): "min_max", ("min_max", "normalize"): "normalize",
    ("logsoftmax", "logsoftmax"): "logsoftmax", ("logsoftmax", "softmax"): "softmax",
}  # fmt: skip


class _OfBranches:
    """Test of a rule about single branches; results are cached per branch."""

    def __init__(self, breaks: Callable[[Branch], bool]) -> None:
        self.branch_breaks = lru_cache(maxsize=1 << 16)(breaks)

    def __call__(self, proxy: Proxy) -> bool:
        return any(map(self.branch_breaks, proxy.branches))


def sign_of(branch: Branch) -> Sign:
    """Sign of the entries of a branch, as far as it is known."""
    sign = Sign.NONNEGATIVE if branch.source.nonnegative else Sign.ANY
    for name in branch.chain:
        sign = _step(sign, UNARY[name].sign)
    return sign


def _step(sign: Sign, effect: Sign) -> Sign:
    if effect is Sign.KEEP:
        return sign
    if effect is not Sign.FLIP:
        return effect
    return {Sign.NONNEGATIVE: Sign.NONPOSITIVE, Sign.NONPOSITIVE: Sign.NONNEGATIVE}.get(sign, Sign.ANY)


def _pairs(branch: Branch) -> list[tuple[str, str]]:
    """(inner, outer) neighbours, looking through operators that do nothing."""
    chain = branch.canonical().chain
    return list(pairwise(chain))


def _prefixes(branch: Branch) -> list[tuple[Branch, str]]:
    """(what is computed so far, the next operator)."""
    return [(Branch(branch.input, branch.chain[:i]), name) for i, name in enumerate(branch.chain)]


@rule("both_pruned", "both branches are pruned, so nothing is left to compute")
def _both_pruned(proxy: Proxy) -> bool:
    return all(branch.pruned for branch in proxy.branches)


@rule("inverse_pair", "an operator is undone by the next one (such as exp then log)")
@_OfBranches
def _inverse_pair(branch: Branch) -> bool:
    return any(pair in INVERSE for pair in _pairs(branch))


@rule("repeated", "the same idempotent operator is applied twice")
@_OfBranches
def _repeated(branch: Branch) -> bool:
    twice = (inner == outer and inner in IDEMPOTENT for inner, outer in _pairs(branch))
    return branch.chain.count("no_op") > 1 or any(twice)


@rule("equivalent", "a shorter formula has the same value (such as log of softmax, which is logsoftmax)")
@_OfBranches
def _equivalent(branch: Branch) -> bool:
    if "normalized_sum" in branch.chain:
        return True  # equals to_mean
    needless = (
        sign_of(before) is Sign.NONNEGATIVE and name in ("abs", "relu", "l1_norm") for before, name in _prefixes(branch)
    )
    return any(pair in EQUIVALENT for pair in _pairs(branch)) or any(needless)


@rule("conflict", "log, sqrt or relu of something that is never positive is constant")
@_OfBranches
def _conflict(branch: Branch) -> bool:
    return any(
        sign_of(before) is Sign.NONPOSITIVE and name in ("log", "sqrt", "relu") for before, name in _prefixes(branch)
    )


@rule("scalar_collapse", "an operator that needs many entries is applied to a single number")
@_OfBranches
def _scalar_collapse(branch: Branch) -> bool:
    return any(before.is_scalar and not UNARY[name].on_scalars for before, name in _prefixes(branch))


@rule("mixed_lists", "tensors of different inputs have different shapes and cannot meet entry by entry")
def _mixed_lists(proxy: Proxy) -> bool:
    if proxy.right is None or proxy.right_aggregate is not None or proxy.left.is_scalar or proxy.right.is_scalar:
        return False
    if proxy.left.pruned or proxy.right.pruned:
        return False
    return proxy.left.source.tensors != proxy.right.source.tensors


@rule("matmul_of_numbers", "a matrix product with a single number is a plain product")
def _matmul_of_numbers(proxy: Proxy) -> bool:
    if any(branch.pruned for branch in proxy.branches):
        return False
    if any(extension.binary == "matmul" for extension in proxy.extensions):
        return True
    if proxy.binary != "matmul":
        return False
    return not proxy.joins_entries and not _mixed_lists(proxy)


@rule("same_branches", "both branches are the same, so their sum or difference says nothing new")
def _same_branches(proxy: Proxy) -> bool:
    if proxy.right is None or proxy.right_aggregate not in (None, proxy.aggregate):
        return False
    return proxy.binary in ("sum", "difference") and proxy.left.canonical() == proxy.right.canonical()


@lru_cache(maxsize=1 << 16)
def _says_nothing(branch: Branch, enters_by_mean: bool) -> bool:
    """True if the branch's number is the same for every tensor, by algebra: a z-score has mean 0 and deviation 1,
    its square has mean 1, and shares along a line of T tokens have mean 1/T. What is left can only count blocks."""
    state = "shares" if branch.input == "S" else ""
    chain = branch.canonical().chain
    for name in (*chain, "to_mean") if enters_by_mean and not branch.is_scalar else chain:
        if state and (state, name) in _FIXED:
            return True
        state = _next_state(state, name, along_tokens=branch.input in ("A", "J", "H", "S", "Q"))
    return False


_FIXED = {(state, mean) for state in ("z", "z squared", "shares") for mean in ("to_mean", "normalized_sum")}
_FIXED |= {("z", "to_std"), ("z squared", "l1_norm"), ("shares", "l1_norm")}


def _next_state(state: str, name: str, along_tokens: bool) -> str:
    if name == "normalize":
        return "z"
    if name == "softmax":
        return "shares" if along_tokens else ""
    if name == "pow2" and state == "z":
        return "z squared"
    keeps = {"revert": ("z", "z squared", "shares"), "abs": ("z squared", "shares"), "relu": ("z squared", "shares")}
    return state if state in keeps.get(name, ()) else ""


@rule("constant", "a branch has the same value for every tensor (the mean of a z-score is 0, of attention rows 1/T)")
def _constant(proxy: Proxy) -> bool:
    by_mean = not proxy.joins_entries
    if _says_nothing(proxy.left, by_mean) or (proxy.right is not None and _says_nothing(proxy.right, by_mean)):
        return True
    return any(_says_nothing(extension.branch, True) for extension in proxy.extensions)


@rule("twin", "another spelling of the same formula comes first (commutative or linear)")
def _twin(proxy: Proxy) -> bool:
    if any(branch.pruned for branch in proxy.branches) or proxy.right is None:
        return False
    base = proxy.pair
    if any("no_op" in branch.chain for branch in base.branches):
        base = Proxy(base.aggregate, base.left.canonical(), base.binary, proxy.right.canonical(), base.right_aggregate)
    names = [extension.aggregate for extension in proxy.extensions]
    if any(map(turns, names)) and names != [extension.aggregate for extension in proxy.canonical().extensions]:
        return True  # the training budget stands before an earlier factor
    return base.canonical() != base


def violation(proxy: Proxy) -> Rule | None:
    """The first rule that `proxy` breaks, or None."""
    return next((rule for rule in RULES.values() if rule.breaks(proxy)), None)


@lru_cache(maxsize=1 << 16)
def branch_violation(branch: Branch) -> Rule | None:
    """The first of the rules that concern one branch which `branch` breaks, or None."""
    for rule in RULES.values():
        if isinstance(test := rule.breaks, _OfBranches) and test.branch_breaks(branch):
            return rule
    return None


def join_violation(proxy: Proxy) -> Rule | None:
    """The first of the rules that concern a whole formula, and no branch alone, which `proxy` breaks, or None."""
    for rule in RULES.values():
        if not rule.of_branches and rule.breaks(proxy):
            return rule
    return None


def violations(proxy: Proxy) -> tuple[Rule, ...]:
    """All rules that `proxy` breaks."""
    return tuple(rule for rule in RULES.values() if rule.breaks(proxy))
