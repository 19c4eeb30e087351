"""
================================
A black-box model: rain in a cup
================================

Storms come at random, each brings a random amount of rain, and a cup on a fence tells what fell in a day, not very
accurately. How many storms were there, and how much did each bring? Whoever can write such a model down as a simulation
can fit it: `AmortisedWakeSleep` asks for samples, and for the gradient of the density of its *own* samples. The
posterior over how many storms there were, an unbounded number, is never approximated.
"""

# %%
# A model in twenty lines
# -----------------------
#
# The number of storms in a day is Poisson, what each brings gamma, and the cup has a normal error of half a millimetre.
# What several storms bring together is gamma as well. The three parameters are the logarithms of the rate of storms, of
# the shape of the gamma and of its scale in millimetres. A model is any object with these two numbers and three
# methods; `grad_log_joint` sums the gradients of the logarithm of p(storms, total, reading), each with its weight.

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
# Does it keep its promises?
# --------------------------
#
# Mistakes in a gradient are hard to see in what is learned with it. `check_generative_model` asks the model itself: a
# score must be zero on average over the model's own samples, draws must come from the generator handed in, and so on.
# It raises an error if something is wrong.

from skwakesleep.models import check_generative_model

truth = np.log([1.5, 2.0, 4.0])
check_generative_model(Rain(), truth, np.random.default_rng(0))

# %%
# Two years of readings
# ---------------------
#
# The fit sees only them. A reading of two millimetres tells much more than one of 42 beside one of 40: `feature_map`,
# any transformer of scikit-learn, spreads out for the regression what is close to zero.

from sklearn.preprocessing import FunctionTransformer

from skwakesleep import AmortisedWakeSleep

_, X = Rain().sample(truth, 730, np.random.default_rng(1))
spread = FunctionTransformer(np.arcsinh)
fitted = AmortisedWakeSleep(Rain(), feature_map=spread, n_sleep=300, max_iter=60, random_state=0).fit(X)
for name, estimate, true in zip(("rate", "shape", "scale"), np.exp(fitted.theta_), np.exp(truth), strict=True):
    print(f"{name:6} {estimate:5.2f} (true {true:.2f})")

# %%
# What was there, behind a reading?
# ---------------------------------
#
# ``transform`` and ``expect`` regress any function of the latents on the readings, by the same dreams. Here we can know
# the answer: the number of storms can be summed over, and the true total integrated numerically.

from scipy.stats import gamma, norm, poisson


def posterior_storms(readings, theta, most=12):
    """Return the density of each reading, and the expected number of storms behind it."""
    rate, shape, scale = np.exp(theta)
    edges = np.linspace(0, 80, 4001)
    middle = (edges[1:] + edges[:-1]) / 2
    density_of_error = norm.pdf(readings[:, np.newaxis], middle, ERROR)
    joint = [poisson.pmf(0, rate) * norm.pdf(readings, 0, ERROR)]
    for storms in range(1, most + 1):
        mass = np.diff(gamma.cdf(edges, storms * shape, scale=scale))
        joint.append(poisson.pmf(storms, rate) * density_of_error @ mass)
    joint = np.array(joint)
    return joint.sum(axis=0), np.arange(most + 1) @ joint / joint.sum(axis=0)


readings = np.linspace(-1, 40, 300)
expected = fitted.transform(readings[:, np.newaxis])[:, 0]

# %%
# The picture: on the left the readings, with the density of the fitted model and of the true one; on the right what the
# regression says about the number of storms, beside the exact posterior expectation for the same parameters.

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
right.set(xlabel="reading (mm)", ylabel="expected number of storms", title="How many storms were there?")
right.legend()
plt.show()

# %%
# Gradients from PyTorch or JAX
# -----------------------------
#
# Whoever would rather not differentiate by hand writes the log joint in one of these, and takes one backward pass of
# its weighted sum. `FunctionModel` makes a model of plain functions. Without any gradient, it takes central
# differences of ``log_joint``, which will do for a handful of parameters. Neither library is needed by this package;
# this part runs where they are installed.

from importlib.util import find_spec

from skwakesleep.models import FunctionModel


def log_joint(theta, z, x, xp, lgamma):
    """The log joint for any library with NumPy's names, up to what is free of the parameters."""
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
# Each of them takes the same way: here, the first ten epochs.

for name, gradient in gradients.items():
    model = FunctionModel(
        Rain().sample, grad_log_joint=gradient, n_params=3, n_features=1, initial_params=Rain().initial_params
    )
    fit = AmortisedWakeSleep(model, feature_map=spread, n_sleep=300, max_iter=10, random_state=0).fit(X)
    print(f"{name:8}", np.exp(fit.theta_).round(4))
