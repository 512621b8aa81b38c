"""Invalid: every reason for which a proxy has no score or no fitness, as a sentence."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Invalid"]


class Invalid(StrEnum):
    """A failure has a name, never a number."""

    NON_FINITE = "the formula overflows or divides by zero on some architecture"
    CONSTANT = "every architecture gets the same score, so there is no ranking"
    OVERFLOW = "the network itself produces NaN or infinities, so nothing about it is a score"
    FINE = "the formula tells more architectures apart than a coarse one may"
    UNREPEATED = "with its constants, another initialisation ranks the probe architectures differently"
    NO_BRANCH = "both branches are pruned, so nothing is left to compute"
