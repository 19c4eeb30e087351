"""The prior on weights: its gradient, alone and in the steps of both backends, and that of the intercepts."""

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import beta

from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.machine.codecs import Standardization, UnitInterval
from skwakesleep._engine.machine.columns import Block, Columns
from skwakesleep._engine.machine.families import Bernoulli, Gaussian
from skwakesleep._engine.training.prior import PRIOR_INFORMATION, RISING_STEPS, WeightPrior
from tests.engine.machines import standardization

pytestmark = pytest.mark.arithmetic

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
N_ROWS, BATCH_SIZE = 200, 20


def prior_of(strengths, dtype=np.float64):
    return WeightPrior(np.asarray(strengths, dtype), N_ROWS, BATCH_SIZE)


def pull_in_a_step(backend, prior, weights, mean_squares):
    """Return the pull in a step of Adam without a gradient, with mean squares that do not decay.

    The step is long compared with the weights, so that hardly a digit of the pull is lost.
    """
    first, second, scales = np.zeros_like(weights), mean_squares.copy(), np.ones_like(weights)
    length, size = 1e24 if weights.dtype == np.float32 else 1e150, 1e8
    numbers = 0.9, 1.0, length * size, 1.0, 0.0, size**2, 1.0, prior.rows_per_square
    moved = weights.copy()
    backend.adam(moved, np.zeros_like(weights), first, second, scales, prior.strengths, *numbers)
    np.testing.assert_array_equal(first, 0)
    np.testing.assert_array_equal(second, mean_squares)
    return ((weights.astype(float) - moved) / length).astype(moved.dtype)


