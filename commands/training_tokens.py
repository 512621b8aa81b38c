"""--tokens: how long the candidates of `rank` and `select` will be trained, and what that changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from commands.source import Source, Workshops

if TYPE_CHECKING:
    from fitness.candidates import Candidate
    from fitness.features.workshop import Progress
    from models.architecture import Architecture
    from models.budget import Tokens

__all__ = ["TOKENS", "budget_notes", "trained_for"]


class TokensType(click.ParamType):
    """An amount of training tokens, or one for each parameter."""

    name = "tokens"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Tokens:
        from models.budget import BadTokens, Tokens

        try:
            return value if isinstance(value, Tokens) else Tokens.parse(str(value))
        except BadTokens as error:
            self.fail(str(error).removeprefix("tokens: "), param, ctx)


TOKENS = click.option(
    "--tokens",
    type=TokensType(),
    metavar="N",
    help="Training tokens, for formulas that read the budget T: 20B, or 20x for 20 a parameter (default: 20x).",
)
"""The option."""


def trained_for(architectures: Sequence[Architecture], tokens: Tokens | None) -> list[Architecture]:
    """The architectures with that training budget; without one as they are."""
    return list(architectures) if tokens is None else [tokens.given_to(each) for each in architectures]


def budget_notes(
    candidates: Sequence[Candidate],
    tokens: Tokens | None,
    source: Source,
    workshops: Workshops,
    progress: Progress | None = None,
) -> list[str]:
    """Lines on the training budget: which one it is, and how the order differs from that at 20 tokens a
    parameter. The networks are not visited again."""
    from dataclasses import replace

    from fitness.candidates import score_candidates
    from primitives.budget import USUAL

    if not any(formula.proxy.reads_budget for formula in source.formulas):
        return [] if tokens is None else ["--tokens changes nothing: the formula does not read the training budget"]
    scored = [candidate for candidate in candidates if candidate.score is not None]
    if tokens is None and all(candidate.architecture.tokens is None for candidate in scored):
        return [f"training budget: {USUAL:g} tokens a parameter of the blocks; --tokens says another one"]
    said = [f"training budget: {'that of each candidate' if tokens is None else tokens}"]
    usual = [replace(candidate.architecture, tokens=None) for candidate in scored]
    then = [score for score, _ in score_candidates(usual, source.scorer(workshops, progress), workshops, progress)]
    known = [(c, c.score, score) for c, score in zip(scored, then, strict=True) if score is not None]
    trends = [
        _trend(name, [float(getattr(c.costs, name)) for c, _, _ in known], *([row[i] for row in known] for i in (1, 2)))
        for name in ("depth", "width")
    ]
    if found := [trend for trend in trends if trend]:
        first = max(known, key=lambda each: float(each[1] or 0))[0].costs.depth
        usually = max(known, key=lambda each: each[2])[0].costs.depth
        found.append(f"depth of the first {first} ({usually})")
        said.append(
            f"rho of the score with depth and width, here (and at {USUAL:g} tokens a parameter): " + ", ".join(found)
        )
    return said


def _trend(name: str, sizes: Sequence[float], now: Sequence[Any], then: Sequence[Any]) -> str:
    """The trend of the score with a size, at two budgets; nothing where one of them is constant."""
    from fitness.ranking import spearman

    if len(sizes) < 3 or min(len(set(sizes)), len(set(now)), len(set(then))) < 2:
        return ""
    import numpy as np

    rhos = [spearman(np.array(sizes), np.array(scores, dtype=float)) for scores in (now, then)]
    return f"{name} {rhos[0]:+.2f} ({rhos[1]:+.2f})"
