"""Bad input raises an error that names it, the expected and the received value, and leaves the estimator unchanged.

Unusual but valid input is accepted.
"""

import pickle
import tracemalloc
from contextlib import contextmanager

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import config_context
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.utils.validation import check_is_fitted

import skwakesleep
from skwakesleep import AmortisedWakeSleep, HelmholtzMachine
from skwakesleep._adapters.kinds import check_range
from skwakesleep._adapters.sklearn_compat import InvalidParameterError
from skwakesleep._adapters.tables import check_table
from skwakesleep.models import SigmoidBeliefNetwork
from skwakesleep.reference import BernoulliMixture, IndependentBernoulli

# Columns with two values make visible='auto' warn.
pytestmark = pytest.mark.filterwarnings("ignore:visible='auto'")

FITS = ["fit", "partial_fit"]
TABLE_METHODS = [*FITS, "transform", "score_samples", "score"]


@contextmanager
def rejected(machine, error, *words):
    """Expect an error whose message contains all `words` and that leaves the machine unchanged."""
    before = pickle.dumps(machine)
    with pytest.raises(error) as caught:
        yield
    for word in words:
        assert word in str(caught.value)
    assert pickle.dumps(machine) == before


def is_unfitted(machine):
    with pytest.raises(NotFittedError):
        check_is_fitted(machine)
    return not any(name.endswith("_") for name in vars(machine))


def assert_usable(machine, X):
    for result in machine.transform(X), machine.score_samples(X), machine.sample(5, random_state=0):
        assert np.isfinite(result).all()
    for array in (*machine.generative_coefs_, *machine.recognition_coefs_, machine.prior_intercept_):
        assert np.isfinite(array).all()


# ---------------------------------------------------------------------- constructor parameters

INVALID_PARAMETERS = {
    "hidden_layer_sizes": (
        [0, -1, 2.0, "8", True, (), (8, 0), ("a",), (8, True), (8, 2.0), [(8, 4), (2,)], None],
        "int in the range [1, inf)",
    ),
    "visible": (["binomial", "", None, 3], "a str among {"),
    "handle_unknown": (["ignore", None], "a str among {"),
    "n_particles": ([0, -1, 2.5, "5"], "an int in the range [1, inf)"),
    "recognition_update": (["dream", None, ("wake", "sleep")], "a str among {"),
    "alpha": ([-1e-3, np.nan, np.inf, "0"], "a float in the range [0.0, inf)"),
    "learning_rate_init": ([0, -1, np.nan, np.inf, "0.1"], "a float in the range (0.0, inf)"),
    "solver": (["lbfgs", None], "a str among {"),
    "batch_size": ([0, 2.5, "full"], "an int in the range [1, inf)"),
    "max_iter": ([0, 1.5, None], "an int in the range [1, inf)"),
    "shuffle": (["yes", None], "an instance of 'bool'"),
    "tol": ([-1e-9, np.nan, "0"], "a float in the range [0.0, inf)"),
    "n_iter_no_change": ([0, 1.5, None], "an int in the range [1, inf)"),
    "early_stopping": (["yes", None], "an instance of 'bool'"),
    "validation_fraction": ([0, 1, -0.1, 1.1, np.nan, "0.1"], "a float in the range (0.0, 1.0)"),
    "n_score_particles": ([0, 1.5, None], "an int in the range [1, inf)"),
    "n_score_steps": ([-1, 1.5, None], "an int in the range [0, inf)"),
    "warm_start": (["yes", None], "an instance of 'bool'"),
    "random_state": (["abc", -1, 2**32, 1.5], "an int in the range [0, 4294967295]"),
    "verbose": ([-1, "yes"], "an int in the range [0, inf)"),
}


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [(name, value, expected) for name, (values, expected) in INVALID_PARAMETERS.items() for value in values],
)
def test_invalid_parameter_is_rejected_by_fit_not_by_constructor(name, value, expected, fit, binary, small):
    words = f"The '{name}' parameter of HelmholtzMachine must be", expected, f"Got {value!r} instead"
    for machine in small(**{name: value}), small().fit(binary).set_params(**{name: value}):
        with rejected(machine, InvalidParameterError, *words):
            getattr(machine, fit)(binary)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("recognition_update", ["wake", "both"])
