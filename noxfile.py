"""The tasks of contributors: ``nox --list`` shows them, ``nox -s tests`` runs one, each in an environment of its own.

Arguments after ``--`` go to the tool that a task runs, as in ``nox -s tests -- tests/test_tables.py -k impute``.
"""

import re
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.2"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["tests", "lint"]

# The processes of pytest share the cores.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
# Files that services read, by the name of their schema.
SCHEMAS = {
    "citation-file-format": "CITATION.cff",
    "dependabot": ".github/dependabot.yml",
    "github-issue-config": ".github/ISSUE_TEMPLATE/config.yml",
    "github-issue-forms": ".github/ISSUE_TEMPLATE/[!c]*.yml",
    "github-workflows": ".github/workflows/*.yml",
    "readthedocs": ".readthedocs.yaml",
}


@nox.session
def tests(session):
    """Run the tests with the newest versions of the dependencies."""
    session.install("-e", ".[test]")
    session.run("pytest", "-q", "-n", "auto", *session.posargs, env=ONE_THREAD)


@nox.session
def oldest(session):
    """Run the tests with the oldest supported versions, but for those marked statistical or arithmetic."""
    dependencies = nox.project.load_toml("pyproject.toml")["project"]["dependencies"]
    floors = [dependency.replace(">=", "==") + ".*" for dependency in dependencies]
    session.install("-e", ".", *floors, "pytest", "pytest-xdist", "sybil", "matplotlib")
    marks = "not slow and not statistical and not arithmetic"
    # -rfE: without the reasons of skipped tests, which need packages that are not installed here.
    session.run("pytest", "-q", "-rfE", "-n", "auto", "-m", marks, *session.posargs, env=ONE_THREAD)


@nox.session
def lint(session):
    """Check style, format, types, imports, and the files that GitHub and Read the Docs read."""
    session.install("-e", ".[test,dev]")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")
    session.run("lint-imports")
    for schema, pattern in SCHEMAS.items():
        session.run("check-jsonschema", "--builtin-schema", f"vendor.{schema}", *map(str, Path().glob(pattern)))


@nox.session
def docs(session):
    """Build the site with warnings as errors; ``-- -D plot_gallery=0`` does not run the examples of the gallery."""
    session.install("-e", ".[docs]")
    strict = ["-W", "--keep-going", "-n"]
    session.run("sphinx-build", *strict, *session.posargs, "docs", "docs/_build/html", env=ONE_THREAD)


@nox.session
def examples(session):
    """Run all examples, with warnings as errors. This takes some minutes."""
    session.install("-e", ".[test]")
    session.run("pytest", "-q", "-m", "slow", "--durations=0", *session.posargs, env=ONE_THREAD)


@nox.session
def ecosystem(session):
    """Run the tests with Dask, MLflow, ONNX, Optuna, Ray and skops, which need two gigabytes."""
    session.install("-e", ".[test-ecosystem]")
    session.run("pytest", "-q", *(session.posargs or ["tests/ecosystem"]), env=ONE_THREAD)


@nox.session
def wheels(session):
    """Build wheel and source distribution, check them, and run the README's first Python example with each."""
    session.install("build[uv]", "twine", "check-wheel-contents")
    shutil.rmtree("dist", ignore_errors=True)
    session.run("python", "-m", "build", "--installer", "uv")
    distributions = sorted(map(str, Path("dist").resolve().iterdir()))
    session.run("twine", "check", "--strict", *distributions)
    session.run("check-wheel-contents", "dist")
    quick_start = re.search(r"```python\n(.*?)```", Path("README.md").read_text(encoding="utf-8"), re.DOTALL)[1]
    for distribution in distributions:
        session.install("--force-reinstall", f"skwakesleep[plot] @ {Path(distribution).as_uri()}")
        with session.chdir(session.create_tmp()):
            session.run("python", "-c", quick_start, env={"MPLBACKEND": "agg"})
