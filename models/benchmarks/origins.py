"""Origins of benchmarks: embedded tables, and published data at a pinned commit with a content digest.

Nothing here touches the network except `fetch`.
"""

from __future__ import annotations

import http.client
import os
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from models.benchmarks.archives import is_archive, unpack
from models.benchmarks.benchmark import BadBenchmark, Benchmark
from models.benchmarks.layouts import read_benchmark
from models.benchmarks.layouts.frame import DataFrameLike, frame_benchmark
from storage.locks import held
from storage.program import program_name

__all__ = [
    "ORIGINS",
    "Origin",
    "default_benchmark",
    "embedded_path",
    "fetch",
    "find",
    "is_path",
    "load_benchmark",
    "locate",
    "verify",
]

PROJECT = Path(__file__).resolve().parents[2]
MAX_DOWNLOAD = 16 << 20  # bytes per file


@dataclass(frozen=True)
class Origin:
    """A known benchmark. `files` are fetched from `base` + name, archives among them unpacked; an embedded one has no
    base but a path, and one without either is read from a data directory alone."""

    name: str
    space: str
    summary: str
    licence: str
    citation: str
    digest: str
    base: str = ""
    files: tuple[str, ...] = ()
    embedded: Path | None = None


_CONFIGS = tuple(f"config_{i}/j{j}/model_config.yaml" for i in range(20) for j in range(10))
ORIGINS: dict[str, Origin] = {
    o.name: o
    for o in (
        Origin(
            "gpt2-mini",
            "gpt2",
            "500 small GPT-2-style architectures trained by this project, validation loss in nats per byte",
            "MIT",
            "this repository, models/training/campaign.py",
            "9d5d6e59216a3ed4cd961a62731824363e56d358bed73bf91bd0f70165d31b2d",
            embedded=PROJECT / "models" / "benchmarks" / "data" / "gpt2-mini.jsonl",
        ),
        Origin(
            "gpt2-wt103",
            "gpt2",
            "200 architectures, WikiText-103 validation perplexity",
            "MIT",
            "Javaheripi et al., LiteTransformerSearch, NeurIPS 2022, arXiv 2203.02094",
            "f193a82f7bd69a6e25296e3a682d3925a1195108c649fbe8ce16b60f10f751f1",
            "https://raw.githubusercontent.com/microsoft/archai/47770415327900684ed95c0bc9bf7cd0d0047fad/"
            "archai/nlp/nas/saved_logs/random_GPT2_wt103/",
            ("ppl_summary.yaml", "params_summary.yaml", *_CONFIGS),
        ),
        Origin(
            "flexibert-glue",
            "flexibert",
            "500 encoders, mean GLUE score (single tasks with --metric)",
            "CC BY 4.0",
            "Serianni and Kalita, Training-free NAS for RNNs and Transformers, ACL 2023, arXiv 2306.00288",
            "bf474f4015e672c1b261af3f2baa8a45af86887ced982782c9aaf562b4b0a95d",
            "https://raw.githubusercontent.com/aaronserianni/training-free-nas/"
            "2d76e01b9586cad7340e8268dadba3056efd070b/data/",
            ("BERT_benchmark.json",),
        ),
        Origin(
            "llama-mini",
            "llama",
            "small LLaMA-style architectures trained by this project, validation loss in nats per byte",
            "MIT",
            "this repository, models/training/campaign.py",
            "fa0e59c9f5256e26478f6f3ba95f9be50e9a5813df9e85253d746ea18f1d49de",
            embedded=PROJECT / "models" / "benchmarks" / "data" / "llama-mini.jsonl",
        ),
        Origin(
            "llama-elastic",
            "llama",
            "528 subnets of one supernet with LoNAS's five feed-forward widths per block, trained by this project, "
            "loss of each with the supernet's weights, nats per byte",
            "MIT",
            "this repository, models/training/elastic.py",
            "92161341ab4043eead3c1914dd6d5cbbc96852ab690c365848c6ca7ad77aeff1",
            embedded=PROJECT / "models" / "benchmarks" / "data" / "llama-elastic.jsonl",
        ),
        Origin(
            "smollm2-subnets",
            "llama",
            "SmolLM2-135M and 624 subnets of it (fewer blocks, feed-forward units, key-value groups), loss as cut on "
            "prose, nats per token; formulas read the checkpoint with --weights",
            "MIT",
            "this repository, models/training/cuts/campaign.py",
            "86b4e77cef54b1503c773299ec213c1ad1b9d9c85b8621f0811f6ec1f642fa32",
            embedded=PROJECT / "models" / "benchmarks" / "data" / "smollm2-subnets.jsonl",
        ),
        Origin(
            "llama-budgets",
            "llama",
            "small LLaMA-style architectures of four sizes, each trained by this project for several budgets with full "
            "schedules, validation loss in nats per byte",
            "MIT",
            "this repository, models/training/budgets.py",
            "",
            embedded=PROJECT / "models" / "benchmarks" / "data" / "llama-budgets.jsonl",
        ),
        Origin(
            "gpt2-budgets",
            "gpt2",
            "small GPT-2-style architectures of four sizes, each trained by this project for several budgets with full "
            "schedules, validation loss in nats per byte",
            "MIT",
            "this repository, models/training/budgets.py",
            "",
            embedded=PROJECT / "models" / "benchmarks" / "data" / "gpt2-budgets.jsonl",
        ),
        Origin(
            "openlm-grid",
            "llama",
            "97 decoders trained on web text for 20 tokens a parameter, loss: of 130 shapes those with batch 64 (the "
            "batch changes the loss), the lowest over warm-ups (short ones may diverge)",
            "MIT",
            "Gadre et al., Language models scale reliably with over-training, 2024, arXiv 2403.08540",
            "717805f0c93006687c2fe467c57cd24d87c4e4d049a2ea0e14fbfd8d2c353e25",
            "https://raw.githubusercontent.com/mlfoundations/scaling/a003c4913793ac2ae7ef87b28ecb562955d026d5/exp_data/",
            ("grid.json",),
        ),
        Origin(
            "gpt2-lm1b-pareto",
            "gpt2",
            "121 architectures of the Pareto fronts that a search found for three devices, LM1B perplexity",
            "MIT",
            "Javaheripi et al., LiteTransformerSearch, NeurIPS 2022, arXiv 2203.02094",
            "118568d917de48df030d5357fb8bdcab9bb7871f1dc23115b825e3b7a585dabd",
        ),
        Origin(
            "transxl-lm1b-pareto",
            "gpt2",
            "114 Transformer-XL shapes of such fronts, as GPT-2 networks of the same sizes, LM1B perplexity",
            "MIT",
            "Javaheripi et al., LiteTransformerSearch, NeurIPS 2022, arXiv 2203.02094",
            "264f6820fbdbeab5f60d4aae642b417011929980f39b55a40baa0e2f1e961c04",
        ),
        Origin(
            "depth-at-constant-size",
            "llama",
            "21 decoders of three constant sizes, depth against feed-forward width, C4 perplexity; heads of width 64 "
            "are assumed",
            "CC BY 4.0",
            "Petty et al., The Impact of Depth on Compositional Generalization, NAACL 2024, arXiv 2310.19956",
            "c9b3f07249c923d6493edbdc99d3db3dc51590ee3df246f3936821d5f959110b",
        ),
    )
}


