"""The log-likelihood of rows: exact with few hidden units, otherwise estimated."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.arrays.random import Noise
from skwakesleep._engine.machine.networks import Machine
from skwakesleep._engine.machine.rows import Rows, Visible
from skwakesleep._engine.posterior.annealing import AnnealedImportanceSampling
from skwakesleep._engine.posterior.enumeration import Enumeration
from skwakesleep._engine.posterior.particles import Estimate, Particles, Posterior, estimate_of

# Largest number of hidden units to enumerate: all 2^14 states take less time than 1000 importance samples.
ENUMERABLE_LATENTS = 14


def posterior_of(
    machine: Machine,
    parameters: NDArray,
    backend: NumpyBackend,
    n_particles: int,
    n_steps: int = 0,
    noise: Callable[[], Noise] | None = None,
) -> Posterior:
    """Return the posterior of a machine: exact if it has few hidden units, otherwise by (annealed) importance sampling.

    Parameters
    ----------
    machine : Machine
        The machine.
    parameters : ndarray of shape (machine.layout.size,)
        Its flat parameters, in the dtype to compute in.
    backend : NumpyBackend
        Computes.
    n_particles : int
        Particles per row; unused by enumeration.
    n_steps : int, default=0
        Annealing steps of each particle; zero is importance sampling.
    noise : callable, optional
        See `AnnealedImportanceSampling`.
    """
    networks = machine.bind(parameters, backend.new(by_row=True))
    sampling = AnnealedImportanceSampling(machine, networks, n_particles, n_steps, noise=noise)
    if machine.n_latents > ENUMERABLE_LATENTS:
        return sampling
    scratch = backend.new()
    return Enumeration(machine.columns, machine.bind(parameters, scratch), scratch, sampling)


def estimate(
    machine: Machine, parameters: NDArray, rows: Rows, backend: NumpyBackend, n_particles: int, n_steps: int = 0
) -> Estimate:
    """Return the log-likelihood of each row in nats, and its error.

    It is exact if the machine has few hidden units; otherwise an estimate with `n_particles` draws from the recognition
    network, a lower bound in expectation. In both cases it is a function of the row alone: all rows share their random
    numbers, and are computed in blocks of one shape.

    Parameters
    ----------
    machine, parameters, backend, n_particles, n_steps
        See `posterior_of`.
    rows : Rows
        Rows in the dtype of the parameters.

    Returns
    -------
    estimate : Estimate
        Arrays of shape (n_rows,), in nats and in the units of the user's columns.
    """
    result = Estimate(*(np.empty(len(rows), parameters.dtype) for _ in Estimate._fields))
    for block, some, particles in posteriors(machine, parameters, rows, backend, n_particles, n_steps):
        for values, own in zip(result, estimate_of(particles), strict=True):
            values[block] = own[: block.stop - block.start]
        if some.log_base is not None:
            result.log_likelihood[block] += some.log_base[: block.stop - block.start]
    return result


def posteriors(
    machine: Machine, parameters: NDArray, rows: Rows, backend: NumpyBackend, n_particles: int, n_steps: int = 0
) -> Iterator[tuple[slice, Visible, Particles]]:
    """Yield the posterior of a few rows at a time: their places, the rows filled up to a fixed number, the particles.

    Parameters are those of `estimate`.
    """
    posterior = posterior_of(machine, parameters, backend, n_particles, n_steps)
    for block, some in rows.blocks(posterior.n_rows):
        # Inputs of the recognition network are dense, so that containers do not differ.
        some = some._replace(root=machine.columns.root(some.units, some.missing))
        yield block, some, posterior(some)
