"""Initial weights of Hugging Face networks: one standard deviation by default, and the configuration's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from test_hf_fields import LLAMA, SPACE, made, score_of

import cli
from bench.science.families import tiny
from fitness.features.bank import FeatureKey


def test_by_default_scores_do_not_depend_on_the_initialiser() -> None:
    usual, wide = made(LLAMA), made(LLAMA, initializer_range=0.0417)
    assert usual != wide and score_of(usual) == score_of(wide)
    assert score_of(usual, "own") < 0.5 * score_of(wide, "own")


@pytest.mark.parametrize("family", ["gpt2", "opt", "bert", "gemma3_text", "falcon", "minicpm3"])
def test_every_matrix_has_one_standard_deviation(family: str) -> None:
    chosen = SPACE.architecture(family, tiny(family))
    model: Any = SPACE.build(chosen, 0)
    blocks = [parameter for block in model.taps() for parameter in (tap.parameter for tap in block.weights)]
    assert all(abs(float(parameter.std()) / 0.02 - 1) < 0.1 for parameter in blocks)
    again: Any = SPACE.build(chosen, 0)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_the_bank_tells_the_initialisers_apart() -> None:
    assert SPACE.builds == ("common", "own")
    assert FeatureKey.create("hf", "t").digest == FeatureKey.create("hf", "t", build="common").digest
    assert FeatureKey.create("hf", "t").digest != FeatureKey.create("hf", "t", build="own").digest


def test_rank_says_how_weights_are_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, config in (("usual", LLAMA), ("wide", LLAMA | {"initializer_range": 0.0417, "my_note": 3})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(config))
    asked = ["rank", str(tmp_path), "--proxy", "sum[ frobenius_norm(W) ]", "--batch", "1", "--seq-len", "8",
             "--format", "json", "--bank", str(tmp_path / "bank"), "--devices", "cpu"]  # fmt: skip
    scores = {}
    for init in ("common", "own"):
        assert cli.main([*asked, "--init", init]) == 0
        out, err = capsys.readouterr()
        rows = {row["id"]: row["score"] for row in json.loads(out)["rows"]}
        scores[init] = rows["wide"] / rows["usual"]
        assert err.count("llama: my_note is no field of this family and is ignored") == 1
        said = "as each configuration says" if init == "own" else "the standard deviation 0.02"
        assert sum(said in line and line.startswith("space hf:") for line in err.splitlines()) == 1
    assert scores["common"] == 1.0 and 1.9 < scores["own"] < 2.2
    assert cli.main(asked) == 0 and "the standard deviation 0.02" in capsys.readouterr().err
