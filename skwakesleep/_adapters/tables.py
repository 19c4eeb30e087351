"""Conversion of the user's table to a float array or CSR matrix, with errors that name the column."""

import datetime
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from functools import partial
from numbers import Number
from reprlib import repr as shortened
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import assert_all_finite, check_array
from sklearn.utils.validation import validate_data

from skwakesleep._adapters.sklearn_compat import is_pandas_na
from skwakesleep._engine.machine.rows import Table

# Tables of these dtypes keep their precision, others become float64. The byte order is made native afterwards.
FLOAT_DTYPES = tuple(map(np.dtype, ("=f8", "=f4", "<f8", "<f4", ">f8", ">f4")))
# The single precision of NumPy in each byte order, of pandas and polars, and of Arrow.
SINGLE = {"float32", "<f4", ">f4", "Float32", "float[pyarrow]"}
# The attributes that scikit-learn's `validate_data` sets.
FITTED = ("n_features_in_", "feature_names_in_")
# NumPy would turn dates into numbers that depend on their unit.
TEMPORAL = (np.datetime64, np.timedelta64, datetime.date, datetime.time, datetime.timedelta)
NUMERIC_KINDS = frozenset("biufc")  # complex numbers are rejected by scikit-learn


class MissingValuesError(ValueError):
    """A table has missing values, and must have none."""


def check_table(
    estimator, X, *, reset: bool, accept_sparse="csr", dtype=None, allow_nan: bool = False
) -> tuple[Table, dict[str, Any]]:
    """Return `X` as a float array or CSR matrix, and the number and names of its columns as fitted attributes.

    By default the dtype is float32 if all columns are float32, and float64 otherwise. Arrays are in C order and in
    native byte order, so that results do not depend on the container. They share memory with `X` if it is such an
    array, and are not written to. The estimator is not changed either, so that a later error leaves it as it was.

    Raises
    ------
    TypeError
        If `X` is not a table, or is a masked array, whose mask would be ignored; for dates and other objects in a cell.
    ValueError
        For strings, missing or infinite values, repeated column names, and what scikit-learn rejects.
    """
    draft = copy(estimator)  # scikit-learn sets the fitted attributes, and compares them with those of an earlier fit
    convert = partial(validate_data, draft, reset=reset, accept_sparse=accept_sparse)
    table = _read(X, convert, dtype, allow_nan=allow_nan)
    return table, {name: value for name, value in vars(draft).items() if name in FITTED}


def check_matrix(X: Any, *, accept_sparse: Any = False) -> Any:
    """Return `X` as `check_table` does, without comparing its columns with those of a fit."""
    return _read(X, partial(check_array, accept_sparse=accept_sparse, input_name="X"))


def _read(X: Any, convert: Callable[..., Table], dtype: Any = None, *, allow_nan: bool = False) -> Any:
    check_type(X)
    has_missing = False
    for place, cells in _columns_of_objects(X):
        n_missing = sum(bool(np.isnan(to_number(cell, place))) for cell in cells)
        if n_missing and not allow_nan:
            raise _missing_values(place, n_missing)
        has_missing |= n_missing > 0
    if has_missing:
        X = _with_nan(X)
    # Finiteness is checked below, with the name of the column. C order, because sums depend on the order in memory.
    with np.errstate(over="ignore"):  # a long double too large for float64 is reported as infinity
        table = convert(X, dtype=dtype or _precision(X), ensure_all_finite=False, order="C")
    table = table.astype(table.dtype.newbyteorder("="), copy=False)
    if sparse.issparse(table) and not table.has_canonical_format:
        table = table.copy()  # entries are sorted and duplicates added up, but not in the user's table
        table.sum_duplicates()
    check_finite(table, list(X.columns) if is_frame(X) else range(table.shape[1]), allow_nan=allow_nan)
    return table


