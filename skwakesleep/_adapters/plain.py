"""What an estimator has learned, in types that anyone can store and no one has to trust.

A file that names classes can have them called when it is loaded, so tools that load files of others ask which classes
to trust. Objects of the engine and of the models are therefore taken apart into dictionaries of arrays, numbers and
strings, and put together again by the estimator: its class is the only one that a file names.
"""

from importlib import import_module
from typing import Any

# Only what is defined here is taken apart, and only that is put together again, whatever a file says.
FLOORS = ("skwakesleep._engine.", "skwakesleep.models.")
CLASS = "skwakesleep class"

Memo = dict[int, Any]


def to_plain(value: Any, memo: Memo | None = None) -> Any:
    """Return `value` with every object of the engine or the models in it replaced by a dictionary.

    An object that is there twice becomes one dictionary that is there twice.
    """
    memo = {} if memo is None else memo
    if isinstance(value, dict):
        return {name: to_plain(item, memo) for name, item in value.items()}
    cls = type(value)
    if not cls.__module__.startswith(FLOORS):
        return value
    if id(value) not in memo:
        path = f"{cls.__module__}.{cls.__name__}"
        memo[id(value)] = {CLASS: path, "state": to_plain(value.__getstate__(), memo)}
    return memo[id(value)]


def from_plain(value: Any, memo: Memo | None = None) -> Any:
    """Return what `to_plain` was given."""
    memo = {} if memo is None else memo
    if not isinstance(value, dict):
        return value
    if CLASS not in value:
        return {name: from_plain(item, memo) for name, item in value.items()}
    if id(value) not in memo:
        memo[id(value)] = _whole(_class(value[CLASS]), from_plain(value["state"], memo))
    return memo[id(value)]


def _whole(cls: Any, state: Any) -> Any:
    whole = object.__new__(cls)
    if hasattr(cls, "__setstate__"):
        whole.__setstate__(state)
    else:
        vars(whole).update(state or {})  # the state of an object without attributes is None
    return whole


def _class(path: str) -> type:
    module, _, name = path.rpartition(".")
    cls = getattr(import_module(module), name) if module.startswith(FLOORS) else None
    if not isinstance(cls, type) or cls.__module__ != module:
        raise ValueError(f"A saved estimator holds an object of class {path!r}, which is none of this package.")
    return cls
