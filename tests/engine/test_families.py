"""Families compared with SciPy: densities, gradients, samplers, and the limits of their domains."""

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import kstest, norm

from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.arrays.random import CoarseNoise, CommonNoise, FineNoise
from skwakesleep._engine.machine.families import Bernoulli, Gaussian
from tests import oracle
from tests.engine.machines import VARIANCE_FLOOR

pytestmark = pytest.mark.arithmetic

N = 2**16
SMALLEST_P = 1e-3
GAUSSIAN = Gaussian(np.full(4, VARIANCE_FLOOR))
FAMILIES = pytest.mark.parametrize("family", [Bernoulli(), GAUSSIAN], ids=["bernoulli", "gaussian"])
PARAMS = {"log_variance": np.array([-1.0, 0.0, 0.5, 1.0])}
VARIANCE = np.exp(PARAMS["log_variance"]) + VARIANCE_FLOOR
# Natural parameters and targets may each be shared by all rows, or by all particles.
SHAPES = [
    ((1, 1, 4), (5, 1, 4)),
    ((5, 1, 4), (5, 1, 4)),
    ((5, 1, 4), (5, 3, 4)),
    ((5, 3, 4), (5, 1, 4)),
    ((1, 3, 4), (5, 1, 4)),
]


def generator(seed=0):
    return np.random.Generator(np.random.SFC64(seed))


def mean(family, natural):
    return family.mean(natural, np.empty_like(natural), NumpyBackend())


def log_prob(family, natural, target, params=PARAMS):
    backend = NumpyBackend()
    unnormalized_log_prob = family.unnormalized_log_prob(params, natural, target, backend)
    return unnormalized_log_prob - family.log_normalizer(params, natural, None, backend)


def residual(family, natural, target, params=PARAMS):
    out = np.empty(np.broadcast_shapes(natural.shape, target.shape), natural.dtype)
    return family.residual(params, mean(family, natural), target, out)


# ---------------------------------------------------------------------- log-probabilities


@pytest.mark.parametrize(("natural", "target"), SHAPES)
def test_bernoulli_log_prob(natural, target, rng):
    natural, target = rng.normal(scale=3, size=natural), rng.random(target).round(1)
    expected = oracle.log_bernoulli(target, natural)
    np.testing.assert_allclose(log_prob(Bernoulli(), natural, target), expected, rtol=1e-12)


