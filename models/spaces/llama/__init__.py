"""LLaMA's decoders with heads, key-value heads and a gated feed-forward width per block, and subnets of checkpoints.

space.py          LlamaSpace: configurations are drawn and counted, networks built
configuration.py  configurations are checked; sizes that follow from them
network.py        the networks, and their initialisation, tensor by tensor
blocks.py         the block
parts.py          the networks in pieces, one block at a time
weights.py        trained weights cut to narrower feed-forward layers; those of llama-elastic
checkpoint.py     which checkpoints have weights for a network of this space
library.py        the config.json of the library for a network of this space
relatives.py      config.json of families that are nearly LLaMA: Nemotron-NAS, OpenELM, MobileLLM
subnets.py        subnets of a checkpoint: blocks, units and heads that are kept
unit_order.py     the order by which the units of a checkpoint are kept where it is cut
"""