def test_one_particle_with_wake_phase_recognition_update_is_rejected(recognition_update, fit, binary, small):
    machine = small(n_particles=1, recognition_update=recognition_update)
    with rejected(machine, ValueError, repr(recognition_update), "n_particles >= 2", "Got n_particles=1", "'sleep'"):
        getattr(machine, fit)(binary)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ({"hidden_layer_sizes": (7,)}, {"hidden_layer_sizes": (9,)}, ["hidden_layer_sizes", "(7,)", "(9,)"]),
        ({"hidden_layer_sizes": 7}, {"hidden_layer_sizes": (7, 2)}, ["hidden_layer_sizes", "(7,)", "(7, 2)"]),
        ({"visible": "auto"}, {"visible": "gaussian"}, ["visible", "'bernoulli'", "'gaussian'"]),
    ],
    ids=["widths", "depth", "visible"],
)
def test_warm_start_with_another_architecture_is_rejected(old, new, words, fit, binary, small):
    machine = small(warm_start=True, **old).fit(binary).set_params(**new)
    with rejected(machine, ValueError, *words, "warm_start=False"):
        getattr(machine, fit)(binary)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("sizes", [10**15, (3, 10**15), (10**10, 10**10), 10**18], ids=str)
def test_hidden_layer_sizes_too_large_for_memory_are_rejected(sizes, fit, binary, small):
    machine = small(hidden_layer_sizes=sizes)
    with rejected(machine, MemoryError, f"hidden_layer_sizes={sizes}", "bytes"):
        getattr(machine, fit)(binary)


@pytest.mark.parametrize("n_particles", [10**13, 10**18])
def test_n_particles_too_large_for_memory_is_rejected(n_particles, binary, small):
    machine = small(n_particles=n_particles)
    with rejected(machine, MemoryError, "n_particles", "bytes"):
        machine.fit(binary)


@pytest.mark.parametrize("n_score_particles", [10**15, 10**18])
def test_n_score_particles_too_large_for_memory_is_rejected(n_score_particles, binary, small):
    machine = small(hidden_layer_sizes=20, n_score_particles=n_score_particles).fit(binary)
    with rejected(machine, MemoryError, "n_score_particles", "bytes"):
        machine.score_samples(binary)
    machine = small(hidden_layer_sizes=20, n_score_particles=n_score_particles, early_stopping=True)
    with rejected(machine, MemoryError, "n_score_particles", "bytes"):
        machine.fit(binary)


@pytest.mark.parametrize(("n_rows", "validation_fraction"), [(9, 0.1), (1, 0.9)])
def test_empty_validation_split_is_rejected(n_rows, validation_fraction, binary, small):
    machine = small(early_stopping=True, validation_fraction=validation_fraction, batch_size="auto")
    words = (
        f"validation_fraction={validation_fraction}",
        f"n_samples={n_rows}",
        "Enlarge validation_fraction or the data",
    )
    with rejected(machine, ValueError, *words):
        machine.fit(binary[:n_rows])


def test_batch_size_larger_than_n_samples_is_clipped_with_a_warning(table, small):
    with pytest.warns(UserWarning, match="batch_size=50 is larger than .* clipped to 40") as caught:
        clipped = small(batch_size=50).fit(table)
    assert [warning.filename for warning in caught] == [__file__]
    assert_array_equal(clipped.components_, small(batch_size=40).fit(table).components_)


# ---------------------------------------------------------------------- data

BINARY = np.random.default_rng(0).integers(2, size=(40, 6)).astype(float)


def with_value(value, dtype=float):
    table = BINARY.astype(dtype)
    table[3, 2] = value
    return table


def objects(cell):
    """Return an object array of one cell."""
    array = np.empty((1, 1), object)
    array[0, 0] = cell
    return array


def frame(library, **columns):
    return pytest.importorskip(library).DataFrame({"height": [0.0, 1.0], **columns})


