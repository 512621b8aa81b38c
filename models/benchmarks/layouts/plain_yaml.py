"""Plain YAML: the part of it that the published files use, mappings, lists, texts and numbers, and nothing else.

YAML is a large language: tags that run code or fail in a hundred ways, aliases that make a small file large, keys that
occur twice, numbers in base 60. What is not plain is refused with its line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import takewhile
from typing import Any

import yaml

__all__ = ["NotPlain", "parse_plain"]

MAX_DEPTH = 16
MAX_SCALAR = 1000  # characters
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}
_NUMBERS: tuple[tuple[str, Callable[[str], int | float]], ...] = (
    (r"[-+]?[0-9]{1,18}", int),
    (r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", float),
    (r"[-+]?\.(?:nan|inf)", lambda text: float(text.replace(".", ""))),
)


class NotPlain(ValueError):
    """The first feature of YAML beyond plain data in a file, and its line."""


def parse_plain(content: bytes) -> Any:
    """The value of one document; NotPlain names what is not plain."""
    try:
        events = yaml.parse(content, Loader=LOADER)
        values = [_value(event, events, 1) for event in events if isinstance(event, yaml.NodeEvent)]
    except (yaml.YAMLError, UnicodeError) as error:
        raise NotPlain(f"not valid YAML ({' '.join(str(error).split())[:120]})") from None
    if len(values) != 1:
        raise NotPlain(f"got {len(values)} documents, wanted one")
    return values[0]


def _value(event: yaml.Event, events: Iterator[yaml.Event], depth: int) -> Any:
    """The value that begins with an event; takes its other events."""
    if not isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) or event.anchor:
        raise _refusal(event, "an alias (*name or &name)")
    if event.tag is not None:
        raise _refusal(event, f"the tag {event.tag[:60]}")
    if depth > MAX_DEPTH:
        raise _refusal(event, f"nesting beyond {MAX_DEPTH} levels")
    if isinstance(event, yaml.ScalarEvent):
        return _scalar(event)
    if isinstance(event, yaml.SequenceStartEvent):
        return [_value(item, events, depth + 1) for item in _until(yaml.SequenceEndEvent, events)]
    return _mapping(events, depth)


def _until(end: type[yaml.Event], events: Iterator[yaml.Event]) -> Iterator[yaml.Event]:
    return iter(takewhile(lambda event: not isinstance(event, end), events))


def _mapping(events: Iterator[yaml.Event], depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in _until(yaml.MappingEndEvent, events):
        if not isinstance(key, yaml.ScalarEvent) or key.anchor or key.tag is not None or key.value == "<<":
            raise _refusal(key, "a key that is no text")
        if key.value in found:
            raise _refusal(key, f"the key {key.value[:60]!r} twice")
        found[key.value] = _value(next(events), events, depth + 1)
    return found


def _scalar(event: yaml.ScalarEvent) -> Any:
    """A text, unless it stands without quotes and reads as a word or a number."""
    text = event.value
    if len(text) > MAX_SCALAR:
        raise _refusal(event, f"a value of {len(text):,} characters")
    if event.style or text.lower() in _WORDS:
        return text if event.style else _WORDS[text.lower()]
    return next((number(text) for form, number in _NUMBERS if re.fullmatch(form, text, re.IGNORECASE)), text)


def _refusal(event: yaml.Event, what: str) -> NotPlain:
    line = event.start_mark.line + 1 if event.start_mark else 0
    return NotPlain(f"line {line}: got {what}, wanted plain YAML")
