"""The kind of the columns of a table: detection, admissible values, and warnings."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skwakesleep._adapters.sklearn_compat import InvalidParameterError, column_indices
from skwakesleep._adapters.tables import dense, entries, first_column, is_frame
from skwakesleep._engine.machine.columns import KINDS
from skwakesleep._engine.machine.families import Domain
from skwakesleep._engine.machine.holes import without_holes
from skwakesleep._engine.machine.moments import EXTREME_RANGES, Moments, measure
from skwakesleep._engine.machine.rows import Table

# Values this far outside a domain are taken for rounding errors and clipped: scalers return 1 + 2e-16. While the kind
# is not known yet, the distance is relative to the largest value of the column, whose values may all be this small.
DOMAIN_TOLERANCE = 1e-6
# If fewer values than this share are outside [0, 1], the kind found depends on them alone.
FEW_OUTSIDE = 0.01
# Largest number of rows in which whole numbers and two-valued columns are looked for.
MAX_ROWS = 10_000
# Largest number of columns named in a message.
MAX_NAMED = 5
UNIT_INTERVAL = Domain(0.0, 1.0)
# Kinds that "auto" gives to all columns of an array, the first whose domain holds all values.
ARRAY_KINDS = ("bernoulli", "gaussian")
# Kinds of numbers from zero on.
NON_NEGATIVE = frozenset({"bernoulli", "count"})


def is_auto(visible: Any) -> bool:
    """Return whether the parameter `visible` is "auto"; it may be an array."""
    return isinstance(visible, str) and visible == "auto"


def named_kinds(visible: Any) -> list[Any]:
    """Return the kinds that the parameter `visible` names; it may be invalid."""
    if isinstance(visible, str):
        return [] if visible == "auto" else [visible]
    return [kind for kind in visible if isinstance(kind, str)] if isinstance(visible, Iterable) else []


def check_kinds(visible: Any) -> None:
    """Raise ValueError unless the items of the parameter `visible` are kinds of columns."""
    for kind in [] if isinstance(visible, str) else visible:
        if not isinstance(kind, str) or kind not in KINDS:
            raise InvalidParameterError(
                f"The 'visible' parameter must name kinds of columns, of {sorted(KINDS)}. Got {kind!r} instead."
            )


def asked_kinds(visible: Any, X: Any) -> NDArray:
    """Return the kind of each column of an array or data frame that the parameter `visible`, not "auto", asks for.

    Raises
    ------
    ValueError
        Naming columns without a kind or with several, and those that `X` does not have.
    """
    check_kinds(visible)
    n_columns = X.shape[1]
    if isinstance(visible, str):
        return np.full(n_columns, visible, object)
    if not isinstance(visible, Mapping):
        if len(visible) != n_columns:
            raise ValueError(f"visible names the kinds of {len(visible)} columns, but X has {n_columns} columns.")
        return np.array(visible, object)
    kinds: NDArray = np.full(n_columns, None, object)
    n_kinds = np.zeros(n_columns, int)
    for kind, chosen in visible.items():
        columns = _chosen_columns(X, kind, chosen)
        kinds[columns] = kind
        np.add.at(n_kinds, columns, 1)
    if (n_kinds != 1).any():
        names = np.array([*X.columns, None], object)[:-1] if is_frame(X) else None
        wrong = [
            f"{what} for {labels_of(np.flatnonzero(found), names)}"
            for what, found in (("several", n_kinds > 1), ("none", n_kinds == 0))
            if found.any()
        ]
        raise ValueError(f"visible must name each column once. Got {' and '.join(wrong)}.")
    return kinds


def _chosen_columns(X: Any, kind: str, chosen: Any) -> list[int]:
    """Return the numbers of the columns that `visible` names for a kind."""
    try:
        return column_indices(X, chosen(X) if callable(chosen) else chosen)
    except ValueError as error:  # a wrong name is in its cause
        raise ValueError(
            f"visible names columns of kind {kind!r} that X does not have: {error.__cause__ or error}."
        ) from error


def in_domain(X: Table, columns: NDArray, kind: str, names: NDArray | None, *, found: bool) -> Table:
    """Return `X` with values of the given columns clipped that rounding took out of the domain of a kind.

    Raises
    ------
    ValueError
        Naming a column and its value.
    """
    own = X if columns.all() else _only(X, columns)
    inside: Any = clipped(own, KINDS[kind].domain, names, _complaint(kind, found=found))
    if kind == "count" and (fractional := first_column(inside, lambda values: values % 1 > 0)):
        column, values = fractional
        raise ValueError(
            f"Count columns must hold whole numbers, but {labels_of([column], names)} of X holds {values[0]}. "
            f"Round it, or set another kind: 'continuous' for real values.{_fixed(found)[1]}"
        )
    return X if inside is own else X + (inside - own)


def _only(X: Any, columns: NDArray) -> Table:
    """Return `X` with zeros, which are in the domain of every kind, in all but some columns."""
    if isinstance(X, np.ndarray):
        return np.where(columns, X, 0)
    X = X.copy()
    X.data[~columns[X.indices]] = 0
    return X


def kind_of_array(X: Table) -> str:
    """Return the first kind whose domain holds all values, up to rounding."""
    # Most binary tables are inside, and need no copy for the largest values.
    tolerances: NDArray | float = 0.0
    if first_outside(X, UNIT_INTERVAL, 0.0) is not None:
        magnitudes: Any = abs(without_holes(X))
        largest = dense(magnitudes.max(axis=0)).ravel()
        tolerances = DOMAIN_TOLERANCE * np.minimum(largest, 1)
    return next(name for name in ARRAY_KINDS if first_outside(X, KINDS[name].domain, tolerances) is None)


def first_outside(X: Table, domain: Domain, tolerance: NDArray | float = DOMAIN_TOLERANCE) -> tuple[int, float] | None:
    """Return the first column of `X` with a value outside a domain that holds zero, and its first such value."""
    lowest, highest = domain
    # Zeros that a sparse table omits are in every domain. Minimum and maximum need no temporary array.
    values = entries(X)
    if values.size == 0 or (values.min() >= lowest and values.max() <= highest):
        return None
    if not isinstance(X, np.ndarray) and isinstance(tolerance, np.ndarray):
        tolerance = tolerance[X.indices]
    found = first_column(X, lambda values: (values < lowest - tolerance) | (values > highest + tolerance))
    return None if found is None else (found[0], float(found[1][0]))


def check_domain(X: Table, domain: Domain, names: NDArray | None, complaint: str) -> None:
    """Check that every value of `X` is in a domain, up to rounding.

    Raises
    ------
    ValueError
        The complaint, with the first column outside and its first offending value in place of ``{}``.
    """
    if outside := first_outside(X, domain):
        column, value = outside
        negative = "Negative values in data: " if value < 0 <= domain.lowest else ""  # scikit-learn's words
        raise ValueError(negative + complaint.format(f"{labels_of([column], names)} of X holds {value:.7g}"))


def clipped(X: Table, domain: Domain, names: NDArray | None, complaint: str) -> Table:
    """Return `X`, or a copy in which values that rounding took out of a domain are clipped.

    Raises
    ------
    ValueError
        As `check_domain`.
    """
    if first_outside(X, domain, 0.0) is None:
        return X
    check_domain(X, domain, names, complaint)
    lowest, highest = domain
    return np.clip(X, lowest, highest) if isinstance(X, np.ndarray) else X.minimum(highest).maximum(lowest)


def _complaint(kind: str, *, found: bool) -> str:
    """Return what to say of values outside the domain of a kind, which the user named or earlier data determined."""
    lowest, highest = KINDS[kind].domain
    fixed, folds = _fixed(found)
    cure = "Rescale or clip X, for example by MinMaxScaler(clip=True)" if highest < np.inf else "Correct or clip X"
    return (
        f"{kind.capitalize()} columns must be in [{lowest:g}, {highest:g}]{fixed}, but {{}}. {cure}, or set another "
        f"kind: visible='gaussian' for all columns, or one for each.{folds}"
    )


def _fixed(found: bool) -> tuple[str, str]:
    """Return what to say of kinds that earlier data determined, and how to name them instead."""
    if not found:
        return "", ""
    return " (found in the data of the first fit or partial_fit)", (
        " visible='auto' decides on the rows of each fit anew, so that folds of a cross-validation can differ: name "
        "the kind, for instance visible='bernoulli' or visible='gaussian', to fix it."
    )


def check_range(X: NDArray, bounds: tuple[float, float], names: NDArray | None) -> None:
    """Check that every value of `X` is one that a model can generate.

    Raises
    ------
    ValueError
        Naming the first column outside, and its first offending value.
    """
    lowest, highest = bounds
    complaint = f"The model generates values in [{lowest:g}, {highest:g}], but {{}}. Rescale or clip X, or choose "
    check_domain(X, Domain(lowest, highest), names, complaint + "another model.")


def column_moments(X: Table, names: NDArray | None) -> Moments:
    """Return the summary of the columns.

    Raises
    ------
    ValueError
        Naming a column whose values are too large to be standardized.
    """
    return measured(measure, X, names)


def measured(function: Callable[[Table], Any], X: Table, names: NDArray | None) -> Any:
    """Return what a function of the engine finds in a table, and name the column if it fails."""
    try:
        return function(X)
    except OverflowError as error:  # its argument is the number of the column: the engine has no names
        raise ValueError(
            f"Values of {labels_of(error.args, names)} of X are too far apart to be subtracted in float64, whose "
            "largest number is about 1e308. Rescale the column."
        ) from None


def extremes(before: NDArray | int, after: NDArray, names: NDArray | None) -> list[UserWarning]:
    """Return a warning of extreme values, if there are more in a column than before."""
    n_extreme = after - before
    if not n_extreme.any():
        return []
    message = (
        f"X holds {int(n_extreme.sum())} extreme values, more than {EXTREME_RANGES:.0f} interquartile ranges away from "
        f"the quartiles, in {labels_of(np.flatnonzero(n_extreme), names)}. They are left out where the scale of a "
        "column is determined. Correct them if they are wrong; else transform the column, for example by its logarithm."
    )
    return [UserWarning(message)]


def notices_of(X: Table, kind: str) -> list[UserWarning]:
    """Return warnings of values of an array that "auto" may have mistaken for real ones."""
    if KINDS[kind].domain.is_bounded:
        return []
    # Zeros that a sparse table omits count as values, but are not outside.
    n_values, values = X.shape[0] * X.shape[1], entries(X)
    count = int(((values < 0) | (values > 1)).sum())
    if count <= FEW_OUTSIDE * n_values and (outside := first_outside(X, UNIT_INTERVAL)):
        column, value = outside
        message = (
            f"visible='auto' takes X for real-valued because of {count} of {n_values} values, which are not in [0, 1]; "
            f"the first is {value:.7g} in {labels_of([column], None)}. Correct or clip them and set "
            "visible='bernoulli', or set visible='gaussian'."
        )
        return [UserWarning(message)]
    found = [f"{labels_of(columns, None)} with {what}" for what, columns in _discrete(X).items() if columns]
    if not found:
        return []
    message = (
        f"visible='auto' models every column of X by a normal density, also {' and '.join(found)}: samples are "
        "fractions there, and scores are densities instead of probabilities. Set visible='gaussian' if this is what "
        "you want."
    )
    return [UserWarning(message)]


def _discrete(X: Table) -> dict[str, list[int]]:
    """Return the columns that hold two values, and those that hold non-negative whole numbers."""
    rows = X[np.linspace(0, X.shape[0] - 1, min(X.shape[0], MAX_ROWS)).astype(np.intp)]
    columns = rows if isinstance(rows, np.ndarray) else rows.tocsc()
    found: dict[str, list[int]] = {"two values": [], "whole numbers": []}
    all_whole = 2 / np.finfo(X.dtype).eps  # beyond it, all floats are whole numbers
    for number in range(X.shape[1]):
        column = dense(columns[:, [number]])[:, 0]  # one at a time, for the memory of a sparse table
        column = column[~np.isnan(column)]
        if not len(column) or (low := column.min()) == (high := column.max()):
            continue
        if ((column == low) | (column == high)).all():
            found["two values"].append(number)
        elif low >= 0 and high < all_whole and (column == np.floor(column)).all():
            found["whole numbers"].append(number)
    return found


def labels_of(columns: Sequence[int] | NDArray, names: NDArray | None) -> str:
    """Return how messages refer to columns, by their names or their numbers."""
    shown = [str(column) if names is None else repr(str(names[column])) for column in columns[:MAX_NAMED]]
    more = f" and {len(columns) - MAX_NAMED} more" if len(columns) > MAX_NAMED else ""
    return f"column{'s' if len(columns) > 1 else ''} {', '.join(shown)}{more}"
