"""The penalty on weights, without the learning rule."""

import numpy as np
import pytest

from skwakesleep._engine.training.penalty import WeightPenalty


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_penalty_of_extreme_weights(dtype, backend):
    """The gradient is zero at zero, and close to zero for large weights."""
    weights, gradient = np.array([0, 1e-30, -1e-30, 1e15, -1e15], dtype), np.zeros(5, dtype)
    WeightPenalty(np.ones(5, dtype)).subtract_gradient(weights, gradient, backend)
    np.testing.assert_allclose(gradient, [0, -2e-28, 2e-28, -2e-15, 2e-15], rtol=1e-6)
    assert gradient.dtype == dtype


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_whose_squares_overflow_have_no_gradient(dtype, backend):
    """The training loop recognizes that such a training has diverged."""
    largest = np.finfo(dtype).max
    gradient = np.zeros(2, dtype)
    WeightPenalty(np.ones(2, dtype)).subtract_gradient(np.array([largest, -largest], dtype), gradient, backend)
    np.testing.assert_array_equal(gradient, 0)
