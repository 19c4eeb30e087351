"""Translations between the user's columns and the units of the visible layer."""

from typing import NamedTuple, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skwakesleep._engine.arrays.random import Noise
from skwakesleep._engine.machine.families import Domain
from skwakesleep._engine.machine.holes import columns_with_holes, observed_values
from skwakesleep._engine.machine.moments import Moments, measure

# Variance of a constant column in the square of its scale, which is one or this number of units in the last place.
CONSTANT_VARIANCE = 1e-4
CONSTANT_ULPS = 1000.0
# Smallest standardized variance, near the limit of single precision.
RESOLVED_VARIANCE = 1e-12
# A column gets new units if its location is off by more than this part of its scale, its scale by more than this
# factor, or its smallest standard deviation by more than this factor. A stationary stream keeps its units.
TOLERATED_SHIFT = 0.1
TOLERATED_RATIO = 1.1
TOLERATED_RESOLUTION = 2.0


class AffineMap(NamedTuple):
    """The map ``y' = ratio * y + shift`` from the units of one codec to those of another, arrays of shape ``(n,)``."""

    ratio: NDArray
    shift: NDArray


class States(NamedTuple):
    """All values of a column: their units ``(n, width)``, and what they add to the log-probability ``(n,)``."""

    units: NDArray
    log_base: NDArray


class Examples(NamedTuple):
    """A value of each state of a column, ``(n,)``, and the log-density of the value given the state."""

    values: NDArray
    log_density: NDArray


@runtime_checkable
class Codec(Protocol):
    """Translates columns of one kind into units and back."""

    domain: Domain
    """Admissible values."""
    is_density: bool
    """Whether the log-probability of a value is a log-density."""
    has_base: bool
    """Whether `log_base` is other than zero."""
    widths: NDArray | int
    """Number of units of each column, or of all."""
    n_units: int
    n_states: int
    """Largest number of states of a column; zero if there are infinitely many."""
    log_volume: NDArray
    """Log of the volume, in the user's units, of one unit: one number for each column."""
    keeps_zeros: bool
    """Whether zeros of the columns are zeros of the units."""
    follows_rows: bool
    """Whether units depend on the rows, so that a stream may need new ones."""
    largest_input: float
    """Absolute value at which the recognition network clips its inputs."""
    means: NDArray
    """Mean of each unit in the data, which the untrained machine reproduces."""
    n_active: float
    """Mean squared norm of a row of units; for binary units the mean number of ones."""
    n_extreme: NDArray
    """Number of extreme values in each column so far."""
    dispersion: float
    """Variance of the data, relative to that of draws with the same means."""
    n_own_parameters: NDArray
    """Number of free parameters of the distribution of each column without parents."""

    @classmethod
    def of_table(cls, table: NDArray | sparse.csr_array) -> Self:
        """Return the codec for the columns of a table."""

    def encode(self, columns: NDArray, out: NDArray) -> None:
        """Write the units of columns into `out`; if each column is one unit, the two may be the same array."""

    def decode(self, units: NDArray, noise: Noise | None) -> NDArray:
        """Return the columns of units, which may be overwritten.

        Where units leave a value open, it is drawn, or without noise in the middle.
        """

    def nearest(self, units: NDArray) -> NDArray | None:
        """Return the state nearest to the units of each column, ``(..., C)``; None if there are infinitely many."""

    def log_base(self, columns: NDArray) -> NDArray:
        """Return what the values of each row add to the log-probability, ``(B,)``, in nats."""

    def states(self, column: int) -> "States | None":
        """Return all states of a column; None if there are infinitely many."""

    def examples(self, column: int) -> "Examples | None":
        """Return a value of each state of a column, likewise."""

    def merged(self, other: Self) -> Self:
        """Return a codec for the rows of both, with the units of this one if they are suitable."""

    def renewed(self, other: Self) -> Self:
        """Return a codec for the rows of the other, with the units of this one if they are suitable."""

    def map_to(self, other: Self) -> AffineMap:
        """Return the map from the units of this codec to those of another."""

    def is_unseen(self, other: Self) -> NDArray:
        """Return which columns were constant in the rows of this codec, but vary in those of the other."""

    def check(self, n_columns: int) -> None:
        """Raise ValueError unless the codec is of this number of columns."""


