"""The imputer: scikit-learn's checks, its interface, and the quality of what is filled in."""

import pickle

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks

from skwakesleep import HelmholtzImputer, HelmholtzMachine
from tests.every_check import every_check
from tests.test_common_checks import CHECKS_NOT_RUN_BY_CHECK_ESTIMATOR

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")

FILLED = [0, 5, 9], [0, 1, 2]  # rows and columns of missing values


def imputer(**parameters):
    settings = {"random_state": 0, **parameters}
    return HelmholtzImputer(HelmholtzMachine(3, max_iter=5, tol=None, random_state=0), **settings)


def complete_table(n_rows=40, seed=0):
    """Return normal columns that depend on each other."""
    rng = np.random.default_rng(seed)
    cause = rng.normal(size=(n_rows, 1))
    return cause * [1.0, -2.0, 3.0] + 0.5 * rng.normal(size=(n_rows, 3)) + [0.0, 1.0, 5.0]


def with_holes(value=np.nan, dtype=float):
    table = complete_table().astype(dtype)
    table[FILLED] = value
    return table


def empty_column():
    """Return a table whose columns are incomplete, empty and complete."""
    table = with_holes()
    table[:, 1] = np.nan
    table[:, 2] = complete_table()[:, 2]
    return table


NO_VALUES = pytest.mark.filterwarnings("ignore:X holds no value in:UserWarning")

# ---------------------------------------------------------------------- scikit-learn's checks


