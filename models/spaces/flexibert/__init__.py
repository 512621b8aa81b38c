"""BERT-like encoders in two builds: what was trained, what was scored.

space.py    FlexibertSpace: configurations are checked, drawn and counted
plans.py    the sizes of a network
blocks.py   the blocks: six ways to mix tokens
"""
