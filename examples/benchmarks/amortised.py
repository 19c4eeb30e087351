"""AmortisedWakeSleep beside maximum likelihood, on models where that is known.

Differences of log-likelihood are in nats per row, on fresh data, to the model fitted by the best other means: the exact
gradient from the true parameters, or scikit-learn's estimator. Each table has a threshold beside the result.

    python examples/benchmarks/amortised.py
    python examples/benchmarks/amortised.py --tables ring mixture --seeds 2

Roughly a quarter of an hour on one core. No data are needed.
"""

from time import process_time

import numpy as np
from _harness import Table, fixed_start, make_parser, parse, print_tables, quiet, timed
from scipy.optimize import minimize
from sklearn.decomposition import FactorAnalysis
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from skwakesleep import AmortisedWakeSleep
from skwakesleep.models import LatentFactors

# Factors and columns, and the thresholds.
FACTORS = {(4, 12): "-0.150, ahead by 0.5", (6, 18): "-0.600, ahead by 3", (12, 36): "-2.000"}
FORMS = {
    "kernel": {"gradient": "exponential", "feature_map": None},
    "predictive features": {"gradient": "exponential", "feature_map": "predictive"},
    "importance weighting": {"gradient": "importance"},
}


def main():
    parser = make_parser(__doc__, seeds=5, tables=TABLES)
    parser.add_argument("--epochs", type=int, default=200, help="epochs of a fit (default: 200)")
    options = parse(parser, epochs=2, seeds=1)
    with threadpool_limits(1), quiet():
        print_tables(TABLES, options)


def table_of(options, *columns):
    return Table(options, columns, label=40, width=24)


def mean_and_worst(values):
    return f"{np.mean(values):+.3g} (worst {np.min(values):+.3g})"


def over_seeds(result, options, *args, factor=1):
    """Return the results of all seeds as an array."""
    return np.array([result(options, seed, *args) for seed in range(factor * options.seeds)])


def fit(model, X, options, seed, **parameters):
    settings = {"max_iter": options.epochs, "random_state": seed} | parameters
    return AmortisedWakeSleep(model, **settings).fit(X)


def sample(model, theta, rng):
    """Return rows to train on and fresh ones."""
    return model.sample(theta, 1000, rng)[1], model.sample(theta, 5000, rng)[1]


def below_maximum(fitted, model, theta, X, fresh):
    """Return how far a fit is below the best parameters that the exact gradient leads to from the true ones."""

    def loss(theta):
        return -model.log_likelihood(theta, X).mean(), -model.grad_log_likelihood(theta, X)

    best = minimize(loss, theta, jac=True, method="L-BFGS-B", options={"maxiter": 1000}).x
    return model.log_likelihood(best, fresh).mean() - fitted.score(fresh)


def factor_analysis(n_features, n_components, rng, noise_variance=0.1):
    """Return a model and parameters with standard normal loadings."""
    model = LatentFactors(n_features, n_components)
    loadings = rng.normal(size=n_features * n_components)
    log_noise = np.full(n_features, 0.5 * np.log(noise_variance))
    return model, np.concatenate([loadings, np.zeros(n_features), log_noise])


def gradient(options):
    """cosine with the exact gradient, factor analysis with 5 columns and 2 factors, near the truth, least of 8 seeds"""
    table = table_of(options, "dreams", "exponential", "direct", "threshold")
    for n_sleep, threshold in ((500, None), (1000, 0.95), (3000, 0.985)):
        cosines = [gradient_cosines(n_sleep, seed) for seed in range(1 if options.quick else 8)]
        table.row(str(n_sleep), *np.min(cosines, axis=0), threshold)


def gradient_cosines(n_sleep, seed):
    rng = np.random.default_rng(seed)
    model, truth = factor_analysis(5, 2, rng)
    _, X = model.sample(truth, 500, rng)
    theta = model.initial_params(X, rng)
    exact = model.grad_log_likelihood(theta, X)
    cosines = []
    for form in ("exponential", "direct"):
        settings = {"gradient": form, "n_sleep": n_sleep, "max_iter": 1, "learning_rate_init": 1e-12}
        fitted = AmortisedWakeSleep(fixed_start(model, theta), random_state=seed, **settings).fit(X)
        estimated = fitted.estimate_gradient(X, random_state=seed)
        cosines.append(estimated @ exact / np.linalg.norm(estimated) / np.linalg.norm(exact))
    return cosines


def ring(options):
    """a ring in 6 dimensions with noise 0.2; error of B B', noise over the true noise"""
    table = table_of(options, "gradient", "to maximum likelihood", "worst error", "noise", "ms per step")
    for form in ("auto", "exponential"):
        below, errors, noise, ms = over_seeds(ring_result, options, form).T
        table.row(form, mean_and_worst(-below), errors.max(), f"{noise.min():.3f} to {noise.max():.3f}", np.median(ms))
    table.row("threshold", "-0.020", "0.060", "0.95 to 1.05", "12")