@every_check(
    [
        imputer(),
        imputer(add_indicator=True, keep_empty_features=True, sample_posterior=True),
    ]
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_configuration_passes(estimator, check):
    check(estimator)


@pytest.mark.parametrize("check", [name for name in CHECKS_NOT_RUN_BY_CHECK_ESTIMATOR if "partial_fit" not in name])
@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names:UserWarning")
def test_check_not_run_by_check_estimator_passes(check):
    getattr(estimator_checks, check)("HelmholtzImputer", imputer())


# ---------------------------------------------------------------------- missing values


@pytest.mark.parametrize("as_list", [False, True], ids=["array", "list"])
@pytest.mark.parametrize("value", [-1, -999.5, "?", None, pd.NA, np.nan], ids=repr)
def test_any_value_can_stand_for_missing_ones(value, as_list):
    expected = imputer().fit_transform(with_holes())
    is_number = isinstance(value, int | float)
    X = with_holes(value, float if is_number else object)
    actual = imputer(missing_values=value).fit_transform(X.tolist() if as_list else X)
    np.testing.assert_array_equal(actual, expected)
    # Negative control: other values are filled in than the mean, and not the value itself.
    assert not np.isclose(expected[FILLED], SimpleImputer().fit_transform(with_holes())[FILLED]).any()


@pytest.mark.parametrize("value", [None, pd.NA, np.nan], ids=repr)
def test_values_that_are_always_missing(value):
    X = with_holes(value, object)
    X[3, 1] = "?"
    expected = with_holes()
    expected[3, 1] = np.nan
    np.testing.assert_array_equal(imputer(missing_values="?").fit_transform(X), imputer().fit_transform(expected))


def test_whole_numbers():
    X = np.array([[1, 2], [3, -1], [0, 4], [5, 2]])
    machine = HelmholtzMachine(3, visible="gaussian", max_iter=5, tol=None, random_state=0)
    filled = HelmholtzImputer(machine, missing_values=-1).fit_transform(X)
    assert filled[1, 1] != -1
    np.testing.assert_array_equal(np.delete(filled.ravel(), 3), np.delete(X.ravel(), 3))


def test_words():
    words = np.array([["a", "b"], ["c", "?"], ["a", "b"], ["c", "d"]] * 5)
    machine = HelmholtzMachine(2, visible="categorical", max_iter=2, tol=None, random_state=0)
    words_imputer = HelmholtzImputer(machine, missing_values="?").fit(words)
    assert [list(own) for own in words_imputer.estimator_.categories_] == [["a", "c"], ["b", "d"]]
    words_imputer.fit([["a", 1], ["c", "?"], ["a", 2], ["?", 2]] * 5)  # numbers stay numbers
    assert [list(own) for own in words_imputer.estimator_.categories_] == [["a", "c"], [1, 2]]


@pytest.mark.parametrize("library", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
@pytest.mark.parametrize("value", [-1, np.nan], ids=repr)
def test_frames_of_numbers(library, value):
    columns = dict(zip("abc", with_holes(value).T, strict=True))
    frame = library(columns)
    before = frame.__copy__() if library is pl.DataFrame else frame.copy()
    filled = imputer(missing_values=value).set_output(transform="pandas").fit_transform(frame)
    assert frame.equals(before)
    assert list(filled) == ["a", "b", "c"]
    complete = complete_table()
    complete[FILLED] = filled.to_numpy()[FILLED]
    np.testing.assert_array_equal(filled, complete)
    assert np.isfinite(complete).all()
    assert not np.isin(complete[FILLED], -1).any()


def test_sparse_tables_are_rejected():
    for missing in (np.nan, -1):
        with pytest.raises(TypeError, match=r"Sparse data .* Pass X\.toarray\(\)"):
            imputer(missing_values=missing).fit(sparse.csr_array(with_holes()))


# ---------------------------------------------------------------------- options


@NO_VALUES
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("indicate", [False, True])
def test_empty_columns_and_indicators(keep, indicate):
    X = empty_column()
    own = imputer(keep_empty_features=keep, add_indicator=indicate).fit(X)
    filled, names = own.transform(X), own.get_feature_names_out().tolist()
    n_kept = 2 + keep
    assert names[:n_kept] == (["x0", "x1", "x2"] if keep else ["x0", "x2"])
    assert names[n_kept:] == ["missingindicator_x0", "missingindicator_x1"] * indicate
    assert filled.shape == (40, len(names))
    assert np.isfinite(filled).all()
    if keep:
        np.testing.assert_array_equal(filled[:, 1], 0)
        later = X.copy()
        later[2, 1] = 7.0
        assert own.transform(later)[2, 1] == 7
    if indicate:
        np.testing.assert_array_equal(filled[:, n_kept:], np.isnan(X[:, :2]))
    without = imputer().fit(X[:, [0, 2]]).transform(X[:, [0, 2]])
    np.testing.assert_allclose(filled[:, [0, n_kept - 1]], without, rtol=0.5)


@NO_VALUES
@pytest.mark.parametrize("library", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
@pytest.mark.parametrize("output", ["pandas", "polars"])
def test_set_output(library, output):
    frame = library(dict(zip("abc", empty_column().T, strict=True)))
    own = imputer(keep_empty_features=True, add_indicator=True).set_output(transform=output).fit(frame)
    filled = own.transform(frame)
    assert type(filled).__module__.startswith(output)
    assert list(filled.columns) == [*"abc", *(f"missingindicator_{name}" for name in "ab")]
    assert list(filled.columns) == own.get_feature_names_out().tolist()
    np.testing.assert_array_equal(filled["b"].to_numpy(), 0)
    if library is pd.DataFrame and output == "pandas":
        frame.index = range(100, 140)
        assert own.transform(frame).index.equals(frame.index)


def test_names_of_columns():
    frame = pd.DataFrame(with_holes(), columns=list("abc"))
    own = imputer().fit(frame)
    assert own.feature_names_in_.tolist() == ["a", "b", "c"]
    assert own.n_features_in_ == 3
    with pytest.raises(ValueError, match="feature names"):
        own.transform(frame[["b", "a", "c"]])
    with pytest.raises(ValueError, match="input_features is not equal to feature_names_in_"):
        own.get_feature_names_out(["a", "b", "d"])
    assert not hasattr(imputer(), "n_features_in_")
    assert not hasattr(imputer().fit(with_holes()), "feature_names_in_")


def test_draws():
    X = with_holes()
    own = imputer().fit(X)
    tables = own.draw(X, 4)
    assert len(tables) == 4
    for table in tables:
        np.testing.assert_array_equal(table[~np.isnan(X)], X[~np.isnan(X)])
    assert len({table[0, 0] for table in tables}) == 4
    assert len(own.draw(X)) == 5
    np.testing.assert_array_equal(tables, own.draw(X, 4))
    by_draw = imputer(sample_posterior=True).fit(X).transform(X)
    np.testing.assert_array_equal(by_draw, own.draw(X, 1)[0])
    other = imputer(sample_posterior=True, random_state=1).fit(X).transform(X)
    assert (other[FILLED] != by_draw[FILLED]).all()
    anew = imputer(sample_posterior=True, random_state=None).fit(X)
    assert (anew.transform(X)[FILLED] != anew.transform(X)[FILLED]).all()
    with pytest.raises(ValueError, match="n_draws must be at least 1"):
        own.draw(X, 0)


@pytest.mark.parametrize("method", ["transform", "draw", "get_feature_names_out"])
def test_unfitted_imputers(method):
    with pytest.raises(NotFittedError):
        getattr(imputer(), method)(with_holes())


@pytest.mark.parametrize(
    "parameters",
    [{"estimator": SimpleImputer()}, {"add_indicator": 1}, {"sample_posterior": "yes"}, {"random_state": "seed"}],
    ids=str,
)
def test_wrong_parameters(parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=f"The '{name}' parameter of HelmholtzImputer must be"):
        HelmholtzImputer(**parameters).fit(with_holes())


def test_a_failed_fit_keeps_the_earlier_one():
    own = imputer().fit(with_holes())
    before = own.transform(with_holes())
    with pytest.raises(ValueError, match="infinity"):
        own.fit(with_holes(np.inf))
    np.testing.assert_array_equal(own.transform(with_holes()), before)


def test_the_seed_is_that_of_the_default_machine(monkeypatch):
    monkeypatch.setattr(HelmholtzMachine, "fit", lambda machine, X: machine.partial_fit(X))
    assert HelmholtzImputer(random_state=3).fit(complete_table(20)).estimator_.random_state == 3


# ---------------------------------------------------------------------- in scikit-learn


def test_clones_and_pickles():
    X = with_holes()
    own = imputer(missing_values=np.nan, add_indicator=True)
    machine = own.estimator
    own.fit(X)
    assert not hasattr(machine, "n_features_in_")
    assert own.estimator_ is not machine
    assert not hasattr(clone(own), "estimator_")
    for other in (clone(own).fit(X), pickle.loads(pickle.dumps(own))):
        np.testing.assert_array_equal(other.transform(X), own.transform(X))


def test_pipelines_and_column_transformers():
    X = with_holes()
    frame = pd.DataFrame(X, columns=list("abc")).assign(d=1.0)
    pipeline = make_pipeline(StandardScaler(), imputer(add_indicator=True), LinearRegression())
    assert pipeline.fit(X, np.arange(40.0)).predict(X).shape == (40,)
    columns = ColumnTransformer([("filled", imputer(), ["a", "b", "c"])], remainder="passthrough")
    filled = columns.set_output(transform="pandas").fit_transform(frame)
    assert list(filled) == ["filled__a", "filled__b", "filled__c", "remainder__d"]
    np.testing.assert_array_equal(filled.iloc[:, :3], imputer().fit_transform(frame[["a", "b", "c"]]))
    pipeline.set_params(helmholtzimputer__estimator__max_iter=2).fit(X, np.arange(40.0))
    assert pipeline[1].estimator_.n_iter_ == 2


# ---------------------------------------------------------------------- quality


def one_factor_table(n_rows, rng):
    """Return rows of a known model: binary causes and normal columns."""
    causes = rng.integers(2, size=(n_rows, 2))
    return causes @ np.array([[3.0, 3.0, 0.0, 2.0], [0.0, -2.0, 4.0, 2.0]]) + rng.normal(size=(n_rows, 4))


@pytest.fixture(scope="module")
def learned():
    """Return a table of a known model with 25 % holes, the values there, and an imputer that was fitted to it."""
    rng = np.random.default_rng(5)
    table = one_factor_table(1200, rng)
    X = np.where(rng.random(table.shape) < 0.25, np.nan, table)
    machine = HelmholtzMachine(2, max_iter=80, tol=None, random_state=0)
    return table, X, HelmholtzImputer(machine, random_state=0).fit(X)


@pytest.mark.statistical
def test_dependent_columns_are_filled_in_better_than_by_their_means(learned):
    """The error of the known model itself is about .7 of that of the mean."""
    table, X, own = learned
    missing = np.isnan(X)

    def error(filled):
        return np.sqrt(np.mean(((filled - table) / table.std(axis=0))[missing] ** 2))

    by_mean = error(SimpleImputer().fit_transform(X))
    assert error(own.transform(X)) < 0.8 * by_mean
    shuffled = np.random.default_rng(0).permuted(own.transform(X), axis=0)  # negative control: values of other rows
    assert error(np.where(missing, shuffled, X)) > by_mean


@pytest.mark.statistical
def test_intervals_of_draws_cover_missing_values_of_other_rows(learned):
    """Nominal 90 %; quantiles of fewer draws would be too narrow."""
    rng = np.random.default_rng(6)
    table = one_factor_table(2000, rng)
    missing = rng.random(table.shape) < 0.25
    _, _, own = learned
    draws, values = np.stack(own.draw(np.where(missing, np.nan, table), 300))[:, missing], table[missing]

    def coverage(draws):
        low, high = np.quantile(draws, [0.05, 0.95], axis=0)
        return np.mean((low <= values) & (values <= high))

    assert 0.87 <= coverage(draws) <= 0.93
    middle = draws.mean(axis=0)
    for factor in (0.8, 1.25):  # negative controls: intervals that are too narrow or too wide
        assert not 0.87 <= coverage(middle + factor * (draws - middle)) <= 0.93
    assert coverage(np.roll(draws, 1, axis=1)) < 0.87  # draws of other values
