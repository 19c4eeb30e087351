"""Reference densities are compared with enumeration and exhaustive search, and pass scikit-learn's checks.

Tolerances: 1e-12 for probabilities; p > 1e-3 in a chi-square test of frequencies, with fixed seeds and another density
as negative control; 0.03 for parameters estimated from 20 000 rows.
"""

from itertools import combinations, pairwise, product

import numpy as np
import pytest
from scipy import sparse
from scipy.special import expit
from scipy.stats import chisquare
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import check_estimator

from skwakesleep import HelmholtzMachine
from skwakesleep.plotting import ComparisonDisplay
from skwakesleep.reference import BernoulliMixture, ChowLiuTree, IndependentBernoulli, compare_densities
from skwakesleep.reference._base import BATCH_SIZE
from skwakesleep.reference._comparison import compare_scores
from tests.every_check import convert_check_data

DENSITIES = {
    "independent": IndependentBernoulli(),
    "tree": ChowLiuTree(),
    "mixture": BernoulliMixture(3, random_state=0),
    "mixture of one": BernoulliMixture(1, random_state=0),
    "mixture with restarts": BernoulliMixture(2, n_init=3, random_state=0),
}
STATES = np.array(list(product((0.0, 1.0), repeat=4)))


@pytest.fixture(params=DENSITIES)
def density(request, rows):
    return clone(DENSITIES[request.param]).fit(rows)


@pytest.fixture
def rows():
    """Return binary rows ``(300, 4)``: column 1 mostly equals column 0, column 3 is mostly its complement."""
    rng = np.random.default_rng(0)
    first, third = rng.integers(2, size=(2, 300))
    noisy = rng.random((2, 300)) < 0.1
    return np.column_stack([first, first ^ noisy[0], third, (1 - first) ^ noisy[1]]).astype(float)


# ---------------------------------------------------------------------- all densities


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", ["independent", "tree", "default mixture"])
@pytest.mark.parametrize("binarize", [0.0, None])
def test_check_estimator_passes(name, binarize, monkeypatch):
    if binarize is None:
        convert_check_data(monkeypatch, lambda X: (X - X.min()) / max(X.max() - X.min(), 1))
    results = check_estimator(clone(DENSITIES.get(name, BernoulliMixture())).set_params(binarize=binarize))
    assert {result["check_name"] for result in results if result["status"] != "passed"} <= {"check_array_api_input"}


def test_probabilities_sum_to_one(density):
    total = np.exp(density.score_samples(STATES)).sum()
    assert total == pytest.approx(1, abs=1e-12)


def test_sampled_frequencies_match_probabilities(density):
    probabilities = np.exp(density.score_samples(STATES))
    sample = density.sample(20_000, random_state=1)
    counts = np.bincount((sample @ [8, 4, 2, 1]).astype(int), minlength=16)
    assert chisquare(counts, 20_000 * probabilities).pvalue > 1e-3
    # Negative control: the probabilities of another density.
    other = np.exp(IndependentBernoulli().fit(STATES[:9]).score_samples(STATES))
    assert chisquare(counts, 20_000 * other).pvalue < 1e-6


def test_samples_depend_on_the_seed(density):
    np.testing.assert_array_equal(density.sample(9, random_state=2), density.sample(9, random_state=2))
    assert not np.array_equal(density.sample(99, random_state=2), density.sample(99, random_state=3))
    assert not np.array_equal(density.sample(99), density.sample(99))


def test_sparse_and_dense_rows_give_equal_scores(density, rows):
    expected = density.score_samples(STATES)
    np.testing.assert_allclose(density.score_samples(sparse.csr_array(STATES)), expected, rtol=1e-12)
    np.testing.assert_allclose(density.fit(sparse.csr_matrix(rows)).score_samples(STATES), expected, rtol=1e-9)


def test_every_state_has_a_positive_probability(density):
    """Also after a fit to constant columns."""
    constant = np.tile([0.0, 1.0, 0.0, 1.0], (5, 1))
    scores = density.fit(constant).score_samples(STATES)
    assert np.isfinite(scores).all()
    assert scores.argmax() == np.flatnonzero((constant[0] == STATES).all(axis=1))


