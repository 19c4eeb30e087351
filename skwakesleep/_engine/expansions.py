"""A chain of layers as a function of the hidden units, expanded to second order around a state of them."""

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.layers import Layer
from skwakesleep._engine.networks import BeliefNetwork
from skwakesleep._engine.parameters import Views
from skwakesleep._engine.workspace import Workspace

# From a row and the hidden layers, bottom up, to the root of a chain and the states of its layers. A prior has no root.
Arrangement = Callable[[NDArray | None, list[NDArray]], list[Any]]


class Expansion(NamedTuple):
    """What a chain of layers makes of a state of the hidden units.

    ``log_prob (K, B)`` is in nats. ``log_odds (K, B, N)`` are about the log-odds that each hidden unit would be active
    if all others stayed as they are.
    """

    log_prob: NDArray
    log_odds: NDArray


class Chain:
    """Log-probability of a chain of layers, given a row, as a function of all hidden units.

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
        self._network = BeliefNetwork(layers)
        self._theta = list(theta)
        self._squares: list[Views] = [
            {name: np.square(views[name]) for name in ("weights", "triangle") if name in views} for views in theta
        ]
        self._slices = [slice(*pair) for pair in pairwise(accumulate(sizes, initial=0))]
        self._arrange = arrange
        self._workspace = workspace

    def log_prob(self, x: NDArray, units: NDArray) -> NDArray:
        """Return the log-probability of the hidden units ``(K, B, N)`` of the rows ``x (B, D)``, in nats."""
        root, *states = self._arrange(x, self._layers_of(units))
        return self._network.log_prob(self._theta, root, states, self._workspace)

    def expand(self, x: NDArray, units: NDArray) -> Expansion:
        """Return the same, and the log-odds of each unit."""
        log_odds = np.zeros_like(units)
        states = self._arrange(x, self._layers_of(units))
        odds = self._arrange(None, self._layers_of(log_odds))
        log_prob = np.zeros(units.shape[:-1], units.dtype)
        for layer, theta, squares, (parent, target), (above, own) in zip(
            self._network.layers, self._theta, self._squares, pairwise(states), pairwise(odds), strict=True
        ):
            log_prob += self._expand_layer(layer, theta, squares, parent, target, above, own)
        return Expansion(log_prob, log_odds)

    def _expand_layer(
        self,
        layer: Layer,
        theta: Views,
        squares: Views,
        parent: NDArray | None,
        target: NDArray,
        above: NDArray | None,
        own: NDArray | None,
    ) -> NDArray:
        """Return the log-probability of a layer, and add to the log-odds of its parents and its units if hidden."""
        natural = layer.natural(theta, parent, self._workspace)
        if layer.autoregressive:
            natural = natural + target @ theta["triangle"]
        mean = layer.family.mean(natural, np.empty_like(natural))
        residual = np.empty(np.broadcast_shapes(natural.shape, target.shape), natural.dtype)
        layer.family.residual(theta, mean, target, residual)
        curvature = layer.family.curvature(theta, mean)
        if above is not None and parent is not None:
            above += _log_odds(residual, curvature, theta["weights"], squares["weights"], parent)
        if own is not None:
            own += natural  # of a binary unit, these are its log-odds given its parents
        if own is not None and layer.autoregressive:
            own += _log_odds(residual, curvature, theta["triangle"], squares["triangle"], target)
        return layer.family.log_prob(theta, natural, mean, target, self._workspace)

    def _layers_of(self, units: NDArray) -> list[NDArray]:
        return [units[..., units_of_layer] for units_of_layer in self._slices]


def _log_odds(residual: NDArray, curvature: NDArray, weights: NDArray, squares: NDArray, seen: NDArray) -> NDArray:
    """Return by how much the log-probability of a layer would rise if units it sees were active instead of silent.

    To second order around the state they are in: to the first, every unit that explains its targets well would seem to
    make no difference.
    """
    return residual @ weights.T + (seen - 0.5) * (curvature @ squares.T)
