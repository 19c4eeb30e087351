"""Missing columns given those observed: their distribution under the posterior, and draws from it."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.arrays.numerics import log_sum_exp
from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.arrays.random import Noise
from skwakesleep._engine.machine.layers import BoundLayer
from skwakesleep._engine.machine.networks import BeliefNetwork, Machine
from skwakesleep._engine.machine.predictions import CellPrediction, Prediction, of_draws
from skwakesleep._engine.machine.rows import Rows, Visible
from skwakesleep._engine.posterior.completion import completions
from skwakesleep._engine.posterior.likelihood import estimate, posteriors
from skwakesleep._engine.posterior.particles import Estimate, Particles, estimate_of


class Conditional(NamedTuple):
    """Some rows with their posterior.

    Attributes
    ----------
    machine : Machine
        The machine.
    visible : BoundLayer
        Its visible layer, bound.
    block : slice
        Places of the rows.
    rows : Visible
        The rows, the last one repeated up to a fixed number.
    particles : Particles
        The posterior given what was observed of them.
    """

    machine: Machine
    visible: BoundLayer
    block: slice
    rows: Visible
    particles: Particles

    @property
    def n_rows(self) -> int:
        """Number of rows, without those repeated."""
        return self.block.stop - self.block.start

    @property
    def effective_sizes(self) -> NDArray:
        """Effective sample sizes, ``(n_rows,)``."""
        return estimate_of(self.particles).effective_size[: self.n_rows]

    def predictions(self) -> list[Prediction]:
        """Return the distribution of the columns of each block of the machine.

        Given the hidden units the distribution of a column is known, and its mean over the particles varies less than
        draws. In an autoregressive layer there are draws alone.
        """
        columns, weights = self.machine.columns, self.particles.weights
        if self.particles.units is not None:
            units = self.particles.units
            return [of_draws(run.codec, weights, units[..., run.units]) for run in columns.runs]
        natural = self.visible.natural(self.particles.states)
        params = self.visible.params
        return [run.family.predict(run.codec, params, weights, natural[..., run.units]) for run in columns.runs]

    def best(self) -> NDArray:
        """Return the best guess of each missing column, ``(n_rows, n_columns)``; others are any value."""
        return self._by_column([prediction.best() for prediction in self.predictions()])

    def quantiles(self, levels: Sequence[float]) -> NDArray:
        """Return quantiles of each missing column, ``(n_levels, n_rows, n_columns)``; others are any value."""
        predictions = self.predictions()
        values = np.empty((len(levels), self.n_rows, self.machine.columns.n_columns))
        for own, level in zip(values, levels, strict=True):
            own[...] = self._by_column([each.quantile(level) for each in predictions])
        return values

    def draw(self, n_draws: int, noise: Noise) -> NDArray:
        """Draw the missing columns, ``(n_draws, n_rows, n_columns)``; others are any value in their cells."""
        levels = noise.uniform((len(self.particles.log_weights), n_draws), np.float64)
        drawn = completions(self.visible, self.rows, self.particles, levels, noise)
        return self.machine.columns.decode(drawn[: self.n_rows].swapaxes(0, 1), noise)

    def _by_column(self, parts: list[NDArray]) -> NDArray:
        values = np.empty((self.n_rows, self.machine.columns.n_columns))
        for run, part in zip(self.machine.columns.runs, parts, strict=True):
            values[:, run.columns] = part[: self.n_rows]
        return values


def conditionals(
    machine: Machine, parameters: NDArray, rows: Rows, backend: NumpyBackend, n_particles: int, n_steps: int = 0
) -> Iterator[Conditional]:
    """Yield the posterior of a few rows at a time; the next ones overwrite its arrays.

    Parameters
    ----------
    machine, parameters, rows, backend, n_particles, n_steps
        See `estimate`.
    """
    visible = machine.bind(parameters, backend.new(by_row=True)).generative.layers[-1]
    for block, some, particles in posteriors(machine, parameters, rows, backend, n_particles, n_steps):
        yield Conditional(machine, visible, block, some, particles)


def expected_columns(machine: Machine, generative: BeliefNetwork, top: NDArray) -> NDArray:
    """Return the best guess of the columns ``(B, n_columns)`` given values of the top hidden layer ``(B, n)``.

    Means are passed downwards through the layers.
    """
    *above, visible = generative.layers
    parents = BeliefNetwork(above).means(top[:, np.newaxis], first=1)
    natural = visible.expected_natural(parents)
    weights = np.ones((len(top), 1), top.dtype)
    values = np.empty((len(top), machine.columns.n_columns), top.dtype)
    for run in machine.columns.runs:
        prediction = run.family.predict(run.codec, visible.params, weights, natural[..., run.units])
        values[:, run.columns] = prediction.best()
    return values


class ColumnGivenRest(NamedTuple):
    """The distribution of one column of each row, given the rest of the row.

    Attributes
    ----------
    probabilities : ndarray of shape (n_rows, n_states) or None
        Probability of each state; None if there are infinitely many.
    best : ndarray of shape (n_rows,)
        The most probable category, or the mean of a number.
    quantiles : ndarray of shape (n_rows, n_levels)
        Quantiles.
    effective_sizes : ndarray of shape (n_rows,)
        Effective sample sizes, the smallest over the states.
    """

    probabilities: NDArray | None
    best: NDArray
    quantiles: NDArray
    effective_sizes: NDArray


def column_given_rest(
    machine: Machine,
    parameters: NDArray,
    table: NDArray,
    column: int,
    backend: NumpyBackend,
    levels: Sequence[float] = (),
    **effort: int,
) -> ColumnGivenRest:
    """Return the distribution of one column of each row, given the rest of the row.

    If the column has finitely many states, the likelihood of the row is computed with each of them: the posterior of
    complete rows is easier to sample from than that of rows with a missing value. Otherwise the distribution follows
    from the posterior given the rest.

    Parameters
    ----------
    machine, parameters, backend
        See `estimate`.
    table : ndarray of shape (n_rows, n_columns)
        The rows; the values of the column are ignored.
    column : int
        The column.
    levels : sequence of float, default=()
        Levels of the quantiles.
    **effort
        `n_particles` and `n_steps` of `estimate`.
    """
    run, place = machine.columns.place(column)

    def rows_with(value: float) -> Rows:
        changed = table.copy()
        changed[:, column] = value
        return Rows(changed, machine.columns, parameters.dtype, backend)

    examples = run.codec.examples(place)
    if examples is None:
        blocks = conditionals(machine, parameters, rows_with(np.nan), backend, **effort)
        # Each block is used at once: the next one overwrites it.
        parts = [(one.best()[:, column], one.quantiles(levels)[..., column].T, one.effective_sizes) for one in blocks]
        return ColumnGivenRest(None, *map(np.concatenate, zip(*parts, strict=True)))
    estimates = [estimate(machine, parameters, rows_with(value), backend, **effort) for value in examples.values]
    log_joint = np.stack([each.log_likelihood for each in estimates], axis=1) - examples.log_density
    probabilities = np.exp(log_joint - log_sum_exp(log_joint, axis=1)[:, np.newaxis])
    # The codec expects the probabilities of all columns of the block. The others get their first state.
    whole = np.zeros((len(table), len(run.columns), run.codec.n_states))
    whole[..., 0] = 1
    whole[:, place, : len(estimates)] = probabilities
    prediction = CellPrediction(run.codec, whole)
    return ColumnGivenRest(
        probabilities,
        prediction.best()[:, place],
        np.array([prediction.quantile(level)[:, place] for level in levels]).reshape(len(levels), len(table)).T,
        np.min([each.effective_size for each in estimates], axis=0),
    )


def column_scores(
    machine: Machine, parameters: NDArray, table: NDArray, backend: NumpyBackend, **effort: int
) -> tuple[NDArray, NDArray]:
    """Return ``log p(x_j | rest of the row)`` of each value in nats, NaN where missing, and effective sample sizes.

    The difference of the score of the row and that without the value, with the same random numbers. Reweighted
    particles would save time, but their weights ``1 / p(x_j | h)`` are heavy-tailed.
    """

    def scores(values: NDArray) -> Estimate:
        rows = Rows(values, machine.columns, parameters.dtype, backend)
        return estimate(machine, parameters, rows, backend, **effort)

    whole = scores(table)
    by_column, sizes = np.full(table.shape, np.nan), [whole.effective_size]
    for column in range(table.shape[1]):
        rest = table.copy()
        rest[:, column] = np.nan
        without = scores(rest)
        present = ~np.isnan(table[:, column])
        by_column[present, column] = (whole.log_likelihood - without.log_likelihood)[present]
        sizes.append(without.effective_size)
    return by_column, np.min(sizes, axis=0)
