"""Scratch arrays: reused, never shared between names, and without meaning between two steps."""

import copy
import pickle
from itertools import pairwise

import numpy as np
import pytest

from skwakesleep._engine.arrays.workspace import Workspace


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 4), (2, 1, 5)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shape_and_dtype(shape, dtype):
    array = Workspace().array("a", shape, dtype)
    assert array.shape == shape
    assert array.dtype == dtype
    assert array.flags.c_contiguous
    assert array.flags.writeable


def test_the_same_request_returns_the_same_array():
    workspace = Workspace()
    assert workspace.array("a", (2, 3), np.float32) is workspace.array("a", (2, 3), np.float32)


@pytest.mark.parametrize("shapes", [[(4, 3), (2, 3), (4, 3)], [(4, 3), (12,), (3, 4)], [(12,), (1, 1), (2, 6)]])
def test_smaller_requests_use_the_same_memory(shapes):
    workspace = Workspace()
    first, *others = [workspace.array("a", shape, np.float64) for shape in shapes]
    assert all(other.base is first.base for other in others)


def test_memory_grows_on_demand():
    workspace = Workspace()
    small = workspace.array("a", (2,), np.float64)
    large = workspace.array("a", (100,), np.float64)
    assert large.size == 100
    assert not np.shares_memory(small, large)


def test_another_dtype_is_another_array():
    workspace = Workspace()
    single, double = workspace.array("a", (3,), np.float32), workspace.array("a", (3,), np.float64)
    assert not np.shares_memory(single, double)


def test_names_do_not_share_memory():
    workspace = Workspace()
    arrays = [workspace.array(name, (3,), np.float64) for name in ("a", ("a", "b"), ("b", "a"))]
    assert not any(np.shares_memory(*pair) for pair in pairwise(arrays))


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda workspace: pickle.loads(pickle.dumps(workspace))]
)
def test_copies_and_pickles_are_empty(duplicate):
    workspace = Workspace()
    array = workspace.array("a", (1000,), np.float64)
    assert len(pickle.dumps(workspace)) < 200
    assert not np.shares_memory(duplicate(workspace).array("a", (1000,), np.float64), array)


@pytest.mark.parametrize("n_units", [2**48, 2**61, 2**80])
def test_what_cannot_be_allocated_is_named(n_units):
    with pytest.raises(
        MemoryError, match=rf"^{8 * 3 * n_units} bytes.*\(3, {n_units}\).*n_particles.*hidden_layer_sizes"
    ):
        Workspace().array("a", (3, n_units), np.float64)


def test_a_failed_request_changes_nothing():
    workspace = Workspace()
    array = workspace.array("a", (3,), np.float64)
    with pytest.raises(MemoryError):
        workspace.array("a", (2**48,), np.float64)
    assert workspace.array("a", (3,), np.float64) is array