BAD_TABLES = {
    "None": (
        None,
        TypeError,
        "Expected an array, a data frame or a sparse matrix as X, but got an object of type 'NoneType'",
    ),
    "scalar": (3.0, ValueError, "Expected 2D array, got scalar array instead"),
    "string": ("abc", ValueError, "Expected numeric data, but X holds the string 'abc'"),
    "strings": (
        [[1.0, "Paris"], [2.0, "Rome"]],
        ValueError,
        "Expected numeric data, but column 1 of X holds the string 'Paris'. Encode it first, for instance with "
        "sklearn.preprocessing.OneHotEncoder",
    ),
    "array of strings": (np.array([["1", "Rome"]]), ValueError, "column 1 of X holds the string 'Rome'. Encode it"),
    "list of strings": (["Rome", "Paris"], ValueError, "X holds the string 'Rome'"),
    "bytes": ([[1.0, b"Rome"]], ValueError, "column 1 of X holds the bytes b'Rome'"),
    "boolean beside a string": ([[True, "Rome"]], ValueError, "column 1 of X holds the string 'Rome'"),
    "long string": (
        with_value("Rome" * 99, object),
        ValueError,
        "column 2 of X holds the string 'RomeRomeRome...eRomeRomeRome'.",
    ),
    "dict in a cell": (
        with_value({"a": 1}, object),
        TypeError,
        "column 2 of X holds the dict {'a': 1}. Every cell must be",
    ),
    "list in a cell": (
        with_value([1, 2], object),
        TypeError,
        "column 2 of X holds the list [1, 2]. Every cell must be",
    ),
    "list in a list": ([[1, [2, 3]], [4, 5]], TypeError, "column 1 of X holds the list [2, 3]"),
    "array in a cell": (objects(np.ones(1)), TypeError, "column 0 of X holds the ndarray array([1.]). Every cell"),
    "NumPy scalar in a cell": (objects(np.complex128(1j)), TypeError, "column 0 of X holds the complex 1j"),
    "large int": ([[10**400, 1]], ValueError, "Input X contains infinity or a value too large for float64: column 0"),
    "large long double": (
        with_value(np.longdouble("1e4000"), np.longdouble),
        ValueError,
        "too large for float64: column 2",
    ),
    "1-D": (BINARY[0], ValueError, "Expected 2D array, got 1D array instead"),
    "3-D": (BINARY[np.newaxis], ValueError, "Found array with dim 3"),
    "no rows": (BINARY[:0], ValueError, "Found array with 0 sample(s)"),
    "no columns": (BINARY[:, :0], ValueError, "Found array with 0 feature(s)"),
    "ragged": (
        [[1, 2], [1, 2], [3]],
        ValueError,
        "Rows of X must have the same length, but row 0 has 2 values and row 2 has 1.",
    ),
    "inf": (
        with_value(np.inf),
        ValueError,
        "Input X contains infinity or a value too large for float64: column 2 of X has 1 such value.",
    ),
    "-inf": (with_value(-np.inf), ValueError, "Input X contains infinity"),
    "sparse inf": (sparse.csr_array(with_value(np.inf)), ValueError, "Input X contains infinity"),
    "float32 inf": (with_value(np.inf, np.float32), ValueError, "Input X contains infinity"),
    "complex": (BINARY + 1j, ValueError, "Complex data not supported"),
    "sparse complex": (sparse.csr_array(BINARY + 1j), ValueError, "Complex data not supported"),
    "dict": ({"a": 1}, TypeError, "got an object of type 'dict'. Pass pandas.DataFrame(X)."),
    "generator": ((row for row in BINARY), TypeError, "got an object of type 'generator'. Pass list(X) or an array."),
    "iterator": (iter(BINARY), TypeError, "got an object of type 'iterator'. Pass list(X) or an array."),
    "zip": (zip([1], [2], strict=True), TypeError, "got an object of type 'zip'. Pass list(X) or an array."),
    "set": ({1, 2}, TypeError, "got an object of type 'set'. Pass list(X) or an array."),
    "object": (object(), TypeError, "but got an object of type 'object'."),
    "class": (np.ndarray, TypeError, "but got an object of type 'type'."),
    "structured": (np.zeros(3, [("a", float)]), TypeError, "X holds the tuple (0.0,)"),
    "structured 2-D": (
        np.zeros((3, 1), [("a", float), ("b", float)]),
        TypeError,
        "column 0 of X holds the tuple (0.0, 0.0)",
    ),
    "np.matrix": (BINARY.view(np.matrix), TypeError, "np.matrix is not supported"),
    "masked": (np.ma.array(BINARY), TypeError, "X is a masked array, and its mask would be ignored"),
    "datetime64": (
        BINARY.astype("datetime64[D]"),
        TypeError,
        "Expected numeric data, but column 0 of X holds the datetime64 1970-01-02. Convert dates to numbers first.",
    ),
    "timedelta64": (BINARY.astype("timedelta64[s]"), TypeError, "column 0 of X holds the timedelta64 1 seconds"),
    "list of datetime64": (
        [[np.datetime64("2020-01-01")] * 6],
        TypeError,
        "2020-01-01. Convert dates to numbers first.",
    ),
    "objects of datetime64": (np.array([[np.datetime64("2020")] * 6], object), TypeError, "datetime64 2020. Convert"),
}


