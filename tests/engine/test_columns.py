"""Columns of one kind and of both kinds, compared with their blocks, with SciPy, and with the user's units.

The mixed columns have a binary and a real block with alternating column numbers, in both orders of the blocks.
"""

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import binomtest, kstest, norm

from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.arrays.random import FineNoise
from skwakesleep._engine.machine.codecs import Standardization, UnitInterval
from skwakesleep._engine.machine.columns import KINDS, Block, Columns
from skwakesleep._engine.machine.families import Bernoulli, Gaussian
from skwakesleep._engine.machine.layers import Layer, Units
from skwakesleep._engine.machine.networks import Machine
from skwakesleep._engine.machine.rows import Rows
from skwakesleep._engine.posterior.likelihood import estimate
from tests import oracle
from tests.engine.machines import VARIANCE_FLOOR, columns_of, gaussian_columns, standardization

pytestmark = pytest.mark.arithmetic

REAL, BINARY = np.array([0, 2, 4]), np.array([3, 1])
LOCATION, SCALE = np.array([10.0, -3.0, 1e6]), np.array([2.0, 0.1, 1e5])
PARAMS = {"log_variance": np.array([-1.0, 0.0, 0.5])}
VARIANCE = np.exp(PARAMS["log_variance"]) + VARIANCE_FLOOR
N_DRAWS = 50_000
SMALLEST_P = 1e-3


def mixed(first):
    """Return mixed columns with the named block first."""
    blocks = {
        "bernoulli": Block(UnitInterval(np.array([0.2, 0.6]), 100), BINARY),
        "gaussian": Block(standardization(LOCATION, SCALE), REAL),
    }
    return Columns({kind: blocks[kind] for kind in sorted(blocks, key=lambda kind: kind != first)})


@pytest.fixture(params=["bernoulli", "gaussian"])
def columns(request):
    return mixed(request.param)


def units_of(columns, kind):
    """Return the slice of the units of a block."""
    return columns.runs[list(columns.blocks).index(kind)].units


def table(n_rows, rng):
    rows = np.empty((n_rows, 5))
    rows[:, REAL] = LOCATION + SCALE * rng.normal(size=(n_rows, 3))
    rows[:, BINARY] = rng.random((n_rows, 2)) < 0.5
    return rows


