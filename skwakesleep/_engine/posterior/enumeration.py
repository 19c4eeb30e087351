"""The exact posterior, by summing over all states of the hidden units."""

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.arrays.numerics import log_sum_exp
from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.machine.columns import Columns
from skwakesleep._engine.machine.layers import BoundLayer
from skwakesleep._engine.machine.networks import Networks
from skwakesleep._engine.machine.rows import Visible
from skwakesleep._engine.posterior.particles import Particles, Posterior

# Numbers in the largest scratch array: 8 MB in float64.
BLOCK_ELEMENTS = 2**20
# Largest number of pairs of a hidden state and a way to complete a row that are summed over: .05 seconds per row.
MAX_PAIRS = 2**18


class Enumeration:
    """All states of the bottom hidden layer with their exact weights; the layers above are summed out.

    ``p(h_l) = sum over h_(l+1) of p(h_(l+1)) p(h_l | h_(l+1))`` from the top downwards: this is the same for every row
    and is computed once. The weights are ``p(h_1) p(x | h_1)``.

    Parameters
    ----------
    columns : Columns
        The columns of the machine.
    networks : Networks
        Its networks.
    sampling : Posterior
        Takes rows whose missing columns have too many states to sum over, where later columns depend on them.
    backend : NumpyBackend
        Provides scratch arrays: weights are overwritten by the next call.
    """

    def __init__(self, columns: Columns, networks: Networks, backend: NumpyBackend, sampling: Posterior) -> None:
        self._columns = columns
        self._backend = backend
        self._sampling = sampling
        prior, *hidden, self._visible = networks.generative.layers
        # Rows share one matrix product, unless each has natural parameters of its own.
        self.n_rows = 1 if self._visible.autoregressive else 64
        self._states = _layer_states(prior)
        self._log_prior = prior.log_prob(None, self._states)  # (1, S)
        for layer in hidden:
            states = _layer_states(layer)
            self._log_prior = log_sum_exp(self._log_joint(layer, states.swapaxes(0, 1)), axis=1)[np.newaxis]
            self._states = states

    def __call__(self, x: Visible) -> Particles:
        """Return all states with their weights for each row, or all ways to complete a row if columns see others."""
        if x.missing is None or not self._visible.autoregressive:
            return Particles(self._states, self._log_joint(self._visible, x.units, x.missing), exact=True)
        limit = MAX_PAIRS // self._states.shape[1]
        completions = self._columns.completions(x.units[0, 0], x.missing[0, 0], limit)
        if completions is None:
            return self._sampling(x)
        log_joint = self._log_joint(self._visible, completions.units[:, np.newaxis])
        log_weights = log_sum_exp(log_joint, axis=1) + completions.log_base
        units = completions.units[np.newaxis]
        return Particles(units[..., :0], log_weights[np.newaxis], exact=True, units=units)

    def bracket(self, x: Visible, causes: list[NDArray]) -> tuple[Particles, Particles]:
        """Return the exact posterior twice: both bounds are the likelihood itself."""
        exact = self(x)
        return exact, exact

    def _log_joint(self, layer: BoundLayer, targets: NDArray, missing: NDArray | None = None) -> NDArray:
        """Return ``log p(state) p(target | state)`` for each target and state, ``(B, S)``."""
        n_states = self._states.shape[1]
        chunk = max(1, BLOCK_ELEMENTS // (len(targets) * max(1, layer.n_units)))
        shape = n_states, len(targets)  # in the order of the products
        log_joint = self._backend.empty("log joint", shape, self._states.dtype).T
        for start in range(0, n_states, chunk):
            some = slice(start, start + chunk)
            log_joint[:, some] = layer.log_prob(self._states[:, some], targets, missing) + self._log_prior[:, some]
        return log_joint


def _layer_states(layer: BoundLayer) -> NDArray:
    """Return every state of a binary layer, ``(1, 2 ** N, N)``."""
    return all_states(layer.n_units, layer.params["intercept"].dtype)[np.newaxis]


def all_states(n_units: int, dtype: np.dtype) -> NDArray:
    """Return every binary vector of `n_units` units, ``(2 ** n_units, n_units)``."""
    codes = np.arange(2**n_units)[:, np.newaxis]
    return ((codes >> np.arange(n_units)) & 1).astype(dtype)
