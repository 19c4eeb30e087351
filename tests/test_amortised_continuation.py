"""Training that continues: the same as without a break, and only with the same model."""

import copy
import pickle

import pytest
from sklearn.decomposition import PCA

from skwakesleep.models import LatentFactors, NeuralDecoder
from tests.amortised import Factors, assert_same, factor_data, quick, rejected


@pytest.fixture
def X():
    return factor_data()


WAYS = {
    "auto": {},
    "learned": {"feature_map": "learned", "gradient": "exponential"},
    "additive": {"feature_map": "additive", "gradient": "exponential"},
    "transformer": {"feature_map": PCA(2), "gradient": "direct", "learning_rate_init": 0.01},
    "importance": {"gradient": "importance"},
    "small batches": {"batch_size": 7},
    "dreams used again": {"reuse_sleep": True},
}


@pytest.mark.parametrize("way", WAYS)
def test_a_fit_equals_its_halves_however_they_are_joined(way, X):
    whole = quick(max_iter=60, batch_size=25).set_params(**WAYS[way]).fit(X)
    half = quick(max_iter=30, batch_size=25, warm_start=True).set_params(**WAYS[way]).fit(X)
    assert_same(pickle.loads(pickle.dumps(half)).fit(X), whole)
    resumed = copy.copy(half).fit(X)
    assert half.n_iter_ == 30  # a shallow copy learns alone
    assert_same(resumed, whole)
    streamed = half.set_params(warm_start=False)
    for _ in range(30):
        streamed.partial_fit(X)
    assert_same(streamed, whole)


def test_a_fit_does_not_depend_on_parameters_that_are_set_later(X):
    fitted = quick(Factors()).fit(X)
    before = fitted.score(X)
    fitted.set_params(model__n_components=3)
    assert fitted.model_.n_components == 1
    assert fitted.score(X) == before
    assert fitted.fit(X).transform(X).shape == (50, 3)


OTHER_MODELS = [
    (LatentFactors(4, 1), LatentFactors(4, 2)),
    (LatentFactors(4, 1), LatentFactors(4, 1, noise_floor=0.9)),
    (NeuralDecoder(4, 2), NeuralDecoder(4, 3)),
    (Factors(), Factors(noise_floor=0.9)),
]


@pytest.mark.parametrize(("model", "other"), OTHER_MODELS)
def test_training_cannot_continue_with_another_model(model, other, X):
    X = X > 0 if isinstance(model, NeuralDecoder) else X
    estimator = quick(model, warm_start=True).fit(X).set_params(model=other)
    name = type(model).__name__
    with rejected(estimator, ValueError, rf"model is .*{name}.*continue from is .*{name}.*Restore it"):
        estimator.fit(X)


@pytest.mark.parametrize("make", [lambda: LatentFactors(4, 1), lambda: NeuralDecoder(4, 2), Factors])
def test_training_continues_with_an_equal_model(make, X):
    X = X > 0 if isinstance(make(), NeuralDecoder) else X
    same, equal = (quick(make(), warm_start=True).fit(X) for _ in range(2))
    assert_same(equal.set_params(model=make()).fit(X), same.fit(X))
    assert equal.n_iter_ == 6


def test_training_cannot_continue_once_a_parameter_of_the_model_is_set(X):
    estimator = quick(Factors(), warm_start=True).fit(X).set_params(model__noise_floor=0.9)
    with rejected(estimator, ValueError, r"model is Factors\(noise_floor=0.9\), but .* continue from is Factors\(\)"):
        estimator.fit(X)


@pytest.mark.parametrize("before", ["importance", "exact", "direct"])
def test_training_continues_with_another_form_of_the_gradient(before, X):
    estimator = quick(LatentFactors(4, 1), gradient=before, warm_start=True).fit(X)
    estimator.set_params(gradient="exponential").fit(X)
    assert (estimator.gradient_, estimator.n_iter_) == ("exponential", 6)
