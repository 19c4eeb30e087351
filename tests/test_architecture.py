"""Which packages are imported, and when. `lint-imports` checks the imports between the modules of this package."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import skwakesleep

ROOT = Path(skwakesleep.__file__).parent
MODULES = {".".join(path.relative_to(ROOT.parent).with_suffix("").parts): path for path in sorted(ROOT.rglob("*.py"))}
REQUIRED = {"numpy", "scipy", "scikit-learn"}
# Optional packages, and the part of the package that may import them.
OPTIONAL = {
    "matplotlib": "skwakesleep.plotting.",
    "numba": "skwakesleep._engine.arrays.",
    "onnx": ("skwakesleep.onnx", "skwakesleep.contrib."),
    "skl2onnx": ("skwakesleep.onnx", "skwakesleep.contrib."),
    "threadpoolctl": "skwakesleep._adapters.",  # scikit-learn requires it
}


def imported_names(source):
    """Return the full names of all that a source file imports, at any depth."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def forbidden_names(module, source):
    """Return the names from other packages that a module of this package must not import."""
    return {name for name in imported_names(source) if not is_allowed(module, *name.split("."))}


def is_allowed(module, package, *path):
    if package == "sklearn":
        if module.startswith("skwakesleep.models."):
            return path[:1] == ("base",) or path[:2] == ("utils", "metaestimators")
        # Modules that are private, or that the oldest supported version lacks, are imported in one place.
        is_private = path[:1] == ("callback",) or any(name.startswith("_") for name in path)
        return not is_private or module == "skwakesleep._adapters.sklearn_compat"
    if package in OPTIONAL:
        return module.startswith(OPTIONAL[package])
    return package in {"skwakesleep", *REQUIRED, *sys.stdlib_module_names}


def test_modules_import_only_allowed_packages():
    forbidden = {module: forbidden_names(module, path.read_text(encoding="utf-8")) for module, path in MODULES.items()}
    assert {module: names for module, names in forbidden.items() if names} == {}


@pytest.mark.parametrize(
    ("module", "source", "name"),
    [
        ("datasets", "import pandas", "pandas"),
        ("_adapters.tables", "def f():\n    from sklearn.utils._tags import Tags", "sklearn.utils._tags.Tags"),
        ("_adapters.tables", "from sklearn.callback import ProgressBar", "sklearn.callback.ProgressBar"),
        ("models._bases", "from sklearn.mixture import GaussianMixture", "sklearn.mixture.GaussianMixture"),
        ("_engine.training.loop", "import matplotlib.pyplot as plt", "matplotlib.pyplot"),
    ],
)
def test_forbidden_import_is_detected(module, source, name):
    assert forbidden_names(f"skwakesleep.{module}", f"import numpy\n{source}") == {name}


def test_declared_dependencies_are_the_required_packages():
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {re.match(r"[\w-]+", requirement)[0] for requirement in project["dependencies"]} == REQUIRED


# Packages that users may not have, or that are slow to import.
NOT_IMPORTED = {*OPTIONAL, "jax", "pandas", "polars", "pyarrow", "pytest", "rich", "sphinx", "torch"}


def packages_loaded_by(statement, known="set()"):
    """Return the top-level packages of modules that a new interpreter has loaded, except for some known modules."""
    code = f"import sys; {statement}; print(*sys.modules.keys() - {known})"
    environment = {**os.environ, "SKWAKESLEEP_LOOPS": "numpy"}
    output = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=ROOT.parent, env=environment)
    return {name.split(".")[0] for name in output.split()}


def test_importing_the_estimators_imports_no_optional_package():
    """Except for those that scikit-learn's validation imports."""
    loaded = packages_loaded_by(
        "import sklearn.utils.validation; known = {*sys.modules}; from skwakesleep import *", "known"
    )
    assert "skwakesleep" in loaded
    assert not loaded & NOT_IMPORTED


def test_importing_the_package_does_not_import_scikit_learn():
    assert "sklearn" not in packages_loaded_by("import skwakesleep")


def test_lazy_estimators_are_listed_and_unknown_names_are_errors():
    assert set(skwakesleep.__all__) <= set(dir(skwakesleep))
    with pytest.raises(AttributeError, match="no attribute 'BoltzmannMachine'"):
        _ = skwakesleep.BoltzmannMachine


def test_loaded_packages_include_indirect_imports():
    """Negative control for `packages_loaded_by`."""
    assert {"unittest", "asyncio"} <= packages_loaded_by("import unittest.mock")
