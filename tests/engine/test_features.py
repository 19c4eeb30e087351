"""Features of rows: standardized, rectified log-odds of the top units."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit, logit

from skwakesleep import HelmholtzMachine
from skwakesleep._engine.machine.features import ActivationScale
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
def test_activations_are_the_softplus_of_the_standardized_log_odds(structure):
    machine = fitted(**structure)
    mean, deviation = machine._fitted.activation_scale
    activations = machine.transform(X)
    log_odds = logit(machine.set_params(output="means").transform(X))
    assert_allclose(activations, np.log1p(np.exp((log_odds - mean) / deviation)), rtol=1e-8)
    assert not np.allclose(activations, np.log1p(np.exp(log_odds)), rtol=0.01)  # negative control


@pytest.mark.parametrize("structure", STRUCTURES.values(), ids=STRUCTURES)
def test_the_inverse_is_that_of_the_means(structure):
    machine = fitted(**structure)
    from_activations = machine.inverse_transform(machine.transform(X))
    machine.set_params(output="means")
    assert_allclose(from_activations, machine.inverse_transform(machine.transform(X)), rtol=1e-8)


def test_the_scale_is_that_of_dreams():
    machine, flat = random_machine((6, 4), 0)
    scale = ActivationScale.of_dreams(machine, flat)
    x = dreams(machine, flat, 20_000)[1][:, 0]
    recognition = machine.views(flat).recognition[0]
    log_odds = x @ recognition["weights"] + recognition["intercept"]
    spread = log_odds.std(axis=0)
    # The mean of 500 dreams has a standard error of .045 spreads, the spread one of about .03.
    assert (abs(scale.mean - log_odds.mean(axis=0)) < 0.2 * spread).all()
    assert_allclose(scale.deviation, spread, rtol=0.2)


def test_units_without_spread_are_only_centered():
    machine, flat = random_machine((6, 4), 0)
    machine.views(flat).recognition[0]["weights"][...] = 0
    assert_allclose(ActivationScale.of_dreams(machine, flat).deviation, 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_activations(dtype):
    scale = ActivationScale(np.zeros(1, dtype), np.ones(1, dtype))
    activations = np.array([[0], [np.finfo(dtype).tiny], [1e-6], [np.log(2)], [1e4], [-1]], dtype)
    means = scale.means(activations)
    assert np.isfinite(means).all()
    assert_allclose(means[2:5, 0], [expit(np.log(np.expm1(1e-6))), 0.5, 1], rtol=1e-5, atol=1e-7)


def test_the_scale_is_not_saved_and_transform_changes_no_state():
    machine = fitted()
    before = machine._fitted.__getstate__().keys()
    first = machine.transform(X)
    assert machine._fitted.__getstate__().keys() == before == {"machine", "state"}
    assert_allclose(machine.transform(X), first, rtol=0)