def test_score_is_the_mean_of_score_samples(density, rows):
    assert type(density.score(rows)) is float
    assert density.score(rows) == pytest.approx(density.score_samples(rows).mean())


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"smoothing": 0}, r"'smoothing'.*\(0.0, inf\)"),
        ({"binarize": "a"}, "'binarize'"),
        ({"smoothing": -1}, "smoothing"),
    ],
)
def test_parameter_out_of_range_is_rejected(density, parameters, message, rows):
    with pytest.raises(ValueError, match=message):
        type(density)(**parameters).fit(rows)


def test_values_are_binarized_at_the_threshold(density, rows):
    expected = density.score_samples(STATES)
    density.set_params(binarize=0.5).fit(10 * rows - 3)
    np.testing.assert_allclose(density.score_samples(10 * STATES - 3), expected, rtol=1e-12)
    np.testing.assert_allclose(density.score_samples(0.6 * STATES), expected, rtol=1e-12)


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("value", [-0.25, 1.5])
def test_values_outside_the_unit_interval_are_rejected(value, container, density, rows):
    X = rows.copy()
    X[7, 2] = value
    message = rf"values in \[0, 1\].*column 2 of X holds {value}\. Rescale X, or set binarize"
    with pytest.raises(ValueError, match=message):
        density.score_samples(container(X))
    with pytest.raises(ValueError, match=message):
        density.fit(container(X))


def test_message_for_values_outside_the_unit_interval_contains_the_column_name(density, rows):
    pandas = pytest.importorskip("pandas")
    with pytest.raises(ValueError, match=r"column 'b' of X holds 2"):
        density.fit(pandas.DataFrame(rows * [1, 2, 1, 1], columns=list("abcd")))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_rounding_errors_of_a_scaler_are_clipped(container, dtype, density, rows):
    """Negative control: values of 1 + 1e-5 are rejected."""
    eps = np.finfo(dtype).eps
    X = np.where(rows, 1 + 2 * eps, -2 * eps).astype(dtype)
    assert X.max() > 1
    expected = density.fit(rows).score_samples(rows)
    np.testing.assert_allclose(density.fit(container(X)).score_samples(container(X)), expected, rtol=1e-12)
    with pytest.raises(ValueError, match="column 0"):
        density.fit(container((X * (1 + 1e-5)).astype(dtype)))


# ---------------------------------------------------------------------- fractions

FRACTIONS = np.random.default_rng(1).random((60, 4)).round(2)


def expected_score(density, fractions):
    """Return the expected log-probability of binary rows drawn with probabilities `fractions`, by enumeration."""
    weights = np.prod(np.where(STATES[:, np.newaxis] == 1, fractions, 1 - fractions), axis=2)
    return density.score_samples(STATES) @ weights


def test_score_of_fractions_is_the_expected_score_or_a_lower_bound(density):
    scores, expected = density.score_samples(FRACTIONS), expected_score(density, FRACTIONS)
    if isinstance(density, BernoulliMixture) and density.n_components > 1:
        assert (scores < expected).all()
    else:
        np.testing.assert_allclose(scores, expected, rtol=1e-12)


def test_sparse_and_dense_fractions_give_equal_scores(density):
    X = FRACTIONS * (FRACTIONS > 0.5)
    expected = density.fit(X).score_samples(X)
    np.testing.assert_allclose(density.fit(sparse.csr_array(X)).score_samples(sparse.csr_array(X)), expected, rtol=1e-9)


@pytest.mark.parametrize("name", DENSITIES)
def test_fit_to_fractions_is_close_to_a_fit_to_binary_draws(name):
    """For independent columns and the tree. A mixture maximizes another objective on fractions."""
    rng = np.random.default_rng(2)
    draws = (rng.random((2000, *FRACTIONS.shape)) < FRACTIONS).reshape(-1, 4).astype(float)
    of_fractions = clone(DENSITIES[name]).set_params(smoothing=1e-6).fit(FRACTIONS)
    of_draws = clone(DENSITIES[name]).set_params(smoothing=1e-6).fit(draws)
    if "mixture" in name and name != "mixture of one":
        # The fit to fractions maximizes the score of fractions. The fit to draws maximizes an upper bound of it.
        assert of_fractions.score(FRACTIONS) > of_draws.score(FRACTIONS)
    else:
        np.testing.assert_allclose(of_fractions.score_samples(STATES), of_draws.score_samples(STATES), atol=0.02)


