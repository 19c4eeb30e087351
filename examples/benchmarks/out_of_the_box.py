"""The default constructor of HelmholtzMachine beside simple methods: densities, features and time.

    python examples/benchmarks/out_of_the_box.py --data-dir DIR
    python examples/benchmarks/out_of_the_box.py --data-dir DIR --tables density --datasets nltcs plants

The machine has no parameter set but the seed, except where the table of features says so. The methods beside it have
their numbers of components and their bandwidths chosen. Densities are compared on the same test rows.

Binary sets are files NAME.npz. "real" also reads wine_red.npz (columns X, and the part of each row, fold, of which the
first is for testing), and "features" optdigits_counts.npz and mnist_gray.npz (train, test, train_y and test_y). Sets
whose file is missing are skipped.

Seconds are those of the processor, with one thread. All tables take about half an hour on two cores.
"""

import warnings
from time import process_time

import numpy as np
from _harness import (
    MissingDataError,
    Table,
    data_file,
    load_binary,
    make_parser,
    mean_and_error,
    parse,
    print_tables,
    quiet,
    timed,
)
from joblib import Parallel, delayed
from sklearn import datasets
from sklearn.decomposition import NMF, PCA
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neighbors import KernelDensity
from sklearn.neural_network import BernoulliRBM
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from threadpoolctl import threadpool_limits

from skwakesleep import HelmholtzMachine
from skwakesleep.datasets import make_bars
from skwakesleep.reference import BernoulliMixture, ChowLiuTree, IndependentBernoulli

BINARY = (
    *("nltcs", "plants", "jester", "mushrooms", "adult", "ocr_letters"),
    *("dna_nade", "kosarek", "tmovie", "amzn_toys", "tretail"),
)
REAL = "wine_red", "diabetes", "wine", "breast_cancer"
LABELED = "digits", "optdigits", "mnist_gray"
# Training rows of each binary set; the last cell has all rows.
SIZES = 100, 400, 1600, 6400
# Components of BernoulliMixture, at least MIN_ROWS rows for each, of GaussianMixture, and bandwidths of KernelDensity.
N_COMPONENTS, MIN_ROWS = (1, 2, 3, 5, 10, 20, 40, 80, 160), 4
N_GAUSSIANS = range(1, 11)
BANDWIDTHS = np.geomspace(0.05, 2, 30)
# Validation rows that the number of components is chosen on.
N_VALID = 2000
# A machine is much worse than independent columns if it is below them by more than this, in nats per row.
MUCH_WORSE = 0.3
# Labels of a class, and draws of these labels.
N_LABELS, N_DRAWS = 10, 5
STRENGTHS = np.logspace(-2, 2, 5)
N_MNIST = 6000
REPETITIONS = 3


def main():
    parser = make_parser(__doc__, data="the sets", tables=TABLES, n_jobs=2)
    parser.add_argument("--datasets", nargs="+", help="sets to run (default: all)", default=[*BINARY, *REAL, *LABELED])
    parser.add_argument("--max-rows", type=int, help="greatest number of training rows (default: all)")
    parser.add_argument("--max-test", type=int, default=2000, help="greatest number of test rows (default: 2000)")
    parser.add_argument("--seed", type=int, default=0, help="of rows, models and labels (default: 0)")
    options = parse(parser, datasets=["nltcs", "wine", "digits"], max_rows=200, max_test=200, n_jobs=1)
    with threadpool_limits(1):
        print_tables(TABLES, options)


def default_machine(options, **parameters):
    return HelmholtzMachine(random_state=options.seed, **parameters)


def some(rows, number, seed):
    """Return at most a number of rows, drawn without replacement."""
    return rows[np.random.default_rng(seed).permutation(len(rows))[:number]]


