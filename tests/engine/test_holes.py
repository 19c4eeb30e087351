"""Missing values: likelihoods of all patterns of holes, compared with plain loops, and rows that are completed."""

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import kstest, norm

from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.arrays.random import FineNoise
from skwakesleep._engine.machine.codecs import Standardization, UnitInterval
from skwakesleep._engine.machine.columns import Columns
from skwakesleep._engine.machine.holes import columns_with_holes, observed_values
from skwakesleep._engine.machine.moments import measure
from skwakesleep._engine.machine.networks import Machine
from skwakesleep._engine.machine.rows import Rows
from skwakesleep._engine.posterior.likelihood import estimate
from skwakesleep._engine.posterior.particles import Estimate
from tests import table_oracle
from tests.engine.machines import EVERYWHERE, keep_triangles, table_machine, table_of, with_all_holes
from tests.oracle import frequency_p_value

pytestmark = pytest.mark.arithmetic

ABOVE = ("prior", "hidden", "recognition")
TABLES = {
    **{kind: [kind] * 4 for kind in ("bernoulli", "gaussian", "categorical", "ordinal", "count", "continuous")},
    "mixed": ["gaussian", "categorical", "bernoulli", "count"],
    "cells": ["continuous", "ordinal", "continuous", "categorical"],
    "alternating": ["gaussian", "bernoulli", "gaussian", "bernoulli"],
}
SMALLEST_P = 1e-3
N_DRAWS = 20_000


def rows_with_holes(kinds, table):
    """Return two rows with all patterns of holes, the second one beyond the data, and other rows."""
    beyond = table.max(axis=0) + np.where(np.isin(kinds, ["gaussian", "count", "continuous"]), 5, 0)
    some = table[20:26].copy()
    some[[0, 1, 2, 3], [0, 1, 2, 3]] = np.nan
    return np.concatenate([with_all_holes(table[3]), with_all_holes(beyond), some])


def score(machine, flat, X, n_particles=10, n_steps=0):
    rows = Rows(X, machine.columns, flat.dtype, NumpyBackend())
    return estimate(machine, flat, rows, NumpyBackend(), n_particles, n_steps)


# ---------------------------------------------------------------------- likelihoods


@pytest.mark.parametrize(
    ("name", "hidden", "autoregressive"),
    [
        *((name, (3,), ()) for name in TABLES),
        *((name, (2, 2), ABOVE) for name in TABLES),
        ("mixed", (3,), ABOVE),
        ("mixed", (2, 2), ()),
    ],
    ids=str,
)
def test_the_likelihood_is_that_of_the_observed_values(name, hidden, autoregressive):
    kinds = TABLES[name]
    machine, flat, table = table_machine(kinds, hidden, 1, autoregressive=autoregressive)
    X = rows_with_holes(kinds, table)
    actual = score(machine, flat, X).log_likelihood
    np.testing.assert_allclose(actual, table_oracle.log_likelihood(machine, flat, X), rtol=0, atol=1e-8)
    np.testing.assert_allclose(actual[[15, 31]], 0, atol=1e-10)  # nothing observed
    assert np.abs(np.diff(actual[:16])).min() > 1e-3  # each pattern has a score of its own


@pytest.mark.parametrize("kinds", [TABLES["mixed"], TABLES["gaussian"]], ids=["mixed", "gaussian"])
def test_the_score_of_a_row_does_not_depend_on_the_holes_of_others(kinds):
    machine, flat, table = table_machine(kinds, (3, 2), 2)
    X = rows_with_holes(kinds, table)
    whole = score(machine, flat, X).log_likelihood
    for row in (0, 5, 35, 37):
        np.testing.assert_allclose(score(machine, flat, X[[row]]).log_likelihood, whole[[row]], rtol=1e-13)


