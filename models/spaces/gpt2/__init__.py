"""Pre-LayerNorm decoders with a width and a head count per block.

space.py     Gpt2Space: configurations are checked, drawn and counted
sizes.py     sizes that follow from a configuration
network.py   the networks, and their initialisation
blocks.py    the block
"""