# Missing values, which only a machine accepts, and only in its columns.
MISSING = {
    "NaN": (
        with_value(np.nan),
        ValueError,
        "Input X contains NaN: column 2 of X has 1 missing value. Drop the rows or fill them, for instance with "
        "sklearn.impute.SimpleImputer.",
    ),
    "NaNs": (
        np.where(BINARY, BINARY, np.nan),
        ValueError,
        f"column 0 of X has {40 - BINARY[:, 0].sum():.0f} missing values",
    ),
    "sparse NaN": (
        sparse.csr_array(with_value(np.nan)),
        ValueError,
        "Input X contains NaN: column 2 of X has 1 missing",
    ),
    "None in a cell": (
        with_value(None, object),
        ValueError,
        "Input X contains NaN: column 2 of X has 1 missing value.",
    ),
    "nan as a string": ([["1.5", "nan"]], ValueError, "Input X contains NaN: column 1 of X has 1 missing value."),
    "None in a list": ([[1.0, None]], ValueError, "Input X contains NaN: column 1 of X has 1 missing value."),
}


@pytest.mark.parametrize("method", TABLE_METHODS)
@pytest.mark.parametrize("name", BAD_TABLES)
def test_bad_table_is_rejected(name, method, small):
    table, error, words = BAD_TABLES[name]
    machine = small().fit(BINARY)
    with rejected(machine, error, words):
        getattr(machine, method)(table)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("name", BAD_TABLES)
def test_failed_first_fit_leaves_the_machine_unfitted(name, fit, small):
    table, error, words = BAD_TABLES[name]
    machine = small()
    with rejected(machine, error, words):
        getattr(machine, fit)(table)
    assert is_unfitted(machine)


@pytest.mark.parametrize("method", TABLE_METHODS)
@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("kind", ["datetime64[ms]", "timedelta64[ms]"])
def test_column_of_dates_is_rejected(kind, library, method, small):
    machine = small(batch_size="auto").fit(frame(library, when=[1.0, 2.0]))
    with rejected(machine, TypeError, "Expected numbers or words", "column 'when' of X holds the", "Convert dates"):
        getattr(machine, method)(frame(library, when=np.array([1, 2]).astype(kind)))


def pandas_column(values, dtype):
    pandas = pytest.importorskip("pandas")
    if "pyarrow" in dtype:
        pytest.importorskip("pyarrow")
    return frame("pandas", city=pandas.Series(values, dtype=dtype))


def polars_column(values, dtype):
    polars = pytest.importorskip("polars")
    dtype = polars.Enum(["Paris", "Rome"]) if dtype == "Enum" else getattr(polars, dtype)
    return frame("polars", city=polars.Series(values, dtype=dtype))


STRING_COLUMNS = [
    *((pandas_column, dtype) for dtype in ["object", "string", "category", "string[pyarrow]"]),
    *((polars_column, dtype) for dtype in ["String", "Categorical", "Enum", "Object"]),
]


