"""Optimizers compared with their textbook forms."""

import pickle

import numpy as np
import pytest

from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.training.optimizers import SGD, Adam

SCALES = np.array([1.0, 0.5, 2.0, 1.0, 0.1, 1.0])
GRADIENTS = np.random.default_rng(0).normal(size=(200, 6)) * np.logspace(-6, 3, 6)


def textbook_adam(parameters, gradients, learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8):
    """Algorithm 1 of Kingma & Ba (2015), ascending."""
    first = second = np.zeros_like(parameters)
    for step, gradient in enumerate(gradients, start=1):
        first = beta_1 * first + (1 - beta_1) * gradient
        second = beta_2 * second + (1 - beta_2) * gradient**2
        first_hat = first / (1 - beta_1**step)
        second_hat = second / (1 - beta_2**step)
        parameters = parameters + learning_rate * first_hat / (np.sqrt(second_hat) + epsilon)
    return SCALES * parameters


def textbook_sgd(parameters, gradients, learning_rate):
    return parameters + learning_rate * gradients.sum(axis=0)


def adam(learning_rate, dtype=np.float64):
    return Adam(learning_rate, SCALES.astype(dtype))


def sgd(learning_rate, dtype=np.float64):
    return SGD(learning_rate)


def ascended(optimizer, parameters, gradients, damping=None):
    for gradient in gradients:
        optimizer.ascend(parameters, gradient.astype(parameters.dtype, copy=True), NumpyBackend(), damping)
    return parameters


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-10), (np.float32, 2e-4)])
@pytest.mark.parametrize(("rule", "textbook"), [(adam, textbook_adam), (sgd, textbook_sgd)])
@pytest.mark.parametrize("n_steps", [1, 2, 200])
def test_textbook(rule, textbook, dtype, rtol, n_steps):
    start = np.zeros(6, dtype)
    result = ascended(rule(0.01, dtype), start, GRADIENTS[:n_steps])
    assert result.dtype == dtype
    np.testing.assert_allclose(result, textbook(np.zeros(6), GRADIENTS[:n_steps], 0.01), rtol=rtol)


def test_textbook_comparison_can_fail():
    start = np.zeros(6)
    result = ascended(adam(0.01), start, GRADIENTS)
    assert not np.allclose(result, textbook_adam(np.zeros(6), GRADIENTS, 0.01, epsilon=1e-7), rtol=1e-10)


@pytest.mark.parametrize("rule", [adam, sgd])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_zero_gradients_change_nothing(rule, dtype):
    parameters = np.ones(6, dtype)
    np.testing.assert_array_equal(ascended(rule(0.1, dtype), parameters, np.zeros((3, 6))), np.ones(6))


@pytest.mark.parametrize("rule", [adam, sgd])
def test_a_pickled_optimizer_continues(rule):
    parameters, uninterrupted = np.zeros(6), np.zeros(6)
    optimizer = rule(0.01)
    ascended(optimizer, parameters, GRADIENTS[:50])
    ascended(pickle.loads(pickle.dumps(optimizer)), parameters, GRADIENTS[50:])
    np.testing.assert_array_equal(parameters, ascended(rule(0.01), uninterrupted, GRADIENTS))


def test_damping_multiplies_the_steps_of_adam():
    damping = np.array([1.0, 0.5, 0.1, 1.0, 1.0, 0.0])
    damped, plain = (ascended(adam(0.01), np.zeros(6), GRADIENTS, factors) for factors in (damping, None))
    np.testing.assert_allclose(damped, damping * plain)


def test_sgd_is_not_damped():
    """Its steps become small with the gradient."""
    damped, plain = (ascended(sgd(0.01), np.zeros(6), GRADIENTS, factors) for factors in (np.zeros(6), None))
    np.testing.assert_array_equal(damped, plain)


@pytest.mark.parametrize("rule", [adam, sgd])
def test_the_learning_rate_may_change(rule):
    parameters = np.zeros(6)
    optimizer = rule(0.01)
    optimizer.learning_rate = 0.0
    np.testing.assert_array_equal(ascended(optimizer, parameters, GRADIENTS), np.zeros(6))


@pytest.mark.parametrize("rule", [adam, sgd])
@pytest.mark.parametrize("spoilt", [np.nan, np.inf, 1e200])
def test_reset_forgets_all_gradients(rule, spoilt):
    optimizer, parameters = rule(0.01), np.zeros(6)
    with np.errstate(all="ignore"):
        ascended(optimizer, parameters, np.full((1, 6), spoilt))
    optimizer.reset()
    parameters[...] = 0
    np.testing.assert_array_equal(
        ascended(optimizer, parameters, GRADIENTS), ascended(rule(0.01), np.zeros(6), GRADIENTS)
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e-30, 1e15])
def test_adam_takes_gradients_of_any_size(dtype, size):
    parameters = np.zeros(2, dtype)
    ascended(Adam(0.01, np.ones(2, dtype)), parameters, np.full((20, 2), size))
    assert np.isfinite(parameters).all()
    assert (parameters >= 0).all()


def test_joined_adams_have_the_mean_of_their_moments():
    gradients = np.array([[1.0, -2.0, 0.5], [3.0, 2.0, 0.0]])
    adams = [Adam(0.1, np.ones(3)) for _ in gradients]
    for adam, gradient in zip(adams, gradients, strict=True):
        ascended(adam, np.zeros(3), [gradient])
    adams[0].join(adams[1:])
    # A gradient of zero only decays the moments.
    step = ascended(adams[0], np.zeros(3), np.zeros((1, 3)))
    first, second = gradients.mean(axis=0), np.square(gradients).mean(axis=0)
    direction = 0.9 * first / np.sqrt(0.999 * second)
    correction = (0.1 / (1 - 0.9**2)) / np.sqrt(0.001 / (1 - 0.999**2))
    np.testing.assert_allclose(step, 0.1 * correction * direction, rtol=1e-6)
