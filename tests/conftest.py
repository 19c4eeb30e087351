"""Small data sets and machines for many tests."""

from importlib.util import find_spec

import numpy as np
import pytest

from skwakesleep import HelmholtzMachine

# Optional packages that the docstring examples of a module import.
REQUIRED_BY_DOCTESTS = {
    "skwakesleep.callbacks": "sklearn.callback",
    "skwakesleep.contrib.onnx": "skl2onnx",
    "skwakesleep.plotting._tables": "pandas",
}


def pytest_collection_modifyitems(items):
    for item in items:
        for module, package in REQUIRED_BY_DOCTESTS.items():
            if isinstance(item, pytest.DoctestItem) and item.name.startswith(module) and find_spec(package) is None:
                item.add_marker(pytest.mark.skip(reason=f"{package} is not installed"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Run each file in one process: fixtures of modules are made once, and functions compiled by Numba once.

    An option on the command line has precedence.
    """
    if config.getvalue("dist") == "load":
        from xdist.scheduler import LoadFileScheduling

        return LoadFileScheduling(config, log)
    return None


@pytest.fixture(autouse=True)
def _seeded_global_generator():
    """Make tests independent of their order: with ``random_state=None``, seeds come from NumPy's global generator."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    yield
    np.random.set_state(state)  # noqa: NPY002


@pytest.fixture
def binary():
    """Binary rows ``(40, 6)`` with correlated columns, none constant."""
    generator = np.random.default_rng(0)
    causes = generator.integers(2, size=(40, 2)) @ np.array([[1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 1]])
    return np.logical_xor(causes > 0, generator.random((40, 6)) < 0.1).astype(float)


@pytest.fixture
def real():
    """Real-valued rows ``(40, 5)`` whose columns differ in location and scale."""
    generator = np.random.default_rng(1)
    return generator.normal(size=(40, 5)) @ generator.normal(size=(5, 5)) * [1, 2, 0.1, 5, 1] + [0, -3, 0, 10, 1]


@pytest.fixture(params=["bernoulli", "gaussian"])
def table(request, binary, real):
    """Run the test on rows for each visible family."""
    return {"bernoulli": binary, "gaussian": real}[request.param]


@pytest.fixture
def small():
    """Return a function that makes a machine of 3 hidden units, trained for 4 epochs. Keywords set other parameters."""

    def make(**parameters):
        defaults = {"hidden_layer_sizes": 3, "learning_rate_init": 0.01, "batch_size": 16, "max_iter": 4, "tol": None}
        return HelmholtzMachine(**(defaults | {"random_state": 0} | parameters))

    return make
