"""Names of tensors: where a network lies in a checkpoint, which may hold it inside a wrapper (`module.`, `_orig_mod.`),
as the text part of a model of several parts (`language_model.`), or without the prefix of its base model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import TypeAlias

from models.spaces.stored_tensors import BadWeights, TensorSource

__all__ = ["Convert", "placed"]

WRAPPERS = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
"""Parts of names that torch's wrappers leave; `module` is a prefix like any other."""
DEPTH = 4  # parts of a prefix

Tensors: TypeAlias = Mapping[str, TensorSource]
Convert: TypeAlias = Callable[[Tensors], Tensors]
"""From names as they are saved to names in the network."""


def placed(tensors: Tensors, needed: Collection[tuple[str, ...]], base: str, convert: Convert) -> Tensors:
    """The tensors by the names that a network has for them; `needed` are those that it cannot do without, each with all
    its names, and `base` is the prefix of its base model. One prefix at most is taken off: the one behind which
    all are found. Where none is, the names stay as they are; BadWeights where several are and hold other tensors."""
    bare = _unwrapped(tensors)
    plain = _found(bare, "", needed, base, convert)
    if _complete(plain, needed):
        return plain
    whole: dict[str, Tensors] = {}
    for outer in _prefixes(bare):
        found = _found(bare, outer, needed, base, convert)
        if _complete(found, needed) and not any(_alike(found, other, needed) for other in whole.values()):
            whole[outer] = found
    if len(whole) > 1:
        names = " and ".join(sorted(whole))
        raise BadWeights(f"got the network {len(whole)} times, behind {names}; save the one that is wanted alone")
    return next(iter(whole.values()), plain)


def _unwrapped(tensors: Tensors) -> Tensors:
    found = {name: source for name, source in tensors.items() if WRAPPERS.isdisjoint(name.split("."))}
    for name, source in tensors.items():
        found.setdefault(".".join(part for part in name.split(".") if part not in WRAPPERS), source)
    return found


def _prefixes(names: Collection[str]) -> list[str]:
    """Prefixes of names: up to DEPTH parts without numbers, the most frequent first."""
    counts: Counter[str] = Counter()
    for name in names:
        parts = name.split(".")[:-1]
        place = next((i for i, part in enumerate(parts) if part.isdigit()), len(parts))
        counts.update(".".join(parts[:i]) + "." for i in range(1, min(place, DEPTH) + 1))
    return [prefix for prefix, _ in counts.most_common()]


def _found(
    tensors: Tensors, outer: str, needed: Collection[tuple[str, ...]], base: str, convert: Convert
) -> dict[str, TensorSource]:
    """The tensors by their names in the network, if it lies behind the prefix `outer`. An output map may lie behind
    another one, if there is one alone (transformers 5.4 saves LLaVA so)."""
    found = dict(convert(_inside(tensors, outer)))
    start, known = f"{base}.", {name for names in needed for name in names}
    for name, source in [*found.items()]:
        other = name.removeprefix(start) if name.startswith(start) else start + name
        if name not in known or other in known:
            found.setdefault(other, source)
    if outer and any(name.startswith(start) for name in known):
        for names in needed:
            if not any(name in found or name.startswith(start) for name in names):
                ends = [source for full, source in tensors.items() if full.endswith(tuple(f".{n}" for n in names))]
                found |= {names[0]: ends[0]} if len(ends) == 1 else {}
    return found


def _inside(tensors: Tensors, outer: str) -> dict[str, TensorSource]:
    """Without the prefix; what lies beside it, such as the output map, by its name there, the nearest one first."""
    found: dict[str, TensorSource] = {}
    scope = outer
    while scope:
        found |= {n.removeprefix(scope): s for n, s in tensors.items() if n.startswith(scope)} | found
        scope = f"{scope[:-1].rpartition('.')[0]}." if "." in scope[:-1] else ""
    return {**tensors, **found}


def _complete(found: Tensors, needed: Collection[tuple[str, ...]]) -> bool:
    return all(any(name in found for name in names) for names in needed)


def _alike(one: Tensors, other: Tensors, needed: Collection[tuple[str, ...]]) -> bool:
    return all(one.get(name) == other.get(name) for names in needed for name in names)
