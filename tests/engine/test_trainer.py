"""The trainer: initial states, divergence, and findings."""

import re

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skwakesleep._engine.amortised.dreams import described_params
from skwakesleep._engine.amortised.problem import DEFAULT_BATCH_SIZE, Problem, Settings
from skwakesleep._engine.amortised.trainer import LARGE_GAIN, Trainer
from skwakesleep._engine.amortised.units import units_for
from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.machine.moments import measure
from skwakesleep._engine.training.loop import TrainingDivergedError
from skwakesleep.models import LatentFactors

N_FEATURES = 4


class NullMonitor:
    """A monitor that does nothing."""

    def epoch_begin(self):
        pass

    def epoch_end(self, state):
        return False


@pytest.fixture
def X(rng):
    return 5 + rng.normal(size=(60, 1)) @ rng.normal(size=(1, N_FEATURES)) + rng.normal(size=(60, N_FEATURES))


def trainer_of(model, X, **settings):
    return Trainer(Problem(model, X, units_for(model, measure(X)), Settings(**{"n_dreams": 60} | settings)))


def trained(trainer, X, n_epochs=2, *, watched=True):
    (state,) = trainer.starts(1, [0], measure(X))
    trainer.run(state, n_epochs, NullMonitor(), NumpyBackend(), watched=watched)
    return state


def test_initial_states_differ_and_the_first_is_independent_of_their_number(X):
    trainer = trainer_of(LatentFactors(N_FEATURES, 1), X)
    first, second = trainer.starts(2, [0], measure(X))
    assert_array_equal(first.parameters, trainer.starts(1, [0], measure(X))[0].parameters)
    assert not np.array_equal(first.parameters, second.parameters)
    assert not np.array_equal(first.streams["dreams"].random(5), second.streams["dreams"].random(5))


def test_score_is_the_likelihood_in_original_units(X):
    model = LatentFactors(N_FEATURES, 1)
    trainer = trainer_of(model, X)
    for state in trainer.starts(2, [0], measure(X)):
        _, in_units, _ = trainer.parameters(state)
        assert trainer.score(state) == pytest.approx(model.log_likelihood(in_units, X).mean())


class WithoutLikelihood(LatentFactors):
    log_likelihood = grad_log_likelihood = property()  # raises AttributeError


def test_score_without_a_likelihood_prefers_the_better_fit(X):
    trainer = trainer_of(WithoutLikelihood(N_FEATURES, 1), X, n_dreams=200)
    (start,) = trainer.starts(1, [0], measure(X))
    fitted = trained(trainer, X, 200)
    assert trainer.score(start) < trainer.score(fitted) < 0.02
    assert trainer.score(fitted) > 0.5 * trainer.score(start)


def test_parameters_in_standardized_and_original_units(X):
    model = LatentFactors(N_FEATURES, 1)
    trainer = trainer_of(model, X)
    state = trained(trainer, X)
    theta, in_units, named = trainer.parameters(state)
    units = state.units
    score = model.log_likelihood(theta, units.standardized(X)) - units.log_volume
    np.testing.assert_allclose(model.log_likelihood(in_units, X), score, rtol=1e-8)
    assert_array_equal(named["intercept"], model.unpack(in_units)["intercept"])


class DivergingFactors(LatentFactors):
    """A model whose gradient is NaN after the first ``n_finite_calls`` calls."""

    n_finite_calls = 0
    n_calls = 0

    def natural_vjp(self, *args):
        type(self).n_calls += 1
        return super().natural_vjp(*args) * (np.nan if self.n_calls > self.n_finite_calls else 1)


@pytest.mark.parametrize("watched", [True, False])
def test_divergence_keeps_the_last_parameters_with_a_finite_gradient(watched, X):
    class Diverging(DivergingFactors):
        n_finite_calls = 3

    trainer = trainer_of(Diverging(N_FEATURES, 1), X, gradient="exponential")
    (state,) = trainer.starts(1, [0], measure(X))
    with pytest.raises(TrainingDivergedError, match=r"at epoch 4: the gradient was not finite, at theta = \["):
        trainer.run(state, 10, NullMonitor(), NumpyBackend(), watched=watched)
    Diverging.n_calls = 0
    reference = trained(trainer_of(Diverging(N_FEATURES, 1), X, gradient="exponential"), X, 2, watched=False)
    assert_array_equal(state.parameters, reference.parameters)
    assert state.lower_bounds == []


def test_no_finite_gradient_raises_value_error(X):
    class Diverging(DivergingFactors):
        pass

    trainer = trainer_of(Diverging(N_FEATURES, 1), X, gradient="exponential")
    _, in_units, _ = trainer.parameters(trainer.starts(1, [0], measure(X))[0])
    message = f"The model cannot be trained: the gradient was not finite, at {described_params(in_units)}."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        trained(trainer, X)


def test_no_findings_after_successful_training(X):
    trainer = trainer_of(LatentFactors(N_FEATURES, 1), X, n_dreams=300)
    state = trained(trainer, X)
    assert trainer.batch_size == min(DEFAULT_BATCH_SIZE, len(X))
    assert trainer.useless_error(state) is trainer.fall(state) is trainer.exact_gain(state) is None
    assert trainer.could_use_exact


def test_fall_is_reported_in_original_units(X):
    class Downhill(LatentFactors):
        def natural_vjp(self, *args):
            return -super().natural_vjp(*args)

    model = Downhill(N_FEATURES, 1)
    trainer = trainer_of(model, X, learning_rate=0.2, gradient="exponential")
    state = trained(trainer, X, 20)
    best_score, _, score = trainer.fall(state)
    _, in_units, _ = trainer.parameters(state)
    assert best_score > score
    assert best_score == pytest.approx(model.log_likelihood(in_units, X).mean())


def test_gain_of_the_exact_gradient_is_reported_after_enough_steps(X):
    short, long = (trainer_of(LatentFactors(N_FEATURES, 1), X, learning_rate=1e-6) for _ in range(2))
    assert short.exact_gain(trained(short, X, 100)) is None
    assert long.exact_gain(trained(long, X, 200)) > LARGE_GAIN


def test_exact_gradient_is_not_recommended_if_in_use(X):
    trainer = trainer_of(LatentFactors(N_FEATURES, 1), X, gradient="exact")
    assert not trainer.could_use_exact


def test_regression_no_better_than_a_constant_is_reported(rng):
    X = rng.normal(size=(30, 12))
    trainer = trainer_of(LatentFactors(12, 2), X, gradient="direct", n_dreams=10, feature_map=None)
    assert trainer.useless_error(trained(trainer, X)) >= 1
