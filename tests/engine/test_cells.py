"""The family of columns with cells, compared with sums over all cells."""

from itertools import product

import numpy as np
import pytest

from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.arrays.random import CoarseNoise, CommonNoise, FineNoise
from skwakesleep._engine.machine.columns import Columns
from skwakesleep._engine.machine.families import Cells, Grid
from tests.engine.machines import table_of
from tests.oracle import frequency_p_value
from tests.table_oracle import cell_log_probs

pytestmark = pytest.mark.arithmetic

N = 2**15
SMALLEST_P = 1e-3
SIZES = [(4, 3), (2, 1), (1, 0), (5, 2)]  # cells and units of each column
N_UNITS = sum(width for _, width in SIZES)
STARTS = np.cumsum([0] + [width for _, width in SIZES])
SHAPES = [
    ((1, 1, N_UNITS), (5, 1, N_UNITS)),
    ((1, 3, N_UNITS), (5, 1, N_UNITS)),
    ((5, 3, N_UNITS), (5, 1, N_UNITS)),
    ((5, 1, N_UNITS), (5, 3, N_UNITS)),
    ((1, 3, N_UNITS), (1, 3, N_UNITS)),
]


def grid():
    """Return cells of columns of different sizes, padded, with features of mean zero."""
    rng = np.random.default_rng(1)
    probabilities, features = np.zeros((len(SIZES), 6)), np.zeros((len(SIZES), 6, 4))
    for column, (n_cells, width) in enumerate(SIZES):
        shares = rng.dirichlet(np.full(n_cells, 3.0))
        own = rng.normal(size=(n_cells, width))
        probabilities[column, :n_cells] = shares
        features[column, :n_cells, :width] = own - shares @ own
    return Grid(probabilities, features)


GRID = grid()
FAMILY = Cells(GRID)
COLUMNS = [(GRID.probabilities[c, :n], GRID.features[c, :n, :width]) for c, (n, width) in enumerate(SIZES)]
ROWS = list(product(*(range(n_cells) for n_cells, _ in SIZES)))
UNITS = np.array([np.concatenate([own[cell] for (_, own), cell in zip(COLUMNS, row, strict=True)]) for row in ROWS])


def log_probs(natural):
    """Return the log-probability of each of ROWS, as the oracle has it."""
    own = [
        cell_log_probs(*column, natural[start : start + column[1].shape[1]])
        for column, start in zip(COLUMNS, STARTS, strict=False)
    ]
    return np.array([sum(column[cell] for column, cell in zip(own, row, strict=True)) for row in ROWS])


def log_shares():
    return log_probs(np.zeros(N_UNITS))


def log_prob(family, natural, target):
    backend = NumpyBackend()
    return family.unnormalized_log_prob({}, natural, target, backend) - family.log_normalizer(
        {}, natural, None, backend
    )


def mean(family, natural):
    return family.mean(natural, np.empty_like(natural), NumpyBackend())


# ---------------------------------------------------------------------- probabilities


