"""
=============================
A black-box model of rainfall
=============================

Storms occur at random, each brings a random amount of rain, and a gauge measures the rainfall of a day with an error.
The number of storms and the rain of each are latent. `AmortisedWakeSleep` fits any model that can be simulated. It
needs samples of the model, and the gradient of the log-density of these samples. The posterior of the unbounded number
of storms is never approximated.
"""

# %%
# A model in twenty lines
# -----------------------
#
# The number of storms of a day is Poisson distributed, the rain of a storm is gamma distributed, and the gauge has a
# normal error of half a millimetre. The total of several storms is gamma distributed, too. The three parameters are the
# logarithms of the rate of storms, of the shape of the gamma distribution, and of its scale in millimetres. A model is
# an object with these two attributes and some methods. `grad_log_joint` returns the weighted sum of the gradients of
# the logarithm of p(storms, total, reading).

import numpy as np
from scipy.special import digamma

ERROR = 0.5


class Rain:
    n_features, n_params = 1, 3

    def initial_params(self, X, rng):
        return np.log([1.0, 1.0, X.std()])

    def sample(self, theta, n, rng):
        rate, shape, scale = np.exp(theta)
        storms = rng.poisson(rate, n)
        total = rng.gamma(storms * shape) * scale
        return (storms, total), (total + ERROR * rng.standard_normal(n))[:, np.newaxis]

    def grad_log_joint(self, theta, z, x, weights):
        rate, shape, scale = np.exp(theta)
        storms, total = z
        wet = storms > 0
        shape, amount = shape * np.maximum(storms, 1), np.where(wet, total, 1.0) / scale
        by_rate = storms - rate
        by_shape = wet * shape * (np.log(amount) - digamma(shape))
        by_scale = wet * (amount - shape)
        return np.array([weights @ by_rate, weights @ by_shape, weights @ by_scale])

    def latent_function(self, z):
        return z[0][:, np.newaxis]


# %%
# Testing the model
# -----------------
#
# A mistake in a gradient is hard to detect in the result of a fit. `check_generative_model` tests a model: for example,
# the mean of the score over samples must be zero, and samples must depend only on the given random generator. It raises
# an error if a test fails.

from skwakesleep.models import check_generative_model

truth = np.log([1.5, 2.0, 4.0])
check_generative_model(Rain(), truth, np.random.default_rng(0))

# %%
# Two years of readings
# ---------------------
#
# The model is fitted to the readings only. The difference between 0 and 2 millimetres matters much more than the
# difference between 40 and 42. `feature_map` transforms the readings for the regression, with any transformer of
# scikit-learn. Here it expands the range near zero.

from sklearn.preprocessing import FunctionTransformer

from skwakesleep import AmortisedWakeSleep

_, X = Rain().sample(truth, 730, np.random.default_rng(1))
spread = FunctionTransformer(np.arcsinh)
fitted = AmortisedWakeSleep(Rain(), feature_map=spread, n_sleep=300, max_iter=60, random_state=0).fit(X)
for name, estimate, true in zip(("rate", "shape", "scale"), np.exp(fitted.theta_), np.exp(truth), strict=True):
    print(f"{name:6} {estimate:5.2f} (true {true:.2f})")

# %%
# Inferring the number of storms
# ------------------------------
#
# ``transform`` and ``expect`` estimate the posterior expectation of any function of the latents, by a regression on the
# same dreams. For this model, the exact expectation is available for comparison: a sum over the number of storms, with
# a numerical integral over the total.

from scipy.stats import gamma, norm, poisson


