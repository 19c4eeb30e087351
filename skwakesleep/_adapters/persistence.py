"""Saved estimators: plain types, with the version of the package.

Loading a file can call the classes that it names, so tools that load files of others ask which classes to trust.
Objects of the engine and of the models are therefore saved as dictionaries of arrays, numbers and strings, and the
estimator makes them again: its class is the only one that a file names. Each dictionary has the registered name of a
class, and the parts that an object is made from.

When the parts of a class change, its registered name gets a higher number, such as "training-state/2". A function in
`UPGRADES` turns the parts under the earlier name into those under the later one.
"""

import warnings
from collections.abc import Callable, Collection
from functools import cache
from inspect import Parameter, signature
from numbers import Integral, Real
from pkgutil import resolve_name
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np

from skwakesleep._engine.amortised.progress import Progress
from skwakesleep._engine.machine.codecs import UnitInterval
from skwakesleep._engine.machine.columns import Block, Columns
from skwakesleep._version import __version__

# The key of the registered name.
CLASS = "skwakesleep class"
# Classes whose objects are made by the constructor, with attributes of the same names as arguments.
CONSTRUCTED = {
    "amortised-fit": "skwakesleep._engine.amortised.state.Fit",
    "categories": "skwakesleep._engine.machine.cell_codecs.Categories",
    "counts": "skwakesleep._engine.machine.interval_codecs.Counts",
    "intervals": "skwakesleep._engine.machine.interval_codecs.Intervals",
    "levels": "skwakesleep._engine.machine.cell_codecs.Levels",
    "block": "skwakesleep._engine.machine.columns.Block",
    "blowfly-dynamics": "skwakesleep.simulators._blowfly.BlowflyDynamics",
    "columns": "skwakesleep._engine.machine.columns.Columns",
    "column-units": "skwakesleep._engine.amortised.units.Units",
    "declared-model": "skwakesleep.models._declared_model.DeclaredModel",
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
    "table-format": "skwakesleep._adapters.table_format.TableFormat",
    "standardization": "skwakesleep._engine.machine.codecs.Standardization",
    "unit-interval": "skwakesleep._engine.machine.codecs.UnitInterval",
    "sigmoid-belief-network": "skwakesleep.models._binary_networks.SigmoidBeliefNetwork",
}
# Classes whose objects get back the attributes that the class annotates.
RESTORED = {
    "adam": "skwakesleep._engine.training.optimizers.Adam",
    "amortised-state/3": "skwakesleep._engine.amortised.state.AmortisedState",
    "progress": "skwakesleep._engine.amortised.progress.Progress",
    "regression-state/2": "skwakesleep._engine.amortised.state.RegressionState",
    "sgd/2": "skwakesleep._engine.training.optimizers.SGD",
    "streams": "skwakesleep._engine.arrays.random.Streams",
    "training-state/3": "skwakesleep._engine.training.state.TrainingState",
}
PATHS = {**CONSTRUCTED, **RESTORED}
NAMES = {path: name for name, path in PATHS.items()}
# More levels than any estimator has, and fewer than Python's recursion limit.
MAX_DEPTH = 100
# More columns than can be trained: a damaged file must not allocate memory without bound.
MAX_COLUMNS = 10**6
# Abstract types of numbers, which include the scalars of NumPy.
NUMBERS = {int: Integral, float: Real}

Memo = dict[int, Any]
Parts = dict[str, Any]


class VersionedPickleMixin:
    """Save an estimator as plain types, and warn when another version loads it, as scikit-learn's estimators do.

    A file may be damaged or malicious, so its contents are checked.
    """

    # Attributes of a fitted estimator: a file has all of them or none.
    _LEARNED: tuple[str, ...] = ()

    def __getstate__(self):
        return {**to_plain(super().__getstate__()), "_skwakesleep_version": __version__}

    def __setstate__(self, state):
        name = type(self).__name__
        if not isinstance(state, dict):
            raise ValueError(f"A saved {name} is damaged: its state is a {type(state).__name__}.")
        state = dict(state)
        saved = state.pop("_skwakesleep_version", "unknown")
        if saved != __version__:
            warnings.warn(
                f"{name} was saved by skwakesleep {saved} and is loaded by {__version__}: it may fail or give other "
                "results. Fit it again, or load it with the version that saved it.",
                UserWarning,
                stacklevel=2,
            )
        try:
            _check_names(type(self), state)
            # Earlier versions did not have all parameters.
            super().__setstate__({**_defaults(type(self)), **from_plain(state)})
            self._check_loaded()
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise ValueError(f"A saved {name} is damaged: {str(error).rstrip('.')}.") from error

    def __copy__(self):
        """Return a shallow copy, which shares the fitted objects."""
        # The default would convert all parts to plain types, and check and copy them.
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        return other

    def _adopt(self, attributes: dict[str, Any]) -> None:
        """Set the fitted attributes of a new fit."""
        kept = {name: value for name, value in vars(self).items() if name != "feature_names_in_"}
        self.__dict__ = {**kept, **attributes}  # one assignment: other threads read the old fit or the new

    def _check_loaded(self) -> None:
        """Raise ValueError unless the fitted attributes are complete and consistent."""
        missing = [name for name in self._LEARNED if name not in vars(self)]
        if not missing:
            self._check_learned()
        elif len(missing) < len(self._LEARNED):
            raise ValueError(f"{missing[0]} is missing")

    def _check_learned(self) -> None:
        """Raise ValueError unless the fitted attributes are consistent."""


