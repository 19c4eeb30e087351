"""Optimizers compared with their textbook forms."""

import pickle

import numpy as np
import pytest

from skwakesleep._adapters.persistence import from_plain, to_plain
from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.training import prior as prior_module
from skwakesleep._engine.training.optimizers import SGD, Adam
from skwakesleep._engine.training.prior import WeightPrior


@pytest.fixture
def full_strength(monkeypatch):
    """Let the prior have its full strength from the first step on."""
    monkeypatch.setattr(prior_module, "RISING_STEPS", 1)


SCALES = np.array([1.0, 0.5, 2.0, 1.0, 0.1, 1.0])
GRADIENTS = np.random.default_rng(0).normal(size=(200, 6)) * np.logspace(-6, 3, 6)
START = np.array([0.5, -0.5, 0.1, 2.0, -1.0, 0.0])
# Three parameters with a prior, three without.
PRIOR = WeightPrior(2 * np.array([0.3, 0.1, 0.0, 0.0, 10.0, 0.0]) / 200, n_rows=200, batch_size=20)


def pull_of(prior, parameters, mean_square):
    """Return the gradient of ``alpha / n_rows * sum(log(1 + information * w ** 2))``."""
    information = prior.n_rows * prior.batch_size * mean_square + 1
    return prior.strengths * information * parameters / (1 + information * parameters**2)


def textbook_adam(parameters, gradients, learning_rate, prior=None, beta_1=0.9, beta_2=0.999, floor=1e-16):
    """Algorithm 1 of Kingma & Ba (2015), ascending, with a floor under the root instead of beside it.

    With a prior, both moments are those of gradients without it. Its own gradient is in the direction and under the
    root. The floor is the mean square of the gradients of batches if a single row of all has a gradient, of size one.
    """
    first = second = np.zeros_like(parameters)
    for step, gradient in enumerate(gradients, start=1):
        second = beta_2 * second + (1 - beta_2) * gradient**2
        second_hat = second / (1 - beta_2**step)
        pull = np.zeros_like(parameters)
        if prior is not None:
            pull, floor = pull_of(prior, parameters, second_hat), 1 / (prior.n_rows * prior.batch_size)
        first = beta_1 * first + (1 - beta_1) * gradient
        first_hat = first / (1 - beta_1**step)
        parameters = parameters + SCALES * learning_rate * (first_hat - pull) / np.sqrt(second_hat + pull**2 + floor)
    return parameters


def textbook_sgd(parameters, gradients, learning_rate, prior=None, beta_2=0.999):
    second = np.zeros_like(parameters)
    for step, gradient in enumerate(gradients, start=1):
        second = beta_2 * second + (1 - beta_2) * gradient**2
        pull = 0.0 if prior is None else pull_of(prior, parameters, second / (1 - beta_2**step))
        parameters = parameters + learning_rate * (gradient - pull)
    return parameters


def adam(learning_rate, dtype=np.float64):
    return Adam(learning_rate, SCALES.astype(dtype))


def sgd(learning_rate, dtype=np.float64):
    return SGD(learning_rate)


def ascended(optimizer, parameters, gradients, damping=None, prior=None, backend=None):
    for gradient in gradients:
        copy = gradient.astype(parameters.dtype, copy=True)
        optimizer.ascend(parameters, copy, backend or NumpyBackend(), damping, prior)
    return parameters


def without_prior(parameters):
    """Return a prior of no strength, which still has a number of rows."""
    return PRIOR._replace(strengths=np.zeros_like(parameters))


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
    assert not np.allclose(result, textbook_adam(np.zeros(6), GRADIENTS, 0.01, floor=1e-14), rtol=1e-10)


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-10), (np.float32, 2e-4)])
@pytest.mark.parametrize(("rule", "textbook"), [(adam, textbook_adam), (sgd, textbook_sgd)])
@pytest.mark.parametrize("n_steps", [1, 2, 200])
def test_textbook_with_a_prior(rule, textbook, dtype, rtol, n_steps, backend, full_strength):
    gradients = GRADIENTS[:n_steps] / np.logspace(-3, 3, 6)
    prior = PRIOR._replace(strengths=PRIOR.strengths.astype(dtype))
    result = ascended(rule(0.01, dtype), START.astype(dtype), gradients, prior=prior, backend=backend)
    assert result.dtype == dtype
    np.testing.assert_allclose(result, textbook(START, gradients, 0.01, PRIOR), rtol=rtol, atol=1e-6)
    # Negative controls: twice the rows in a batch, and another strength.
    for other in (PRIOR._replace(batch_size=40), PRIOR._replace(strengths=1.1 * PRIOR.strengths)):
        expected = textbook(START, gradients, 0.01, other)
        if n_steps == 200:
            assert not np.allclose(result, expected, rtol=rtol, atol=1e-6)


def test_a_prior_of_no_strength_leaves_sgd_as_it_is():
    plain, other = (ascended(sgd(0.01), START.copy(), GRADIENTS, prior=p) for p in (None, without_prior(START)))
    np.testing.assert_array_equal(plain, other)


