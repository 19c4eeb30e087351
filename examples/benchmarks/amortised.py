"""What AmortisedWakeSleep reaches, on models whose maximum likelihood is known.

Each table has the threshold that the result is held against beside it. Differences of log-likelihood are in nats per
row, on fresh data, to the model fitted by the best other means: the exact gradient from the true parameters, or
scikit-learn's estimator where there is one.

    python examples/benchmarks/amortised.py
    python examples/benchmarks/amortised.py --tables ring mixture --seeds 2

The tables are: gradient (its direction against the exact gradient), ring, mixture, binary, factors (factor analysis
from 4 to 12 factors, beside importance weighting) and speed.
"""

import argparse
import warnings
from time import process_time

import numpy as np
from scipy.optimize import minimize
from sklearn.decomposition import FactorAnalysis
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from skwakesleep import AmortisedWakeSleep
from skwakesleep.models import LatentFactors


def main():
    args = parse_arguments()
    print(f"{args.seeds} seeds unless said")
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", (ConvergenceWarning, UserWarning))
        for name in args.tables:
            print(f"\n{name}")
            TABLES[name](args.seeds)


def parse_arguments():
    summary, _, details = __doc__.partition("\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=TABLES, help="default: all")
    parser.add_argument("--seeds", type=int, default=5, help="repetitions with other data and starts (default: 5)")
    return parser.parse_args()


def row(*cells):
    print("  " + "".join(f"{cell:>26}" if n else f"{cell:36}" for n, cell in enumerate(cells)), flush=True)


def summary(values):
    return f"{np.mean(values):+.3g} (worst {np.min(values):+.3g})"


def timed_fit(model, X, **parameters):
    start = process_time()
    fitted = AmortisedWakeSleep(model, **parameters).fit(X)
    return fitted, 1e3 * (process_time() - start) / fitted.n_steps_


def maximum_likelihood(model, X, starts):
    """Return the best parameters that the exact gradient leads to."""

    def loss(theta):
        return -model.log_likelihood(theta, X).mean(), -model.grad_log_likelihood(theta, X)

    fits = [minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 1000}) for start in starts]
    return min(fits, key=lambda fit: fit.fun).x


# ---------------------------------------------------------------------- gradient


def gradient_table(n_seeds):
    """Direction of the gradient of factor analysis with 5 columns and 2 factors, near the truth, for 8 seeds."""
    row("cosine, smallest of 8 seeds", "exponential", "direct", "threshold")
    for n_sleep, threshold in (500, "-"), (1000, ".950"), (3000, ".985"):
        cosines = np.array([gradient_cosines(n_sleep, seed) for seed in range(8)]).min(axis=0)
        row(f"N = {n_sleep}", *(f"{cosine:.3f}" for cosine in cosines), threshold)


def gradient_cosines(n_sleep, seed):
    rng = np.random.default_rng(seed)
    model, truth = factor_analysis(5, 2, rng)
    _, X = model.sample(truth, 500, rng)
    theta = model.initial_params(X, rng)
    exact = model.grad_log_likelihood(theta, X)
    cosines = []
    for form in "exponential", "direct":
        fitted = AmortisedWakeSleep(Fixed(model, theta), gradient=form, n_sleep=n_sleep, max_iter=1, random_state=seed)
        fitted.set_params(learning_rate_init=1e-12).fit(X)
        gradient = fitted.estimate_gradient(X, random_state=seed)
        cosines.append(gradient @ exact / np.linalg.norm(gradient) / np.linalg.norm(exact))
    return cosines


class Fixed:
    """A model that starts from given parameters."""

    def __init__(self, model, theta):
        self._model, self._theta = model, theta

    def initial_params(self, X, rng):
        return self._theta

    def __getattr__(self, name):
        if name.startswith("__") or name == "column_units":  # the parameters are those of the columns as they are
            raise AttributeError(name)
        return getattr(self._model, name)


def factor_analysis(n_features, n_components, rng, noise_variance=0.1):
    """Return a model and parameters with standard normal loadings."""
    model = LatentFactors(n_features, n_components)
    log_noise = 0.5 * np.log(noise_variance)
    loadings = rng.normal(size=n_features * n_components)
    return model, np.concatenate([loadings, np.zeros(n_features), np.full(n_features, log_noise)])


# ---------------------------------------------------------------------- ring


def ring_table(n_seeds):
    """A ring in 6 dimensions with noise 0.2."""
    row("ring, 6 columns", "nats below maximum", "error of B B'", "noise / true", "ms per step")
    for form in "auto", "exponential":
        results = [ring_result(form, seed) for seed in range(n_seeds)]
        below, errors, noise, ms = map(np.array, zip(*results, strict=True))
        row(f"gradient={form!r}", summary(-below), f"worst {errors.max():.3f}", spread(noise), f"{np.median(ms):.1f}")
    row("threshold", "-0.020", "0.060", "0.95 to 1.05", "12")


def ring_result(form, seed):
    rng = np.random.default_rng(seed)
    model = LatentFactors(6, 1, latents="angle", noise="spherical")
    loadings = rng.normal(size=(6, 2))
    truth = np.concatenate([loadings.ravel(), np.zeros(6), [np.log(0.2)]])
    (_, X), (_, fresh) = model.sample(truth, 1000, rng), model.sample(truth, 5000, rng)
    fitted, ms = timed_fit(model, X, gradient=form, max_iter=200, random_state=seed)
    best = maximum_likelihood(model, X, [truth])
    below = model.log_likelihood(best, fresh).mean() - fitted.score(fresh)
    found = fitted.params_["loadings"]
    error = np.linalg.norm(found @ found.T - loadings @ loadings.T) / np.linalg.norm(loadings @ loadings.T)
    return below, error, float(np.sqrt(fitted.params_["noise_variance"][0])) / 0.2, ms


