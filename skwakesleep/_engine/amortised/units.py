"""The units in which a model is trained: location and scale of each column."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.amortised.optional_methods import COLUMN_UNITS, offers
from skwakesleep._engine.machine.moments import Moments

# Columns whose values differ by at most this many units in the last place of float64 are constant up to rounding.
CONSTANT_ULPS = 2.0
# Change of the location, relative to the scale, or of the scale, relative to itself, at which new units replace the old
# ones. Small batches of a stationary stream change them by less.
TOLERATED_CHANGE = 0.1
# Growth of the scale by more than this factor means that the earlier rows did not show the spread of the column.
FIRST_SPREAD = 2.0
# Bound on standardized values, whose squares must not overflow.
MAX_STANDARDIZED = 1e140


@dataclass(frozen=True)
class Units:
    """Constants by which columns are standardized.

    Attributes
    ----------
    location : ndarray of shape (D,)
        What is subtracted from each column.
    scale : ndarray of shape (D,)
        What each column is then divided by. Zero means that the column has been constant so far.
    """

    location: NDArray
    scale: NDArray

    @property
    def divisor(self) -> NDArray:
        """The scale. Where it is zero: one, or the rounding error of the column if that is larger."""
        rounding = CONSTANT_ULPS * np.finfo(np.float64).eps * np.abs(self.location)
        return np.where(self.scale > 0, self.scale, np.maximum(1.0, rounding))

    @property
    def log_volume(self) -> float:
        """Log of the Jacobian determinant of `restored`: log-densities in standardized units exceed others by it."""
        return float(np.log(self.divisor).sum())

    def standardized(self, X: NDArray) -> NDArray:
        """Return rows in standardized units."""
        with np.errstate(over="ignore"):  # the result is clipped
            return np.clip((X - self.location) / self.divisor, -MAX_STANDARDIZED, MAX_STANDARDIZED)

    def restored(self, x: NDArray) -> NDArray:
        """Return standardized rows in the units of the columns."""
        return self.location + self.divisor * x

    def differ(self, other: "Units") -> bool:
        """Return whether other units are so different that they should replace these."""
        moved = np.abs(other.location - self.location) > TOLERATED_CHANGE * self.divisor
        rescaled = np.abs(other.scale - self.scale) > TOLERATED_CHANGE * self.scale
        return bool((moved | rescaled).any())

    def seen_from(self, other: "Units") -> tuple[NDArray, NDArray]:
        """Return the location and scale that map rows in these units to rows in other units."""
        with np.errstate(over="ignore"):  # for a column that was constant, in units that are far smaller
            return (self.location - other.location) / other.divisor, self.divisor / other.divisor

    def have_grown(self, other: "Units") -> NDArray:
        """Return for each column whether its scale in other units is so large that these units missed its spread."""
        return other.scale > FIRST_SPREAD * self.scale


# The units of columns that are not standardized, however many.
UNCHANGED = Units(np.zeros(1), np.ones(1))


def units_for(model: Any, moments: Moments) -> Units:
    """Return the units that a model chooses, given the moments of the columns; without the methods, none."""
    if not offers(model, COLUMN_UNITS):
        return UNCHANGED
    return Units(*model.column_units(moments.means, moments.deviations))
