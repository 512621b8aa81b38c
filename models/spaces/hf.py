"""The `hf` space: any decoder or encoder that Hugging Face's `AutoConfig` knows, by its configuration. The networks are
those of the library on random weights; nothing is downloaded, and no code of a configuration is run."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from difflib import get_close_matches
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from models.architecture import Architecture, BadArchitecture, ParameterCount
from models.spaces.space import check_int
from storage.datum import is_whole

if TYPE_CHECKING:
    from torch import nn
    from transformers import PretrainedConfig

    from models.spaces.checkpoint import Checkpoint
    from models.spaces.hf_layout import HfLayout
    from models.spaces.variation import Fields

__all__ = ["LIBRARY_FAULTS", "HfSpace", "family_of", "library_config"]

LIBRARY_FAULTS = (
    ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, NotImplementedError, OSError,
    RuntimeError, TypeError, ValueError,
)  # fmt: skip
"""What the library raises where a configuration is no network."""

# Of a configuration, what changes nothing of the untrained network.
NOISE = (
    "architectures", "attn_implementation", "auto_map", "bos_token_id", "dtype", "eos_token_id", "id2label",
    "label2id", "name_or_path", "output_attentions", "output_hidden_states", "problem_type", "quantization_config",
    "return_dict", "torch_dtype", "transformers_version", "use_cache",
)  # fmt: skip
COUNTED = ("layer", "layers", "head", "heads", "experts", "groups")  # ends of names: so many modules are made
MOST_COUNTED, LARGEST = 1024, 1 << 31


class HfSpace:
    """Configuration: that of the library, `model_type` first; what is left out has the library's default.

    The checked form has every field of the family except those that change nothing of an untrained network, so that one
    network has one digest. There is nothing to draw from: `sample` and `count` refuse.
    """

    name = "hf"
    builds: tuple[str, ...] = ("as_configured",)
    drawable = False
    fields: Fields | None = None
    OWN_VERSION = 1

    @property
    def version(self) -> int:
        """Ours and that of the library, whose networks these are."""
        try:
            major, minor = (int(part) for part in version("transformers").split(".")[:2])
        except (PackageNotFoundError, ValueError):
            major, minor = 0, 0
        return self.OWN_VERSION * 1_000_000 + major * 1_000 + minor

    def check(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The normalised configuration; BadArchitecture names what the library does not know or accept."""
        found = library_config(config)
        plain = {key: value for key, value in found.to_dict().items() if _matters(key)}
        try:
            return json.loads(json.dumps({**plain, "model_type": found.model_type}, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise BadArchitecture(f"{found.model_type}: {error}, wanted a configuration of plain numbers") from None

    def architecture(self, id: str, config: Mapping[str, Any]) -> Architecture:
        """A checked architecture."""
        return Architecture.create(id, self.name, self.check(config))

    def sample(self, rng: random.Random) -> dict[str, Any]:
        """Refused: the configurations of a library are no finite space."""
        raise BadArchitecture(f"space: got {self.name}, which has nothing to draw from; give its configurations")

    def count(self) -> int:
        """Refused like `sample`."""
        raise BadArchitecture(f"space: got {self.name}, which nobody can count; give its configurations")

    def shape(self, architecture: Architecture) -> tuple[int, int]:
        """(depth, width)."""
        layout = self.layout(architecture)
        return len(layout.blocks), layout.width

    def limits(self, architecture: Architecture) -> tuple[int, int]:
        """(longest sequence, size of the vocabulary)."""
        layout = self.layout(architecture)
        return layout.longest, layout.vocabulary

    def numbers(self, architecture: Architecture) -> dict[str, float]:
        """None: families have no fields in common; depth, width and parameters are counted anyway."""
        return {}

    def parameters(self, architecture: Architecture, build: str | None = None) -> ParameterCount:
        """Counted in the network itself, made without memory; `decoder` is the blocks and the norms after them."""
        return self.layout(architecture).parameters

    def multiply_adds(self, architecture: Architecture, length: int, build: str | None = None) -> int:
        """The maps of every token, and per block Q K^T and S V over all pairs of tokens, masked ones included."""
        layout = self.layout(architecture)
        return length * layout.map_products + length * length * layout.pair_products

    def layout(self, architecture: Architecture) -> HfLayout:
        """Where the inputs of its blocks are, and how large it is."""
        from models.spaces.hf_layout import layout_of

        return layout_of(architecture)

    def build(self, architecture: Architecture, init_seed: int, build: str | None = None) -> nn.Module:
        """An `HfNetwork`, its weights drawn by the library from the architecture's own seed."""
        from models.spaces.hf_network import HfNetwork

        return HfNetwork(architecture, architecture.seed(init_seed))

    def check_weights(self, architecture: Architecture, weights: Checkpoint) -> None:
        """Refuse a checkpoint of another configuration (but for wider gated layers), or without some tensors."""
        from models.spaces.hf_checkpoint import check_checkpoint

        check_checkpoint(architecture, weights)

    def loaded(self, architecture: Architecture, weights: Checkpoint) -> nn.Module:
        """An `HfNetwork` with the weights of a checkpoint."""
        from models.spaces.hf_checkpoint import loaded_network

        return loaded_network(architecture, weights)


def family_of(config: Mapping[str, Any]) -> str:
    """The library's name of the family."""
    return str(config["model_type"])


def library_config(config: Mapping[str, Any]) -> PretrainedConfig:
    """The library's object; of a model of several parts, that of its text part. BadArchitecture says what is wrong."""
    import transformers
    from huggingface_hub.errors import StrictDataclassError
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    transformers.logging.set_verbosity_error()  # it warns of token ids, which no untrained network reads
    family = config.get("model_type")
    if not isinstance(family, str) or family not in CONFIG_MAPPING_NAMES:
        near = get_close_matches(str(family), CONFIG_MAPPING_NAMES, 1)
        hint = f"did you mean {near[0]}?" if near else "give a family that the installed transformers knows"
        raise BadArchitecture(
            f"model_type: got {family!r}, which transformers {transformers.__version__} lacks; {hint}"
        )
    fields = {key: value for key, value in config.items() if _matters(key) and key != "model_type"}
    _check_sizes(fields, "")
    try:
        found = transformers.AutoConfig.for_model(family, **_thawed(fields)).get_text_config(decoder=True)
    except (*LIBRARY_FAULTS, StrictDataclassError) as error:
        raise BadArchitecture(f"{family}: transformers refuses the configuration ({_first_line(error)})") from None
    if getattr(found, "is_encoder_decoder", False):
        raise BadArchitecture(f"{family}: got an encoder with a decoder, wanted one of them")
    _check_shape(found)
    return found


def _matters(key: str) -> bool:
    return not key.startswith("_") and key not in NOISE


def _thawed(value: Any) -> Any:
    """Lists again, where an architecture is frozen."""
    if isinstance(value, Mapping):
        return {key: _thawed(item) for key, item in value.items()}
    return [_thawed(item) for item in value] if isinstance(value, list | tuple) else value


def _check_sizes(value: Any, name: str) -> None:
    """Refuse whole numbers that would keep the library busy for ever."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            _check_sizes(item, str(key))
    elif isinstance(value, list | tuple):
        for item in value:
            _check_sizes(item, name)
    elif is_whole(value):
        most = MOST_COUNTED if name.endswith(COUNTED) else LARGEST
        if abs(value) > most:
            raise BadArchitecture(f"{name}: got {value}, wanted at most {most:,}")


def _check_shape(config: PretrainedConfig) -> None:
    bounds = {"num_hidden_layers": (1, MOST_COUNTED), "hidden_size": (1, 1 << 16), "vocab_size": (2, 1 << 22)}
    for field, (low, high) in bounds.items():
        check_int({field: getattr(config, field, None)}, field, low, high)


def _first_line(error: BaseException) -> str:
    lines = [" ".join(line.split()) for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {': '.join(lines[:2])[:200]}" if lines else type(error).__name__
