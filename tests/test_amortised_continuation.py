"""Continued training gives the same result as uninterrupted training, and requires an equal model."""

import copy
import pickle

import pytest
from sklearn.decomposition import PCA

from skwakesleep._engine.amortised import gradient
from skwakesleep.models import LatentFactors, NeuralDecoder
from tests.amortised import Factors, assert_same, factor_data, quick, rejected


@pytest.fixture
def X():
    return factor_data()


SETTINGS = {
    "auto": {},
    "learned": {"feature_map": "learned", "gradient": "exponential"},
    "additive": {"feature_map": "additive", "gradient": "exponential"},
    "transformer": {"feature_map": PCA(2), "gradient": "direct", "learning_rate_init": 0.01},
    "importance": {"gradient": "importance"},
    "small batches": {"batch_size": 7},
    "reused dreams": {"reuse_sleep": True},
}


@pytest.mark.parametrize("settings", SETTINGS)
def test_continued_training_equals_uninterrupted_training(settings, X, monkeypatch):
    # The half of 10 steps ends between two tunings, and before gradients that need no regression.
    monkeypatch.setattr(gradient, "TUNING_INTERVAL", 4)
    monkeypatch.setattr(gradient, "N_REGRESSED_STEPS", 15)
    whole = quick(max_iter=10, batch_size=25).set_params(**SETTINGS[settings]).fit(X)
    half = quick(max_iter=5, batch_size=25, warm_start=True).set_params(**SETTINGS[settings]).fit(X)
    assert_same(pickle.loads(pickle.dumps(half)).fit(X), whole)
    resumed = copy.copy(half).fit(X)
    assert half.n_iter_ == 5  # training a shallow copy does not change the original
    assert_same(resumed, whole)
    incremental = half.set_params(warm_start=False)
    for _ in range(5):
        incremental.partial_fit(X)
    assert_same(incremental, whole)


def test_setting_parameters_does_not_change_a_fitted_estimator(X):
    fitted = quick(Factors()).fit(X)
    before = fitted.score(X)
    fitted.set_params(model__n_components=3)
    assert fitted.model_.n_components == 1
    assert fitted.score(X) == before
    assert fitted.fit(X).transform(X).shape == (50, 3)


DIFFERENT_MODELS = [
    (LatentFactors(4, 1), LatentFactors(4, 2)),
    (LatentFactors(4, 1), LatentFactors(4, 1, noise_floor=0.9)),
    (NeuralDecoder(4, 2), NeuralDecoder(4, 3)),
    (Factors(), Factors(noise_floor=0.9)),
]


@pytest.mark.parametrize(("model", "other"), DIFFERENT_MODELS)
def test_continuing_with_a_different_model_raises(model, other, X):
    X = X > 0 if isinstance(model, NeuralDecoder) else X
    estimator = quick(model, warm_start=True).fit(X).set_params(model=other)
    name = type(model).__name__
    with rejected(estimator, ValueError, rf"model is .*{name}.*continue from is .*{name}.*Restore it"):
        estimator.fit(X)


@pytest.mark.parametrize("make", [lambda: LatentFactors(4, 1), lambda: NeuralDecoder(4, 2), Factors])
def test_continuing_with_an_equal_model(make, X):
    X = X > 0 if isinstance(make(), NeuralDecoder) else X
    same_model, equal_model = (quick(make(), warm_start=True).fit(X) for _ in range(2))
    assert_same(equal_model.set_params(model=make()).fit(X), same_model.fit(X))
    assert equal_model.n_iter_ == 6


def test_continuing_after_setting_a_model_parameter_raises(X):
    estimator = quick(Factors(), warm_start=True).fit(X).set_params(model__noise_floor=0.9)
    with rejected(estimator, ValueError, r"model is Factors\(noise_floor=0.9\), but .* continue from is Factors\(\)"):
        estimator.fit(X)


@pytest.mark.parametrize("previous", ["importance", "exact", "direct"])
def test_continuing_with_a_different_gradient_form(previous, X):
    estimator = quick(LatentFactors(4, 1), gradient=previous, warm_start=True).fit(X)
    estimator.set_params(gradient="exponential").fit(X)
    assert (estimator.gradient_, estimator.n_iter_) == ("exponential", 6)
