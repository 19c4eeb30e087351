"""Tables of users, after reading: missing values, streams, pipelines, saved files, and tables given back."""

import pickle
import warnings

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn import config_context
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler

from skwakesleep import HelmholtzMachine
from skwakesleep._adapters.sklearn_compat import HAS_CALLBACKS
from skwakesleep._adapters.table_format import TableFormat
from skwakesleep.callbacks import ScoreMonitor

N = 30
RNG = np.random.default_rng(0)
REAL, FLAGS, COUNTS = RNG.normal(size=N), RNG.integers(2, size=N).astype(bool), RNG.poisson(3, size=N)
WORDS = np.where(RNG.random(N) < 0.5, "yes", "no").astype(object)
NAMES = ["flag", "n", "x", "word"]
KINDS = ["bernoulli", "count", "continuous", "categorical"]
LIBRARIES = ["pandas", "polars"]


def machine(**parameters):
    defaults = {"hidden_layer_sizes": 2, "max_iter": 2, "tol": None, "batch_size": 8, "random_state": 0}
    return HelmholtzMachine(**(defaults | parameters))


def frame(library="pandas", **columns):
    """Return a data frame of a column of each kind; keywords replace columns."""
    library = pytest.importorskip(library)
    return library.DataFrame(dict(zip(NAMES, (FLAGS, COUNTS, REAL, WORDS), strict=True)) | columns)


# ---------------------------------------------------------------------- missing values

# What stands for a missing value, by name, and the dtype of pandas that holds it.
MISSING = {"NaN": "float64", "None": "object", "pandas.NA": "Int64", "Arrow's null": "int64[pyarrow]", "polars": None}


def with_holes(name):
    """Return a data frame whose first counts and words are missing."""
    if name == "polars":
        return frame("polars", n=[None, *COUNTS[1:].tolist()], word=[None, *WORDS[1:]])
    pandas = pytest.importorskip("pandas")
    if "Arrow" in name:
        pytest.importorskip("pyarrow")
    value = {"NaN": np.nan, "None": None}.get(name, pandas.NA)
    words = pandas.Series([value, *WORDS[1:]], dtype=object)
    return frame(n=pandas.Series([value, *COUNTS[1:]], dtype=MISSING[name]), word=words)


@pytest.mark.parametrize("name", MISSING)
def test_every_form_of_missing_values_is_the_same(name):
    X, plain = with_holes(name), with_holes("NaN")
    fitted, expected = machine().fit(X), machine().fit(plain)
    assert fitted.visible_.tolist() == KINDS
    assert fitted.categories_[3].tolist() == ["no", "yes"]
    assert_array_equal(fitted.score_samples(X), expected.score_samples(plain))
    assert_array_equal(fitted.transform(X), expected.transform(plain))
    assert_array_equal(fitted.score_samples(frame())[1:], fitted.score_samples(X)[1:])
    assert fitted.score_samples(X)[0] > fitted.score_samples(frame())[0]


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_row_with_nothing_observed_scores_zero(library):
    empty = {name: [None] for name in NAMES}
    fitted = machine().fit(frame(library))
    X = pytest.importorskip(library).DataFrame(empty)
    assert abs(fitted.score(X)) < 1e-12
    holes = {
        name: [None, *column[1:].tolist()] for name, column in zip(NAMES, (FLAGS, COUNTS, REAL, WORDS), strict=True)
    }
    fitted = machine(max_iter=20).fit(frame(library, **holes))
    assert abs(fitted.score(X)) < 1e-12
    assert fitted.score_samples(frame(library)).max() < -1e-3  # negative control


