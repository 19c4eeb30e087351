"""Recorded results of one small fit: the same seed must give the same results in later versions.

A change of these numbers changes the results of all users, and belongs in the change log. Other builds of BLAS and
compiled loops differ in the last digits. A version of NumPy with other permutations would differ in all digits.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skwakesleep import HelmholtzMachine

X = np.array([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]], dtype=float)[np.arange(30) % 2]
X[::7, 0] = 1 - X[::7, 0]
X[::5, 4] = 1 - X[::5, 4]
SETTINGS = {
    "hidden_layer_sizes": (3, 2),
    "visible": "bernoulli",
    "autoregressive": ("prior", "visible"),
    "n_particles": 5,
    "recognition_update": "both",
    "alpha": 1.0,
    "learning_rate_init": 0.4,
    "solver": "adam",
    "batch_size": 10,
    "max_iter": 4,
    "tol": None,
}


@pytest.fixture(scope="module")
def machine():
    return HelmholtzMachine(**SETTINGS, random_state=0).fit(X)


def test_lower_bounds(machine):
    expected = [-4.095801188279946, -3.5278476732271504, -2.843740258345762, -2.541723702082792]
    assert_allclose(machine.lower_bounds_, expected, rtol=1e-5)
    other = HelmholtzMachine(**SETTINGS, random_state=1).fit(X)
    assert abs(np.subtract(other.lower_bounds_, expected)).min() > 0.01  # negative control


def test_parameters_features_and_score(machine):
    first = [-1.3265609741210938, -2.0889570713043213, -1.6963423490524292]
    assert_allclose(machine.components_[0, :3], first, rtol=1e-5)
    assert_allclose(machine.autoregressive_coefs_["prior"][0, 1], 0.2916892468929291, rtol=1e-5)
    assert_allclose(machine.autoregressive_coefs_["generative.0"][3, 5], 0.6755624413490295, rtol=1e-5)
    features = [[0.37120192306037214, -0.870118800028484], [-1.25343037504981, 0.7754916916782146]]
    assert_allclose(machine.transform(X[:2]), features, rtol=1e-4)
    assert_allclose(machine.score(X), -2.419871399467547, rtol=1e-5)


def test_samples(machine):
    expected = [[0, 0, 0, 0, 1, 1], [0, 0, 1, 0, 0, 0], [1, 1, 1, 0, 0, 0], [1, 1, 1, 0, 0, 0]]
    assert_array_equal(machine.sample(4, random_state=0), expected)
