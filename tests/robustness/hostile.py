"""Hostile material: ways to change a real file, and things made up from nothing."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import re
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from primitives.inputs import INPUTS
from primitives.operators import AGGREGATION, BINARY, UNARY
from storage.files import dump_json, sealed
from tests.robustness.special import PLACES, SPECIAL

if TYPE_CHECKING:
    from tests.robustness.targets import Targets

__all__ = ["BOMBS", "PLAIN", "WORDS", "mutated", "resealed"]

SEALED = ("hall", "replay", "checkpoint", "settings", "exact scores", "zoo")  # kinds of files with a digest
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
# What is no plain YAML, where a number or a text is expected.
YAML = ["!!int ''", "!!float x", "!!binary '='", "!!timestamp x", "!!set {a}", "!!python/name:os.system ''", "!x y",
        "&a 1", "*a", "[*a, *a]", "9" * 5000, "9" * 400, "1:30:00", "0x1F", "0b11", "1_000", ".inf", "1e400", "{<<: 1}",
        "!<tag:yaml.org,2002:int> x", "2001-99-99", "? [a]", "y\n---\n- z", "${x}"]  # fmt: skip
# Fields of a trained benchmark with values that say nothing of how it was trained.
HEADERS: list[tuple[str, Any]] = [
    *((f"budget {name}", value)
      for name in ("steps", "batch", "length", "checkpoints", "curve_windows", "final_windows")
      for value in (0, -1, 0.5, "3", True, None, [], 10**400)),
    *((f"budget {name}", value) for name in ("learning_rate", "warmup", "weight_decay")
      for value in (-1, "x", True, None, [], 10**400)),
    ("budget learning_rate", 1e30), ("budget learning_rate", 1e308), ("budget weight_decay", 1e308),
    ("budget warmup", 1.5), ("budget length", 4096), ("budget more", 1), ("budget", None), ("budget", []),
    ("budget", {}),
    ("corpus", None), ("corpus", {}), ("corpus digest", ["x"]), ("corpus digest", 3),
    ("noise_ceiling", None), ("noise_ceiling", {}), ("noise_ceiling", {"kendall": 1.0}), ("noise_ceiling sd", "x"),
    ("noise_ceiling sd", 1e308), ("noise_ceiling sd", -1.0), ("noise_ceiling slope", 1e300),
    ("noise_ceiling seeds", -1), ("space", ["gpt2"]), ("space", "flexibert"), ("space", None), ("space", {}),
]  # fmt: skip
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


def _with_value(data: Any, where: str, value: Any) -> Any:
    """The data with another value in one place, such as "budget steps"."""
    *path, field = where.split()
    place = data
    for key in path:
        place = place[key]
    place[field] = value
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
_JSON = ("replay", "verify", "hall", "checkpoint", "settings", "journal", "jsonl", "glue", "exact scores")
BOMBS: list[tuple[str, bytes]] = [
    # Small on the disk, large in memory, as large as the limits let through; and larger than any limit.
    *((kind, b"[" + b"[]," * (size // 3) + b"[]]") for kind in _JSON for size in (_MEGA // 2, 4 * _MEGA, 40 * _MEGA)),
    *((kind, b"{}\n" * (size // 3)) for kind in ("journal", "jsonl") for size in (100_000, 4 * _MEGA)),
    *((kind, b"[" * size) for kind in _JSON for size in (10_000, _MEGA)),
    *((kind, b"- a\n" * (size // 4)) for kind in ("yaml summary", "yaml config") for size in (_MEGA // 2, 4 * _MEGA)),
    *((kind, b"[" * 100_000) for kind in ("yaml summary", "yaml config")),
    (
        "yaml summary",
        b"a: &a [x,x]\n" + b"".join(b"%c: &%c [*%c,*%c]\n" % (i + 1, i + 1, i, i) for i in range(97, 121)),
    ),
    ("sketch", bytes(33 * _MEGA)),
    ("sketch", b"\xff" * 40),
    ("formula", b"mean[ " + b"abs(" * 100_000),
]


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
        return _renamed(targets, rng.choice(NAMES)), False
    if rng.random() < 0.4 and (told := _told(targets, kind)):
        return told, True
    if kind in (*SEALED, "glue") and rng.random() < 0.5:
        return resealed(kind, _replaced(json.loads(bytes(content)), rng)), False
    if kind == "verify" and rng.random() < 0.5:
        lines = [json.loads(line) for line in bytes(content).splitlines()]
        return b"".join(json.dumps(line).encode() + b"\n" for line in _replaced(lines, rng)), False
    body = 32 if kind == "sketch" else 0
    for _ in range(rng.randint(1, 4)):
        _mutate(content, rng, body)
    if body and rng.random() < 0.7:
        content[:body] = hashlib.sha256(content[body:]).digest()
    return bytes(content), False


def _told(targets: Targets, kind: str) -> bytes | None:
    """A file with one change by which it must be refused; None for a kind that has no such changes."""
    rng, content = targets.rng, targets.kinds[kind][0]
    if kind == "verify":
        header, *lines = content.splitlines(keepends=True)
        return json.dumps(_with_value(json.loads(header), *rng.choice(HEADERS))).encode() + b"\n" + b"".join(lines)
    if kind.startswith("yaml"):
        lines = content.decode().splitlines()
        place = rng.choice([n for n, line in enumerate(lines) if re.fullmatch(r" *(?!test_ppl)\w+: [\d.]+", line)])
        lines[place] = lines[place].partition(": ")[0] + ": " + rng.choice(YAML)
        return "\n".join(lines).encode()
    if kind == "replay":
        hall = json.loads(content)
        del hall["digest"]
        hall["cases"][0]["split"][rng.choice(("search", "holdout"))] = []
        return json.dumps(hall if rng.random() < 0.5 else sealed(hall)).encode()
    return None


def _renamed(targets: Targets, name: str) -> bytes:
    """The benchmark with another name for its metric, and in its ids."""
    text = targets.kinds["names"][0].decode()
    quoted = json.dumps(name)
    return text.replace('"loss"', quoted).replace('"tiny', quoted[:-1]).encode()
