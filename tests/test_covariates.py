"""Rows with covariates and with missing cells: dreams, regression inputs, fits, samples and messages."""

import pickle
from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.preprocessing import StandardScaler

from skwakesleep._engine.amortised.dreams import FailedSimulationsError, GivenSimulation, simulation_of
from skwakesleep.models import (
    FunctionModel,
    LatentFactors,
    ModelError,
    Positive,
    Real,
    check_generative_model,
)
from skwakesleep.models._declared_model import flat_model
from tests.amortised import quick, rejected

VALUES = {"slope": 1.5, "between": 0.7, "within": 0.5}


def log_normal(x, mean, scale):
    return -0.5 * ((x - mean) / scale) ** 2 - np.log(scale) - 0.5 * np.log(2 * np.pi)


class Panel:
    """Repeated measurements with a random intercept: normal given the covariate, so the likelihood is known."""

    n_features, n_covariates, allow_nan = 3, 1, True
    parameters = {"slope": Real(), "between": Positive(start=1.0), "within": Positive(start=1.0)}

    def sample(self, params, n, rng, covariates):
        z = params.slope * covariates[:, 0] + params.between * rng.standard_normal(n)
        return z, z[:, np.newaxis] + params.within * rng.standard_normal((n, 3))

    def log_joint(self, params, z, x, covariates):
        mean = params.slope * covariates[:, 0]
        return log_normal(z, mean, params.between) + np.nansum(log_normal(x, z[:, np.newaxis], params.within), axis=1)

    def log_likelihood(self, params, X, covariates):
        covariance = params.between**2 * np.ones((3, 3)) + params.within**2 * np.eye(3)
        residuals, result = X - params.slope * covariates, np.zeros(len(X))
        for seen in product([False, True], repeat=3):
            rows, seen = (np.isfinite(X) == seen).all(axis=1), np.array(seen)
            if rows.any() and seen.any():
                law = stats.multivariate_normal(np.zeros(seen.sum()), covariance[np.ix_(seen, seen)])
                result[rows] = law.logpdf(residuals[rows][:, seen])
        return result

    def latent_function(self, z):
        return z[:, np.newaxis]


class Ragged:
    """Rows of one value, repeated with noise, and missing cells; a flat vector of parameters, no covariates."""

    n_features, n_params, allow_nan = 3, 2, True

    def initial_params(self, X, rng):
        return np.zeros(2)

    def sample(self, theta, n, rng):
        z = theta[0] + rng.standard_normal(n)
        return z, z[:, np.newaxis] + np.exp(theta[1]) * rng.standard_normal((n, 3))

    def grad_log_joint(self, theta, z, x, weights):
        residuals = (x - z[:, np.newaxis]) ** 2 * np.exp(-2 * theta[1]) - 1
        return np.array([weights @ (z - theta[0]), weights @ np.nansum(residuals, axis=1)])


def panel(n=150, seed=0, holes=True):
    """Return rows of the panel with holes: the last cells of half of the rows."""
    flat, rng = flat_model(Panel()), np.random.default_rng(seed)
    rows = np.column_stack([np.zeros((n, 3)), rng.normal(size=n)])
    X = flat.sample_given(flat.pack(VALUES), rows, rng)[1]
    if holes:
        X[::4, 1:3] = X[1::4, 2] = np.nan
    return X


@pytest.fixture
def rng():
    return np.random.default_rng(2)


# ---------------------------------------------------------------------- dreams


def test_dreams_have_the_covariates_and_missing_cells_of_the_batch(rng):
    flat, X = flat_model(Panel()), panel(40)
    simulation = simulation_of(flat, X)
    dreams, n_failed = simulation.dream(flat.pack(VALUES), 100, X, rng)
    assert n_failed == 0
    context = np.column_stack([np.isnan(X), X[:, 3]])
    dreamed = np.column_stack([np.isnan(dreams.x), dreams.x[:, 3]])
    numbers = [int(np.flatnonzero((context == row).all(axis=1))[0]) for row in dreamed]
    assert_array_equal(np.bincount(numbers, minlength=40).clip(2, 3), np.bincount(numbers))  # 100 spread over 40
    assert not np.isin(dreams.x[:, 0], X[:, 0]).any()


