"""Each family against SciPy: densities, gradients, samplers (ladder check 4) and the edges of its domain."""

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import kstest, norm

from skwakesleep._engine.arrays.numerics import sigmoid
from skwakesleep._engine.arrays.random import CoarseNoise, CommonNoise, FineNoise
from skwakesleep._engine.arrays.workspace import Workspace
from skwakesleep._engine.machine.families import Bernoulli
from tests import oracle
from tests.engine.machines import VARIANCE_FLOOR, gaussian

N = 2**16
SMALLEST_P = 1e-3
LOCATION, SCALE = np.array([10.0, -3.0, 0.0, 1e6]), np.array([2.0, 0.1, 1.0, 1e5])
GAUSSIAN = gaussian(LOCATION, SCALE)
THETA = {"log_variance": np.array([-1.0, 0.0, 0.5, 1.0])}
VARIANCE = np.exp(THETA["log_variance"]) + VARIANCE_FLOOR
# Natural parameters and targets may each lack the particle axis, or the row axis too.
SHAPES = [((4,), (5, 4)), ((5, 4), (5, 4)), ((5, 4), (3, 5, 4)), ((3, 5, 4), (5, 4)), ((3, 1, 4), (5, 4))]


def generator(seed=0):
    return np.random.Generator(np.random.SFC64(seed))


def mean(family, natural):
    return family.mean(natural, np.empty_like(natural))


def log_prob(family, natural, target, theta=THETA):
    workspace = Workspace()
    unnormalized_log_prob = family.unnormalized_log_prob(theta, natural, target, workspace)
    return unnormalized_log_prob - family.log_normalizer(theta, natural, None, workspace)


def residual(family, natural, target, theta=THETA):
    out = np.empty(np.broadcast_shapes(natural.shape, target.shape), natural.dtype)
    return family.residual(theta, mean(family, natural), target, out)


# ---------------------------------------------------------------------- log-probabilities


@pytest.mark.parametrize(("natural", "target"), SHAPES)
def test_bernoulli_log_prob(natural, target, rng):
    natural, target = rng.normal(scale=3, size=natural), rng.random(target).round(1)
    np.testing.assert_allclose(
        log_prob(Bernoulli(), natural, target),
        oracle.log_bernoulli(target, natural),
        rtol=1e-12,
    )


