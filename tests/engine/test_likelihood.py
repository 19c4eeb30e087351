"""Likelihoods compared with the oracle, by enumeration and by importance sampling."""

import numpy as np
import pytest
from scipy.integrate import quad

from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.arrays.random import CommonNoise
from skwakesleep._engine.machine.networks import Machine
from skwakesleep._engine.machine.rows import Rows, Visible
from skwakesleep._engine.posterior.annealing import AnnealedImportanceSampling
from skwakesleep._engine.posterior.enumeration import all_states
from skwakesleep._engine.posterior.likelihood import ENUMERABLE_LATENTS, estimate
from tests import oracle
from tests.engine.machines import (
    exact_log_likelihood,
    gaussian_columns,
    machine_of,
    oracle_machine,
    wake_sleep,
)

pytestmark = pytest.mark.arithmetic

SIZES = [(5, 3), (1, 1), (4, 3, 2), (3, 2, 1, 3)]


def exact(machine, flat, X):
    return exact_log_likelihood(machine, flat, X[:, np.newaxis])


def sampled(machine, flat, X, n_particles):
    networks = machine.bind(flat, NumpyBackend(by_row=True))
    return AnnealedImportanceSampling(machine, networks, n_particles)(Visible.dense(X)).log_likelihood


def fitted_proposal(sizes, seed):
    """Return a machine whose recognition network was trained on dreams."""
    model, machine, flat = oracle_machine(sizes, seed, scale=2.0)
    objective = wake_sleep(machine, flat, "sleep", 1)
    parameters, gradient = map(machine.recognition_part, (flat, objective.gradient))
    for _ in range(300):
        objective(Visible.dense(np.zeros((200, sizes[0]))))
        parameters += 0.5 * gradient
    return model, machine, flat


# ---------------------------------------------------------------------- enumeration


@pytest.mark.parametrize("sizes", SIZES)
def test_probabilities_of_all_inputs_sum_to_one(sizes):
    _, machine, flat = oracle_machine(sizes, seed=1, scale=2.0)
    total = np.exp(exact(machine, flat, all_states(sizes[0], np.float64))).sum()
    assert total == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("gaussian", [False, True])
def test_enumeration_equals_the_oracle(sizes, gaussian, rng):
    model, machine, flat = oracle_machine(sizes, seed=2, scale=2.0, gaussian=gaussian)
    X = rng.normal(size=(9, sizes[0])) if gaussian else rng.random((9, sizes[0])).round(1)  # fractions too
    np.testing.assert_allclose(exact(machine, flat, X), oracle.log_likelihood(model, X), rtol=1e-11)


def test_enumeration_in_chunks(monkeypatch, rng):
    model, machine, flat = oracle_machine((4, 3, 2), seed=3)
    monkeypatch.setattr("skwakesleep._engine.posterior.enumeration.BLOCK_ELEMENTS", 20)
    X = rng.random((5, 4))
    np.testing.assert_allclose(exact(machine, flat, X), oracle.log_likelihood(model, X), rtol=1e-11)


def test_density_integrates_to_one_in_the_users_units():
    machine = Machine(gaussian_columns(np.array([300.0]), np.array([40.0])), [2])
    flat = np.random.default_rng(4).normal(size=machine.layout.size)
    total, _ = quad(lambda x: np.exp(score(machine, flat, np.array([[x]])))[0], -500, 1100, points=[250, 300, 350])
    assert total == pytest.approx(1, abs=1e-6)


def test_all_states_lists_each_once():
    states = all_states(4, np.float32)
    assert states.dtype == np.float32
    assert sorted(map(tuple, states)) == sorted(map(tuple, oracle.binary_states(4)))


# ---------------------------------------------------------------------- importance sampling


def test_bounds_rise_with_the_particles_to_the_exact_value():
    model, machine, flat = fitted_proposal((8, 8, 4), seed=5)
    _, X = oracle.sample(model, 40, np.random.default_rng(6))
    truth = oracle.log_likelihood(model, X).mean()

    def bound(n_particles):
        """Return the mean of 400 independent estimates of each row's bound, and its standard error."""
        objective = wake_sleep(machine, flat, "sleep", n_particles, seed=7)
        means = [objective(Visible.dense(np.repeat(X, 50, axis=0))) for _ in range(8)]
        return np.mean(means), np.std(means, ddof=1) / np.sqrt(8)

    bounds, errors = np.transpose([bound(n_particles) for n_particles in (1, 5, 50)])
    noise = np.hypot(errors, [*errors[1:], 0])
    assert (np.diff([*bounds, truth]) > 3 * noise).all()  # each difference is well above the noise
    # Negative control: a likelihood that is 0.1 nats too small is below the last bound.
    assert not (np.diff([*bounds, truth - 0.1]) > 3 * noise).all()


