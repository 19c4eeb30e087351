"""Exact log-likelihood on the Mushrooms set: reweighted wake-sleep, classic wake-sleep and exact gradients.

Machines of 12 latents, few enough to sum over their 4096 states, are trained in batches of 25, with the default
parameters of the constructor otherwise. The rules are

reweighted      reweighted wake-sleep, the default.
classic         classic wake-sleep as published by Hinton, Dayan, Frey & Neal (1995): plain gradient, independent
                causes, no penalty.
classic-adam    classic wake-sleep with the solver and the penalty of the default.
classic-equal   the autoregressive prior of the default as well: all else equal.
exact           the gradient of the log-likelihood, with start, solver, penalty, averaging and prior of the default.
annealed        the same, where states count by their posterior to a power that rises from zero to one over four fifths
                of the steps (Ueda & Nakano 1998).

Learning rates are chosen for each rule on the validation rows, by the mean over the seeds, from multiples of the
default. The tables have the validation scores, then the test scores at the default and at the chosen rate, in nats per
row.

    python examples/benchmarks/mushrooms.py --data-dir DIR --seeds 5 --factors 0.5 1 2 4 8
    python examples/benchmarks/mushrooms.py --data-dir DIR --rules exact annealed --seeds 5 --factors 0.5 1 2 4 8

Needs mushrooms.npz, the one-hot encoded mushrooms of the UCI repository as split by Larochelle & Murray (2011). A fit
by wake-sleep takes some three seconds, one by exact gradients about two minutes; the first form makes 100 fits, the
second 50.
"""

from itertools import product

import numpy as np
from _harness import Table, load_binary, make_parser, parse, quiet
from joblib import Parallel, delayed
from scipy.special import expit, logsumexp

from skwakesleep import HelmholtzMachine

N_LATENTS, BATCH = 12, 25
# Strength of the penalty of the exact rules, in nats per row.
PENALTY = 3e-5
DEFAULT_RATE = HelmholtzMachine().learning_rate_init
CLASSIC = {"n_particles": 1, "recognition_update": "sleep"}
WAKE_SLEEP = {
    "reweighted": {},
    "classic": {**CLASSIC, "autoregressive": None, "alpha": 0, "solver": "sgd"},
    "classic-adam": {**CLASSIC, "autoregressive": None},
    "classic-equal": CLASSIC,
}
# Share of the steps over which the power of the posterior rises.
EXACT = {"exact": 0.0, "annealed": 0.8}


def main():
    parser = make_parser(__doc__, seeds=3, data="mushrooms.npz", n_jobs=1)
    parser.add_argument("--rules", nargs="+", choices=[*WAKE_SLEEP, *EXACT], default=list(WAKE_SLEEP))
    parser.add_argument("--epochs", type=int, default=60, help="passes over the training rows (default: 60)")
    parser.add_argument(
        "--factors",
        type=float,
        nargs="+",
        default=[0.25, 0.5, 1, 2, 4, 8],
        help="learning rates to choose from, as multiples of the default (default: 1/4 to 8)",
    )
    parser.add_argument(
        "--autoregressive", nargs="*", default=["prior"], help="autoregressive layers by default (default: prior)"
    )
    options = parse(parser, rules=[*WAKE_SLEEP, *EXACT], epochs=1, seeds=1, factors=[1])
    parts = load_binary(options, "mushrooms")
    rates = [DEFAULT_RATE * factor for factor in sorted({1.0, *options.factors})]
    scores = {}  # by rule: validation and test scores of each rate and seed
    for rule in options.rules:
        pairs = Parallel(n_jobs=options.n_jobs)(
            delayed(train_and_score)(rule, *choice, options, *parts) for choice in product(rates, range(options.seeds))
        )
        scores[rule] = np.moveaxis(np.reshape(pairs, (len(rates), options.seeds, 2)), -1, 0)
    print_choice(options, rates, scores)
    print_comparison(options, print_test_scores(options, rates, scores))


def train_and_score(rule, rate, seed, options, train, valid, test):
    """Return the exact log-likelihoods of the validation and the test rows after training."""
    common = {"max_iter": options.epochs, "tol": None, "batch_size": BATCH, "learning_rate_init": rate}
    machine = HelmholtzMachine(N_LATENTS, autoregressive=tuple(options.autoregressive), random_state=seed, **common)
    if rule in EXACT:
        machine = ExactGradients(machine, EXACT[rule])
    else:
        machine.set_params(**WAKE_SLEEP[rule])
    with quiet():
        machine.fit(train)
    return machine.score(valid), machine.score(test)


