"""Columns whose values fall into a finite number of cells."""

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from skwakesleep._engine.arrays.numerics import inner
from skwakesleep._engine.arrays.numpy_backend import NumpyBackend, matrix_rows
from skwakesleep._engine.arrays.random import Noise
from skwakesleep._engine.machine.families.protocol import Group
from skwakesleep._engine.machine.predictions import CellPrediction
from skwakesleep._engine.training.layout import Shapes, Views


class Grid(NamedTuple):
    """The cells of columns, in arrays that are padded to the same number of cells and of features.

    ``probabilities (C, G)`` are those of the cells in the data, zero for padding. ``features (C, G, R)`` are functions
    of the cell whose means are zero; a column has as many units as features that are not zero everywhere.
    """

    probabilities: NDArray
    features: NDArray

    @property
    def widths(self) -> NDArray:
        """Number of units of each column."""
        return (self.features != 0).any(axis=1).sum(axis=1)

    @property
    def n_cells(self) -> NDArray:
        """Number of cells of each column."""
        return (self.probabilities > 0).sum(axis=1)


class Cells:
    """Columns with a finite number of cells; the units of a column are features of its cell.

    An exponential family around the distribution of the data: ``p(cell) = p_data(cell) exp(natural @ features(cell) -
    log_normalizer)``. Log-probabilities leave `p_data` out, which belongs to the codec: they are zero where the natural
    parameters are.

    Parameters
    ----------
    grid : Grid
        The cells and their features.
    """

    is_binary = False
    uses_natural = False
    natural_unit = "log-odds"
    neutral = 0.0

    def __init__(self, grid: Grid) -> None:
        used = (grid.features != 0).any(axis=1)
        self._grid = grid = Grid(grid.probabilities, grid.features[..., used.any(axis=0)])
        self._n_columns, _, n_features = grid.features.shape
        column, feature = np.nonzero(used[:, used.any(axis=0)])
        self._used = column * n_features + feature
        # Padded features read any unit: they are zero.
        self._unit = np.zeros((self._n_columns, n_features), np.intp)
        self._unit[column, feature] = np.arange(len(column))
        self._last_cell = grid.n_cells[:, np.newaxis] - 1
        with np.errstate(divide="ignore"):  # of padding
            self._log_probabilities = np.log(grid.probabilities)[..., np.newaxis]
        self._by_dtype: dict[np.dtype, tuple[NDArray, NDArray]] = {}

    @classmethod
    def of_codec(cls, codec: Any) -> Self:
        return cls(codec.grid)

    def shapes(self, n_units: int) -> Shapes:
        return {}

    def initial(self, means: NDArray) -> Views:
        return {"intercept": np.zeros(len(means))}

    def mean(self, natural: NDArray, out: NDArray, backend: NumpyBackend) -> NDArray:
        weights, total, _ = self._weights(natural)
        return self._expected(weights, total, out)

    def sample(self, params: Views, natural: NDArray, noise: Noise, out: NDArray, backend: NumpyBackend) -> NDArray:
        natural = np.broadcast_to(natural, out.shape)
        return self.decide(natural, self.thresholds(params, noise, out.shape, out.dtype), out)

    def thresholds(self, params: Views, noise: Noise, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray:
        return noise.uniform((*shape[:-1], self._n_columns), dtype).copy()

    def decide(self, natural: NDArray, thresholds: NDArray, out: NDArray) -> NDArray:
        weights, _, _ = self._weights(natural)
        cumulative = np.cumsum(weights, axis=1, out=weights)
        level = matrix_rows(thresholds).T[:, np.newaxis] * cumulative[:, -1:]
        cells = np.minimum((cumulative <= level).sum(axis=1), self._last_cell)
        features, _ = self._cast(out.dtype)
        chosen = features[np.arange(self._n_columns)[:, np.newaxis], cells]  # (C, M, R)
        return self._as_units(chosen.swapaxes(1, 2), out)

    def groups(self, n_units: int) -> list[Group]:
        stops = np.cumsum(self._grid.widths).tolist()
        columns = (Cells(Grid(*(part[[column]] for part in self._grid))) for column in range(self._n_columns))
        return [Group(*group) for group in zip(columns, [0, *stops[:-1]], stops, strict=True)]

    def unnormalized_log_prob(self, params: Views, natural: NDArray, target: NDArray, backend: NumpyBackend) -> NDArray:
        return inner(target, natural)

    def log_normalizer(
        self,
        params: Views,
        natural: NDArray,
        mean: NDArray | None,
        backend: NumpyBackend,
        missing: NDArray | None = None,
    ) -> NDArray | float:
        weights, total, peak = self._weights(natural)
        log_normalizer = (np.log(total) + peak).sum(axis=0).reshape(natural.shape[:-1])
        if mean is not None:
            self._expected(weights, total, mean)
        return log_normalizer

    def residual(self, params: Views, mean: NDArray, target: NDArray, out: NDArray) -> NDArray:
        return np.subtract(target, mean, out=out)

    def curvature(self, params: Views, mean: NDArray) -> NDArray:
        # The variance of the features in the data. The exact one would need the natural parameters.
        squares = np.einsum("cg,cgr->cr", self._grid.probabilities, np.square(self._grid.features))
        return np.broadcast_to(squares.ravel()[self._used].astype(mean.dtype), mean.shape)

    def gradient(
        self,
        params: Views,
        natural: NDArray | None,
        target: NDArray,
        residual: NDArray,
        weights: NDArray,
        grad: Views,
        missing: NDArray | None = None,
    ) -> None:
        pass  # no parameters of its own

    def intercept_pull(self, intercept: NDArray) -> None:
        return None

    def damping(self, params: Views) -> NDArray | None:
        return None

    def predict(self, codec: Any, params: Views, weights: NDArray, natural: NDArray) -> CellPrediction:
        unnormalized, total, _ = self._weights(natural)
        cells = (unnormalized / total[:, np.newaxis]).reshape(self._n_columns, -1, *natural.shape[:2])  # (C, G, B, K)
        mixed = np.vecdot(cells, weights)  # (C, G, B)
        return CellPrediction(codec, np.moveaxis(mixed, -1, 0))

    # Cells come before rows of data: sums over few cells are then sums of long vectors.
    def _weights(self, natural: NDArray) -> tuple[NDArray, NDArray, NDArray]:
        """Return the unnormalized probabilities of the cells ``(C, G, M)``, their sums and the logs of their unit."""
        features, log_probabilities = self._cast(natural.dtype)
        by_column = matrix_rows(natural).T[self._unit]  # (C, R, M)
        weights = np.matmul(features, by_column)
        weights += log_probabilities
        peak = weights.max(axis=1)
        weights -= peak[:, np.newaxis]
        np.exp(weights, out=weights)
        return weights, weights.sum(axis=1), peak

    def _expected(self, weights: NDArray, total: NDArray, out: NDArray) -> NDArray:
        """Write the expected units into `out`."""
        features, _ = self._cast(out.dtype)
        return self._as_units(np.matmul(features.swapaxes(1, 2), weights) / total[:, np.newaxis], out)

    def _as_units(self, features: NDArray, out: NDArray) -> NDArray:
        """Write features ``(C, R, M)`` into the units of their columns."""
        units = features.reshape(-1, features.shape[-1])[self._used]
        out[...] = units.T.reshape(out.shape)
        return out

    def _cast(self, dtype: np.dtype) -> tuple[NDArray, NDArray]:
        """Return the features and the log-probabilities of the cells in a dtype."""
        if dtype not in self._by_dtype:
            self._by_dtype[dtype] = self._grid.features.astype(dtype), self._log_probabilities.astype(dtype)
        return self._by_dtype[dtype]
