"""The posterior of hidden units as weighted particles, compared with the oracle."""

import numpy as np
import pytest

from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.arrays.random import FineNoise
from skwakesleep._engine.machine.rows import Visible
from skwakesleep._engine.posterior import likelihood
from skwakesleep._engine.posterior.annealing import AnnealedImportanceSampling
from skwakesleep._engine.posterior.enumeration import Enumeration
from skwakesleep._engine.posterior.likelihood import posterior_of
from tests import oracle
from tests.engine.machines import (
    EVERYWHERE,
    dreams,
    enumeration,
    model_of,
    oracle_machine,
    random_machine,
    teach,
    visible,
)

pytestmark = pytest.mark.statistical

SIZES = pytest.mark.parametrize("sizes", [(4, 3), (3, 3, 2), (3, 2, 1, 3)], ids=str)
GAUSSIAN = pytest.mark.parametrize("gaussian", [False, True])


def data(model, n_rows=6):
    _, X = oracle.sample(model, n_rows, np.random.default_rng(1))
    return X


def means_of(particles):
    """Return the mean of each unit of the bottom hidden layer for each row."""
    weights = np.exp(particles.log_weights - particles.log_likelihood[:, np.newaxis])
    return (weights[..., np.newaxis] * particles.states).sum(axis=1)


def oracle_means(model, X):
    states = oracle.hidden_states(model)[0]
    return np.array([oracle.posterior(model, x) @ states for x in X])


@SIZES
@GAUSSIAN
def test_enumeration_gives_the_posterior_means_of_the_oracle(sizes, gaussian):
    model, machine, flat = oracle_machine(sizes, seed=2, scale=1.5, gaussian=gaussian)
    X = data(model)
    particles = enumeration(machine, flat)(Visible.dense(X))
    assert particles.states.shape == (1, 2 ** sizes[1], sizes[1])
    assert particles.exact
    np.testing.assert_allclose(particles.log_likelihood, oracle.log_likelihood(model, X), rtol=1e-11)
    np.testing.assert_allclose(means_of(particles), oracle_means(model, X), rtol=1e-10, atol=1e-14)
    # Negative control: the rows in another order.
    assert abs(means_of(particles) - oracle_means(model, X[::-1])).max() > 0.01


def sampled_means(machine, flat, X, n_steps, log_likelihood):
    """Return 50 independent estimates of the posterior means, ``(50, n_rows, n_units)``, given the likelihood.

    Without normalization by the sum of the weights, they have no bias.
    """
    noise = FineNoise(np.random.default_rng(3))
    networks = machine.bind(flat, NumpyBackend(by_row=True))
    posterior = AnnealedImportanceSampling(machine, networks, 500, n_steps, noise=lambda: noise)
    estimates = []
    for _ in range(50):
        particles = posterior(Visible.dense(X))
        weights = np.exp(particles.log_weights - log_likelihood[:, np.newaxis])
        estimates.append((weights[..., np.newaxis] * particles.states).sum(axis=1))
    return np.array(estimates)


def largest_z(samples, expected):
    error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    return np.abs((samples.mean(axis=0) - expected) / error).max()


@pytest.mark.parametrize(
    ("sizes", "n_steps"), [((4, 3), 0), ((3, 3, 2), 0), ((3, 3, 2), 3), ((3, 2, 1, 3), 3)], ids=str
)
@GAUSSIAN
def test_sampled_particles_agree_with_the_oracle_within_their_error(sizes, gaussian, n_steps):
    _, machine, flat = oracle_machine(sizes, seed=4, gaussian=gaussian)
    teach(machine, flat)
    model = model_of(machine, flat)
    X = data(model)
    means = sampled_means(machine, flat, X, n_steps, oracle.log_likelihood(model, X))
    assert largest_z(means, oracle_means(model, X)) < 4
    # Negative controls: the means of the recognition network, and of another generative network.
    proposal = np.array([oracle.proposal(model, x) @ oracle.hidden_states(model)[0] for x in X])
    assert largest_z(means, proposal) > 4
    wrong = [model.generative_intercepts[0] + 0.5, *model.generative_intercepts[1:]]
    assert largest_z(means, oracle_means(model._replace(generative_intercepts=wrong), X)) > 4


@pytest.mark.parametrize("kind", ["bernoulli", "gaussian", "mixed"])
@pytest.mark.parametrize("autoregressive", [(), EVERYWHERE], ids=["plain", "autoregressive"])
def test_sampled_particles_agree_with_enumeration(kind, autoregressive):
    machine, flat = random_machine((4, 3, 2), 5, kind=kind, autoregressive=autoregressive)
    teach(machine, flat)
    _, x = dreams(machine, flat, 6)
    exact = enumeration(machine, flat)(visible(x))
    means = sampled_means(machine, flat, x[:, 0], 0, exact.log_likelihood)
    assert largest_z(means, means_of(exact)) < 4
    assert largest_z(means, means_of(exact)[::-1]) > 4  # negative control


def test_particles_have_states_and_weights_for_each_row():
    machine, flat = random_machine((5, 4, 3), 6)
    _, x = dreams(machine, flat, 7)
    posterior = AnnealedImportanceSampling(machine, machine.bind(flat, NumpyBackend(by_row=True)), 9)
    states, log_weights, exact, _ = posterior(visible(x))
    assert (states.shape, log_weights.shape, exact) == ((7, 9, 4), (7, 9), False)
    assert np.isin(states, [0, 1]).all()
    assert not np.shares_memory(states, posterior(visible(x)).states)


def test_the_upper_bound_has_the_causes_among_its_particles():
    machine, flat = random_machine((5, 4, 3), 7)
    causes, x = dreams(machine, flat, 8)
    posterior = AnnealedImportanceSampling(machine, machine.bind(flat, NumpyBackend(by_row=True)), 5, 2)
    lower, upper = posterior.bracket(visible(x), causes)
    np.testing.assert_array_equal(upper.states[:, :1], causes[0])
    np.testing.assert_array_equal(upper.states[:, 1:], lower.states[:, 1:])
    np.testing.assert_array_equal(upper.log_weights[:, 1:], lower.log_weights[:, 1:])


def test_the_posterior_of_a_machine_is_exact_if_it_has_few_hidden_units(monkeypatch):
    machine, flat = random_machine((5, 4, 3), 8)
    assert isinstance(posterior_of(machine, flat, NumpyBackend(), 10), Enumeration)
    monkeypatch.setattr(likelihood, "ENUMERABLE_LATENTS", 6)
    assert isinstance(posterior_of(machine, flat, NumpyBackend(), 10), AnnealedImportanceSampling)
