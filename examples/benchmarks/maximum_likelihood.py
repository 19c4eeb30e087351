"""How near AmortisedWakeSleep comes to maximum likelihood, with its default settings.

gap     mean log-likelihood of the training rows at the maximum, minus that of the fit, in nats per row. The maximum is
        that of scikit-learn's estimator, or of quasi-Newton steps from the true parameters.
bias    squared length of the bias of the gradient at the maximum, over two, in the metric of the Fisher information:
        the nats per row that it costs a fit. Before, and with the contrast of fresh dreams; and the noise of one step
        with all rows, in the same unit.
starts  whether starts are ranked rightly without a likelihood: rank correlation of the likelihood and the discrepancy
        of rows and dreams over eight short fits, and the likelihood that the choice by it loses.

    python examples/benchmarks/maximum_likelihood.py
    python examples/benchmarks/maximum_likelihood.py --tables gap --seeds 2

Roughly 20 minutes on one core. No data are needed.
"""

import numpy as np
from _harness import Table, gradients_at, make_parser, parse, print_tables, quiet, timed
from scipy.optimize import minimize
from scipy.stats import spearmanr
from sklearn.decomposition import FactorAnalysis
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from skwakesleep import AmortisedWakeSleep
from skwakesleep.datasets import load_blowfly
from skwakesleep.models import LatentFactors, NeuralDecoder, SigmoidBeliefNetwork
from skwakesleep.simulators import BlowflyDynamics

# Draws from a model that its Fisher information is estimated from, and its eigenvalues that are flat directions.
N_FISHER_ROWS, FLAT = 2000, 1e-3


def main():
    options = parse(make_parser(__doc__, seeds=5, tables=TABLES), seeds=1)
    with threadpool_limits(1), quiet():
        print_tables(TABLES, options)


# ---------------------------------------------------------------------- models, with true parameters and rows


def factor_analysis(rng, n_components, n_features):
    model = LatentFactors(n_features, n_components)
    loadings = rng.normal(size=n_features * n_components)
    return model, np.concatenate([loadings, np.zeros(n_features), np.full(n_features, 0.5 * np.log(0.1))]), 1000


def ring(rng):
    model = LatentFactors(6, 1, latents="angle", noise="spherical")
    return model, np.concatenate([rng.normal(size=12), np.zeros(6), [np.log(0.2)]]), 1000


def angles(rng):
    model = LatentFactors(6, 2, latents="angle", noise="spherical")
    return model, np.concatenate([rng.normal(size=24), np.zeros(6), [np.log(0.3)]]), 3000


def binary(rng):
    model = LatentFactors(10, 4, latents="bernoulli", noise="spherical")
    return model, np.concatenate([1.5 * rng.normal(size=40), np.zeros(10), [np.log(0.5)], rng.normal(size=4)]), 1000


def mixture(rng):
    model = LatentFactors(2, 5, latents="categorical", noise="diagonal")
    return model, np.concatenate([3 * rng.normal(size=10), np.zeros(2), np.log([0.6, 0.5]), np.zeros(5)]), 1000


def sparse(rng, latents="laplace"):
    model = LatentFactors(6, 2, latents=latents, noise="spherical")
    return model, np.concatenate([np.abs(rng.normal(size=12)), np.zeros(6), [np.log(0.3)]]), 1000


def uniform(rng):
    return sparse(rng, "uniform")


def items(rng):
    model = LatentFactors(10, 2, observations="bernoulli")
    return model, np.concatenate([1.5 * rng.normal(size=20), rng.normal(size=10)]), 1000


def network(rng):
    model = SigmoidBeliefNetwork(10, 3)
    return model, rng.normal(size=model.n_params), 1000


def decoder(rng):
    model = NeuralDecoder(10, n_latents=3, n_hidden=5)
    return model, rng.normal(size=model.n_params), 1000


SHIPPED = {
    "ring": ring,
    "two angles": angles,
    "tied mixture": mixture,
    "4 binary factors, 10 columns": binary,
    "2 Laplace factors": sparse,
    "2 uniform factors": uniform,
    "2 normal factors, binary columns": items,
    "belief network, 3 units": network,
    "neural decoder, 3 latents": decoder,
    "factor analysis 4 / 12": lambda rng: factor_analysis(rng, 4, 12),
    "factor analysis 6 / 18": lambda rng: factor_analysis(rng, 6, 18),
    "factor analysis 12 / 36": lambda rng: factor_analysis(rng, 12, 36),
}
LEARNED = [name for name in SHIPPED if name.split()[0] in ("ring", "two", "tied", "4", "factor")]


def drawn(name, seed):
    rng = np.random.default_rng(seed)
    model, truth, n_rows = SHIPPED[name](rng)
    return model, truth, model.sample(truth, n_rows, rng)[1]