def test_objective_of_the_mixture_never_decreases_on_fractions():
    rows = np.random.default_rng(4).beta(0.3, 0.3, size=(500, 20))
    with pytest.warns(ConvergenceWarning):
        mixture = BernoulliMixture(5, tol=0, max_iter=40, random_state=0).fit(rows)
    assert (np.diff(mixture.lower_bounds_) > 0).all()


def test_mixture_and_machine_score_fractions_equally():
    """A machine with one hidden unit is a mixture of two components."""
    machine = HelmholtzMachine(1, autoregressive="prior", max_iter=5, tol=None, random_state=0).fit(FRACTIONS)
    weights, intercepts = machine.components_[0].astype(float), machine.generative_intercepts_[0].astype(float)
    means = expit(np.outer([0, 1], weights) + intercepts)
    on = expit(float(machine.prior_intercept_[0]))
    mixture = BernoulliMixture(2, max_iter=2, tol=10, random_state=0).fit(FRACTIONS)
    mixture.weights_, mixture.means_ = np.array([1 - on, on]), means
    np.testing.assert_allclose(mixture.score_samples(FRACTIONS), machine.score_samples(FRACTIONS), rtol=1e-9)


# ---------------------------------------------------------------------- degenerate tables

DEGENERATE = {
    "one row": STATES[5:6],
    "zeros": np.zeros((9, 4)),
    "ones": np.ones((9, 4)),
    "one column": STATES[:, :1],
    "constant fractions": np.full((9, 4), 0.3),
    "one row of fractions": FRACTIONS[:1],
    "equal columns": np.repeat(STATES[:, :1], 4, axis=1),
}


@pytest.mark.parametrize("smoothing", [1e-300, 1e-12, 1.0, 1e12, 1e300])
@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_table_with_any_smoothing_gives_a_density(name, smoothing, density):
    X = DEGENERATE[name]
    density.set_params(smoothing=smoothing).fit(X)
    states = STATES if X.shape[1] == 4 else STATES[[0, -1], :1]
    scores = density.score_samples(states)
    assert np.isfinite(scores).all()
    assert np.exp(scores).sum() == pytest.approx(1, abs=1e-9)
    assert np.isfinite(density.score(X))
    assert np.isin(density.sample(5, random_state=0), [0, 1]).all()


# ---------------------------------------------------------------------- single densities


def test_means_of_independent_columns_are_smoothed(rows):
    density = IndependentBernoulli(smoothing=4.0).fit(rows)
    np.testing.assert_allclose(density.means_, (rows.sum(axis=0) + 2) / 304)


def tree_score(rows, edges):
    """Return the maximum log-likelihood of a tree in nats per row: a sum of entropies of pairs and columns."""

    def entropy(columns):
        _, counts = np.unique(rows[:, columns], axis=0, return_counts=True)
        shares = counts / len(rows)
        return -(shares * np.log(shares)).sum()

    degree = np.bincount(np.ravel(edges), minlength=4)
    return -sum(entropy(list(edge)) for edge in edges) + sum((n - 1) * entropy([c]) for c, n in enumerate(degree))


def connects_all(edges):
    reached = {0}
    for _ in edges:
        reached |= {end for edge in edges if reached & set(edge) for end in edge}
    return len(reached) == 4


@pytest.mark.parametrize("seed", range(5))
def test_tree_has_the_highest_likelihood_of_all_trees(seed):
    rng = np.random.default_rng(seed)
    rows = (rng.random((60, 4)) < 0.5).astype(float)
    scores = [tree_score(rows, edges) for edges in combinations(combinations(range(4), 2), 3) if connects_all(edges)]
    assert len(scores) == 16  # Cayley's formula: n**(n - 2) trees on n nodes
    assert ChowLiuTree(smoothing=1e-9).fit(rows).score(rows) == pytest.approx(max(scores), abs=1e-6)
    assert max(scores) > np.median(scores) + 1e-3  # negative control: other trees are worse


def test_chain_is_recovered():
    rng = np.random.default_rng(3)
    columns = [rng.integers(2, size=5000)]
    for _ in range(7):
        columns.append(columns[-1] ^ (rng.random(5000) < 0.2))
    order = rng.permutation(8)
    tree = ChowLiuTree().fit(np.column_stack(columns)[:, order].astype(float))
    found = {frozenset((c, p)) for c, p in enumerate(tree.parents_) if p >= 0}
    place = np.argsort(order)
    assert found == {frozenset((int(place[a]), int(place[b]))) for a, b in pairwise(range(8))}
    assert (np.argsort(tree.order_)[tree.parents_] < np.argsort(tree.order_))[tree.parents_ >= 0].all()


