"""Tables given back as they came in: data frames with their names, dtypes and categories."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skwakesleep._adapters.frames import STRING, Column, library_of
from skwakesleep._adapters.tables import is_frame

# Libraries of data frames.
LIBRARIES = ("pandas", "polars")
# How the names of pandas' dtypes of Arrow end.
ARROW = "[pyarrow]"


@dataclass
class TableFormat:
    """How a table is given back: as the one of the first fit came in. That of numeric arrays has no columns.

    Attributes
    ----------
    library : str
        The library of its data frames; empty for an array.
    names : list
        The names of its columns.
    dtypes : list of str
        Their dtypes.
    types : list of str
        What their values are, see `Column`.
    levels : list
        For each column whose dtype lists the categories, all of them; otherwise None.
    ordered : list of bool
        Whether these have an order.
    """

    library: str = ""
    names: list[Any] = field(default_factory=list)
    dtypes: list[str] = field(default_factory=list)
    types: list[str] = field(default_factory=list)
    levels: list[list[Any] | None] = field(default_factory=list)
    ordered: list[bool] = field(default_factory=list)

    @classmethod
    def of(cls, X: Any, columns: Sequence[Column]) -> "TableFormat":
        """Return the format of a table."""
        parts = ((each.dtype, each.type, each.levels, each.is_ordered) for each in columns)
        dtypes, types, levels, ordered = map(list, zip(*parts, strict=True))
        names = list(X.columns) if is_frame(X) else []
        return cls(library_of(X) if is_frame(X) else "", names, dtypes, types, levels, ordered)

    def table(self, values: NDArray, categories: list[Any], library: str = "", index: Any = None) -> Any:
        """Return values of a machine as a table.

        Parameters
        ----------
        values : ndarray of float of shape (n_rows, n_columns)
            The values, with numbers of categories.
        categories : list
            For each column its categories; None for columns without.
        library : {"", "pandas", "polars"}
            The library of the data frame. With "", a table with words is given back as it came in, others as arrays.
        index : Index, optional
            Index of a data frame of pandas.

        Returns
        -------
        table : ndarray or DataFrame
            An array of objects if it holds words.
        """
        library = library or (self.library if "word" in self.types else "")
        if not library:
            return _with_categories(values, categories)
        make = {"pandas": self._pandas_series, "polars": self._polars_series}[library]
        columns = [
            make(number, self._cells(number, column if own is None else _named(column, own)))
            for number, (column, own) in enumerate(zip(values.T, categories, strict=True))
        ]
        if library == "polars":
            names = map(str, self.names) if self.names else (f"column_{number}" for number in range(len(columns)))
            return import_module("polars").DataFrame(dict(zip(names, columns, strict=True)))
        frame = import_module("pandas").DataFrame(dict(enumerate(columns)))
        frame.columns = self.names or frame.columns
        return frame if index is None else frame.set_index(index)

    def _cells(self, number: int, values: NDArray) -> NDArray:
        """Return values of a column in the type that it had, whole numbers as floats where some are missing."""
        kind = self.types[number] if self.types else "float"
        if kind == "int":
            return _whole(values, self.dtypes[number])
        return values > 0.5 if kind == "bool" and not np.isnan(values).any() else values

    def _pandas_series(self, number: int, cells: NDArray) -> Any:
        pandas = import_module("pandas")
        series = pandas.Series(cells)
        if self.library != "pandas":
            return series
        levels, dtype = self.levels[number], self.dtypes[number]
        try:
            fixed = levels is not None
            return series.astype(pandas.CategoricalDtype(levels, self.ordered[number]) if fixed else _of_pandas(dtype))
        except (NotImplementedError, TypeError, ValueError):  # dtypes with parameters, and missing values in integers
            return series

    def _polars_series(self, number: int, cells: NDArray) -> Any:
        polars = import_module("polars")
        series = polars.Series(cells.tolist() if cells.dtype == object else cells, nan_to_null=True)
        if self.library != "polars":
            return series
        levels, dtype = self.levels[number], getattr(polars, self.dtypes[number], None)
        if dtype is None or dtype == polars.Object:  # dtypes with parameters, such as decimals
            return series
        return series.cast(dtype if levels is None else polars.Enum(levels))

    def check(self, n_columns: int) -> None:
        """Raise ValueError unless the library is known and there is an entry for each column."""
        if self.library and self.library not in LIBRARIES:
            raise ValueError(f"there are no data frames of {self.library!r}")
        lengths = {len(self.dtypes), len(self.types), len(self.levels), len(self.ordered)}
        lengths |= {len(self.names)} if self.library else set()
        if lengths not in ({n_columns}, {0}):
            raise ValueError(f"the format of tables is not of {n_columns} columns")


def _of_pandas(dtype: str) -> Any:
    """Return a dtype of pandas, given the name in a `Column`."""
    pandas = import_module("pandas")
    if dtype.startswith(STRING):
        return pandas.StringDtype(dtype.removeprefix(STRING))
    if dtype.endswith(ARROW):  # pandas would take Arrow's strings for its own
        return pandas.ArrowDtype(import_module("pyarrow").type_for_alias(dtype.removesuffix(ARROW)))
    return dtype


def _named(numbers: NDArray, categories: NDArray) -> NDArray:
    """Return the categories of numbers; None or NaN if the number is missing, or there is no category."""
    missing = np.full(1, None if categories.dtype == object else np.nan)
    with_missing = np.concatenate([categories, missing])
    return with_missing[np.where(np.isnan(numbers), -1, numbers).astype(np.intp)]


def _with_categories(values: NDArray, categories: list[Any]) -> NDArray:
    """Return an array with categories in place of their numbers, of objects if some are words."""
    if any(own is not None and own.dtype == object for own in categories):
        values = values.astype(object)
    for column, own in enumerate(categories):
        if own is not None:
            values[:, column] = _named(values[:, column].astype(np.float64), own)
    return values


def _whole(values: NDArray, dtype: str) -> NDArray:
    """Return the nearest whole numbers within the bounds of an integer dtype, as floats if some are missing."""
    try:
        bounds = np.iinfo(dtype.lower().removesuffix(ARROW))
    except (TypeError, ValueError):  # Python's integers, and those of 128 bits
        bounds = np.iinfo(np.int64)
    # The upper bound of 64 bits is no float.
    whole = np.rint(values.astype(np.float64)).clip(bounds.min, np.nextafter(bounds.max + 1.0, 0))
    return whole if np.isnan(whole).any() else whole.astype(bounds.dtype)
