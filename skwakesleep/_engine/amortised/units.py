"""The units in which a model is trained: location and scale of each column, which may follow a stream of rows."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.arrays.numerics import differences

# Columns whose values differ by no more than this many times the resolution of float64 are constant.
CONSTANT_ULPS = 2.0
# By how much of a scale the location of a column may move, and by how much of itself its scale, before the units are
# renewed: small batches of a stationary stream stay within.
TOLERATED_CHANGE = 0.1
# Growth of a scale beyond which the rows before did not show it. It takes few rows, or others than these.
FIRST_SPREAD = 2.0
# Standardized values are kept within these bounds, so that their squares do not overflow.
MOST_STANDARDIZED = 1e140


@dataclass(frozen=True)
class Units:
    """Constants by which columns are standardized.

    Attributes
    ----------
    location, scale : ndarray of shape (D,)
        What is subtracted, and what it is divided by; a scale of zero is that of a column without spread so far.
    """

    location: NDArray
    scale: NDArray

    @property
    def divisor(self) -> NDArray:
        """The scale, and one where it is zero (more where rounding errors of the column are larger than that)."""
        rounding = CONSTANT_ULPS * np.finfo(np.float64).eps * np.abs(self.location)
        return np.where(self.scale > 0, self.scale, np.maximum(1.0, rounding))

    @property
    def log_volume(self) -> float:
        """Log of the volume of a standardized cube of volume one, in the units of the columns."""
        return float(np.log(self.divisor).sum())

    def standardized(self, X: NDArray) -> NDArray:
        """Return rows in standardized units."""
        with np.errstate(over="ignore"):  # it is clipped
            return np.clip((X - self.location) / self.divisor, -MOST_STANDARDIZED, MOST_STANDARDIZED)

    def restored(self, x: NDArray) -> NDArray:
        """Return standardized rows in the units of the columns."""
        return self.location + self.divisor * x

    def differ(self, other: "Units") -> bool:
        """Return whether others are different enough to go over to them."""
        moved = np.abs(other.location - self.location) > TOLERATED_CHANGE * self.divisor
        rescaled = np.abs(other.scale - self.scale) > TOLERATED_CHANGE * self.scale
        return bool((moved | rescaled).any())

    def seen_from(self, other: "Units") -> tuple[NDArray, NDArray]:
        """Return the location and scale that map rows in these units to rows in others."""
        with np.errstate(over="ignore"):  # of a column without spread so far, in units that are far smaller
            return (self.location - other.location) / other.divisor, self.divisor / other.divisor

    def have_grown(self, other: "Units") -> NDArray:
        """Return which columns have grown so much in others that the rows before said little of their spread."""
        return other.scale > FIRST_SPREAD * self.scale


def gradient_in_units(gradient: NDArray, theta: NDArray, standardized_params: Callable[[NDArray], NDArray]) -> NDArray:
    """Return a gradient in standardized parameters as one in the parameters ``theta`` of the columns' own units.

    By central differences of the map from the latter to the former, which is affine for most models, so that they are
    exact up to rounding.
    """
    changes = differences(standardized_params, theta)
    return np.array([gradient @ change / length for change, length in changes])
