"""Columns of data frames as numbers: words, categories and missing values, with pandas and polars."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skwakesleep._adapters.tables import TEMPORAL, is_frame, is_missing, objects, place_of, shown, to_number

# Kinds whose values are numbers of categories.
NOMINAL = frozenset({"categorical", "ordinal"})
# How the names of pandas' nullable dtypes of strings begin here; the storage follows. pandas' own are without it.
STRING = "string in "


@dataclass
class Column:
    """A column of the user's table.

    Attributes
    ----------
    name : object
        Its name, or its position.
    dtype : str
        The dtype that it has in the user's table.
    type : {"bool", "int", "float", "word"}
        What its values are. "word" stands for strings and for any categories of a dtype that lists them.
    values : ndarray
        Its values: floats, NaN where missing; for "word" objects, None where missing.
    levels : list or None
        All categories, if the dtype lists them.
    is_ordered : bool
        Whether these have an order.
    """

    name: Any
    dtype: str
    type: str
    values: NDArray
    levels: list[Any] | None = None
    is_ordered: bool = False

    @property
    def place(self) -> str:
        """How messages refer to the column."""
        return place_of(self.name)

    def kind(self) -> str:
        """Return the kind that "auto" gives the column."""
        if self.type == "word":
            return "ordinal" if self.is_ordered else "categorical"
        return "bernoulli" if self.type == "bool" else kind_of_numbers(self.values)

    def categories(self) -> NDArray:
        """Return the categories that occur: in the order of the dtype, else sorted."""
        if self.type != "word":
            return np.unique(self.values[~np.isnan(self.values)])
        found = set(self.values) - {None}
        return _array_of(sorted(found) if self.levels is None else [each for each in self.levels if each in found])

    def encoded(self, categories: NDArray | None, handle_unknown: str) -> NDArray:
        """Return the values as numbers: those of the categories, where there are some.

        Raises
        ------
        ValueError
            For an unknown category, and for words where there are no categories.
        """
        if categories is None:
            return (
                np.array([to_number(each, self.place) for each in self.values]) if self.type == "word" else self.values
            )
        numbers = {category: float(number) for number, category in enumerate(categories)}
        codes = np.array([np.nan if each is None or each != each else numbers.get(each, -1.0) for each in self.values])
        if (codes == -1).any() and handle_unknown == "error":
            unknown = self.values[[(codes == -1).argmax()]].tolist()[0]
            raise ValueError(
                f"{self.place} holds the category {unknown!r}, which was not seen in fit. "
                "Set handle_unknown='missing' to take unknown categories for missing values."
            )
        return np.where(codes == -1, np.nan, codes)


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
        For columns of dates, of words and numbers together, and of other objects.
    """
    if not is_frame(X):
        table = objects(X) if isinstance(X, Sequence) else np.asarray(X)
        for position, values in enumerate(table.T):
            yield _of_array(position, values)
    else:
        read = {"pandas": _of_pandas, "polars": _of_polars}[library_of(X)]
        for name in X.columns:
            yield read(name, X[name])


def library_of(X: Any) -> str:
    """Return the library of a data frame; others than polars have the interface of pandas."""
    return "polars" if type(X).__module__.split(".")[0] == "polars" else "pandas"


def _of_array(name: Any, values: NDArray) -> Column:
    if values.dtype.kind in "biuf":
        kind = {"b": "bool", "f": "float"}.get(values.dtype.kind, "int")
        return Column(name, str(values.dtype), kind, values.astype(np.float64))
    return _of_cells(name, str(values.dtype), values.tolist())


def _of_pandas(name: Any, series: Any) -> Column:
    pandas, dtype = import_module("pandas"), series.dtype
    types = pandas.api.types
    if types.is_numeric_dtype(dtype) and not types.is_complex_dtype(dtype):
        kind = "bool" if types.is_bool_dtype(dtype) else "int" if types.is_integer_dtype(dtype) else "float"
        return Column(name, str(dtype), kind, series.to_numpy(dtype=np.float64, na_value=np.nan))
    cells: Any = np.where(series.isna(), None, series.to_numpy(dtype=object))
    if isinstance(dtype, pandas.CategoricalDtype):
        return _of_cells(name, "category", cells, dtype.categories.tolist(), is_ordered=bool(dtype.ordered))
    return _of_cells(name, f"{STRING}{dtype.storage}" if str(dtype) == "string" else str(dtype), cells)


def _of_polars(name: Any, series: Any) -> Column:
    polars, dtype = import_module("polars"), series.dtype
    if dtype == polars.Boolean or dtype.is_numeric():
        kind = "bool" if dtype == polars.Boolean else "int" if dtype.is_integer() else "float"
        return Column(name, str(dtype), kind, np.array(series.cast(polars.Float64).to_numpy()))
    levels = dtype.categories.to_list() if dtype == polars.Enum else None
    return _of_cells(name, str(dtype.base_type()), series.to_list(), levels)


def _of_cells(
    name: Any, dtype: str, cells: list[Any], levels: list[Any] | None = None, *, is_ordered: bool = False
) -> Column:
    """Return the column of a list of Python objects."""
    cells = [None if is_missing(cell) else cell for cell in cells]
    present = [cell for cell in _distinct(cells) if cell is not None]
    _check_cells(present, place_of(name), may_mix=levels is not None)
    if levels is not None or all(isinstance(cell, str) for cell in present):
        return Column(name, dtype, "word", _array_of(cells), levels, is_ordered)
    kinds = {"bool": bool, "int": Integral, "float": object}
    kind = next(kind for kind, python in kinds.items() if all(isinstance(cell, python) for cell in present))
    return Column(name, dtype, kind, np.array([to_number(cell, place_of(name)) for cell in cells]))


def _check_cells(cells: list[Any], place: str, *, may_mix: bool) -> None:
    """Raise for dates, and for words and numbers together unless they may be mixed."""
    if date := next((cell for cell in cells if isinstance(cell, TEMPORAL)), None):
        raise TypeError(
            f"Expected numbers or words, but {place} holds the {type(date).__name__} {date}. Convert dates to numbers "
            "first, such as days since the first."
        )
    word, other = (
        next((cell for cell in cells if isinstance(cell, str) == is_word), None) for is_word in (True, False)
    )
    if word is not None and other is not None and not may_mix:
        raise TypeError(
            f"Expected numbers or words, but {place} holds both: {shown(word)} and {shown(other)}. Convert all its "
            "cells to words, for instance by astype(str), or all to numbers."
        )


def _distinct(cells: list[Any]) -> list[Any]:
    """Return the cells without repetitions, if they can be compared: one of those that are equal, such as 1 and 1.0."""
    try:
        return list(dict.fromkeys(cells))
    except TypeError:  # lists, for instance
        return cells


def _array_of(cells: list[Any]) -> NDArray:
    """Return an array of Python objects, also where these are sequences."""
    return np.fromiter(cells, object, len(cells))
