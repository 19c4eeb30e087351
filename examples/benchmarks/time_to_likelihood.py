"""Seconds of training until a held-out log-likelihood is reached, beside other packages and models.

Binarized digits of scikit-learn, a quarter of them held out, 100 hidden units, one thread. Every density is trained a
little, scored, and trained on; only training is timed. The table has the seconds after which each first reached a
log-likelihood in nats per image, and the best that it reached. Helmholtz machines are scored by importance sampling,
Boltzmann machines by annealed importance sampling of the partition function (Salakhutdinov & Murray 2008).

    python examples/benchmarks/time_to_likelihood.py --seconds 6

About four minutes with 6 seconds for each density. PyTorch's rows are skipped where it is not installed. No data are
needed.
"""

import warnings
from importlib.util import find_spec
from itertools import pairwise

import numpy as np
from _harness import Table, make_parser, parse, timed
from scipy.special import expit, logsumexp
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import BernoulliRBM
from threadpoolctl import threadpool_limits

from skwakesleep import HelmholtzMachine
from skwakesleep.reference import BernoulliMixture

TARGETS = (-22.0, -20.0, -19.0, -18.0, -17.5, -17.0)
N_HIDDEN, BATCH, N_PARTICLES = 100, 100, 256
# Scores are taken at times that grow by this factor.
SPACING = 1.3


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="training time of each density (default: 20)")
    options = parse(parser, seconds=0.05)
    X = (load_digits().data >= 8).astype(np.float32)
    train, test = train_test_split(X, test_size=0.25, random_state=0)
    table = Table(options, ("density", *(f"{target:g}" for target in TARGETS), "best"), label=40, width=6, digits=2)
    with threadpool_limits(1):
        for name, density in densities(options):
            points = learning_curve(density, train, test, options.seconds)
            reached = [next((seconds for seconds, score in points if score >= target), None) for target in TARGETS]
            table.row(name, *reached, max(score for _, score in points))


def densities(options):
    """Yield the name of each density and an untrained one."""
    yield "HelmholtzMachine", Helmholtz()
    yield "HelmholtzMachine, independent causes", Helmholtz(autoregressive=None)
    if find_spec("torch"):
        for rate in (0.003, 0.01, 0.03):
            yield f"PyTorch, independent causes, lr {rate}", Torch(rate)
    else:
        print("skipped: PyTorch is not installed")
    for rate in (0.01, 0.05):
        yield f"BernoulliRBM, lr {rate}", Boltzmann(rate, n_steps=100 if options.quick else 2000)
    for n_components in (20, 40, 80):
        yield f"mixture of {n_components} Bernoullis", Mixture(n_components)


def learning_curve(density, train, test, budget):
    """Return pairs of training seconds and held-out log-likelihood."""
    seconds, due, points, converged = 0.0, 0.02, [], False
    while seconds < budget and not converged:
        converged, elapsed = timed(density.train, train)
        seconds = elapsed + (0.0 if density.starts_anew else seconds)
        if seconds >= due or converged:
            points.append((seconds, density.score(test)))
            due = seconds * SPACING
    return points


class Density:
    """A density in training; `train` returns whether it has converged, as far as that is known."""

    starts_anew = False


class Helmholtz(Density):
    """This package's machine."""

    def __init__(self, **parameters):
        self._machine = HelmholtzMachine(N_HIDDEN, n_score_particles=N_PARTICLES, random_state=0, **parameters)

    def train(self, X):
        self._machine.partial_fit(X)
        return False

    def score(self, X):
        return self._machine.score(X)


class Torch(Density):
    """The same machine, without autoregressive connections, in PyTorch."""

    def __init__(self, learning_rate):
        import torch
        from _torch_machine import TorchMachine

        torch.manual_seed(0)
        torch.set_num_threads(1)
        self._torch, self._machine = torch, TorchMachine((64, N_HIDDEN), 5, learning_rate)

    def train(self, X):
        for batch in self._torch.from_numpy(X)[self._torch.randperm(len(X))].split(BATCH):
            self._machine.step(batch)
        return False

    def score(self, X):
        return self._machine.score(self._torch.from_numpy(X), N_PARTICLES)


class Boltzmann(Density):
    """Scikit-learn's restricted Boltzmann machine, trained by persistent contrastive divergence.

    Its partition function is estimated by annealing in `n_steps`.
    """

    def __init__(self, learning_rate, n_steps):
        self._n_steps = n_steps
        self._rbm = BernoulliRBM(N_HIDDEN, learning_rate=learning_rate, batch_size=BATCH, random_state=0)
        self._rng = np.random.default_rng(0)

    def train(self, X):
        X = X[self._rng.permutation(len(X))]
        for start in range(0, len(X), BATCH):
            self._rbm.partial_fit(X[start : start + BATCH])
        return False

    def score(self, X):
        return (self._log_weight(X, 1.0) - self._log_partition(X.mean(axis=0))).mean()

    def _hidden(self, V):
        return V @ self._rbm.components_.T + self._rbm.intercept_hidden_

    def _log_weight(self, V, beta):
        """Return the unnormalized log-probability of rows, with a temperature of ``1 / beta``."""
        return beta * (V @ self._rbm.intercept_visible_) + np.logaddexp(0, beta * self._hidden(V)).sum(axis=1)

    def _log_partition(self, means, n_chains=200):
        """Anneal from independent columns with the means of the data."""
        rng = np.random.default_rng(0)
        means = np.clip(means, 0.01, 0.99)
        base = np.log(means) - np.log1p(-means)
        V = (rng.random((n_chains, len(base))) < means).astype(float)

        def log_weight(V, beta):
            return (1 - beta) * (V @ base) + self._log_weight(V, beta)

        total = np.zeros(n_chains)
        for before, beta in pairwise(np.linspace(0, 1, self._n_steps + 1)):
            total += log_weight(V, beta) - log_weight(V, before)
            H = rng.random((n_chains, N_HIDDEN)) < expit(beta * self._hidden(V))
            logits = (1 - beta) * base + beta * (H @ self._rbm.components_ + self._rbm.intercept_visible_)
            V = (rng.random(V.shape) < expit(logits)).astype(float)
        log_base = np.logaddexp(0, base).sum() + N_HIDDEN * np.log(2)
        return log_base + logsumexp(total) - np.log(n_chains)


class Mixture(Density):
    """Expectation-maximization, a third more iterations at each training, from the start."""

    starts_anew = True

    def __init__(self, n_components):
        self._n_components = n_components
        self._n_iterations = 4

    def train(self, X):
        self._n_iterations += self._n_iterations // 3
        mixture = BernoulliMixture(self._n_components, max_iter=self._n_iterations, tol=0.0, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a fit of few iterations is meant not to converge
            self._mixture = mixture.fit(X)
        return mixture.converged_

    def score(self, X):
        return self._mixture.score(X)


if __name__ == "__main__":
    main()
