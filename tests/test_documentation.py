"""Every block of Python in the pages of the site and in the README is run, and every public docstring is complete."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
import sys
import textwrap
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

import skwakesleep

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "docs").rglob("*.rst")])
PAGES = [page for page in PAGES if not {"_build", "auto_examples", "generated"} & set(page.parts)]
# Packages that warn of matters of their own, such as ports that are taken.
TALKATIVE = {"dask", "mlflow", "optuna", "ray"}
FENCE = re.compile(r"^```(?:python|pycon)\n(.*?)^```", re.DOTALL | re.MULTILINE)
DIRECTIVE = re.compile(r"^\.\. code-block:: (?:python|pycon)\n((?:\n|[ ]+.*\n)+)", re.MULTILINE)


class Block(NamedTuple):
    """Statements with the first line's number, and what they should print, if they say so."""

    source: str
    line: int
    example: doctest.Example | None = None

    def imports(self):
        """Return the modules that it imports."""
        nodes = list(ast.walk(ast.parse(self.source)))
        modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        return modules | {node.module for node in nodes if isinstance(node, ast.ImportFrom)}

    def missing(self):
        """Return the packages and modules that it imports and that are not installed."""
        return sorted({absent for module in self.imports() if (absent := first_absent(module))})


def first_absent(module):
    """Return the outermost package of a dotted name that is not installed, if any."""
    parts = module.split(".")
    names = (".".join(parts[:depth]) for depth in range(1, len(parts) + 1))
    return next((name for name in names if find_spec(name) is None), None)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def blocks(text):
    """Return the blocks of a page, in its order."""
    found = []
    for match in [*FENCE.finditer(text), *DIRECTIVE.finditer(text)]:
        if ">>>" not in match[1]:
            source = textwrap.dedent(match[1])
            found.append(Block(source, line_of(text, match.start(1))))
    # What is left are examples with prompts, in directives or out of them; the end of a fence is not their output.
    unfenced = re.sub(r"^```.*$", "", text, flags=re.MULTILINE)
    for example in doctest.DocTestParser().get_examples(unfenced):
        found.append(Block(example.source, example.lineno + 1, example))
    return sorted(found, key=lambda block: block.line)


def run(page, text):
    """Run the blocks of a page in one namespace; return what was left out for want of a package."""
    namespace = {"__name__": "__main__"}
    runner = doctest.DocTestRunner(verbose=False)
    left_out = []
    for block in blocks(text):
        missing = block.missing()
        if missing:
            left_out.append(f"line {block.line} needs {', '.join(missing)}")
        elif block.example is None:
            with warnings.catch_warnings():
                if {module.split(".")[0] for module in block.imports()} & TALKATIVE:
                    warnings.simplefilter("ignore")
                exec(compile("\n" * (block.line - 1) + block.source, page, "exec"), namespace)
        else:
            test = doctest.DocTest([block.example], {}, page, page, 0, None)
            test.globs = namespace  # which the constructor would copy
            printed = []
            runner.run(test, out=printed.append, clear_globs=False)
            assert not runner.failures, "".join(printed)
    return left_out


@pytest.fixture
def drawing_board(monkeypatch, tmp_path):
    """Keep figures off the screen, out of memory, and their files out of the way."""
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.chdir(tmp_path)
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of clusters that are gone
@pytest.mark.usefixtures("drawing_board")
@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_the_code_of_a_page_runs(page):
    text = page.read_text(encoding="utf-8")
    if not blocks(text):
        return
    left_out = run(str(page), text)
    if left_out:
        pytest.skip(f"the rest of the page ran; {'; '.join(left_out)}")


def test_the_runner_sees_failures():
    """Negative controls: a wrong output, an error in a block, and a name that only the block before has."""
    with pytest.raises(AssertionError, match="Got"):
        run("page", "text\n\n>>> 1 + 1\n3\n")
    with pytest.raises(ZeroDivisionError):
        run("page", "```python\nx = 1\n```\n\n.. code-block:: python\n\n   x / 0\n\ntext\n")
    with pytest.raises(UserWarning, match="ours"):
        run("page", "```python\nimport warnings\nwarnings.warn('ours')\n```\n")
    with pytest.raises(NameError):
        run("page", "```python\nx\n```\n")
    assert run("page", "```python\nx = 1\n```\n\n>>> x\n1\n\n.. code-block:: bash\n\n   python -c '1 / 0'\n") == []
    assert run("page", "```python\nimport no_such_package\n```\n") == ["line 2 needs no_such_package"]


