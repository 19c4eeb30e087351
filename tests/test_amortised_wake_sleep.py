"""AmortisedWakeSleep: estimator conventions, fits of known models, and errors on invalid input."""

import pickle
import re
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.decomposition import FactorAnalysis
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV

from skwakesleep._adapters.sklearn_compat import InvalidParameterError
from skwakesleep.models import (
    FunctionModel,
    LatentFactors,
    NeuralDecoder,
    SigmoidBeliefNetwork,
    check_generative_model,
)
from tests.amortised import FITS, Factors, assert_same, factor_data, quick, rejected, ring_data


@pytest.fixture
def X():
    return factor_data()


@pytest.mark.filterwarnings("ignore:The regression predicts no better")  # few dreams
def test_equal_seeds_give_equal_fits(X):
    assert_same(quick().fit(X), quick().fit(X))
    assert not np.array_equal(quick().fit(X).theta_, quick(random_state=1).fit(X).theta_)
    assert not np.array_equal(quick(random_state=None).fit(X).theta_, quick(random_state=None).fit(X).theta_)


def test_clone_is_unfitted_and_gives_an_equal_fit(X):
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
def test_method_does_not_change_the_estimator(method, X):
    fitted = quick().fit(X)
    before = pickle.dumps(fitted)
    METHODS[method](fitted, X)
    assert pickle.dumps(fitted) == before


@pytest.mark.parametrize("method", METHODS)
def test_method_requires_a_fit(method, X):
    with pytest.raises(NotFittedError):
        METHODS[method](quick(), X)


def test_grid_search_selects_the_model():
    X, _ = ring_data(300)
    models = [
        LatentFactors(4, 1, latents="normal", noise="spherical"),
        LatentFactors(4, 1, latents="angle", noise="spherical"),
    ]
    search = GridSearchCV(quick(max_iter=150, n_sleep=200), {"model": models}, cv=2).fit(X)
    assert search.best_params_["model"].latents == "angle"
    assert search.cv_results_["mean_test_score"][1] > search.cv_results_["mean_test_score"][0] + 0.3


def test_grid_search_selects_parameters_of_the_model():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 2)) @ rng.normal(size=(2, 6)) + 0.3 * rng.normal(size=(300, 6))
    search = GridSearchCV(quick(Factors(6), n_sleep=200, max_iter=60), {"model__n_components": [1, 2, 3]}, cv=2).fit(X)
    one, two, three = search.cv_results_["mean_test_score"]
    assert two > one + 0.7
    assert three == pytest.approx(two, abs=0.3)
    assert search.best_estimator_.model_.n_components == search.best_params_["model__n_components"] > 1


def test_column_names_of_data_frames(X):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    fitted = quick().fit(frame).set_output(transform="pandas")
    assert_array_equal(fitted.feature_names_in_, list("abcd"))
    assert list(fitted.transform(frame).columns) == ["amortisedwakesleep0", "amortisedwakesleep1"]
    assert_array_equal(fitted.theta_, quick().fit(X).theta_)


# ---------------------------------------------------------------------- fits of known models


@pytest.mark.statistical
def test_factor_analysis_nears_maximum_likelihood():
    rng = np.random.default_rng(1)
    loadings = rng.normal(size=(8, 2))
    X, fresh = (rng.normal(size=(n, 2)) @ loadings.T + 0.4 * rng.normal(size=(n, 8)) for n in (400, 2000))
    best = FactorAnalysis(2).fit(X).score(fresh)
    fitted = quick(LatentFactors(8, 2), gradient="exponential", n_sleep=250, max_iter=150).fit(X)
    assert fitted.score(fresh) > best - 0.1
    assert quick(LatentFactors(8, 2)).fit(X).score(fresh) < best - 1  # negative control: three epochs
    posterior = FactorAnalysis(2).fit(X).transform(fresh)
    explained, *_ = np.linalg.lstsq(np.column_stack([posterior, np.ones(2000)]), fitted.transform(fresh), rcond=None)
    residual = fitted.transform(fresh) - np.column_stack([posterior, np.ones(2000)]) @ explained
    assert np.square(residual).mean() < 0.02 * fitted.transform(fresh).var()


@pytest.mark.statistical
def test_ring_is_recovered():
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


