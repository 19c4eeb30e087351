"""All forms of the amortised gradient, on a model with a known posterior, and the tuning of the regression."""

from copy import deepcopy

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skwakesleep._engine.amortised.dreams import (
    LocalSimulation,
    Pairs,
    Simulation,
    StoredDreams,
    described_params,
    effective_sample_size,
    systematic_resample,
)
from skwakesleep._engine.amortised.forms import Rows, asked_forms
from skwakesleep._engine.amortised.gradient import (
    ENOUGH_EFFECTIVE_DREAMS,
    N_REGRESSED_STEPS,
    TUNING_INTERVAL,
    AmortisedGradient,
)
from skwakesleep._engine.amortised.problem import Problem, Settings
from skwakesleep._engine.amortised.progress import Progress
from skwakesleep._engine.amortised.regression import N_TUNING_PAIRS
from skwakesleep._engine.amortised.state import AmortisedState, RegressionState
from skwakesleep._engine.amortised.tuning import (
    CONTRAST_GRID,
    MAX_KERNEL_PAIRS,
    N_RANDOM_FEATURES,
    TRAINING_GRID,
    balanced,
    coverage,
    expectation,
    factors_near,
    fit_regression,
    set_regression,
)
from skwakesleep._engine.amortised.units import UNCHANGED
from skwakesleep._engine.arrays.random import Streams
from skwakesleep._engine.training.optimizers import Adam
from skwakesleep.models import LatentFactors

pytestmark = pytest.mark.arithmetic


@pytest.fixture
def model():
    return LatentFactors(5, 2)


@pytest.fixture
def theta(model, rng):
    return np.concatenate([rng.normal(size=10), np.zeros(5), np.full(5, np.log(0.7))])


@pytest.fixture
def X(model, theta, rng):
    return model.sample(theta + 0.2 * rng.normal(size=len(theta)), 400, rng)[1]


def make_objective(model, theta, X, *, state=None, seed=0, **settings):
    problem = Problem(model, X, UNCHANGED, Settings(**{"n_dreams": 1000} | settings))
    return AmortisedGradient(problem, state or RegressionState(), theta, Streams(seed))


def gradient_of(model, theta, X, gradient, **options):
    objective = make_objective(model, theta, X, gradient=gradient, **options)
    assert objective(X) is None
    assert objective.failure is None
    return objective.gradient


