"""The columns of a table as the visible units of a machine, in blocks of one kind each."""

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import sparse

from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.arrays.random import Noise
from skwakesleep._engine.machine.codecs import Codec, Standardization, UnitInterval
from skwakesleep._engine.machine.families import Bernoulli, ColumnFamily, Domain, Family, Gaussian
from skwakesleep._engine.training.layout import Shapes, Views


class Kind(NamedTuple):
    """A kind of column: the family of its units, and the codec between the two."""

    family: type[ColumnFamily]
    codec: type[Any]

    @property
    def domain(self) -> Domain:
        """Admissible values."""
        return self.family.domain


# The kinds of columns by name, the more special first: `visible="auto"` takes the first whose domain holds all values.
KINDS: dict[str, Kind] = {
    "bernoulli": Kind(Bernoulli, UnitInterval),
    "gaussian": Kind(Gaussian, Standardization),
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
    """A block with the family and the places of its units in the visible layer."""

    family: ColumnFamily
    codec: Codec
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

    Attributes
    ----------
    n_units : int
        Number of visible units.
    log_volume : float
        Log of the volume, in the user's units, of a cube of one unit.
    order : ndarray of int or None
        The column of each unit; None if units are in the order of the columns.
    uses_natural : bool
        Whether a family needs natural parameters for the gradient of its own parameters.
    """

    def __init__(self, blocks: dict[str, Block]) -> None:
        self.blocks = blocks
        self.runs: list[Run] = []
        start = 0
        for kind, block in blocks.items():
            stop = start + len(block.columns)
            family = KINDS[kind].family.of_codec(block.codec)
            self.runs.append(Run(family, block.codec, slice(start, stop)))
            start = stop
        self.n_units = start
        self.log_volume = float(self._of_codecs("log_volume").sum())
        self.uses_natural = any(run.family.uses_natural for run in self.runs)
        order = np.concatenate([block.columns for block in blocks.values()])
        self.order = None if np.array_equal(order, np.arange(len(order))) else order

    @classmethod
    def of_table(cls, kind: str, table: NDArray | sparse.csr_array) -> Self:
        """Return the columns of a table, all of one kind.

        Raises
        ------
        OverflowError
            If the values of a column are too far apart for float64; the argument is the number of the column.
        """
        return cls({kind: Block(KINDS[kind].codec.of_table(table), np.arange(table.shape[1]))})

    # ------------------------------------------------------------------ columns

    def _of_codecs(self, attribute: str) -> NDArray:
        """Return an attribute of the codecs for each unit, ``(n_units,)``."""
        return np.concatenate([getattr(run.codec, attribute) for run in self.runs])

    @property
    def means(self) -> NDArray:
        """Mean of each unit in the data."""
        return self._of_codecs("means")

    @property
    def n_active(self) -> float:
        """Mean squared norm of a row of units; for binary units the mean number of ones."""
        return sum(run.codec.n_active for run in self.runs)

    @property
    def keeps_zeros(self) -> bool:
        """Whether zeros of the columns are zeros of the units, in the same places."""
        return self.order is None and all(run.codec.keeps_zeros for run in self.runs)

    @property
    def follow_rows(self) -> bool:
        """Whether units depend on the rows, so that a stream may need new ones."""
        return any(run.codec.follows_rows for run in self.runs)

    @property
    def location(self) -> NDArray:
        """Subtracted from each column."""
        return self._by_column(self._of_codecs("location"))

    @property
    def scale(self) -> NDArray:
        """Divisor of each column."""
        return self._by_column(self._of_codecs("scale"))

    @property
    def n_extreme(self) -> NDArray:
        """Number of extreme values in each column so far."""
        return self._by_column(self._of_codecs("n_extreme"))

    @property
    def largest_input(self) -> NDArray:
        """Absolute value at which the recognition network clips each unit."""
        return np.concatenate([np.full(run.width, run.codec.largest_input) for run in self.runs])

    def _by_column(self, by_unit: NDArray) -> NDArray:
        return by_unit if self.order is None else by_unit[np.argsort(self.order)]

    def encode(self, columns: NDArray) -> NDArray:
        """Turn columns ``(..., n_columns)`` into units, in place."""
        if self.order is not None:
            columns[...] = columns[..., self.order]
        for run in self.runs:
            run.codec.encode(columns[..., run.units])
        return columns

    def decode(self, units: NDArray) -> NDArray:
        """Turn units ``(..., n_units)`` into columns, in place."""
        for run in self.runs:
            run.codec.decode(units[..., run.units])
        if self.order is not None:
            units[..., self.order] = units.copy()
        return units

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
        return Columns({kind: Block(codecs[kind], block.columns) for kind, block in self.blocks.items()})

    def check(self) -> None:
        """Raise ValueError unless each column is in one block, and its location and scale are finite."""
        places = np.concatenate([block.columns for block in self.blocks.values()])
        if not np.array_equal(np.sort(places), np.arange(self.n_units)):
            raise ValueError(f"the blocks are not of {self.n_units} columns")
        for run in self.runs:
            run.codec.check(run.width)
        with np.errstate(all="ignore"):
            encoded = self.encode(np.zeros((1, self.n_units)))
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

    def sample(self, params: Views, mean: NDArray, noise: Noise, out: NDArray) -> NDArray:
        """Draw units with the given means into `out`."""
        for family, own, own_out in self._parts(mean, out):
            family.sample(params, own, noise, own_out)
        return out

    def thresholds(self, params: Views, noise: Noise, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray:
        """Draw the random part of units before their natural parameters are known."""
        parts = [run.family.thresholds(params, noise, (*shape[:-1], run.width), dtype) for run in self.runs]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)

    def decide(self, natural: NDArray, thresholds: NDArray, out: NDArray) -> NDArray:
        """Write units made of natural parameters and thresholds into `out`."""
        for family, *arrays in self._parts(natural, thresholds, out):
            family.decide(*arrays)
        return out

    def of_unit(self, unit: int) -> Family:
        """Return the family of a single unit."""
        return self._family_by_unit[unit]

    @cached_property
    def _family_by_unit(self) -> list[ColumnFamily]:
        return [run.family for run in self.runs for _ in range(run.width)]

    def unnormalized_log_prob(self, params: Views, natural: NDArray, target: NDArray, backend: NumpyBackend) -> NDArray:
        """Return the log-probability of `target` plus its log-normalizer, ``(B, K)``, in nats."""
        first, *rest = (
            family.unnormalized_log_prob(params, own, own_target, backend)
            for family, own, own_target in self._parts(natural, target)
        )
        return sum(rest, start=first)

    def log_normalizer(
        self, params: Views, natural: NDArray, mean: NDArray | None, backend: NumpyBackend
    ) -> NDArray | float:
        """Return the log-normalizer in nats, and write expected units into `mean`, if given."""
        total: Any = self.log_volume
        for family, own, own_mean in self._parts(natural, natural if mean is None else mean):
            total = total + family.log_normalizer(params, own, None if mean is None else own_mean, backend)
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
        self, params: Views, natural: NDArray | None, target: NDArray, residual: NDArray, weights: NDArray, grad: Views
    ) -> None:
        """Write the weighted gradient with respect to the families' own parameters into `grad`."""
        for family, own, own_target, own_residual in self._parts(natural, target, residual):
            family.gradient(params, own, own_target, own_residual, weights, grad)

    def damping(self, params: Views) -> NDArray | None:
        """Return factors of the steps of each unit's weights and intercept; None for no damping."""
        parts = [run.family.damping(params) for run in self.runs]
        if all(part is None for part in parts):
            return None
        factors = zip(self.runs, parts, strict=True)
        return np.concatenate([np.ones(run.width) if part is None else part for run, part in factors])
