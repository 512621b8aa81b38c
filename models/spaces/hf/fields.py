"""The fields of a Hugging Face family: which ones it knows, which ones shape its networks, and how they are written.

A field shapes a network if the family's own network code, or the library's code of masks and rotary positions, names
it, or names a property of the configuration that reads it. All other fields are left out of an architecture, so that
one network has one digest.
"""

from __future__ import annotations

import dataclasses
import math
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

from models.architecture import BadArchitecture
from storage.datum import is_whole

if TYPE_CHECKING:
    from transformers import PretrainedConfig

__all__ = ["FamilyFields", "fields_of", "is_noise", "plain", "read_numbers"]

# Names that change nothing of an untrained network, in every family.
NOISE = (
    "architectures", "attn_implementation", "auto_map", "chunk_size_feed_forward", "dtype", "experts_implementation",
    "gradient_checkpointing", "id2label", "label2id", "name_or_path", "num_labels", "problem_type", "pretraining_tp",
    "quantization_config", "return_dict", "task_specific_params", "tokenizer_class", "torch_dtype", "torchscript",
    "transformers_version", "use_cache",
)  # fmt: skip
NOISY = re.compile(r"_.*|output_.*|summary_.*|.*drop.*|(?!pad_).*_token_(id|ids|index)")
SHARED = ("masking_utils.py", "modeling_rope_utils.py")  # code of the library that reads configurations
ALWAYS = frozenset({"tie_word_embeddings", "initializer_range", "init_std", "initializer_factor", "is_encoder_decoder"})
LEGACY = frozenset({"rope_theta", "rope_scaling", "rope_parameters", "partial_rotary_factor", "num_labels"})
WORD = re.compile(r"[A-Za-z_]\w*")
READ = re.compile(r"""(?:config|cfg)\.(\w+)|getattr\((?:self\.)?config, ["'](\w+)["']""")
FLOAT_TAG = "__float__"  # how the library writes an infinity


def is_noise(name: str) -> bool:
    """True if a field of this name shapes no network of any family."""
    return name in NOISE or NOISY.fullmatch(name) is not None


@dataclass(frozen=True)
class FamilyFields:
    """`declared`: the text of the type by field; `known`: all names that the family reads from a file; `named`: words
    of its network code; `derived`: words of its configuration code; `from_padding`: positions count from the padding
    token; `written`: a table of positions is computed number by number."""

    declared: Mapping[str, str]
    aliases: Mapping[str, str]
    known: frozenset[str]
    named: frozenset[str]
    derived: frozenset[str]
    from_padding: bool
    written: bool

    def shapes(self, name: str) -> bool:
        """True if the network code names the field, or an alias of it."""
        if name == "pad_token_id":
            return self.from_padding
        names = {name, *(alias for alias, own in self.aliases.items() if own == name)}
        return not self.named or name in ALWAYS or bool(names & self.named)


def fields_of(config: type[PretrainedConfig]) -> FamilyFields:
    """Read once from the class of a family's configurations and from the source of its networks."""
    kind: Any = config  # hashable, though its class says of its instances that they are not
    return _read(kind)


@lru_cache(maxsize=256)
def _read(config: Any) -> FamilyFields:
    declared = {field.name: str(field.type) for field in dataclasses.fields(config)}
    folder = Path(str(sys.modules[config.__module__].__file__)).parent
    texts = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("modeling_*.py"))]
    shared = [path.read_text(encoding="utf-8") for name in SHARED if (path := folder.parent.parent / name).exists()]
    own = "\n".join(texts)
    reads = {name for pair in READ.findall(own) for name in pair if name}
    derived = frozenset(word for code in _codes(config) for word in _words(code))
    aliases = dict(config.attribute_map)
    return FamilyFields(
        declared=declared,
        aliases=aliases,
        known=frozenset({*declared, *aliases, *reads, *derived, *LEGACY, *config.sub_configs}),
        named=_named(config, frozenset(WORD.findall("\n".join([own, *shared])))) if texts else frozenset(),
        derived=derived,
        from_padding="position_ids_from_input" in own or "SinusoidalPositionalEmbedding" in own,
        written="np.power(10000" in own,
    )


def _named(config: type, words: frozenset[str]) -> frozenset[str]:
    """The words of the network code, and those of each property of the configuration that it names, such as which
    layers share keys and values."""
    own = [vars(base) for base in config.__mro__ if base.__module__.startswith("transformers.models.")]
    properties = {
        name: value.fget.__code__
        for part in own
        for name, value in part.items()
        if isinstance(value, property) and isinstance(value.fget, FunctionType)
    }
    while more := {word for name, code in properties.items() if name in words for word in _words(code)} - words:
        words |= more
    return words


def _codes(config: type) -> Iterator[CodeType]:
    """The functions of a configuration class that are its own or of another family."""
    for base in config.__mro__:
        if base.__module__.startswith("transformers.models."):
            for value in vars(base).values():
                found = value.fget if isinstance(value, property) else value
                if isinstance(found, FunctionType) and found.__module__ == base.__module__:
                    yield found.__code__


def _words(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, str) and WORD.fullmatch(constant):
            yield constant
        elif isinstance(constant, tuple):
            yield from (x for x in constant if isinstance(x, str))
        elif isinstance(constant, CodeType):
            yield from _words(constant)


def read_numbers(declared: Mapping[str, str], fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with numbers of the declared kind: 1 for 1.0 where a family wants whole numbers, and the reverse."""
    return {name: _of_kind(_untagged(value), declared.get(name, "")) for name, value in fields.items()}


def _of_kind(value: Any, kind: str) -> Any:
    if isinstance(value, list):
        return [_of_kind(item, kind) for item in value]
    whole, real = re.search(r"\bint\b", kind), re.search(r"\bfloat\b", kind)
    if is_whole(value) and real and not whole and abs(value) < 1 << 53:
        return float(value)
    if isinstance(value, float) and value.is_integer() and whole and not real:
        return int(value)
    return value


def _untagged(value: Any) -> Any:
    """Lists and objects that can be changed, with infinities where the library's spelling of them stands."""
    if isinstance(value, Mapping):
        if set(value) == {FLOAT_TAG} and value[FLOAT_TAG] in ("Infinity", "-Infinity"):
            return math.inf if value[FLOAT_TAG] == "Infinity" else -math.inf
        return {key: _untagged(item) for key, item in value.items()}
    return [_untagged(item) for item in value] if isinstance(value, list | tuple) else value


def plain(value: Any, where: str) -> Any:
    """The one spelling of a value: lists, whole numbers without a point, no second name of the kind of rotation."""
    if isinstance(value, Mapping):
        return {
            str(key): plain(item, f"{where}: {key}")
            for key, item in value.items()
            if not (key == "type" and "rope_type" in value)
        }
    if isinstance(value, list | tuple):
        return [plain(item, where) for item in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise BadArchitecture(f"{where}: got {value}, wanted a finite number")
        return int(value) if value.is_integer() and abs(value) < 1 << 53 else value
    if value is None or isinstance(value, str | int):
        return value
    raise BadArchitecture(f"{where}: got {type(value).__name__}, wanted plain data")
