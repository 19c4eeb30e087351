"""Tables: likelihood, imputation, generation and classification by HelmholtzMachine, beside other methods.

    python examples/benchmarks/tables.py --data-dir DIR
    python examples/benchmarks/tables.py --data-dir DIR --parts imputation --tables german wine

A table is a file tables/NAME.csv.gz. Its first column, "split", has the part of the row: train, valid or test. Words
are categories, and empty fields are missing values. Three arrays are scored as well: the counts of nmes6_counts.npz and
optdigits_counts.npz, and the real columns of wine_red.npz, whose folds 1 and 2 are for testing and validation. The
machine has the default parameters of its constructor, but for the seed.

With --max-rows 6000, all parts together take most of an hour on one core. The quality report of sdmetrics is a part of
"generation" if that package is installed.
"""

import numpy as np
import pandas as pd
from _harness import PARTS, Table, data_file, make_parser, mean_and_error, parse, print_tables, quiet, timed
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.model_selection import cross_val_score
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from skwakesleep import HelmholtzImputer, HelmholtzMachine
from skwakesleep.reference import IndependentColumns, LatentClasses

# The column of labels of each table.
LABELS = {"breast": "cls", "german": "risk", "wine": "colour", "adult": "sex"}
# The kind of the columns of each array.
ARRAYS = {"nmes6_counts": "count", "optdigits_counts": "count", "wine_red": "continuous"}
N_COMPONENTS = [1, 2, 4, 8, 16, 32, 64]
# Rows and share of holes to impute, and draws for intervals.
N_IMPUTED, HOLES, N_DRAWS = 4000, 0.3, 20
# Share of holes in the columns that labels are predicted from.
LABEL_HOLES = 0.5
N_BINS = 10


def main():
    parser = make_parser(__doc__, data="the sets")
    names = [*LABELS, *ARRAYS]
    parser.add_argument("--tables", nargs="+", choices=names, default=names, help="sets to run (default: all)")
    parser.add_argument("--parts", nargs="+", choices=MEASURES, default=list(MEASURES), help="default: all")
    parser.add_argument("--max-rows", type=int, help="greatest number of training rows (default: all)")
    parser.add_argument("--max-iter", type=int, help="epochs of HelmholtzMachine (default: its own)")
    options = parse(parser, tables=["breast"], max_rows=300, max_iter=2)
    with threadpool_limits(1), quiet():
        print_tables(MEASURES, options, options.parts)


# ---------------------------------------------------------------------- data


def read_table(options, name):
    """Return a table without its column of parts, and that column."""
    table = pd.read_csv(data_file(options, f"tables/{name}.csv.gz"))
    return table.drop(columns="split"), table["split"]


def read_parts(options, name):
    """Return the training, validation and test rows of a table or an array."""
    if name in LABELS:
        table, split = read_table(options, name)
        parts = [table[split == part].reset_index(drop=True) for part in PARTS]
    else:
        with np.load(data_file(options, f"{name}.npz")) as data:
            if "fold" in data:
                fold = data["fold"]
                parts = [data["X"][rows].astype(float) for rows in (fold > 2, fold == 2, fold == 1)]
            else:
                parts = [data[part].astype(float) for part in PARTS]
    return [parts[0][: options.max_rows], *parts[1:]]


def with_holes(table, share, generator):
    """Return a table in which a share of the values is missing completely at random, and which are missing anew."""
    holes = (generator.random(table.shape) < share) & table.notna().to_numpy()
    return table.mask(holes), holes


def is_words(column):
    return not pd.api.types.is_numeric_dtype(column)


def as_categories(table):
    """Return a table for boosted trees, which find categories by their dtype."""
    return table.astype({name: "category" for name in table if is_words(table[name])})


def machine(options, **parameters):
    return HelmholtzMachine(max_iter=options.max_iter or "auto", random_state=0, **parameters)


# ---------------------------------------------------------------------- likelihood


def likelihood(options):
    """Test log-likelihood in nats per row; paired differences to the better reference, with standard errors.

    The number of latent classes is chosen on validation rows.
    """
    columns = ("set", "independent", "classes", "number", "machine", "difference", "error", "seconds")
    table = Table(options, columns, label=16)
    for name in options.tables:
        train, valid, test = read_parts(options, name)
        domain = {"visible": ARRAYS.get(name, "auto"), "handle_unknown": "missing"}
        references = [IndependentColumns(**domain).fit(train), chosen_classes(train, valid, domain)]
        independent, classes = (reference.score_samples(test) for reference in references)
        best = max(independent, classes, key=np.mean)
        fitted, seconds = timed(machine(options, **domain).fit, train)
        scores = fitted.score_samples(test)
        cells = scores.mean(), *mean_and_error(scores - best), f"{seconds:.0f}"
        table.row(name, independent.mean(), classes.mean(), len(references[1].weights_), *cells)


