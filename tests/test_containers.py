"""Equal values give bit-equal results in every container and dtype, if the kind of the columns is the same.

The expected result is that of an array in C order, of float32 if the container has that precision, else of float64. The
kinds found in data frames differ from those found in arrays, so that the kind is named for frames.
"""

from functools import cache

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

from skwakesleep import AmortisedWakeSleep, HelmholtzMachine
from skwakesleep._adapters.tables import check_table
from skwakesleep.reference import BernoulliMixture, ChowLiuTree, IndependentBernoulli

# Columns of counts make visible='auto' warn.
pytestmark = pytest.mark.filterwarnings("ignore:visible='auto'")

ZEROS_AND_ONES = (np.random.default_rng(0).random((30, 5)) < 0.4).astype(float)
# Multiples of 1/8, which all float dtypes represent exactly. Each column has its own scale.
REAL = np.round(np.random.default_rng(1).normal(size=(30, 5)) * [1, 2, 4, 8, 16] * 8) / 8
TABLES = {"bernoulli": ZEROS_AND_ONES, "gaussian": REAL}
INTEGERS = {name: np.trunc(table) for name, table in TABLES.items()}


def machine(visible="auto"):
    return HelmholtzMachine(
        3, visible=visible, max_iter=2, tol=None, batch_size=8, learning_rate_init=0.05, random_state=0
    )


def read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


def memory_map(X, tmp_path):
    np.save(tmp_path / "X.npy", X)
    return np.load(tmp_path / "X.npy", mmap_mode="r")


def pandas_frame(X, dtype=None):
    pandas = pytest.importorskip("pandas")
    if "pyarrow" in str(dtype):
        pytest.importorskip("pyarrow")
    return pandas.DataFrame(X, columns=list("abcde")).astype(dtype or X.dtype)


def polars_frame(X):
    return pytest.importorskip("polars").DataFrame(
        {name: column.copy() for name, column in zip("abcde", X.T, strict=True)}
    )


ARRAYS = {
    "C array": np.copy,
    "Fortran array": np.asfortranarray,
    "every other column": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "negative strides": lambda X: np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1],
    "read-only array": read_only,
    "memory map": memory_map,
    "Fortran memory map": lambda X, tmp_path: memory_map(np.asfortranarray(X), tmp_path),
}
FRAMES = {"pandas": pandas_frame, "polars": polars_frame}
DTYPES = [
    "bool",
    "int8",
    "int64",
    "uint8",
    "float16",
    "float32",
    "float64",
    "longdouble",
    ">f8",
    ">f4",
    ">i4",
    "object",
]
NOT_IN_POLARS = {"float16", "longdouble", ">f8", ">f4", ">i4", "object"}
NULLABLE = [
    "Float32",
    "Float64",
    "Int64",
    "boolean",
    "float[pyarrow]",
    "double[pyarrow]",
    "int64[pyarrow]",
    "bool[pyarrow]",
]
COMBINATIONS = [
    (container, dtype)
    for container in [*ARRAYS, "list", *FRAMES]
    # All containers are converted by the same code, each dtype by its own.
    for dtype in (DTYPES if container in ("C array", "list", *FRAMES) else ["int64", "float32", "float64"])
    if not (container == "polars" and dtype in NOT_IN_POLARS)
]


def tables(dtype):
    """Return the tables that a dtype can represent, by the visible family found for them."""
    if dtype.startswith("bool"):
        return {"bernoulli": ZEROS_AND_ONES}
    if dtype == "uint8":
        return {"bernoulli": ZEROS_AND_ONES, "gaussian": abs(INTEGERS["gaussian"])}
    return INTEGERS if "int" in dtype.lower() or "i4" in dtype else TABLES


def in_container(X, container, tmp_path):
    if container == "list":
        return X.tolist()
    if "map" in container:
        return ARRAYS[container](X, tmp_path)
    return (ARRAYS | FRAMES)[container](X)


def precision(container, dtype):
    return "float32" if dtype.lower() in ("float32", ">f4", "float[pyarrow]") and container != "list" else "float64"


def assert_same_bits(actual, expected):
    assert actual.dtype == expected.dtype
    assert actual.dtype.isnative
    assert_array_equal(actual, expected)


def results(X, visible="auto"):
    """Return weights, features, scores and samples of a machine fitted to `X`."""
    fitted = machine(visible).fit(X).partial_fit(X)
    return (
        fitted.components_,
        np.asarray(fitted.transform(X)),
        fitted.score_samples(X),
        fitted.sample(4, random_state=0),
    )


@cache
def expected_results(dtype, family, precision):
    return results(tables(dtype)[family].astype(precision))


def assert_same_results(X, dtype, family, precision):
    before = np.array(X)
    visible = family if hasattr(X, "columns") else "auto"
    for actual, expected in zip(results(X, visible), expected_results(dtype, family, precision), strict=True):
        assert_same_bits(actual, expected)
    assert_array_equal(X, before)