@pytest.mark.parametrize("scale", [0.3, 3.0, 30.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_probabilities_of_all_cells(dtype, scale, rng):
    natural = (scale * rng.normal(size=(7, 1, N_UNITS))).astype(dtype)
    actual = log_prob(FAMILY, natural.swapaxes(0, 1), UNITS.astype(dtype)[:, np.newaxis])
    assert actual.dtype == dtype
    tolerance = 1e-4 * scale if dtype == np.float32 else 1e-10
    for own, values in zip(actual.T, natural[:, 0].astype(float), strict=True):
        assert np.exp(own + log_shares()).sum() == pytest.approx(1, abs=tolerance)
        np.testing.assert_allclose(own + log_shares(), log_probs(values), atol=tolerance)


@pytest.mark.parametrize(("natural", "target"), SHAPES)
def test_log_probabilities_broadcast(natural, target, rng):
    natural, cells = rng.normal(size=natural), rng.integers(len(ROWS), size=target[:2])
    actual = log_prob(FAMILY, natural, UNITS[cells])
    shape = np.broadcast_shapes(natural.shape[:2], target[:2])
    for index in np.ndindex(shape):
        own = np.broadcast_to(natural, (*shape, N_UNITS))[index]
        row = np.broadcast_to(cells, shape)[index]
        assert actual[index] == pytest.approx((log_probs(own) - log_shares())[row], abs=1e-12)


def test_natural_parameters_of_zero_are_neutral():
    zero = np.full((1, 1, N_UNITS), FAMILY.neutral)
    np.testing.assert_allclose(log_prob(FAMILY, zero, np.zeros((1, 1, N_UNITS))), 0, atol=1e-15)
    np.testing.assert_allclose(mean(FAMILY, zero), 0, atol=1e-15)
    assert FAMILY.initial(np.zeros(N_UNITS)).keys() == {"intercept"}
    np.testing.assert_array_equal(FAMILY.initial(np.zeros(N_UNITS))["intercept"], 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_means_are_sums_over_the_cells(dtype, rng):
    natural = (2 * rng.normal(size=(5, 3, N_UNITS))).astype(dtype)
    expected = [[np.exp(log_probs(own.astype(float))) @ UNITS for own in row] for row in natural]
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    means = mean(FAMILY, natural)
    assert means.dtype == dtype
    np.testing.assert_allclose(means, expected, atol=tolerance)
    together = FAMILY.log_normalizer({}, natural, natural, NumpyBackend())  # in place
    np.testing.assert_array_equal(natural, means)
    assert together.shape == (5, 3)


def test_residuals_are_the_slopes_of_the_log_probability(rng):
    natural, target = rng.normal(size=(5, 3, N_UNITS)), UNITS[rng.integers(len(ROWS), size=(5, 1))]
    residual = FAMILY.residual({}, mean(FAMILY, natural), target, np.empty_like(natural))
    for unit in range(N_UNITS):
        step = 1e-5 * np.eye(N_UNITS)[unit]
        slope = (log_prob(FAMILY, natural + step, target) - log_prob(FAMILY, natural - step, target)) / 2e-5
        np.testing.assert_allclose(residual[..., unit], slope, atol=1e-8)


def test_curvatures_are_the_slopes_of_the_residuals_at_zero():
    step = 1e-5 * np.eye(N_UNITS)[:, np.newaxis]
    slope = (mean(FAMILY, step) - mean(FAMILY, -step)) / 2e-5
    curvature = FAMILY.curvature({}, np.zeros((5, 3, N_UNITS)))
    assert curvature.shape == (5, 3, N_UNITS)
    np.testing.assert_allclose(curvature[0, 0], np.diagonal(slope[:, 0]), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("largest", [1e4, -1e4])
def test_extreme_natural_parameters(largest, dtype):
    natural = np.full((1, 1, N_UNITS), largest, dtype) * np.resize([1, -1, 0.5], N_UNITS).astype(dtype)
    values = log_prob(FAMILY, natural, UNITS.astype(dtype)[:, np.newaxis])
    assert np.isfinite(values).all()
    best = log_probs(natural[0, 0].astype(float)).argmax()
    np.testing.assert_allclose(mean(FAMILY, natural)[0, 0], UNITS[best], atol=1e-5)
    for draws in (drawn(FAMILY, natural, 99, dtype), decided(FAMILY, natural, 99, dtype)):
        np.testing.assert_allclose(draws, np.tile(UNITS[best], (99, 1)), rtol=1e-6)


# ---------------------------------------------------------------------- samples

NOISE = {
    "fine": lambda: FineNoise(np.random.Generator(np.random.SFC64(0))),
    "coarse": lambda: CoarseNoise(np.random.Generator(np.random.SFC64(0)), NumpyBackend()),
    "common": lambda: CommonNoise(N, len(SIZES)),
}


def drawn(family, natural, n_draws, dtype, noise="fine"):
    out = np.empty((1, n_draws, N_UNITS), dtype)
    assert family.sample({}, natural.copy(), NOISE[noise](), out, NumpyBackend()) is out
    return out[0]


def decided(family, natural, n_draws, dtype, noise="fine"):
    """Return units made of thresholds, as in an autoregressive layer."""
    out = np.empty((1, n_draws, N_UNITS), dtype)
    thresholds = family.thresholds({}, NOISE[noise](), out.shape, dtype)
    assert thresholds.shape == (1, n_draws, len(SIZES))
    assert family.decide(np.broadcast_to(natural, out.shape), thresholds, out) is out
    return out[0]


@pytest.mark.parametrize("sampled", [drawn, decided])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("noise", NOISE)
def test_frequencies_of_cells(noise, dtype, sampled):
    natural = 0.5 * np.random.default_rng(3).normal(size=(1, 1, N_UNITS))
    draws = sampled(FAMILY, natural.astype(dtype), N, dtype, noise)
    distances = np.square(draws[:, np.newaxis] - UNITS).sum(axis=-1)
    assert distances.min(axis=1).max() < 1e-10
    rows = distances.argmin(axis=1)

    def p_value(shift):
        return frequency_p_value(rows, np.exp(log_probs(natural[0, 0] + shift)))

    assert p_value(0.0) > SMALLEST_P
    assert p_value(0.07) < SMALLEST_P  # negative control


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_largest_threshold_gives_the_last_cell(dtype):
    """Not one of the padding, to which sums of probabilities may round."""
    natural, out = np.zeros((1, 1, N_UNITS), dtype), np.empty((1, 1, N_UNITS), dtype)
    FAMILY.decide(natural, np.ones((1, 1, len(SIZES)), dtype), out)
    np.testing.assert_allclose(out[0, 0], UNITS[-1], rtol=1e-6)


# ---------------------------------------------------------------------- groups


def test_groups_are_the_columns(rng):
    groups = FAMILY.groups(N_UNITS)
    assert [(group.start, group.stop) for group in groups] == [(0, 3), (3, 4), (4, 4), (4, 6)]
    natural, target = rng.normal(size=(5, N_UNITS)), UNITS[rng.integers(len(ROWS), size=5)]
    total = np.zeros(5)
    for family, start, stop in groups:
        own = natural[:, start:stop]
        total += log_prob(family, own, target[:, start:stop])
        np.testing.assert_allclose(mean(family, own), mean(FAMILY, natural)[:, start:stop], atol=1e-14)
    np.testing.assert_allclose(total, log_prob(FAMILY, natural, target), rtol=1e-12)


def test_groups_decide_as_the_whole_does(rng):
    natural, thresholds = rng.normal(size=(200, N_UNITS)), rng.random((200, len(SIZES)))
    whole = FAMILY.decide(natural, thresholds, np.empty((200, N_UNITS)))
    for number, (family, start, stop) in enumerate(FAMILY.groups(N_UNITS)):
        own = family.decide(natural[:, start:stop], thresholds[:, [number]], np.empty((200, stop - start)))
        np.testing.assert_array_equal(own, whole[:, start:stop])
    assert len(np.unique(whole, axis=0)) > 20


# ---------------------------------------------------------------------- all columns of a table

KINDS = ["gaussian", "categorical", "bernoulli", "count", "ordinal", "categorical"]


def test_columns_of_several_kinds_are_decided_as_they_are_drawn(rng):
    columns = Columns.of_table(KINDS, table_of(KINDS, 60, rng))
    params = {"log_variance": np.array([0.3])}
    natural = rng.normal(size=(9, 5, columns.n_units))
    drawn, decided = np.empty_like(natural), np.empty_like(natural)
    columns.sample(params, natural.copy(), NOISE["fine"](), drawn, NumpyBackend())
    thresholds = columns.thresholds(params, NOISE["fine"](), natural.shape, natural.dtype)
    assert thresholds.shape == (9, 5, len(KINDS))
    columns.decide(natural, thresholds, decided)
    np.testing.assert_allclose(decided, drawn, rtol=1e-12)


def test_columns_are_not_units_if_their_widths_differ():
    """Two units of one column, none of the other."""
    table = np.column_stack([np.arange(9) % 3, np.zeros(9)])
    for kinds in (["ordinal", "count"], ["ordinal", "ordinal"], ["ordinal", "categorical"]):
        columns = Columns.of_table(kinds, table)
        assert columns.n_units == columns.n_columns == 2
        assert not columns.are_units
        units = columns.encode(table.copy())
        np.testing.assert_array_equal(columns.decode(units), table)
        absent = np.array([[True, False], [False, True]])
        np.testing.assert_array_equal(columns.of_units(absent), [[True, True], [False, False]])
    two_levels = Columns.of_table(["ordinal", "ordinal"], np.column_stack([np.arange(9) % 2, np.arange(9) > 4]))
    assert two_levels.are_units  # negative control
