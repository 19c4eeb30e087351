"""Single backticks link public names of the package, wherever they stand; others as `autolink` does, or not at all."""

from importlib import import_module
from inspect import isclass, isfunction
from pkgutil import iter_modules

from sphinx.ext.autosummary import AutoLink

import skwakesleep

MODULES = [module.name for module in iter_modules(skwakesleep.__path__) if not module.name.startswith("_")]
FULL_NAMES = {name: f"skwakesleep.{name}" for name in ("AmortisedWakeSleep", "HelmholtzMachine")}
for module in MODULES:
    for name, value in vars(import_module(f"skwakesleep.{module}")).items():
        if not name.startswith("_") and (isclass(value) or isfunction(value)) and "skwakesleep" in value.__module__:
            FULL_NAMES.setdefault(name, f"skwakesleep.{module}.{name}")


class PublicName(AutoLink):
    """The role of single backticks."""

    def __call__(self, name, rawtext, text, lineno, inliner, options=None, content=()):
        """Return the link, or emphasis."""
        text = f"~{FULL_NAMES[text]}" if text in FULL_NAMES else text
        return super().__call__(name, rawtext, text, lineno, inliner, options or {}, content)


def setup(app):
    """Register the role under the name "public"."""
    app.add_role("public", PublicName())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
