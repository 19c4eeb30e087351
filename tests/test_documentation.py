"""The Python examples of the site's pages and of the README run, and every public docstring is complete."""

import importlib
import inspect
import pkgutil
import re
import sys
import warnings
from pathlib import Path

import pytest
from sybil.document import Document
from sybil.parsers import markdown, rest

import skwakesleep

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "docs").rglob("*.rst")])
PAGES = [page for page in PAGES if not {"_build", "auto_examples", "generated"} & set(page.parts)]
PARSERS = {
    ".md": [markdown.PythonCodeBlockParser()],
    ".rst": [rest.PythonCodeBlockParser(), rest.DocTestParser()],
}
# Optional packages that all examples of a page need.
NEEDED_BY_PAGES = {"anomalies": "pandas", "tables": "pandas"}
# These packages emit warnings of their own, for example about ports that are in use.
IMPORTS_WARNING_PACKAGE = re.compile(r"^ *(import|from) (dask|mlflow|optuna|ray)\b", re.MULTILINE)


def run_examples(page):
    """Run the examples of a page in one namespace. Return those that need a package that is not installed."""
    document = Document.parse(str(page), *PARSERS[page.suffix])
    document.namespace["__name__"] = "__main__"
    skipped = []
    for example in document:
        try:
            with warnings.catch_warnings():
                if IMPORTS_WARNING_PACKAGE.search(document.text[example.start : example.end]):
                    warnings.simplefilter("ignore")
                example.evaluate()
        except ModuleNotFoundError as error:
            if error.name.startswith("skwakesleep"):
                raise
            skipped.append(f"line {example.line} needs {error.name}")
    return skipped


@pytest.fixture
def clean_directory(monkeypatch, tmp_path):
    """Run in an empty directory and without a display. Close all figures at the end."""
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.chdir(tmp_path)
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # from clusters that were shut down
@pytest.mark.usefixtures("clean_directory")
@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_examples_of_page_run(page):
    if page.stem in NEEDED_BY_PAGES:
        pytest.importorskip(NEEDED_BY_PAGES[page.stem])
    if skipped := run_examples(page):
        pytest.skip(f"all other examples of the page ran; {'; '.join(skipped)}")


@pytest.mark.parametrize(
    ("name", "text", "error", "message"),
    [
        ("page.rst", "text\n\n>>> 1 + 1\n3\n", AssertionError, "Got"),
        ("page.rst", ".. code-block:: python\n\n   1 / 0\n\ntext\n", ZeroDivisionError, "division"),
        ("page.md", "```python\nx\n```\n", NameError, "x"),
        ("page.md", "```python\nimport warnings\nwarnings.warn('ours')\n```\n", UserWarning, "ours"),
        ("page.md", "```python\nimport skwakesleep.absent\n```\n", ModuleNotFoundError, "absent"),
    ],
    ids=["wrong output", "error", "undefined name", "warning", "missing module of ours"],
)
def test_failing_example_is_detected(name, text, error, message, tmp_path):
    (page := tmp_path / name).write_text(text)
    with pytest.raises(error, match=message):
        run_examples(page)


def test_examples_share_a_namespace_and_missing_packages_are_reported(tmp_path):
    (page := tmp_path / "page.rst").write_text(
        ".. code-block:: python\n\n   x = 1\n\ntext\n\n>>> x\n1\n\n"
        ".. code-block:: bash\n\n   python -c '1 / 0'\n\n"
        ".. code-block:: python\n\n   import no_such_package\n"
    )
    assert run_examples(page) == ["line 14 needs no_such_package"]


# ---------------------------------------------------------------------- docstrings

MODULES = ["skwakesleep"] + [
    module.name for module in pkgutil.walk_packages(skwakesleep.__path__, "skwakesleep.") if "._" not in module.name
]
# Codes of numpydoc that this package does not follow.
IGNORED = {
    "ES01": "no extended summary: a short one can be enough",
    "SA01": "no See Also section: not every object has related ones",
    "RT02": "the returned value has a name: so do those of scikit-learn",
}
# For properties, which the Attributes section of the class documents, and for methods that scikit-learn calls on a
# callback: no Parameters, Returns or Examples section.
IGNORED_FOR_MEMBERS = {"PR01", "RT01", "EX01"}
# For protocols, which have no constructor: no Parameters section.
IGNORED_FOR_PROTOCOLS = {"PR01"}


