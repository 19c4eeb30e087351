"""AmortisedWakeSleep on models that are simulated: what it reaches, beside what can be reached.

Each table has a row for each seed, of data, start and dreams alike, and the mean. Log-likelihoods are in nats per row,
higher is better, exact (by enumeration or quadrature), and on rows that were not trained on unless said otherwise.

decoder     scikit-learn's digits, binarized at 8, by 8 binary latents and a network of 50 hidden units: by importance
            weighting, by regression, and by the exact gradient, from the same start. "closed" is the part of the gap
            between independent pixels and exact-gradient training.
pinwheel    the hierarchical pinwheel, beside mixtures of normals. "noise" is the least fitted noise (true across an
            arm: 0.05).
mixing      four Laplace sources, mixed at random, with noise: Amari distance to the true mixing (0 is perfect, random
            matrices have about 0.4) beside FastICA's.
patches     Laplace latents on 8 x 8 patches of photographs, 20 and 32 principal components: how much of the energy of a
            filter of the whitened patches is within the best 4 x 4 window (a uniform filter has 0.25), beside random
            rotations, principal components and FastICA ("way": which part of the way from random to FastICA); and the
            Amari distance to FastICA's mixing, beside that between two runs of FastICA. Needs bsds_patches8.npz in
            --data-dir.
blowfly     Nicholson's blowflies. Log-likelihood of the whole series given its first 8 counts, in units of 10 000
            flies; first its dependence on the grid of the quadrature, and the cosine between local-factor and exact
            gradients.
neuron      Hodgkin-Huxley neurons: errors of the logarithms of the three conductances, recovered from one noisy trace
            each; then a population of a hundred.

"regression" is the exponential-family or the direct form of the gradient with the plain kernel on standardized columns,
"additive" the exponential-family form with feature_map="additive".

    python examples/benchmarks/simulators.py
    python examples/benchmarks/simulators.py --tables decoder blowfly --seeds 2
"""

import argparse
import warnings
from pathlib import Path
from time import perf_counter

import numpy as np
from scipy.optimize import minimize
from scipy.stats import ortho_group
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA, FastICA
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

from skwakesleep import AmortisedWakeSleep
from skwakesleep.datasets import load_blowfly, make_pinwheel
from skwakesleep.models import LatentFactors, NeuralDecoder
from skwakesleep.simulators import BlowflyDynamics, HodgkinHuxley, Pinwheel

# Settings for the patches by number of components.
PATCHES = {
    20: {"n_sleep": 3000, "batch_size": 1000, "max_iter": 150},
    32: {"n_sleep": 4000, "batch_size": 2000, "max_iter": 200},
}


def main():
    args = parse_arguments()
    with threadpool_limits(args.threads), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of regressions that say little: the tables show it
        for name in args.tables:
            start = perf_counter()
            print(f"\n{name}\n{'-' * len(name)}", flush=True)
            TABLES[name](args)
            print(f"({perf_counter() - start:.0f} s)", flush=True)


