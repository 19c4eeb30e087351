"""The log-likelihood of rows by summing over all states of the hidden units."""

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.arrays.numerics import log_sum_exp
from skwakesleep._engine.arrays.workspace import Workspace
from skwakesleep._engine.machine.layers import Layer
from skwakesleep._engine.machine.networks import Machine, Parameters
from skwakesleep._engine.posterior.estimates import Estimate, exact_estimate
from skwakesleep._engine.training.layout import Views

# Numbers in the largest scratch array: 8 MB in float64.
BLOCK_ELEMENTS = 2**20


class Enumeration:
    """Exact log-likelihood of each row: every layer is summed out, from the top.

    ``p(h_l) = sum over h_(l+1) of p(h_(l+1)) p(h_l | h_(l+1))``, and so down to the visible layer. All but the
    last sum is the same for every row and is done once.

    Parameters
    ----------
    machine : Machine
        The networks.
    theta : Parameters
        Views of their parameters, in the dtype to compute in.
    workspace : Workspace
        Scratch arrays.
    """

    def __init__(self, machine: Machine, theta: Parameters, workspace: Workspace) -> None:
        prior, *hidden, self._visible = machine.generative.layers
        *hidden_theta, self._theta = theta.generative
        self._workspace = workspace
        # Rows share one matrix product, unless each has natural parameters of its own.
        self.rows_at_once = 1 if self._visible.autoregressive else 64
        self._causes = all_states(prior.n_units, self._theta["intercept"].dtype)
        self._log_prior = prior.log_prob(hidden_theta[0], None, self._causes, workspace)
        for layer, parameters in zip(hidden, hidden_theta[1:], strict=True):
            states = all_states(layer.n_units, self._causes.dtype)
            self._log_prior = self._sum_out(layer, parameters, states)
            self._causes = states

    def __call__(self, x: NDArray) -> Estimate:
        """Return the log-likelihood of each row of ``x (B, D)``, exactly."""
        return exact_estimate(self._sum_out(self._visible, self._theta, x))

    def bracket(self, x: NDArray, causes: list[NDArray]) -> tuple[Estimate, Estimate]:
        """Return the log-likelihood twice, for a lower and an upper bound."""
        exact = self(x)
        return exact, exact

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
