"""Subnets of a pretrained LLaMA checkpoint, measured as they are cut.

sample.py     which subnets: a tree of configurations whose prefixes are shared
measuring.py  the losses of many subnets on a text; blocks that several subnets begin with are computed once
campaign.py   smollm2-subnets: window by window, all subnets on each, in a log that a later run continues
"""
