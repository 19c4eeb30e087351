"""Data and machines small enough to train at every turn."""

from importlib.util import find_spec

import numpy as np
import pytest

from skwakesleep import HelmholtzMachine

# What the examples in the docstrings of a module need beside the package's own requirements.
NEEDED = {"skwakesleep.callbacks": "sklearn.callback", "skwakesleep.contrib.onnx": "skl2onnx"}


def pytest_collection_modifyitems(items):
    for item in items:
        for module, package in NEEDED.items():
            if isinstance(item, pytest.DoctestItem) and item.name.startswith(module) and find_spec(package) is None:
                item.add_marker(pytest.mark.skip(reason=f"{package} is not installed"))


@pytest.fixture(autouse=True)
def _seeded_global_generator():
    """Without a random_state, seeds come from NumPy's global generator: no test may depend on what ran before it."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    yield
    np.random.set_state(state)  # noqa: NPY002


@pytest.fixture
def binary():
    """Zeros and ones whose columns are correlated; no column is constant."""
    generator = np.random.default_rng(0)
    causes = generator.integers(2, size=(40, 2)) @ np.array([[1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 1]])
    return np.logical_xor(causes > 0, generator.random((40, 6)) < 0.1).astype(float)


@pytest.fixture
def real():
    """Real columns of different location and scale."""
    generator = np.random.default_rng(1)
    return generator.normal(size=(40, 5)) @ generator.normal(size=(5, 5)) * [1, 2, 0.1, 5, 1] + [0, -3, 0, 10, 1]


@pytest.fixture(params=["bernoulli", "gaussian"])
def table(request, binary, real):
    """The one and the other: what holds for a machine holds for every visible family."""
    return {"bernoulli": binary, "gaussian": real}[request.param]


@pytest.fixture
def small():
    """Make a small machine that trains for a few epochs, all of them; keyword arguments change that."""

    def make(**parameters):
        defaults = {"hidden_layer_sizes": 3, "learning_rate_init": 0.01, "batch_size": 16, "max_iter": 4, "tol": None}
        return HelmholtzMachine(**(defaults | {"random_state": 0} | parameters))

    return make
