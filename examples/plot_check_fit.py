"""
====================
Four checks of a fit
====================

Is the fit done? Is the regression good enough? Does the model fit? Would the method recover the truth? Each question is
one call of `skwakesleep.inspection`, and none needs a likelihood. The data are weights of young animals at four ages.
Animals differ in weight and in growth. One model allows for both, another one only for the first.
"""

# %%
# Two models
# ----------
#
# Both declare their parameters by name, and have no more than a simulation and a log joint.

import matplotlib.pyplot as plt
import numpy as np

from skwakesleep import AmortisedWakeSleep
from skwakesleep.models import Positive, Real

AGES = np.array([-1.5, -0.5, 0.5, 1.5])  # years from the middle of the study


class Growth:
    """Weights with a random level and a random growth of each animal."""

    n_features = 4
    parameters = {
        "weight": Real(),
        "growth": Real(),
        "level_std": Positive(start=1.0),
        "growth_std": Positive(start=1.0),
        "noise": Positive(start=1.0),
    }

    def initial_params(self, X, rng):
        return {"weight": X.mean()}

    def expected(self, params, z):
        return params.weight + params.level_std * z[:, :1] + (params.growth + params.growth_std * z[:, 1:]) * AGES

    def sample(self, params, n, rng):
        z = rng.standard_normal((n, 2))
        return z, self.expected(params, z) + params.noise * rng.standard_normal((n, 4))

    def log_joint(self, params, z, x):
        standard = (x - self.expected(params, z)) / params.noise
        return (-0.5 * standard**2 - np.log(params.noise)).sum(axis=1) - 0.5 * (z**2).sum(axis=1)


class SameGrowth(Growth):
    """Weights with a random level of each animal, and the same growth of all."""

    parameters = {name: value for name, value in Growth.parameters.items() if name != "growth_std"}

    def expected(self, params, z):
        return params.weight + params.level_std * z[:, :1] + params.growth * AGES


# %%
# The data are simulated, so the truth is known: the first model is right.

from types import SimpleNamespace

truth = SimpleNamespace(weight=3.0, growth=0.8, level_std=1.0, growth_std=0.5, noise=0.4)
X = Growth().sample(truth, 300, np.random.default_rng(1))[1]

# %%
# Is the fit done?
# ----------------
#
# Twenty steps of 0.02 do not take the growth from 0 to 0.8. `check_convergence` tells how many nats per row a further
# step would gain, and how far each parameter is from its final value. `fit` warns of this by itself, after at least 200
# steps.

from skwakesleep.plotting import ConvergenceDisplay

settings = {"n_sleep": 200, "random_state": 0}
short = AmortisedWakeSleep(Growth(), max_iter=10, **settings).fit(X)
fitted = AmortisedWakeSleep(Growth(), max_iter=200, **settings).fit(X)

figure, axes = plt.subplots(2, figsize=(7, 5), layout="constrained")
for estimator, ax in zip((short, fitted), axes, strict=True):
    ConvergenceDisplay.from_estimator(estimator, X, ax=ax)
plt.show()

# %%
# Is the regression good enough?
# ------------------------------
#
# The score has mean zero over dreams. The mean of its regression over fresh dreams is therefore a bias, drawn here in
# standard errors of the estimates. More dreams, ``n_sleep``, make it smaller.

from skwakesleep.plotting import RegressionDisplay

RegressionDisplay.from_estimator(fitted, X)
plt.show()

# %%
# Does the model fit?
# -------------------
#
# Statistics of the data are compared with those of data sets that the model simulates. The model with the same growth
# for all animals gives the same correlation to all pairs of ages, which is wrong. The p-value is that of the largest
# deviation, so that it counts all statistics.

from skwakesleep.plotting import DreamComparisonDisplay

wrong = AmortisedWakeSleep(SameGrowth(), max_iter=200, **settings).fit(X)

figure, axes = plt.subplots(1, 2, figsize=(11, 6), layout="constrained")
for name, estimator, ax in zip(("Growth", "SameGrowth"), (fitted, wrong), axes, strict=True):
    display = DreamComparisonDisplay.from_estimator(estimator, X, ax=ax)
    ax.set_title(f"{name}\n{ax.get_title()}", fontsize="medium")
    table = display.result.table
    print(f"{name}: p = {display.result.p_value:.3f}, the largest deviation is the {table['statistic'][0]}")
plt.show()

# %%
# Would the method recover the truth?
# -----------------------------------
#
# The same estimator is fitted to 19 data sets that it has simulated. Left: it recovers the parameters. Right: the
# largest deviation of each of these data sets from its own fit, and that of the data. This comparison allows for the
# fit, and rejects the wrong model at a level of 1 / 20. Statistics of your own can be added, here the spread of the
# growth of single animals.

from skwakesleep.plotting import RecoveryDisplay

statistics = {"spread of growth": lambda X: (X @ AGES).std()}
for name, estimator in {"Growth": fitted, "SameGrowth": wrong}.items():
    display = RecoveryDisplay.from_estimator(estimator, X, statistics=statistics)
    display.figure_.suptitle(name)
    print(f"\n{name}: p = {display.result.p_value:.2f}")
    columns = [display.result.table[column] for column in ("parameter", "fitted", "recovered", "recovered_std")]
    for parameter, value, mean, std in zip(*columns, strict=True):
        print(f"{parameter:10}  simulated from {value:5.2f}   recovered {mean:5.2f} +- {std:.2f}")
plt.show()
