"""Tables of users: data frames of every dtype are read, and given back as they came in."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import make_column_selector
from sklearn.model_selection import GridSearchCV

from skwakesleep import HelmholtzMachine
from skwakesleep._adapters.sklearn_compat import InvalidParameterError

N = 24
REAL = np.random.default_rng(0).normal(size=N)
CUTS = np.repeat(["low", "high"], N // 2)


def machine(**parameters):
    defaults = {"hidden_layer_sizes": 2, "max_iter": 1, "tol": None, "batch_size": 8, "random_state": 0}
    return HelmholtzMachine(**(defaults | parameters))


def pandas_frame(columns):
    """Return a data frame of pandas, given pairs of values and dtypes."""
    pandas = pytest.importorskip("pandas")
    if any("pyarrow" in str(dtype) for _, dtype in columns.values()):
        pytest.importorskip("pyarrow")
    return pandas.DataFrame({name: pandas.Series(values, dtype=dtype) for name, (values, dtype) in columns.items()})


def polars_frame(columns):
    """Return a data frame of polars, given pairs of values and the names of dtypes; "Enum" has an unused category."""
    polars = pytest.importorskip("polars")
    enum = polars.Enum(["b", "unused", "a"])
    dtypes = {name: enum if dtype == "Enum" else getattr(polars, dtype) for name, (_, dtype) in columns.items()}
    return polars.DataFrame(
        {name: polars.Series(values, dtype=dtypes[name], strict=False) for name, (values, _) in columns.items()}
    )


def levels(*categories, ordered=False):
    """Return a function that makes a dtype of pandas."""

    def dtype_with_levels():
        return pytest.importorskip("pandas").CategoricalDtype(categories, ordered)

    return dtype_with_levels


def arrow_strings():
    """Return Arrow's dtype of strings, whose name is also that of a dtype of pandas."""
    return pytest.importorskip("pandas").ArrowDtype(pytest.importorskip("pyarrow").string())


