"""
=======================================
Epidemics of which few cases are known
=======================================

An infection spreads in villages, and a part of the cases is reported each week. The number of all cases is the
latent: eight counts for each village, which depend on each other. `AmortisedWakeSleep` fits the simulator as it is.
"""

# %%
# The model
# ---------
#
# Two people are infected at first. Each week, every susceptible person is infected with a probability that grows with
# the cases of the week before, or by an import from outside. The population of the village is a covariate, the last
# column of a row. Each case is reported with a probability, which is declared as a number between 0 and 1.

import numpy as np
from scipy.special import xlogy

from skwakesleep.models import Interval, Positive, check_generative_model

WEEKS = 8


class Epidemic:
    n_features, n_covariates = WEEKS, 1
    parameters = {"rate": Positive(start=1.5), "imports": Positive(start=0.02), "reported": Interval(0, 1, start=0.5)}

    def sample(self, params, n, rng, population):
        population = population[:, 0].astype(int)
        cases, susceptible = np.full((n, WEEKS + 1), 2), population - 2
        for week in range(WEEKS):
            force = params.rate * cases[:, week] / population + params.imports
            cases[:, week + 1] = rng.binomial(susceptible, -np.expm1(-force))
            susceptible = susceptible - cases[:, week + 1]
        return cases, rng.binomial(cases[:, 1:], params.reported).astype(float)

    def log_joint(self, params, cases, x, population):
        escaped = population - np.cumsum(cases, axis=1)[:, 1:]
        force = params.rate * cases[:, :-1] / population + params.imports
        spread = xlogy(cases[:, 1:], -np.expm1(-force)) - escaped * force
        reports = xlogy(x, params.reported) + xlogy(cases[:, 1:] - x, 1 - params.reported)
        return (spread + reports).sum(axis=1)  # without the binomial coefficients, which are free of parameters


# %%
# The data
# --------
#
# Four hundred villages of 20, 30 or 40 people.

from types import SimpleNamespace

VALUES = {"rate": 1.6, "imports": 0.01, "reported": 0.4}


def simulated(seed, n=400):
    rng = np.random.default_rng(seed)
    population = rng.choice([20, 30, 40], size=(n, 1))
    return np.hstack([Epidemic().sample(SimpleNamespace(**VALUES), n, rng, population)[1], population])


X = simulated(seed=1)
check_generative_model(Epidemic(), VALUES, np.random.default_rng(0), X=X)

# %%
# The likelihood, for comparison
# ------------------------------
#
# Villages are so small that all states can be enumerated: the joint probability of the numbers of susceptible people
# and of cases is carried forward from week to week. In a town this would take too long. The fit does not use it.

from scipy.stats import binom


def log_likelihood(params, X):
    result = np.zeros(len(X))
    for population in np.unique(X[:, -1]).astype(int):
        rows = X[:, -1] == population
        result[rows] = forward(params, X[rows, :-1], population)
    return result


def forward(params, reports, population):
    """Return the log-probability of each row of reports from villages of one size."""
    counts = np.arange(population + 1)
    risk = -np.expm1(-params.rate * counts / population - params.imports)
    # From cases to new cases, for each number of susceptible people.
    spread = [binom.pmf(counts[: s + 1], s, risk[:, np.newaxis]) for s in range(population - 1)]
    reporting = binom.pmf(reports[..., np.newaxis], counts, params.reported)
    state = np.zeros((population + 1, len(reports), population + 1))  # susceptible people, rows, cases
    state[population - 2, :, 2] = 1
    total = np.zeros(len(reports))
    for week in range(WEEKS):
        new = np.zeros_like(state)
        for s, transition in enumerate(spread):
            moved = state[s] @ transition * reporting[:, week, : s + 1]
            new[s - counts[: s + 1], :, counts[: s + 1]] += moved.T
        probability = new.sum(axis=(0, 2))
        total += np.log(probability)
        state = new / probability[:, np.newaxis]
    return total


# %%
# The fit
# -------
#
# It takes a few seconds.

from scipy.optimize import minimize

from skwakesleep import AmortisedWakeSleep

fitted = AmortisedWakeSleep(Epidemic(), random_state=0).fit(X)


def named(theta):
    return SimpleNamespace(rate=np.exp(theta[0]), imports=np.exp(theta[1]), reported=1 / (1 + np.exp(-theta[2])))


best = minimize(lambda theta: -log_likelihood(named(theta), X).mean(), [0.5, -4.0, 0.0])
params = SimpleNamespace(**fitted.params_)
print("           true    fit  maximum likelihood")
for name, true in VALUES.items():
    print(f"{name:10} {true:4.2f}  {getattr(params, name):5.3f}  {getattr(named(best.x), name):5.3f}")
print(f"mean log-likelihood of the fit: {log_likelihood(params, X).mean():.4f} nats")
print(f"its maximum:                    {-best.fun:.4f} nats")

# %%
# All cases, given the reports
# ----------------------------
#
# ``expect`` takes any function of the latents, here the number of all cases in a village. If it is known that half of
# the cases are reported, ``fixed`` holds the probability at this value.

known = AmortisedWakeSleep(Epidemic(), fixed={"reported": 0.5}, random_state=0).fit(X)
print("with half of the cases reported:", {name: float(np.round(value, 3)) for name, value in known.params_.items()})

rng = np.random.default_rng(2)
cases, reports = Epidemic().sample(SimpleNamespace(**VALUES), 200, rng, X[:200, -1:])
new = np.hstack([reports, X[:200, -1:]])
expected = fitted.expect(new, lambda cases: cases.sum(axis=1))

# %%
# Left: reports of some villages of 40 people, and reports sampled from the fitted model for the same villages. Right:
# all cases in new villages, where they are known, beside their expectation given the reports.

import matplotlib.pyplot as plt

largest = X[X[:, -1] == 40][:30]
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for rows, color, label in ((largest, "C0", "data"), (fitted.sample(given=largest, random_state=0), "C1", "samples")):
    left.plot(np.arange(1, WEEKS + 1), rows[:, :-1].T, color, alpha=0.3)
    left.plot(np.arange(1, WEEKS + 1), rows[:, :-1].mean(axis=0), color, linewidth=3, label=label)
left.set(xlabel="week", ylabel="reports", title="Thirty villages of 40 people")
left.legend()
right.scatter(expected, cases.sum(axis=1), c=new[:, -1], s=8)
right.axline((0, 0), slope=1, color="0.8", zorder=0)
right.set(xlabel="expected, given the reports", ylabel="all cases", title="Cases in new villages, colored by size")
plt.show()