OTHERS = {
    "amortised": AmortisedWakeSleep(),
    "density": IndependentBernoulli(),
    "mixture": BernoulliMixture(2),
    "machine with real columns": HelmholtzMachine(2, visible="gaussian"),
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize(("column", "dtype"), STRING_COLUMNS)
def test_column_of_strings_is_rejected_where_numbers_are_expected(column, dtype, name):
    advice = "column 'city' of X holds the string 'Paris'. Encode it first, for instance with sklearn.preprocessing."
    for cells in (["Paris", "Rome"], [None, "Paris"]):
        with rejected(OTHERS[name], ValueError, "" if cells[0] is None else advice):
            OTHERS[name].fit(column(cells, dtype))


NOT_MACHINES = [name for name in OTHERS if "machine" not in name]
MISSING_COLUMNS = [
    *((pandas_column, dtype) for dtype in ["object", "float", "Float64", "Int64", "boolean", "double[pyarrow]"]),
    *((polars_column, dtype) for dtype in ["Float32", "Int64", "Boolean", "Decimal"]),
]


@pytest.mark.parametrize("name", NOT_MACHINES)
@pytest.mark.parametrize(("column", "dtype"), MISSING_COLUMNS)
def test_column_with_missing_values_is_rejected(column, dtype, name):
    with rejected(OTHERS[name], ValueError, "Input X contains NaN: column 'city' of X has 1 missing value."):
        OTHERS[name].fit(column([dtype == "Boolean" or 1, None], dtype))


def test_infinity_beside_a_missing_value_is_rejected(small):
    with rejected(machine := small(), ValueError, "Input X contains infinity", "column 5 of X has 1 such value"):
        machine.fit([[np.nan] + [0.0] * 4 + [np.inf]])
    with rejected(density := IndependentBernoulli(), ValueError, "Input X contains NaN: column 0 of X"):
        density.fit([[np.nan] + [0.0] * 4 + [np.inf]])


@pytest.mark.filterwarnings("ignore:X holds no value")
@pytest.mark.parametrize("name", MISSING)
def test_missing_values_are_accepted_by_a_machine_alone(name, small):
    table, error, words = MISSING[name]
    machine = small(batch_size="auto", visible="gaussian").fit(table)
    assert np.isfinite(machine.score_samples(table)).all()
    for estimator, method in [(machine, "inverse_transform"), *((OTHERS[name], "fit") for name in NOT_MACHINES)]:
        dense = sparse.issparse(table) and (method != "fit" or isinstance(estimator, AmortisedWakeSleep))
        with rejected(estimator, error, words):
            getattr(estimator, method)(table.toarray() if dense else table)


def test_pandas_missing_value_in_an_object_array_is_missing(small):
    pandas = pytest.importorskip("pandas")
    X, plain = with_value(pandas.NA, object), with_value(np.nan)
    with rejected(density := IndependentBernoulli(), ValueError, "column 2 of X has 1 missing value."):
        density.fit(X)
    assert_array_equal(small().fit(X).score_samples(X), small().fit(plain).score_samples(plain))


@pytest.mark.parametrize(("names", "repeated"), [("abca", "'a'"), ("abab", "'a', 'b'"), ([0, 1, 0, 2], "0")])
def test_duplicate_column_names_are_rejected(names, repeated, small):
    pandas = pytest.importorskip("pandas")
    with rejected(machine := small(), ValueError, "must be unique", f"several columns named {repeated}."):
        machine.fit(pandas.DataFrame(BINARY[:, :4], columns=list(names)))


@pytest.mark.parametrize("name", [name for name in BAD_TABLES if name != "sparse complex"])
def test_inverse_transform_rejects_bad_hidden_values(name, small):
    table, error, words = BAD_TABLES[name]
    machine = small().fit(BINARY)
    if sparse.issparse(table):
        error, words = TypeError, "Sparse data was passed"
    with rejected(machine, error, words):
        machine.inverse_transform(table)


ESTIMATORS = {"machine": HelmholtzMachine(2), **OTHERS}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_all_estimators_reject_bad_tables(name):
    for table in ("strings", "zip", "large int", "dict in a cell"):
        X, error, words = BAD_TABLES[table]
        with rejected(ESTIMATORS[name], error, words):
            ESTIMATORS[name].fit(X)


def test_assume_finite_skips_the_check_for_infinity(small):
    with config_context(assume_finite=True):
        check_table(small(), with_value(np.inf), reset=True)
    with pytest.raises(ValueError, match="contains infinity"):
        check_table(small(), with_value(np.inf), reset=True)


OUTSIDE = {"above": 1.5, "below": -0.25}
CONTAINERS = {"dense": np.asarray, "csr": sparse.csr_array, "csc": sparse.csc_array, "float32": np.float32}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("value", OUTSIDE.values(), ids=OUTSIDE)
@pytest.mark.parametrize("fit", FITS)
def test_bernoulli_values_outside_the_unit_interval_are_rejected(fit, value, container, small):
    machine = small(visible="bernoulli")
    with rejected(machine, ValueError, "must be in [0, 1]", "column 2", str(value), "clip X", "visible='gaussian'"):
        getattr(machine, fit)(CONTAINERS[container](with_value(value)))
    assert is_unfitted(machine)


@pytest.mark.parametrize("method", ["partial_fit", "transform", "score_samples", "score"])
@pytest.mark.parametrize("value", OUTSIDE.values(), ids=OUTSIDE)
def test_later_batch_outside_the_domain_of_the_first_is_rejected(value, method, small):
    machine = small().partial_fit(BINARY)
    words = (
        "must be in [0, 1] (found in the data of the first fit or partial_fit)",
        "column 2",
        str(value),
        "'gaussian'",
    )
    with rejected(machine, ValueError, *words):
        getattr(machine, method)(with_value(value))


def test_gaussian_columns_accept_every_later_batch(binary, real, small):
    machine = small().partial_fit(real).partial_fit(binary[:, :5])
    assert set(machine.visible_) == {"gaussian"}
    assert_usable(machine, binary[:, :5])


def test_message_contains_the_column_name(small):
    pandas = pytest.importorskip("pandas")
    with rejected(machine := small(visible="bernoulli"), ValueError, "column 'c'", "1.5"):
        machine.fit(pandas.DataFrame(with_value(1.5), columns=list("abcdef")))


DEGENERATE = {
    "a constant column": lambda X: np.column_stack([X, np.full(len(X), 0.1)]),
    "constant columns": lambda X: np.full_like(X, 0.7),
    "zeros": np.zeros_like,
    "duplicate rows": lambda X: np.tile(X[:2], (20, 1)),
    "one row": lambda X: X[:1],
    "one column": lambda X: X[:, :1],
    "fewer rows than a batch": lambda X: X[:7],
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_table_gives_finite_results(name, fit, dtype, table, small):
    X = DEGENERATE[name](table).astype(dtype)
    for container in np.asarray, sparse.csr_array:
        machine = getattr(small(batch_size="auto"), fit)(container(X))
        assert_usable(machine, container(X))


@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_table_has_equal_scores_dense_and_sparse(name, table, small):
    X = DEGENERATE[name](table)
    dense, csr = (small(batch_size="auto").fit(container(X)) for container in (np.asarray, sparse.csr_array))
    assert_allclose(csr.score_samples(sparse.csr_array(X)), dense.score_samples(X), rtol=1e-6)


def test_partial_fit_on_fewer_rows_than_a_batch_does_not_warn(table, small):
    assert_usable(small(batch_size=50).partial_fit(table), table)


# ---------------------------------------------------------------------- layouts


def read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


def memory_mapped(X, directory):
    np.save(directory / "X.npy", X)
    return np.load(directory / "X.npy", mmap_mode="r")


def int64_indexed(X):
    X = sparse.csr_array(X)
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    return X


def unsorted(X):
    """Return a sparse array whose column indices decrease within each row."""
    mirrored = sparse.csr_array(X[:, ::-1])
    return sparse.csr_array((mirrored.data, X.shape[1] - 1 - mirrored.indices, mirrored.indptr), X.shape)


def duplicated(X):
    """Return a sparse array that stores each entry as two halves, to be added."""
    halves = sparse.csr_array(X / 2)
    return sparse.csr_array((halves.data.repeat(2), halves.indices.repeat(2), 2 * halves.indptr), X.shape)


LAYOUTS = {
    "read-only": read_only,
    "Fortran": np.asfortranarray,
    "negative strides": lambda X: np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1],
    "every other column": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "list": np.ndarray.tolist,
    "CSR": sparse.csr_array,
    "CSR matrix": sparse.csr_matrix,
    "CSC": sparse.csc_array,
    "COO": sparse.coo_array,
    "int64 indices": int64_indexed,
    "unsorted indices": unsorted,
    "duplicate entries": duplicated,
}


def raw_bytes(X):
    """Return the bytes of a table."""
    if not sparse.issparse(X):
        return np.asarray(X).tobytes()
    arrays = X.coords if X.format == "coo" else (X.indices, X.indptr)
    return [array.tobytes() for array in (X.data, *arrays)]


def assert_same_as_plain(small, X, plain):
    """Assert that `X` and `plain`, of equal values, give equal results, and that `X` is unchanged."""
    before = raw_bytes(X)
    machine, expected = (small(batch_size="auto").fit(table).partial_fit(table) for table in (X, plain))
    assert machine.visible_.tolist() == expected.visible_.tolist()
    assert_allclose(machine.components_, expected.components_, rtol=1e-6)
    assert_allclose(machine.transform(X), expected.transform(plain), rtol=1e-6)
    assert_allclose(machine.score_samples(X), expected.score_samples(plain), rtol=1e-6)
    assert raw_bytes(X) == before


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_accepted_and_unchanged(layout, table, small):
    assert_same_as_plain(small, LAYOUTS[layout](table), table)


def test_memory_map_is_accepted_and_unchanged(table, small, tmp_path):
    assert_same_as_plain(small, memory_mapped(table, tmp_path), table)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, np.float16, np.longdouble, object])
