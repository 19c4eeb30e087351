"""
==================================================
A panel with a detection limit, and missed visits
==================================================

A substance is measured in the blood of patients at four visits. Values below a detection limit are reported as the
limit, some patients leave the study early, and half of them are treated. Patients differ, by a random intercept. This
model has a covariate and missing cells, and needs no closed form of the censored densities' integral.
"""

# %%
# The model
# ---------
#
# The last column of a row is a covariate, because ``n_covariates`` is one. The simulation is given it, and draws four
# measurements. With ``allow_nan``, cells of a row may be missing: the package removes them from the simulated rows too,
# and the log joint leaves them out. Standard deviations are declared as positive.

import numpy as np
from scipy.special import log_ndtr

from skwakesleep.models import Positive, Real, check_generative_model

LIMIT = 0.0


class Panel:
    n_features, n_covariates, allow_nan = 4, 1, True
    parameters = {"intercept": Real(), "effect": Real(), "between": Positive(start=1.0), "within": Positive(start=1.0)}

    def sample(self, params, n, rng, treated):
        patient = params.between * rng.standard_normal(n)
        level = params.intercept + params.effect * treated + patient[:, np.newaxis]
        return patient, np.maximum(level + params.within * rng.standard_normal((n, 4)), LIMIT)

    def log_joint(self, params, patient, x, treated):
        level = params.intercept + params.effect * treated + patient[:, np.newaxis]
        standard = (x - level) / params.within
        log_density = np.where(x == LIMIT, log_ndtr(standard), -0.5 * standard**2 - np.log(params.within))
        log_prior = -0.5 * (patient / params.between) ** 2 - np.log(params.between)
        return log_prior + np.nansum(log_density, axis=1)

    def latent_function(self, patient):
        return patient[:, np.newaxis]


# %%
# The data
# --------
#
# A thousand patients, of whom one in eight leaves after each of the first three visits. `check_generative_model`
# simulates for rows of the data.

from types import SimpleNamespace

VALUES = {"intercept": 0.5, "effect": 1.0, "between": 0.8, "within": 0.6}


def simulated(seed, n=1000):
    rng = np.random.default_rng(seed)
    treated = rng.integers(2, size=(n, 1))
    x = Panel().sample(SimpleNamespace(**VALUES), n, rng, treated)[1]
    x[np.arange(4) >= rng.integers(1, 9, size=(n, 1))] = np.nan
    return np.hstack([x, treated])


X = simulated(seed=1)
check_generative_model(Panel(), VALUES, np.random.default_rng(0), X=X)

# %%
# The likelihood, for comparison
# ------------------------------
#
# The random intercept is one number for each patient, so the likelihood is an integral in one dimension. The fit does
# not use it.

GRID = np.linspace(-6, 6, 121)  # in standard deviations between patients


def log_joints(params, X):
    """Return the log joint of each row at each point of the grid, up to a constant of the row."""
    points = params.between * GRID
    return np.stack([Panel().log_joint(params, np.full(len(X), z), X[:, :4], X[:, 4:]) for z in points], axis=1)


def log_likelihood(params, X):
    n_normal = 1 + (X[:, :4] > LIMIT).sum(axis=1)  # densities with a factor that `log_joint` omits
    integral = np.logaddexp.reduce(log_joints(params, X), axis=1) + np.log(params.between * (GRID[1] - GRID[0]))
    return integral - 0.5 * np.log(2 * np.pi) * n_normal


# %%
# The fit
# -------
#
# Half of the default number of epochs is enough here, and takes a few seconds.

from scipy.optimize import minimize

from skwakesleep import AmortisedWakeSleep

fitted = AmortisedWakeSleep(Panel(), max_iter=100, random_state=0).fit(X)


def named(theta):
    return SimpleNamespace(intercept=theta[0], effect=theta[1], between=np.exp(theta[2]), within=np.exp(theta[3]))


best = minimize(lambda theta: -log_likelihood(named(theta), X).mean(), np.zeros(4))
params = SimpleNamespace(**fitted.params_)
print("           true    fit  maximum likelihood")
for name, true in VALUES.items():
    print(f"{name:10} {true:4.2f}  {getattr(params, name):5.3f}  {getattr(named(best.x), name):5.3f}")
print(f"mean log-likelihood of the fit: {log_likelihood(params, X).mean():.4f} nats")
print(f"its maximum:                    {-best.fun:.4f} nats")

# %%
# Figure
# ------
#
# Left: the measurements of some patients, with those at the limit. Right: the expected intercept of each patient, by
# ``transform`` and by the integral, with the number of visits. ``sample`` draws new measurements for given patients.

import matplotlib.pyplot as plt

weights = np.exp(log_joints(params, X))
exact = params.between * (weights @ GRID) / weights.sum(axis=1)
new = fitted.sample(given=X, random_state=0)
print(f"share at the limit: {(X[:, :4] == LIMIT).mean():.3f}, in new samples {(new[:, :4] == LIMIT).mean():.3f}")

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for row in X[:40]:
    left.plot([1, 2, 3, 4], row[:4], "C3" if row[4] else "C0", alpha=0.4, marker=".")
left.axhline(LIMIT, color="k", linestyle=":")
left.set(xlabel="visit", ylabel="measurement", xticks=[1, 2, 3, 4], title="Forty patients; treated ones are red")
points = right.scatter(exact, fitted.transform(X)[:, 0], c=np.isfinite(X[:, :4]).sum(axis=1), s=8)
right.axline((0, 0), slope=1, color="0.8", zorder=0)
right.set(xlabel="exact", ylabel="regression on dreams", title="Expected intercept")
figure.colorbar(points, label="visits", ticks=[1, 2, 3, 4])
plt.show()
