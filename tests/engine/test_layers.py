"""Layers compared with their definition: natural parameters, gradients by differences, frequencies of samples."""

from itertools import product

import numpy as np
import pytest

from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.arrays.random import CoarseNoise, FineNoise
from skwakesleep._engine.machine.families import Bernoulli, Gaussian
from skwakesleep._engine.machine.layers import Layer, Units
from tests import oracle
from tests.engine.machines import VARIANCE_FLOOR, columns_of

B, K, N_PARENTS, N_UNITS = 4, 3, 2, 3
FAMILIES = {
    "bernoulli": Bernoulli(),
    "gaussian": Gaussian(np.full(N_UNITS, VARIANCE_FLOOR)),
    "mixed": columns_of("mixed", N_UNITS),
}
# Shapes of parents and targets: the prior, a recognition layer over data, a deeper layer, the visible layer.
ROLES = {
    "prior": (None, (B, K)),
    "recognition": ((B, 1), (B, K)),
    "hidden": ((B, K), (B, K)),
    "visible": ((B, K), (B, 1)),
}
NOISES = {"fine": FineNoise, "coarse": lambda generator: CoarseNoise(generator, NumpyBackend())}


def build(family, role, seed=0):
    """Return a layer with its parameters, and its parents and targets."""
    rng = np.random.default_rng(seed)
    parent_shape, target_shape = ROLES[role]
    units = Units(FAMILIES[family], N_UNITS, np.full(N_UNITS, 0.5), 1.0)
    parents = None if parent_shape is None else Units(Bernoulli(), N_PARENTS, 0.5, 1.0)
    layer = Layer("layer", units, parents)
    params = {name: rng.normal(size=shape) for name, shape in layer.shapes().items()}
    parent = None if parent_shape is None else rng.normal(size=(*parent_shape, N_PARENTS))
    target = (rng.random((*target_shape, N_UNITS)) < 0.5).astype(float)
    return layer.bind(params, NumpyBackend()), parent, target


every_kind = pytest.mark.parametrize(
    ("family", "role"),
    [("bernoulli", role) for role in ROLES] + list(product(["gaussian", "mixed"], ["visible", "hidden"])),
)


@every_kind
def test_natural_parameters_are_affine(family, role):
    layer, parent, _ = build(family, role)
    expected = layer.params["intercept"]
    if parent is not None:
        expected = expected + np.einsum("...i,ij->...j", parent, layer.params["weights"])
    natural = layer.natural(parent)
    assert natural.shape == (*((1, 1) if parent is None else parent.shape[:-1]), N_UNITS)
    np.testing.assert_allclose(natural, np.broadcast_to(expected, natural.shape), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("n_dropped", [0, 1, 3], ids="dropped={}".format)
@every_kind
def test_gradient_is_the_slope_of_the_weighted_log_prob(family, role, n_dropped):
    layer, parent, target = build(family, role)
    weights = np.random.default_rng(1).normal(size=(B, K))  # of either sign, as with the baseline
    weights.flat[:n_dropped] = 0  # particles without weight are left out of the products
    grad = {name: np.full_like(values, np.nan) for name, values in layer.params.items()}
    layer.gradient(layer.evaluate(parent, target), weights, grad)

    def objective():
        return (weights * layer.log_prob(parent, target)).sum()

    for name, values in layer.params.items():
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
    layer, parent, _ = build(family, role)
    other, _, _ = build(family, role)  # with scratch arrays of its own
    noise = (FineNoise(np.random.default_rng(2)) for _ in range(2))
    drawn = layer.draw(parent, (B, K), next(noise))
    np.testing.assert_array_equal(drawn.target, other.sample(parent, (B, K), next(noise)))
    evaluated = other.evaluate(parent, drawn.target)
    np.testing.assert_array_equal(drawn.residual, evaluated.residual)
    np.testing.assert_array_equal(drawn.log_prob, evaluated.log_prob)
    np.testing.assert_allclose(drawn.log_prob, other.log_prob(parent, drawn.target), rtol=1e-13)
    assert drawn.log_prob.shape == (B, K)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("role", ["prior", "recognition"])
def test_sampled_frequencies_match_the_log_prob(role, noise):
    layer, parent, _ = build("bernoulli", role)
    source = NOISES[noise](np.random.Generator(np.random.SFC64(3)))
    samples = layer.sample(parent, (B, 100_000), source).copy()
    states = np.broadcast_to(oracle.binary_states(N_UNITS), (B, 2**N_UNITS, N_UNITS))

    def p_values():
        probabilities = np.exp(layer.log_prob(parent, states))
        return [oracle.frequency_p_value(oracle.codes(samples[row]), probabilities[row]) for row in range(B)]

    assert min(p_values()) > 1e-3
    layer.params["intercept"] += 0.05  # negative control
    assert max(p_values()) < 1e-3


def test_samples_have_the_mean_of_the_layer():
    layer, parent, _ = build("gaussian", "visible")
    samples = layer.sample(parent[:, :1], (B, 50_000), FineNoise(np.random.default_rng(4)))
    deviations = samples.mean(axis=1) - layer.mean(parent[:, 0])
    largest_variance = np.exp(layer.params["log_variance"]).max() + VARIANCE_FLOOR
    assert np.abs(deviations).max() < 4.5 * np.sqrt(largest_variance / 50_000)
