"""Configurations of Hugging Face's library: read from a file, checked before the library makes anything of them, and
reduced to the fields that shape a network."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from models.architecture import BadArchitecture
from models.spaces.hf.fields import fields_of, is_noise, plain, read_numbers
from models.spaces.hf.rope import check_rope
from models.spaces.hf.sizes import MOST_BLOCKS, check_sizes, check_written_table
from models.spaces.hf.unknown import known_fields
from models.spaces.space import check_int

if TYPE_CHECKING:
    from transformers import PretrainedConfig

__all__ = ["LIBRARY_FAULTS", "family_of", "library_config", "normalised"]

LIBRARY_FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""Errors that the library raises for a configuration that is no network."""
TEXT_PARTS = ("text_config", "decoder", "generator", "text_encoder")  # those that `get_text_config` looks for


def family_of(config: Mapping[str, Any]) -> str:
    """The library's name of the family."""
    return str(config["model_type"])


def library_config(config: Mapping[str, Any]) -> PretrainedConfig:
    """The library's object; of a model of several parts, that of its text part. BadArchitecture says what is wrong."""
    import transformers
    from huggingface_hub.errors import StrictDataclassError

    transformers.logging.set_verbosity_error()  # it warns of token ids, which no untrained network reads
    family = config.get("model_type")
    kind = _class_of(family, config)
    fields = _read_fields(str(family), kind, config)
    try:
        found = kind(**fields).get_text_config(decoder=True)
    except (*LIBRARY_FAULTS, StrictDataclassError) as error:
        raise BadArchitecture(f"{family}: transformers refuses the configuration ({_first_line(error)})") from None
    if getattr(found, "is_encoder_decoder", False):
        raise BadArchitecture(f"{family}: got an encoder with a decoder, wanted one of them")
    _check_shape(found)
    return _with_padding(found)


def normalised(config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a configuration that shape its network, in one spelling, as plain data."""
    found = library_config(config)
    return json.loads(json.dumps({**_shaping(found), "model_type": found.model_type}, allow_nan=False))


def _read_fields(family: str, kind: type[PretrainedConfig], config: Mapping[str, Any]) -> dict[str, Any]:
    """Fields for the library: the ones that it knows, checked before it makes anything of them. Of a model of
    several parts only the text part is read."""
    parts = {name: value for name, value in config.items() if name in kind.sub_configs and isinstance(value, Mapping)}
    text = {name: _read_part(kind, name, value) for name, value in parts.items() if name in TEXT_PARTS}
    own = {name: value for name, value in config.items() if name != "model_type" and name not in parts}
    fields = fields_of(kind)
    found = read_numbers(fields.declared, known_fields(family, fields, own, refuse=not kind.sub_configs))
    check_rope(family, found)
    check_sizes(found)
    return {**found, **text}


def _read_part(kind: type[PretrainedConfig], name: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """The text part of a model of several parts."""
    from transformers import PretrainedConfig

    part = kind.sub_configs[name]
    if not issubclass(part, PretrainedConfig):
        part = _class_of(value.get("model_type"), value)
    family = str(value.get("model_type") or part.model_type)
    return {**_read_fields(family, part, value), "model_type": family}


def _class_of(family: Any, config: Mapping[str, Any]) -> type[PretrainedConfig]:
    """The library's class of a family; a family with code of its own is told apart from a misspelt one."""
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING, CONFIG_MAPPING_NAMES

    if isinstance(family, str) and family in CONFIG_MAPPING_NAMES:
        return CONFIG_MAPPING[family]
    version = transformers.__version__
    if config.get("auto_map"):
        raise BadArchitecture(
            f"model_type: got {family!r}, which transformers {version} lacks and which needs code of its own "
            "(auto_map); such code is not run"
        )
    near = next(iter(get_close_matches(str(family), CONFIG_MAPPING_NAMES)), None)
    hint = f"did you mean {near}?" if near else "give a family that the installed transformers knows"
    raise BadArchitecture(f"model_type: got {family!r}, which transformers {version} lacks; {hint}")


def _with_padding(config: PretrainedConfig) -> PretrainedConfig:
    """The fields without a padding token where it only blanks a row of the table of tokens; families whose positions
    count from it need one inside the vocabulary."""
    fields = fields_of(type(config))
    if fields.written and (positions := getattr(config, "max_position_embeddings", None)):
        check_written_table(config.model_type, positions, config.hidden_size)
    if not hasattr(config, "pad_token_id"):
        return config
    if fields.from_padding:
        check_int({"pad_token_id": config.pad_token_id}, "pad_token_id", 0, config.vocab_size - 1)
    else:
        config.pad_token_id = None if "None" in fields.declared.get("pad_token_id", "None") else 0
    return config


def _shaping(config: PretrainedConfig) -> dict[str, Any]:
    """The fields of a configuration that shape its networks, and those that the library needs to give these."""
    fields, family = fields_of(type(config)), config.model_type
    defaults = {field.name: field.default for field in dataclasses.fields(config)}
    whole = {
        name: plain(value, f"{family}: {name}")
        for name, value in config.to_dict().items()
        if name != "model_type" and not is_noise(name) and not _is_default(value, defaults.get(name))
    }
    wanted = {name: value for name, value in whole.items() if fields.shapes(name)}
    if _rebuilt(family, whole, wanted) != wanted:
        return whole
    kept = whole
    for name in sorted(whole.keys() - wanted.keys()):
        fewer = {other: value for other, value in kept.items() if other != name}
        if _rebuilt(family, fewer, wanted) == wanted:
            kept = fewer
    return kept


def _is_default(value: Any, default: Any) -> bool:
    """True if a value is an infinity, alone or in a list, that the library itself has there: JSON has none."""
    found = [value] if isinstance(value, float) else list(value) if isinstance(value, list | tuple) else []
    infinite = any(isinstance(x, float) and math.isinf(x) for x in found)
    return infinite and (value == default or tuple(found) == default)


def _rebuilt(family: str, fields: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any] | None:
    """Values that the library assigns to the wanted fields; None if it refuses."""
    try:
        again = library_config({"model_type": family, **fields}).to_dict()
    except BadArchitecture:
        return None
    return {name: plain(again.get(name), name) for name in wanted}


def _check_shape(config: PretrainedConfig) -> None:
    bounds = {"num_hidden_layers": (1, MOST_BLOCKS), "hidden_size": (1, 1 << 16), "vocab_size": (2, 1 << 22)}
    for field, (low, high) in bounds.items():
        check_int({field: getattr(config, field, None)}, field, low, high)


def _first_line(error: BaseException) -> str:
    lines = [" ".join(line.split()) for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {': '.join(lines[:2])[:200]}" if lines else type(error).__name__
