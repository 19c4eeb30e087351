"""The amortised gradient in all its forms, on a model whose posterior is known in closed form."""

from copy import deepcopy

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skwakesleep._engine.amortised import tuning
from skwakesleep._engine.amortised.dreams import Memory, Pairs, WholeObservations, effective_sample_size, resampled
from skwakesleep._engine.amortised.forms import Direct, Exact, Exponential, ImportanceWeighted
from skwakesleep._engine.amortised.gradient import (
    ENOUGH_EFFECTIVE_SAMPLES,
    TUNING_INTERVAL,
    AmortisedGradient,
    AmortisedState,
)
from skwakesleep._engine.amortised.tuning import (
    BANDWIDTH_FACTORS,
    N_TUNING_PAIRS,
    RegressionSettings,
    RegressionState,
    balanced,
    coverage,
    expectation,
    fit_regression,
    set_regression,
)
from skwakesleep._engine.arrays.random import Streams
from skwakesleep._engine.training.optimizers import Adam
from skwakesleep.models import LatentFactors

FORMS = {"direct": Direct, "exponential": Exponential, "importance": ImportanceWeighted, "exact": Exact}


@pytest.fixture
def model():
    return LatentFactors(5, 2)


@pytest.fixture
def theta(model, rng):
    return np.concatenate([rng.normal(size=10), np.zeros(5), np.full(5, np.log(0.7))])


@pytest.fixture
def X(model, theta, rng):
    return model.sample(theta + 0.2 * rng.normal(size=len(theta)), 400, rng)[1]


def gradient_of(model, theta, X, *names, n_dreams=1000, seed=0, state=None, settings=None):
    phases = WholeObservations(model)
    forms = [FORMS[name](phases if name == "direct" else model) for name in names]
    objective = AmortisedGradient(
        phases,
        forms,
        settings or RegressionSettings(),
        state or RegressionState(),
        theta,
        n_dreams=n_dreams,
        streams=Streams(seed),
        log_prob_x_given_z=getattr(model, "log_prob_x_given_z", None),
    )
    assert objective(X) is None
    return objective.gradient


