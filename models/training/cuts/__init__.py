"""Subnets of a pretrained LLaMA checkpoint, measured as they are cut.

sample.py     which subnets: a tree of configurations whose prefixes are shared
measuring.py  the losses of many subnets on a text; blocks that several subnets begin with are computed once
plan.py       what is measured: the subnets, the windows of text, the stages
campaign.py   smollm2-subnets: stage by stage, all subnets on each, in a log that a later run continues
table.py      the table of losses, which grows more exact with every stage
"""
