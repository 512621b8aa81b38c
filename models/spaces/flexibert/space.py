"""The `flexibert` space: 10,621,440 BERT-like encoders (Serianni and Kalita, ACL 2023, arXiv 2306.00288) in
two builds: what was trained, what was scored. After FlexiBERT (Tuli et al., JAIR 2023, arXiv 2205.11656)."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from models.architecture import Architecture, BadArchitecture, ParameterCount
from models.spaces.flexibert.plans import OPERATIONS, POSITIONS, VOCABULARY, BlockPlan, embedding_parameters
from models.spaces.space import block_numbers, check_choice, check_fields, check_int, check_list, initialised
from models.spaces.variation import Fields

if TYPE_CHECKING:
    from torch import nn

__all__ = ["FlexibertSpace"]

PUBLISHED_WIDTH, PUBLISHED_FFN = 256, 1024


class FlexibertSpace:
    """Configuration: hidden_size D, and one entry per block in operation, heads, ffn_dim, ffn_stack.

    The published study trained one network per description and computed its proxies on another one. Build
    `as_trained` follows the training code: width D, attention in every block whatever `operation` says, FFN
    layers of 4 D and then ffn_stack - 1 layers of ffn_dim. Build `as_published` follows the proxy code: width
    256, the six operations, ffn_stack FFN layers of 1,024. docs/flexibert.md has the evidence.
    `sample` and `count` describe the published search space; `check` accepts every size that can be built.
    """

    name = "flexibert"
    version = 1
    builds: tuple[str, ...] = ("as_trained", "as_published")
    drawable = True
    fields: Fields | None = Fields(("operation", "heads", "ffn_dim", "ffn_stack"), widths=("hidden_size", "ffn_dim"))

    HIDDEN_SIZE = (128, 256)
    N_BLOCKS = (2, 4)
    HEADS = (2, 4)
    FFN_DIM = (512, 1024)
    FFN_STACK = (1, 3)

    def check(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The normalised configuration; BadArchitecture names the first bad field."""
        check_fields(config, "hidden_size", "operation", "heads", "ffn_dim", "ffn_stack")
        hidden_size = check_int(config, "hidden_size", 4, 16384)
        operation = config.get("operation")
        if not isinstance(operation, list | tuple) or not 1 <= len(operation) <= 128:
            raise BadArchitecture(f"operation: got {operation!r}, wanted a list of 1 to 128, one per block")
        for i, entry in enumerate(operation):
            check_choice({f"operation[{i}]": entry}, f"operation[{i}]", OPERATIONS)
        heads = check_list(config, "heads", len(operation), 1, hidden_size)
        for i, count in enumerate(heads):
            if hidden_size % count:
                wanted = f"a divisor of hidden_size = {hidden_size}"
                raise BadArchitecture(f"heads[{i}]: got {count}, wanted {wanted}")
        return {
            "hidden_size": hidden_size,
            "operation": tuple(operation),
            "heads": heads,
            "ffn_dim": check_list(config, "ffn_dim", len(operation), 1, 65536),
            "ffn_stack": check_list(config, "ffn_stack", len(operation), 1, 16),
        }

    def sample(self, rng: random.Random) -> dict[str, Any]:
        """A configuration of the published space, every field drawn uniformly."""
        n = rng.choice(self.N_BLOCKS)
        return self.check(
            {
                "hidden_size": rng.choice(self.HIDDEN_SIZE),
                "operation": [rng.choice(OPERATIONS) for _ in range(n)],
                "heads": [rng.choice(self.HEADS) for _ in range(n)],
                "ffn_dim": [rng.choice(self.FFN_DIM) for _ in range(n)],
                "ffn_stack": [rng.choice(self.FFN_STACK) for _ in range(n)],
            }
        )

    def count(self) -> int:
        """Size of the published space."""
        per_block = len(OPERATIONS) * len(self.HEADS) * len(self.FFN_DIM) * len(self.FFN_STACK)
        return len(self.HIDDEN_SIZE) * sum(per_block**n for n in self.N_BLOCKS)

    def architecture(self, id: str, config: Mapping[str, Any]) -> Architecture:
        """A checked architecture."""
        return Architecture.create(id, self.name, self.check(config))

    def shape(self, architecture: Architecture) -> tuple[int, int]:
        """(depth, width) of the description; the build `as_published` ignores the width."""
        return len(architecture.config["operation"]), architecture.config["hidden_size"]

    def numbers(self, architecture: Architecture) -> dict[str, float]:
        """Heads, and width and number of the feed-forward layers over the blocks; logarithms. Operations are none:
        what was trained has attention in every block."""
        c = architecture.config
        feeding = block_numbers("ffn_dim", c["ffn_dim"]) | block_numbers("ffn_stack", c["ffn_stack"])
        return block_numbers("heads", c["heads"], ends=False) | feeding

    def limits(self, architecture: Architecture) -> tuple[int, int]:
        """(longest sequence, size of the vocabulary)."""
        return POSITIONS, VOCABULARY

    def parameters(self, architecture: Architecture, build: str | None = None) -> ParameterCount:
        """Counts of a build; `as_published` totals equal the published `Number of Parameters` on all 500."""
        plans = self.plans(architecture.config, build)
        attention = sum(plan.mixing_parameters() for plan in plans)
        ffn = sum(plan.ffn_parameters() for plan in plans)
        decoder = attention + ffn + sum(plan.norm_parameters() for plan in plans)
        embedding = embedding_parameters(plans[0].width)
        return ParameterCount(attention, ffn, decoder, embedding, decoder + embedding)

    def multiply_adds(self, architecture: Architecture, length: int, build: str | None = None) -> int:
        """Multiply-adds of the blocks of a build; a Fourier transform is no matrix product and counts as none."""
        return sum(plan.multiply_adds(length) for plan in self.plans(architecture.config, build))

    def build(self, architecture: Architecture, init_seed: int, build: str | None = None) -> nn.Module:
        """An `Encoder` whose every weight comes from the architecture's own generator."""
        from models.spaces.flexibert.blocks import Encoder

        plans, projected_loss = self.plans(architecture.config, build), build != "as_published"
        return initialised(Encoder(plans, projected_loss), architecture.seed(init_seed))

    def plans(self, config: Mapping[str, Any], build: str | None = None) -> tuple[BlockPlan, ...]:
        """Plans of the blocks of a build; ValueError for an unknown build."""
        build = build or self.builds[0]
        if build not in self.builds:
            raise ValueError(f"build: got {build!r}, wanted one of {', '.join(self.builds)}")
        reading = _trained if build == "as_trained" else _published
        blocks = zip(*(config[key] for key in ("operation", "heads", "ffn_dim", "ffn_stack")), strict=True)
        return tuple(reading(i, config["hidden_size"], *block) for i, block in enumerate(blocks))


def _trained(i: int, D: int, operation: str, heads: int, ffn_dim: int, ffn_stack: int) -> BlockPlan:
    """Block i as the training code built it."""
    return BlockPlan(D, "SDP", heads, (4 * D, *[ffn_dim] * (ffn_stack - 1)))


def _published(i: int, D: int, operation: str, heads: int, ffn_dim: int, ffn_stack: int) -> BlockPlan:
    """Block i as the proxy code built it; a DSC block cuts its heads in two halves."""
    halves = operation.startswith("DSC")
    if PUBLISHED_WIDTH % heads or (halves and heads % 2):
        wanted = f"{'an even' if halves else 'a'} divisor of {PUBLISHED_WIDTH}"
        raise BadArchitecture(f"heads[{i}]: got {heads}, wanted {wanted}, the width of as_published networks")
    return BlockPlan(PUBLISHED_WIDTH, operation, heads, (PUBLISHED_FFN,) * ffn_stack)
