"""Searches of scikit-learn with the default score, the held-out likelihood."""

import numpy as np
import pytest
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    RandomizedSearchCV,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline

from skwakesleep import AmortisedWakeSleep, HelmholtzMachine
from skwakesleep.models import LatentFactors
from skwakesleep.reference import BernoulliMixture

rng = np.random.default_rng(0)
CAUSES = rng.integers(2, size=(240, 3))
X = (rng.random((240, 9)) < np.where(np.repeat(CAUSES, 3, axis=1), 0.95, 0.05)).astype(float)
MACHINE = HelmholtzMachine(3, autoregressive="prior", max_iter=15, tol=None, batch_size=20, random_state=0)
GRID = {"learning_rate_init": [1e-7, 0.3], "hidden_layer_sizes": [1, 3]}
BEST = {"learning_rate_init": 0.3, "hidden_layer_sizes": 3}


def test_grid_search_uses_the_held_out_likelihood():
    search = GridSearchCV(MACHINE, GRID, cv=3).fit(X)
    assert search.best_params_ == BEST
    assert search.best_score_ == cross_val_score(search.best_estimator_, X, cv=3).mean()


def test_randomized_search():
    search = RandomizedSearchCV(MACHINE, GRID, n_iter=4, cv=2, random_state=0).fit(X)
    assert search.best_params_ == BEST


@pytest.mark.parametrize("resource", ["n_samples", "max_iter"])
def test_halving_search(resource):
    amounts = {"n_samples": {"min_resources": 60}, "max_iter": {"min_resources": 5, "max_resources": 15}}[resource]
    search = HalvingGridSearchCV(MACHINE, GRID, cv=2, factor=3, resource=resource, random_state=0, **amounts).fit(X)
    assert search.n_candidates_ == [4, 2]
    assert search.best_params_["learning_rate_init"] == 0.3
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_randomized_halving_search():
    search = HalvingRandomSearchCV(MACHINE, GRID, cv=2, factor=2, n_candidates=4, min_resources=60, random_state=0).fit(
        X
    )
    assert search.best_params_["learning_rate_init"] == 0.3


def test_grid_search_in_a_pipeline_with_a_classifier():
    y = CAUSES[:, 0]
    pipeline = make_pipeline(MACHINE, LogisticRegression())
    search = GridSearchCV(pipeline, {"helmholtzmachine__hidden_layer_sizes": [1, 3]}, cv=3).fit(X, y)
    assert search.best_params_ == {"helmholtzmachine__hidden_layer_sizes": 3}
    assert search.best_score_ > 0.9


def test_halving_search_over_models_of_amortised_wake_sleep():
    models = [LatentFactors(9, k, latents="bernoulli", observations="bernoulli") for k in (1, 3)]
    estimator = AmortisedWakeSleep(gradient="exact", n_sleep=50, tune=None, max_iter=60, random_state=0)
    search = HalvingGridSearchCV(estimator, {"model": models}, cv=2, factor=2, min_resources=120, random_state=0).fit(X)
    assert search.best_params_["model"].n_components == 3


def test_grid_search_over_mixtures():
    search = GridSearchCV(BernoulliMixture(random_state=0), {"n_components": [1, 8]}, cv=3).fit(X)
    assert search.best_params_ == {"n_components": 8}