def posterior_storms(readings, theta, max_storms=12):
    """Return the density of each reading, and the posterior expectation of the number of storms."""
    rate, shape, scale = np.exp(theta)
    edges = np.linspace(0, 80, 4001)
    middle = (edges[1:] + edges[:-1]) / 2
    density_of_error = norm.pdf(readings[:, np.newaxis], middle, ERROR)
    joint = [poisson.pmf(0, rate) * norm.pdf(readings, 0, ERROR)]
    for storms in range(1, max_storms + 1):
        mass = np.diff(gamma.cdf(edges, storms * shape, scale=scale))
        joint.append(poisson.pmf(storms, rate) * density_of_error @ mass)
    joint = np.array(joint)
    return joint.sum(axis=0), np.arange(max_storms + 1) @ joint / joint.sum(axis=0)


readings = np.linspace(-1, 40, 300)
expected = fitted.transform(readings[:, np.newaxis])[:, 0]

# %%
# Left: the readings, with the densities of the fitted and the true model. Right: the expected number of storms by the
# regression, and the exact posterior expectation for the same parameters.

import matplotlib.pyplot as plt

density, exact = posterior_storms(readings, fitted.theta_)
true_density, _ = posterior_storms(readings, truth)

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
left.hist(X[:, 0], bins=80, range=(-2, 40), density=True, color="0.85", label="readings")
left.plot(readings, true_density, "k:", label="true model")
left.plot(readings, density, "C0", label="fitted model")
left.set(xlabel="reading (mm)", ylabel="density", ylim=(0, 0.3), title="Two years of days")
left.legend()
right.plot(readings, exact, "k:", label="exact, by summing and integrating")
right.plot(readings, expected, "C1", label="transform: regression on dreams")
right.set(xlabel="reading (mm)", ylabel="expected number of storms", title="Number of storms")
right.legend()
plt.show()

# %%
# Gradients from PyTorch or JAX
# -----------------------------
#
# Instead of a gradient derived by hand, write the log joint in one of these libraries, and compute the gradient of its
# weighted sum in one backward pass. `FunctionModel` makes a model from functions. Without a gradient, it uses central
# differences of ``log_joint``, which is practical for a few parameters. This package needs neither library. This part
# runs only if they are installed.

from importlib.util import find_spec

from skwakesleep.models import FunctionModel


def log_joint(theta, z, x, xp, lgamma):
    """Return the log joint up to terms without parameters, for any library with NumPy's interface."""
    storms, total = z
    wet = storms > 0
    shape, amount = xp.exp(theta[1]) * storms.clip(1), xp.where(wet, total, 1.0)
    log_gamma = shape * (xp.log(amount) - theta[2]) - amount * xp.exp(-theta[2]) - lgamma(shape)
    return storms * theta[0] - xp.exp(theta[0]) + xp.where(wet, log_gamma, 0.0)


gradients = {"by hand": Rain().grad_log_joint}

if find_spec("torch"):
    import torch

    def torch_gradient(theta, z, x, weights):
        theta = torch.tensor(theta, requires_grad=True)
        z = [torch.tensor(part, dtype=torch.float64) for part in z]
        (torch.tensor(weights) @ log_joint(theta, z, x, torch, torch.lgamma)).backward()
        return theta.grad.numpy()

    gradients["PyTorch"] = torch_gradient

if find_spec("jax"):
    import jax

    jax.config.update("jax_enable_x64", True)

    @jax.jit
    @jax.grad
    def jax_gradient_of_sum(theta, z, x, weights):
        return weights @ log_joint(theta, z, x, jax.numpy, jax.scipy.special.gammaln)

    def jax_gradient(*args):
        return np.asarray(jax_gradient_of_sum(*args))

    gradients["JAX"] = jax_gradient

# %%
# All gradients give the same fit, here for ten epochs.

for name, gradient in gradients.items():
    model = FunctionModel(
        Rain().sample, grad_log_joint=gradient, n_params=3, n_features=1, initial_params=Rain().initial_params
    )
    fit = AmortisedWakeSleep(model, feature_map=spread, n_sleep=300, max_iter=10, random_state=0).fit(X)
    print(f"{name:8}", np.exp(fit.theta_).round(4))
