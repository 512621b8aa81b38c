"""SPACES: the spaces by name; `SPACES["gpt2"]` checks, samples, counts and builds architectures of that family.

space.py          Space: what every space offers, and the taps on what it builds
variation.py      Region: the values that a search over architectures may use, and its mutations and crossover
asked_region.py   a Region as a user asks for it: fixed fields, ranges, equal blocks; the least and largest cost in it
gpt2.py           pre-LayerNorm decoders with a width and a head count per block
gpt2_network.py   the networks of gpt2, and their initialisation
llama.py          LLaMA's decoders with heads, key-value heads and a gated feed-forward width per block
llama_blocks.py   the block of llama
llama_network.py  the networks of llama, and their initialisation, tensor by tensor
llama_weights.py  trained weights cut to narrower feed-forward layers; those of llama-elastic
llama_parts.py    the networks of llama in pieces, one block at a time
llama_checkpoint.py  which checkpoints have weights for a network of llama
llama_library.py  the config.json of the library for a network of llama
unit_order.py     the order by which the units of a checkpoint are kept where it is cut
llama_subnets.py  subnets of a checkpoint: blocks, units and heads that are kept
abilities.py      what some spaces can: networks in pieces, networks with the weights of a checkpoint
checkpoint.py     safetensors checkpoints of Hugging Face, checked and read tensor by tensor
flexibert.py      BERT-like encoders in two builds: what was trained, what was scored
bert_plans.py     the sizes of a flexibert network
bert_blocks.py    the networks of flexibert: six ways to mix tokens
hf.py             any decoder or encoder of Hugging Face's library, by its configuration
hf_config.py      its configurations, checked and reduced to the fields that shape a network
hf_fields.py      which fields a family knows, and how they are written
hf_unknown.py     fields that a family does not have
hf_rope.py        fields of rotary positions that contradict each other
hf_sizes.py       bounds of the numbers that decide how much is made
hf_drawing.py     weights that are drawn alike for all families
hf_library.py     how the library makes a network whose attention can be watched
hf_layout.py      where the inputs of such a network are
hf_trace.py       what one pass without numbers calls, from which this is found
hf_network.py     the networks of hf, on random weights
hf_checkpoint.py  the networks of hf with the weights of a checkpoint
plain_network.py  adapter of a plain PyTorch network, by the names of its modules

Descriptions need no torch; a space imports its networks when it builds one.
"""

from models.spaces.abilities import PartedSpace, WeightedSpace
from models.spaces.flexibert import FlexibertSpace
from models.spaces.gpt2 import Gpt2Space
from models.spaces.hf import HfSpace
from models.spaces.llama import LlamaSpace
from models.spaces.space import Space

__all__ = ["DRAWABLE", "PARTED", "SPACES", "WEIGHTED", "Space", "register_space"]

_LLAMA, _HF = LlamaSpace(), HfSpace()
SPACES: dict[str, Space] = {space.name: space for space in (Gpt2Space(), FlexibertSpace(), _LLAMA, _HF)}
DRAWABLE: dict[str, Space] = {name: space for name, space in SPACES.items() if space.drawable}
PARTED: dict[str, PartedSpace] = {"llama": _LLAMA}
WEIGHTED: dict[str, WeightedSpace] = {"llama": _LLAMA, "hf": _HF}


def register_space(space: Space) -> None:
    """Add a space under its name, such as one of a plug-in; ValueError if the name is taken."""
    if space.name in SPACES:
        raise ValueError(f"space {space.name!r} is registered already; choose another name")
    SPACES[space.name] = space
    if space.drawable:
        DRAWABLE[space.name] = space