def gap(machine, flat, X, truth):
    """Return by how much the estimate with 100 particles falls short, on average over tables of random numbers."""
    estimates = []
    with pytest.MonkeyPatch.context() as patch:
        for seed in range(16):
            patch.setattr(CommonNoise, "SEED", seed)
            estimates.append(sampled(machine, flat, X, 100).mean())
    return truth - np.mean(estimates)


@pytest.mark.parametrize("sizes", [(8, 12), (8, 8, 4)])
def test_gap_at_a_hundred_particles(sizes):
    model, machine, flat = fitted_proposal(sizes, seed=5)
    assert machine.n_latents == 12
    _, X = oracle.sample(model, 64, np.random.default_rng(9))
    truth = oracle.log_likelihood(model, X).mean()
    assert -0.02 < gap(machine, flat, X, truth) < 0.05
    # Negative control: on samples of the model, any other generative network scores lower.
    machine.views(flat).generative[-1]["intercept"][...] += 1.0
    assert gap(machine, flat, X, truth) > 0.05


@pytest.mark.parametrize("gaussian", [False, True])
def test_importance_sampling_converges(gaussian):
    model, machine, flat = oracle_machine((3, 3, 2), seed=10, scale=0.7, gaussian=gaussian)
    _, X = oracle.sample(model, 10, np.random.default_rng(11))
    truth = oracle.log_likelihood(model, X)
    errors = [np.abs(sampled(machine, flat, X, n_particles) - truth).max() for n_particles in (16, 2**14)]
    assert errors[1] < 0.02 < errors[0]


# ---------------------------------------------------------------------- scores of rows


def score(machine, flat, X, n_particles=50):
    rows = Rows(X, machine.columns, np.float64, NumpyBackend())
    return estimate(machine, flat, rows, NumpyBackend(), n_particles).log_likelihood


@pytest.mark.parametrize("sizes", [(6, 3), (6, ENUMERABLE_LATENTS + 1), (6, 10, 8)])
def test_scores_depend_on_the_row_alone(sizes):
    _, machine, flat = oracle_machine(sizes, seed=12)
    X = (np.random.default_rng(13).random((150, 6)) < 0.5).astype(float)
    whole = score(machine, flat, X)
    order = np.random.default_rng(14).permutation(150)
    np.testing.assert_array_equal(score(machine, flat, X[order]), whole[order])
    np.testing.assert_array_equal(score(machine, flat, X[3:4]), whole[3:4])
    np.testing.assert_array_equal(score(machine, flat, X), whole)


def test_scores_do_not_depend_on_the_place_in_a_block():
    """A block has 51 rows here, and is computed in parts of two rows: the last part has one row."""
    _, machine, flat = oracle_machine((400, 20), seed=19)
    X = (np.random.default_rng(20).random((10, 400)) < 0.3).astype(float)
    scores = score(machine, flat, np.repeat(X, 51, axis=0), n_particles=128).reshape(10, 51)
    np.testing.assert_array_equal(scores, np.repeat(scores[:, :1], 51, axis=1))
    assert len(np.unique(scores)) == 10


@pytest.mark.parametrize(("n_hidden", "is_exact"), [(ENUMERABLE_LATENTS, True), (ENUMERABLE_LATENTS + 1, False)])
def test_few_hidden_units_are_enumerated(n_hidden, is_exact):
    _, machine, flat = oracle_machine((3, n_hidden), seed=15)
    X = np.eye(3)
    matches = np.allclose(score(machine, flat, X, n_particles=10), exact(machine, flat, X), rtol=1e-12)
    assert matches == is_exact


def test_more_hidden_units_than_sobol_has_dimensions():
    _, machine, flat = oracle_machine((2, 22_000), seed=16, scale=0.001)
    assert np.isfinite(score(machine, flat, np.eye(2), n_particles=2)).all()


@pytest.mark.parametrize("sizes", [(3, 2), (3, 15)])
@pytest.mark.parametrize("logit", [-1e4, 1e4])
def test_extreme_logits_give_finite_scores(sizes, logit):
    _, machine, flat = oracle_machine(sizes, seed=17, scale=0.0)
    for views in machine.layout.views(flat).values():
        views["intercept"][...] = logit
    assert np.isfinite(score(machine, flat, np.array([[0.0, 1.0, 0.5]]))).all()


def test_machine_of_and_model_of_are_inverse():
    model, machine, flat = oracle_machine((3, 2, 2), seed=18)
    again, flat_again = machine_of(model)
    assert again.hidden_sizes == machine.hidden_sizes
    np.testing.assert_array_equal(flat_again, flat)
