"""How fast training and scoring are: ratios to their own matrix products, and to peers.

Every ratio comes from one run in which the two sides take turns, so that it survives a machine whose speed drifts; what
is printed is the median over the repetitions, with the quartiles. Absolute times are for orientation only.

    python examples/benchmarks/speed.py [--threads 1 2] [--repetitions 15] [--csv FILE]
    SKWAKESLEEP_LOOPS=numba python examples/benchmarks/speed.py

The second form measures the compiled loops. The rows that compare with PyTorch are skipped where it is not installed.
"""

import argparse
import csv
import sys
import time
from importlib.util import find_spec
from itertools import pairwise

import numpy as np
from sklearn.neural_network import BernoulliRBM
from threadpoolctl import threadpool_limits

from skwakesleep import HelmholtzMachine
from skwakesleep._engine.arrays.random import Streams
from skwakesleep._engine.machine.families import Bernoulli
from skwakesleep._engine.machine.networks import Machine
from skwakesleep._engine.machine.rows import Batch, Rows
from skwakesleep._engine.machine.wake_sleep import WakeSleep
from skwakesleep._engine.posterior.likelihood import log_likelihood
from skwakesleep._engine.training.optimizers import Adam

DEEP, SMALL, CLASSIC = (784, 200, 200, 10), (64, 100), (784, 200)


def binary_rows(n_rows, n_columns, dtype=np.float32):
    """Return zeros and ones, an eighth of them ones, as in images of handwriting."""
    return (np.random.default_rng(0).random((n_rows, n_columns)) < 0.125).astype(dtype)


def training_step(sizes, n_particles, update, n_rows):
    """Return a function that makes one training step on a fixed mini-batch."""
    X = binary_rows(n_rows, sizes[0])
    machine, streams = Machine(Bernoulli(), sizes, X.sum(axis=1).mean()), Streams(0)
    parameters = machine.initial_parameters(X.mean(axis=0), streams["initialization"], X.dtype)
    optimizer = Adam(1e-3, machine.step_scales(X.dtype))
    objective = WakeSleep(
        machine, parameters, n_particles=n_particles, recognition_update=update, alpha=0.0, streams=streams
    )

    def step():
        objective(Batch.dense(X))
        optimizer.ascend(parameters, objective.gradient)

    return step


def matrix_products(shapes, dtype=np.float32):
    """Return a function that multiplies matrices of the shapes ``(n, k, m)``, and nothing else."""
    generator = np.random.default_rng(0)
    operands = [
        (generator.random((n, k)).astype(dtype), generator.random((k, m)).astype(dtype), np.empty((n, m), dtype))
        for n, k, m in shapes
    ]

    def multiply():
        for left, right, out in operands:
            np.matmul(left, right, out=out)

    return multiply


def step_products(sizes, n_particles, update, n_rows):
    """Return the matrix products of one training step: what no implementation can do without."""
    many, layers = n_particles * n_rows, list(pairwise(sizes))
    shapes = []
    for depth, (below, above) in enumerate(layers):
        recognized = n_rows if depth == 0 else many  # all particles of a row see the same visible units
        shapes += [(recognized, below, above), (many, above, below), (above, many, below)]
        if update != "sleep":
            shapes += [(below, recognized, above)]
        if update != "wake":
            shapes += [(n_rows, above, below), (n_rows, below, above), (below, n_rows, above)]
    return matrix_products(shapes)


def torch_step(sizes, n_particles, update, n_rows):
    """Return one training step of the same model in PyTorch, by automatic differentiation."""
    import torch
    from torch_machine import TorchMachine

    torch.set_num_threads(threads_in_use())
    machine, x = TorchMachine(sizes, n_particles, update), torch.from_numpy(binary_rows(n_rows, sizes[0]))
    return lambda: machine.step(x)


def scoring(sizes, n_particles, n_rows):
    """Return a function that scores rows by importance sampling."""
    X = binary_rows(n_rows, sizes[0], np.float64)
    machine, streams = Machine(Bernoulli(), sizes, X.sum(axis=1).mean()), Streams(0)
    parameters = machine.initial_parameters(X.mean(axis=0), streams["initialization"], X.dtype)
    rows = Rows(X, machine.visible, X.dtype)
    return lambda: log_likelihood(machine, parameters, rows, n_particles)


