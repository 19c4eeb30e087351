"""Imports run downward only: the floors of the house, read from the source."""

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
PACKAGE = ROOT.name
ENGINE = f"{PACKAGE}._engine"
PRIVATE_SKLEARN = f"{PACKAGE}._adapters._sklearn"

# The engine, ground floor first: a module imports from modules named before it, and from no others.
ENGINE_ORDER = (
    "caching",
    "numerics",
    "workspace",
    "array_loops",
    "compiled_loops",
    "loops",
    "random",
    "parameters",
    "optimizers",
    "units",
    "weight_penalty",
    "kernel_regression",
    "feature_regression",
    "moments",
    "feature_maps",
    "families",
    "rows",
    "layers",
    "networks",
    "wake_sleep",
    "estimates",
    "enumeration",
    "expansions",
    "annealing",
    "likelihood",
    "certification",
    "training",
    "fitted",
    "restandardization",
    "dreams",
    "dream_regression",
    "gradient_forms",
    "amortised",
    "likelihood_watch",
)
# The rest of the house, below and above it.
FLOORS = (
    (f"{PACKAGE}._version",),
    (ENGINE,),
    (f"{PACKAGE}.models",),
    (f"{PACKAGE}._adapters",),
    (f"{PACKAGE}._helmholtz_machine", f"{PACKAGE}._amortised_wake_sleep", f"{PACKAGE}.reference"),
    (PACKAGE,),
    (f"{PACKAGE}.callbacks", f"{PACKAGE}.datasets", f"{PACKAGE}.onnx", f"{PACKAGE}.plotting", f"{PACKAGE}.replicas"),
)
# What a module that is imported on demand may import.
EXTRAS = {
    f"{ENGINE}.compiled_loops": {"numba"},
    f"{PACKAGE}._adapters.threads": {"threadpoolctl"},  # which scikit-learn requires
    f"{PACKAGE}.onnx": {"onnx", "skl2onnx"},
    f"{PACKAGE}.plotting._drawing": {"matplotlib"},
}


def name_of(path):
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(ROOT.rglob("*.py"))}


def imports(source):
    """Return the full names of what a source imports, wherever in it; relative imports are refused."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def imported_modules(module):
    """Return the modules of this package that a module imports."""
    names = imports(MODULES[module].read_text(encoding="utf-8"))
    return {owner(name) for name in names if name.split(".")[0] == PACKAGE} - {None}


def owner(name):
    """Return the module that an imported name is, or is in."""
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name or None


def top_level(module):
    return {name.split(".")[0] for name in imports(MODULES[module].read_text(encoding="utf-8"))}


def floor(module):
    """Return the number of the most specific floor that a module is on."""
    fits = [
        (len(room), number)
        for number, rooms in enumerate(FLOORS)
        for room in rooms
        if module == room or module.startswith(f"{room}.")
    ]
    return max(fits)[1]


def engine_modules():
    return [module for module in MODULES if module.startswith(f"{ENGINE}.")]


def test_every_engine_module_has_its_place():
    assert {module.rpartition(".")[2] for module in engine_modules()} == set(ENGINE_ORDER)


@pytest.mark.parametrize("module", engine_modules())
def test_engine_imports_numpy_scipy_and_the_engine_alone(module):
    allowed = {"numpy", "scipy", PACKAGE} | sys.stdlib_module_names | EXTRAS.get(module, set())
    assert top_level(module) <= allowed
    assert all(name.startswith(ENGINE) for name in imported_modules(module))


@pytest.mark.parametrize("module", engine_modules())
def test_engine_imports_run_downward(module):
    def place(name):
        return ENGINE_ORDER.index(name.rpartition(".")[2])

    assert all(place(name) < place(module) for name in imported_modules(module))


@pytest.mark.parametrize("module", [module for module in MODULES if module.startswith(f"{PACKAGE}.models")])
def test_models_import_numpy_scipy_and_the_engine_alone(module):
    assert top_level(module) <= {"numpy", "scipy", PACKAGE} | sys.stdlib_module_names
    assert all(name.startswith((ENGINE, f"{PACKAGE}.models")) for name in imported_modules(module))


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_downward_between_floors(module):
    assert all(floor(name) <= floor(module) for name in imported_modules(module))


def test_there_are_no_cycles():
    done, under_way = set(), []

    def visit(module):
        assert module not in under_way, " -> ".join([*under_way, module])
        if module not in done:
            under_way.append(module)
            for name in imported_modules(module) - {module}:
                visit(name)
            done.add(under_way.pop())

    for module in MODULES:
        visit(module)


@pytest.mark.parametrize("module", MODULES)
def test_private_scikit_learn_is_imported_in_one_place(module):
    names = {name for name in imports(MODULES[module].read_text(encoding="utf-8")) if name.startswith("sklearn.")}
    private = {name for name in names if any(part.startswith("_") for part in name.split("."))}
    optional = {name for name in names if name.startswith("sklearn.callback")}  # since 1.9
    assert module == PRIVATE_SKLEARN or not private | optional


@pytest.mark.parametrize("module", MODULES)
def test_run_time_needs_numpy_scipy_and_scikit_learn_alone(module):
    allowed = {"numpy", "scipy", "sklearn", PACKAGE} | sys.stdlib_module_names | EXTRAS.get(module, set())
    assert top_level(module) <= allowed


def test_declared_dependencies():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {re.match(r"[\w-]+", requirement)[0] for requirement in project["dependencies"]}
    assert declared == {"numpy", "scipy", "scikit-learn"}


OPTIONAL = {
    "jax",
    "matplotlib",
    "numba",
    "onnx",
    "pandas",
    "polars",
    "pyarrow",
    "pytest",
    "rich",
    "skl2onnx",
    "sphinx",
    "torch",
}


def loaded_by(statement):
    """Return the top-level names that a fresh interpreter holds after a statement."""
    code = f"import sys; {statement}; print(*sys.modules)"
    environment = {**os.environ, "SKWAKESLEEP_LOOPS": "numpy"}
    output = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=ROOT.parent, env=environment)
    return {name.split(".")[0] for name in output.split()}


def test_importing_the_package_imports_nothing_optional():
    """Nothing beyond what scikit-learn's validation imports already."""
    loaded = loaded_by(f"from {PACKAGE} import *")
    assert {"numpy", "scipy", "sklearn", PACKAGE} <= loaded
    assert not loaded & OPTIONAL - loaded_by("import sklearn.utils.validation")


def test_estimators_are_imported_on_demand():
    assert "sklearn" not in loaded_by(f"import {PACKAGE}")
    assert set(skwakesleep.__all__) <= set(dir(skwakesleep))
    with pytest.raises(AttributeError, match="no attribute 'BoltzmannMachine'"):
        _ = skwakesleep.BoltzmannMachine


def test_the_list_of_what_is_loaded_sees_it():
    """Negative control: an import, and one by way of another module."""
    assert {"email", "scipy"} <= loaded_by("import email.mime, scipy.stats")


def test_the_reader_of_imports_sees_them():
    """Negative control: imports inside functions, of names, of modules and under another name."""
    source = "import a.b as c\nfrom d import e\ndef f():\n    from g.h import i\n    import j"
    assert imports(source) == {"a.b", "d.e", "g.h.i", "j"}
    with pytest.raises(AssertionError, match="relative"):
        imports("from . import k")