@pytest.mark.parametrize(("natural", "target"), SHAPES)
def test_gaussian_log_prob(natural, target, rng):
    natural, target = rng.normal(size=natural), rng.normal(size=target)
    expected = norm.logpdf(target, natural, np.sqrt(VARIANCE)).sum(axis=-1)
    np.testing.assert_allclose(log_prob(GAUSSIAN, natural, target), expected, rtol=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("logit", [0.0, 20.0, 90.0, 1e4, 1e30])
@pytest.mark.parametrize("target", [0.0, 0.25, 1.0])
def test_bernoulli_in_both_tails(logit, target, dtype):
    natural, target = np.array([[[-logit, logit]]], dtype), np.full((1, 1, 2), target, dtype)
    expected = oracle.log_bernoulli(target.astype(float), natural.astype(float))
    actual = log_prob(Bernoulli(), natural, target)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
    np.testing.assert_allclose(residual(Bernoulli(), natural, target), target - expit(natural), atol=1e-6)


@pytest.mark.parametrize("spread", [1.0, 30.0])
def test_bernoulli_of_many_units_in_float32(spread, rng):
    """The log-probability is a small difference of large sums; importance weights need it to 0.01 nats."""
    natural = rng.normal(scale=spread, size=(50, 1, 2000)).astype(np.float32)
    target = (natural + rng.normal(size=natural.shape) > 0).astype(np.float32)
    expected = oracle.log_bernoulli(target.astype(float), natural.astype(float))
    actual = log_prob(Bernoulli(), natural, target)
    np.testing.assert_allclose(actual, expected, atol=0.02)


@FAMILIES
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("largest", [5.0, 500.0])
def test_means_are_computed_with_the_log_normalizer(family, dtype, largest, rng):
    natural = rng.uniform(-largest, largest, size=(5, 4, 4)).astype(dtype)
    means = np.empty_like(natural)
    together = family.log_normalizer(PARAMS, natural, means, NumpyBackend())
    np.testing.assert_allclose(means, mean(family, natural), rtol=1e-6, atol=3e-7)
    np.testing.assert_array_equal(together, family.log_normalizer(PARAMS, natural, None, NumpyBackend()))
    in_place = family.log_normalizer(PARAMS, natural, natural, NumpyBackend())
    np.testing.assert_array_equal(in_place, together)
    np.testing.assert_array_equal(natural, means)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_log_normalizer_of_a_row_does_not_depend_on_other_rows(dtype, rng):
    """A row with extreme values among the others changes none of their digits."""
    natural = rng.normal(scale=5, size=(6, 1, 40)).astype(dtype)
    before = Bernoulli().log_normalizer({}, natural[:5], None, NumpyBackend())
    natural[5] = 100
    np.testing.assert_array_equal(Bernoulli().log_normalizer({}, natural, None, NumpyBackend())[:5], before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("log_variance", [-1e4, 0.0, 1e4])
@pytest.mark.parametrize("target", [-1e12, 0.0, 1e12])
def test_gaussian_with_extreme_variance_or_huge_values_is_finite(target, log_variance, dtype):
    params = {"log_variance": np.full(4, log_variance, dtype)}
    natural, target = np.zeros((2, 1, 4), dtype), np.full((2, 1, 4), target, dtype)
    assert np.isfinite(log_prob(GAUSSIAN, natural, target, params)).all()
    slopes = residual(GAUSSIAN, natural, target, params)
    grad = {"log_variance": np.empty(4, dtype)}
    GAUSSIAN.gradient(params, natural, target, slopes, np.full((2, 1), 0.5, dtype), grad)
    assert np.isfinite(slopes).all()
    assert np.isfinite(grad["log_variance"]).all()


# ---------------------------------------------------------------------- gradients


@FAMILIES
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


@FAMILIES
def test_curvature_is_the_slope_of_the_residual(family, rng):
    natural, target = rng.normal(size=(5, 3, 4)), rng.random((5, 1, 4))
    difference = residual(family, natural + 1e-5, target) - residual(family, natural - 1e-5, target)
    np.testing.assert_allclose(family.curvature(PARAMS, mean(family, natural)), -difference / 2e-5, rtol=1e-5)


# ---------------------------------------------------------------------- samplers

BERNOULLI_NOISE = {
    "fine": lambda: FineNoise(generator()),
    "coarse": lambda: CoarseNoise(generator(), NumpyBackend()),
    "common": lambda: CommonNoise(N, 4),
}
GAUSSIAN_NOISE = {name: BERNOULLI_NOISE[name] for name in ("fine", "coarse")}


def drawn(family, params, natural, noise, shape):
    """Return units drawn from means, as in a layer without a triangle."""
    out = np.empty(shape, natural.dtype)
    assert family.sample(params, natural.copy(), noise, out, NumpyBackend()) is out
    return out


def decided(family, params, natural, noise, shape):
    """Return units made of thresholds, as in an autoregressive layer."""
    out = np.empty(shape, natural.dtype)
    thresholds = family.thresholds(params, noise, shape, natural.dtype)
    assert family.decide(np.broadcast_to(natural, shape), thresholds, out) is out
    return out


SAMPLERS = pytest.mark.parametrize("sampled", [drawn, decided])


@SAMPLERS
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("source", BERNOULLI_NOISE)
def test_bernoulli_frequencies(source, dtype, sampled):
    logits = np.array([-2.0, 0.3, 1.0, 0.0])
    natural = logits.astype(dtype).reshape(1, 1, 4)
    samples = sampled(Bernoulli(), {}, natural, BERNOULLI_NOISE[source](), (1, N, 4))
    states = oracle.codes(samples[0])

    def p_value(shift):
        return oracle.frequency_p_value(states, np.exp(oracle.log_bernoulli(oracle.binary_states(4), logits + shift)))

    assert p_value(0.0) > SMALLEST_P
    assert p_value(0.05) < SMALLEST_P  # negative control


@pytest.mark.parametrize("source", BERNOULLI_NOISE)
def test_units_with_extreme_logits_are_constant(source):
    logits = np.array([[[-1e4, 1e4, -1e4, 1e4]]])
    samples = Bernoulli().sample({}, logits, BERNOULLI_NOISE[source](), np.empty((1, N, 4)), NumpyBackend())
    np.testing.assert_array_equal(samples.mean(axis=(0, 1)), [0, 1, 0, 1])


@pytest.mark.parametrize("step", [0, 1, 2, 1000, 2**16])
def test_coarse_draws_round_to_the_stated_resolution(step):
    """Of all 2^16 uniforms, exactly `step` are below a mean of ``step / 2^16``."""

    class EveryUniform(FineNoise):
        def uniform(self, shape, dtype):
            return ((np.arange(N) + 0.5) / N).astype(dtype).reshape(shape)

    for dtype in (np.float32, np.float64):
        with np.errstate(divide="ignore"):
            logits = np.log(np.array([[[step / N]]])).astype(dtype) - np.log1p(-np.array(step / N)).astype(dtype)
        out = np.empty((N, 1, 1), dtype)
        assert Bernoulli().sample({}, logits, EveryUniform(generator()), out, NumpyBackend()).sum() == step


@SAMPLERS
@pytest.mark.parametrize("source", GAUSSIAN_NOISE)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gaussian_samples_have_the_density(source, dtype, sampled):
    means = np.array([1.0, -2.0, 0.0, 3.0], dtype)
    params = {"log_variance": PARAMS["log_variance"].astype(dtype)}
    samples = sampled(GAUSSIAN, params, means, GAUSSIAN_NOISE[source](), (1, N, 4))[0].astype(float)

    def p_value(stretch):
        standardized = (samples - means) / (stretch * np.sqrt(VARIANCE))
        return min(kstest(column, "norm").pvalue for column in standardized.T)

    assert p_value(1.0) > SMALLEST_P
    assert p_value(1.05) < SMALLEST_P  # negative control
    correlations = np.corrcoef(samples.T)[np.triu_indices(4, 1)]
    assert np.abs(correlations).max() < 4 / np.sqrt(N)


# ---------------------------------------------------------------------- before training


def test_bernoulli_starts_at_the_means():
    intercept = Bernoulli().initial(np.array([0.0, 0.2, 1.0], np.float32))["intercept"]
    assert expit(intercept[1]) == pytest.approx(0.2)
    np.testing.assert_allclose(intercept[[0, 2]], [-Bernoulli.LARGEST_LOGIT, Bernoulli.LARGEST_LOGIT], rtol=1e-4)


def test_gaussian_starts_at_the_standardized_moments():
    initial = GAUSSIAN.initial(np.zeros(4))
    np.testing.assert_array_equal(initial["intercept"], 0)
    np.testing.assert_allclose(GAUSSIAN.variance(initial), 1, rtol=1e-3)


# ---------------------------------------------------------------------- variances


def test_the_variance_has_a_lower_bound():
    assert (GAUSSIAN.variance({"log_variance": np.full(4, -1e6)}) == VARIANCE_FLOOR).all()


def test_a_variance_that_is_set_is_returned():
    variance, params = np.array([2 * VARIANCE_FLOOR, 0.1, 1.0, 1e6]), {"log_variance": np.empty(4)}
    GAUSSIAN.set_variance(params, variance)
    np.testing.assert_allclose(GAUSSIAN.variance(params), variance)
    GAUSSIAN.set_variance(params, np.zeros(4))
    np.testing.assert_allclose(GAUSSIAN.variance(params), 2 * VARIANCE_FLOOR)


def test_steps_of_units_with_little_noise_are_damped():
    """In proportion to the noise below a tenth of the column's spread."""
    deviations = np.array([0.05, 0.02, 0.1, 3.0])
    params = {"log_variance": np.log(np.square(deviations) - VARIANCE_FLOOR)}
    np.testing.assert_allclose(GAUSSIAN.damping(params), [0.5, 0.2, 1, 1])
    assert Bernoulli().damping({}) is None
