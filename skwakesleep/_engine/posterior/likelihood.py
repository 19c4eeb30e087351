"""Log-likelihood of rows under the generative network: exact where the latents are few, sampled elsewhere."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.arrays.random import Noise
from skwakesleep._engine.arrays.workspace import Workspace
from skwakesleep._engine.machine.networks import Machine, Parameters
from skwakesleep._engine.machine.rows import Rows
from skwakesleep._engine.posterior.annealing import AnnealedImportanceSampling
from skwakesleep._engine.posterior.enumeration import Enumeration, all_states
from skwakesleep._engine.posterior.estimates import Estimate, Estimator

__all__ = [
    "ENUMERABLE_LATENTS",
    "AnnealedImportanceSampling",
    "Enumeration",
    "all_states",
    "choose",
    "estimate",
    "log_likelihood",
]

# All 2^14 latent states of a row still cost less than a thousand importance samples of a wide machine.
ENUMERABLE_LATENTS = 14


def log_likelihood(machine: Machine, parameters: NDArray, rows: Rows, n_particles: int, n_steps: int = 0) -> NDArray:
    """Return the log-likelihood of each row in nats, ``(n_rows,)``, without its error; see `estimate`."""
    return estimate(machine, parameters, rows, n_particles, n_steps).log_likelihood


def estimate(machine: Machine, parameters: NDArray, rows: Rows, n_particles: int, n_steps: int = 0) -> Estimate:
    """Return the log-likelihood of each row in nats, and how well it is known.

    Exact by enumeration when the machine has few latents; otherwise the estimate by (annealed) importance sampling with
    `n_particles` from the recognition network, a lower bound in expectation. Either way a function of the row alone:
    all rows share their random numbers, and are computed in blocks of one shape.

    Parameters
    ----------
    machine : Machine
        The networks.
    parameters : ndarray of shape (machine.layout.size,)
        Their flat parameters, in the dtype to compute in.
    rows : Rows
        Encoded rows, in the same dtype.
    n_particles : int
        Particles per row; unused by enumeration.
    n_steps : int, default=0
        Annealing steps of each particle, likewise; none is importance sampling.

    Returns
    -------
    estimate : Estimate
        Arrays of shape (n_rows,), in nats and in the units of the user's columns.
    """
    estimator = choose(machine, machine.bind(parameters), n_particles, n_steps)
    result = Estimate(*(np.empty(len(rows), parameters.dtype) for _ in Estimate._fields))
    for block, batch in rows.blocks(estimator.rows_at_once):
        for values, some in zip(result, estimator(batch.units), strict=True):
            values[block] = some[: block.stop - block.start]
    return result


def choose(
    machine: Machine, theta: Parameters, n_particles: int, n_steps: int, noise: Callable[[], Noise] | None = None
) -> Estimator:
    """Return the estimator for a machine: exact where that can be, and otherwise with so many particles and steps."""
    if machine.n_latents <= ENUMERABLE_LATENTS:
        return Enumeration(machine, theta, Workspace())
    return AnnealedImportanceSampling(machine, theta, Workspace(), n_particles, n_steps, noise=noise)