# ---------------------------------------------------------------------- columns and units


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_encode_standardizes_real_columns_and_decode_is_its_inverse(columns, dtype, rng):
    rows = table(7, rng).astype(dtype)
    units = columns.encode(rows.copy())
    assert units.dtype == dtype
    real, binary = units_of(columns, "gaussian"), units_of(columns, "bernoulli")
    np.testing.assert_allclose(units[:, real], (rows[:, REAL].astype(float) - LOCATION) / SCALE, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(units[:, binary], rows[:, BINARY])
    np.testing.assert_allclose(columns.decode(units.copy()), rows, rtol=1e-5)


def test_encode_and_decode_write_in_place_if_columns_are_units(columns, rng):
    rows = table(7, rng)
    units = rows.copy()
    in_place = gaussian_columns(np.arange(5.0), np.full(5, 2.0))
    assert in_place.encode(units) is units
    assert in_place.decode(units) is units
    np.testing.assert_allclose(units, rows)
    assert columns.encode(rows) is not rows
    particles = np.repeat(columns.encode(rows.copy())[:, np.newaxis], 2, axis=1)
    np.testing.assert_allclose(columns.decode(particles), np.repeat(rows[:, np.newaxis], 2, axis=1))


def test_binary_columns_are_units_as_they_are(rng):
    rows = rng.random((3, 4))
    columns = Columns.of_table(["bernoulli"] * 4, rows)
    np.testing.assert_array_equal(columns.encode(rows.copy()), rows)
    np.testing.assert_array_equal(columns.decode(rows.copy()), rows)


def test_properties_by_column(columns):
    np.testing.assert_array_equal(columns.location[REAL], LOCATION)
    np.testing.assert_array_equal(columns.location[BINARY], 0)
    np.testing.assert_array_equal(columns.scale[REAL], SCALE)
    np.testing.assert_array_equal(columns.scale[BINARY], 1)
    assert columns.n_extreme.tolist() == [0] * 5
    assert columns.n_units == 5
    assert columns.log_volume == pytest.approx(np.log(SCALE).sum())
    assert not columns.keeps_zeros


def test_properties_by_unit(columns):
    real, binary = units_of(columns, "gaussian"), units_of(columns, "bernoulli")
    np.testing.assert_array_equal(columns.means[real], 0)
    np.testing.assert_allclose(columns.means[binary], [20.5 / 101, 60.5 / 101])  # with a row of 0.5
    assert columns.n_active == pytest.approx(3 + 0.2 + 0.6)
    np.testing.assert_array_equal(columns.largest_input[real], 30)
    np.testing.assert_array_equal(columns.largest_input[binary], np.inf)


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
def test_dispersion_is_the_variance_relative_to_that_of_draws(container, rng):
    grey = rng.random((500, 3)) * [1, 0.5, 0.1]
    dispersion = UnitInterval.of_table(container(grey)).dispersion
    means = grey.mean(axis=0)
    assert dispersion == pytest.approx(grey.var(axis=0).sum() / (means * (1 - means)).sum())
    holes = np.where(rng.random(grey.shape) < 0.3, np.nan, grey)
    assert UnitInterval.of_table(container(holes)).dispersion == pytest.approx(dispersion, rel=0.1)


def test_dispersion_of_draws_is_exactly_one(rng):
    for dtype in (bool, np.float32, np.float64):
        draws = (rng.random((501, 7)) < 0.3).astype(dtype)
        assert UnitInterval.of_table(draws).dispersion == 1
    assert UnitInterval.of_table(np.zeros((5, 2))).dispersion == 1


def test_dispersion_is_the_mean_over_units(rng):
    grey = UnitInterval.of_table(rng.random((500, 2)))
    mixed = {"gaussian": Block(standardization(LOCATION, SCALE), REAL), "bernoulli": Block(grey, BINARY)}
    assert Columns(mixed).dispersion == pytest.approx((3 + 2 * grey.dispersion) / 5)


def test_extreme_values_are_counted_in_their_columns(rng):
    rows = table(500, rng)
    rows[17, 2] = 1e9
    columns = Columns(
        {
            "gaussian": Block(Standardization.of_table(rows[:, REAL]), REAL),
            "bernoulli": Block(UnitInterval.of_table(rows[:, BINARY]), BINARY),
        }
    )
    assert columns.n_extreme.tolist() == [0, 0, 1, 0, 0]


def test_columns_of_one_kind_are_measured(rng):
    rows = rng.normal(size=(500, 3)) * [1, 2, 3] + 5
    columns = Columns.of_table(["gaussian"] * 3, rows)
    np.testing.assert_allclose(columns.location, rows.mean(axis=0))
    np.testing.assert_allclose(columns.scale, rows.std(axis=0))
    np.testing.assert_allclose(
        Columns.of_table(["bernoulli"] * 3, rows > 5).means, ((rows > 5).sum(axis=0) + 0.5) / 501
    )


def test_only_large_real_units_are_bounded(columns, rng):
    units = columns.encode(table(7, rng))
    assert columns.bounded(units) is units
    units[3] = 50
    units[4] = -50
    kept, bounded = units.copy(), columns.bounded(units)
    np.testing.assert_array_equal(units, kept)
    real, binary = units_of(columns, "gaussian"), units_of(columns, "bernoulli")
    np.testing.assert_array_equal(bounded[:, real], units[:, real].clip(-30, 30))
    np.testing.assert_array_equal(bounded[:, binary], units[:, binary])


@pytest.mark.parametrize("places", [[0, 1, 1], [0, 1, 5], [0, 2, 3]])
def test_columns_that_are_not_each_in_one_block_are_refused(places):
    real = Block(standardization(LOCATION, SCALE), np.array(places))
    with pytest.raises(ValueError, match="the blocks are not of 5 columns"):
        Columns({"gaussian": real, "bernoulli": Block(UnitInterval(np.full(2, 0.5), 9), BINARY)}).check()


def test_columns_are_accepted(columns):
    """Negative control."""
    columns.check()


# ---------------------------------------------------------------------- the family of all columns


def log_prob(family, params, natural, target):
    backend = NumpyBackend()
    unnormalized = family.unnormalized_log_prob(params, natural, target, backend)
    return unnormalized - family.log_normalizer(params, natural, None, backend)


# Natural parameters and targets: one target for all particles, as in training, and all states, as in enumeration.
SHAPES = pytest.mark.parametrize(("natural", "target"), [((4, 3), (4, 1)), ((1, 3), (4, 1)), ((4, 1), (4, 1))])


@SHAPES
def test_log_probability_is_the_sum_over_blocks_minus_the_log_volume(columns, natural, target, rng):
    natural, target = rng.normal(size=(*natural, 5)), rng.random((*target, 5))
    real, binary = units_of(columns, "gaussian"), units_of(columns, "bernoulli")
    gaussian = log_prob(Gaussian(np.full(3, VARIANCE_FLOOR)), PARAMS, natural[..., real], target[..., real])
    bernoulli = log_prob(Bernoulli(), {}, natural[..., binary], target[..., binary])
    actual = log_prob(columns, PARAMS, natural, target)
    assert actual.shape == (4, natural.shape[1])
    np.testing.assert_allclose(actual, gaussian + bernoulli - np.log(SCALE).sum(), rtol=1e-12)


def test_log_probability_is_in_the_users_units(columns, rng):
    rows, natural = table(6, rng), rng.normal(size=(6, 1, 5))
    real, binary = units_of(columns, "gaussian"), units_of(columns, "bernoulli")
    means = natural[:, 0, real] * SCALE + LOCATION
    expected = norm.logpdf(rows[:, REAL], means, np.sqrt(VARIANCE) * SCALE).sum(axis=1)
    expected += oracle.log_bernoulli(rows[:, BINARY], natural[:, 0, binary])
    units = columns.encode(rows.copy())[:, np.newaxis]
    np.testing.assert_allclose(log_prob(columns, PARAMS, natural, units)[:, 0], expected, rtol=1e-10)


def test_gaussian_log_probability_is_in_the_users_units(rng):
    columns, target, natural = gaussian_columns(LOCATION, SCALE), rng.normal(size=(6, 1, 3)), rng.normal(size=(6, 4, 3))
    expected = norm.logpdf(target * SCALE + LOCATION, natural * SCALE + LOCATION, np.sqrt(VARIANCE) * SCALE)
    np.testing.assert_allclose(log_prob(columns, PARAMS, natural, target), expected.sum(axis=-1), rtol=1e-10)


def test_residual_and_curvature_are_slopes(columns, rng):
    natural, target = rng.normal(size=(4, 3, 5)), rng.random((4, 1, 5))

    def residual(natural):
        mean = columns.mean(natural, np.empty_like(natural), NumpyBackend())
        return columns.residual(PARAMS, mean, target, np.empty_like(natural))

    mean = columns.mean(natural, np.empty_like(natural), NumpyBackend())
    curvature = columns.curvature(PARAMS, mean)
    for unit in range(5):
        step = 1e-5 * np.eye(5)[unit]
        slope = log_prob(columns, PARAMS, natural + step, target) - log_prob(columns, PARAMS, natural - step, target)
        np.testing.assert_allclose(residual(natural)[..., unit], slope / 2e-5, rtol=1e-5, atol=1e-7)
        slope = (residual(natural + step) - residual(natural - step))[..., unit]
        np.testing.assert_allclose(curvature[..., unit], -slope / 2e-5, rtol=1e-5)


def test_means_are_computed_with_the_log_normalizer(columns, rng):
    natural = rng.normal(size=(4, 3, 5))
    expected, means = columns.mean(natural, np.empty_like(natural), NumpyBackend()), np.empty_like(natural)
    together = columns.log_normalizer(PARAMS, natural, means, NumpyBackend())
    np.testing.assert_allclose(means, expected, rtol=1e-12)
    np.testing.assert_array_equal(together, columns.log_normalizer(PARAMS, natural, None, NumpyBackend()))
    in_place = natural.copy()
    np.testing.assert_array_equal(columns.log_normalizer(PARAMS, in_place, in_place, NumpyBackend()), together)
    np.testing.assert_array_equal(in_place, means)
    np.testing.assert_array_equal(columns.mean(natural, natural, NumpyBackend()), expected)


def test_only_steps_of_real_units_are_damped(columns):
    deviations = np.array([0.05, 0.02, 3.0])
    damping = columns.damping({"log_variance": np.log(np.square(deviations) - VARIANCE_FLOOR)})
    np.testing.assert_allclose(damping[units_of(columns, "gaussian")], [0.5, 0.2, 1])
    np.testing.assert_array_equal(damping[units_of(columns, "bernoulli")], 1)
    assert columns_of("bernoulli", 3).damping({}) is None


def test_each_unit_has_its_family(columns):
    for kind in columns.blocks:
        groups = columns.groups(5)[units_of(columns, kind)]
        assert {type(group.family) for group in groups} == {KINDS[kind].family}


def test_units_start_at_the_means_of_their_columns(columns):
    initial = columns.initial(columns.means)
    assert initial.keys() == {"intercept", "log_variance"}
    means = columns.mean(initial["intercept"], np.empty(5), NumpyBackend())
    np.testing.assert_allclose(means, columns.means, atol=1e-12)


# ---------------------------------------------------------------------- the visible layer


def visible_layer(columns, *, autoregressive, seed=0):
    """Return the bound visible layer over two hidden units, with random parameters."""
    rng = np.random.default_rng(seed)
    layer = Layer(
        "visible",
        Units(columns, columns.n_units, columns.means, columns.n_active),
        Units(Bernoulli(), 2, 0.5, 2.0),
        autoregressive=autoregressive,
    )
    params = {name: rng.normal(size=shape) for name, shape in layer.shapes().items()}
    if autoregressive:
        params["triangle"] = np.triu(params["triangle"], k=1)
    return layer.bind(params, NumpyBackend())


@pytest.mark.parametrize("autoregressive", [False, True])
@pytest.mark.parametrize("n_dropped", [0, 3], ids="dropped={}".format)
def test_gradient_of_the_visible_layer_is_the_slope(columns, autoregressive, n_dropped, rng):
    layer = visible_layer(columns, autoregressive=autoregressive)
    layer.params["log_variance"] += 4  # residuals of more than ten standard deviations would be clipped
    parent = rng.integers(2, size=(4, 3, 2)).astype(float)
    target = columns.encode(table(4, rng))[:, np.newaxis]
    weights = rng.normal(size=(4, 3))
    weights.flat[:n_dropped] = 0
    grad = {name: np.full_like(values, np.nan) for name, values in layer.params.items()}
    layer.gradient(layer.evaluate(parent, target), weights, grad)
    for name, values in layer.params.items():
        for index in np.ndindex(values.shape):
            if name == "triangle" and index[0] >= index[1]:
                assert grad[name][index] == 0
                continue
            kept, ends = values[index], []
            for step in (1e-5, -1e-5):
                values[index] = kept + step
                ends.append((weights * layer.log_prob(parent, target)).sum())
            values[index] = kept
            assert grad[name][index] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-5, abs=1e-6), name


