"""Distributions of single columns: what the posterior says of a column that is missing."""

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

# Bisections for the quantiles of a mixture: to within 2^-40 of the distance between its components.
N_BISECTIONS = 40


class Prediction(Protocol):
    """The distribution of some columns of each row."""

    def best(self) -> NDArray:
        """Return the best guess ``(B, C)``: the most probable category, or the mean of a number."""

    def quantile(self, level: float) -> NDArray:
        """Return the quantile of each column, ``(B, C)``."""


class CellPrediction(NamedTuple):
    """Columns with cells, whose probabilities are ``(B, C, G)``."""

    codec: Any
    probabilities: NDArray

    def best(self) -> NDArray:
        """Return the most probable category, or the mean of a number."""
        return self.codec.best(self.probabilities)

    def quantile(self, level: float) -> NDArray:
        """Return the quantile of each column."""
        return self.codec.quantile(self.probabilities, level)


class DrawsPrediction(NamedTuple):
    """Real columns of which there are draws ``values (B, K, C)`` with `weights` ``(B, K)``."""

    weights: NDArray
    values: NDArray

    def best(self) -> NDArray:
        """Return the mean of each column."""
        return np.matmul(self.weights[:, np.newaxis], self.values)[:, 0]

    def quantile(self, level: float) -> NDArray:
        """Return the quantile of each column."""
        order = self.values.argsort(axis=1)
        weights = np.broadcast_to(self.weights[..., np.newaxis], self.values.shape)
        cumulative = np.cumsum(np.take_along_axis(weights, order, axis=1), axis=1)
        first = (cumulative < level).sum(axis=1, keepdims=True).clip(max=self.values.shape[1] - 1)
        return np.take_along_axis(self.values, np.take_along_axis(order, first, axis=1), axis=1)[:, 0]


def of_draws(codec: Any, weights: NDArray, units: NDArray) -> Prediction:
    """Return the distribution of columns of which there are draws ``units (B, K, N)`` with weights ``(B, K)``."""
    states = codec.nearest(units)
    if states is None:
        return DrawsPrediction(weights, codec.decode(units.copy(), None))
    n_rows, _, n_columns = states.shape
    probabilities = np.zeros((n_rows, n_columns, codec.n_states))
    row, column = np.arange(n_rows)[:, np.newaxis, np.newaxis], np.arange(n_columns)
    np.add.at(probabilities, (row, column, states), weights[..., np.newaxis])
    return CellPrediction(codec, probabilities)


class NormalPrediction(NamedTuple):
    """Real columns: mixtures with `weights` ``(B, K)`` of normal distributions with `means` ``(B, K, C)``."""

    codec: Any
    weights: NDArray
    means: NDArray
    deviations: NDArray

    def best(self) -> NDArray:
        """Return the mean of each column."""
        return self.codec.decode(np.matmul(self.weights[:, np.newaxis], self.means)[:, 0], None)

    def quantile(self, level: float) -> NDArray:
        """Return the quantile of each column, by bisection between the quantiles of the components."""
        ends = self.means + ndtri(level) * self.deviations
        low, high = ends.min(axis=1), ends.max(axis=1)
        for _ in range(N_BISECTIONS):
            middle = (low + high) / 2
            below = ndtr((middle[:, np.newaxis] - self.means) / self.deviations)
            too_low = np.matmul(self.weights[:, np.newaxis], below)[:, 0] < level
            low, high = np.where(too_low, middle, low), np.where(too_low, high, middle)
        return self.codec.decode(high, None)
