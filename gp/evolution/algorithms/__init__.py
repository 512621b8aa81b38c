"""The search algorithms, one file each; importing the folder fills the table `ALGORITHMS`."""

from gp.evolution.algorithms import lpzero, memetic, nsga2, operon, random_search
from gp.evolution.algorithms.registry import ALGORITHMS, Algorithm, BadAlgorithm, Newborn, algorithm

__all__ = ["ALGORITHMS", "FAMILIES", "Algorithm", "BadAlgorithm", "Newborn", "algorithm"]

FAMILIES = (memetic, lpzero, random_search, nsga2, operon)