def parse_arguments():
    summary, _, details = __doc__.partition("\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=TABLES, help="default: all")
    parser.add_argument("--seeds", type=int, default=5, help="seeds of each table (default: 5)")
    parser.add_argument("--threads", type=int, default=1, help="threads of matrix products (default: 1)")
    parser.add_argument("--data-dir", type=Path, help="folder with bsds_patches8.npz")
    return parser.parse_args()


def table(columns, rows):
    """Print rows of numbers under their columns, and the means."""
    print("".join(f"{column:>16}" for column in ("seed", *columns)))
    kept = []
    for seed, row in enumerate(rows):
        print(f"{seed:16}" + "".join(f"{number:16.3f}" for number in row), flush=True)
        kept.append(row)
    print(f"{'mean':>16}" + "".join(f"{number:16.3f}" for number in np.mean(kept, axis=0)), flush=True)
    return np.array(kept)


def timed_fit(model, X, **parameters):
    """Return a fitted estimator, and the seconds that took."""
    start = perf_counter()
    return AmortisedWakeSleep(model, **parameters).fit(X), perf_counter() - start


# ---------------------------------------------------------------------- networks


def decoder(args):
    X = (load_digits().data >= 8).astype(float)
    model = NeuralDecoder(X.shape[1], n_latents=8, n_hidden=50)

    def row(seed):
        train, test = train_test_split(X, test_size=360, random_state=seed)
        means = (train.sum(axis=0) + 0.5) / (len(train) + 1)
        independent = np.mean(test @ np.log(means) + (1 - test) @ np.log(1 - means))
        scores, seconds = [], []
        for gradient in ("exact", "importance", "exponential"):
            fitted, time = timed_fit(model, train, gradient=gradient, feature_map=None, max_iter=200, random_state=seed)
            scores.append(fitted.score(test))
            seconds.append(time)
        closed = [(score - independent) / (scores[0] - independent) for score in scores[1:]]
        return independent, *scores, *closed, seconds[-1]

    columns = ("independent", "exact", "importance", "regression", "imp. closed", "regr. closed", "regr. seconds")
    table(columns, map(row, range(args.seeds)))


def pinwheel(args):
    def row(seed):
        train, test = (make_pinwheel(2000, random_state=2 * seed + part)[0] for part in (0, 1))
        mixtures = [GaussianMixture(k, n_init=3, random_state=seed).fit(train).score(test) for k in (5, 10)]
        fits = [
            timed_fit(Pinwheel(), train, gradient=gradient, feature_map=None, max_iter=200, random_state=seed)
            for gradient in ("auto", "importance", "exponential")
        ]
        scores = [fitted.score(test) for fitted, _ in fits]
        noise = [np.exp(fitted.params_["log_noise"]).min() for fitted, _ in fits]
        return *mixtures, *scores, *noise

    columns = ("5 normals", "10 normals", "auto", "importance", "regression", *["noise of it"] * 3)
    table(columns, map(row, range(args.seeds)))


# ---------------------------------------------------------------------- independent components


def amari(estimate, truth):
    """Return the distance between two mixing matrices up to order, sign and scale of the sources, in [0, 1]."""
    gain = np.abs(np.linalg.pinv(estimate) @ truth)
    excess = sum(np.sum(gain.sum(axis=axis) / gain.max(axis=axis) - 1) for axis in (0, 1))
    return excess / (2 * len(gain) * (len(gain) - 1))


def whitened(X, n_components):
    """Return the principal components of `X` with unit variance, and what takes vectors back to the space of `X`."""
    pca = PCA(n_components, whiten=True, random_state=0).fit(X)
    return pca.transform(X), pca.components_.T * np.sqrt(pca.explained_variance_)


def components(white, seed, noise_floor=1e-3, **parameters):
    """Fit as many Laplace latents as there are columns; return the loadings, the fitted estimator and the seconds."""
    model = LatentFactors(*[white.shape[1]] * 2, latents="laplace", noise="spherical", noise_floor=noise_floor)
    fitted, seconds = timed_fit(model, white, random_state=seed, **parameters)
    return fitted.params_["loadings"], fitted, seconds


def mixing(args):
    forms = {
        "importance": {"gradient": "importance"},
        "regression": {"gradient": "exponential"},
        "additive": {"gradient": "exponential", "feature_map": "additive", "n_sleep": 2000},
    }

    def row(seed):
        rng = np.random.default_rng(seed)
        truth = rng.standard_normal((4, 4))
        sources = rng.laplace(size=(5000, 4), scale=np.sqrt(0.5))
        X = sources @ truth.T + 0.1 * rng.standard_normal((5000, 4))
        ica = FastICA(4, random_state=seed, max_iter=1000).fit(X)
        white, unwhiten = whitened(X, 4)
        fits = [unwhiten @ components(white, seed, max_iter=40, **form)[0] for form in forms.values()]
        return [amari(estimate, truth) for estimate in (ica.mixing_, *fits)]

    table(("FastICA", *forms), map(row, range(args.seeds)))


def localization(filters):
    """Return the median over filters ``(64, n)`` of their energy within the best 4 x 4 window."""
    energy = np.square(filters.T.reshape(-1, 8, 8))
    windows = np.lib.stride_tricks.sliding_window_view(energy, (4, 4), axis=(1, 2)).sum(axis=(-1, -2))
    return np.median(windows.max(axis=(1, 2)) / energy.sum(axis=(1, 2)))


def patches(args):
    path = args.data_dir and args.data_dir / "bsds_patches8.npz"
    if not (path and path.exists()):
        print("skipped: bsds_patches8.npz is missing; pass the folder that has it as --data-dir")
        return

    photographs = np.log1p(np.load(path)["train"].astype(float))
    photographs -= photographs.mean(axis=1, keepdims=True)

    def row(seed, n_components, **parameters):
        rng = np.random.default_rng(seed)
        X = photographs[rng.permutation(len(photographs))[:10_000]]
        white, unwhiten = whitened(X, n_components)
        axes = unwhiten / np.linalg.norm(unwhiten, axis=0)  # a filter's energy is to be seen as in whitened patches
        rotations = ortho_group(n_components, seed=rng).rvs(20)
        ica, other = (
            FastICA(n_components, random_state=run, whiten="unit-variance", max_iter=1000).fit(white).mixing_
            for run in (seed, seed + 1000)
        )
        loadings, fitted, seconds = components(
            white, seed, 0.3, gradient="exponential", feature_map="additive", **parameters
        )
        chance = np.mean([localization(axes @ rotation) for rotation in rotations])
        scores = [localization(axes @ matrix) for matrix in (np.eye(n_components), ica, loadings)]
        way = (scores[-1] - chance) / (scores[-2] - chance)
        noise = fitted.params_["noise_variance"][0]
        return chance, *scores, way, amari(other, ica), amari(loadings, ica), noise, seconds

    columns = ("random", "PCA", "FastICA", "additive", "way", "two FastICAs", "Amari to ICA", "noise", "seconds")
    for n_components, parameters in PATCHES.items():
        print(f"\n{n_components} components")
        table(columns, (row(seed, n_components, **parameters) for seed in range(args.seeds)))


# ---------------------------------------------------------------------- simulators


def best_fit(model, X):
    """Maximize the exact log-likelihood directly."""
    fits = [
        minimize(
            lambda theta: (-model.log_likelihood(theta, X)[0], -model.grad_log_likelihood(theta, X)),
            model.initial_params(X, np.random.default_rng(seed)),
            jac=True,
            method="L-BFGS-B",
        )
        for seed in range(4)
    ]
    return min(fits, key=lambda fit: fit.fun)


def blowfly(args):
    X = load_blowfly()[np.newaxis] / 10_000
    model = BlowflyDynamics(X.shape[1], delay=7)
    best = best_fit(model, X)
    center = np.log([3.0, X.mean() / 3, 0.2, 1.0, 1.0])
    wide = [0, 0, 0, np.log(1.5), np.log(1.5)]
    points = {"start": center, "start, more noise": center + wide, "halfway": (center + best.x) / 2, "best": best.x}
    print(f"{'':20}" + "".join(f"{f'{n} nodes':>14}" for n in (25, 50, 100, 200, 400)))
    for name, theta in points.items():
        by_nodes = [BlowflyDynamics(180, 7, n_nodes=n).log_likelihood(theta, X)[0] for n in (25, 50, 100, 200, 400)]
        print(f"{name:20}" + "".join(f"{value:14.6f}" for value in by_nodes))

    print(f"\nlocal-factor gradient, 2160 dreams\n{'':20}{'norm':>14}{'mean cosine':>14}{'least cosine':>14}")
    del points["best"]  # where the gradient is zero
    for name, theta in points.items():
        exact = model.grad_log_likelihood(theta, X)
        cosines = [cosine(local_gradient(model, X, theta, seed), exact) for seed in range(args.seeds)]
        print(f"{name:20}{np.linalg.norm(exact):14.1f}{np.mean(cosines):14.3f}{np.min(cosines):14.3f}", flush=True)

    def row(seed):
        fitted, seconds = timed_fit(model, X, n_sleep=1000, max_iter=300, feature_map=None, random_state=seed)
        return -best.fun, fitted.score(X), *np.exp(fitted.theta_), seconds

    columns = ("best", "regression", "fecundity", "capacity", "mortality", "birth noise", "death noise", "seconds")
    print(f"\ntraining; the best has {np.round(np.exp(best.x), 3)}")
    table(columns, map(row, range(args.seeds)))


def cosine(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def local_gradient(model, X, theta, seed):
    """Estimate the gradient at given parameters, with a regression that was tuned there."""

    class Started(BlowflyDynamics):
        def initial_params(self, X, rng):
            return theta

    started = Started(model.n_features, model.delay)
    # A step too small to matter: what is fitted is the regression.
    estimator = AmortisedWakeSleep(
        started, n_sleep=2160, max_iter=1, learning_rate_init=1e-9, feature_map=None, random_state=seed
    )
    return estimator.fit(X).estimate_gradient(X, random_state=seed)


def neuron(args):
    model = HodgkinHuxley()

    def row(seed, reuse_sleep):
        rng = np.random.default_rng(100 + seed)
        truth = 0.25 * rng.standard_normal((1, 3))
        X = model.summarize(model.simulate(truth, rng))
        settings = {"n_sleep": 300, "max_iter": 100, "learning_rate_init": 0.05, "feature_map": None}
        fitted, seconds = timed_fit(model, X, **settings, reuse_sleep=reuse_sleep, random_state=seed)
        return *truth[0], *(fitted.params_["means"] - truth[0]), seconds

    columns = ("sodium", "potassium", "leak", "sodium err.", "potassium err.", "leak err.", "seconds")
    for reuse_sleep, dreams in {False: "fresh dreams at each step", True: "dreams used again"}.items():
        print(f"\n{dreams}")
        rows = table(columns, [row(seed, reuse_sleep) for seed in range(args.seeds)])
        print(f"{'rms':>16}" + "".join(f"{number:16.3f}" for number in np.sqrt(np.square(rows).mean(axis=0))))

    def population(seed):
        rng = np.random.default_rng(200 + seed)
        z = np.array([0.2, -0.1, 0.1]) + np.array([0.2, 0.15, 0.3]) * rng.standard_normal((100, 3))
        X = model.summarize(model.simulate(z, rng))
        fitted, _ = timed_fit(
            model, X, n_sleep=500, max_iter=80, learning_rate_init=0.05, feature_map=None, random_state=seed
        )
        errors = np.abs(fitted.params_["means"] - z.mean(axis=0)).max()
        ratios = np.exp(fitted.params_["log_scales"]) / z.std(axis=0)
        cells = fitted.transform(X)
        return errors, *ratios, *(np.corrcoef(cells[:, k], z[:, k])[0, 1] for k in range(3))

    print(
        "\npopulation: largest error of the means, ratios of scales, correlation of each cell's estimate with its truth"
    )
    columns = ("mean err.", "Na scale", "K scale", "leak scale", "Na corr.", "K corr.", "leak corr.")
    table(columns, map(population, range(args.seeds)))


TABLES = {
    "decoder": decoder,
    "pinwheel": pinwheel,
    "mixing": mixing,
    "patches": patches,
    "blowfly": blowfly,
    "neuron": neuron,
}


if __name__ == "__main__":
    main()
