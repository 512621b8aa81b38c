"""rank --modules: plain PyTorch networks of a file, ranked by a formula."""

from __future__ import annotations

import json
import math
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import cli
from storage import plugins

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "nano_gpt.py"
FORMULA = "sum[ product( frobenius_norm(W.attn), sqrt(frobenius_norm(G.ffn)) ) ]"


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(plugins, "_LOADED", [])
    yield
    for name in ("zcp_plugin_nano_gpt", "zcp_plugin_mine"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(("form", "top"), [("json", 3), ("jsonl", 2), ("csv", 3), ("table", 3)])
def test_the_command_ranks_as_the_example_does(form: str, top: int, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = [(name.strip("()").replace(", ", "-"), score) for name, score in runpy.run_path(str(EXAMPLE))["main"]()]
    capsys.readouterr()
    words = ["rank", "--modules", str(EXAMPLE), "--proxy", FORMULA, "--format", form, "--top", str(top)]
    assert cli.main(words) == 0
    shown = capsys.readouterr().out
    if form == "json":
        assert [(row["id"], row["score"]) for row in json.loads(shown)["rows"]] == wanted
        assert all("reason" not in row and row["params"] > 0 for row in json.loads(shown)["rows"])
    elif form == "jsonl":
        assert [json.loads(line)["id"] for line in shown.splitlines()] == [name for name, _ in wanted[:2]]
    elif form == "csv":
        assert [(row.split(",")[1], float(row.split(",")[2])) for row in shown.splitlines()[1:]] == wanted
    else:
        assert [line.split()[1] for line in shown.splitlines()[-3:]] == [name for name, _ in wanted]


@pytest.mark.parametrize("tokens", ["2x", "2B"])
def test_the_training_budget_is_per_parameter_of_the_blocks(tokens: str, capsys: pytest.CaptureFixture[str]) -> None:
    example, found = runpy.run_path(str(EXAMPLE)), {}
    words = ["rank", "--modules", str(EXAMPLE), "--format", "jsonl", "--tokens", tokens]
    for text in ("product( T, sum[ block ] )", "sum[ block ]"):
        assert cli.main([*words, "--proxy", text]) == 0
        shown = capsys.readouterr()
        found[text] = {row["id"]: row["score"] for row in map(json.loads, shown.out.splitlines())}
        assert ("training budget: 2" in shown.err) is ("T" in text) and "weights were drawn" not in shown.err
    for name, network in example["NETWORKS"].items():
        blocks = sum(p.numel() for p in network().transformer.h.parameters())
        T = math.log2(2 if tokens == "2x" else 2e9 / blocks)
        with_budget, depth = (scores[name] for scores in found.values())
        assert with_budget == pytest.approx(T * depth, rel=1e-4)


@pytest.mark.parametrize(
    ("text", "more", "said"),
    [
        ("NETWORKS = {}", (), "wanted NETWORKS = {'name': a module or a function that makes one, ...}"),
        ("NETWORKS = {'a': 3}", (), "wanted NETWORKS"),
        ("X = 1", (), "wanted NETWORKS"),
        ("X = 1", ("--max-params", "3M"), "got --max-params as well, which it does not read"),
        ("X = 1", ("others.jsonl",), "got paths as well, which it does not read"),
        ("X = 1", ("--hall", "proxies/gpt2-mini.json", "--committee", "2"), "no committee or predictor"),
    ],
)
def test_what_cannot_be_ranked_is_one_line(
    text: str, more: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(text)
    assert cli.main(["rank", "--modules", str(tmp_path / "mine.py"), *more]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and said in error


BAD = """
import runpy, torch
example = runpy.run_path(EXAMPLE)

def loud():
    network = example["drawn"](2, 32, 2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1e30)
    return network

class Broken(example["NanoGPT"]):
    def forward(self, tokens):
        raise RuntimeError("no such\\nshape")

BAD = {"loud": loud, "broken": lambda: Broken(2, 32, 2), "nothing": lambda: None, "flat": torch.nn.Identity()}
"""
REASONS = {
    "loud": "NaN or infinities",
    "broken": "RuntimeError: no such shape",
    "nothing": "got NoneType, wanted a torch.nn.Module",
    "flat": "got transformer.h, wanted a module of Identity",
}


@pytest.mark.parametrize("name", REASONS)
def test_a_network_without_a_score_stands_last_with_the_reason(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = BAD.replace("EXAMPLE", repr(str(EXAMPLE)))
    path = tmp_path / "mine.py"
    path.write_text(text + f"NETWORKS = {{{name!r}: BAD[{name!r}], 'good': lambda: example['drawn'](2, 32, 2)}}")
    words = ["rank", "--modules", str(path), "--proxy", FORMULA]
    assert cli.main([*words, "--format", "json"]) == 0
    good, bad = json.loads(capsys.readouterr().out)["rows"]
    assert (good["id"], good["place"], good["reason"]) == ("good", 1, None) and good["score"] > 0
    assert (bad["id"], bad["place"], bad["score"]) == (name, None, None) and REASONS[name] in bad["reason"]
    assert cli.main(words) == 0
    assert name in capsys.readouterr().out


def test_where_no_network_has_a_score_the_command_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text("NETWORKS = {'a': lambda: 3, 'b': lambda: 1 / 0}")
    assert cli.main(["rank", "--modules", str(tmp_path / "mine.py"), "--proxy", FORMULA]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == "error: none of 2 networks could be ranked; a: got int, wanted a torch.nn.Module"
