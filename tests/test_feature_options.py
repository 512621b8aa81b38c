"""Feature options: the workshop that they open, what a file records of them, and those of a run behind a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from click.testing import CliRunner

from commands import feature_options
from commands.feature_options import (
    WHERE,
    FeatureOptions,
    _flags,
    _recorded_features,
    _recorded_price,
    _recorded_weights,
    _unsaid,
    other_features,
)
from fitness.features.bank import FeatureKey
from fitness.features.workshop import Workshop
from gp.hall_file import BadHall
from models.benchmarks.origins import embedded_path

CASE: Any = SimpleNamespace(space="gpt2", build="as_trained", feature_key="k")


def shop(weights: str | None = None, unit: str = "tokens", digest: str = "", price: str = "") -> Any:
    key = SimpleNamespace(weights=digest, price=price)
    return SimpleNamespace(weights=weights, batch=SimpleNamespace(unit=unit), bank=SimpleNamespace(key=key))


@pytest.mark.parametrize(
    ("space", "build", "init", "opened"),
    [("hf", "b", "own", "own"), ("hf", "b", None, "b"), ("gpt2", "b", "own", "b"), ("gpt2", None, None, None)],
)
def test_a_workshop_has_the_settings_of_the_options(
    space: str, build: str | None, init: str | None, opened: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(Workshop, "open", lambda space, **given: asked.append((space, given)) or shop())
    options = FeatureOptions(build, 5, 6, Path("text"), 7, "cpu", True, bank=Path("b"), stream=False, init=init)
    options.open(space)
    assert asked == [(space, {
        "build": opened, "batch": 5, "length": 6, "corpus": Path("text"), "init_seed": 7, "devices": "cpu",
        "mix_devices": True, "cluster": None, "bank": Path("b"), "weights": None, "stream": False, "price": "own",
    })]  # fmt: skip


BYTES = ("folder: has no tokenizer.json, so its networks see bytes as token ids, on which none was trained; copy the "
         "tokenizer into the folder")  # fmt: skip


@pytest.mark.parametrize(
    ("found", "trained", "said"),
    [
        (shop(), None, ""), (shop("w"), None, ""), (shop(None, "bytes"), None, ""), (shop("w", "bytes"), None, BYTES),
        (shop("w", digest="ab" * 32), "ab" * 32, ""), (shop(), "", ""),
        (shop("w", digest="ab" * 32), "cd" * 32,
         "--weights: abababababab here, cdcdcdcdcdcd in the run, so these are other features"),
        (shop(), "cd" * 32, "--weights: none here, cdcdcdcdcdcd in the run, so these are other features"),
        (shop("w", digest="ab" * 32), "", "--weights: abababababab here, none in the run, so these are other features"),
    ],
)  # fmt: skip
def test_a_workshop_whose_weights_are_others_is_told(
    found: Any, trained: str | None, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Workshop, "open", lambda space, **given: found)
    assert FeatureOptions(weights=Path("folder"), trained=trained).open("llama") is found
    assert capsys.readouterr().err == (f"{said}\n" if said else "")


def test_the_workshop_of_a_benchmark_is_of_its_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[Any] = []
    monkeypatch.setattr(FeatureOptions, "open", lambda self, space: (space, self.weights))
    monkeypatch.setattr("fitness.features.soundness.check_checkpoint", lambda *given: checked.append(given))
    plain, cut = (SimpleNamespace(space="llama", name="llama-cut", header=h) for h in ({}, {"checkpoint": "0"}))
    wanted = ((plain, None, None), (cut, None, embedded_path("llama-cut").with_suffix("")), (cut, Path("a"), Path("a")))
    for data, given, taken in wanted:
        assert FeatureOptions(weights=given).open_for(data) == ("llama", taken)  # type: ignore[arg-type, comparison-overlap]
    assert checked == [(data, ("llama", taken)) for data, _, taken in wanted]


def test_what_names_the_features_is_recorded() -> None:
    plain = {"batch": 4, "seq_len": 64, "init_seed": 0, "build": None, "corpus": None}
    assert FeatureOptions().recorded(shop()) == plain
    assert FeatureOptions("b", 1, 2, Path("/x/../y"), 3).recorded(shop(digest="d", price="whole")) == {
        "batch": 1, "seq_len": 2, "init_seed": 3, "build": "b", "corpus": str(Path("/y")), "weights": "d", "price": "whole",
    }  # fmt: skip
    assert WHERE == ("devices", "mix_devices", "engine", "scheduler", "bank", "weights")


@pytest.fixture
def given() -> Iterator[Any]:
    """A running command; what the user gave is named to it."""
    with click.Context(click.Command("rank")) as context:
        yield lambda *names: [
            context.set_parameter_source(name, click.core.ParameterSource.COMMANDLINE) for name in names
        ]


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is checked to be the same features."""
    asked: list[Any] = []
    monkeypatch.setattr(
        FeatureOptions, "_check_same", lambda self, recorded, case: asked.append((self, recorded, case))
    )
    return asked


