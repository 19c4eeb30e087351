"""Every example runs without a display, with warnings as errors. `pytest -m slow` runs these tests."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("plot_*.py"))
NEEDS = {
    "plot_explain_anomalies": ["pandas"],
    "plot_features_few_labels": ["pandas"],
    "plot_incomplete_table": ["pandas"],
}
NO_DISPLAY = "ignore:FigureCanvasAgg is non-interactive:UserWarning"


def run(script, folder):
    """Run a script in a folder, to which it saves its figures."""
    command = [sys.executable, "-W", "error", "-W", NO_DISPLAY, str(script)]
    environment = {**os.environ, "MPLBACKEND": "Agg", "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(example, tmp_path):
    for package in ["matplotlib", *NEEDS.get(example.stem, [])]:
        pytest.importorskip(package)
    finished = run(example, tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout  # every example prints a table


def test_warning_in_an_example_is_an_error(tmp_path):
    """Negative control."""
    script = tmp_path / "plot_warning.py"
    script.write_text("import warnings\nwarnings.warn('planted')\n", encoding="utf-8")
    finished = run(script, tmp_path)
    assert finished.returncode != 0
    assert "planted" in finished.stderr