def smallest_p_value(columns, params, parent, units):
    """Return the smallest p-value of the units, each given its parents and the units before it."""
    triangle = params.get("triangle", np.zeros((5, 5)))
    natural = parent @ params["weights"] + params["intercept"] + units @ triangle
    real, binary = units_of(columns, "gaussian"), units_of(columns, "bernoulli")
    deviations = np.sqrt(np.exp(params["log_variance"]) + VARIANCE_FLOOR)
    p_values = [kstest(column, "norm").pvalue for column in ((units - natural)[:, real] / deviations).T]
    for logits, ones in zip(natural[:, binary].T, units[:, binary].T, strict=True):
        order = np.argsort(logits, kind="stable")
        for part in np.array_split(order, 4):  # rows of similar probability
            probability = np.exp(-np.logaddexp(0, -logits[part]))
            z = (ones[part] - probability).sum() / np.sqrt((probability * (1 - probability)).sum())
            p_values.append(2 * norm.sf(abs(z)))
    return min(p_values)


@pytest.mark.parametrize("autoregressive", [False, True])
def test_samples_of_the_visible_layer_have_its_distribution(columns, autoregressive, rng):
    layer = visible_layer(columns, autoregressive=autoregressive)
    parent = rng.integers(2, size=(N_DRAWS, 1, 2)).astype(float)
    units = layer.sample(parent, (N_DRAWS, 1), FineNoise(np.random.default_rng(3)))[:, 0]
    assert smallest_p_value(columns, layer.params, parent[:, 0], units) > SMALLEST_P
    # Negative controls: another noise, another intercept of binary units and, for the triangle, none.
    real, binary = units_of(columns, "gaussian"), units_of(columns, "bernoulli")
    louder = {"log_variance": layer.params["log_variance"] + 0.1}
    shifted = {"intercept": layer.params["intercept"] + 0.1 * np.isin(np.arange(5), range(5)[binary])}
    for wrong in [louder, shifted, *([{"triangle": np.zeros((5, 5))}] if autoregressive else [])]:
        assert smallest_p_value(columns, layer.params | wrong, parent[:, 0], units) < SMALLEST_P
    assert np.isin(units[:, binary], [0, 1]).all()
    assert not np.isin(units[:, real], [0, 1]).any()


