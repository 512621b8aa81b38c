"""TokenBatch: the one fixed batch of token ids that every architecture of a bank is fed with: bytes of a text, or the
tokens of a checkpoint's own tokenizer."""

from __future__ import annotations

import hashlib
from codecs import BOM_UTF8
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from storage.errors import WrongInput
from storage.files import opened

if TYPE_CHECKING:
    from models.tokenizer import TextTokenizer

__all__ = ["BadCorpus", "TokenBatch", "spread"]

MAX_TEXT = 64 << 20  # bytes; no batch needs more

# Written for this project, so that no data set has to be shipped or fetched to feed a network.
PASSAGE = """\
The lighthouse keeper counted ships the way other people count sheep, and for the same reason. Each evening
she climbed ninety-four steps, trimmed the lamp, and wrote down in a ledger every hull that crossed the line
between the two black rocks. Most nights there were three or four: a grain barge, low in the water; the mail
boat, always late; a fishing smack whose crew sang badly and waved. She knew them by the rhythm of their lights.
In the spring of her eleventh year a vessel came that was in no register. It carried no lamp at all, only a
pale glow along its keel, as if the sea itself were burning underneath. "What are you?" she asked aloud, although
nobody could have heard her over the wind. The ship answered by slowing down. It turned its bow towards the
tower, stopped exactly between the rocks, and waited there until 4:17 in the morning, when the tide began to fall.
She wrote: one ship, 0 masts, 1 light (below), no flag, no name; depth 12.5 fathoms; weather fair. Then she closed
the ledger, because a record is a promise to a stranger, and went down to boil water for tea. By breakfast the
glow was gone, and the two rocks stood apart by a little less than they had the day before. Nobody believed it,
of course. But every chart drawn after that year had to be corrected, and the pilots, who trust their eyes more
than any rumour, still steer a few degrees to port when they pass her window, and put out their lamps, and listen.
What they listen for depends on whom you ask. The old ones say a bell; the young ones say an engine, turning over
slowly, somewhere beneath the keel; children say it is only the water, which has learned to count from the keeper.
"""


class BadCorpus(WrongInput):
    """A text that cannot fill the batch; the message says how long it is and how long it must be."""


@dataclass(frozen=True)
class TokenBatch:
    """Token ids, int64 of shape (B, T), and the digest that names them in file keys; `unit` is what an id stands for,
    "bytes" or "tokens"."""

    tokens: torch.Tensor
    digest: str
    unit: str = "bytes"

    def __reduce__(self) -> tuple[Any, ...]:
        # Plain numbers, not a tensor: tasks that travel to another machine hold no torch objects.
        return _restored, (self.tokens.tolist(), self.digest, self.unit)

    @classmethod
    def from_text(cls, text: bytes, batch: int = 4, length: int = 64, name: str = "text") -> TokenBatch:
        """Cut `text` into `batch` evenly spread windows of `length` bytes; raise BadCorpus if it is too short."""
        rows = spread(text, batch, length, name, "bytes")
        tokens = torch.tensor(rows, dtype=torch.int64)  # (B, T)
        digest = hashlib.sha256(f"{batch}x{length}:".encode() + bytes(b for row in rows for b in row)).hexdigest()
        return cls(tokens, digest)

    @classmethod
    def tokenised(
        cls, tokenizer: TextTokenizer, corpus: Path | None = None, batch: int = 4, length: int = 64
    ) -> TokenBatch:
        """Evenly spread windows of a text's tokens: of the passage, repeated when the batch is larger than it, or of a
        user's file, bytes that are no UTF-8 replaced. The digest names the tokenizer as well. BadCorpus if the text is
        too short."""
        if corpus is None:
            found = tokenizer.encode(PASSAGE)
            found = found * -(-batch * length // len(found))
        else:
            with opened(corpus, "a text file") as file:
                found = tokenizer.encode(file.read(MAX_TEXT).decode("utf-8", "replace"))
        rows = spread(found, batch, length, str(corpus))
        digest = hashlib.sha256(f"{batch}x{length}:{tokenizer.digest}:{rows}".encode()).hexdigest()
        return cls(torch.tensor(rows, dtype=torch.int64), digest, "tokens")

    @classmethod
    def from_passage(cls, batch: int = 4, length: int = 64) -> TokenBatch:
        """The passage of prose above, repeated when the batch is larger than it."""
        passage = PASSAGE.encode()
        repeats = -(-batch * length // len(passage))
        return cls.from_text(passage * repeats, batch, length, "the built-in passage")

    @classmethod
    def from_file(cls, path: Path, batch: int = 4, length: int = 64) -> TokenBatch:
        """A user's own text file, read as bytes without a byte order mark; BadFile if it is none."""
        with opened(path, "a text file") as file:
            return cls.from_text(file.read(MAX_TEXT).removeprefix(BOM_UTF8), batch, length, str(path))


def spread(text: Sequence[int], count: int, length: int, name: str, unit: str = "tokens") -> list[list[int]]:
    """(count, length): evenly spread windows of a text; BadCorpus if it is too short for that."""
    if len(text) < count * length:
        raise BadCorpus(
            f"{name}: got {len(text):,} {unit}, wanted at least {count} x {length} = {count * length:,}; "
            "give a longer text with --corpus or lower --batch or --seq-len"
        )
    stride = len(text) // count
    return [list(text[i * stride : i * stride + length]) for i in range(count)]


def _restored(rows: list[list[int]], digest: str, unit: str) -> TokenBatch:
    return TokenBatch(torch.tensor(rows, dtype=torch.int64), digest, unit)