def chosen_classes(train, valid, domain):
    """Return the latent classes, of those of several numbers, that score best on validation rows."""
    fits = [LatentClasses(n, random_state=0, **domain).fit(train) for n in N_COMPONENTS]
    return max(fits, key=lambda fit: fit.score(valid))


# ---------------------------------------------------------------------- imputation


def imputation(options):
    """Errors of the values filled in: RMSE / standard deviation of numbers, share of wrong categories, seconds.

    Imputers are fitted to the rows that they fill. "Coverage" is the share of missing numbers within the interval
    between the quantiles .05 and .95 of draws, and "calibration" the expected calibration error of the most probable
    category.
    """
    columns = ("set and imputer", "numbers", "categories", "coverage", "calibration", "seconds")
    report = Table(options, columns, label=32)
    for name in tables_among(options):
        table = read_table(options, name)[0][: min(N_IMPUTED, options.max_rows or N_IMPUTED)]
        holed, holes = with_holes(table, HOLES, np.random.default_rng(0))
        for imputer, fill in {
            "mean and mode": fill_simply,
            "KNNImputer": lambda table: fill_one_hot(KNNImputer(n_neighbors=10), table),
            "IterativeImputer": lambda table: fill_one_hot(IterativeImputer(random_state=0), table),
        }.items():
            filled, seconds = timed(fill, holed)
            report.row(f"{name}, {imputer}", *errors(table, filled, holes), None, None, f"{seconds:.0f}")
        ours = HelmholtzImputer(None if not options.quick else machine(options), random_state=0)
        filled, seconds = timed(ours.fit_transform, holed)
        known = coverage(ours, table, holed, holes), calibration(ours.estimator_, table, holed, holes)
        report.row(f"{name}, HelmholtzImputer", *errors(table, filled, holes), *known, f"{seconds:.0f}")


def tables_among(options):
    return [name for name in options.tables if name in LABELS]


def fill_simply(table):
    strategies = {name: "most_frequent" if is_words(table[name]) else "mean" for name in table}
    return pd.DataFrame(
        {name: SimpleImputer(strategy=how).fit_transform(table[[name]])[:, 0] for name, how in strategies.items()}
    )


def fill_one_hot(imputer, table):
    """Fill a table by an imputer of standardized numbers; categories are one-hot, and the greatest is taken."""
    blocks = [one_hot(table[name]) for name in table]
    scaler = StandardScaler()
    filled = scaler.inverse_transform(imputer.fit_transform(scaler.fit_transform(np.hstack(blocks))))
    parts = np.split(filled, np.cumsum([block.shape[1] for block in blocks])[:-1], axis=1)
    return pd.DataFrame(
        {
            name: block.columns[part.argmax(axis=1)] if is_words(table[name]) else part[:, 0]
            for name, block, part in zip(table, blocks, parts, strict=True)
        }
    )


def one_hot(column):
    """Return indicators of the categories, missing where the category is; a column of numbers as it is."""
    if not is_words(column):
        return column.to_frame()
    return pd.get_dummies(column, dtype=float).where(column.notna(), np.nan, axis=0)


def errors(table, filled, holes):
    """Return the mean error over the numeric columns, and over those of categories."""
    numbers, words = [], []
    for name, holed in zip(table, holes.T, strict=True):
        truth, guess = table[name][holed], filled[name].to_numpy()[holed]
        if is_words(truth):
            words.append(np.mean(truth.to_numpy() != guess))
        else:
            numbers.append(np.sqrt(np.mean(np.square(truth - guess.astype(float)))) / table[name].std(ddof=0))
    return np.mean(numbers), np.mean(words)


def coverage(imputer, table, holed, holes):
    """Return the share of missing numbers that are within the interval of nominally 90 % of the draws."""
    draws = imputer.draw(holed, N_DRAWS)
    numeric = [number for number, name in enumerate(table) if not is_words(table[name])]
    values = np.stack([draw.iloc[:, numeric].to_numpy(float) for draw in draws])
    # The quantiles among which a further draw is with a probability of 90 %.
    low, high = np.quantile(values, [0.05, 0.95], axis=0, method="weibull")
    truth = table.iloc[:, numeric].to_numpy(float)
    return np.mean(((low <= truth) & (truth <= high))[holes[:, numeric]])


