"""Conversion of the contents of files that earlier versions of the package wrote.

When the parts of a class change, its registered name gets a higher number, such as "training-state/2". Each function
here turns the parts under an earlier name into those under a later one.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from skwakesleep._engine.machine.codecs import UnitInterval
from skwakesleep._engine.machine.columns import Block, Columns

Parts = dict[str, Any]

# More columns than can be trained: a damaged file must not allocate memory without bound.
MAX_COLUMNS = 10**6


def _with_epochs(parts: Parts) -> Parts:
    """Count the epochs, which were the length of the list of lower bounds."""
    return {**parts, "n_epochs": _length(parts.get("lower_bounds"))}


def _without_bounds(parts: Parts) -> Parts:
    """Remove the lower bounds of amortised learning, which were zeros."""
    return {**_with_epochs(parts), "lower_bounds": []}


def _of_columns(parts: Parts) -> Parts:
    """Make columns of one kind out of the family of the visible units, which said how many of them are active."""
    n_columns, *hidden_sizes = parts["sizes"]
    if n_columns > MAX_COLUMNS:
        raise ValueError(f"the machine has {n_columns} columns")
    codec, kind = parts["visible"], "gaussian"
    if isinstance(codec, UnitInterval):
        codec, kind = UnitInterval(np.full(n_columns, parts["n_active"] / n_columns), 1), "bernoulli"
    columns = Columns({kind: Block(codec, np.arange(n_columns))})
    return {"columns": columns, "hidden_sizes": hidden_sizes, "autoregressive": parts["autoregressive"]}


def _length(items: Any) -> int:
    return len(items) if isinstance(items, list) else 0


UPGRADES: dict[str, Callable[[Parts], tuple[str, Parts]]] = {
    "amortised-state": lambda parts: ("amortised-state/2", _without_bounds(parts)),
    "bernoulli": lambda parts: ("unit-interval", {"column_means": np.zeros(0), "n_rows": 1}),
    "gaussian": lambda parts: ("standardization", parts),
    "machine": lambda parts: ("machine/2", _of_columns(parts)),
    "training-state": lambda parts: ("training-state/2", _with_epochs(parts)),
}
