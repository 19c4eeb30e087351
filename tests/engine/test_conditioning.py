"""Missing columns given those observed, and single columns given the rest, compared with sums over all their values."""

import numpy as np
import pytest
from scipy.stats import kstest

from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.arrays.random import FineNoise
from skwakesleep._engine.machine.columns import Columns
from skwakesleep._engine.machine.networks import Machine
from skwakesleep._engine.machine.rows import Rows
from skwakesleep._engine.posterior.conditioning import column_given_rest, column_scores, conditionals
from skwakesleep._engine.posterior.likelihood import estimate
from tests import table_oracle
from tests.engine.machines import EVERYWHERE, table_machine
from tests.oracle import frequency_p_value

pytestmark = pytest.mark.arithmetic

ABOVE = ("prior", "hidden", "recognition")
CELLS = {
    **{kind: [kind] * 4 for kind in ("bernoulli", "categorical", "ordinal", "count", "continuous")},
    "cells": ["continuous", "bernoulli", "count", "categorical"],
}
TABLES = {**CELLS, "gaussian": ["gaussian"] * 4, "mixed": ["gaussian", "categorical", "bernoulli", "count"]}
LEVELS = [0.05, 0.5, 0.83]
SMALLEST_P = 1e-3
N_DRAWS = 4000

# Kinds, autoregressive layers and hidden layers of machines whose posterior is a sum.
EXACT = [
    *(pytest.param(name, (), (2,), id=f"{name}-plain") for name in TABLES),
    *(pytest.param(name, ABOVE, (2, 2), id=f"{name}-above") for name in ("gaussian", "mixed")),
    *(pytest.param(name, EVERYWHERE, (2,), id=f"{name}-everywhere") for name in ("bernoulli", "ordinal", "cells")),
]


def small_machine(name, seed, *, hidden=(2,), autoregressive=(), n_rows=40, **options):
    """Return a machine for columns with about four cells each, whose parameters are random, and the complete table."""
    return table_machine(TABLES[name], hidden, seed, autoregressive=autoregressive, n_rows=n_rows, **options)


def given_rest(machine, flat, X, column, n_particles=10):
    return column_given_rest(machine, flat, X, column, NumpyBackend(), LEVELS, n_particles=n_particles)


def given_observed(machine, flat, X, function, n_particles=10):
    """Return what a function gives for the conditional distribution of each block of rows."""
    rows = Rows(X, machine.columns, flat.dtype, NumpyBackend())
    # One after the other: arrays are used again for the next block.
    return [function(one) for one in conditionals(machine, flat, rows, NumpyBackend(), n_particles)]


def rows_with_other_holes(table, column):
    """Return rows in which none, one, two or all of the other columns are missing; one is beyond the data."""
    X = table[[3, 20, 21, 22, 23]].copy()
    others = [other for other in range(4) if other != column]
    X[1, others[0]] = X[2, others[1:]] = X[3, others] = np.nan
    X[4, others[2]] = table[:, others[2]].max()
    return X


def tolerance(column):
    """Return how closely quantiles are known: values of a real column with cells are points on a grid."""
    if column.kind != "continuous":
        return 1e-8
    return np.ptp(column.codec.extents[:, column.number], axis=0).max() * 1e-3


def check_quantiles(machine, actual, law, place):
    column = next(each for each in table_oracle.columns_of(machine.columns) if each.place == place)
    for value, level in zip(actual, LEVELS, strict=True):
        assert abs(value - law.quantile(level)) <= tolerance(column), (column.kind, level)


def best_of(machine, law, place):
    """Return the most probable category, or the mean."""
    column = next(each for each in table_oracle.columns_of(machine.columns) if each.place == place)
    return law.by_cell.argmax() if column.kind in ("categorical", "ordinal") else law.mean


# ---------------------------------------------------------------------- one column given the rest


@pytest.mark.parametrize(("name", "autoregressive", "hidden"), EXACT)
def test_a_column_given_the_rest(name, autoregressive, hidden):
    machine, flat, table = small_machine(name, 21, hidden=hidden, autoregressive=autoregressive)
    for place in range(4):
        X = rows_with_other_holes(table, place)
        actual = given_rest(machine, flat, X, place)
        assert np.isinf(actual.effective_sizes).all()
        for number, row in enumerate(X):
            law = table_oracle.law(machine, flat, row, place)
            if actual.probabilities is not None:
                np.testing.assert_allclose(actual.probabilities[number], law.by_cell, rtol=0, atol=1e-8)
            np.testing.assert_allclose(actual.best[number], best_of(machine, law, place), rtol=0, atol=1e-8)
            check_quantiles(machine, actual.quantiles[number], law, place)


