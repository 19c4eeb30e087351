"""Standard errors and intervals of `AmortisedWakeSleep`, against closed forms and quadrature."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from joblib import parallel_config
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import log_ndtr
from scipy.stats import norm

from skwakesleep import AmortisedWakeSleep, Inference
from skwakesleep._engine.amortised.information import calibration
from skwakesleep._engine.amortised.problem import Problem, Settings
from skwakesleep._engine.amortised.row_scores import LearnedStatistics, likelihood_scores
from skwakesleep._engine.arrays.numerics import differences
from skwakesleep.models import LatentFactors, Positive, Real
from tests.amortised import quick, ring_data
from tests.test_amortised_wake_sleep import Walk

N = 400
MEAN, WIDTH, NOISE = 1.0, 1.5, 1.0
VARIANCE = WIDTH**2 + NOISE**2
# x is normal with this variance; its derivative in the width is twice the width.
MEAN_ERROR, WIDTH_ERROR = np.sqrt(VARIANCE / N), VARIANCE / WIDTH / np.sqrt(2 * N)


class Effects:
    """A normal effect of each row, and normal noise, in one column; the likelihood is not given."""

    n_features = 1
    prior = None

    def parameters(self):
        return {"mean": Real(prior=self.prior), "width": Positive()}

    def initial_params(self, X, rng):
        return {"mean": MEAN, "width": WIDTH}

    def sample(self, params, n, rng):
        z = params.mean + params.width * rng.standard_normal(n)
        return z, z[:, np.newaxis] + NOISE * rng.standard_normal((n, 1))

    def log_joint(self, params, z, x):
        return norm.logpdf(z, params.mean, params.width) + norm.logpdf(x[:, 0], z, NOISE)


def at_start(model, X, **parameters):
    """Return an estimator whose parameters are those at the start of the training, to rounding."""
    return quick(model, **{"max_iter": 1, "learning_rate_init": 1e-12, "n_sleep": 500} | parameters).fit(X)


def effects(spread=1.0, n=N):
    """Return the rows of the quantiles of the model, spread by a factor."""
    return MEAN + spread * np.sqrt(VARIANCE) * norm.ppf((np.arange(n) + 0.5) / n)[:, np.newaxis]


# ---------------------------------------------------------------------- closed forms


@pytest.mark.statistical
def test_calibration_restores_shrunken_scores():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(20_000, 2)) @ np.array([[1.0, 0.5], [0.0, 0.5]])
    statistics = 0.3 * scores @ np.array([[1.0, 2.0], [0.0, 1.0]])
    both = np.hstack([statistics, scores + 2 * rng.normal(size=scores.shape)])
    found = calibration(both.T @ both, len(both), 2)
    assert_allclose(found.observed, scores.T @ scores / len(scores), atol=0.06)
    assert_allclose(found.complete, found.observed + 4 * np.eye(2), atol=0.15)


@pytest.mark.statistical
def test_noise_of_many_statistics_is_no_information():
    rng = np.random.default_rng(0)
    both = rng.normal(size=(2000, 201))
    observed = calibration(both.T @ both, len(both), 1).observed
    assert_allclose(observed, 0, atol=0.04)  # uncorrected: 0.1


@pytest.mark.statistical
def test_information_is_that_of_the_normal_distribution():
    fitted = at_start(Effects(), effects())
    result = fitted.inference(effects(), random_state=0)
    assert_allclose(result.params["width"], WIDTH)
    assert_allclose(result.standard_errors["mean"], MEAN_ERROR, rtol=0.05)
    assert_allclose(result.standard_errors["width"], WIDTH_ERROR, rtol=0.1)
    assert 0 < result.monte_carlo_errors["mean"] < 0.05 * MEAN_ERROR


@pytest.mark.statistical
def test_sandwich_has_the_spread_of_the_rows():
    X = effects(spread=1.5)
    fitted = at_start(Effects(), X)
    narrow, wide = (fitted.inference(X, kind, random_state=0) for kind in ("information", "sandwich"))
    assert_allclose(narrow.standard_errors["mean"], MEAN_ERROR, rtol=0.05)
    assert_allclose(wide.standard_errors["mean"], 1.5 * MEAN_ERROR, rtol=0.05)


@pytest.mark.statistical
def test_prior_adds_its_curvature():
    class WithPrior(Effects):
        prior = norm(0, MEAN_ERROR)

    result = at_start(WithPrior(), effects()).inference(effects(), random_state=0)
    assert_allclose(result.standard_errors["mean"], MEAN_ERROR / np.sqrt(2), rtol=0.05)


@pytest.mark.statistical
def test_missing_cells_have_no_information():
    class Ragged(Effects):
        n_features = 2
        allow_nan = True

        def initial_params(self, X, rng):
            return {"mean": MEAN, "width": 0.3}

        def sample(self, params, n, rng):
            z, first = super().sample(params, n, rng)
            return z, np.hstack([first, z[:, np.newaxis] + NOISE * rng.standard_normal((n, 1))])

        def log_joint(self, params, z, x):
            return norm.logpdf(z, params.mean, params.width) + np.nansum(norm.logpdf(x, z[:, None], NOISE), axis=1)

    X = np.hstack([effects(), effects()[::-1]])
    X[: N // 2, 1] = np.nan
    result = at_start(Ragged(), X).inference(X, random_state=0)
    information = N / 2 / (0.3**2 + NOISE**2) + N / 2 / (0.3**2 + NOISE**2 / 2)
    assert_allclose(result.standard_errors["mean"], 1 / np.sqrt(information), rtol=0.05)


@pytest.mark.filterwarnings("ignore:The regression predicts no better than a constant")
@pytest.mark.statistical
def test_squares_are_seen_where_the_feature_map_is_linear():
    """The score of the width is a function of the square of the mean of eight columns."""

    class Many(Effects):
        n_features = 8

        def sample(self, params, n, rng):
            z, _ = super().sample(params, n, rng)
            return z, z[:, np.newaxis] + NOISE * rng.standard_normal((n, 8))

        def log_joint(self, params, z, x):
            return norm.logpdf(z, params.mean, params.width) + norm.logpdf(x, z[:, np.newaxis], NOISE).sum(axis=1)

    X = Many().sample(SimpleNamespace(mean=MEAN, width=WIDTH), N, np.random.default_rng(0))[1]
    result = at_start(Many(), X, fixed={"mean": MEAN}).inference(X, random_state=0)
    assert_allclose(result.standard_errors["width"], (WIDTH**2 + NOISE**2 / 8) / WIDTH / np.sqrt(2 * N), rtol=0.08)


@pytest.mark.statistical
def test_errors_are_those_of_the_observed_information_of_a_probit():
    """The likelihood by quadrature, which the model does not have, and its second derivatives by differences."""
    start = {"loadings": np.array([1.0, 0.5, 1.5, 1.0]), "thresholds": np.array([-0.5, 0.0, 0.5, 0.2])}

    class Items:
        n_features = 4
        parameters = {"loadings": Real(4), "thresholds": Real(4)}

        def initial_params(self, X, rng):
            return start

        def sample(self, params, n, rng):
            z = rng.standard_normal(n)
            return z, np.outer(z, params.loadings) - params.thresholds + rng.standard_normal((n, 4)) > 0

        def log_joint(self, params, z, x):
            mean = np.outer(z, params.loadings) - params.thresholds
            return log_ndtr(np.where(x > 0.5, mean, -mean)).sum(axis=1)

    nodes, weights = np.polynomial.hermite_e.hermegauss(31)

    def scores(theta, X):
        def log_likelihood(end):
            mean = np.outer(nodes, end[:4]) - end[4:]
            log_prob = X @ log_ndtr(mean).T + (1 - X) @ log_ndtr(-mean).T
            return np.log(np.exp(log_prob) @ weights)

        return np.array([change / length for change, length in differences(log_likelihood, theta)])

    model = Items()
    rng = np.random.default_rng(0)
    X = model.sample(SimpleNamespace(**start), 2000, rng)[1].astype(float)
    fitted = at_start(model, X)
    result = fitted.inference(X, random_state=0)
    curvature = np.array(
        [change / length for change, length in differences(lambda t: scores(t, X).sum(1), fitted.theta_)]
    )
    errors = np.sqrt(np.diagonal(np.linalg.inv(-curvature)))
    assert_allclose(np.concatenate([*result.standard_errors.values()]), errors, rtol=0.1)


class OnlyExponential:
    """A ring that offers nothing but its simulation and the form of an exponential family."""

    exponential = ("sufficient_statistics", "natural_parameters", "natural_vjp")
    other = ("n_features", "n_params", "initial_params", "sample", "unpack", "column_units", "params_in_units")

    def __init__(self, model):
        self._model = model

    def __getattr__(self, name):
        if name not in self.exponential + self.other:
            raise AttributeError(name)
        return getattr(self._model, name)


@pytest.mark.statistical
@pytest.mark.filterwarnings("ignore:.* can change together")  # a rotation of the angle
def test_natural_parameters_serve_as_well_as_the_likelihood():
    ring = LatentFactors(4, 1, latents="angle", noise="spherical")
    X, _ = ring_data(300)
    fitted = AmortisedWakeSleep(ring, n_sleep=150, max_iter=40, random_state=0).fit(X)
    known = fitted.inference(X, random_state=0).standard_errors
    reduced = OnlyExponential(ring)
    problem = Problem(reduced, X, fitted._fitted.state.units, Settings(n_dreams=500))
    theta, rng = fitted._fitted.theta, np.random.default_rng(0)
    scores = LearnedStatistics(problem, theta, rng)(problem.X)[:, : len(theta)]
    exact = likelihood_scores(ring, theta, problem.X)
    assert np.square(scores - exact).mean() < 0.1 * np.square(exact).mean()
    fitted._fitted = replace(fitted._fitted, model=reduced)
    learned = fitted.inference(X, random_state=0).standard_errors
    assert_allclose(learned["intercept"], known["intercept"], rtol=0.1)
    assert_allclose(learned["noise_variance"], known["noise_variance"], rtol=0.15)


@pytest.mark.statistical
def test_local_factors_are_the_rows():
    class Begun(Walk):
        def initial_params(self, X, rng):
            return np.array([2.0])

        def local_inputs(self, X):
            return super().local_inputs(X)[:100]

    X = np.cumsum(2.0 * np.random.default_rng(0).integers(2, size=(300, 1)), axis=0)
    result = at_start(Begun(), X).inference(X, random_state=0)
    # Half of the 100 steps, with known noise, show the parameter.
    assert_allclose(result.standard_errors["theta"], 0.3 / np.sqrt(50), rtol=0.05)


# ---------------------------------------------------------------------- what is not determined, and what is fixed


def test_rotation_of_factors_is_named_and_has_no_error():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 2)) @ rng.normal(size=(2, 6)) + rng.normal(size=(300, 6))
    fitted = AmortisedWakeSleep(LatentFactors(6, 2), n_sleep=200, max_iter=60, random_state=0).fit(X)
    with pytest.warns(UserWarning, match=r"loadings\[0, 0\], .* can change together"):
        result = fitted.inference(X, random_state=0)
    assert np.isnan(result.standard_errors["loadings"]).any()
    # As the sample mean and the residual variance: rotations change neither.
    assert_allclose(result.standard_errors["intercept"], X.std(axis=0) / np.sqrt(300), rtol=0.1)
    assert np.isfinite(result.standard_errors["noise_variance"]).all()


def test_two_means_that_only_add_up_have_no_error():
    class Sum(Effects):
        def parameters(self):
            return {"first": Real(), "second": Real(), "width": Positive()}

        def initial_params(self, X, rng):
            return {"first": 0.5, "second": 0.5, "width": WIDTH}

        def sample(self, params, n, rng):
            z = params.first + params.second + params.width * rng.standard_normal(n)
            return z, z[:, np.newaxis] + NOISE * rng.standard_normal((n, 1))

        def log_joint(self, params, z, x):
            mean = params.first + params.second
            return norm.logpdf(z, mean, params.width) + norm.logpdf(x[:, 0], z, NOISE)

    fitted = at_start(Sum(), effects())
    for kind in "information", "sandwich":
        with pytest.warns(UserWarning, match="first, second can change together"):
            result = fitted.inference(effects(), kind, random_state=0)
        assert np.isnan(result.covariance[:2]).all()
        assert_allclose(result.standard_errors["width"], WIDTH_ERROR, rtol=0.15)


def test_flat_direction_of_a_regression_is_found():
    """The likelihood depends on the sum of two variances; the scores of the pairs do not show it."""

    class TwoEffects(Effects):
        def parameters(self):
            return {"mean": Real(), "width": Positive(), "noise": Positive()}

        def initial_params(self, X, rng):
            return {"mean": MEAN, "width": WIDTH, "noise": NOISE}

        def sample(self, params, n, rng):
            z = params.mean + params.width * rng.standard_normal(n)
            return z, z[:, np.newaxis] + params.noise * rng.standard_normal((n, 1))

        def log_joint(self, params, z, x):
            return norm.logpdf(z, params.mean, params.width) + norm.logpdf(x[:, 0], z, params.noise)

    fitted = at_start(TwoEffects(), effects())
    with pytest.warns(UserWarning, match="^width, noise can change together"):
        result = fitted.inference(effects(), random_state=0)
    assert_allclose(result.standard_errors["mean"], MEAN_ERROR, rtol=0.05)


def test_fixed_parameter_has_no_error():
    result = at_start(Effects(), effects(), fixed={"width": WIDTH}).inference(effects(), random_state=0)
    assert np.isnan(result.standard_errors["width"])
    assert_allclose(result.standard_errors["mean"], MEAN_ERROR, rtol=0.05)


# ---------------------------------------------------------------------- units, bootstrap, results


def test_errors_are_in_the_units_of_the_columns():
    X = effects(n=100) @ np.ones((1, 3)) + np.random.default_rng(0).normal(size=(100, 3))
    small, large = (
        quick(LatentFactors(3, 1), n_sleep=200, max_iter=20).fit(unit * X).inference(unit * X, random_state=0)
        for unit in (1, 1000)
    )
    assert_allclose(large.standard_errors["loadings"], 1000 * small.standard_errors["loadings"], rtol=1e-6)
    assert_allclose(large.standard_errors["noise_variance"], 1e6 * small.standard_errors["noise_variance"], rtol=1e-6)


@pytest.mark.statistical
def test_bootstrap_agrees_with_the_information_for_any_number_of_jobs():
    X = effects() + 2  # the fit of the bootstrap is too short to come from the start to here
    fitted = quick(Effects(), max_iter=60, learning_rate_init=0.05).fit(X)
    one = fitted.inference(X, "bootstrap", n_bootstrap=12, random_state=0)
    with parallel_config("threading"):
        two = fitted.inference(X, "bootstrap", n_bootstrap=12, n_jobs=2, random_state=0)
    assert_array_equal(one.replicates, two.replicates)
    assert one.replicates.shape == (12, 2)
    assert_allclose(one.standard_errors["mean"], MEAN_ERROR, rtol=0.5)
    assert_allclose(one.replicates.mean(axis=0), [MEAN + 2, WIDTH], atol=0.2)


def test_bootstrap_intervals_correct_for_bias():
    estimates = {"a": np.array([1.0, 2.0])}
    replicates = np.array([[1.1, 2.0], [1.3, 2.0]])
    result = Inference("bootstrap", estimates, np.diag([0.04, np.nan]), np.zeros(2), replicates)
    limits = 0.8 + 0.2 * norm.ppf([0.05, 0.95])
    assert_allclose(result.confint(0.9)["a"], [limits, [np.nan, np.nan]])


def test_failed_fits_of_the_bootstrap_are_reported():
    class Failing(Effects):
        failures = 0

        def sample(self, params, n, rng):
            z, x = super().sample(params, n, rng)
            if n == N and self.failures:  # the tables, not the dreams
                self.failures -= 1
                return z, np.full_like(x, np.nan)
            return z, x

    model = Failing()
    fitted = quick(model, max_iter=2).fit(effects())
    fitted.model_.failures = 1
    with pytest.warns(UserWarning, match="1 of 4 fits to simulated tables failed"):
        result = fitted.inference(effects(), "bootstrap", n_bootstrap=4, random_state=0)
    assert result.replicates.shape == (3, 2)
    fitted.model_.failures = 10
    with pytest.raises(ValueError, match="2 of 2 fits to simulated tables failed"):
        fitted.inference(effects(), "bootstrap", n_bootstrap=2, random_state=0)


def test_equal_seeds_give_equal_errors():
    fitted = at_start(Effects(), effects())
    first, second, other = (fitted.inference(effects(), random_state=seed).covariance for seed in (0, 0, 1))
    assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_scores_that_are_not_finite_are_an_error():
    class Infinite(Effects):
        def log_likelihood(self, params, X):
            return np.where(X[:, 0] > MEAN + 4 * WIDTH, -np.inf, 0.0)

    fitted = at_start(Infinite(), effects())
    with pytest.raises(ValueError, match="scores of dreams are not finite, at theta = "):
        fitted.inference(effects(), random_state=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "exact"}, "'kind' parameter of inference must be"),
        ({"n_bootstrap": 1}, "'n_bootstrap' parameter of inference must be"),
        ({"n_jobs": 0.5}, "'n_jobs' parameter of inference must be"),
        ({"random_state": "x"}, "'random_state' parameter"),
    ],
)
def test_wrong_arguments(arguments, message):
    fitted = at_start(Effects(), effects())
    with pytest.raises(ValueError, match=message):
        fitted.inference(effects(), **arguments)


def test_level_must_be_a_probability():
    result = Inference("information", {"a": np.array(1.0)}, np.eye(1), np.zeros(1))
    for method in result.confint, result.summary:
        with pytest.raises(ValueError, match="'level' parameter of confint must be"):
            method(90)
