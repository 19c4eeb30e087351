"""Fitted objects as plain types, for saved files.

Loading a file can call the classes that it names, so tools that load files of others ask which classes to trust.
Objects of the engine and of the models are therefore saved as dictionaries of arrays, numbers and strings, and the
estimator makes them again: its class is the only one that a file names. Each dictionary has the registered name of a
class, and the parts that an object is made from.
"""

from collections.abc import Collection
from functools import cache
from importlib import import_module
from inspect import Parameter, signature
from numbers import Integral, Real
from types import UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

import numpy as np

from skwakesleep._adapters.saved_upgrades import UPGRADES

# The key of the registered name.
CLASS = "skwakesleep class"
# Classes whose objects are made by the constructor, with attributes of the same names as arguments.
CONSTRUCTED = {
    "amortised-fit": "skwakesleep._engine.amortised.state.Fit",
    "block": "skwakesleep._engine.machine.columns.Block",
    "blowfly-dynamics": "skwakesleep.simulators._blowfly.BlowflyDynamics",
    "columns": "skwakesleep._engine.machine.columns.Columns",
    "column-units": "skwakesleep._engine.amortised.units.Units",
    "dreams": "skwakesleep._engine.amortised.dreams.StoredDreams",
    "fitted-machine": "skwakesleep._engine.machine.fitted.FittedMachine",
    "fitted-transformer": "skwakesleep._engine.amortised.feature_maps.FittedTransformer",
    "hodgkin-huxley": "skwakesleep.simulators._hodgkin_huxley.HodgkinHuxley",
    "latent-factors": "skwakesleep.models._latent_factors.LatentFactors",
    "linear-map": "skwakesleep._engine.amortised.feature_maps.LinearMap",
    "machine/2": "skwakesleep._engine.machine.networks.Machine",
    "moments": "skwakesleep._engine.machine.moments.Moments",
    "neural-decoder": "skwakesleep.models._binary_networks.NeuralDecoder",
    "pinwheel": "skwakesleep.simulators._pinwheel.Pinwheel",
    "sgd": "skwakesleep._engine.training.optimizers.SGD",
    "standardization": "skwakesleep._engine.machine.codecs.Standardization",
    "unit-interval": "skwakesleep._engine.machine.codecs.UnitInterval",
    "sigmoid-belief-network": "skwakesleep.models._binary_networks.SigmoidBeliefNetwork",
}
# Classes whose objects get back the attributes that the class annotates.
RESTORED = {
    "adam": "skwakesleep._engine.training.optimizers.Adam",
    "amortised-state/2": "skwakesleep._engine.amortised.state.AmortisedState",
    "regression-state": "skwakesleep._engine.amortised.state.RegressionState",
    "streams": "skwakesleep._engine.arrays.random.Streams",
    "training-state/2": "skwakesleep._engine.training.state.TrainingState",
}
PATHS = {**CONSTRUCTED, **RESTORED}
NAMES = {path: name for name, path in PATHS.items()}
# More levels than any estimator has, and fewer than Python's recursion limit.
MAX_DEPTH = 100
# Abstract types of numbers, which include the scalars of NumPy.
NUMBERS = {int: Integral, float: Real}

Memo = dict[int, Any]


class Registered(NamedTuple):
    """A class with the types of its parts, and the names of optional parts."""

    cls: Any
    types: dict[str, Any]
    optional: set[str]


def to_plain(value: Any, memo: Memo | None = None) -> Any:
    """Return `value` with every object of a registered class replaced by a dictionary.

    An object that occurs twice becomes one dictionary that occurs twice.
    """
    memo = {} if memo is None else memo
    if isinstance(value, dict):
        return {name: to_plain(item, memo) for name, item in value.items()}
    name = NAMES.get(f"{type(value).__module__}.{type(value).__qualname__}")
    if name is None:
        return value
    if id(value) not in memo:
        state = value.__getstate__()
        parts = {part: to_plain(state[part], memo) for part in _registered(name).types}
        memo[id(value)] = {CLASS: name, **parts}
    return memo[id(value)]


def from_plain(value: Any, memo: Memo | None = None, depth: int = 0) -> Any:
    """Return the objects that `to_plain` turned into dictionaries.

    Raises
    ------
    ValueError
        For dictionaries that `to_plain` does not make.
    """
    memo = {} if memo is None else memo
    if not isinstance(value, dict):
        return value
    if depth > MAX_DEPTH:
        raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")
    if id(value) not in memo:
        parts = {name: from_plain(item, memo, depth + 1) for name, item in value.items()}
        memo[id(value)] = _object(parts) if CLASS in parts else parts
    return memo[id(value)]


def _object(parts: dict[Any, Any]) -> Any:
    """Return an object made from its parts."""
    name = parts.pop(CLASS)
    if isinstance(name, str) and name in UPGRADES:
        name, parts = UPGRADES[name](parts)
    if not isinstance(name, str) or name not in PATHS:
        raise ValueError(f"it holds an object of class {name!r}, which is none of this package")
    cls, types, optional = _registered(name)
    for part in types.keys() - parts.keys() - optional:
        raise ValueError(f"{part} of {name!r} is missing")
    for part, item in parts.items():
        if part not in types:
            raise ValueError(f"{name!r} has no {part!r}")
        if not fits(item, types[part]):
            raise ValueError(f"{part} of {name!r} is of the wrong type {type(item).__name__!r}")
    if name in CONSTRUCTED:
        with np.errstate(all="ignore"):  # invalid numbers are found by later checks
            return cls(**parts)
    whole = object.__new__(cls)
    vars(whole).update(parts)
    return whole


@cache
def _registered(name: str) -> Registered:
    """Import a class when it is first needed."""
    module, _, attribute = PATHS[name].rpartition(".")
    cls = getattr(import_module(module), attribute)
    if name in RESTORED:
        return Registered(cls, get_type_hints(cls), set())
    types = get_type_hints(cls.__init__)
    types.pop("return", None)
    parameters = signature(cls).parameters.values()
    return Registered(cls, types, {parameter.name for parameter in parameters if parameter.default != Parameter.empty})


def fits(value: Any, annotation: Any) -> bool:
    """Return whether a value, with its items, is of an annotated type."""
    expected, arguments = get_origin(annotation) or annotation, get_args(annotation)
    if expected is Any:
        return True
    if expected in (Union, UnionType):
        return any(fits(value, argument) for argument in arguments)
    if expected in NUMBERS:
        return isinstance(value, NUMBERS[expected]) and not isinstance(value, bool)
    if not isinstance(value, expected):
        return False
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "biuf"
    if isinstance(value, dict):
        return all(fits(name, arguments[0]) and fits(item, arguments[1]) for name, item in value.items())
    if arguments and isinstance(value, Collection):
        return all(fits(item, arguments[0]) for item in value)
    return True
