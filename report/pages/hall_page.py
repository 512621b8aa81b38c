"""HTML report of a hall of fame: the result first, then the evidence."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from fitness.tables.probes import PROBE_RULES
from gp.evolution.variation import SEEN
from gp.hall_cases import HallCase
from gp.hall_entries import Baseline, Figures, HallProxy
from gp.hall_file import HallDocument
from primitives import RULES
from report.pages.charts import bars, blocks_chart, evolution_chart, front_chart, growth_chart
from report.pages.evidence import HallEvidence
from report.pages.page import PageTable, ReportPage, Section, shown
from report.pages.recommendation import Recommendation, front_of, recommended
from report.pages.scatter import scatter
from report.pages.typeset import mathml

__all__ = ["hall_page"]

Row = tuple[str | int | float | Markup | None, ...]
FIGURES = ("search tau-b", "held-out rho", "95% interval", "held-out tau-b", "95% interval of tau-b")
CHAMPION = "formula 1"
SENTENCES = PROBE_RULES | {SEEN: "the formula was compared before"}


def hall_page(
    hall: HallDocument, case: HallCase, evidence: HallEvidence, commands: Sequence[str], environment: Mapping[str, Any]
) -> ReportPage:
    """Build the report of a hall on one of its cases; `commands` repeat the run and check its figures, `environment`
    lists the versions used."""
    entries = [
        HallProxy.of(entry.formula, [figures]) for entry, figures in zip(hall.proxies, case.figures, strict=True)
    ]
    pick = recommended(entries)
    return ReportPage(
        f"{shown(case.benchmark.name)}: an evolved zero-cost proxy",
        list(_answer(case, entries[0], evidence, pick)),
        (
            _against(case, entries[0], evidence),
            _cases(hall),
            _map(case, evidence),
            _formulas(entries, pick),
            _blocks(case, evidence),
            _origin(hall, evidence),
            _refused(hall),
            _settings(hall, case, commands, environment),
        ),
    )


def _answer(
    case: HallCase, champion: HallProxy, evidence: HallEvidence, pick: Recommendation | None
) -> Iterator[str | Markup]:
    count, held = _best(case.baselines), len(case.split.holdout)
    yield (
        f"Formula 1, the champion of a search on {len(case.split.search)} architectures, ranks the {held} that it "
        f"never saw with {_in_words(champion.holdout)}:"
    )
    yield mathml(champion.proxy, champion.sign)
    others = (
        [f"the best count ({count.name}, chosen on the held-out ones) has {_in_words(count.holdout)}"] if count else []
    )
    for entry, what in (
        (_best(evidence.rivals), "the best regression on the same labels"),
        (_best(evidence.published), "the best of LPZero's published formulas"),
    ):
        if entry is not None:
            others.append(f"{what} ({entry.name}) has {_in_words(entry.holdout)}")
    if others:
        yield "Beside it: " + "; ".join(others) + "."
    ceiling = evidence.benchmark.header.get("noise_ceiling")
    if isinstance(ceiling, Mapping) and all(isinstance(ceiling.get(k), int | float) for k in ("spearman", "kendall")):
        yield (
            f"The noise of training bounds what any ranking can reach: rho {ceiling['spearman']:.3f}, tau-b "
            f"{ceiling['kendall']:.3f}."
        )
    if pick is not None and pick.place:
        yield f"Recommended is formula {pick.place + 1}, which is simpler and as good on the search split; see below."


def _best(entries: Sequence[Baseline]) -> Baseline | None:
    known = [entry for entry in entries if _tau(entry.holdout) is not None]
    return max(known, key=lambda entry: _tau(entry.holdout) or 0.0, default=None)


def _tau(figures: Figures | None) -> float | None:
    return (figures or {}).get("kendall")


def _in_words(figures: Figures | None) -> str:
    """Such as rho 0.93 (0.91 to 0.94) and tau-b 0.77 (0.74 to 0.79)."""
    known = figures or {}
    words = []
    for field, name in (("spearman", "rho"), ("kendall", "tau-b")):
        if (value := known.get(field)) is None:
            return "no ranking"
        interval = known.get(f"ci95_{field}")
        words.append(f"{name} {value:.3f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else ""))
    return " and ".join(words)


def _cells(search: Figures | None, holdout: Figures | None) -> Row:
    held = holdout or {}
    spans = [
        f"{i[0]:.3f} to {i[1]:.3f}" if (i := held.get(f"ci95_{name}")) else None for name in ("spearman", "kendall")
    ]
    return _tau(search), held.get("spearman"), spans[0], held.get("kendall"), spans[1]


def _against(case: HallCase, champion: HallProxy, evidence: HallEvidence) -> Section:
    groups = (
        ("evolved", [Baseline(CHAMPION, champion.search, champion.holdout, champion.all)]),
        ("fitted", evidence.rivals),
        ("published", evidence.published),
        ("count", case.baselines),
    )
    rows = [(shown(b.name), kind, *_cells(b.search, b.holdout)) for kind, entries in groups for b in entries]
    entries = [(b.name, b.holdout) for _, group in groups for b in group if _tau(b.holdout) is not None]
    entries.sort(key=lambda entry: -(_tau(entry[1]) or 0.0))
    shape = [(name, float(_tau(f) or 0.0), _ends((f or {}).get("ci95_kendall"))) for name, f in entries]
    what = (
        f"Held-out tau-b of {len(shape)} rankings with 95% bootstrap intervals; best: {shown(entries[0][0])}."
        if entries
        else "No ranking has figures."
    )
    return Section(
        "How good it is",
        (
            "Fitted are regressions on numbers of the configuration and the same labels; published are LPZero's "
            "formulas, scored on sketches with signs fixed on the search split; counts need no network at all.",
        ),
        (
            bars("rivals", shape, "held-out tau-b", what, marked=[CHAMPION]),
            PageTable("The champion and its rivals", ("ranking", "kind", *FIGURES), rows, 0),
        ),
    )


def _ends(interval: Sequence[float] | None) -> tuple[float, float] | None:
    return (float(interval[0]), float(interval[1])) if interval else None


def _cases(hall: HallDocument) -> Section:
    """Formula 1 on every benchmark of the search."""
    rows = []
    for case in hall.cases:
        first, count = case.figures[0], _best(case.baselines)
        beside = (count.name, _tau(count.holdout)) if count else (None, None)
        sizes = len(case.split.search), len(case.split.holdout)
        rows.append((shown(case.benchmark.name), case.space, *sizes, *_cells(first.search, first.holdout), *beside))
    columns = ("benchmark", "space", "seen", "held-out", *FIGURES, "best count", "its held-out tau-b")
    return Section("Every benchmark", (), (PageTable("Formula 1 on each benchmark of its search", columns, rows),))


def _map(case: HallCase, evidence: HallEvidence) -> Section:
    landscape = evidence.landscape
    lost = int((~np.isfinite(landscape.scores)).sum())
    what = (
        f"{shown(case.benchmark.metric)} as measured against the score of formula 1, circles held-out and "
        f"triangles of the search split; held-out {_in_words(case.figures[0].holdout)}."
    )
    notes = [f"{lost} architectures have no score and are left out."] if lost else []
    return Section("Every architecture", notes, (scatter(landscape, what),))


def _formulas(entries: Sequence[HallProxy], pick: Recommendation | None) -> Section:
    rows = [_formula_row(place, entry, pick) for place, entry in enumerate(entries)]
    points = [(entry.proxy.text, entry.proxy.complexity, float(entry.formula.fitness)) for entry in entries]
    front = front_of(entries)
    columns = ("place", "formula", "complexity", "fitness", *FIGURES, "found at")
    text = f"Fitness on the search split against complexity of {len(rows)} formulas; {len(front)} on the front."
    return Section(
        "The formulas",
        (
            *_explained(pick),
            "A bar is the mean over the entries of a tensor; l counts the blocks, and W, G, A, J, H "
            "and S are weights, gradients, activations, Jacobians, heads and attention of a block.",
        ),
        (
            PageTable(
                "The hall of fame; the recommended formula is marked", columns, rows, pick.place if pick else None
            ),
            front_chart(points, front, pick.place if pick else None, text),
        ),
    )


def _formula_row(place: int, entry: HallProxy, pick: Recommendation | None) -> Row:
    mark = "★ recommended: " if pick is not None and pick.place == place else ""
    kind = "" if entry.proxy.reads == "network" else f", reads {entry.proxy.reads}"
    text = Markup("{}<br><code>{}{:+d} {}</code>{}").format(
        mathml(entry.proxy, entry.sign), mark, entry.sign, entry.proxy.text, kind
    )
    return (
        place + 1,
        text,
        entry.proxy.complexity,
        float(entry.formula.fitness),
        *_cells(entry.search, entry.holdout),
        entry.formula.found_at,
    )


def _explained(pick: Recommendation | None) -> list[str]:
    if pick is None:
        return ["The file has no figures of the search split, so nothing is recommended."]
    return [
        f"Recommended is formula {pick.place + 1}: the simplest whose tau-b on the search split is at least "
        f"{pick.least:.3f}, one standard error ({pick.error:.3f}) below the best, {pick.best:.3f}. Held-out figures "
        "have no part in it. Where formulas are this close, no rule that sees the search split only chooses the best "
        "held-out one reliably."
    ]


def _blocks(case: HallCase, evidence: HallEvidence) -> Section:
    portraits = evidence.portraits
    if not portraits:
        return Section("What each block adds", ("Fewer than three architectures have a score.",))
    named = "; ".join(
        f"{p.kind}: {shown(p.architecture.id)}, {shown(case.benchmark.metric)} {p.quality:.4g}" for p in portraits
    )
    what = f"What every block adds to each part of formula 1, of three architectures ({named})."
    return Section(
        "What each block adds",
        (
            "A part is what stands under one aggregation; its value is the sum of what its blocks add. The formula "
            "joins the values of its parts.",
        ),
        (blocks_chart(portraits, what),),
    )


def _origin(hall: HallDocument, evidence: HallEvidence) -> Section:
    parts, notes = [], []
    if generations := evidence.landscape.generations:
        found = generations[-1]["best_fitness"]
        best = "no formula has a score" if found is None else f"{found:.4g}"
        what = f"Best and mean fitness over {generations[-1]['evaluations']:,} formulas compared; at the end {best}."
        parts.append(evolution_chart(generations, what))
    else:
        notes.append("Its generations.jsonl is not beside the file, so the curve of the search is not shown.")
    if evidence.ancestors:
        what = f"Tau-b of the {len(evidence.ancestors)} formulas that lead to the champion, scored on sketches."
        parts.append(growth_chart(evidence.ancestors, what))
    else:
        notes.append("The file does not say what the champion was made of.")
    if hall.ending is not None:
        notes.append(f"The search ended after {hall.ending.iteration:,} iterations: {shown(hall.ending.reason)}.")
    return Section("Where it comes from", notes, parts)


def _refused(hall: HallDocument) -> Section:
    counts = sorted(hall.rejections.items(), key=lambda item: -item[1])
    total = sum(hall.rejections.values())
    note = f"{hall.evaluations:,} formulas were compared; before that, the rules refused {total:,}."
    if not counts:
        return Section("What the rules refused", (note,))
    sentences = {name: rule.sentence for name, rule in RULES.items()} | SENTENCES
    rows = [(shown(name), sentences.get(name, "a rule that this version does not have"), n) for name, n in counts]
    chart = bars(
        "refused",
        [(name, n, None) for name, n in counts],
        "formulas refused",
        f"Formulas refused by each rule; most by {shown(counts[0][0])}.",
    )
    return Section(
        "What the rules refused", (note,), (chart, PageTable("The rules", ("rule", "refuses", "times"), rows))
    )


def _settings(hall: HallDocument, case: HallCase, commands: Sequence[str], environment: Mapping[str, Any]) -> Section:
    search = hall.config.get("search")
    config = {k: v for k, v in hall.config.items() if k != "search"} | (search if isinstance(search, dict) else {})
    facts = {
        "space": case.space,
        "build": case.build,
        "seed": hall.seed,
        "benchmark": case.benchmark.name,
        "benchmark digest": case.benchmark.digest,
        "feature key": case.feature_key,
        "search split": len(case.split.search),
        "held-out": len(case.split.holdout),
        "dropped": len(case.dropped),
    }
    repeats = "options" in hall.config
    return Section(
        "How to repeat it",
        (
            "The first command repeats the run, the others check its figures and use the formula."
            if repeats
            else "The commands check its figures and use the formula; the file does not say with which options it was "
            "made, its settings are below.",
        ),
        [
            PageTable(title, ("name", "value"), [(shown(k), _plainly(v)) for k, v in found.items()])
            for title, found in (("Settings", config), ("Identity", facts), ("Versions", environment))
        ],
        commands,
    )


def _plainly(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 400 else f"{text[:399]}…"
