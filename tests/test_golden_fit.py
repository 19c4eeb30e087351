"""One small fit, with its results written out: what a seed gives is to stay the same from version to version.

A change of these numbers changes everyone's results, and belongs in the change log. Other builds of BLAS, and compiled
loops, differ in the last digits; a version of NumPy that draws other permutations from a generator would differ in all.
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
    "autoregressive": "prior",
    "n_particles": 5,
    "recognition_update": "both",
    "alpha": 3e-5,
    "learning_rate_init": 0.2,
    "solver": "adam",
    "batch_size": 10,
    "max_iter": 4,
    "tol": None,
}


@pytest.fixture(scope="module")
def machine():
    return HelmholtzMachine(**SETTINGS, random_state=0).fit(X)


def test_the_course_of_training(machine):
    expected = [-4.2740957882536215, -4.267462003810625, -3.674282546764518, -3.644427627159368]
    assert_allclose(machine.lower_bounds_, expected, rtol=1e-6)
    other = HelmholtzMachine(**SETTINGS, random_state=1).fit(X)
    assert abs(np.subtract(other.lower_bounds_, expected)).min() > 0.01  # negative control


def test_what_was_learned(machine):
    first = [-0.6957837732677751, -1.5854227925837678, -0.8836002646242908]
    assert_allclose(machine.components_[0, :3], first, rtol=1e-6)
    assert_allclose(machine.autoregressive_coefs_["prior"][0, 1], 0.28998531, rtol=1e-6)
    features = [[0.5448606834557582, 0.36040742900582395], [0.39425910692528565, 0.31529813470005047]]
    assert_allclose(machine.transform(X[:2]), features, rtol=1e-6)
    assert_allclose(machine.score(X), -3.46557283005029, rtol=1e-6)


def test_samples(machine):
    expected = [[0, 0, 0, 0, 1, 0], [0, 0, 1, 0, 0, 0], [1, 1, 1, 0, 1, 1], [0, 0, 0, 0, 1, 1]]
    assert_array_equal(machine.sample(4, random_state=0), expected)
