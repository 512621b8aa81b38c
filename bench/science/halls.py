"""Halls of fame that measurements share: one search per benchmark, seed and number of labels, kept so that the next
measurement does not search again.

    python -m bench.science.halls --benchmark gpt2-mini [--seeds 42 43 44 45 46] [--sizes 20 30 50 100] [--sketch]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path

from fitness.evaluation import split_groups
from fitness.features.workshop import Workshop
from gp.benchmark_search import PreparedSearch, search
from gp.case import Case
from gp.config import SearchConfig
from gp.figures import hall_case
from gp.hall_file import HallDocument, HallProxy, Measured, load_hall, save_hall
from gp.problem import SearchProblem
from models.benchmarks.benchmark import Benchmark
from models.benchmarks.origins import load_benchmark

FOLDER = Path(".cache/halls")


@dataclass(frozen=True)
class KeptHalls:
    """Folder of the halls of a benchmark; `sketch`: evaluated by sketch scores, without visiting networks."""

    benchmark: Benchmark
    workshop: Workshop
    folder: Path = FOLDER
    sketch: bool = False

    def hall(self, seed: int, size: int = 50) -> HallDocument:
        """The hall of this seed's search on `size` labels, found now if it is not kept."""
        config = SearchConfig(seed=seed)
        path = self.folder / f"{self.benchmark.name}-{seed}-{size}-{self._digest(config, size)}.json"
        if not path.exists():
            document = self._searched(config, size)
            path.parent.mkdir(parents=True, exist_ok=True)
            save_hall(path, document)
        return load_hall(path)

    def _digest(self, config: SearchConfig, size: int) -> str:
        what = [self.benchmark.digest, self.benchmark.metric, config.to_dict(), size, self.workshop.bank.key.digest]
        return hashlib.sha256(json.dumps([*what, self.sketch]).encode()).hexdigest()[:12]

    def _searched(self, config: SearchConfig, size: int) -> HallDocument:
        split = split_groups(self.benchmark.groups, size, config.seed)
        case = Case(self.benchmark, self.workshop, split)
        if self.sketch:
            problem = SearchProblem.of([case], config)
            found = PreparedSearch.of(problem, config).evolve().hall
        else:
            found = search([case], config, jobs=1).hall
        if found.best is None:
            raise SystemExit(f"seed {config.seed}: no valid formula")
        proxies = tuple(HallProxy(champion) for champion in found.champions[: config.hall_size])
        return HallDocument(
            seed=config.seed,
            config={"search": config.to_dict(), "search_size": size},
            cases=(hall_case(case, (Measured(),) * len(proxies)),),
            proxies=proxies,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--benchmark", nargs="+", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44, 45, 46])
    parser.add_argument("--sizes", type=int, nargs="+", default=[50])
    parser.add_argument("--sketch", action="store_true", help="judge by sketch scores, to be quick")
    parser.add_argument("--bank", type=Path, default=Path(".cache/bank"))
    o = parser.parse_args()
    for name in o.benchmark:
        benchmark = load_benchmark(name)
        kept = KeptHalls(benchmark, Workshop.open(benchmark.space, bank=o.bank), sketch=o.sketch)
        for size in o.sizes:
            for seed in o.seeds:
                start = time.perf_counter()
                best = kept.hall(seed, size).proxies[0]
                spent = time.perf_counter() - start
                print(f"{name} {size} labels, seed {seed}: {spent:.1f} s  {best.sign:+d} {best.proxy}", flush=True)


if __name__ == "__main__":
    main()
