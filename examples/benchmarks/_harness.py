"""What the benchmarks share: arguments, data sets, timing and tables.

Data sets are compressed NumPy files in one folder, which the scripts take as ``--data-dir``. A set of binary rows is a
file NAME.npz with the number of columns "n_features", the "kind", which is "binary-packed", and the parts "train",
"valid" and "test", each packed by ``numpy.packbits(rows, axis=1)``.
"""

import argparse
import csv
import sys
import time
import warnings
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

PARTS = "train", "valid", "test"


# ---------------------------------------------------------------------- arguments


def make_parser(doc, *, seeds=None, data=None, tables=None, n_jobs=None):
    """Return a parser that describes itself by the docstring of a script and has the arguments that scripts share.

    Parameters
    ----------
    doc : str
        The docstring of the script.
    seeds, n_jobs : int, optional
        Default of ``--seeds`` and ``--n-jobs``; without one, there is no such argument.
    data : str, optional
        Files that the script reads from ``--data-dir``.
    tables : dict, optional
        The tables to choose from by ``--tables``, see `print_tables`.
    """
    summary, _, details = doc.partition("\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="check in seconds that the script runs; numbers are void")
    parser.add_argument("--csv", type=Path, help="file to write the tables to as well")
    if tables:
        parser.add_argument("--tables", nargs="+", choices=tables, default=list(tables), help="default: all")
    if data:
        parser.add_argument("--data-dir", type=Path, help=f"folder of {data}; _harness.py describes the files")
    for name, default, of_what in (("--seeds", seeds, "repetitions"), ("--n-jobs", n_jobs, "processes")):
        if default:
            parser.add_argument(name, type=int, default=default, help=f"number of {of_what} (default: {default})")
    return parser


def parse(parser, **quick):
    """Return the arguments; with ``--quick``, those in `quick` are the defaults."""
    if "--quick" in sys.argv:
        parser.set_defaults(**quick)
    options = parser.parse_args()
    if options.csv:
        options.csv.write_text("")
    return options


# ---------------------------------------------------------------------- data


class MissingDataError(SystemExit):
    """A data file is not there."""


def data_file(options, name):
    """Return the path of a file in the data folder."""
    path = options.data_dir / name if options.data_dir else None
    if path is None or not path.is_file():
        raise MissingDataError(f"{name} is missing. Pass the folder that holds it as --data-dir.")
    return path


def load_binary(options, name):
    """Return the training, validation and test rows of a set, float32."""
    with np.load(data_file(options, f"{name}.npz")) as data:
        n_features = int(data["n_features"])
        return [np.unpackbits(data[part], axis=1)[:, :n_features].astype(np.float32) for part in PARTS]


# ---------------------------------------------------------------------- timing


def timed(function, *args, clock=time.perf_counter):
    """Return what a call returns, and its seconds."""
    start = clock()
    result = function(*args)
    return result, clock() - start


def time_in_turns(one, other, repetitions):
    """Time two functions in turns; return the ratio of each pair, and the median seconds of each function.

    The ratio of a pair does not depend on a speed of the machine that drifts.
    """
    one(), other()
    n_calls = [max(1, round(0.05 / _mean_seconds(function, 1))) for function in (one, other)]
    seconds = np.empty((repetitions, 2))
    for pair in seconds:
        pair[:] = [_mean_seconds(*call) for call in zip((one, other), n_calls, strict=True)]
    return seconds[:, 0] / seconds[:, 1], np.median(seconds, axis=0)


def _mean_seconds(function, n_calls):
    return timed(lambda: [function() for _ in range(n_calls)])[1] / n_calls


@contextmanager
def quiet():
    """Ignore warnings of fits that are short on purpose, and of scores that the tables report on themselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", (ConvergenceWarning, UserWarning))
        yield


# ---------------------------------------------------------------------- tables


def mean_and_error(differences):
    """Return the mean and its standard error."""
    return differences.mean(), differences.std(ddof=1) / np.sqrt(len(differences))


class Table:
    """Prints rows under their columns as they come, and appends them to the file of ``--csv``.

    Parameters
    ----------
    options : Namespace
        The arguments of the script.
    columns : sequence of str
        Names of the columns. The first is aligned to the left, the others to the right.
    label : int, default=28
        Width of the first column.
    width : int, default=10
        Least width of the others.
    digits : int, default=3
        Digits of numbers after the decimal point.
    """

    def __init__(self, options, columns, *, label=28, width=10, digits=3):
        self._csv = options.csv
        self._digits = digits
        self._widths = [-max(label, len(columns[0])), *(max(width, len(column)) for column in columns[1:])]
        self.row(*columns)

    def row(self, *cells):
        """Print a row of strings, numbers and None for an empty cell."""
        cells = [self._text(cell) for cell in cells]
        padded = [f"{cell:<{-n}}" if n < 0 else f"{cell:>{n}}" for cell, n in zip(cells, self._widths, strict=True)]
        print("  ".join(padded).rstrip(), flush=True)
        if self._csv:
            with self._csv.open("a", newline="") as file:
                csv.writer(file, lineterminator="\n").writerow(cells)

    def _text(self, cell):
        if cell is None:
            return ""
        return cell if isinstance(cell, str) else f"{cell:.{0 if isinstance(cell, Integral) else self._digits}f}"


def print_tables(tables, options, names=None):
    """Print the tables of some names, those of ``--tables`` by default; a table is a function of the arguments."""
    for name in names or options.tables:
        print(f"\n{name}: {tables[name].__doc__.strip()}", flush=True)
        try:
            print(f"({timed(tables[name], options)[1]:.0f} s)", flush=True)
        except MissingDataError as missing:
            print(f"skipped: {missing}", flush=True)


# ---------------------------------------------------------------------- parts of the package


def fixed_start(model, theta):
    """Return a model for `AmortisedWakeSleep` that starts from given parameters, in the columns as they are."""
    return _FixedStart(model, theta)


class _FixedStart:
    def __init__(self, model, theta):
        self._model = model
        self._theta = theta

    def initial_params(self, X, rng):
        return self._theta

    def __getattr__(self, name):
        if name.startswith("__") or name == "column_units":  # with which training would standardize the columns
            raise AttributeError(name)
        return getattr(self._model, name)


def maximum_likelihood(model, values, X, log_likelihood):
    """Return the highest mean log-likelihood that a quasi-Newton search finds from some values.

    Parameters
    ----------
    model : object
        Declares its parameters.
    values : dict
        Values of the parameters by name.
    X : ndarray
        Rows.
    log_likelihood : callable
        Maps the values and the rows to the log-likelihood of each row.
    """
    from skwakesleep.models._declared_model import flat_model

    flat = flat_model(model)
    search = minimize(lambda theta: -log_likelihood(flat.params(theta), X).mean(), flat.pack(values), method="L-BFGS-B")
    return -search.fun


def gradients_at(model, theta, X, gradient, *, contrasted, seeds, n_sleep=500):
    """Return estimates of the gradient at given parameters, one for each seed, with or without fresh dreams.

    The columns are taken as they are. All rows are one mini-batch.
    """
    from skwakesleep._engine.amortised.gradient import AmortisedGradient
    from skwakesleep._engine.amortised.problem import Problem, Settings
    from skwakesleep._engine.amortised.progress import Progress
    from skwakesleep._engine.amortised.state import RegressionState
    from skwakesleep._engine.amortised.units import UNCHANGED
    from skwakesleep._engine.arrays.random import Streams

    problem, gradients = Problem(model, X, UNCHANGED, Settings(gradient=gradient, n_dreams=n_sleep)), []
    for seed in range(seeds):
        state = RegressionState(progress=Progress(level_at=0 if contrasted else None))
        objective = AmortisedGradient(problem, state, theta, Streams(seed))
        objective(problem.rows)
        gradients.append(objective.gradient.copy())
    return np.array(gradients)


def training_step(X, hidden_layer_sizes, n_particles, recognition_update):
    """Return a function that makes one training step, gradient and Adam, on the mini-batch `X`.

    All calls of the private engine by the benchmarks are here. No public method makes a step alone: beside it,
    `partial_fit` checks the rows, copies the state and averages the iterates.
    """
    from skwakesleep._engine.arrays.backend import default_backend
    from skwakesleep._engine.arrays.random import Streams
    from skwakesleep._engine.machine.columns import Columns
    from skwakesleep._engine.machine.networks import Machine
    from skwakesleep._engine.machine.rows import Visible
    from skwakesleep._engine.machine.wake_sleep import WakeSleep
    from skwakesleep._engine.training.optimizers import Adam

    machine, streams, backend = (
        Machine(Columns.of_table(["bernoulli"] * X.shape[1], X), hidden_layer_sizes),
        Streams(0),
        default_backend(),
    )
    parameters = machine.initial_parameters(streams["initialization"], X.dtype)
    optimizer = Adam(1e-3, machine.step_scales(X.dtype))
    objective = WakeSleep(
        machine,
        parameters,
        backend,
        n_particles=n_particles,
        recognition_update=recognition_update,
        alpha=0.0,
        n_rows=50000,
        batch_size=len(X),
        streams=streams,
    )

    def step():
        objective(Visible.dense(X))
        optimizer.ascend(parameters, objective.gradient, backend, prior=objective.prior)

    return step
