"""The user's table, read a few rows at a time and never written to."""

import numpy as np
import pytest
from scipy import sparse

from skwakesleep._engine.machine.families import Bernoulli
from skwakesleep._engine.machine.rows import Rows
from tests.engine.machines import gaussian

TABLE = np.random.default_rng(0).random((7, 3)).round(1) * (np.random.default_rng(1).random((7, 3)) < 0.5)
FAMILIES = {"bernoulli": Bernoulli(), "gaussian": gaussian(np.array([1.0, 2.0, 3.0]), np.array([0.5, 1.0, 2.0]))}
KINDS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "reversed": lambda table: table[::-1].copy()[::-1],
    "csr_array": sparse.csr_array,
    "csr_matrix": sparse.csr_matrix,
}


def encoded(family, table=TABLE):
    return table if family == "bernoulli" else (table - FAMILIES[family].location) / FAMILIES[family].scale


def dense(table):
    return table.toarray() if sparse.issparse(table) else table


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_take(kind, family, dtype):
    table = KINDS[kind](TABLE.copy())
    rows = Rows(table, FAMILIES[family], dtype)
    indices = np.array([3, 0, 3])
    taken = rows.take(indices).units
    assert isinstance(taken, np.ndarray)
    assert taken.dtype == dtype
    np.testing.assert_allclose(taken, encoded(family)[indices], rtol=1e-6)
    taken[...] = -1  # an array of its own: the table does not notice
    np.testing.assert_array_equal(dense(table), TABLE)


@pytest.mark.parametrize("kind", KINDS)
def test_batches_share_their_memory(kind):
    """What a batch of common size is put into is allocated once."""
    rows = Rows(KINDS[kind](TABLE.copy()), FAMILIES["bernoulli"], np.float64)
    first = rows.take(np.array([3, 0])).units
    second = rows.take(np.array([2, 6])).units
    assert np.shares_memory(first, second)
    np.testing.assert_array_equal(second, TABLE[[2, 6]])


@pytest.mark.parametrize("kind", ["C", "csr_array"])
def test_a_read_only_table_will_do(kind):
    table = KINDS[kind](TABLE.copy())
    (table.data if sparse.issparse(table) else table).flags.writeable = False
    np.testing.assert_allclose(
        Rows(table, FAMILIES["gaussian"], np.float64).take(np.arange(7)).units, encoded("gaussian")
    )


@pytest.mark.parametrize("kind", KINDS)
def test_subset(kind):
    subset = np.array([6, 2, 4])
    rows = Rows(KINDS[kind](TABLE), FAMILIES["bernoulli"], np.float64, subset)
    assert len(rows) == 3
    np.testing.assert_array_equal(rows.take(np.array([1, 2])).units, TABLE[[2, 4]])
    (block, batch), *_ = rows.blocks(5)
    np.testing.assert_array_equal(batch.units[: block.stop], TABLE[subset])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 10])
def test_blocks_have_one_shape_and_cover_every_row(kind, size):
    rows = Rows(KINDS[kind](TABLE), FAMILIES["bernoulli"], np.float64)
    restored = np.full_like(TABLE, np.nan)
    for block, batch in rows.blocks(size):
        assert batch.units.shape == (size, 3)
        restored[block] = batch.units[: block.stop - block.start]
    np.testing.assert_array_equal(restored, TABLE)


def test_a_sparse_table_is_made_dense_a_block_at_a_time():
    table = sparse.random_array(
        (2**18, 2**18), density=1e-9, format="csr", rng=np.random.default_rng(2)
    )  # 512 GB dense
    assert Rows(table, FAMILIES["bernoulli"], np.float32).take(np.array([5, 70])).units.shape == (2, 2**18)


@pytest.mark.parametrize(("density", "family", "kept"), [(0.01, "bernoulli", True), (0.2, "bernoulli", False)])
def test_rows_stay_sparse_for_the_recognition_network_where_that_is_faster(density, family, kept, rng):
    table = sparse.random_array((50, 200), density=density, format="csr", rng=rng)
    units, root = Rows(table, FAMILIES[family], np.float32).take(np.arange(50))
    assert sparse.issparse(root) == kept
    assert root.dtype == np.float32
    np.testing.assert_array_equal(dense(root), units)


def test_columns_whose_zeros_are_not_zero_are_dense(rng):
    table = sparse.random_array((50, 3), density=0.01, format="csr", rng=rng)
    assert isinstance(Rows(table, FAMILIES["gaussian"], np.float64).take(np.arange(50)).root, np.ndarray)
