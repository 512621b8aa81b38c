"""The inputs of a Hugging Face model, from one forward and one backward pass; the part of `torch_module` that watches.

No family has a line of its own: a map belongs to the attention of its block if it lies inside the attention module or
reads what the heads put out, else to the FFN; the last map of the FFN leads back to the width of the model, from more
features than any other map that does so, and what it reads is A.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class TappedAttention(NamedTuple):
    """Output of an attention module: heads (B, T, D), weights (B, heads, T, T), and its queries (B, T, D)."""

    name: str
    heads: Tensor
    weights: Tensor
    queries: Tensor


class PassRecord:
    """Record of a pass, in call order: input and attention by block; input and output by linear map."""

    def __init__(self) -> None:
        self.inputs: dict[str, Tensor] = {}
        self.attentions: dict[str, TappedAttention] = {}
        self.read: dict[str, Tensor] = {}
        self.given: dict[str, Tensor] = {}


def inputs_of(model: nn.Module, tokens: Tensor | None) -> list[dict[str, list[Tensor]]]:
    """The inputs of every block, first block first; ValueError unless it is a model of the library, perhaps inside a
    wrapper, and reads the tokens."""
    model = unwrapped(model)
    if not isinstance(tokens, Tensor) or tokens.dim() != 2 or tokens.shape[-1] < 2 or tokens.is_floating_point():
        raise ValueError("got a batch that is no tensor of whole numbers (B, T), wanted token ids, two at least")
    with watched(model) as seen:
        try:
            value = loss(model, tokens.to(next(model.parameters()).device), seen)
        except (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"got {type(model).__name__}, which cannot read the tokens ({reason})") from None
        layers = model.config.num_hidden_layers  # type: ignore[union-attr]
        if len(seen.attentions) != layers:
            raise ValueError(
                f"got {len(seen.attentions)} attention modules, wanted {layers}, one per layer, of a "
                "family that has an eager_attention_forward"
            )
        modules = dict(model.named_modules())
        parts = {name: maps_of(modules, seen, name) for name in seen.attentions}
        weights = [modules[name].weight for maps in parts.values() for name, _ in maps]
        wanted = [seen.inputs[name] for name in parts] + weights
        found = torch.autograd.grad(value, wanted, allow_unused=True)
    gradients = [torch.zeros_like(x) if g is None else g for x, g in zip(wanted, found, strict=True)]
    after = iter(gradients[len(parts) :])
    with torch.no_grad():
        return [
            block_inputs(modules, seen, name, maps, gradients[place], [next(after) for _ in maps])
            for place, (name, maps) in enumerate(parts.items())
        ]


def unwrapped(model: Any) -> Any:
    """The library's model inside torch's wrappers (compile, DataParallel); ValueError where there is none."""
    found = model
    while isinstance(found, nn.Module):
        inside = dict(found.named_children())
        if "_orig_mod" not in inside and ("module" not in inside or hasattr(found, "config")):
            break
        found = inside["_orig_mod"] if "_orig_mod" in inside else inside["module"]
    wanted = ("config", "can_generate", "base_model", "set_attn_implementation")
    if not isinstance(found, nn.Module) or not all(hasattr(found, name) for name in wanted):
        raise ValueError(f"got {type(found).__name__}, wanted a model of Hugging Face's transformers")
    if any(name.endswith("_orig_mod") for name, _ in found.named_modules()):
        raise ValueError("got a model with compiled parts, wanted it as it was before torch.compile")
    if getattr(found.config, "is_encoder_decoder", False):
        raise ValueError(f"got {type(found).__name__}, an encoder with a decoder, wanted one of them")
    if not hasattr(found.config, "num_hidden_layers") or any(p.is_meta for p in found.parameters()):
        raise ValueError(f"got {type(found).__name__} without layers or without weights, wanted one model of text")
    return found


def loss(model: Any, tokens: Tensor, seen: PassRecord) -> Tensor:
    """Mean cross-entropy of the next token of a decoder; a fixed random projection of the last hidden state of an
    encoder."""
    if model.can_generate():
        logits = model(input_ids=tokens, use_cache=False).logits[:, :-1]
        return F.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten())
    hidden = model.base_model(input_ids=tokens).last_hidden_state
    if seen.attentions and not any(a.weights.triu(1).any() for a in seen.attentions.values()):
        raise ValueError(f"got {type(model).__name__}, a decoder without its head; wanted AutoModelForCausalLM")
    direction = torch.randn(hidden.shape, generator=torch.Generator().manual_seed(0))
    return (hidden * direction.to(hidden)).sum()


def maps_of(modules: Mapping[str, nn.Module], seen: PassRecord, block: str) -> list[tuple[str, str]]:
    """(linear map, attn or ffn) of a block, attention first, each in the order of the calls."""
    attention = seen.attentions[block]
    called = {name: x for name, x in seen.read.items() if name.startswith(f"{block}.")}
    own = {name for name, x in called.items() if name.startswith(f"{attention.name}.") or _same(x, attention.heads)}
    maps = [(name, "attn") for name in called if name in own] + [(n, "ffn") for n in called if n not in own]
    for name, parameter in modules[block].named_parameters():
        if parameter.dim() > 1 and f"{block}.{name.rpartition('.')[0]}" not in called:
            raise ValueError(f"{block}.{name}: got weights of no linear map that every token passes, such as experts")
    if not own or down_of(modules, maps, seen.inputs[block].shape[-1]) is None:
        raise ValueError(f"{block}: got no attention and FFN of linear maps that leads back to the width of the model")
    return maps


def down_of(modules: Mapping[str, nn.Module], maps: list[tuple[str, str]], width: int) -> str | None:
    """The last map of the FFN; narrower ones that lead back to the width are gates and adapters beside it."""
    back = [name for name, role in maps if role == "ffn" and _out(modules[name]) == width]
    return max(reversed(back), key=lambda name: modules[name].weight.numel(), default=None)  # type: ignore[operator]


def output_of(seen: PassRecord, block: str, maps: list[tuple[str, str]]) -> str:
    """The map of the attention that reads the heads, or its last one where these are changed before."""
    own = [name for name, role in maps if role == "attn"]
    readers = [name for name in own if _same(seen.read[name], seen.attentions[block].heads)]
    return (readers or own)[-1]


def block_inputs(
    modules: Mapping[str, nn.Module],
    seen: PassRecord,
    block: str,
    maps: list[tuple[str, str]],
    jacobian: Tensor,
    gradients: list[Tensor],
) -> dict[str, list[Tensor]]:
    """All inputs of one block by name."""
    attention, width = seen.attentions[block], seen.attentions[block].queries.shape[-1]
    names = {name.rpartition(".")[2]: name for name, _ in reversed(maps) if name.startswith(f"{attention.name}.")}
    query = next((n for end, n in names.items() if end in ("q", "q_proj", "q_lin", "query")), None)
    own = query is not None and _out(modules[query]) == width
    queries = seen.given[str(query)] if own else attention.queries
    weights = [_out_in(modules[name], modules[name].weight) for name, _ in maps]  # type: ignore[arg-type]
    changes = [_out_in(modules[name], x) for (name, _), x in zip(maps, gradients, strict=True)]
    found = {
        "A": [_tokens_first(seen.read[str(down_of(modules, maps, jacobian.shape[-1]))])],
        "J": [_tokens_first(jacobian)],
        "H": [_tokens_first(seen.read[output_of(seen, block, maps)])],
        "Q": [_tokens_first(queries)],
        "S": [attention.weights.detach().flatten(0, 1)],
        "W": [x.detach() for x in weights],
        "G": changes,
    }
    for letter in "WG":
        for role in ("attn", "ffn"):
            pairs = zip(maps, found[letter], strict=True)
            found[f"{letter}.{role}"] = [x for (_, belongs), x in pairs if belongs == role]
    return found


def _same(x: Tensor, heads: Tensor) -> bool:
    return x.numel() == heads.numel() and x.untyped_storage().data_ptr() == heads.untyped_storage().data_ptr()


def _out(module: Any) -> int:
    return int(module.weight.shape[1 if _is_in_out(module) else 0])


def _out_in(module: nn.Module, x: Tensor) -> Tensor:
    return x.T if _is_in_out(module) else x


def _is_in_out(module: nn.Module) -> bool:
    return type(module).__name__ == "Conv1D"  # the linear map of GPT-2


def _tokens_first(x: Tensor) -> Tensor:
    return x.detach().flatten(0, -2)


@contextmanager
def watched(model: Any) -> Iterator[PassRecord]:
    """Record of the passes through the model inside the block of code; hooks and settings are as before afterwards."""
    seen, names = PassRecord(), {id(module): name for name, module in model.named_modules()}
    training, implementation = model.training, model.config._attn_implementation
    frozen = [parameter for parameter in model.parameters() if not parameter.requires_grad]
    with ExitStack() as stack, torch.enable_grad():
        stack.callback(model.train, training)
        stack.callback(model.set_attn_implementation, implementation)
        for parameter in frozen:
            stack.callback(parameter.requires_grad_, requires_grad=False)
            parameter.requires_grad_(requires_grad=True)
        model.eval()
        model.set_attn_implementation("eager")
        for module in model.modules():
            stack.callback(setattr, module, "_compiled_call_impl", module._compiled_call_impl)
            module._compiled_call_impl = None
        for name, module in model.named_modules():
            if name == _block(name):
                stack.enter_context(module.register_forward_pre_hook(partial(_keep, seen.inputs, name)))
            if isinstance(module, nn.Linear) or _is_in_out(module):
                stack.enter_context(module.register_forward_pre_hook(partial(_keep, seen.read, name)))
                stack.enter_context(module.register_forward_hook(partial(_keep_output, seen.given, name)))
        for family in {type(module).__module__ for module in model.modules()}:
            eager = getattr(sys.modules[family], "eager_attention_forward", None)
            if eager is not None:
                stack.callback(setattr, sys.modules[family], "eager_attention_forward", eager)
                attend = partial(_attend, seen, names, eager)
                setattr(sys.modules[family], "eager_attention_forward", attend)  # noqa: B010
        yield seen


def _block(name: str) -> str:
    """The name of a module up to the first number: the place in the list of blocks."""
    parts = name.split(".")
    place = next((i for i, part in enumerate(parts) if part.isdigit()), None)
    return "" if place is None else ".".join(parts[: place + 1])


def _keep(store: dict[str, Tensor], name: str, module: nn.Module, given: tuple[Any, ...]) -> None:
    if given:
        store.setdefault(name, given[0])


def _keep_output(store: dict[str, Tensor], name: str, module: nn.Module, given: object, output: Tensor) -> None:
    store.setdefault(name, output)


def _attend(
    seen: PassRecord,
    names: Mapping[int, str],
    eager: Callable[..., tuple[Tensor, Tensor]],
    module: nn.Module,
    query: Tensor,
    *given: Any,
    **more: Any,
) -> tuple[Tensor, Tensor]:
    """The family's own attention; heads (B, T, heads, width) and queries (B, heads, T, width) become (B, T, D)."""
    heads, weights = eager(module, query, *given, **more)
    name = names[id(module)]
    seen.attentions.setdefault(
        _block(name), TappedAttention(name, heads.flatten(2), weights, query.transpose(1, 2).flatten(2))
    )
    return heads, weights
