"""The columns of a table as the visible units of a machine, in blocks of one kind each."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import sparse

from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.arrays.random import Noise
from skwakesleep._engine.machine.cell_codecs import Categories, Levels
from skwakesleep._engine.machine.codecs import Codec, Standardization, States, UnitInterval
from skwakesleep._engine.machine.families import Bernoulli, Cells, ColumnFamily, Domain, Gaussian, Group
from skwakesleep._engine.machine.holes import columns_with_holes, observed_values
from skwakesleep._engine.machine.interval_codecs import Counts, Intervals
from skwakesleep._engine.training.layout import Shapes, Views


class Kind(NamedTuple):
    """A kind of column: the family of its units, and the codec between the two."""

    family: type[ColumnFamily]
    codec: type[Any]

    @property
    def domain(self) -> Domain:
        """Admissible values."""
        return self.codec.domain


# The kinds of columns by name, the more special first: `visible="auto"` takes the first whose domain holds all values.
KINDS: dict[str, Kind] = {
    "bernoulli": Kind(Bernoulli, UnitInterval),
    "gaussian": Kind(Gaussian, Standardization),
    "categorical": Kind(Cells, Categories),
    "ordinal": Kind(Cells, Levels),
    "count": Kind(Cells, Counts),
    "continuous": Kind(Cells, Intervals),
}


class Block:
    """Columns of one kind.

    Parameters
    ----------
    codec : Codec
        Translates them into units.
    columns : ndarray of int
        Their places in the table.
    """

    def __init__(self, codec: Codec, columns: NDArray) -> None:
        self.codec = codec
        self.columns = columns


class Run(NamedTuple):
    """A block with its family, the places of its columns in the table and of its units in the visible layer."""

    family: ColumnFamily
    codec: Codec
    columns: NDArray
    units: slice

    @property
    def width(self) -> int:
        """Number of units."""
        return self.units.stop - self.units.start


class Columns:
    """All columns of a table: one family, made of a block for each kind of column.

    Parameters
    ----------
    blocks : dict of str to Block
        Blocks by the name of their kind. Each column is in one of them.
    with_holes : sequence of int, default=()
        Columns with missing values, for which the recognition network has indicators if they have units.

    Attributes
    ----------
    n_units : int
        Number of visible units.
    log_volume : float
        Log of the volume, in the user's units, of a cube of one unit.
    n_columns : int
        Number of columns.
    order : ndarray of int
        Numbers of the columns, block by block.
    are_units : bool
        Whether each column is one unit, in the same order.
    is_binary : bool
        Whether all units are binary.
    uses_natural : bool
        Whether a family needs natural parameters for the gradient of its own parameters.
    """

    def __init__(self, blocks: dict[str, Block], with_holes: Sequence[int] | NDArray = ()) -> None:
        self.blocks = blocks
        self.runs: list[Run] = []
        start = 0
        for kind, block in blocks.items():
            stop = start + block.codec.n_units
            family = KINDS[kind].family.of_codec(block.codec)
            self.runs.append(Run(family, block.codec, block.columns, slice(start, stop)))
            start = stop
        self.n_units = start
        self.n_columns = sum(len(run.columns) for run in self.runs)
        self.order = np.concatenate([run.columns for run in self.runs])
        self.log_volume = float(np.concatenate([run.codec.log_volume for run in self.runs]).sum())
        self.is_binary = all(run.family.is_binary for run in self.runs)
        self.uses_natural = any(run.family.uses_natural for run in self.runs)
        # A column without units has no indicator: it always has the same value.
        self.with_holes = np.intersect1d(np.asarray(with_holes, np.intp), self._column_of_unit)
        self.are_units = np.array_equal(self._column_of_unit, np.arange(self.n_columns))

    @classmethod
    def of_table(cls, kinds: Sequence[str], table: NDArray | sparse.csr_array) -> Self:
        """Return the columns of a table, given the kind of each. Missing values are NaN.

        Raises
        ------
        OverflowError
            If the values of a column are too far apart for float64; the argument is the number of the column.
        """
        blocks = {}
        for kind in dict.fromkeys(kinds):
            columns = np.flatnonzero(np.asarray(kinds) == kind)
            own = table if len(columns) == table.shape[1] else table[:, columns]
            try:
                blocks[kind] = Block(KINDS[kind].codec.of_table(own), columns)
            except OverflowError as error:
                raise OverflowError(int(columns[error.args[0]])) from None
        # An indicator of a column without any value would be a second intercept.
        with_holes = [column for column in columns_with_holes(table) if len(observed_values(table, column))]
        return cls(blocks, with_holes)

    # ------------------------------------------------------------------ columns

    def _by_unit(self, attribute: str) -> NDArray:
        """Return an attribute of the codecs that has a value for each unit, ``(n_units,)``."""
        return np.concatenate([getattr(run.codec, attribute) for run in self.runs])

    def _by_column(self, attribute: str) -> NDArray:
        """Return an attribute of the codecs that has a value for each column, ``(n_columns,)``."""
        parts = [getattr(run.codec, attribute) for run in self.runs]
        values = np.empty(self.n_columns, parts[0].dtype)
        for run, part in zip(self.runs, parts, strict=True):
            values[run.columns] = part
        return values

    @cached_property
    def neutral(self) -> NDArray:
        """Natural parameter of each unit at which it does not count if it is missing."""
        return np.concatenate([np.full(run.width, run.family.neutral) for run in self.runs])

    @property
    def means(self) -> NDArray:
        """Mean of each unit in the data."""
        return self._by_unit("means")

    @property
    def n_active(self) -> float:
        """Mean squared norm of a row of units; for binary units the mean number of ones."""
        return sum(run.codec.n_active for run in self.runs)

    @property
    def dispersion(self) -> float:
        """Variance of the data, relative to that of draws with the same means; the mean over all units."""
        return sum(run.codec.dispersion * run.width for run in self.runs) / max(1, self.n_units)

    @property
    def keeps_zeros(self) -> bool:
        """Whether zeros of the columns are zeros of the units, in the same places."""
        return self.are_units and not len(self.with_holes) and all(run.codec.keeps_zeros for run in self.runs)

    @property
    def follow_rows(self) -> bool:
        """Whether units depend on the rows, so that a stream may need new ones."""
        return any(run.codec.follows_rows for run in self.runs)

    @property
    def n_extreme(self) -> NDArray:
        """Number of extreme values in each column so far."""
        return self._by_column("n_extreme")

    @property
    def largest_input(self) -> NDArray:
        """Absolute value at which the recognition network clips each unit."""
        return np.concatenate([np.full(run.width, run.codec.largest_input) for run in self.runs])

    @property
    def location(self) -> NDArray:
        """Subtracted from each column."""
        return self._by_column("location")

    @property
    def scale(self) -> NDArray:
        """Divisor of each column."""
        return self._by_column("scale")

    def encode(self, columns: NDArray, dtype: DTypeLike | None = None) -> NDArray:
        """Return the units of columns ``(B, n_columns)``, by default in their dtype.

        The array is the same if each column is one unit in its place, and the dtype is the same.
        """
        dtype = columns.dtype if dtype is None else np.dtype(dtype)
        in_place = self.are_units and columns.dtype == dtype
        units = columns if in_place else np.empty((len(columns), self.n_units), dtype)
        for run in self.runs:
            run.codec.encode(columns[:, run.units] if self.are_units else columns[:, run.columns], units[:, run.units])
        return units

    def log_base(self, columns: NDArray, missing: NDArray | None) -> NDArray | None:
        """Return what the values of each row add to its log-probability, whatever the parameters, ``(B,)``, in nats.

        This is the log-probability of cells in the data, and the volume that a missing column does not have.
        """
        parts = [run.codec.log_base(columns[:, run.columns]) for run in self.runs if run.codec.has_base]
        if missing is not None:
            parts.append(missing @ self._by_column("log_volume"))
        return np.sum(parts, axis=0) if parts else None

    def of_units(self, by_column: NDArray) -> NDArray:
        """Return for each unit what an array ``(B, n_columns)`` holds of its column."""
        return by_column if self.are_units else by_column[:, self._column_of_unit]

    @cached_property
    def _column_of_unit(self) -> NDArray:
        return np.concatenate([np.repeat(run.columns, run.codec.widths) for run in self.runs])

    def decode(self, units: NDArray, noise: Noise | None = None) -> NDArray:
        """Return the columns ``(..., n_columns)`` of units, in the same array if each column is one unit in its place.

        Values within a cell are drawn, or without noise are the mean of the cell.
        """
        columns = units if self.are_units else np.empty((*units.shape[:-1], self.n_columns), units.dtype)
        for run in self.runs:
            columns[..., run.columns] = run.codec.decode(units[..., run.units], noise)
        return columns

    def root(self, units: NDArray, missing: NDArray | None) -> NDArray:
        """Return the input of the recognition network for units ``(B, K, N)`` of which some are missing.

        Missing units have the mean of the data. Indicators tell which columns are missing, of those that ever were when
        the machine was made.
        """
        if missing is not None:
            units = np.where(missing, self.means.astype(units.dtype), units)
        if not len(self.with_holes):
            return units
        indicators = np.zeros((*units.shape[:-1], len(self.with_holes)), units.dtype)
        if missing is not None:
            # Their squares add up to at most one. Otherwise hundreds of them dominate the input (12 nats on tmovie).
            indicators[...] = missing[..., self._first_unit[self.with_holes]] / np.sqrt(len(self.with_holes))
        return np.concatenate([units, indicators], axis=-1)

    @cached_property
    def _first_unit(self) -> NDArray:
        """A unit of each column that has one."""
        units = np.zeros(self.n_columns, np.intp)
        units[self._column_of_unit[::-1]] = np.arange(self.n_units)[::-1]
        return units

    def place(self, column: int) -> tuple[Run, int]:
        """Return the run of a column, and its place there."""
        for run in self.runs:
            for own in np.flatnonzero(run.columns == column):
                return run, int(own)
        raise IndexError(column)

    def completions(self, units: NDArray, missing: NDArray, limit: int) -> States | None:
        """Return all ways to complete the units ``(N,)`` of a row, with what the completed columns add to `log_base`.

        None if there are more than `limit`, or infinitely many.
        """
        whole = States(units[np.newaxis], np.zeros(1))
        for run in self.runs:
            stops = run.units.start + np.cumsum(np.broadcast_to(run.codec.widths, len(run.columns)))
            for column, (start, stop) in enumerate(zip([run.units.start, *stops[:-1]], stops, strict=True)):
                if start == stop or not missing[start]:
                    continue
                states = run.codec.states(column)
                if states is None or len(states.units) * len(whole.units) > limit:
                    return None
                completed = np.repeat(whole.units, len(states.units), axis=0)
                completed[:, start:stop] = np.tile(states.units, (len(whole.units), 1))
                whole = States(completed, np.add.outer(whole.log_base, states.log_base).ravel())
        return whole

    def bounded(self, units: NDArray) -> NDArray:
        """Return units as the recognition network sees them: `units` itself, or a copy without extreme values."""
        copied = units
        for run in self.runs:
            part, largest = units[..., run.units], run.codec.largest_input
            if np.isfinite(largest) and part.size and max(part.max(), -part.min()) > largest:
                copied = units.copy() if copied is units else copied
                np.clip(part, -largest, largest, out=copied[..., run.units])
        return copied

    def merged(self, rows: "Columns") -> "Columns":
        """Return columns for the rows so far and others, with the units of these columns if they are suitable."""
        return self._paired(rows, lambda own, other: own.merged(other))

    def renewed(self, rows: "Columns") -> "Columns":
        """Return columns for other rows, with the units of these columns if they are suitable."""
        return self._paired(rows, lambda own, other: own.renewed(other))

    def _paired(self, rows: "Columns", choose: Callable[[Any, Any], Codec]) -> "Columns":
        codecs = {kind: choose(block.codec, rows.blocks[kind].codec) for kind, block in self.blocks.items()}
        blocks = {kind: Block(codecs[kind], block.columns) for kind, block in self.blocks.items()}
        return Columns(blocks, self.with_holes)

    def check(self) -> None:
        """Raise ValueError unless each column is in one block, and its location and scale are finite."""
        if not np.array_equal(np.sort(self.order), np.arange(self.n_columns)):
            raise ValueError(f"the blocks are not of {self.n_columns} columns")
        for run in self.runs:
            run.codec.check(len(run.columns))
        with np.errstate(all="ignore"):
            encoded = self.encode(np.zeros((1, self.n_columns)))
        if not np.isfinite([self.log_volume, *encoded.flat]).all():
            raise ValueError("the visible columns have no finite location and scale")

    # ------------------------------------------------------------------ family

    def _parts(self, *arrays: NDArray | None) -> Iterator[tuple[Any, ...]]:
        """Yield the family of each block, and its part of each array."""
        if len(self.runs) == 1:
            yield self.runs[0].family, *arrays
            return
        for run in self.runs:
            yield run.family, *(None if array is None else array[..., run.units] for array in arrays)

    def shapes(self, n_units: int) -> Shapes:
        """Return the shapes of the families' own parameters."""
        shapes: Shapes = {}
        for run in self.runs:
            shapes |= run.family.shapes(run.width)
        return shapes

    def initial(self, means: NDArray) -> Views:
        """Return the parameters of a layer without weights whose units have the given means."""
        parts = [family.initial(own) for family, own in self._parts(means)]
        merged = {name: values for part in parts for name, values in part.items()}
        return {**merged, "intercept": np.concatenate([part["intercept"] for part in parts])}

    def mean(self, natural: NDArray, out: NDArray, backend: NumpyBackend) -> NDArray:
        """Write the expected values of the units into `out`, which may be `natural`."""
        for family, own, own_out in self._parts(natural, out):
            family.mean(own, own_out, backend)
        return out

    def sample(self, params: Views, natural: NDArray, noise: Noise, out: NDArray, backend: NumpyBackend) -> NDArray:
        """Draw units into `out`, given their natural parameters."""
        for family, own, own_out in self._parts(natural, out):
            family.sample(params, own, noise, own_out, backend)
        return out

    def thresholds(self, params: Views, noise: Noise, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray:
        """Draw the random part of units before their natural parameters are known."""
        parts = [run.family.thresholds(params, noise, (*shape[:-1], run.width), dtype) for run in self.runs]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)

    def decide(self, natural: NDArray, thresholds: NDArray, out: NDArray) -> NDArray:
        """Write units made of natural parameters and thresholds into `out`."""
        start = 0
        for run in self.runs:  # there is one threshold for each column
            stop = start + len(run.columns)
            run.family.decide(natural[..., run.units], thresholds[..., start:stop], out[..., run.units])
            start = stop
        return out

    def groups(self, n_units: int) -> list[Group]:
        """Return the groups of units that an autoregressive layer draws one after the other: the columns."""
        return [
            Group(family, run.units.start + start, run.units.start + stop)
            for run in self.runs
            for family, start, stop in run.family.groups(run.width)
        ]

    def unnormalized_log_prob(self, params: Views, natural: NDArray, target: NDArray, backend: NumpyBackend) -> NDArray:
        """Return the log-probability of `target` plus its log-normalizer, ``(B, K)``, in nats."""
        first, *rest = (
            family.unnormalized_log_prob(params, own, own_target, backend)
            for family, own, own_target in self._parts(natural, target)
        )
        return sum(rest, start=first)

    def log_normalizer(
        self,
        params: Views,
        natural: NDArray,
        mean: NDArray | None,
        backend: NumpyBackend,
        missing: NDArray | None = None,
    ) -> NDArray | float:
        """Return the log-normalizer in nats, and write expected units into `mean`, if given."""
        total: Any = self.log_volume
        for family, own, own_mean, own_missing in self._parts(natural, mean, missing):
            total = total + family.log_normalizer(params, own, own_mean, backend, own_missing)
        return total

    def residual(self, params: Views, mean: NDArray, target: NDArray, out: NDArray) -> NDArray:
        """Write the gradient of the log-probability with respect to the natural parameters into `out`."""
        for family, *arrays in self._parts(mean, target, out):
            family.residual(params, *arrays)
        return out

    def curvature(self, params: Views, mean: NDArray) -> NDArray:
        """Return the negative derivative of the residual with respect to the natural parameters."""
        parts = [family.curvature(params, own) for family, own in self._parts(mean)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)

    def gradient(
        self,
        params: Views,
        natural: NDArray | None,
        target: NDArray,
        residual: NDArray,
        weights: NDArray,
        grad: Views,
        missing: NDArray | None = None,
    ) -> None:
        """Write the weighted gradient with respect to the families' own parameters into `grad`."""
        for family, own, own_target, own_residual, own_missing in self._parts(natural, target, residual, missing):
            family.gradient(params, own, own_target, own_residual, weights, grad, own_missing)

    def intercept_pull(self, intercept: NDArray) -> NDArray:
        """Return the gradient of the log-prior of the intercepts."""
        pull = np.zeros_like(intercept)
        for family, own, out in self._parts(intercept, pull):
            own_pull = family.intercept_pull(own)
            if own_pull is not None:
                out[...] = own_pull
        return pull

    def damping(self, params: Views) -> NDArray | None:
        """Return factors of the steps of each unit's weights and intercept; None for no damping."""
        parts = [run.family.damping(params) for run in self.runs]
        if all(part is None for part in parts):
            return None
        factors = zip(self.runs, parts, strict=True)
        return np.concatenate([np.ones(run.width) if part is None else part for run, part in factors])
