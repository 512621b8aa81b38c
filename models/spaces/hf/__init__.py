"""Any decoder or encoder of Hugging Face's library, by its configuration.

space.py       HfSpace: configurations are checked, networks built
config.py      configurations of the library, checked and reduced to the fields that shape a network
fields.py      which fields a family knows, and how they are written
unknown.py     fields that a family does not have
rope.py        fields of rotary positions that contradict each other
sizes.py       bounds of the numbers that decide how much is made
drawing.py     weights that are drawn alike for all families
library.py     how the library makes a network whose attention can be watched
layout.py      where the inputs of such a network are
trace.py       what one pass without numbers calls, from which this is found
network.py     the networks, on random weights
checkpoint.py  the networks with the weights of a checkpoint
saved.py       tensors as the library saves them, converted to those that it loads
"""
