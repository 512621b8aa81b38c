"""The cases of a hall of fame: rivals, several benchmarks, schema 1, and figures that are their mean."""

import dataclasses
import json
from types import SimpleNamespace

import pytest
from test_gp_hall_file import CASE, DOCUMENT, FIGURES, FORMULAS, MEASURED, changed, refusal, write

from gp.hall_entries import averaged
from gp.hall_file import (
    BadHall,
    Baseline,
    BenchmarkRef,
    HallDocument,
    HallProxy,
    Measured,
    SplitIds,
    hall_path,
    load_hall,
    save_hall,
)


def test_rivals_are_kept_and_an_older_file_has_none(tmp_path) -> None:
    data = DOCUMENT.to_dict()
    assert "rivals" not in data["cases"][0] and HallDocument.from_dict(data).cases[0].rivals == ()
    rivals = (Baseline("Gaussian process", FIGURES, FIGURES, FIGURES),)
    save_hall(tmp_path / "hall.json", dataclasses.replace(DOCUMENT, cases=(dataclasses.replace(CASE, rivals=rivals),)))
    assert load_hall(tmp_path / "hall.json").cases[0].rivals == rivals
    with pytest.raises(BadHall, match=r"rivals\[0\]: name is missing"):
        HallDocument.from_dict(changed(("cases", 0, "rivals"), [{}]))


OTHER = dataclasses.replace(
    CASE, place="/somewhere/b.jsonl", space="llama", build="as_trained",
    benchmark=BenchmarkRef("b", "ef" * 32, "loss", True), split=SplitIds(("a",), ("x", "y")), baselines=(),
    figures=tuple(dataclasses.replace(found, fidelity=None) for found in MEASURED),
)  # fmt: skip


def as_first(document: HallDocument) -> dict:
    """A document as schema 1 wrote it: the first case in fields of its own, the rest in `others`."""
    data = json.loads(json.dumps(document.to_dict()))
    first, *rest = data.pop("cases")
    for entry, figures in zip(data["proxies"], first.pop("figures"), strict=True):
        entry |= figures
    for case in rest:
        case["figures"] = [{part: found[part] for part in ("search", "holdout", "all")} for found in case["figures"]]
    config = data["config"] | {"benchmark": first.pop("place"), "metric": "loss", "benchmark_digest": "ab"}
    others = [{"benchmark": case.pop("place"), "metric": "loss", "digest": "d", "tokens": "t"} for case in rest]
    config |= {"others": others} if rest else {}
    return {**data, **first, "schema": 1, "config": config} | ({"others": rest} if rest else {})


@pytest.mark.parametrize("cases", [(CASE,), (CASE, OTHER), (CASE, OTHER, OTHER)], ids=len)
def test_schema_1_reads_as_schema_2(tmp_path, cases) -> None:
    means = [HallProxy.of(f, [case.figures[i] for case in cases]) for i, f in enumerate(FORMULAS)]
    document = dataclasses.replace(DOCUMENT, cases=cases, proxies=tuple(means))
    found = load_hall(write(tmp_path, as_first(document)))
    assert found == document and [case.place for case in found.cases] == [case.place for case in cases]
    save_hall(tmp_path / "second.json", found)
    save_hall(tmp_path / "written.json", document)
    assert (tmp_path / "second.json").read_bytes() == (tmp_path / "written.json").read_bytes()


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (("split", "search"), ["a", "d"], "split: got an object, wanted each architecture once"),
        (("cases",), [], "got the field 'cases'"),
        (("others", 0, "figures"), [], "others[0]: figures: got a list, wanted 3 entries"),
        (("others", 0, "rivals"), [], "others[0]: got the field 'rivals'"),
        (("others",), {}, "others: got an object, wanted a list"),
        (("proxies", 0, "search", "spearman"), "1", "search: spearman: got '1'"),
    ],
)
def test_a_bad_part_of_schema_1_is_refused_with_its_place(tmp_path, path, value, reason) -> None:
    data = place = as_first(dataclasses.replace(DOCUMENT, cases=(CASE, OTHER)))
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert reason in refusal(write(tmp_path, data))