def test_every_numeric_dtype_is_accepted_and_unchanged(dtype, binary, small):
    assert_same_as_plain(small, binary.astype(dtype), binary)


def test_duplicate_sparse_entries_are_summed_before_values_are_checked(small):
    twos = duplicated(2 * BINARY)
    assert set(small().fit(twos).visible_) == {"gaussian"}
    with rejected(machine := small(visible="bernoulli"), ValueError, "must be in [0, 1]", "holds 2"):
        machine.fit(twos)


@pytest.mark.parametrize(
    ("value", "start"),
    [(2.5, "The model generates values in [0, 1]"), (-0.5, "Negative values in data: The model generates values")],
)
def test_value_that_the_model_cannot_generate_is_rejected(value, start, binary):
    X = binary.astype(float)
    X[3, 1] = value
    estimator = AmortisedWakeSleep(SigmoidBeliefNetwork(X.shape[1], 2), n_sleep=20, max_iter=1)
    with rejected(estimator, ValueError, start, f"column 1 of X holds {value}", "choose another model"):
        estimator.fit(X)


def test_rounding_outside_the_range_of_a_model_is_accepted():
    check_range(np.array([[-1e-9, 1 + 1e-9]]), (0.0, 1.0), None)
    with pytest.raises(ValueError, match=r"^The model generates values in \[-2, 2\], but column 'a' of X holds -3\."):
        check_range(np.array([[0.0, -3.0]]), (-2.0, 2.0), np.array(["b", "a"], dtype=object))


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
def test_sparse_table_is_never_converted_to_a_dense_one(visible, small):
    X = sparse.random_array((3000, 2000), density=0.001, format="csr", rng=0)
    options = {"hidden_layer_sizes": 2, "autoregressive": "prior", "batch_size": 32, "early_stopping": True}
    machine = small(visible=visible, learning_rate_init=1e-5, max_iter=1, **options)
    tracemalloc.start()
    machine.fit(X).partial_fit(X)
    machine.transform(X)
    machine.score(X)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < X.shape[0] * X.shape[1] * 8 / 2


