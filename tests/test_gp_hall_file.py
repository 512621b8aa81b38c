import copy
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitness.evaluation import Evaluation
from gp.hall_file import (
    BadHall,
    Baseline,
    BenchmarkRef,
    HallCase,
    HallDocument,
    HallProxy,
    Measured,
    SplitIds,
    load_hall,
    save_hall,
)
from primitives.grammar import parse

FIGURES = {"n": 3, "spearman": 0.9, "kendall": None, "ci95_spearman": [0.8, 0.95]}
PUBLISHED = parse("mean[ sum( l1_norm(pow2(W)), pow2(softmax(G)) ) ]")
MEASURED = (Measured(FIGURES, FIGURES, FIGURES, 0.99), Measured(), Measured(fidelity={"spearman": 0.99}))
FORMULAS = (
    Evaluation(PUBLISHED, 0.97, -1, found_at=12),
    Evaluation(parse("product( sum[ relu(A) ], mean[ frobenius_norm(G) ] )"), 0.9, 1, found_at=700),
    Evaluation(parse("mean[ exp(abs(J)) ]"), 0.8, 1, found_at=3),
)
CASE = HallCase(
    place="gpt2-wt103",
    space="gpt2",
    build=None,
    benchmark=BenchmarkRef("gpt2-wt103", "ab" * 32, "valid perplexity", False),
    split=SplitIds(("a", "b", "c"), ("d", "e")),
    feature_key="cd" * 32,
    figures=MEASURED,
    baselines=(Baseline("#params", FIGURES, FIGURES, FIGURES), Baseline("depth")),
)
DOCUMENT = HallDocument(
    seed=42,
    config={"search": {"population": 80}, "corpus": None},
    cases=(CASE,),
    proxies=tuple(HallProxy.of(formula, [found]) for formula, found in zip(FORMULAS, MEASURED, strict=True)),
    evaluations=1080,
    rejections={"twin": 3, "seen": 1},
)
DATA = json.loads(json.dumps(DOCUMENT.to_dict()))


def changed(path, value):
    data = copy.deepcopy(DATA)
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return data


def write(folder, data):
    path = folder / "hall.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def refusal(path):
    with pytest.raises(BadHall) as caught:
        load_hall(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and "\n" not in message and len(message) < 500
    return message


def test_a_document_comes_back_from_its_file(tmp_path):
    save_hall(tmp_path / "hall.json", DOCUMENT)
    assert load_hall(tmp_path / "hall.json") == DOCUMENT


def test_the_same_document_gives_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        save_hall(tmp_path / name, HallDocument.from_dict(copy.deepcopy(DATA)))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_no_temporary_file_is_left(tmp_path):
    save_hall(tmp_path / "hall.json", DOCUMENT)
    assert [path.name for path in tmp_path.iterdir()] == ["hall.json"]


def test_a_file_written_by_hand_needs_no_digest(tmp_path):
    assert load_hall(write(tmp_path, DATA)) == DOCUMENT


def test_what_could_not_be_read_back_is_not_written(tmp_path):
    broken = HallDocument(**{**vars(DOCUMENT), "proxies": ()})
    with pytest.raises(BadHall, match="got no formula"):
        save_hall(tmp_path / "hall.json", broken)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400, "0.9", True])
