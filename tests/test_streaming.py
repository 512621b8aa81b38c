"""Streaming: a network visited in the memory of one block shows what the whole one shows."""

from __future__ import annotations

import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import models.spaces.llama.parts as parts_module
from fitness.features.bank import FeatureKey
from fitness.features.collect import FeatureError, Features, collect
from fitness.features.figures import formula_costs, formula_scores
from fitness.features.streaming import Block, See, stream
from fitness.features.takers import letters_of
from fitness.features.visit import Visit, visit
from fitness.features.workshop import Workshop
from fitness.ranking import spearman
from fitness.tables.branches import BranchTable
from models.architecture import Architecture
from models.spaces import PARTED
from models.spaces.llama.blocks import GroupedAttention
from models.tokens import TokenBatch
from primitives.grammar import parse
from primitives.inputs import LETTERS

SPACE, BATCH = PARTED["llama"], TokenBatch.from_passage(2, 20)
DEPTHS = (2, 6, 12, 24)
FORMULAS = (
    "sum[ frobenius_norm(W) ]", "mean[ abs(J) ]", "sum[ product( W, G ) ]", "mean[ sum( pow2(H), abs(J) ) ]",
    "product( sum[ relu(A) ], mean[ frobenius_norm(G) ] )", "last[ to_std(Q) ]", "first[ to_std(softmax(S)) ]",
    "falling[ pow2(frobenius_norm(H)) ]", "sum( mean[ product( W, G ) ], last[ abs(min_max(Q)) ] )", "mean[ to_mean(G.ffn) ]",
    "mean[ product( frobenius_norm(S), l1_norm(G.attn) ) ]", "mean[ logsoftmax(W.ffn) ]", "mean[ prune(W) ]",
    "sum[ exp(exp(exp(exp(exp(W))))) ]",
)  # fmt: skip


def tiny(blocks: int, **more: Any) -> Architecture:
    """Blocks of differing sizes."""
    cycle = [i % 3 for i in range(blocks)]
    config = {
        "n_layer": blocks, "d_model": 24, "n_head": [(2, 4, 6)[i] for i in cycle], "n_token": 260, "tgt_len": 64,
        "n_kv_head": [(1, 4, 3)[i] for i in cycle], "d_ffn": [(20, 33, 48)[i] for i in cycle], **more,
    }  # fmt: skip
    return SPACE.architecture(f"tiny{blocks}", config)


def shop(folder: Path, stream: bool | None, **more: Any) -> Workshop:
    return Workshop.open("llama", batch=2, length=20, devices="cpu", bank=folder, stream=stream, **more)


def streamed(
    architecture: Architecture, seed: int = 0, build: str | None = None, letters: Collection[str] = LETTERS
) -> Features:
    seen: dict[int, Block] = {}
    loss = stream(SPACE.parts(architecture, seed, build), BATCH.tokens, seen.__setitem__, letters)
    return Features(tuple(dict(seen[i]) for i in range(len(seen))), loss)


def differ(ours: Features, theirs: Features) -> list[str]:
    """The inputs that are not equal to the last bit."""
    assert len(ours.blocks) == len(theirs.blocks)
    return [
        f"{index}: {name}"
        for index, (one, two) in enumerate(zip(ours.blocks, theirs.blocks, strict=True))
        for name in two
        if [x.shape for x in one[name]] != [y.shape for y in two[name]]
        or not all(torch.equal(x, y) for x, y in zip(one[name], two[name], strict=True))
    ]


@pytest.mark.parametrize(
    "architecture",
    [*map(tiny, DEPTHS), tiny(3, tied=True), tiny(2, norm="layer", norm_eps=1e-5), tiny(1)],
    ids=[*map(str, DEPTHS), "tied", "layer norms", "one block"],
)
def test_every_input_equals_that_of_the_whole_network_to_the_last_bit(architecture: Architecture) -> None:
    found, whole = streamed(architecture, 3), collect(SPACE.build(architecture, 3), BATCH)
    assert found.loss == whole.loss and differ(found, whole) == []


