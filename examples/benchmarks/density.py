"""Log-likelihood on public benchmark sets, beside simple exact models and published numbers.

One recipe for every set. Candidates that differ in structure, step size and penalty train side by side; at each rung
those behind on the validation rows give up their share of the time to the rest (successive halving, Jamieson and
Talwalkar 2016). The last one is then trained from further seeds for as long. Of each training, the parameters that
scored best on validation rows are kept, and they alone meet the test rows.

    python examples/benchmarks/density.py --data-dir DIR [--datasets NAME ...] [--budget-minutes 10] [--csv FILE]

DIR holds one compressed NumPy file NAME.npz for each set: binary rows "train", "valid" and "test", each packed by
numpy.packbits(rows, axis=1), the number of columns "n_features", and "kind", which is "binary-packed"; and a table
reference.csv with the columns dataset, model, test_ll (nats per row) and origin.
"""

import argparse
import copy
import csv
import resource
import sys
import time
import warnings
from itertools import product
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from sklearn.exceptions import ConvergenceWarning

from skwakesleep import HelmholtzMachine

CANDIDATES = [
    {"autoregressive": structure, "learning_rate_init": rate, "alpha": alpha}
    for structure, rate, alpha in product(["prior", ("prior", "visible")], [0.1, 0.3], [0.0, 3e-3])
]
RUNGS = 3
SHARED = {"hidden_layer_sizes": 100, "recognition_update": "wake", "tol": None, "warm_start": True}
# Rows and particles that candidates are compared with, and how often in a rung.
N_VALID, N_VALID_PARTICLES, CHECKS = 1000, 32, 8


class Trainee:
    """A machine in training, and the best that came of it so far."""

    def __init__(self, parameters, seed):
        self.machine = HelmholtzMachine(**SHARED, **parameters, random_state=seed, n_score_particles=N_VALID_PARTICLES)
        self.parameters = parameters
        self.best = None
        self.score = -np.inf
        self.seconds = 0.0

    def train(self, train, valid, seconds):
        """Train for so long, epoch by epoch, keeping the best on the validation rows."""
        start = time.perf_counter()
        checks = iter(np.linspace(0, seconds, CHECKS + 1)[1:])
        due = next(checks)
        while (elapsed := time.perf_counter() - start) < seconds:
            self._epoch(train)
            if elapsed >= due:
                self._check(valid)
                due = next(checks, seconds)
        self._check(valid)
        self.seconds += time.perf_counter() - start
        return self

    def _epoch(self, train):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.machine.set_params(max_iter=1).fit(train)

    def _check(self, valid):
        score = self.machine.score(valid)
        if score > self.score:
            self.score, self.best = score, copy.deepcopy(self.machine)


def load(path):
    """Return the training, validation and test rows."""
    with np.load(path) as data:
        n_features = int(data["n_features"])
        return [
            np.unpackbits(data[part], axis=1)[:, :n_features].astype(np.float32) for part in ("train", "valid", "test")
        ]


def choose(train, valid, seconds, n_jobs):
    """Return the parameters that do best on validation rows, and the machine that was trained on the way."""
    trainees = [Trainee(parameters, seed=0) for parameters in CANDIDATES]
    for rung in range(RUNGS):
        share = seconds * n_jobs / RUNGS / len(trainees)
        trainees = Parallel(n_jobs=n_jobs)(delayed(trainee.train)(train, valid, share) for trainee in trainees)
        trainees = sorted(trainees, key=lambda trainee: -trainee.score)
        for trainee in trainees:
            print(f"  rung {rung + 1}: valid {trainee.score:8.2f} after {trainee.seconds:4.0f} s  {trainee.parameters}")
        trainees = trainees[: max(1, len(trainees) // 3)]
    return trainees[0]


def evaluate(trainee, test, n_particles):
    """Return the test log-likelihood in nats per row, its standard error over rows, and the seconds it took."""
    start = time.perf_counter()
    scores = trainee.best.set_params(n_score_particles=n_particles).score_samples(test)
    return scores.mean(), scores.std() / np.sqrt(len(scores)), time.perf_counter() - start


def references(path, dataset):
    """Return the models that others have measured on a set, the best first."""
    with open(path, newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["dataset"] == dataset]
    return sorted(((float(row["test_ll"]), row["model"], row["origin"]) for row in rows), reverse=True)


def benchmark(dataset, options):
    """Run the recipe on one set, print what came of it, and return the rows of the table."""
    train, valid, test = load(options.data_dir / f"{dataset}.npz")
    valid = valid[np.random.default_rng(0).permutation(len(valid))[:N_VALID]]
    print(f"\n{dataset}: {train.shape[1]} columns, {len(train)} training rows", flush=True)
    start, budget = time.perf_counter(), 60 * options.budget_minutes
    chosen = choose(train, valid, budget / 2, options.n_jobs)
    trainees = Parallel(n_jobs=options.n_jobs)(
        delayed(Trainee(chosen.parameters, seed).train)(train, valid, budget / 2 * options.n_jobs / options.seeds)
        for seed in range(options.seeds)
    )
    minutes = (time.perf_counter() - start) / 60
    table = []
    for seed, trainee in enumerate(trainees):
        score, error, seconds = evaluate(trainee, test, options.particles)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"  seed {seed}: test {score:8.2f} +- {error:.2f}  (valid {trainee.score:.2f}; scored in {seconds:.0f} s)"
        )
        table.append((dataset, "HelmholtzMachine", seed, score, error, minutes, memory, chosen.parameters))
    print(f"  chosen {chosen.parameters}; {minutes:.1f} minutes in all, {memory:.0f} MB at most")
    print(f"  {'HelmholtzMachine, mean of the seeds':44}{np.mean([row[3] for row in table]):9.2f}")
    for score, model, origin in references(options.data_dir / "reference.csv", dataset):
        print(f"  {model:44}{score:9.2f}  {origin}")
    return table


def make_parser():
    summary, _, details = __doc__.partition("\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir", type=Path, required=True, help="folder of the sets")
    parser.add_argument("--datasets", nargs="+", help="sets to run (default: all binary ones in the folder)")
    parser.add_argument("--budget-minutes", type=float, default=10, help="minutes to choose and train, for each set")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds (default: 3)")
    parser.add_argument("--particles", type=int, default=1000, help="importance samples per test row (default: 1000)")
    parser.add_argument("--n-jobs", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--csv", type=Path, help="where to write the table as well")
    return parser


def binary_sets(folder):
    """Return the names of the binary sets in a folder."""
    names = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as data:
            if str(data["kind"]) == "binary-packed":
                names.append(path.stem)
    return names


def main():
    parser = make_parser()
    options = parser.parse_args()
    datasets = options.datasets or binary_sets(options.data_dir)
    missing = [name for name in datasets if not (options.data_dir / f"{name}.npz").is_file()]
    if missing or not datasets:
        parser.error(f"{options.data_dir} has no {', '.join(missing) or 'binary set'}. --help describes the files.")
    table = [("dataset", "model", "seed", "test_ll", "standard_error", "minutes", "peak_mb", "parameters")]
    for dataset in datasets:
        table += benchmark(dataset, options)
        if options.csv:  # after every set: a long run may be cut short
            with options.csv.open("w", newline="") as file:
                csv.writer(file).writerows(table)


if __name__ == "__main__":
    sys.exit(main())