class UnitInterval:
    """Columns in [0, 1], which are units as they are.

    Parameters
    ----------
    column_means : ndarray of shape (n_columns,)
        Mean of each column.
    n_rows : int or ndarray of shape (n_columns,)
        Number of rows that the means are of.
    dispersion : float, default=1.0
        Variance of all columns, relative to that of binary draws with the same means: one for binary columns, less for
        grey levels.
    """

    domain = Domain(0.0, 1.0)
    is_density = False
    has_base = False
    widths = 1
    n_states = 2
    keeps_zeros = True
    follows_rows = False
    largest_input = np.inf
    dispersion = 1.0  # of codecs in files of version 0.2

    def __init__(self, column_means: NDArray, n_rows: int | NDArray, dispersion: float = 1.0) -> None:
        self.column_means = column_means
        self.n_rows = n_rows
        self.dispersion = dispersion
        self.n_units = len(column_means)
        self.log_volume = self.location = np.zeros(len(column_means))
        self.scale = np.ones(len(column_means))
        self.n_extreme = np.zeros(len(column_means), int)
        self.n_active = float(column_means.sum())
        self.n_own_parameters = np.ones(len(column_means), int)
        # One row of the value 0.5 is added, as in the prior of Jeffreys: values that did not occur stay possible.
        self.means = (n_rows * column_means + 0.5) / (n_rows + 1)

    @classmethod
    def of_table(cls, table: NDArray | sparse.csr_array) -> "UnitInterval":
        """Return the codec for the columns of a table, whose missing values are NaN."""
        sums = np.asarray(table.sum(axis=0, dtype=np.float64)).ravel()
        squares = _sums_of_squares(table)
        n_rows = np.full(len(sums), table.shape[0])
        for column in columns_with_holes(table):
            values = observed_values(table, column).astype(np.float64)
            sums[column], squares[column], n_rows[column] = values.sum(), values @ values, len(values)
        means = np.divide(sums, n_rows, out=np.full(len(sums), 0.5), where=n_rows > 0)
        of_draws = sums @ (1 - means)
        # The variances of the columns add up to that of draws, less this difference, which is zero for zeros and ones.
        lost = (sums - squares).sum() / of_draws if of_draws > 0 else 0.0
        return cls(means, n_rows, 1 - float(lost))

    def encode(self, columns: NDArray, out: NDArray) -> None:
        """Copy columns."""
        np.copyto(out, columns)

    def decode(self, units: NDArray, noise: Noise | None) -> NDArray:
        """Return the units themselves."""
        return units

    def nearest(self, units: NDArray) -> NDArray:
        """Return zero or one."""
        return np.rint(units).astype(np.intp)

    def log_base(self, columns: NDArray) -> NDArray:
        """Return zero for each row."""
        return np.zeros(len(columns))

    def best(self, probabilities: NDArray) -> NDArray:
        """Return the mean given the probabilities of zero and one, ``(B, C, 2)``."""
        return probabilities[..., 1]

    def quantile(self, probabilities: NDArray, level: float) -> NDArray:
        """Return zero or one."""
        return (probabilities[..., 0] < level).astype(probabilities.dtype)

    def states(self, column: int) -> States:
        """Return zero and one."""
        return States(np.array([[0.0], [1.0]]), np.zeros(2))

    def examples(self, column: int) -> Examples:
        """Return zero and one."""
        return Examples(np.array([0.0, 1.0]), np.zeros(2))

    def merged(self, other: "UnitInterval") -> "UnitInterval":
        """Return this codec, which suits any rows."""
        return self

    def renewed(self, other: "UnitInterval") -> "UnitInterval":
        """Return this codec, which suits any rows."""
        return self

    def map_to(self, other: "UnitInterval") -> AffineMap:
        """Return the identity."""
        return AffineMap(np.ones_like(self.means), np.zeros_like(self.means))

    def is_unseen(self, other: "UnitInterval") -> NDArray:
        """Return false for each column: units do not depend on the spread."""
        return np.zeros(len(self.means), bool)

    def check(self, n_columns: int) -> None:
        """Raise ValueError unless the codec is of this number of columns."""
        _check_lengths(n_columns, self.column_means)


