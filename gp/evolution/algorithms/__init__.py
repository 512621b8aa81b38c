"""The search algorithms, one file each; importing the folder fills the table `ALGORITHMS`."""

from gp.evolution.algorithms import lpzero, nsga2, random_search
from gp.evolution.algorithms.registry import ALGORITHMS, Algorithm, BadAlgorithm, algorithm

__all__ = ["ALGORITHMS", "FAMILIES", "Algorithm", "BadAlgorithm", "algorithm"]

FAMILIES = (lpzero, random_search, nsga2)
