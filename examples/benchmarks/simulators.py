"""AmortisedWakeSleep on models that are simulated, beside the best that is known.

Each table has a row for each seed, of data, start and dreams alike, and the mean. Log-likelihoods are in nats per row,
exact (by enumeration or quadrature), and on rows that were not trained on unless said otherwise. "regression" is the
exponential-family or the direct form of the gradient with the plain kernel on standardized columns, "additive" the
exponential-family form with feature_map="additive".

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
            Amari distance to FastICA's mixing, beside that between two runs of FastICA.
blowfly     Nicholson's blowflies: log-likelihood of the whole series given its first 8 counts, in units of 10 000
            flies; before, its dependence on the grid of the quadrature, and the cosine between local-factor and exact
            gradients.
neuron      Hodgkin-Huxley neurons: errors of the logarithms of the three conductances, recovered from one noisy trace
            each; then a population of a hundred.

    python examples/benchmarks/simulators.py --data-dir DIR
    python examples/benchmarks/simulators.py --tables decoder blowfly --seeds 2

Roughly 40 minutes on one core. Only the table of patches needs data: bsds_patches8.npz, whose "train" has a patch of 64
bytes in each row.
"""

from functools import partial

import numpy as np
from _harness import Table, data_file, fixed_start, make_parser, parse, print_tables, quiet, timed
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

# Dreams, rows and epochs for the patches, by number of components.
PATCHES = {
    20: {"n_sleep": 3000, "batch_size": 1000, "max_iter": 150},
    32: {"n_sleep": 4000, "batch_size": 2000, "max_iter": 200},
}
QUICK_EPOCHS = 2


def main():
    parser = make_parser(__doc__, seeds=5, data="bsds_patches8.npz", tables=TABLES)
    options = parse(parser, seeds=1)
    with threadpool_limits(1), quiet():
        print_tables(TABLES, options)


def print_seeds(options, columns, row, digits=3):
    """Print a table with a row of numbers for each seed, and the mean; return the numbers."""
    table = Table(options, ("seed", *columns), label=6, digits=digits)
    numbers = []
    for seed in range(options.seeds):
        numbers.append(row(seed))
        table.row(str(seed), *map(float, numbers[-1]))
    table.row("mean", *np.mean(numbers, axis=0))
    return np.array(numbers)


def fit(model, X, options, seed, **parameters):
    """Return a fitted estimator, and the seconds that took."""
    if options.quick:
        parameters["max_iter"] = QUICK_EPOCHS
    return timed(AmortisedWakeSleep(model, random_state=seed, **parameters).fit, X)


# ---------------------------------------------------------------------- networks


def decoder(options):
    """digits, 8 binary latents, test log-likelihood"""
    X = (load_digits().data >= 8).astype(float)
    model = NeuralDecoder(X.shape[1], n_latents=8, n_hidden=50)

    def row(seed):
        train, test = train_test_split(X, test_size=360, random_state=seed)
        means = (train.sum(axis=0) + 0.5) / (len(train) + 1)
        independent = np.mean(test @ np.log(means) + (1 - test) @ np.log(1 - means))
        fits = [
            fit(model, train, options, seed, gradient=gradient, feature_map=None, max_iter=200)
            for gradient in ("exact", "importance", "exponential")
        ]
        scores = [fitted.score(test) for fitted, _ in fits]
        closed = [(score - independent) / (scores[0] - independent) for score in scores[1:]]
        return independent, *scores, *closed, fits[-1][1]

    columns = ("independent", "exact", "importance", "regression", "imp. closed", "regr. closed", "regr. seconds")
    print_seeds(options, columns, row)


def pinwheel(options):
    """test log-likelihood and noise"""
    n_rows = 200 if options.quick else 2000

    def row(seed):
        train, test = (make_pinwheel(n_rows, random_state=2 * seed + part)[0] for part in (0, 1))
        mixtures = [GaussianMixture(k, n_init=3, random_state=seed).fit(train).score(test) for k in (5, 10)]
        fits = [
            fit(Pinwheel(), train, options, seed, gradient=gradient, feature_map=None, max_iter=200)[0]
            for gradient in ("auto", "importance", "exponential")
        ]
        noise = [np.exp(fitted.params_["log_noise"]).min() for fitted in fits]
        return *mixtures, *(fitted.score(test) for fitted in fits), *noise

    columns = ("5 normals", "10 normals", "auto", "importance", "regression", *["noise of it"] * 3)
    print_seeds(options, columns, row)