@pytest.mark.parametrize("column", NAMES)
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_column_without_values_gives_a_warning_and_finite_results(column, library):
    X = frame(library, **{column: [None] * N})
    with pytest.warns(UserWarning, match=f"X holds no value in column '{column}': nothing can be learned of it"):
        fitted = machine().fit(X)
    others = frame(library).drop(columns=column) if library == "pandas" else frame(library).drop(column)
    assert np.isfinite(fitted.score_samples(X)).all()
    assert len(fitted.sample(5, random_state=0)) == 5
    assert fitted.score(X) == pytest.approx(machine().fit(others).score(others), abs=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted.partial_fit(X)


@pytest.mark.parametrize("kind", ["bernoulli", "gaussian", "count", "continuous"])
@pytest.mark.parametrize("container", [sparse.csr_array, sparse.csc_array, sparse.coo_array])
def test_explicit_missing_entries_of_sparse_tables(kind, container):
    X = np.where(RNG.random((N, 3)) < 0.3, RNG.integers(1, 2, size=(N, 3)), 0).astype(float)
    X[[0, 4, 5], [0, 1, 1]] = np.nan
    fitted, dense = machine(visible=kind).fit(container(X)), machine(visible=kind).fit(X)
    np.testing.assert_allclose(fitted.score_samples(container(X)), dense.score_samples(X), rtol=1e-6)
    np.testing.assert_allclose(fitted.transform(container(X)), dense.transform(X), rtol=1e-6)
    mixed = ["bernoulli", kind, kind]
    np.testing.assert_allclose(
        machine(visible=mixed).fit(container(X)).score_samples(X), machine(visible=mixed).fit(X).score_samples(X), 1e-6
    )


@pytest.mark.parametrize("library", LIBRARIES)
def test_one_row(library):
    X = frame(library)[:1]
    fitted = machine(batch_size="auto").fit(X)
    assert np.isfinite(fitted.score(X))
    assert len(fitted.sample(3, random_state=0)) == 3


# ---------------------------------------------------------------------- streams and later tables


@pytest.mark.parametrize("library", LIBRARIES)
def test_parts_of_a_table_are_trained_on_in_turn(library):
    X = frame(library)
    fitted = machine().fit(X).partial_fit(X[:7]).partial_fit(X[7:])
    assert fitted.n_iter_ == 4
    assert fitted.visible_.tolist() == KINDS
    assert fitted.categories_[3].tolist() == ["no", "yes"]
    assert type(fitted.sample()) is type(X)


def test_kinds_of_the_first_part_are_kept():
    fitted = machine().partial_fit(frame()[:5])
    with pytest.raises(ValueError, match=r"\(found in the data of the first .* column 'flag' of X holds 2\. .* name"):
        fitted.partial_fit(frame(flag=COUNTS.clip(0, 2)))
    assert fitted.partial_fit(frame(x=COUNTS)).visible_.tolist() == KINDS


def test_a_stream_of_real_columns_with_missing_values_follows_their_scale():
    X = RNG.normal(size=(60, 3))
    X[::4, 1] = np.nan
    fitted = machine(visible="gaussian").partial_fit(X[:30])
    for _ in range(3):
        fitted.partial_fit(X[30:] * 5 + 20)
    assert np.isfinite(fitted.score_samples(X)).all()
    assert fitted.score(X[30:] * 5 + 20) > -30


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("method", ["score_samples", "transform", "partial_fit"])
def test_another_order_of_columns_is_rejected(method, library):
    fitted = machine().fit(frame(library))
    with pytest.raises(ValueError, match="feature names should match those that were passed during fit"):
        getattr(fitted, method)(frame(library)[NAMES[::-1]])


@pytest.mark.parametrize("library", LIBRARIES)
def test_machine_in_a_pipeline_reads_the_frames_of_a_column_transformer(library):
    X = frame(library)
    columns = ColumnTransformer(
        [("scaled", StandardScaler(), ["x"]), ("codes", OrdinalEncoder(dtype=int), ["word"])],
        remainder="passthrough",
        verbose_feature_names_out=False,
    )
    visible = {"categorical": ["word"], "continuous": ["x"], "bernoulli": ["flag"], "count": ["n"]}
    pipeline = make_pipeline(columns.set_output(transform=library), machine(visible=visible)).fit(X)
    assert pipeline[-1].visible_.tolist() == ["continuous", "categorical", "bernoulli", "count"]
    assert pipeline.score(X) < 0
    features = pipeline.set_output(transform=library).transform(X)
    assert type(features) is type(X)
    assert list(features.columns) == ["helmholtzmachine0", "helmholtzmachine1"]


@pytest.mark.skipif(not HAS_CALLBACKS, reason="scikit-learn has no callbacks before version 1.9")
def test_callbacks_get_the_table_of_the_user():
    class TrainingScores(ScoreMonitor):
        def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
            self.scores_.append(fitted_estimator.score(X))

    monitor = TrainingScores(None)
    fitted = machine().set_callbacks(monitor).fit(frame())
    assert monitor.scores_[-1] == fitted.score(frame())


# ---------------------------------------------------------------------- tables given back


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_frame_is_given_back_with_its_names_and_dtypes(library):
    X = frame(library)
    fitted = machine(max_iter=20).fit(X)
    drawn = fitted.sample(200, random_state=0)
    assert type(drawn) is type(X)
    assert list(drawn.columns) == NAMES
    assert list(drawn.dtypes) == list(X.dtypes)
    assert drawn.equals(fitted.sample(200, random_state=0))
    assert len(set(drawn["x"])) == 200  # drawn within the intervals
    assert abs((drawn["word"] == "yes").mean() - np.mean(WORDS == "yes")) < 0.2


def test_the_index_of_hidden_values_is_kept():
    X = frame().set_index(np.arange(N) * 10)
    fitted = machine().fit(X).set_output(transform="pandas")
    hidden = fitted.transform(X)
    assert fitted.inverse_transform(hidden).index.equals(X.index)
    assert fitted.inverse_transform(hidden.to_numpy()).index.equals(frame().index)


@pytest.mark.parametrize("library", LIBRARIES)
def test_imputed_tables_are_given_back_as_they_came_in(library):
    holes = {"n": [None, *COUNTS[1:].tolist()], "word": [*WORDS[:-1], None]}
    X = frame(library, **holes)
    fitted = machine().fit(X)
    for filled in (fitted.impute(X), *fitted.impute_draws(X, 2, random_state=0)):
        assert list(filled.dtypes) == list(X.dtypes)
        assert filled[:-1][1:].equals(X[:-1][1:])
        assert filled["word"].to_list()[-1] in ("yes", "no")
        assert 0 <= filled["n"][0] <= COUNTS.max() + 1


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_library_asked_for_is_given(library):
    """From the other library, dtypes are those that the library finds."""
    made = pytest.importorskip(library).DataFrame
    for X in (frame("pandas"), frame("polars"), np.column_stack([REAL, REAL])):
        fitted = machine().fit(X)
        assert isinstance(fitted.sample(), type(X))
        with config_context(transform_output=library):
            configured = fitted.sample(4, random_state=0)
        drawn = fitted.set_output(transform=library).sample(4, random_state=0)
        assert isinstance(drawn, made)
        assert drawn.shape == (4, X.shape[1])
        assert drawn.equals(configured)
        assert np.isfinite(fitted.score(drawn.to_numpy() if isinstance(X, np.ndarray) else drawn))
        assert isinstance(fitted.set_output(transform="default").sample(), type(X))


def test_a_frame_of_numbers_is_given_back_as_an_array():
    X = frame()[NAMES[:3]].assign(n=REAL)
    fitted = machine().fit(X)
    assert isinstance(fitted.sample(), np.ndarray)
    assert fitted.set_output(transform="pandas").sample().dtypes.equals(X.dtypes)
    assert fitted.set_output(transform="default").fit(frame()).sample().dtypes.equals(frame().dtypes)
    assert isinstance(fitted.fit(X[["x", "n"]].to_numpy()).sample(), np.ndarray)  # no format of an earlier fit is left


def test_names_that_are_no_strings_are_given_back():
    X = frame().set_axis([0, 5, "x", ("a", 1)], axis=1)[[0, 5, ("a", 1)]]
    X.columns = [3, 1, 2]
    assert list(machine().fit(X).sample(2).columns) == [3, 1, 2]


@pytest.mark.parametrize("dtype", ["uint8", "Int8", "int8[pyarrow]"])
def test_whole_numbers_are_within_the_bounds_of_their_dtype(dtype):
    if "pyarrow" in dtype:
        pytest.importorskip("pyarrow")
    bounds = np.iinfo(dtype.lower().removesuffix("[pyarrow]"))
    X = frame(n=[bounds.min, bounds.max] * (N // 2)).astype({"n": dtype})
    visible = {"gaussian": ["n", "x"], "bernoulli": ["flag"], "categorical": ["word"]}
    drawn = machine(visible=visible).fit(X).sample(300, random_state=0)["n"]
    assert str(drawn.dtype) == dtype
    assert (drawn == bounds.min).mean() > 0.05  # draws beyond the bounds, which do not wrap around
    assert (drawn == bounds.max).mean() > 0.05


# ---------------------------------------------------------------------- saved files


def skops_round_trip(fitted):
    io = pytest.importorskip("skops.io")
    data = io.dumps(fitted)
    untrusted = io.get_untrusted_types(data=data)
    assert untrusted == ["skwakesleep._helmholtz_machine.HelmholtzMachine"]
    return io.loads(data, trusted=untrusted)


def joblib_round_trip(fitted, directory):
    joblib.dump(fitted, directory / "machine.joblib")
    return joblib.load(directory / "machine.joblib")


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("way", ["pickle", "joblib", "skops"])
def test_saved_machines_read_and_give_back_tables(way, library, tmp_path):
    X = frame(library, n=[None, *COUNTS[1:].tolist()])
    fitted = machine().fit(X)
    loaded = {
        "pickle": lambda: pickle.loads(pickle.dumps(fitted)),
        "joblib": lambda: joblib_round_trip(fitted, tmp_path),
        "skops": lambda: skops_round_trip(fitted),
    }[way]()
    assert_array_equal(loaded.score_samples(X), fitted.score_samples(X))
    assert loaded.sample(5, random_state=0).equals(fitted.sample(5, random_state=0))
    assert loaded.partial_fit(X).score(X) == fitted.partial_fit(X).score(X)


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        ("library", "os", "there are no data frames of 'os'"),
        ("library", 3, "library of 'table-format' is of the wrong type 'int'"),
        ("names", ["a"], "the format of tables is not of 4 columns"),
        ("types", [], "the format of tables is not of 4 columns"),
        ("dtypes", [1, 2, 3, 4], "dtypes of 'table-format' is of the wrong type 'list'"),
    ],
)
def test_damaged_formats_are_rejected(part, value, words):
    state = machine().fit(frame()).__getstate__()
    state["_format"][part] = value
    with pytest.raises(ValueError, match=f"damaged: {words}"):
        object.__new__(HelmholtzMachine).__setstate__(state)


@pytest.mark.parametrize("categories", [[None] * 4, [None, None, None, "ab"], [None] * 3])
def test_damaged_categories_are_rejected(categories):
    state = machine().fit(frame()).__getstate__()
    state["categories_"] = categories
    with pytest.raises(ValueError, match=r"damaged: .* categories_ of other columns|damaged: visible_ and categories_"):
        object.__new__(HelmholtzMachine).__setstate__(state)


def test_machines_without_a_format_are_those_of_arrays():
    fitted = machine().fit(np.column_stack([REAL, REAL]))
    assert fitted._format == TableFormat()
