"""Pinwheel: scores, and likelihoods against importance sampling and a closed form."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from skwakesleep.datasets import make_pinwheel
from skwakesleep.simulators import Pinwheel
from tests.models import difference

pytestmark = pytest.mark.arithmetic


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def model():
    return Pinwheel(3, n_categories=3, n_hidden=4)


@pytest.fixture
def theta(model, rng):
    return model.initial_params(rng.normal(size=(30, 3)), rng) + 0.3 * rng.normal(size=model.n_params)


@pytest.mark.parametrize("name", ["logits", "means", "log_scales", "weights_0", "weights_1", "log_noise"])
def test_mean_score_is_not_zero_with_a_perturbed_parameter(model, theta, rng, name):
    """Negative control: one array is perturbed when sampling."""

    class Perturbed(difference.Wrapped):
        def sample(self, theta, n, rng):
            theta = theta.copy()
            view = self.model.unpack(theta)[name]
            view += 0.05 if name != "logits" else [0.1, 0.0, 0.0]
            return self.model.sample(theta, n, rng)

    assert np.abs(difference.score_in_standard_errors(Perturbed(model), theta, np.random.default_rng(1))).max() > 5


def test_likelihood_agrees_with_importance_sampling(model, theta, rng):
    _, X = model.sample(theta, 4, rng)
    z, _ = model.sample(theta, 200_000, rng)
    ratio = np.exp(model.log_prob_x_given_z(theta, z, X) - model.log_likelihood(theta, X))
    assert (np.abs(ratio.mean(axis=0) - 1) < 5 * ratio.std(axis=0) / np.sqrt(len(ratio))).all()


def test_likelihood_of_nearly_linear_network_equals_gaussian_mixture(rng):
    """tanh is nearly linear for small inputs, so the model is a mixture of normal distributions."""
    model, shrink = Pinwheel(2, n_categories=2, n_hidden=2), 1e-4
    means, log_scales = rng.normal(size=(2, 2)), rng.normal(size=(2, 2)) / 2
    matrix, log_noise = rng.normal(size=(2, 2)), np.log([0.3, 0.5])
    theta = model.pack(
        logits=np.log([0.3, 0.7]),
        means=means,
        log_scales=log_scales,
        weights_0=shrink * np.eye(2),
        intercept_0=0.0,
        weights_1=matrix / shrink,
        intercept_1=[0.5, -0.5],
        log_noise=log_noise,
    )
    X = rng.normal(size=(20, 2))
    density = sum(
        weight
        * multivariate_normal.pdf(
            X, mean @ matrix + [0.5, -0.5], matrix.T * np.exp(2 * scale) @ matrix + np.diag(np.exp(2 * log_noise))
        )
        for weight, mean, scale in zip((0.3, 0.7), means, log_scales, strict=True)
    )
    np.testing.assert_allclose(model.log_likelihood(theta, X), np.log(density), rtol=1e-6)


def test_likelihood_does_not_depend_on_the_grid(model, theta, rng):
    _, X = model.sample(theta, 20, rng)
    finer = Pinwheel(3, n_categories=3, n_hidden=4, n_nodes=161)
    np.testing.assert_allclose(model.log_likelihood(theta, X), finer.log_likelihood(theta, X), atol=1e-6)
    coarse = Pinwheel(3, n_categories=3, n_hidden=4, n_nodes=5)  # negative control
    assert np.abs(coarse.log_likelihood(theta, X) - finer.log_likelihood(theta, X)).max() > 1e-2


def test_project_bounds_only_the_scales(model, theta):
    views = model.unpack(theta)
    views["log_noise"][:] = [-10.0, np.log(0.02) + 0.1, 3.0]
    views["log_scales"][:] = [[-10.0, np.log(0.2) + 0.1], [0.0, 0.0], [3.0, -9.0]]
    projected = model.unpack(model.project(theta))
    np.testing.assert_allclose(projected["log_noise"], [np.log(0.02), np.log(0.02) + 0.1, 3.0])
    np.testing.assert_allclose(projected["log_scales"], [[np.log(0.2), np.log(0.2) + 0.1], [0, 0], [3, np.log(0.2)]])
    for name in projected.keys() - {"log_noise", "log_scales"}:
        np.testing.assert_array_equal(projected[name], views[name])
    assert views["log_noise"][0] == -10  # the argument is not changed


@pytest.mark.parametrize("n_features", [1, 2, 5])
def test_likelihood_is_finite_for_any_number_of_columns(n_features, rng):
    model = Pinwheel(n_features, n_nodes=11)
    X = rng.normal(size=(20, n_features))
    assert np.isfinite(model.log_likelihood(model.initial_params(X, rng), X)).all()


def test_initial_parameters_match_location_and_scale_of_the_data(rng):
    X = [5.0, -3.0] + [10.0, 0.1] * make_pinwheel(500, random_state=0)[0]
    model = Pinwheel()
    _, x = model.sample(model.initial_params(X, rng), 20_000, rng)
    assert (np.abs(x.mean(axis=0) - X.mean(axis=0)) < X.std(axis=0)).all()
    ratio = x.std(axis=0) / X.std(axis=0)
    assert ((ratio > 0.7) & (ratio < 2)).all()


def test_latent_function_indicates_the_category(model, theta, rng):
    z, _ = model.sample(theta, 50, rng)
    indicators = model.latent_function(z)
    np.testing.assert_array_equal(indicators.argmax(axis=1), z[0])
    np.testing.assert_array_equal(indicators.sum(axis=1), 1)


@pytest.mark.parametrize("floor", [0, -1.0, np.nan])
def test_invalid_min_noise_scale_raises(floor):
    with pytest.raises(ValueError, match=r"min_noise_scale of Pinwheel must be a float in \(0, inf\)\. Got"):
        Pinwheel(min_noise_scale=floor)