@pytest.mark.parametrize(("container", "dtype"), COMBINATIONS)
def test_dense_containers_give_bit_equal_results(container, dtype, tmp_path):
    for family, table in tables(dtype).items():
        X = in_container(table.astype(dtype), container, tmp_path)
        assert_same_results(X, dtype, family, precision(container, dtype))


@pytest.mark.parametrize("dtype", NULLABLE)
def test_nullable_columns_give_bit_equal_results(dtype):
    for family, table in tables(dtype).items():
        assert_same_results(pandas_frame(table, dtype), dtype, family, precision("pandas", dtype))


def test_columns_of_different_dtypes_give_bit_equal_results():
    columns = dict(zip("abcde", ("bool", "int8", ">f8", "Float64", "Int64"), strict=True))
    assert_same_results(pandas_frame(ZEROS_AND_ONES, columns), "bool", "bernoulli", "float64")


HIDDEN = np.random.default_rng(2).random((6, 3)).astype(np.float32)


@pytest.mark.parametrize("dtype", [">f8", ">f4", "float64", "float32", "longdouble", "object"])
@pytest.mark.parametrize("layout", [np.ascontiguousarray, np.asfortranarray])
def test_hidden_values_give_bit_equal_results(layout, dtype):
    fitted = machine().fit(REAL)
    plain = HIDDEN.astype(precision("array", dtype))
    hidden = layout(HIDDEN.astype(dtype))
    before = hidden.copy()
    assert_same_bits(fitted.inverse_transform(hidden), fitted.inverse_transform(plain))
    assert_array_equal(hidden, before)


@pytest.mark.parametrize(
    "density", [IndependentBernoulli(), ChowLiuTree(), BernoulliMixture(2, random_state=0)], ids=str
)
@pytest.mark.parametrize("container", ["Fortran array", "pandas"])
@pytest.mark.parametrize("dtype", ["bool", "float64", ">f8", ">i4"])
def test_reference_densities_give_bit_equal_results(dtype, container, density):
    X = in_container(ZEROS_AND_ONES.astype(dtype), container, None)
    scores = density.fit(ZEROS_AND_ONES).score_samples(ZEROS_AND_ONES)
    assert_same_bits(density.fit(X).score_samples(X), scores)


@pytest.mark.parametrize("container", ["Fortran array", "pandas"])
@pytest.mark.parametrize("dtype", ["float64", ">f8", ">f4"])
def test_amortised_learning_gives_bit_equal_results(dtype, container):
    def fitted(X):
        estimator = AmortisedWakeSleep(n_sleep=50, max_iter=2, random_state=0).fit(X)
        return np.asarray(estimator.transform(X))

    assert_same_bits(fitted(in_container(REAL.astype(dtype), container, None)), fitted(REAL))


# ---------------------------------------------------------------------- sparse

SPARSE = {
    "CSR array": sparse.csr_array,
    "CSC array": sparse.csc_array,
    "COO array": sparse.coo_array,
    "CSR matrix": sparse.csr_matrix,
    "CSC matrix": sparse.csc_matrix,
    "COO matrix": sparse.coo_matrix,
}
SPARSE_DTYPES = ["bool", "int8", "int64", "uint8", "float32", "longdouble"]


@pytest.mark.parametrize(
    ("container", "dtype"),
    [(container, "float64") for container in SPARSE] + [("CSR array", dtype) for dtype in SPARSE_DTYPES],
)
def test_sparse_containers_give_bit_equal_results(container, dtype):
    """Bit-equal to those of a CSR array. Results of dense tables differ by rounding."""
    for family, table in tables(dtype).items():
        actual = results(SPARSE[container](table.astype(dtype)))
        expected = results(sparse.csr_array(table.astype(precision(container, dtype))))
        dense = expected_results(dtype, family, precision(container, dtype))
        for a, b, c in zip(actual, expected, dense, strict=True):
            assert_same_bits(a, b)
            np.testing.assert_allclose(a, c, rtol=1e-3 if dtype == "float32" else 1e-9)


# ---------------------------------------------------------------------- copies


@pytest.mark.parametrize("container", ["C array", "read-only array", "memory map"])
def test_valid_array_is_not_copied(container, tmp_path):
    X = in_container(REAL, container, tmp_path)
    assert np.shares_memory(check_table(machine(), X, reset=True)[0], X)


def test_valid_sparse_array_is_not_copied():
    X = sparse.csr_array(REAL)
    assert np.shares_memory(check_table(machine(), X, reset=True)[0].data, X.data)


@pytest.mark.parametrize(("container", "dtype"), COMBINATIONS)
def test_checked_table_is_c_contiguous_and_of_native_byte_order(container, dtype, tmp_path):
    X = in_container(ZEROS_AND_ONES.astype(dtype), container, tmp_path)
    table, _ = check_table(machine(), X, reset=True)
    assert table.flags.c_contiguous
    assert table.dtype in (np.float32, np.float64)