# ---------------------------------------------------------------------- independent components


def amari(estimate, truth):
    """Return the distance between two mixing matrices up to order, sign and scale of the sources, in [0, 1]."""
    gain = np.abs(np.linalg.pinv(estimate) @ truth)
    excess = sum(np.sum(gain.sum(axis=axis) / gain.max(axis=axis) - 1) for axis in (0, 1))
    return excess / (2 * len(gain) * (len(gain) - 1))


def whitened(X, n_components):
    """Return the principal components of `X` with unit variance, and the matrix back to the space of `X`."""
    pca = PCA(n_components, whiten=True, random_state=0).fit(X)
    return pca.transform(X), pca.components_.T * np.sqrt(pca.explained_variance_)


def components(white, options, seed, noise_floor=1e-3, **parameters):
    """Fit as many Laplace latents as there are columns; return the loadings, the fitted estimator and the seconds."""
    model = LatentFactors(*[white.shape[1]] * 2, latents="laplace", noise="spherical", noise_floor=noise_floor)
    fitted, seconds = fit(model, white, options, seed, **parameters)
    return fitted.params_["loadings"], fitted, seconds


def mixing(options):
    """Amari distance to the true mixing of four Laplace sources"""
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
        fits = [unwhiten @ components(white, options, seed, max_iter=40, **form)[0] for form in forms.values()]
        return [amari(estimate, truth) for estimate in (ica.mixing_, *fits)]

    print_seeds(options, ("FastICA", *forms), row)


def localization(filters):
    """Return the median over filters ``(64, n)`` of their energy within the best 4 x 4 window."""
    energy = np.square(filters.T.reshape(-1, 8, 8))
    windows = np.lib.stride_tricks.sliding_window_view(energy, (4, 4), axis=(1, 2)).sum(axis=(-1, -2))
    return np.median(windows.max(axis=(1, 2)) / energy.sum(axis=(1, 2)))


def patches(options):
    """energy of filters within the best 4 x 4 window, and Amari distances"""
    with np.load(data_file(options, "bsds_patches8.npz")) as data:
        photographs = np.log1p(data["train"].astype(float))
    photographs -= photographs.mean(axis=1, keepdims=True)

    def row(n_components, parameters, seed):
        rng = np.random.default_rng(seed)
        X = photographs[rng.permutation(len(photographs))[: 1000 if options.quick else 10_000]]
        white, unwhiten = whitened(X, n_components)
        axes = unwhiten / np.linalg.norm(unwhiten, axis=0)  # energy in whitened patches
        rotations = ortho_group(n_components, seed=rng).rvs(20)
        ica, other = (
            FastICA(n_components, random_state=run, whiten="unit-variance", max_iter=1000).fit(white).mixing_
            for run in (seed, seed + 1000)
        )
        form = {"gradient": "exponential", "feature_map": "additive"}
        loadings, fitted, seconds = components(white, options, seed, 0.3, **form, **parameters)
        chance = np.mean([localization(axes @ rotation) for rotation in rotations])
        scores = [localization(axes @ matrix) for matrix in (np.eye(n_components), ica, loadings)]
        way = (scores[-1] - chance) / (scores[-2] - chance)
        noise = fitted.params_["noise_variance"][0]
        return chance, *scores, way, amari(other, ica), amari(loadings, ica), noise, seconds

    columns = ("random", "PCA", "FastICA", "additive", "way", "two FastICAs", "Amari to ICA", "noise", "seconds")
    for n_components, parameters in PATCHES.items():
        print(f"\n{n_components} components")
        print_seeds(options, columns, partial(row, n_components, parameters))


# ---------------------------------------------------------------------- simulators


def best_fit(model, X):
    """Maximize the exact log-likelihood directly."""

    def loss(theta):
        return -model.log_likelihood(theta, X)[0], -model.grad_log_likelihood(theta, X)

    starts = [model.initial_params(X, np.random.default_rng(seed)) for seed in range(4)]
    return min((minimize(loss, start, jac=True, method="L-BFGS-B") for start in starts), key=lambda fit: fit.fun)


