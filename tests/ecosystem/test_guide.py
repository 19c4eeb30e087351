"""The examples of the guide pages about other packages run if these packages are installed."""

import pytest

from tests.test_documentation import ROOT, run_examples

PACKAGES = {
    "ecosystem": ["mlflow", "onnxruntime", "optuna", "skl2onnx", "skops", "sklearn.callback"],
    "distributed": ["dask.distributed", "ray"],
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("page", PACKAGES)
def test_examples_of_page_run(page, monkeypatch, tmp_path):
    for package in PACKAGES[page]:
        pytest.importorskip(
            package, reason=f"{package} is not installed; tests/test_documentation.py runs the other examples"
        )
    monkeypatch.chdir(tmp_path)
    assert run_examples(ROOT / "docs" / "guide" / f"{page}.rst") == []