# ---------------------------------------------------------------------- docstrings

MODULES = ["skwakesleep"] + [
    module.name for module in pkgutil.walk_packages(skwakesleep.__path__, "skwakesleep.") if "._" not in module.name
]
# numpydoc's complaints that are no faults here.
PASSED_OVER = {
    "ES01": "a summary that says it all needs no second paragraph",
    "SA01": "a See Also section stands where there is something to see",
    "RT02": "what is returned has a name, as in scikit-learn",
}
# Of properties, which the Attributes section of their class describes, and of what scikit-learn calls of a callback.
DESCRIBED_BY_THE_CLASS = {"PR01": "parameters", "RT01": "returned values", "EX01": "an example"}
# Of protocols: the parameters of a constructor that they do not have.
NO_CONSTRUCTOR = {"PR01": "parameters"}


def public_objects():
    """Return the full names of all public classes and functions, and of what the classes have from this package."""
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        for name in names_of(module):
            value = getattr(module, name)
            if callable(value):
                yield module_name, name, ""
                yield from ((module_name, name, member) for member in own_members(value))


def names_of(module):
    if hasattr(module, "__all__"):
        return module.__all__
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]


def own_members(value):
    """Return the names of the public methods and properties that a class has from this package."""
    members = {}
    for base in getattr(value, "__mro__", ()):
        if base.__module__.split(".")[0] == "skwakesleep":
            members |= {name: None for name, member in vars(base).items() if hasattr(member, "__get__")}
    return [name for name in members if not name.startswith("_")]


def described_elsewhere(module_name, name, member):
    """Return the codes that do not count for an object, being for another to heed."""
    value = getattr(importlib.import_module(module_name), name)
    if not member:
        return NO_CONSTRUCTOR if getattr(value, "_is_protocol", False) else {}
    if isinstance(inspect.getattr_static(value, member), property) or module_name == "skwakesleep.callbacks":
        return DESCRIBED_BY_THE_CLASS
    return {}


OBJECTS = [".".join(filter(None, parts)) for parts in public_objects()]


def test_the_reference_lists_every_public_name():
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
    complaints = complaints_of(where_documented(module_name, name, member))
    passed_over = PASSED_OVER | described_elsewhere(module_name, name, member)
    assert not {code: text for code, text in complaints if code not in passed_over}


def where_documented(module_name, name, member):
    """Return the full name of an object, or of the method in a base class from which it inherits its docstring."""
    for base in getattr(getattr(importlib.import_module(module_name), name), "__mro__", ()) if member else ():
        if member in vars(base) and inspect.unwrap(vars(base)[member]).__doc__:
            return f"{base.__module__}.{base.__qualname__}.{member}"
    return ".".join(filter(None, (module_name, name, member)))


def complaints_of(full_name):
    validate = pytest.importorskip("numpydoc.validate", reason="numpydoc, which reads docstrings, is not installed")
    return validate.validate(full_name)["errors"]


LOG_LIKELIHOOD = re.compile(r"\.(log_likelihood|log_joint|log_prob\w*|score|score_samples|certify|Score\w*)$")


@pytest.mark.parametrize("name", [name for name in OBJECTS if LOG_LIKELIHOOD.search(name)])
def test_what_is_a_log_likelihood_is_said_to_be_in_nats(name):
    module, _, path = name.partition(".")
    value = importlib.import_module(module)
    for part in path.split("."):
        value = getattr(value, part)
    assert "nats" in inspect.getdoc(value)


def test_the_reader_of_docstrings_sees_faults():
    """Negative control: a function of the standard library, whose docstrings are of another kind."""
    assert {"PR01", "RT01", "EX01"} <= {code for code, _ in complaints_of("textwrap.dedent")}