@pytest.mark.parametrize("kinds", [TABLES["mixed"], TABLES["cells"]], ids=["mixed", "cells"])
def test_single_precision(kinds):
    machine, flat, table = table_machine(kinds, (3, 2), 3)
    X = rows_with_holes(kinds, table)
    actual = score(machine, flat.astype(np.float32), X).log_likelihood
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, score(machine, flat, X).log_likelihood, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["bernoulli", "gaussian"])
def test_sparse_tables_with_holes_equal_dense_ones(kind):
    kinds = [kind] * 4
    machine, flat, table = table_machine(kinds, (3,), 4)
    X = rows_with_holes(kinds, table)
    X[20, 1:3] = 0
    np.testing.assert_array_equal(
        score(machine, flat, sparse.csr_array(X)).log_likelihood, score(machine, flat, X).log_likelihood
    )


def constant_columns():
    """Return a table with columns of one value, which have no units."""
    table = table_of(["categorical", "ordinal", "count", "ordinal"], 60, np.random.default_rng(5))
    table[:, [0, 3]] = 0
    return table


@pytest.mark.parametrize("autoregressive", [(), ("visible",)], ids=["plain", "autoregressive"])
@pytest.mark.parametrize("kinds", [["categorical", "ordinal", "count", "ordinal"], ["count"] * 4], ids=str)
def test_columns_without_units(kinds, autoregressive):
    table = constant_columns()
    machine = Machine(Columns.of_table(kinds, table), [3], autoregressive)
    flat = np.random.default_rng(6).normal(size=machine.layout.size)
    keep_triangles(machine, flat)
    X = table[:4].copy()
    if not autoregressive:
        X = with_all_holes(table[0])
    np.testing.assert_allclose(
        score(machine, flat, X).log_likelihood, table_oracle.log_likelihood(machine, flat, X), atol=1e-8
    )
    units = machine.bind(flat, NumpyBackend()).generative.sample(None, (7, 1), FineNoise(np.random.default_rng(0)))[-1]
    np.testing.assert_array_equal(machine.columns.decode(units[:, 0])[:, [0, 3]], 0)


@pytest.mark.parametrize("kind", ["categorical", "ordinal", "count", "continuous"])
def test_tables_of_constant_columns(kind):
    table = np.where(np.eye(9, 2) > 0, np.nan, 3 * (kind == "continuous"))
    machine = Machine(Columns.of_table([kind] * 2, table), [3])
    assert machine.columns.n_units == 0
    flat = np.random.default_rng(16).normal(size=machine.layout.size)
    X = with_all_holes(table[5])
    expected = table_oracle.log_likelihood(machine, flat, X)
    np.testing.assert_allclose(score(machine, flat, X).log_likelihood, expected, atol=1e-8)


# ---------------------------------------------------------------------- inputs


@pytest.mark.parametrize("kinds", TABLES.values(), ids=TABLES)
def test_the_recognition_network_sees_means_and_indicators_of_missing_values(kinds):
    machine, _, table = table_machine(kinds, (3,), 13)
    observed = np.where(np.arange(len(table)) % 2, np.nan, table[:, 1])
    machine = Machine(Columns.of_table(kinds, np.column_stack([table[:, 0], observed, table[:, 2:]])), [3])
    assert machine.columns.with_holes.tolist() == [1]
    for some in (with_all_holes(table[3]), table[:5]):
        batch = Rows(some, machine.columns, np.float64, NumpyBackend()).take(np.arange(len(some)))
        expected = [table_oracle.root_of(machine.columns, row) for row in some]
        np.testing.assert_allclose(batch.root[:, 0], expected, atol=1e-12)
        assert (batch.missing is None) == (not np.isnan(some).any())