@pytest.mark.parametrize("kind", ["continuous", "count", "categorical", "ordinal", "bernoulli"])
def test_examples_are_in_their_cells(kind):
    """Between two common values is an empty cell; its middle, rounded as the data are, can be outside."""
    table = np.repeat([0.0, 2, 33, 36, 38, 40], [12, 12, 40, 40, 12, 12])[:, np.newaxis]
    table = np.unique(table, return_inverse=True)[1].astype(float) if kind in ("categorical", "ordinal") else table
    table = (table > 35).astype(float) if kind == "bernoulli" else table
    columns = Columns.of_table([kind] * 2, np.column_stack([table, table[::-1] + (kind == "count")]))
    for place in range(2):
        codec = columns.place(place)[0].codec
        examples = codec.examples(place)
        whole = np.zeros((len(examples.values), 2))
        whole[:, place] = examples.values
        states = codec.nearest(columns.encode(whole))[:, place]
        np.testing.assert_array_equal(states, np.arange(len(states)))
        assert len(states) == len(codec.states(place).units)


@pytest.mark.parametrize("autoregressive", [(), EVERYWHERE], ids=["plain", "everywhere"])
def test_the_distribution_of_a_column_depends_on_the_rest(autoregressive):
    """Negative control of the comparison above: the rest of another row, and other parameters."""
    machine, flat, table = small_machine("cells", 21, autoregressive=autoregressive)
    X = rows_with_other_holes(table, 3)
    actual = given_rest(machine, flat, X, 3).probabilities
    for other in (np.roll(actual, 1, axis=0), given_rest(machine, 1.01 * flat, X, 3).probabilities):
        assert np.abs(actual - other).max(axis=1).min() > 1e-4


def test_a_column_of_many_rows_given_the_rest():
    """The engine computes 64 rows at a time, and some arrays are used again for the next ones."""
    machine, flat, table = table_machine(TABLES["mixed"], (3,), 22, n_rows=150)
    for place in range(4):
        actual = given_rest(machine, flat, table, place)
        assert len(actual.best) == len(actual.quantiles) == 150
        for number in (0, 70, 149):
            law = table_oracle.law(machine, flat, table[number], place)
            np.testing.assert_allclose(actual.best[number], best_of(machine, law, place), atol=1e-8)
            check_quantiles(machine, actual.quantiles[number], law, place)


@pytest.mark.parametrize(("name", "autoregressive", "hidden"), EXACT)
def test_scores_of_columns_are_differences_of_log_likelihoods(name, autoregressive, hidden):
    machine, flat, table = small_machine(name, 23, hidden=hidden, autoregressive=autoregressive)
    X = rows_with_other_holes(table, 1)
    X[0, 2] += 5 * (TABLES[name][2] in ("gaussian", "count", "continuous"))
    scores, sizes = column_scores(machine, flat, X, NumpyBackend(), n_particles=10)
    assert np.isinf(sizes).all()
    np.testing.assert_array_equal(np.isnan(scores), np.isnan(X))
    whole = table_oracle.log_likelihood(machine, flat, X)
    for place in range(4):
        rest = X.copy()
        rest[:, place] = np.nan
        expected = whole - table_oracle.log_likelihood(machine, flat, rest)
        seen = ~np.isnan(X[:, place])
        np.testing.assert_allclose(scores[seen, place], expected[seen], rtol=0, atol=1e-8)


def test_scores_of_columns_are_those_of_their_distribution():
    """The score of a category is the log of its probability."""
    machine, flat, table = table_machine(CELLS["categorical"], (3,), 24)
    scores, _ = column_scores(machine, flat, table, NumpyBackend(), n_particles=10)
    for place in range(4):
        probabilities = given_rest(machine, flat, table, place).probabilities
        own = probabilities[np.arange(len(table)), table[:, place].astype(int)]
        np.testing.assert_allclose(scores[:, place], np.log(own), atol=1e-10)


# ---------------------------------------------------------------------- several missing columns


