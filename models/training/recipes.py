"""RECIPES: what is trained for each embedded benchmark; all are trained alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models.architecture import Architecture
from models.training.sampling import GPT2_MINI, LLAMA_MINI, Family, sample_architectures

__all__ = ["RECIPES", "Recipe"]


@dataclass(frozen=True)
class Recipe:
    """Architectures of a family, `count` of them, `replicated` with `seeds` seeds."""

    family: Family
    count: int
    replicated: int = 30
    seeds: int = 5

    @property
    def space(self) -> str:
        """The space of the architectures."""
        return self.family.space

    def architectures(self, count: int | None = None) -> Sequence[Architecture]:
        """The architectures that are trained, or as many as asked for."""
        return sample_architectures(self.count if count is None else count, family=self.family)


RECIPES = {"gpt2-mini": Recipe(GPT2_MINI, 500), "llama-mini": Recipe(LLAMA_MINI, 400)}
