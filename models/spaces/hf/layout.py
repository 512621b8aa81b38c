"""HfLayout: where the inputs of a Hugging Face network are found, from one forward pass without memory or numbers.

No family has a line of its own: attention goes through a function that is registered with the library
(`transformers.AttentionInterface`), and every linear map tells when it is called and what it reads. A map belongs to
the attention of its block if it lies inside the attention module or reads what the heads put out, else to the FFN; the
last map of the FFN leads back to the width of the model, from more features than any other map that does so, and what
it reads is A.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from models.architecture import Architecture, BadArchitecture, ParameterCount
from models.spaces.hf.config import LIBRARY_FAULTS, family_of, library_config
from models.spaces.hf.drawing import without_initialiser
from models.spaces.hf.library import make
from models.spaces.hf.trace import LENGTH, Trace, trace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PretrainedConfig, PreTrainedModel

__all__ = ["HfBlock", "HfLayout", "layout_of"]

QUERY = re.compile(r"q|q_proj|q_lin|query")
FAR = 1 << 20  # the longest sequence where nothing bounds it
MOST_TABLES = 1 << 30  # bytes


@dataclass(frozen=True)
class HfBlock:
    """The names of the modules of one block. `maps` are pairs of a linear map and its role, attention first, each in
    the order of the calls; `query` is None where one map makes queries, keys and values together."""

    block: str
    attention: str
    maps: tuple[tuple[str, str], ...]
    query: str | None
    output: str
    down: str


@dataclass(frozen=True)
class HfLayout:
    """The blocks of a network and its sizes; `map_products` multiply-adds for a token, `pair_products` for a pair of
    tokens."""

    blocks: tuple[HfBlock, ...]
    width: int
    longest: int
    vocabulary: int
    parameters: ParameterCount
    map_products: int
    pair_products: int


@lru_cache(maxsize=4096)
def layout_of(architecture: Architecture) -> HfLayout:
    """The layout of an architecture of the space `hf`, whatever initialises it; BadArchitecture names the family and
    what was not found."""
    if (plainly := without_initialiser(architecture)).digest != architecture.digest:
        return layout_of(plainly)
    family = family_of(architecture.config)
    config = library_config(architecture.config)
    try:
        with torch.device("meta"):
            model = make(config)
            _check_flat(model, family)
            _check_tables(model, family)
        seen = trace(model, config)
    except BadArchitecture:
        raise
    except LIBRARY_FAULTS as error:
        reason = " ".join(str(error).split())[:200]
        raise BadArchitecture(f"{family}: transformers cannot run it ({type(error).__name__}: {reason})") from None
    if (taps := len(seen.attentions)) != (layers := config.num_hidden_layers):
        other = "its attention does not go through transformers.AttentionInterface, so S and H cannot be read"
        reason = "with weights of its own" if taps else f"but {other}"
        raise BadArchitecture(f"{family}: got {taps} attention taps, wanted {layers}, one per layer {reason}")
    _check_once(seen, family)
    blocks = tuple(_block(model, seen, name, family) for name in seen.attentions)
    return _measured(model, config, seen, blocks)


def _block(model: PreTrainedModel, seen: Trace, block: str, family: str) -> HfBlock:
    """The names of one block, with every weight matrix of it accounted for."""
    attention, heads = seen.attentions[block], seen.heads[block]
    called = {name: x for name, x in seen.maps.items() if name.startswith(f"{block}.")}
    inside = [name for name in called if name.startswith(f"{attention}.")]
    readers = [name for name, x in called.items() if heads is not None and _same(x, heads)]
    attending = [name for name in called if name in inside or name in readers]
    feeding = [name for name in called if name not in attending]
    modules = dict(model.named_modules())
    width = _width_in(modules[attending[0]]) if attending else 0
    back = [name for name in feeding if _width_out(modules[name]) == width]
    if not attending or not back:
        raise BadArchitecture(f"{family}: {block}: got no FFN of linear maps that leads back to the width {width}")
    widest = max(_width_in(modules[name]) for name in back)  # narrow ones are gates and adapters beside the FFN
    down = [name for name in back if _width_in(modules[name]) == widest][-1]
    _check_complete(modules[block], {name.removeprefix(f"{block}.") for name in called}, f"{family}: {block}")
    queries = [
        n for n in inside if QUERY.fullmatch(n.rpartition(".")[2]) and _width_out(modules[n]) == seen.widths[block]
    ]
    maps = (*((name, "attn") for name in attending), *((name, "ffn") for name in feeding))
    return HfBlock(block, attention, maps, queries[0] if queries else None, (readers or attending)[-1], down)


def _same(x: torch.Tensor, heads: torch.Tensor) -> bool:
    """True if a map reads the heads themselves, without a copy."""
    return x.numel() == heads.numel() and x.untyped_storage()._cdata == heads.untyped_storage()._cdata


def _check_once(seen: Trace, family: str) -> None:
    """Refuse blocks that run several times in a pass: their inputs would be several."""
    for block, attention in seen.attentions.items():
        if (times := max(seen.runs[block], seen.runs[attention])) > 1:
            raise BadArchitecture(f"{family}: {block}: got a block that runs {times} times in a pass, wanted once")


def _check_tables(model: nn.Module, family: str) -> None:
    """Refuse tables that are no weights, such as masks of all pairs of positions, beyond any published size."""
    sizes = {name: buffer.numel() * buffer.element_size() for name, buffer in model.named_buffers()}
    if (total := sum(sizes.values())) > MOST_TABLES:
        raise BadArchitecture(
            f"{family}: got tables of {total / 2**30:.1f} GiB that are no weights, the largest is "
            f"{max(sizes, key=lambda name: sizes[name])}; wanted at most {MOST_TABLES / 2**30:.0f} GiB, so lower the "
            "number of positions"
        )


def _check_flat(model: nn.Module, family: str) -> None:
    """Refuse stacks of matrices, such as experts: they are weights of no linear map."""
    for name, parameter in model.named_parameters():
        if parameter.dim() > 2:
            raise _stray(f"{family}: {name}", parameter)


def _stray(where: str, parameter: nn.Parameter) -> BadArchitecture:
    shape = " x ".join(map(str, parameter.shape))
    return BadArchitecture(f"{where}: got weights ({shape}) of no linear map that every token passes")


def _check_complete(block: nn.Module, called: set[str], where: str) -> None:
    """Refuse a block with weight matrices that no called map holds, such as experts."""
    for name, parameter in block.named_parameters():
        if parameter.dim() > 1 and name.rpartition(".")[0] not in called:
            raise _stray(f"{where}.{name}", parameter)


def _width_in(module: nn.Module) -> int:
    shape: Sequence[int] = module.weight.shape  # type: ignore[assignment]
    return shape[0] if isinstance(module, Conv1D) else shape[1]


def _width_out(module: nn.Module) -> int:
    shape: Sequence[int] = module.weight.shape  # type: ignore[assignment]
    return shape[1] if isinstance(module, Conv1D) else shape[0]


def _measured(model: PreTrainedModel, config: PretrainedConfig, seen: Trace, blocks: tuple[HfBlock, ...]) -> HfLayout:
    modules = dict(model.named_modules())
    maps = {name: role for block in blocks for name, role in block.maps}
    by_role: Mapping[str, int] = {
        role: sum(_size(modules[name]) for name, found in maps.items() if found == role) for role in ("attn", "ffn")
    }
    inside = sum(_size(modules[block.block]) for block in blocks)
    holder = modules[blocks[0].block.rpartition(".")[0].rpartition(".")[0]]
    norms = sum(p.numel() for child in holder.children() for p in child.parameters(recurse=False) if p.dim() == 1)
    total = _size(model)
    mapped = sum(seen.runs[name] * _width_in(modules[name]) * _width_out(modules[name]) for name in maps)
    products = _products(model, config, seen, blocks, mapped, sum(seen.pairs[block.block] for block in blocks))
    return HfLayout(
        blocks=blocks,
        width=_width_in(modules[blocks[0].maps[0][0]]),
        longest=_longest(model, config),
        vocabulary=config.vocab_size,
        parameters=ParameterCount(by_role["attn"], by_role["ffn"], inside + norms, total - inside - norms, total),
        map_products=products[0],
        pair_products=products[1],
    )


def _products(
    model: PreTrainedModel, config: PretrainedConfig, seen: Trace, blocks: tuple[HfBlock, ...], mapped: int, paired: int
) -> tuple[int, int]:
    """Multiply-adds for a token and for a pair of tokens: those of the maps and of attention. Where torch counts others
    too, such as those of an index of keys, two passes of other lengths tell the one from the other."""
    T, longer = LENGTH, LENGTH + 2
    counted = _inside(seen, blocks)
    if counted in (0, T * mapped + T * T * paired):
        return mapped, paired
    again = _inside(trace(model, config, longer), blocks)
    pairs, rest = divmod(T * again - longer * counted, T * longer * (longer - T))
    return (mapped, paired) if rest else ((counted - T * T * pairs) // T, pairs)


def _inside(seen: Trace, blocks: tuple[HfBlock, ...]) -> int:
    """Multiply-adds that torch counted inside the blocks."""
    return sum(seen.flops.get(block.block, 0) for block in blocks) // 2


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _longest(model: PreTrainedModel, config: PretrainedConfig) -> int:
    """The positions of the configuration; a table with a padding position gives those behind it (RoBERTa)."""
    found = getattr(config, "max_position_embeddings", None) or FAR
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding) and "position" in name and module.padding_idx is not None:
            found = min(found, module.num_embeddings - module.padding_idx - 1)
    return int(found)
