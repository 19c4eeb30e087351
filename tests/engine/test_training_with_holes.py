"""The learning rule with missing values: gradients compared with slopes of enumerated expectations, by plain loops.

The statistic is the largest |z| over all parameters, as in the tests of the learning rule without holes.
"""

import numpy as np
import pytest
from scipy.special import logsumexp

from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.machine.columns import KINDS, Columns
from skwakesleep._engine.machine.networks import Machine
from skwakesleep._engine.machine.rows import Rows
from tests import table_oracle
from tests.engine.machines import EVERYWHERE, keep_triangles, table_machine, table_of, wake_sleep, with_all_holes
from tests.oracle import binary_states

pytestmark = pytest.mark.statistical

THRESHOLD = 5.0
N_BATCHES = 30
TABLES = {
    "bernoulli": ["bernoulli"] * 3,
    "gaussian": ["gaussian"] * 3,
    "categorical": ["categorical"] * 2,
    "mixed": ["gaussian", "categorical", "bernoulli", "gaussian"],
    "cells": ["continuous", "ordinal", "count"],
    "two": ["count", "ordinal"],
}


def some_holes(table):
    """Return rows with different holes: none, one, all but one, all."""
    patterns = with_all_holes(table[3])
    return np.concatenate([patterns[[0, 1, len(patterns) // 2 - 1, len(patterns) - 1]], with_all_holes(table[4])[[2]]])


def batch_of(machine, X, dtype=np.float64):
    return Rows(X, machine.columns, dtype, NumpyBackend()).take(np.arange(len(X)))


def n_generative(machine, flat):
    return flat.size - machine.recognition_part(flat).size


def free_parameters(machine, flat):
    """Return which parameters are free: all but the weights of units to those that are not before them."""
    free = np.ones_like(flat)
    keep_triangles(machine, free)
    return free > 0


def slopes_of(function, flat, part):
    """Return the slopes of a function of all parameters with respect to a part of them."""

    def of_part(values):
        moved = flat.copy()
        moved[part] = values
        return function(moved)

    return table_oracle.slopes(of_part, flat[part])


def sampled_gradients(machine, flat, X, rule, n_particles):
    """Return the gradients of N_BATCHES mini-batches, and their bounds."""
    objective = wake_sleep(machine, flat, rule, n_particles, seed=1)
    bounds, gradients = [], []
    for _ in range(N_BATCHES):
        bounds.append(objective(batch_of(machine, X)))
        gradients.append(objective.gradient.copy())
    return np.array(gradients), np.array(bounds)


def largest_z(samples, expected):
    standard_error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples)) + 1e-8
    return np.abs((samples.mean(axis=0) - expected) / standard_error).max()


# ---------------------------------------------------------------------- the generative network

VISIBLE = [(name, ()) for name in TABLES] + [(name, EVERYWHERE) for name in ("bernoulli", "gaussian", "two")]


@pytest.mark.parametrize(("name", "autoregressive"), VISIBLE, ids=str)
def test_the_generative_gradient_is_the_slope_of_the_likelihood_of_observed_values(name, autoregressive):
    machine, flat, table = table_machine(TABLES[name], (2,), 1, autoregressive=autoregressive, scale=0.5)
    X = some_holes(table)

    def likelihood(moved):
        return table_oracle.log_likelihood(machine, moved, X).mean()

    part = np.flatnonzero(free_parameters(machine, flat)[: n_generative(machine, flat)])
    expected = slopes_of(likelihood, flat, part)
    gradients, bounds = sampled_gradients(machine, flat, X, "wake", 3000)
    assert largest_z(gradients[:, part], expected) < THRESHOLD
    assert largest_z(gradients[:, part], 1.1 * expected) > THRESHOLD  # negative control
    assert (gradients[:, ~free_parameters(machine, flat)] == 0).all()
    assert bounds.mean() == pytest.approx(likelihood(flat), abs=0.03)


def test_the_generative_gradient_with_two_hidden_layers():
    machine, flat, table = table_machine(TABLES["mixed"], (2, 1), 2, scale=0.5)
    X = some_holes(table)
    part = np.arange(n_generative(machine, flat))
    expected = slopes_of(lambda moved: table_oracle.log_likelihood(machine, moved, X).mean(), flat, part)
    gradients, _ = sampled_gradients(machine, flat, X, "wake", 3000)
    assert largest_z(gradients[:, part], expected) < THRESHOLD


def test_the_gradient_with_one_particle_is_that_of_the_expected_log_probability():
    """The wake phase of Hinton et al. (1995), and their sleep phase in which dreams have the holes of the rows."""
    machine, flat, table = table_machine(TABLES["mixed"], (2,), 3, scale=0.5)
    X = some_holes(table)
    proposals = [
        [table_oracle.log_proposal(machine, flat, hidden, row) for hidden in table_oracle.states(machine)] for row in X
    ]

    def expectation(moved):
        pairs = zip(X, np.exp(proposals), strict=True)
        return np.mean([q @ table_oracle.log_joint(machine, moved, row) for row, q in pairs])

    part = np.arange(n_generative(machine, flat))
    expected = slopes_of(expectation, flat, part)
    gradients, _ = sampled_gradients(machine, flat, np.repeat(X, 1000, axis=0), "sleep", 1)
    assert largest_z(gradients[:, part], expected) < THRESHOLD


# ---------------------------------------------------------------------- the recognition network


@pytest.mark.parametrize("name", ["bernoulli", "mixed", "cells"])
def test_the_wake_phase_of_the_recognition_network_sees_the_holes(name):
    machine, flat, table = table_machine(TABLES[name], (2,), 4, scale=0.5)
    X = some_holes(table)
    joints = [table_oracle.log_joint(machine, flat, row) for row in X]
    posteriors = [np.exp(joint - logsumexp(joint)) for joint in joints]

    def expectation(moved):
        states = list(table_oracle.states(machine))
        log_q = [[table_oracle.log_proposal(machine, moved, hidden, row) for hidden in states] for row in X]
        return np.mean([p @ own for p, own in zip(posteriors, log_q, strict=True)])

    part = np.arange(n_generative(machine, flat), flat.size)
    expected = slopes_of(expectation, flat, part)
    gradients, _ = sampled_gradients(machine, flat, X, "wake", 3000)
    assert largest_z(gradients[:, part], expected) < THRESHOLD
    assert largest_z(gradients[:, part], 1.1 * expected) > THRESHOLD  # negative control


def test_dreams_are_seen_through_the_holes_of_the_rows():
    machine, flat, table = table_machine(TABLES["bernoulli"], (2,), 5, scale=0.7)
    X = some_holes(table)
    dreams = [(hidden, x) for hidden in table_oracle.states(machine) for x in binary_states(3)]
    *layers, visible = machine.views(flat).generative
    columns = table_oracle.columns_of(machine.columns)
    probabilities = np.exp(
        [
            table_oracle.log_prior(layers, hidden) + table_oracle.log_row(columns, visible, hidden[-1], x)
            for hidden, x in dreams
        ]
    )
    assert probabilities.sum() == pytest.approx(1)

    def expectation(moved, rows=X):
        seen = [[(hidden, np.where(np.isnan(row), np.nan, x)) for hidden, x in dreams] for row in rows]
        log_q = [[table_oracle.log_proposal(machine, moved, *dream) for dream in own] for own in seen]
        return np.mean(log_q @ probabilities)

    part = np.arange(n_generative(machine, flat), flat.size)
    gradients, _ = sampled_gradients(machine, flat, np.repeat(X, 500, axis=0), "sleep", 1)
    assert largest_z(gradients[:, part], slopes_of(expectation, flat, part)) < THRESHOLD
    whole = slopes_of(lambda moved: expectation(moved, table[:1]), flat, part)  # negative control: without holes
    assert largest_z(gradients[:, part], whole) > THRESHOLD


# ---------------------------------------------------------------------- columns that are never observed

KNOWN = ["gaussian", "bernoulli", "categorical"]


def machine_for(kinds, table):
    machine = Machine(Columns.of_table(kinds, table), [3])
    return machine, np.zeros(machine.layout.size)


def shared_units(columns, n_columns):
    """Return the units of the first columns, in the order of these columns."""
    listed = sorted((column for column in table_oracle.columns_of(columns)), key=lambda column: column.place)
    return np.concatenate([np.arange(column.units.start, column.units.stop) for column in listed[:n_columns]])


def shared(machine, flat):
    """Return copies of the parameters that do not belong to the last column, in one order."""
    columns, (prior, visible), (recognition,) = machine.columns, *machine.views(flat)
    units = shared_units(columns, len(KNOWN))
    seen = [*units, *(columns.n_units + np.flatnonzero(columns.with_holes < len(KNOWN)))]
    return {
        "prior": prior["intercept"],
        "weights": visible["weights"][:, units],
        "intercept": visible["intercept"][units],
        "log_variance": visible["log_variance"][:1],
        "recognition weights": recognition["weights"][seen],
        "recognition intercept": recognition["intercept"],
    }


def set_shared(machine, flat, values):
    """Set these parameters, and those of the last column in the recognition network to zero, in place."""
    columns, (prior, visible), (recognition,) = machine.columns, *machine.views(flat)
    units = shared_units(columns, len(KNOWN))
    seen = [*units, *(columns.n_units + np.flatnonzero(columns.with_holes < len(KNOWN)))]
    prior["intercept"][...] = values["prior"]
    visible["weights"][:, units] = values["weights"]
    visible["intercept"][units] = values["intercept"]
    visible["log_variance"][:1] = values["log_variance"]
    recognition["weights"][...] = 0
    recognition["weights"][seen] = values["recognition weights"]
    recognition["intercept"][...] = values["recognition intercept"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_column_that_is_never_observed_changes_nothing(kind):
    rng = np.random.default_rng(6)
    table = table_of(KNOWN, 40, rng)
    table[rng.random(table.shape) < 0.2] = np.nan
    machines = [machine_for(KNOWN, table), machine_for([*KNOWN, kind], np.column_stack([table, np.full(40, np.nan)]))]
    for _, flat in machines:
        flat[...] = rng.normal(size=len(flat))
    set_shared(*machines[1], shared(*machines[0]))
    objectives = [wake_sleep(machine, flat, "wake", 5, seed=7) for machine, flat in machines]
    tables = [table, np.column_stack([table, np.full(40, np.nan)])]
    for _ in range(5):
        bounds = [
            objective(batch_of(machine, own))
            for objective, (machine, _), own in zip(objectives, machines, tables, strict=True)
        ]
        assert bounds[1] == pytest.approx(bounds[0], rel=1e-12)
        gradients = [
            shared(machine, objective.gradient) for objective, (machine, _) in zip(objectives, machines, strict=True)
        ]
        for name, values in gradients[0].items():
            np.testing.assert_allclose(gradients[1][name], values, rtol=1e-9, atol=1e-13, err_msg=name)
        own = machines[1][0].views(objectives[1].gradient).generative[-1]["intercept"]
        np.testing.assert_allclose(np.delete(own, shared_units(machines[1][0].columns, 3)), 0, atol=1e-15)
        machines[0][1][...] += 0.1 * objectives[0].gradient
        set_shared(*machines[1], shared(*machines[0]))