def _check_names(cls: type, state: dict[Any, Any]) -> None:
    """Raise ValueError for an attribute that would hide a name of the class."""
    for name in state:
        if not isinstance(name, str) or name in _reserved(cls):
            raise ValueError(f"{name!r} cannot be an attribute of a saved estimator")


@cache
def _defaults(cls: type) -> dict[str, Any]:
    """Return the defaults of the parameters of a constructor."""
    parameters = signature(cls).parameters.items()
    return {name: parameter.default for name, parameter in parameters if parameter.default is not Parameter.empty}


@cache
def _reserved(cls: type) -> frozenset[str]:
    """Return the names in classes of this package and its bases, which attributes of a file must not hide."""
    ours = [base for base in cls.__mro__ if base.__module__.partition(".")[0] in ("skwakesleep", "sklearn", "builtins")]
    return frozenset(name for base in ours for name in vars(base))


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
        _, types = _registered(name)
        parts = {part: to_plain(state[part], memo) for part in types}
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
    cls, types = _registered(name)
    optional = _defaults(cls) if name in CONSTRUCTED else {}
    for part in types.keys() - parts.keys() - optional.keys():
        raise ValueError(f"{part} of {name!r} is missing")
    for part, item in parts.items():
        if part not in types:
            raise ValueError(f"{name!r} has no {part!r}")
        if not fits(item, types[part]):
            raise ValueError(f"{part} of {name!r} is of the wrong type {type(item).__name__!r}")
    if name in CONSTRUCTED:
        with np.errstate(all="ignore"):  # invalid numbers are found by later checks
            return cls(**parts)
    # Their constructors make a new object, such as an optimizer without memory.
    whole = object.__new__(cls)
    vars(whole).update(parts)
    return whole


@cache
def _registered(name: str) -> tuple[Any, dict[str, Any]]:
    """Return a class, which is imported when it is first needed, and the types of its parts."""
    cls = resolve_name(PATHS[name])
    types = get_type_hints(cls if name in RESTORED else cls.__init__)
    types.pop("return", None)
    return cls, types


def fits(value: Any, annotation: Any) -> bool:
    """Return whether a value, with its items, is of an annotated type."""
    # NDArray is an alias since NumPy 2.5, with its definition in __value__.
    annotation = getattr(get_origin(annotation) or annotation, "__value__", annotation)
    expected, arguments = get_origin(annotation) or annotation, get_args(annotation)
    if expected is Any:
        return True
    if expected in (Union, UnionType):
        return any(fits(value, argument) for argument in arguments)
    if expected in NUMBERS:
        return isinstance(value, NUMBERS[expected]) and not isinstance(value, bool)  # Python's booleans are ints
    if not isinstance(value, expected):
        return False
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "biuf"  # an array of objects could hold anything
    if isinstance(value, dict):
        return all(fits(name, arguments[0]) and fits(item, arguments[1]) for name, item in value.items())
    if arguments and isinstance(value, Collection):
        return all(fits(item, arguments[0]) for item in value)
    return True


def _with_epochs(parts: Parts) -> Parts:
    """Count the epochs, which were the length of the list of lower bounds, and compare the scores of all of them.

    The number of rows is not known.
    """
    kept = {name: part for name, part in parts.items() if name != "improved_at"}
    counts = {"n_epochs": len(parts["lower_bounds"]), "n_rows": 0, "compared_from": 0, "steps_before": 0}
    return {**kept, **counts}


def _of_columns(parts: Parts) -> Parts:
    """Make columns of one kind out of the family of the visible units, which said how many of them are active."""
    n_columns, *hidden_sizes = parts["sizes"]
    if n_columns > MAX_COLUMNS:
        raise ValueError(f"the machine has {n_columns} columns")
    # Only the mean number of active units was saved, so that each column gets an equal share of it.
    codec, kind = parts["visible"], "gaussian"
    if isinstance(codec, UnitInterval):
        codec, kind = UnitInterval(np.full(n_columns, parts["n_active"] / n_columns), 1), "bernoulli"
    columns = Columns({kind: Block(codec, np.arange(n_columns))})
    return {"columns": columns, "hidden_sizes": hidden_sizes, "autoregressive": parts["autoregressive"]}


UPGRADES: dict[str, Callable[[Parts], tuple[str, Parts]]] = {
    "amortised-state": lambda parts: ("amortised-state/3", {**_with_epochs(parts), "lower_bounds": []}),  # were zeros
    "bernoulli": lambda parts: ("unit-interval", {"column_means": np.zeros(0), "n_rows": 1}),
    "gaussian": lambda parts: ("standardization", parts),
    "machine": lambda parts: ("machine/2", _of_columns(parts)),
    "regression-state": lambda parts: ("regression-state/2", {**parts, "progress": Progress()}),
    "sgd": lambda parts: ("sgd/2", {**parts, "_squares": None, "_n_steps": 0}),
    "training-state": lambda parts: ("training-state/3", _with_epochs(parts)),
}
