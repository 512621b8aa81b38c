"""HfLayout: where the inputs of a Hugging Face network are found, from one forward pass without memory or numbers.

No family has a line of its own: attention goes through a function that is registered with the library
(`transformers.AttentionInterface`), and every linear map tells when it is called and what it reads. A map belongs to
the attention of its block if it lies inside the attention module or reads what the heads put out, else to the FFN; the
last map of the FFN leads back to the width of the model, and what it reads is A.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from models.architecture import Architecture, BadArchitecture, ParameterCount
from models.spaces.hf import LIBRARY_FAULTS, family_of, library_config
from models.spaces.hf_library import TAP, by_output, make, run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PretrainedConfig, PreTrainedModel

__all__ = ["HfBlock", "HfLayout", "layout_of"]

QUERY = re.compile(r"q|q_proj|q_lin|query")
LENGTH = 3  # tokens of the pass
FAR = 1 << 20  # the longest sequence where nothing bounds it


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
    """The layout of an architecture of the space `hf`; BadArchitecture names the family and what was not found."""
    family = family_of(architecture.config)
    config = library_config(architecture.config)
    try:
        with torch.device("meta"):
            model = make(config)
            _check_flat(model, family)
        seen = _trace(model)
    except BadArchitecture:
        raise
    except LIBRARY_FAULTS as error:
        reason = " ".join(str(error).split())[:200]
        raise BadArchitecture(f"{family}: transformers cannot run it ({type(error).__name__}: {reason})") from None
    if (taps := len(seen.attentions)) != (layers := config.num_hidden_layers):
        other = "its attention does not go through transformers.AttentionInterface, so S and H cannot be read"
        reason = "with weights of its own" if taps else f"but {other}"
        raise BadArchitecture(f"{family}: got {taps} attention taps, wanted {layers}, one per layer {reason}")
    blocks = tuple(_block(model, seen, name, family) for name in seen.attentions)
    return _measured(model, config, seen, blocks)


@dataclass
class _Seen:
    """What a pass met, in order: per block the attention module, its heads and the width of its queries; and what each
    map read first."""

    attentions: dict[str, str] = field(default_factory=dict)
    heads: dict[str, torch.Tensor | None] = field(default_factory=dict)
    maps: dict[str, torch.Tensor] = field(default_factory=dict)
    widths: dict[str, int] = field(default_factory=dict)


def _tapped(seen: _Seen, name: str, heads: torch.Tensor, weights: torch.Tensor, queries: torch.Tensor) -> None:
    _attended(seen, name, heads, queries.shape[-1])


def _attended(seen: _Seen, name: str, heads: torch.Tensor | None, width: int) -> None:
    block = _block_name(name)
    if block in seen.attentions and seen.attentions[block] != name:
        return
    seen.attentions[block] = name
    seen.heads[block] = heads
    seen.widths[block] = width


def _block_name(name: str) -> str:
    """The name of a module up to the first number: the place in the list of blocks."""
    parts = name.split(".")
    place = next((i for i, part in enumerate(parts) if part.isdigit()), len(parts) - 1)
    return ".".join(parts[: place + 1])


def _trace(model: PreTrainedModel) -> _Seen:
    """One pass of a few tokens through a network on the device `meta`."""
    tokens = torch.zeros(1, LENGTH, dtype=torch.long, device="meta")
    mask = torch.zeros(1, 1, LENGTH, LENGTH, device="meta")  # ready-made, else most of the library asks for values
    try:
        return _pass(model, input_ids=tokens, attention_mask=mask)
    except LIBRARY_FAULTS:  # the rest (ALiBi) wants none that is ready-made
        return _pass(model, input_ids=tokens, attention_mask=mask[0, 0, :1].long())


def _pass(model: PreTrainedModel, **given: torch.Tensor) -> _Seen:
    seen = _Seen()
    with _watched(model, seen), torch.no_grad():
        run(model, **given)
    return seen


@contextmanager
def _watched(model: PreTrainedModel, seen: _Seen) -> Iterator[None]:
    modules = dict(model.named_modules())
    with ExitStack() as stack:
        for name, module in modules.items():
            if is_map(module):
                stack.enter_context(module.register_forward_pre_hook(partial(_called, seen, name)))
            elif by_output(model.config):
                stack.enter_context(module.register_forward_hook(partial(_gave, seen, name)))
            else:
                module.__dict__[TAP] = partial(_tapped, seen, name)
                stack.callback(module.__dict__.pop, TAP)
        yield


def is_map(module: nn.Module) -> bool:
    """Whether a module is a linear map with a weight matrix."""
    return isinstance(module, nn.Linear | Conv1D)


def _called(seen: _Seen, name: str, module: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
    seen.maps.setdefault(name, given[0])


def _gave(seen: _Seen, name: str, module: nn.Module, given: object, output: object) -> None:
    """An attention module is the innermost one whose second output is weights (B, K, T, T)."""
    if isinstance(output, tuple) and len(output) > 1 and isinstance(output[1], torch.Tensor) and output[1].dim() == 4:
        _attended(seen, name, None, output[0].shape[-1])


def _block(model: PreTrainedModel, seen: _Seen, block: str, family: str) -> HfBlock:
    """The names of one block, with every weight matrix of it accounted for."""
    attention, heads = seen.attentions[block], seen.heads[block]
    called = {name: x for name, x in seen.maps.items() if name.startswith(f"{block}.")}
    inside = [name for name in called if name.startswith(f"{attention}.")]
    readers = [name for name, x in called.items() if heads is not None and _same(x, heads)]
    attending = [name for name in called if name in inside or name in readers]
    feeding = [name for name in called if name not in attending]
    modules = dict(model.named_modules())
    width = _width_in(modules[attending[0]]) if attending else 0
    if not attending or not feeding or _width_out(modules[feeding[-1]]) != width:
        raise BadArchitecture(f"{family}: {block}: got no FFN of linear maps that leads back to the width {width}")
    _check_complete(modules[block], {name.removeprefix(f"{block}.") for name in called}, f"{family}: {block}")
    queries = [
        n for n in inside if QUERY.fullmatch(n.rpartition(".")[2]) and _width_out(modules[n]) == seen.widths[block]
    ]
    maps = (*((name, "attn") for name in attending), *((name, "ffn") for name in feeding))
    return HfBlock(block, attention, maps, queries[0] if queries else None, (readers or attending)[-1], feeding[-1])


def _same(x: torch.Tensor, heads: torch.Tensor) -> bool:
    """Whether a map reads the heads themselves, without a copy."""
    return x.numel() == heads.numel() and x.untyped_storage()._cdata == heads.untyped_storage()._cdata


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


def _measured(
    model: PreTrainedModel, config: PretrainedConfig, seen: _Seen, blocks: tuple[HfBlock, ...]
) -> HfLayout:  # fmt: skip
    modules = dict(model.named_modules())
    maps = {name: role for block in blocks for name, role in block.maps}
    by_role: Mapping[str, int] = {
        role: sum(_size(modules[name]) for name, found in maps.items() if found == role) for role in ("attn", "ffn")
    }
    inside = sum(_size(modules[block.block]) for block in blocks)
    holder = modules[blocks[0].block.rpartition(".")[0].rpartition(".")[0]]
    norms = sum(p.numel() for child in holder.children() for p in child.parameters(recurse=False) if p.dim() == 1)
    total = _size(model)
    return HfLayout(
        blocks=blocks,
        width=_width_in(modules[blocks[0].maps[0][0]]),
        longest=_longest(model, config),
        vocabulary=config.vocab_size,
        parameters=ParameterCount(by_role["attn"], by_role["ffn"], inside + norms, total - inside - norms, total),
        map_products=sum(_width_in(modules[name]) * _width_out(modules[name]) for name in maps),
        pair_products=2 * sum(seen.widths[block.block] for block in blocks),
    )


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _longest(model: PreTrainedModel, config: PretrainedConfig) -> int:
    """The positions of the configuration; a table with a padding position gives those behind it (RoBERTa)."""
    found = getattr(config, "max_position_embeddings", None) or FAR
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding) and "position" in name and module.padding_idx is not None:
            found = min(found, module.num_embeddings - module.padding_idx - 1)
    return int(found)
