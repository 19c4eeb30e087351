"""Invariance to the units of columns, changing units in incremental training, and likelihood warnings."""

import re
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA, FactorAnalysis

from skwakesleep import AmortisedWakeSleep
from skwakesleep.models import LatentFactors
from tests.amortised import quick

pytestmark = pytest.mark.statistical

# ---------------------------------------------------------------------- units of the columns

SCALES = np.array([1.0, 1e-3, 1e3, 1e100, 1e-9, 7.0])
LOCATIONS = np.array([0.0, 1.0, -1e7, 0.0, 0.0, 1.7e9])


@pytest.fixture(scope="module")
def factors():
    rng = np.random.default_rng(0)
    return rng.normal(size=(300, 2)) @ rng.normal(size=(2, 6)) + 0.5 * rng.normal(size=(300, 6))


@pytest.mark.parametrize("noise", ["diagonal", "full"])
def test_fit_is_invariant_to_units_of_columns(noise, factors):
    model = LatentFactors(6, 2, noise=noise)
    plain = quick(model, max_iter=30).fit(factors)
    other = quick(model, max_iter=30).fit(LOCATIONS + SCALES * factors)
    X, jacobian = LOCATIONS + SCALES * factors[:50], np.log(SCALES).sum()
    assert_allclose(other.score_samples(X), plain.score_samples(factors[:50]) - jacobian, atol=1e-4)
    assert_allclose(other.params_["loadings"], SCALES[:, np.newaxis] * plain.params_["loadings"], rtol=1e-4)
    assert_allclose(other.transform(X), plain.transform(factors[:50]), atol=1e-4)
    assert_allclose(other.sample(5, random_state=0), LOCATIONS + SCALES * plain.sample(5, random_state=0), rtol=1e-4)
    assert_allclose(model.log_likelihood(other.theta_, X)[:3], other.score_samples(X)[:3], rtol=1e-3)
    sizes = [f.params_["loadings"].size for f in (plain, other)]
    plain_gradient, other_gradient = (
        f.estimate_gradient(rows, random_state=0)
        for f, rows in ((plain, factors), (other, LOCATIONS + SCALES * factors))
    )
    n = sizes[0]
    assert_allclose(
        other_gradient[:n].reshape(6, 2), plain_gradient[:n].reshape(6, 2) / SCALES[:, np.newaxis], rtol=1e-2, atol=0
    )


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_factor_data_reach_maximum_likelihood_at_any_scale(scale, factors):
    X = scale * factors[:, :5]
    fitted = quick(max_iter=150, n_sleep=200).fit(X)
    best = FactorAnalysis(2, tol=1e-4, max_iter=5000).fit(factors[:, :5]).score(factors[:, :5])
    assert fitted.score(X) + 5 * np.log(scale) > best - 0.1
    assert quick().fit(X).score(X) + 5 * np.log(scale) < best - 0.5  # negative control: three epochs


def test_transformer_gets_rows_in_original_units(factors):
    inputs = []

    class Recording(PCA):
        def fit(self, X, y=None):
            inputs.append(X)
            return super().fit(X)

        def transform(self, X):
            inputs.append(X)
            return super().transform(X)

    X = 1e6 + 1e3 * factors
    quick(feature_map=Recording(2), max_iter=2).fit(X).transform(X)
    assert all(5e5 < rows.mean() < 2e6 for rows in inputs)


@pytest.mark.filterwarnings("ignore:The regression predicts no better:UserWarning")
def test_constant_columns_give_finite_results():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=300), np.full(300, 0.1), 1e8 * rng.normal(size=300)])
    fitted = quick(max_iter=20).fit(X)
    assert np.isfinite(fitted.score(X))
    assert_allclose(fitted.sample(200, random_state=0)[:, 1].mean(), 0.1, atol=0.3)


def test_values_with_overflowing_squares_raise(factors):
    X = factors.copy()
    X[:, 2] *= 1e160
    fitted = quick().fit(factors)
    for method in fitted.fit, fitted.partial_fit, fitted.score, fitted.transform:
        with pytest.raises(
            ValueError, match=r"X must hold values of at most 1e\+150 .* Column 2 holds \d.*e\+160. Rescale X"
        ):
            method(X)
    far = np.full((1, 6), 1e150)
    assert np.isfinite(fitted.score_samples(far)).all()
    assert np.isfinite(fitted.transform(far)).all()


