"""The search for formulas; inside it only `gp.evolution` knows DEAP.

benchmark_search.py  search(cases, config): choice of kind, evolution, exact scores
figures.py           what a search found, measured on every architecture
config.py            SearchConfig, the settings of a search
evolution/           typed trees, variation, algorithms (one file each), ask and tell
problem.py           what a search is about; case.py: a benchmark in it; constants.py: those of formulas
sweeps.py            neighbourhoods of a formula; additions.py: by least squares; choice.py: the kind that pays
regression.py        symbolic regression by Operon as a search
lesson.py            what a teacher says of networks without labels; pool.py: how these are drawn
cut_lesson.py        pool and numbers for subnets of a checkpoint
runs/                a search in a directory that survives kills
studies/             the same search under many settings
hall_of_fame.py      the best formulas, in memory; hall_file.py: as a file, of hall_cases.py and hall_entries.py
lineage.py           where formulas come from; reporter.py: callbacks that tell of progress
selection.py         a search over architectures under budgets; cut_selection.py: over subnets of a checkpoint
cut_rivals.py        what other methods choose among subnets
exhaustive.py        every formula of the published space
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
