"""Codecs of columns with cells: what they say about single columns is a distribution, and units lead back to values.

Sums run over all whole numbers, integrals over the intervals and both tails. Each column is tested alone and in a block
with all others, where the arrays of cells are padded.
"""

import numpy as np
import pytest
from scipy import sparse
from scipy.integrate import quad
from scipy.special import ndtri
from scipy.stats import kstest

from skwakesleep._engine.arrays.random import FineNoise
from skwakesleep._engine.machine.cell_codecs import PSEUDO_COUNT
from skwakesleep._engine.machine.columns import KINDS
from skwakesleep._engine.machine.interval_codecs import Intervals
from tests.oracle import frequency_p_value

RNG = np.random.default_rng(4)
NEVER = np.full(6, np.nan)
SPREAD = np.where(RNG.random(600) < 0.92, 0, RNG.lognormal(9, size=600))
TENTHS = RNG.integers(-15, 15, size=500) / 10
SHARED = {"one row": [3.0], "constant": [7.0] * 50, "two values": [1.0, 4.0] * 30, "never observed": NEVER}
REAL = SHARED | {
    "normal": RNG.normal(size=400),
    "skewed and negative": -RNG.lognormal(size=300),
    "holes": np.where(RNG.random(300) < 0.4, np.nan, RNG.normal(size=300)),
    "few": [1.0, 2.5, 7.0],
    "heavy atom": SPREAD,
    "rounded": TENTHS,
    "atom within": np.where(RNG.random(300) < 0.5, 0, RNG.normal(size=300)),
    "clusters": RNG.normal(size=200) + np.repeat([0, 1e6], 100),
    "tiny": 1e-300 * RNG.normal(size=100),
    "huge": 1e300 * RNG.normal(size=100),
    "huge and constant": [1e300] * 20,
    "far from zero": 1e17 + 16 * RNG.integers(9, size=99),
}
COARSE = {"huge and constant", "far from zero"}  # a few floating-point numbers in each interval
WHOLE = SHARED | {
    "poisson": RNG.poisson(3, size=300),
    "far from zero": 1000 + RNG.poisson(9, size=300),
    "heavy atom": np.floor(SPREAD / 100),
    "zeros": [0.0] * 9,
    "zero and one": RNG.integers(2, size=90),
    "zero and six": 6 * RNG.integers(2, size=90),
    "one large": [0.0] * 99 + [700.0],
    "holes": np.where(RNG.random(200) < 0.5, np.nan, RNG.geometric(0.1, size=200)),
}
NUMBERED = {
    "letters": RNG.integers(5, size=100),
    "one category": [0.0] * 7,
    "a category that does not occur": [0.0, 2.0, 2.0, 3.0],
    "rare": [0.0] * 999 + [1.0],
    "holes": np.where(RNG.random(100) < 0.5, np.nan, RNG.integers(3, size=100)),
    "one row": [2.0],
    "never observed": NEVER,
    "many": RNG.integers(60, size=500),
}
EXAMPLES = {"categorical": NUMBERED, "ordinal": NUMBERED, "count": WHOLE, "continuous": REAL}
each_kind = pytest.mark.parametrize("kind", EXAMPLES)
each_column = pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, columns in EXAMPLES.items() for name in columns]
)
each_count = pytest.mark.parametrize("name", WHOLE)


def codec_of(kind, *columns):
    """Return the codec of columns of different lengths, the shorter ones filled up by missing values."""
    table = np.full((max(map(len, columns)), len(columns)), np.nan)
    for own, values in zip(table.T, columns, strict=True):
        own[: len(values)] = values
    return KINDS[kind].codec.of_table(table)


def alone(kind, name):
    return codec_of(kind, EXAMPLES[kind][name])


def log_base(codec, values, column=0):
    """Return the log-probability of values of a column, with all others missing."""
    table = np.full((len(values), len(codec.probabilities)), np.nan)
    table[:, column] = values
    return codec.log_base(table)


def edges_of(codec, column=0):
    return codec.edges[column][np.isfinite(codec.edges[column])]


