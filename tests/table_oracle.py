"""A second implementation of the likelihood of a table's rows, with columns of all kinds and missing values.

It shares no code with the package: plain loops over the hidden states, the columns, and the values of missing columns.
Of the package's columns it reads the numbers alone: shares and features of cells, edges of intervals, locations.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import log_expit
from scipy.stats import multivariate_normal, norm

from tests.oracle import binary_states, log_normal


class Column(NamedTuple):
    """One column: its kind, its place in the table, its units, its codec, and its number within the codec.

    If it has cells: the share of each cell ``(G,)``, and its features ``(G, n_units)``.
    """

    kind: str
    place: int
    units: slice
    codec: object
    number: int
    shares: np.ndarray | None = None
    features: np.ndarray | None = None


def columns_of(columns) -> list[Column]:
    """List the columns in the order of their units."""
    listed, start = [], 0
    for kind, block in columns.blocks.items():
        for number, place in enumerate(block.columns):
            cells = () if kind in ("bernoulli", "gaussian") else cell_table(block.codec, number)
            width = cells[1].shape[1] if cells else 1
            listed.append(Column(kind, int(place), slice(start, start + width), block.codec, number, *cells))
            start += width
    return listed


# ---------------------------------------------------------------------- one column with cells


def cell_table(codec, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the shares of the cells that a column has, and those of their features that are not zero in all cells."""
    shares, features = codec.grid.probabilities[number], codec.grid.features[number]
    n_units = sum(any(cell != 0) for cell in features.T)
    return shares[shares > 0], features[shares > 0, :n_units]


def cell_log_probs(shares: np.ndarray, features: np.ndarray, natural: np.ndarray) -> np.ndarray:
    """Return the log-probability of each cell: its share, reweighted."""
    weights = np.log(shares) + features @ natural
    return weights - log_sum(weights)


def log_sum(log_values) -> float:
    """Return the log of a sum. `scipy.special.logsumexp` takes a hundred times longer for a few values."""
    return np.logaddexp.reduce(log_values, axis=None)


def cell_of(column: Column, value: float) -> int:
    """Return the cell of a value; the first or the last one of a value beyond the data."""
    if column.kind in ("categorical", "ordinal"):
        return int(value)
    return int(column.codec.cell_of[column.number, interval_of(column, value)])


def interval_of(column: Column, value: float) -> int:
    """Return the interval of a value; the first or the last one of a value beyond the data."""
    return sum(value > edge for edge in inner_edges(column)[1:-1])


def inner_edges(column: Column) -> np.ndarray:
    """Return the edges of a column's own intervals."""
    edges = column.codec.edges[column.number]
    return edges[np.isfinite(edges)]


def log_within(column: Column, value: float) -> float:
    """Return the log-density (of counts the log-probability) of a value given its cell."""
    if column.kind in ("categorical", "ordinal"):
        return 0.0
    edges, tail, interval = inner_edges(column), column.codec.tail[column.number], interval_of(column, value)
    shares, cells = column.codec.shares[column.number], column.codec.cell_of[column.number]
    log_share = np.log(shares[interval] / shares[cells == cells[interval]].sum())
    lowest, highest = edges[0], edges[-1]
    half_range = (highest - lowest) / 2
    whole = column.kind == "count"
    if value > highest and whole:
        ratio = np.exp(-1 / half_range)
        return log_share + np.log(tail * (1 - ratio) * ratio ** (value - highest - 0.5))
    if value < lowest and whole:
        return log_share + np.log(tail / (lowest + 0.5))  # each whole number from zero on has the same probability
    if value > highest or value < lowest:
        return log_share + np.log(tail / half_range) - max(value - highest, lowest - value) / half_range
    kept = 1.0
    if interval == len(edges) - 2:
        kept -= tail
    if interval == 0 and not (whole and lowest < 0):
        kept -= tail
    return log_share + np.log(kept / (edges[interval + 1] - edges[interval]))


# ---------------------------------------------------------------------- one column of any kind