def fit(model, X):
    """Return a fitted model, the processor seconds of its fit, and the number of its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fitted, seconds = timed(model.fit, X, clock=process_time)
    return fitted, seconds, len(caught)


def in_parallel(function, options, cells):
    """Yield the rows that a function returns for cells, in order."""
    return Parallel(n_jobs=options.n_jobs, return_as="generator")(delayed(function)(options, *cell) for cell in cells)


def chosen(options, names, load):
    """Yield the names among the sets of the options whose data are there; say which are not."""
    for name in names:
        if name in options.datasets:
            try:
                load(options, name)
            except MissingDataError as missing:
                print(f"skipped: {missing}", flush=True)
            else:
                yield name


# ---------------------------------------------------------------------- densities


def density(options):
    """Binary columns: test log-likelihoods in nats per row, and paired difference to the best of the references.

    The number of components of the mixture is chosen on validation rows.
    """
    references = "independent", "tree", "mixture"
    rows = print_comparisons(options, references, binary_cell, list(binary_cells(options)))
    n_worse = sum(machine < independent - MUCH_WORSE for _, machine, independent, *_ in rows)
    print(f"cells worse than independent columns by more than {MUCH_WORSE}: {n_worse} of {len(rows)}")


def real(options):
    """Real columns, standardized by the training rows: the same, beside densities of scikit-learn.

    The number of components of the mixture is chosen by the Bayesian information criterion, the bandwidth of the kernel
    by five-fold cross-validation.
    """
    cells = [(name,) for name in chosen(options, REAL, read_real)]
    print_comparisons(options, ("GaussianMixture", "KernelDensity"), real_cell, cells)


def print_comparisons(options, references, function, cells):
    """Print and return a row for each cell, and count the cells where the machine is as good as the references."""
    columns = ("set, rows", "machine", *references, "difference", "error", "epochs", "seconds", "warnings")
    table = Table(options, columns, label=18, width=8, digits=2)
    rows = []
    for row in in_parallel(function, options, cells):
        table.row(*row)
        rows.append(row)
    differences = [row[2 + len(references) :][:2] for row in rows]
    n_won = sum(difference >= -error for difference, error in differences)
    print(f"cells above the best reference, or below it by at most one standard error: {n_won} of {len(rows)}")
    return rows


def compare(options, name, train, test, references):
    """Return a row: the machine, the references, and the difference to the best of them."""
    machine, seconds, n_warnings = fit(default_machine(options), train)
    scores = machine.score_samples(test)
    others = [reference.score_samples(test) for reference in references]
    difference = mean_and_error(scores - max(others, key=np.mean))
    means = (np.mean(other) for other in others)
    return f"{name}, {len(train)}", scores.mean(), *means, *difference, machine.n_iter_, f"{seconds:.1f}", n_warnings


def binary_cells(options):
    for name in chosen(options, BINARY, load_binary):
        n_rows = len(load_binary(options, name)[0])
        largest = min(n_rows, options.max_rows or n_rows)
        yield from ((name, size) for size in sorted({*SIZES, largest}) if size <= largest)


def binary_cell(options, name, n_rows):
    parts = zip(load_binary(options, name), (n_rows, N_VALID, options.max_test), strict=True)
    train, valid, test = (some(rows, number, options.seed) for rows, number in parts)
    references = IndependentBernoulli().fit(train), ChowLiuTree().fit(train), best_mixture(train, valid, options.seed)
    return compare(options, name, train, test, references)


def best_mixture(train, valid, seed):
    """Return the mixture that scores best on validation rows; stop when twice the best number has been worse."""
    best, best_score = None, -np.inf
    for n_components in N_COMPONENTS:
        if n_components * MIN_ROWS > len(train) or (best and n_components > 2 * best.n_components + 1):
            break
        with quiet():
            mixture = BernoulliMixture(n_components, random_state=seed).fit(train)
        score = mixture.score(valid)
        if score > best_score:
            best, best_score = mixture, score
    return best


def read_real(options, name):
    """Return training and test rows."""
    if name != "wine_red":
        X = getattr(datasets, f"load_{name}")(return_X_y=True)[0]
        return train_test_split(X, train_size=0.7, random_state=options.seed)
    with np.load(data_file(options, "wine_red.npz")) as data:
        X, is_test = data["X"].astype(float), data["fold"] == 1
    return X[~is_test], X[is_test]


def real_cell(options, name):
    train, test = read_real(options, name)
    scaler = StandardScaler().fit(train)
    train, test = scaler.transform(train), scaler.transform(test)
    mixtures = [GaussianMixture(n, random_state=options.seed).fit(train) for n in N_GAUSSIANS]
    kernels = GridSearchCV(KernelDensity(), {"bandwidth": BANDWIDTHS}).fit(some(train, None, options.seed))
    references = min(mixtures, key=lambda mixture: mixture.bic(train)), kernels.best_estimator_
    return compare(options, name, train, test, references)


# ---------------------------------------------------------------------- features


def features(options):
    """Accuracy of a logistic regression on features, with all labels and with ten of each class.

    Features are learned from all training rows, without labels. They are not scaled. The strength C of the classifier
    is chosen by three folds. Accuracies with ten labels are means of five draws.
    """
    table = Table(options, ("set, features", "all labels", "10 a class", "seconds", "warnings"), label=32)
    cells = [
        (name, *extractor)
        for name in chosen(options, LABELED, read_labeled)
        for extractor in extractors(options, read_labeled(options, name)[0].shape[1]).items()
    ]
    for row in in_parallel(features_cell, options, cells):
        table.row(*row)


def extractors(options, n_columns):
    """Return the methods by their names. PCA and NMF have half as many components as columns, 100 at most."""
    n_components, widths = (min(100, n_columns // 2), (100, 400)) if not options.quick else (5, (10,))
    return {
        "raw": FunctionTransformer(),
        f"PCA({n_components})": PCA(n_components, random_state=options.seed),
        f"NMF({n_components})": NMF(n_components, random_state=options.seed, max_iter=500),
        **{f"BernoulliRBM({n})": BernoulliRBM(n, random_state=options.seed) for n in widths},
        "HelmholtzMachine()": default_machine(options),
        f"HelmholtzMachine({widths[-1]})": default_machine(options, hidden_layer_sizes=widths[-1]),
    }


def read_labeled(options, name):
    """Return training rows, test rows, training labels and test labels; rows are in [0, 1]."""
    if name == "digits":
        X, y = datasets.load_digits(return_X_y=True)
        parts = train_test_split(X / 16, y, train_size=0.7, random_state=options.seed, stratify=y)
    else:
        file, n_rows, largest = {"optdigits": ("optdigits_counts", None, 16), "mnist_gray": (name, N_MNIST, 255)}[name]
        with np.load(data_file(options, f"{file}.npz")) as data:
            X, X_test, y, y_test = (data[part] for part in ("train", "test", "train_y", "test_y"))
        parts = X[:n_rows] / largest, X_test / largest, y[:n_rows], y_test
    numbers = (options.max_rows, options.max_test) * 2
    # Rows and their labels are equally many, and are drawn by the same permutation.
    return [some(part, number, options.seed) for part, number in zip(parts, numbers, strict=True)]


def features_cell(options, name, method, extractor):
    X, X_test, y, y_test = read_labeled(options, name)
    fitted, seconds, n_warnings = fit(extractor, X)
    H, H_test = fitted.transform(X), fitted.transform(X_test)
    few = [labeled_rows(y, draw) for draw in range(N_DRAWS)]
    with quiet():
        accuracies = accuracy(H, y, H_test, y_test), np.mean([accuracy(H[i], y[i], H_test, y_test) for i in few])
    return f"{name}, {method}", *accuracies, f"{seconds:.1f}", n_warnings


def labeled_rows(y, seed):
    """Draw rows of each class."""
    generator = np.random.default_rng(seed)
    return np.concatenate([generator.permutation(np.flatnonzero(y == label))[:N_LABELS] for label in np.unique(y)])


def accuracy(H, y, H_test, y_test):
    classifier = GridSearchCV(LogisticRegression(max_iter=300), {"C": STRENGTHS}, cv=3)
    return classifier.fit(H, y).score(H_test, y_test)


# ---------------------------------------------------------------------- time


def time(options):
    """Seconds of a default fit beside BernoulliRBM(100), medians of fits in turns, and warnings of the default fits."""
    table = Table(options, ("rows", "machine", "BernoulliRBM", "ratio", "epochs", "warnings"), digits=2)
    tables = {
        "digits, 1797 x 64": datasets.load_digits().data / 16,
        "bars, 10 000 x 100": make_bars(10_000, 10, random_state=options.seed)[0],
    }
    rbm = BernoulliRBM(100, random_state=options.seed)
    default_machine(options).fit(tables["digits, 1797 x 64"][:100])  # compiles the loops
    for name, X in tables.items():
        X = X[: options.max_rows]
        runs = [(fit(default_machine(options), X), fit(rbm, X)[1]) for _ in range(REPETITIONS)]
        seconds = np.median([[machine[1], other] for machine, other in runs], axis=0)
        n_warnings = sum(machine[2] for machine, _ in runs)
        table.row(name, *seconds, seconds[0] / seconds[1], runs[0][0][0].n_iter_, n_warnings)


TABLES = {table.__name__: table for table in (density, real, features, time)}

if __name__ == "__main__":
    main()
