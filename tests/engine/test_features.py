"""Features of rows: standardized roots of the odds of the top units."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skwakesleep import HelmholtzMachine
from skwakesleep._engine.arrays.backend import default_backend
from skwakesleep._engine.machine.features import SMALLEST_DEVIATION, ActivationScale
from tests.engine.machines import dreams, random_machine

X = (np.random.default_rng(0).random((80, 6)) < 0.4).astype(np.float64)
STRUCTURES = {
    "one layer": {},
    "deep": {"hidden_layer_sizes": (5, 3)},
    "autoregressive": {"autoregressive": ("prior", "recognition")},
}


def fitted(**parameters):
    options = {"hidden_layer_sizes": 4, "max_iter": 20, "tol": None, "random_state": 0}
    return HelmholtzMachine(**{**options, **parameters}).fit(X)


@pytest.mark.parametrize("structure", STRUCTURES.values(), ids=STRUCTURES)
def test_activations_are_standardized_roots_of_the_odds(structure):
    machine = fitted(**structure)
    activations = machine.transform(X)
    p = machine.set_params(output="means").transform(X)
    roots = np.sqrt(p) / (np.sqrt(p) + np.sqrt(1 - p))
    mean, deviation = machine._fitted.activation_scale
    assert_allclose(activations, (roots - mean) / deviation, rtol=1e-7)
    assert not np.allclose(activations, roots, rtol=0.01)  # negative control


@pytest.mark.parametrize("structure", STRUCTURES.values(), ids=STRUCTURES)
def test_the_inverse_is_that_of_the_means(structure):
    machine = fitted(**structure)
    from_activations = machine.inverse_transform(machine.transform(X))
    machine.set_params(output="means")
    assert_allclose(from_activations, machine.inverse_transform(machine.transform(X)), rtol=1e-8)


def test_the_scale_is_that_of_dreams():
    machine, flat = random_machine((6, 4), 0)
    scale = ActivationScale.of_dreams(machine, flat, default_backend())
    x = dreams(machine, flat, 20_000)[1][:, 0]
    recognition = machine.views(flat).recognition[0]
    log_odds = x @ recognition["weights"] + recognition["intercept"]
    roots = 1 / (1 + np.exp(-log_odds / 2))
    # The mean of 500 dreams has a standard error of .045 deviations, the deviation one of about .03.
    assert (abs(scale.mean - roots.mean(axis=0)) < 0.2 * roots.std(axis=0)).all()
    assert_allclose(scale.deviation, roots.std(axis=0), rtol=0.15)


def test_units_without_spread_are_not_blown_up():
    machine, flat = random_machine((6, 4), 0)
    machine.views(flat).recognition[0]["weights"][...] = 0
    assert_allclose(ActivationScale.of_dreams(machine, flat, default_backend()).deviation, SMALLEST_DEVIATION)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_activations(dtype):
    activations = np.array([[0], [np.finfo(dtype).tiny], [1e-3], [0.5], [2], [1e4], [-1]], dtype)
    expected = [0, 0, 1e-6 / (1e-6 + 0.999**2), 0.5, 1, 1, 0]
    scale = ActivationScale(np.zeros(1, dtype), np.ones(1, dtype))
    assert_allclose(scale.probabilities(activations)[:, 0], expected, rtol=1e-5)


def test_the_scale_is_not_saved_and_transform_changes_no_state():
    machine = fitted()
    before = machine._fitted.__getstate__().keys()
    first = machine.transform(X)
    assert machine._fitted.__getstate__().keys() == before == {"machine", "state"}
    assert_allclose(machine.transform(X), first, rtol=0)
