"""The watch on the likelihood: what a fit goes on from once it has lost likelihood."""

import numpy as np
from numpy.testing import assert_array_equal

from skwakesleep._engine.amortised import AmortisedState
from skwakesleep._engine.likelihood_watch import STEP_FACTOR, LikelihoodWatch
from skwakesleep._engine.optimizers import Adam
from skwakesleep._engine.random import Streams


def test_after_a_fall_training_goes_on_from_the_average_that_scored_best():
    """Not from the iterate of that time, which is noisier: smaller steps would lead the average there."""
    state = AmortisedState(np.array([5.0, 5.0]), Adam(0.1, np.ones(2)), Streams(0))
    watch = LikelihoodWatch(lambda theta, rows: np.full(len(rows), -theta @ theta), np.copy, np.zeros((4, 2)), state)
    state.parameters[...], state.average[...], state.n_steps = [1.0, -1.0], [0.1, 0.0], 30
    watch.look()
    state.parameters[...], state.average[...], state.n_steps = [9.0, 9.0], [8.0, 8.0], 60
    watch.look()
    assert_array_equal(state.average, [0.1, 0.0])
    assert_array_equal(state.parameters, [0.1, 0.0])
    assert state.n_steps == 30
    assert state.optimizer.learning_rate == 0.1 * STEP_FACTOR
