"""
==============================================
Nicholson's blowflies: a time series of births
==============================================

In the 1950s A. J. Nicholson kept sheep blowflies in a cage, fed them a limited diet of liver, and counted them every
other day for years. Their number rises and crashes every five to six weeks. The explanation is a delay: where adults
are many they starve and lay few eggs, and what is laid today is an adult only two weeks later. This example fits that
explanation to 180 counts, with noise on births and deaths whose densities are known, but whose sum's is not. It takes
about half a minute.
"""

# %%
# The model
# ---------
#
# `BlowflyDynamics` says that the flies at the next count are recruits and survivors. Recruits are gamma-distributed
# around ``P N exp(-N / N0)``, where ``N`` is the population seven counts before. Which flies are recruits nobody knows:
# they are the latents. Counting in thousands brings all numbers close to one.

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
# A whole series is one observation, and as an input of a regression it is hopeless: 180 columns and one row. But its
# log-probability is a sum over the steps, given the history *observed* until then. `AmortisedWakeSleep` sees that the
# model offers such local factors, dreams one step from each observed history, and regresses the score of a step on what
# it depends on: two features, named by the model, so that there is nothing for a feature map to reduce.

X = counts[np.newaxis]
fitted = AmortisedWakeSleep(model, n_sleep=1000, max_iter=200, feature_map=None, random_state=0).fit(X)
for name, value in fitted.params_.items():
    print(f"{name.removeprefix('log_'):18} {np.exp(value):6.3f}")

# %%
# How good is it?
# ---------------
#
# For this model the likelihood can be computed, by one quadrature for each step, and so it can be maximized directly.
# That is the yardstick here, and not to be had for most simulators. A delay of six counts or eight is told from seven
# in the same way, if all forecast the same counts.

from scipy.optimize import minimize


def maximize(delay, first=9):
    """Fit by maximum likelihood of all counts from the first that each delay can forecast."""
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
print(f"greatest log-likelihood:     {maximize(7, first=8):.1f} nats")
by_delay = {delay: maximize(delay) for delay in (5, 6, 7, 8)}

# %%
# The picture
# -----------
#
# Above, the counts, the part of them that the model takes for recruits, and two dreams that start like the data:
# ``transform`` regresses the part that survives each step, the rest are recruits. Below on the left, recruits against
# the population that laid the eggs; on the right, what the delay explains.

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
axes["births"].plot(population, fecundity * population * np.exp(-population / capacity), "k", label="model's mean")
axes["births"].set(xlabel="flies two weeks before (thousands)", ylabel="recruits (thousands)", title="Births")
axes["births"].legend()
axes["delays"].bar(list(by_delay), np.array(list(by_delay.values())) - min(by_delay.values()), color="0.6")
axes["delays"].set(
    xlabel="delay (counts)", ylabel="log-likelihood gained (nats)", title="What the delay explains", xticks=[5, 6, 7, 8]
)
plt.show()
