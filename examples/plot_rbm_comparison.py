"""
================================================
Comparison with the restricted Boltzmann machine
================================================

``BernoulliRBM`` of scikit-learn is related to the Helmholtz machine. Both are networks of binary units over binary
columns. Both extract features, generate rows, and define a probability of each row. This example chooses the learning
rate of the Boltzmann machine from a small grid. The Helmholtz machine has its default parameters. Then it compares
likelihoods, features, samples and times. The likelihood of the Boltzmann machine needs an additional estimate, which
comes first.
"""

# %%
# Two machines
# ------------
#
# A Helmholtz machine is *directed*: causes are drawn first, columns are drawn given the causes, and a second network is
# trained to infer the causes. Sampling is easy, and so is a bound of the likelihood.
#
# A restricted Boltzmann machine is *undirected* [1]_. Given the columns, the hidden units are independent, and the
# reverse. Inference is therefore easy and exact. But the probability of a row is known only up to a constant factor,
# the partition function, a sum over all states. ``BernoulliRBM.score_samples`` returns a pseudo-likelihood, which is
# another quantity and random. To compare densities, the partition function is needed.
#
# .. [1] G. E. Hinton. "Training products of experts by minimizing contrastive divergence". Neural Computation 14 (2002)
#    1771-1800.
#
# The partition function
# ----------------------
#
# Annealed importance sampling [2]_ estimates the partition function [3]_. Chains start from independent columns with a
# known partition function. In many small steps, the weights of the machine are scaled from zero to one. The mean of the
# importance weights of the chains estimates the ratio of the two partition functions.
#
# .. [2] R. M. Neal. "Annealed importance sampling". Statistics and Computing 11 (2001) 125-139.
# .. [3] R. Salakhutdinov, I. Murray. "On the quantitative analysis of deep belief networks". ICML 2008.

from itertools import pairwise
from time import process_time

import numpy as np
from scipy.special import expit, logit, logsumexp
from threadpoolctl import threadpool_limits

threadpool_limits(1)  # matrices this small are faster with one thread


def softplus(t):
    return np.logaddexp(0, t)


def minus_free_energy(rbm, X):
    """Return the logarithm of the unnormalized probability of each row, summed over the hidden units."""
    return X @ rbm.intercept_visible_ + softplus(X @ rbm.components_.T + rbm.intercept_hidden_).sum(axis=1)


def log_partition(rbm, start, n_chains=100, n_steps=1000, seed=0):
    """Estimate the log partition function. `start` has the log-odds of the independent columns at the start."""
    rng = np.random.default_rng(seed)

    def log_weight(X, beta):
        visible = X @ ((1 - beta) * start + beta * rbm.intercept_visible_)
        return visible + softplus(beta * (X @ rbm.components_.T + rbm.intercept_hidden_)).sum(axis=1)

    def draw(log_odds):
        return (rng.random(log_odds.shape) < expit(log_odds)).astype(np.float64)

    X = draw(np.tile(start, (n_chains, 1)))
    log_weights = np.zeros(n_chains)
    betas = np.linspace(0, 1, n_steps + 1)
    for previous, beta in pairwise(betas):
        log_weights += log_weight(X, beta) - log_weight(X, previous)
        H = draw(beta * (X @ rbm.components_.T + rbm.intercept_hidden_))
        X = draw((1 - beta) * start + beta * (H @ rbm.components_ + rbm.intercept_visible_))
    log_partition_of_start = softplus(start).sum() + rbm.n_components * np.log(2)
    return log_partition_of_start + logsumexp(log_weights) - np.log(n_chains)


# %%
# A small machine tests the estimate. With ten hidden units, the sum has 1024 terms after summing over the columns.

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import BernoulliRBM

digits = load_digits()
X = (digits.data >= 8).astype(np.float32)
train, test, y_train, y_test = train_test_split(
    X, digits.target, test_size=0.25, random_state=0, stratify=digits.target
)
fitting, validation = train_test_split(train, test_size=0.2, random_state=0)
columns = logit((fitting.sum(axis=0) + 0.5) / (len(fitting) + 1))

small = BernoulliRBM(10, learning_rate=0.05, n_iter=20, random_state=0).fit(fitting)
states = (np.arange(1 << 10)[:, np.newaxis] >> np.arange(10)) & 1
terms = states @ small.intercept_hidden_ + softplus(states @ small.components_ + small.intercept_visible_).sum(axis=1)
exact, estimated = logsumexp(terms), log_partition(small, columns)
assert abs(exact - estimated) < 0.2, "annealed importance sampling differs from the exact partition function"
print(f"log partition function of a small machine: exact {exact:.2f}, estimated {estimated:.2f}")

# %%
# Training
# --------
#
# Both machines have 100 hidden units. The learning rate of the Boltzmann machine, and whether the columns of the
# Helmholtz machine are connected, are chosen by the log-likelihood of validation images. The errors of both estimates
# have opposite signs. If the chains have not converged, the estimated partition function is too small on average, and
# the score of the Boltzmann machine is too *high*. The score of the Helmholtz machine is too low on average. Below,
# these errors are measured with four times as many steps and with an upper bound.

