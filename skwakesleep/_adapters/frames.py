"""Columns of data frames as numbers: words, categories and missing values, with pandas and polars."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Number
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skwakesleep._adapters.sklearn_compat import is_pandas_na
from skwakesleep._adapters.tables import TEMPORAL, is_frame, not_a_number, objects, place_of, to_number

# Kinds whose values are numbers of categories.
NOMINAL = ("categorical", "ordinal")


@dataclass
class Column:
    """A column of the user's table.

    Attributes
    ----------
    name : object
        Its name, or its position.
    dtype : str
        The dtype that it has in the user's table.
    numbers : ndarray of float or None
        Its values, NaN where missing; None if they are not numbers.
    cells : ndarray of object or None
        Its values, None where missing; None if they are numbers.
    is_bool : bool
        Whether the values are true and false.
    order : list or None
        The categories in order, if they have one.
    """

    name: Any
    dtype: str
    numbers: Any = None
    cells: Any = None
    is_bool: bool = False
    order: list[Any] | None = None

    @property
    def place(self) -> str:
        """How messages refer to the column."""
        return place_of(self.name)

    def kind(self) -> str:
        """Return the kind that "auto" gives the column."""
        if self.numbers is None:
            return "ordinal" if self.order is not None else "categorical"
        return "bernoulli" if self.is_bool else kind_of_numbers(self.numbers)

    def categories(self) -> NDArray:
        """Return the categories that occur: in their own order, else sorted."""
        if self.numbers is not None:
            return np.unique(self.numbers[~np.isnan(self.numbers)])
        found = {cell for cell in self.cells if cell is not None}
        return np.array(sorted(found) if self.order is None else [each for each in self.order if each in found], object)

    def encoded(self, categories: NDArray | None, handle_unknown: str) -> NDArray:
        """Return the values as numbers: those of the categories, where there are some.

        Raises
        ------
        ValueError
            For an unknown category, and for words where there are no categories.
        """
        if categories is None:
            return self._as_numbers()
        numbers = {category: float(number) for number, category in enumerate(categories)}
        values = self.cells if self.numbers is None else [None if np.isnan(each) else each for each in self.numbers]
        codes = np.array([np.nan if each is None else numbers.get(each, -1.0) for each in values])
        if (codes == -1).any() and handle_unknown == "error":
            raise ValueError(
                f"{self.place} holds the category {values[int((codes == -1).argmax())]!r}, which was not seen in fit. "
                "Set handle_unknown='missing' to take unknown categories for missing values."
            )
        return np.where(codes == -1, np.nan, codes)

    def _as_numbers(self) -> NDArray:
        if self.numbers is None:
            word = next(cell for cell in self.cells if cell is not None)
            raise not_a_number(word, self.place, ValueError())
        return self.numbers


def kind_of_numbers(values: NDArray) -> str:
    """Return "bernoulli" for zeros and ones, "count" for whole numbers from zero on, otherwise "continuous"."""
    values = values[~np.isnan(values)]
    if not len(values) or (values < 0).any() or (values != np.floor(values)).any():
        return "continuous"
    return "bernoulli" if (values <= 1).all() else "count"


def columns_of(X: Any) -> Iterator[Column]:
    """Yield the columns of a data frame, or of an array or list of rows.

    Raises
    ------
    TypeError
        For columns of dates, and of objects that are neither numbers nor words.
    """
    if not is_frame(X):
        table = objects(X) if isinstance(X, Sequence) else np.asarray(X)
        for position, values in enumerate(table.T):
            yield _of_array(position, values)
    elif _is_polars(X):
        for name in X.columns:
            yield _of_polars(name, X[name])
    else:
        for name in X.columns:
            yield _of_pandas(name, X[name])


def _is_polars(X: Any) -> bool:
    return type(X).__module__.split(".")[0] == "polars"


def _of_array(name: Any, values: NDArray) -> Column:
    dtype = str(values.dtype)
    if values.dtype.kind in "biuf":
        return Column(name, dtype, numbers=values.astype(np.float64), is_bool=values.dtype.kind == "b")
    return _of_cells(name, dtype, [None if _is_missing(cell) else cell for cell in values.tolist()])


def _of_pandas(name: Any, series: Any) -> Column:
    types = sys.modules["pandas"].api.types
    dtype, kind = str(series.dtype), getattr(series.dtype, "kind", "O")
    if isinstance(series.dtype, types.CategoricalDtype):
        order = list(series.dtype.categories) if series.dtype.ordered else None
        return _of_cells(name, dtype, _with_none(series.astype(object)), order, words=True)
    if types.is_numeric_dtype(series.dtype) and kind != "c":
        numbers = series.to_numpy(dtype=np.float64, na_value=np.nan)
        return Column(name, dtype, numbers=numbers, is_bool=types.is_bool_dtype(series.dtype))
    return _of_cells(name, dtype, _with_none(series))


def _with_none(series: Any) -> list[Any]:
    """Return the cells of a series of pandas, None where missing."""
    return [None if missing else cell for cell, missing in zip(series, series.isna(), strict=True)]


def _of_polars(name: Any, series: Any) -> Column:
    polars, dtype = sys.modules["polars"], series.dtype
    if dtype == polars.Boolean or dtype.is_numeric():
        numbers = series.cast(polars.Float64).to_numpy()
        return Column(name, str(dtype), numbers=np.array(numbers), is_bool=dtype == polars.Boolean)
    return _of_cells(name, str(dtype), series.to_list())


def _of_cells(
    name: Any, dtype: str, cells: list[Any], order: list[Any] | None = None, *, words: bool = False
) -> Column:
    """Return the column of a list of Python objects, None where missing."""
    place, present = place_of(name), [cell for cell in cells if cell is not None]
    for cell in present:
        if isinstance(cell, TEMPORAL):
            raise TypeError(
                f"Expected numbers or words, but {place} holds the {type(cell).__name__} {cell}. Convert dates to "
                "numbers first, such as days since the first."
            )
    if not words and not all(isinstance(cell, str) for cell in present):
        numbers = np.array([np.nan if cell is None else to_number(cell, place) for cell in cells])
        return Column(name, dtype, numbers=numbers, is_bool=all(isinstance(cell, bool) for cell in present))
    values = np.empty(len(cells), object)
    values[:] = cells
    return Column(name, dtype, cells=values, order=order)


def _is_missing(cell: Any) -> bool:
    """Return whether a Python object stands for a missing value."""
    return cell is None or is_pandas_na(cell) or (isinstance(cell, Number) and cell != cell)


@dataclass
class TableFormat:
    """How a table that is given back looks like the one of the first fit.

    Attributes
    ----------
    library : str
        The library of its data frames; empty for an array.
    dtypes : list of str
        The dtypes of its columns.
    levels : list
        For each column of a dtype with fixed categories, all of them; otherwise None.
    ordered : list of bool
        Whether these have an order.
    """

    library: str
    dtypes: list[str]
    levels: list[list[Any] | None]
    ordered: list[bool]

    @classmethod
    def of(cls, X: Any, columns: Sequence[Column]) -> "TableFormat":
        """Return the format of a table."""
        library = type(X).__module__.split(".")[0] if is_frame(X) else ""
        levels = [_levels(X[column.name]) if library else None for column in columns]
        ordered = [column.order is not None for column in columns]
        return cls(library, [column.dtype for column in columns], levels, ordered)


def _levels(series: Any) -> list[Any] | None:
    """Return all categories of a series of pandas or polars whose dtype fixes them."""
    categories = getattr(series.dtype, "categories", None)
    if categories is None or not len(categories):
        return None
    return list(categories)