def is_missing(cell: Any) -> bool:
    """Return whether a Python object stands for a missing value."""
    if isinstance(cell, str):  # the most frequent objects; the test for pandas' missing value takes a microsecond
        return False
    return cell is None or is_pandas_na(cell) or (isinstance(cell, Number) and cell != cell)


def _with_nan(X: Any) -> NDArray:
    """Return an array of objects with NaN for missing values: NumPy cannot convert those of pandas."""
    cells = objects(X) if isinstance(X, Sequence) else X
    with np.errstate(invalid="ignore"):  # some versions of Python set this flag when they compare NaN
        missing = np.frompyfunc(is_missing, 1, 1)(cells).astype(bool)
    return np.where(missing, np.nan, cells.astype(object))


def is_frame(X: Any) -> bool:
    """Return whether `X` is a data frame."""
    return hasattr(X, "columns") and hasattr(X, "dtypes")


def _precision(X: Any) -> Any:
    """Return the dtypes to convert to, in the form of scikit-learn, which knows only dtypes of NumPy."""
    return np.float32 if is_frame(X) and has_single_precision(X) else FLOAT_DTYPES


def has_single_precision(X: Any) -> bool:
    """Return whether all columns of a data frame are in single precision."""
    return all(str(dtype) in SINGLE for dtype in X.dtypes)


def check_type(X: Any) -> None:
    """Raise if NumPy would turn `X` into a single object or would lose its mask, or if columns share a name."""
    if isinstance(X, np.ma.MaskedArray):
        raise TypeError("X is a masked array, and its mask would be ignored. Pass X.filled(value) instead.")
    array_like = isinstance(X, Sequence | Number) or sparse.issparse(X) or hasattr(X, "__array__")
    if isinstance(X, type) or not array_like:
        cure = "pandas.DataFrame(X)" if isinstance(X, Mapping) else "list(X) or an array"
        advice = f" Pass {cure}." if isinstance(X, Iterable) else ""
        raise TypeError(
            f"Expected an array, a data frame or a sparse matrix as X, but got an object of type "
            f"{type(X).__name__!r}.{advice}"
        )
    if is_frame(X):
        _check_names(X.columns)


