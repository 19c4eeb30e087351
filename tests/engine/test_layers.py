"""A layer against the definition of it: natural parameters, gradients by differences, sampled frequencies."""

import numpy as np
import pytest

from skwakesleep._engine.arrays.random import CoarseNoise, FineNoise
from skwakesleep._engine.arrays.workspace import Workspace
from skwakesleep._engine.machine.families import Bernoulli
from skwakesleep._engine.machine.layers import Layer
from tests import oracle
from tests.engine.machines import VARIANCE_FLOOR, gaussian

K, B, N_PARENTS, N_UNITS = 3, 4, 2, 3
FAMILIES = {"bernoulli": Bernoulli(), "gaussian": gaussian(np.zeros(N_UNITS), np.ones(N_UNITS))}
# Shapes of parents and targets: the prior, a recognition layer over data, a deeper layer, the visible layer.
ROLES = {
    "prior": (None, (K, B)),
    "recognition": ((B,), (K, B)),
    "hidden": ((K, B), (K, B)),
    "visible": ((K, B), (B,)),
}


def build(family, role, seed=0):
    """Return a layer, its parameters, parents and targets."""
    rng = np.random.default_rng(seed)
    parent_shape, target_shape = ROLES[role]
    layer = Layer("layer", FAMILIES[family], 0 if parent_shape is None else N_PARENTS, N_UNITS)
    theta = {name: rng.normal(size=shape) for name, shape in layer.shapes().items()}
    parent = None if parent_shape is None else rng.normal(size=(*parent_shape, N_PARENTS))
    return layer, theta, parent, (rng.random((*target_shape, N_UNITS)) < 0.5).astype(float)


every_kind = pytest.mark.parametrize(
    ("family", "role"),
    [("bernoulli", role) for role in ROLES] + [("gaussian", "visible"), ("gaussian", "hidden")],
)


@every_kind
def test_natural_parameters_are_affine(family, role):
    layer, theta, parent, _ = build(family, role)
    expected = theta["intercept"]
    if parent is not None:
        expected = expected + np.einsum("...i,ij->...j", parent, theta["weights"])
    np.testing.assert_allclose(layer.natural(theta, parent, Workspace()), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("n_dropped", [0, 1, 3], ids="dropped={}".format)
@every_kind
def test_gradient_is_the_slope_of_the_weighted_log_prob(family, role, n_dropped):
    layer, theta, parent, target = build(family, role)
    weights = np.random.default_rng(1).normal(size=(K, B))  # of either sign, as with the baseline
    weights.flat[:n_dropped] = 0  # such rows are left out of the products
    grad = {name: np.full_like(values, np.nan) for name, values in theta.items()}
    layer.gradient(theta, layer.evaluate(theta, parent, target, Workspace()), weights, grad, Workspace())

    def objective():
        return (weights * layer.log_prob(theta, parent, target, Workspace())).sum()

    for name, values in theta.items():
        for index in np.ndindex(values.shape):
            kept = values[index]
            values[index] = kept + 1e-5
            upper = objective()
            values[index] = kept - 1e-5
            slope = (upper - objective()) / 2e-5
            values[index] = kept
            assert grad[name][index] == pytest.approx(slope, rel=1e-5, abs=1e-7), name


@every_kind
def test_draw_is_sample_and_evaluate(family, role):
    layer, theta, parent, _ = build(family, role)
    noise = (FineNoise(np.random.default_rng(2)) for _ in range(2))
    drawn = layer.draw(theta, parent, (K, B), next(noise), Workspace())
    np.testing.assert_array_equal(drawn.target, layer.sample(theta, parent, (K, B), next(noise), Workspace()))
    evaluated = layer.evaluate(theta, parent, drawn.target, Workspace())
    np.testing.assert_array_equal(drawn.residual, evaluated.residual)
    np.testing.assert_array_equal(drawn.log_prob, evaluated.log_prob)
    log_prob = layer.log_prob(theta, parent, drawn.target, Workspace())
    np.testing.assert_allclose(np.broadcast_to(drawn.log_prob, (K, B)), log_prob, rtol=1e-13)


@pytest.mark.parametrize("noise", [FineNoise, CoarseNoise])
@pytest.mark.parametrize("role", ["prior", "recognition"])
def test_sampled_frequencies_match_the_log_prob(role, noise):
    layer, theta, parent, _ = build("bernoulli", role)
    n_samples = 100_000
    source = noise(np.random.Generator(np.random.SFC64(3)))
    samples = layer.sample(theta, parent, (n_samples, B), source, Workspace()).copy()
    states = oracle.binary_states(N_UNITS)
    probabilities = np.exp(layer.log_prob(theta, parent, states[:, np.newaxis] + np.zeros((B, 1)), Workspace()))
    p_values = [oracle.frequency_p_value(oracle.codes(samples[:, row]), probabilities[:, row]) for row in range(B)]
    assert min(p_values) > 1e-3
    # Negative control: the intercepts of another layer.
    theta["intercept"] += 0.05
    wrong = np.exp(layer.log_prob(theta, parent, states[:, np.newaxis] + np.zeros((B, 1)), Workspace()))
    assert max(oracle.frequency_p_value(oracle.codes(samples[:, row]), wrong[:, row]) for row in range(B)) < 1e-3


def test_mean_is_where_samples_are_on_average():
    layer, theta, parent, _ = build("gaussian", "visible")
    samples = layer.sample(theta, parent[0], (50_000, B), FineNoise(np.random.default_rng(4)), Workspace())
    deviations = samples.mean(axis=0) - layer.mean(theta, parent[0], Workspace())
    largest_variance = np.exp(theta["log_variance"]).max() + VARIANCE_FLOOR
    assert np.abs(deviations).max() < 4.5 * np.sqrt(largest_variance / 50_000)
