"""Columns in any units, streams whose units change, and what the likelihood says of a fit."""

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
def test_units_of_columns_do_not_matter(noise, factors):
    model = LatentFactors(6, 2, noise=noise)
    plain = quick(model, max_iter=30).fit(factors)
    other = quick(model, max_iter=30).fit(LOCATIONS + SCALES * factors)
    X, jacobian = LOCATIONS + SCALES * factors[:50], np.log(SCALES).sum()
    assert_allclose(other.score_samples(X), plain.score_samples(factors[:50]) - jacobian, atol=1e-4)
    assert_allclose(other.params_["loadings"], SCALES[:, np.newaxis] * plain.params_["loadings"], rtol=1e-4)
    assert_allclose(other.transform(X), plain.transform(factors[:50]), atol=1e-4)
    assert_allclose(other.sample(5, random_state=0), LOCATIONS + SCALES * plain.sample(5, random_state=0), rtol=1e-4)
    assert_allclose(model.log_likelihood(other.theta_, X)[:3], other.score_samples(X)[:3], rtol=1e-3)
    gradients = [f.params_["loadings"].size for f in (plain, other)]
    mine, its = (
        f.estimate_gradient(rows, random_state=0)
        for f, rows in ((plain, factors), (other, LOCATIONS + SCALES * factors))
    )
    n = gradients[0]
    assert_allclose(its[:n].reshape(6, 2), mine[:n].reshape(6, 2) / SCALES[:, np.newaxis], rtol=1e-2, atol=0)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_factor_data_reach_maximum_likelihood_at_every_scale(scale, factors):
    X = scale * factors[:, :5]
    fitted = quick(max_iter=150, n_sleep=200).fit(X)
    best = FactorAnalysis(2, tol=1e-4, max_iter=5000).fit(factors[:, :5]).score(factors[:, :5])
    assert fitted.score(X) + 5 * np.log(scale) > best - 0.1
    assert quick().fit(X).score(X) + 5 * np.log(scale) < best - 0.5  # negative control: hardly trained


def test_a_transformer_sees_the_units_of_the_columns(factors):
    seen = []

    class Recording(PCA):
        def fit(self, X, y=None):
            seen.append(X)
            return super().fit(X)

        def transform(self, X):
            seen.append(X)
            return super().transform(X)

    X = 1e6 + 1e3 * factors
    quick(feature_map=Recording(2), max_iter=2).fit(X).transform(X)
    assert all(5e5 < rows.mean() < 2e6 for rows in seen)


@pytest.mark.filterwarnings("ignore:The regression predicts no better:UserWarning")
def test_constant_columns_do_no_harm():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=300), np.full(300, 0.1), 1e8 * rng.normal(size=300)])
    fitted = quick(max_iter=20).fit(X)
    assert np.isfinite(fitted.score(X))
    assert_allclose(fitted.sample(200, random_state=0)[:, 1].mean(), 0.1, atol=0.3)


def test_values_whose_squares_overflow_are_named(factors):
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
    "one regime": lambda X: X[np.argsort(X[:, 0])[:5]],
    "far away": lambda X: X[:1] + 1e3 * SCALES[:3],
    "very far away": lambda X: X[:1] + 1e7 * SCALES[:3],
}


@pytest.fixture(scope="module")
def stream(factors):
    """Rows, and the score that a stream of them reaches."""
    X = LOCATIONS[:3] + SCALES[:3] * factors[:, :3]
    return X, streamed(X, X).score(X)


def streamed(first, X, n=150):
    estimator = quick(LatentFactors(3, 1)).partial_fit(first)
    for _ in range(n):
        estimator.partial_fit(X)
    return estimator


def test_an_extreme_value_is_told_and_sets_no_scale(factors):
    X = factors.copy()
    X[7, 2] = 1e6
    with pytest.warns(UserWarning, match="1 extreme values, .* in column 2"):
        fitted = quick(gradient="exact").fit(X)
    assert fitted._fitted.state.units.scale[2] == pytest.approx(np.delete(X[:, 2], 7).std())


@pytest.mark.filterwarnings("ignore:The regression predicts no better:UserWarning", "ignore:X holds .* extreme")
@pytest.mark.parametrize("first", FIRST_BATCHES)
def test_the_first_batch_does_not_fix_the_units(first, stream):
    X, score = stream
    first = FIRST_BATCHES[first](X)
    assert streamed(first, X).score(X) > score - 0.2
    assert streamed(first, X, n=1).score(X) < score - 0.4  # negative control


def test_a_stationary_stream_keeps_its_units(factors):
    estimator = quick(LatentFactors(6, 2)).partial_fit(factors)
    units = estimator._fitted.state.units
    for part in (factors[::2], factors[1::2], factors):
        estimator.partial_fit(part)
    assert estimator._fitted.state.units is units
    estimator.partial_fit(10 * factors)
    assert estimator._fitted.state.units is not units


# ---------------------------------------------------------------------- what a likelihood says of the fit


class Astray(LatentFactors):
    """Its gradient leads downhill after so many calls."""

    n_calls = 0

    def natural_vjp(self, *args):
        self.n_calls += 1
        return super().natural_vjp(*args) * (1 if self.n_calls < 110 else -1)


def test_a_fit_that_loses_likelihood_keeps_its_best_and_says_so(factors):
    words = (
        r"was (-?[\d.]+) nats after epoch \d+, and .* Raise n_sleep, lower learning_rate_init, or set gradient='exact'"
    )
    astray = quick(Astray(6, 2), max_iter=120, gradient="exponential", learning_rate_init=0.05)
    with pytest.warns(UserWarning, match=words) as caught:
        astray.fit(1e3 * factors[:200])
    named = float(re.search(words, str(caught[0].message))[1])
    assert astray.score(1e3 * factors[:200]) == pytest.approx(named, abs=0.01)
    straight = quick(LatentFactors(6, 2), max_iter=15, gradient="exponential").fit(1e3 * factors[:200])
    assert named > straight.score(1e3 * factors[:200]) - 1


def test_breast_cancer_comes_near_maximum_likelihood_in_its_own_units():
    X = load_breast_cancer().data
    with pytest.warns(
        UserWarning, match=r"climb along the exact gradient raises .* by 0\.\d+ nats.*or set gradient='exact'"
    ):
        fitted = AmortisedWakeSleep(random_state=1, n_sleep=300).fit(X)
    assert fitted.score(X) + np.log(X.std(axis=0)).sum() > -24.8  # FactorAnalysis: -23.5


def test_a_fit_near_its_maximum_is_not_warned_of(factors):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quick(max_iter=200, n_sleep=200).fit(factors)
