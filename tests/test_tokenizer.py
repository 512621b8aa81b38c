"""Token ids are those of the checkpoint's own tokenizer; a file that is none is refused in a line."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_checkpoint
from test_cuts import folder  # noqa: F401

from models.tokenizer import BadTokenizer, TextTokenizer
from models.tokens import PASSAGE, TokenBatch


def test_token_ids_are_the_tokenizers(folder: Path) -> None:  # noqa: F811
    found, text = TextTokenizer.of(folder), "the other thing in a letter: 17 €"
    assert found is not None
    assert found.encode(text) == tiny_checkpoint.tokenizer().encode(text).ids
    with pytest.raises(BadTokenizer, match=r"got 262 tokens, wanted at most 261, the vocabulary of the network"):
        found.check(261)


def test_a_file_that_is_no_tokenizer_is_refused_in_a_line(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text('{"model": 3}')
    with pytest.raises(BadTokenizer, match=r"tokenizer\.json: cannot be read \(.*\); copy it again"):
        TextTokenizer.read(path)


def test_the_passage_is_repeated_where_a_batch_is_longer(folder: Path) -> None:  # noqa: F811
    own = TextTokenizer.of(folder)
    assert own is not None
    ids = own.encode(PASSAGE)
    length = len(ids) // 2 + 5
    rows = TokenBatch.tokenised(own, batch=3, length=length).tokens
    assert rows.shape == (3, length) and TokenBatch.tokenised(own).tokens.shape == (4, 64)
    text, stride = ids * 2, len(ids) * 2 // 3
    assert rows.tolist() == [text[at : at + length] for at in (0, stride, 2 * stride)]


def test_a_long_reason_of_the_library_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        @staticmethod
        def from_buffer(content: bytes) -> None:
            raise Exception("long \n " * 100)

    (tmp_path / "tokenizer.json").write_text("{}")
    monkeypatch.setattr("tokenizers.Tokenizer", Broken)
    with pytest.raises(BadTokenizer) as refused:
        TextTokenizer.read(tmp_path / "tokenizer.json")
    assert f"cannot be read ({'long ' * 40}); copy it again" in str(refused.value)
