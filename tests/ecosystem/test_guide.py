"""The pages of the guide on other tools, with all tools there: what warns is not ours."""

import pytest

from tests.test_documentation import ROOT, blocks, run

PAGES = ["ecosystem", "distributed"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_the_page_runs(page, monkeypatch, tmp_path):
    text = (ROOT / "docs" / "guide" / f"{page}.rst").read_text(encoding="utf-8")
    missing = sorted({package for block in blocks(text) for package in block.missing()})
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed; the rest of the page is run with the others")
    monkeypatch.chdir(tmp_path)
    assert run(page, text) == []