class ExactGradients:
    """The generative network of a machine, trained by the exact gradient of the log-likelihood.

    Adam and the averaging of iterates are those of HelmholtzMachine.

    Parameters
    ----------
    machine : HelmholtzMachine
        Has the settings, with one hidden layer and an autoregressive prior, and gives the start.
    annealed : float
        Share of the steps over which the power of the posterior rises to one.
    """

    def __init__(self, machine, annealed):
        self._machine = machine
        self._annealed = annealed
        codes = np.arange(2**N_LATENTS, dtype=np.int64)[:, np.newaxis]
        self._states = ((codes >> np.arange(N_LATENTS)) & 1).astype(np.float32)

    def fit(self, X):
        parameters = self._start(X)
        average = [values.copy() for values in parameters]
        first, second = ([np.zeros_like(values) for values in parameters] for _ in range(2))
        rate = np.float32(self._machine.learning_rate_init / np.sqrt(N_LATENTS))
        rng = np.random.default_rng(self._machine.random_state)
        n_batches = -(-len(X) // BATCH)
        annealed_steps, step = self._annealed * self._machine.max_iter * n_batches, 0
        for _ in range(self._machine.max_iter):
            for batch in np.array_split(X[rng.permutation(len(X))], n_batches):
                step += 1
                power = min(1.0, step / annealed_steps) if annealed_steps else 1.0
                gradient = self._gradient(parameters, batch, power)
                for value, mean, g, m, v in zip(parameters, average, gradient, first, second, strict=True):
                    m += 0.1 * (g - m)
                    v += 0.001 * (g * g - v)
                    value += rate * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
                    mean += (1 - (1 - 1 / step) ** 9) * (value - mean)  # looks back over a tenth of the steps
        self._parameters = average
        return self

    def _start(self, X):
        """Return intercept and triangle of the prior, weights and intercept of the columns, before training."""
        rate = self._machine.learning_rate_init
        start = self._machine.set_params(learning_rate_init=1e-9).partial_fit(X)
        self._machine.set_params(learning_rate_init=rate)
        triangle, weights = start.autoregressive_coefs_["prior"], start.generative_coefs_[0]
        return [
            values.copy() for values in (start.prior_intercept_, triangle, weights, start.generative_intercepts_[0])
        ]

    def _log_joint(self, parameters, X):
        """Return the log-probability of each state together with each row, and the means given the state."""
        prior, triangle, weights, intercept = parameters
        logits, natural = prior + self._states @ triangle, self._states @ weights + intercept
        log_prior = (self._states * logits - np.logaddexp(0, logits)).sum(axis=1)
        log_joint = natural @ X.T + (log_prior - np.logaddexp(0, natural).sum(axis=1))[:, np.newaxis]
        return log_joint, expit(logits), expit(natural)

    def _gradient(self, parameters, X, power):
        log_joint, chances, means = self._log_joint(parameters, X)
        shares = np.exp(power * log_joint - logsumexp(power * log_joint, axis=0)) / np.float32(len(X))
        mass = shares.sum(axis=1, keepdims=True)
        residual, own = shares @ X - mass * means, mass * (self._states - chances)
        weights, intercept = self._states.T @ residual, residual.sum(axis=0)
        right = np.abs(intercept) < 1e-5  # columns whose mean is right do not move
        weights[:, right] = intercept[right] = 0
        triangle = np.triu(self._states.T @ own, k=1)
        return [
            own.sum(axis=0),
            triangle - self._pull(parameters[1]),
            weights - self._pull(parameters[2]),
            intercept,
        ]

    def _pull(self, weights):
        """Return the gradient of the penalty, ``PENALTY * sum(log(1 + (weights / 0.1) ** 2))``."""
        return 2 * PENALTY * weights / (weights**2 + 0.01)

    def score(self, X):
        parameters = [values.astype(float) for values in self._parameters]
        blocks = np.array_split(X.astype(float), -(-len(X) // 500))
        return np.concatenate([logsumexp(self._log_joint(parameters, block)[0], axis=0) for block in blocks]).mean()


def print_choice(options, rates, scores):
    """Print the scores that the learning rates are chosen by."""
    print("Validation log-likelihood, nats per row, mean of the seeds")
    table = Table(options, ("learning rate", *(f"{rate:.4g}" for rate in rates)), label=16, digits=2)
    for rule, (valid, _) in scores.items():
        table.row(rule, *valid.mean(axis=1))


def print_test_scores(options, rates, scores):
    """Print the test scores at the default and at the chosen rate; return the latter by rule."""
    print("\nTest log-likelihood, nats per row")
    columns = ("rule", "learning rate", *(f"seed {seed}" for seed in range(options.seeds)), "mean")
    table = Table(options, columns, label=16, width=9, digits=2)
    chosen = {}
    for rule, (valid, test) in scores.items():
        best = valid.mean(axis=1).argmax()
        for choice, index in {"default": rates.index(DEFAULT_RATE), "best": best}.items():
            table.row(rule, f"{choice} {rates[index]:.4g}", *test[index], test[index].mean())
        if len(rates) > 1 and best in (0, len(rates) - 1):
            print("    (the rate is at the edge of the grid: widen it with --factors)")
        chosen[rule] = test[best]
    return chosen


def print_comparison(options, chosen):
    """Print how far the first rule is above the others."""
    (first, scores), *others = chosen.items()
    if not others:
        return
    print(f"\n{first} above the others, each at its chosen rate, nats per row")
    table = Table(options, ("rule", "difference", "error over seeds"), label=16, digits=2)
    for rule, other in others:
        error = np.hypot(scores.std(ddof=1), other.std(ddof=1)) / np.sqrt(options.seeds) if options.seeds > 1 else None
        table.row(rule, f"{scores.mean() - other.mean():+.2f}", error)


if __name__ == "__main__":
    main()
