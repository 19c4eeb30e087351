"""What earlier versions of the package wrote to files, turned into what this one reads.

When the parts of a class change, the name under which it is registered in `skwakesleep._adapters.plain` gets a higher
number, such as "training-state/2". Each function here turns the parts under an earlier name into those under a later.
"""

from collections.abc import Callable
from typing import Any

Parts = dict[str, Any]


def _with_epochs(parts: Parts) -> Parts:
    """Count the epochs, which were the length of the list of lower bounds."""
    return {**parts, "n_epochs": _length(parts.get("lower_bounds"))}


def _without_bounds(parts: Parts) -> Parts:
    """Remove the lower bounds of amortised learning, which were zeros."""
    return {**_with_epochs(parts), "lower_bounds": []}


def _length(items: Any) -> int:
    return len(items) if isinstance(items, list) else 0


UPGRADES: dict[str, Callable[[Parts], tuple[str, Parts]]] = {
    "amortised-state": lambda parts: ("amortised-state/2", _without_bounds(parts)),
    "training-state": lambda parts: ("training-state/2", _with_epochs(parts)),
}
