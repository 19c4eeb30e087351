"""The flat parameter vector and its named views."""

import numpy as np
import pytest

from skwakesleep._engine.training.layout import ParameterLayout

GROUPS = {"a": {"weights": (2, 3), "intercept": (3,)}, "b": {"intercept": (1,)}, "c": {"weights": (1, 4)}}
LAYOUT = ParameterLayout(GROUPS)


def test_size_and_shapes():
    assert LAYOUT.size == 6 + 3 + 1 + 4
    named = LAYOUT.views(np.zeros(LAYOUT.size))
    assert {group: {name: view.shape for name, view in views.items()} for group, views in named.items()} == GROUPS


def test_views_cover_the_vector_once():
    flat = np.arange(LAYOUT.size, dtype=float)
    views = [view for group in LAYOUT.views(flat).values() for view in group.values()]
    assert all(view.base is not None and np.shares_memory(view, flat) for view in views)
    np.testing.assert_array_equal(np.concatenate([view.ravel() for view in views]), flat)


def test_writing_a_view_writes_the_vector():
    flat = np.zeros(LAYOUT.size)
    LAYOUT.views(flat)["b"]["intercept"][...] = 7
    assert flat.sum() == 7


@pytest.mark.parametrize(("wanted", "count"), [("weights", 10), ("intercept", 4), ("log_variance", 0)])
def test_mask(wanted, count):
    mask = LAYOUT.mask({wanted}, np.float32)
    assert mask.dtype == np.float32
    assert mask.sum() == count
    assert all(
        (view == (name == wanted)).all() for views in LAYOUT.views(mask).values() for name, view in views.items()
    )
