"""Optional methods of a model, in groups that are needed together."""

from collections.abc import Iterable
from typing import Any

EXPONENTIAL_FAMILY = ("sufficient_statistics", "natural_parameters", "natural_vjp")
LOCAL_FACTORS = ("local_inputs", "sample_local", "local_grad_log_joint")
COLUMN_UNITS = ("column_units", "params_in_units")


def missing_methods(model: Any, methods: Iterable[str]) -> list[str]:
    """Return those of the methods that a model does not have."""
    return [name for name in methods if not hasattr(model, name)]


def offers(model: Any, methods: Iterable[str]) -> bool:
    """Return whether a model has all of the methods."""
    return not missing_methods(model, methods)