def test_dreams_for_many_rows_are_for_random_ones(rng):
    simulation, X = simulation_of(flat_model(Panel()), panel(400)), panel(400)
    chosen = np.isin(X[:, 3], simulation.spread(X, 100, rng)[:, 3])
    assert chosen.sum() == 100
    assert 30 < chosen[:200].sum() < 70


def test_inputs_have_predictions_in_holes_and_an_indicator_for_each_column_with_holes(rng):
    factor = np.array([[2.0, 0.0, 0.0], [1.0, 0.5, 0.0], [3.0, 0.3, 1.0]])
    mean, covariance = np.array([5.0, -1.0, 10.0]), factor @ factor.T
    X = mean + rng.standard_normal((1000, 3)) @ factor.T
    X[::3, 1] = X[1::7, 2] = X[1::7, 1] = np.nan
    inputs = GivenSimulation(Ragged(), X).inputs(np.zeros(2), X)
    missing = np.isnan(X)
    assert_array_equal(inputs[:, :3][~missing], X[~missing])
    assert_array_equal(inputs[:, 3:], missing[:, 1:])
    predicted = mean[1] + (X[::3][:, [0, 2]] - mean[[0, 2]]) @ np.linalg.solve(
        covariance[np.ix_([0, 2], [0, 2])], covariance[[0, 2], 1]
    )
    both = ~missing[::3, 2]
    assert_allclose(inputs[::3, 1][both], predicted[both], atol=0.1)


def test_complete_rows_without_covariates_are_their_own_inputs():
    X = np.ones((4, 3))
    assert_array_equal(GivenSimulation(Ragged(), X).inputs(np.zeros(2), X), X)
    assert type(simulation_of(LatentFactors(3), X)).__name__ == "Simulation"


def test_failed_cells_count_only_where_they_are_observed(rng):
    class Fails(Ragged):
        def sample(self, theta, n, rng):
            z, x = super().sample(theta, n, rng)
            x[:, 2] = np.inf
            return z, x

    X = np.ones((10, 3))
    with pytest.raises(FailedSimulationsError, match="10 of 10 simulations"):
        simulation_of(Fails(), X).dream(np.zeros(2), 10, X, rng)
    X[:, 2] = np.nan
    dreams, n_failed = simulation_of(Fails(), X).dream(np.zeros(2), 10, X, rng)
    assert n_failed == 0
    assert np.isnan(dreams.x[:, 2]).all()


# ---------------------------------------------------------------------- fits


@pytest.mark.statistical
def test_models_with_covariates_pass_the_check(rng):
    check_generative_model(Panel(), VALUES, rng, X=panel())
    check_generative_model(Ragged(), [0.3, -0.5], rng, X=panel()[:, :3], n_draws=4000)
    check_generative_model(Ragged(), [0.3, -0.5], rng, n_draws=4000)


def test_check_finds_densities_that_ignore_holes(rng):
    class Wrong(Panel):
        def log_joint(self, params, z, x, covariates):
            n_missing = np.isnan(x).sum(axis=1)
            return super().log_joint(params, z, x, covariates) - n_missing * np.log(params.within)

    with pytest.raises(ModelError, match=r"mean score at draws of Wrong.sample_given must be zero"):
        check_generative_model(Wrong(), VALUES, rng, X=panel())


@pytest.mark.statistical
def test_panel_is_fitted_near_maximum_likelihood():
    X = panel(300)
    fitted = quick(Panel(), n_sleep=200, max_iter=150).fit(X)
    flat = flat_model(Panel())
    at_truth = flat.log_likelihood(flat.pack(VALUES), X).mean()
    assert at_truth - 0.02 < fitted.score(X) < at_truth + 0.02
    assert_allclose(fitted.params_["slope"], 1.5, atol=0.15)
    assert fitted.n_features_in_ == 4


