"""Scratch arrays: each name has memory of its own, which is reused."""

import pickle
from itertools import pairwise

import numpy as np
import pytest

from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.arrays.workspace import Workspace


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 4), (2, 1, 5)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shape_and_dtype(shape, dtype):
    array = Workspace().empty("a", shape, dtype)
    assert array.shape == shape
    assert array.dtype == dtype
    assert array.flags.c_contiguous
    assert array.flags.writeable


def test_the_same_request_returns_the_same_array():
    workspace = Workspace()
    assert workspace.empty("a", (2, 3), np.float32) is workspace.empty("a", (2, 3), np.float32)


@pytest.mark.parametrize("shapes", [[(4, 3), (2, 3), (4, 3)], [(4, 3), (12,), (3, 4)], [(12,), (1, 1), (2, 6)]])
def test_smaller_requests_use_the_same_memory(shapes):
    workspace = Workspace()
    first, *others = [workspace.empty("a", shape, np.float64) for shape in shapes]
    assert all(other.base is first.base for other in others)


def test_memory_grows_if_needed():
    workspace = Workspace()
    small = workspace.empty("a", (2,), np.float64)
    large = workspace.empty("a", (100,), np.float64)
    assert large.size == 100
    assert not np.shares_memory(small, large)


def test_another_dtype_is_another_array():
    workspace = Workspace()
    single, double = workspace.empty("a", (3,), np.float32), workspace.empty("a", (3,), np.float64)
    assert not np.shares_memory(single, double)


def test_names_do_not_share_memory():
    workspace = Workspace()
    arrays = [workspace.empty(name, (3,), np.float64) for name in ("a", ("a", "b"), ("b", "a"))]
    assert not any(np.shares_memory(*pair) for pair in pairwise(arrays))


def test_a_fitted_machine_holds_no_scratch_arrays(binary, small):
    module = b"numpy_backend"
    assert module not in pickle.dumps(small().fit(binary)._fitted)
    assert module in pickle.dumps(NumpyBackend())  # negative control


@pytest.mark.parametrize("n_units", [2**48, 2**61, 2**80])
def test_the_size_of_an_array_that_cannot_be_allocated_is_named(n_units):
    with pytest.raises(
        MemoryError, match=rf"^{8 * 3 * n_units} bytes.*\(3, {n_units}\).*n_particles.*hidden_layer_sizes"
    ):
        Workspace().empty("a", (3, n_units), np.float64)


def test_a_failed_request_changes_nothing():
    workspace = Workspace()
    array = workspace.empty("a", (3,), np.float64)
    with pytest.raises(MemoryError):
        workspace.empty("a", (2**48,), np.float64)
    assert workspace.empty("a", (3,), np.float64) is array
