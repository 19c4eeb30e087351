"""Log-likelihood on public benchmark sets, beside simple exact models and published numbers.

One recipe for every set. Candidates that differ in structure, step size and penalty train side by side. At each rung,
those behind the others of their kind, of like structure and step size, on the validation rows give up their share of
the time (successive halving, Jamieson and Talwalkar 2016); at last, the kinds meet: those that end well may start
slowly. The best candidate is then trained from several seeds, with steps that shrink to next to nothing. Of each
training, the parameters that scored best on validation rows are kept, and they alone meet the test rows. Beside it, the
same machine with a single latent says what the latents are worth: its visible units see each other wherever those of
the chosen machine do.

    python examples/benchmarks/density.py --data-dir DIR [--datasets NAME ...] [--budget-minutes 10] [--csv FILE]
    python examples/benchmarks/density.py --data-dir DIR --datasets mnist_fixed --widths 200 200 --plain

The second form trains machines of given widths without autoregressive connections, as the published sigmoid belief
networks are.

DIR holds one file NAME.npz for each set, in the form that packed_rows.py describes, with "kind", which is
"binary-packed"; and, for what others have measured, a table reference.csv with the columns dataset, model, test_ll
(nats per row) and origin.
"""

import argparse
import copy
import csv
import resource
import sys
import time
import warnings
from collections import Counter
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from joblib import Parallel, delayed
from packed_rows import load
from sklearn.exceptions import ConvergenceWarning

from skwakesleep import HelmholtzMachine

# Strides through the columns.
FORWARDS, BACKWARDS = 1, -1
# Hidden units, what sees its neighbours, where the recognition network learns, from how many particles, and the order
# of the columns. Dreams of autoregressive columns take their time, and columns that see those to their right are not
# the model of columns that see those to their left. Where rows are few, many latents learn them by heart. What is
# worth it is for the validation rows to say.
STRUCTURES = [
    ((100,), "prior", "both", 5, FORWARDS),
    ((100,), ("prior", "visible"), "wake", 5, FORWARDS),
    ((200,), ("prior", "visible"), "both", 5, FORWARDS),
    ((10,), ("prior", "visible"), "wake", 5, BACKWARDS),
]
# Without autoregressive connections, all is left to independent causes, which few particles explain badly.
PLAIN_PARTICLES = 25
RATES = [0.1, 0.3]
# Of all rows together; with one, each weight has a Cauchy prior.
PENALTIES = [0.15, 0.4, 1]
# Shares of the time: for choosing, the seeds having the rest; for each rung of it, with the number of each kind's
# candidates that go on.
CHOOSING = 0.35
RUNGS = [(0.25, 2), (0.25, 1), (0.5, 1)]
# Rows and particles that candidates are compared with, and how often in a rung. Fewer particles would be unfair to
# machines whose latents do more.
N_VALID, N_VALID_PARTICLES, CHECKS = 2000, 100, 15
# How large a seed's last steps are, of the first. In between they shrink evenly.
LAST_STEP = 0.03
# The share of a seed's time that suits a machine with a single latent.
ONE_LATENT = 0.2


class Candidate(NamedTuple):
    """Parameters of a machine, and the order in which it sees the columns."""

    parameters: dict
    order: int

    @property
    def name(self):
        """Widths, autoregressive layers, and the order of columns where it matters."""
        widths = "-".join(map(str, self.parameters["hidden_layer_sizes"]))
        layers = self.parameters["autoregressive"] or "plain"
        layers = layers if isinstance(layers, str) else " + ".join(layers)
        return f"{widths} {layers}" + (" backwards" if self.order == BACKWARDS else "")

    @property
    def kind(self):
        """What is told apart while choosing: all but the penalty."""
        return self.name, self.parameters["recognition_update"], self.parameters["learning_rate_init"]

    def with_one_latent(self):
        return self._replace(parameters={**self.parameters, "hidden_layer_sizes": (1,)})


def candidates(structures, n_rows):
    """Return the machines to choose from."""
    return [
        Candidate(
            {
                "hidden_layer_sizes": widths,
                "autoregressive": autoregressive,
                "recognition_update": update,
                "n_particles": n_particles,
                "learning_rate_init": rate,
                "alpha": penalty / n_rows,
            },
            order,
        )
        for (widths, autoregressive, update, n_particles, order), rate, penalty in product(structures, RATES, PENALTIES)
    ]


class Trainee:
    """A machine in training, and the best that came of it so far."""

    def __init__(self, candidate, seed):
        self.candidate = candidate
        self.machine = HelmholtzMachine(
            **candidate.parameters,
            max_iter=1,
            tol=None,
            warm_start=True,
            random_state=seed,
            n_score_particles=N_VALID_PARTICLES,
        )
        self.best = None
        self.score = -np.inf
        self.seconds = 0.0

    def train(self, train, valid, seconds, last_step=1.0):
        """Train for so long, keeping the best on validation rows; steps shrink to `last_step` of the first."""
        train, valid = self._ordered(train), self._ordered(valid)
        first_step = self.candidate.parameters["learning_rate_init"]
        start = time.perf_counter()
        due = iter(seconds * np.geomspace(0.01, 1, CHECKS))  # small sets are at their best early
        check = next(due)
        while (elapsed := time.perf_counter() - start) < seconds:
            self._epoch(train, first_step * (1 - (1 - last_step) * elapsed / seconds))
            if elapsed >= check:
                self._check(valid)
                check = next(due, seconds)
        self._check(valid)
        self.seconds += time.perf_counter() - start
        return self

    def _ordered(self, rows):
        return np.ascontiguousarray(rows[:, :: self.candidate.order])

    def _epoch(self, train, step):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.machine.set_params(learning_rate_init=step).fit(train)

    def _check(self, valid):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of few effective particles: they rank, and are not quoted
            score = self.machine.score(valid)
        if score > self.score:
            self.score, self.best = score, copy.deepcopy(self.machine)

    def evaluate(self, test, scoring):
        """Return the test log-likelihood in nats per row, its standard error over rows, and the peak memory in MB."""
        scores = self.best.set_params(**scoring).score_samples(self._ordered(test))
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return scores.mean(), scores.std(ddof=1) / np.sqrt(len(scores)), memory


