"""Names and forms of stored tensors as the installed transformers saves them, by its own rules
(`transformers.conversion_mapping`), which `from_pretrained` follows as well."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightConverter, dot_natural_key

from models.spaces.hf.config import LIBRARY_FAULTS
from models.spaces.stored_tensors import BadWeights, TensorSource

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["library_tensors"]

Part = tuple[str, str, TensorSource]
"""The pattern of a rule that a stored tensor answers to, the tensor's name, and the tensor."""


@dataclass(frozen=True)
class Converted:
    """A tensor that the library makes of stored ones, such as queries out of one map of queries, keys and values."""

    name: str
    shape: tuple[int, ...]
    parts: tuple[Part, ...]
    make: Callable[[Callable[[TensorSource], torch.Tensor]], Mapping[str, torch.Tensor]]

    def check(self) -> None:
        """Refuse stored tensors that are no weights."""
        for _, _, source in self.parts:
            source.check()

    def first(self, shape: Sequence[int]) -> torch.Tensor:
        """The first entries along every axis."""
        whole = self.make(lambda source: source.first(source.shape))[self.name]
        return whole[tuple(slice(0, size) for size in shape)]


def library_tensors(model: PreTrainedModel, tensors: Mapping[str, TensorSource]) -> dict[str, TensorSource]:
    """Stored tensors by the names that the network has for them."""
    rules = get_model_conversion_mapping(model)
    found: dict[str, TensorSource] = {}
    joined: dict[str, tuple[WeightConverter, list[Part]]] = {}
    for name in sorted(tensors, key=dot_natural_key):
        own = name
        for rule in rules:
            if not isinstance(rule, WeightConverter):
                own, _ = rule.rename_source_key(own)
        for rule in (rule for rule in rules if isinstance(rule, WeightConverter)):
            target, pattern = rule.rename_source_key(own)
            if pattern is not None:
                joined.setdefault(target, (rule, []))[1].append((pattern, name, tensors[name]))
                break
        else:
            found.setdefault(own, tensors[name])
    for target, (rule, parts) in joined.items():
        found |= _converted(model, target, rule, tuple(parts))
    return {**tensors, **found}


def _converted(
    model: PreTrainedModel, target: str, rule: WeightConverter, parts: tuple[Part, ...]
) -> dict[str, TensorSource]:
    """All that a rule makes of some stored tensors, by name."""

    def make(read: Callable[[TensorSource], torch.Tensor]) -> dict[str, torch.Tensor]:
        fresh: Any = deepcopy(rule)
        for pattern, name, source in parts:
            fresh.add_tensor(target, name, pattern, read(source))
        try:
            made = fresh.convert(target, model=model, config=model.config)
        except LIBRARY_FAULTS as error:
            reason = " ".join(str(error).split())[:200]
            raise BadWeights(f"{parts[0][1]}: transformers cannot convert it ({reason})") from None
        return {name: value[0] if isinstance(value, list) else value for name, value in made.items()}

    shapes = make(lambda source: torch.empty(source.shape, device="meta"))
    return {name: Converted(name, tuple(value.shape), parts, make) for name, value in shapes.items()}
