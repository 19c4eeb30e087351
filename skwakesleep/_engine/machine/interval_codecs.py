"""Columns of numbers, whose values fall into intervals: counts and real values."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skwakesleep._engine.arrays.random import Noise
from skwakesleep._engine.machine.cell_codecs import DEGREE, PSEUDO_COUNT, CellCodec, cell_of_level, polynomials
from skwakesleep._engine.machine.families import Domain
from skwakesleep._engine.machine.holes import observed_values
from skwakesleep._engine.machine.moments import ROUNDING_ULPS

# Largest number of intervals of a column, and smallest number of rows in one. With 5 rows, breast_cancer (400 rows)
# loses .03 nats per column; with 32 intervals, wines (4500 rows), whose values are rounded, lose .2.
MAX_INTERVALS, MIN_ROWS = 512, 10
# Largest number of cells of an ordered column: their number determines the time of a step.
MAX_CELLS = 32
# A value with at least this multiple of the rows of an interval has an interval of its own, as wide as the resolution
# of the column: zeros among positive amounts, say.
COMMON = 1.5
# Samples have as many decimals as the data, up to this number.
MAX_DECIMALS = 9
# Distance from the data, in half ranges, at which the log-density ends to fall: it stays finite in single precision.
LARGEST_DISTANCE = 1e9


class Intervals(CellCodec):
    """Real values, in intervals with at least a few rows each. Units are polynomials of normal scores.

    Neighboring intervals make a cell, whose probability the machine changes. Within a cell the intervals keep their
    shares, and within an interval the density is constant. Beyond the data it falls off exponentially. Samples are
    between the smallest and the largest value of their interval, with as many decimals as the data.

    Parameters
    ----------
    shares : ndarray of shape (n_columns, n_intervals)
        Share of the rows in each interval; zero for intervals that a column does not have.
    cell_of : ndarray of int of shape (n_columns, n_intervals)
        The cell of each interval.
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
        shares: NDArray,
        cell_of: NDArray,
        degree: int,
        edges: NDArray,
        extents: NDArray,
        centers: NDArray,
        decimals: NDArray,
        tail: NDArray,
    ) -> None:
        self.shares, self.cell_of = shares, cell_of
        self.degree = degree
        self.edges, self.extents, self.centers = edges, extents, centers
        self.decimals = decimals
        self.tail = tail
        is_cell = (cell_of[:, np.newaxis] == np.arange(cell_of.max() + 1)[:, np.newaxis]) & (shares > 0)[:, np.newaxis]
        probabilities = np.vecdot(is_cell, shares[:, np.newaxis])
        super().__init__(probabilities, polynomials(probabilities, degree))
        self.n_own_parameters = (shares > 0).sum(axis=1) - 1
        with np.errstate(divide="ignore", invalid="ignore"):  # of padding
            self._log_shares = np.log(shares)
            self._cell_means = np.vecdot(is_cell, (shares * centers)[:, np.newaxis]) / probabilities
        self._cell_means[probabilities == 0] = 0
        first = np.argmax(is_cell, axis=-1)
        self._ends = np.stack([first, first + is_cell.sum(axis=-1) - 1])  # the first and last interval of each cell
        self._last = (shares > 0).sum(axis=1) - 1
        self._lowest, self._highest = edges[:, 0], edges[self._column, self._last + 1]
        self._cumulative = np.cumsum(shares, axis=1)

    @classmethod
    def of_table(cls, table: NDArray | sparse.csr_array) -> "Intervals":
        """Return the codec for the columns of a table, whose missing values are NaN.

        Raises
        ------
        OverflowError
            If the values of a column are too far apart for float64; the argument is the number of the column.
        """
        present = [_finite(observed_values(table, column), column) for column in range(table.shape[1])]
        parts = [np.array(intervals(values, is_whole=cls.is_whole)).T for values in present]
        shares, centers, smallest, largest = np.zeros((4, len(parts), max(part.shape[1] for part in parts)))
        cell_of = np.zeros(shares.shape, np.intp)
        edges = np.full((len(parts), shares.shape[1] + 1), np.inf)
        for column, part in enumerate(parts):
            own = column, slice(part.shape[1])
            low, high, n_values, smallest[own], largest[own], centers[own] = part
            edges[column, : len(low) + 1] = [*low, high[-1]]
            n_values = np.maximum(n_values, PSEUDO_COUNT)
            shares[own] = n_values / n_values.sum()
            cell_of[own] = np.isin(np.arange(len(low)), _starts(shares[own], 1 / MAX_CELLS)).cumsum() - 1
        decimals = np.array([_n_decimals(values) for values in present])
        tail = np.array([1 / (max(len(values), 1) + 2) for values in present])
        return cls(shares, cell_of, DEGREE, edges, np.stack([smallest, largest]), centers, decimals, tail)

    def cells(self, columns: NDArray) -> NDArray:
        """Return the cell of each value, or the nearest one."""
        return self.cell_of[self._column, self._intervals(columns)]

    def _intervals(self, columns: NDArray) -> NDArray:
        """Return the interval of each value, or the nearest one."""
        columns = np.nan_to_num(columns)
        found = np.empty(columns.shape, np.intp)
        for column, (own, last) in enumerate(zip(self.edges, self._last, strict=True)):
            found[:, column] = np.searchsorted(own[1 : last + 1], columns[:, column])
        return found

    def log_density(self, columns: NDArray, cells: NDArray) -> NDArray:
        """Return the log-density of each value given its cell."""
        found = self._intervals(columns)
        width = self.edges[self._column, found + 1] - self.edges[self._column, found]
        n_tails = np.add((found == 0) & self._has_lower_tail, found == self._last, dtype=int)
        scale = (self._highest - self._lowest) / 2
        with np.errstate(over="ignore"):
            largest = LARGEST_DISTANCE * scale
            below, above = (
                np.clip(beyond, -largest, largest) for beyond in (self._lowest - columns, columns - self._highest)
            )
        inside = np.log1p(-n_tails * self.tail) - np.log(width)
        density = np.where(
            below > 0, self._log_below(below, scale), np.where(above > 0, self._log_above(above, scale), inside)
        )
        return density + self._log_shares[self._column, found] - self._log_probabilities[self._column, cells]

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
        """Return a value in each cell: drawn, or without noise the median."""
        return self._quantile(cells, 0.5 if noise is None else noise.uniform(cells.shape, np.float64))

    def inside(self, cells: NDArray) -> NDArray:
        """Return the middle of the first interval of each cell, which unlike values is not rounded."""
        first = self._ends[0, self._column, cells]
        low, high = self.edges[self._column, first], self.edges[self._column, first + 1]
        return low + (high - low) / 2

    def best(self, probabilities: NDArray) -> NDArray:
        """Return the mean."""
        return (probabilities * self._cell_means).sum(axis=-1)

    def quantile(self, probabilities: NDArray, level: float) -> NDArray:
        """Return the quantile."""
        cumulative = np.cumsum(probabilities, axis=-1)
        cells = cell_of_level(cumulative, level)
        above, own = (
            np.take_along_axis(part, cells[..., np.newaxis], axis=-1)[..., 0] for part in (cumulative, probabilities)
        )
        return self._quantile(cells, np.clip(1 - (above - level) / own, 0, 1))

    def _quantile(self, cells: NDArray, level: NDArray | float) -> NDArray:
        """Return quantiles of the values in cells, by linear interpolation between the values of an interval."""
        ends = np.cumsum(self.probabilities, axis=1)[self._column, cells]
        own = self.probabilities[self._column, cells]
        target = ends - own + level * own
        found = np.empty(cells.shape, np.intp)
        for column, (cumulative, last) in enumerate(zip(self._cumulative, self._last, strict=True)):
            found[..., column] = np.searchsorted(cumulative[:last], target[..., column], side="right")
        found = np.clip(found, *self._ends[:, self._column, cells])  # rounding could lead to the next cell
        share = self.shares[self._column, found]
        place = np.clip((target - self._cumulative[self._column, found] + share) / share, 0, 1)
        low, high = self.extents[:, self._column, found]
        return self._between(low, high, place)

    def _between(self, low: NDArray, high: NDArray, place: NDArray) -> NDArray:
        """Return values between those of an interval, with the decimals of the data."""
        values = low + place * (high - low)
        factor = 10.0 ** np.maximum(self.decimals, 0)
        return np.where(self.decimals < 0, values, np.rint(values * factor) / factor)


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

    def _between(self, low: NDArray, high: NDArray, place: NDArray) -> NDArray:
        return np.minimum(np.floor(low + place * (high - low + 1)), high)


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
    half = np.maximum(0.5, ROUNDING_ULPS * np.spacing(np.abs(distinct).max()))
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
            if not is_common[number] or start - high < half:  # no room for an empty interval
                start = high = high if is_common[number] else start
        mean = (own * (n / n.sum())).sum()
        found.append(Interval(low, high, n.sum(), own[0], own[-1], mean))
        if start > high and number + 1 < len(parts):
            inside = 0.5 if is_whole else 0.0
            found.append(Interval(high, start, 0, high + inside, start - inside, high + (start - high) / 2))
        low = start
    return found


def _n_decimals(values: NDArray) -> int:
    """Return the number of decimals of values; -1 if there are more than `MAX_DECIMALS`."""
    with np.errstate(over="ignore", invalid="ignore"):  # of huge values, which are whole numbers
        exact = [n for n in range(MAX_DECIMALS + 1) if np.array_equal(np.round(values, n), values)]
    return exact[0] if exact else -1


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
