"""The estimator for models that can be simulated: the contract, what it learns, and what it says of mistakes."""

import copy
import pickle
import re
import warnings
from contextlib import contextmanager, suppress

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import check_estimator

from skwakesleep import AmortisedWakeSleep
from skwakesleep._adapters._sklearn import InvalidParameterError
from skwakesleep._engine.amortised.gradient import N_REGRESSED_STEPS
from skwakesleep.models import (
    FunctionModel,
    LatentFactors,
    NeuralDecoder,
    SigmoidBeliefNetwork,
    check_generative_model,
)
from tests.every_check import every_check

FITS = ["fit", "partial_fit"]


def quick(model=None, **parameters):
    return AmortisedWakeSleep(model, **({"n_sleep": 100, "max_iter": 3, "random_state": 0} | parameters))


@pytest.fixture
def X():
    rng = np.random.default_rng(0)
    return rng.normal(size=(50, 2)) @ rng.normal(size=(2, 4)) + 0.3 * rng.normal(size=(50, 4))


def ring_data(n, seed=0, noise=0.2):
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi, n)
    loadings = np.array([[1, 0.2], [-0.5, 1], [0.3, 0.8], [1, -0.6]])
    return np.column_stack([np.cos(angle), np.sin(angle)]) @ loadings.T + noise * rng.normal(size=(n, 4)), angle


def assert_same(first, second):
    assert_array_equal(first.theta_, second.theta_)
    for name in "loo_errors_", "coverages_", "effective_sample_sizes_", "bandwidth_", "ridge_", "n_iter_", "gradient_":
        assert getattr(first, name) == getattr(second, name)


# ---------------------------------------------------------------------- scikit-learn's contract

# A constant or a handful of rows leaves nothing to predict, and the estimator says so.
CONFIGURATIONS = [
    quick(),
    quick(gradient="importance", max_iter=2),
    quick(feature_map=None, gradient="direct", max_iter=1),
    quick(feature_map="additive", gradient="exponential", max_iter=1),
]


