"""Parameters in different units of the columns: densities and samples follow the change of variables."""

from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skwakesleep.models import FunctionModel, LatentFactors, NeuralDecoder, check_generative_model
from skwakesleep.simulators import Pinwheel

LATENTS = {"normal": 2, "angle": 1, "bernoulli": 3, "categorical": 3, "laplace": 2, "uniform": 2}
MODELS = {
    **{
        f"{latents}-{noise}": LatentFactors(3, n, latents=latents, noise=noise)
        for (latents, n), noise in product(LATENTS.items(), ("spherical", "diagonal", "full"))
    },
    "pinwheel": Pinwheel(3, n_categories=2, n_hidden=4, n_nodes=15),
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_densities_and_samples_follow_the_change_of_variables(model):
    rng = np.random.default_rng(0)
    theta = model.initial_params(rng.normal(size=(50, 3)), rng)
    theta = model.project(theta + 0.2 * rng.normal(size=theta.shape))
    location, scale = model.column_units(np.array([1.0, -20.0, 0.3]), np.array([0.1, 30.0, 2.0]))
    rescaled = model.params_in_units(theta, location, scale)
    z, x = model.sample(theta, 20, np.random.default_rng(1))
    assert_allclose(model.sample(rescaled, 20, np.random.default_rng(1))[1], location + scale * x, rtol=1e-10)
    for density in (model.log_likelihood, lambda theta, x: model.log_joint(theta, z, x)):
        assert_allclose(density(rescaled, location + scale * x), density(theta, x) - np.log(scale).sum(), rtol=1e-9)
    if "uniform" in repr(model):
        assert (model.unpack(rescaled)["loadings"] >= 0).all()


def test_spherical_noise_has_one_scale_for_all_columns():
    _, scale = LatentFactors(2, 1, noise="spherical").column_units(np.zeros(2), np.array([3e200, 4e200]))
    assert_allclose(scale, 12.5**0.5 * 1e200)
    assert not LatentFactors(2, 1, noise="spherical").column_units(np.zeros(2), np.zeros(2))[1].any()


@pytest.mark.parametrize("model", [LatentFactors(3, 1, observations="bernoulli"), NeuralDecoder(3, 1, 2)])
def test_binary_columns_have_no_units(model):
    assert not hasattr(model, "column_units")
    assert not hasattr(model, "params_in_units")


def keep_noise(theta, rescaled):
    return np.append(rescaled[:3], theta[3])


def shift_noise(theta, rescaled):
    return rescaled + np.array([0, 0, 0, 1e-3])


def drop_noise(theta, rescaled):
    return rescaled[:3]


INCONSISTENT = {
    keep_noise: "log_joint does not obey the change of variables",
    shift_noise: "is not undone by the inverse change of units",
    drop_noise: r"params_in_units must return an array of shape \(4,\). Got shape \(3,\)",
}


@pytest.mark.parametrize("convert", INCONSISTENT)
def test_inconsistent_units_raise(convert):
    class Inconsistent(LatentFactors):
        def params_in_units(self, theta, location, scale):
            return convert(theta, super().params_in_units(theta, location, scale))

    theta = np.array([0.5, -1.0, 0.3, -0.5])
    check_generative_model(LatentFactors(1, 2, noise="spherical"), theta, np.random.default_rng(0))
    with pytest.raises(ValueError, match=INCONSISTENT[convert]):
        check_generative_model(Inconsistent(1, 2, noise="spherical"), theta, np.random.default_rng(0))


def test_samples_in_different_units_are_checked_without_a_density():
    """The model has no density, so the check compares mean squares of samples."""

    def model(scale_of_noise):
        return FunctionModel(
            lambda theta, n, rng: (np.zeros(n), theta[0] + np.exp(theta[1]) * rng.standard_normal((n, 1))),
            grad_log_joint=lambda theta, z, x, weights: np.array(
                [
                    weights @ ((x[:, 0] - theta[0]) * np.exp(-2 * theta[1])),
                    weights @ (np.square((x[:, 0] - theta[0]) * np.exp(-theta[1])) - 1),
                ]
            ),
            n_params=2,
            n_features=1,
            column_units=lambda mean, std: (mean, std),
            params_in_units=lambda theta, location, scale: np.array(
                [location[0] + scale[0] * theta[0], theta[1] + scale_of_noise * np.log(scale[0])]
            ),
        )

    check_generative_model(model(1.0), np.array([0.5, 0.1]), np.random.default_rng(0))
    with pytest.raises(ValueError, match="standardized, have other mean squares than"):
        check_generative_model(model(0.5), np.array([0.5, 0.1]), np.random.default_rng(0))