def cosine(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


# ---------------------------------------------------------------------- forms


def test_exact_form_equals_the_gradient_of_the_model(model, theta, X):
    assert_array_equal(gradient_of(model, theta, X, "exact"), model.grad_log_likelihood(theta, X))


@pytest.mark.parametrize(
    ("form", "feature_map", "min_cosine"),
    [
        ("exponential", "predictive", 0.95),
        ("exponential", "additive", 0.95),
        ("exponential", None, 0.9),
        ("direct", None, 0.85),
        ("importance", None, 0.95),
    ],
)
def test_form_has_the_direction_of_the_exact_gradient(form, feature_map, min_cosine, model, theta, X):
    exact = model.grad_log_likelihood(theta, X)
    fits = [gradient_of(model, theta, X, form, seed=seed, feature_map=feature_map) for seed in range(4)]
    cosines = [cosine(fit, exact) for fit in fits]
    assert min(cosines) > min_cosine
    # Negative control: columns permuted independently.
    shuffled = np.random.default_rng(1).permuted(X, axis=0)
    assert cosine(gradient_of(model, theta, shuffled, form, feature_map=feature_map), exact) < min_cosine


def test_more_dreams_improve_the_gradient(model, theta, X):
    exact = model.grad_log_likelihood(theta, X)

    def mean_cosine(n_dreams):
        fits = [gradient_of(model, theta, X, "exponential", n_dreams=n_dreams, seed=seed) for seed in range(5)]
        return np.mean([cosine(fit, exact) for fit in fits])

    assert mean_cosine(40) + 0.02 < mean_cosine(1000)


def test_random_features_are_used_with_many_dreams(model, theta, X):
    exact = model.grad_log_likelihood(theta, X)
    gradient, other = (
        gradient_of(model, theta, X, "exponential", n_dreams=n) for n in (MAX_KERNEL_PAIRS + 1, MAX_KERNEL_PAIRS)
    )
    assert cosine(gradient, exact) > 0.95
    assert cosine(other, exact) > 0.95
    few, many = (fit_regression(np.zeros((n, 1)), 1.0, 1.0, np.random.default_rng(0)) for n in (20, 2001))
    assert few._features is None
    assert many._features.shape == (2001, N_RANDOM_FEATURES)


def without(model, *methods):
    """Return a model without the given methods."""
    lacking = {name: property() for name in methods}
    return type("Lacking", (type(model),), lacking)(model.n_features, model.n_components)


def test_dreams_are_resampled_without_natural_parameters(model, theta, X):
    class Plain:
        """The model without the methods of an exponential family."""

        def __init__(self):
            self.sample, self.grad_log_joint = model.sample, model.grad_log_joint
            self.log_prob_x_given_z = model.log_prob_x_given_z

    contracted, resampled = (gradient_of(m, theta, X, "importance") for m in (model, Plain()))
    assert cosine(contracted, resampled) > 0.97
    assert not np.array_equal(contracted, resampled)


def test_systematic_resampling_follows_the_weights(rng):
    weights = np.array([[0.1, 0.0], [0.6, 1.0], [0.3, 0.0]])
    chosen = systematic_resample(weights, 10, rng)
    assert_array_equal(np.bincount(chosen[0], minlength=3), [1, 6, 3])
    assert_array_equal(chosen[1], 1)


def test_effective_sample_size():
    equal, single = np.zeros((8, 3)), np.where(np.eye(8)[:, :3] > 0, 0.0, -np.inf)
    assert effective_sample_size(equal) == pytest.approx(8)
    assert effective_sample_size(single) == pytest.approx(1)
    assert effective_sample_size(equal + 1e4) == pytest.approx(8)  # no overflow


# ---------------------------------------------------------------------- contrast with fresh dreams


SETTLED = {"progress": Progress(level_at=0)}


def test_rows_are_weighted_by_a_mean_minus_a_mean(rng):
    batch, fresh = rng.normal(size=(4, 2)), rng.normal(size=(5, 2))
    rows = Rows.contrast(batch, fresh)
    assert_allclose(rows.weights @ rows.x, batch.mean(axis=0) - fresh.mean(axis=0))
    alone = Rows.contrast(batch, fresh[:0])
    assert_allclose(alone.weights @ alone.x, batch.mean(axis=0))


def errors(model, theta, form, n_seeds=6, **state):
    """Return the squared bias and the variance of the gradient at rows that the model itself generates."""
    X = model.sample(theta, 2000, np.random.default_rng(0))[1]
    exact = model.grad_log_likelihood(theta, X)
    gradients = [
        gradient_of(model, theta, X, form, state=RegressionState(**deepcopy(state)), seed=seed, n_dreams=200) - exact
        for seed in range(n_seeds)
    ]
    variance = np.var(gradients, axis=0, ddof=1).sum()
    return np.square(np.mean(gradients, axis=0)).sum() - variance / n_seeds, variance


def test_contrast_removes_most_of_the_bias():
    """The narrow noise of binary factors makes the bias of the regression large."""
    model = LatentFactors(5, 3, latents="bernoulli", noise="spherical")
    theta = np.concatenate([np.random.default_rng(2).normal(size=15), np.zeros(5), [np.log(0.3)], np.zeros(3)])
    (bias, _), (contrasted, _) = (errors(model, theta, "exponential", **state) for state in ({}, SETTLED))
    assert bias > 0
    assert contrasted < 0.3 * bias


@pytest.mark.parametrize("form", ["exponential", "direct"])
def test_fresh_dreams_are_drawn_once_settled(form, model, theta, X):
    before, after = RegressionState(), RegressionState(**deepcopy(SETTLED))
    for state in before, after:
        gradient_of(model, theta, X, form, state=state, n_dreams=50)
    assert not before.contrasted
    assert after.contrasted
    assert (before.n_dreamed, after.n_dreamed) == (50, 100)


def test_exact_gradient_is_not_contrasted(model, theta, X):
    states = (RegressionState(progress=Progress(level_at=level)) for level in (None, 0))
    assert_array_equal(*(gradient_of(model, theta, X, "exact", state=state) for state in states))


def test_importance_weights_of_few_dreams_are_contrasted(model, theta):
    narrow = theta - np.repeat([0.0, 1.0], [15, 5])
    (bias, _), (contrasted, _) = (errors(model, narrow, "importance", **state) for state in ({}, SETTLED))
    assert contrasted < 0.3 * bias


def test_fresh_dreams_are_not_those_of_the_regression(model, theta, X):
    """With the dreams that the regression is fitted on in their place, the contrast would be that of its residuals."""
    z = np.arange(10)
    fitted, fresh = Pairs((z, -z), z[:, np.newaxis]).split(0.5)
    assert_array_equal(fitted.z[0], z[:5])
    assert_array_equal(fresh.z[1], -z[5:])
    assert_array_equal(fresh.x[:, 0], z[5:])


def test_regression_of_a_contrast_may_have_a_lower_ridge():
    assert min(CONTRAST_GRID.ridges) < min(TRAINING_GRID.ridges)
    assert max(CONTRAST_GRID.ridges) == max(TRAINING_GRID.ridges)
    assert max(CONTRAST_GRID.bandwidths) > max(TRAINING_GRID.bandwidths)


def test_steps_are_damped_by_the_progress(model, theta, X):
    state = RegressionState(progress=Progress(factor=0.25))
    objective = make_objective(model, theta, X, state=state, gradient="exponential", n_dreams=50)
    assert objective.damping is None
    objective(X)
    assert_array_equal(objective.damping, 0.25)
    assert_array_equal(state.progress.total, objective.gradient)


# ---------------------------------------------------------------------- reused dreams


def test_resampled_dreams_have_the_new_distribution(rng):
    """Draws from one normal density are resampled to another one with a different mean."""
    z = rng.normal(size=20_000)

    def log_joint(mean):
        return -((z - mean) ** 2) / 2

    resampled = StoredDreams(z, z[:, np.newaxis], log_joint(0.0)).resampled(log_joint(0.3), rng)
    assert resampled.z.mean() == pytest.approx(0.3, abs=0.03)  # four standard errors; 0 without weights
    assert resampled.z.var() == pytest.approx(1.0, abs=0.06)
    assert_array_equal(resampled.z, resampled.x[:, 0])


def test_unlikely_dreams_are_not_reused(rng):
    z = rng.normal(size=1000)
    stored = StoredDreams(z, z[:, np.newaxis], -(z**2) / 2)
    assert stored.resampled(-((z - 2.0) ** 2) / 2, rng) is None  # the effective sample size is n * exp(-4)
    assert stored.resampled(np.full(1000, np.nan), rng) is None


# ---------------------------------------------------------------------- choice of the form


def test_importance_weighting_is_used_if_enough_dreams_are_effective(model, theta, X):
    early, precise, noisy = (RegressionState(n_steps=n) for n in (0, N_REGRESSED_STEPS, N_REGRESSED_STEPS))
    small_noise = theta - np.repeat([0.0, 3.0], [15, 5])
    for state, parameters, form in (
        (early, theta, "exponential"),
        (noisy, theta, "importance"),
        (precise, small_noise, "exponential"),
    ):
        gradient_of(model, parameters, X, "auto", state=state)
        assert state.form == form
    assert precise.effective_sample_sizes[0] < ENOUGH_EFFECTIVE_DREAMS < noisy.effective_sample_sizes[0]


def test_importance_weighting_can_be_preferred(model, theta, X):
    state = RegressionState(weighing_preferred=True)
    gradient_of(model, theta, X, "auto", state=state)
    assert state.form == "importance"


def test_available_forms_depend_on_the_methods_of_the_model(model):
    auto, direct = (asked_forms(gradient, Simulation(model)) for gradient in ("auto", "direct"))
    assert (auto.usual.name, auto.weighted.name) == ("exponential", "importance")
    assert direct.usual.name == "direct"
    assert direct.usual is direct.weighted
    local = asked_forms("auto", LocalSimulation(model))  # the densities of the model are of complete rows
    assert local.usual.name == "direct"
    assert local.usual is local.weighted


@pytest.mark.parametrize("gradient", ["exponential", "importance"])
def test_form_asked_for_is_used_whatever_is_effective(gradient, model, theta, X):
    """The 400 rows have many effective dreams, and importance weighting is preferred."""
    state = RegressionState(n_steps=N_REGRESSED_STEPS, weighing_preferred=True)
    gradient_of(model, theta, X, gradient, state=state)
    assert state.effective_sample_sizes[0] > ENOUGH_EFFECTIVE_DREAMS
    assert state.form == gradient


@pytest.mark.parametrize("previous", ["importance", "exact", "direct"])
def test_change_of_form_retunes_the_regression(previous, model, theta, X):
    """The previous form has no feature map, or one fitted to different targets."""
    state = RegressionState()
    gradient_of(model, theta, X, previous, state=state)
    changed = gradient_of(model, theta, X, "exponential", state=state, seed=1)
    assert_array_equal(changed, gradient_of(model, theta, X, "exponential", seed=1))


@pytest.mark.parametrize("feature_map", ["predictive", "learned"])
def test_feature_map_keeps_the_number_of_few_columns(feature_map, rng):
    settings = Settings(feature_map=feature_map)
    x = rng.normal(size=(60, 4))
    for n_columns, expected in (3, 3), (4, 1):
        state = RegressionState()
        set_regression(state, settings, Pairs(None, x[:, :n_columns]), [x[:, :1]])
        assert state.feature_map(x[:, :n_columns]).shape == (60, expected)


# ---------------------------------------------------------------------- tuning


def test_regression_is_tuned_at_intervals(theta, X):
    model = without(LatentFactors(5, 2), "log_prob_x_given_z")
    state = RegressionState()
    objective = make_objective(model, theta, X, gradient="exponential", n_dreams=50, state=state)
    for _ in range(TUNING_INTERVAL + 1):
        objective(X[:20])
    assert len(state.errors) == len(state.coverages) == 2
    assert state.effective_sample_sizes == []


def test_untuned_regression_uses_the_given_bandwidth_and_ridge(model, theta, X):
    state = RegressionState()
    gradient_of(model, theta, X, "exponential", state=state, bandwidth=2.5, ridge=0.01, tuned=False)
    assert (state.bandwidth, state.ridge) == (2.5, 0.01)


@pytest.mark.parametrize("index", range(5))
def test_bandwidths_near_the_last_choice_are_tried(index):
    """The factors are the last choice and its neighbors on a logarithmic grid."""
    factors = TRAINING_GRID.bandwidths
    tried = factors_near(factors[index] * 1.01, factors)
    assert list(tried) == list(factors[max(0, index - 1) : index + 2])
    between = np.sqrt(factors[0] * factors[1])  # equally near to both on the log scale
    assert factors_near(between * 1.02, factors)[0] == factors[0]
    assert len(factors_near(between * 1.02, factors)) == 3
    assert len(factors_near(between / 1.02, factors)) == 2


@pytest.mark.parametrize("feature_map", ["predictive", "additive"])
def test_ridge_of_noise_is_limited_in_training(feature_map, rng):
    """In training, a large ridge would shrink the predictions of latents that are hard to predict."""
    x, noise = rng.normal(size=(200, 2)), rng.normal(size=(200, 1))
    settings = Settings(feature_map=feature_map, latent_function=lambda z: z)
    state = RegressionState()
    set_regression(state, settings, Pairs(noise, x), [noise])
    assert state.ridge == pytest.approx(100 * settings.ridge)
    regression = fit_regression(state.feature_map(x), state.bandwidth, state.ridge, rng)
    trained = regression.predict(state.feature_map(x), noise)
    expected = expectation(settings, Pairs(noise, x), noise, x, rng)
    assert expected.std() < 0.95 * trained.std()


def test_additive_regression_is_tuned_on_all_pairs(rng):
    """Tuning needs more pairs than the 127 features: with fewer pairs the selected ridge is too large."""
    z = rng.laplace(size=(3000, 12))
    x = z @ np.linalg.qr(rng.normal(size=(12, 12)))[0] + 0.3 * rng.normal(size=(3000, 12))
    settings = Settings(feature_map="additive", latent_function=lambda z: z)
    all_pairs, few = RegressionState(), RegressionState()
    set_regression(all_pairs, settings, Pairs(z, x), [z])
    set_regression(few, settings, Pairs(z, x).head(N_TUNING_PAIRS), [z[:N_TUNING_PAIRS]])
    assert all_pairs.errors[0] < few.errors[0]
    regression = fit_regression(all_pairs.feature_map(x), all_pairs.bandwidth, all_pairs.ridge, rng)
    z_new = rng.laplace(size=(3000, 12))
    x_new = z_new @ np.linalg.lstsq(z, x)[0] + 0.3 * rng.normal(size=(3000, 12))
    residuals = z_new - regression.predict(all_pairs.feature_map(x_new), z)
    assert all_pairs.errors[0] == pytest.approx(np.square(residuals).mean() / z.var(), rel=0.05)


def test_coverage_is_the_fraction_of_rows_near_dreams(rng):
    dreams = rng.normal(size=(300, 2))
    assert coverage(dreams, rng.normal(size=(300, 2))) > 0.9
    assert coverage(dreams, 50 + rng.normal(size=(300, 2))) == 0
    half = np.concatenate([rng.normal(size=(150, 2)), 50 + rng.normal(size=(150, 2))])
    assert coverage(dreams, half) == pytest.approx(0.5, abs=0.05)


def test_groups_of_targets_have_equal_weight(rng):
    wide, narrow = rng.normal(size=(50, 6)), 100 * rng.normal(size=(50, 1))
    targets = balanced([wide, narrow, np.ones((50, 2))])
    assert targets.shape == (50, 7)
    assert_allclose(np.square(targets[:, :6]).sum(), np.square(targets[:, 6:]).sum())


# ---------------------------------------------------------------------- failures and state


@pytest.mark.parametrize("method", ["sample", "natural_vjp"])
def test_non_finite_values_are_reported(method, model, theta, X):
    class Broken(LatentFactors):
        def sample(self, theta, n, rng):
            z, x = super().sample(theta, n, rng)
            return z, x * (np.inf if method == "sample" else 1)

        def natural_vjp(self, *args):
            return super().natural_vjp(*args) * (np.nan if method == "natural_vjp" else 1)

    objective = make_objective(Broken(5, 2), theta, X, gradient="exponential", n_dreams=50)
    assert np.isnan(objective(X))
    assert "not finite" in objective.failure
    assert objective.failure.endswith(f", at {described_params(theta)}")
    assert objective.followed is None


def test_changing_a_copy_does_not_change_the_state(model, theta):
    state = AmortisedState(theta.copy(), Adam(0.1, np.ones_like(theta)), Streams(0))
    state.regression.errors.append(0.5)
    other = state.copy()
    other.regression.errors.append(0.6)
    other.regression.bandwidth = 7.0
    other.parameters[0] = 9.0
    assert state.regression.errors == [0.5]
    assert state.regression.bandwidth == 1.0
    assert state.parameters[0] == theta[0]
    assert isinstance(deepcopy(other), AmortisedState)
