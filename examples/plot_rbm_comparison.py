"""
=========================================================
Beside the restricted Boltzmann machine, on equal footing
=========================================================

scikit-learn has a relative of the Helmholtz machine, ``BernoulliRBM``. Both are networks of binary units over binary
columns; both extract features, generate rows, and give each row a probability. How do they compare? Each gets its best
learning rate from a small grid and about as much time to train, and then both are measured alike: by likelihood, by
features, by samples, by time. The likelihood of the Boltzmann machine takes some work, which this example does first.
"""

# %%
# Two machines
# ------------
#
# A Helmholtz machine is *directed*. Causes come first, columns follow, and a second network learns to infer the causes.
# To sample is easy, and so is a bound of the likelihood.
#
# A restricted Boltzmann machine is *undirected* [1]_. Columns and hidden units influence each other; given one, the
# other is independent, so to infer is easy, and exact. But the probability of a row is known only up to a constant
# factor, the partition function, a sum over all states. What ``BernoulliRBM.score_samples`` returns is a
# pseudo-likelihood: another quantity, and random. To compare densities we need the sum.
#
# .. [1] G. E. Hinton. "Training products of experts by minimizing contrastive divergence". Neural Computation 14 (2002)
#    1771-1800.
#
# The partition function
# ----------------------
#
# Annealed importance sampling [2]_ estimates it [3]_. Chains start from independent columns, whose partition function
# is known, and are led to the machine in many small steps, in which its weights grow from nothing to what they are. On
# the way they collect weights, the mean of which is the ratio of the two partition functions.
#
# .. [2] R. M. Neal. "Annealed importance sampling". Statistics and Computing 11 (2001) 125-139.
# .. [3] R. Salakhutdinov, I. Murray. "On the quantitative analysis of deep belief networks". ICML 2008.

from itertools import pairwise
from time import process_time

import numpy as np
from scipy.special import expit, logit, logsumexp
from threadpoolctl import threadpool_limits

threadpool_limits(1)  # matrices this small are not worth a second thread


def softplus(t):
    return np.logaddexp(0, t)


def minus_free_energy(rbm, X):
    """Return the logarithm of the unnormalized probability of each row, summed over the hidden units."""
    return X @ rbm.intercept_visible_ + softplus(X @ rbm.components_.T + rbm.intercept_hidden_).sum(axis=1)


def log_partition(rbm, start, n_chains=100, n_steps=1000, seed=0):
    """Estimate the logarithm of the partition function; `start` has the log-odds of the columns to start from."""
    rng = np.random.default_rng(seed)

    def log_weight(X, beta):
        visible = X @ ((1 - beta) * start + beta * rbm.intercept_visible_)
        return visible + softplus(beta * (X @ rbm.components_.T + rbm.intercept_hidden_)).sum(axis=1)

    def draw(log_odds):
        return (rng.random(log_odds.shape) < expit(log_odds)).astype(np.float64)

    X = draw(np.tile(start, (n_chains, 1)))
    log_weights = np.zeros(n_chains)
    betas = np.linspace(0, 1, n_steps + 1)
    for last, beta in pairwise(betas):
        log_weights += log_weight(X, beta) - log_weight(X, last)
        H = draw(beta * (X @ rbm.components_.T + rbm.intercept_hidden_))
        X = draw((1 - beta) * start + beta * (H @ rbm.components_ + rbm.intercept_visible_))
    of_start = softplus(start).sum() + rbm.n_components * np.log(2)
    return of_start + logsumexp(log_weights) - np.log(n_chains)


# %%
# A small machine is the test: with ten hidden units, the sum has 1024 terms once the columns are summed out.

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
assert abs(exact - estimated) < 0.2, "annealed importance sampling misses the exact partition function"
print(f"log partition function of a small machine: exact {exact:.2f}, estimated {estimated:.2f}")

# %%
# A learning rate for each
# ------------------------
#
# Both have 100 hidden units. The learning rate is chosen by the log-likelihood of validation images. An epoch of the
# Boltzmann machine takes less time, and it gets so many more epochs. Both means of estimation err, in opposite
# directions: the partition function is too small in expectation, if the chains have not settled, and so a Boltzmann
# machine looks *better* than it is; a Helmholtz machine looks worse. How large either error is, four times as many
# steps, and a bound from above, will tell. More epochs would improve both machines.

from skwakesleep import HelmholtzMachine


def rbm_score(rbm, X, **options):
    return minus_free_energy(rbm, X).mean() - log_partition(rbm, columns, **options)


def best_of(candidates, score):
    """Fit the candidates, print a row of the table for each, and return the one with the best score."""
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
    f"HelmholtzMachine, rate {rate}": HelmholtzMachine(
        100, learning_rate_init=rate, max_iter=60, tol=None, random_state=0
    )
    for rate in (0.1, 0.2, 0.4)
}
rbm = best_of(boltzmann_machines, rbm_score)
helmholtz = best_of(helmholtz_machines, HelmholtzMachine.score)

# %%
# Likelihood
# ----------
#
# On the test images, which had no part in any choice, with the paired standard error of the difference.

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
    f"  four times the steps change the Boltzmann machine's by "
    f"{log_likelihoods['BernoulliRBM'].mean() - rbm_score(rbm, test):+.2f}"
)
print(f"  {helmholtz.certify(random_state=0)}")

# %%
# Features
# --------
#
# A linear classifier on the hidden units' probabilities; its strength, and whether the features are standardized, is
# chosen by cross-validation on the training images.

from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

classifier = GridSearchCV(
    make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
    {"standardscaler": ["passthrough", StandardScaler()], "logisticregression__C": [0.01, 0.1, 1]},
    cv=3,
)
print(f"\n{'features of the test images':34}{'accuracy':>16}")
for name, extract in {
    "pixels": lambda X: X,
    "BernoulliRBM": rbm.transform,
    "HelmholtzMachine": helmholtz.transform,
}.items():
    accuracy = classifier.fit(extract(train), y_train).score(extract(test), y_test)
    print(f"  {name:32}{accuracy:16.3f}")

# %%
# Samples
# -------
#
# A Helmholtz machine samples in one pass, and its samples are independent. A Boltzmann machine samples by a Markov
# chain, here of a thousand steps from noise; chains from noise may miss modes, chains from data remember where they
# came from.

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
ComponentsDisplay.from_estimator(helmholtz, max_components=49, ax=axes["helmholtz weights"])
plt.show()