def test_objective_of_the_mixture_never_decreases():
    rows = (np.random.default_rng(4).random((500, 20)) < 0.3).astype(float)
    mixture = BernoulliMixture(5, tol=0, max_iter=40, random_state=0)
    with pytest.warns(ConvergenceWarning, match="max_iter=40"):
        mixture.fit(rows)
    assert (np.diff(mixture.lower_bounds_) > 0).all()
    assert mixture.n_iter_ == 40
    assert mixture.lower_bounds_[-1] == mixture.lower_bound_


def test_mixture_is_recovered():
    rng = np.random.default_rng(5)
    means = np.array([[0.9, 0.9, 0.9, 0.1, 0.1, 0.1, 0.5], [0.1, 0.2, 0.1, 0.9, 0.8, 0.9, 0.2]])
    components = (rng.random(20_000) < 0.3).astype(int)
    rows = (rng.random((20_000, 7)) < means[components]).astype(float)
    mixture = BernoulliMixture(2, tol=1e-6, max_iter=500, random_state=0).fit(rows)
    order = np.argsort(-mixture.weights_)
    np.testing.assert_allclose(mixture.weights_[order], [0.7, 0.3], atol=0.03)
    np.testing.assert_allclose(mixture.means_[order], means, atol=0.03)


def test_restarts_keep_the_highest_bound():
    rows = (np.random.default_rng(6).random((200, 12)) < 0.4).astype(float)
    single = [BernoulliMixture(6, max_iter=300, random_state=seed).fit(rows).lower_bound_ for seed in range(8)]
    best = BernoulliMixture(6, n_init=8, max_iter=300, random_state=0).fit(rows).lower_bound_
    assert np.median(single) < best


def test_mixture_of_one_component_has_independent_columns(rows):
    mixture = BernoulliMixture(1, random_state=0).fit(rows)
    # Smoothing adds one row: of column means to the mixture, of probabilities 1/2 to the independent columns.
    np.testing.assert_allclose(mixture.means_[0], IndependentBernoulli().fit(rows).means_, atol=0.5 / 300)


def test_grid_search_finds_the_number_of_components(rows):
    search = GridSearchCV(BernoulliMixture(random_state=0), {"n_components": [1, 2]}).fit(rows)
    assert search.best_params_ == {"n_components": 2}


# ---------------------------------------------------------------------- comparison


def test_comparison_has_paired_differences_and_their_standard_errors(rows):
    fits = {"independent": IndependentBernoulli().fit(rows), "tree": ChowLiuTree().fit(rows)}
    table = compare_densities(fits, rows)
    scores = {name: density.score_samples(rows) for name, density in fits.items()}
    assert table["density"].tolist() == ["tree", "independent"]
    paired = scores["independent"] - scores["tree"]
    np.testing.assert_allclose(table["score"], [scores["tree"].mean(), scores["independent"].mean()])
    np.testing.assert_allclose(table["difference"], [0, paired.mean()])
    np.testing.assert_allclose(table["difference_error"], [0, paired.std(ddof=1) / np.sqrt(300)])
    np.testing.assert_allclose(table["score_error"][0], scores["tree"].std(ddof=1) / np.sqrt(300))


def test_error_of_a_paired_difference_is_below_a_fifth_of_the_unpaired_error():
    """For two densities that are fitted to different rows of one distribution."""
    rng = np.random.default_rng(7)
    rows = (rng.random((900, 30)) < rng.random(30)).astype(float)
    fits = {"first": IndependentBernoulli().fit(rows[:300]), "second": IndependentBernoulli().fit(rows[300:600])}
    table = compare_densities(fits, rows[600:])
    assert table["difference_error"][1] < np.hypot(*table["score_error"]) / 5
    # Negative control: with the rows of one density in another order, the scores are not paired.
    shuffled = fits["second"].score_samples(rng.permutation(rows[600:])) - fits["first"].score_samples(rows[600:])
    assert shuffled.std() / np.sqrt(300) > np.hypot(*table["score_error"]) / 5


