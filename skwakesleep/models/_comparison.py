"""Comparison of models by their parameters."""

from typing import Any

import numpy as np


def same_model(first: Any, second: Any) -> bool:
    """Return whether two models are of one class and have equal parameters.

    Parameters are those of ``get_params``. Arrays are compared by value, functions by ``==``. Models without
    ``get_params`` are compared by ``==``.
    """
    if type(first) is not type(second):
        return False
    if hasattr(first, "get_params"):
        return _are_equal(first.get_params(deep=False), second.get_params(deep=False))
    return _are_equal(first, second)


def _are_equal(first: Any, second: Any) -> bool:
    if first is second:
        return True
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(_are_equal(first[name], second[name]) for name in first)
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        return len(first) == len(second) and all(map(_are_equal, first, second))
    try:
        if hasattr(first, "get_params"):
            return same_model(first, second)
        equal = (first == second) | ((first != first) & (second != second))  # NaN equals NaN
        return np.shape(first) == np.shape(second) and bool(np.all(equal))
    except (TypeError, ValueError):  # objects whose comparison is not a truth value
        return False