def test_samples_in_the_users_units_have_the_right_moments(columns):
    """An untrained machine without weights reproduces the mean of each column; the noise of real ones is one scale."""
    machine = Machine(columns, [2])
    flat = machine.initial_parameters(np.random.default_rng(0), np.float64)
    machine.views(flat).generative[-1]["weights"][...] = 0
    noise = FineNoise(np.random.default_rng(1))
    *_, units = machine.bind(flat, NumpyBackend()).generative.sample(None, (N_DRAWS, 1), noise)
    rows = columns.decode(units[:, 0])
    errors = (rows[:, REAL].mean(axis=0) - LOCATION) / (SCALE / np.sqrt(N_DRAWS))
    assert np.abs(errors).max() < 4
    np.testing.assert_allclose(rows[:, REAL].std(axis=0), SCALE, rtol=0.02)
    for mean, count in zip([0.2, 0.6], rows[:, BINARY].sum(axis=0).astype(int), strict=True):
        assert binomtest(count, N_DRAWS, mean).pvalue > SMALLEST_P
        assert binomtest(count, N_DRAWS, mean + 0.02).pvalue < SMALLEST_P  # negative control


@pytest.mark.parametrize("autoregressive", [(), ("visible",)], ids=str)
def test_the_order_of_blocks_and_columns_does_not_matter_to_scores(autoregressive, rng):
    """A machine of mixed columns without weights scores like two machines of one kind."""
    rows = table(30, rng)

    def scores(columns, rows):
        machine = Machine(columns, [2], autoregressive)
        flat = machine.initial_parameters(np.random.default_rng(0), np.float64)
        machine.views(flat).generative[-1]["weights"][...] = 0
        return estimate(machine, flat, Rows(rows, columns, float, NumpyBackend()), NumpyBackend(), 1).log_likelihood

    both = [scores(mixed(first), rows) for first in ("bernoulli", "gaussian")]
    blocks = mixed("bernoulli").blocks.items()
    alone = [
        scores(Columns({kind: Block(block.codec, np.arange(len(block.columns)))}), rows[:, block.columns])
        for kind, block in blocks
    ]
    np.testing.assert_allclose(both[0], sum(alone), rtol=1e-12)
    np.testing.assert_allclose(both[1], sum(alone), rtol=1e-12)