def embedded_path(name: str) -> Path:
    """Path of the embedded table of a name, whether it exists yet or not."""
    return PROJECT / "models" / "benchmarks" / "data" / f"{name}.jsonl"


def is_path(name_or_path: str) -> bool:
    """True if it says where a benchmark lies, and is no name of one."""
    return (
        os.sep in name_or_path or name_or_path.startswith(".") or name_or_path.endswith((".jsonl", ".csv", ".parquet"))
    )


def find(name_or_path: str) -> Path:
    """The file or folder of a benchmark: a path as it is, a name in $ZCP_DATA, then data/, then embedded."""
    if is_path(name_or_path):
        path = Path(name_or_path)
        if path.exists():
            return path
        raise BadBenchmark(f"{name_or_path}: no such file or folder; give the path of a benchmark or one of its names")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name_or_path):
        raise BadBenchmark(
            f"benchmark {name_or_path[:64]!r}: wanted a name of letters, digits, '.', '_', '-', or a path"
        )
    if (known := locate(name_or_path)) is not None:
        return known
    if name_or_path in ORIGINS:
        raise BadBenchmark(_ways_out(ORIGINS[name_or_path]))
    near = get_close_matches(name_or_path, ORIGINS, 1)
    hint = f"did you mean {near[0]}?" if near else f"wanted one of {', '.join(ORIGINS)}, or a path"
    raise BadBenchmark(f"unknown benchmark {name_or_path!r}; {hint}")


def locate(name: str) -> Path | None:
    """Path of the data of a name on this machine, or None."""
    places = [Path(os.environ["ZCP_DATA"]) / name] if os.environ.get("ZCP_DATA") else []
    places.append(PROJECT / "data" / name)
    if name in ORIGINS and (embedded := ORIGINS[name].embedded):
        places.insert(0, embedded)
    return next((place for place in places if place.exists()), None)


