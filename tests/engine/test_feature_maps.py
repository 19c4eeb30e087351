"""Feature maps: the gradient of the leave-one-out error, and predictive directions."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LinearRegression

from skwakesleep._engine.amortised.feature_maps import (
    MIN_WEIGHT,
    FittedTransformer,
    in_units,
    latent_directions,
    learned_directions,
    leave_one_out_gradient,
    predictive_directions,
    scaling,
)
from skwakesleep._engine.amortised.kernels import gaussian_kernel
from skwakesleep._engine.amortised.regression import kernel_residuals, standardized
from skwakesleep._engine.amortised.units import Units


@pytest.fixture
def x(rng):
    return rng.normal(size=(80, 6))


@pytest.fixture
def targets(x):
    return standardized(np.column_stack([np.sin(2 * x[:, 0]), x[:, 0] * x[:, 1]]))


def test_error_of_a_projection_is_the_leave_one_out_error(x, targets, rng):
    projection = rng.normal(size=(2, 6))
    u = x @ projection.T
    residuals = kernel_residuals(gaussian_kernel(u, u, 1.0), targets, [1e-2])[0]
    assert leave_one_out_gradient(projection, x, targets, 1e-2)[0] == pytest.approx(np.square(residuals).mean())


def test_gradient_of_the_leave_one_out_error_equals_central_differences(x, targets, rng):
    projection = 0.5 * rng.normal(size=(2, 6))
    gradient = leave_one_out_gradient(projection, x, targets, 1e-2)[1]
    expected = np.empty_like(gradient)
    for index in np.ndindex(projection.shape):
        step = np.zeros_like(projection)
        step[index] = 1e-5
        up, down = (leave_one_out_gradient(projection + sign * step, x, targets, 1e-2)[0] for sign in (1, -1))
        expected[index] = (up - down) / 2e-5
    assert_allclose(gradient, expected, atol=1e-6 * abs(expected).max())


def test_predictive_directions_span_the_posterior_mean_of_a_linear_model(rng):
    loadings = rng.normal(size=(10, 2))
    z = rng.normal(size=(20_000, 2))
    x = z @ loadings.T + rng.normal(size=(20_000, 10)) * np.linspace(0.2, 2, 10)
    directions = predictive_directions(x, z).projection
    assert directions.shape == (2, 10)
    informative = np.linalg.solve(np.diag(np.linspace(0.2, 2, 10) ** 2), loadings)  # by Woodbury's identity

    def unexplained(directions):
        basis, _ = np.linalg.qr(informative)
        unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
        return np.linalg.norm(unit - unit @ basis @ basis.T, axis=1).max()

    assert unexplained(directions) < 0.05
    assert unexplained(loadings.T) > 0.3  # negative control: the noise variances are unequal


def test_predictive_directions_are_scaled_by_the_correlation(rng):
    """The features are uncorrelated; their standard deviation is the correlation adjusted for chance."""
    x = rng.normal(size=(2000, 20))
    targets = np.column_stack([x[:, 0], x[:, 1] + rng.normal(size=2000), rng.normal(size=2000)])
    covariance = np.cov(predictive_directions(x, targets)(x).T, bias=True)
    assert_allclose(np.sqrt(covariance.diagonal()), [1, np.sqrt(0.5), MIN_WEIGHT], atol=0.04)
    assert_allclose(covariance, np.diag(covariance.diagonal()), atol=1e-10)


def test_latent_directions_are_standardized_linear_predictions(rng):
    z = rng.uniform(size=(500, 3)) * [1, 100, 1e-6]
    x = 7 + z @ (rng.normal(size=(3, 5)) / [[1], [100], [1e-6]]) + 0.3 * rng.normal(size=(500, 5))
    expected = LinearRegression().fit(x, z).predict(x)
    assert_allclose(latent_directions(x, z)(x), (expected - expected.mean(axis=0)) / expected.std(axis=0), atol=1e-8)


def test_latent_directions_are_aligned_with_the_latents(rng):
    """With uncorrelated inputs, predictive directions are determined only up to rotation."""
    z = rng.laplace(size=(2000, 5))
    rotation, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    x = z @ rotation + 0.1 * rng.normal(size=(2000, 5))

    def correlations(u):
        return np.corrcoef(u.T, z.T)[:5, 5:].diagonal()

    assert correlations(latent_directions(x, z)(x)).min() > 0.98
    assert abs(correlations(predictive_directions(x, z)(x))).min() < 0.9  # negative control


def test_learned_directions_find_a_nonlinear_relation(rng):
    """The product of two columns is uncorrelated with each of them."""
    x = rng.normal(size=(300, 12))
    targets = standardized(x[:, :1] * x[:, 1:2])

    def explained(feature_map):
        directions = np.linalg.qr(feature_map.projection.T)[0]
        return np.square(directions[:2]).sum() / 2

    # Two more targets give two more directions.
    start = np.column_stack([targets, x[:, :2] + 4 * rng.normal(size=(300, 2))])
    start = standardized(start) * [1, 1e-3, 1e-3]
    assert explained(predictive_directions(x, start, 2)) < 0.9
    assert explained(learned_directions(x, start, 2, 1.0, 1e-2)) > explained(predictive_directions(x, start, 2)) + 0.1


def test_learned_directions_without_held_out_gain_are_not_used(rng):
    x, targets = rng.normal(size=(60, 10)), standardized(rng.normal(size=(60, 2)))
    learned = learned_directions(x, targets, None, 1.0, 1e-2).projection
    assert_array_equal(learned, predictive_directions(x, targets).projection)


def test_directions_are_ordered_by_correlation(x, rng):
    targets = np.column_stack([x[:, 0], x[:, 1] + 3 * rng.normal(size=len(x))])
    first = predictive_directions(x, targets, n_components=1).projection
    assert first.shape == (1, 6)
    assert abs(first[0, 0]) > 3 * abs(first[0, 1:]).max()


def test_constant_and_duplicated_columns(x, targets):
    redundant = np.column_stack([x, x[:, 0], np.full(len(x), 3.0)])
    u, expected = predictive_directions(redundant, targets)(redundant), predictive_directions(x, targets)(x)
    assert_allclose(abs(np.corrcoef(u.T, expected.T)[:2, 2:].diagonal()), 1, atol=1e-8)
    for directions in predictive_directions, latent_directions:
        assert np.isfinite(directions(redundant, targets)(redundant)).all()
        for constant, other in (np.ones((5, 2)), np.arange(5.0)[:, np.newaxis]), (np.eye(5), np.ones((5, 1))):
            assert np.isfinite(directions(constant, other)(constant)).all()


def test_scaling_gives_unit_variance_except_to_constant_columns(x):
    columns = np.column_stack([1e-6 * x[:, 0], 1e6 + x[:, 1], np.full(len(x), 5.0)])
    scaled = scaling(columns)(columns)
    assert_allclose(scaled.std(axis=0), [1, 1, 0], atol=1e-6)
    assert_allclose(scaled[:, 2], 0)


def test_transformer_gets_rows_in_original_units(x):
    inputs = []

    class Recorder:
        def transform(self, rows):
            inputs.append(rows)
            return rows[:, :2]

    def fit(rows):
        inputs.append(rows)
        return Recorder()

    units = Units(np.full(6, 100.0), np.full(6, 10.0))
    assert in_units(fit, units)(x)(x).shape == (80, 2)
    for rows in inputs:
        assert_allclose(rows, 100 + 10 * x)


def test_transformer_must_return_a_2d_array(x):
    class Flat:
        def transform(self, rows):
            return rows[:, 0]

    with pytest.raises(ValueError, match=r"feature_map .*Flat.* must return an array of shape \(80, any\).*\(80,\)"):
        FittedTransformer(Flat(), Units(np.zeros(6), np.ones(6)))(x)