@pytest.mark.parametrize("autoregressive", [(), ("visible",)], ids=["plain", "autoregressive"])
def test_missing_units_say_nothing_about_hidden_units(autoregressive):
    """The log-odds are those of a machine whose missing columns have no weights."""
    machine, flat, table = table_machine(TABLES["mixed"], (3,), 14, autoregressive=autoregressive)
    columns = machine.columns
    missing = columns.of_units(np.array([[True, False, True, False]]))[:, np.newaxis]
    units = columns.encode(table[5:6].copy())[:, np.newaxis]
    target = units if autoregressive else np.where(missing, 0, units)
    parent = np.random.default_rng(15).integers(2, size=(1, 7, 3)).astype(float)

    def log_odds(missing):
        of_parent, of_target = np.zeros_like(parent), np.zeros((1, 7, columns.n_units))
        layer = machine.bind(flat, NumpyBackend()).generative.layers[-1]
        log_prob = layer.add_log_odds(parent, target, of_parent, of_target if autoregressive else None, missing)
        np.testing.assert_allclose(log_prob, layer.log_prob(parent, target, missing), rtol=1e-12)
        np.testing.assert_allclose(log_prob, layer.evaluate(parent, target, missing).log_prob, rtol=1e-12)
        return of_parent

    actual = log_odds(missing)
    visible = machine.views(flat).generative[-1]
    visible["weights"][:, missing[0, 0]] = 0
    assert np.abs(actual).min() > 1e-3
    np.testing.assert_allclose(actual, log_odds(None), atol=1e-12)


# ---------------------------------------------------------------------- estimates


def largest_z(result, expected):
    return (np.abs(result.log_likelihood - expected) / (result.standard_error + 1e-6)).max()


@pytest.mark.usefixtures("sampled")
@pytest.mark.statistical
@pytest.mark.parametrize("n_steps", [0, 15], ids=["importance", "annealed"])
@pytest.mark.parametrize(
    ("name", "autoregressive"), [("mixed", ABOVE), ("cells", ()), ("cells", ABOVE), ("bernoulli", ())], ids=str
)
def test_estimates_agree_with_all_hidden_states(name, autoregressive, n_steps):
    kinds = TABLES[name]
    machine, flat, table = table_machine(kinds, (3, 2), 7, autoregressive=autoregressive, scale=0.4)
    X = np.concatenate([with_all_holes(table[3]), table[20:26]])
    result = score(machine, flat, X, n_particles=300 if n_steps else 4000, n_steps=n_steps)
    expected = table_oracle.log_likelihood(machine, flat, X)
    assert (result.standard_error < 0.3).all()
    assert (result.standard_error[:15] > 0).all()
    assert largest_z(result, expected) < 4
    assert largest_z(result, np.roll(expected, 1)) > 20  # negative control: the holes of another row


DISCRETE = {name: TABLES[name] for name in ("bernoulli", "categorical", "count", "cells")}
DISCRETE["mixed"] = ["categorical", "bernoulli", "count", "bernoulli"]


@pytest.mark.usefixtures("sampled")
@pytest.mark.statistical
@pytest.mark.parametrize("kinds", DISCRETE.values(), ids=DISCRETE)
def test_missing_values_that_later_columns_see_are_summed_out(kinds):
    machine, flat, table = table_machine(kinds, (3,), 8, autoregressive=EVERYWHERE, scale=0.5)
    X = rows_with_holes(kinds, table)[:16]
    result = score(machine, flat, X, n_particles=4000)
    expected = table_oracle.log_likelihood(machine, flat, X)
    assert (result.standard_error < 0.3).all()
    assert largest_z(result, expected) < 4
    machine.views(flat).generative[-1]["triangle"][...] = 0  # negative control: columns do not see each other
    some = slice(None, None, 4)
    assert (
        largest_z(Estimate(*(values[some] for values in result)), table_oracle.log_likelihood(machine, flat, X[some]))
        > 8
    )


def test_enumeration_sums_out_missing_values_that_later_columns_see():
    machine, flat, table = table_machine(DISCRETE["mixed"], (3,), 8, autoregressive=EVERYWHERE, scale=0.5)
    X = rows_with_holes(DISCRETE["mixed"], table)[:16]
    expected = table_oracle.log_likelihood(machine, flat, X)
    np.testing.assert_allclose(score(machine, flat, X).log_likelihood, expected, atol=1e-8)


@pytest.mark.usefixtures("sampled")
def test_missing_gaussian_columns_of_an_autoregressive_layer():
    machine, flat, table = table_machine(TABLES["gaussian"], (3,), 9, autoregressive=EVERYWHERE, scale=0.5)
    X = with_all_holes(table[3])
    result = score(machine, flat, X, n_particles=4000)
    assert largest_z(result, table_oracle.log_likelihood(machine, flat, X)) < 4


