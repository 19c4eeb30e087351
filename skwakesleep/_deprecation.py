"""Deprecated names: they can still be imported, with a `FutureWarning`."""

import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, NamedTuple

# The version in which deprecated names are removed: two minor versions after the deprecation.
REMOVED_IN = "0.4"


class Deprecated(NamedTuple):
    """The module that still has a deprecated name, and the advice that ends the warning."""

    home: str
    advice: str


def moved(name: str, home: str) -> Deprecated:
    """Return the entry of a public name that has moved to another public module."""
    return Deprecated(home, f"Import it by `from {home} import {name}`")


def deprecated_names(module: str, names: Mapping[str, Deprecated]) -> Callable[[str], Any]:
    """Return the function ``__getattr__`` of a module with deprecated names."""

    def getattr_of_module(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        home, advice = names[name]
        warnings.warn(
            f"{module}.{name} is deprecated and will be removed in version {REMOVED_IN}. {advice}.",
            FutureWarning,
            stacklevel=2,
        )
        return getattr(import_module(home), name)

    return getattr_of_module
