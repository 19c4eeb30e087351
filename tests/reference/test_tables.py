"""Densities of tables with columns of any kind and missing values: independent columns, and latent classes.

Tolerances: 1e-10 nats for likelihoods that are also computed by plain loops; 1e-9 for sums and integrals; p > 1e-3 in
tests of samples, with fixed seeds and another density as negative control; for fits to rows of known classes as stated.
"""

from copy import copy
from itertools import permutations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import fixed_quad
from scipy.special import logsumexp
from scipy.stats import chisquare, ks_2samp, norm
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from skwakesleep._engine.machine.columns import KINDS
from skwakesleep.reference import (
    BernoulliMixture,
    IndependentBernoulli,
    IndependentColumns,
    LatentClasses,
)
from skwakesleep.reference import _latent_classes as module
from tests import table_oracle
from tests.oracle import log_normal
from tests.reference.tables import ALL_KINDS, table_of

pytestmark = [
    pytest.mark.arithmetic,
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


def beyond(X):
    """Return rows with values below and above those of `X` in numeric columns, and empty rows."""
    lowest, highest = np.nanmin(X, axis=0), np.nanmax(X, axis=0)
    numeric = highest > 4
    return np.stack([highest + np.where(numeric, 9, 0), lowest, np.full(X.shape[1], np.nan)])


# ---------------------------------------------------------------------- likelihoods


def log_value(density, column, component, value):
    """Return the log-probability or log-density of a value given its class."""
    codec = column.codec
    if column.kind == "gaussian":
        mean, variance = density._means[component, column.number], density._variances[component, column.number]
        location, scale = codec.location[column.number], codec.scale[column.number]
        return log_normal(value, location + scale * mean, scale * np.sqrt(variance))
    probabilities = density.probabilities_[column.place][component]
    if column.kind == "bernoulli":
        return value * np.log(probabilities[1]) + (1 - value) * np.log(probabilities[0])
    return np.log(probabilities[table_oracle.cell_of(column, value)]) + table_oracle.log_within(column, value)


def log_likelihood(density, row):
    """Return the log-likelihood of the values that a row has, by plain loops."""
    columns = [column for column in table_oracle.columns_of(density._columns) if not np.isnan(row[column.place])]
    return table_oracle.log_sum(
        [
            np.log(weight) + sum(log_value(density, column, component, row[column.place]) for column in columns)
            for component, weight in enumerate(density.weights_)
        ]
    )


def test_the_score_is_the_likelihood_of_the_observed_values(fitted):
    kinds = fitted.visible
    X = table_of(kinds, 20, seed=1)
    X = np.concatenate([np.minimum(X, np.nanmax(table_of(kinds), axis=0)), beyond(table_of(kinds))])
    scores = fitted.score_samples(X)
    assert_allclose(scores, [log_likelihood(fitted, row) for row in X], rtol=0, atol=1e-10)
    assert scores[-1] == pytest.approx(0, abs=1e-12)  # nothing observed
    assert fitted.score(X) == pytest.approx(scores.mean())


def total(density, row, column):
    """Return the sum or integral of the likelihood over all values of one column."""

    def likelihood(values):
        rows = np.tile(row, (np.size(values), 1))
        rows[:, column.place] = values
        return np.exp(density.score_samples(rows))

    if column.kind == "gaussian":
        values = np.linspace(-30, 50, 2001)
        return np.trapezoid(likelihood(values), values)
    if column.kind != "continuous":
        n_values = {"bernoulli": 2, "count": 3000}.get(column.kind) or len(density.categories_[column.place])
        return likelihood(np.arange(n_values)).sum()
    edges = table_oracle.inner_edges(column)
    inside = np.diff(edges) @ likelihood((edges[1:] + edges[:-1]) / 2)
    span = 25 * (edges[-1] - edges[0])
    ends = (edges[0] - span, edges[0]), (edges[-1], edges[-1] + span)
    below, above = (fixed_quad(likelihood, low, high, n=100)[0] for low, high in ends)
    return inside + below + above


def test_a_missing_value_is_summed_out(fitted):
    """With all values missing, the sum or integral is one."""
    kinds = fitted.visible
    complete = table_of(kinds, 1, seed=2, holes=0)[0]
    for column in table_oracle.columns_of(fitted._columns)[-6:]:
        for row in (complete, np.full(len(kinds), np.nan)):
            incomplete = row.copy()
            incomplete[column.place] = np.nan
            expected = np.exp(fitted.score_samples(incomplete[np.newaxis]))[0]
            assert total(fitted, row, column) == pytest.approx(expected, rel=1e-7), column


def test_independent_columns_have_the_distributions_of_an_untrained_machine():
    kinds = [kind for kind in ALL_KINDS if kind not in ("bernoulli", "gaussian")]
    X = table_of(kinds)
    density = IndependentColumns(visible=kinds).fit(X)
    assert_allclose(density.score_samples(X), density._columns.log_base(X, np.isnan(X)), rtol=0, atol=1e-12)


def test_independent_bernoulli_columns_are_those_of_independent_bernoulli():
    X = table_of(["bernoulli"] * 4, holes=0)
    assert_allclose(
        IndependentColumns().fit(X).score_samples(X), IndependentBernoulli().fit(X).score_samples(X), rtol=1e-12
    )


def test_independent_gaussian_columns_have_the_mean_and_variance_of_the_data():
    X = table_of(["gaussian"] * 2)
    X[0, 0] = 1e4  # extreme values count
    scores = norm.logpdf(X, np.nanmean(X, axis=0), np.nanstd(X, axis=0))
    assert_allclose(
        IndependentColumns(visible="gaussian").fit(X).score_samples(X), np.nansum(scores, axis=1), rtol=1e-9
    )


def test_one_class_with_many_pseudo_rows_is_independent_columns(kinds):
    X = table_of(kinds)
    expected = IndependentColumns(visible=kinds).fit(X).score_samples(X)
    one = LatentClasses(1, visible=kinds, smoothing=1e9).fit(X)
    assert_allclose(one.score_samples(X), expected, rtol=0, atol=1e-6)
    few = LatentClasses(1, visible=kinds).fit(X)
    assert few.score(X) == pytest.approx(expected.mean(), abs=0.01 * len(kinds))


def test_one_iteration_fits_one_class(kinds):
    X = table_of(kinds)
    one, many = (LatentClasses(1, visible=kinds, smoothing=0.1, tol=0, max_iter=n).fit(X) for n in (1, 20))
    assert_allclose(one.score_samples(X), many.score_samples(X), rtol=0, atol=1e-9)


@pytest.mark.parametrize("values", ["binary", "fractions"])
def test_classes_of_bernoulli_columns_score_as_a_mixture(values):
    """Fractions are probabilities."""
    rng = np.random.default_rng(0)
    X = rng.random((200, 5))
    X = X.round(2) if values == "fractions" else X.round()
    classes = LatentClasses(3, random_state=0).fit(X)
    mixture = BernoulliMixture(3, random_state=0).fit(X)
    mixture.weights_ = classes.weights_
    mixture.means_ = np.column_stack([own[:, 1] for own in classes.probabilities_])
    assert_allclose(classes.score_samples(X), mixture.score_samples(X), rtol=1e-12)


# ---------------------------------------------------------------------- expectation maximization


@pytest.mark.parametrize("smoothing", [1e-3, 1.0, 50.0])
def test_the_objective_never_falls(kinds, smoothing):
    mixture = LatentClasses(4, visible=kinds, tol=0, max_iter=60, smoothing=smoothing, random_state=0)
    mixture.fit(table_of(kinds))
    assert (np.diff(mixture.lower_bounds_) > -1e-9).all()
    assert mixture.lower_bounds_[-1] - mixture.lower_bounds_[0] > 0.01
    assert mixture.lower_bounds_[-1] == mixture.lower_bound_


def test_the_objective_is_the_score_of_the_classes_and_their_pseudo_rows(kinds):
    X, smoothing = table_of(kinds), 2.0
    mixture = LatentClasses(3, visible=kinds, max_iter=4, tol=0, smoothing=smoothing, random_state=0).fit(X)
    longer = clone(mixture).set_params(max_iter=5).fit(X)
    # A pseudo-row of a class is the expected log-probability of the independent columns, here by many draws of cells.
    prior = IndependentColumns(visible=kinds).fit(X)
    log_pseudo_rows = np.log(mixture.weights_).mean()
    for column in table_oracle.columns_of(mixture._columns):
        for component in range(3):
            if column.kind == "gaussian":
                mean, variance = (getattr(prior, name)[0, column.number] for name in ("_means", "_variances"))
                own = [getattr(mixture, name)[component, column.number] for name in ("_means", "_variances")]
                log_pseudo_rows += norm.expect(
                    lambda x, own=own: norm.logpdf(x, own[0], np.sqrt(own[1])), loc=mean, scale=np.sqrt(variance)
                )
            else:
                shares = prior.probabilities_[column.place][0]
                log_pseudo_rows += shares @ np.log(mixture.probabilities_[column.place][component])
    expected = mixture.score(X) + smoothing * log_pseudo_rows / len(X)
    assert longer.lower_bounds_[-1] == pytest.approx(expected, abs=1e-9)


def test_the_last_classes_are_a_maximum(kinds):
    """Changed weights and parameters have a lower objective."""
    X = table_of(kinds)
    mixture = LatentClasses(2, visible=kinds, tol=1e-12, max_iter=5000, smoothing=1e-3, random_state=0).fit(X)
    best, rng = mixture.score(X), np.random.default_rng(0)
    for _ in range(20):
        other = copy(mixture)
        other.weights_ = mixture.weights_ * np.exp(0.1 * rng.normal(size=2))
        other.weights_ /= other.weights_.sum()
        other._means = mixture._means + 0.05 * rng.normal(size=mixture._means.shape)
        other._variances = mixture._variances * np.exp(0.1 * rng.normal(size=mixture._variances.shape))
        layout = module.Layout(mixture._columns)
        other._cells = layout.normalized(mixture._cells * np.exp(0.1 * rng.normal(size=mixture._cells.shape)))
        assert other.score(X) < best


WEIGHTS = np.array([0.5, 0.3, 0.2])
CATEGORIES = np.array(
    [[[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]], [[0.2, 0.2, 0.6], [0.7, 0.2, 0.1], [0.1, 0.8, 0.1]]]
)
MEANS = np.array([[0.0, 3.0, -3.0], [5.0, 4.0, 5.0]])


def known_rows(n_rows, seed):
    """Return rows of three known classes with 30 % holes, and their true log-likelihood."""
    rng = np.random.default_rng(seed)
    component = rng.choice(3, n_rows, p=WEIGHTS)
    uniforms = rng.random((4, n_rows))
    words = [
        (uniforms[i][:, np.newaxis] > np.cumsum(CATEGORIES[i % 2], axis=1)[component]).sum(axis=1) for i in range(4)
    ]
    normal = [MEANS[i][component] + rng.normal(size=n_rows) for i in range(2)]
    X = np.column_stack([*words, *normal]).astype(float)
    X[rng.random(X.shape) < 0.3] = np.nan
    log_joint = np.tile(np.log(WEIGHTS), (n_rows, 1))
    for i in range(4):
        codes = np.nan_to_num(X[:, i]).astype(int)
        log_joint += np.where(np.isnan(X[:, [i]]), 0, np.log(CATEGORIES[i % 2])[:, codes].T)
    for i in range(2):
        log_joint += np.nan_to_num(norm.logpdf(X[:, [4 + i]], MEANS[i], 1))
    return X, logsumexp(log_joint, axis=1)


def test_known_classes_are_recovered_from_rows_with_holes():
    """Within .03 for probabilities, .1 for means, and .02 nats for the likelihood of other rows."""
    kinds = ["categorical"] * 4 + ["gaussian"] * 2
    X, _ = known_rows(8000, 0)
    test, true = known_rows(8000, 1)
    mixture = LatentClasses(3, visible=kinds, tol=1e-6, max_iter=1000, random_state=0).fit(X)
    codec = mixture._columns.blocks["gaussian"].codec
    means = codec.location + codec.scale * mixture._means

    def distance(order):
        return np.abs(mixture.probabilities_[0][list(order)] - CATEGORIES[0]).max()

    order = list(min(permutations(range(3)), key=distance))
    assert_allclose(mixture.weights_[order], WEIGHTS, atol=0.03)
    for column in range(4):
        assert_allclose(mixture.probabilities_[column][order], CATEGORIES[column % 2], atol=0.04)
    assert_allclose(means[order].T, MEANS, atol=0.1)
    assert_allclose(codec.scale**2 * mixture._variances, 1, atol=0.1)
    loss = true - mixture.score_samples(test)
    assert -0.01 < loss.mean() < 0.02
    # Negative controls: fewer classes, and means in place of holes.
    fewer = LatentClasses(2, visible=kinds, random_state=0).fit(X)
    assert (true - fewer.score_samples(test)).mean() > 0.05
    filled = np.where(np.isnan(X), np.round(np.nanmean(X, axis=0)), X)
    assert (true - LatentClasses(3, visible=kinds, random_state=0).fit(filled).score_samples(test)).mean() > 0.2


def test_values_that_are_missing_at_random_do_not_bias_the_classes():
    """The second column equals the first one in most rows, and is mostly missing where the first one is one."""
    rng = np.random.default_rng(0)
    first = rng.integers(2, size=4000).astype(float)
    second = np.where(rng.random(4000) < 0.05, 1 - first, first)
    second[(first == 1) & (rng.random(4000) < 0.9)] = np.nan
    X = np.column_stack([first, second])
    share = {
        name: np.exp(density.fit(X).score_samples([[np.nan, 1.0]]))[0]
        for name, density in (
            ("classes", LatentClasses(2, tol=1e-7, max_iter=2000, random_state=0)),
            ("independent", IndependentColumns()),
        )
    }
    assert share["classes"] == pytest.approx(0.5, abs=0.04)
    assert share["independent"] < 0.2  # negative control


@pytest.mark.filterwarnings("ignore:X holds no value")
def test_a_column_that_is_never_observed_changes_nothing(fitted):
    kinds = fitted.visible
    X, density = table_of(kinds), clone(fitted)
    expected = fitted.score_samples(X)
    for kind in KINDS:
        if kind in ("categorical", "ordinal"):
            continue  # have no category then
        wider = np.column_stack([X, np.full(len(X), np.nan)])
        density.set_params(visible=[*kinds, kind]).fit(wider)
        assert_allclose(density.score_samples(wider), expected, rtol=0, atol=1e-12)
        assert np.isfinite(density.score_samples(np.nan_to_num(wider))).all()


def test_restarts_keep_the_highest_bound():
    X = table_of(["categorical"] * 8, holes=0.4)
    bounds = [LatentClasses(6, random_state=seed, visible="categorical").fit(X).lower_bound_ for seed in range(6)]
    assert LatentClasses(6, visible="categorical", n_init=8, random_state=0).fit(X).lower_bound_ > np.median(bounds)


def test_equal_rows_make_different_classes():
    """Both initial rows may be equal: two thirds of the rows are."""
    X = np.repeat([[0.0, 0, 0, 0], [1, 1, 1, 1]], [90, 10], axis=0)
    for seed in range(10):
        mixture = LatentClasses(2, tol=1e-9, max_iter=1000, random_state=seed).fit(X)
        assert_allclose(np.sort(mixture.weights_), [0.1, 0.9], atol=0.01)


def test_fits_and_samples_are_determined_by_the_seed(kinds):
    X = table_of(kinds)
    first, second, other = (LatentClasses(3, visible=kinds, random_state=seed, max_iter=3).fit(X) for seed in (1, 1, 2))
    assert_array_equal(first.score_samples(X), second.score_samples(X))
    assert not np.array_equal(first.score_samples(X), other.score_samples(X))
    assert_array_equal(first.sample(9, random_state=0), second.sample(9, random_state=0))
    assert not np.array_equal(first.sample(9, random_state=0), first.sample(9, random_state=1))


def test_a_fit_that_stops_short_warns():
    X = table_of(["count"] * 3)
    with pytest.warns(ConvergenceWarning, match="LatentClasses did not converge: after max_iter=1 "):
        LatentClasses(3, visible="count", max_iter=1).fit(X)


def test_grid_search_finds_the_number_of_classes():
    X, _ = known_rows(2000, 0)
    search = GridSearchCV(LatentClasses(visible="gaussian", random_state=0), {"n_components": [1, 3]}).fit(X)
    assert search.best_params_ == {"n_components": 3}


# ---------------------------------------------------------------------- samples


def test_sampled_frequencies_match_probabilities(density):
    kinds = ["categorical", "bernoulli", "ordinal"]
    density.set_params(visible=kinds).fit(table_of(kinds))
    states = np.stack(np.meshgrid(range(3), range(2), range(5), indexing="ij"), axis=-1).reshape(-1, 3)
    sample = density.sample(20_000, random_state=1)
    counts = np.bincount((sample @ [10, 5, 1]).astype(int), minlength=30)
    probabilities = np.exp(density.score_samples(states.astype(float)))
    assert chisquare(counts, 20_000 * probabilities).pvalue > 1e-3
    # Negative control: the probabilities of a fit to other rows.
    other = clone(density).fit(table_of(kinds, 100, seed=3))
    assert chisquare(counts, 20_000 * np.exp(other.score_samples(states.astype(float)))).pvalue < 1e-6


def test_sampled_numbers_are_distributed_as_the_data():
    kinds = ["gaussian", "count", "continuous"]
    X = table_of(kinds, 4000, holes=0)
    sample = LatentClasses(4, visible=kinds, random_state=0).fit(X).sample(4000, random_state=0)
    for column in range(3):
        assert ks_2samp(sample[:, column], X[:, column]).pvalue > 1e-3
        assert ks_2samp(sample[:, column], X[:, column] * 1.2).pvalue < 1e-3  # negative control
    assert_allclose(np.corrcoef(sample.T), np.corrcoef(X.T), atol=0.06)
    assert_array_equal(sample[:, 1], np.floor(sample[:, 1]))


def test_cells_that_a_column_does_not_have_are_not_drawn():
    X = np.column_stack([np.arange(40) % 2, np.arange(40) % 20]).astype(float)
    sample = LatentClasses(2, visible="categorical", random_state=0).fit(X).sample(5000, random_state=0)
    assert set(sample[:, 0]) == {0, 1}
    assert set(sample[:, 1]) == set(range(20))


# ---------------------------------------------------------------------- degenerate tables

HUGE = np.finfo(float).max
DEGENERATE = {
    "one row": [[1.0, 0.0]],
    "constant": [[3.0, 3.0]] * 9,
    "huge": [[1e300, 0.0], [1e-300, 5.0], [2e300, 1.0]] * 5,
    "outlier": [[0.0, 1.0]] * 30 + [[1e290, 1e15]],
    "mostly missing": [[np.nan, 1.0], [2.0, np.nan], [np.nan, np.nan], [np.nan, np.nan]],
    "two values": [[0.0, 1.0], [1.0, 0.0]] * 8,
}


@pytest.mark.parametrize("smoothing", [5e-324, 1.0, 1e300])
@pytest.mark.parametrize("kind", ["gaussian", "continuous", "count", "categorical"])
@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_table_gives_a_density(name, kind, smoothing):
    X = np.array(DEGENERATE[name])
    X = np.trunc(X) if kind == "count" else X
    extremes = [[HUGE, HUGE], [0.0, 0.0], [1.0, np.nan]]
    extremes += [] if kind in ("count", "categorical") else [[-HUGE, 1e-300]]
    densities = [LatentClasses(4, smoothing=smoothing, random_state=0), IndependentColumns()]
    for density in densities:
        density.set_params(visible=kind, handle_unknown="missing").fit(X)
        for rows in (X, np.array(extremes)):
            assert np.isfinite(density.score_samples(rows)).all()
        assert np.isfinite(density.sample(20, random_state=0)).all()
        for probabilities in density.probabilities_:
            assert probabilities is None or np.allclose(probabilities.sum(axis=1), 1)


def test_distant_rows_of_little_variance_score_precisely():
    """Differences are taken before squares: those of values far from the mean would cancel."""
    X = np.array([[0.0], [3e6], [1e7], [1e7 + 2.0]])
    density = IndependentColumns(visible="gaussian").fit(X)
    codec = density._columns.blocks["gaussian"].codec
    density._means = (X[:1] + 1e7 + 1 - codec.location) / codec.scale
    density._variances = np.square(np.array([[2.0]]) / codec.scale)
    assert_allclose(density.score_samples(X[2:]), norm.logpdf(X[2:, 0], 1e7 + 1, 2), atol=1e-6)
