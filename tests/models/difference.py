"""Central differences, and errors of identities that hold for all generative models."""

import numpy as np

N_DRAWS = 40_000


def slope(function, theta, step=1e-5):
    """Return the central differences of a function of the flat parameters."""
    theta = np.array(theta)
    slopes = np.empty(len(theta))
    for index, value in enumerate(theta):
        theta[index] = value + step
        upper = function(theta)
        theta[index] = value - step
        slopes[index] = (upper - function(theta)) / (2 * step)
        theta[index] = value
    return slopes


def relative_error(actual, expected):
    return np.linalg.norm(actual - expected) / np.linalg.norm(expected)


def gradient_error(model, theta, rng, n=20, grad=None):
    """Return the relative error of the weighted gradient, with positive and negative weights."""
    z, x = model.sample(theta, n, rng)
    weights = rng.normal(size=n)
    expected = slope(lambda t: weights @ model.log_joint(t, z, x), theta)
    return relative_error((grad or model.grad_log_joint)(theta, z, x, weights), expected)


def vjp_error(model, theta, rng, n=20):
    """Return the relative error of the vector-Jacobian product of the natural parameters."""
    z, _ = model.sample(theta, n, rng)
    eta, psi = model.natural_parameters(theta, z)
    ct_eta, ct_psi = rng.normal(size=eta.shape), rng.normal(size=psi.shape)

    def product(t):
        eta, psi = model.natural_parameters(t, z)
        return np.sum(ct_eta * eta) + ct_psi @ psi

    return relative_error(model.natural_vjp(theta, z, ct_eta, ct_psi), slope(product, theta))


def likelihood_gradient_error(model, theta, X):
    """Return the relative error of the exact gradient."""
    expected = slope(lambda t: model.log_likelihood(t, X).mean(), theta)
    return relative_error(model.grad_log_likelihood(theta, X), expected)


def cross_form_error(model, theta, rng, n=30, m=7):
    """Return the largest difference between the exponential-family form and the cross form of the gradient.

    The cross form pairs every latent with every observation: ``sum_nm a_nm grad log p(z_n, x_m)``.
    """
    z, _ = model.sample(theta, n, rng)
    _, X = model.sample(theta, m, rng)
    weights = rng.normal(size=(n, m))
    cross = sum(model.grad_log_joint(theta, z, np.repeat(X[[j]], n, axis=0), weights[:, j]) for j in range(m))
    form = model.natural_vjp(theta, z, weights @ model.sufficient_statistics(X), -weights.sum(axis=1))
    return np.abs(form - cross).max() / np.abs(cross).max()


def score_in_standard_errors(model, theta, rng, n_draws=N_DRAWS, n_batches=100):
    """Return the mean score over draws from the model, in standard errors, for each parameter."""
    batch_size = n_draws // n_batches
    weights = np.full(batch_size, 1 / batch_size)
    means = np.array(
        [model.grad_log_joint(theta, *model.sample(theta, batch_size, rng), weights) for _ in range(n_batches)]
    )
    return means.mean(axis=0) / (means.std(axis=0, ddof=1) / np.sqrt(n_batches))


def log_prob_both_ways(model, theta, rng, n=5, m=4):
    """Return ``log p(x_m | z_n)`` from log_prob_x_given_z, and from log_joint minus log_prior."""
    z, _ = model.sample(theta, n, rng)
    _, X = model.sample(theta, m, rng)
    pairs = [model.log_joint(theta, z, np.repeat(X[[j]], n, axis=0)) - model.log_prior(theta, z) for j in range(m)]
    return model.log_prob_x_given_z(theta, z, X), np.array(pairs).T


class Wrapped:
    """A wrapper of a model; subclasses replace some methods."""

    def __init__(self, model):
        self.model = model

    def __getattr__(self, name):
        return getattr(self.model, name)
