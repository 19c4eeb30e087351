"""Single backticks link public names of the package, wherever they stand; others as `autolink` does, or not at all."""

from importlib import import_module
from inspect import isclass, isfunction
from pkgutil import walk_packages

from sphinx.ext.autosummary import AutoLink

import skwakesleep

MODULES = [module.name for module in walk_packages(skwakesleep.__path__, "skwakesleep.") if "._" not in module.name]
FULL_NAMES = {name: f"skwakesleep.{name}" for name in skwakesleep.__all__ if not name.startswith("_")}
for module in MODULES:
    for name, value in vars(import_module(module)).items():
        if not name.startswith("_") and (isclass(value) or isfunction(value)) and value.__module__.startswith(module):
            FULL_NAMES.setdefault(name, f"{module}.{name}")


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
