"""The HTML diagram of an estimator links to the page that documents it."""

import tomllib
from pathlib import Path

import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_html_repr

from skwakesleep import AmortisedWakeSleep, HelmholtzMachine
from skwakesleep.reference import BernoulliMixture, ChowLiuTree, IndependentBernoulli

ROOT = Path(__file__).parents[1]
PAGES = {
    HelmholtzMachine: "skwakesleep.HelmholtzMachine",
    AmortisedWakeSleep: "skwakesleep.AmortisedWakeSleep",
    IndependentBernoulli: "skwakesleep.reference.IndependentBernoulli",
    ChowLiuTree: "skwakesleep.reference.ChowLiuTree",
    BernoulliMixture: "skwakesleep.reference.BernoulliMixture",
}


def page_of(name):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return f"{project['urls']['Documentation']}/en/latest/api/generated/{name}.html"


@pytest.mark.parametrize(("estimator", "name"), PAGES.items(), ids=PAGES.values())
def test_every_estimator_links_to_its_page(estimator, name):
    assert f'href="{page_of(name)}"' in estimator_html_repr(estimator())


def test_in_a_pipeline_each_step_links_to_its_own_site():
    diagram = estimator_html_repr(make_pipeline(HelmholtzMachine(), LogisticRegression()))
    assert f'href="{page_of("skwakesleep.HelmholtzMachine")}"' in diagram
    assert "scikit-learn.org" in diagram
    assert "skwakesleep.LogisticRegression" not in diagram


def test_an_estimator_of_the_user_s_own_links_nowhere():
    class Ours(HelmholtzMachine):
        pass

    assert "readthedocs" not in estimator_html_repr(Ours())