def _check_names(names: Iterable[Any]) -> None:
    """Raise if columns share a name."""
    repeated = [repr(name) for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ValueError(
            f"Column names of X must be unique, but there are several columns named {', '.join(repeated)}. "
            "Rename or drop them."
        )


def _columns_of_objects(X: Any) -> Iterator[tuple[str, Iterable[Any]]]:
    """Yield the place and the cells of columns without a numeric dtype, whose cells must be checked one by one."""
    if is_frame(X):
        for name, dtype in zip(X.columns, X.dtypes, strict=True):
            if not _is_numeric(dtype):
                yield place_of(name), X[name]
        return
    if _is_numeric(getattr(X, "dtype", None)):  # no need to convert it to an array
        return
    values = objects(X) if isinstance(X, Sequence) else np.asarray(X)
    if _is_numeric(values.dtype):
        return
    if values.ndim == 2:
        yield from ((place_of(position), cells) for position, cells in enumerate(values.T))
    else:
        yield "X", values.ravel()


def _is_numeric(dtype: Any) -> bool:
    """Return whether a dtype of NumPy, pandas or polars is numeric."""
    if hasattr(dtype, "kind"):
        return dtype.kind in NUMERIC_KINDS
    return str(dtype) == "Boolean" or (hasattr(dtype, "is_numeric") and dtype.is_numeric())


def objects(rows: Sequence) -> NDArray:
    """Return an array of numbers or of Python objects: NumPy would turn numbers next to strings into strings."""
    try:
        values = np.asarray(rows)
        return values if _is_numeric(values.dtype) else np.asarray(rows, dtype=object)
    except ValueError:  # rows of different lengths, or lists in cells
        lengths = [len(row) if hasattr(row, "__len__") else 1 for row in rows]
        other = next((row for row, length in enumerate(lengths) if length != lengths[0]), None)
        if other is not None:
            raise ValueError(
                f"Rows of X must have the same length, but row 0 has {lengths[0]} values and row {other} has "
                f"{lengths[other]}."
            ) from None
    # Cell by cell: an assignment of whole rows would look into lists in cells.
    values = np.empty((len(rows), lengths[0]), object)
    for row, cells in enumerate(rows):
        for position, cell in enumerate(cells):
            values[row, position] = cell
    return values


def place_of(name: Any) -> str:
    """Return how messages refer to a column, by its name or its position."""
    return f"column {name!r} of X"


def to_number(cell: Any, place: str) -> float:
    """Return a cell as a number, NaN for a missing value; raise if it is neither."""
    if isinstance(cell, TEMPORAL):
        kind = type(cell).__name__
        raise TypeError(f"Expected numeric data, but {place} holds the {kind} {cell}. Convert dates to numbers first.")
    value = cell.item() if isinstance(cell, np.generic) else cell  # NumPy drops imaginary parts, Python rejects them
    try:
        if isinstance(value, np.ndarray):
            raise TypeError("an array is not a number")  # float() would accept an array of one number
        return np.nan if value is None else float(value)
    except OverflowError:
        raise _infinite_values(place, 1) from None
    except (TypeError, ValueError) as error:
        if is_pandas_na(value):
            return np.nan
        raise _not_a_number(value, place, error) from None


def _not_a_number(value: Any, place: str, error: Exception) -> Exception:
    """Return the error for a cell that is not a number, of the type of another."""
    advice = (
        f"Every cell must be a number ({error})."
        if isinstance(error, TypeError)
        else "Encode it first, for instance with sklearn.preprocessing.OneHotEncoder."
    )
    return type(error)(f"Expected numeric data, but {place} holds {shown(value)}. {advice}")


def shown(value: Any) -> str:
    """Return how messages show the value of a cell."""
    return f"the {'string' if isinstance(value, str) else type(value).__name__} {shortened(value)}"


def check_finite(table: Table, names: Sequence[Any], *, allow_nan: bool) -> None:
    """Raise for missing and infinite values, unless scikit-learn is configured to assume finite values."""
    # One sum in most cases. The search for the column follows only if it fails.
    try:
        with np.errstate(all="ignore"):  # its sums may overflow
            assert_all_finite(table, allow_nan=allow_nan)
    except ValueError:
        for wrong, error in ((np.isnan, _missing_values), (np.isinf, _infinite_values)):
            if wrong is np.isnan and allow_nan:
                continue
            if found := first_column(table, wrong):
                column, values = found
                raise error(place_of(names[column]), len(values)) from None


def dense(table: Any) -> NDArray:
    """Return a table as an array."""
    return table if isinstance(table, np.ndarray) else table.toarray()


def entries(table: Table) -> NDArray:
    """Return the values of a table, without the zeros that a sparse one omits."""
    return table if isinstance(table, np.ndarray) else table.data


def first_column(table: Table, condition: Callable[[NDArray], NDArray]) -> tuple[int, NDArray] | None:
    """Return the first column in which values meet a condition, which zeros must not, and these values."""
    if isinstance(table, np.ndarray):
        found = condition(table)
        columns = np.flatnonzero(found.any(axis=0))
        return (int(columns[0]), table[found[:, columns[0]], columns[0]]) if columns.size else None
    found = condition(table.data)
    columns = table.indices[found]
    return (int(columns.min()), table.data[found][columns == columns.min()]) if columns.size else None


def _missing_values(place: str, count: int) -> MissingValuesError:
    return MissingValuesError(
        f"Input X contains NaN: {place} has {count} missing value{'s' if count > 1 else ''}. Drop the rows or fill "
        "them, for instance with sklearn.impute.SimpleImputer."
    )


def _infinite_values(place: str, count: int) -> ValueError:
    return ValueError(
        f"Input X contains infinity or a value too large for float64: {place} has {count} such "
        f"value{'s' if count > 1 else ''}. Replace them or drop the rows."
    )
