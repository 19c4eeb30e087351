"""Features of digits for a linear classifier: HelmholtzMachine beside BernoulliRBM.

Both extract the same number of features from scikit-learn's digits, in each fold of a cross-validation from its
training part alone. A logistic regression then reads the digit from them; its strength, and whether the features are
standardized first, is chosen inside the training part. The table has its accuracy on the folds left out and the time it
took to fit the extractor.

The restricted Boltzmann machine takes 50 epochs at each of three learning rates. The Helmholtz machine has the default
parameters of its constructor but for the number of epochs. The last lines compare the best row of each; since that is
picked by the very accuracies it reports, both are slightly optimistic.

    python examples/benchmarks/features.py
    python examples/benchmarks/features.py --in-order --repeats 3

Digits of one writer stand together in the data. Shuffled folds (the default) ask for digits of known writers, folds in
order mostly for those of unknown ones.
"""

import argparse
import warnings
from time import perf_counter

import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from skwakesleep import HelmholtzMachine


def main():
    args = parse_arguments()
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)

    helmholtz = HelmholtzMachine(args.n_components)
    machines = {f"HelmholtzMachine, max_iter={n}": clone(helmholtz).set_params(max_iter=n) for n in args.epochs}
    machines["HelmholtzMachine, default"] = helmholtz
    rbm = BernoulliRBM(args.n_components, n_iter=50)
    rbms = {f"BernoulliRBM, learning_rate={r}": clone(rbm).set_params(learning_rate=r) for r in args.learning_rates}

    folds = "in order" if args.in_order else "shuffled"
    print(f"{args.n_components} features, 5 folds {folds}, repeats: {args.repeats}\n")
    print(f"{'':36}{'accuracy':^17}{'fit time':>10}")
    with threadpool_limits(args.threads), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is what is compared
        compare(best_of(machines, X, y, args), best_of(rbms, X, y, args))


def parse_arguments():
    summary, _, details = __doc__.partition("\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n-components", type=int, default=100, help="features of either machine (default: 100)")
    parser.add_argument(
        "--epochs", type=int, nargs="*", default=[10, 25, 50], help="max_iter of HelmholtzMachine, beside its default"
    )
    parser.add_argument(
        "--learning-rates", type=float, nargs="+", default=[0.01, 0.06, 0.1], help="learning rates of BernoulliRBM"
    )
    parser.add_argument("--in-order", action="store_true", help="do not shuffle the rows before folding them")
    parser.add_argument("--repeats", type=int, default=1, help="repetitions with other seeds (default: 1)")
    parser.add_argument("--n-jobs", type=int, default=1, help="processes to choose the classifier with (default: 1)")
    parser.add_argument("--threads", type=int, default=1, help="threads of matrix products (default: 1)")
    return parser.parse_args()


def best_of(extractors, X, y, args):
    """Print a row of the table for each extractor; return the most accurate one's results."""
    results = {}
    for name, extractor in extractors.items():
        accuracies, seconds = cross_validate(extractor, X, y, args)
        spread = f"{accuracies.mean():.4f} +- {accuracies.std():.4f}"
        print(f"{name:36}{spread:17}{seconds.mean():8.2f} s", flush=True)
        results[name] = accuracies, seconds
    return max(results.values(), key=lambda result: result[0].mean())


def cross_validate(extractor, X, y, args):
    """Return the accuracy, and the seconds it took to fit the extractor, of each fold of each repetition."""
    classifier = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
        {"standardscaler": ["passthrough", StandardScaler()], "logisticregression__C": np.logspace(-3, 3, 7)},
        cv=3,
        n_jobs=args.n_jobs,
    )
    accuracies, seconds = [], []
    for seed in range(args.repeats):
        folds = StratifiedKFold(5) if args.in_order else StratifiedKFold(5, shuffle=True, random_state=seed)
        for train, test in folds.split(X, y):
            start = perf_counter()
            fitted = clone(extractor).set_params(random_state=seed).fit(X[train])
            seconds.append(perf_counter() - start)
            classifier.fit(fitted.transform(X[train]), y[train])
            accuracies.append(classifier.score(fitted.transform(X[test]), y[test]))
    return np.array(accuracies), np.array(seconds)


def compare(machine, boltzmann):
    """Print the paired difference between two extractors' results."""
    difference = machine[0] - boltzmann[0]
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    ratio = machine[1].mean() / boltzmann[1].mean()
    print("\nBest HelmholtzMachine against best BernoulliRBM")
    print(f"  accuracy {difference.mean():+.4f} (standard error over folds {error:.4f})")
    print(f"  fit time x {ratio:.2f}")


if __name__ == "__main__":
    main()