def cells_of(codec, values):
    return codec.cells(np.asarray(values, float)[:, np.newaxis])[:, 0]


def values_around(kind, name):
    """Return values of a column, and for ordered numbers values beyond."""
    values = np.asarray(EXAMPLES[kind][name], float)
    values = np.unique(values[~np.isnan(values)])
    if not len(values):
        return np.zeros(1)
    if kind in ("categorical", "ordinal"):
        return values
    width = max(np.ptp(values), 10)
    beyond = np.array([values[-1] + width, values[-1] + 3 * width, values[0] - width])
    return np.r_[values, np.floor(np.maximum(beyond, 0)) if kind == "count" else beyond]


def every_unit(codec):
    """Return the units of each cell of a single column."""
    return codec.grid.features[0, codec.grid.probabilities[0] > 0][:, : codec.n_units]


# ---------------------------------------------------------------------- probabilities


@pytest.mark.parametrize("kind", ["categorical", "ordinal"])
@pytest.mark.parametrize("name", NUMBERED)
def test_probabilities_of_categories_are_shares_with_pseudo_counts(kind, name):
    codec = alone(kind, name)
    observed = [int(value) for value in NUMBERED[name] if not np.isnan(value)]
    counts = np.array([observed.count(number) + PSEUDO_COUNT for number in range(max(observed, default=0) + 1)])
    probabilities = np.exp(log_base(codec, np.arange(len(counts), dtype=float)))
    np.testing.assert_allclose(probabilities, counts / counts.sum(), rtol=1e-12)


@each_count
def test_probabilities_of_all_whole_numbers_sum_to_one(name):
    codec = alone("count", name)
    edges = edges_of(codec)
    numbers = np.arange(edges[-1] + 20 * (edges[-1] - edges[0]) + 40)
    assert np.exp(log_base(codec, numbers)).sum() == pytest.approx(1, abs=1e-8)


@pytest.mark.parametrize("name", sorted(REAL.keys() - COARSE))
def test_the_density_integrates_to_one(name):
    codec = alone("continuous", name)
    edges = edges_of(codec)
    width, half_range = np.diff(edges), (edges[-1] - edges[0]) / 2
    inside = [log_base(codec, edges[:-1] + place * width) for place in (0.5, 1e-3, 0.1, 0.9, 1 - 1e-3)]
    for other in inside[1:]:  # constant in each interval
        np.testing.assert_allclose(other, inside[0], rtol=1e-12)
    total = np.exp(inside[0] + np.log(width)).sum()

    def beyond(distance):
        ends = log_base(codec, np.array([edges[0] - distance * half_range, edges[-1] + distance * half_range]))
        return np.exp(ends + np.log(half_range)).sum()

    tails, _ = quad(beyond, 1e-9, 50)
    assert total + tails == pytest.approx(1, abs=1e-8)
    assert tails > 0


@each_column
def test_padding_changes_no_probability(kind, name):
    names = list(EXAMPLES[kind])
    together, column = codec_of(kind, *EXAMPLES[kind].values()), names.index(name)
    values = values_around(kind, name)
    expected = log_base(alone(kind, name), values)
    np.testing.assert_allclose(log_base(together, values, column), expected, rtol=1e-12, atol=1e-15)
    assert np.isfinite(expected).all()


@each_kind
def test_a_missing_value_has_no_probability(kind):
    codec = codec_of(kind, *EXAMPLES[kind].values())
    np.testing.assert_array_equal(codec.log_base(np.full((3, len(EXAMPLES[kind])), np.nan)), 0)


@pytest.mark.parametrize("kind", ["count", "continuous"])
@pytest.mark.parametrize("value", [0.0, 1e-300, 1e15, 1e300])
def test_values_far_from_the_data_have_finite_densities(kind, value):
    for name in EXAMPLES[kind]:
        ends = np.array([value] if kind == "count" else [value, -value])
        assert np.isfinite(log_base(alone(kind, name), ends)).all()