def several_holes(table):
    """Return rows with one to four missing columns."""
    missing = [(1,), (0, 2), (1, 3), (0, 2, 3), (0, 1, 2, 3)]
    X = table[5 : 5 + len(missing)].copy()
    for row, places in zip(X, missing, strict=True):
        row[list(places)] = np.nan
    return X


@pytest.mark.parametrize(("name", "autoregressive", "hidden"), EXACT)
def test_missing_columns_given_those_observed(name, autoregressive, hidden):
    machine, flat, table = small_machine(name, 25, hidden=hidden, autoregressive=autoregressive)
    X = several_holes(table)
    best = np.concatenate(given_observed(machine, flat, X, lambda one: one.best()))
    quantiles = np.concatenate(given_observed(machine, flat, X, lambda one: one.quantiles(LEVELS)), axis=1)
    for number, row in enumerate(X):
        for place in np.flatnonzero(np.isnan(row)):
            law = table_oracle.law(machine, flat, row, place)
            np.testing.assert_allclose(best[number, place], best_of(machine, law, place), rtol=0, atol=1e-8)
            check_quantiles(machine, quantiles[:, number, place], law, place)


@pytest.mark.parametrize("name", ["mixed", "cells"])
def test_rows_together_are_as_alone(name):
    machine, flat, table = table_machine(TABLES[name], (3,), 26, n_rows=100)
    X = np.concatenate([several_holes(table), table[10:90]])
    X[5:, 0] = np.nan
    together = np.concatenate(given_observed(machine, flat, X, lambda one: one.best()))
    alone = np.concatenate([*(given_observed(machine, flat, row[np.newaxis], lambda one: one.best())[0] for row in X)])
    np.testing.assert_allclose(together[np.isnan(X)], alone[np.isnan(X)], rtol=1e-12)


# ---------------------------------------------------------------------- draws


def cells_of(machine, draws, places):
    """Return the joint number of the cells of drawn columns, ``(n_draws,)``."""
    by_place = {column.place: column for column in table_oracle.columns_of(machine.columns)}
    chosen = [by_place[place] for place in places]
    sizes = [table_oracle.n_cells(column) for column in chosen]

    def cells(column, values):
        if column.kind in ("bernoulli", "categorical", "ordinal"):
            return values.astype(int)
        return (values[:, np.newaxis] > table_oracle.inner_edges(column)[1:-1]).sum(axis=1)

    parts = [cells(column, draws[:, place]) for column, place in zip(chosen, places, strict=True)]
    return np.ravel_multi_index(parts, sizes)


def drawn(machine, flat, row, n_particles=10):
    """Return draws of a row after another one, ``(N_DRAWS, n_columns)``."""
    noise = FineNoise(np.random.default_rng(27))
    X = np.stack([np.where(np.isnan(row), np.nan, row[::-1] > 1), row])
    draws = given_observed(machine, flat, X, lambda one: one.draw(N_DRAWS, noise), n_particles)
    return np.concatenate(draws, axis=1)[:, 1]


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("name", "autoregressive"),
    [*((name, ()) for name in CELLS), ("ordinal", EVERYWHERE), ("cells", EVERYWHERE)],
    ids=str,
)
def test_draws_have_their_joint_probabilities(name, autoregressive):
    machine, flat, table = small_machine(name, 28, autoregressive=autoregressive)
    for places in ((0, 1), (0, 3), (2, 3)):
        row = table[7].copy()
        row[list(places)] = np.nan
        cells = cells_of(machine, drawn(machine, flat, row), places)
        joint = table_oracle.cell_probabilities(machine, flat, row, places)
        assert frequency_p_value(cells, joint.ravel()) > SMALLEST_P, places


@pytest.mark.statistical
@pytest.mark.parametrize("autoregressive", [(), EVERYWHERE], ids=["plain", "everywhere"])
def test_wrong_joint_probabilities_are_noticed(autoregressive):
    """Negative control: independent columns with the same distributions, and another row."""
    machine, flat, table = small_machine("categorical", 28, hidden=(2, 2), autoregressive=autoregressive, scale=1.5)
    row, other = table[7].copy(), table[9].copy()
    row[[0, 3]] = other[[0, 3]] = np.nan
    cells = cells_of(machine, drawn(machine, flat, row), (0, 3))
    joint = table_oracle.cell_probabilities(machine, flat, row, (0, 3))
    independent = np.outer(joint.sum(axis=1), joint.sum(axis=0))
    elsewhere = table_oracle.cell_probabilities(machine, flat, other, (0, 3))
    assert frequency_p_value(cells, independent.ravel()) < SMALLEST_P
    assert frequency_p_value(cells, elsewhere.ravel()) < SMALLEST_P