def test_invalid_comparison_is_rejected(rows):
    fits = {"independent": IndependentBernoulli().fit(rows)}
    with pytest.raises(ValueError, match="at least one"):
        compare_densities({}, rows)
    with pytest.raises(ValueError, match=r"one of \['independent'\]. Got 'tree'"):
        compare_densities(fits, rows, reference="tree")
    with pytest.raises(ValueError, match="at least 2 rows"):
        compare_densities(fits, rows[:1])
    with pytest.raises(TypeError, match="mapping of names"):
        compare_densities(list(fits.values()), rows)


def test_comparison_of_densities_with_different_binarization_is_rejected(rows):
    fits = {
        "machine": HelmholtzMachine(1, max_iter=1, tol=None, random_state=0).fit(FRACTIONS),
        "mixture": IndependentBernoulli(binarize=0.5).fit(FRACTIONS),
    }
    message = r"'mixture' scores X binarized at 0\.5, and 'machine' has binarize=None"
    for X in (FRACTIONS, sparse.csr_array(FRACTIONS)):
        with pytest.raises(ValueError, match=message):
            compare_densities(fits, X)
    with pytest.raises(ValueError, match=message):
        ComparisonDisplay.from_estimators(fits, FRACTIONS)
    # Binarization does not change binary rows. Densities with equal thresholds can be compared on any rows.
    assert len(compare_densities(fits, STATES)["density"]) == 2
    fits["machine"] = ChowLiuTree(binarize=0.5).fit(FRACTIONS)
    assert len(compare_densities(fits, FRACTIONS)["density"]) == 2


def test_comparison_of_probabilities_with_densities_is_rejected(rows):
    def machine(visible):
        return HelmholtzMachine(1, visible=visible, max_iter=1, tol=None, random_state=0).fit(rows)

    gaussian = {"gaussian machine": machine("gaussian")}
    for name, density in {"tree": ChowLiuTree().fit(rows), "machine": machine("bernoulli")}.items():
        with pytest.raises(ValueError, match=f"{name}.*Bernoulli.*gaussian machine.*log-densities"):
            compare_densities(gaussian | {name: density}, rows)
    compare_densities(gaussian | {"mixture of normals": GaussianMixture().fit(rows)}, rows)


def test_mixture_scores_below_the_machine_on_the_same_gray_digits():
    """On binarized pixels, the score of the mixture is higher, but of other rows."""
    X = load_digits().data / 16
    train, test = X[:1200], X[1200:]
    options = {"autoregressive": "prior", "max_iter": 10, "tol": None, "n_score_particles": 30, "random_state": 0}
    machine = HelmholtzMachine(40, **options).fit(train)
    binarized = BernoulliMixture(10, binarize=0.5, random_state=0).fit(train)
    assert binarized.score(test) > machine.score(test) + 3
    table = compare_densities({"machine": machine, "mixture": binarized.set_params(binarize=None)}, test)
    assert table["density"].tolist() == ["machine", "mixture"]
    assert table["difference"][1] < -1.5
    mixture = BernoulliMixture(10, random_state=0).fit(train)  # fitted to the rows of the machine
    assert mixture.score(test) > binarized.score(test) + 1.5


def test_comparison_accepts_scores_of_minus_infinity():
    scores = {"first": np.array([-1.0, -np.inf]), "second": np.array([-2.0, -2.0])}
    table = compare_scores(scores)
    assert table["score"].tolist() == [-2, -np.inf]
    assert table["difference"].tolist() == [0, -np.inf]


def test_scores_during_a_refit_are_those_of_one_fit(monkeypatch):
    """The mixture is fitted again between two batches of rows, as another thread could do."""
    rows = np.random.default_rng(0).integers(2, size=(BATCH_SIZE + 10, 4)).astype(float)
    mixture = BernoulliMixture(3, random_state=0).fit(rows)
    expected = mixture.score_samples(rows)
    log_prob = BernoulliMixture._log_prob

    def refitted(self, X):
        result = log_prob(self, X)
        BernoulliMixture.fit(mixture.set_params(n_components=2), 1 - rows[:50])
        return result

    monkeypatch.setattr(BernoulliMixture, "_log_prob", refitted)
    np.testing.assert_array_equal(mixture.score_samples(rows), expected)
