"""Likelihoods against the oracle: ladder checks 1 and 2 of the learning rules."""

import numpy as np
import pytest
from scipy.integrate import quad

from skwakesleep._engine.arrays.random import CommonNoise
from skwakesleep._engine.arrays.workspace import Workspace
from skwakesleep._engine.machine.networks import Machine
from skwakesleep._engine.machine.rows import Batch, Rows
from skwakesleep._engine.posterior.likelihood import (
    ENUMERABLE_LATENTS,
    AnnealedImportanceSampling,
    Enumeration,
    all_states,
    log_likelihood,
)
from tests import oracle
from tests.engine.machines import gaussian, machine_of, random_machine, wake_sleep

SIZES = [(5, 3), (1, 1), (4, 3, 2), (3, 2, 1, 3)]


def exact(machine, flat, X):
    return Enumeration(machine, machine.bind(flat), Workspace())(X).log_likelihood


def sampled(machine, flat, X, n_particles):
    return AnnealedImportanceSampling(machine, machine.bind(flat), Workspace(), n_particles)(X).log_likelihood


def fitted_proposal(sizes, seed):
    """Return a machine whose recognition network was taught by its own dreams, as training would leave it."""
    model, machine, flat = random_machine(sizes, seed, scale=2.0)
    objective = wake_sleep(machine, flat, "sleep", 1)
    recognition = machine.layout.bind(flat)
    gradient = machine.layout.bind(objective.gradient)
    for _ in range(300):
        objective(Batch.dense(np.zeros((200, sizes[0]))))
        for name in recognition:
            if name.startswith("recognition"):
                for key, values in recognition[name].items():
                    values += 0.5 * gradient[name][key]
    return model, machine, flat


# ---------------------------------------------------------------------- enumeration


@pytest.mark.parametrize("sizes", SIZES)
def test_probabilities_of_all_inputs_sum_to_one(sizes):
    _, machine, flat = random_machine(sizes, seed=1, scale=2.0)
    total = np.exp(exact(machine, flat, all_states(sizes[0], np.float64))).sum()
    assert total == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("gaussian", [False, True])
def test_enumeration_is_the_oracles(sizes, gaussian, rng):
    model, machine, flat = random_machine(sizes, seed=2, scale=2.0, gaussian=gaussian)
    X = rng.normal(size=(9, sizes[0])) if gaussian else rng.random((9, sizes[0])).round(1)  # fractions too
    np.testing.assert_allclose(exact(machine, flat, X), oracle.log_likelihood(model, X), rtol=1e-11)


def test_enumeration_in_chunks(monkeypatch, rng):
    model, machine, flat = random_machine((4, 3, 2), seed=3)
    monkeypatch.setattr("skwakesleep._engine.posterior.enumeration.BLOCK_ELEMENTS", 20)
    X = rng.random((5, 4))
    np.testing.assert_allclose(exact(machine, flat, X), oracle.log_likelihood(model, X), rtol=1e-11)


def test_density_integrates_to_one_in_the_users_units():
    machine = Machine(gaussian(np.array([300.0]), np.array([40.0])), (1, 2), n_active=1.0)
    flat = np.random.default_rng(4).normal(size=machine.layout.size)

    def density(x):
        return np.exp(log_likelihood(machine, flat, Rows(np.array([[x]]), machine.visible, np.float64), 1))[0]

    total, _ = quad(density, -500, 1100, points=[250, 300, 350])
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
        """Mean over 400 independent estimates of each row's bound, and its standard error."""
        objective = wake_sleep(machine, flat, "sleep", n_particles, seed=7)
        means = [objective(Batch.dense(np.repeat(X, 50, axis=0))) for _ in range(8)]
        return np.mean(means), np.std(means, ddof=1) / np.sqrt(8)

    bounds, errors = np.transpose([bound(n_particles) for n_particles in (1, 5, 50)])
    noise = np.hypot(errors, [*errors[1:], 0])
    assert (np.diff([*bounds, truth]) > 3 * noise).all()  # each step of the ladder is seen above the noise
    # Negative control: a likelihood computed 0.1 nat too small is found out by its lower bound.
    assert not (np.diff([*bounds, truth - 0.1]) > 3 * noise).all()


def gap(machine, flat, X, truth):
    """Return the mean shortfall of the estimate at K = 100, over tables of common random numbers."""
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
    # Negative control: on rows of the model's own, any other generative network scores lower.
    machine.bind(flat).generative[-1]["intercept"][...] += 1.0
    assert gap(machine, flat, X, truth) > 0.05


@pytest.mark.parametrize("gaussian", [False, True])
def test_importance_sampling_converges(gaussian):
    model, machine, flat = random_machine((3, 3, 2), seed=10, scale=0.7, gaussian=gaussian)
    _, X = oracle.sample(model, 10, np.random.default_rng(11))
    truth = oracle.log_likelihood(model, X)
    errors = [np.abs(sampled(machine, flat, X, n_particles) - truth).max() for n_particles in (16, 2**14)]
    assert errors[1] < 0.02 < errors[0]


# ---------------------------------------------------------------------- scores of rows


def score(machine, flat, X, n_particles=50):
    return log_likelihood(machine, flat, Rows(X, machine.visible, np.float64), n_particles)


@pytest.mark.parametrize("sizes", [(6, 3), (6, ENUMERABLE_LATENTS + 1), (6, 10, 8)])
def test_scores_depend_on_the_row_alone(sizes):
    _, machine, flat = random_machine(sizes, seed=12)
    X = (np.random.default_rng(13).random((150, 6)) < 0.5).astype(float)
    whole = score(machine, flat, X)
    order = np.random.default_rng(14).permutation(150)
    np.testing.assert_array_equal(score(machine, flat, X[order]), whole[order])
    np.testing.assert_array_equal(score(machine, flat, X[3:4]), whole[3:4])
    np.testing.assert_array_equal(score(machine, flat, X), whole)


@pytest.mark.parametrize(("n_hidden", "is_exact"), [(ENUMERABLE_LATENTS, True), (ENUMERABLE_LATENTS + 1, False)])
def test_few_latents_are_enumerated(n_hidden, is_exact):
    _, machine, flat = random_machine((3, n_hidden), seed=15)
    X = np.eye(3)
    matches = np.allclose(score(machine, flat, X, n_particles=10), exact(machine, flat, X), rtol=1e-12)
    assert matches == is_exact


def test_more_hidden_units_than_sobol_has_dimensions():
    _, machine, flat = random_machine((2, 22_000), seed=16, scale=0.001)
    assert np.isfinite(score(machine, flat, np.eye(2), n_particles=2)).all()


@pytest.mark.parametrize("sizes", [(3, 2), (3, 15)])
@pytest.mark.parametrize("logit", [-1e4, 1e4])
def test_extreme_logits_give_finite_scores(sizes, logit):
    _, machine, flat = random_machine(sizes, seed=17, scale=0.0)
    for views in machine.layout.bind(flat).values():
        views["intercept"][...] = logit
    assert np.isfinite(score(machine, flat, np.array([[0.0, 1.0, 0.5]]))).all()


def test_a_model_survives_the_translation():
    model, machine, flat = random_machine((3, 2, 2), seed=18)
    again, flat_again = machine_of(model)
    assert again.sizes == machine.sizes
    np.testing.assert_array_equal(flat_again, flat)