# ---------------------------------------------------------------------- after fitting


@pytest.mark.parametrize("method", ["transform", "score_samples", "score", "inverse_transform"])
def test_method_with_a_table_before_fit_is_an_error(method, binary, small):
    with rejected(machine := small(), NotFittedError, "This HelmholtzMachine instance is not fitted yet"):
        getattr(machine, method)(binary)


@pytest.mark.parametrize("method", ["sample", "get_feature_names_out"])
def test_method_without_a_table_before_fit_is_an_error(method, small):
    with rejected(machine := small(), NotFittedError, "This HelmholtzMachine instance is not fitted yet"):
        getattr(machine, method)()


@pytest.mark.parametrize("method", TABLE_METHODS)
def test_other_number_of_columns_is_rejected(method, binary, small):
    machine = small(warm_start=True).fit(binary)
    with rejected(machine, ValueError, "X has 5 features, but HelmholtzMachine is expecting 6 features"):
        getattr(machine, method)(binary[:, :5])


@pytest.mark.parametrize("method", TABLE_METHODS)
def test_other_column_names_are_rejected(method, binary, small):
    pandas = pytest.importorskip("pandas")
    machine = small(warm_start=True).fit(pandas.DataFrame(binary, columns=list("abcdef")))
    with rejected(machine, ValueError, "feature names should match", "unseen at fit time:\n- z", "now missing:\n- a"):
        getattr(machine, method)(pandas.DataFrame(binary, columns=list("zbcdef")))


