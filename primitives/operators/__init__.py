"""Operators and aggregations by name. Importing this package fills the tables."""

from primitives.operators import binary as _binary  # noqa: F401  (fills BINARY)
from primitives.operators import unary as _unary  # noqa: F401  (fills UNARY)
from primitives.operators.aggregation import (
    AGGREGATION,
    BUDGET,
    USUAL_AGGREGATIONS,
    Aggregation,
    aggregation,
    constant_of,
    fixed,
    times,
    turned,
    turns,
)
from primitives.operators.registry import BINARY, ENTRYWISE, UNARY, BadOperator, Binary, Kind, Sign, Unary

__all__ = [
    "AGGREGATION",
    "BINARY",
    "BUDGET",
    "ENTRYWISE",
    "UNARY",
    "USUAL_AGGREGATIONS",
    "Aggregation",
    "BadOperator",
    "Binary",
    "Kind",
    "Sign",
    "Unary",
    "aggregation",
    "constant_of",
    "fixed",
    "times",
    "turned",
    "turns",
]