def blowfly(options):
    """log-likelihood of Nicholson's blowflies"""
    X = load_blowfly()[np.newaxis] / 10_000
    model = BlowflyDynamics(X.shape[1], delay=7)
    best = best_fit(model, X)
    center = np.log([3.0, X.mean() / 3, 0.2, 1.0, 1.0])
    wide = [0, 0, 0, np.log(1.5), np.log(1.5)]
    points = {"start": center, "start, more noise": center + wide, "halfway": (center + best.x) / 2, "best": best.x}
    nodes = (25, 50, 100, 200, 400)
    table = Table(options, ("log-likelihood at", *(f"{n} nodes" for n in nodes)), digits=6)
    for name, theta in points.items():
        by_nodes = [BlowflyDynamics(180, 7, n_nodes=n).log_likelihood(theta, X)[0] for n in nodes]
        table.row(name, *by_nodes)

    print("\nlocal-factor gradient, 2160 dreams")
    table = Table(options, ("gradient at", "norm", "mean cosine", "least cosine"))
    del points["best"]  # where the gradient is zero
    for name, theta in points.items():
        exact = model.grad_log_likelihood(theta, X)
        cosines = [cosine(local_gradient(model, X, theta, seed), exact) for seed in range(options.seeds)]
        table.row(name, np.linalg.norm(exact), np.mean(cosines), np.min(cosines))

    def row(seed):
        fitted, seconds = fit(model, X, options, seed, n_sleep=1000, max_iter=300, feature_map=None)
        return -best.fun, fitted.score(X), *np.exp(fitted.theta_), seconds

    columns = ("best", "regression", "fecundity", "capacity", "mortality", "birth noise", "death noise", "seconds")
    print(f"\ntraining; the best has {np.round(np.exp(best.x), 3)}")
    print_seeds(options, columns, row)


def cosine(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def local_gradient(model, X, theta, seed):
    """Estimate the gradient at given parameters, with a regression that was tuned there by one step of no length."""
    settings = {"n_sleep": 2160, "max_iter": 1, "learning_rate_init": 1e-9, "feature_map": None}
    fitted = AmortisedWakeSleep(fixed_start(model, theta), random_state=seed, **settings).fit(X)
    return fitted.estimate_gradient(X, random_state=seed)


def neuron(options):
    """conductances of Hodgkin-Huxley neurons"""
    model = HodgkinHuxley()
    settings = {"learning_rate_init": 0.05, "feature_map": None}

    def row(reuse_sleep, seed):
        rng = np.random.default_rng(100 + seed)
        truth = 0.25 * rng.standard_normal((1, 3))
        X = model.summarize(model.simulate(truth, rng))
        dreams = {"n_sleep": 300, "max_iter": 100, "reuse_sleep": reuse_sleep}
        fitted, seconds = fit(model, X, options, seed, **settings, **dreams)
        return *truth[0], *(fitted.params_["means"] - truth[0]), seconds

    columns = ("sodium", "potassium", "leak", "sodium err.", "potassium err.", "leak err.", "seconds")
    for reuse_sleep, dreams in {False: "fresh dreams at each step", True: "dreams used again"}.items():
        print(f"\n{dreams}")
        rows = print_seeds(options, columns, partial(row, reuse_sleep))
        print("root mean square errors:", *np.sqrt(np.square(rows[:, 3:6]).mean(axis=0)).round(3))

    def population(seed):
        rng = np.random.default_rng(200 + seed)
        z = np.array([0.2, -0.1, 0.1]) + np.array([0.2, 0.15, 0.3]) * rng.standard_normal((100, 3))
        X = model.summarize(model.simulate(z, rng))
        fitted, _ = fit(model, X, options, seed, **settings, n_sleep=500, max_iter=80)
        error = np.abs(fitted.params_["means"] - z.mean(axis=0)).max()
        ratios = np.exp(fitted.params_["log_scales"]) / z.std(axis=0)
        cells = fitted.transform(X)
        return error, *ratios, *(np.corrcoef(cells[:, k], z[:, k])[0, 1] for k in range(3))

    print(
        "\npopulation: largest error of the means, ratios of scales, correlation of each cell's estimate with its truth"
    )
    columns = ("mean err.", "Na scale", "K scale", "leak scale", "Na corr.", "K corr.", "leak corr.")
    print_seeds(options, columns, population)


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
