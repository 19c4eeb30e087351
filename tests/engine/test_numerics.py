"""Element-wise functions and reductions compared with SciPy, for ordinary and extreme arguments."""

import numpy as np
import pytest
from scipy.special import expit, logsumexp

from skwakesleep._engine.arrays.numerics import inner, log_sum_exp, row_sums, sigmoid

DTYPES = [np.float32, np.float64]
EXTREMES = [-1e30, -1e4, -800.0, -90.0, 0.0, 90.0, 800.0, 1e4, 1e30]


@pytest.mark.parametrize("dtype", DTYPES)
def test_sigmoid(dtype, rng):
    logits = np.concatenate([rng.normal(scale=5, size=50), EXTREMES]).astype(dtype)
    out = np.empty_like(logits)
    assert sigmoid(logits, out) is out
    np.testing.assert_allclose(out, expit(logits.astype(float)), atol=2 * np.finfo(dtype).eps)
    assert out.min() >= 0
    assert out.max() <= 1


def test_sigmoid_in_place(rng):
    logits = rng.normal(size=5)
    expected = expit(logits)
    np.testing.assert_allclose(sigmoid(logits, logits), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("offset", [-1e30, -1e4, 0.0, 1e4])
def test_log_sum_exp(dtype, axis, offset, rng):
    values = (rng.normal(size=(4, 3)) + offset).astype(dtype)
    result = log_sum_exp(values, axis=axis)
    assert result.dtype == dtype
    np.testing.assert_allclose(result, logsumexp(values.astype(float), axis=axis), rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
def test_log_sum_exp_of_minus_infinity(dtype):
    values = np.array([[-np.inf, -np.inf, 0.0], [-np.inf, -3.0, -np.inf]], dtype)
    np.testing.assert_array_equal(log_sum_exp(values, axis=0), np.array([-np.inf, -3.0, 0.0], dtype))


def test_log_sum_exp_of_nan():
    assert np.isnan(log_sum_exp(np.array([0.0, np.nan])))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1,), (5, 1), (5, 784), (2, 3, 33)])
def test_row_sums(shape, dtype, rng):
    values = rng.uniform(0.5, 1, shape).astype(dtype)
    np.testing.assert_allclose(row_sums(values), values.astype(float).sum(axis=-1), rtol=50 * np.finfo(dtype).eps)


@pytest.mark.parametrize(
    ("targets", "naturals"),
    [
        ((5, 1, 3), (1, 1, 3)),
        ((5, 1, 3), (5, 1, 3)),
        ((5, 4, 3), (5, 1, 3)),
        ((5, 1, 3), (5, 4, 3)),
        ((5, 1, 3), (1, 4, 3)),
        ((1, 1, 3), (1, 4, 3)),
        ((5, 4, 3), (1, 4, 3)),
    ],
)
def test_inner_broadcasts(targets, naturals, rng):
    targets, naturals = rng.normal(size=targets), rng.normal(size=naturals)
    result, expected = inner(targets, naturals), (targets * naturals).sum(axis=-1)
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, atol=1e-12)
