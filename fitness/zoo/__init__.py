"""Hand-made proxies, one file per family, and naive baselines. Importing the folder fills the table `ZOO`."""

from fitness.zoo import activations, attention, gradients, jacobian, lpzero, synapses, synflow, weights, wpca
from fitness.zoo.registry import ZOO, find

__all__ = ["FAMILIES", "ZOO", "find"]

FAMILIES = (gradients, synflow, activations, jacobian, synapses, attention, weights, wpca, lpzero)
