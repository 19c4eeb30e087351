"""The cache of arrays: each array is made once, and the cache is bounded in bytes."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from skwakesleep import HelmholtzMachine
from skwakesleep._engine.arrays import numerics
from skwakesleep._engine.arrays import random as engine_random
from skwakesleep._engine.arrays.caching import cached
from skwakesleep._engine.arrays.random import MAX_TABLE_BYTES, CommonNoise

MAX_BYTES = 800


@pytest.fixture
def counted():
    """Return a cached function, and the list of arguments that it was called with."""
    calls = []

    @cached(MAX_BYTES)
    def counting(n):
        calls.append(n)
        return np.arange(float(n))

    return counting, calls


def test_an_array_is_made_once(counted):
    make, calls = counted
    assert make(10) is make(10)
    assert calls == [10]
    np.testing.assert_array_equal(make(10), np.arange(10.0))


def test_the_oldest_array_is_removed_first(counted):
    make, calls = counted
    for n in (50, 40, 20, 40, 20, 50):
        make(n)
    assert calls == [50, 40, 20, 50]


def test_an_array_that_is_too_large_is_not_kept_and_removes_no_other(counted):
    make, calls = counted
    for n in (100, 101, 100, 101):
        make(n)
    assert calls == [100, 101, 101]


def test_threads_share_a_cache(counted):
    make, _ = counted
    sizes = np.random.default_rng(0).integers(1, 60, 2000).tolist()
    with ThreadPoolExecutor(8) as pool:
        for n, array in zip(sizes, pool.map(make, sizes), strict=True):
            np.testing.assert_array_equal(array, np.arange(float(n)))


def still_allocated(use, sizes):
    """Return the bytes that stay allocated after `use` was called with each of the sizes."""
    tracemalloc.start()
    try:
        for size in sizes:
            use(size)
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


CACHES = {
    "common noise": (lambda n: CommonNoise(n, 100), range(30_001, 30_005), MAX_TABLE_BYTES),
    "large common noise": (lambda n: CommonNoise(n, 100), range(50_001, 50_005), MAX_TABLE_BYTES),
    "ones": (lambda n: numerics.row_sums(np.ones((2, n))), range(2**19, 2**19 + 8), 2**20),
}


@pytest.mark.parametrize(("use", "sizes", "n_bytes"), CACHES.values(), ids=CACHES)
def test_large_arrays_do_not_stay_allocated(use, sizes, n_bytes):
    assert still_allocated(use, sizes) < n_bytes + 2**18


def test_a_table_of_ordinary_size_is_made_once(monkeypatch):
    """Negative control: the random numbers of scores are drawn only once."""
    CommonNoise(128, 1000)
    monkeypatch.setattr(engine_random.np.random, "default_rng", None)
    CommonNoise(128, 1000)


def test_scoring_with_many_particles_releases_memory():
    X = np.random.default_rng(0).integers(2, size=(20, 4)).astype(float)
    machine = HelmholtzMachine(60, max_iter=1, tol=None, random_state=0).fit(X)

    def score(n):
        machine.set_params(n_score_particles=n).score(X[:1])

    assert still_allocated(score, range(80_001, 80_004)) < 2**20
