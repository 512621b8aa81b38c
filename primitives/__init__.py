"""The language of formulas: inputs, operators, grammar, scoring and pruning rules.

inputs.py     INPUTS: the letters A, J, G, H, W, S and their parts, by name
operators/    UNARY, BINARY, AGGREGATION by name; `unary` and `binary` register another operator, Unary and Binary are
              what they register, Kind and Sign say what it needs and what is known of its results
frames.py     how sums over a tensor are taken, so that one operator serves tensors, sketches and numbers
proxy.py      Proxy: a formula of one to eight Branches, whose text is its identity; BadProxy: what is none
grammar.py    parse: the proxy that a text spells; str(proxy) is that text
pps.py        RULES of predictive pruning by name; `rule` registers another one, violation is the first one broken
along.py      chains of operators whose common beginnings are computed once
budget.py     the training budget T: what a formula that reads it is made of
scoring.py    score: the value of a formula on the features of one network
invalid.py    Invalid: every reason why there is no score, as a sentence
rendering.py  as_latex, as_python: a formula for a paper, and as torch statements to read
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
