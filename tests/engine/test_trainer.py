"""The trainer: starts, a training that fails, and what it finds."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skwakesleep._engine.amortised.problem import Problem, Settings
from skwakesleep._engine.amortised.trainer import DEFAULT_BATCH_SIZE, LARGE_GAIN, Trainer
from skwakesleep._engine.amortised.tuning import RegressionSettings
from skwakesleep._engine.amortised.units import units_for
from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.machine.moments import measure
from skwakesleep._engine.training.loop import TrainingDivergedError
from skwakesleep.models import LatentFactors

N_FEATURES = 4


class Silent:
    """A monitor that does nothing."""

    def epoch_begin(self):
        pass

    def epoch_end(self, state):
        return False


@pytest.fixture
def X(rng):
    return 5 + rng.normal(size=(60, 1)) @ rng.normal(size=(1, N_FEATURES)) + rng.normal(size=(60, N_FEATURES))


def trainer_of(model, X, *, feature_map="predictive", **settings):
    defaults = {
        "gradient": "auto",
        "n_dreams": 60,
        "batch_size": None,
        "learning_rate": 0.02,
        "reuse_dreams": False,
        "fit_transformer": None,
        "regression": RegressionSettings(feature_map=feature_map),
    }
    return Trainer(Problem(model, X, units_for(model, measure(X)), Settings(**defaults | settings)))


def trained(trainer, X, n_epochs=2, *, watched=True):
    (state,) = trainer.starts(1, [0], measure(X))
    trainer.run(state, n_epochs, Silent(), NumpyBackend(), watched=watched)
    return state


def test_starts_differ_and_the_first_does_not_depend_on_their_number(X):
    trainer = trainer_of(LatentFactors(N_FEATURES, 1), X)
    first, second = trainer.starts(2, [0], measure(X))
    assert_array_equal(first.parameters, trainer.starts(1, [0], measure(X))[0].parameters)
    assert not np.array_equal(first.parameters, second.parameters)
    assert not np.array_equal(first.streams["dreams"].random(5), second.streams["dreams"].random(5))


def test_the_best_state_has_the_highest_likelihood(X):
    model = LatentFactors(N_FEATURES, 1)
    trainer = trainer_of(model, X)
    states = trainer.starts(3, [0], measure(X))
    scores = [model.log_likelihood(state.average, trainer._problem.X).mean() for state in states]
    assert trainer.best(states) is states[int(np.argmax(scores))]
    assert len(set(scores)) == 3


def test_parameters_are_in_the_units_of_the_state_and_of_the_columns(X):
    model = LatentFactors(N_FEATURES, 1)
    trainer = trainer_of(model, X)
    state = trained(trainer, X)
    theta, in_units, named = trainer.parameters(state)
    units = state.units
    score = model.log_likelihood(theta, units.standardized(X)) - units.log_volume
    np.testing.assert_allclose(model.log_likelihood(in_units, X), score, rtol=1e-8)
    assert_array_equal(named["intercept"], model.unpack(in_units)["intercept"])


class Breaking(LatentFactors):
    """Its gradient is not finite from a given call on."""

    breaks_at = 0
    n_calls = 0

    def natural_vjp(self, *args):
        type(self).n_calls += 1
        return super().natural_vjp(*args) * (np.nan if self.n_calls > self.breaks_at else 1)


@pytest.mark.parametrize("watched", [True, False])
def test_a_training_that_diverges_keeps_the_last_parameters_with_a_finite_gradient(watched, X):
    class Broken(Breaking):
        breaks_at = 3

    trainer = trainer_of(Broken(N_FEATURES, 1), X, gradient="exponential")
    (state,) = trainer.starts(1, [0], measure(X))
    with pytest.raises(TrainingDivergedError, match=r"at epoch 4: the gradient was not finite, at theta = \["):
        trainer.run(state, 10, Silent(), NumpyBackend(), watched=watched)
    Broken.n_calls = 0
    reference = trained(trainer_of(Broken(N_FEATURES, 1), X, gradient="exponential"), X, 2, watched=False)
    assert_array_equal(state.parameters, reference.parameters)
    assert state.lower_bounds == []


def test_a_training_without_any_finite_gradient_is_another_error(X):
    class Broken(Breaking):
        pass

    trainer = trainer_of(Broken(N_FEATURES, 1), X, gradient="exponential")
    with pytest.raises(ValueError, match=r"^The model cannot be trained: the gradient was not finite, at theta = \["):
        trained(trainer, X)


def test_nothing_is_found_where_all_is_well(X):
    trainer = trainer_of(LatentFactors(N_FEATURES, 1), X, n_dreams=300)
    findings = trainer.findings(trained(trainer, X))
    assert findings.batch_size == min(DEFAULT_BATCH_SIZE, len(X))
    assert findings.useless_error is findings.fall is findings.exact_gain is None
    assert findings.could_use_exact


def test_a_fall_is_found_in_the_units_of_the_columns(X):
    class Downhill(LatentFactors):
        def natural_vjp(self, *args):
            return -super().natural_vjp(*args)

    model = Downhill(N_FEATURES, 1)
    trainer = trainer_of(model, X, learning_rate=0.2, gradient="exponential")
    state = trained(trainer, X, 20)
    fall = trainer.findings(state).fall
    _, in_units, _ = trainer.parameters(state)
    assert fall.best_score > fall.score
    assert fall.best_score == pytest.approx(model.log_likelihood(in_units, X).mean())


def test_a_large_gain_by_the_exact_gradient_is_found_after_enough_steps(X):
    short, long = (trainer_of(LatentFactors(N_FEATURES, 1), X, learning_rate=1e-6) for _ in range(2))
    assert short.findings(trained(short, X, 100)).exact_gain is None
    assert long.findings(trained(long, X, 200)).exact_gain > LARGE_GAIN


def test_the_exact_gradient_is_not_recommended_to_who_uses_it(X):
    trainer = trainer_of(LatentFactors(N_FEATURES, 1), X, gradient="exact")
    assert not trainer.findings(trained(trainer, X)).could_use_exact


def test_a_regression_that_predicts_nothing_is_found(rng):
    X = rng.normal(size=(30, 12))
    trainer = trainer_of(LatentFactors(12, 2), X, gradient="direct", n_dreams=10, feature_map=None)
    assert trainer.findings(trained(trainer, X)).useless_error >= 1