FLAGS, HOLEY_FLAGS = [True, False] * (N // 2), [True, None, False, True] * (N // 4)
COUNTS, HOLEY_COUNTS = [0, 3, 1, 2] * (N // 4), [0, 3, None, 2] * (N // 4)
SIGNED, HOLEY_REAL = [-1, 3, 0, 2] * (N // 4), [*REAL[:-1], None]
WORDS, HOLEY_WORDS = ["b", "a"] * (N // 2), ["b", "a", None, "a"] * (N // 4)
# Values, dtype, and the kind that "auto" finds.
PANDAS = [
    (FLAGS, "bool", "bernoulli"),
    (HOLEY_FLAGS, "boolean", "bernoulli"),
    (HOLEY_FLAGS, "bool[pyarrow]", "bernoulli"),
    (HOLEY_FLAGS, "object", "bernoulli"),
    ([0, 1] * (N // 2), "int64", "bernoulli"),
    ([0.0, 1.0] * (N // 2), "float64", "bernoulli"),
    (COUNTS, "int64", "count"),
    (COUNTS, "uint8", "count"),
    (COUNTS, "float32", "count"),
    (HOLEY_COUNTS, "Int64", "count"),
    (HOLEY_COUNTS, "UInt8", "count"),
    (HOLEY_COUNTS, "int16[pyarrow]", "count"),
    (HOLEY_COUNTS, "float64", "count"),
    (HOLEY_COUNTS, "object", "count"),
    (SIGNED, "int64", "continuous"),
    (REAL, "float64", "continuous"),
    (HOLEY_REAL, "Float64", "continuous"),
    (HOLEY_REAL, "double[pyarrow]", "continuous"),
    (HOLEY_REAL, "Sparse[float64, nan]", "continuous"),
    (HOLEY_WORDS, "object", "categorical"),
    (HOLEY_WORDS, "str", "categorical"),
    (HOLEY_WORDS, "string", "categorical"),
    (HOLEY_WORDS, "string[python]", "categorical"),
    (HOLEY_WORDS, "string[pyarrow]", "categorical"),
    (HOLEY_WORDS, "large_string[pyarrow]", "categorical"),
    (HOLEY_WORDS, arrow_strings, "categorical"),
    (HOLEY_WORDS, "category", "categorical"),
    (HOLEY_WORDS, levels("b", "unused", "a"), "categorical"),
    (HOLEY_WORDS, levels("b", "unused", "a", ordered=True), "ordinal"),
    ([3, 1, None, 1] * (N // 4), levels(1, 2, 3), "categorical"),
    ([3, "1", None, "1"] * (N // 4), levels(3, "1"), "categorical"),
]
POLARS = [
    (HOLEY_FLAGS, "Boolean", "bernoulli"),
    ([0, 1, None, 1] * (N // 4), "Int64", "bernoulli"),
    (HOLEY_COUNTS, "Int64", "count"),
    (HOLEY_COUNTS, "UInt8", "count"),
    (HOLEY_COUNTS, "Float32", "count"),
    (SIGNED, "Int16", "continuous"),
    (HOLEY_REAL, "Float64", "continuous"),
    (HOLEY_WORDS, "String", "categorical"),
    (HOLEY_WORDS, "Categorical", "categorical"),
    (HOLEY_WORDS, "Enum", "categorical"),
]


CASES = [*(("pandas", *case) for case in PANDAS), *(("polars", *case) for case in POLARS)]


def assert_domain_is_kept(given_back, X):
    """Assert that values given back are of the dtype of the column, observed categories or within its range."""
    before, after = X["x"], given_back["x"]
    assert after.dtype == before.dtype
    present = set(before.drop_nulls() if hasattr(before, "drop_nulls") else before.dropna())
    if all(isinstance(value, str | bool) for value in present):
        assert set(after) <= present
    elif "category" not in str(before.dtype):
        assert float(min(present)) - 1 <= min(after) <= max(after) <= float(max(present)) + 1
    assert after.is_null().sum() == 0 if hasattr(after, "is_null") else after.notna().all()


@pytest.mark.parametrize(
    ("library", "values", "dtype", "kind"),
    CASES,
    ids=[
        f"{library}, {dtype if isinstance(dtype, str) else dtype.__name__}, {kind}" for library, _, dtype, kind in CASES
    ],
)
def test_columns_are_read_and_given_back(library, values, dtype, kind):
    make = {"pandas": pandas_frame, "polars": polars_frame}[library]
    X = make({"x": (values, dtype() if callable(dtype) else dtype)})
    before = X.clone() if library == "polars" else X.copy()
    fitted = machine().fit(X)
    assert fitted.visible_.tolist() == [kind]
    assert np.isfinite(fitted.score_samples(X)).all()
    with config_context(transform_output=library):
        for given_back in (fitted.sample(30, random_state=0), fitted.inverse_transform(fitted.transform(X))):
            assert type(given_back) is type(X)
            assert_domain_is_kept(given_back, X)
            if kind != "count" or "float" not in str(dtype).lower():  # means of counts are fractions
                assert np.isfinite(fitted.score_samples(given_back)).all()
        assert np.isfinite(fitted.score_samples(fitted.sample(30, random_state=0))).all()
    assert X.equals(before)
    has_words = kind in ("categorical", "ordinal")
    assert isinstance(fitted.sample(2), type(X)) is has_words
    assert isinstance(fitted.sample(2), np.ndarray) is not has_words


def mixed(library="pandas"):
    columns = {"flag": (FLAGS, "bool"), "n": (COUNTS, "int64"), "x": (REAL, "float64"), "word": (WORDS, "object")}
    if library == "pandas":
        return pandas_frame(columns)
    names = {"bool": "Boolean", "int64": "Int64", "float64": "Float64", "object": "String"}
    return polars_frame({name: (values, names[dtype]) for name, (values, dtype) in columns.items()})


KINDS = ["bernoulli", "count", "continuous", "categorical"]
LIBRARIES = ["pandas", "polars"]


# ---------------------------------------------------------------------- the parameter visible

ASKED = ["gaussian", "gaussian", "gaussian", "categorical"]
FORMS = {
    "list": ASKED,
    "tuple": tuple(ASKED),
    "array": np.array(ASKED),
    "names": {"gaussian": ["flag", "n", "x"], "categorical": "word"},
    "numbers": {"gaussian": [0, 1, -2], "categorical": [3]},
    "slice": {"gaussian": slice(0, 3), "categorical": slice(3, None)},
    "slice of names": {"gaussian": slice("flag", "x"), "categorical": "word"},
    "mask": {"gaussian": [True, True, True, False], "categorical": [False, False, False, True]},
    "selector": {
        "gaussian": make_column_selector(dtype_include=["number", "bool"]),
        "categorical": make_column_selector(dtype_include=[object, "str"]),
    },
}


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_visible_names_kinds(form, library):
    if library == "polars" and form in ("selector", "slice of names"):
        pytest.skip("scikit-learn selects from data frames of pandas alone")
    X, visible = mixed(library), FORMS[form]
    fitted = machine(visible=visible, warm_start=True).fit(X).fit(X).partial_fit(X)
    assert fitted.visible_.tolist() == ASKED
    assert [own is None for own in fitted.categories_] == [True, True, True, False]
    assert clone(fitted).fit(X).visible_.tolist() == ASKED
    if form not in ("names", "slice of names", "selector"):
        array = np.asarray(X.to_numpy(), object)
        assert machine(visible=visible).fit(array).score(array) == machine(visible=visible).fit(X).score(X)
        assert machine(visible=visible).fit(array.tolist()).partial_fit(array.tolist()).n_iter_ == 2


@pytest.mark.parametrize("kind", ["bernoulli", "gaussian", "count", "continuous", "ordinal", "categorical"])
def test_one_kind_for_all_columns(kind):
    X = np.column_stack([FLAGS, FLAGS[::-1]]).astype(float)
    fitted = machine(visible=kind).fit(X)
    assert fitted.visible_.tolist() == [kind] * 2
    assert set(machine(visible=kind).fit(X).sample(9, random_state=0).ravel()) <= {0, 1} or kind in (
        "gaussian",
        "continuous",
    )


@pytest.mark.parametrize(
    ("visible", "words"),
    [
        (["gaussian"] * 3, ["the kinds of 3 columns", "X has 4 columns"]),
        (["gaussian", "normal", "count", "count"], ["'visible' parameter", "Got 'normal' instead", "'ordinal'"]),
        ([["gaussian"] * 4], ["Got ['gaussian', 'gaussian', 'gaussian', 'gaussian'] instead"]),
        ({"normal": [0, 1, 2, 3]}, ["Got 'normal' instead"]),
        ({"count": ["n"], "categorical": ["word"]}, ["each column once", "none for columns 'flag', 'x'"]),
        ({"gaussian": [0, 1, 2], "categorical": [2, 3]}, ["several for column 'x'"]),
        ({"gaussian": [0, 1, 1], "categorical": [3]}, ["several for column 'n' and none for column 'x'"]),
        ({"gaussian": ["flag", "weight"]}, ["kind 'gaussian' that X does not have", "weight"]),
        ({"gaussian": [0, 7]}, ["kind 'gaussian' that X does not have"]),
    ],
    ids=str,
)
def test_wrong_kinds_are_rejected(visible, words):
    unfitted = machine(visible=visible)
    with pytest.raises(ValueError, match="visible") as caught:
        unfitted.fit(mixed())
    assert isinstance(caught.value, InvalidParameterError) == ("instead" in words[-1] or len(words) == 3)
    for word in words:
        assert word in str(caught.value)
    assert not hasattr(unfitted, "visible_")


def test_a_search_compares_kinds():
    X = mixed()[["n", "x"]]
    search = GridSearchCV(machine(), {"visible": ["gaussian", "auto", {"count": ["n"], "continuous": ["x"]}]}, cv=2)
    search.fit(X)
    scores = search.cv_results_["mean_test_score"]
    assert scores[0] != scores[1] == scores[2]


def test_other_kinds_in_a_warm_start_are_rejected():
    fitted = machine(visible=FORMS["list"], warm_start=True).fit(mixed())
    with pytest.raises(ValueError, match=r"visible is .* was trained with"):
        fitted.set_params(visible=["gaussian", "count", "gaussian", "categorical"]).fit(mixed())


# ---------------------------------------------------------------------- values


@pytest.mark.parametrize("library", LIBRARIES)
def test_unknown_categories_are_errors_or_missing(library):
    X, other = mixed(library), mixed(library)
    fitted = machine().fit(X)
    cells = ["zebra", *WORDS[1:]]
    other = other.assign(word=cells) if library == "pandas" else other.with_columns(word=np.array(cells))
    words = r"column 'word' of X holds the category 'zebra', which was not seen in fit\. Set handle_unknown='missing'"
    for method in ("score_samples", "transform", "partial_fit"):
        with pytest.raises(ValueError, match=words):
            getattr(fitted, method)(other)
    fitted.set_params(handle_unknown="missing")
    cells[0] = None
    hole = X.assign(word=cells) if library == "pandas" else X.with_columns(word=type(X["word"])(cells))
    assert_array_equal(fitted.score_samples(other), fitted.score_samples(hole))
    assert fitted.score_samples(other)[0] > fitted.score_samples(X)[0]
    assert fitted.partial_fit(other).categories_[3].tolist() == ["a", "b"]


def test_numeric_categories_are_given_back():
    X = np.column_stack([np.resize([7.0, 30.0, 8.5], N), REAL])
    fitted = machine(visible=["categorical", "gaussian"]).fit(X)
    assert fitted.categories_[0].tolist() == [7, 8.5, 30]
    drawn = fitted.sample(40, random_state=0)
    assert drawn.dtype == np.float64
    assert set(drawn[:, 0]) == {7, 8.5, 30}
    with pytest.raises(ValueError, match=r"column 0 of X holds the category 9\.0, which was not seen in fit"):
        fitted.score([[9.0, 0.0]])


def test_an_array_with_words_is_given_back_with_words():
    X = np.empty((N, 2), object)
    X[:, 0], X[:, 1] = WORDS, REAL
    fitted = machine(visible=["categorical", "gaussian"]).fit(X)
    drawn = fitted.sample(20, random_state=0)
    assert drawn.dtype == object
    assert set(drawn[:, 0]) == {"a", "b"}
    assert all(isinstance(value, float) for value in drawn[:, 1])
    assert fitted.score(drawn) == fitted.score(drawn.tolist())
    assert machine().fit(np.column_stack([FLAGS, FLAGS])).sample().dtype == np.float64  # no word is left over
    assert fitted.fit(X).set_params(visible="gaussian").fit(REAL[:, np.newaxis]).sample().dtype == np.float64


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (-1.0, "Negative values in data: Count columns must be in .* column 'n' of X holds -1"),
        (2.5, "Count columns must hold whole numbers, but column 'n' of X holds 2.5.* 'continuous'"),
    ],
)
@pytest.mark.parametrize("first", [np.nan, 0.0])
def test_values_that_are_no_counts_are_rejected(value, words, first):
    X = mixed().astype({"n": float})
    X.loc[:1, "n"] = first, value
    X.loc[5, "x"] = np.nan
    with pytest.raises(ValueError, match=words):
        machine(visible=["gaussian", "count", "gaussian", "categorical"]).fit(X)
    with pytest.raises(ValueError, match=words) as caught:
        machine().fit(mixed()).score(X)
    assert "found in the data" in str(caught.value) or "'auto' decides" in str(caught.value)


NOT_COLUMNS = {
    "dates": (
        np.arange(N).astype("datetime64[ms]"),
        "holds the (Timestamp|datetime) .* Convert dates to numbers first",
    ),
    "durations": (np.arange(N).astype("timedelta64[ms]"), "holds the (Timedelta|timedelta) .* Convert dates"),
    "lists": ([[1, 2]] * N, r"holds the list \[1, 2\]\. Every cell must be a number"),
    "dictionaries": ([{"a": 1}] * N, r"holds the dict .*\. Every cell must be a number"),
}


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("name", NOT_COLUMNS)
def test_objects_that_are_neither_numbers_nor_words_are_rejected(name, library):
    values, words = NOT_COLUMNS[name]
    X = pytest.importorskip(library).DataFrame({"x": REAL, "c": values})
    for visible in ("auto", {"gaussian": ["x"], "categorical": ["c"]}):
        with pytest.raises(TypeError, match=f"column 'c' of X {words}"):
            machine(visible=visible).fit(X)


@pytest.mark.parametrize("visible", ["auto", "gaussian", ["categorical"]])
def test_words_and_numbers_in_one_column_are_rejected(visible):
    X = pandas_frame({"c": (["a", 1.5] * (N // 2), "object")})
    words = r"column 'c' of X holds both: the string 'a' and the float 1\.5\. Convert all its cells to words, .*astype"
    with pytest.raises(TypeError, match=words):
        machine(visible=visible).fit(X)
