"""Token batches: which bytes they hold, what names them, and what is no text."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from models.tokens import PASSAGE, BadCorpus, TokenBatch
from storage.files import BadFile

TEXT = bytes(range(100))


def test_windows_are_evenly_spread_over_the_text() -> None:
    batch = TokenBatch.from_text(TEXT, 3, 4)
    assert batch.tokens.tolist() == [[0, 1, 2, 3], [33, 34, 35, 36], [66, 67, 68, 69]]


def test_a_text_that_just_fills_the_batch_is_taken_whole() -> None:
    assert TokenBatch.from_text(TEXT, 4, 25).tokens.flatten().tolist() == list(TEXT)
    with pytest.raises(BadCorpus, match=r"mine: got 100 bytes, wanted at least 2 x 51 = 102; give a longer text with"):
        TokenBatch.from_text(TEXT, 2, 51, "mine")


def test_the_digest_is_of_the_shape_and_the_tokens() -> None:
    names = [
        TokenBatch.from_text(text, *shape).digest for text in (TEXT, TEXT[1:]) for shape in ((2, 6), (3, 4), (4, 3))
    ]
    assert len(set(names)) == 6 and all(len(name) == 64 for name in names)
    assert TokenBatch.from_text(TEXT, 2, 6).digest == names[0]
    assert TokenBatch.from_passage(2, 6).digest == "417f45addf294d1edd29234cdee4ef67d4b3686376db76338c849dfb026eb5a1"


def test_the_passage_repeats_for_a_batch_that_is_larger() -> None:
    length = len(PASSAGE.encode())
    assert TokenBatch.from_passage(1, length).tokens[0].tolist() == list(PASSAGE.encode())
    assert TokenBatch.from_passage(2, length).tokens.tolist() == [list(PASSAGE.encode())] * 2


def test_a_file_of_ones_own_is_read_as_bytes(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_bytes(TEXT)
    assert TokenBatch.from_file(tmp_path / "mine.txt", 3, 4).digest == TokenBatch.from_text(TEXT, 3, 4).digest
    (tmp_path / "short.txt").write_bytes(b"abc")
    with pytest.raises(BadCorpus, match=r"short\.txt: got 3 bytes"):
        TokenBatch.from_file(tmp_path / "short.txt")


def test_a_batch_has_four_sequences_of_64_tokens_unless_told_otherwise(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_bytes(PASSAGE.encode())
    four = TokenBatch.from_passage(4, 64)
    assert four.tokens.shape == (4, 64)
    found = (
        TokenBatch.from_passage(),
        TokenBatch.from_file(tmp_path / "mine.txt"),
        TokenBatch.from_text(PASSAGE.encode()),
    )
    assert {batch.digest for batch in found} == {four.digest}


def test_a_pipe_a_folder_and_nothing_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "", "missing"):
        with pytest.raises(BadFile, match="cannot be read"):
            TokenBatch.from_file(tmp_path / name)


def test_a_batch_has_four_sequences_of_64_unless_told_otherwise(tmp_path: Path) -> None:
    text = bytes(range(256)) * 8
    (tmp_path / "text").write_bytes(text)
    batches = TokenBatch.from_text(text), TokenBatch.from_passage(), TokenBatch.from_file(tmp_path / "text")
    assert {tuple(batch.tokens.shape) for batch in batches} == {(4, 64)}


@pytest.mark.parametrize("unit", ["bytes", "tokens"])
def test_a_batch_that_travels_is_the_same(unit: str) -> None:
    batch = TokenBatch(TokenBatch.from_passage(2, 8).tokens, "digest", unit)
    there = pickle.loads(pickle.dumps(batch))
    assert (there.tokens.tolist(), there.digest, there.unit) == (batch.tokens.tolist(), "digest", unit)
