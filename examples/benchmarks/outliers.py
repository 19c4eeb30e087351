"""Outlier detection: DensityOutlierDetector beside IsolationForest, LocalOutlierFactor and a mixture of normals.

    python examples/benchmarks/outliers.py
    python examples/benchmarks/outliers.py --data-dir DIR --tasks german adult

Half of the normal rows are for training. The others and the outliers are for testing. In the contaminated table, one
training row in twenty is an outlier; these are not tested. There are two thresholds: contamination=0.05 and "auto". The
machine has the default parameters of its constructor, but takes words that are new for missing. The mixture of normals
is in the same detector, and its number of components is chosen by the Bayesian information criterion.

Outliers are one digit among the others in "digits", malignant tumors in "breast_cancer", bad debtors in "german", and
rows of "adult" of which a third of the cells are those of another row. The first two come with scikit-learn, the others
are tables/german.csv.gz and tables/adult.csv.gz. For all methods but the machine, words are one-hot and missing values
the median; for neighbors and mixtures, columns are standardized. All takes about half an hour on one core.
"""

from functools import partial

import numpy as np
import pandas as pd
from _harness import (
    MissingDataError,
    Table,
    data_file,
    make_parser,
    mean_and_error,
    parse,
    print_tables,
    quiet,
    timed,
)
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import IsolationForest
from sklearn.impute import SimpleImputer
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from skwakesleep import DensityOutlierDetector, HelmholtzMachine

SHARE = 0.05
# P-value up to which rows are outliers with contamination="auto".
LEVEL = 0.05
N_GAUSSIANS = range(1, 11)
# Digits that are outliers among the others, one in each repetition.
OUTLIERS = 0, 3, 6, 9, 1
# Rows of "adult" that are normal, and as many outliers; cells of an outlier that are those of another row.
N_ADULT, N_SWAPPED = 3000, 4


def main():
    parser = make_parser(__doc__, data="the sets", tables=TABLES, seeds=2)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS), help="default: all")
    parser.add_argument("--max-rows", type=int, default=2000, help="greatest number of training rows (default: 2000)")
    options = parse(parser, tasks=["breast_cancer"], max_rows=100, seeds=2)
    with threadpool_limits(1), quiet():
        print_tables(TABLES, options)


# ---------------------------------------------------------------------- data


def digits(options, seed):
    """Return images of digits in zeros and ones, and which are outliers."""
    images, y = load_digits(return_X_y=True)
    return (images >= 8).astype(float), y == OUTLIERS[seed % len(OUTLIERS)]


def breast_cancer(options, seed):
    """Return measurements of tumors, of which the malignant are outliers."""
    tumors, y = load_breast_cancer(return_X_y=True, as_frame=True)
    return tumors, y == 0


def german(options, seed):
    """Return a table of debtors, of whom those who did not pay are outliers."""
    table = pd.read_csv(data_file(options, "tables/german.csv.gz")).drop(columns="split")
    return table.drop(columns="risk"), table["risk"] == table["risk"].value_counts().index[-1]


def adult(options, seed):
    """Return a table of people, with outliers in which some cells are those of other people."""
    table = pd.read_csv(data_file(options, "tables/adult.csv.gz"), nrows=2 * N_ADULT).drop(columns="split")
    normal, changed, others = table[:N_ADULT], table[N_ADULT:].reset_index(drop=True), table[:N_ADULT]
    rng = np.random.default_rng(seed)
    swapped = rng.permuted(np.tile(np.arange(table.shape[1]) < N_SWAPPED, (N_ADULT, 1)), axis=1)
    changed = changed.where(~swapped, others)
    return pd.concat([normal, changed], ignore_index=True), np.repeat([False, True], N_ADULT)


TASKS = {task.__name__: task for task in (digits, breast_cancer, german, adult)}


