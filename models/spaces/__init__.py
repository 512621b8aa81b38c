"""SPACES: the spaces by name; `SPACES["gpt2"]` checks, samples, counts and builds architectures of that family.

space.py          Space: what every space offers, and the taps on what it builds
variation.py      Region: the values that a search over architectures may use, and its mutations and crossover
asked_region.py   a Region as a user asks for it: fixed fields, ranges, equal blocks; the least and largest cost in it
gpt2/             pre-LayerNorm decoders with a width and a head count per block
flexibert/        BERT-like encoders in two builds: what was trained, what was scored
llama/            LLaMA's decoders with a width and head counts per block, and subnets of checkpoints
hf/               any decoder or encoder of Hugging Face's library, by its configuration
abilities.py      what some spaces can: networks in pieces, networks with the weights of a checkpoint
checkpoint.py     safetensors checkpoints of Hugging Face, checked and read tensor by tensor
stored_tensors.py a tensor of a checkpoint that is read when it is wanted
tensor_names.py   names of tensors of a checkpoint, matched to those of a network
plain_network.py  adapter of a plain PyTorch network, by the names of its modules

Descriptions need no torch; a space imports its networks when it builds one.
"""

from models.spaces.abilities import PartedSpace, WeightedSpace
from models.spaces.flexibert.space import FlexibertSpace
from models.spaces.gpt2.space import Gpt2Space
from models.spaces.hf.space import HfSpace
from models.spaces.llama.space import LlamaSpace
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