def ring_result(options, seed, form):
    rng = np.random.default_rng(seed)
    model = LatentFactors(6, 1, latents="angle", noise="spherical")
    loadings = rng.normal(size=(6, 2))
    truth = np.concatenate([loadings.ravel(), np.zeros(6), [np.log(0.2)]])
    X, fresh = sample(model, truth, rng)
    fitted, seconds = timed(lambda: fit(model, X, options, seed, gradient=form), clock=process_time)
    found = fitted.params_["loadings"]
    error = np.linalg.norm(found @ found.T - loadings @ loadings.T) / np.linalg.norm(loadings @ loadings.T)
    noise = np.sqrt(fitted.params_["noise_variance"][0]) / 0.2
    return below_maximum(fitted, model, truth, X, fresh), error, noise, 1e3 * seconds / fitted.n_steps_


def mixture(options):
    """five clusters in the plane with one covariance, beside scikit-learn's GaussianMixture"""
    table = table_of(options, "gradient", "to GaussianMixture", "threshold")
    for form in ("auto", "exponential"):
        table.row(form, mean_and_worst(over_seeds(mixture_result, options, form)), "-0.020")


def mixture_result(options, seed, form):
    rng = np.random.default_rng(seed)
    centers = 3 * rng.normal(size=(5, 2))
    noise = np.array([[0.6, 0.2], [0.2, 0.4]])

    def draw(n):
        return centers[rng.integers(5, size=n)] + rng.multivariate_normal(np.zeros(2), noise, n)

    X, fresh = draw(1000), draw(5000)
    model = LatentFactors(2, 5, latents="categorical", noise="full")
    fitted = fit(model, X, options, seed, gradient=form)
    reference = GaussianMixture(5, covariance_type="tied", n_init=10, tol=1e-6, max_iter=1000, random_state=seed)
    return fitted.score(fresh) - reference.fit(X).score(fresh)


def binary(options):
    """four binary factors behind 10 columns, twice the seeds; share of the runs within 0.05 nats"""
    table = table_of(options, "gradient", "to maximum likelihood", "runs within .05", "threshold")
    for form, n_restarts in (("exponential", 1), ("auto", 1), ("auto", 4)):
        below = over_seeds(binary_result, options, form, n_restarts, factor=2)
        share = f"{(below < 0.05).mean():.0%} of {len(below)}"
        table.row(f"{form}, n_restarts={n_restarts}", mean_and_worst(-below), share, "80%")


def binary_result(options, seed, form, n_restarts):
    rng = np.random.default_rng(seed)
    model = LatentFactors(10, 4, latents="bernoulli", noise="spherical")
    truth = np.concatenate([1.5 * rng.normal(size=40), np.zeros(10), [np.log(0.5)], rng.normal(size=4)])
    X, fresh = sample(model, truth, rng)
    fitted = fit(model, X, options, seed, gradient=form, n_restarts=n_restarts)
    return below_maximum(fitted, model, truth, X, fresh)


def factors(options):
    """factor analysis with noise variance 0.1, beside scikit-learn's; 500 dreams a step, 1000 rows"""
    table = table_of(options, "to FactorAnalysis", *FORMS, "threshold")
    for (n_components, n_features), threshold in FACTORS.items():
        results = over_seeds(factors_result, options, n_components, n_features)
        table.row(f"{n_components} factors, {n_features} columns", *map(mean_and_worst, results.T), threshold)


def factors_result(options, seed, n_components, n_features):
    rng = np.random.default_rng(seed)
    model, truth = factor_analysis(n_features, n_components, rng)
    X, fresh = sample(model, truth, rng)
    reference = FactorAnalysis(n_components, tol=1e-6, max_iter=5000).fit(X).score(fresh)
    return [fit(model, X, options, seed, n_sleep=500, **form).score(fresh) - reference for form in FORMS.values()]


def speed(options):
    """processor time of a step on one thread, tuning included, factor analysis with 30 columns and 180 parameters"""
    table = table_of(options, "dreams", "ms per step", "least", "threshold")
    rng = np.random.default_rng(0)
    model, truth = factor_analysis(30, 4, rng)
    _, X = model.sample(truth, 1000, rng)
    settings = {"gradient": "exponential", "max_iter": 20}
    for n_sleep, threshold in ((500, 12), (1000, 45)):
        ms = []
        for seed in range(options.seeds):
            run = AmortisedWakeSleep(model, n_sleep=n_sleep, n_restarts=1, random_state=seed, **settings)
            fitted, seconds = timed(run.fit, X, clock=process_time)
            ms.append(1e3 * seconds / fitted.n_steps_)
        table.row(str(n_sleep), np.median(ms), np.min(ms), threshold)


TABLES = {
    "gradient": gradient,
    "ring": ring,
    "mixture": mixture,
    "binary": binary,
    "factors": factors,
    "speed": speed,
}

if __name__ == "__main__":
    main()
