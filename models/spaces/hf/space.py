"""The `hf` space: any decoder or encoder that Hugging Face's `AutoConfig` knows, by its configuration. The networks are
those of the library on random weights; nothing is downloaded, and no code of a configuration is run."""

from __future__ import annotations

import random
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from models.architecture import Architecture, BadArchitecture, ParameterCount
from models.spaces.hf.config import normalised

if TYPE_CHECKING:
    from torch import nn

    from models.spaces.checkpoint import Checkpoint
    from models.spaces.hf.layout import HfLayout
    from models.spaces.variation import Fields

__all__ = ["HfSpace"]


class HfSpace:
    """Configuration: that of the library, `model_type` first; what is left out has the library's default.

    The checked form has the fields that shape the network in one spelling, so that one network has one digest
    (`fields.py`). There is nothing to draw from: `sample` and `count` refuse.

    Builds: `common` draws the weight matrices of every family with one standard deviation, so that scores do not depend
    on the initialiser that a configuration names; `own` draws what the configuration and its family say.
    """

    name = "hf"
    builds: tuple[str, ...] = ("common", "own")
    drawable = False
    fields: Fields | None = None
    OWN_VERSION = 2

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
        return normalised(config)

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
        """Layout of the network: places of the inputs of its blocks, and its sizes."""
        from models.spaces.hf.layout import layout_of

        return layout_of(architecture)

    def build(self, architecture: Architecture, init_seed: int, build: str | None = None) -> nn.Module:
        """An `HfNetwork`, its weights drawn from the architecture's own seed. In the build `common` fields of the
        initialiser have no part in the seed either."""
        from models.spaces.hf.drawing import draw_common, without_initialiser
        from models.spaces.hf.network import HfNetwork

        if build == "own":
            return HfNetwork(architecture, architecture.seed(init_seed))
        plainly = without_initialiser(architecture)
        network = HfNetwork(plainly, plainly.seed(init_seed))
        draw_common(network.model, plainly.seed(init_seed))
        return network

    def check_weights(self, architecture: Architecture, weights: Checkpoint) -> None:
        """Refuse a checkpoint of another configuration (but for wider gated layers), or without some tensors."""
        from models.spaces.hf.checkpoint import check_checkpoint

        check_checkpoint(architecture, weights)

    def loaded(self, architecture: Architecture, weights: Checkpoint) -> nn.Module:
        """An `HfNetwork` with the weights of a checkpoint."""
        from models.spaces.hf.checkpoint import loaded_network

        return loaded_network(architecture, weights)