def cosine(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


# ---------------------------------------------------------------------- forms


def test_the_exact_form_is_the_models_own_gradient(model, theta, X):
    assert_array_equal(gradient_of(model, theta, X, "exact"), model.grad_log_likelihood(theta, X))


@pytest.mark.parametrize(
    ("form", "feature_map", "least"),
    [
        ("exponential", "predictive", 0.95),
        ("exponential", "additive", 0.95),
        ("exponential", None, 0.9),
        ("direct", None, 0.85),
        ("importance", None, 0.95),
    ],
)
def test_every_form_points_the_way_of_the_exact_gradient(form, feature_map, least, model, theta, X):
    exact = model.grad_log_likelihood(theta, X)
    settings = RegressionSettings(feature_map=feature_map, latent_function=model.latent_function)
    cosines = [cosine(gradient_of(model, theta, X, form, seed=seed, settings=settings), exact) for seed in range(4)]
    assert min(cosines) > least
    # Negative control: rows that have nothing to do with the data.
    shuffled = np.random.default_rng(1).permuted(X, axis=0)
    assert cosine(gradient_of(model, theta, shuffled, form, settings=settings), exact) < least


def test_more_dreams_give_a_better_gradient(model, theta, X):
    exact = model.grad_log_likelihood(theta, X)

    def mean_cosine(n_dreams):
        fits = [gradient_of(model, theta, X, "exponential", n_dreams=n_dreams, seed=seed) for seed in range(5)]
        return np.mean([cosine(fit, exact) for fit in fits])

    assert mean_cosine(40) + 0.02 < mean_cosine(1000)


def test_random_features_take_over_where_dreams_are_many(monkeypatch, model, theta, X):
    exact = model.grad_log_likelihood(theta, X)
    monkeypatch.setattr(tuning, "MAX_KERNEL_PAIRS", 900)
    monkeypatch.setattr(tuning, "N_RANDOM_FEATURES", 500)
    assert cosine(gradient_of(model, theta, X, "exponential"), exact) > 0.9


def test_importance_weights_without_natural_parameters_are_resampled(model, theta, X):
    class Plain:
        """The same model, but for its exponential family."""

        def __init__(self):
            self.sample, self.grad_log_joint = model.sample, model.grad_log_joint
            self.log_prob_x_given_z = model.log_prob_x_given_z

    contracted, resampled = (gradient_of(m, theta, X, "importance") for m in (model, Plain()))
    assert cosine(contracted, resampled) > 0.97
    assert not np.array_equal(contracted, resampled)


def test_resampled_dreams_follow_their_weights(rng):
    weights = np.array([[0.1, 0.0], [0.6, 1.0], [0.3, 0.0]])
    chosen = resampled(weights, 10, rng)
    assert_array_equal(np.bincount(chosen[0], minlength=3), [1, 6, 3])
    assert_array_equal(chosen[1], 1)


def test_the_effective_sample_size():
    equal, single = np.zeros((8, 3)), np.where(np.eye(8)[:, :3] > 0, 0.0, -np.inf)
    assert effective_sample_size(equal) == pytest.approx(8)
    assert effective_sample_size(single) == pytest.approx(1)
    assert effective_sample_size(equal + 1e4) == pytest.approx(8)  # no overflow


# ---------------------------------------------------------------------- dreams used again


def test_recalled_dreams_are_distributed_as_fresh_ones(rng):
    """Dreams of one normal stand for another's: the moments must move, which without weights they would not."""
    z = rng.normal(size=20_000)

    def log_joint(mean):
        return -((z - mean) ** 2) / 2

    recalled = Memory(z, z[:, np.newaxis], log_joint(0.0)).recalled(log_joint(0.3), rng)
    assert recalled.z.mean() == pytest.approx(0.3, abs=0.03)  # four standard errors; 0 without weights
    assert recalled.z.var() == pytest.approx(1.0, abs=0.06)
    assert_array_equal(recalled.z, recalled.x[:, 0])


def test_dreams_that_have_become_unlikely_are_forgotten(rng):
    z = rng.normal(size=1000)
    memory = Memory(z, z[:, np.newaxis], -(z**2) / 2)
    assert memory.recalled(-((z - 2.0) ** 2) / 2, rng) is None  # exp(-4) of them are effective
    assert memory.recalled(np.full(1000, np.nan), rng) is None


# ---------------------------------------------------------------------- the choice between them


def test_importance_weighting_is_used_where_its_samples_are_effective(model, theta, X):
    early, loud, quiet = (RegressionState(n_steps=n) for n in (0, 100, 100))
    gradient_of(model, theta, X, "importance", "exponential", state=early)
    assert early.form == "exponential"
    gradient_of(model, theta, X, "importance", "exponential", state=loud)
    assert loud.form == "importance"
    gradient_of(model, theta - np.repeat([0.0, 3.0], [15, 5]), X, "importance", "exponential", state=quiet)
    assert quiet.form == "exponential"
    assert quiet.effective_sample_sizes[0] < ENOUGH_EFFECTIVE_SAMPLES < loud.effective_sample_sizes[0]


@pytest.mark.parametrize("feature_map", ["predictive", "learned"])
def test_few_columns_are_left_as_they_are(feature_map, rng):
    settings = RegressionSettings(feature_map=feature_map)
    x = rng.normal(size=(60, 4))
    for n_columns, expected in (3, 3), (4, 1):
        state = RegressionState()
        set_regression(state, settings, Pairs(None, x[:, :n_columns]), [x[:, :1]])
        assert state.feature_map(x[:, :n_columns]).shape == (60, expected)


# ---------------------------------------------------------------------- tuning


def test_the_regression_is_tuned_at_intervals(model, theta, X):
    phases = WholeObservations(model)
    state = RegressionState()
    objective = AmortisedGradient(
        phases, [Exponential(model)], RegressionSettings(), state, theta, n_dreams=50, streams=Streams(0)
    )
    for _ in range(TUNING_INTERVAL + 1):
        objective(X[:20])
    assert len(state.errors) == len(state.coverages) == 2
    assert state.effective_sample_sizes == []


def test_an_untuned_regression_has_the_bandwidth_and_ridge_given(model, theta, X):
    state = RegressionState()
    settings = RegressionSettings(bandwidth=2.5, ridge=0.01, tuned=False)
    gradient_of(model, theta, X, "exponential", state=state, settings=settings)
    assert (state.bandwidth, state.ridge) == (2.5, 0.01)


@pytest.mark.parametrize("index", range(5))
def test_bandwidths_next_to_the_last_choice_are_tried(index):
    """Factors are on a logarithmic grid: the last choice is among those tried, in the middle unless at an end."""
    tried = tuning._factors_near(BANDWIDTH_FACTORS[index] * 1.01)
    assert list(tried) == list(BANDWIDTH_FACTORS[max(0, index - 1) : index + 2])
    between = np.sqrt(BANDWIDTH_FACTORS[0] * BANDWIDTH_FACTORS[1])  # as near to one as to the other
    assert tuning._factors_near(between * 1.02)[0] == BANDWIDTH_FACTORS[0]
    assert len(tuning._factors_near(between * 1.02)) == 3
    assert len(tuning._factors_near(between / 1.02)) == 2


@pytest.mark.parametrize("feature_map", ["predictive", "additive"])
def test_noise_is_shrunk_less_in_training(feature_map, rng):
    """In training, the ridge that noise asks for would shrink predictions of latents that can hardly be predicted."""
    x, noise = rng.normal(size=(200, 2)), rng.normal(size=(200, 1))
    settings = RegressionSettings(feature_map=feature_map, latent_function=lambda z: z)
    state = RegressionState()
    set_regression(state, settings, Pairs(noise, x), [noise])
    assert state.ridge == pytest.approx(100 * settings.ridge)
    regression = fit_regression(state.feature_map(x), state.bandwidth, state.ridge, rng)
    trained = regression.predict(state.feature_map(x), noise)
    expected = expectation(settings, Pairs(noise, x), noise, x, rng)
    assert expected.std() < 0.95 * trained.std()


def test_an_additive_regression_is_tuned_on_all_pairs(rng):
    """It takes more of them than features, and here there are 127: with fewer it would choose a higher ridge."""
    z = rng.laplace(size=(3000, 12))
    x = z @ np.linalg.qr(rng.normal(size=(12, 12)))[0] + 0.3 * rng.normal(size=(3000, 12))
    settings = RegressionSettings(feature_map="additive", latent_function=lambda z: z)
    all_pairs, few = RegressionState(), RegressionState()
    set_regression(all_pairs, settings, Pairs(z, x), [z])
    set_regression(few, settings, Pairs(z, x).head(N_TUNING_PAIRS), [z[:N_TUNING_PAIRS]])
    assert all_pairs.errors[0] < few.errors[0]
    regression = fit_regression(all_pairs.feature_map(x), all_pairs.bandwidth, all_pairs.ridge, rng)
    z_new = rng.laplace(size=(3000, 12))
    x_new = z_new @ np.linalg.lstsq(z, x)[0] + 0.3 * rng.normal(size=(3000, 12))
    residuals = z_new - regression.predict(all_pairs.feature_map(x_new), z)
    assert all_pairs.errors[0] == pytest.approx(np.square(residuals).mean() / z.var(), rel=0.05)


def test_coverage_is_the_part_of_the_data_that_dreams_come_near(rng):
    dreams = rng.normal(size=(300, 2))
    assert coverage(dreams, rng.normal(size=(300, 2))) > 0.9
    assert coverage(dreams, 50 + rng.normal(size=(300, 2))) == 0
    half = np.concatenate([rng.normal(size=(150, 2)), 50 + rng.normal(size=(150, 2))])
    assert coverage(dreams, half) == pytest.approx(0.5, abs=0.05)


def test_groups_of_targets_count_the_same(rng):
    wide, narrow = rng.normal(size=(50, 6)), 100 * rng.normal(size=(50, 1))
    targets = balanced([wide, narrow, np.ones((50, 2))])
    assert targets.shape == (50, 7)
    assert_allclose(np.square(targets[:, :6]).sum(), np.square(targets[:, 6:]).sum())


# ---------------------------------------------------------------------- failures and state


@pytest.mark.parametrize("method", ["sample", "natural_vjp"])
def test_what_is_not_finite_is_reported_and_not_followed(method, model, theta, X):
    class Broken:
        def __getattr__(self, name):
            return getattr(model, name)

    broken = Broken()
    if method == "sample":
        broken.sample = lambda theta, n, rng: (np.zeros((n, 2)), np.full((n, 5), np.inf))
    else:
        broken.natural_vjp = lambda *args: np.full(20, np.nan)
    objective = AmortisedGradient(
        WholeObservations(broken),
        [Exponential(broken)],
        RegressionSettings(),
        RegressionState(),
        theta,
        n_dreams=50,
        streams=Streams(0),
    )
    assert np.isnan(objective(X))
    assert "not finite" in objective.failure


def test_a_copied_state_is_left_alone(model, theta):
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