@pytest.mark.parametrize(("natural", "target"), SHAPES)
def test_gaussian_log_prob_is_in_the_users_units(natural, target, rng):
    natural, target = rng.normal(size=natural), rng.normal(size=target)
    expected = norm.logpdf(target * SCALE + LOCATION, natural * SCALE + LOCATION, np.sqrt(VARIANCE) * SCALE)
    np.testing.assert_allclose(log_prob(GAUSSIAN, natural, target), expected.sum(axis=-1), rtol=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("logit", [0.0, 20.0, 90.0, 1e4, 1e30])
@pytest.mark.parametrize("target", [0.0, 0.25, 1.0])
def test_bernoulli_in_both_tails(logit, target, dtype):
    natural, target = np.array([-logit, logit], dtype), np.full(2, target, dtype)
    expected = oracle.log_bernoulli(target.astype(float), natural.astype(float))
    actual = log_prob(Bernoulli(), natural, target)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
    np.testing.assert_allclose(residual(Bernoulli(), natural, target), target - expit(natural), atol=1e-6)


@pytest.mark.parametrize("spread", [1.0, 30.0])
def test_bernoulli_of_many_units_in_float32(spread, rng):
    """The log-probability is a small difference of large sums; weights of particles need it to a hundredth of a nat."""
    natural = rng.normal(scale=spread, size=(50, 2000)).astype(np.float32)
    target = (natural + rng.normal(size=natural.shape) > 0).astype(np.float32)
    expected = oracle.log_bernoulli(target.astype(float), natural.astype(float))
    actual = log_prob(Bernoulli(), natural, target)
    np.testing.assert_allclose(actual, expected, atol=0.02)


@pytest.mark.parametrize("family", [Bernoulli(), GAUSSIAN], ids=["bernoulli", "gaussian"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("largest", [5.0, 500.0])
def test_means_come_with_the_log_normalizer(family, dtype, largest, rng):
    natural = rng.uniform(-largest, largest, size=(4, 5, 4)).astype(dtype)
    means = np.empty_like(natural)
    together = family.log_normalizer(THETA, natural, means, Workspace())
    np.testing.assert_allclose(means, mean(family, natural), rtol=1e-6, atol=3e-7)
    np.testing.assert_array_equal(together, family.log_normalizer(THETA, natural, None, Workspace()))
    in_place = family.log_normalizer(THETA, natural, natural, Workspace())
    np.testing.assert_array_equal(in_place, together)
    np.testing.assert_array_equal(natural, means)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_log_normalizer_of_a_row_is_its_own(dtype, rng):
    """An extreme row among others changes none of their digits."""
    natural = rng.normal(scale=5, size=(6, 40)).astype(dtype)
    before = Bernoulli().log_normalizer({}, natural[:5], None, Workspace())
    natural[5] = 100
    np.testing.assert_array_equal(Bernoulli().log_normalizer({}, natural, None, Workspace())[:5], before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("log_variance", [-1e4, 0.0, 1e4])
@pytest.mark.parametrize("target", [-1e12, 0.0, 1e12])
def test_gaussian_with_lost_variance_or_huge_values_is_finite(target, log_variance, dtype):
    theta = {"log_variance": np.full(4, log_variance, dtype)}
    natural, target = np.zeros((2, 4), dtype), np.full((2, 4), target, dtype)
    assert np.isfinite(log_prob(GAUSSIAN, natural, target, theta)).all()
    slopes = residual(GAUSSIAN, natural, target, theta)
    grad = {"log_variance": np.empty(4, dtype)}
    GAUSSIAN.gradient(theta, slopes, np.full(2, 0.5, dtype), grad)
    assert np.isfinite(slopes).all()
    assert np.isfinite(grad["log_variance"]).all()


# ---------------------------------------------------------------------- gradients


@pytest.mark.parametrize("family", [Bernoulli(), GAUSSIAN], ids=["bernoulli", "gaussian"])
@pytest.mark.parametrize(("natural", "target"), SHAPES)
def test_residual_is_the_slope_of_the_log_prob(family, natural, target, rng):
    natural, target = rng.normal(size=natural), rng.random(target)
    natural = np.broadcast_to(natural, np.broadcast_shapes(natural.shape, target.shape)).copy()
    slopes = residual(family, natural, target)
    for unit in range(4):
        step = np.zeros(4)
        step[unit] = 1e-5
        difference = log_prob(family, natural + step, target) - log_prob(family, natural - step, target)
        np.testing.assert_allclose(slopes[..., unit], difference / 2e-5, rtol=1e-4, atol=1e-6)


# ---------------------------------------------------------------------- samplers

BERNOULLI_NOISE = {
    "fine": lambda: FineNoise(generator()),
    "coarse": lambda: CoarseNoise(generator()),
    "common": lambda: CommonNoise(N, 4),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("source", BERNOULLI_NOISE)
def test_bernoulli_frequencies(source, dtype):
    logits = np.array([-2.0, 0.3, 1.0, 0.0])
    out = np.empty((N, 1, 4), dtype)
    samples = Bernoulli().sample({}, expit(logits).astype(dtype), BERNOULLI_NOISE[source](), out)
    assert samples is out
    states = oracle.codes(samples[:, 0])

    def p_value(shift):
        return oracle.frequency_p_value(states, np.exp(oracle.log_bernoulli(oracle.binary_states(4), logits + shift)))

    assert p_value(0.0) > SMALLEST_P
    assert p_value(0.05) < SMALLEST_P  # negative control


@pytest.mark.parametrize("source", BERNOULLI_NOISE)
def test_certain_units_are_certain(source):
    means = sigmoid(np.array([-1e4, 1e4, -1e4, 1e4]), np.empty(4))
    samples = Bernoulli().sample({}, means, BERNOULLI_NOISE[source](), np.empty((N, 1, 4)))
    np.testing.assert_array_equal(samples.mean(axis=(0, 1)), [0, 1, 0, 1])


@pytest.mark.parametrize("step", [0, 1, 2, 1000, 2**16])
def test_coarse_draws_round_to_the_stated_resolution(step):
    """Over all 2^16 uniforms there are, a mean of ``step / 2^16`` fires exactly `step` times."""

    class EveryUniform:
        def uniform(self, shape, dtype):
            return ((np.arange(N) + 0.5) / N).astype(dtype).reshape(shape)

    for dtype in (np.float32, np.float64):
        mean = np.array([step / N], dtype)
        assert Bernoulli().sample({}, mean, EveryUniform(), np.empty((N, 1), dtype)).sum() == step


@pytest.mark.parametrize("noise", [FineNoise, CoarseNoise])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gaussian_samples_have_the_density(noise, dtype):
    means = np.array([1.0, -2.0, 0.0, 3.0], dtype)
    theta = {"log_variance": THETA["log_variance"].astype(dtype)}
    samples = GAUSSIAN.sample(theta, means, noise(generator()), np.empty((N, 4), dtype)).astype(float)

    def p_value(stretch):
        standardized = (samples - means) / (stretch * np.sqrt(VARIANCE))
        return min(kstest(column, "norm").pvalue for column in standardized.T)

    assert p_value(1.0) > SMALLEST_P
    assert p_value(1.05) < SMALLEST_P  # negative control
    correlations = np.corrcoef(samples.T)[np.triu_indices(4, 1)]
    assert np.abs(correlations).max() < 4 / np.sqrt(N)


# ---------------------------------------------------------------------- the user's units


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gaussian_codec(dtype, rng):
    columns = (LOCATION + SCALE * rng.normal(size=(7, 4))).astype(dtype)
    encoded = GAUSSIAN.encode(columns.copy())
    np.testing.assert_allclose(encoded, (columns.astype(float) - LOCATION) / SCALE, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(GAUSSIAN.decode(encoded), columns, rtol=1e-5)
    assert encoded.dtype == dtype


def test_bernoulli_codec_changes_nothing(rng):
    columns = rng.random((3, 4))
    np.testing.assert_array_equal(Bernoulli().decode(Bernoulli().encode(columns.copy())), columns)


def test_bernoulli_starts_at_the_means():
    intercept = Bernoulli().initial(np.array([0.0, 0.2, 1.0], np.float32))["intercept"]
    assert expit(intercept[1]) == pytest.approx(0.2)
    np.testing.assert_allclose(intercept[[0, 2]], [-Bernoulli.LARGEST_LOGIT, Bernoulli.LARGEST_LOGIT], rtol=1e-4)


def test_gaussian_starts_at_the_standardized_moments():
    initial = GAUSSIAN.initial(np.zeros(4))
    np.testing.assert_array_equal(initial["intercept"], 0)
    np.testing.assert_allclose(GAUSSIAN.variance(initial), 1, rtol=1e-3)


def test_variance_has_a_floor():
    assert (GAUSSIAN.variance({"log_variance": np.full(4, -1e6)}) == VARIANCE_FLOOR).all()