from skwakesleep import HelmholtzMachine


def rbm_score(rbm, X, **options):
    return minus_free_energy(rbm, X).mean() - log_partition(rbm, columns, **options)


def best_of(candidates, score):
    """Fit the candidates, print the score and the time of each, and return the best."""
    scores = []
    for name, machine in candidates.items():
        start = process_time()
        machine.fit(fitting)
        seconds = process_time() - start
        scores.append(score(machine, validation))
        print(f"  {name:32}{scores[-1]:16.2f}{seconds:12.1f}")
    return list(candidates.values())[np.argmax(scores)]


print(f"\n{'validation images':34}{'nats per image':>16}{'seconds':>12}")
boltzmann_machines = {
    f"BernoulliRBM, rate {rate}": BernoulliRBM(100, learning_rate=rate, n_iter=250, random_state=0)
    for rate in (0.005, 0.01, 0.02)
}
helmholtz_machines = {
    "HelmholtzMachine": HelmholtzMachine(random_state=0),
    "HelmholtzMachine, prior only": HelmholtzMachine(autoregressive="prior", random_state=0),
}
rbm = best_of(boltzmann_machines, rbm_score)
helmholtz = best_of(helmholtz_machines, HelmholtzMachine.score)

# %%
# Likelihood
# ----------
#
# Both are scored on the test images, which were not used before. The error of the difference is the paired standard
# error.

log_likelihoods = {
    "BernoulliRBM": minus_free_energy(rbm, test) - log_partition(rbm, columns, n_steps=4000),
    "HelmholtzMachine": helmholtz.score_samples(test),
}
difference = log_likelihoods["HelmholtzMachine"] - log_likelihoods["BernoulliRBM"]
print(f"\n{'test images':34}{'nats per image':>16}")
for name, values in log_likelihoods.items():
    print(f"  {name:32}{values.mean():16.2f}")
print(f"  {'difference':32}{difference.mean():+16.2f} +- {difference.std(ddof=1) / np.sqrt(len(test)):.2f}")
print(
    f"  change for the Boltzmann machine with four times the steps: "
    f"{log_likelihoods['BernoulliRBM'].mean() - rbm_score(rbm, test):+.2f}"
)
print(f"  {helmholtz.certify(random_state=0)}")

# %%
# Features
# --------
#
# The features of the Helmholtz machine are those of the one whose columns are not connected: its hidden units have to
# explain all that columns have in common. Those of the Boltzmann machine are standardized, which the others do not
# need. The strength of the linear classifier is chosen by cross-validation on the training images.

from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

classifier = GridSearchCV(LogisticRegression(max_iter=1000), {"C": [0.01, 0.1, 1, 10]}, cv=3)
scaled = make_pipeline(FrozenEstimator(rbm), StandardScaler()).fit(train)
unconnected = helmholtz_machines["HelmholtzMachine, prior only"]
print(f"\n{'features of the test images':34}{'accuracy':>16}")
for name, extract in {
    "pixels": lambda X: X,
    "BernoulliRBM": scaled.transform,
    "HelmholtzMachine, prior only": unconnected.transform,
}.items():
    accuracy = classifier.fit(extract(train), y_train).score(extract(test), y_test)
    print(f"  {name:32}{accuracy:16.3f}")

# %%
# Samples
# -------
#
# A Helmholtz machine draws independent samples in one pass. A Boltzmann machine needs a Markov chain, here of a
# thousand steps from noise. Chains from noise may miss modes, and chains from data stay correlated with their start.
# The weights of the Helmholtz machine are those without connections between columns. With them, it uses fewer units.

import matplotlib.pyplot as plt

from skwakesleep.plotting import ComponentsDisplay, SamplesDisplay

start = process_time()
by_helmholtz = helmholtz.sample(49, random_state=0)
seconds_helmholtz = process_time() - start
start = process_time()
by_rbm = np.random.default_rng(0).random((49, 64)) < 0.5
for _ in range(1000):
    by_rbm = rbm.gibbs(by_rbm)
seconds_rbm = process_time() - start
print(f"\n49 samples: HelmholtzMachine {1000 * seconds_helmholtz:.0f} ms, BernoulliRBM {1000 * seconds_rbm:.0f} ms")

panels = [["rbm samples", "helmholtz samples"], ["rbm weights", "helmholtz weights"]]
figure, axes = plt.subplot_mosaic(panels, figsize=(10, 9.5), layout="constrained")
pair = [axes["rbm samples"], axes["helmholtz samples"]]
SamplesDisplay(by_rbm.astype(float), by_helmholtz, (8, 8)).plot(axes=pair)
pair[0].set_title("Samples of the BernoulliRBM")
pair[1].set_title("Samples of the HelmholtzMachine")
ComponentsDisplay.from_estimator(rbm, max_components=49, ax=axes["rbm weights"])
axes["rbm weights"].set_title("Weights of 49 of its hidden units")
ComponentsDisplay.from_estimator(unconnected, max_components=49, ax=axes["helmholtz weights"])
plt.show()
