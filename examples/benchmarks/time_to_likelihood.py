"""How long a user waits for a given held-out log-likelihood, beside the alternatives.

Binarized digits of scikit-learn, a quarter of them held out. Every density is trained a little, scored, and trained on;
only training is timed. The table has the seconds after which each first reached a log-likelihood, and the best it
reached. The partition function of the restricted Boltzmann machine is estimated by annealed importance sampling
(Salakhutdinov & Murray 2008); Helmholtz machines, those of PyTorch included, are scored by importance sampling.

    python examples/benchmarks/time_to_likelihood.py [--seconds 20] [--csv FILE]

PyTorch's rows are skipped where it is not installed.
"""

import argparse
import csv
import sys
import time
import warnings
from importlib.util import find_spec
from itertools import pairwise

import numpy as np
from scipy.special import expit, logsumexp
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import BernoulliRBM
from threadpoolctl import threadpool_limits

from skwakesleep import HelmholtzMachine
from skwakesleep._engine.machine.families import Bernoulli
from skwakesleep._engine.machine.networks import Machine
from skwakesleep._engine.machine.rows import Rows
from skwakesleep._engine.posterior.likelihood import log_likelihood
from skwakesleep.reference import BernoulliMixture

TARGETS = (-22.0, -20.0, -19.0, -18.0, -17.5, -17.0)
N_HIDDEN, BATCH, N_PARTICLES = 100, 100, 256


class Helmholtz:
    """This package's machine."""

    def __init__(self, **parameters):
        self.machine = HelmholtzMachine(
            N_HIDDEN, max_iter=1, tol=None, warm_start=True, n_score_particles=N_PARTICLES, random_state=0, **parameters
        )

    def train(self, X):
        self.machine.fit(X)

    def score(self, X):
        return self.machine.score(X)


class Boltzmann:
    """Scikit-learn's restricted Boltzmann machine, trained by persistent contrastive divergence."""

    def __init__(self, learning_rate):
        self.rbm = BernoulliRBM(N_HIDDEN, learning_rate=learning_rate, batch_size=BATCH, random_state=0)

    def train(self, X):
        self.rbm.partial_fit(X[np.random.default_rng(self._epoch()).permutation(len(X))][:BATCH])
        for start in range(BATCH, len(X), BATCH):
            self.rbm.partial_fit(X[start : start + BATCH])

    def _epoch(self):
        self.n_epochs = getattr(self, "n_epochs", 0) + 1
        return self.n_epochs

    def score(self, X):
        return (self._log_weight(X, 1.0) - self._log_partition(X.mean(axis=0))).mean()

    def _log_weight(self, V, beta):
        """Return the unnormalized log-probability of visible rows, with the coupling to the hidden units tempered."""
        hidden = beta * (V @ self.rbm.components_.T + self.rbm.intercept_hidden_)
        return V @ self.rbm.intercept_visible_ * beta + np.logaddexp(0, hidden).sum(axis=1)

    def _log_partition(self, means, n_chains=200, n_steps=2000):
        """Anneal from independent columns with the data's means."""
        rng = np.random.default_rng(0)
        base = np.log(np.clip(means, 0.01, 0.99)) - np.log1p(-np.clip(means, 0.01, 0.99))
        V = (rng.random((n_chains, len(base))) < expit(base)).astype(float)

        def log_weight(V, beta):
            return (1 - beta) * (V @ base) + self._log_weight(V, beta)

        total, betas = np.zeros(n_chains), np.linspace(0, 1, n_steps + 1)
        for before, beta in pairwise(betas):
            total += log_weight(V, beta) - log_weight(V, before)
            H = rng.random((n_chains, N_HIDDEN)) < expit(
                beta * (V @ self.rbm.components_.T + self.rbm.intercept_hidden_)
            )
            field = (1 - beta) * base + beta * (H @ self.rbm.components_ + self.rbm.intercept_visible_)
            V = (rng.random(V.shape) < expit(field)).astype(float)
        log_base = np.logaddexp(0, base).sum() + N_HIDDEN * np.log(2)
        return log_base + logsumexp(total) - np.log(n_chains)


