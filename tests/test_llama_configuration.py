"""Configurations of the space `llama` at their edges: widths of heads, halves of blocks, subnets."""

from __future__ import annotations

from typing import Any

import pytest

from models.architecture import BadArchitecture
from models.spaces.llama.configuration import attention_maps, checked, full_ffn, head_widths, is_cut

TWO: dict[str, Any] = {
    "n_layer": 2, "d_model": 24, "n_head": [4, 2], "n_kv_head": [2, 1], "d_ffn": [40, 16], "n_token": 300, "tgt_len": 64
}  # fmt: skip


def test_what_is_left_out_is_said_in_full() -> None:
    lists = {"n_head": (4, 2), "n_kv_head": (2, 1), "d_ffn": (40, 16)}
    wanted = {**TWO, **lists, "tied": False, "norm": "rms", "norm_eps": 1e-6, "rope_theta": 10_000}
    assert checked(TWO) == wanted
    more = {"tied": True, "norm": "layer", "norm_eps": 1e-5, "rope_theta": 500_000}
    assert checked({**TWO, **more, "rope_theta": 5e5}) == wanted | more


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"head_dim": 6}, 6), ({"head_dim": 12}, 12), ({"head_dim": 6, "n_head": [4, 4]}, None), ({"head_dim": None}, None),
        ({"head_dim": 6, "n_head": [4, 0], "n_kv_head": [2, 0]}, None), ({"head_dim": 2}, 2),
    ],
)  # fmt: skip
def test_a_width_of_heads_is_said_where_it_is_not_the_usual_one_of_all_blocks(
    more: dict[str, Any], field: int | None
) -> None:
    assert checked({**TWO, **more}).get("head_dim") == field


def test_widths_and_maps_follow_from_heads() -> None:
    assert head_widths(TWO) == [6, 12] and head_widths({**TWO, "head_dim": 8, "n_head": [4, 0]}) == [8, 0]
    assert head_widths({**TWO, "n_head": [1, 0]}) == [24, 0]
    assert attention_maps(TWO) == [2 * 24 * 36, 2 * 24 * 36] and attention_maps({**TWO, "n_head": [4, 0]})[1] == 0
    assert [full_ffn(width) for width in (24, 25, 768, 4096)] == [64, 128, 2048, 10_944]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"n_head": [4, 0], "n_kv_head": [2, 0], "d_ffn": [40, 0]},
         "d_ffn[1]: got 0 in a block without heads, wanted attention or an FFN in each"),
        ({"n_kv_head": [0, 1]}, "n_kv_head[0]: got 0, wanted at least 1 with n_head[0] = 4"),
        ({"n_head": [4, 0]}, "n_kv_head[1]: got 1, wanted 0 with n_head[1] = 0"),
        ({"n_kv_head": [3, 1]}, "n_kv_head[0]: got 3, wanted a divisor of n_head[0] = 4"),
        ({"n_head": [8, 2]}, "n_head[0]: got 8, so heads of 3 features at d_model = 24, wanted an even number"),
        ({"n_head": [4, 32]}, "n_head[1]: got 32, so heads of 0 features at d_model = 24, wanted an even number"),
        ({"n_head": [4, 0], "n_kv_head": [2, 0], "order": "magnitude"},
         "n_head[1]: got 0, wanted at least 1 in a subnet; drop the block"),
        ({"d_ffn": [0, 16], "keep": [0, 5]}, "d_ffn[0]: got 0, wanted at least 1 in a subnet; drop the block"),
    ],
)  # fmt: skip
def test_blocks_that_cannot_be_are_refused(more: dict[str, Any], said: str) -> None:
    with pytest.raises(BadArchitecture) as caught:
        checked({**TWO, **more})
    assert str(caught.value) == said


def test_a_subnet_says_what_it_keeps_or_by_which_order() -> None:
    for more in ({"keep": [0, 5]}, {"order": "magnitude"}, {"order": "activation", "keep": [1, 2]}):
        found = checked({**TWO, **more})
        assert is_cut(found) and {name: found.get(name) for name in ("keep", "order")} == {
            "keep": tuple(more["keep"]) if "keep" in more else None, "order": more.get("order"),
        }  # fmt: skip
    assert not is_cut(checked({**TWO, "order": "first", "keep": None})) and not is_cut(checked(TWO))
    assert checked({**TWO, "d_ffn": [0, 16]})["d_ffn"] == (0, 16)