def public_objects():
    """Yield module, name and member ("" for none) of all public classes and functions and of the classes' members."""
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        for name in public_names(module):
            value = getattr(module, name)
            if callable(value):
                yield module_name, name, ""
                yield from ((module_name, name, member) for member in own_members(value))


def public_names(module):
    if hasattr(module, "__all__"):
        return module.__all__
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]


def own_members(value):
    """Return the names of the public methods and properties that a class gets from this package."""
    members = {}
    for base in getattr(value, "__mro__", ()):
        if base.__module__.split(".")[0] == "skwakesleep":
            members |= {name: None for name, member in vars(base).items() if hasattr(member, "__get__")}
    return [name for name in members if not name.startswith("_")]


def ignored_codes(module_name, name, member):
    value = getattr(importlib.import_module(module_name), name)
    if not member:
        return {*IGNORED, *(IGNORED_FOR_PROTOCOLS if getattr(value, "_is_protocol", False) else ())}
    if isinstance(inspect.getattr_static(value, member), property) or module_name == "skwakesleep.callbacks":
        return {*IGNORED, *IGNORED_FOR_MEMBERS}
    return {*IGNORED}


OBJECTS = [".".join(filter(None, parts)) for parts in public_objects()]


def test_api_reference_lists_every_public_name():
    text = (ROOT / "docs" / "api" / "index.rst").read_text(encoding="utf-8")
    sections = re.split(r"^\.\. currentmodule:: (\S+)$", text, flags=re.MULTILINE)[1:]
    names = (set(re.findall(r"^   (\w+)$", part, re.MULTILINE)) for part in sections[1::2])
    listed = dict(zip(sections[::2], names, strict=True))
    public = {(module_name, name) for module_name, name, _ in public_objects()}
    assert {(module_name, name) for module_name, names in listed.items() for name in names} == public


@pytest.mark.parametrize(
    ("module_name", "name", "member"),
    list(public_objects()),
    ids=[name.removeprefix("skwakesleep.") for name in OBJECTS],
)
def test_docstring_is_complete(module_name, name, member):
    errors = docstring_errors(documented_name(module_name, name, member))
    ignored = ignored_codes(module_name, name, member)
    assert not {code: text for code, text in errors if code not in ignored}


def documented_name(module_name, name, member):
    """Return the full name of an object, or of the method in a base class from which it inherits its docstring."""
    for base in getattr(getattr(importlib.import_module(module_name), name), "__mro__", ()) if member else ():
        if member in vars(base) and inspect.unwrap(vars(base)[member]).__doc__:
            return f"{base.__module__}.{base.__qualname__}.{member}"
    return ".".join(filter(None, (module_name, name, member)))


def docstring_errors(full_name):
    validate = pytest.importorskip("numpydoc.validate", reason="numpydoc is not installed")
    try:
        return validate.validate(full_name)["errors"]
    except StopIteration:
        pytest.skip("numpydoc does not find the source of a class with another __module__, since Python 3.13")


LOG_LIKELIHOOD = re.compile(r"\.(log_likelihood|log_joint|log_prob\w*|score|score_samples|certify|Score\w*)$")


@pytest.mark.parametrize("name", [name for name in OBJECTS if LOG_LIKELIHOOD.search(name)])
def test_docstring_of_log_likelihood_gives_its_unit(name):
    module, _, path = name.partition(".")
    value = importlib.import_module(module)
    for part in path.split("."):
        value = getattr(value, part)
    assert "nats" in inspect.getdoc(value)


def test_incomplete_docstring_is_detected():
    """Negative control: a function of the standard library, whose docstrings have no sections."""
    assert {"PR01", "RT01", "EX01"} <= {code for code, _ in docstring_errors("textwrap.dedent")}