@pytest.mark.statistical
def test_draws_of_gaussian_columns():
    machine, flat, table = table_machine(TABLES["mixed"], (2, 2), 29, scale=1.0)
    row = table[7].copy()
    row[[0, 2]] = np.nan
    draws = drawn(machine, flat, row)
    law = table_oracle.law(machine, flat, row, 0)
    assert kstest(draws[:, 0], np.vectorize(law.cdf)).pvalue > SMALLEST_P
    assert kstest(draws[:, 0], np.vectorize(table_oracle.law(machine, flat, table[9], 0).cdf)).pvalue < SMALLEST_P
    with_one = row.copy()
    with_one[2] = 1.0  # a column given another that is missing as well
    given_one = draws[draws[:, 2] == 1, 0]
    assert kstest(given_one, np.vectorize(table_oracle.law(machine, flat, with_one, 0).cdf)).pvalue > SMALLEST_P


@pytest.mark.parametrize("name", ["mixed", "cells"])
def test_rows_without_holes_are_drawn_as_they_are(name):
    machine, flat, table = small_machine(name, 30)
    noise = FineNoise(np.random.default_rng(0))
    (draws,) = given_observed(machine, flat, table[:3], lambda one: one.draw(2, noise))
    assert draws.shape == (2, 3, 4)
    nominal = np.isin(TABLES[name], ["bernoulli", "categorical"])
    np.testing.assert_array_equal(draws[..., nominal], np.broadcast_to(table[:3, nominal], (2, 3, nominal.sum())))


# ---------------------------------------------------------------------- estimates


def sampled_machine(name, seed, autoregressive):
    """Return a machine whose recognition network proposes all states, and the table."""
    machine, flat, table = small_machine(name, seed, hidden=(3, 2), autoregressive=autoregressive, scale=0.8)
    machine.recognition_part(flat)[...] *= 0.4
    return machine, flat, table


def z_of_probabilities(actual, expected, effective_size):
    """Return the largest error in standard errors, at most those of draws of the states themselves."""
    errors = np.sqrt(expected * (1 - expected) / effective_size)
    return np.max(np.abs(actual - expected) / (errors + 1e-4))


def effective_sizes_of_cells(machine, flat, X, place):
    """Return the effective sizes of the log-likelihoods of rows with a value in each cell, ``(n_cells, n_rows)``."""
    column = next(each for each in table_oracle.columns_of(machine.columns) if each.place == place)
    sizes = []
    for cell in range(table_oracle.n_cells(column)):
        filled = X.copy()
        filled[:, place] = table_oracle.value_in_cell(column, cell)
        rows = Rows(filled, machine.columns, flat.dtype, NumpyBackend())
        sizes.append(estimate(machine, flat, rows, NumpyBackend(), 4000).effective_size)
    return np.array(sizes)


@pytest.mark.usefixtures("sampled")
@pytest.mark.statistical
@pytest.mark.parametrize("autoregressive", [(), ABOVE, EVERYWHERE], ids=["plain", "above", "everywhere"])
def test_estimates_of_a_column_given_the_rest(autoregressive):
    machine, flat, table = sampled_machine("cells", 31, autoregressive)
    for place in (0, 3):
        X = rows_with_other_holes(table, place)
        actual = given_rest(machine, flat, X, place, n_particles=4000)
        assert ((actual.effective_sizes > 25) & (actual.effective_sizes <= 4000)).all()
        expected = [table_oracle.cell_probabilities(machine, flat, row, [place]) for row in X]
        largest = [
            z_of_probabilities(*each)
            for each in zip(actual.probabilities, expected, actual.effective_sizes, strict=True)
        ]
        assert max(largest) < 4
        assert (actual.effective_sizes <= effective_sizes_of_cells(machine, flat, X, place).min(axis=0) + 1e-9).all()
        # Negative control: the probabilities of other cells.
        assert z_of_probabilities(actual.probabilities[0], expected[0][::-1], actual.effective_sizes[0]) > 8


