"""The HTML diagram of an estimator links to its page of the documentation."""

import tomllib
from pathlib import Path

import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_html_repr

from skwakesleep import AmortisedWakeSleep, HelmholtzMachine
from skwakesleep.reference import BernoulliMixture, ChowLiuTree, IndependentBernoulli, IndependentColumns, LatentClasses

ROOT = Path(__file__).parents[1]
PAGES = {
    HelmholtzMachine: "skwakesleep.HelmholtzMachine",
    AmortisedWakeSleep: "skwakesleep.AmortisedWakeSleep",
    IndependentBernoulli: "skwakesleep.reference.IndependentBernoulli",
    ChowLiuTree: "skwakesleep.reference.ChowLiuTree",
    BernoulliMixture: "skwakesleep.reference.BernoulliMixture",
    IndependentColumns: "skwakesleep.reference.IndependentColumns",
    LatentClasses: "skwakesleep.reference.LatentClasses",
}


def url_of_page(name):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return f"{project['urls']['Documentation']}/en/latest/api/generated/{name}.html"


@pytest.mark.parametrize(("estimator", "name"), PAGES.items(), ids=PAGES.values())
def test_diagram_links_to_the_page_of_the_estimator(estimator, name):
    assert f'href="{url_of_page(name)}"' in estimator_html_repr(estimator())


def test_diagram_of_a_pipeline_links_each_step_to_the_site_of_its_package():
    diagram = estimator_html_repr(make_pipeline(HelmholtzMachine(), LogisticRegression()))
    assert f'href="{url_of_page("skwakesleep.HelmholtzMachine")}"' in diagram
    assert "scikit-learn.org" in diagram
    assert "skwakesleep.LogisticRegression" not in diagram


def test_diagram_of_a_subclass_has_no_link():
    class Ours(HelmholtzMachine):
        pass

    assert "readthedocs" not in estimator_html_repr(Ours())
