"""RunSettings: out to config.json and back, older forms, refusals, and what a run is compared with."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest

from gp.config import SearchConfig
from gp.runs.settings import BadRun, RunCase, RunSettings, on_invalid_option

FIRST = RunCase("gpt2-mini", "loss", "d" * 64, "e" * 64)
SECOND = RunCase("llama-mini", "loss", "f" * 64, "a" * 64)
PLAIN = RunSettings((FIRST, SECOND), SearchConfig())
FULL = RunSettings(
    (FIRST,), SearchConfig(iterations=7), 30, 3, 2, 32, "text.txt", "as_trained", "drop", "cuda", "c" * 64, "whole",
    ("--seed", "1", "--on-invalid", "drop"),
)  # fmt: skip
OPTIONAL = {"device": "cpu", "weights": None, "price": None}


@pytest.mark.parametrize("settings", [PLAIN, FULL], ids=["plain", "full"])
def test_settings_come_back_as_they_were(settings: RunSettings) -> None:
    data = settings.to_dict()
    assert RunSettings.from_dict(data) == settings
    assert {name: data.get(name, usual) for name, usual in OPTIONAL.items()} == {
        n: getattr(settings, n) for n in OPTIONAL
    }
    assert all(name not in data for name, usual in OPTIONAL.items() if getattr(settings, name) == usual)
    assert settings.recorded() == {name: value for name, value in data.items() if name != "cases"}
    assert (PLAIN.search_size, PLAIN.init_seed, PLAIN.batch, PLAIN.seq_len, PLAIN.on_invalid) == (50, 0, 4, 64, "fail")


def test_a_path_is_kept_from_the_root_and_a_name_as_it_is() -> None:
    assert RunCase("own/mine.jsonl", "loss", "", "").benchmark == os.path.abspath("own/mine.jsonl")
    assert FIRST.benchmark == "gpt2-mini"


def changed(**fields: Any) -> dict[str, Any]:
    return {**FULL.to_dict(), **fields}


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no case": (changed(cases=[]), r"cases: .*wanted at least one benchmark; restore the file or start a new run"),
    "101 cases": (changed(cases=FULL.to_dict()["cases"] * 101), "cases"),
    "a case with more": (changed(cases=[{**vars(FIRST), "more": 1}]), "more"),
    "a case with less": (changed(cases=[{"benchmark": "gpt2-mini"}]), "metric"),
    "a digest that is no text": (changed(cases=[{**vars(FIRST), "digest": 3}]), "digest"),
    "another rule": (changed(on_invalid="ignore"), "on_invalid: .*wanted one of fail, drop"),
    "a search that cannot be": (
        changed(search={**FULL.to_dict()["search"], "iterations": -1}),
        r"search: .*; restore the file",
    ),
    "a field that is unknown": (changed(more=1), "more"),
    "a device of 17 letters": (changed(device="c" * 17), "device"),
    "weights of 65": (changed(weights="c" * 65), "weights"),
    "a price that is a number": (changed(price=3), "price"),
    "a build that is a number": (changed(build=3), "build"),
    "a corpus that is a list": (changed(corpus=[]), "corpus"),
    "options that are one text": (changed(options="--seed 1"), "options"),
    "1001 options": (changed(options=["x"] * 1001), "options"),
    "an option that is a number": (changed(options=[1]), "options"),
    "no networks": (changed(search_size=0), "search_size"),
    "too many networks": (changed(search_size=10**6 + 1), "search_size"),
    "a seed below nothing": (changed(init_seed=-1), "init_seed"),
    "a seed beyond all": (changed(init_seed=2**63 - 1), "init_seed"),
    "no sequence": (changed(batch=0), "batch"),
    "too many sequences": (changed(batch=4097), "batch"),
    "a sequence of one token": (changed(seq_len=1), "seq_len"),
    "too long a sequence": (changed(seq_len=4097), "seq_len"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_a_run_could_not_have_written_is_refused_by_field(case: str) -> None:
    data, message = BAD[case]
    with pytest.raises(BadRun, match=message) as caught:
        RunSettings.from_dict(data)
    assert str(caught.value).startswith("config.json")


@pytest.mark.parametrize(
    "fields",
    [{"search_size": 10**6}, {"init_seed": 2**63 - 2}, {"batch": 4096, "seq_len": 2}, {"batch": 1, "seq_len": 4096}],
)
def test_the_ends_of_the_ranges_are_in_them(fields: dict[str, int]) -> None:
    assert RunSettings.from_dict(changed(**fields)).to_dict() == changed(**fields)
    assert len(RunSettings.from_dict(changed(cases=FULL.to_dict()["cases"] * 100)).cases) == 100
    assert len(RunSettings.from_dict(changed(options=["x"] * 1000)).options or ()) == 1000


def test_settings_that_could_not_be_read_back_are_not_made() -> None:
    with pytest.raises(BadRun, match="batch"):
        RunSettings((FIRST,), SearchConfig(), batch=0)


@pytest.mark.parametrize("others", [None, [], [vars(SECOND)]])
def test_the_older_form_with_one_benchmark_and_others_is_read(others: list[dict[str, Any]] | None) -> None:
    data = PLAIN.to_dict()
    del data["cases"], data["options"]
    data |= {
        "benchmark": FIRST.benchmark,
        "metric": FIRST.metric,
        "benchmark_digest": FIRST.digest,
        "tokens": FIRST.tokens,
    }
    data |= {} if others is None else {"others": others}
    found = RunSettings.from_dict(data)
    assert found.cases == ((FIRST, SECOND) if others else (FIRST,)) and found.options is None
    assert RunSettings.from_dict(found.to_dict()) == found
    with pytest.raises(BadRun, match="others"):
        RunSettings.from_dict({**data, "others": [vars(SECOND)] * 101})


def test_the_rule_for_networks_that_overflow_is_the_last_option() -> None:
    assert on_invalid_option("fail") == () and on_invalid_option("drop") == ("--on-invalid", "drop")
    told = FULL.with_on_invalid("fail")
    assert told.on_invalid == "fail" and told.options == ("--seed", "1")
    assert told.with_on_invalid("drop") == FULL == FULL.with_on_invalid("drop")
    old = RunSettings((FIRST,), SearchConfig(), options=None)
    assert old.with_on_invalid("drop").options is None and old.with_on_invalid("drop").on_invalid == "drop"


def case(**changes: str) -> Any:
    key = {"device": "cpu", "weights": "", "price": ""} | {
        k: v for k, v in changes.items() if k in ("device", "weights", "price")
    }
    bank, batch = (
        SimpleNamespace(key=SimpleNamespace(**key)),
        SimpleNamespace(digest=changes.get("tokens", FIRST.tokens)),
    )
    benchmark = SimpleNamespace(name="gpt2-mini", digest=changes.get("digest", FIRST.digest))
    return SimpleNamespace(benchmark=benchmark, workshop=SimpleNamespace(bank=bank, batch=batch))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"digest": "0" * 64}, "gpt2-mini: its content changed since the run began"),
        ({"tokens": "0" * 64}, "the built-in passage: the text changed since the run began"),
        ({"device": "cuda"}, "devices: got cuda, wanted cpu, with which the run began"),
        ({"weights": "b" * 64}, f"--weights: got {'b' * 12}, wanted none, with which"),
        ({"price": "whole"}, "--price: got whole, wanted own, with which"),
    ],
)
def test_a_run_goes_on_with_what_it_began_with(changes: dict[str, str], message: str) -> None:
    PLAIN.check(case(), FIRST)
    with pytest.raises(BadRun, match=message):
        PLAIN.check(case(**changes), FIRST)


def test_what_the_run_had_is_named_where_it_is_missing() -> None:
    began = {"device": "cuda", "weights": "c" * 64, "price": "whole"}
    FULL.check(case(**began), FIRST)
    for field, message in (
        ("weights", f"--weights: got none, wanted {'c' * 12}, "), ("price", "--price: got own, wanted whole"),
    ):  # fmt: skip
        with pytest.raises(BadRun, match=message):
            FULL.check(case(**{**began, field: ""}), FIRST)
    with pytest.raises(BadRun, match=r"text.txt: the text changed"):
        FULL.check(case(**began, tokens="0"), FIRST)