@pytest.mark.statistical
@pytest.mark.parametrize("seed", range(2))
def test_ring_with_isotropic_moments_is_recovered(seed):
    """The second moments equal those of a normal density, so shrunken predictions would underestimate the loadings."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi, (300, 1))
    X = np.hstack([np.cos(angle), np.sin(angle)]) + 0.1 * rng.normal(size=(300, 2))
    ring = LatentFactors(2, 1, latents="angle", noise="spherical")
    assert quick(ring, n_sleep=200, max_iter=120, random_state=seed).fit(X).score(X) > -1.2  # a normal density: -2.1


@pytest.mark.statistical
def test_tied_mixture_is_recovered():
    rng = np.random.default_rng(2)
    X = np.repeat([[0, 0], [4, 0], [0, 4]], 100, axis=0) + 0.5 * rng.normal(size=(300, 2))
    mixture = LatentFactors(2, 3, latents="categorical", noise="spherical")
    fitted = quick(mixture, n_sleep=150, max_iter=150, n_restarts=2).fit(X)
    truth = np.concatenate([[0, 4, 0, 0, 0, 4], [0, 0], [np.log(0.5)], np.zeros(3)])
    assert fitted.score(X) > mixture.log_likelihood(truth, X).mean() - 0.1
    assert (fitted.transform(X).max(axis=1) > 0.9).mean() > 0.95


def amari_distance(estimate, truth):
    """Return the Amari distance of two mixing matrices, invariant to order, sign and scale (random matrices: 0.35)."""
    gain = np.abs(np.linalg.solve(estimate, truth))
    excess = sum(np.sum(gain.sum(axis=axis) / gain.max(axis=axis) - 1) for axis in (0, 1))
    return excess / (2 * len(gain) * (len(gain) - 1))


@pytest.mark.statistical
@pytest.mark.filterwarnings("ignore:The regression predicts no better:UserWarning")  # by the kernel
def test_additive_features_recover_independent_components():
    """The second moments do not depend on the rotation, and an isotropic kernel depends on distances only."""
    rng = np.random.default_rng(0)
    rotation, _ = np.linalg.qr(rng.normal(size=(8, 8)))
    X = rng.laplace(size=(3000, 8), scale=np.sqrt(0.5)) @ rotation.T + 0.1 * rng.normal(size=(3000, 8))
    model = LatentFactors(8, 8, latents="laplace", noise="spherical", noise_floor=0.2)
    additive, kernel = (
        quick(model, gradient="exponential", feature_map=feature_map, n_sleep=500, batch_size=500, max_iter=50).fit(X)
        for feature_map in ("additive", None)
    )
    assert amari_distance(additive.params_["loadings"], rotation) < 0.08
    assert amari_distance(kernel.params_["loadings"], rotation) > 0.2  # negative control
    assert additive.bandwidth_ is None
    correlations = np.abs(np.corrcoef((X @ rotation).T, additive.transform(X).T)[:8, 8:])
    assert correlations.max(axis=0).min() > 0.95


@pytest.mark.statistical
def test_estimate_gradient_is_near_the_exact_gradient(X):
    fitted = quick(gradient="exponential", n_sleep=400).fit(X)
    exact = fitted.model_.grad_log_likelihood(fitted.theta_, X)
    gradient = fitted.estimate_gradient(X, random_state=0)
    assert gradient @ exact > 0.9 * np.linalg.norm(gradient) * np.linalg.norm(exact)
    assert_array_equal(gradient, fitted.estimate_gradient(X, random_state=0))
    assert not np.array_equal(gradient, fitted.estimate_gradient(X, random_state=1))


def test_local_factors_are_fitted():
    """A random walk with a binary latent in each step: the inputs of a factor are a value and its predecessor."""
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
    """A random walk with steps of ``theta`` or zero, plus normal noise of known scale."""

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


# ---------------------------------------------------------------------- verbose output and warnings


def test_verbose_prints_a_line_for_each_epoch(X, capsys):
    quick(verbose=1, gradient="exponential").fit(X)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    pattern = (
        r"\[AmortisedWakeSleep\] Iteration 1, gradient = \w+, coverage = [\d.]+, .*leave-one-out error = [\d.]+, .*time"
    )
    assert re.match(pattern, lines[0])
    assert "bound" not in "".join(lines)
    assert "likelihood" not in "".join(lines)


def test_regression_no_better_than_a_constant_warns():
    X = np.random.default_rng(0).normal(size=(30, 12))
    with pytest.warns(UserWarning, match="no better than a constant .* Raise n_sleep, or set feature_map"):
        quick(feature_map=None, gradient="direct", n_sleep=10).fit(X)


def test_batch_size_larger_than_n_samples_is_clipped_with_a_warning(X):
    with pytest.warns(UserWarning, match="batch_size=1000 .* clipped to 50"):
        fitted = quick(batch_size=1000).fit(X)
    assert_array_equal(fitted.theta_, quick(batch_size=50).fit(X).theta_)


# ---------------------------------------------------------------------- invalid input


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
    "n_jobs": [2.5, "all"],
    "warm_start": ["yes"],
    "random_state": ["abc", -1],
    "verbose": [-1],
}


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in INVALID.items() for value in values])
def test_invalid_parameter_raises(name, value, fit, X):
    with rejected(estimator := quick(**{name: value}), InvalidParameterError, f"'{name}' parameter .* Got"):
        getattr(estimator, fit)(X)


class Coin:
    """A binary latent, observed with normal noise around ``theta`` or around zero."""

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


class WithoutSampler(Coin):
    sample = None

    def __getattribute__(self, name):
        if name in ("sample", "initial_params"):
            raise AttributeError(name)
        return super().__getattribute__(name)


class WithoutGradient(Coin):
    def __getattribute__(self, name):
        if name == "grad_log_joint":
            raise AttributeError(name)
        return super().__getattribute__(name)


def flawed(**methods):
    """Return an instance of a subclass of Coin with the given attributes."""
    return type("Flawed", (Coin,), methods)()


def raise_error(*args):
    raise ZeroDivisionError("division failed")


FLAWS = {
    "class": (Coin, TypeError, r"Coin is a class. Did you mean Coin\(\)"),
    "integer": (3, TypeError, "3 lacks n_features, n_params, initial_params, sample, grad_log_joint"),
    "no sampler": (WithoutSampler(), TypeError, "lacks initial_params, sample"),
    "no gradient": (WithoutGradient(), TypeError, "lacks grad_log_joint"),
    "number of columns": (flawed(n_features=2), ValueError, "X has 1 columns, but .* n_features=2"),
    "number of parameters": (
        flawed(initial_params=lambda *args: np.zeros(3)),
        ValueError,
        r"initial_params must return an array of shape \(1,\). Got shape \(3,\)",
    ),
    "number of rows": (
        flawed(sample=lambda self, theta, n, rng: (np.zeros(n), np.zeros((n + 1, 1)))),
        ValueError,
        r"sample must return an array of shape \(3, 1\). Got shape \(4, 1\)",
    ),
    "number of simulated columns": (
        flawed(sample=lambda self, theta, n, rng: (np.zeros(n), np.zeros((n, 2)))),
        ValueError,
        r"sample must return an array of shape \(3, 1\). Got shape \(3, 2\)",
    ),
    "number of latents": (
        flawed(sample=lambda self, theta, n, rng: (np.zeros(n + 1), np.zeros((n, 1)))),
        ValueError,
        "latents of leading length 3",
    ),
    "not a pair": (flawed(sample=lambda self, theta, n, rng: np.zeros(n)), ValueError, r"must return a pair \(z, x\)"),
    "strings": (
        flawed(sample=lambda self, theta, n, rng: (np.zeros(n), [["heads"]] * n)),
        ValueError,
        "sample must return numbers",
    ),
    "shape of the gradient": (
        flawed(grad_log_joint=lambda *args: np.zeros((2, 2))),
        ValueError,
        r"grad_log_joint must return an array of shape \(1,\). Got shape \(2, 2\)",
    ),
    "infinite simulations": (
        flawed(
            sample=lambda self, theta, n, rng: (np.zeros(n), np.where(np.arange(n) == 0, 0.0, np.inf)[:, np.newaxis])
        ),
        ValueError,
        r"2 of 3 simulations by Flawed.sample are not finite, the first is row 1; at most 10% .* at theta = \[1.\]",
    ),
    "gradient of nan": (
        flawed(grad_log_joint=lambda *args: np.array([np.nan])),
        ValueError,
        r"gradient that is not finite, parameter 0, at theta = \[1.\]",
    ),
    "shape of the log joint": (
        FunctionModel(
            lambda theta, n, rng: Coin().sample(theta, n, rng),
            lambda theta, z, x: -0.5 * (x - theta * z[:, np.newaxis]) ** 2,
            n_params=1,
            n_features=1,
        ),
        ValueError,
        r"^FunctionModel.log_joint must return an array of shape \(3,\). Got shape \(3, 1\).$",
    ),
    "list of latents": (
        flawed(sample=lambda self, theta, n, rng: ([0] * n, rng.normal(size=(n, 1)))),
        ValueError,
        "latents of leading length 3, as an array or a tuple of arrays. Got list",
    ),
    "type of the named parameters": (
        flawed(unpack=lambda self, theta: list(theta)),
        ValueError,
        "unpack must return a dict of arrays by name. Got list",
    ),
    "fractional n_params": (
        flawed(n_params=1.5),
        ValueError,
        "n_params of model .* must be an int, at least 1. Got 1.5",
    ),
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
    "error in the model": (
        flawed(grad_log_joint=raise_error),
        ValueError,
        r"grad_log_joint raised ZeroDivisionError: division failed \(called with .* shape \(3,\)",
    ),
}


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("flaw", FLAWS)
def test_invalid_model_raises(flaw, fit, tosses):
    model, error, message = FLAWS[flaw]
    estimator = quick(model)
    names = set(vars(estimator))
    with pytest.raises(error, match=message):
        getattr(estimator, fit)(tosses)
    assert set(vars(estimator)) == names


def test_error_of_the_model_is_chained(tosses):
    with pytest.raises(ValueError, match="raised") as caught:
        quick(flawed(grad_log_joint=raise_error)).fit(tosses)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_sampler_that_ignores_the_generator_warns(tosses):
    other_rng = np.random.default_rng(0)
    model = flawed(sample=lambda self, theta, n, rng: Coin().sample(theta, n, other_rng))
    with pytest.warns(UserWarning, match=r"Flawed.sample draws .* not be reproducible"):
        quick(model).fit(tosses)


def test_valid_model_is_fitted_without_warnings(tosses):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = quick(Coin(), max_iter=300, learning_rate_init=0.05, n_sleep=150).fit(tosses)
    assert fitted.theta_[0] == pytest.approx(4, abs=0.4)
    assert_array_equal(fitted.params_["theta"], fitted.theta_)
    for method in "score", "score_samples", "transform":
        assert not hasattr(fitted, method)


def test_ill_conditioned_regression_raises(X):
    constant_rows = flawed(
        sample=lambda self, theta, n, rng: (np.ones(n), np.full((n, 1), 1e-3 * rng.standard_normal()))
    )
    estimator = quick(constant_rows, ridge=1e-300, tune=None, feature_map=None, bandwidth=1.0)
    with pytest.raises(ValueError, match=r"ill-conditioned.*ridge=1e-300.*Raise ridge"):
        estimator.fit(X[:, :1])


class WithoutLogJoint(LatentFactors):
    """A model without log_joint."""

    log_joint = property()


class OnlyExact(LatentFactors):
    """A model whose only gradient is that of the likelihood."""

    grad_log_joint = natural_vjp = property()


UNSUPPORTED = [
    (Coin(), {"gradient": "exponential"}, TypeError, "gradient='exponential' needs sufficient_statistics, .*'auto'"),
    (Coin(), {"gradient": "importance"}, TypeError, "gradient='importance' needs log_prob_x_given_z .*'auto'"),
    (Coin(), {"gradient": "exact"}, TypeError, "gradient='exact' needs grad_log_likelihood .*'auto'"),
    (OnlyExact(1, 1), {}, TypeError, "model has neither grad_log_joint nor the methods of an exponential family"),
    (Coin(), {"feature_map": "additive"}, TypeError, "feature_map='additive' needs latent_function .*'predictive'"),
    (
        LatentFactors(1, 1),
        {"feature_map": "additive", "gradient": "direct"},
        ValueError,
        "feature_map='additive' predicts .* not the scores that gradient='direct'",
    ),
    (
        WithoutLogJoint(1, 1),
        {"reuse_sleep": True},
        TypeError,
        "reuse_sleep=True needs log_joint .* Use reuse_sleep=False",
    ),
]


@pytest.mark.parametrize(("model", "parameters", "error", "message"), UNSUPPORTED)
def test_parameter_not_supported_by_the_model_raises(model, parameters, error, message, tosses):
    with rejected(estimator := quick(model, **parameters), error, message):
        estimator.fit(tosses)


def test_failed_latents_and_local_simulations_are_counted(X, tosses):
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


def test_reuse_sleep_draws_fewer_dreams(X):
    class Counting(LatentFactors):
        n_calls = 0

        def sample(self, theta, n, rng):
            type(self).n_calls += 1
            return super().sample(theta, n, rng)

    n_calls = []
    for reuse_sleep in False, True:
        Counting.n_calls = 0
        quick(Counting(4, 1), max_iter=40, reuse_sleep=reuse_sleep).fit(X)
        n_calls.append(Counting.n_calls)
    assert n_calls[1] < n_calls[0] / 2


def test_reuse_sleep_reaches_the_same_likelihood(X):
    fresh, reused = (
        quick(LatentFactors(4, 2), n_sleep=200, max_iter=200, reuse_sleep=reuse_sleep).fit(X).score(X)
        for reuse_sleep in (False, True)
    )
    assert reused == pytest.approx(fresh, abs=0.1)
    assert reused > quick(LatentFactors(4, 2)).fit(X).score(X) + 0.5  # negative control: three epochs


# ---------------------------------------------------------------------- FunctionModel and check_generative_model


def function_coin(**parameters):
    coin = Coin()
    settings = {"n_params": 1, "n_features": 1, "initial_params": [1.0]} | parameters
    return FunctionModel(coin.sample, coin.log_joint, **settings)


def test_function_model_equals_a_class(tosses):
    theta = np.array([1.7])
    model, coin = function_coin(), Coin()
    z, x = model.sample(theta, 20, np.random.default_rng(0))
    weights = np.random.default_rng(1).normal(size=20)
    expected = coin.grad_log_joint(theta, z, x, weights)
    assert_allclose(model.grad_log_joint(theta, z, x, weights), expected, rtol=1e-8)
    with_gradient = function_coin(grad_log_joint=coin.grad_log_joint)
    assert_array_equal(with_gradient.grad_log_joint(theta, z, x, weights), expected)
    assert_allclose(quick(model).fit(tosses).theta_, quick(with_gradient).fit(tosses).theta_, rtol=1e-6)


def test_optional_functions_add_methods(tosses):
    model = function_coin(latent_function=lambda z: z[:, np.newaxis], log_likelihood=lambda theta, X: -(X[:, 0] ** 2))
    fitted = quick(model).fit(tosses)
    assert fitted.transform(tosses).shape == (60, 1)
    assert fitted.score(tosses) == pytest.approx(-np.square(tosses).mean())


def test_invalid_functions():
    coin = Coin()
    with pytest.warns(UserWarning, match="n_params=101 parameters is taken by central differences"):
        FunctionModel(coin.sample, coin.log_joint, n_params=101, n_features=1)
    with pytest.raises(TypeError, match="needs log_joint, or grad_log_joint"):
        FunctionModel(coin.sample, n_params=1, n_features=1)
    with pytest.raises(TypeError, match=r"project of FunctionModel must be callable. Got 3"):
        function_coin(project=3)
    with pytest.raises(ValueError, match=r"n_params .* Got 0"):
        function_coin(n_params=0)


INCONSISTENT = {
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


@pytest.mark.parametrize("flaw", INCONSISTENT)
def test_inconsistent_model_raises(flaw):
    methods, message = INCONSISTENT[flaw]
    theta = np.array([1.7])
    check_generative_model(Coin(), theta, np.random.default_rng(0))
    with pytest.raises(ValueError, match=message):
        check_generative_model(flawed(**methods), theta, np.random.default_rng(0))


@pytest.mark.parametrize("method", ["natural_vjp", "natural_parameters", "grad_log_likelihood"])
def test_inconsistent_exponential_family_raises(method):
    class Inconsistent(LatentFactors):
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
    model = Inconsistent(4, 2, noise="spherical")
    theta = rng.normal(size=model.n_params)
    with pytest.raises(ValueError, match=r"differences|changes with theta"):
        check_generative_model(model, theta, rng)


BINARY_MODELS = [
    LatentFactors(4, 1, observations="bernoulli"),
    SigmoidBeliefNetwork(4, 2),
    NeuralDecoder(4, n_latents=2),
]


@pytest.mark.parametrize("model", BINARY_MODELS, ids=lambda model: type(model).__name__)
def test_data_outside_the_range_of_the_model_raise(model):
    """The likelihood of data outside the range is unbounded."""
    X = (np.random.default_rng(0).random((30, 4)) < 0.5).astype(float)
    fitted = quick(model).fit(X * (1 + 1e-9))
    invalid = X.copy()
    invalid[7, 2] = 1.5
    for call in fitted.fit, fitted.partial_fit, fitted.score:
        with pytest.raises(ValueError, match=r"values in \[0, 1\], but column 2 of X holds 1\.5.* Rescale"):
            call(invalid)
