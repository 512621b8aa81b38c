"""Architectures with measured quality: where they come from, and the layouts they are read from.

load_benchmark  a benchmark by name or by path
read_benchmark  the benchmark in a file or folder, whatever its layout
Benchmark       architectures of one space with their measured quality
BadBenchmark    a benchmark that cannot be used; the message names the record
ORIGINS         the known benchmarks by name: what they hold, their licence, where they are fetched from
fetch           download a known benchmark at its pinned commit
verify          read a known benchmark and compare it with its pinned digest
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