def test_options_that_the_user_left_out_are_those_of_the_run(
    given: Any, refused: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    found = FeatureOptions().of_run({"batch": 8, "seq_len": 64, "init_seed": 3, "weights": "ab"}, CASE)
    assert found == FeatureOptions(batch=8, init_seed=3, trained="ab") and not refused
    assert capsys.readouterr().err == "features as in the run: --batch 8 --init-seed 3\n"
    given("batch")
    assert FeatureOptions(batch=8).of_run({"batch": 8}, CASE) == FeatureOptions(batch=8)
    assert not refused and capsys.readouterr().err == ""


@pytest.mark.parametrize(("case", "binding"), [(CASE, True), (CASE, False), (None, True)])
def test_options_of_the_user_that_are_others_are_checked_or_told(
    case: Any, binding: bool, given: Any, refused: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    given("batch", "init_seed")
    options = FeatureOptions(batch=5, init_seed=3)
    found = options.of_run({"batch": 8, "init_seed": 4, "seq_len": 32}, case, **({} if binding else {"binding": False}))
    taken = replace(options, seq_len=32)
    assert found == taken
    lines = capsys.readouterr().err.splitlines()
    if case is not None and binding:
        assert refused == [(taken, {"batch": 8, "init_seed": 4}, CASE)]
        assert lines == ["features as in the run: --seq-len 32"]
    else:
        other = "in the run, so these are other features"
        assert lines == [
            f"--batch: 5 here, 8 {other}",
            f"--init-seed: 3 here, 4 {other}",
            "features as in the run: --seq-len 32",
        ]
        assert not refused


def test_what_a_run_does_not_mention_is_its_default(given: Any, refused: list[Any]) -> None:
    given("corpus", "build", "init")
    options = FeatureOptions(build="b", corpus=Path("t"), init="i")
    options.of_run({}, CASE)
    hf: Any = SimpleNamespace(space="hf", build="own", feature_key="k")
    options.of_run({}, hf)
    assert [recorded for _, recorded, _ in refused] == [
        {"corpus": None, "build": "as_trained"}, {"corpus": None, "build": "own", "init": "own"},
    ]  # fmt: skip
    assert _unsaid(None) == {"corpus": None} and _unsaid(CASE) == {"corpus": None, "build": "as_trained"}


def test_another_price_than_that_of_the_run_is_refused(given: Any) -> None:
    given("price")
    said = "^--price: got whole, wanted own, by whose features the formulas were evolved; leave it out$"
    with pytest.raises(click.UsageError, match=said):
        FeatureOptions(price="whole").of_run({}, CASE)
    assert FeatureOptions(price="whole").of_run({}, None).price == "whole"
    assert FeatureOptions(price="whole").of_run({"price": "whole"}, CASE).price == "whole"


def test_the_features_that_a_file_records_are_checked() -> None:
    config = {"batch": 1, "seq_len": 2, "init_seed": 3, "corpus": "t" * 4096, "build": "as_drawn", "price": "whole"}
    found = {"batch": 1, "seq_len": 2, "init_seed": 3, "corpus": Path("t" * 4096)}
    assert _recorded_features(config, CASE) == {**found, "price": "whole", "build": "as_trained"}
    assert _recorded_features(config, None) == found and _recorded_features({"corpus": None, "build": None}, None) == {}
    without: Any = SimpleNamespace(build=None)
    assert (
        _recorded_features({"build": "as_drawn"}, without)
        == {"price": "own"}
        == _recorded_features({"build": None}, CASE)
    )
    with pytest.raises(
        BadHall, match="^hall of fame: config: corpus: got 't.*, wanted a text of at most 4,096 printable"
    ):
        _recorded_features({"corpus": "t" * 4097}, None)
    with pytest.raises(BadHall, match="^hall of fame: config: price: got 'x', wanted one of own, whole$"):
        _recorded_price({"price": "x"})
    assert (_recorded_price({}), _recorded_price({"price": "whole"})) == ("own", "whole")
    assert _recorded_weights({"weights": "a" * 64}, CASE) == "a" * 64
    assert _recorded_weights({"weights": "a" * 64}, None) is None is _recorded_weights({}, CASE)
    with pytest.raises(BadHall, match="weights: got .*, wanted a text of at most 64 printable"):
        _recorded_weights({"weights": "a" * 65}, CASE)


def test_features_are_others_where_no_device_makes_them() -> None:
    key = FeatureKey.create("gpt2", "t")
    workshop: Any = SimpleNamespace(bank=SimpleNamespace(key=key))

    def said(digest: str) -> str:
        return other_features(SimpleNamespace(feature_key=digest), workshop)  # type: ignore[arg-type]

    assert said(key.digest) == said(replace(key, device="cuda").digest) == other_features(None, workshop) == ""
    assert said("ab" * 32) == f"with the features abababababab, got {key.digest[:12]}"
    assert _flags({"seq_len": 3, "corpus": None}) == "--seq-len 3 no --corpus"
    assert feature_options.CONNECTION == "zcp.cluster"


def test_features_have_the_same_defaults_and_ranges_in_every_command() -> None:
    @click.command()
    @feature_options.feature_options
    def show(features: FeatureOptions) -> None:
        click.echo(" ".join(map(str, (features.batch, features.seq_len, features.init_seed, features.bank))))

    def answer(*arguments: str) -> tuple[int, str]:
        found = CliRunner().invoke(show, arguments)
        return found.exit_code, found.output.strip()

    assert answer() == (0, "4 64 0 .cache/bank")
    assert answer("--batch", "4096", "--seq-len", "2", "--init-seed", str(2**63 - 2))[0] == 0
    assert answer("--batch", "1", "--seq-len", "4096")[0] == 0
    for bad in (("--batch", "0"), ("--batch", "4097"), ("--seq-len", "1"), ("--seq-len", "4097"),
                ("--init-seed", "-1"), ("--init-seed", str(2**63 - 1)), ("--engine", "ray")):  # fmt: skip
        assert answer(*bad)[0] == 2
