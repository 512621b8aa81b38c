"""The known benchmarks: embedded tables, and published data at a pinned commit with a content digest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["ORIGINS", "PROJECT", "Origin"]

PROJECT = Path(__file__).resolve().parents[2]


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
            "llama-cut",
            "llama",
            "a small LLaMA trained by this project and 526 subnets of it (fewer blocks, feed-forward units, key-value "
            "groups), loss as cut and, with --metric healed, after 100 steps of training, nats per byte",
            "MIT",
            "this repository, models/training/healing.py",
            "5061ddab8519e201098694575f1a8ebd09a911a0011e536415eebf4400c54307",
            embedded=PROJECT / "models" / "benchmarks" / "data" / "llama-cut.jsonl",
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
