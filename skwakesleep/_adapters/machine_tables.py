"""The user's table as a machine reads it: values, kinds and categories of its columns."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from skwakesleep._adapters.frames import NOMINAL, columns_of
from skwakesleep._adapters.kinds import (
    asked_kinds,
    in_domain,
    is_auto,
    kind_of_array,
    labels_of,
    measured,
    named_kinds,
    notices_of,
)
from skwakesleep._adapters.table_format import TableFormat
from skwakesleep._adapters.tables import (
    FITTED,
    SINGLE,
    check_finite,
    check_table,
    check_type,
    is_frame,
    objects,
)
from skwakesleep._engine.machine.columns import Columns
from skwakesleep._engine.machine.holes import columns_with_holes, observed_values
from skwakesleep._engine.machine.rows import Table


@dataclass
class MachineTable:
    """A table of the user's as a machine reads it.

    Attributes
    ----------
    values : ndarray or csr_array of shape (n_rows, n_columns)
        The values, in the domain of their kind: numbers of categories, NaN where missing.
    attributes : dict of str to Any
        Fitted attributes that describe the columns, with their kinds and categories.
    notices : list of UserWarning
        Warnings of values that "auto" may have mistaken for others, and of columns without values.
    """

    values: Table
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
        kinds = self.attributes["visible_"].tolist()
        return measured(lambda X: Columns.of_table(kinds, X), self.values, self.names)


def read_machine_table(estimator: Any, X: Any, *, reset: bool) -> MachineTable:
    """Read the user's table for a machine, with the kinds of columns found anew or fixed by an earlier fit.

    Raises
    ------
    ValueError
        For values outside the domain of their kind, unknown categories, and as `check_table`.
    TypeError
        As `check_table`.
    """
    check_type(X)
    values: Table
    if is_frame(X) or not NOMINAL.isdisjoint(named_kinds(estimator.visible if reset else estimator.visible_)):
        values, attributes = _read_columns(estimator, X, reset=reset)
    else:
        values, attributes = _read_numbers(estimator, X, reset=reset)
    names, kinds, found = attributes.get("feature_names_in_"), attributes["visible_"], is_auto(estimator.visible)
    notices = notices_of(values, kinds[0]) if reset and found and not is_frame(X) else []
    for kind in dict.fromkeys(kinds):
        values = in_domain(values, kinds == kind, kind, names, found=found)
    return MachineTable(values, attributes, notices + (_unobserved(values, names) if reset else []))


def check_descriptions(kinds: NDArray, categories: list[Any], n_columns: int) -> None:
    """Raise ValueError unless there is a kind for each column, and categories for those of a kind that has some."""
    if len(kinds) != n_columns or len(categories) != n_columns:
        raise ValueError(f"visible_ and categories_ are not of {n_columns} columns")
    if any(isinstance(own, np.ndarray) != (kind in NOMINAL) for kind, own in zip(kinds, categories, strict=True)):
        raise ValueError("there are categories_ of other columns than visible_ says")


def _read_numbers(estimator: Any, X: Any, *, reset: bool) -> tuple[Table, dict[str, Any]]:
    """Return an array of numbers without categories, and the fitted attributes that describe it."""
    values, attributes = check_table(estimator, X, reset=reset, allow_nan=True)
    if not reset:
        return values, {**attributes, "visible_": estimator.visible_}
    n_columns = values.shape[1]
    auto = is_auto(estimator.visible)
    kinds = np.full(n_columns, kind_of_array(values), object) if auto else asked_kinds(estimator.visible, values)
    return values, {**attributes, "visible_": kinds, "categories_": [None] * n_columns, "_format": TableFormat()}


def _read_columns(estimator: Any, X: Any, *, reset: bool) -> tuple[NDArray, dict[str, Any]]:
    """Return a table whose columns may hold words, as numbers, and the fitted attributes that describe it."""
    draft = copy(estimator)
    X = validate_data(draft, X, reset=reset, skip_check_array=True) if is_frame(X) else _objects_of(draft, X, reset)
    columns = list(columns_of(X))
    if not reset:
        kinds, categories = estimator.visible_, estimator.categories_
    else:
        auto = is_auto(estimator.visible)
        kinds = np.array([column.kind() for column in columns], object) if auto else asked_kinds(estimator.visible, X)
        described = zip(columns, kinds, strict=True)
        categories = [column.categories() if kind in NOMINAL else None for column, kind in described]
    encoded = [column.encoded(own, estimator.handle_unknown) for column, own in zip(columns, categories, strict=True)]
    values = np.stack(encoded, axis=1) if encoded else np.empty((len(X), 0))
    dtype = np.float32 if all(column.dtype in SINGLE for column in columns) else np.float64
    values = check_array(values, dtype=dtype, ensure_all_finite=False, order="C")
    check_finite(values, [column.name for column in columns], allow_nan=True)
    attributes = {name: value for name, value in vars(draft).items() if name in FITTED}
    if reset:
        attributes |= {"categories_": categories, "_format": TableFormat.of(X, columns)}
    return values, {**attributes, "visible_": kinds}


def _objects_of(draft: Any, X: Any, reset: bool) -> NDArray:
    """Return an array of numbers and words with two dimensions, in the user's order."""
    table = objects(X) if isinstance(X, Sequence) else X
    return validate_data(draft, table, reset=reset, dtype=None, ensure_all_finite=False)


def _unobserved(X: Table, names: NDArray | None) -> list[UserWarning]:
    """Return a warning of columns without a value."""
    n_missing = np.zeros(X.shape[1], int)
    for column in columns_with_holes(X):
        n_missing[column] = X.shape[0] - len(observed_values(X, column))
    empty = np.flatnonzero(n_missing == X.shape[0])
    if not len(empty):
        return []
    return [UserWarning(f"X holds no value in {labels_of(empty, names)}: nothing can be learned of it.")]