def scoring_products(sizes, n_particles, n_rows, block=16):
    """Return the matrix products of scoring, a block of rows at a time."""
    (visible, hidden), many = sizes, block * n_particles
    return matrix_products([(block, visible, hidden), (many, hidden, visible)] * (n_rows // block), np.float64)


def classic_epoch(X):
    """Return a function that trains classic wake-sleep for an epoch."""
    machine = HelmholtzMachine(
        CLASSIC[1:],
        autoregressive=None,
        n_particles=1,
        recognition_update="sleep",
        alpha=0,
        solver="sgd",
        batch_size=100,
        random_state=0,
    ).partial_fit(X)
    return lambda: machine.partial_fit(X)


def rbm_epoch(X):
    """Return a function that trains scikit-learn's restricted Boltzmann machine for an epoch."""
    rbm = BernoulliRBM(CLASSIC[1], batch_size=100, n_iter=1, random_state=0)
    return lambda: rbm.fit(X)


def fit_epochs(X, n_epochs=2, **parameters):
    """Return a function that fits a machine for so many epochs."""
    settings = {"hidden_layer_sizes": 100, "max_iter": n_epochs, "tol": None, "random_state": 0} | parameters
    return lambda: HelmholtzMachine(**settings).fit(X)


def comparisons():
    """Yield a label, a function that returns the two sides once called, and the goal."""
    for n_rows in (100, 500):
        case = (DEEP, 5, "both", n_rows)
        label = f"step / matrix products, 784-200-200-10, K=5, batch {n_rows}"
        yield label, lambda case=case: (training_step(*case), step_products(*case)), "<= 1.45 (1.7 with 2 threads)"
    for sizes, goal in ((DEEP, ">= 2.0"), (SMALL, ">= 2.5")):
        case = (sizes, 5, "both", 100)
        label = f"PyTorch step / step, {'-'.join(map(str, sizes))}, batch 100"
        if find_spec("torch"):
            yield label, lambda case=case: (torch_step(*case), training_step(*case)), goal
        else:
            print(f"skipped: {label}: PyTorch is not installed")
    X = binary_rows(2000, CLASSIC[0])
    yield "classic wake-sleep epoch / BernoulliRBM epoch", lambda: (classic_epoch(X), rbm_epoch(X)), "<= 0.9"
    case = (CLASSIC, 100, 256)
    label = "score_samples / matrix products, 784-200, K=100"
    yield label, lambda case=case: (scoring(*case), scoring_products(*case)), "<= 1.8"


def growth():
    """Yield a label, the two sides, and the goal, for what grows."""
    base, long = binary_rows(1000, 200), binary_rows(10_000, 200)
    yield "fit, 10 times the rows", lambda: (fit_epochs(long), fit_epochs(base)), "<= 10.5"
    wide = binary_rows(1000, 2000)
    yield "fit, 10 times the columns", lambda: (fit_epochs(wide), fit_epochs(base)), ""
    yield "fit, 10 times the particles", lambda: (fit_epochs(base, n_particles=50), fit_epochs(base)), ""
    deep = {"hidden_layer_sizes": (100,) * 4}
    yield "fit, 4 layers instead of 1", lambda: (fit_epochs(base, **deep), fit_epochs(base)), ""


def threads_in_use():
    """Return the number of threads of NumPy's linear algebra."""
    from threadpoolctl import threadpool_info

    return max((pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"), default=1)


def ratios(one, other, repetitions):
    """Time the two sides in turns, and return the ratio of each pair and the median seconds of either."""
    one(), other()
    seconds = np.empty((repetitions, 2))
    calls = [max(1, round(0.05 / elapsed(side))) for side in (one, other)]
    for pair in seconds:
        for index, side in enumerate((one, other)):
            pair[index] = elapsed(side, calls[index])
    return seconds[:, 0] / seconds[:, 1], np.median(seconds, axis=0)


def elapsed(function, calls=1):
    """Return the seconds of one call, the mean of several."""
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - start) / calls


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="threads of the linear algebra")
    parser.add_argument("--repetitions", type=int, default=15, help="pairs of timings for each ratio")
    parser.add_argument("--csv", help="where to write the table as well")
    options = parser.parse_args()
    table = [("threads", "measure", "median", "quartiles", "goal", "ms / ms")]
    print("{:>7}  {:62} {:>7}  {:15} {:30} {}".format(*table[0]))
    for threads in options.threads:
        with threadpool_limits(threads):
            for label, sides, goal in [*comparisons(), *(growth() if threads == 1 else ())]:
                ratio, seconds = ratios(*sides(), options.repetitions)
                low, median, high = np.percentile(ratio, [25, 50, 75])
                times = "{:.2f} / {:.2f}".format(*(1000 * seconds))
                table.append((threads, label, f"{median:.2f}", f"{low:.2f} to {high:.2f}", goal, times))
                print("{:7}  {:62} {:>7}  {:15} {:30} {}".format(*table[-1]), flush=True)
    if options.csv:
        with open(options.csv, "w", newline="") as file:
            csv.writer(file).writerows(table)


if __name__ == "__main__":
    sys.exit(main())
