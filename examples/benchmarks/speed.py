"""Speed of training and scoring: ratios to their own matrix products, and to other packages.

The two sides of a ratio take turns in one run. The table has the median ratio over the repetitions, the quartiles, the
median milliseconds of either side, and the goal. About four minutes on two quiet cores.

    python examples/benchmarks/speed.py
    SKWAKESLEEP_LOOPS=numpy python examples/benchmarks/speed.py

The first form measures the compiled loops if Numba is installed, and the goals are for these. The second form measures
the loops of NumPy. Rows that compare with PyTorch are skipped where it is not installed. With two threads, set
OPENBLAS_NUM_THREADS=2: otherwise the package computes small products with one. No data are needed: rows are random, an
eighth of the entries ones, as in images of handwriting.
"""

from importlib.util import find_spec
from itertools import pairwise

import numpy as np
from _harness import Table, make_parser, parse, quiet, time_in_turns, training_step
from sklearn.neural_network import BernoulliRBM
from threadpoolctl import threadpool_info, threadpool_limits

from skwakesleep import HelmholtzMachine

DEEP, SMALL, CLASSIC = (784, 200, 200, 10), (64, 100), (784, 200)
N_PARTICLES, N_SCORE_PARTICLES = 5, 100
# Rows that scoring takes at a time, at this number of particles and hidden units.
SCORING_BLOCK = 16


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="threads of the linear algebra")
    parser.add_argument("--repetitions", type=int, default=15, help="pairs of timings for each ratio")
    options = parse(parser, threads=[1], repetitions=1)
    columns = ("measure", "threads", "median", "quartiles", "ms / ms", "goal")
    table = Table(options, columns, label=56, width=14, digits=2)
    for threads in options.threads:
        rows = [*comparisons(), *(growth() if threads == 1 else ())]
        with threadpool_limits(threads), quiet():
            for label, sides, goal in rows:
                ratios, seconds = time_in_turns(*sides(), options.repetitions)
                low, median, high = np.percentile(ratios, [25, 50, 75])
                times = "{:.2f} / {:.2f}".format(*(1000 * seconds))
                table.row(label, threads, median, f"{low:.2f} to {high:.2f}", times, goal)


def comparisons():
    """Yield a label, a function that returns the two sides, and the goal."""
    for n_rows in (100, 500):
        label = f"step / matrix products, 784-200-200-10, K=5, batch {n_rows}"
        yield label, lambda n=n_rows: (step(DEEP, n), step_products(DEEP, n)), "<= 1.0 (1.4 with 2 threads)"
    for sizes, goal in ((DEEP, ">= 3.5"), (SMALL, ">= 4.0")):
        label = f"PyTorch step / step, {'-'.join(map(str, sizes))}, batch 100"
        if find_spec("torch"):
            yield label, lambda sizes=sizes: (torch_step(sizes, 100), step(sizes, 100)), goal
        else:
            print(f"skipped: {label}: PyTorch is not installed")
    X = binary_rows(2000, CLASSIC[0])
    yield "classic wake-sleep epoch / BernoulliRBM epoch", lambda: (classic_epoch(X), rbm_epoch(X)), "<= 0.6"
    label = "score_samples / matrix products, 784-200, K=100"
    yield label, lambda: (scoring(256), scoring_products(256)), "<= 1.2"


def growth():
    """Yield the same for what grows."""
    base, long, wide = binary_rows(1000, 200), binary_rows(10_000, 200), binary_rows(1000, 2000)
    yield "fit, 10 times the rows", lambda: (fit(long), fit(base)), "<= 10.5"
    yield "fit, 10 times the columns", lambda: (fit(wide), fit(base)), ""
    yield "fit, 10 times the particles", lambda: (fit(base, n_particles=50), fit(base)), ""
    yield "fit, 4 layers instead of 1", lambda: (fit(base, hidden_layer_sizes=(100,) * 4), fit(base)), ""


def binary_rows(n_rows, n_columns, dtype=np.float32):
    return (np.random.default_rng(0).random((n_rows, n_columns)) < 0.125).astype(dtype)


# Each of the functions below returns a function to be timed.


def step(sizes, n_rows):
    """One training step on a fixed mini-batch."""
    return training_step(binary_rows(n_rows, sizes[0]), sizes[1:], N_PARTICLES, "both")


def torch_step(sizes, n_rows):
    """One training step of the same model in PyTorch, by automatic differentiation."""
    import torch
    from _torch_machine import TorchMachine

    pools = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    torch.set_num_threads(max(pools, default=1))
    machine, x = TorchMachine(sizes, N_PARTICLES), torch.from_numpy(binary_rows(n_rows, sizes[0]))
    return lambda: machine.step(x)


def step_products(sizes, n_rows):
    """The matrix products of one training step: the least that any implementation computes."""
    many, shapes = N_PARTICLES * n_rows, []
    for depth, (below, above) in enumerate(pairwise(sizes)):
        recognized = n_rows if depth == 0 else many  # all particles of a row have the same visible units
        shapes += [(recognized, below, above), (many, above, below), (above, many, below), (below, recognized, above)]
        shapes += [(n_rows, above, below), (n_rows, below, above), (below, n_rows, above)]  # of dreams
    return matrix_products(shapes)


def classic_epoch(X):
    """An epoch of classic wake-sleep."""
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
    """An epoch of scikit-learn's restricted Boltzmann machine."""
    rbm = BernoulliRBM(CLASSIC[1], batch_size=100, n_iter=1, random_state=0)
    return lambda: rbm.fit(X)


def scoring(n_rows):
    """Scores of rows by importance sampling, under a machine that has hardly been trained."""
    X = binary_rows(n_rows, CLASSIC[0], np.float64)
    machine = HelmholtzMachine(CLASSIC[1:], autoregressive=None, n_score_particles=N_SCORE_PARTICLES, random_state=0)
    machine.set_params(learning_rate_init=1e-9).partial_fit(X)
    return lambda: machine.score_samples(X)


def scoring_products(n_rows):
    """The matrix products of scoring, a block of rows at a time."""
    (visible, hidden), many = CLASSIC, SCORING_BLOCK * N_SCORE_PARTICLES
    block = [(SCORING_BLOCK, visible, hidden), (many, hidden, visible)]
    return matrix_products(block * (n_rows // SCORING_BLOCK), np.float64)


def fit(X, **parameters):
    """Two epochs of a machine with default parameters otherwise."""
    settings = {"hidden_layer_sizes": 100, "max_iter": 2, "tol": None, "random_state": 0} | parameters
    return lambda: HelmholtzMachine(**settings).fit(X)


def matrix_products(shapes, dtype=np.float32):
    """Products of matrices of the shapes ``(n, k, m)``, and nothing else."""
    rng = np.random.default_rng(0)
    operands = [
        (rng.random((n, k)).astype(dtype), rng.random((k, m)).astype(dtype), np.empty((n, m), dtype))
        for n, k, m in shapes
    ]

    def multiply():
        for left, right, out in operands:
            np.matmul(left, right, out=out)

    return multiply


if __name__ == "__main__":
    main()
