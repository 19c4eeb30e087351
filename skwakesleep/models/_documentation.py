"""Docstrings of models: a summary of their own, and for the rest what the protocols say."""

import inspect
import re
from typing import Any, TypeVar

from skwakesleep.models import _protocol

Model = TypeVar("Model", bound=type)

PROTOCOLS = [value for value in vars(_protocol).values() if getattr(value, "__module__", "") == _protocol.__name__]
SECTION = re.compile(r"\n\n(?=(\w+)\n-{4,}\n)")


def documented(model: Model) -> Model:
    """Complete the docstrings of a class's methods by the sections that protocols and base classes have for them."""
    for name, member in vars(model).items():
        for source in [*PROTOCOLS, *model.__mro__[1:]]:
            if not name.startswith("_") and not isinstance(member, property) and name in vars(source):
                method = inspect.unwrap(member)
                method.__doc__ = completed(method, inspect.unwrap(vars(source)[name]))
    return model


def completed(method: Any, promise: Any) -> str:
    """Return the docstring of a method with the sections that it lacks and another has."""
    own, other = sections(method), sections(promise)
    return "\n\n".join({**own, **{title: text for title, text in other.items() if title not in own}}.values()) + "\n"


def sections(method: Any) -> dict[str, str]:
    """Return the sections of a docstring by title, the first one without."""
    summary, *rest = SECTION.split(inspect.getdoc(method) or "")
    return {"": summary, **dict(zip(rest[::2], rest[1::2], strict=True))}