def test_the_density_falls_off_beyond_the_data():
    codec = alone("continuous", "normal")
    low, high = edges_of(codec)[[0, -1]]
    for values in (high + np.linspace(0.01, 5, 40), low - np.linspace(0.01, 5, 40)):
        np.testing.assert_allclose(np.diff(np.diff(log_base(codec, values))), 0, atol=1e-9)
        assert (np.diff(log_base(codec, values)) < 0).all()


def test_tails_weigh_as_much_as_one_of_the_rows_and_two_more():
    codec = alone("continuous", "normal")
    shares = codec.shares[0]
    edges = edges_of(codec)
    half_range = (edges[-1] - edges[0]) / 2
    above = np.exp(log_base(codec, np.array([edges[-1] + 1e-9 * half_range]))) * half_range
    assert above == pytest.approx(shares[-1] / 402, rel=1e-6)


# ---------------------------------------------------------------------- intervals


def test_a_common_value_has_an_interval_as_wide_as_the_resolution():
    codec = alone("continuous", "heavy atom")
    distinct = np.unique(SPREAD)
    resolution = np.median(np.diff(distinct))
    density = np.exp(log_base(codec, np.zeros(1)))[0]
    assert density * resolution == pytest.approx((SPREAD == 0).mean(), rel=0.01)
    numbers = cells_of(codec, distinct)
    assert numbers[0] == 0 < numbers[1]


def test_cells_have_about_equally_many_rows():
    values = RNG.normal(size=6400)
    codec = codec_of("continuous", values)
    assert len(np.unique(codec._intervals(values[:, np.newaxis]))) > 400
    n_rows = np.bincount(cells_of(codec, values))
    np.testing.assert_allclose(codec.probabilities[0], n_rows / 6400)
    assert len(n_rows) <= 32
    assert n_rows.min() > 150


@pytest.mark.parametrize("name", ["count", "continuous"])
def test_the_rows_of_each_interval_are_counted(name):
    for values in EXAMPLES[name].values():
        values = np.asarray(values, float)
        values = values[~np.isnan(values)]
        if len(values):
            codec = codec_of(name, values)
            n_intervals = (codec.shares[0] > 0).sum()
            n_rows = np.bincount(codec._intervals(values[:, np.newaxis])[:, 0], minlength=n_intervals)
            n_rows = np.maximum(n_rows, PSEUDO_COUNT)  # of an empty interval between common values
            np.testing.assert_allclose(codec.shares[0, :n_intervals], n_rows / n_rows.sum())


def test_an_empty_interval_is_between_common_values():
    codec = codec_of("count", [0, 6] * 50)
    assert np.exp(log_base(codec, np.array([6.0])))[0] == pytest.approx(0.5, abs=0.02)
    assert np.exp(log_base(codec, np.array([3.0])))[0] < 0.002


