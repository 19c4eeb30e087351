"""Columns whose values fall into cells: categories, ordered levels, counts, and real values in intervals."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import ndtri

from skwakesleep._engine.arrays.random import Noise
from skwakesleep._engine.machine.codecs import AffineMap, Examples, States
from skwakesleep._engine.machine.families import Domain, Grid
from skwakesleep._engine.machine.holes import observed_values
from skwakesleep._engine.machine.moments import ROUNDING_ULPS

# Added to the number of rows in each cell (Jeffreys' prior), so that no cell is impossible.
PSEUDO_COUNT = 0.5
# Degree of the polynomials by which a machine changes the distribution of an ordered column. With 2 to 4, held-out
# scores of six tables differed by less than .1 nats; with 6 and more, small tables overfit.
DEGREE = 3
# Largest number of intervals of a column, and smallest number of rows in one.
MAX_INTERVALS, MIN_ROWS = 32, 10
# A value with at least this multiple of the rows of an interval has an interval of its own, as wide as the resolution
# of the column: zeros among positive amounts, say.
COMMON = 3
# Samples have as many decimals as the data, up to this number.
MAX_DECIMALS = 9
# Distance from the data, in half ranges, at which the log-density ends to fall: it stays finite in single precision.
LARGEST_DISTANCE = 1e9


class CellCodec:
    """What all columns with cells have in common.

    Units are features of the cells, with mean zero. The probability of a value is that of its cell in the data, times
    the density within the cell, times the factor by which the machine changes the probability of the cell.

    Parameters
    ----------
    probabilities : ndarray of shape (n_columns, n_cells)
        Share of the rows in each cell; zero for cells that a column does not have.
    features : ndarray of shape (n_columns, n_cells, n_features)
        Features of the cells; zero for features that a column does not have.
    """

    is_density = False
    has_base = True
    keeps_zeros = False
    follows_rows = False
    largest_input = np.inf

    def __init__(self, probabilities: NDArray, features: NDArray) -> None:
        self.probabilities = probabilities
        self.grid = Grid(probabilities, features)
        self.n_states = probabilities.shape[1]
        self.widths = self.grid.widths
        self.n_units = int(self.widths.sum())
        self.means = np.zeros(self.n_units)
        self.n_active = float(np.einsum("cg,cgr->", probabilities, np.square(features)))
        self.log_volume = np.zeros(len(probabilities))
        self.n_extreme = np.zeros(len(probabilities), int)
        self._column = np.arange(len(probabilities))
        self._used = (features != 0).any(axis=1).ravel()
        with np.errstate(divide="ignore"):  # of cells that a column does not have
            self._log_probabilities = np.log(probabilities)

    def cells(self, columns: NDArray) -> NDArray:
        """Return the cell of each value; any cell for a missing one."""
        raise NotImplementedError

    def log_density(self, columns: NDArray, cells: NDArray) -> NDArray | float:
        """Return the log-probability or log-density of each value given its cell."""
        raise NotImplementedError

    def values(self, cells: NDArray, noise: Noise | None) -> NDArray:
        """Return a value in each cell: drawn, or without noise the middle."""
        raise NotImplementedError

    def inside(self, cells: NDArray) -> NDArray:
        """Return a number that falls into each cell, not always one that a value can have."""
        raise NotImplementedError

    def best(self, probabilities: NDArray) -> NDArray:
        """Return the best guess ``(B, C)`` given the probabilities of the cells ``(B, C, G)``."""
        raise NotImplementedError

    def quantile(self, probabilities: NDArray, level: float) -> NDArray:
        """Return the quantile of each column, ``(B, C)``."""
        raise NotImplementedError

    def log_base(self, columns: NDArray) -> NDArray:
        """Return the log-probability of the values of each row in the data, ``(B,)``, in nats."""
        cells = self.cells(columns)
        log_prob = self._log_probabilities[self._column, cells] + self.log_density(columns, cells)
        return np.where(np.isnan(columns), 0, log_prob).sum(axis=1)

    def encode(self, columns: NDArray, out: NDArray) -> None:
        """Write the features of the cells into `out`."""
        features = self.grid.features[self._column, self.cells(columns)]
        out[...] = features.reshape(len(columns), self._used.size)[:, self._used]

    def decode(self, units: NDArray, noise: Noise | None) -> NDArray:
        """Return values in the cells whose features are nearest to the units."""
        return self.values(self.nearest(units), noise)

    def nearest(self, units: NDArray) -> NDArray:
        """Return the cells whose features are nearest to the units."""
        n_columns, _, n_features = self.grid.features.shape
        padded = np.zeros((*units.shape[:-1], self._used.size))
        padded[..., self._used] = units
        by_column = padded.reshape(*units.shape[:-1], n_columns, 1, n_features)
        distances = np.square(by_column - self.grid.features).sum(axis=-1)
        distances[..., self.probabilities == 0] = np.inf
        return distances.argmin(axis=-1)

    def states(self, column: int) -> States:
        """Return the cells of a column."""
        present = self.probabilities[column] > 0
        used = self._used.reshape(len(self.probabilities), -1)[column]
        return States(self.grid.features[column][present][:, used], self._log_probabilities[column, present])

    def examples(self, column: int) -> Examples:
        """Return a value in each cell of a column."""
        cells = np.arange(self.grid.n_cells[column])
        every = np.repeat(cells[:, np.newaxis], len(self.probabilities), axis=1)
        every = np.minimum(every, self.grid.n_cells - 1)
        values = self.inside(every)
        log_density = np.broadcast_to(self.log_density(values, every), values.shape)
        return Examples(values[:, column], log_density[:, column])

    def merged(self, other: "CellCodec") -> "CellCodec":
        """Return this codec: the cells of the first rows serve all."""
        return self

    def renewed(self, other: "CellCodec") -> "CellCodec":
        """Return this codec, likewise."""
        return self

    def map_to(self, other: "CellCodec") -> AffineMap:
        """Return the identity."""
        return AffineMap(np.ones(self.n_units), np.zeros(self.n_units))

    def is_unseen(self, other: "CellCodec") -> NDArray:
        """Return false for each unit."""
        return np.zeros(self.n_units, bool)

    def check(self, n_columns: int) -> None:
        """Raise ValueError unless the codec is of this number of columns."""
        if len(self.probabilities) != n_columns:
            raise ValueError(f"a block of columns is not of {n_columns} columns")


class Categories(CellCodec):
    """Categories without order, by number. Units are indicators minus the share of the category in the data."""

    domain = Domain(0.0, np.inf)

    def __init__(self, probabilities: NDArray) -> None:
        present = probabilities > 0
        indicators = np.eye(probabilities.shape[1]) - probabilities[:, np.newaxis]
        super().__init__(probabilities, indicators * present[:, np.newaxis] * present[..., np.newaxis])

    @classmethod
    def of_table(cls, table: NDArray | sparse.csr_array) -> "Categories":
        """Return the codec for the columns of a table, whose missing values are NaN."""
        return cls(category_shares(table))

    def cells(self, columns: NDArray) -> NDArray:
        """Return the numbers of the categories."""
        return np.nan_to_num(columns).astype(np.intp)

    def log_density(self, columns: NDArray, cells: NDArray) -> float:
        """Return zero: a category is its cell."""
        return 0.0

    def values(self, cells: NDArray, noise: Noise | None) -> NDArray:
        """Return the numbers of the categories."""
        return cells

    def inside(self, cells: NDArray) -> NDArray:
        """Return the numbers of the categories."""
        return cells.astype(np.float64)

    def best(self, probabilities: NDArray) -> NDArray:
        """Return the most probable category."""
        return probabilities.argmax(axis=-1)

    def quantile(self, probabilities: NDArray, level: float) -> NDArray:
        """Return the first category up to which the probabilities add up to the level."""
        return cell_of_level(np.cumsum(probabilities, axis=-1), level)


class Levels(Categories):
    """Ordered categories, by number. Units are polynomials of their normal scores.

    Parameters
    ----------
    probabilities : ndarray of shape (n_columns, n_cells)
        Share of the rows in each category.
    degree : int
        Degree of the polynomials.
    """

    def __init__(self, probabilities: NDArray, degree: int) -> None:
        self.degree = degree
        CellCodec.__init__(self, probabilities, polynomials(probabilities, degree))

    @classmethod
    def of_table(cls, table: NDArray | sparse.csr_array) -> "Levels":
        """Return the codec for the columns of a table, whose missing values are NaN."""
        return cls(category_shares(table), DEGREE)


class Intervals(CellCodec):
    """Real values, in intervals with about equally many rows. Units are polynomials of normal scores.

    The density within an interval is constant. Beyond the values in the data it falls off exponentially. Samples are
    between the smallest and the largest value of their interval, with as many decimals as the data.

    Parameters
    ----------
    probabilities : ndarray of shape (n_columns, n_intervals)
        Share of the rows in each interval.
    degree : int
        Degree of the polynomials.
    edges : ndarray of shape (n_columns, n_intervals + 1)
        Bounds of the intervals; infinite for those that a column does not have.
    extents : ndarray of shape (2, n_columns, n_intervals)
        The smallest and the largest value in each interval.
    centers : ndarray of shape (n_columns, n_intervals)
        Means of the values in each interval.
    decimals : ndarray of shape (n_columns,)
        Number of decimals of the values; -1 for more than `MAX_DECIMALS`.
    tail : ndarray of shape (n_columns,)
        Probability, given the first or the last interval, of values beyond the data.
    """

    domain = Domain(-np.inf, np.inf)
    is_density = True
    is_whole = False

    def __init__(
        self,
        probabilities: NDArray,
        degree: int,
        edges: NDArray,
        extents: NDArray,
        centers: NDArray,
        decimals: NDArray,
        tail: NDArray,
    ) -> None:
        self.degree = degree
        super().__init__(probabilities, polynomials(probabilities, degree))
        self.edges = edges
        self.extents = extents
        self.centers = centers
        self.decimals = decimals
        self.tail = tail
        self._last_cell = self.grid.n_cells - 1
        self._lowest, self._highest = edges[:, 0], edges[self._column, self._last_cell + 1]

    @classmethod
    def of_table(cls, table: NDArray | sparse.csr_array) -> "Intervals":
        """Return the codec for the columns of a table, whose missing values are NaN.

        Raises
        ------
        OverflowError
            If the values of a column are too far apart for float64; the argument is the number of the column.
        """
        present = [_finite(observed_values(table, column), column) for column in range(table.shape[1])]
        parts = [intervals(values, is_whole=cls.is_whole) for values in present]
        counts, centers, smallest, largest = np.zeros((4, len(parts), max(map(len, parts))))
        edges = np.full((len(parts), counts.shape[1] + 1), np.inf)
        for column, own in enumerate(parts):
            n = len(own)
            lows, highs, n_values, smallest[column, :n], largest[column, :n], centers[column, :n] = zip(
                *own, strict=True
            )
            edges[column, : n + 1] = [*lows, highs[-1]]
            counts[column, :n] = np.add(n_values, PSEUDO_COUNT)
        shares = counts / counts.sum(axis=1, keepdims=True)
        decimals = np.array([_n_decimals(values) for values in present])
        tail = np.array([1 / (max(len(values), 1) + 2) for values in present])
        return cls(shares, DEGREE, edges, np.stack([smallest, largest]), centers, decimals, tail)

    def cells(self, columns: NDArray) -> NDArray:
        """Return the interval of each value, or the nearest one."""
        cells = (np.nan_to_num(columns)[..., np.newaxis] > self.edges[:, 1:-1]).sum(axis=-1)
        return np.minimum(cells, self._last_cell)

    def log_density(self, columns: NDArray, cells: NDArray) -> NDArray:
        """Return the log-density of each value given its interval."""
        width = self.edges[self._column, cells + 1] - self.edges[self._column, cells]
        n_tails = np.add((cells == 0) & self._has_lower_tail, cells == self._last_cell, dtype=int)
        scale = (self._highest - self._lowest) / 2
        with np.errstate(over="ignore"):
            largest = LARGEST_DISTANCE * scale
            below, above = (
                np.clip(beyond, -largest, largest) for beyond in (self._lowest - columns, columns - self._highest)
            )
        inside = np.log1p(-n_tails * self.tail) - np.log(width)
        return np.where(
            below > 0, self._log_below(below, scale), np.where(above > 0, self._log_above(above, scale), inside)
        )

    @property
    def _has_lower_tail(self) -> NDArray | bool:
        return True

    def _log_below(self, distance: NDArray, scale: NDArray) -> NDArray:
        """Return the log-density at a distance below the first interval."""
        return np.log(self.tail) - np.log(scale) - distance / scale

    def _log_above(self, distance: NDArray, scale: NDArray) -> NDArray:
        """Return the log-density at a distance above the last interval."""
        return np.log(self.tail) - np.log(scale) - distance / scale

    def values(self, cells: NDArray, noise: Noise | None) -> NDArray:
        """Return a value in each interval: drawn, or without noise the middle."""
        return self._at(cells, 0.5 if noise is None else noise.uniform(cells.shape, np.float64))

    def _at(self, cells: NDArray, places: NDArray | float) -> NDArray:
        """Return the values of samples at places in [0, 1] of their intervals."""
        low, high = self.extents[:, self._column, cells]
        values = low + places * (high - low)
        factor = 10.0 ** np.maximum(self.decimals, 0)
        return np.where(self.decimals < 0, values, np.rint(values * factor) / factor)

    def inside(self, cells: NDArray) -> NDArray:
        """Return the middle between the bounds, which unlike that of the values is not rounded."""
        return (self.edges[self._column, cells] + self.edges[self._column, cells + 1]) / 2

    def best(self, probabilities: NDArray) -> NDArray:
        """Return the mean."""
        return (probabilities * self.centers).sum(axis=-1)

    def quantile(self, probabilities: NDArray, level: float) -> NDArray:
        """Return the quantile of samples."""
        cumulative = np.cumsum(probabilities, axis=-1)
        cells = cell_of_level(cumulative, level)
        above, own = (
            np.take_along_axis(part, cells[..., np.newaxis], axis=-1)[..., 0] for part in (cumulative, probabilities)
        )
        return self._at(cells, 1 - np.clip((above - level) / own, 0, 1))


class Counts(Intervals):
    """Whole numbers from zero on, in intervals with about equally many rows."""

    domain = Domain(0.0, np.inf)
    is_density = False
    is_whole = True

    @property
    def _has_lower_tail(self) -> NDArray:
        return self._lowest > 0

    def _log_below(self, distance: NDArray, scale: NDArray) -> NDArray:
        with np.errstate(divide="ignore"):  # no whole number is below the first interval
            return np.broadcast_to(np.log(self.tail) - np.log(np.maximum(self._lowest + 0.5, 0)), distance.shape)

    def _log_above(self, distance: NDArray, scale: NDArray) -> NDArray:
        # Geometric, with the same scale.
        return np.log(self.tail) + np.log(-np.expm1(-1 / scale)) - (distance - 0.5) / scale

    def _at(self, cells: NDArray, places: NDArray | float) -> NDArray:
        low, high = self.extents[:, self._column, cells]
        return np.minimum(np.floor(low + places * (high - low + 1)), high)


def cell_of_level(cumulative: NDArray, level: float) -> NDArray:
    """Return the first cell whose cumulative probability reaches a level of the total."""
    return (cumulative < level * cumulative[..., -1:]).sum(axis=-1)


def category_shares(table: NDArray | sparse.csr_array) -> NDArray:
    """Return the share of each category in each column, ``(n_columns, n_categories)``, with pseudo-counts."""
    observed = [observed_values(table, column).astype(np.intp) for column in range(table.shape[1])]
    n_rows_by_number = [np.bincount(numbers, minlength=1) for numbers in observed]
    counts = np.zeros((table.shape[1], max(map(len, n_rows_by_number))))
    for own, n_rows in zip(counts, n_rows_by_number, strict=True):
        own[: len(n_rows)] = n_rows + PSEUDO_COUNT
    return counts / counts.sum(axis=1, keepdims=True)


class Interval(NamedTuple):
    """An interval with its bounds, and the number, the smallest, the largest and the mean of the values in it."""

    low: float
    high: float
    n_values: float
    smallest: float
    largest: float
    mean: float


def intervals(values: NDArray, *, is_whole: bool) -> list[Interval]:
    """Return intervals with about equally many values each, in order.

    Bounds are halfway between neighboring values. A common value has an interval of its own, as wide as the resolution
    of the column, which is the median gap between neighboring values; between two of them is an empty interval.
    """
    if not len(values):
        return [Interval(-0.5, 0.5, 1, 0, 0, 0)]
    distinct, counts = _distinct(values)
    rounding = ROUNDING_ULPS * np.spacing(np.abs(distinct).max())
    half = np.maximum(0.5, rounding)
    if len(distinct) > 1 and not is_whole:
        half = np.median(np.diff(distinct)) / 2
    share = max(len(values) / MAX_INTERVALS, MIN_ROWS)
    starts = _starts(counts, share)
    parts = list(zip(np.split(distinct, starts[1:]), np.split(counts, starts[1:]), strict=True))
    is_common = [len(own) == 1 and n.sum() >= COMMON * share for own, n in parts]
    found, low = [], distinct[0] - half
    for number, (own, n) in enumerate(parts):
        high = start = own[-1] + half
        if number + 1 < len(parts):
            middle = own[-1] + (parts[number + 1][0][0] - own[-1]) / 2
            middle = np.floor(middle) + 0.5 if is_whole else middle
            high = min(middle, own[-1] + half) if is_common[number] else middle
            start = max(middle, parts[number + 1][0][0] - half) if is_common[number + 1] else high
            high = high if is_common[number] else start
        mean = (own * (n / n.sum())).sum()
        found.append(Interval(low, high, n.sum(), own[0], own[-1], mean))
        if start - high > rounding:
            inside = 0.5 if is_whole else 0.0
            found.append(Interval(high, start, 0, high + inside, start - inside, high + (start - high) / 2))
        low = start
    return found


def _n_decimals(values: NDArray) -> int:
    """Return the number of decimals of values; -1 if there are more than `MAX_DECIMALS`."""
    exact = (n for n in range(MAX_DECIMALS + 1) if np.array_equal(np.round(values, n), values))
    return next(exact, -1)


def _finite(values: NDArray, column: int) -> NDArray:
    """Return values whose distances are finite; raise OverflowError with the number of the column otherwise."""
    if len(values) and not np.isfinite(float(values.max()) - float(values.min())):
        raise OverflowError(column)
    return values


def _distinct(values: NDArray) -> tuple[NDArray, NDArray]:
    """Return the values that differ by more than rounding errors, and their numbers."""
    distinct, counts = np.unique(values.astype(np.float64), return_counts=True)
    ulps = np.spacing(np.abs(distinct).astype(values.dtype)).astype(np.float64)
    first = np.flatnonzero(np.diff(distinct, prepend=-np.inf) > ROUNDING_ULPS * ulps)
    return distinct[first], np.add.reduceat(counts, first)


def _starts(counts: NDArray, share: float) -> NDArray:
    """Return the first of each group of neighboring values that together have the share of the rows of an interval."""
    starts, total = [0], 0
    for number, count in enumerate(counts):
        if total and (count >= share or total >= share):
            starts.append(number)
            total = 0
        total += count
    return np.array(starts)


def polynomials(probabilities: NDArray, degree: int) -> NDArray:
    """Return polynomials of the normal scores of cells, ``(n_columns, n_cells, degree)``, orthonormal in the data."""
    n_columns, n_cells = probabilities.shape
    features = np.zeros((n_columns, n_cells, min(degree, n_cells - 1)))
    for own, shares in zip(features, probabilities, strict=True):
        shares = shares[shares > 0]
        own_degree = min(degree, len(shares) - 1)
        scores = ndtri(np.cumsum(shares) - shares / 2)
        root = np.sqrt(shares)[:, np.newaxis]
        q, r = np.linalg.qr(root * np.vander(scores, own_degree + 1, increasing=True))
        own[: len(shares), :own_degree] = (q * np.sign(np.diag(r)) / root)[:, 1:]
    return features
