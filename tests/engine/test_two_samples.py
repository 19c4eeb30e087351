"""The discrepancy of two samples: against brute force, and whether it tells samples apart."""

import numpy as np
import pytest
from sklearn.gaussian_process.kernels import RBF

from skwakesleep._engine.amortised.two_samples import discrepancy


def test_discrepancy_equals_the_mean_over_pairs(rng):
    x, y = rng.normal(size=(11, 2)) * [1, 100], rng.normal(size=(9, 2)) * [2, 50]
    scale = x.std(axis=0)
    u, v = x / scale, y / scale
    distances = [np.linalg.norm(u[i] - u[j]) for i in range(11) for j in range(i)]
    kernel = RBF(np.median(distances))
    within = sum((kernel(w).sum() - len(w)) / (len(w) * (len(w) - 1)) for w in (u, v))
    assert discrepancy(x, y) == pytest.approx(within - 2 * kernel(u, v).mean())


def test_discrepancy_is_zero_on_average_for_equal_distributions(rng):
    values = [discrepancy(*rng.normal(size=(2, 100, 3))) for _ in range(50)]
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(50)
    others = [discrepancy(rng.normal(size=(100, 3)), rng.normal(0.3, 1, size=(100, 3))) for _ in range(50)]
    assert np.mean(others) > 10 * np.std(values) / np.sqrt(50)  # negative control


def test_constant_column_has_no_influence(rng):
    x, y = rng.normal(size=(2, 30, 2))
    constant = np.ones((30, 1))
    assert discrepancy(np.hstack([x, constant]), np.hstack([y, constant])) == pytest.approx(discrepancy(x, y))