def spread(values):
    return f"{values.min():.3f} to {values.max():.3f}"


# ---------------------------------------------------------------------- mixture, binary factors


def mixture_table(n_seeds):
    """Five clusters in the plane with one covariance, against scikit-learn's mixture."""
    row("mixture with tied covariance", "to GaussianMixture", "threshold")
    for form in "auto", "exponential":
        row(f"gradient={form!r}", summary([mixture_result(form, seed) for seed in range(n_seeds)]), "-0.020")


def mixture_result(form, seed):
    rng = np.random.default_rng(seed)
    centers = 3 * rng.normal(size=(5, 2))
    noise = np.array([[0.6, 0.2], [0.2, 0.4]])

    def draw(n):
        return centers[rng.integers(5, size=n)] + rng.multivariate_normal(np.zeros(2), noise, n)

    X, fresh = draw(1000), draw(5000)
    model = LatentFactors(2, 5, latents="categorical", noise="full")
    fitted, _ = timed_fit(model, X, gradient=form, max_iter=200, n_restarts=2, random_state=seed)
    mixture = GaussianMixture(5, covariance_type="tied", n_init=10, tol=1e-6, max_iter=1000, random_state=seed)
    return fitted.score(fresh) - mixture.fit(X).score(fresh)


def binary_table(n_seeds):
    """Four binary factors behind 10 columns: the part of all runs that come near maximum likelihood."""
    row("4 binary factors, 10 columns", "nats below maximum", "runs within .05", "threshold")
    for form, n_restarts in ("exponential", 1), ("auto", 1), ("auto", 4):
        below = np.array([binary_result(form, n_restarts, seed) for seed in range(2 * n_seeds)])
        label = f"gradient={form!r}, n_restarts={n_restarts}"
        row(label, summary(-below), f"{(below < 0.05).mean():.0%} of {len(below)}", "80%")


def binary_result(form, n_restarts, seed):
    rng = np.random.default_rng(seed)
    model = LatentFactors(10, 4, latents="bernoulli", noise="spherical")
    truth = np.concatenate([1.5 * rng.normal(size=40), np.zeros(10), [np.log(0.5)], rng.normal(size=4)])
    (_, X), (_, fresh) = model.sample(truth, 1000, rng), model.sample(truth, 5000, rng)
    fitted, _ = timed_fit(model, X, gradient=form, n_restarts=n_restarts, max_iter=200, random_state=seed)
    best = maximum_likelihood(model, X, [truth])
    return model.log_likelihood(best, fresh).mean() - fitted.score(fresh)


# ---------------------------------------------------------------------- factor analysis


FACTORS = {
    (4, 12): "-0.150, ahead by 0.5",
    (6, 18): "-0.600, ahead by 3",
    (12, 36): "-2.000",
}


def factors_table(n_seeds):
    """Factor analysis with noise variance 0.1, against scikit-learn's; 500 dreams a step, 1000 rows."""
    row("to FactorAnalysis", "plain kernel", "predictive features", "importance weighting", "threshold")
    for (n_components, n_features), threshold in FACTORS.items():
        results = np.array([factors_result(n_components, n_features, seed) for seed in range(n_seeds)])
        row(f"k = {n_components}, D = {n_features}", *map(summary, results.T), threshold)


def factors_result(n_components, n_features, seed):
    rng = np.random.default_rng(seed)
    model, truth = factor_analysis(n_features, n_components, rng)
    (_, X), (_, fresh) = model.sample(truth, 1000, rng), model.sample(truth, 5000, rng)
    reference = FactorAnalysis(n_components, tol=1e-6, max_iter=5000).fit(X).score(fresh)
    ways = [
        {"gradient": "exponential", "feature_map": None},
        {"gradient": "exponential", "feature_map": "predictive"},
        {"gradient": "importance"},
    ]
    fits = [timed_fit(model, X, n_sleep=500, max_iter=200, random_state=seed, **way)[0] for way in ways]
    return [fitted.score(fresh) - reference for fitted in fits]


# ---------------------------------------------------------------------- speed


def speed_table(n_seeds):
    """Processor time of a step on one thread, tuning included, for a model with up to 200 parameters."""
    row("factor analysis, 30 columns, P = 180", "ms per step", "threshold")
    rng = np.random.default_rng(0)
    model, truth = factor_analysis(30, 4, rng)
    _, X = model.sample(truth, 1000, rng)
    for n_sleep, threshold in (500, 12), (1000, 45):
        times = [
            timed_fit(model, X, gradient="exponential", n_sleep=n_sleep, max_iter=20, random_state=seed)[1]
            for seed in range(n_seeds)
        ]
        row(f"N = {n_sleep}", f"{np.median(times):.1f} (least {np.min(times):.1f})", threshold)


TABLES = {
    "gradient": gradient_table,
    "ring": ring_table,
    "mixture": mixture_table,
    "binary": binary_table,
    "factors": factors_table,
    "speed": speed_table,
}

if __name__ == "__main__":
    main()