@pytest.mark.usefixtures("sampled")
@pytest.mark.statistical
@pytest.mark.parametrize("autoregressive", [(), ABOVE, EVERYWHERE], ids=["plain", "above", "everywhere"])
def test_estimates_of_missing_columns(autoregressive):
    """Draws from importance samples, with hidden units drawn, and with an autoregressive layer missing columns too."""
    machine, flat, table = sampled_machine("cells", 32, autoregressive)
    row = table[7].copy()
    row[[0, 3]] = np.nan
    expected = table_oracle.cell_probabilities(machine, flat, row, (0, 3)).ravel()
    draws = drawn(machine, flat, row, n_particles=4000)
    frequencies = np.bincount(cells_of(machine, draws, (0, 3)), minlength=len(expected)) / N_DRAWS
    (size,) = given_observed(machine, flat, row[np.newaxis], lambda one: one.effective_sizes[0], 4000)
    assert size > 50
    size = 1 / (1 / size + 1 / N_DRAWS)
    assert z_of_probabilities(frequencies, expected, size) < 4
    assert z_of_probabilities(frequencies, expected[::-1], size) > 8  # negative control: other cells
    (best,) = given_observed(machine, flat, row[np.newaxis], lambda one: one.best()[0], 4000)
    law = table_oracle.law(machine, flat, row, 0)
    values = law.values - law.mean
    error = np.sqrt((law.probabilities * values**2).sum() / size)
    assert abs(best[0] - law.mean) < 4 * error
    assert best[3] == table_oracle.law(machine, flat, row, 3).by_cell.argmax()


@pytest.mark.statistical
@pytest.mark.parametrize("places", [(1,), (0, 2), (3,)], ids=str)
def test_gaussian_columns_that_see_others_are_drawn(places):
    """They cannot be summed out; given the hidden units, the columns are jointly normal."""
    machine, flat, table = sampled_machine("gaussian", 33, EVERYWHERE)
    row = table[7].copy()
    row[list(places)] = np.nan
    (one,) = given_observed(
        machine,
        flat,
        row[np.newaxis],
        lambda one: (one.best()[0], one.quantiles(LEVELS)[:, 0], one.effective_sizes[0]),
        20_000,
    )
    best, quantiles, size = one
    assert 100 < size < np.inf
    laws = [table_oracle.law_of_lateral_gaussian(machine, flat, row, place) for place in places]
    for place, law in zip(places, laws, strict=True):
        for level, value in zip(LEVELS, quantiles[:, place], strict=True):
            assert abs(law.cdf(value) - level) < 4 * np.sqrt(level * (1 - level) / size)

    def z_of_means(laws):
        means, deviations = np.array([(law.mean, law.deviation) for law in laws]).T
        return np.max(np.abs(best[list(places)] - means) / (deviations / np.sqrt(size)))

    assert z_of_means(laws) < 4
    machine.views(flat).generative[-1]["triangle"][...] = 0  # negative control: columns do not see each other
    assert z_of_means([table_oracle.law_of_lateral_gaussian(machine, flat, row, place) for place in places]) > 8


def test_rows_with_too_many_completions_are_sampled(monkeypatch):
    machine, flat, table = small_machine("categorical", 34, autoregressive=EVERYWHERE)
    X = several_holes(table)

    def sizes():
        return np.concatenate(given_observed(machine, flat, X, lambda one: one.effective_sizes, 500))

    n_cells = [table_oracle.n_cells(column) for column in table_oracle.columns_of(machine.columns)]
    assert np.isinf(sizes()).all()
    limit = n_cells[0] * n_cells[2]
    n_states = 2 ** machine.hidden_sizes[0]
    monkeypatch.setattr("skwakesleep._engine.posterior.enumeration.MAX_PAIRS", limit * n_states)
    n_completions = [np.prod(np.where(np.isnan(row), n_cells, 1)) for row in X]
    np.testing.assert_array_equal(np.isinf(sizes()), np.array(n_completions) <= limit)
    assert limit in n_completions


def test_a_column_with_more_cells_than_others_of_its_block():
    table = np.column_stack([np.arange(60) % 2, np.arange(60)]).astype(float)
    machine = Machine(Columns.of_table(["count", "count"], table), [2])
    parameters = np.zeros(machine.layout.size)
    given_rest = column_given_rest(machine, parameters, table, 1, NumpyBackend(), [0.5], n_particles=2)
    np.testing.assert_allclose(given_rest.quantiles, 29.5, atol=1)
