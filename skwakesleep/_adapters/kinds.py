"""The kind of a table's columns: how it is found, what values it admits, and what is worth a warning."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skwakesleep._adapters.tables import first_column
from skwakesleep._engine.machine.families import Bernoulli, Family, Gaussian
from skwakesleep._engine.machine.moments import EXTREME_RANGES, Moments, measure
from skwakesleep._engine.machine.rows import Table

# Values this far outside [0, 1] are taken for rounding errors and clipped: scalers return 1 + 2e-16. While the kind is
# not known yet, the distance is relative to the largest value of the column, whose values may all be this small.
UNIT_TOLERANCE = 1e-6
# If fewer values than this share are outside [0, 1], the kind found depends on them alone.
FEW_OUTSIDE = 0.01
# Rows looked at for whole numbers and two-valued columns, at most.
MAX_ROWS = 10_000
# Columns named in a message.
MAX_NAMED = 5


def resolve_visible(visible: str, X: Table) -> str:
    """Return the family that "auto" stands for on `X`: Bernoulli where all values are in [0, 1], else Gaussian."""
    if visible != "auto":
        return visible
    return "gaussian" if _is_outside(X, _tolerances(X)) else "bernoulli"


def _tolerances(X: Table) -> NDArray | float:
    """Return how far outside [0, 1] a value of each column may be."""
    if not _is_outside(X, 0.0):
        return 0.0
    largest: Any = abs(X).max(axis=0)  # type: ignore[attr-defined]
    largest = largest if isinstance(X, np.ndarray) else largest.toarray().ravel()
    return UNIT_TOLERANCE * np.minimum(largest, 1)


def _is_outside(X: Table, tolerance: NDArray | float) -> bool:
    return first_outside(X, tolerance) is not None


def first_outside(X: Table, tolerance: NDArray | float = UNIT_TOLERANCE) -> tuple[int, float] | None:
    """Return the first column of `X` with a value outside [0, 1], and its first such value."""
    values = X if isinstance(X, np.ndarray) else X.data
    if values.size == 0 or (values.min() >= 0 and values.max() <= 1):
        return None
    if not isinstance(X, np.ndarray) and isinstance(tolerance, np.ndarray):
        tolerance = tolerance[X.indices]
    found = first_column(X, lambda values: (values < -tolerance) | (values > 1 + tolerance))
    return None if found is None else (found[0], float(found[1][0]))


def n_outside(X: Table) -> int:
    """Return the number of values outside [0, 1]."""
    values = X if isinstance(X, np.ndarray) else X.data
    return int(((values < 0) | (values > 1)).sum())


def in_unit_interval(X: Table, names: NDArray | None, complaint: str) -> Table:
    """Return `X`, or a copy in which values that rounding took out of [0, 1] are clipped.

    Raises
    ------
    ValueError
        The complaint, with the first column outside and its first offending value in place of ``{}``.
    """
    if first_outside(X, 0.0) is None:
        return X
    outside = first_outside(X)
    if outside is None:
        return np.clip(X, 0, 1) if isinstance(X, np.ndarray) else X.minimum(1).maximum(0)
    column, value = outside
    negative = "Negative values in data: " if value < 0 else ""  # scikit-learn's words
    raise ValueError(negative + complaint.format(f"{_label(column, names)} of X holds {value:.7g}"))


def in_domain(X: Table, visible: str, names: NDArray | None, *, found: bool) -> Table:
    """Return `X` if every value belongs to the domain of the visible family, with rounding errors clipped in a copy.

    Parameters
    ----------
    X : {ndarray, csr_array} of shape (n_samples, n_features)
        What to check.
    visible : str
        The family.
    names : ndarray of str or None
        Names of the columns, for the message.
    found : bool
        Whether the family was found in earlier data rather than named by the user, for the message.

    Raises
    ------
    ValueError
        Naming the first column outside, its offending value, and what to set.
    """
    if visible != "bernoulli":
        return X
    fixed, folds = "", ""
    if found:
        fixed = " (found in the data of the first fit or partial_fit)"
        folds = (
            " visible='auto' decides on the rows of each fit anew, so that folds of a cross-validation can differ: "
            "name the kind, visible='bernoulli' or visible='gaussian', to fix it."
        )
    return in_unit_interval(
        X,
        names,
        f"Bernoulli columns must be in [0, 1]{fixed}, but {{}}. Rescale or clip X, for example by "
        f"MinMaxScaler(clip=True), or set visible='gaussian'.{folds}",
    )


def check_range(X: NDArray, bounds: tuple[float, float], names: NDArray | None) -> None:
    """Check that every value of `X` is one that a model can generate.

    Raises
    ------
    ValueError
        Naming the first column outside, and its first offending value.
    """
    lowest, highest = bounds
    found = first_column(X, lambda values: (values < lowest - UNIT_TOLERANCE) | (values > highest + UNIT_TOLERANCE))
    if found:
        column, values = found
        raise ValueError(
            f"The model generates values in [{lowest:g}, {highest:g}], but {_label(column, names)} of X holds "
            f"{float(values[0]):.7g}. Rescale or clip X, or choose another model."
        )


def visible_family(visible: str, X: Table, names: NDArray | None) -> tuple[Family, NDArray, float]:
    """Return the visible family, the means of the encoded columns, and the mean squared norm of an encoded row."""
    if visible == "bernoulli":
        means = np.asarray(X.mean(axis=0, dtype=np.float64)).ravel()
        # Few rows, such as the first of a stream, do not make a value impossible. With hundreds of rows, the bound of
        # the family itself is higher, and constant columns are not trained: training them costs .3 nats on MNIST.
        smallest = 0.5 / (X.shape[0] + 1) ** 2
        return Bernoulli(), np.clip(means, smallest, 1 - smallest), float(means.sum())
    family = Gaussian.of_moments(column_moments(X, names))
    return family, np.zeros_like(family.location), float(len(family.location))


def column_moments(X: Table, names: NDArray | None) -> Moments:
    """Return the summary of the columns.

    Raises
    ------
    ValueError
        Naming a column whose values are too large to be standardized.
    """
    try:
        return measure(X)
    except OverflowError as error:
        raise ValueError(
            f"Values of {_label(error.args[0], names)} of X are too far apart to be subtracted in float64, whose "
            "largest number is about 1e308. Rescale the column."
        ) from None


def extremes(before: Moments | None, after: Moments | None, names: NDArray | None) -> list[UserWarning]:
    """Return a warning of extreme values among the rows that are new in the second summary."""
    if after is None:
        return []
    n_extreme = after.n_extreme - (0 if before is None else before.n_extreme)
    if not n_extreme.any():
        return []
    return [
        UserWarning(
            f"X holds {int(n_extreme.sum())} extreme values, more than {EXTREME_RANGES:.0f} interquartile ranges away "
            f"from the quartiles, in {_labels(np.flatnonzero(n_extreme), names)}. They are left out where the scale of "
            "a column is determined. Correct them if they are wrong; else transform the column, for example by its "
            "logarithm."
        )
    ]


def notices(X: Table, visible: str, names: NDArray | None) -> list[UserWarning]:
    """Return warnings of what "auto" takes for real values, though it may not be."""
    if visible != "gaussian":
        return []
    n_values = X.shape[0] * X.shape[1]
    count = n_outside(X)
    if count <= FEW_OUTSIDE * n_values and (outside := first_outside(X)):
        column, value = outside
        return [
            UserWarning(
                f"visible='auto' takes X for real-valued because of {count} of {n_values} values, which are not in "
                f"[0, 1]; the first is {value:.7g} in {_label(column, names)}. Correct or clip them and set "
                "visible='bernoulli', or set visible='gaussian'."
            )
        ]
    whole, two_valued = _discrete(X)
    found = [
        f"{_labels(columns, names)} with {what}"
        for columns, what in ((two_valued, "two values"), (whole, "whole numbers"))
        if len(columns)
    ]
    if not found:
        return []
    return [
        UserWarning(
            f"visible='auto' models every column of X by a normal density, also {' and '.join(found)}: samples are "
            "fractions there, and scores are densities instead of probabilities. Set visible='gaussian' if this is "
            "what you want."
        )
    ]


def _discrete(X: Table) -> tuple[NDArray, NDArray]:
    """Return the columns that hold non-negative whole numbers, and those that hold two values."""
    rows = X[np.linspace(0, X.shape[0] - 1, min(X.shape[0], MAX_ROWS)).astype(np.intp)]
    columns = rows if isinstance(rows, np.ndarray) else rows.tocsc()
    whole, two_valued = [], []
    all_whole = 2 / np.finfo(X.dtype).eps  # beyond it, all floats are whole numbers
    for number in range(X.shape[1]):
        column = columns[:, [number]]
        column = (column if isinstance(column, np.ndarray) else column.toarray())[:, 0]
        low, high = column.min(), column.max()
        if low == high:
            continue
        if ((column == low) | (column == high)).all():
            two_valued.append(number)
        elif low >= 0 and high < all_whole and (column == np.floor(column)).all():
            whole.append(number)
    return np.array(whole, int), np.array(two_valued, int)


def _label(column: Any, names: NDArray | None) -> str:
    return f"column {column}" if names is None else f"column {str(names[column])!r}"


def _labels(columns: NDArray, names: NDArray | None) -> str:
    if len(columns) == 1:
        return _label(columns[0], names)
    shown = ", ".join(str(column) if names is None else repr(str(names[column])) for column in columns[:MAX_NAMED])
    return f"columns {shown}" + (f" and {len(columns) - MAX_NAMED} more" if len(columns) > MAX_NAMED else "")
