"""New units for columns: the machine computes the same in the user's units before and after."""

import numpy as np
import pytest

from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.arrays.random import Streams
from skwakesleep._engine.machine.codecs import Standardization, UnitInterval
from skwakesleep._engine.machine.columns import Block, Columns
from skwakesleep._engine.machine.fitted import FittedMachine
from skwakesleep._engine.machine.networks import Machine
from skwakesleep._engine.machine.restandardization import ChangeOfUnits, follow, unified
from skwakesleep._engine.machine.rows import Rows
from skwakesleep._engine.posterior.likelihood import estimate
from skwakesleep._engine.training.optimizers import Adam
from skwakesleep._engine.training.state import TrainingState

RNG = np.random.default_rng(0)
OLD = RNG.normal(size=(200, 3)) * [1, 10, 0.1] + [0, 5, -1]
RATIO, SHIFT = np.array([0.5, 2.0, 1.3]), np.array([0.4, -3.0, 0.0])
PLACEMENTS = pytest.mark.parametrize("autoregressive", [(), ("visible",), ("visible", "recognition")], ids=str)


def columns_of_table(table):
    return Columns.of_table(["gaussian"] * table.shape[1], table)


def codec_of(machine):
    return machine.columns.blocks["gaussian"].codec


def state_of(parameters):
    return TrainingState(parameters.copy(), Adam(0.1, np.ones_like(parameters)), Streams(0))


def machine_and_state(autoregressive=(), columns=None):
    """Return a machine of random parameters, and its state after three steps along random gradients."""
    machine = Machine(columns or columns_of_table(OLD), [4], autoregressive)
    state = state_of(RNG.normal(size=machine.layout.size))
    for _ in range(3):
        state.optimizer.ascend(state.parameters, RNG.normal(size=state.parameters.size), NumpyBackend())
    return machine, state


def other_units(machine):
    """Return columns whose units differ in location and scale from column to column."""
    old = codec_of(machine)
    new = Standardization(
        old.location - SHIFT * old.scale, old.scale / (1 + RATIO), old.smallest_variance * (1 + RATIO) ** 2
    )
    return with_codec(machine.columns, new)


def with_codec(columns, codec):
    """Return columns with another codec of the real ones."""
    return Columns({**columns.blocks, "gaussian": Block(codec, columns.blocks["gaussian"].columns)})


def noise_variance(machine, state):
    """Return the variance of the noise of each real column in squared units."""
    run = machine.columns.runs[-1]
    return run.family.variance(machine.views(state.parameters).generative[-1])


def results(machine, parameters, X):
    """Return the scores of rows, and the means of the recognition network."""
    rows = Rows(X, machine.columns, np.float64, NumpyBackend())
    scores = estimate(machine, parameters, rows, NumpyBackend(), n_particles=1).log_likelihood
    units = machine.columns.encode(X.copy())[:, np.newaxis]
    return scores, machine.bind(parameters, NumpyBackend()).recognition.means(units)


@PLACEMENTS
def test_both_networks_compute_the_same(autoregressive):
    machine, state = machine_and_state(autoregressive)
    new = other_units(machine)
    X = OLD + RNG.normal(size=OLD.shape)
    before, unchanged = results(machine, state.parameters, X), state.parameters.copy()
    ChangeOfUnits(machine, new).apply(state.parameters)
    for got, expected in zip(results(machine.with_columns(new), state.parameters, X), before, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-9)
    # Negative control: parameters that were not changed.
    assert abs(results(machine.with_columns(new), unchanged, X)[0] - before[0]).max() > 0.1


@pytest.mark.parametrize("autoregressive", [(), ("visible",)], ids=str)
def test_the_moments_of_the_gradient_are_rescaled(autoregressive):
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
    followed = follow(machine, state, columns_of_table(OLD + 0.01 * RNG.normal(size=OLD.shape)))
    np.testing.assert_array_equal(codec_of(followed).location, codec_of(machine).location)
    np.testing.assert_array_equal(state.parameters, parameters)
    assert (codec_of(followed).seen.counts == 2 * len(OLD)).all()


def test_a_stream_whose_location_changes_gets_new_units_and_wider_noise():
    machine, state = machine_and_state()
    moved = OLD + np.array([0, 1000, 0])
    followed = follow(machine, state, columns_of_table(moved))
    np.testing.assert_allclose(followed.columns.location, np.concatenate([OLD, moved]).mean(axis=0))
    np.testing.assert_allclose(followed.columns.scale, np.concatenate([OLD, moved]).std(axis=0))
    assert 0.9 < noise_variance(followed, state)[1] < 1.1  # nothing explains the new values yet


def test_columns_without_spread_keep_their_weights():
    """Units for a single row say nothing of the scale, so the parameters are taken to be in the new units."""
    machine = Machine(columns_of_table(OLD[:1]), [4])
    parameters = machine.initial_parameters(RNG, np.dtype(float))
    state = state_of(parameters)
    followed = follow(machine, state, columns_of_table(1e6 * OLD[1:]))
    weights = [machine.views(flat).generative[-1]["weights"] for flat in (state.parameters, parameters)]
    np.testing.assert_array_equal(*weights)
    np.testing.assert_allclose(noise_variance(followed, state), 1, rtol=1e-6)


def test_other_rows_get_new_units_if_the_old_ones_do_not_suit():
    machine, _ = machine_and_state()
    same = machine.with_columns(machine.columns.renewed(columns_of_table(OLD[:150])))
    np.testing.assert_array_equal(same.columns.scale, machine.columns.scale)
    assert (codec_of(same).seen.counts == 150).all()
    other = machine.with_columns(machine.columns.renewed(columns_of_table(OLD + 100)))
    np.testing.assert_allclose(other.columns.location, OLD.mean(axis=0) + 100)


