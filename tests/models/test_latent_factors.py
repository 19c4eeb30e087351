"""LatentFactors: likelihoods against scikit-learn, enumeration and quadrature; bounds and invalid arguments."""

from functools import partial
from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.integrate import trapezoid
from scipy.stats import laplace, multivariate_normal, norm
from sklearn.decomposition import FactorAnalysis
from sklearn.mixture import GaussianMixture

from skwakesleep.models import LatentFactors

LATENTS = {"normal": 2, "angle": 1, "bernoulli": 3, "categorical": 3, "laplace": 2, "uniform": 2}
OBSERVATIONS = {
    "spherical": {"noise": "spherical"},
    "diagonal": {"noise": "diagonal"},
    "full": {"noise": "full"},
    "bernoulli": {"observations": "bernoulli"},
}


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def parameters(model, rng):
    """Return perturbed initial parameters, which are not symmetric."""
    X = rng.normal(size=(50, model.n_features))
    theta = model.initial_params(X if model.observations == "gaussian" else X > 0, rng)
    return model.project(theta + 0.3 * rng.normal(size=model.n_params))


# ---------------------------------------------------------------------- scores


def mean_score(model, sampler, rng, n=200_000):
    """Return the absolute mean score over draws from the sampler, in standard errors."""
    theta = parameters(model, rng)
    weights = np.full(n // 200, 200 / n)
    scores = []
    for _ in range(200):
        z, x = sampler.sample(theta, n // 200, rng)
        scores.append(model.grad_log_joint(theta, z, x, weights))
    scores = np.array(scores)
    return np.abs(scores.mean(axis=0)) / (scores.std(axis=0, ddof=1) / np.sqrt(200) + 1e-12)


@pytest.mark.parametrize(("latents", "other"), [("normal", "laplace"), ("laplace", "uniform"), ("uniform", "normal")])
def test_mean_score_is_not_zero_with_a_different_prior(latents, other, rng):
    """Negative control: the latents are drawn from a different prior."""
    model = LatentFactors(4, 2, latents=latents)
    sampler = LatentFactors(4, 2, latents=other)
    original = sampler.sample
    sampler.sample = lambda theta, n, rng: (2 * original(theta, n, rng)[0], original(theta, n, rng)[1])
    assert mean_score(model, sampler, rng, n=20_000).max() > 5


# ---------------------------------------------------------------------- likelihoods


def test_likelihood_of_normal_latents_equals_factor_analysis(rng):
    X = rng.normal(size=(300, 2)) @ rng.normal(size=(2, 5)) + rng.normal(size=(300, 5))
    fitted = FactorAnalysis(2, tol=1e-8, max_iter=5000).fit(X)
    model = LatentFactors(5, 2)
    theta = np.concatenate([fitted.components_.T.ravel(), fitted.mean_, 0.5 * np.log(fitted.noise_variance_)])
    assert_allclose(model.log_likelihood(theta, X), fitted.score_samples(X), rtol=1e-8)
    assert abs(model.grad_log_likelihood(theta, X)).max() < 1e-2  # scikit-learn has converged to the maximum


def test_likelihood_is_nan_if_the_covariance_is_numerically_singular(rng):
    model = LatentFactors(3, 1)
    theta = np.concatenate([np.full(3, 1e12), np.zeros(6)])
    assert np.isnan(model.log_likelihood(theta, rng.normal(size=(4, 3)))).all()


def test_likelihood_of_categorical_latents_equals_tied_mixture(rng):
    X = np.concatenate([rng.normal(size=(100, 3)), 3 + rng.normal(size=(200, 3))])
    fitted = GaussianMixture(2, covariance_type="tied", random_state=0).fit(X)
    model = LatentFactors(3, 2, latents="categorical", noise="full")
    factor = np.linalg.cholesky(fitted.precisions_)
    np.fill_diagonal(factor, np.log(factor.diagonal()))
    noise = factor[np.tril_indices(3)]
    theta = np.concatenate([fitted.means_.T.ravel(), np.zeros(3), noise, np.log(fitted.weights_)])
    assert_allclose(model.log_likelihood(theta, X), fitted.score_samples(X), rtol=1e-8)
    assert_allclose(model.unpack(theta)["noise_covariance"], fitted.covariances_, rtol=1e-8)
    assert_allclose(model.unpack(theta)["probabilities"], fitted.weights_)


def test_likelihood_of_binary_latents_equals_enumeration(rng):
    model = LatentFactors(3, 2, latents="bernoulli", noise="spherical")
    theta = parameters(model, rng)
    named = model.unpack(theta)
    x = rng.normal(size=(4, 3))
    density = 0
    for bits in product([0, 1], repeat=2):
        bits = np.array(bits)
        prior = np.prod(np.where(bits, named["probabilities"], 1 - named["probabilities"]))
        mean = named["loadings"] @ bits + named["intercept"]
        density = density + prior * multivariate_normal(mean, named["noise_variance"][0]).pdf(x)
    assert_allclose(model.log_likelihood(theta, x), np.log(density), rtol=1e-10)


PRIORS_1D = {
    "angle": (lambda z: np.full_like(z, 1 / (2 * np.pi)), 0, 2 * np.pi),
    "laplace": (partial(laplace.pdf, scale=np.sqrt(0.5)), -12, 12),
    "uniform": (np.ones_like, 0, 1),
}


@pytest.mark.parametrize("latents", PRIORS_1D)
def test_quadrature_is_accurate_with_small_noise(latents, rng):
    model = LatentFactors(2, 1, latents=latents, noise="spherical")
    theta = parameters(model, rng)
    theta[-1] = np.log(0.1)
    named = model.unpack(theta)
    density, low, high = PRIORS_1D[latents]
    _, X = model.sample(theta, 4, rng)

    z = np.linspace(low, high, 100_001)[:, np.newaxis]  # the kink of the density is on a node
    h = np.hstack([np.cos(z), np.sin(z)]) if latents == "angle" else z
    means = h @ named["loadings"].T + named["intercept"]
    integrand = density(z[:, 0])[:, np.newaxis] * norm.pdf(X, means[:, np.newaxis], 0.1).prod(axis=-1)
    assert_allclose(model.log_likelihood(theta, X), np.log(trapezoid(integrand, z[:, 0], axis=0)), atol=1e-5)


@pytest.mark.parametrize(("latents", "n_components"), [("laplace", 3), ("bernoulli", 20), ("angle", 3)])
def test_no_likelihood_with_many_latents(latents, n_components):
    model = LatentFactors(4, n_components, latents=latents)
    assert not hasattr(model, "log_likelihood")
    assert not hasattr(model, "grad_log_likelihood")
    assert hasattr(model, "log_joint")


# ---------------------------------------------------------------------- bounds and invalid arguments


def test_project_bounds_noise_and_loadings_of_uniform_latents(rng):
    for noise in "spherical", "diagonal", "full":
        model = LatentFactors(3, 2, latents="uniform", noise=noise, noise_floor=0.01)
        theta = model.initial_params(rng.normal(size=(20, 3)), rng)
        theta[:6] = -1
        theta[9:] = -50 if noise != "full" else 50
        named = model.unpack(model.project(theta))
        assert (named["loadings"] == 0).all()
        variances = named["noise_covariance"].diagonal() if noise == "full" else named["noise_variance"]
        assert (variances >= 0.99e-4).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_features": 0}, "n_features .* at least 1. Got 0"),
        ({"n_components": 2.5}, "n_components .* Got 2.5"),
        ({"latents": "gamma"}, "latents .* 'normal'.* Got 'gamma'"),
        ({"observations": "poisson"}, "observations .* Got 'poisson'"),
        ({"noise": "tied"}, "noise .* Got 'tied'"),
        ({"noise_floor": 0}, "noise_floor .* Got 0"),
    ],
)
def test_invalid_argument_raises(arguments, message):
    with pytest.raises(ValueError, match=message):
        LatentFactors(**({"n_features": 3} | arguments))
