"""Architectures with measured quality: where they come from, and the layouts they are read from.

benchmark.py  `Benchmark`: architectures of one space with their quality; `BadBenchmark` names the bad record
known.py      `ORIGINS`, the known benchmarks
origins.py    `load_benchmark` by name or path; `fetch` and `verify`
layouts/      `read_benchmark`: what is in a file or folder, a layout a file
archives.py   a fetched zip or tar file, unpacked without trusting it
data/         the embedded tables, the supernet of llama-elastic and the checkpoint of llama-cut
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