def test_a_column_that_stays_constant_keeps_its_noise():
    """Another column gets new units; the constant one has no new values."""
    rows = OLD.copy()
    rows[:, 2] = 0.1
    machine = Machine(columns_of_table(rows), [4])
    parameters = RNG.normal(size=machine.layout.size)
    machine.views(parameters).generative[-1]["log_variance"][...] = [0, 0, -7]
    before = noise_variance(machine, state_of(parameters))[2]

    moved = state_of(parameters)
    followed = follow(machine, moved, columns_of_table(rows + np.array([0, 1000, 0])))
    assert followed.columns.scale[1] > 100
    assert noise_variance(followed, moved)[2] == pytest.approx(before)
    joined, states = unified([FittedMachine(machine, state_of(parameters)) for _ in range(2)])
    for one in states:
        np.testing.assert_allclose(one.parameters, parameters, rtol=1e-9, atol=1e-12)
    assert (codec_of(joined).seen.counts == len(rows)).all()
    assert (codec_of(machine).seen.counts == len(rows)).all()


# ---------------------------------------------------------------------- columns of both kinds

REAL, BINARY = np.array([3, 0, 1]), np.array([4, 2])


def mixed_table(real):
    table = np.empty((len(real), 5))
    table[:, REAL] = real
    table[:, BINARY] = np.random.default_rng(3).random((len(real), 2)) < 0.3
    return table


def mixed_columns_of(table):
    """Return columns of both kinds; of the blocks, the binary one is first."""
    return Columns(
        {
            "bernoulli": Block(UnitInterval.of_table(table[:, BINARY]), BINARY),
            "gaussian": Block(Standardization.of_table(table[:, REAL]), REAL),
        }
    )


def binary_parts(machine, flat):
    """Return what belongs to the binary columns: the columns of generative arrays and rows of recognition weights."""
    visible, recognition = machine.views(flat).generative[-1], machine.views(flat).recognition[0]
    return [visible["weights"][:, :2], visible["intercept"][:2], recognition["weights"][:2]]


@PLACEMENTS
def test_new_units_of_real_columns_leave_binary_columns_alone(autoregressive):
    table = mixed_table(OLD)
    machine, state = machine_and_state(autoregressive, mixed_columns_of(table))
    new, before = other_units(machine), state.parameters.copy()
    X = mixed_table(OLD + RNG.normal(size=OLD.shape))
    expected = results(machine, before, X)
    change = ChangeOfUnits(machine, new)
    change.apply(state.parameters)
    for got, old in zip(results(machine.with_columns(new), state.parameters, X), expected, strict=True):
        np.testing.assert_allclose(got, old, rtol=1e-9)
    factors = change.factors(before)
    assert all((part == 1).all() for part in binary_parts(machine, factors))
    if not autoregressive:  # otherwise the shift of a real column enters the intercept of a binary one after it
        for after, old in zip(*(binary_parts(machine, flat) for flat in (state.parameters, before)), strict=True):
            np.testing.assert_array_equal(after, old)
    assert (state.parameters != before).any()


def test_a_stream_of_both_kinds_is_followed():
    machine, state = machine_and_state((), mixed_columns_of(mixed_table(OLD)))
    before = [part.copy() for part in binary_parts(machine, state.parameters)]
    moved = OLD + np.array([0, 1000, 0])
    followed = follow(machine, state, mixed_columns_of(mixed_table(moved)))
    np.testing.assert_allclose(followed.columns.location[REAL], np.concatenate([OLD, moved]).mean(axis=0))
    np.testing.assert_array_equal(followed.columns.location[BINARY], 0)
    for after, old in zip(binary_parts(machine, state.parameters), before, strict=True):
        np.testing.assert_array_equal(after, old)
    assert followed.columns.blocks["bernoulli"].codec is machine.columns.blocks["bernoulli"].codec
    assert 0.9 < noise_variance(followed, state)[1] < 1.1


@pytest.mark.parametrize("kind", ["gaussian", "mixed"])
def test_a_spread_that_grows_widens_the_noise(kind):
    """By the variance that is new: a column whose scale grows by 58% has 60% of its new variance unexplained."""
    columns = {"gaussian": columns_of_table, "mixed": lambda real: mixed_columns_of(mixed_table(real))}[kind]
    machine, state = machine_and_state((), columns(OLD))
    before = noise_variance(machine, state)
    spread = (OLD - OLD.mean(axis=0)) * [1, 2, 1] + OLD.mean(axis=0)
    followed = follow(machine, state, columns(spread))
    ratio = np.array([1, np.sqrt(2 / 5), 1])
    np.testing.assert_allclose(noise_variance(followed, state), before * ratio**2 + 1 - ratio**2, rtol=0.02)


def test_replicas_of_both_kinds_are_unified():
    machine, state = machine_and_state((), mixed_columns_of(mixed_table(OLD)))
    other = state.copy()
    moved = follow(machine, other, mixed_columns_of(mixed_table(OLD + np.array([0, 1000, 0]))))
    X = mixed_table(OLD)
    expected = results(moved, other.parameters, X)[0]
    joined, states = unified([FittedMachine(machine, state), FittedMachine(moved, other)])
    np.testing.assert_allclose(results(joined, states[0].parameters, X)[0], results(machine, state.parameters, X)[0])
    np.testing.assert_allclose(results(joined, states[1].parameters, X)[0], expected, rtol=1e-9)
