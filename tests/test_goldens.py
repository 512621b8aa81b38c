"""Golden scores: what an extraction gives, exact and by sketch, of every input on three tiny networks per build.

They pin the initialisation, the networks, the taps, the loss and the sketch: what a test of one part cannot see. After
a change that is meant (and has raised a version), make them anew: PYTHONPATH=.:tests python tests/test_goldens.py
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest

from fitness.features.bank import sketch_features
from fitness.features.collect import collect
from fitness.tables.branches import BranchTable
from models.spaces import SPACES
from models.tokens import TokenBatch
from primitives.grammar import parse
from primitives.inputs import INPUTS
from primitives.scoring import Scorer

FILE = Path(__file__).with_name("goldens.json")
GPT2 = {"d_embed": 16, "div_val": 1, "n_token": 300, "tgt_len": 64, "cutoffs": []}
TWO = {"hidden_size": 32, "heads": [2, 4], "ffn_dim": [24, 40], "ffn_stack": [1, 3]}
NETWORKS = {
    "gpt2": (
        GPT2 | {"n_layer": 1, "d_model": 16, "n_head": [2], "d_inner": [40]},
        GPT2 | {"n_layer": 3, "d_model": 24, "n_head": [4, 2, 3], "d_inner": [30, 60, 90]},
        GPT2 | {"n_layer": 2, "d_model": 32, "n_head": [2, 4], "d_inner": [70, 20], "div_val": 2, "cutoffs": [100, 200]},
    ),
    "flexibert": (
        TWO | {"operation": ["SDP", "DSC9"]},
        TWO | {"operation": ["WMA", "DFT"], "ffn_stack": [2, 1]},
        TWO | {"operation": ["DCT", "DSC5"], "hidden_size": 128},
    ),
}  # fmt: skip
BUILDS = [(name, build) for name in NETWORKS for build in SPACES[name].builds]
JOINS = ("sum[ product( abs(W), abs(G) ) ]", "mean[ matmul( pow2(H), abs(J) ) ]", "rising[ sum( exp(A), to_std(W) ) ]")


PATTERNS = (
    "sum[ l1_norm({}) ]", "mean[ to_std({}) ]", "falling[ frobenius_norm({}) ]", "last[ logsoftmax({}) ]",
    "first[ to_std(min_max({})) ]", "sum[ to_std(softmax({})) ]",
)  # fmt: skip


def texts(build: str) -> list[str]:
    """Formulas that together see every entry, the extremes, the lines and the sizes of each input."""
    every = [p.format(name) for name in INPUTS for p in PATTERNS] + list(JOINS)
    # In as_published networks the gradient is 0 in exact arithmetic: J and G are rounding, of this machine alone.
    return [t for t in every if build != "as_published" or not {"J", "G"} & {b.input[0] for b in parse(t).branches}]


@cache
def measure(space: str, build: str) -> dict[str, dict[str, list[float]]]:
    """Losses, exact scores and scores of sketches of the three networks, by formula."""
    found, batch = SPACES[space], TokenBatch.from_passage(2, 24)
    built = [found.build(found.architecture(str(i), config), 3, build) for i, config in enumerate(NETWORKS[space])]
    features = [collect(model, batch) for model in built]
    table = BranchTable([sketch_features(f) for f in features])
    scorers = [Scorer(f.blocks) for f in features]
    exact = {text: [float(scorer.score(parse(text))) for scorer in scorers] for text in texts(build)}
    close = {text: table.score(parse(text)).tolist() for text in texts(build)}
    return {"loss": {"loss": [f.loss for f in features]}, "exact": exact, "sketch": close}


@pytest.mark.parametrize("kind", ["loss", "exact", "sketch"])
@pytest.mark.parametrize(("space", "build"), BUILDS)
def test_an_extraction_gives_the_golden_scores(space: str, build: str, kind: str) -> None:
    wanted = json.loads(FILE.read_text())[f"{space} {build}"][kind]
    found = measure(space, build)[kind]
    assert set(found) == set(wanted), "other formulas than those of the file; make the goldens anew"
    # The loss of as_published networks is 0 in exact arithmetic as well (docs/flexibert.md).
    least = 1e-3 if (build, kind) == ("as_published", "loss") else 1e-12
    wrong = [text for text in found if found[text] != pytest.approx(wanted[text], rel=1e-5, abs=least)]
    assert not wrong, [(text, found[text], wanted[text]) for text in wrong[:3]]


if __name__ == "__main__":
    goldens = {f"{space} {build}": measure(space, build) for space, build in BUILDS}
    FILE.write_text(json.dumps(goldens, indent=1) + "\n")