def test_other_number_of_hidden_units_is_rejected(binary, small):
    machine = small().fit(binary)
    with rejected(machine, ValueError, "X has 2 columns", "has 3 units"):
        machine.inverse_transform(np.zeros((4, 2)))


@pytest.mark.parametrize(
    ("n_samples", "error"),
    [(0, ValueError), (-1, ValueError), (2.5, TypeError), (True, TypeError), ("3", TypeError), (None, TypeError)],
)
def test_n_samples_must_be_a_positive_int(n_samples, error, binary, small):
    machine = small().fit(binary)
    with rejected(machine, error, "n_samples must be", "at least 1", f"Got {n_samples!r}"):
        machine.sample(n_samples)


@pytest.mark.parametrize("n_samples", [10**15, 10**18])
def test_n_samples_too_large_for_memory_is_rejected(n_samples, table, small):
    machine = small().fit(table)
    with rejected(machine, MemoryError, "n_samples", "bytes"):
        machine.sample(n_samples)


@pytest.mark.parametrize("random_state", ["abc", -1, 2**32, 1.5])
def test_invalid_random_state_of_sample_is_rejected(random_state, binary, small):
    machine = small().fit(binary)
    with rejected(machine, ValueError, "random_state", repr(random_state)):
        machine.sample(random_state=random_state)


# ---------------------------------------------------------------------- divergence and convergence

SOLVERS = ["adam", "sgd"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("recognition_update", ["wake", "sleep", "both"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_diverging_fit_is_an_error_and_keeps_the_last_finite_parameters(
    solver, recognition_update, dtype, table, small
):
    table = table.astype(dtype)
    machine = small(solver=solver, learning_rate_init=1e3, recognition_update=recognition_update, max_iter=50)
    with pytest.raises(
        ValueError, match=r"diverged at epoch \d+.* Lower learning_rate_init.* 1000.*last finite parameters"
    ):
        machine.fit(table)
    assert_usable(machine, table)
    machine.set_params(learning_rate_init=0.001, warm_start=True).fit(table)
    assert_usable(machine, table)


@pytest.mark.parametrize("solver", SOLVERS)
def test_diverging_fit_keeps_the_earlier_fit(solver, table, small):
    machine = small().fit(table).set_params(solver=solver, learning_rate_init=1e3, max_iter=50)
    with rejected(machine, ValueError, "diverged at epoch"):
        machine.fit(table)


@pytest.mark.parametrize("solver", SOLVERS)
def test_diverging_partial_fit_keeps_the_earlier_fit(solver, table, small):
    machine = small(solver=solver, learning_rate_init=0.001).fit(table)
    with rejected(
        machine.set_params(learning_rate_init=1e6),
        ValueError,
        "diverged at epoch 5",
        "Lower learning_rate_init",
        "1000000.0",
    ):
        machine.partial_fit(table)


def test_fit_that_does_not_converge_warns(binary, small):
    with pytest.warns(ConvergenceWarning, match="max_iter=4.*tol=1e-09.*Raise max_iter"):
        small(tol=1e-9).fit(binary)


# ---------------------------------------------------------------------- persistence


def test_loading_a_machine_of_another_version_warns_with_both_versions(binary, small, monkeypatch):
    machine = small().fit(binary)
    with monkeypatch.context() as patch:
        patch.setattr("skwakesleep._adapters.persistence.__version__", "0.0.1")
        saved = pickle.dumps(machine)
    with pytest.warns(UserWarning, match=f"saved by skwakesleep 0.0.1 and is loaded by {skwakesleep.__version__}"):
        loaded = pickle.loads(saved)
    assert_array_equal(loaded.transform(binary), machine.transform(binary))


def test_loading_a_machine_of_this_version_does_not_warn(binary, small):
    machine = small().fit(binary)
    assert_array_equal(pickle.loads(pickle.dumps(machine)).transform(binary), machine.transform(binary))