# ---------------------------------------------------------------------- completed rows

MIXED = ["bernoulli", "categorical", "gaussian", "ordinal"]


def completed(autoregressive, missing, seed=10):
    """Return a layer's completions of one row for one hidden state, and what the oracle needs."""
    machine, flat, table = table_machine(MIXED, (3,), seed, autoregressive=autoregressive, scale=1.0)
    columns = table_oracle.columns_of(machine.columns)
    layer = machine.bind(flat, NumpyBackend()).generative.layers[-1]
    parent, row = np.array([1.0, 0.0, 1.0]), table[5]
    target = machine.columns.encode(row[np.newaxis].copy())[:, np.newaxis]
    absent = machine.columns.of_units(np.isin(np.arange(4), missing)[np.newaxis])[:, np.newaxis]
    parents = np.broadcast_to(parent, (1, N_DRAWS, 3)).copy()
    units = layer.complete(parents, target, absent, FineNoise(np.random.default_rng(1)))
    assert units.shape == (1, N_DRAWS, machine.columns.n_units)
    np.testing.assert_array_equal(units[..., ~absent[0, 0]], np.broadcast_to(target, units.shape)[..., ~absent[0, 0]])
    params = machine.views(flat).generative[-1]
    return columns, params, parent @ params["weights"] + params["intercept"], row, units[0]


def joint_law(columns, params, natural, row, missing, before=()):
    """Yield the probability and the units of each completion of a row with missing discrete columns."""
    if not columns:
        yield 1.0, np.array(before)
        return
    column, rest = columns[0], columns[1:]
    own = natural[column.units] + np.array(before) @ params["triangle"][: len(before), column.units]
    choices = [(0.0, table_oracle.encoded(column, row[column.place]))]
    if column.place in missing:
        choices = list(table_oracle.completions(column, own))
    for log_p, units in choices:
        for p, whole in joint_law(rest, params, natural, row, missing, (*before, *units)):
            yield np.exp(log_p) * p, whole


@pytest.mark.statistical
@pytest.mark.parametrize("missing", [(0, 1), (1, 3), (0, 1, 3)], ids=str)
@pytest.mark.parametrize("autoregressive", [(), ("visible",)], ids=["plain", "autoregressive"])
def test_missing_discrete_columns_have_their_conditional_probabilities(autoregressive, missing):
    columns, params, natural, row, units = completed(autoregressive, missing)
    params = {"triangle": np.zeros((len(natural), len(natural)))} | dict(params)
    probabilities, wholes = zip(*joint_law(columns, params, natural, row, missing), strict=True)
    distances = np.square(units[:, np.newaxis] - wholes).sum(axis=-1)
    assert distances.min(axis=1).max() < 1e-12
    assert sum(probabilities) == pytest.approx(1)
    assert frequency_p_value(distances.argmin(axis=1), np.array(probabilities)) > SMALLEST_P
    # Negative controls: the sight of other columns is wrong, or the natural parameters are.
    others = np.random.default_rng(2).normal(size=params["triangle"].shape)
    turned = {"triangle": params["triangle"] + others}
    for other_params, other in ((turned, natural), (params, natural + 0.2 * others[0])):
        wrong = np.array([p for p, _ in joint_law(columns, other_params, other, row, missing)])
        assert frequency_p_value(distances.argmin(axis=1), wrong) < SMALLEST_P


@pytest.mark.statistical
@pytest.mark.parametrize("autoregressive", [(), ("visible",)], ids=["plain", "autoregressive"])
def test_missing_gaussian_columns_have_their_conditional_density(autoregressive):
    columns, params, natural, row, units = completed(autoregressive, (2,))
    place = next(number for number, column in enumerate(columns) if column.kind == "gaussian")
    unit, codec = columns[place].units.start, columns[place].codec
    before = np.concatenate([table_oracle.encoded(column, row[column.place]) for column in columns[:place]])
    seen = before @ params["triangle"][:unit, unit] if autoregressive else 0.0
    deviation = np.sqrt(np.exp(params["log_variance"][0]) + codec.smallest_variance[0])
    draws = (units[:, unit] - natural[unit] - seen) / deviation
    assert kstest(draws, norm.cdf).pvalue > SMALLEST_P
    assert kstest(draws * 1.05, norm.cdf).pvalue < SMALLEST_P  # negative control


