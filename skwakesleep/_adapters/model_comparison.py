"""Whether two generative models are the same, so that a training can continue with the one where the other was."""

from typing import Any

import numpy as np

from skwakesleep._adapters.plain import to_plain


def same_model(first: Any, second: Any) -> bool:
    """Return whether two models are of one class and have equal parameters.

    Parameters are those of ``get_params``. Arrays are compared by value, functions by ``==``. Without ``get_params``,
    the models themselves must be equal, except that models of this package are compared by what a file would hold.
    """
    return type(first) is type(second) and _are_equal(_parameters(first), _parameters(second))


def _parameters(model: Any) -> Any:
    return model.get_params(deep=False) if hasattr(model, "get_params") else to_plain(model)


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