@pytest.mark.statistical
def test_ragged_rows_are_fitted():
    X = 2.0 + panel()[:, :3] - panel()[:, 3:]
    fitted = quick(Ragged(), n_sleep=200, max_iter=200).fit(X)
    assert_allclose(fitted.theta_[0], np.nanmean(X), atol=0.2)
    assert_array_equal(np.isnan(fitted.sample(given=X[:5], random_state=0)), np.isnan(X[:5]))
    assert np.isfinite(fitted.sample(5, random_state=0)).all()


def test_expectations_use_the_covariate_and_the_observed_cells():
    X = panel(300)
    fitted = quick(Panel(), n_sleep=400, max_iter=50).fit(X)
    values, seen = fitted.params_, np.isfinite(X[:, :3])
    # The posterior of a normal latent: precisions add up.
    prior, each = values["between"] ** -2, values["within"] ** -2
    total = prior * values["slope"] * X[:, 3] + each * np.nansum(X[:, :3], axis=1)
    expected = total / (prior + each * seen.sum(axis=1))
    assert_allclose(fitted.transform(X)[:, 0], expected, atol=0.9)
    assert np.abs(fitted.transform(X)[:, 0] - expected).mean() < 0.06


def test_expectations_as_a_data_frame():
    pytest.importorskip("pandas")
    X = panel()
    assert quick(Panel()).fit(X).set_output(transform="pandas").transform(X).shape == (len(X), 1)


def test_rows_without_any_observation_are_allowed():
    X = panel()
    X[0, :3] = np.nan
    assert np.isfinite(quick(Panel()).fit(X).theta_).all()


def test_fits_with_covariates_can_be_saved_and_continued():
    X = panel()
    fitted = quick(Panel(), warm_start=True).fit(X)
    loaded = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(loaded.sample(given=X, random_state=0), fitted.sample(given=X, random_state=0))
    assert_array_equal(loaded.fit(X).theta_, fitted.fit(X).theta_)
    assert loaded.partial_fit(X[:20]).n_iter_ == 7


def test_function_model_with_covariates():
    model = Panel()
    functions = FunctionModel(
        model.sample, model.log_joint, parameters=Panel.parameters, n_features=3, n_covariates=1, allow_nan=True
    )
    assert_array_equal(*(quick(m).fit(panel()).theta_ for m in (model, functions)))


class Shift:
    """The latents do not depend on the covariate, so importance weighting is possible."""

    n_features, n_covariates, allow_nan = 3, 1, True
    parameters = {"level": Real(), "slope": Real(), "noise": Positive(start=1.0)}

    def mean(self, params, z, covariates):
        return z + params.level + params.slope * covariates[..., 0]

    def sample(self, params, n, rng, covariates):
        z = rng.standard_normal(n)
        mean = self.mean(params, z, covariates)
        return z, mean[:, np.newaxis] + params.noise * rng.standard_normal((n, 3))

    def log_joint(self, params, z, x, covariates):
        mean = self.mean(params, z, covariates)
        return np.nansum(log_normal(x, mean[:, np.newaxis], params.noise), axis=1)

    def log_prob_x_given_z(self, params, z, x, covariates):
        mean = self.mean(params, z[:, np.newaxis], covariates[np.newaxis])
        return np.nansum(log_normal(x, mean[:, :, np.newaxis], params.noise), axis=2)


@pytest.mark.parametrize(
    "parameters",
    [
        {"gradient": "direct"},
        {"gradient": "importance"},
        {"reuse_sleep": True},
        {"feature_map": StandardScaler()},
        {"feature_map": "learned"},
        {"feature_map": None},
    ],
    ids=str,
)
def test_every_way_to_fit_takes_covariates_and_missing_cells(parameters):
    X = panel(300)
    fitted = quick(Shift(), max_iter=80, learning_rate_init=0.05, **parameters).fit(X)
    assert_allclose(fitted.params_["slope"], 1.5, atol=0.25)
    assert fitted.estimate_gradient(X).shape == (3,)


def test_initial_params_get_the_covariates():
    class Starts(Panel):
        def initial_params(self, X, rng, covariates):
            assert X.shape == (150, 3)
            return {"slope": np.nanmean(X[:, 0] * covariates[:, 0])}

    assert quick(Starts(), learning_rate_init=1e-9).fit(panel()).params_["slope"] > 0.5


