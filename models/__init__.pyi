from .architecture import Architecture as Architecture
from .architecture import BadArchitecture as BadArchitecture
from .benchmarks import BadBenchmark as BadBenchmark
from .benchmarks import Benchmark as Benchmark
from .benchmarks import load_benchmark as load_benchmark
from .candidates import read_candidates as read_candidates
from .spaces import SPACES as SPACES
from .tokens import TokenBatch as TokenBatch