class Mixture:
    """Expectation-maximization, a third more iterations at each training. It starts anew: only the last one counts."""

    def __init__(self, n_components):
        self.n_components = n_components
        self.n_iterations = 4

    def train(self, X):
        self.n_iterations += self.n_iterations // 3
        mixture = BernoulliMixture(self.n_components, max_iter=self.n_iterations, tol=0.0, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # it is to stop before it converges
            self.mixture = mixture.fit(X)
        return self.mixture.converged_

    def score(self, X):
        return self.mixture.score(X)


class Torch:
    """The same machine, without autoregressive connections, in PyTorch."""

    def __init__(self, learning_rate):
        import torch
        from torch_machine import TorchMachine

        torch.manual_seed(0)
        torch.set_num_threads(1)
        self.torch, self.machine = torch, TorchMachine((64, N_HIDDEN), 5, "both", learning_rate)

    def train(self, X):
        rows = self.torch.from_numpy(X)[self.torch.randperm(len(X))]
        for batch in rows.split(BATCH):
            self.machine.step(batch)

    def score(self, X):
        """Score the network's parameters with this package's estimator."""
        machine = Machine(Bernoulli(), (64, N_HIDDEN), n_active=1.0)
        flat = np.empty(machine.layout.size)
        (prior, visible), (recognition,) = machine.bind(flat)
        arrays = {name: values.detach().double().numpy() for name, values in self.machine.named_parameters()}
        prior["intercept"][...] = arrays["prior"]
        for views, name in ((visible, "generative.0"), (recognition, "recognition.0")):
            views["weights"][...], views["intercept"][...] = arrays[f"{name}.weight"].T, arrays[f"{name}.bias"]
        rows = Rows(X.astype(np.float64), machine.visible, np.float64)
        return log_likelihood(machine, flat, rows, N_PARTICLES).mean()


def contenders():
    """Yield the name and the maker of each density."""
    yield "HelmholtzMachine", Helmholtz
    yield "HelmholtzMachine, independent causes", lambda: Helmholtz(autoregressive=None)
    for rate in (0.003, 0.01, 0.03):
        if find_spec("torch"):
            yield f"PyTorch, independent causes, lr {rate}", lambda rate=rate: Torch(rate)
        else:
            print("skipped: PyTorch is not installed")
    for rate in (0.01, 0.05):
        yield f"BernoulliRBM, lr {rate}", lambda rate=rate: Boltzmann(rate)
    for n_components in (20, 40, 80):
        yield f"mixture of {n_components} Bernoullis", lambda n=n_components: Mixture(n)


def curve(density, train, test, budget, factor=1.3):
    """Return pairs of training seconds and held-out log-likelihood, at times that grow by a factor."""
    seconds, due, points, converged = 0.0, 0.02, [], False
    while seconds < budget and not converged:
        start = time.perf_counter()
        converged = density.train(train)  # nothing, unless it can tell
        elapsed = time.perf_counter() - start
        seconds = elapsed if isinstance(density, Mixture) else seconds + elapsed
        if seconds >= due or converged:
            points.append((seconds, density.score(test)))
            due = seconds * factor
    return points


def first_reached(points, target):
    """Return the seconds after which a log-likelihood was first reached, or nothing."""
    return next((seconds for seconds, score in points if score >= target), None)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="training time of each density (default: 20)")
    parser.add_argument("--csv", help="where to write the table as well")
    options = parser.parse_args()
    X = (load_digits().data >= 8).astype(np.float32)
    train, test = train_test_split(X, test_size=0.25, random_state=0)
    table = [("density", *(f"{target:g}" for target in TARGETS), "best")]
    print(f"{'seconds to reach, nats per image':40}" + "".join(f"{head:>8}" for head in table[0][1:]))
    with threadpool_limits(1):
        for name, make in contenders():
            points = curve(make(), train, test, options.seconds)
            times = [first_reached(points, target) for target in TARGETS]
            cells = ["-" if seconds is None else f"{seconds:.2f}" for seconds in times]
            table.append((name, *cells, f"{max(score for _, score in points):.2f}"))
            print(f"{name:40}" + "".join(f"{cell:>8}" for cell in table[-1][1:]), flush=True)
    if options.csv:
        with open(options.csv, "w", newline="") as file:
            csv.writer(file).writerows(table)


if __name__ == "__main__":
    sys.exit(main())