def test_values_that_differ_by_rounding_errors_are_one_value():
    noisy = np.where(RNG.random(500) < 0.5, TENTHS, TENTHS * (1 + np.finfo(float).eps))
    assert len(np.unique(noisy)) > len(np.unique(TENTHS))
    expected = log_base(codec_of("continuous", TENTHS), TENTHS)
    np.testing.assert_allclose(log_base(codec_of("continuous", noisy), noisy), expected, rtol=1e-9)
    nearly_constant = codec_of("continuous", [0.3, 0.1 + 0.2] * 20)
    assert nearly_constant.n_units == 0
    assert (log_base(nearly_constant, np.array([0.3, 0.1 + 0.2])) < 0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_of_the_table_does_not_matter(dtype):
    values = RNG.integers(50, size=(300, 1)) / 8
    codec, expected = Intervals.of_table(values.astype(dtype)), Intervals.of_table(values)
    np.testing.assert_allclose(codec.log_base(values.astype(dtype)), expected.log_base(values), rtol=1e-6)


def test_values_too_far_apart_name_their_column():
    with pytest.raises(OverflowError) as caught:
        Intervals.of_table(np.array([[0.0, 1.7e308], [1.0, -1.7e308]]))
    assert caught.value.args == (1,)


@each_kind
def test_sparse_tables_equal_dense_ones(kind):
    table = RNG.integers(4, size=(90, 5)).astype(float) * (RNG.random((90, 5)) < 0.4)
    table[RNG.random((90, 5)) < 0.1] = np.nan
    table[:, 3] = np.nan
    codecs = [KINDS[kind].codec.of_table(container) for container in (table, sparse.csr_array(table))]
    np.testing.assert_array_equal(*(codec.grid.probabilities for codec in codecs))
    np.testing.assert_array_equal(*(codec.log_base(table) for codec in codecs))


# ---------------------------------------------------------------------- features


@each_column
def test_units_have_mean_zero_in_the_data(kind, name):
    codec = alone(kind, name)
    shares = codec.probabilities[0]
    np.testing.assert_allclose(shares @ codec.grid.features[0], 0, atol=1e-10)
    np.testing.assert_array_equal(codec.means, 0)
    squares = (shares[:, np.newaxis] * np.square(codec.grid.features[0])).sum()
    assert codec.n_active == pytest.approx(squares)


@pytest.mark.parametrize("name", NUMBERED)
def test_units_of_categories_are_indicators_minus_their_means(name):
    codec = alone("categorical", name)
    shares, units = codec.probabilities[0], every_unit(codec)
    assert codec.n_units == (len(shares) if len(shares) > 1 else 0)
    for number, own in enumerate(units):
        np.testing.assert_allclose(own, [(number == other) - share for other, share in enumerate(shares)][: len(own)])


@pytest.mark.parametrize(("kind", "name"), [(k, n) for k in ("ordinal", "count", "continuous") for n in EXAMPLES[k]])
def test_units_of_ordered_columns_are_orthonormal_polynomials_of_normal_scores(kind, name):
    codec = alone(kind, name)
    shares, units = codec.probabilities[0], every_unit(codec)
    assert codec.n_units == min(3, len(shares) - 1)
    np.testing.assert_allclose((units.T * shares) @ units, np.eye(codec.n_units), atol=1e-8)
    scores = ndtri(np.cumsum(shares) - shares / 2)
    for degree, own in enumerate(units.T, start=1):
        fit = np.polynomial.Polynomial.fit(scores, own, degree)
        np.testing.assert_allclose(fit(scores), own, atol=1e-6)
        assert fit.convert().coef[-1] > 0  # larger values, larger units
        assert degree == 1 or abs(np.polynomial.Polynomial.fit(scores, own, degree - 1)(scores) - own).max() > 0.01


@each_kind
def test_padded_units_are_dropped(kind):
    together = codec_of(kind, *EXAMPLES[kind].values())
    widths = [alone(kind, name).n_units for name in EXAMPLES[kind]]
    np.testing.assert_array_equal(together.widths, widths)
    assert together.n_units == sum(widths)
    table = np.full((1, len(widths)), np.nan)
    for column, name in enumerate(EXAMPLES[kind]):
        value = values_around(kind, name)[0]
        table[0, column] = value
        own, units = np.empty((1, widths[column])), np.empty((1, sum(widths)))
        alone(kind, name).encode(np.array([[value]]), own)
        together.encode(table, units)
        start = sum(widths[:column])
        np.testing.assert_allclose(units[:, start : start + widths[column]], own, atol=1e-9)


# ---------------------------------------------------------------------- from units to values


@each_column
@pytest.mark.parametrize("drawn", [False, True])
def test_units_lead_back_to_their_cell(kind, name, drawn):
    codec = alone(kind, name)
    values = values_around(kind, name)
    units = np.empty((len(values), codec.n_units))
    codec.encode(values[:, np.newaxis], units)
    noise = FineNoise(np.random.default_rng(0)) if drawn else None
    decoded = codec.decode(units, noise).astype(float)
    np.testing.assert_array_equal(codec.cells(decoded)[:, 0], cells_of(codec, values))
    assert np.isfinite(codec.log_base(decoded)).all()
    if kind in ("categorical", "ordinal"):
        np.testing.assert_array_equal(decoded[:, 0], values)
    else:
        low, high = edges_of(codec)[[0, -1]]  # half of the resolution beyond the data
        assert (decoded >= low).all()
        assert (decoded <= high).all()
    if kind == "count":
        np.testing.assert_array_equal(decoded, np.floor(decoded))
        assert (decoded >= 0).all()


def test_units_between_cells_lead_to_the_nearest():
    codec = alone("ordinal", "letters")
    units = every_unit(codec)
    np.testing.assert_array_equal(codec.decode(0.9 * units + 0.1 * units[[2]], None)[:, 0], np.arange(5))


@each_kind
def test_units_lead_to_no_cell_that_a_column_does_not_have(kind):
    codec = codec_of(kind, *EXAMPLES[kind].values())
    decoded = codec.decode(np.zeros((1, codec.n_units)), None).astype(float)
    assert np.isfinite(decoded).all()
    assert (codec.cells(decoded) < codec.grid.n_cells).all()
    assert np.isfinite(codec.log_base(decoded)).all()


def drawn_in_cell(codec, cell, n_draws):
    cells = np.full((n_draws, 1), cell)
    return codec.values(cells, FineNoise(np.random.default_rng(1)))[:, 0]


def test_values_are_drawn_uniformly_in_their_interval():
    codec = alone("continuous", "normal")
    draws = drawn_in_cell(codec, 4, 20_000)
    low, high = codec.extents[:, 0, np.flatnonzero(codec.cell_of[0] == 4)[0]]
    draws = draws[draws <= high]
    assert kstest((draws - low) / (high - low), "uniform").pvalue > 1e-3
    assert kstest((draws - low) / (high - low) * 1.03, "uniform").pvalue < 1e-3  # negative control


def test_whole_numbers_are_drawn_uniformly_in_their_interval():
    codec = codec_of("count", np.arange(400) // 4)
    low, high = edges_of(codec)[3:5]
    numbers = np.arange(low + 0.5, high)
    assert len(numbers) > 2
    draws = drawn_in_cell(codec, codec.cell_of[0, 3], 80_000)
    draws = (draws[(draws > low) & (draws < high)] - numbers[0]).astype(int)
    assert frequency_p_value(draws, np.full(len(numbers), 1 / len(numbers))) > 1e-3
    skewed = np.linspace(0.97, 1.03, len(numbers)) / len(numbers)  # negative control
    assert frequency_p_value(draws, skewed) < 1e-3


def test_intervals_of_a_cell_are_drawn_by_their_shares():
    values = RNG.choice(
        [0.0, 1.0, 2.0, 5.0, 9.0, *range(20, 80)], p=[0.5, 0.1, 0.05, 0.03, 0.02, *[0.3 / 60] * 60], size=4000
    )
    codec = codec_of("count", values)
    cell = int(np.argmax(np.bincount(codec.cell_of[0])))
    intervals = np.flatnonzero((codec.cell_of[0] == cell) & (codec.shares[0] > 0))
    assert len(intervals) > 1
    drawn = codec._intervals(drawn_in_cell(codec, cell, 20_000)[:, np.newaxis])[:, 0]
    shares = codec.shares[0, intervals] / codec.shares[0, intervals].sum()
    assert frequency_p_value(drawn - intervals[0], shares) > 1e-3
    assert frequency_p_value(drawn - intervals[0], shares[::-1] * 0.9 + 0.1 * shares) < 1e-3  # negative control


def test_the_cells_of_the_first_rows_serve_all():
    first, later = (codec_of("continuous", RNG.normal(size=50)) for _ in range(2))
    assert first.merged(later) is first
    assert first.renewed(later) is first
    assert not first.is_unseen(later).any()
    ratio, shift = first.map_to(later)
    np.testing.assert_array_equal(ratio, 1)
    np.testing.assert_array_equal(shift, 0)


@each_kind
def test_a_codec_of_other_columns_is_refused(kind):
    codec = codec_of(kind, *EXAMPLES[kind].values())
    codec.check(len(EXAMPLES[kind]))
    with pytest.raises(ValueError, match="a block of columns is not of 3 columns"):
        codec.check(3)
