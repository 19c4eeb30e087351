"""The kind of the columns of a table: detection, admissible values, and warnings."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skwakesleep._adapters.tables import check_table, first_column
from skwakesleep._engine.machine.columns import KINDS, Columns
from skwakesleep._engine.machine.families import Domain
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


@dataclass
class MachineTable:
    """A table of the user's as a machine reads it.

    Attributes
    ----------
    values : ndarray or csr_array of shape (n_rows, n_columns)
        The values, in the domain of their kind.
    kind : str
        The kind of the columns.
    attributes : dict of str to Any
        Fitted attributes that describe the columns.
    notices : list of UserWarning
        Warnings of values that "auto" may have mistaken for real ones.
    """

    values: Table
    kind: str
    attributes: dict[str, Any]
    notices: list[UserWarning]

    @property
    def names(self) -> NDArray | None:
        """Names of the columns, if they have any."""
        return self.attributes.get("feature_names_in_")

    def columns(self) -> Columns:
        """Return the columns as the units of a machine.

        Raises
        ------
        ValueError
            Naming a column whose values are too far apart to be standardized.
        """
        try:
            return Columns.of_table([self.kind] * self.values.shape[1], self.values)
        except OverflowError as error:
            raise _too_far_apart(error, self.names) from None


def read_machine_table(estimator: Any, X: Any, *, reset: bool) -> MachineTable:
    """Read the user's table for a machine, with the kind of columns found anew or fixed by an earlier fit.

    Raises
    ------
    ValueError
        For values outside the domain of their kind, and as `check_table`.
    TypeError
        As `check_table`.
    """
    values, attributes = check_table(estimator, X, reset=reset)
    names, found = attributes.get("feature_names_in_"), estimator.visible == "auto"
    if not reset:
        kind = estimator.visible_
    elif found:
        kind = _kind_found(values)
    else:
        kind = estimator.visible
    return MachineTable(
        in_domain(values, kind, names, found=found),
        kind,
        {**attributes, "visible_": kind},
        _notices(values, kind, names) if reset and found else [],
    )


def _kind_found(X: Table) -> str:
    """Return the first kind whose domain holds all values, up to rounding."""
    tolerances = _tolerances(X)
    return next(name for name, kind in KINDS.items() if first_outside(X, kind.domain, tolerances) is None)


def _tolerances(X: Table) -> NDArray | float:
    """Return how far outside the unit interval a value of each column may be."""
    if first_outside(X, UNIT_INTERVAL, 0.0) is None:
        return 0.0
    largest: Any = abs(X).max(axis=0)  # type: ignore[attr-defined]
    largest = largest if isinstance(X, np.ndarray) else largest.toarray().ravel()
    return DOMAIN_TOLERANCE * np.minimum(largest, 1)


def first_outside(X: Table, domain: Domain, tolerance: NDArray | float = DOMAIN_TOLERANCE) -> tuple[int, float] | None:
    """Return the first column of `X` with a value outside a domain that holds zero, and its first such value."""
    lowest, highest = domain
    values = X if isinstance(X, np.ndarray) else X.data
    if values.size == 0 or (values.min() >= lowest and values.max() <= highest):
        return None
    if not isinstance(X, np.ndarray) and isinstance(tolerance, np.ndarray):
        tolerance = tolerance[X.indices]
    found = first_column(X, lambda values: (values < lowest - tolerance) | (values > highest + tolerance))
    return None if found is None else (found[0], float(found[1][0]))


def _n_outside(X: Table) -> int:
    """Return the number of values outside the unit interval."""
    values = X if isinstance(X, np.ndarray) else X.data
    return int(((values < 0) | (values > 1)).sum())


def clipped(X: Table, domain: Domain, names: NDArray | None, complaint: str) -> Table:
    """Return `X`, or a copy in which values that rounding took out of a domain are clipped.

    Raises
    ------
    ValueError
        The complaint, with the first column outside and its first offending value in place of ``{}``.
    """
    if first_outside(X, domain, 0.0) is None:
        return X
    outside = first_outside(X, domain)
    if outside is None:
        lowest, highest = domain
        return np.clip(X, lowest, highest) if isinstance(X, np.ndarray) else X.minimum(highest).maximum(lowest)
    column, value = outside
    negative = "Negative values in data: " if value < 0 else ""  # scikit-learn's words
    raise ValueError(negative + complaint.format(f"{_label(column, names)} of X holds {value:.7g}"))


def in_domain(X: Table, visible: str, names: NDArray | None, *, found: bool) -> Table:
    """Return `X` if every value is in the domain of the kind, with rounding errors clipped in a copy.

    Parameters
    ----------
    X : {ndarray, csr_array} of shape (n_samples, n_features)
        What to check.
    visible : str
        The kind of the columns.
    names : ndarray of str or None
        Names of the columns, for the message.
    found : bool
        Whether the kind was found in earlier data rather than named by the user, for the message.

    Raises
    ------
    ValueError
        Naming the first column outside, its value, and the parameter to set.
    """
    domain = KINDS[visible].domain
    fixed, folds = "", ""
    if found:
        fixed = " (found in the data of the first fit or partial_fit)"
        folds = (
            " visible='auto' decides on the rows of each fit anew, so that folds of a cross-validation can differ: "
            "name the kind, visible='bernoulli' or visible='gaussian', to fix it."
        )
    return clipped(
        X,
        domain,
        names,
        f"{visible.capitalize()} columns must be in [{domain.lowest:g}, {domain.highest:g}]{fixed}, but {{}}. Rescale "
        f"or clip X, for example by MinMaxScaler(clip=True), or set visible='gaussian'.{folds}",
    )


def check_range(X: NDArray, bounds: tuple[float, float], names: NDArray | None) -> None:
    """Check that every value of `X` is one that a model can generate.

    Raises
    ------
    ValueError
        Naming the first column outside, and its first offending value.
    """
    outside = first_outside(X, Domain(*bounds))
    if outside:
        column, value = outside
        raise ValueError(
            f"The model generates values in [{bounds[0]:g}, {bounds[1]:g}], but {_label(column, names)} of X holds "
            f"{value:.7g}. Rescale or clip X, or choose another model."
        )


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
        raise _too_far_apart(error, names) from None


def _too_far_apart(error: OverflowError, names: NDArray | None) -> ValueError:
    return ValueError(
        f"Values of {_label(error.args[0], names)} of X are too far apart to be subtracted in float64, whose largest "
        "number is about 1e308. Rescale the column."
    )


def extremes(before: NDArray | int, after: NDArray, names: NDArray | None) -> list[UserWarning]:
    """Return a warning of extreme values, if there are more in a column than before."""
    n_extreme = after - before
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


def _notices(X: Table, kind: str, names: NDArray | None) -> list[UserWarning]:
    """Return warnings of values that "auto" may have mistaken for real ones."""
    if KINDS[kind].domain.is_bounded:
        return []
    n_values = X.shape[0] * X.shape[1]
    count = _n_outside(X)
    if count <= FEW_OUTSIDE * n_values and (outside := first_outside(X, UNIT_INTERVAL)):
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
