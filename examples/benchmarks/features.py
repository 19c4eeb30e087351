"""Features of digits for a linear classifier: HelmholtzMachine beside BernoulliRBM.

Both extract 100 features from scikit-learn's digits, in each fold of a cross-validation from its training part. A
logistic regression then predicts the digit from them; its strength, and whether the features are standardized first, is
chosen inside the training part. The table has the accuracy on the folds left out, its standard deviation, and the time
of fitting the extractor.

The restricted Boltzmann machine takes 50 epochs at each of three learning rates. The Helmholtz machine has no parameter
set. The last lines compare it with the best Boltzmann machine, which is chosen by the accuracies that are reported and
therefore slightly optimistic.

    python examples/benchmarks/features.py
    python examples/benchmarks/features.py --in-order --seeds 3

TIME. Digits of one writer stand together in the data: folds that are shuffled (the default) measure the accuracy on
digits of known writers, folds in order mostly that on digits of unknown ones. No data are needed.
"""

from time import perf_counter

import numpy as np
from _harness import Table, make_parser, parse, quiet
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from skwakesleep import HelmholtzMachine


def main():
    parser = make_parser(__doc__, seeds=1, n_jobs=1)
    parser.add_argument("--n-components", type=int, default=100, help="features of either machine (default: 100)")
    parser.add_argument("--rates", type=float, nargs="+", default=[0.01, 0.06, 0.1], help="rates of BernoulliRBM")
    parser.add_argument("--in-order", action="store_true", help="do not shuffle the rows before folding them")
    options = parse(parser, rates=[0.06], n_components=10)
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    if options.quick:
        X, y = X[:300], y[:300]
    machines = {"HelmholtzMachine": HelmholtzMachine(options.n_components)}
    rbms = {
        f"BernoulliRBM, learning_rate={rate}": BernoulliRBM(options.n_components, learning_rate=rate, n_iter=50)
        for rate in options.rates
    }
    table = Table(options, ("extractor", "accuracy", "deviation", "seconds"), label=36, digits=4)
    with threadpool_limits(1), quiet():
        best = [best_of(extractors, X, y, options, table) for extractors in (machines, rbms)]
    difference = best[0][0] - best[1][0]
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    print("\nHelmholtzMachine against the best BernoulliRBM")
    print(f"  accuracy {difference.mean():+.4f} (standard error over folds {error:.4f})")
    print(f"  fit time x {best[0][1].mean() / best[1][1].mean():.2f}")


def best_of(extractors, X, y, options, table):
    """Add a row to the table for each extractor; return the results of the most accurate one."""
    results = []
    for name, extractor in extractors.items():
        accuracies, seconds = cross_validate(extractor, X, y, options)
        table.row(name, accuracies.mean(), accuracies.std(), f"{seconds.mean():.2f}")
        results.append((accuracies, seconds))
    return max(results, key=lambda result: result[0].mean())


def cross_validate(extractor, X, y, options):
    """Return the accuracy, and the seconds of fitting the extractor, of each fold of each repetition."""
    classifier = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
        {"standardscaler": ["passthrough", StandardScaler()], "logisticregression__C": np.logspace(-3, 3, 7)},
        cv=3,
        n_jobs=options.n_jobs,
    )
    accuracies, seconds = [], []
    for seed in range(options.seeds):
        folds = StratifiedKFold(5) if options.in_order else StratifiedKFold(5, shuffle=True, random_state=seed)
        for train, test in folds.split(X, y):
            start = perf_counter()
            fitted = clone(extractor).set_params(random_state=seed).fit(X[train])
            seconds.append(perf_counter() - start)
            classifier.fit(fitted.transform(X[train]), y[train])
            accuracies.append(classifier.score(fitted.transform(X[test]), y[test]))
    return np.array(accuracies), np.array(seconds)


if __name__ == "__main__":
    main()
