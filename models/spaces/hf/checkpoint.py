"""Networks of the space `hf` with the weights of a checkpoint of the same configuration; the maps that the space
`llama` cuts may be wider there (`intermediate_size`)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn

from models.architecture import Architecture, BadArchitecture
from models.spaces.checkpoint import BadWeights, Checkpoint, wanted_by
from models.spaces.hf.config import library_config, normalised
from models.spaces.hf.library import make
from models.spaces.hf.network import HfNetwork
from models.spaces.hf.saved import library_tensors
from models.spaces.tensor_names import placed

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["check_checkpoint", "loaded_network"]

ELASTIC = "intermediate_size"


def check_checkpoint(architecture: Architecture, weights: Checkpoint) -> None:
    """Refuse a checkpoint of another configuration; BadWeights names the field or the tensor."""
    wanted = architecture.config
    where = f"{weights.folder / 'config.json'}"
    try:
        stated = Architecture.create(architecture.id, architecture.space, normalised(weights.config)).config
    except BadArchitecture as error:
        raise BadWeights(f"{where}: {error}") from None
    for field in ("model_type", *sorted(wanted.keys() | stated.keys())):
        if wanted.get(field) != stated.get(field) and field != ELASTIC:
            got, ours = (repr(c.get(field))[:80] for c in (stated, wanted))
            raise BadWeights(f"{where}: {field}: got {got}, wanted {ours} for {architecture.id}")
    with torch.device("meta"):
        network = make(library_config(wanted))
    _named_for(network, weights).check(wanted_by(network), architecture.id)


def loaded_network(architecture: Architecture, weights: Checkpoint) -> nn.Module:
    """The network, float32, drawn and then filled."""
    network = HfNetwork(architecture, 0)
    _named_for(network.model, weights).fill(network.model)
    return network


def _named_for(model: PreTrainedModel, weights: Checkpoint) -> Checkpoint:
    """The checkpoint with the names that the network has for its tensors."""
    table, head = _tied_outside(model, weights)
    needed = [item.names for item in wanted_by(model) if item.needed and head not in item.names]
    try:
        found = placed(weights.tensors, needed, model.base_model_prefix, partial(library_tensors, model))
    except BadWeights as error:
        raise BadWeights(f"{weights.folder}: {error}") from None
    if head is not None and head not in found and table in found:
        found = {**found, head: found[table]}
    return weights.named(found)


def _tied_outside(model: PreTrainedModel, weights: Checkpoint) -> tuple[str, str | None]:
    """The names of the table of tokens and of the output map, where the configuration of a model of several parts ties
    them and that of its text part does not; the second is None elsewhere."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    head, table = model.get_output_embeddings(), model.get_input_embeddings()
    if weights.config.get("tie_word_embeddings") is not True or head is None or head.weight is table.weight:
        return "", None
    return names[id(table.weight)], names[id(head.weight)]