def _ways_out(origin: Origin) -> str:
    if origin.embedded:
        return f"{origin.name}: the embedded table is missing; run: {program_name()} benchmarks train {origin.name}"
    if not origin.base:
        return f"{origin.name}: not on this machine; set ZCP_DATA to a folder that holds {origin.name}/benchmark.jsonl"
    return (
        f"{origin.name}: not on this machine; run '{program_name()} benchmarks fetch {origin.name}' with a network, "
        f"or set ZCP_DATA to a folder that holds {origin.name}/"
    )


def default_benchmark(space: str) -> str:
    """The benchmark of a space that is used when none is named: the first that lies on this machine."""
    names = [origin.name for origin in ORIGINS.values() if origin.space == space]
    if not names:
        raise BadBenchmark(f"no benchmark of the space {space} is known; give your own with --benchmark PATH")
    return next((name for name in names if locate(name)), names[0])


def load_benchmark(
    name_or_path: str | DataFrameLike,
    metric: str | None = None,
    *,
    space: str | None = None,
    higher_is_better: bool | None = None,
    name: str = "frame",
) -> Benchmark:
    """Find and read a benchmark by its name or path, or take it from a data frame of pandas with a column for each
    field. What is not said of a frame (`space`, `metric`, `higher_is_better`) is found by the names of its columns."""
    if not isinstance(name_or_path, str):
        return frame_benchmark(name_or_path, space, metric, higher_is_better, name)
    path = find(name_or_path)
    return read_benchmark(path, name_or_path if name_or_path in ORIGINS else path.stem, metric)


def verify(name: str) -> Benchmark:
    """Read a known benchmark and compare its content with the pinned digest; BadBenchmark if it differs."""
    benchmark = load_benchmark(name)
    pinned = ORIGINS[name].digest if name in ORIGINS else ""
    if pinned and benchmark.digest != pinned:
        raise BadBenchmark(
            f"{name}: content digest {benchmark.digest[:16]}, wanted {pinned[:16]}; "
            "the files were changed, fetch them again"
        )
    return benchmark


def fetch(name: str, progress: Callable[[int, int], None] | None = None) -> Path:
    """Download a known benchmark into data/<name>, verified before it appears there."""
    if name not in ORIGINS or not ORIGINS[name].base:
        names = ", ".join(n for n, o in ORIGINS.items() if o.base)
        raise BadBenchmark(f"benchmark {name[:64]!r} cannot be fetched, wanted one of {names}")
    origin, target = ORIGINS[name], PROJECT / "data" / name
    try:
        target.parent.mkdir(exist_ok=True)
        with held(target.parent / f".{name}.lock") as mine:
            if not mine:
                raise BadBenchmark(f"{name}: another process fetches it; wait for that one")
            for leftover in target.parent.glob(f".{name}.*.part"):  # of a process that was killed
                shutil.rmtree(leftover, ignore_errors=True)
            staging = target.parent / f".{name}.{os.getpid()}.part"  # the only one: its maker holds the lock
            staging.mkdir()
            try:
                _fill(staging, origin, progress)
                if target.exists():
                    shutil.rmtree(target)
                staging.rename(target)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise BadBenchmark(f"{target}: cannot be written ({error.strerror}); free space and fetch again") from error
    return target


def _fill(staging: Path, origin: Origin, progress: Callable[[int, int], None] | None) -> None:
    """Every file of the origin, and no other content than the pinned one."""
    for done, file in enumerate(origin.files, start=1):
        path = staging / file
        if not path.resolve().is_relative_to(staging.resolve()):
            raise BadBenchmark(f"{origin.name}: the file {file!r} would lie outside the benchmark's folder, refused")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_download(origin.base + file))
        if is_archive(file):
            unpack(path, staging)
            path.unlink()
        if progress:
            progress(done, len(origin.files))
    got = read_benchmark(staging, origin.name).digest
    if got != origin.digest:
        raise BadBenchmark(
            f"{origin.name}: fetched content has digest {got[:16]}, wanted {origin.digest[:16]}; nothing was kept"
        )


def _download(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            content = answer.read(MAX_DOWNLOAD + 1)
    except (urllib.error.URLError, OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise BadBenchmark(f"{url}: cannot be fetched ({reason}); try again with a network, or set ZCP_DATA") from error
    if len(content) > MAX_DOWNLOAD:
        raise BadBenchmark(f"{url}: larger than {MAX_DOWNLOAD:,} bytes, refused")
    return content
