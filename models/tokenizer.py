"""TextTokenizer: how a checkpoint turns text into token ids, read from its `tokenizer.json`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from storage.errors import WrongInput
from storage.files import read_limited

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["TOKENIZER_FILE", "BadTokenizer", "TextTokenizer", "byte_tokenizer"]

TOKENIZER_FILE = "tokenizer.json"
MAX_TOKENIZER = 64 << 20  # bytes


class BadTokenizer(WrongInput):
    """A tokenizer that cannot be read or is not the checkpoint's; the message names the file."""


class TextTokenizer:
    """The tokenizer of a checkpoint; `digest` is the sha256 of its file."""

    def __init__(self, tokenizer: Tokenizer, digest: str, path: Path) -> None:
        self._tokenizer, self.digest, self.path = tokenizer, digest, path

    @classmethod
    def of(cls, folder: Path) -> TextTokenizer | None:
        """The tokenizer in the folder of a checkpoint; None where it has none."""
        path = folder / TOKENIZER_FILE
        return cls.read(path) if path.exists() else None

    @classmethod
    def read(cls, path: Path) -> TextTokenizer:
        """The tokenizer of a file; BadTokenizer if it is none."""
        content = read_limited(path, MAX_TOKENIZER, "a tokenizer.json")
        from tokenizers import Tokenizer

        try:
            found = Tokenizer.from_buffer(content)
        except Exception as error:  # noqa: BLE001  the library raises bare Exception for whatever it cannot read
            reason = " ".join(str(error).split())[:200]
            raise BadTokenizer(f"{path}: cannot be read ({reason}); copy it again, or remove it") from None
        return cls(found, hashlib.sha256(content).hexdigest(), path)

    def encode(self, text: str) -> list[int]:
        """The token ids of a text, without the marks that some tokenizers put around it."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def check(self, vocabulary: int) -> None:
        """Refuse a tokenizer that is not one of a network with this vocabulary: with tokens beyond it, or less than
        half as many (tables are padded, but by little)."""
        if not vocabulary / 2 <= (size := self._tokenizer.get_vocab_size()) <= vocabulary:
            raise BadTokenizer(
                f"{self.path}: got {size:,} tokens, wanted at most {vocabulary:,}, the vocabulary of the network, and "
                f"at least half of them; give the tokenizer of this checkpoint"
            )


def byte_tokenizer() -> bytes:
    """A tokenizer.json whose token ids are the bytes of a text: byte-level pairs (Radford et al. 2019) without any
    merge."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in shown]
    letters = {chr(byte): byte for byte in shown} | {chr(256 + i): byte for i, byte in enumerate(others)}
    tokenizer = Tokenizer(models.BPE(vocab=letters, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer.to_str().encode() + b"\n"
