"""Rows of the user's table, which are read a few at a time and never written to."""

import numpy as np
import pytest
from scipy import sparse

from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.machine.columns import Block, Columns
from skwakesleep._engine.machine.rows import Rows
from tests.engine.machines import bernoulli_columns, gaussian_columns, mixed_columns

TABLE = np.random.default_rng(0).random((7, 3)).round(1) * (np.random.default_rng(1).random((7, 3)) < 0.5)
COLUMNS = {
    "bernoulli": bernoulli_columns(3),
    "gaussian": gaussian_columns(np.array([1.0, 2.0, 3.0]), np.array([0.5, 1.0, 2.0])),
    "mixed": mixed_columns(3),
}
CONTAINERS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "reversed": lambda table: table[::-1].copy()[::-1],
    "csr_array": sparse.csr_array,
    "csr_matrix": sparse.csr_matrix,
}


def rows_of(table, kind="bernoulli", dtype=np.float64, subset=None):
    return Rows(table, COLUMNS[kind], dtype, NumpyBackend(), subset)


def encoded(kind, table=TABLE):
    return COLUMNS[kind].encode(table.copy())


def dense(table):
    return table.toarray() if sparse.issparse(table) else table


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("kind", COLUMNS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_take(container, kind, dtype):
    table = CONTAINERS[container](TABLE.copy())
    rows = rows_of(table, kind, dtype)
    indices = np.array([3, 0, 3])
    taken = rows.take(indices).units[:, 0]
    assert isinstance(taken, np.ndarray)
    assert taken.dtype == dtype
    np.testing.assert_allclose(taken, encoded(kind)[indices], rtol=1e-6)
    taken[...] = -1  # does not change the table
    np.testing.assert_array_equal(dense(table), TABLE)


@pytest.mark.parametrize("container", CONTAINERS)
def test_batches_share_their_memory(container):
    rows = rows_of(CONTAINERS[container](TABLE.copy()))
    first = rows.take(np.array([3, 0])).units
    second = rows.take(np.array([2, 6])).units
    assert np.shares_memory(first, second)
    np.testing.assert_array_equal(second[:, 0], TABLE[[2, 6]])


@pytest.mark.parametrize("container", ["C", "csr_array"])
def test_a_table_may_be_read_only(container):
    table = CONTAINERS[container](TABLE.copy())
    (table.data if sparse.issparse(table) else table).flags.writeable = False
    units = rows_of(table, "gaussian").take(np.arange(7)).units
    np.testing.assert_allclose(units[:, 0], encoded("gaussian"))


@pytest.mark.parametrize("container", CONTAINERS)
def test_subset(container):
    subset = np.array([6, 2, 4])
    rows = rows_of(CONTAINERS[container](TABLE), subset=subset)
    assert len(rows) == 3
    np.testing.assert_array_equal(rows.take(np.array([1, 2])).units[:, 0], TABLE[[2, 4]])
    (block, batch), *_ = rows.blocks(5)
    np.testing.assert_array_equal(batch.units[: block.stop, 0], TABLE[subset])


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 10])
def test_blocks_have_one_shape_and_cover_every_row(container, size):
    rows = rows_of(CONTAINERS[container](TABLE))
    restored = np.full_like(TABLE, np.nan)
    for block, batch in rows.blocks(size):
        assert batch.units.shape == (size, 1, 3)
        restored[block] = batch.units[: block.stop - block.start, 0]
    np.testing.assert_array_equal(restored, TABLE)


def test_a_sparse_table_is_made_dense_a_block_at_a_time():
    table = sparse.random_array(
        (2**18, 2**18), density=1e-9, format="csr", rng=np.random.default_rng(2)
    )  # 512 GB dense
    rows = Rows(table, bernoulli_columns(2**18), np.float32, NumpyBackend())
    assert rows.take(np.array([5, 70])).units.shape == (2, 1, 2**18)


@pytest.mark.parametrize(("density", "kept"), [(0.01, True), (0.2, False)])
def test_sparse_rows_stay_sparse_for_the_recognition_network_if_that_is_faster(density, kept, rng):
    table = sparse.random_array((50, 200), density=density, format="csr", rng=rng)
    rows = Rows(table, bernoulli_columns(200), np.float32, NumpyBackend())
    units, root, *_ = rows.take(np.arange(50))
    assert sparse.issparse(root) == kept
    assert root.dtype == np.float32
    np.testing.assert_array_equal(root.toarray() if kept else root[:, 0], units[:, 0])


@pytest.mark.parametrize("kind", ["gaussian", "mixed"])
def test_columns_whose_zeros_are_not_zeros_of_the_units_are_dense(kind, rng):
    table = sparse.random_array((50, 3), density=0.01, format="csr", rng=rng)
    assert isinstance(rows_of(table, kind).take(np.arange(50)).root, np.ndarray)


def test_columns_in_another_order_than_the_units_are_dense(rng):
    table = sparse.random_array((50, 3), density=0.01, format="csr", rng=rng)
    block = COLUMNS["bernoulli"].blocks["bernoulli"]
    reordered = Columns({"bernoulli": Block(block.codec, np.array([2, 0, 1]))})
    units, root, *_ = Rows(table, reordered, np.float64, NumpyBackend()).take(np.arange(50))
    assert isinstance(root, np.ndarray)
    np.testing.assert_array_equal(units[:, 0], table.toarray()[:, [2, 0, 1]])


def test_the_recognition_network_sees_no_extreme_values():
    table = np.array([[1.0, 0.5, 3.0], [1e6, 1.0, -1e6]])
    units, root, *_ = rows_of(table, "mixed").take(np.arange(2))
    np.testing.assert_array_equal(units[:, 0], encoded("mixed", table))
    np.testing.assert_array_equal(root[:, 0], encoded("mixed", table).clip(-30, 30))
    assert abs(units).max() > 1e5
