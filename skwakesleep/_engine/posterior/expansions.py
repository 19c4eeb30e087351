"""A chain of layers as a function of the hidden units, expanded to second order around a state of them."""

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.arrays.loops import LOOPS
from skwakesleep._engine.arrays.workspace import Workspace
from skwakesleep._engine.machine.layers import Layer
from skwakesleep._engine.training.layout import Views

# Particles' units at a time: what is computed from a megabyte of them finds it in the processor's cache.
CACHED = 2**17
# From a row and the hidden layers, bottom up, to the root of a chain and the states of its layers. A prior has no root.
Arrangement = Callable[[NDArray | None, list[NDArray]], list[Any]]


class Expansion(NamedTuple):
    """What a chain of layers makes of a state of the hidden units.

    ``log_prob (B, K)`` is in nats. ``log_odds (B, K, N)`` are about the log-odds that each hidden unit would be active
    if all others stayed as they are.
    """

    log_prob: NDArray
    log_odds: NDArray


class Chain:
    """Log-probability of a chain of layers, given a row, as a function of all hidden units.

    The particles of a row are a matrix, and the matrices of several rows a stack: each row has matrix products of its
    own, always of the same shape, so that they are rounded alike whatever rows it is among.

    Parameters
    ----------
    layers : sequence of Layer
        The chain.
    theta : sequence of Views
        Its parameters.
    sizes : sequence of int
        Widths of the hidden layers, bottom up.
    arrange : Arrangement
        Puts a row and the hidden layers in the order of the chain.
    workspace : Workspace
        Scratch arrays.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        theta: Sequence[Views],
        sizes: Sequence[int],
        arrange: Arrangement,
        workspace: Workspace,
    ) -> None:
        squares = [
            {name: np.square(views[name]) for name in views if name in ("weights", "triangle")} for views in theta
        ]
        self._layers = list(zip(layers, theta, squares, strict=True))
        self._widest = max(layer.n_units for layer in layers)
        self._slices = [slice(*pair) for pair in pairwise(accumulate(sizes, initial=0))]
        self._arrange = arrange
        self._workspace = workspace
        self._dtype = theta[0]["intercept"].dtype

    def log_prob(self, x: NDArray, units: NDArray) -> NDArray:
        """Return the log-probability of the hidden units ``(B, K, N)`` of the rows ``x (B, D)``, in nats."""
        log_prob = np.zeros(units.shape[:-1], units.dtype)
        for some in self._cached_rows(units):
            links = self._links(x[some, np.newaxis], units[some])
            for (layer, theta, _), (parent, target) in zip(self._layers, links, strict=True):
                natural = self._natural(layer, theta, parent, target)
                log_prob[some] += layer.family.unnormalized_log_prob(theta, natural, target, self._workspace)
                log_prob[some] -= layer.family.log_normalizer(theta, natural, None, self._workspace)
        return log_prob

    def expand(self, x: NDArray, units: NDArray) -> Expansion:
        """Return the same, and the log-odds of each unit."""
        whole = Expansion(np.zeros(units.shape[:-1], units.dtype), np.zeros_like(units))
        for some in self._cached_rows(units):
            self._expand(x[some], units[some], Expansion(*(array[some] for array in whole)))
        return whole

    def _expand(self, x: NDArray, units: NDArray, out: Expansion) -> None:
        """Add the expansion of some rows to `out`."""
        log_prob, log_odds = out
        links = zip(self._links(x[:, np.newaxis], units), self._links(None, log_odds), strict=True)
        for (layer, theta, squares), ((parent, target), (above, own)) in zip(self._layers, links, strict=True):
            natural = self._natural(layer, theta, parent, target)
            mean = self._scratch("mean", natural.shape)
            log_prob += layer.family.unnormalized_log_prob(theta, natural, target, self._workspace)
            log_prob -= layer.family.log_normalizer(theta, natural, mean, self._workspace)
            residual = self._scratch("residual", np.broadcast_shapes(natural.shape, target.shape))
            layer.family.residual(theta, mean, target, residual)
            curvature = layer.family.curvature(theta, mean)
            if above is not None:
                above += _log_odds(residual, curvature, theta["weights"], squares["weights"], parent)
            if own is not None:
                own += natural  # of a binary unit, these are its log-odds given its parents
            if own is not None and layer.autoregressive:
                own += _log_odds(residual, curvature, theta["triangle"], squares["triangle"], target)

    def _cached_rows(self, units: NDArray) -> Iterator[slice]:
        """Yield parts of the rows, all of whose particles' units are `CACHED` numbers, or one row."""
        n_rows = max(1, CACHED // (units.shape[1] * self._widest))
        return (slice(start, start + n_rows) for start in range(0, len(units), n_rows))

    def _links(self, x: NDArray | None, units: NDArray) -> Iterator[tuple[Any, Any]]:
        """Return the parents and the units of each layer, None where there are none."""
        return pairwise(self._arrange(x, [units[..., own] for own in self._slices]))

    def _natural(self, layer: Layer, theta: Views, parent: NDArray | None, target: NDArray) -> NDArray:
        """Return the natural parameters of a layer given its parents and, where it is autoregressive, its own units."""
        if parent is None:
            natural = theta["intercept"]
        else:
            natural = self._scratch("natural", (*parent.shape[:-1], layer.n_units))
            LOOPS.multiply(parent, theta["weights"], out=natural)
            natural += theta["intercept"]
        if not layer.autoregressive:
            return natural
        lateral = LOOPS.multiply(target, theta["triangle"], out=self._scratch("lateral", target.shape))
        shape = np.broadcast_shapes(natural.shape, lateral.shape)
        return np.add(natural, lateral, out=self._scratch("sum", shape))

    def _scratch(self, role: str, shape: tuple[int, ...]) -> NDArray:
        return self._workspace.array(("chain", role), shape, self._dtype)


def _log_odds(residual: NDArray, curvature: NDArray, weights: NDArray, squares: NDArray, seen: NDArray) -> NDArray:
    """Return by how much the log-probability of a layer would rise if units it sees were active instead of silent.

    To second order around the state they are in: to the first, every unit that explains its targets well would seem to
    make no difference.
    """
    return residual @ weights.T + (seen - 0.5) * (curvature @ squares.T)