def split(options, task, seed, contaminated):
    """Return training rows, test rows, and which of these are outliers."""
    X, is_outlier = TASKS[task](options, seed)
    rng = np.random.default_rng(seed)
    normal, strange = (rng.permutation(np.flatnonzero(np.asarray(is_outlier) == kind)) for kind in (False, True))
    n_train = min(len(normal) // 2, options.max_rows)
    n_strange = round(n_train * SHARE / (1 - SHARE)) if contaminated else 0
    train = rng.permutation(np.concatenate([normal[:n_train], strange[:n_strange]]))
    parts = normal[n_train:], strange[n_strange:]
    rows = train, np.concatenate(parts)
    return *(X.iloc[own] if isinstance(X, pd.DataFrame) else X[own] for own in rows), np.repeat(
        [False, True], list(map(len, parts))
    )


# ---------------------------------------------------------------------- methods


def encoder(*, standardized):
    """Return a transformer of mixed tables for methods that take numbers."""
    scaler = [StandardScaler()] if standardized else []
    return make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median"), *scaler), make_column_selector(dtype_include="number")),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), make_column_selector(dtype_exclude="number")),
    )


def helmholtz_machine(train, seed, contamination, cv=None):
    machine = HelmholtzMachine(handle_unknown="missing")
    return DensityOutlierDetector(machine, contamination=contamination, cv=cv, random_state=seed).fit(train)


def mixture(train, seed, contamination):
    best = min((GaussianMixture(n, random_state=seed).fit(train) for n in N_GAUSSIANS), key=lambda own: own.bic(train))
    return DensityOutlierDetector(best, contamination=contamination, random_state=seed).fit(train)


def forest(train, seed, contamination):
    return IsolationForest(contamination=contamination, random_state=seed).fit(train)


def neighbors(train, seed, contamination):
    return LocalOutlierFactor(contamination=contamination, novelty=True).fit(train)


METHODS = {
    "HelmholtzMachine": (helmholtz_machine, None),
    "HelmholtzMachine, cv=5": (partial(helmholtz_machine, cv=5), None),
    "GaussianMixture": (mixture, encoder(standardized=True)),
    "IsolationForest": (forest, encoder(standardized=False)),
    "LocalOutlierFactor": (neighbors, encoder(standardized=True)),
}


# ---------------------------------------------------------------------- tables


def novelty(options):
    """Training rows are normal. Area under the ROC curve, and shares of test rows called outliers.

    "False" is the share of normal rows that are called outliers, "found" that of outliers; "error" is the standard
    error of the area over repetitions.
    """
    compare(options, contaminated=False)


def contaminated(options):
    """One training row in twenty is an outlier. The columns are the same."""
    compare(options, contaminated=True)


def compare(options, *, contaminated):
    columns = "task, method", "area", "error", "false, .05", "found, .05", "false, auto", "found, auto", "seconds"
    report = Table(options, columns, label=38, width=8)
    for task in options.tasks:
        try:
            TASKS[task](options, 0)
        except MissingDataError as missing:
            print(f"skipped: {missing}", flush=True)
            continue
        for name in METHODS:
            cells = [cells_of(options, task, name, seed, contaminated) for seed in range(options.seeds)]
            areas, *means = np.array(cells).T
            *shares, seconds = map(np.mean, means)
            report.row(f"{task}, {name}", *mean_and_error(areas), *shares, f"{seconds:.1f}")


def cells_of(options, task, name, seed, contaminated):
    """Return the area, the shares of false alarms and of outliers found for both thresholds, and the seconds."""
    train, test, is_outlier = split(options, task, seed, contaminated)
    fit, encode = METHODS[name]
    if encode is not None:
        train, test = (encode.fit(pd.DataFrame(train)).transform(pd.DataFrame(part)) for part in (train, test))
    fixed, seconds = timed(fit, train, seed, SHARE)
    if isinstance(fixed, DensityOutlierDetector):  # saves the second fit
        by_default = fixed.p_values(test) <= LEVEL
    else:
        by_default = fit(train, seed, "auto").predict(test) == -1
    calls = fixed.predict(test) == -1, by_default
    shares = [called[kind].mean() for called in calls for kind in (~is_outlier, is_outlier)]
    return roc_auc_score(is_outlier, -fixed.score_samples(test)), *shares, seconds


TABLES = {table.__name__: table for table in (novelty, contaminated)}

if __name__ == "__main__":
    main()
