"""New units for columns: the machine is the same distribution of the user's columns before and after."""

import numpy as np
import pytest

from skwakesleep._engine.arrays.random import Streams
from skwakesleep._engine.arrays.workspace import Workspace
from skwakesleep._engine.machine.families import Gaussian
from skwakesleep._engine.machine.fitted import FittedMachine
from skwakesleep._engine.machine.moments import measure
from skwakesleep._engine.machine.networks import Machine
from skwakesleep._engine.machine.restandardization import ChangeOfUnits, follow, restandardized, unified
from skwakesleep._engine.machine.rows import Rows
from skwakesleep._engine.posterior.likelihood import log_likelihood
from skwakesleep._engine.training.optimizers import Adam
from skwakesleep._engine.training.state import TrainingState

RNG = np.random.default_rng(0)
OLD = RNG.normal(size=(200, 3)) * [1, 10, 0.1] + [0, 5, -1]
FLOOR = np.full(3, 1e-4)
RATIO, SHIFT = np.array([0.5, 2.0, 1.3]), np.array([0.4, -3.0, 0.0])


def machine_and_state(autoregressive=()):
    machine = Machine(Gaussian.of_moments(measure(OLD)), (3, 4), 3.0, autoregressive)
    parameters = RNG.normal(size=machine.layout.size)
    state = TrainingState(parameters, Adam(0.1, np.ones_like(parameters)), Streams(0))
    for _ in range(3):
        state.optimizer.ascend(state.parameters, RNG.normal(size=parameters.size))
    return machine, state


def other_units(machine):
    """Return units that differ in location and scale from column to column."""
    old = machine.visible
    return Gaussian(old.location - SHIFT * old.scale, old.scale / (1 + RATIO), old.smallest_variance * (1 + RATIO) ** 2)


@pytest.mark.parametrize("autoregressive", [(), ("visible",), ("visible", "recognition")], ids=str)
def test_both_networks_do_what_they_did(autoregressive):
    machine, state = machine_and_state(autoregressive)
    new = other_units(machine)
    X = OLD + RNG.normal(size=OLD.shape)

    def results(machine):
        scores = log_likelihood(machine, state.parameters, Rows(X, machine.visible, np.float64), n_particles=1)
        units = machine.visible.encode(X.copy())
        return scores, machine.recognition.means(machine.bind(state.parameters).recognition, units, Workspace())

    before = results(machine)
    ChangeOfUnits(machine, new).apply(state.parameters)
    for got, expected in zip(results(machine.with_visible(new)), before, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-9)
    # Negative control: without the change of parameters, the units matter.
    _, fresh = machine_and_state(autoregressive)
    state = fresh
    assert abs(results(machine)[0] - results(machine.with_visible(new))[0]).max() > 0.1


@pytest.mark.parametrize("autoregressive", [(), ("visible",)], ids=str)
def test_the_moments_of_the_gradient_follow(autoregressive):
    """A parameter multiplied by a factor has its gradient divided by it."""
    machine, state = machine_and_state(autoregressive)
    factors = ChangeOfUnits(machine, other_units(machine)).factors(state.parameters)
    first, second = state.optimizer._first.copy(), state.optimizer._second.copy()
    state.optimizer.rescale(factors)
    np.testing.assert_allclose(state.optimizer._first * factors, first)
    np.testing.assert_allclose(state.optimizer._second * factors**2, second)
    assert len(np.unique(factors)) > 3


def test_a_stationary_stream_keeps_its_units():
    machine, state = machine_and_state()
    parameters = state.parameters.copy()
    followed = follow(machine, state, measure(OLD + 0.01 * RNG.normal(size=OLD.shape)))
    np.testing.assert_array_equal(followed.visible.location, machine.visible.location)
    np.testing.assert_array_equal(state.parameters, parameters)
    assert (followed.visible.seen.counts == 2 * len(OLD)).all()


def test_a_stream_that_moves_gets_new_units_which_expect_what_is_new():
    machine, state = machine_and_state()
    moved = OLD + np.array([0, 1000, 0])
    followed = follow(machine, state, measure(moved))
    np.testing.assert_allclose(followed.visible.location, np.concatenate([OLD, moved]).mean(axis=0))
    np.testing.assert_allclose(followed.visible.scale, np.concatenate([OLD, moved]).std(axis=0))
    variance = followed.visible.variance(followed.bind(state.parameters).generative[-1])
    assert 0.9 < variance[1] < 1.1  # nothing is known yet of how the column's new values come about


def test_a_column_without_spread_had_no_units():
    row = OLD[:1]
    machine = Machine(Gaussian.of_moments(measure(row)), (3, 4), 3.0)
    parameters = machine.initial_parameters(np.zeros(3), RNG, np.dtype(float))
    state = TrainingState(parameters.copy(), Adam(0.1, np.ones_like(parameters)), Streams(0))
    followed = follow(machine, state, measure(1e6 * OLD[1:]))
    visible = followed.bind(state.parameters).generative[-1]
    np.testing.assert_array_equal(visible["weights"], machine.bind(parameters).generative[-1]["weights"])
    np.testing.assert_allclose(followed.visible.variance(visible), 1, rtol=1e-6)


def test_other_rows_are_standardized_anew():
    machine, _ = machine_and_state()
    same = restandardized(machine, measure(OLD[:150]))
    np.testing.assert_array_equal(same.visible.scale, machine.visible.scale)
    assert (same.visible.seen.counts == 150).all()
    other = restandardized(machine, measure(OLD + 100))
    np.testing.assert_allclose(other.visible.location, OLD.mean(axis=0) + 100)


def test_a_column_that_stays_constant_keeps_its_noise():
    """Another column gets new units; of the constant one nothing new was seen."""
    rows = OLD.copy()
    rows[:, 2] = 0.1
    machine = Machine(Gaussian.of_moments(measure(rows)), (3, 4), 3.0)
    parameters = RNG.normal(size=machine.layout.size)
    machine.bind(parameters).generative[-1]["log_variance"][...] = [0, 0, -7]
    before = machine.visible.variance(machine.bind(parameters).generative[-1])[2]

    def state():
        return TrainingState(parameters.copy(), Adam(0.1, np.ones_like(parameters)), Streams(0))

    moved = state()
    followed = follow(machine, moved, measure(rows + np.array([0, 1000, 0])))
    assert followed.visible.scale[1] > 100
    assert followed.visible.variance(followed.bind(moved.parameters).generative[-1])[2] == pytest.approx(before)
    joined, states = unified([FittedMachine(machine, state()), FittedMachine(machine, state())])
    for one in states:
        np.testing.assert_allclose(one.parameters, parameters, rtol=1e-9, atol=1e-12)
    assert (joined.visible.seen.counts == len(rows)).all()
    assert (machine.visible.seen.counts == len(rows)).all()