def maximum(model, theta, X):
    """Return the parameters of maximum likelihood near given ones."""

    def loss(theta):
        return -model.log_likelihood(theta, X).mean(), -model.grad_log_likelihood(theta, X)

    options = {"maxiter": 2000, "maxfun": 4000, "gtol": 1e-7, "ftol": 1e-14}
    return minimize(loss, theta, jac=True, method="L-BFGS-B", options=options).x


def best_score(model, truth, X):
    if model.latents == "normal":
        return FactorAnalysis(model.n_components, tol=1e-8, max_iter=20_000, svd_method="lapack").fit(X).score(X)
    score = model.log_likelihood(maximum(model, truth, X), X).mean()
    if model.latents == "categorical":  # its noise is more general, and so the maximum not lower
        score = max(score, GaussianMixture(5, covariance_type="tied", n_init=5, random_state=0).fit(X).score(X))
    return score


# ---------------------------------------------------------------------- tables


def gap(options):
    """to maximum likelihood, default settings; targets: median 0.02 (12 / 36: 0.1), worst 0.1, two minutes"""
    table = Table(options, ("model", "median", "worst", "seconds", "most"), label=34, digits=4)
    for name in LEARNED:
        gaps, seconds = np.array([gap_of(name, options, seed) for seed in range(options.seeds)]).T
        table.row(name, np.median(gaps), gaps.max(), np.median(seconds), seconds.max())


def gap_of(name, options, seed):
    model, truth, X = drawn(name, seed)
    settings = {"max_iter": 2} if options.quick else {}
    fitted, seconds = timed(AmortisedWakeSleep(model, random_state=seed, **settings).fit, X)
    return best_score(model, truth, X) - fitted.score(X), seconds


def bias(options):
    """of the gradient at the maximum, in nats per row (below zero: not significant), 500 dreams, one data set"""
    table = Table(options, ("model", "form", "before", "after", "noise before", "noise after"), label=34, digits=4)
    forms = dict.fromkeys(SHIPPED, ("exponential", "direct", "importance"))
    forms["factor analysis 12 / 36"] = ("exponential",)
    for name, chosen in forms.items():
        model, truth, X = drawn(name, 0)
        theta = maximum(model, truth, X[:1000])
        for form in chosen:
            table.row(name, form, *biases(model, theta, X[:1000], form, 2 if options.quick else 24))
    X = load_blowfly()[np.newaxis] / 10_000
    model = BlowflyDynamics(X.shape[1], delay=7)
    theta = maximum(model, model.initial_params(X, np.random.default_rng(0)), X)
    table.row("blowfly, 173 local factors", "direct", *biases(model, theta, X, "auto", 2 if options.quick else 24, 100))


def biases(model, theta, X, form, seeds, n_fisher_rows=N_FISHER_ROWS):
    """Return the squared bias before and after, and the variance before and after."""
    _, draws = model.sample(theta, n_fisher_rows, np.random.default_rng(1))
    scores = np.array([model.grad_log_likelihood(theta, row) for row in draws[:, np.newaxis]])
    eigenvalues, vectors = np.linalg.eigh(scores.T @ scores / len(scores))
    kept = eigenvalues > FLAT * eigenvalues.max()
    whitening = vectors[:, kept] / np.sqrt(eigenvalues[kept])
    exact, results = model.grad_log_likelihood(theta, X), []
    for contrasted in (False, True):
        errors = (gradients_at(model, theta, X, form, contrasted=contrasted, seeds=seeds) - exact) @ whitening
        variance = errors.var(axis=0, ddof=1).sum() / 2
        results.append((np.square(errors.mean(axis=0)).sum() / 2 - variance / seeds, variance))
    return [number for pair in zip(*results, strict=True) for number in pair]


def starts(options):
    """of eight short fits, ranked by likelihood and by discrepancy; nats per row lost by the latter, and the range"""
    table = Table(options, ("model", "rank corr.", "lost", "range"), label=34, digits=4)
    for name in ("two angles", "4 binary factors, 10 columns", "tied mixture"):
        for seed in range(options.seeds):
            table.row(f"{name}, seed {seed}", *ranked(name, seed, options))


def ranked(name, seed, options):
    model, _, X = drawn(name, seed)
    settings = {"n_restarts": 8, "max_iter": 2 if options.quick else 160, "random_state": seed}
    likelihood, discrepancy = (
        AmortisedWakeSleep(one, **settings).fit(X).starts_["score"] for one in (model, _WithoutLikelihood(model))
    )
    lost = likelihood.max() - likelihood[discrepancy.argmax()]
    return spearmanr(likelihood, discrepancy).statistic, lost, np.ptp(likelihood)


class _WithoutLikelihood:
    """A model without its likelihood."""

    def __init__(self, model):
        self._model = model

    def __getattr__(self, name):
        if name.startswith("__") or name in ("log_likelihood", "grad_log_likelihood"):
            raise AttributeError(name)
        return getattr(self._model, name)


TABLES = {"gap": gap, "bias": bias, "starts": starts}

if __name__ == "__main__":
    main()
