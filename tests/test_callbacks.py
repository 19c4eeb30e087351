"""Callbacks of the package, and progress bars of both estimators."""

import re

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from skwakesleep import AmortisedWakeSleep, HelmholtzMachine
from skwakesleep._adapters.sklearn_compat import HAS_CALLBACKS
from skwakesleep.callbacks import ScoreMonitor
from skwakesleep.models import LatentFactors

needs_callbacks = pytest.mark.skipif(not HAS_CALLBACKS, reason="scikit-learn has no callbacks before version 1.9")

X = (np.random.default_rng(0).random((60, 6)) < 0.3).astype(float)
HELD_OUT = (np.random.default_rng(1).random((20, 6)) < 0.3).astype(float)
ESTIMATORS = {
    "HelmholtzMachine": HelmholtzMachine(3, max_iter=4, tol=None, random_state=0),
    "AmortisedWakeSleep": AmortisedWakeSleep(
        LatentFactors(6, 1, latents="angle"),
        gradient="exact",
        n_sleep=50,
        tune=None,
        max_iter=4,
        n_restarts=1,
        random_state=0,
    ),
}


@pytest.fixture(params=ESTIMATORS)
def estimator(request):
    return clone(ESTIMATORS[request.param])


# ---------------------------------------------------------------------- held-out scores


@needs_callbacks
def test_the_scores_are_those_of_shorter_fits(estimator):
    monitor = ScoreMonitor(HELD_OUT)
    clone(estimator).set_callbacks(monitor).fit(X)
    assert monitor.epochs_ == [1, 2, 3, 4]
    assert monitor.scores_ == [clone(estimator).set_params(max_iter=n).fit(X).score(HELD_OUT) for n in monitor.epochs_]
    assert len(set(monitor.scores_)) == 4


@needs_callbacks
def test_a_monitor_does_not_change_the_fit(estimator):
    watched = clone(estimator).set_callbacks(ScoreMonitor(HELD_OUT)).fit(X)
    assert watched.score(X) == clone(estimator).fit(X).score(X)


@needs_callbacks
def test_a_fit_that_continues_continues_the_record(estimator):
    whole, monitor = ScoreMonitor(HELD_OUT), ScoreMonitor(HELD_OUT)
    clone(estimator).set_callbacks(whole).fit(X)
    estimator.set_params(max_iter=2, warm_start=True).set_callbacks(monitor).fit(X).fit(X)
    assert (monitor.epochs_, monitor.scores_) == (whole.epochs_, whole.scores_)
    estimator.partial_fit(X)
    assert monitor.epochs_ == [1, 2, 3, 4, 5]


@needs_callbacks
def test_a_new_fit_starts_a_new_record(estimator):
    monitor = ScoreMonitor(HELD_OUT)
    estimator.set_callbacks(monitor).fit(X)
    first = monitor.scores_
    estimator.fit(X)
    assert monitor.epochs_ == [1, 2, 3, 4]
    assert monitor.scores_ == first
    assert monitor.scores_ is not first


@needs_callbacks
def test_scores_are_printed_if_verbose(estimator, capsys):
    monitor = ScoreMonitor(HELD_OUT, verbose=True)
    estimator.set_callbacks(monitor).fit(X)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        f"[ScoreMonitor] Iteration {epoch}, held-out score = {score:.2f}"
        for epoch, score in zip(monitor.epochs_, monitor.scores_, strict=True)
    ]
    estimator.set_callbacks(ScoreMonitor(HELD_OUT)).fit(X)
    assert capsys.readouterr().out == ""


@needs_callbacks
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_search_records_the_final_fit(n_jobs, estimator):
    monitor = ScoreMonitor(HELD_OUT)
    search = GridSearchCV(estimator.set_callbacks(monitor), {"max_iter": [2, 3]}, cv=2, n_jobs=n_jobs).fit(X)
    assert monitor.epochs_[-1] == search.best_params_["max_iter"]
    assert monitor.scores_[-1] == search.best_estimator_.score(HELD_OUT)


@needs_callbacks
def test_a_monitor_in_a_pipeline():
    """Held-out rows are taken as they are, without the earlier steps."""
    monitor = ScoreMonitor(HELD_OUT)
    pipeline = make_pipeline(MinMaxScaler(), clone(ESTIMATORS["HelmholtzMachine"]).set_callbacks(monitor)).fit(X)
    assert monitor.scores_[-1] == pipeline[-1].score(HELD_OUT)


@needs_callbacks
def test_a_model_without_likelihood_raises_an_error():
    model = LatentFactors(6, 3, latents="laplace")
    assert not hasattr(model, "log_likelihood")
    estimator = AmortisedWakeSleep(model).set_callbacks(ScoreMonitor(HELD_OUT))
    with pytest.raises(TypeError, match="needs an estimator with a score"):
        estimator.fit(X)


def test_an_old_scikit_learn_raises_an_error(monkeypatch):
    monkeypatch.setattr("skwakesleep.callbacks.HAS_CALLBACKS", False)
    with pytest.raises(ImportError, match=r"needs scikit-learn 1\.9 or later"):
        ScoreMonitor(X)


# ---------------------------------------------------------------------- progress


@pytest.fixture
def progress_bar(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")  # wide enough for long names
    rich = pytest.importorskip("rich", reason="rich is not installed")
    monkeypatch.setattr(rich, "_console", None)  # an earlier one may be narrower
    return pytest.importorskip("sklearn.callback", reason="scikit-learn has no callbacks before 1.9").ProgressBar


def test_progress_is_shown(estimator, progress_bar, capsys):
    score = clone(estimator).fit(X).score(X)
    assert estimator.set_callbacks(progress_bar()).fit(X).score(X) == score
    assert re.search(f"{type(estimator).__name__} - fit.* 100%", capsys.readouterr().out)


def test_progress_of_a_search_is_shown(estimator, progress_bar, capsys):
    search = GridSearchCV(estimator, {"max_iter": [2, 3]}, cv=2)
    search.set_callbacks(progress_bar(max_propagation_depth=None)).fit(X)
    output = capsys.readouterr().out
    assert re.search("GridSearchCV - fit.* 100%", output)
    assert re.search(f"{type(estimator).__name__} - fit.* 100%", output)
