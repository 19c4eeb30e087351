"""Location, scale and resolution of real columns."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skwakesleep._engine.machine.holes import columns_with_holes, observed_values

# Quantiles and gaps are computed from evenly spaced rows: about this number of values, but not fewer rows.
MAX_SORTED_VALUES = 2**21
MIN_SORTED_ROWS = 1000
# Columns sorted and rows made dense at a time, to bound the scratch memory.
BLOCK_COLUMNS = 64
BLOCK_ROWS = 256
# A value is extreme if it is more than this number of interquartile ranges away from the quartiles: 40 standard
# deviations in a normal column. With fewer rows the quartiles are too uncertain.
EXTREME_RANGES = 30.0
MIN_ROWS_FOR_QUARTILES = 20
# Values this number of units in the last place apart are equal up to rounding.
ROUNDING_ULPS = 2


@dataclass
class Moments:
    """Summary of each column over all rows seen so far, without extreme values.

    Attributes
    ----------
    counts : ndarray of shape (n_columns,)
        Number of values.
    means, deviations : ndarray of shape (n_columns,)
        Mean and standard deviation; the latter is zero where all values are equal up to rounding.
    gaps : ndarray of shape (n_columns,)
        Median gap between neighboring distinct values; infinite where all values are equal.
    ulps : ndarray of shape (n_columns,)
        Unit in the last place of the largest magnitude.
    n_extreme : ndarray of shape (n_columns,)
        Number of extreme values.
    lowest, highest : ndarray of shape (n_columns,)
        Bounds beyond which values are extreme, infinite with few rows.
    """

    counts: NDArray
    means: NDArray
    deviations: NDArray
    gaps: NDArray
    ulps: NDArray
    n_extreme: NDArray
    lowest: NDArray
    highest: NDArray

    @property
    def n_rows(self) -> int:
        """Number of rows, or of those with a value in the column that has most."""
        return int((self.counts + self.n_extreme).max())

    def merged(self, other: "Moments") -> "Moments":
        """Return the summary of the rows of both (Chan, Golub & LeVeque 1983).

        In columns where the rows so far are few and extreme compared with the others, they are dropped. Otherwise a
        stream that begins with a wrong row would keep its scale.
        """
        extreme = (self.means < other.lowest) | (self.means > other.highest)
        forgotten = (self.counts < MIN_ROWS_FOR_QUARTILES) & extreme
        counts = np.where(forgotten, 0, self.counts) + other.counts
        share = np.divide(other.counts, counts, out=np.ones_like(counts), where=counts > 0)
        shift = other.means - self.means
        ulps = np.maximum(self.ulps, other.ulps)
        within = np.hypot(np.sqrt(1 - share) * self.deviations, np.sqrt(share) * other.deviations)
        deviations = np.hypot(within, np.sqrt(share * (1 - share)) * shift)
        deviations[(within == 0) & (np.abs(shift) <= ROUNDING_ULPS * ulps)] = 0
        gaps = np.minimum(self.gaps, other.gaps)
        gaps = np.where(np.isinf(gaps) & (deviations > 0), np.abs(shift), gaps)  # one value in each of the two
        n_extreme = self.n_extreme + np.where(forgotten, self.counts, 0) + other.n_extreme
        means = np.where(forgotten, other.means, self.means + share * shift)
        return Moments(counts, means, deviations, gaps, ulps, n_extreme, other.lowest, other.highest)


def measure(table: NDArray | sparse.csr_array) -> Moments:
    """Return the summary of a table's columns, without missing values.

    Raises
    ------
    OverflowError
        If the values of a column are too far apart for float64; the argument is the number of the column.
    """
    if not len(columns_with_holes(table)):
        return _measure(table)
    columns = []
    for column in range(table.shape[1]):
        try:
            columns.append(_measure_values(observed_values(table, column)))
        except OverflowError:
            raise OverflowError(column) from None
    return Moments(*(np.concatenate([getattr(own, each.name) for own in columns]) for each in fields(Moments)))


def _measure_values(values: NDArray) -> Moments:
    """Return the summary of one column; without values, that of a constant which counts for nothing."""
    if not len(values):
        return replace(_measure(np.zeros((1, 1), values.dtype)), counts=np.zeros(1))
    return _measure(values[:, np.newaxis])


def _measure(table: NDArray | sparse.csr_array) -> Moments:
    """Return the summary of the columns of a table without missing values.

    Extreme values are left out, so that one wrong entry does not set the scale of a column. Sums are of deviations from
    the median, in float64: a naive mean is wrong by more than the spread of a nearly constant column.

    Raises
    ------
    OverflowError
        If the values of a column are too far apart for float64; the argument is the number of the column.
    """
    smallest, largest = _extent(table)
    with np.errstate(over="ignore"):
        finite = np.isfinite(largest - smallest)
    if not finite.all():
        raise OverflowError(int(finite.argmin()))
    order = _order_statistics(table)
    lowest, highest = np.maximum(order.lowest, smallest), np.minimum(order.highest, largest)
    ulps = np.spacing(np.maximum(np.abs(lowest), np.abs(highest)).astype(table.dtype)).astype(np.float64)
    varying = largest - smallest > ROUNDING_ULPS * ulps
    width = np.where(varying & (highest > lowest), highest - lowest, 1.0)  # unit of the deviations: squares stay finite

    def kept_deviations(center: NDArray) -> Iterator[tuple[NDArray, NDArray]]:
        for rows in _blocks(table):
            kept = (rows >= lowest) & (rows <= highest)
            yield kept, np.where(kept, (rows - order.median) / width - center, 0)

    counts, sums, squares = np.zeros((3, table.shape[1]))
    for kept, deviations in kept_deviations(np.zeros_like(width)):
        counts += kept.sum(axis=0)
        sums += deviations.sum(axis=0)
    center = sums / counts
    for _, deviations in kept_deviations(center):
        squares += np.square(deviations).sum(axis=0)
    return Moments(
        counts=counts,
        means=order.median + width * center,
        deviations=np.where(varying, width * np.sqrt(squares / counts), 0.0),
        gaps=np.where(varying, np.maximum(np.where(np.isinf(order.gap), 0, order.gap), ulps), np.inf),
        ulps=ulps,
        n_extreme=table.shape[0] - counts,
        lowest=order.lowest,
        highest=order.highest,
    )


def _blocks(table: NDArray | sparse.csr_array) -> Iterator[NDArray]:
    """Yield a few rows at a time, as dense float64."""
    for start in range(0, table.shape[0], BLOCK_ROWS):
        yield _dense(table[start : start + BLOCK_ROWS])


def _dense(rows: NDArray | sparse.csr_array) -> NDArray:
    return (rows if isinstance(rows, np.ndarray) else rows.toarray()).astype(np.float64)


def _extent(table: NDArray | sparse.csr_array) -> tuple[NDArray, NDArray]:
    """Return the smallest and the largest value of each column."""
    smallest, largest = np.full(table.shape[1], np.inf), np.full(table.shape[1], -np.inf)
    for rows in _blocks(table):
        np.minimum(smallest, rows.min(axis=0), out=smallest)
        np.maximum(largest, rows.max(axis=0), out=largest)
    return smallest, largest


class OrderStatistics(NamedTuple):
    """For each column: median, the bounds beyond which values are extreme, median gap between distinct values."""

    median: NDArray
    lowest: NDArray
    highest: NDArray
    gap: NDArray


def _order_statistics(table: NDArray | sparse.csr_array) -> OrderStatistics:
    n_rows, n_columns = table.shape
    n_sorted = min(n_rows, max(MIN_SORTED_ROWS, MAX_SORTED_VALUES // n_columns))
    rows = table[np.linspace(0, n_rows - 1, n_sorted).astype(np.intp)]
    columns = rows if isinstance(rows, np.ndarray) else rows.tocsc()
    parts = []
    for start in range(0, n_columns, BLOCK_COLUMNS):
        part = columns[:, start : start + BLOCK_COLUMNS]
        part = np.sort(part if isinstance(part, np.ndarray) else part.toarray(), axis=0)
        gap = _median_gap(part)
        parts.append((*_quartile_bounds(part.astype(np.float64)), gap))
    return OrderStatistics(*map(np.concatenate, zip(*parts, strict=True)))


def _quartile_bounds(columns: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Return the median of sorted columns, and the bounds beyond which values are extreme.

    Where the quartiles coincide, the 5th and 95th percentiles take their place; where these do too, nothing is extreme.
    """
    n_rows, n_columns = columns.shape
    median = columns[n_rows // 2]
    lowest, highest = np.full(n_columns, -np.inf), np.full(n_columns, np.inf)
    if n_rows < MIN_ROWS_FOR_QUARTILES:
        return median, lowest, highest
    for tail in (0.05, 0.25):
        below, above = columns[int(tail * n_rows)], columns[-1 - int(tail * n_rows)]
        with np.errstate(over="ignore"):  # an infinite bound excludes nothing
            distance = EXTREME_RANGES * (above - below)
            lowest = np.where(distance > 0, below - distance, lowest)
            highest = np.where(distance > 0, above + distance, highest)
    return median, lowest, highest


def _median_gap(columns: NDArray) -> NDArray:
    """Return the median gap between neighboring distinct values of sorted columns; infinite if all are equal."""
    n_gaps = len(columns) - 1
    if n_gaps == 0:
        return np.full(columns.shape[1], np.inf)
    ulps = np.spacing(np.maximum(np.abs(columns[1:]), np.abs(columns[:-1]))).astype(np.float64)
    with np.errstate(over="ignore"):
        gaps = np.diff(columns.astype(np.float64), axis=0)
    gaps[gaps <= ROUNDING_ULPS * ulps] = 0
    gaps.sort(axis=0)
    n_zero = (gaps == 0).sum(axis=0)
    middle = np.minimum(n_zero + (n_gaps - n_zero) // 2, n_gaps - 1)
    return np.where(n_zero == n_gaps, np.inf, np.take_along_axis(gaps, middle[np.newaxis], axis=0)[0])
