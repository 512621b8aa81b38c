"""doctor: packages and their versions, devices, data found, disk."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import click

from commands.options import FORMAT, examples
from commands.output import emit
from commands.tables import Row
from storage.program import program_name

REQUIRED = (
    "click", "deap", "Jinja2", "joblib", "latex2mathml", "lazy_loader", "MarkupSafe", "matplotlib", "numpy", "plotly",
    "PyYAML", "rich", "safetensors", "scikit-learn", "scipy", "torch", "transformers",
)  # fmt: skip
OPTIONAL = {
    "cluster": ("--engine dask", ("dask", "distributed")),
    "checkpoint": ("benchmarks checkpoint", ("gguf",)),
    "operon": ("evolve --algorithm operon", ("pyoperon",)),
    "pandas": ("Parquet files and data frames", ("pandas", "pyarrow")),
}


def _dependencies() -> list[Row]:
    """A row for each package, with the command that installs a missing one."""
    wanted = [(name, "", "requirements.txt") for name in REQUIRED]
    wanted += [
        (name, f"only for {what}; ", f"requirements-{extra}.txt")
        for extra, (what, names) in OPTIONAL.items()
        for name in names
    ]
    rows: list[Row] = []
    for name, what, file in wanted:
        try:
            found, advice = version(name), ""
        except PackageNotFoundError:
            found, advice = "no", f"{what}pip install -r {file}"
        rows.append({"what": name, "found": found, "advice": advice})
    return rows


@click.command(epilog=examples("doctor", "doctor --format json"))
@FORMAT
def doctor(form: str) -> None:
    """Versions, devices, data found, disk; and what to do if something is missing."""
    import shutil

    import torch

    from gp.runs.run import environment
    from models.benchmarks.origins import ORIGINS, locate

    known = environment()
    rows: list[Row] = [
        {"what": name, "found": str(value), "advice": ""} for name, value in known.items() if name not in REQUIRED
    ]
    rows += _dependencies()
    cuda = torch.cuda.device_count()
    rows.append({"what": "CUDA devices", "found": str(cuda), "advice": "" if cuda else "none needed: --devices cpu"})
    free = shutil.disk_usage(".").free / 2**30
    advice = "a bank takes up to 0.5 GiB: free space" if free < 1 else ""
    rows.append({"what": "free disk", "found": f"{free:.1f} GiB", "advice": advice})
    for origin in ORIGINS.values():
        place = locate(origin.name)
        advice = "" if place else f"{program_name()} benchmarks fetch {origin.name}, or set ZCP_DATA"
        rows.append({"what": origin.name, "found": str(place or "no"), "advice": advice})
    if form == "table":  # two columns, so that a path fits on a narrow page
        rows = [{"what": r["what"], "found": "; ".join(str(r[n]) for n in ("found", "advice") if r[n])} for r in rows]
    emit(rows, form, "doctor")
