"""Data larger than memory: memory-mapped files, blocks of a Dask array, and memory that does not grow."""

import gc
import tracemalloc
import warnings

import numpy as np
import pytest
from scipy import sparse

from skwakesleep import HelmholtzMachine
from skwakesleep._engine.arrays.random import Streams
from skwakesleep._engine.machine.columns import Columns
from skwakesleep._engine.machine.networks import Machine
from skwakesleep._engine.machine.rows import Visible
from skwakesleep.datasets import make_bars
from tests.engine.machines import wake_sleep

BLOCK = 50
X = (np.random.default_rng(0).random((4 * BLOCK, 12)) < 0.3).astype(np.float64)


def parameters(machine):
    return np.concatenate([views.ravel() for views in [*machine.generative_coefs_, *machine.recognition_coefs_]])


@pytest.fixture(params=["bernoulli", "gaussian"])
def machine(request):
    return HelmholtzMachine((8, 4), visible=request.param, batch_size=20, random_state=0)


def in_memory(machine):
    for start in range(0, len(X), BLOCK):
        machine.partial_fit(X[start : start + BLOCK])
    return parameters(machine)


def test_blocks_of_a_mapped_file(machine, tmp_path):
    expected = in_memory(machine)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    other = HelmholtzMachine(**machine.get_params())
    for start in range(0, len(X), BLOCK):
        other.partial_fit(mapped[start : start + BLOCK])
    np.testing.assert_array_equal(parameters(other), expected)
    np.testing.assert_array_equal(np.load(tmp_path / "X.npy"), X)


def test_a_mapped_file_as_a_whole(machine, tmp_path):
    machine.set_params(max_iter=3, tol=None)
    expected = parameters(machine.fit(X))
    np.save(tmp_path / "X.npy", X)
    np.testing.assert_array_equal(parameters(machine.fit(np.load(tmp_path / "X.npy", mmap_mode="r"))), expected)


def test_blocks_of_a_dask_array(machine):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Dask's own warnings
        array = pytest.importorskip("dask.array")
        wrappers = pytest.importorskip("dask_ml.wrappers")
        expected = in_memory(machine)
        incremental = wrappers.Incremental(HelmholtzMachine(**machine.get_params()), shuffle_blocks=False)
        incremental.fit(array.from_array(X, chunks=(BLOCK, X.shape[1])))
    np.testing.assert_array_equal(parameters(incremental.estimator_), expected)
    reordered = HelmholtzMachine(**machine.get_params())
    for start in reversed(range(0, len(X), BLOCK)):
        reordered.partial_fit(X[start : start + BLOCK])
    assert (parameters(reordered) != expected).any()  # negative control: the order of the blocks matters


# ---------------------------------------------------------------------- memory


# Bytes that twenty epochs may add: each adds numbers to the history, and the number of particles that count varies.
SLACK = 20 * 6000


def traced(epochs, train):
    """Return the allocated bytes after each of the given epochs, and the most since the epoch given before."""
    tracemalloc.start()
    try:
        measured = []
        for epoch in range(1, max(epochs) + 1):
            train()
            if epoch in epochs:
                gc.collect()
                measured.append(tracemalloc.get_traced_memory())
                tracemalloc.reset_peak()
        return np.array(measured)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["dense", "csr"])
def test_memory_does_not_grow_over_epochs(kind):
    table = X if kind == "dense" else sparse.csr_array(X)
    machine = HelmholtzMachine(100, random_state=0).partial_fit(table)  # of 20 kB
    held, peak = traced((20, 40), lambda: machine.partial_fit(table)).T
    assert held[1] - held[0] < SLACK
    assert peak[1] - peak[0] < SLACK


def test_the_measurement_detects_memory_that_grows():
    """Negative control: an array kept from each epoch."""
    kept = []
    held, peak = traced((20, 40), lambda: kept.append(np.zeros(1000))).T
    assert min(held[1] - held[0], peak[1] - peak[0]) > SLACK


@pytest.mark.parametrize(("rule", "n_particles"), [("both", 5), ("sleep", 1)], ids=["default", "classic"])
def test_a_step_allocates_a_fraction_of_the_arrays_it_computes_with(rule, n_particles):
    """Scratch arrays are allocated in the first two steps."""
    n_rows, n_columns = 500, 300
    x = (np.random.default_rng(0).random((n_rows, n_columns)) < 0.3).astype(np.float32)
    machine = Machine(Columns.of_table(["bernoulli"] * x.shape[1], x), [100])
    parameters = machine.initial_parameters(Streams(0)["initialization"], x.dtype)
    objective = wake_sleep(machine, parameters, rule, n_particles)
    (_, first), (held, _), (_, later) = traced((1, 2, 3), lambda: objective(Visible.dense(x)))
    assert later - held < 0.25 * x.nbytes * n_particles
    assert first > x.nbytes * n_particles  # negative control


def test_a_first_row_makes_no_value_impossible():
    """A stream that begins with one row reaches the score of one that begins with many."""
    rows, fresh = (make_bars(600, random_state=seed)[0] for seed in (0, 1))
    scores = []
    for n_first in 1, 600:
        machine = HelmholtzMachine(16, random_state=0).partial_fit(rows[:n_first])
        for _ in range(20):
            machine.partial_fit(rows)
        scores.append(machine.score(fresh))
    assert scores[0] > scores[1] - 0.3