class Standardization:
    """Real columns, shifted and rescaled so that one learning rate serves any unit of measurement.

    Parameters
    ----------
    location, scale : ndarray of shape (n_columns,)
        Subtracted from the columns, and divided by.
    smallest_variance : ndarray of shape (n_columns,)
        Smallest conditional variance in standardized units that the column's rounding allows to resolve.
    seen : Moments, optional
        Summary of the rows so far.
    """

    domain = Domain(-np.inf, np.inf)
    is_density = True
    has_base = False
    widths = 1
    n_states = 0
    keeps_zeros = False
    follows_rows = True
    # One extreme input would otherwise dominate the gradients of its weights for thousands of steps.
    largest_input = 30.0
    dispersion = 1.0

    def __init__(
        self, location: NDArray, scale: NDArray, smallest_variance: NDArray, seen: Moments | None = None
    ) -> None:
        self.location = location
        self.scale = scale
        self.smallest_variance = smallest_variance
        self.seen = seen
        self.n_units = len(location)
        self.log_volume = np.log(scale)
        self.means = np.zeros_like(location)
        self.n_active = float(len(location))
        self.n_own_parameters = np.full(len(location), 2)  # mean and variance

    @classmethod
    def of_table(cls, table: NDArray | sparse.csr_array) -> "Standardization":
        """Return the codec for the columns of a table.

        Raises
        ------
        OverflowError
            If the values of a column are too far apart for float64; the argument is the number of the column.
        """
        return cls.of_moments(measure(table))

    @classmethod
    def of_moments(cls, moments: Moments) -> "Standardization":
        """Return the codec for columns of the given moments.

        Values that are multiples of a gap are rounded to within half of it, with a variance of ``gap^2 / 12``: a
        smaller conditional variance would model the rounding. The bound is at most the column's own variance, and at
        least what single precision resolves.
        """
        constant = moments.deviations == 0
        scale = np.where(constant, np.maximum(1.0, CONSTANT_ULPS * moments.ulps), moments.deviations)
        gaps = np.where(constant, np.sqrt(12 * CONSTANT_VARIANCE), np.minimum(moments.gaps / scale, np.sqrt(12)))
        return cls(moments.means, scale, np.maximum(np.square(gaps) / 12, RESOLVED_VARIANCE), moments)

    @property
    def n_extreme(self) -> NDArray:
        """Number of extreme values in each column so far."""
        return np.zeros(len(self.location), int) if self.seen is None else self.seen.n_extreme

    def encode(self, columns: NDArray, out: NDArray) -> None:
        """Standardize columns."""
        largest = np.finfo(out.dtype).max ** 0.25  # its square, divided by the smallest variance, is finite
        with np.errstate(over="ignore"):
            standardized = (columns - self.location) / self.scale  # in float64
        np.clip(standardized, -largest, largest, out=out)

    def decode(self, units: NDArray, noise: Noise | None) -> NDArray:
        """Return standardized units in the user's units, in the same array."""
        largest = np.finfo(units.dtype).max
        with np.errstate(over="ignore"):
            units *= self.scale
            units += self.location
        return np.clip(units, -largest, largest, out=units)

    def log_base(self, columns: NDArray) -> NDArray:
        """Return zero for each row."""
        return np.zeros(len(columns))

    def nearest(self, units: NDArray) -> None:
        """Return None: values are real."""

    def states(self, column: int) -> None:
        """Return None, likewise."""

    def examples(self, column: int) -> None:
        """Return None, likewise."""

    def merged(self, other: "Standardization") -> "Standardization":
        """Return a codec for the rows of both, with the units of this one if they are suitable."""
        assert other.seen is not None
        return self.renewed(self.of_moments(other.seen if self.seen is None else self.seen.merged(other.seen)))

    def renewed(self, other: "Standardization") -> "Standardization":
        """Return a codec for the rows of the other, with the units of this one if they are suitable."""
        return self.having_seen(other.seen) if self._is_close(other) else other

    def having_seen(self, seen: Moments | None) -> "Standardization":
        """Return the codec with the same units and another summary of the rows so far."""
        return Standardization(self.location, self.scale, self.smallest_variance, seen)

    def map_to(self, other: "Standardization") -> AffineMap:
        """Return the map from the units of this codec to those of another."""
        with np.errstate(over="ignore"):  # in columns whose spread was not seen
            return AffineMap(self.scale / other.scale, (self.location - other.location) / other.scale)

    def is_unseen(self, other: "Standardization") -> NDArray:
        """Return which columns were constant in the rows of this codec, but vary in those of the other."""
        if self.seen is None or other.seen is None:
            return np.zeros(len(self.location), bool)
        return (self.seen.deviations == 0) & (other.seen.deviations > 0)

    def _is_close(self, other: "Standardization") -> bool:
        """Return whether the units of this codec suit columns that would be given those of the other."""
        with np.errstate(over="ignore"):  # an infinite shift is not close
            shift = np.abs(self.location - other.location) / other.scale
        ratio = np.abs(np.log(self.scale) - np.log(other.scale))
        resolution = np.abs(np.log(self._resolution) - np.log(other._resolution))
        return bool(
            (shift <= TOLERATED_SHIFT).all()
            and (ratio <= np.log(TOLERATED_RATIO)).all()
            and (resolution <= np.log(TOLERATED_RESOLUTION)).all()
        )

    @property
    def _resolution(self) -> NDArray:
        """Smallest standard deviation of each column, in the user's units."""
        return self.scale * np.sqrt(self.smallest_variance)

    def check(self, n_columns: int) -> None:
        """Raise ValueError unless the codec is of this number of columns."""
        _check_lengths(n_columns, self.location, self.scale, self.smallest_variance)


def _sums_of_squares(table: NDArray | sparse.csr_array) -> NDArray:
    """Return the sum of squares of each column."""
    if isinstance(table, np.ndarray):
        return np.einsum("ij,ij->j", table, table, dtype=np.float64)
    return np.asarray(table.multiply(table).sum(axis=0, dtype=np.float64)).ravel()


def _check_lengths(n_columns: int, *arrays: NDArray) -> None:
    if any(array.shape != (n_columns,) for array in arrays):
        raise ValueError(f"a block of columns is not of {n_columns} columns")
