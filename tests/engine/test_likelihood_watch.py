"""Reaction to a fall of the likelihood, and the estimate of the remaining gain."""

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skwakesleep._engine.amortised.likelihood_watch import (
    FALL,
    N_JUDGED_ROWS,
    STEP_FACTOR,
    LikelihoodWatch,
    remaining_gain,
    significant,
    spread_rows,
)
from skwakesleep._engine.amortised.problem import Problem, Settings
from skwakesleep._engine.amortised.state import AmortisedState
from skwakesleep._engine.amortised.units import UNCHANGED
from skwakesleep._engine.arrays.random import Streams
from skwakesleep._engine.training.optimizers import Adam

ROWS = np.zeros((500, 1))


def problem_of(log_likelihood, grad_log_likelihood=None, X=ROWS):
    """Return a problem whose model has a given likelihood and its gradient."""
    model = SimpleNamespace(log_likelihood=log_likelihood, grad_log_likelihood=grad_log_likelihood)
    return Problem(model, X, UNCHANGED, Settings(gradient="exact"))


def log_likelihood(theta, rows):
    return -np.full(len(rows), np.square(theta).sum())


@pytest.fixture
def state():
    return AmortisedState(np.array([1.0, 0.0]), Adam(0.1, np.ones(2)), Streams(0))


@pytest.fixture
def watch(state):
    return LikelihoodWatch(problem_of(log_likelihood), state)


def move(state, value):
    """Set the average to value and the current iterate to -value."""
    state.average[0], state.parameters[0] = value, -value
    state.n_epochs += 1


def test_fall_restores_the_best_parameters_and_reduces_the_steps(watch, state):
    move(state, 0.5)
    watch.check()
    assert (watch.best_score, watch.best_epoch) == (-0.25, 1)
    optimizer = state.optimizer
    move(state, 2.0)
    watch.check()
    assert watch.has_fallen
    assert_array_equal(state.parameters, [0.5, 0.0])
    assert_array_equal(state.average, [0.5, 0.0])
    assert state.step_factor == STEP_FACTOR
    assert state.optimizer.learning_rate == 0.1 * STEP_FACTOR
    assert state.optimizer is not optimizer
    assert state.regression.weighing_preferred


@pytest.mark.parametrize("score", [np.nan, -np.inf])
def test_non_finite_likelihood_is_a_fall(score, state):
    scores = iter([-1.0, score])
    watch = LikelihoodWatch(problem_of(lambda theta, rows: np.full(len(rows), next(scores))), state)
    watch.check()
    assert watch.has_fallen


def test_small_fall_has_no_effect(watch, state):
    move(state, np.sqrt(1 + 0.9 * FALL))
    watch.check()
    watch.finish()
    assert not watch.has_fallen
    assert state.step_factor == 1
    assert state.average[0] > 1


def test_finish_restores_the_best_parameters_after_a_fall(watch, state):
    move(state, 3.0)
    watch.check()
    move(state, 3.0)  # a second fall after the restoration
    watch.finish()
    assert_array_equal(state.parameters, [1.0, 0.0])


def test_small_difference_is_not_significant_with_few_rows():
    """With one series and eight parameters, differences below eight nats are not significant."""
    assert significant(0.3, n_params=8, n_rows=1) == 8
    assert significant(0.3, n_params=120, n_rows=569) == 0.3


def test_remaining_gain_reaches_the_maximum():
    problem = problem_of(log_likelihood, lambda theta, rows: -2 * theta)
    assert remaining_gain(problem, np.array([1.0, 2.0])) == pytest.approx(5)


def test_remaining_gain_is_measured_on_held_out_rows_of_a_large_table():
    """Rows alternate between one and zero: the optimum of one half lowers the score of the other half."""
    rows = np.tile([[1.0], [0.0]], (N_JUDGED_ROWS, 1))

    def score(theta, rows):
        return -np.square(theta - rows).sum(axis=1)

    def slope(theta, rows):
        return -2 * (theta - rows.mean(axis=0))

    assert remaining_gain(problem_of(score, slope, rows), np.zeros(1)) == pytest.approx(-1)
    assert remaining_gain(problem_of(score, slope, rows[:100]), np.zeros(1)) == pytest.approx(0.25)


def test_spread_rows_are_evenly_spaced():
    assert spread_rows(np.arange(100), 4).tolist() == [0, 33, 66, 99]
    assert spread_rows(np.arange(3), 4).tolist() == [0, 1, 2]