def encoded(column: Column, value: float) -> np.ndarray:
    """Return the units of a value."""
    if column.kind == "bernoulli":
        return np.array([value])
    if column.kind == "gaussian":
        return np.array([(value - column.codec.location[column.number]) / column.codec.scale[column.number]])
    return column.features[cell_of(column, value)]


def log_law(column: Column, natural: np.ndarray, params: dict, value: float) -> float:
    """Return the log-probability of a value, in the user's units, given natural parameters."""
    if column.kind == "bernoulli":
        return value * log_expit(natural[0]) + (1 - value) * log_expit(-natural[0])
    if column.kind == "gaussian":
        scale = column.codec.scale[column.number]
        floor = column.codec.smallest_variance[column.number]
        deviation = np.sqrt(np.exp(params["log_variance"][column.number]) + floor)
        return log_normal(value, column.codec.location[column.number] + scale * natural[0], scale * deviation)
    cells = cell_log_probs(column.shares, column.features, natural)
    return cells[cell_of(column, value)] + log_within(column, value)


def completions(column: Column, natural: np.ndarray) -> Iterator[tuple[float, np.ndarray]]:
    """Yield the log-probability and the units of each value, or cell, that a missing discrete column can have."""
    if column.kind == "bernoulli":
        yield from ((log_expit((2 * unit - 1) * natural[0]), np.array([unit])) for unit in (0.0, 1.0))
    else:
        yield from zip(cell_log_probs(column.shares, column.features, natural), column.features, strict=True)


# ---------------------------------------------------------------------- rows


def root_of(columns, row: np.ndarray) -> np.ndarray:
    """Return what the recognition network sees: units, means of missing ones, and which columns are missing."""
    units = []
    for column in columns_of(columns):
        if not np.isnan(row[column.place]):
            units.extend(encoded(column, row[column.place]))
        elif column.kind == "bernoulli":
            units.append(column.codec.means[column.number])
        else:
            units.extend(np.zeros(column.units.stop - column.units.start))
    n_indicators = max(1, len(columns.with_holes))
    return np.array([*units, *(np.isnan(row[place]) / np.sqrt(n_indicators) for place in columns.with_holes)])


def log_proposal(machine, flat: np.ndarray, hidden: list[np.ndarray], row: np.ndarray) -> float:
    """Return the log-probability of hidden layers, top down, in the recognition network."""
    layers = machine.views(flat).recognition
    return log_prior(layers, hidden[::-1], root_of(machine.columns, row))


def log_units(params: dict, parent: np.ndarray | None, units: np.ndarray) -> float:
    """Return the log-probability of binary units given their parents and, with a triangle, the units before each."""
    total = 0.0
    for unit, state in enumerate(units):
        logit = params["intercept"][unit]
        if parent is not None:
            logit = logit + sum(parent * params["weights"][:, unit])
        if "triangle" in params:
            logit = logit + sum(units[:unit] * params["triangle"][:unit, unit])
        total += log_expit(logit if state else -logit)
    return total


def log_row(columns: list[Column], params: dict, parent: np.ndarray, row: np.ndarray) -> float:
    """Return the log-probability of the values that a row has, given the hidden units above."""
    natural = parent @ params["weights"] + params["intercept"]
    if "triangle" in params and all(column.kind == "gaussian" for column in columns):
        return log_normal_row(columns, params, natural, row)
    return _log_rest(columns, params, natural, row, np.zeros(0))


def log_normal_row(columns: list[Column], params: dict, natural: np.ndarray, row: np.ndarray) -> float:
    """Return that of Gaussian columns that see those before."""
    mean, covariance = normal_of_row(columns, params, natural)
    seen = ~np.isnan(row)
    if not seen.any():
        return 0.0
    return multivariate_normal.logpdf(row[seen], mean[seen], covariance[np.ix_(seen, seen)])


