"""The methods of a machine that fill in missing values and describe columns given the others."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.exceptions import NotFittedError

from skwakesleep import HelmholtzMachine

pd = pytest.importorskip("pandas")
KINDS = ["gaussian", "bernoulli", "categorical", "count", "continuous", "ordinal"]
NAMES = ["length", "open", "color", "visits", "amount", "grade"]


def mixed_table(n_rows=40, seed=0):
    """Return a table with a column of each kind that depend on two causes."""
    rng = np.random.default_rng(seed)
    cause, other = rng.integers(3, size=n_rows), rng.normal(size=n_rows)
    return np.column_stack(
        [
            10 * cause + other,
            cause > rng.integers(3, size=n_rows),
            (cause + (rng.random(n_rows) < 0.1)) % 3,
            rng.poisson(1 + 4 * cause),
            np.round(np.exp(cause + 0.3 * other), 2),
            np.clip(cause + rng.integers(2, size=n_rows), 0, 3),
        ]
    )


def with_holes(table, share=0.25, seed=1):
    return np.where(np.random.default_rng(seed).random(table.shape) < share, np.nan, table)


def machine(**parameters):
    settings = {"hidden_layer_sizes": 4, "visible": KINDS, "max_iter": 15, "tol": None, "random_state": 0}
    return HelmholtzMachine(**(settings | parameters))


@pytest.fixture(scope="module")
def X():
    return with_holes(mixed_table())


@pytest.fixture(scope="module")
def fitted(X):
    return machine().fit(X)


@pytest.fixture(scope="module")
def sampling(X):
    """Return a machine with too many hidden units to enumerate."""
    return machine(hidden_layer_sizes=16, n_score_particles=60, max_iter=3).fit(X)


METHODS = {
    "impute": lambda machine, X: machine.impute(X),
    "impute_draws": lambda machine, X: np.stack(machine.impute_draws(X, 2, random_state=0)),
    "conditional of numbers": lambda machine, X: machine.conditional(X, 0),
    "conditional of categories": lambda machine, X: machine.conditional(X, 2),
    "quantiles": lambda machine, X: machine.conditional(X, 4, quantiles=[0.1, 0.9]),
    "score_columns": lambda machine, X: machine.score_columns(X),
}
every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


# ---------------------------------------------------------------------- results


def test_observed_values_stay_and_missing_ones_are_in_their_domain(fitted, X):
    for filled in (fitted.impute(X), *fitted.impute_draws(X, 3, random_state=0)):
        np.testing.assert_array_equal(filled[~np.isnan(X)], X[~np.isnan(X)])
        assert np.isfinite(filled).all()
        assert np.isin(filled[:, 2], [0, 1, 2]).all()
        assert np.isin(filled[:, 5], [0, 1, 2, 3]).all()
        assert filled[:, [1, 3]].min() >= 0
        assert filled[:, 1].max() <= 1
    drawn = np.stack(fitted.impute_draws(X, 3, random_state=0))
    assert np.isin(drawn[..., 1], [0, 1]).all()
    np.testing.assert_array_equal(drawn[..., 3], np.floor(drawn[..., 3]))
    np.testing.assert_allclose(drawn[..., 4], np.round(drawn[..., 4], 2), rtol=1e-12)


def test_imputation_agrees_with_the_distribution_of_single_missing_columns(fitted):
    table = mixed_table(20, seed=3)
    for column in range(6):
        X = table.copy()
        X[:, column] = np.nan
        filled, given_rest = fitted.impute(X)[:, column], fitted.conditional(table, column)
        if column in (2, 5):
            given_rest = given_rest.argmax(axis=1)
        elif column == 1:
            given_rest = given_rest[:, 1]
        np.testing.assert_allclose(filled, given_rest, rtol=1e-9)


def test_shapes(fitted, X):
    assert fitted.impute(X).shape == X.shape
    tables = fitted.impute_draws(X)
    assert isinstance(tables, list)
    assert [table.shape for table in tables] == [X.shape] * 5
    assert fitted.score_columns(X).shape == X.shape
    assert [fitted.conditional(X, column).shape for column in range(6)] == [
        (40,), (40, 2), (40, len(fitted.categories_[2])), (40,), (40,), (40, len(fitted.categories_[5]))
    ]  # fmt: skip
    assert fitted.conditional(X, 0, quantiles=0.5).shape == (40, 1)
    assert fitted.conditional(X, 3, quantiles=(0.1, 0.5, 0.9)).shape == (40, 3)
    np.testing.assert_allclose(fitted.conditional(X, 2).sum(axis=1), 1)
    for column in (0, 3, 4):
        assert (np.diff(fitted.conditional(X, column, quantiles=[0.05, 0.5, 0.95]), axis=1) >= 0).all()


def test_scores_of_columns(fitted, X):
    scores = fitted.score_columns(X)
    np.testing.assert_array_equal(np.isnan(scores), np.isnan(X))
    rest = X.copy()
    rest[:, 0] = np.nan
    expected = fitted.score_samples(X) - fitted.score_samples(rest)
    np.testing.assert_allclose(scores[:, 0], np.where(np.isnan(X[:, 0]), np.nan, expected), rtol=1e-9)


def test_columns_have_names_and_numbers(X):
    frame = pd.DataFrame(X[:, [0, 1, 3, 4]], columns=["length", "open", "visits", "amount"])
    named = machine(visible=["gaussian", "bernoulli", "count", "continuous"]).fit(frame)
    for number, name in enumerate(frame):
        for other in (number, number - 4, np.int64(number)):
            np.testing.assert_array_equal(named.conditional(frame, name), named.conditional(frame, other))
    with pytest.raises(ValueError, match=r"column must be one of \['length', .*'weight'"):
        named.conditional(frame, "weight")
    by_number = machine(visible=["gaussian", "bernoulli", "count", "continuous"]).fit(frame.to_numpy())
    np.testing.assert_array_equal(by_number.conditional(frame.to_numpy(), 0), named.conditional(frame, "length"))


@pytest.mark.parametrize("column", range(6))
def test_values_of_the_column_itself_are_ignored(fitted, X, column):
    changed = X.copy()
    changed[:, column] = np.nan
    np.testing.assert_array_equal(fitted.conditional(changed, column), fitted.conditional(X, column))


# ---------------------------------------------------------------------- errors and warnings


@every_method
def test_unfitted_machines(X, method):
    with pytest.raises(NotFittedError):
        method(machine(), X)


@pytest.mark.parametrize(
    ("column", "quantiles", "message"),
    [
        (6, None, r"column must be an int below 6\. Got 6"),
        (-7, None, r"Got -7"),
        ("length", None, r"Got 'length'"),
        (1.0, None, r"Got 1\.0"),
        (True, None, r"Got True"),
        (2, [0.5], r"column 2 holds categories or zeros and ones"),
        (1, [0.5], r"column 1 holds categories or zeros and ones"),
        (0, [0.5, 1.0], r"quantiles must be in \(0, 1\)"),
        (0, 0.0, r"quantiles must be in \(0, 1\)"),
        (0, [np.nan], r"quantiles must be in \(0, 1\)"),
    ],
    ids=str,
)
def test_wrong_columns_and_levels(fitted, X, column, quantiles, message):
    with pytest.raises(ValueError, match=message):
        fitted.conditional(X, column, quantiles)


@pytest.mark.parametrize(("n_draws", "error"), [(0, ValueError), (-1, ValueError), (2.5, TypeError), (True, TypeError)])
def test_wrong_numbers_of_draws(fitted, X, n_draws, error):
    with pytest.raises(error, match="n_draws must be"):
        fitted.impute_draws(X, n_draws)


@every_method
@pytest.mark.parametrize("bad", ["columns", "negative", "unknown", "infinite"])
def test_wrong_tables(fitted, X, method, bad):
    wrong = {"columns": X[:, :5], "negative": X.copy(), "unknown": X.copy(), "infinite": X.copy()}[bad]
    if bad != "columns":
        place, value = {"negative": ((4, 3), -1.0), "unknown": ((4, 2), 7.0), "infinite": ((4, 0), np.inf)}[bad]
        wrong[place] = value
    with pytest.raises(ValueError, match=r"features|Negative|7|infinity"):
        method(fitted, wrong)


@every_method
def test_few_effective_particles_warn_the_caller(sampling, X, method, monkeypatch):
    monkeypatch.setattr("skwakesleep._fitted_machine.MIN_EFFECTIVE_SIZE", 60.0)
    with pytest.warns(UserWarning, match="a single particle has most of the weight") as caught:
        method(sampling, X)
    assert {warning.filename for warning in caught} == {__file__}


# ---------------------------------------------------------------------- determinism


@every_method
@pytest.mark.parametrize("which", ["fitted", "sampling"])
def test_results_are_repeated_and_nothing_changes(request, X, method, which):
    machine = request.getfixturevalue(which)
    before, state = X.copy(), np.random.get_state()[1].copy()  # noqa: NPY002
    parameters, attributes = machine._fitted.parameters.copy(), set(vars(machine))
    np.testing.assert_array_equal(method(machine, X), method(machine, X))
    np.testing.assert_array_equal(X, before)
    np.testing.assert_array_equal(machine._fitted.parameters, parameters)
    assert set(vars(machine)) == attributes
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


@pytest.mark.parametrize("which", ["fitted", "sampling"])
@pytest.mark.parametrize("name", [name for name in METHODS if name != "impute_draws"])
def test_the_result_of_a_row_does_not_depend_on_the_others(request, X, name, which):
    machine, method = request.getfixturevalue(which), METHODS[name]
    if which == "sampling":
        X = np.concatenate([X, X, X[:10]])  # more rows than are computed together
    whole = method(machine, X)
    last = len(X) - 1
    alone = np.concatenate([method(machine, X[[row]]) for row in (0, 20, last)])
    # Where particles are computed together, rows without holes round otherwise in blocks that have some.
    rtol = 1e-12 if which == "sampling" else 0
    np.testing.assert_allclose(alone, whole[[0, 20, last]], rtol=rtol)
    np.testing.assert_allclose(method(machine, X[::-1]), whole[::-1], rtol=rtol)


def test_draws_differ_between_rows_draws_and_seeds(X):
    fitted = machine(autoregressive="prior").fit(X)
    same = np.repeat(X[:1], 70, axis=0)
    same[:, 0] = np.nan
    first, second = fitted.impute_draws(same, 2, random_state=0)
    assert len(np.unique([first[:, 0], second[:, 0]])) == 140
    (other,) = fitted.impute_draws(same, 1, random_state=1)
    assert not np.isin(other[:, 0], first[:, 0]).any()
    (anew,) = fitted.impute_draws(same, 1)
    (again,) = fitted.impute_draws(same, 1)
    assert (anew[:, 0] != again[:, 0]).all()


@pytest.mark.parametrize("kind", ["gaussian", "count"])
def test_tables_that_share_memory_with_the_users_stay(kind):
    X = with_holes(np.abs(np.rint(mixed_table(30))))
    numeric = machine(visible=kind).fit(X)
    before = X.copy()
    for result in (numeric.impute(X), *numeric.impute_draws(X, 2), numeric.conditional(X, 0), numeric.score_columns(X)):
        assert not np.shares_memory(result, X)
        np.testing.assert_array_equal(X, before)


# ---------------------------------------------------------------------- containers


@every_method
def test_sparse_tables_with_holes_equal_dense_ones(method):
    table = np.where(np.random.default_rng(2).random((40, 6)) < 0.6, 0, mixed_table(40))
    table = with_holes(np.abs(np.rint(table)))
    numeric = machine(visible=["gaussian", "count", "bernoulli", "count", "continuous", "count"])
    table[:, 2] = np.minimum(table[:, 2], 1)
    numeric.fit(table)
    from_sparse = method(numeric, sparse.csr_array(table))
    assert isinstance(from_sparse, np.ndarray)
    np.testing.assert_array_equal(from_sparse, method(numeric, table))


def test_single_precision(X):
    X = X.astype(np.float32)
    numeric = machine(visible="gaussian").fit(X)
    filled = numeric.impute(X)
    assert filled.dtype == np.float32
    assert {table.dtype for table in numeric.impute_draws(X, 2)} == {np.dtype(np.float32)}
    np.testing.assert_allclose(filled, numeric.impute(X.astype(np.float64)), rtol=1e-6, atol=1e-6)
    for result in (numeric.conditional(X, 0), numeric.score_columns(X)):
        assert result.dtype == np.float64


# ---------------------------------------------------------------------- a classifier


@pytest.mark.statistical
def test_a_label_column_makes_a_classifier():
    """Three classes, two noisy numbers and a category: far better than the majority, with holes as well."""
    rng = np.random.default_rng(4)
    label = rng.choice(3, size=600, p=[0.5, 0.3, 0.2])
    table = np.column_stack(
        [
            label,
            np.array([0.0, 2.0, 4.0])[label] + rng.normal(size=600),
            np.array([3.0, 0.0, 3.0])[label] + rng.normal(size=600),
            (label + (rng.random(600) < 0.2)) % 3,
        ]
    )
    kinds = ["categorical", "gaussian", "gaussian", "categorical"]
    classifier = HelmholtzMachine(5, visible=kinds, max_iter=60, tol=None, random_state=0).fit(table[:400])
    test = table[400:].copy()
    test[:, 0] = np.nan
    majority = (label[400:] == 0).mean()
    accuracy = (classifier.conditional(test, 0).argmax(axis=1) == label[400:]).mean()
    assert accuracy > majority + 0.3
    some = test.copy()
    some[:, 1:] = np.where(rng.random((200, 3)) < 0.4, np.nan, test[:, 1:])
    assert (classifier.conditional(some, 0).argmax(axis=1) == label[400:]).mean() > majority + 0.15
    shuffled = rng.permutation(test)  # negative control: columns of other rows
    assert (classifier.conditional(shuffled, 0).argmax(axis=1) == label[400:]).mean() < majority