def test_a_prior_of_no_strength_shortens_the_steps_of_adam_where_gradients_are_small():
    """A gradient as large as one row in all rows can cause is the unit: smaller ones make smaller steps."""
    unit = 1 / np.sqrt(PRIOR.n_rows * PRIOR.batch_size)
    sizes = np.array([1e-3, 1.0, 1e3, 1e3, 1e-3, 1.0])
    step = ascended(Adam(0.1, np.ones(6)), np.zeros(6), [unit * sizes], prior=without_prior(START))
    np.testing.assert_allclose(step, 0.1 * sizes / np.sqrt(sizes**2 + 1))
    # Negative control: without, all steps have the same size.
    np.testing.assert_allclose(ascended(Adam(0.1, np.ones(6)), np.zeros(6), [unit * sizes]), 0.1, rtol=1e-4)


@pytest.mark.parametrize("strength", [1.0, 1e3, 2e6])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_strong_prior_does_not_overshoot(dtype, strength, backend):
    """Near zero the pull is much larger than elsewhere: in the first moment, it would throw weights far away."""
    prior = PRIOR._replace(strengths=np.full(6, strength, dtype))
    gradients = np.tile(GRADIENTS / np.logspace(-6, 3, 6), (2, 1))
    parameters, optimizer, largest = START.astype(dtype), Adam(0.01, np.ones(6, dtype)), 0.0
    for gradient in gradients:
        before = parameters.copy()
        ascended(optimizer, parameters, [gradient], prior=prior, backend=backend)
        largest = max(largest, np.abs(parameters - before).max())
    assert largest < 0.03
    np.testing.assert_allclose(parameters, 0, atol=0.03)


@pytest.mark.parametrize("rule", [adam, sgd])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_zero_gradients_change_nothing(rule, dtype):
    parameters = np.ones(6, dtype)
    np.testing.assert_array_equal(ascended(rule(0.1, dtype), parameters, np.zeros((3, 6))), np.ones(6))


def restored(optimizer):
    """Return the optimizer as estimators save and load it."""
    return from_plain(to_plain(optimizer))


@pytest.mark.parametrize("prior", [None, PRIOR], ids=["plain", "prior"])
@pytest.mark.parametrize("between", [lambda optimizer: pickle.loads(pickle.dumps(optimizer)), restored])
@pytest.mark.parametrize("rule", [adam, sgd])
def test_a_saved_optimizer_continues(rule, between, prior):
    parameters, uninterrupted = START.copy(), START.copy()
    optimizer = rule(0.01)
    ascended(optimizer, parameters, GRADIENTS[:50], prior=prior)
    ascended(between(optimizer), parameters, GRADIENTS[50:], prior=prior)
    np.testing.assert_array_equal(parameters, ascended(rule(0.01), uninterrupted, GRADIENTS, prior=prior))


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
        ascended(optimizer, parameters, np.full((1, 6), spoilt), prior=PRIOR)
    optimizer.reset()
    parameters[...] = 0
    np.testing.assert_array_equal(
        ascended(optimizer, parameters, GRADIENTS, prior=PRIOR),
        ascended(rule(0.01), np.zeros(6), GRADIENTS, prior=PRIOR),
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


def test_joined_sgds_have_the_mean_of_their_squares(full_strength):
    """Of those that have squares; a reset one has none."""
    gradients = np.array([[1.0, -2.0, 0.5], [3.0, 2.0, 0.0]])
    prior = WeightPrior(np.full(3, 0.1), n_rows=50, batch_size=5)
    for others in (0, 1):
        sgds = [SGD(0.1) for _ in range(2 + others)]
        for one, gradient in zip(sgds[others:], gradients, strict=True):
            ascended(one, np.zeros(3), [gradient], prior=prior)
        sgds[0].join(sgds[1:])
        start = np.array([0.5, -1.0, 2.0])
        step = ascended(sgds[0], start.copy(), np.zeros((1, 3)), prior=prior) - start
        mean_square = 0.999 / (1 + 0.999) * np.square(gradients).mean(axis=0)  # after a gradient of zero
        np.testing.assert_allclose(step, -0.1 * pull_of(prior, start, mean_square))


@pytest.mark.parametrize("rule", [adam, sgd])
def test_rescaled_parameters_have_the_same_information(rule):
    """If parameters are multiplied by factors, their gradients are divided, and the penalty stays the same."""
    factors = np.array([2.0, 0.5, 4.0, 1.0, 8.0, 1.0])
    prior = WeightPrior(np.full(6, 0.1), n_rows=10**9, batch_size=10**3)  # the information of the prior is negligible
    optimizer, other = rule(0.01), rule(0.01)
    ascended(optimizer, START.copy(), GRADIENTS[:50], prior=prior)
    ascended(other, START.copy() * factors, GRADIENTS[:50] / factors, prior=prior)
    optimizer.rescale(factors)
    expected = ascended(other, START * factors, GRADIENTS[50:51] / factors, prior=prior)
    np.testing.assert_allclose(
        ascended(optimizer, START * factors, GRADIENTS[50:51] / factors, prior=prior), expected, rtol=1e-6
    )
    assert not np.allclose(ascended(rule(0.01), START * factors, GRADIENTS[50:51] / factors, prior=prior), expected)
