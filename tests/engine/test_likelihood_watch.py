"""What a fall of the likelihood leads to, and how much is still to be gained."""

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
from skwakesleep._engine.amortised.state import AmortisedState
from skwakesleep._engine.arrays.random import Streams
from skwakesleep._engine.training.optimizers import Adam

ROWS = np.zeros((500, 1))


def unchanged(theta):
    return theta


def log_likelihood(theta, rows):
    return -np.full(len(rows), np.square(theta).sum())


@pytest.fixture
def state():
    return AmortisedState(np.array([1.0, 0.0]), Adam(0.1, np.ones(2)), Streams(0))


@pytest.fixture
def watch(state):
    return LikelihoodWatch(log_likelihood, unchanged, ROWS, state)


def move(state, value):
    """Move the average, and the iterate to the other side."""
    state.average[0], state.parameters[0] = value, -value
    state.n_epochs += 1


def test_after_a_fall_training_continues_from_the_best_with_smaller_steps(watch, state):
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
def test_a_likelihood_that_is_not_finite_is_a_fall(score, state):
    scores = iter([-1.0, score])
    watch = LikelihoodWatch(lambda theta, rows: np.full(len(rows), next(scores)), unchanged, ROWS, state)
    watch.check()
    assert watch.has_fallen


def test_a_small_fall_has_no_effect(watch, state):
    move(state, np.sqrt(1 + 0.9 * FALL))
    watch.check()
    watch.finish()
    assert not watch.has_fallen
    assert state.step_factor == 1
    assert state.average[0] > 1


def test_a_fall_at_the_end_returns_to_the_best(watch, state):
    move(state, 3.0)
    watch.check()
    move(state, 3.0)  # as training might do after it has gone back
    watch.finish()
    assert_array_equal(state.parameters, [1.0, 0.0])


def test_small_differences_are_not_significant_with_few_rows():
    """One series and eight parameters: eight nats are within what the data leave open."""
    assert significant(0.3, n_params=8, n_rows=1) == 8
    assert significant(0.3, n_params=120, n_rows=569) == 0.3


def test_the_remaining_gain_is_that_of_the_maximum():
    gain = remaining_gain(log_likelihood, lambda theta, rows: -2 * theta, unchanged, np.array([1.0, 2.0]), ROWS)
    assert gain == pytest.approx(5)


def test_the_remaining_gain_is_measured_on_other_rows_if_there_are_many():
    """Every second row is one, the others are zero: what is best for the former gains nothing with the latter."""
    rows = np.tile([[1.0], [0.0]], (N_JUDGED_ROWS, 1))

    def score(theta, rows):
        return -np.square(theta - rows).sum(axis=1)

    def slope(theta, rows):
        return -2 * (theta - rows.mean(axis=0))

    assert remaining_gain(score, slope, unchanged, np.zeros(1), rows) == pytest.approx(-1)
    assert remaining_gain(score, slope, unchanged, np.zeros(1), rows[:100]) == pytest.approx(0.25)


def test_rows_are_spread_over_the_table():
    assert spread_rows(np.arange(100), 4).tolist() == [0, 33, 66, 99]
    assert spread_rows(np.arange(3), 4).tolist() == [0, 1, 2]