@pytest.mark.filterwarnings("ignore:The regression predicts no better:UserWarning")
@every_check(CONFIGURATIONS)
def test_every_check_passes(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore")  # what the checks skip, and what their few rows leave to regress
@pytest.mark.parametrize(
    "estimator",
    # The latter is quick, and its gradient has changed its form by the end.
    [AmortisedWakeSleep(), AmortisedWakeSleep(n_sleep=50, max_iter=N_REGRESSED_STEPS + 5)],
    ids=["default", "many steps"],
)
def test_check_estimator_passes(estimator):
    skipped = {result["check_name"] for result in check_estimator(estimator) if result["status"] != "passed"}
    assert skipped <= {"check_array_api_input"}  # without SCIPY_ARRAY_API


@pytest.mark.filterwarnings("ignore:The regression predicts no better")  # with so few dreams
def test_equal_seeds_give_equal_fits(X):
    assert_same(quick().fit(X), quick().fit(X))
    assert not np.array_equal(quick().fit(X).theta_, quick(random_state=1).fit(X).theta_)
    assert not np.array_equal(quick(random_state=None).fit(X).theta_, quick(random_state=None).fit(X).theta_)


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


def test_a_clone_is_unfitted_and_learns_the_same(X):
    fitted = quick(LatentFactors(4, 1)).fit(X)
    cloned = clone(fitted)
    assert not hasattr(cloned, "theta_")
    assert_same(cloned.fit(X), fitted)


METHODS = {
    "transform": lambda fitted, X: fitted.transform(X),
    "score_samples": lambda fitted, X: fitted.score_samples(X),
    "sample": lambda fitted, X: fitted.sample(3),
    "estimate_gradient": lambda fitted, X: fitted.estimate_gradient(X),
    "expect": lambda fitted, X: fitted.expect(X, np.square),
}


@pytest.mark.parametrize("method", METHODS)
def test_only_training_changes_an_estimator(method, X):
    fitted = quick().fit(X)
    before = pickle.dumps(fitted)
    METHODS[method](fitted, X)
    assert pickle.dumps(fitted) == before


@pytest.mark.parametrize("method", METHODS)
def test_every_method_asks_for_a_fit(method, X):
    with pytest.raises(NotFittedError):
        METHODS[method](quick(), X)


def test_models_are_chosen_by_grid_search():
    X, _ = ring_data(300)
    models = [
        LatentFactors(4, 1, latents="normal", noise="spherical"),
        LatentFactors(4, 1, latents="angle", noise="spherical"),
    ]
    search = GridSearchCV(quick(max_iter=150, n_sleep=200), {"model": models}, cv=2).fit(X)
    assert search.best_params_["model"].latents == "angle"
    assert search.cv_results_["mean_test_score"][1] > search.cv_results_["mean_test_score"][0] + 0.3


def test_data_frames_name_the_columns(X):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    fitted = quick().fit(frame).set_output(transform="pandas")
    assert_array_equal(fitted.feature_names_in_, list("abcd"))
    assert list(fitted.transform(frame).columns) == ["amortisedwakesleep0", "amortisedwakesleep1"]
    assert_array_equal(fitted.theta_, quick().fit(X).theta_)


# ---------------------------------------------------------------------- what it learns


def test_factor_analysis_comes_near_maximum_likelihood():
    rng = np.random.default_rng(1)
    loadings = rng.normal(size=(8, 2))
    X, fresh = (rng.normal(size=(n, 2)) @ loadings.T + 0.4 * rng.normal(size=(n, 8)) for n in (400, 2000))
    best = FactorAnalysis(2).fit(X).score(fresh)
    fitted = quick(LatentFactors(8, 2), gradient="exponential", n_sleep=250, max_iter=150).fit(X)
    assert fitted.score(fresh) > best - 0.1
    assert quick(LatentFactors(8, 2)).fit(X).score(fresh) < best - 1  # negative control: hardly trained
    posterior = FactorAnalysis(2).fit(X).transform(fresh)
    explained, *_ = np.linalg.lstsq(np.column_stack([posterior, np.ones(2000)]), fitted.transform(fresh), rcond=None)
    residual = fitted.transform(fresh) - np.column_stack([posterior, np.ones(2000)]) @ explained
    assert np.square(residual).mean() < 0.02 * fitted.transform(fresh).var()


def test_a_ring_is_found_in_its_plane():
    X, angle = ring_data(500)
    ring = LatentFactors(4, 1, latents="angle", noise="spherical")
    fitted = quick(ring, n_sleep=200, max_iter=200).fit(X)
    assert fitted.params_["noise_variance"][0] == pytest.approx(0.04, rel=0.15)
    assert fitted.gradient_ == "importance"
    circle = np.column_stack([np.cos(angle), np.sin(angle)])
    _, singular, _ = np.linalg.svd(circle.T @ fitted.transform(X) / 250)
    assert singular.min() > 0.9  # a rotation or a reflection of the true circle
    assert_allclose(fitted.expect(X, lambda z: np.ones(len(z))), 1)
    with pytest.raises(ValueError, match=r"f must return an array of shape \(200, ...\).* Got shape \(\)"):
        fitted.expect(X, np.mean)


@pytest.mark.parametrize("seed", range(4))
def test_a_ring_that_fills_its_columns_is_told_from_a_normal_density(seed):
    """Second moments say nothing of it: a regression that shrinks its predictions loses the loadings to the noise."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi, (300, 1))
    X = np.hstack([np.cos(angle), np.sin(angle)]) + 0.1 * rng.normal(size=(300, 2))
    ring = LatentFactors(2, 1, latents="angle", noise="spherical")
    assert quick(ring, n_sleep=200, max_iter=120, random_state=seed).fit(X).score(X) > -1.2  # a normal density: -2.1


def test_a_tied_mixture_is_fitted():
    rng = np.random.default_rng(2)
    X = np.repeat([[0, 0], [4, 0], [0, 4]], 100, axis=0) + 0.5 * rng.normal(size=(300, 2))
    mixture = LatentFactors(2, 3, latents="categorical", noise="spherical")
    fitted = quick(mixture, n_sleep=150, max_iter=150, n_restarts=2).fit(X)
    truth = np.concatenate([[0, 4, 0, 0, 0, 4], [0, 0], [np.log(0.5)], np.zeros(3)])
    assert fitted.score(X) > mixture.log_likelihood(truth, X).mean() - 0.1
    assert (fitted.transform(X).max(axis=1) > 0.9).mean() > 0.95


def amari(estimate, truth):
    """Return the distance between mixing matrices up to order, sign and scale; random ones have about 0.35."""
    gain = np.abs(np.linalg.solve(estimate, truth))
    excess = sum(np.sum(gain.sum(axis=axis) / gain.max(axis=axis) - 1) for axis in (0, 1))
    return excess / (2 * len(gain) * (len(gain) - 1))


@pytest.mark.filterwarnings("ignore:The regression predicts no better:UserWarning")  # the kernel's
def test_rotated_independent_components_are_told_apart():
    """Second moments say nothing of the rotation, and a kernel, which sees distances alone, hardly more."""
    rng = np.random.default_rng(0)
    rotation, _ = np.linalg.qr(rng.normal(size=(8, 8)))
    X = rng.laplace(size=(3000, 8), scale=np.sqrt(0.5)) @ rotation.T + 0.1 * rng.normal(size=(3000, 8))
    model = LatentFactors(8, 8, latents="laplace", noise="spherical", noise_floor=0.2)
    additive, kernel = (
        quick(model, gradient="exponential", feature_map=feature_map, n_sleep=500, batch_size=500, max_iter=50).fit(X)
        for feature_map in ("additive", None)
    )
    assert amari(additive.params_["loadings"], rotation) < 0.08
    assert amari(kernel.params_["loadings"], rotation) > 0.2  # negative control
    assert additive.bandwidth_ is None
    correlations = np.abs(np.corrcoef((X @ rotation).T, additive.transform(X).T)[:8, 8:])
    assert correlations.max(axis=0).min() > 0.95


def test_restarts_keep_the_likeliest():
    X, _ = ring_data(200)
    ring = LatentFactors(4, 1, latents="angle")
    several = quick(ring, max_iter=5, n_restarts=3).fit(X)
    assert several.score(X) >= quick(ring, max_iter=5).fit(X).score(X)
    assert several.n_iter_ == 5


def test_the_gradient_is_estimated_at_the_fitted_parameters(X):
    fitted = quick(gradient="exponential", n_sleep=400).fit(X)
    exact = fitted.model_.grad_log_likelihood(fitted.theta_, X)
    gradient = fitted.estimate_gradient(X, random_state=0)
    assert gradient @ exact > 0.9 * np.linalg.norm(gradient) * np.linalg.norm(exact)
    assert_array_equal(gradient, fitted.estimate_gradient(X, random_state=0))
    assert not np.array_equal(gradient, fitted.estimate_gradient(X, random_state=1))


def test_local_factors_are_regressed_on_local_inputs():
    """A random walk with an unseen coin in each step: each factor sees a value and the one before."""
    model = Walk()
    X = np.cumsum(
        np.random.default_rng(3).integers(2, size=(300, 1)) * 2.0
        + 0.3 * np.random.default_rng(4).normal(size=(300, 1)),
        axis=0,
    )
    fitted = quick(model, n_sleep=150, max_iter=100, learning_rate_init=0.05).fit(X)
    assert fitted.gradient_ == "direct"
    assert fitted.theta_[0] == pytest.approx(2, abs=0.15)
    assert not hasattr(fitted, "score")
    assert not hasattr(fitted, "transform")
    assert fitted.expect(X, lambda z: z).shape == (299,)


class Walk:
    """Steps of ``theta`` or of nothing, with normal noise of a known size."""

    n_features = n_params = 1

    def initial_params(self, X, rng):
        return np.array([1.0])

    def sample(self, theta, n, rng):
        z = rng.integers(2, size=n)
        return z, np.cumsum(rng.normal(theta * z, 0.3))[:, np.newaxis]

    def local_inputs(self, X):
        return np.column_stack([X[:-1, 0], X[1:, 0]])

    def sample_local(self, theta, rows, n, rng):
        z = rng.integers(2, size=n)
        before = rows[np.arange(n) % len(rows), 0]
        return z, np.column_stack([before, before + rng.normal(theta * z, 0.3)])

    def local_features(self, theta, rows):
        return rows[:, 1:] - rows[:, :1]

    def local_grad_log_joint(self, theta, z, rows, weights):
        return np.array([weights @ (z * (rows[:, 1] - rows[:, 0] - theta * z))]) / 0.3**2


# ---------------------------------------------------------------------- what it tells


def test_a_line_is_printed_for_each_epoch(X, capsys):
    quick(verbose=1, gradient="exponential").fit(X)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    pattern = (
        r"\[AmortisedWakeSleep\] Iteration 1, gradient = \w+, coverage = [\d.]+, .*leave-one-out error = [\d.]+, .*time"
    )
    assert re.match(pattern, lines[0])
    assert "bound" not in "".join(lines)
    assert "likelihood" not in "".join(lines)


def test_a_regression_that_predicts_nothing_is_reported():
    X = np.random.default_rng(0).normal(size=(30, 12))
    with pytest.warns(UserWarning, match="no better than a constant .* Raise n_sleep, or set feature_map"):
        quick(feature_map=None, gradient="direct", n_sleep=10).fit(X)


def test_a_batch_larger_than_the_table_is_clipped_with_a_warning(X):
    with pytest.warns(UserWarning, match="batch_size=1000 .* clipped to 50"):
        fitted = quick(batch_size=1000).fit(X)
    assert_array_equal(fitted.theta_, quick(batch_size=50).fit(X).theta_)


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


# ---------------------------------------------------------------------- simulations that fail


class Failing(LatentFactors):
    """A part of its simulations fail."""

    share = 0.03

    def sample(self, theta, n, rng):
        z, x = super().sample(theta, n, rng)
        x[rng.random(n) < self.share, 0] = np.nan
        return z, x


WAYS_TO_FAIL = {
    "exponential": {},
    "direct": {"gradient": "direct"},
    "reuse": {"reuse_sleep": True},
    "importance": {"gradient": "importance"},
}


@pytest.mark.parametrize("way", WAYS_TO_FAIL)
def test_some_simulations_may_fail(way, X):
    fitted = quick(Failing(4, 1), max_iter=60, **WAYS_TO_FAIL[way]).fit(X)
    assert fitted.failed_share_ == pytest.approx(0.03, abs=0.015)
    assert quick(LatentFactors(4, 1)).fit(X).failed_share_ == 0
    assert np.isfinite(fitted.theta_).all()
    assert np.isfinite(fitted.transform(X)).all()
    assert np.isfinite(fitted.estimate_gradient(X)).all()
    assert fitted.sample(300, random_state=0).shape == (300, 4)
    assert np.isfinite(fitted.sample(300, random_state=0)).all()


@pytest.mark.parametrize("fit", FITS)
def test_too_many_failed_simulations_are_counted(fit, X):
    model = Failing(4, 1)
    model.share = 0.3
    with pytest.raises(
        ValueError, match=r"\d+ of \d+ simulations by \S*sample are not finite.* at most 10% may fail.* theta = \["
    ) as caught:
        getattr(quick(model), fit)(X)
    assert "learning_rate" not in str(caught.value)


def test_failed_latents_and_local_steps_count_too(X, tosses):
    class FailingWalk(Walk):
        def sample_local(self, theta, rows, n, rng):
            z, x = super().sample_local(theta, rows, n, rng)
            return z, np.where(rng.random((n, 1)) < 0.03, np.inf, x)

    series = np.cumsum(2.0 * np.random.default_rng(3).integers(2, size=(200, 1)), axis=0)
    assert 0 < quick(FailingWalk(), max_iter=20).fit(series).failed_share_ < 0.06
    nan_latents = flawed(
        sample=lambda self, theta, n, rng: (np.where(rng.random(n) < 0.03, np.nan, 1.0), rng.normal(size=(n, 1)))
    )
    assert 0 < quick(nan_latents, max_iter=20).fit(tosses).failed_share_ < 0.06


# ---------------------------------------------------------------------- extreme parameters, memory, threads


@pytest.mark.parametrize("bandwidth", [1e300, 1e-300])
@pytest.mark.parametrize("n_sleep", [60, 2001])
def test_extreme_bandwidths_do_no_harm(bandwidth, n_sleep, X):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The regression predicts no better")
        fitted = quick(bandwidth=bandwidth, n_sleep=n_sleep, max_iter=1, gradient="exponential").fit(X)
    assert np.isfinite(fitted.transform(X)).all()


@pytest.mark.parametrize("learning_rate_init", [1e3, 1e8, 1e300])
@pytest.mark.parametrize("model", [None, LatentFactors(4, 3, latents="laplace")])
def test_the_last_step_is_checked_too(learning_rate_init, model, X):
    estimator = quick(model, max_iter=1, learning_rate_init=learning_rate_init)
    said = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with suppress(ValueError):
            estimator.fit(X)
            said = [str(warning.message) for warning in caught]
    assert hasattr(estimator, "theta_")
    assert not said or "The parameters of the former are kept" in said[0]
    assert np.isfinite(estimator.theta_).all()
    assert np.isfinite(estimator.sample(50)).all()
    if hasattr(estimator, "score"):
        assert np.isfinite(estimator.score(X))


def out_of_memory(*args):
    raise MemoryError("no room.")


def test_memory_errors_name_the_parameter(X):
    fitted = quick(LatentFactors(4, 1)).fit(X)
    fitted.model_.sample = out_of_memory
    for call, words in (
        (lambda: fitted.sample(7), "n_samples=7 needs more memory"),
        (lambda: fitted.transform(X), "n_sleep=100 needs more memory"),
        (lambda: fitted.partial_fit(X), "n_sleep=100 needs more memory .*no room. Lower n_sleep"),
    ):
        with pytest.raises(MemoryError, match=words):
            call()


def test_methods_read_one_fit_though_another_thread_fits_again(X):
    estimator = quick(LatentFactors(4, 2)).fit(X)
    expected = estimator.score_samples(X)

    class Refitting(np.ndarray):
        """Rows that have the estimator fitted anew once they are looked at."""

    class Meanwhile(LatentFactors):
        @property
        def log_likelihood(self):
            likelihood = super().log_likelihood

            def later(theta, rows):
                estimator._adopt(vars(quick(LatentFactors(4, 1), random_state=3).fit(10 * X)))
                return likelihood(theta, rows)

            return later

    estimator._fitted.model.__class__ = Meanwhile
    assert_array_equal(estimator.score_samples(X), expected)
    assert repr(estimator.model_) == repr(LatentFactors(4, 1))


# ---------------------------------------------------------------------- bad input


@contextmanager
def rejected(estimator, error, words):
    """Expect an error that matches, and leaves the estimator what it was."""
    before = pickle.dumps(estimator)
    with pytest.raises(error, match=words):
        yield
    assert pickle.dumps(estimator) == before


INVALID = {
    "gradient": ["natural", None],
    "reuse_sleep": ["yes", None],
    "n_sleep": [1, 0, 2.5, "500"],
    "batch_size": [0, 2.5, "full"],
    "max_iter": [0, 1.5, None],
    "learning_rate_init": [0, -1, np.nan, np.inf, "0.1"],
    "bandwidth": [0, -1.0, "mean"],
    "ridge": [0, -1e-3, np.nan],
    "tune": ["cv", True],
    "n_components": [0, 1.5],
    "feature_map": ["pca", 3],
    "n_restarts": [0, 2.5],
    "warm_start": ["yes"],
    "random_state": ["abc", -1],
    "verbose": [-1],
}


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in INVALID.items() for value in values])
def test_an_invalid_parameter_is_named(name, value, fit, X):
    with rejected(estimator := quick(**{name: value}), InvalidParameterError, f"'{name}' parameter .* Got"):
        getattr(estimator, fit)(X)


class Coin:
    """A coin, observed with normal noise around ``theta`` or around zero."""

    n_features = n_params = 1

    def initial_params(self, X, rng):
        return np.array([1.0])

    def sample(self, theta, n, rng):
        z = rng.integers(2, size=n)
        return z, rng.normal(theta[0] * z, 1.0)[:, np.newaxis]

    def grad_log_joint(self, theta, z, x, weights):
        return np.array([weights @ (z * (x[:, 0] - theta * z))])

    def log_joint(self, theta, z, x):
        return -0.5 * (x[:, 0] - theta * z) ** 2


@pytest.fixture
def tosses():
    return Coin().sample(np.array([4.0]), 60, np.random.default_rng(0))[1]


class Silent(Coin):
    sample = None

    def __getattribute__(self, name):
        if name in ("sample", "initial_params"):
            raise AttributeError(name)
        return super().__getattribute__(name)


class Mute(Coin):
    def __getattribute__(self, name):
        if name == "grad_log_joint":
            raise AttributeError(name)
        return super().__getattribute__(name)


def flawed(**methods):
    """Return a coin with other methods."""
    return type("Flawed", (Coin,), methods)()


def raises(*args):
    raise ZeroDivisionError("of mine")


FLAWS = {
    "a class": (Coin, TypeError, r"Coin is a class. Did you mean Coin\(\)"),
    "an integer": (3, TypeError, "3 lacks n_features, n_params, initial_params, sample, grad_log_joint"),
    "no sampler": (Silent(), TypeError, "lacks initial_params, sample"),
    "no score": (Mute(), TypeError, "lacks grad_log_joint"),
    "other columns": (flawed(n_features=2), ValueError, "X has 1 columns, but .* n_features=2"),
    "other parameters": (
        flawed(initial_params=lambda *args: np.zeros(3)),
        ValueError,
        r"initial_params must return an array of shape \(1,\). Got shape \(3,\)",
    ),
    "other rows": (
        flawed(sample=lambda self, theta, n, rng: (np.zeros(n), np.zeros((n + 1, 1)))),
        ValueError,
        r"sample must return an array of shape \(3, 1\). Got shape \(4, 1\)",
    ),
    "other width": (
        flawed(sample=lambda self, theta, n, rng: (np.zeros(n), np.zeros((n, 2)))),
        ValueError,
        r"sample must return an array of shape \(3, 1\). Got shape \(3, 2\)",
    ),
    "other latents": (
        flawed(sample=lambda self, theta, n, rng: (np.zeros(n + 1), np.zeros((n, 1)))),
        ValueError,
        "latents of leading length 3",
    ),
    "no pair": (flawed(sample=lambda self, theta, n, rng: np.zeros(n)), ValueError, r"must return a pair \(z, x\)"),
    "words": (
        flawed(sample=lambda self, theta, n, rng: (np.zeros(n), [["heads"]] * n)),
        ValueError,
        "sample must return numbers",
    ),
    "other gradient": (
        flawed(grad_log_joint=lambda *args: np.zeros((2, 2))),
        ValueError,
        r"grad_log_joint must return an array of shape \(1,\). Got shape \(2, 2\)",
    ),
    "infinite draws": (
        flawed(
            sample=lambda self, theta, n, rng: (np.zeros(n), np.where(np.arange(n) == 0, 0.0, np.inf)[:, np.newaxis])
        ),
        ValueError,
        r"2 of 3 simulations by Flawed.sample are not finite, the first is row 1; at most 10% .* at theta = \[1.\]",
    ),
    "a gradient of nan": (
        flawed(grad_log_joint=lambda *args: np.array([np.nan])),
        ValueError,
        r"gradient that is not finite, parameter 0, at theta = \[1.\]",
    ),
    "a column of log joints": (
        FunctionModel(
            lambda theta, n, rng: Coin().sample(theta, n, rng),
            lambda theta, z, x: -0.5 * (x - theta * z[:, np.newaxis]) ** 2,
            n_params=1,
            n_features=1,
        ),
        ValueError,
        r"^FunctionModel.log_joint must return an array of shape \(3,\). Got shape \(3, 1\).$",
    ),
    "a list of latents": (
        flawed(sample=lambda self, theta, n, rng: ([0] * n, rng.normal(size=(n, 1)))),
        ValueError,
        "latents of leading length 3, as an array or a tuple of arrays. Got list",
    ),
    "other names": (
        flawed(unpack=lambda self, theta: list(theta)),
        ValueError,
        "unpack must return a dict of arrays by name. Got list",
    ),
    "fractional counts": (flawed(n_params=1.5), ValueError, "n_params of model .* must be an int, at least 1. Got 1.5"),
    "units without scale": (
        flawed(column_units=lambda self, mean, std: mean, params_in_units=lambda self, theta, *units: theta),
        ValueError,
        r"column_units must return a pair \(location, scale\)",
    ),
    "negative units": (
        flawed(column_units=lambda self, mean, std: (mean, -std), params_in_units=lambda self, theta, *units: theta),
        ValueError,
        "column_units must return scales of zero or more. Got -.* for column 0",
    ),
    "its own error": (
        flawed(grad_log_joint=raises),
        ValueError,
        r"grad_log_joint raised ZeroDivisionError: of mine \(called with .* shape \(3,\)",
    ),
}


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("flaw", FLAWS)
def test_a_flawed_model_is_rejected(flaw, fit, tosses):
    model, error, words = FLAWS[flaw]
    estimator = quick(model)
    names = set(vars(estimator))
    with pytest.raises(error, match=words):
        getattr(estimator, fit)(tosses)
    assert set(vars(estimator)) == names


def test_the_models_own_error_is_chained(tosses):
    with pytest.raises(ValueError, match="raised") as caught:
        quick(flawed(grad_log_joint=raises)).fit(tosses)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_draws_that_ignore_the_generator_are_reported(tosses):
    own = np.random.default_rng(0)
    model = flawed(sample=lambda self, theta, n, rng: Coin().sample(theta, n, own))
    with pytest.warns(UserWarning, match=r"Flawed.sample draws .* not be reproducible"):
        quick(model).fit(tosses)


def test_a_model_in_order_is_fitted_without_a_word(tosses):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = quick(Coin(), max_iter=300, learning_rate_init=0.05, n_sleep=150).fit(tosses)
    assert fitted.theta_[0] == pytest.approx(4, abs=0.4)
    assert_array_equal(fitted.params_["theta"], fitted.theta_)
    for missing in "score", "score_samples", "transform":
        assert not hasattr(fitted, missing)


def test_a_regression_beyond_help_names_the_ridge(X):
    twins = flawed(sample=lambda self, theta, n, rng: (np.ones(n), np.full((n, 1), 1e-3 * rng.standard_normal())))
    estimator = quick(twins, ridge=1e-300, tune=None, feature_map=None, bandwidth=1.0)
    with pytest.raises(ValueError, match=r"ill-conditioned.*ridge=1e-300.*Raise ridge"):
        estimator.fit(X[:, :1])


@pytest.mark.parametrize("gradient", ["exponential", "importance", "exact"])
def test_a_form_that_the_model_does_not_offer_is_refused(gradient, tosses):
    with rejected(estimator := quick(Coin(), gradient=gradient), TypeError, f"gradient='{gradient}' needs .*'auto'"):
        estimator.fit(tosses)


def test_an_additive_regression_needs_the_latents_in_numbers(tosses):
    estimator = quick(Coin(), feature_map="additive")
    with rejected(estimator, TypeError, "feature_map='additive' needs latent_function .*'predictive'"):
        estimator.fit(tosses)


def test_an_additive_regression_does_not_predict_scores(X):
    estimator = quick(feature_map="additive", gradient="direct")
    with rejected(estimator, ValueError, "feature_map='additive' predicts .* not the scores that gradient='direct'"):
        estimator.fit(X)


def test_restarts_need_a_likelihood(tosses):
    with rejected(
        estimator := quick(Coin(), n_restarts=2), ValueError, "n_restarts=2 needs a model with log_likelihood"
    ):
        estimator.fit(tosses)


def test_dreams_are_used_again_on_request(X):
    class Counting(LatentFactors):
        n_dreamed = 0

        def sample(self, theta, n, rng):
            type(self).n_dreamed += 1
            return super().sample(theta, n, rng)

    n_dreamed = []
    for reuse_sleep in False, True:
        Counting.n_dreamed = 0
        quick(Counting(4, 1), max_iter=40, reuse_sleep=reuse_sleep).fit(X)
        n_dreamed.append(Counting.n_dreamed)
    assert n_dreamed[1] < n_dreamed[0] / 2


def test_dreams_used_again_lead_as_far(X):
    fresh, again = (
        quick(LatentFactors(4, 2), n_sleep=200, max_iter=200, reuse_sleep=reuse_sleep).fit(X).score(X)
        for reuse_sleep in (False, True)
    )
    assert again == pytest.approx(fresh, abs=0.1)
    assert again > quick(LatentFactors(4, 2)).fit(X).score(X) + 0.5  # that is not for want of training


def test_dreams_used_again_need_the_log_joint(X):
    class Unlikely(LatentFactors):
        log_joint = property()

    with pytest.raises(TypeError, match="reuse_sleep=True needs log_joint"):
        quick(Unlikely(4, 1), reuse_sleep=True).fit(X)


def test_training_cannot_go_on_with_another_model(X):
    estimator = quick(LatentFactors(4, 1), warm_start=True).fit(X).set_params(model=LatentFactors(4, 2))
    with rejected(estimator, ValueError, r"model is LatentFactors\(n_feat.*continue from is LatentFactors\(n_comp"):
        estimator.fit(X)


DIVERGING = {"learning_rate_init": 1e3, "max_iter": 50}


def test_a_diverging_fit_gives_advice_and_keeps_the_last_finite_parameters(X):
    estimator = quick(**DIVERGING)
    with pytest.raises(
        ValueError, match=r"diverged at epoch \d+: .* not finite.* Lower\s+learning_rate_init, which is 1000"
    ):
        estimator.fit(X)
    assert np.isfinite(estimator.theta_).all()
    assert np.isfinite(estimator.sample(3)).all()


@pytest.mark.parametrize("observations", ["gaussian", "bernoulli"])
def test_a_step_that_is_far_too_long_says_so(observations):
    X = np.random.default_rng(0).random((20, 3))
    model = LatentFactors(3, 1, observations=observations)
    with pytest.raises(ValueError, match=r"training diverged at epoch 1: .*too large.* Lower learning_rate_init"):
        quick(model, learning_rate_init=1e300).fit(X)


def test_a_diverging_fit_loses_nothing_that_was_fitted_before(X):
    estimator = quick().fit(X)
    theta = estimator.theta_.copy()
    with pytest.raises(ValueError, match="diverged"):
        estimator.set_params(**DIVERGING).fit(X)
    assert_array_equal(estimator.theta_, theta)


class Interruptible(LatentFactors):
    """Is interrupted at one of the calls of a method."""

    n_calls = 1

    def natural_vjp(self, *args):
        self.n_calls -= 1
        if self.n_calls == 0:
            raise KeyboardInterrupt
        return super().natural_vjp(*args)


def notes_of_interrupt(train, *args):
    with pytest.raises(KeyboardInterrupt) as caught:
        train(*args)
    return getattr(caught.value, "__notes__", [])


def test_an_interrupted_fit_is_usable_and_the_interrupt_goes_on(X):
    model = Interruptible(4, 2)
    model.n_calls = 40
    estimator = quick(model, max_iter=1000, warm_start=True)
    notes = notes_of_interrupt(estimator.fit, X)
    assert any(
        "interrupted after 37 epochs. The estimator is usable; fit with warm_start=True" in note for note in notes
    )
    assert estimator.n_iter_ == 37
    assert np.isfinite(estimator.score(X))
    estimator.set_params(max_iter=3).fit(X)
    assert estimator.n_iter_ == 40


@pytest.mark.parametrize("fit", FITS)
def test_an_interrupt_before_the_first_epoch_is_complete_changes_nothing(fit, X):
    model = Interruptible(4, 2)
    model.n_calls = 3  # two are made to probe it
    estimator = quick(model)
    assert notes_of_interrupt(getattr(estimator, fit), X) == []
    assert not hasattr(estimator, "theta_")
    model.n_calls = 1000
    estimator.fit(X)
    theta, model.n_calls = estimator.theta_, 3 if fit == "fit" else 1
    assert notes_of_interrupt(getattr(estimator, fit), X) == []
    assert estimator.theta_ is theta
    assert estimator.n_iter_ == 3


# ---------------------------------------------------------------------- models from functions, and their check


def coin_functions(**parameters):
    coin = Coin()
    settings = {"n_params": 1, "n_features": 1, "initial_params": [1.0]} | parameters
    return FunctionModel(coin.sample, coin.log_joint, **settings)


def test_functions_make_a_model(tosses):
    theta = np.array([1.7])
    model, coin = coin_functions(), Coin()
    z, x = model.sample(theta, 20, np.random.default_rng(0))
    weights = np.random.default_rng(1).normal(size=20)
    expected = coin.grad_log_joint(theta, z, x, weights)
    assert_allclose(model.grad_log_joint(theta, z, x, weights), expected, rtol=1e-8)
    with_gradient = coin_functions(grad_log_joint=coin.grad_log_joint)
    assert_array_equal(with_gradient.grad_log_joint(theta, z, x, weights), expected)
    assert_allclose(quick(model).fit(tosses).theta_, quick(with_gradient).fit(tosses).theta_, rtol=1e-6)


def test_optional_functions_unlock_methods(tosses):
    model = coin_functions(latent_function=lambda z: z[:, np.newaxis], log_likelihood=lambda theta, X: -(X[:, 0] ** 2))
    fitted = quick(model).fit(tosses)
    assert fitted.transform(tosses).shape == (60, 1)
    assert fitted.score(tosses) == pytest.approx(-np.square(tosses).mean())


def test_mistaken_functions_are_named():
    coin = Coin()
    with pytest.warns(UserWarning, match="n_params=101 parameters is taken by central differences"):
        FunctionModel(coin.sample, coin.log_joint, n_params=101, n_features=1)
    with pytest.raises(TypeError, match="needs log_joint, or grad_log_joint"):
        FunctionModel(coin.sample, n_params=1, n_features=1)
    with pytest.raises(TypeError, match=r"project of FunctionModel must be callable. Got 3"):
        coin_functions(project=3)
    with pytest.raises(ValueError, match=r"n_params .* Got 0"):
        coin_functions(n_params=0)


BROKEN_PROMISES = {
    "sign": (
        {"grad_log_joint": lambda *args: -Coin.grad_log_joint(*args)},
        "disagrees with central differences of log_joint",
    ),
    "prior": (
        {"sample": lambda self, theta, n, rng: (np.ones(n), rng.normal(0.5 * theta, 1.0, n)[:, np.newaxis])},
        "sample and the gradient belong to different densities",
    ),
    "generator": (
        {"sample": lambda self, theta, n, rng: Coin.sample(self, theta, n, np.random.default_rng())},
        "draws something else from an equal generator",
    ),
    "constant": (
        {"sample": lambda self, theta, n, rng: Coin.sample(self, theta, n, np.random.default_rng(0))},
        "draws the same whatever the generator",
    ),
    "shape": ({"log_joint": lambda self, theta, z, x: 0.0 * x}, "log_joint must return an array of shape"),
}


@pytest.mark.parametrize("promise", BROKEN_PROMISES)
def test_a_broken_promise_is_found(promise):
    methods, words = BROKEN_PROMISES[promise]
    theta = np.array([1.7])
    check_generative_model(Coin(), theta, np.random.default_rng(0))
    with pytest.raises(ValueError, match=words):
        check_generative_model(flawed(**methods), theta, np.random.default_rng(0))


@pytest.mark.parametrize("method", ["natural_vjp", "natural_parameters", "grad_log_likelihood"])
def test_a_broken_exponential_family_is_found(method):
    class Broken(LatentFactors):
        def natural_vjp(self, *args):
            return super().natural_vjp(*args) * (1.01 if method == "natural_vjp" else 1)

        def natural_parameters(self, theta, z):
            eta, psi = super().natural_parameters(theta, z)
            return eta, psi * (1.01 if method == "natural_parameters" else 1)

        def log_joint(self, theta, z, x):
            eta, psi = super().natural_parameters(theta, z)
            return np.vecdot(eta, self.sufficient_statistics(x)) - psi

        @property
        def grad_log_likelihood(self):
            exact = super().grad_log_likelihood
            return lambda theta, X: exact(theta, X) * (1.01 if method == "grad_log_likelihood" else 1)

    rng = np.random.default_rng(5)
    model = Broken(4, 2, noise="spherical")
    theta = rng.normal(size=model.n_params)
    with pytest.raises(ValueError, match=r"differences|changes with theta"):
        check_generative_model(model, theta, rng)


BINARY_MODELS = [
    LatentFactors(4, 1, observations="bernoulli"),
    SigmoidBeliefNetwork(4, 2),
    NeuralDecoder(4, n_latents=2),
]


@pytest.mark.parametrize("model", BINARY_MODELS, ids=lambda model: type(model).__name__)
def test_data_that_a_model_cannot_generate_are_refused(model):
    """The likelihood of such data would have no bound."""
    X = (np.random.default_rng(0).random((30, 4)) < 0.5).astype(float)
    fitted = quick(model).fit(X * (1 + 1e-9))
    spoiled = X.copy()
    spoiled[7, 2] = 1.5
    for call in fitted.fit, fitted.partial_fit, fitted.score:
        with pytest.raises(ValueError, match=r"values in \[0, 1\], but column 2 of X holds 1\.5.* Rescale"):
            call(spoiled)
