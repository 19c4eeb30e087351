"""Saved estimators: plain types, with the version of the package."""

import warnings
from functools import cache
from inspect import Parameter, signature
from typing import Any

from skwakesleep._adapters.saved_objects import Memo, from_plain, to_plain
from skwakesleep._version import __version__


class VersionedPickleMixin:
    """Save an estimator as plain types, and warn when another version loads it, as scikit-learn's estimators do.

    A file may be damaged or malicious, so its contents are checked.
    """

    # Attributes of a fitted estimator: a file has all of them or none.
    _LEARNED: tuple[str, ...] = ()

    def __getstate__(self):
        return {**to_plain(super().__getstate__()), "_skwakesleep_version": __version__}

    def __setstate__(self, state):
        if not isinstance(state, dict):
            raise ValueError(f"A saved {type(self).__name__} is damaged: its state is a {type(state).__name__}.")
        saved = state.get("_skwakesleep_version", "unknown")
        if saved != __version__:
            warnings.warn(
                f"{type(self).__name__} was saved by skwakesleep {saved} and is loaded by {__version__}: it may fail "
                "or give other results. Fit it again, or load it with the version that saved it.",
                UserWarning,
                stacklevel=2,
            )
        try:
            super().__setstate__(_attributes(type(self), state))
            self._check_loaded()
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise ValueError(f"A saved {type(self).__name__} is damaged: {str(error).rstrip('.')}.") from error

    def __copy__(self):
        """Return a shallow copy, which shares the fitted objects."""
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        return other

    def _check_loaded(self) -> None:
        """Raise ValueError unless the fitted attributes are complete and consistent."""
        missing = [name for name in self._LEARNED if name not in vars(self)]
        if not missing:
            self._check_learned()
        elif len(missing) < len(self._LEARNED):
            raise ValueError(f"{missing[0]} is missing")

    def _check_learned(self) -> None:
        """Raise ValueError unless the fitted attributes are consistent."""


def _attributes(cls: type, state: dict[Any, Any]) -> dict[str, Any]:
    """Return the attributes of a saved estimator, with defaults for parameters that its version did not have."""
    for name in state:
        if not isinstance(name, str) or name in _reserved(cls):
            raise ValueError(f"{name!r} cannot be an attribute of a saved estimator")
    memo: Memo = {}
    saved = {name: from_plain(item, memo) for name, item in state.items() if name != "_skwakesleep_version"}
    return {**_defaults(cls), **saved}


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
