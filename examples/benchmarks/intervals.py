"""How often 90 % intervals of AmortisedWakeSleep cover the parameters that the data were simulated with.

Three models are fitted to many simulated tables of 500 rows: a multivariate probit of four items, waiting times that
are a mixture of two exponential distributions, with a discrete latent, and points near a circle whose angles have a von
Mises distribution. None of them has a likelihood, so the information is learned from dreams. "standard deviation" is
that of the estimates over the tables, and "error" the median of their standard errors.

    python examples/benchmarks/intervals.py --n-jobs 2
    python examples/benchmarks/intervals.py --tables waits --datasets 50 --kinds information sandwich

The bootstrap makes ``--bootstrap`` fits for each table, so it is not run by default. Without it, roughly 30 minutes on
one core. No data are needed.
"""

from functools import partial
from types import SimpleNamespace

import numpy as np
from _harness import Table, make_parser, parse, print_tables, quiet
from joblib import Parallel, delayed
from scipy.special import i0e, log_ndtr
from scipy.stats import norm
from threadpoolctl import threadpool_limits

from skwakesleep import AmortisedWakeSleep
from skwakesleep.models import Interval, Positive, Real

LEVEL = 0.9
N_ROWS = 500
KINDS = ["information", "sandwich", "bootstrap"]


class Items:
    """Four binary items and a normal ability."""

    n_features = 4
    values = {"loadings": np.array([1.0, 0.7, 1.3, 1.0]), "thresholds": np.array([-0.5, 0.0, 0.5, 0.2])}
    parameters = {"loadings": Real(4, start=1.0), "thresholds": Real(4)}

    def sample(self, params, n, rng):
        ability = rng.standard_normal(n)
        tendency = np.outer(ability, params.loadings) - params.thresholds + rng.standard_normal((n, 4))
        return ability, (tendency > 0).astype(float)

    def log_joint(self, params, ability, x):
        mean = np.outer(ability, params.loadings) - params.thresholds
        return log_ndtr(np.where(x == 1, mean, -mean)).sum(axis=1)


class Waits:
    """The logarithm of a waiting time, which is longer if something is broken."""

    n_features = 1
    values = {"broken": np.array(0.3), "mean": np.array(1.0), "factor": np.array(12.0)}
    parameters = {"broken": Interval(0, 1, start=0.5), "mean": Positive(start=0.7), "factor": Positive(start=8)}

    def sample(self, params, n, rng):
        broken = rng.random(n) < params.broken
        return broken, np.log(rng.exponential(params.mean * params.factor**broken))[:, np.newaxis]

    def log_joint(self, params, broken, x):
        log_mean = np.log(params.mean) + broken * np.log(params.factor)
        standard = x[:, 0] - log_mean
        return np.log(np.where(broken, params.broken, 1 - params.broken)) + standard - np.exp(standard)


class Circle:
    """Points near a circle, most of them in one direction."""

    n_features = 2
    values = {"radius": np.array(2.0), "angle": np.array(1.0), "focus": np.array(1.5), "noise": np.array(0.5)}
    parameters = {"radius": Positive(start=1.5), "angle": Real(start=0.5), "focus": Positive(), "noise": Positive()}

    def sample(self, params, n, rng):
        z = rng.vonmises(params.angle, params.focus, n)
        points = params.radius * np.column_stack([np.cos(z), np.sin(z)])
        return z, points + params.noise * rng.standard_normal((n, 2))

    def log_joint(self, params, z, x):
        points = params.radius * np.column_stack([np.cos(z), np.sin(z)])
        log_prior = params.focus * (np.cos(z - params.angle) - 1) - np.log(2 * np.pi * i0e(params.focus))
        return log_prior + norm.logpdf(x, points, params.noise).sum(axis=1)


def main():
    parser = make_parser(__doc__, tables=TABLES, n_jobs=1)
    parser.add_argument("--datasets", type=int, default=200, help="simulated tables (default: 200)")
    parser.add_argument("--epochs", type=int, default=150, help="epochs of a fit (default: 150)")
    parser.add_argument("--bootstrap", type=int, default=100, help="tables of a bootstrap (default: 100)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS[:2], help="default: all but bootstrap")
    options = parse(parser, datasets=2, epochs=2, bootstrap=2)
    print_tables(TABLES, options)


def estimates(model, options, seed):
    """Return, for each kind, estimates, errors and whether the intervals cover, ``(3, n_entries)``."""
    table = model.sample(SimpleNamespace(**model.values), N_ROWS, np.random.default_rng(seed))[1]
    truth = np.concatenate([np.ravel(value) for value in model.values.values()])
    with threadpool_limits(1), quiet():
        fitted = AmortisedWakeSleep(model, max_iter=options.epochs, random_state=seed).fit(table)
        results = []
        for kind in options.kinds:
            found = fitted.inference(table, kind, n_bootstrap=options.bootstrap, random_state=seed)
            low, high = np.concatenate([value.reshape(-1, 2) for value in found.confint(LEVEL).values()]).T
            values = np.concatenate([np.ravel(value) for value in found.params.values()])
            results.append([values, np.sqrt(np.diagonal(found.covariance)), (low <= truth) & (truth <= high)])
    return results


def coverage(model, options):
    run = delayed(partial(estimates, model, options))
    found = np.array(Parallel(n_jobs=options.n_jobs)(run(seed) for seed in range(options.datasets)))
    columns = "parameter", "kind", "bias", "standard deviation", "error", "covered"
    table = Table(options, columns, label=14, width=12)
    names = [f"{name}{list(index) or ''}" for name, value in model.values.items() for index in np.ndindex(value.shape)]
    truth = np.concatenate([np.ravel(value) for value in model.values.values()])
    for which, kind in enumerate(options.kinds):
        values, errors, covered = found[:, which].swapaxes(0, 1)
        for entry, name in enumerate(names):
            deviations, error = values[:, entry] - truth[entry], float(np.nanmedian(errors[:, entry]))
            table.row(name, kind, deviations.mean(), deviations.std(ddof=1), error, covered[:, entry].mean())
        table.row("all", kind, None, None, None, covered.mean())


def probit(options):
    """four binary items, a normal latent, 8 parameters"""
    coverage(Items(), options)


def waits(options):
    """a mixture of two exponential distributions, a discrete latent, 3 parameters"""
    coverage(Waits(), options)


def circle(options):
    """points near a circle, a circular latent, 4 parameters"""
    coverage(Circle(), options)


TABLES = {"probit": probit, "waits": waits, "circle": circle}

if __name__ == "__main__":
    main()
