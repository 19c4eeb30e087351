"""The files of the repository agree on versions: of the package, and of Python."""

import re
import tomllib
from pathlib import Path

import pytest

import skwakesleep

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def read(path):
    """Return the text of a file, which a source distribution may lack."""
    if not (ROOT / path).exists():
        pytest.skip(f"{path} is not here")
    return (ROOT / path).read_text(encoding="utf-8")


def test_citation_has_the_version_of_the_package():
    assert re.search(r"^version: (\S+)$", read("CITATION.cff"), re.MULTILINE)[1] == skwakesleep.__version__


def test_workflow_runs_the_tests_on_every_supported_python():
    prefix = "Programming Language :: Python :: 3."
    supported = [name.removeprefix(prefix) for name in PROJECT["classifiers"] if name.startswith(prefix)]
    tested = re.search(r"^ +python: \[(.*)\]$", read(".github/workflows/tests.yml"), re.MULTILINE)[1]
    assert tested == ", ".join(f'"3.{minor}"' for minor in supported)
    assert PROJECT["requires-python"] == f">=3.{supported[0]}"


def test_workflows_run_tasks_that_exist():
    tasks = set(re.findall(r"^@nox\.session\ndef (\w+)", read("noxfile.py"), re.MULTILINE))
    for name in ("tests", "weekly", "release"):
        text = read(f".github/workflows/{name}.yml")
        named = re.findall(r"nox -s (\w+)", text) + re.findall(r"\w+", " ".join(re.findall(r"task: \[(.*)\]", text)))
        assert named
        assert set(named) <= tasks
