"""doctor: versions, devices, data found, disk."""

from __future__ import annotations

import click

from commands.options import FORMAT, examples
from commands.output import emit
from commands.tables import Row
from storage.program import program_name


@click.command(epilog=examples("doctor", "doctor --format json"))
@FORMAT
def doctor(form: str) -> None:
    """Versions, devices, data found, disk; and what to do if something is missing."""
    import shutil

    import torch

    from gp.runs.run import environment
    from models.benchmarks.origins import ORIGINS, locate

    rows: list[Row] = [{"what": name, "found": str(value), "advice": ""} for name, value in environment().items()]
    cuda = torch.cuda.device_count()
    rows.append({"what": "CUDA devices", "found": str(cuda), "advice": "" if cuda else "none needed: --devices cpu"})
    free = shutil.disk_usage(".").free / 2**30
    advice = "a bank takes up to 0.5 GiB: free space" if free < 1 else ""
    rows.append({"what": "free disk", "found": f"{free:.1f} GiB", "advice": advice})
    for origin in ORIGINS.values():
        place = locate(origin.name)
        advice = "" if place else f"{program_name()} benchmarks fetch {origin.name}, or set ZCP_DATA"
        rows.append({"what": origin.name, "found": str(place or "no"), "advice": advice})
    emit(rows, form, "doctor")
