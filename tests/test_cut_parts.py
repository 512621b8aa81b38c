"""Parts of a whole network, piece by piece, on made-up arrays."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fitness.features import cuts, whole
from fitness.features.bank import SketchEntry
from fitness.features.collect import FeatureError
from fitness.features.cuts import Parts, PartTaker, needed_parts, parts_of
from fitness.tables import cut_scores
from fitness.tables.cuts import CutTable
from primitives.inputs import LETTERS
from storage.files import BadFile

NOTHING: Any = None
TWO = {"n_layer": 2, "keep": (0, 3), "n_kv_head": (2, 1), "d_ffn": (40, 10)}
PAIRS = [((0, "attn", 2), (0, "ffn", 40)), ((3, "attn", 1), (3, "ffn", 10))]


def entry(*letters: str, loss: float = 2.5, rows: int = 2) -> SketchEntry:
    """A sketch of one block with some letters."""
    samples = {x: np.full((rows if x in letters else 0, 5), ord(x), np.float32) for x in LETTERS}
    layout = {x: np.full((len(samples[x]), 4), ord(x), np.int64) for x in LETTERS}
    return SketchEntry(samples, layout, 1, loss)


def test_parts_are_those_of_the_blocks_that_are_kept() -> None:
    assert parts_of(TWO) == PAIRS
    assert parts_of({"n_layer": 1, "n_kv_head": [3], "d_ffn": [8]}) == [((0, "attn", 3), (0, "ffn", 8))]
    nets: Any = [SimpleNamespace(config=TWO), SimpleNamespace(config=TWO | {"d_ffn": (40, 20)})]
    assert needed_parts(nets) == [
        (0, "attn", 2), (0, "ffn", 40), (3, "attn", 1), (3, "ffn", 10), (3, "ffn", 20),
    ]  # fmt: skip


def test_parts_are_read_as_they_were_written() -> None:
    parts = Parts({(0, "attn", 2): entry("H", "Q"), (3, "ffn", 10): entry("A")}, 2.5)
    arrays = parts.arrays()
    assert sorted(arrays) == [
        *(f"0.attn.2.{letter}.{what}" for letter in "HQ" for what in ("layout", "samples")),
        "3.ffn.10.A.layout", "3.ffn.10.A.samples", "loss",
    ]  # fmt: skip
    again = Parts.read(arrays)
    assert again.loss == 2.5 and again.sketches.keys() == parts.sketches.keys()
    for part, found in again.sketches.items():
        assert (found.blocks, found.loss) == (1, 2.5)
        for letter in LETTERS:
            assert np.array_equal(found.samples[letter], parts.sketches[part].samples[letter])
            assert np.array_equal(found.layout[letter], parts.sketches[part].layout[letter])
    both = cuts.assembled(entry("H", "W"), entry("W", "A", rows=3, loss=9.0))
    assert (both.blocks, both.loss) == (1, 2.5) and len(both.samples["W"]) == len(both.layout["W"]) == 5


def test_parts_that_are_not_there_any_more_are_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bank: Any = SimpleNamespace(place=tmp_path, entry=lambda architecture: "key")
    taker = PartTaker([(0, "ffn", 40), (0, "ffn", 40), (1, "ffn", 10)], SimpleNamespace(kind="first"))  # type: ignore[arg-type]
    assert taker.parts == ((0, "ffn", 40), (1, "ffn", 10)) and taker.reader() is None
    path = taker.shelf(bank).path("key:first")
    assert path.is_relative_to(tmp_path / "parts") and taker.damaged(bank, NOTHING) is None
    missed = r"is not what was written; run this again"
    with pytest.raises(BadFile, match=missed) as caught:
        taker.found(bank, NOTHING)
    assert str(caught.value) == f"{path}: {missed}"
    taker.keep(bank, NOTHING, Parts({(0, "ffn", 40): entry("A")}, 2.5))
    with pytest.raises(BadFile, match=missed):
        taker.found(bank, NOTHING)
    assert taker.lacking(bank, NOTHING).parts == ((1, "ffn", 10),)  # type: ignore[union-attr]
    taker.keep(bank, NOTHING, Parts({(1, "ffn", 10): entry("A")}, 2.5))
    assert set(taker.found(bank, NOTHING).sketches) == set(taker.parts) and taker.lacking(bank, NOTHING) is None
    assert taker.damaged(bank, NOTHING) is None
    for fault in (ValueError, KeyError):
        monkeypatch.setattr(Parts, "read", lambda arrays, fault=fault: (_ for _ in ()).throw(fault("x")))
        assert taker.load(bank, NOTHING) is None and taker.damaged(bank, NOTHING) == path


def test_what_is_taken_is_a_sound_sketch_of_every_part(monkeypatch: pytest.MonkeyPatch) -> None:
    taker = PartTaker([(0, "ffn", 40), (1, "ffn", 10)], SimpleNamespace(order=lambda: "order"))  # type: ignore[arg-type]
    visited: Any = SimpleNamespace(overflows=True, sequences=2, features=SimpleNamespace(blocks=["a", "b"], loss=1.5))
    with pytest.raises(FeatureError, match="^the whole network produces NaN or infinities, so its parts have no feat"):
        taker.take(visited)
    monkeypatch.setattr(cuts, "cut_block", lambda *given: {"given": given})
    monkeypatch.setattr(cuts, "sketch_features", lambda features: (features.blocks, features.loss))
    visited.overflows = False
    found = taker.take(visited)
    assert found.loss == 1.5 and found.sketches == {
        part: (({"given": (block, part, "order", 2)},), 1.5) for part, block in zip(taker.parts, "ab", strict=True)
    }
    sound = [SimpleNamespace(is_sound=lambda ok=ok: ok) for ok in (True, False)]
    monkeypatch.setattr(cuts, "SketchEntry", SimpleNamespace)
    good, bad = sound
    for taken, fits in (
        (Parts(dict.fromkeys(taker.parts, good), 1.0), True), (Parts(dict.fromkeys(taker.parts, good), 1), False),
        (Parts({taker.parts[0]: good, taker.parts[1]: bad}, 1.0), False), (Parts({taker.parts[0]: good}, 1.0), False),  # type: ignore[dict-item]
        (Parts([], 1.0), False), ([good], False), (None, False),  # type: ignore[arg-type]
    ):  # fmt: skip
        assert taker.fits(taken) is fits, taken


def test_scores_that_are_taken_are_of_every_subnet() -> None:
    scores: Any = SimpleNamespace(fits=lambda figures: figures == "good", damaged=lambda bank, a: {"b": "path"}.get(a))
    taker = whole.CutScoreTaker(scores, ("a", "b"), NOTHING)  # type: ignore[arg-type]
    for taken, fits in (
        (["good", "good"], True),
        (["good", "bad"], False),
        (["good"], False),
        (("good", "good"), False),
    ):
        assert taker.fits(taken) is fits
    assert taker.damaged(NOTHING, NOTHING) == "path" and taker.reader() is None  # type: ignore[comparison-overlap]
    assert whole.CutScoreTaker(scores, ("a",), NOTHING).damaged(NOTHING, NOTHING) is None  # type: ignore[arg-type]
    assert whole.PRICES == ("own", "whole")


def test_a_table_of_parts_passes_on_what_is_known_of_them() -> None:
    seen: list[Any] = []
    table = CutTable.__new__(CutTable)
    table.whole = SimpleNamespace(  # type: ignore[assignment]
        fill=lambda *given: seen.append(given), known=lambda: {"W": "known"}, know=seen.append
    )
    table.fill("W", ["chain"])  # type: ignore[list-item]
    table.fill("W", ["chain"], 3)  # type: ignore[list-item]
    table.know({"branch": 1})  # type: ignore[dict-item]
    assert seen == [("W", ["chain"], 1), ("W", ["chain"], 3), {"branch": 1}] and table.known() == {"W": "known"}


def test_values_of_blocks_are_weighted_by_their_place() -> None:
    """Three blocks are worth 1, 10 and 100; of four places some are dropped."""
    codes = np.array([[0, 1, 2, 0], [-1, 2, -1, 1], [1, -1, -1, -1]])
    kept = codes >= 0
    places = (np.cumsum(kept, axis=1) - 1, kept.sum(axis=1))
    values = np.array([1.0, 10.0, 100.0])
    wanted = {"sum": [112, 110, 10], "mean": [28, 55, 10], "first": [1, 100, 10], "last": [1, 10, 10]}
    for aggregate, sums in wanted.items():
        assert cut_scores._summed(values, aggregate, codes, places).tolist() == pytest.approx(sums), aggregate
    blocks = [PAIRS[1], PAIRS[0]]
    assert cut_scores.codes_of([TWO, TWO | {"keep": (0, 3)}], blocks, 5).tolist() == [[1, -1, -1, 0, -1]] * 2
    assert cut_scores.CHUNK == 32_768


def test_no_subnet_has_no_score_and_many_are_summed_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cut_scores, "CHUNK", 2)
    pieces: list[Any] = []
    scores = cut_scores.CutScores.__new__(cut_scores.CutScores)
    monkeypatch.setattr(
        scores, "_values", lambda proxy, codes: pieces.append(codes.tolist()) or codes.sum(axis=1) * 1.0
    )
    proxy: Any = SimpleNamespace(pruned=lambda: "proxy")
    assert scores.scores(proxy, np.arange(10).reshape(5, 2)).tolist() == [1, 5, 9, 13, 17]
    assert pieces == [[[0, 1], [2, 3]], [[4, 5], [6, 7]], [[8, 9]]]
    assert scores.scores(proxy, np.zeros((0, 2), int)).shape == (0,)
