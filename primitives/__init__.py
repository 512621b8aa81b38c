"""The language of formulas: what is read from a network, what is computed from it, and what it is worth.

parse          the proxy that a text spells; str(proxy) is that text
Proxy          an immutable formula of one to three branches; its text is its identity
Branch         an input followed by a chain of unary operators
BadProxy       a text that is not a formula; the message points at the place
INPUTS         the inputs by name: A, J, G, H, W, S and their parts
UNARY, BINARY  the operators by name; `unary` and `binary` register another one
Unary, Binary  an operator: its kind, its sign, its formula and the function that computes it
Kind, Sign     what an operator needs and returns, and what is known of the sign of its results
AGGREGATION    the aggregations by name: one number per tensor becomes one per network
RULES          the rules of predictive pruning by name; `rule` registers another one
violation      the first rule that a formula breaks
score          the value of a formula on the features of one network
Invalid        every reason why there is no score, as a sentence
as_latex       a formula for a paper
as_python      a formula as torch statements, to read
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
