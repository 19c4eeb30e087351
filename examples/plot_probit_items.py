"""
=====================================
A multivariate probit of six items
=====================================

Six questions are answered with yes or no. A person's ability, which is not observed, makes the answers depend on each
other. The model is a multivariate probit with one factor. `AmortisedWakeSleep` needs to simulate it, and the
log-density of ability and answers together. The parameters are declared by name.
"""

# %%
# The model
# ---------
#
# ``parameters`` says what there is to fit: six loadings, which start at one, because their common sign is arbitrary,
# and six thresholds. `sample` and `log_joint` get them as ``params``. There is no gradient: it is taken by differences.

import numpy as np
from scipy.special import log_ndtr

from skwakesleep.models import Real, check_generative_model


class Items:
    n_features = 6
    observation_range = (0, 1)
    parameters = {"loadings": Real(6, start=1.0), "thresholds": Real(6)}

    def sample(self, params, n, rng):
        ability = rng.standard_normal(n)
        tendency = np.outer(ability, params.loadings) - params.thresholds + rng.standard_normal((n, 6))
        return ability, (tendency > 0).astype(float)

    def log_joint(self, params, ability, x):
        mean = np.outer(ability, params.loadings) - params.thresholds
        return log_ndtr(np.where(x == 1, mean, -mean)).sum(axis=1)  # the density of abilities has no parameters

    def latent_function(self, ability):
        return ability[:, np.newaxis]


# %%
# The data
# --------
#
# A thousand people, simulated. `check_generative_model` tests the model first.

from types import SimpleNamespace

VALUES = {"loadings": [1.0, 0.5, 1.5, 1.0, 0.8, 2.0], "thresholds": [-1.0, -0.6, -0.2, 0.2, 0.6, 1.0]}


def simulated(seed, n=1000):
    values = SimpleNamespace(**{name: np.array(value) for name, value in VALUES.items()})
    return Items().sample(values, n, np.random.default_rng(seed))[1]


check_generative_model(Items(), VALUES, np.random.default_rng(0))

# %%
# The likelihood, for comparison
# ------------------------------
#
# With one latent, it can be computed: by Gauss-Hermite quadrature over the ability. The fit does not use it.

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(41)


def log_probabilities(params, X):
    """Return the log-probability of each row of answers at each node, weighted."""
    mean = np.outer(NODES, params.loadings) - params.thresholds
    return X @ log_ndtr(mean).T + (1 - X) @ log_ndtr(-mean).T + np.log(WEIGHTS / WEIGHTS.sum())


def log_likelihood(params, X):
    return np.logaddexp.reduce(log_probabilities(params, X), axis=1)


# %%
# The fit
# -------
#
# Half of the default number of epochs is enough here, and takes a few seconds.

from scipy.optimize import minimize

from skwakesleep import AmortisedWakeSleep

X = simulated(seed=1)
fitted = AmortisedWakeSleep(Items(), max_iter=100, random_state=0).fit(X)


def named(theta):
    return SimpleNamespace(loadings=theta[:6], thresholds=theta[6:])


best = minimize(lambda theta: -log_likelihood(named(theta), X).mean(), np.repeat([1.0, 0.0], 6))
params = SimpleNamespace(**fitted.params_)
print(f"mean log-likelihood of the fit: {log_likelihood(params, X).mean():.4f} nats")
print(f"its maximum:                    {-best.fun:.4f} nats")

# %%
# Figure
# ------
#
# Left: the fitted parameters beside the true ones and those of maximum likelihood. Right: the expected ability of each
# person, by ``transform`` and by the quadrature.

import matplotlib.pyplot as plt

weights = np.exp(log_probabilities(params, X) - log_likelihood(params, X)[:, np.newaxis])
exact, expected = weights @ NODES, fitted.transform(X)[:, 0]

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
true = np.concatenate([VALUES["loadings"], VALUES["thresholds"]])
left.plot(true, best.x, "o", color="0.6", label="maximum likelihood")
left.plot(true, np.concatenate([params.loadings, params.thresholds]), "C0.", label="fit")
left.axline((0, 0), slope=1, color="0.8", zorder=0)
left.set(xlabel="true value", ylabel="estimate", title="Loadings and thresholds")
left.legend()
right.scatter(exact, expected, c=X.sum(axis=1), s=8)
right.axline((0, 0), slope=1, color="0.8", zorder=0)
right.set(xlabel="exact", ylabel="regression on dreams", title="Expected ability, colored by the number of yes")
plt.show()
