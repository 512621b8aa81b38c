"""rank: order architectures that nobody measured by what a formula says of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands.feature_options import FeatureOptions
from commands.live import live
from commands.modules import rank_networks
from commands.moved import MOVED
from commands.names import Name, table_of
from commands.options import BYTES, COUNT, MEMORY_AT, SECONDS, examples
from commands.output import emit, say
from commands.ranking import ranked
from commands.source import Source
from commands.training_tokens import TOKENS
from commands.weights import ranking_options

if TYPE_CHECKING:
    from models.architecture import Architecture
    from models.budget import Tokens
    from models.candidates import Refusal


@click.command(
    epilog=examples(
        "rank candidates.jsonl --tokens 20B",
        "rank candidates.jsonl --hall proxies/gpt2-mini.json",
        "rank llama/config.json bert/config.json --hall proxies/gpt2-mini.json --latency cpu",
        "rank subnets.jsonl --space llama --weights llama-7b --hall proxies/llama-elastic.json",
        "rank --modules my_networks.py --hall proxies/gpt2-mini.json",
        "rank --sample 200 --space gpt2 --hall proxies/gpt2-mini.json --max-params 10M --top 10",
    )
)
@click.argument("paths", metavar="[CANDIDATES]...", type=click.Path(path_type=Path), nargs=-1)
@click.option(
    "--hall",
    type=click.Path(path_type=Path),
    help="Hall of fame whose first formula ranks (default: proxies/universal.json).",
)
@click.option(
    "--committee",
    "size",
    type=click.IntRange(2),
    help="Rank by the mean position under the first K formulas of --hall.",
)
@click.option("--proxy", "text", help="A formula instead of a file; more of it is taken as better.")
@click.option("--predictor", "fitted", type=click.Path(path_type=Path), help="Predictor file, written by `fit`.")
@click.option(
    "--modules",
    type=click.Path(path_type=Path),
    metavar="FILE.py",
    help="Rank plain PyTorch networks: execute this file, which has NETWORKS = {name: module or function, ...}. Its "
    "code runs as it is.",
)
@MOVED
@click.option("--sample", "count", type=click.IntRange(1, 100_000), help="Draw that many candidates from --space.")
@click.option(
    "--space",
    type=Name(table=table_of("models.spaces", "SPACES")),
    help="Family of architectures of --sample or of JSON lines.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Random seed of --sample.")
@TOKENS
@click.option("--latency", "device", metavar="DEVICE", help="Measure the time of a forward pass there, such as cpu.")
@click.option("--max-params", type=COUNT, metavar="N", help="Leave out what has more parameters, such as 10M.")
@click.option("--max-flops", type=COUNT, metavar="N", help="Leave out what needs more FLOPs a sequence, such as 2G.")
@click.option("--max-memory", type=BYTES, metavar="BYTES", help="Leave out what needs more to train, such as 8G.")
@MEMORY_AT
@click.option("--max-latency", type=SECONDS, metavar="TIME", help="Leave out what takes longer, such as 5ms.")
@click.option("--top", type=click.IntRange(1), help="Show that many, the best.")
@click.option(
    "--format",
    "form",
    type=Name("table", "json", "jsonl", "csv"),
    default="table",
    show_default=True,
    help="Output format.",
)
@ranking_options
def rank(
    paths: tuple[Path, ...], hall: Path | None, size: int | None, text: str | None, fitted: Path | None,
    places: tuple[str, ...], count: int | None, space: str | None, seed: int, device: str | None,
    max_params: float | None, max_flops: float | None, max_memory: float | None, shape: tuple[int, int],
    max_latency: float | None, top: int | None, form: str, modules: Path | None,
    features: FeatureOptions, tokens: Tokens | None,
) -> None:  # fmt: skip
    """Order architectures that nobody measured by the exact score of a formula.

    CANDIDATES are JSON lines with id and config, folders of a published layout, or config.json files of Hugging Face
    models or folders that hold them; nothing is downloaded. Without --hall, --proxy and --predictor a law of shape and
    training budget ranks (--tokens). A score depends on the candidate alone. A candidate that cannot be ranked stands
    last with the reason; exit code 1 if there is no other one. FLOPs are those of the blocks for one sequence of
    --seq-len tokens; a forward pass is timed over such a sequence, with one thread.
    """
    from fitness.costs import CostLimits, TrainingBatch

    source = replace(Source.of(hall, text, size, fitted), places=places)
    if modules is not None:
        rank_networks(modules, source, features, form, top, tokens)
        return
    budget = CostLimits(max_params, max_flops, max_latency, max_memory, TrainingBatch(*shape))
    device = "cpu" if device is None and max_latency else device
    refused: list[Refusal] = []
    candidates = _candidates(paths, count, space, seed, refused)
    source.introduce()
    with live(0) as reporter:
        ranking = ranked(candidates, source, budget, device, features, reporter.networks, refused, tokens)
    for line in ranking.notes:
        say(line)
    if form == "json":
        document = {**ranking.header, "rows": ranking.plain(top)}
        print(json.dumps(document, indent=2, sort_keys=True, allow_nan=False))
    elif form == "jsonl":
        for row in ranking.plain(top):
            print(json.dumps(row, sort_keys=True, allow_nan=False))
    elif ranking.rows or form != "table":
        emit(ranking.columns(form, top), form, ranking.title)
    ranking.check()


def _candidates(
    paths: tuple[Path, ...], count: int | None, space: str | None, seed: int, refused: list[Refusal]
) -> list[Architecture]:
    """The candidates, and those `refused` that cannot be read; a usage error where nothing or half of a pair is
    given."""
    from models.candidates import drawn_candidates, read_candidates
    from models.spaces import DRAWABLE

    if not paths and count is None:
        raise click.UsageError("wanted candidates: files or folders, or --sample N --space NAME")
    if count is not None and space not in DRAWABLE:
        got = "nothing" if space is None else space
        raise click.UsageError(f"--space: got {got}, wanted one of {', '.join(DRAWABLE)} to draw --sample from")
    drawn = drawn_candidates(space, count, seed) if count is not None and space is not None else []
    return [*read_candidates(paths, space, refused), *drawn]