# ---------------------------------------------------------------------- samples


def test_samples_have_the_covariates_and_missing_cells_of_the_rows():
    X = panel()
    fitted = quick(Panel()).fit(X)
    samples = fitted.sample(2, given=X[:5], random_state=0)
    assert samples.shape == (10, 4)
    assert_array_equal(samples[:, 3], np.repeat(X[:5, 3], 2))
    assert_array_equal(np.isnan(samples), np.repeat(np.isnan(X[:5]), 2, axis=0))
    assert not np.isin(samples[:, 0], X[:, 0]).any()


def test_failed_samples_are_drawn_again_for_the_same_rows():
    class Fails(Panel):
        fails = False

        def sample(self, params, n, rng, covariates):
            z, x = super().sample(params, n, rng, covariates)
            x[rng.random(n) < 0.05 * self.fails] = np.nan
            return z, x

    X = panel(200, holes=False)
    fitted = quick(Fails()).fit(X)
    fitted.model_.fails = True
    samples = fitted.sample(given=X, random_state=0)
    assert np.isfinite(samples).all()
    assert_array_equal(samples[:, 3], X[:, 3])


# ---------------------------------------------------------------------- messages


def test_samples_need_rows_if_there_are_covariates():
    fitted = quick(Panel()).fit(panel())
    with rejected(fitted, ValueError, "given must be rows to sample for, because the model has covariates"):
        fitted.sample(3)
    with rejected(fitted, ValueError, "X has 3 features, but AmortisedWakeSleep is expecting 4"):
        fitted.sample(given=panel()[:, :3])


def test_rows_have_no_effect_on_samples_without_covariates():
    X = panel(holes=False)
    fitted = quick(LatentFactors(4, 1)).fit(X)
    with rejected(fitted, ValueError, "given has no effect"):
        fitted.sample(given=X)


def test_number_of_columns_is_that_of_observations_and_covariates():
    with pytest.raises(ValueError, match="generates n_features=3 and is given n_covariates=1"):
        quick(Panel()).fit(panel()[:, :3])


@pytest.mark.parametrize("n_covariates", [-1, 1.0, "x"])
def test_n_covariates_must_be_an_int(n_covariates):
    model = Panel()
    model.n_covariates = n_covariates
    with pytest.raises(ValueError, match="n_covariates of Panel must be an int"):
        quick(model).fit(panel())


def test_missing_cells_need_a_model_that_allows_them():
    class Complete(Panel):
        allow_nan = False

    with pytest.raises(ValueError, match=r"column 1 of X has 38 missing values.* set its allow_nan = True"):
        quick(Complete()).fit(panel(holes=True))
    fitted = quick(Complete()).fit(panel(holes=False))
    with pytest.raises(ValueError, match="column 1 of X has"):
        fitted.score(panel())


def test_observations_are_checked_against_the_range_and_covariates_are_not():
    class Bounded(Panel):
        observation_range = (-10, 10)

    X = panel()
    X[0, 3] = 20.0
    quick(Bounded()).fit(X)
    X[1, 0] = 11.0
    with pytest.raises(ValueError, match=r"generates values in \[-10, 10\]"):
        quick(Bounded()).fit(X)


def test_wrong_shape_of_simulated_observations_raises():
    class Wrong(Panel):
        def sample(self, params, n, rng, covariates):
            z, x = super().sample(params, n, rng, covariates)
            return z, np.hstack([x, covariates])

    with pytest.raises(ModelError, match=r"Wrong.sample must return x of shape \(3, 3\). Got shape \(3, 4\)"):
        quick(Wrong()).fit(panel())


def test_check_needs_rows_if_there_are_covariates(rng):
    with pytest.raises(ValueError, match=r"X must be rows to simulate for, because Panel.sample_given needs some"):
        check_generative_model(Panel(), VALUES, rng)
    with pytest.raises(ValueError, match=r"X must be rows of 4 columns. Got shape \(3, 3\)"):
        check_generative_model(Panel(), VALUES, rng, X=np.ones((3, 3)))