def normal_of_row(columns: list[Column], params: dict, natural: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the covariance of ``x = natural + x @ triangle + noise``, in the user's units."""
    codec = columns[0].codec
    inverse = np.linalg.inv(np.eye(len(natural)) - params["triangle"])
    noise = np.diag(np.exp(params["log_variance"]) + codec.smallest_variance)
    mean = codec.location + codec.scale * (natural @ inverse)
    return mean, codec.scale[:, np.newaxis] * (inverse.T @ noise @ inverse) * codec.scale


def _log_rest(columns: list[Column], params: dict, natural: np.ndarray, row: np.ndarray, before: np.ndarray) -> float:
    """Return that of the columns after the units `before`, with a sum over each missing one that later ones see."""
    if not columns:
        return 0.0
    column, rest = columns[0], columns[1:]
    own = natural[column.units]
    if "triangle" in params:
        own = own + before @ params["triangle"][: len(before), column.units]
    value = row[column.place]
    if not np.isnan(value):
        units = np.concatenate([before, encoded(column, value)])
        return log_law(column, own, params, value) + _log_rest(rest, params, natural, row, units)
    if "triangle" not in params or not rest:
        return _log_rest(rest, params, natural, row, np.append(before, np.zeros(len(own))))
    return log_sum(
        [
            log_p + _log_rest(rest, params, natural, row, np.append(before, own))
            for log_p, own in completions(column, own)
        ]
    )


def states(machine) -> Iterator[list[np.ndarray]]:
    """Yield each state of the hidden layers, top down."""
    sizes = machine.hidden_sizes[::-1]
    for state in binary_states(sum(sizes)):
        yield np.split(state, np.cumsum(sizes)[:-1])


def log_prior(layers: list[dict], hidden: list[np.ndarray], root: np.ndarray | None = None) -> float:
    """Return the log-probability of a state of the hidden layers, in the order of a network, given its root."""
    parents = [root, *hidden[:-1]]
    return sum(log_units(params, above, own) for params, above, own in zip(layers, parents, hidden, strict=False))


def log_joint(machine, flat: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Return the log-probability of each hidden state together with the values that a row has."""
    *layers, visible = machine.views(flat).generative
    columns = columns_of(machine.columns)
    return np.array(
        [log_prior(layers, hidden) + log_row(columns, visible, hidden[-1], row) for hidden in states(machine)]
    )


def log_likelihood(machine, flat: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return the log-likelihood of the values that each row has, in nats and in the user's units."""
    return np.array([log_sum(log_joint(machine, flat, row)) for row in table])


def slopes(function, flat: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Return the central differences of a function of flat parameters."""
    result = np.empty_like(flat)
    for index in range(flat.size):
        ends = np.stack([flat, flat])
        ends[:, index] += step, -step
        result[index] = (function(ends[0]) - function(ends[1])) / (2 * step)
    return result


# ---------------------------------------------------------------------- missing columns given the others


class Law(NamedTuple):
    """The distribution of a column: the values of its states, or of points in its cells, in order, and their shares."""

    values: np.ndarray
    probabilities: np.ndarray
    mean: float
    by_cell: np.ndarray

    def quantile(self, level: float) -> float:
        """Return the first value up to which the probabilities add up to the level."""
        return self.values[np.searchsorted(np.cumsum(self.probabilities), level - 1e-12)]


def value_in_cell(column: Column, cell: int) -> float:
    """Return a value in a cell, of a binary column in zero or one."""
    if column.kind in ("bernoulli", "categorical", "ordinal"):
        return float(cell)
    low, high = inner_edges(column)[cell : cell + 2]
    return float(np.floor(high)) if column.kind == "count" else (low + high) / 2


def n_cells(column: Column) -> int:
    """Return the number of cells of a column; two of a binary one."""
    return 2 if column.kind == "bernoulli" else len(column.shares)


def cell_probabilities(machine, flat: np.ndarray, row: np.ndarray, places: Sequence[int]) -> np.ndarray:
    """Return the joint probabilities of the cells of some columns given the rest of a row, an axis for each column."""
    by_place = {column.place: column for column in columns_of(machine.columns)}
    chosen = [by_place[place] for place in places]
    log_probs = np.empty([n_cells(column) for column in chosen])
    for cells in np.ndindex(log_probs.shape):
        filled = row.copy()
        within = 0.0
        for column, cell in zip(chosen, cells, strict=True):
            filled[column.place] = value_in_cell(column, cell)
            within += log_within(column, filled[column.place]) if column.kind != "bernoulli" else 0.0
        log_probs[cells] = log_likelihood(machine, flat, filled[np.newaxis])[0] - within
    return np.exp(log_probs - log_sum(log_probs))


def law_of_cells(column: Column, probabilities: np.ndarray, n_points: int = 2001) -> Law:
    """Return the distribution of the values that a machine draws in cells with given probabilities."""
    if column.kind in ("bernoulli", "categorical", "ordinal"):
        values = np.arange(len(probabilities), dtype=float)
        return Law(values, probabilities, (values * probabilities).sum(), probabilities)
    values, shares = [], []
    for cell, probability in enumerate(probabilities):
        low, high = column.codec.extents[:, column.number, cell]
        inside = np.arange(low, high + 1) if column.kind == "count" else np.linspace(low, high, n_points)
        values.append(inside)
        shares.append(np.full(len(inside), probability / len(inside)))
    mean = (probabilities * column.codec.centers[column.number, : len(probabilities)]).sum()
    return Law(np.concatenate(values), np.concatenate(shares), mean, probabilities)


class NormalMixture(NamedTuple):
    """A mixture of normal distributions."""

    weights: np.ndarray
    means: np.ndarray
    deviations: np.ndarray

    @property
    def mean(self) -> float:
        """The mean."""
        return (self.weights * self.means).sum()

    @property
    def deviation(self) -> float:
        """The standard deviation."""
        return np.sqrt((self.weights * (self.deviations**2 + (self.means - self.mean) ** 2)).sum())

    def cdf(self, value: float) -> float:
        """Return the probability of smaller values."""
        return (self.weights * norm.cdf(value, self.means, self.deviations)).sum()

    def quantile(self, level: float) -> float:
        """Return a quantile, as a root."""
        width = 20 * self.deviations.max()
        return brentq(
            lambda value: self.cdf(value) - level, self.means.min() - width, self.means.max() + width, xtol=1e-13
        )


def law_of_gaussian(machine, flat: np.ndarray, row: np.ndarray, column: Column) -> NormalMixture:
    """Return the distribution of a missing Gaussian column that does not see others, given the rest of a row."""
    log_weights = log_joint(machine, flat, row)
    visible = machine.views(flat).generative[-1]
    unit, number = column.units.start, column.number
    natural = [hidden[-1] @ visible["weights"][:, unit] + visible["intercept"][unit] for hidden in states(machine)]
    scale = column.codec.scale[number]
    deviation = np.sqrt(np.exp(visible["log_variance"][number]) + column.codec.smallest_variance[number])
    return NormalMixture(
        np.exp(log_weights - log_sum(log_weights)),
        column.codec.location[number] + scale * np.array(natural),
        np.full(len(natural), scale * deviation),
    )


def law_of_lateral_gaussian(machine, flat: np.ndarray, row: np.ndarray, place: int) -> NormalMixture:
    """Return that of a missing Gaussian column among others that see those before: given the hidden units, normal."""
    visible = machine.views(flat).generative[-1]
    columns = columns_of(machine.columns)
    log_weights = log_joint(machine, flat, row)
    seen = ~np.isnan(row)
    means, deviations = [], []
    for hidden in states(machine):
        natural = hidden[-1] @ visible["weights"] + visible["intercept"]
        mean, covariance = normal_of_row(columns, visible, natural)
        slope = np.linalg.solve(covariance[np.ix_(seen, seen)], covariance[seen, place])
        means.append(mean[place] + (row[seen] - mean[seen]) @ slope)
        deviations.append(np.sqrt(covariance[place, place] - covariance[place, seen] @ slope))
    return NormalMixture(np.exp(log_weights - log_sum(log_weights)), np.array(means), np.array(deviations))


def law(machine, flat: np.ndarray, row: np.ndarray, place: int) -> Law | NormalMixture:
    """Return the distribution of a column given the rest of a row."""
    row = np.where(np.arange(len(row)) == place, np.nan, row)
    column = next(column for column in columns_of(machine.columns) if column.place == place)
    if column.kind == "gaussian":
        return law_of_gaussian(machine, flat, row, column)
    return law_of_cells(column, cell_probabilities(machine, flat, row, [place]))