def test_the_figures_of_a_formula_are_the_mean_of_its_cases() -> None:
    one, two = {"n": 3, "spearman": 0.9, "kendall": 0.5}, {"n": 5, "spearman": 0.4, "kendall": None}
    found = averaged([Measured(one, one, None, 0.9), Measured(two, one, one, 0.8)])
    assert found == Measured({"n": 8, "spearman": 0.65, "kendall": None}, {"n": 6, "spearman": 0.9, "kendall": 0.5},
                             None, 0.85)  # fmt: skip
    assert averaged([Measured(FIGURES)]) == Measured(FIGURES)


@pytest.mark.parametrize("part", ["search", "holdout", "all", "fidelity"])
def test_figures_that_are_not_the_mean_of_the_cases_are_refused(tmp_path, part) -> None:
    assert "wanted figures that are the mean" in refusal(write(tmp_path, changed(("proxies", 0, part), None)))


def test_a_hall_without_a_case_is_refused(tmp_path) -> None:
    assert "cases: got a list, wanted at least one benchmark" in refusal(write(tmp_path, changed(("cases",), [])))


def test_a_hall_knows_its_benchmarks_and_what_was_seen() -> None:
    hall = dataclasses.replace(DOCUMENT, cases=(CASE, OTHER))
    assert hall.names == "gpt2-wt103, b" and hall.case_in("llama") is OTHER and hall.case_in("hf") is None
    assert hall.case_of(SimpleNamespace(digest="ef" * 32)) is OTHER and hall.case_of(SimpleNamespace(digest="")) is None
    first, second = hall.seen.cases
    assert first == CASE.seen and vars(second) == {
        "place": "/somewhere/b.jsonl", "space": "llama", "name": "b", "digest": "ef" * 32, "metric": "loss",
        "higher_is_better": True, "search": ("a",), "holdout": ("x", "y"),
    }  # fmt: skip


def test_the_hall_of_a_run_is_a_file_in_its_folder(tmp_path) -> None:
    assert hall_path(tmp_path / "some.json") == tmp_path / "some.json"
    with pytest.raises(BadHall, match=f"^{tmp_path}: has no hall_of_fame.json, wanted a finished run; finish it with"):
        hall_path(tmp_path)
    (tmp_path / "hall_of_fame.json").touch()
    assert hall_path(tmp_path) == tmp_path / "hall_of_fame.json"


def test_what_was_left_out_comes_back(tmp_path) -> None:
    dropped = dataclasses.replace(CASE, dropped=("x", "y"))
    assert "dropped" not in DOCUMENT.to_dict()["cases"][0]
    save_hall(tmp_path / "hall.json", dataclasses.replace(DOCUMENT, cases=(dropped,)))
    assert load_hall(tmp_path / "hall.json").cases == (dropped,)


@pytest.mark.parametrize("path", [(), ("split",), ("figures", 1), ("benchmark",), ("baselines", 0)])
def test_a_field_that_nobody_knows_is_refused_in_every_part_of_a_case(tmp_path, path) -> None:
    assert "got the field 'mood', wanted " in refusal(write(tmp_path, changed(("cases", 0, *path, "mood"), "good")))


def test_counts_are_added_up_correlations_averaged_and_others_left_out() -> None:
    one = {"n": 3, "invalid": 1, "spearman": 0.1234567, "kendall_a": 0.5, "ci95_spearman": [0, 1]}
    two = {"n": 4, "invalid": 2, "spearman": 0.1234567, "kendall_a": 0.25, "kendall": 1.0}
    assert averaged([Measured(one), Measured(two)]) == Measured(
        {"n": 7, "invalid": 3, "spearman": 0.123457, "kendall_a": 0.375}
    )
    assert averaged([Measured(two), Measured({**one, "n": None, "kendall": "1"})]).search == {
        "invalid": 3, "spearman": 0.123457, "kendall_a": 0.375, "kendall": None,
    }  # fmt: skip
    assert averaged([Measured(fidelity=0.5), Measured(fidelity=None)]).fidelity is None
    assert averaged([]) == Measured()
