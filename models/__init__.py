"""Architectures, the networks they describe, and the benchmarks that say how good those are once they are trained.

architecture.py  `Architecture`: a frozen description of a transformer; `BadArchitecture` for one that cannot be built
spaces/          `SPACES` by name; each checks, samples, counts and builds its architectures
candidates.py    `read_candidates`: architectures that nobody measured, from files of every layout
nested.py        families of nested networks: one size grows, all else stays
budget.py        `Tokens`: an amount of training tokens, or one per parameter
tokens.py        `TokenBatch`: the text that networks are shown, as bytes or as tokens of a checkpoint
tokenizer.py     `TextTokenizer`: the tokenizer of a checkpoint
prose.py         `load_prose`: English text that every Python installation has
checkpoints/     pretrained checkpoints that can be obtained as packages
benchmarks/      `load_benchmark` by name or path; `Benchmark`: architectures with their quality; `BadBenchmark`
training/        the embedded benchmark: small architectures trained here, and how noisy what they reach is
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
