"""Training tokens: how much an architecture is trained, as an amount or per parameter of its blocks."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from models.architecture import Architecture
from models.spaces import SPACES
from storage.errors import WrongInput

__all__ = ["BadTokens", "Tokens", "per_parameter"]

MOST = 1e18
_UNITS = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12}


class BadTokens(WrongInput):
    """An amount of training tokens that cannot be read; the message says what was wanted."""


@dataclass(frozen=True)
class Tokens:
    """`amount` tokens, or as many for each parameter of the blocks."""

    amount: float
    per_parameter: bool = False

    @classmethod
    def parse(cls, text: str) -> Tokens:
        """Such as 20B, 300M, 1.5e9, or 20x: twenty a parameter."""
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]*)?(?:[eE][0-9]{1,2})?)([kKmMbBgGtTxX]?)", text.strip())
        amount = float(match[1]) * _UNITS.get(match[2].lower(), 1.0) if match else 0.0
        if not match or not 0 < amount <= MOST:
            raise BadTokens(f"tokens: got {text[:40]!r}, wanted an amount such as 20B, or 20x for 20 a parameter")
        return cls(amount, match[2].lower() == "x")

    def __str__(self) -> str:
        if self.per_parameter:
            return f"{self.amount:g} tokens a parameter of the blocks"
        return f"{self.amount:.4g} tokens"

    def given_to(self, architecture: Architecture) -> Architecture:
        """The architecture, to be trained on so many tokens."""
        count = SPACES[architecture.space].parameters(architecture).decoder if self.per_parameter else 1
        return replace(architecture, tokens=self.amount * count)


def per_parameter(architecture: Architecture) -> float | None:
    """Training tokens for each parameter of the blocks; None where the tokens are not known."""
    if architecture.tokens is None:
        return None
    return architecture.tokens / SPACES[architecture.space].parameters(architecture).decoder
