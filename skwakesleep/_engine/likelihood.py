"""Log-likelihood of rows under the generative network: exact where the latents are few, sampled elsewhere."""

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.layers import Layer
from skwakesleep._engine.networks import Machine, Parameters
from skwakesleep._engine.numerics import log_sum_exp
from skwakesleep._engine.parameters import Views
from skwakesleep._engine.random import CommonNoise
from skwakesleep._engine.rows import Rows
from skwakesleep._engine.workspace import Workspace

# All 2^14 latent states of a row still cost less than a thousand importance samples of a wide machine.
ENUMERABLE_LATENTS = 14
# Numbers in the largest scratch array: 8 MB in float64.
BLOCK_ELEMENTS = 2**20


def log_likelihood(machine: Machine, parameters: NDArray, rows: Rows, n_particles: int) -> NDArray:
    """Return the log-likelihood of each row in nats.

    Exact by enumeration when the machine has few latents; otherwise the importance-sampled estimate with
    `n_particles` proposals from the recognition network, a lower bound in expectation. Either way a function
    of the row alone: all rows share their random numbers, and are computed in blocks of one shape.

    Parameters
    ----------
    machine : Machine
        The networks.
    parameters : ndarray of shape (machine.layout.size,)
        Their flat parameters, in the dtype to compute in.
    rows : Rows
        Encoded rows, in the same dtype.
    n_particles : int
        Importance samples per row; unused by enumeration.

    Returns
    -------
    log_likelihood : ndarray of shape (n_rows,)
        Nats, in the units of the user's columns.
    """
    theta = machine.bind(parameters)
    workspace = Workspace()
    estimate: Enumeration | ImportanceSampling
    if machine.n_latents <= ENUMERABLE_LATENTS:
        estimate = Enumeration(machine, theta, workspace)
    else:
        estimate = ImportanceSampling(machine, theta, workspace, n_particles)
    result = np.empty(len(rows), parameters.dtype)
    for block, batch in rows.blocks(estimate.block_size):
        result[block] = estimate(batch.units)[: block.stop - block.start]
    return result


class ImportanceSampling:
    """``log mean_k p(x, h_k) / q(h_k | x)`` for each row, with the same uniforms behind every row's ``h_k``."""

    def __init__(self, machine: Machine, theta: Parameters, workspace: Workspace, n_particles: int) -> None:
        self._machine = machine
        self._theta = theta
        self._workspace = workspace
        self._n_particles = n_particles
        self._noise = CommonNoise(n_particles, machine.n_latents)
        self.block_size = max(1, min(64, BLOCK_ELEMENTS // (n_particles * max(machine.sizes))))

    def __call__(self, x: NDArray) -> NDArray:
        """Return the estimate for each row of `x`, in nats."""
        shape = (self._n_particles, len(x))
        noise = self._noise.rewind()
        q = self._machine.recognition.draw(self._theta.recognition, x, shape, noise, self._workspace)
        states = [*q.states[::-1], x]
        log_joint = self._machine.generative.log_prob(self._theta.generative, None, states, self._workspace)
        return log_sum_exp(log_joint - q.log_prob, axis=0) - np.log(self._n_particles)


class Enumeration:
    """Exact log-likelihood of each row: every layer is summed out, from the top.

    ``p(h_l) = sum over h_(l+1) of p(h_(l+1)) p(h_l | h_(l+1))``, and so down to the visible layer. All but the
    last sum is the same for every row and is done once.
    """

    block_size = 64

    def __init__(self, machine: Machine, theta: Parameters, workspace: Workspace) -> None:
        prior, *hidden, self._visible = machine.generative.layers
        *hidden_theta, self._theta = theta.generative
        self._workspace = workspace
        self._causes = all_states(prior.n_units, self._theta["intercept"].dtype)
        self._log_prior = prior.log_prob(hidden_theta[0], None, self._causes, workspace)
        for layer, parameters in zip(hidden, hidden_theta[1:], strict=True):
            states = all_states(layer.n_units, self._causes.dtype)
            self._log_prior = self._sum_out(layer, parameters, states)
            self._causes = states

    def __call__(self, x: NDArray) -> NDArray:
        """Return the log-likelihood of each row of `x`, in nats."""
        return self._sum_out(self._visible, self._theta, x)

    def _sum_out(self, layer: Layer, theta: Views, targets: NDArray) -> NDArray:
        """Return ``log sum over causes of p(cause) p(target | cause)`` for each target."""
        chunk = max(1, BLOCK_ELEMENTS // (len(targets) * layer.n_units))
        total = np.full(len(targets), -np.inf)
        for start in range(0, len(self._causes), chunk):
            some = slice(start, start + chunk)
            log_joint = layer.log_prob(theta, self._causes[some, np.newaxis], targets, self._workspace)
            log_joint = log_joint + self._log_prior[some, np.newaxis]
            total = np.logaddexp(total, log_sum_exp(log_joint, axis=0))
        return total


def all_states(n_units: int, dtype: np.dtype) -> NDArray:
    """Return every binary vector of `n_units` units, ``(2 ** n_units, n_units)``."""
    codes = np.arange(2**n_units)[:, np.newaxis]
    return ((codes >> np.arange(n_units)) & 1).astype(dtype)
