"""Deprecated protocols of one or two optional methods each, kept for ``isinstance``."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from skwakesleep._deprecation import Deprecated

METHODS = {
    "ColumnUnits": ("column_units", "params_in_units"),
    "ConditionalDensity": ("log_prob_x_given_z",),
    "JointDensity": ("log_joint",),
    "LatentFunction": ("latent_function",),
    "Likelihood": ("log_likelihood",),
    "LikelihoodGradient": ("grad_log_likelihood",),
    "LocalFeatures": ("local_features",),
    "NamedParameters": ("unpack",),
    "Projection": ("project",),
}


def _method(self: Any, *args: Any) -> Any:
    """Stand for a method of a protocol."""


def _protocol(name: str, methods: Sequence[str]) -> Any:
    namespace = {"__doc__": "Deprecated protocol.", "__module__": __name__, **dict.fromkeys(methods, _method)}
    return runtime_checkable(type(name, (Protocol,), namespace))


globals().update({name: _protocol(name, methods) for name, methods in METHODS.items()})


def _deprecated(methods: Sequence[str]) -> Deprecated:
    checks = " and ".join(f"hasattr(model, {method!r})" for method in methods)
    return Deprecated(__name__, f"Optional methods need no protocol: test {checks}")


REMOVED_PROTOCOLS = {name: _deprecated(methods) for name, methods in METHODS.items()}
