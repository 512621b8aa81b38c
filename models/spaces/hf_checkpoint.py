"""Networks of the space `hf` with the weights of a checkpoint of the same configuration; the maps that the space
`llama` cuts may be wider there (`intermediate_size`)."""

from __future__ import annotations

import torch
from torch import nn

from models.architecture import Architecture, BadArchitecture
from models.spaces.checkpoint import BadWeights, Checkpoint
from models.spaces.hf import HfSpace, library_config
from models.spaces.hf_library import make
from models.spaces.hf_network import HfNetwork

__all__ = ["check_checkpoint", "loaded_network"]

ELASTIC = "intermediate_size"


def check_checkpoint(architecture: Architecture, weights: Checkpoint) -> None:
    """Refuse a checkpoint of another configuration; BadWeights names the field or the tensor."""
    wanted = architecture.config
    where = f"{weights.folder / 'config.json'}"
    try:
        stated = HfSpace().architecture(architecture.id, weights.config).config
    except BadArchitecture as error:
        raise BadWeights(f"{where}: {error}") from None
    for field in ("model_type", *sorted(wanted.keys() | stated.keys())):
        if wanted.get(field) != stated.get(field) and field != ELASTIC:
            got, ours = (repr(c.get(field))[:80] for c in (stated, wanted))
            raise BadWeights(f"{where}: {field}: got {got}, wanted {ours} for {architecture.id}")
    with torch.device("meta"):
        network = make(library_config(wanted))
    weights.with_base(network.base_model_prefix).check(network.named_parameters(), architecture.id)


def loaded_network(architecture: Architecture, weights: Checkpoint) -> nn.Module:
    """The network, float32, drawn and then filled."""
    network = HfNetwork(architecture, 0)
    weights.with_base(network.model.base_model_prefix).fill(network.model)
    return network