@pytest.mark.parametrize(
    ("letters", "missing", "made"),
    [("H", "JG", 5), ("WASQ", "JG", 5), ("", "JG", 5), ("JH", "G", 10), ("G", "", 10), (LETTERS, "", 10)],
)
def test_only_passes_that_somebody_needs_are_run(
    letters: Collection[str], missing: str, made: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    make = parts_module.block_of
    monkeypatch.setattr(parts_module, "block_of", lambda config, index: calls.append(index) or make(config, index))
    found, whole = streamed(tiny(5), 3, letters=letters), collect(SPACE.build(tiny(5), 3), BATCH)
    kept = tuple({k: v for k, v in block.items() if k[0] not in missing} for block in whole.blocks)
    assert [set(block) for block in found.blocks] == [set(block) for block in kept]
    assert found.loss == whole.loss and differ(found, Features(kept, whole.loss)) == []
    assert sorted(calls) == sorted([*range(5)] * (made // 5))


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("sum[ frobenius_norm(W.ffn) ]", "W"), ("mean[ product( abs(J), to_std(H) ) ]", "JH"),
        ("sum( mean[ product( W, G.attn ) ], last[ abs(Q) ] )", "WGQ"), ("product( sum[ A ], mean[ S ] )", "AS"),
    ],
)  # fmt: skip
def test_a_reader_of_scores_says_what_its_formulas_read(text: str, letters: str) -> None:
    reader = formula_scores([text]).reader()
    assert reader is not None and letters_of([reader]) == set(letters)


def test_a_slice_of_the_trained_supernet_streams_as_well() -> None:
    from models.spaces.llama.weights import subnet

    architecture = SPACE.architecture("x", subnet([384, 192] * 4))
    assert (
        differ(streamed(architecture, 0, "as_trained"), collect(SPACE.build(architecture, 0, "as_trained"), BATCH))
        == []
    )


def test_a_large_vocabulary_is_read_in_parts_with_the_same_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = streamed(tiny(2))
    monkeypatch.setattr(parts_module, "LOGITS", 1)
    apart = streamed(tiny(2))
    assert apart.loss == streamed(tiny(2), letters="H").loss == pytest.approx(whole.loss, rel=1e-6)
    for one, two in zip(apart.blocks, whole.blocks, strict=True):
        torch.testing.assert_close(one["J"][0], two["J"][0], rtol=1e-4, atol=1e-9)


def test_no_more_than_one_block_is_held_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    import weakref

    held: list[Any] = []
    histories: list[Any] = []  # a graph behind a block's input would hold the weights of all blocks before it
    make = parts_module.block_of

    def counted(*given: Any) -> Any:
        assert not [one for one in held if one() is not None], "a block is alive"
        block = make(*given)
        held.append(weakref.ref(block))
        block.register_forward_pre_hook(lambda module, given: histories.append(given[0].grad_fn))
        return block

    monkeypatch.setattr(parts_module, "block_of", counted)
    stream(SPACE.parts(tiny(4), 0), BATCH.tokens, lambda index, block: None)
    assert len(held) == 8
    stream(SPACE.parts(tiny(4), 0), BATCH.tokens, lambda index, block: None, "H")
    assert len(held) == 12 and histories == [None] * 12


def test_scores_and_sketches_of_both_ways_are_the_same(tmp_path: Path) -> None:
    architectures, proxies = [tiny(n) for n in DEPTHS], [parse(text) for text in FORMULAS]
    shops = [shop(tmp_path / str(way), way) for way in (True, False)]
    assert [one.extract(architectures) for one in shops] == [4, 4]
    ours, theirs = (one.exact_scores(proxies, architectures) for one in shops)
    assert np.isnan(theirs[-2:]).all() and np.isfinite(theirs[:-2]).all()
    assert np.array_equal(ours, theirs, equal_nan=True)
    tables = [BranchTable([one.bank.sketch(a) for a in architectures]) for one in shops]
    for proxy in proxies[:-2]:
        one, two = (table.score(proxy) for table in tables)
        assert spearman(one, two) >= 0.999, proxy
    for a in architectures:
        one, two = (s.bank.sketch(a) for s in shops)
        assert one.loss == two.loss and one.blocks == two.blocks
        for name in one.layout:
            assert np.array_equal(one.layout[name], two.layout[name])
            np.testing.assert_allclose(one.samples[name], two.samples[name], rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("text", ["sum[ to_std(S) ]", "sum[ to_std(J) ]"])
@pytest.mark.parametrize("std", [1e8, 1e12, 1e30])
def test_a_network_overflows_streamed_where_it_does_as_a_whole(
    text: str, std: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.spaces.llama.network.INIT_STD", std)
    ours, theirs = (shop(tmp_path / str(way), way).exact_scores([parse(text)], [tiny(6)]) for way in (True, False))
    assert np.array_equal(ours, theirs, equal_nan=True) and np.isnan(ours).all() == (std == 1e30)


def test_a_streamed_network_that_overflows_has_no_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.spaces.llama.network.INIT_STD", 1e30)
    workshop = shop(tmp_path, True)
    assert np.isnan(workshop.exact_scores([parse("sum[ to_std(S) ]")], [tiny(2)])).all()
    workshop.extract([tiny(2)])
    assert not workshop.bank.sketch(tiny(2)).finite


def test_a_streamed_network_is_read_for_its_scores_alone(tmp_path: Path) -> None:
    proxies, seen = [parse("sum[ pow2(H) ]"), parse("sum[ frobenius_norm(G) ]")], [tiny(2)]
    workshop, whole = shop(tmp_path / "one", True), shop(tmp_path / "two", False)
    for proxy in proxies:  # passes of a kind each
        assert np.array_equal(workshop.exact_scores([proxy], seen), whole.exact_scores([proxy], seen))
    assert workshop.bank.load_sketch(tiny(2)) is whole.bank.load_sketch(tiny(2)) is None


@pytest.mark.parametrize(("free", "chosen"), [(1 << 40, False), (None, False), (600_000, True)])
def test_streaming_is_chosen_where_a_third_of_the_free_memory_is_too_little(
    free: int | None, chosen: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fitness.features.workshop.free_on", lambda devices: free)
    workshop, count = shop(tmp_path, None), SPACE.parameters(tiny(6))
    assert 4 * (count.total + count.decoder) < 600_000 < 12 * (count.total + count.decoder)
    assert workshop.streams(tiny(6)) is chosen
    assert not workshop.streams(tiny(6), [formula_costs(["sum[ W ]"])])  # seconds are those of whole networks
    assert shop(tmp_path, True).streams(tiny(6)) and not shop(tmp_path, False).streams(tiny(6))


def test_only_what_holds_a_network_whole_is_bound_by_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"n_layer": 40, "d_model": 5120, "n_head": [40] * 40, "n_kv_head": [40] * 40, "n_token": 32000}
    large = SPACE.architecture("13B", {**config, "d_ffn": [13824] * 40, "tgt_len": 2048})
    assert SPACE.largest_part(large) == 4 * 5120**2 + 3 * 5120 * 13824 + 2 * 5120
    monkeypatch.setattr("fitness.features.workshop.free_on", lambda devices: 8 << 30)
    shop(tmp_path, True).check(large, streamed=True)
    with pytest.raises(FeatureError, match="13B: got 13,015,864,320 parameters, wanted at most 4,000,000,000"):
        shop(tmp_path, False).check(large)
    monkeypatch.setattr("fitness.features.workshop.free_on", lambda devices: 2 << 30)
    with pytest.raises(FeatureError, match="13B: needs 3.5 GiB"):
        shop(tmp_path, True).check(large, streamed=True)


@pytest.mark.parametrize("letters", ["H", LETTERS])
def test_a_block_that_shows_no_attention_is_refused(letters: Collection[str], monkeypatch: pytest.MonkeyPatch) -> None:
    attend = GroupedAttention.forward
    monkeypatch.setattr(GroupedAttention, "forward", lambda self, x: (attend(self, x)[0], None))
    with pytest.raises(FeatureError, match="block 0: input S: got 0 tensors, wanted 1"):
        streamed(tiny(2), letters=letters)


def test_what_needs_the_whole_network_is_not_asked_of_blocks() -> None:
    task = Visit(tiny(2), BATCH, 0, "as_initialised", [formula_costs(["sum[ W ]"])], None, True)
    with pytest.raises(FeatureError, match="tiny2: --stream: something that is asked for needs the whole network"):
        visit(task, "cpu")


@pytest.mark.parametrize(("logits", "portions"), [(1, 4), (2 * 20 * 260, 2), (3 * 20 * 260, 2), (4 * 20 * 260, 1)])
def test_as_many_sequences_as_have_so_many_logits_are_read_at_a_time(
    logits: int, portions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens, seen = TokenBatch.from_passage(4, 20).tokens, list[int]()
    monkeypatch.setattr(parts_module, "LOGITS", logits)
    entropy = torch.nn.functional.cross_entropy
    monkeypatch.setattr(parts_module.F, "cross_entropy", lambda x, y: seen.append(len(y)) or entropy(x, y))
    SPACE.parts(tiny(2), 0).loss(torch.randn(4, 20, 24), tokens)
    assert len(seen) == portions and sum(seen) == 4 * 19


@pytest.mark.parametrize(("letter", "place"), [("H", 0), ("H", 1), ("J", 1)])
@pytest.mark.parametrize(
    ("entry", "sound", "quiet"),
    [(-1.0, True, True), (2.0**21, True, False), (-(2.0**21), True, False), (math.inf, False, False),
     (math.nan, False, False)],
)  # fmt: skip
def test_any_loud_entry_of_any_block_counts(
    entry: float, sound: bool, quiet: bool, letter: str, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of whatever block: none covers another one's."""
    text, passes = f"sum[ {letter} ]", list[Collection[str]]()

    def passing(parts: Any, tokens: Any, see: See, letters: Collection[str]) -> float:
        passes.append(letters)
        for index in range(2):
            see(index, {letter: (torch.tensor([[0.5, entry if index == place else 0.5]]),)})
        return 1.0

    monkeypatch.setattr("fitness.features.visit.stream", passing)
    (taken,) = visit(Visit(tiny(2), BATCH, 0, "as_initialised", [formula_scores([text])], None, True), "cpu")
    assert (taken[text].value is not None) == sound
    assert (
        len(passes) == (1 if quiet else 2)
        and set(passes[0]) == {letter}
        and set(passes[-1]) == set(letter if quiet else LETTERS)
    )


def test_a_loss_that_is_no_number_is_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fitness.features.visit.stream", lambda *given: math.inf)
    (taken,) = visit(Visit(tiny(2), BATCH, 0, "as_initialised", [formula_scores(["sum[ H ]"])], None, True), "cpu")
    assert taken["sum[ H ]"].reason


def test_a_space_whose_blocks_are_not_drawn_alone_is_refused(
    tmp_path: Path, tiny_architectures: list[Architecture]
) -> None:
    workshop = Workshop.open("gpt2", batch=2, length=24, devices="cpu", bank=tmp_path, stream=True)
    with pytest.raises(FeatureError, match="tiny0: --stream: got the space gpt2, wanted llama"):
        workshop.extract(tiny_architectures[:1])


def test_a_key_without_weights_is_what_it_was() -> None:
    assert (
        FeatureKey("gpt2", "as_trained", "t", 0).digest == FeatureKey("gpt2", "as_trained", "t", 0, weights="").digest
    )
    assert FeatureKey("gpt2", "as_trained", "t", 0, 1, 1, 2).digest == (
        "13bdfe1c15828afa40f48d0b3a03d307fd096e709d36cba691b1a9b28834aed9"
    )
