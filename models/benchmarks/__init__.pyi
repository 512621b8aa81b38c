from .benchmark import BadBenchmark as BadBenchmark
from .benchmark import Benchmark as Benchmark
from .layouts import read_benchmark as read_benchmark
from .origins import ORIGINS as ORIGINS
from .origins import fetch as fetch
from .origins import load_benchmark as load_benchmark
from .origins import verify as verify
