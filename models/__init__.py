"""Architectures, the networks they describe, and the benchmarks that say how good those are once they are trained.

load_benchmark   a benchmark by name (gpt2-mini, gpt2-wt103, flexibert-glue) or by path
Benchmark        architectures of one space with their measured quality
BadBenchmark     a benchmark that cannot be used; the message names the record
Architecture     a frozen description of a transformer
BadArchitecture  a description that its space cannot build
SPACES           the spaces by name; each checks, samples, counts and builds its architectures
TokenBatch       the text that untrained networks are shown
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
