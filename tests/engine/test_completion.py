"""Rows with holes that the recognition network has not been trained on, compared with enumeration."""

import numpy as np
import pytest

from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.arrays.random import FineNoise
from skwakesleep._engine.machine.rows import Rows
from skwakesleep._engine.posterior import annealing
from skwakesleep._engine.posterior.annealing import AnnealedImportanceSampling
from skwakesleep._engine.posterior.particles import estimate_of
from tests.engine.machines import dreams, enumeration, taught_machine

SIZES = (14, 8)
LAYERS = [(), ("visible",)]


@pytest.fixture(scope="module", params=LAYERS, ids=str)
def machine_and_table(request):
    machine, flat = taught_machine(SIZES, 3, scale=3.0, autoregressive=request.param)
    table = dreams(machine, flat, 40)[1][:, 0].copy()
    table[::2, 6:] = np.nan
    return machine, flat, table


def sampling(machine, flat, n_particles, **options):
    return AnnealedImportanceSampling(machine, machine.bind(flat, NumpyBackend(by_row=True)), n_particles, **options)


def rows_of(machine, flat, table):
    return Rows(table, machine.columns, flat.dtype, NumpyBackend()).take(np.arange(len(table)))


def exact(machine, flat, table):
    posterior = enumeration(machine, flat)
    return np.concatenate([posterior(rows_of(machine, flat, row[np.newaxis])).log_likelihood for row in table])


def error(machine, flat, table, n_particles):
    """Return the mean error of the log-likelihood of rows with holes, and their median effective size."""
    x = rows_of(machine, flat, table)
    estimate = estimate_of(sampling(machine, flat, n_particles)(x))
    errors = np.abs(estimate.log_likelihood - exact(machine, flat, table))
    return errors[::2].mean(), np.median(estimate.effective_size[::2])


def test_completions_improve_the_particles(machine_and_table, monkeypatch):
    refined, size = error(*machine_and_table, n_particles=100)
    monkeypatch.setattr(annealing, "with_completions", lambda columns, visible, x, particles, noise: x)
    plain, plain_size = error(*machine_and_table, n_particles=100)
    assert refined < 0.7 * plain
    assert size > 2 * plain_size


def z_score(machine, flat, row, n_repeats=1000, n_particles=40):
    """Return how many standard errors the mean of estimates of a likelihood is from the exact one."""
    x = rows_of(machine, flat, np.repeat(row[np.newaxis], n_repeats, axis=0))
    noise = FineNoise(np.random.default_rng(0))
    ratios = np.exp(
        sampling(machine, flat, n_particles, noise=lambda: noise)(x).log_likelihood
        - exact(machine, flat, row[np.newaxis])
    )
    return (ratios.mean() - 1) / ratios.std() * np.sqrt(n_repeats)


@pytest.mark.statistical
def test_the_likelihood_is_unbiased(machine_and_table, monkeypatch):
    machine, flat, table = machine_and_table
    assert abs(z_score(machine, flat, table[0])) < 4
    # Negative control: the weight of the row as it is, although other inputs were used.
    monkeypatch.setattr(
        AnnealedImportanceSampling,
        "_log_start",
        lambda self, x, units: self._start.log_prob(x._replace(root=x.root[:, :1]), units),
    )
    assert abs(z_score(machine, flat, table[0])) > 10


def test_a_score_does_not_depend_on_other_rows(machine_and_table):
    machine, flat, table = machine_and_table
    posterior = sampling(machine, flat, 50)
    whole = posterior(rows_of(machine, flat, table)).log_likelihood
    for row in range(4):
        alone = posterior(rows_of(machine, flat, table[[row]])).log_likelihood
        np.testing.assert_allclose(alone, whole[[row]], rtol=1e-12)


@pytest.mark.parametrize("n_particles", [1, 7])
def test_fewer_particles_than_completions(machine_and_table, n_particles):
    machine, flat, table = machine_and_table
    assert np.isfinite(sampling(machine, flat, n_particles)(rows_of(machine, flat, table)).log_likelihood).all()