def choose(trainees, train, valid, seconds, n_jobs):
    """Return the candidate that does best on validation rows."""
    for rung, (share, n_best) in enumerate(RUNGS, start=1):
        each = seconds * share * n_jobs / len(trainees)
        trainees = Parallel(n_jobs=n_jobs)(delayed(trainee.train)(train, valid, each) for trainee in trainees)
        trainees = sorted(trainees, key=lambda trainee: -trainee.score)
        for trainee in trainees:
            print(f"  rung {rung}: valid {trainee.score:8.2f} after {trainee.seconds:4.0f} s  {trainee.candidate}")
        trainees = best_of_each_kind(trainees, n_best)
    return trainees[0].candidate


def best_of_each_kind(trainees, n_best):
    """Return so many of each kind, of trainees in order, the best first."""
    seen = Counter()
    best = []
    for trainee in trainees:
        seen[trainee.candidate.kind] += 1
        if seen[trainee.candidate.kind] <= n_best:
            best.append(trainee)
    return best


def finish(candidate, seed, train, valid, test, seconds, scoring):
    """Train a machine and return its validation score and what its evaluation says."""
    trainee = Trainee(candidate, seed).train(train, valid, seconds, LAST_STEP)
    return trainee.score, *trainee.evaluate(test, scoring)


def references(path, dataset):
    """Return the models that others have measured on a set, the best first."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["dataset"] == dataset]
    return sorted(((float(row["test_ll"]), row["model"], row["origin"]) for row in rows), reverse=True)


def benchmark(dataset, options):
    """Run the recipe on one set, print what came of it, and return the rows of the table."""
    train, valid, test = load(options.data_dir / f"{dataset}.npz")
    valid = valid[np.random.default_rng(0).permutation(len(valid))[:N_VALID]]
    print(f"\n{dataset}: {train.shape[1]} columns, {len(train)} training rows", flush=True)
    start, budget = time.perf_counter(), 60 * options.budget_minutes
    choosing = CHOOSING * budget
    trainees = [Trainee(candidate, seed=0) for candidate in candidates(structures(options), len(train))]
    chosen = choose(trainees, train, valid, choosing, options.n_jobs)

    seconds = budget - choosing
    scoring = {"n_score_particles": options.particles, "n_score_steps": options.annealing_steps}
    runs = [(chosen, seed, seconds) for seed in range(options.seeds)]
    if not options.plain:
        runs.append((chosen.with_one_latent(), 0, ONE_LATENT * seconds))
    # All at once: they end together, however many processors share them.
    results = Parallel(n_jobs=len(runs))(
        delayed(finish)(candidate, seed, train, valid, test, share, scoring) for candidate, seed, share in runs
    )
    minutes = (time.perf_counter() - start) / 60
    table = []
    for (candidate, seed, _), (valid_score, score, error, memory) in zip(runs, results, strict=True):
        print(
            f"  {candidate.name}, seed {seed}: test {score:8.2f} +- {error:.2f}  (valid {valid_score:.2f})", flush=True
        )
        table.append(
            {
                "dataset": dataset,
                "machine": candidate.name,
                "seed": seed,
                "test_ll": score,
                "standard_error": error,
                "minutes": minutes,
                "peak_mb": memory,
                "alpha": candidate.parameters["alpha"],
                "particles": options.particles,
                "annealing_steps": options.annealing_steps,
            }
        )
    print(f"  {minutes:.1f} minutes in all, {max(row['peak_mb'] for row in table):.0f} MB at most")
    mean = np.mean([row["test_ll"] for row in table[: options.seeds]])
    print(f"  {'HelmholtzMachine, mean of the seeds':44}{mean:9.2f}")
    for score, model, origin in references(options.data_dir / "reference.csv", dataset):
        print(f"  {model:44}{score:9.2f}  {origin}", flush=True)
    return table


def structures(options):
    """Return the structures to choose from."""
    if options.plain:
        return [(tuple(options.widths or [100]), None, "both", PLAIN_PARTICLES, FORWARDS)]
    return [(tuple(options.widths or widths), *others) for widths, *others in STRUCTURES]


def make_parser():
    summary, _, details = __doc__.partition("\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir", type=Path, required=True, help="folder of the sets")
    parser.add_argument("--datasets", nargs="+", help="sets to run (default: all binary ones in the folder)")
    parser.add_argument(
        "--widths", nargs="+", type=int, help="widths of the hidden layers (default: part of the choice)"
    )
    parser.add_argument("--plain", action="store_true", help="no autoregressive connections")
    parser.add_argument("--budget-minutes", type=float, default=10, help="minutes to choose and train, for each set")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds (default: 3)")
    parser.add_argument("--particles", type=int, default=1000, help="importance samples per test row (default: 1000)")
    parser.add_argument(
        "--annealing-steps", type=int, default=0, help="by which each of them is moved; then few will do (default: 0)"
    )
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
    table = []
    for dataset in datasets:
        table += benchmark(dataset, options)
        if options.csv:  # after every set: a long run may be cut short
            with options.csv.open("w", newline="") as file:
                writer = csv.DictWriter(file, table[0])
                writer.writeheader()
                writer.writerows(table)


if __name__ == "__main__":
    sys.exit(main())
