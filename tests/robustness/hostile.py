"""Hostile material: ways to change a real file, and things made up from nothing."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from primitives.inputs import INPUTS
from primitives.operators import AGGREGATION, BINARY, UNARY
from storage.files import dump_json, sealed
from tests.robustness.refusals import TOLD, renamed
from tests.robustness.special import PLACES, SPECIAL

if TYPE_CHECKING:
    from tests.robustness.targets import Targets

__all__ = ["PLAIN", "WORDS", "bombs", "mutated", "resealed"]

SEALED = (
    "hall",
    "replay",
    "checkpoint",
    "settings",
    "exact scores",
    "zoo",
    "fit",
    "select",
    "rank hall",
    "rank predictor",
    "replay predictor",
)  # kinds of files with a digest
PLAIN_JSON = ("glue", "hf config", "rank rows")
LINES = ("verify", "candidates", "suggested", "measured", "jsonl")  # kinds of files with a JSON object a line
SPICE = [
    b"NaN", b"Infinity", b"1e999", b"-1", b"9" * 400, b"null", b"true", b"\x00", b"\xff\xfe", b"\\ud800", b'"',
    b"{", b"}", b": ",
    b"[" * 5000, b"(" * 3000, b'{"a":' * 2000, b"../../../etc/passwd", b"/etc/passwd", b"\x1b[2J",
    b"__import__('os').system('touch pwned')", b"!!python/object/apply:os.system ['touch pwned']\n", b"&a [*a, *a]",
    b"a: &x [1]\nb: &y [*x,*x]\n", b"<<: *a", b"mean[ exp(", b"\xe2\x80\xae", b"0x", b"1_000", b"2001-99-99", b"~",
]  # fmt: skip
# Names that a terminal, its markup or its emoji codes would read as more than a name.
NAMES = ["[/x]", "[red]x", "[link=file:///etc/passwd]x[/link]", "runs:100:x", ":skull:", "\x1b[2J", "\x9b31m",
         "\x1b]0;x\x07", "a\rb", "a\u202eb", "a\u2028b", "\ud800", "\udcff", "\0", "{x}%s$_$", "--help",
         "\u0301", "\U0001f480", "x\u200by"]  # fmt: skip
VALUES: list[Any] = [*NAMES, None, True, -1, 0, 10**400, 1e308, 2**63, 0.5, "", "W", "x" * 5000, [], {}, [[]],
                     {"a": 1}, "\ud800", "../x", ["mean"] * 50, {"digest": "0"}]  # fmt: skip


def _mutate(content: bytearray, rng: random.Random, start: int) -> None:
    """One change behind `start`, in place."""
    at = rng.randint(start, max(start, len(content) - 1))
    end = min(len(content), at + rng.choice((1, 4, 30, 400)))
    choice = rng.randrange(6)
    if choice == 0 and at < len(content):
        content[at] ^= 1 << rng.randrange(8)
    elif choice == 1:
        del content[at:end]
    elif choice == 2:
        content[at:at] = content[at:end] * rng.choice((1, 50))
    elif choice == 3:
        content[at:at] = rng.choice(SPICE)
    elif choice == 4:
        content[at:end] = rng.choice(SPICE)
    else:
        del content[at:]


def _replaced(data: Any, rng: random.Random) -> Any:
    """The data with one part replaced by something else, or taken away."""
    place = data
    while True:
        key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
        if not isinstance(place[key], dict | list) or not place[key] or rng.random() < 0.2:
            break
        place = place[key]
    if rng.random() < 0.1:
        del place[key]
    else:
        place[key] = rng.choice(VALUES)
    return data


def resealed(kind: str, data: Any) -> bytes:
    """The bytes of a JSON file, with its digest if it is of a kind that has one."""
    with contextlib.suppress(ValueError, RecursionError):
        if kind in SEALED and isinstance(data, dict):
            return dump_json(sealed({k: v for k, v in data.items() if k != "digest"}))
    return json.dumps(data).encode()


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=15,
)
WORDS = st.lists(st.sampled_from([*UNARY, *BINARY, *AGGREGATION, *INPUTS, *"[](),. ", "eval", "\n"]), max_size=40)


_MEGA = 1 << 20
_JSON = (
    "replay", "verify", "hall", "checkpoint", "settings", "journal", "jsonl", "glue", "exact scores", "candidates",
    "hf config", "rank rows", "suggested", "measured", "rank hall", "rank predictor",
)  # fmt: skip


def bombs() -> Iterator[tuple[str, bytes]]:
    """Content of some kinds, one at a time: small on the disk and large in memory, as large as the limits let through;
    and larger than any limit."""
    for size in (_MEGA // 2, 4 * _MEGA, 40 * _MEGA):
        for kind in _JSON:
            yield kind, b"[" + b"[]," * (size // 3) + b"[]]"
    for kind in ("journal", "jsonl", "candidates"):
        for size in (100_000, 4 * _MEGA):
            yield kind, b"{}\n" * (size // 3)
    for kind in _JSON:
        for size in (10_000, _MEGA):
            yield kind, b"[" * size
    for kind in ("yaml summary", "yaml config"):
        for size in (_MEGA // 2, 4 * _MEGA):
            yield kind, b"- a\n" * (size // 4)
        yield kind, b"[" * 100_000
    levels = (b"%c: &%c [*%c,*%c]\n" % (i + 1, i + 1, i, i) for i in range(97, 121))
    yield "yaml summary", b"a: &a [x,x]\n" + b"".join(levels)
    yield "csv", b"a," * (2 * _MEGA)
    yield "csv", b"# space: gpt2\n" * (_MEGA // 2)
    yield "sketch", bytes(33 * _MEGA)
    yield "sketch", b"\xff" * 40
    yield "formula", b"mean[ " + b"abs(" * 100_000


def mutated(targets: Targets, kind: str) -> tuple[bytes, bool]:
    """A real file with one to four changes, and whether it must be refused; often with its digest made right
    again, as an attacker would."""
    rng, content = targets.rng, bytearray(targets.kinds[kind][0])
    if kind == "special":
        return f"{rng.choice(list(PLACES))} {rng.choice(list(SPECIAL))}".encode(), False
    if kind in targets.others and rng.random() < 0.1:
        known = [*targets.others.values(), [targets.kinds[name][0] for name in targets.others if name != kind]]
        return rng.choice(rng.choice(known)), True
    if kind == "names":
        return renamed(bytes(content), rng.choice(NAMES)), False
    if kind in TOLD and (kind == "options" or rng.random() < 0.4):
        return TOLD[kind](bytes(content), rng), True
    if kind in (*SEALED, *PLAIN_JSON) and rng.random() < 0.5:
        return resealed(kind, _replaced(json.loads(bytes(content)), rng)), False
    if kind in LINES and rng.random() < 0.5:
        lines = [json.loads(line) for line in bytes(content).splitlines()]
        return b"".join(json.dumps(line).encode() + b"\n" for line in _replaced(lines, rng)), False
    body = 32 if kind == "sketch" else 0
    for _ in range(rng.randint(1, 4)):
        _mutate(content, rng, body)
    if body and rng.random() < 0.7:
        content[:body] = hashlib.sha256(content[body:]).digest()
    return bytes(content), False
