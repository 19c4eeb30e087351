"""Fixtures of the engine's tests."""

import numpy as np
import pytest


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
