"""
==============================================
Nicholson's blowflies: a time series of births
==============================================

In the 1950s A. J. Nicholson kept sheep blowflies in a cage on a limited diet of liver, and counted them every other day
for years. Their number rises and crashes every five to six weeks. The explanation is a delay: many adults starve and
lay few eggs, and eggs become adults only two weeks later. This example fits a model of this process to 180 counts. The
noise of births and of deaths has known densities, but their sum has not. The example takes about half a minute.
"""

# %%
# The model
# ---------
#
# In `BlowflyDynamics`, the flies at the next count are recruits and survivors. The number of recruits is gamma
# distributed around ``P N exp(-N / N0)``, where ``N`` is the population seven counts before. The division into recruits
# and survivors is not observed: it is the latent. Counts are in thousands, so that all numbers are close to one.

import numpy as np

from skwakesleep import AmortisedWakeSleep
from skwakesleep.datasets import load_blowfly
from skwakesleep.simulators import BlowflyDynamics

counts = load_blowfly() / 1000
delay = 7
model = BlowflyDynamics(len(counts), delay=delay, history=counts[: delay + 1])

# %%
# The fit
# -------
#
# The whole series is one observation: 180 columns and one row, which is impractical for a regression. But its
# log-probability is a sum over the steps, each given the *observed* history. The model defines these local factors.
# `AmortisedWakeSleep` then dreams one step from each observed history, and regresses the score of a step on two
# features of the step, which are defined by the model. A feature map is not needed.

X = counts[np.newaxis]
fitted = AmortisedWakeSleep(model, n_sleep=1000, max_iter=200, feature_map=None, random_state=0).fit(X)
for name, value in fitted.params_.items():
    print(f"{name.removeprefix('log_'):18} {np.exp(value):6.3f}")

# %%
# Comparison with maximum likelihood
# ----------------------------------
#
# For this model, the likelihood can be computed by one quadrature per step, and maximized directly. Most simulators
# have no such reference. Delays of six or eight counts are compared with seven in the same way, on the same counts.

from scipy.optimize import minimize


def maximize(delay, first=9):
    """Return the maximum log-likelihood of the counts from number `first` on."""
    candidate = BlowflyDynamics(len(counts) - first + delay + 1, delay=delay)
    series = X[:, first - delay - 1 :]
    return -minimize(
        lambda theta: (-candidate.log_likelihood(theta, series)[0], -candidate.grad_log_likelihood(theta, series)),
        fitted.theta_,
        jac=True,
        method="L-BFGS-B",
    ).fun


start = model.initial_params(X, np.random.default_rng(0))
print(f"log-likelihood at the start: {model.log_likelihood(start, X)[0]:.1f} nats")
print(f"log-likelihood of the fit:   {fitted.score(X):.1f} nats")
print(f"maximum log-likelihood:      {maximize(7, first=8):.1f} nats")
by_delay = {delay: maximize(delay) for delay in (5, 6, 7, 8)}

# %%
# Figure
# ------
#
# Top: the counts, the expected number of recruits, and two dreams that start like the data. ``transform`` estimates the
# fraction that survives each step; the others are recruits. Bottom left: recruits against the population that laid the
# eggs. Bottom right: log-likelihoods of models with different delays.

import matplotlib.pyplot as plt

dreams = fitted.sample(2, random_state=3)
survival = fitted.transform(X)[:, 0]  # expected, of each step
recruits = np.maximum(counts[delay + 1 :] - survival * counts[delay:-1], 0)
weeks = 2 * np.arange(len(counts)) / 7
top = 1.05 * max(counts.max(), dreams.max())

figure, axes = plt.subplot_mosaic(
    [["counts", "counts"], ["dreams", "dreams"], ["births", "delays"]], figsize=(9, 8), layout="constrained"
)
axes["counts"].plot(weeks, counts, "k", label="counts")
axes["counts"].fill_between(weeks[delay + 1 :], recruits, color="C1", alpha=0.5, label="recruits")
axes["counts"].set(ylabel="flies (thousands)", title="Nicholson's blowflies", ylim=(0, top))
axes["counts"].legend(loc="upper right")
for dream in dreams:
    axes["dreams"].plot(weeks, dream)
axes["dreams"].set(xlabel="week", ylabel="flies (thousands)", title="Two dreams", ylim=(0, top))

population = np.linspace(0, 9, 200)
fecundity, capacity = np.exp(fitted.theta_[:2])
axes["births"].plot(counts[: -delay - 1], recruits, "C1.", label="recruits, expected")
axes["births"].plot(population, fecundity * population * np.exp(-population / capacity), "k", label="mean of the model")
axes["births"].set(xlabel="flies two weeks before (thousands)", ylabel="recruits (thousands)", title="Births")
axes["births"].legend()
axes["delays"].bar(list(by_delay), np.array(list(by_delay.values())) - min(by_delay.values()), color="0.6")
axes["delays"].set(xlabel="delay (counts)", ylabel="gain in log-likelihood (nats)", title="Delay", xticks=[5, 6, 7, 8])
plt.show()