def test_the_strength_rises_to_its_full_value():
    for dispersion in (1, 0.3):
        prior = prior_of([1.0])._replace(dispersion=dispersion)
        shares = [prior.share(n_steps) for n_steps in (1, RISING_STEPS // 2, RISING_STEPS, 10 * RISING_STEPS)]
        np.testing.assert_allclose(shares, dispersion * np.array([1 / RISING_STEPS, 0.5, 1, 1]))


def alone(backend, prior, weights, mean_squares):
    return backend.pull(weights, mean_squares, prior.strengths, prior.rows_per_square, np.empty_like(weights))


PULLS = pytest.mark.parametrize("pull", [alone, pull_in_a_step])


def slope_of_the_penalty(strengths, weights, mean_squares):
    """Return central differences of half the strengths times ``log(1 + information * weights ** 2)``."""
    information = N_ROWS * BATCH_SIZE * mean_squares.astype(float) + PRIOR_INFORMATION
    step = 1e-5 / np.sqrt(information)

    def penalty(weights):
        return strengths / 2 * np.log1p(information * weights**2)

    return (penalty(weights + step) - penalty(weights - step)) / (2 * step)


@DTYPES
@PULLS
def test_the_pull_is_the_slope_of_the_penalty(pull, dtype, backend, rng):
    weights, mean_squares = rng.normal(size=300).astype(dtype), (rng.normal(size=300) ** 2 * 1e-2).astype(dtype)
    weights[::3] *= 0.01  # smaller and larger than the standard errors
    strengths = rng.random(300) * (rng.random(300) < 0.8)
    actual = pull(backend, prior_of(strengths, dtype), weights, mean_squares)
    assert actual.dtype == dtype
    expected = slope_of_the_penalty(strengths, weights.astype(float), mean_squares)
    np.testing.assert_allclose(actual, expected, rtol=1e-4 if dtype == np.float32 else 1e-6)
    # Negative control: the information of the rows is 1% larger.
    other = slope_of_the_penalty(strengths, weights.astype(float), mean_squares * dtype(1.01))
    assert not np.allclose(actual, other, rtol=1e-4, atol=0)


@DTYPES
@PULLS
def test_weights_without_strength_are_not_pulled(pull, dtype, backend, rng):
    weights, mean_squares = rng.normal(size=(2, 30)).astype(dtype)
    np.testing.assert_array_equal(pull(backend, prior_of(np.zeros(30), dtype), weights, mean_squares**2), 0)


@DTYPES
@PULLS
def test_the_pull_of_extreme_weights(pull, dtype, backend):
    """It is zero at zero, and close to zero for large weights: those that end a training do not become NaN here."""
    usable = np.finfo(dtype).max ** 0.25
    weights = np.array([0, 1e-20, -1e-20, 1e8, -1e8, usable, -usable], dtype)
    mean_squares = np.full(7, 0.25 / (N_ROWS * BATCH_SIZE), dtype)  # an information of 1.25
    expected = [0, 2.5e-20, -2.5e-20, 2e-8, -2e-8, 2 / usable, -2 / usable]
    np.testing.assert_allclose(
        pull(backend, prior_of(np.full(7, 2.0), dtype), weights, mean_squares), expected, rtol=1e-6
    )


@DTYPES
@PULLS
def test_the_pull_of_extreme_squares(pull, dtype, backend):
    """With little information the penalty is quadratic; with much, the pull is twice the inverse of the weight."""
    weights, squares = np.array([1e-3, 1e-3, 1e-3, 0.0], dtype), np.array([0, 1e-30, 1e20, 1e20], dtype)
    actual = pull(backend, prior_of(np.full(4, 2.0), dtype), weights, squares)
    np.testing.assert_allclose(actual, [2e-3, 2e-3, 2e3, 0], rtol=1e-5)


@DTYPES
@PULLS
@pytest.mark.parametrize("strength", [1e-20, 1.0, 1e3])
def test_the_pull_is_proportional_to_the_strength(pull, dtype, strength, backend, rng):
    weights, mean_squares = rng.normal(size=(2, 30)).astype(dtype)
    one, other = (pull(backend, prior_of(np.full(30, s), dtype), weights, mean_squares**2) for s in (1.0, strength))
    np.testing.assert_allclose(other, dtype(strength) * one, rtol=1e-5)


def test_shrinkage_is_on_the_scale_of_standard_errors():
    """The mode of a weight whose likelihood is normal, whatever the number of rows.

    An estimate of one standard error becomes a third of it, one of ten standard errors hardly changes.
    """
    for n_rows in (100, 10_000):
        square = 0.04  # the mean square of gradients of one row; their mean over a batch has a smaller one
        prior = WeightPrior(np.array([2.0 / n_rows]), n_rows, BATCH_SIZE)
        error = 1 / np.sqrt(n_rows * square)
        modes = []
        for estimate in (1.0, 10.0):
            grid = np.linspace(-1, 12, 130_001) * error
            slope = square * (estimate * error - grid) - alone(NumpyBackend(), prior, grid, square / BATCH_SIZE)
            potential = np.cumsum(slope)
            modes.append(grid[potential.argmax()] / error)
        assert 0.3 < modes[0] < 0.4
        assert 9.7 < modes[1] < 9.9


# ---------------------------------------------------------------------- intercepts


def test_the_pull_of_binary_intercepts_is_that_of_the_prior_of_jeffreys(rng):
    """The log-density of a Beta(1/2, 1/2) probability as a function of its logit."""
    intercept, step = rng.normal(scale=2, size=50), 1e-6

    def log_density(logit):
        p = expit(logit)
        return beta(0.5, 0.5).logpdf(p) + np.log(p * (1 - p))

    slope = (log_density(intercept + step) - log_density(intercept - step)) / (2 * step)
    np.testing.assert_allclose(Bernoulli().intercept_pull(intercept), slope, atol=1e-8)
    np.testing.assert_array_equal(Bernoulli().intercept_pull(np.array([-1e30, 1e30])), [0.5, -0.5])
    assert Bernoulli().intercept_pull(np.zeros(3, np.float32)).dtype == np.float32


def test_other_families_have_no_prior_of_intercepts(rng):
    assert Gaussian(np.full(3, 1e-4)).intercept_pull(rng.normal(size=3)) is None
    counts = Columns.of_table(["categorical", "ordinal"], rng.integers(3, size=(20, 2)).astype(float))
    for run in counts.runs:
        assert run.family.intercept_pull(rng.normal(size=run.units.stop - run.units.start)) is None


@DTYPES
@pytest.mark.parametrize("first", ["bernoulli", "gaussian"])
def test_the_pull_of_columns_of_several_kinds(first, dtype, rng):
    blocks = {
        "bernoulli": Block(UnitInterval(np.array([0.2, 0.6]), 100), np.array([3, 1])),
        "gaussian": Block(standardization(np.zeros(3), np.ones(3)), np.array([0, 2, 4])),
    }
    columns = Columns({kind: blocks[kind] for kind in sorted(blocks, key=lambda kind: kind != first)})
    intercept = rng.normal(size=5).astype(dtype)
    pull = columns.intercept_pull(intercept)
    assert pull.dtype == dtype
    binary, real = (columns.runs[list(columns.blocks).index(kind)].units for kind in ("bernoulli", "gaussian"))
    np.testing.assert_allclose(pull[binary], 0.5 - expit(intercept[binary]), rtol=1e-5)
    np.testing.assert_array_equal(pull[real], 0)


def test_columns_of_one_kind_are_pulled_like_their_family(rng):
    intercept = rng.normal(size=4)
    binary = Columns({"bernoulli": Block(UnitInterval(np.full(4, 0.5), 10), np.arange(4))})
    np.testing.assert_array_equal(binary.intercept_pull(intercept), Bernoulli().intercept_pull(intercept))
    real = Columns({"gaussian": Block(Standardization.of_table(rng.normal(size=(20, 4))), np.arange(4))})
    np.testing.assert_array_equal(real.intercept_pull(intercept), np.zeros(4))