FIRST_BATCHES = {
    "one row": lambda X: X[:1],
    "smallest values of a column": lambda X: X[np.argsort(X[:, 0])[:5]],
    "far away": lambda X: X[:1] + 1e3 * SCALES[:3],
    "very far away": lambda X: X[:1] + 1e7 * SCALES[:3],
}


@pytest.fixture(scope="module")
def stream(factors):
    """Return rows, and the score reached by incremental training on them."""
    X = LOCATIONS[:3] + SCALES[:3] * factors[:, :3]
    return X, trained_incrementally(X, X).score(X)


def trained_incrementally(first, X, n=90):
    estimator = quick(LatentFactors(3, 1)).partial_fit(first)
    for _ in range(n):
        estimator.partial_fit(X)
    return estimator


def test_extreme_value_warns_and_does_not_change_the_scale(factors):
    X = factors.copy()
    X[7, 2] = 1e6
    with pytest.warns(UserWarning, match="1 extreme values, .* in column 2"):
        fitted = quick(gradient="exact").fit(X)
    assert fitted._fitted.state.units.scale[2] == pytest.approx(np.delete(X[:, 2], 7).std())


@pytest.mark.filterwarnings("ignore:The regression predicts no better:UserWarning", "ignore:X holds .* extreme")
@pytest.mark.parametrize("first", FIRST_BATCHES)
def test_units_adapt_after_the_first_batch(first, stream):
    X, score = stream
    first = FIRST_BATCHES[first](X)
    assert trained_incrementally(first, X).score(X) > score - 0.2
    assert trained_incrementally(first, X, n=1).score(X) < score - 0.4  # negative control


def test_units_are_kept_on_stationary_data(factors):
    estimator = quick(LatentFactors(6, 2)).partial_fit(factors)
    units = estimator._fitted.state.units
    for part in (factors[::2], factors[1::2], factors):
        estimator.partial_fit(part)
    assert estimator._fitted.state.units is units
    estimator.partial_fit(10 * factors)
    assert estimator._fitted.state.units is not units


# ---------------------------------------------------------------------- likelihood warnings


class SignFlipping(LatentFactors):
    """A model whose gradient changes sign after 109 calls."""

    n_calls = 0

    def natural_vjp(self, *args):
        self.n_calls += 1
        return super().natural_vjp(*args) * (1 if self.n_calls < 110 else -1)


def test_fall_of_the_likelihood_warns_and_keeps_the_best_parameters(factors):
    message = (
        r"was (-?[\d.]+) nats after epoch \d+, and .* Raise n_sleep, lower learning_rate_init, or set gradient='exact'"
    )
    flipping = quick(SignFlipping(6, 2), max_iter=120, gradient="exponential", learning_rate_init=0.05)
    with pytest.warns(UserWarning, match=message) as caught:
        flipping.fit(1e3 * factors[:200])
    best_score = float(re.search(message, str(caught[0].message))[1])
    assert flipping.score(1e3 * factors[:200]) == pytest.approx(best_score, abs=0.01)
    reference = quick(LatentFactors(6, 2), max_iter=15, gradient="exponential").fit(1e3 * factors[:200])
    assert best_score > reference.score(1e3 * factors[:200]) - 1


def test_breast_cancer_in_original_units_nears_maximum_likelihood():
    X = load_breast_cancer().data
    fitted = AmortisedWakeSleep(random_state=1, n_sleep=300).fit(X)
    assert fitted.score(X) + np.log(X.std(axis=0)).sum() > -24.5  # FactorAnalysis: -23.5


def test_fit_that_stopped_short_warns():
    X = load_breast_cancer().data
    with pytest.warns(
        UserWarning, match=r"climb along the exact gradient raises .* by \d+\.\d+ nats.*or set gradient='exact'"
    ):
        AmortisedWakeSleep(random_state=1, n_sleep=100, max_iter=70, n_restarts=1, learning_rate_init=0.005).fit(X)


def test_fit_near_its_maximum_does_not_warn(factors):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quick(max_iter=200, n_sleep=200).fit(factors)
