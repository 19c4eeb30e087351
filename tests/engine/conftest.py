"""Fixtures of the engine's tests."""

from importlib.util import find_spec

import numpy as np
import pytest

from skwakesleep._engine.arrays.numpy_backend import NumpyBackend

needs_numba = pytest.mark.skipif(find_spec("numba") is None, reason="numba is not installed")


def numba_backend():
    """Return a backend with compiled loops."""
    from skwakesleep._engine.arrays.numba_backend import NumbaBackend

    return NumbaBackend()


MAKERS = {"numpy": NumpyBackend, "numba": numba_backend}


@pytest.fixture(params=["numpy", pytest.param("numba", marks=needs_numba)])
def backend(request):
    """Return each backend."""
    return MAKERS[request.param]()


@pytest.fixture
def compiled():
    """Return a backend with compiled loops."""
    pytest.importorskip("numba")
    return numba_backend()


@pytest.fixture
def rng():
    """Return a generator with a fixed seed."""
    return np.random.default_rng(20)


@pytest.fixture
def x(rng):
    """Return inputs of a regression."""
    return rng.normal(size=(60, 3))


@pytest.fixture
def targets(x, rng):
    """Return two functions of the inputs: one far from zero, one with noise."""
    return np.column_stack([np.sin(x[:, 0]) + 5, x[:, 1] ** 2 + 0.5 * rng.normal(size=len(x))])


@pytest.fixture
def x_new(rng):
    """Return other inputs, with a larger spread."""
    return 2 * rng.normal(size=(11, 3))


@pytest.fixture
def sampled(monkeypatch):
    """Let likelihoods be estimated instead of enumerated."""
    monkeypatch.setattr("skwakesleep._engine.posterior.likelihood.ENUMERABLE_LATENTS", 0)