# ---------------------------------------------------------------------- moments

VALUES = np.random.default_rng(11).normal(size=(300, 5)) * [1, 1e-9, 1e9, 1, 1] + [0, 5, -3, 0, 0]
VALUES[:, 3] = np.round(VALUES[:, 3], 1)
HOLES = np.where(np.random.default_rng(12).random((300, 5)) < [0, 0.1, 0.5, 0.9, 1], np.nan, VALUES)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_moments_are_those_of_the_observed_values(dtype):
    table = HOLES.astype(dtype)
    for container in (table, np.asfortranarray(table), sparse.csr_array(table)):
        moments = measure(container)
        for column, values in enumerate(table.T[:4]):
            own = measure(values[~np.isnan(values)][:, np.newaxis])
            for name, expected in vars(own).items():
                assert getattr(moments, name)[column] == expected[0], name
        assert moments.counts.tolist() == [*(~np.isnan(table)).sum(axis=0)]
        assert moments.deviations[4] == 0


def test_a_table_without_holes_has_the_same_moments_as_with_a_column_of_holes():
    alone, beside = measure(VALUES), measure(np.column_stack([VALUES, np.full(300, np.nan)]))
    for name, expected in vars(alone).items():
        np.testing.assert_allclose(getattr(beside, name)[:5], expected, rtol=1e-9)


def test_parts_of_a_stream_with_holes_have_the_moments_of_the_whole():
    whole, merged = measure(HOLES), measure(HOLES[:100]).merged(measure(HOLES[100:]))
    np.testing.assert_array_equal(merged.counts, whole.counts)
    np.testing.assert_allclose(merged.means, whole.means, rtol=1e-9)
    np.testing.assert_allclose(merged.deviations, whole.deviations, rtol=1e-6)


def test_values_too_far_apart_name_their_column():
    with pytest.raises(OverflowError) as caught:
        Columns.of_table(["bernoulli", "gaussian"], np.array([[np.nan, 1.7e308], [1.0, -1.7e308], [0.0, np.nan]]))
    assert caught.value.args == (1,)


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
def test_codecs_of_the_observed_values(container):
    standardization = Standardization.of_table(container(HOLES))
    for column, values in enumerate(HOLES.T[:4]):
        own = Standardization.of_table(values[~np.isnan(values)][:, np.newaxis])
        for name in ("location", "scale", "smallest_variance"):
            assert getattr(standardization, name)[column] == getattr(own, name)[0]
    np.testing.assert_array_equal(standardization.scale[4], 1)


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
def test_means_of_binary_columns_are_those_of_the_observed_values(container):
    thresholds = VALUES.mean(axis=0) + [0, 0, 0, 9, 0] * VALUES.std(axis=0)  # the fourth column has zeros alone
    binary = np.where(np.isnan(HOLES), np.nan, thresholds < VALUES)
    codec = UnitInterval.of_table(container(binary))
    for column, values in enumerate(binary.T[:4]):
        own = UnitInterval.of_table(values[~np.isnan(values)][:, np.newaxis])
        assert codec.means[column] == pytest.approx(own.means[0], rel=1e-13)
    assert codec.means[4] == 0.5


def test_holes_are_found():
    for table in (HOLES, sparse.csr_array(HOLES)):
        np.testing.assert_array_equal(columns_with_holes(table), [1, 2, 3, 4])
        for column in range(5):
            own = HOLES[:, column]
            np.testing.assert_array_equal(observed_values(table, column), own[~np.isnan(own)])


def test_columns_without_values_have_no_indicator():
    table = np.array([[0.0, np.nan, np.nan], [1.0, 1.0, np.nan]])
    assert Columns.of_table(["bernoulli"] * 3, table).with_holes.tolist() == [1]
