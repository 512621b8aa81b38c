"""Stand-alone modules: what they give in a process without this project, operator by operator, and with SymPy."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import sympy
import torch
import transformers

import cli
from gp.hall_file import load_hall
from primitives import AGGREGATION, BINARY, UNARY, Kind, Unary, parse, score
from primitives.budget import USUAL_T
from primitives.inputs import COUNTS
from primitives.proxy import BadProxy, Proxy
from report.portable import torch_module
from report.portable.emission import as_sympy_module, as_torch_module
from tests.robustness.portable import differences, ours, random_formulas, theirs

ROOT = Path(__file__).resolve().parent.parent
HALLS = sorted((ROOT / "proxies").glob("*.json"))
SOME = [name for name in UNARY if name != "prune"]
TEXTS = [
    *(f"sum[ {name}({letter}) ]" for name in SOME for letter in ("W", "J")),
    *(f"{name}[ to_std(G) ]" for name in AGGREGATION),
    *(f"falling[ abslog({name}) ]" for name in COUNTS),
    "sum( mean[ W ], log_depth[ log(params.attn) ] )",
    "difference( sum[ W ], 0.48*squared_log_depth[ block ] )",
    *(f"sum[ {name}( W.attn, exp(G.attn) ) ]" for name in BINARY),
    *(f"mean[ {name}( l1_norm(A), S ) ]" for name in BINARY),
    *(f"{name}( {name}( sum[ abs(H) ], last[ Q ] ), mean[ l1_norm(J) ] )" for name in BINARY),
    "sum( sum( product( T, sum[ to_std(W) ] ), mean[ l1_norm(G) ] ), product( T, 0.33*last[ to_std(J) ] ) )",
    "sum( sum[ product( W.attn, G.attn ) ], product( T, last[ to_std(J) ] ) )",
    "difference( sum( sum[ to_std(W) ], 0.33*last[ to_std(J) ] ), 2.1e+02*mean[ l1_norm(G) ] )",
]


def loaded(text: str, folder: Path) -> ModuleType:
    path = folder / "emitted.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location("emitted", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_modules_in_a_fresh_process_give_our_exact_scores(tmp_path: Path) -> None:
    formulas = [load_hall(path).proxies[0].proxy for path in HALLS]
    formulas += [parse(text) for text in TEXTS] + random_formulas(12)
    found, mine = theirs([as_torch_module(formula) for formula in formulas], tmp_path), ours(formulas)
    assert set(found) == {"gpt2", "llama", "bert"}
    for name in mine:
        for formula, difference in zip(formulas, differences(mine[name], found[name]), strict=True):
            assert difference <= 1e-6, (name, str(formula))


@pytest.mark.parametrize("name", AGGREGATION)
def test_blocks_weigh_in_a_module_what_they_weigh_here(name: str) -> None:
    blocks = [[1.0, 4.0], [2.0], [3.0, 5.0, 10.0]]
    join = sum if AGGREGATION[name].sums_tensors else lambda values: sum(values) / len(values)
    values = [float(join(own)) for own in blocks]
    found = getattr(torch_module, f"blocks_{name}")(blocks)
    assert found == pytest.approx(float(AGGREGATION[name].weights(3) @ values), rel=1e-12)


def test_a_module_holds_what_its_formula_needs_and_the_sign() -> None:
    text = as_torch_module(parse("falling[ frobenius_norm(normalize(H)) ]"), -1)
    assert "def normalize(" in text and "def softmax(" not in text and "def join_" not in text
    assert "\nSIGN = -1 " in text and "report" not in text and "def inputs_of(" in text


def test_a_decoder_without_its_head_is_refused(tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2Model

    model = GPT2Model(GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=300, n_positions=32))
    module = loaded(as_torch_module(parse("sum[ W ]")), tmp_path)
    with pytest.raises(ValueError, match="a decoder without its head"):
        module.score(model, torch.arange(16).reshape(2, 8))


def test_a_model_is_left_as_it_was(tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=300, **size)).train()
    model.lm_head.weight.requires_grad_(requires_grad=False)
    before = model.config._attn_implementation, {k: v.clone() for k, v in model.state_dict().items()}
    module = loaded(as_torch_module(parse("sum[ S ]")), tmp_path)
    assert module.score(model, {"input_ids": torch.arange(16).reshape(2, 8)}) == pytest.approx(1 / 8, rel=1e-5)
    assert model.training and not model.lm_head.weight.requires_grad and model.config._attn_implementation == before[0]
    assert all(torch.equal(v, before[1][k]) for k, v in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert all(p.grad is None for p in model.parameters())


SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "vocab_size": 300,
}
TOKENS = torch.arange(16).reshape(2, 8)


def tiny_llama() -> Any:
    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**SMALL))


def in_place(model: Any) -> Any:
    def refused(graph: object, given: object) -> Callable[..., Any]:
        raise RuntimeError("the model was called through what it was compiled to")

    model.compile(backend=refused)
    return model


WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "data parallel": torch.nn.DataParallel,
    "compiled": torch.compile,
    "compiled and parallel": lambda model: torch.nn.DataParallel(torch.compile(model)),
    "parallel and compiled": lambda model: torch.compile(torch.nn.DataParallel(model)),
    "compiled in place": in_place,
    "averaged": torch.optim.swa_utils.AveragedModel,
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_wrapped_model_has_the_score_of_the_model(wrapper: str, tmp_path: Path) -> None:
    module = loaded(as_torch_module(parse("mean[ sum( l1_norm(W), to_std(G) ) ]")), tmp_path)
    wrapped = WRAPPERS[wrapper](tiny_llama())
    before = [m._compiled_call_impl for m in wrapped.modules()]
    assert module.score(wrapped, TOKENS) == module.score(tiny_llama(), TOKENS)
    assert [m._compiled_call_impl for m in wrapped.modules()] == before
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in wrapped.modules())


def compiled_inside() -> Any:
    model = tiny_llama()
    model.model.layers[0] = torch.compile(model.model.layers[0])
    return model


def without_weights() -> Any:
    with torch.device("meta"):
        return tiny_llama()


VISION = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24,
          "image_size": 16, "patch_size": 8}  # fmt: skip
FOREIGN: dict[str, tuple[Callable[[], Any], str]] = {
    "a layer": (lambda: torch.nn.Linear(3, 3), "got Linear, wanted a model of Hugging Face's transformers"),
    "a wrapped layer": (lambda: torch.nn.DataParallel(torch.nn.Linear(3, 3)), "got Linear, wanted a model"),
    "torch's own": (lambda: torch.nn.TransformerEncoderLayer(16, 2), "got TransformerEncoderLayer, wanted a model"),
    "a name": (lambda: "gpt2", "got str, wanted a model"),
    "nothing": (lambda: None, "got NoneType, wanted a model"),
    "a configuration": (lambda: transformers.LlamaConfig(**SMALL), "got LlamaConfig, wanted a model"),
    "a compiled block": (compiled_inside, "got a model with compiled parts, wanted it as it was before torch.compile"),
    "no weights": (without_weights, "without layers or without weights"),
    "images": (lambda: transformers.ViTModel(transformers.ViTConfig(**VISION)), "got ViTModel, which cannot read the"),
    "two encoders": (lambda: transformers.CLIPModel(transformers.CLIPConfig(text_config=SMALL, vision_config=VISION)),
                     "got CLIPModel without layers"),
    "an encoder with a decoder": (lambda: transformers.T5ForConditionalGeneration(transformers.T5Config(
        d_model=16, d_kv=8, d_ff=24, num_layers=1, num_heads=2, vocab_size=300)), "an encoder with a decoder"),
    "no attention": (lambda: transformers.MambaForCausalLM(transformers.MambaConfig(
        hidden_size=16, num_hidden_layers=1, vocab_size=300)), "got 0 attention modules, wanted 1, one per layer"),
    "experts": (lambda: transformers.MixtralForCausalLM(transformers.MixtralConfig(
        num_key_value_heads=2, num_local_experts=2, **SMALL)), "got weights of no linear map that every token passes"),
}  # fmt: skip


@pytest.mark.parametrize("what", FOREIGN)
def test_a_foreign_model_is_a_value_error(what: str, tmp_path: Path) -> None:
    module, (make, message) = loaded(as_torch_module(parse("sum[ l1_norm(W) ]")), tmp_path), FOREIGN[what]
    with pytest.raises(ValueError, match=message):
        module.score(make(), TOKENS)


BATCHES = {
    "a list": TOKENS.tolist(), "one axis": TOKENS[0], "numbers": TOKENS.float(), "one token": TOKENS[:, :1],
    "no token": TOKENS[:, :0], "another mapping": {"tokens": TOKENS}, "beyond the vocabulary": TOKENS + 1000,
    "below zero": TOKENS - 50,
}  # fmt: skip


@pytest.mark.parametrize("what", BATCHES)
def test_a_batch_that_is_none_is_a_value_error(what: str, tmp_path: Path) -> None:
    module = loaded(as_torch_module(parse("sum[ l1_norm(W) ]")), tmp_path)
    wanted = "which cannot read the tokens" if what in ("beyond the vocabulary", "below zero") else "wanted token ids"
    with pytest.raises(ValueError, match=wanted):
        module.score(tiny_llama(), BATCHES[what])


@pytest.mark.parametrize("text", [t for t in TEXTS if "Q" not in t and "A)" not in t])
def test_the_sympy_of_a_formula_lambdified_is_our_score(text: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    shapes = {"W": (2, 3), "G": (2, 3), "W.attn": (2, 3), "G.attn": (2, 3), "J": (3, 2), "H": (3, 2), "S": (2, 2, 2)}
    numbers = [{n: (torch.randn(s, dtype=torch.float64),) for n, s in shapes.items() if n in text} for _ in range(2)]
    numbers = [{n: (x.abs() if n == "S" else x,) for n, (x,) in block.items()} for block in numbers]
    assert lambdified(text, numbers, tmp_path) == pytest.approx(float(score(parse(text), numbers)), rel=2e-5)


def lambdified(text: str, numbers: list[dict], folder: Path) -> float:
    """A formula on symbols, and then on the numbers."""
    module = loaded(as_sympy_module(parse(text)), folder)
    blocks, values = [], {}
    for place, block in enumerate(numbers):
        symbols = {}
        for name, (x,) in block.items():
            heads = x if x.dim() == 3 else x[None]
            symbols[name] = [module.symbolic(f"{name.replace('.', '')}{place}", *x.shape[-2:], heads=len(heads))]
            entries = itertools.chain.from_iterable(symbols[name][0])
            values |= dict(zip(entries, heads.flatten().tolist(), strict=True))
        blocks.append(symbols)
    budget = [float(USUAL_T)] if parse(text).reads_budget else []
    return float(sympy.lambdify(list(values), module.formula(blocks, *budget))(*values.values()))


@pytest.mark.parametrize("emit", [as_torch_module, as_sympy_module])
def test_an_operator_of_your_own_is_refused_by_name(emit, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = Unary("cubed", Kind.ENTRY, UNARY["exp"].sign, "x^3", lambda x, frame: x**3)
    monkeypatch.setitem(UNARY, "cubed", mine)
    with pytest.raises(BadProxy, match="got cubed, an operator of your own"):
        emit(Proxy("sum", parse("sum[ cubed(W) ]").left))


@pytest.mark.parametrize("form", ["torch", "sympy"])
def test_show_prints_the_module_of_a_place(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = ROOT / "proxies" / "gpt2-mini.json"
    assert cli.main(["show", str(path), "--format", form, "--place", "2"]) == 0
    second = load_hall(path).proxies[1].formula
    emit = as_torch_module if form == "torch" else as_sympy_module
    assert capsys.readouterr().out == emit(second.proxy, second.sign)
    assert cli.main(["show", str(path), "--format", form, "--place", "99"]) == 2
    assert "--place: got 99, wanted at most 10" in capsys.readouterr().err
