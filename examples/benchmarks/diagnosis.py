"""Diagnostics of black-box fits: is the gain what is missing, and are the p-values calibrated?

The gain of `check_convergence` is compared with the distance to maximum likelihood in closed form, for random slopes,
at scales that the start suits and others. Rates of rejection are those of `compare_with_dreams` and
`recover_parameters`, for factor analysis with normal noise, which is right, and with other noise, which is wrong.
"""

import warnings
from types import SimpleNamespace

import numpy as np
from _harness import Table, make_parser, maximum_likelihood, parse, print_tables, quiet
from scipy.stats import multivariate_normal

from skwakesleep import AmortisedWakeSleep
from skwakesleep.inspection import check_convergence, check_regression, compare_with_dreams, recover_parameters
from skwakesleep.models import LatentFactors, Positive, Real

AGES = np.array([-1.5, -0.5, 0.5, 1.5])


def main():
    options = parse(make_parser(__doc__, seeds=5, tables=TABLES, n_jobs=1), seeds=1)
    print_tables(TABLES, options)


# ---------------------------------------------------------------------- convergence


class Growth:
    """Four values with a random level and a random slope; a normal distribution, so that the likelihood is known."""

    n_features = 4

    def __init__(self, start):
        stds = {name: Positive(start=start) for name in ("level_std", "growth_std", "noise")}
        self.parameters = {"weight": Real(), "growth": Real(), **stds}

    def expected(self, params, z):
        return params.weight + params.level_std * z[:, :1] + (params.growth + params.growth_std * z[:, 1:]) * AGES

    def sample(self, params, n, rng):
        z = rng.standard_normal((n, 2))
        return z, self.expected(params, z) + params.noise * rng.standard_normal((n, 4))

    def log_joint(self, params, z, x):
        standard = (x - self.expected(params, z)) / params.noise
        return (-0.5 * standard**2 - np.log(params.noise)).sum(axis=1) - 0.5 * (z**2).sum(axis=1)


def log_likelihood(params, X):
    levels, slopes = params.level_std**2, params.growth_std**2 * np.outer(AGES, AGES)
    covariance = levels + slopes + params.noise**2 * np.eye(4)
    return multivariate_normal(params.weight + params.growth * AGES, covariance).logpdf(X)


def convergence(options):
    """random slopes, 1000 rows; below maximum likelihood in nats per row, and what the diagnostics say, by seed"""
    columns = ["scale of the data, start, epochs", "missing", "gain", "its error", "bias", "warned"]
    table = Table(options, columns, label=34)
    for scale, start, max_iter in ((1, 1, 200), (1, 1, 10), (10, 10, 200), (10, 1, 200), (10, 1, 60)):
        for seed in range(options.seeds):
            n_epochs = 2 if options.quick else max_iter
            table.row(f"{scale}, {start}, {max_iter}", *convergence_row(scale, start, n_epochs, seed))


def convergence_row(scale, start, max_iter, seed):
    values = {"weight": 0.1, "growth": 0.2, "level_std": 1.0, "growth_std": 0.5, "noise": 0.4}
    truth = SimpleNamespace(**{name: scale * value for name, value in values.items()})
    X = Growth(start).sample(truth, 1000, np.random.default_rng(seed))[1]
    estimator = AmortisedWakeSleep(Growth(float(start)), max_iter=max_iter, random_state=seed)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator.fit(X)
    best = maximum_likelihood(Growth(start), vars(truth), X, log_likelihood)
    missing = best - log_likelihood(SimpleNamespace(**estimator.params_), X).mean()
    result = check_convergence(estimator, X, random_state=seed)
    bias = check_regression(estimator, X, random_state=seed).bias
    return missing, result.gain, result.gain_error, bias, "yes" if caught else "no"


# ---------------------------------------------------------------------- calibration


def rejections(options):
    """factor analysis, 3 columns, 1 factor, 100 rows; share of p-values of at most 0.05, in 20 data sets per seed"""
    n = (2 if options.quick else 20) * options.seeds
    table = Table(options, ["noise", "data sets", "compare_with_dreams", "recover_parameters"])
    for name, noise in {"normal (right)": normal, "uniform": uniform, "t, 3 degrees of freedom": heavy}.items():
        p_values = np.array([rejection_row(noise, seed, options) for seed in range(n)])
        table.row(name, n, *(p_values <= 0.05).mean(axis=0))


def normal(rng, shape):
    return rng.standard_normal(shape)


def uniform(rng, shape):
    return rng.uniform(-np.sqrt(3), np.sqrt(3), shape)


def heavy(rng, shape):
    return rng.standard_t(3, shape) / np.sqrt(3)


def rejection_row(noise, seed, options):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((100, 1)) @ np.array([[1.0, -0.8, 0.6]]) + 0.6 * noise(rng, (100, 3))
    settings = {"gradient": "exact", "n_sleep": 2, "max_iter": 150, "learning_rate_init": 0.05, "random_state": seed}
    with quiet():
        estimator = AmortisedWakeSleep(LatentFactors(3, 1), **settings).fit(X)
        compared = compare_with_dreams(estimator, X, random_state=seed)
        recovered = recover_parameters(estimator, X, n_jobs=options.n_jobs, random_state=seed)
    return compared.p_value, recovered.p_value


TABLES = {"convergence": convergence, "rejections": rejections}

if __name__ == "__main__":
    main()
