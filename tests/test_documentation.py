"""Every block of Python in the pages of the site and in the README is run, and every public docstring is complete."""

import ast
import doctest
import re
import sys
import textwrap
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "docs").rglob("*.rst")])
PAGES = [page for page in PAGES if not {"_build", "auto_examples", "generated"} & set(page.parts)]
FENCE = re.compile(r"^```(?:python|pycon)\n(.*?)^```", re.DOTALL | re.MULTILINE)
DIRECTIVE = re.compile(r"^\.\. code-block:: (?:python|pycon)\n((?:\n|[ ]+.*\n)+)", re.MULTILINE)


class Block(NamedTuple):
    """Statements with the first line's number, and what they should print, if they say so."""

    source: str
    line: int
    example: doctest.Example | None = None

    def missing(self):
        """Return the packages and modules that it imports and that are not installed."""
        nodes = list(ast.walk(ast.parse(self.source)))
        modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        modules |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
        return sorted({absent for module in modules if (absent := first_absent(module))})


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
    with pytest.raises(NameError):
        run("page", "```python\nx\n```\n")
    assert run("page", "```python\nx = 1\n```\n\n>>> x\n1\n\n.. code-block:: bash\n\n   python -c '1 / 0'\n") == []
    assert run("page", "```python\nimport no_such_package\n```\n") == ["line 2 needs no_such_package"]
