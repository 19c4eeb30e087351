"""What the package itself has of a class: the members that its reference page describes."""

import inspect

from sphinx.ext.autosummary import import_by_name


def own_members(full_name):
    """Return pairs of a directive and a name: what a class has from this package, its own members first.

    Attributes are left out that the docstring of the class describes.
    """
    _, cls, _, _ = import_by_name(full_name)
    described = "\n" + inspect.getdoc(cls).partition("Attributes\n----------\n")[2]
    directives = {}
    for base in cls.__mro__:
        if base.__module__.split(".")[0] == "skwakesleep":
            members = {name: _directive(member) for name, member in vars(base).items() if not name.startswith("_")}
            directives |= {name: directive for name, directive in members.items() if name not in directives}
    return [(directive, name) for name, directive in directives.items() if directive and f"\n{name} " not in described]


def _directive(member):
    if isinstance(member, property):
        return "autoproperty"
    return "automethod" if hasattr(member, "__get__") else None