@pytest.mark.parametrize("path", [("spearman",), ("ci95_spearman", 1)])
def test_a_statistic_that_is_no_finite_number_is_refused(path, value):
    with pytest.raises(BadHall, match=r"wanted (a finite number|a number)"):
        HallDocument.from_dict(changed(("cases", 0, "figures", 0, "search", *path), value))


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (("schema",), 3, "schema: got 3, wanted 1 or 2"),
        (("schema",), "1", "schema: got '1', wanted 1 or 2"),
        (("schema",), True, "schema: got True, wanted 1 or 2"),
        (("cases", 0, "space"), "gpt2\x1b[2J", "printable"),
        (("cases", 0, "space"), "\ud800", "printable"),
        (("cases", 0, "build"), 3, "build: got 3"),
        (("cases", 0, "benchmark"), [], "benchmark: got a list, wanted an object"),
        (("cases", 0, "benchmark", "higher_is_better"), "no", "wanted true or false"),
        (("cases", 0, "benchmark", "mood"), "good", "got the field 'mood'"),
        (("cases", 0, "split", "search"), ["a", "d"], "each architecture once"),
        (("cases", 0, "split", "search"), ["a", "a"], "each architecture once"),
        (("cases", 0, "split", "search", 1), 7, "search[1]: got 7"),
        (
            ("cases", 0, "split", "search"),
            [],
            "search: got a list, wanted the ids of the architectures; restore the file",
        ),
        (
            ("cases", 0, "split", "holdout"),
            [],
            "holdout: got a list, wanted the ids of the architectures; restore the file",
        ),
        (("seed",), 4.5, "seed: got 4.5"),
        (("config",), None, "config: got None, wanted an object"),
        (("proxies",), [], "got no formula, wanted at least one"),
        (("proxies",), {}, "proxies: got an object, wanted a list"),
        (("proxies",), DATA["proxies"] * 400, "got 1,200 entries, wanted at most 1,000"),
        (("proxies", 1, "text"), "__import__('os')", "proxies[1]: text"),
        (("proxies", 1, "text"), "mean[ __import__('os').system('id') ]", "proxies[1]: text"),
        (("proxies", 1, "text"), "mean[ exb(abs(J)) ]", "unknown unary operator 'exb'; did you mean exp"),
        (("proxies", 1, "text"), "mean[ abs(" * 900, "wanted a text of at most 2,000"),
        (
            ("proxies", 1, "text"),
            "mean[ exp(abs(J)) ]",
            "genotype: got an object, wanted that of the text, mean[ exp(abs(J)) ]",
        ),
        (
            ("proxies", 1, "genotype", "branches", 0, "chain"),
            ["eval"],
            "genotype: got an object, wanted that of the text",
        ),
        (("proxies", 1, "genotype", "branches", 0, "input"), 4, "genotype: got an object, wanted that of the text"),
        (("proxies", 1, "genotype"), None, "genotype: got None, wanted that of the text"),
        (("proxies", 1, "sign"), 0, "sign: got 0, wanted 1 or -1"),
        (("proxies", 1, "sign"), 1.0, "sign: got 1.0, wanted 1 or -1"),
        (("proxies", 1, "fitness"), None, "fitness: got None"),
        (("proxies", 1, "found_at"), -1, "found_at: got -1"),
        (("proxies", 1, "weights"), [], "got the field 'weights'"),
        (("proxies", 1), "mean[ W ]", "proxies[1]: got 'mean[ W ]', wanted an object"),
        (("cases", 0, "baselines", 0, "name"), None, "name: got None"),
        (("counts", "evaluations"), "all", "evaluations: got 'all'"),
        (("counts", "rejections", "twin"), 0.5, "twin: got 0.5"),
        (("counts", "cost"), 1, "got the field 'cost'"),
        (("virus",), 1, "got the field 'virus'"),
        (("config", "deep"), [[[[[[[[[1]]]]]]]]], "nested too deeply"),
    ],
)
def test_a_bad_part_is_refused_with_its_place(tmp_path, path, value, reason):
    assert reason in refusal(write(tmp_path, changed(path, value)))


@pytest.mark.parametrize("key", list(DATA))
def test_a_missing_part_is_refused_by_name(tmp_path, key):
    data = {k: v for k, v in DATA.items() if k != key}
    assert f"{key} is missing" in refusal(write(tmp_path, data))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "not valid JSON"),
        ("null", "wanted an object"),
        ("[]", "wanted an object"),
        (json.dumps(DATA)[:-40], "not valid JSON"),
        (json.dumps(DATA).replace("0.97", "NaN"), "NaN"),
        (json.dumps(DATA).replace("0.97", "1e999"), "finite"),
        ("[" * 100_000, "JSON|nested"),
        ('{"schema": ' + "9" * 5000 + "}", "JSON"),
    ],
)
def test_a_file_that_is_not_a_hall_is_refused(tmp_path, content, reason):
    message = refusal(write(tmp_path, content))
    assert any(part in message for part in reason.split("|"))


def test_a_file_that_is_missing_is_refused(tmp_path):
    assert "cannot be read" in refusal(tmp_path / "nowhere.json")


def test_a_file_that_is_too_large_is_refused_before_it_is_parsed(tmp_path, monkeypatch):
    path = write(tmp_path, json.dumps(DATA) + " " * 5_000_000)
    monkeypatch.setattr(json, "loads", lambda *args, **options: pytest.fail("parsed"))
    assert "larger than 5,000,000 bytes" in refusal(path)


def test_a_formula_in_a_file_is_never_run(tmp_path):
    target = tmp_path / "touched"
    for text in (f"open({str(target)!r}, 'w')", f"mean[ __import__('pathlib').Path({str(target)!r}).touch() ]"):
        refusal(write(tmp_path, changed(("proxies", 0, "text"), text)))
        refusal(write(tmp_path, changed(("proxies", 0, "genotype", "binary"), text)))
    assert not target.exists()


def test_an_edited_file_is_noticed_by_its_digest(tmp_path):
    path = tmp_path / "hall.json"
    save_hall(path, DOCUMENT)
    path.write_text(path.read_text().replace('"fitness": 0.97', '"fitness": 0.98'))
    assert "differs from its digest" in refusal(path)


def test_every_flipped_bit_is_noticed_or_harmless(tmp_path):
    path, rng = tmp_path / "hall.json", random.Random(0)
    save_hall(path, DOCUMENT)
    content = path.read_bytes()
    noticed = 0
    for _ in range(400):
        at, bit = rng.randrange(len(content)), 1 << rng.randrange(8)
        path.write_bytes(content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :])
        try:
            assert load_hall(path) == DOCUMENT
        except BadHall as fault:
            assert "\n" not in str(fault)
            noticed += 1
    assert noticed > 200


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(plain, st.randoms(use_true_random=False))
def test_any_part_replaced_by_anything_is_refused_in_one_line_or_harmless(value, rng):
    place = data = copy.deepcopy(DATA)
    while True:
        key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
        if not isinstance(place[key], dict | list) or not place[key] or rng.random() < 0.2:
            break
        place = place[key]
    place[key] = value
    try:
        HallDocument.from_dict(data)
    except BadHall as fault:
        assert "\n" not in str(fault)
