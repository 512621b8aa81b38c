"""The table of spaces: `SPACES["gpt2"]` checks, samples, counts and builds architectures of that family."""

from models.spaces.flexibert import FlexibertSpace
from models.spaces.gpt2 import Gpt2Space
from models.spaces.space import Space

__all__ = ["SPACES", "Space"]

SPACES: dict[str, Space] = {space.name: space for space in (Gpt2Space(), FlexibertSpace())}
