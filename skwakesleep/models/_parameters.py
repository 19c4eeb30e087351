"""Parameters of models: checks of their values, and comparison."""

from numbers import Integral, Real
from typing import Any

import numpy as np

# ---------------------------------------------------------------------- checks


def is_count(value: Any) -> bool:
    """Return whether a value is an int of one or more."""
    # Integral admits NumPy's ints. A bool is an Integral too, but a mistake here.
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1


def check_counts(model: Any, **counts: Any) -> None:
    """Raise an error that names the class of the model, unless each named number is an int of one or more."""
    for name, count in counts.items():
        if not is_count(count):
            raise ValueError(f"{name} of {type(model).__name__} must be an int, at least 1. Got {count!r} instead.")


def check_choice(model: Any, name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Raise an error unless a value is one of the choices."""
    if value not in choices:
        names = ", ".join(map(repr, choices))
        raise ValueError(f"{name} of {type(model).__name__} must be one of {names}. Got {value!r} instead.")


def check_positive(model: Any, **values: Any) -> None:
    """Raise an error unless each value is a finite positive number."""
    for name, value in values.items():
        if not isinstance(value, Real) or isinstance(value, bool) or not 0 < float(value) < np.inf:
            raise ValueError(f"{name} of {type(model).__name__} must be a float in (0, inf). Got {value!r} instead.")


# ---------------------------------------------------------------------- comparison


def same_model(first: Any, second: Any) -> bool:
    """Return whether two models are of one class and have equal parameters.

    Parameters are those of ``get_params``. Arrays are compared by value, functions by ``==``. Models without
    ``get_params`` are compared by ``==``.
    """
    return type(first) is type(second) and same_parts(first, second)


def same_parts(first: Any, second: Any) -> bool:
    """Return whether two values are equal, item by item."""
    if first is second:
        return True
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(same_parts(first[name], second[name]) for name in first)
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        return len(first) == len(second) and all(map(same_parts, first, second))
    try:
        if hasattr(first, "get_params"):
            params = (model.get_params(deep=False) for model in (first, second))
            return type(first) is type(second) and same_parts(*params)
        equal = (first == second) | ((first != first) & (second != second))  # NaN equals NaN
        return np.shape(first) == np.shape(second) and bool(np.all(equal))
    except (TypeError, ValueError):  # objects whose comparison is not a truth value
        return False
