"""Checks of the parameters of models."""

from numbers import Integral, Real
from typing import Any

import numpy as np


def is_count(value: Any) -> bool:
    """Return whether a value is an int of one or more."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1


def check_counts(**counts: Any) -> None:
    """Raise an error unless each named number is an int of one or more."""
    for name, count in counts.items():
        if not is_count(count):
            raise ValueError(f"{name} must be an int >= 1. Got {count!r}.")


def check_counts_of(owner: str, **counts: Any) -> None:
    """Raise an error that names the class, unless each named number is an int of one or more."""
    for name, count in counts.items():
        if not is_count(count):
            raise ValueError(f"{name} of {owner} must be an int, at least 1. Got {count!r} instead.")


def check_choice(owner: str, name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Raise an error unless a value is one of the choices."""
    if value not in choices:
        raise ValueError(f"{name} of {owner} must be one of {', '.join(map(repr, choices))}. Got {value!r} instead.")


def check_positive(owner: str, name: str, value: Any) -> None:
    """Raise an error unless a value is a finite positive number."""
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 < float(value) < np.inf:
        raise ValueError(f"{name} of {owner} must be a float in (0, inf). Got {value!r} instead.")