def calibration(fitted, table, holed, holes):
    """Return the mean distance, over bins, of the probability of the most probable category and its frequency."""
    confidence, correct = [], []
    for number, name in enumerate(table):
        missing = holes[:, number]
        if is_words(table[name]) and missing.any():
            probabilities = fitted.conditional(holed[missing], name)
            confidence.append(probabilities.max(axis=1))
            guesses = np.asarray(fitted.categories_[number])[probabilities.argmax(axis=1)]
            correct.append(guesses == table[name][missing].to_numpy())
    confidence, correct = np.concatenate(confidence), np.concatenate(correct)
    bins = np.minimum((confidence * N_BINS).astype(int), N_BINS - 1)
    return np.abs(np.bincount(bins, confidence - correct)).sum() / len(bins)


# ---------------------------------------------------------------------- generation


def generation(options):
    """Quality of synthetic rows of "adult": sdmetrics, trees that detect them, and trees that learn from them.

    Only complete rows are used. "Detected" is the area under the ROC curve of boosted trees that tell synthetic rows
    from test rows, .5 at best; "learned" the mean accuracy, over the columns of categories, of trees that predict the
    column and were trained on these rows. "Training rows" is the best to expect.
    """
    train, _, test = (part.dropna().reset_index(drop=True) for part in read_parts(options, "adult"))
    synthetic = machine(options).fit(train).sample(len(train), random_state=0)
    report = Table(options, ("rows", "shapes", "pairs", "detected", "learned"))
    for name, rows in {"training rows": train, "HelmholtzMachine": synthetic}.items():
        report.row(name, *quality(rows, test), detected(rows, test), learned(rows, test))


def quality(rows, test):
    """Return the column shapes and pair trends of sdmetrics; None without that package."""
    try:
        from sdmetrics.reports.single_table import QualityReport
    except ImportError:
        print("sdmetrics is not installed: no shapes and pairs")
        return None, None
    columns = {name: {"sdtype": "categorical" if is_words(test[name]) else "numerical"} for name in test}
    report = QualityReport()
    report.generate(test, rows, {"columns": columns}, verbose=False)
    return report.get_properties()["Score"]


def detected(rows, test):
    """Return the area under the ROC curve of boosted trees that tell rows from test rows, in five folds."""
    n_rows = min(len(rows), len(test))
    both = as_categories(pd.concat([rows[:n_rows], test[:n_rows]], ignore_index=True))
    return cross_val_score(boosted_trees(), both, np.repeat([0, 1], n_rows), scoring="roc_auc").mean()


def learned(rows, test):
    """Return the mean accuracy on test rows of boosted trees that predict a column of categories from the others."""
    return np.mean([np.mean(predicted(rows, test, name) == test[name]) for name in test if is_words(test[name])])


def boosted_trees():
    return HistGradientBoostingClassifier(categorical_features="from_dtype", random_state=0)


def predicted(rows, test, label):
    """Return the labels of test rows that boosted trees trained on other rows predict."""
    n_rows = len(rows)
    both = as_categories(pd.concat([rows, test], ignore_index=True).drop(columns=label))
    return boosted_trees().fit(both[:n_rows], rows[label].to_numpy()).predict(both[n_rows:])


# ---------------------------------------------------------------------- classification


def classification(options):
    """Accuracy of a label on test rows: boosted trees beside the conditional distribution of a machine.

    With holes, half of the values of all other columns are missing, in training and test rows. Differences are paired.
    """
    report = Table(options, ("label", "holes", "trees", "machine", "difference", "error"))
    for name in tables_among(options):
        train, _, test = read_parts(options, name)
        label = LABELS[name]
        for share in (0, LABEL_HOLES):
            generator = np.random.default_rng(0)
            rows, asked = (
                with_holes(part, share, generator)[0].assign(**{label: part[label]}) for part in (train, test)
            )
            trees = predicted(rows, asked, label) == test[label]
            fitted = machine(options, handle_unknown="missing").fit(rows)
            categories = np.asarray(fitted.categories_[test.columns.get_loc(label)])
            ours = categories[fitted.conditional(asked, label).argmax(axis=1)] == test[label]
            scores = trees.mean(), ours.mean(), *mean_and_error(ours.astype(float) - trees)
            report.row(f"{name}, {label}", f"{share:.0%}", *scores)


MEASURES = {part.__name__: part for part in (likelihood, imputation, generation, classification)}

if __name__ == "__main__":
    main()
