"""Log-likelihood on public sets of binary rows, beside simple exact models and published numbers.

One recipe for every set. Candidates that differ in structure, step size and prior are trained side by side. At each
rung, those that are behind others of their kind (of like structure and step size) on the validation rows are dropped,
and the rest share their time (successive halving, Jamieson and Talwalkar 2016). The best candidate of all kinds is then
trained from several seeds, with steps that shrink. Of each training, the parameters that scored best on validation rows
are scored on the test rows. The same machine with a single latent shows what the other latents are worth.

    python examples/benchmarks/density.py --data-dir DIR --datasets NAME --budget-minutes 8 --results NAME.csv
    python examples/benchmarks/density.py --data-dir DIR --datasets mnist_fixed --widths 200 200 --plain
    python examples/benchmarks/density.py --data-dir DIR --summarize RESULTS.csv ... --csv docs/benchmarks/density.csv
    python examples/benchmarks/density.py --data-dir DIR --others --csv docs/benchmarks/density_others.csv

The second form trains machines of given widths without autoregressive connections, as the published sigmoid belief
networks are. Each set takes the minutes of the budget, and a tenth more. The other forms train nothing. The third
prints a table of earlier results; with --results, it also writes them to one file. The fourth prints what others have
measured.

Needs NAME.npz for each set and, for what others have measured, a table reference.csv with the columns dataset, model,
test_ll (nats per row) and origin.
"""

import copy
import csv
import resource
import time
from collections import Counter
from itertools import groupby, product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from _harness import MissingDataError, Table, data_file, load_binary, make_parser, parse, quiet
from joblib import Parallel, delayed

from skwakesleep import HelmholtzMachine

# Order of the columns.
FORWARDS, BACKWARDS = 1, -1
# Hidden units, autoregressive layers, update of the recognition network, particles, and order of the columns. Drawing
# autoregressive columns takes long; with few rows, many latents overfit.
STRUCTURES = [
    ((100,), "prior", "both", 5, FORWARDS),
    ((100,), ("prior", "visible"), "wake", 5, FORWARDS),
    ((200,), ("prior", "visible"), "both", 5, FORWARDS),
    ((10,), ("prior", "visible"), "wake", 5, BACKWARDS),
]
# The posterior of machines without autoregressive connections is the hardest to approximate with few particles.
PLAIN_PARTICLES = 25
RATES = [0.1, 0.3]
# Strengths of the prior on weights.
STRENGTHS = [0.3, 1, 2]
# Share of the time for choosing, the seeds having the rest; then, for each rung, its share of that time and the number
# of candidates of each kind that go on.
CHOOSING = 0.35
RUNGS = [(0.25, 2), (0.25, 1), (0.5, 1)]
# Validation rows and particles that candidates are compared with, and the number of comparisons in a rung.
N_VALID, N_VALID_PARTICLES, CHECKS = 2000, 100, 15
# The last step of a seed as a part of the first; in between, steps shrink linearly.
LAST_STEP = 0.03
# Share of a seed's time for the machine with a single latent.
ONE_LATENT = 0.2


def main():
    options = parse(add_arguments(), datasets=["nltcs"], widths=[16], budget_minutes=0.03, seeds=1, particles=100)
    if options.summarize:
        results = [row for path in options.summarize for row in read_rows(path)]
        write_rows(options.results, results)
        print_summary(results, options)
        return
    if options.others:
        print_others(options)
        return
    results = []
    for dataset in options.datasets or binary_sets(options.data_dir):
        results += benchmark(dataset, options)
        write_rows(options.results, results)  # after every set: a long run may be cut short


def add_arguments():
    parser = make_parser(__doc__, seeds=3, data="the sets and reference.csv", n_jobs=2)
    parser.add_argument("--datasets", nargs="+", help="sets to run (default: all binary ones in the folder)")
    parser.add_argument("--widths", nargs="+", type=int, help="widths of the hidden layers (default: chosen)")
    parser.add_argument("--plain", action="store_true", help="no autoregressive connections")
    parser.add_argument("--budget-minutes", type=float, default=10, help="to choose and train, for each set (10)")
    parser.add_argument("--particles", type=int, default=1000, help="importance samples per test row (default: 1000)")
    parser.add_argument("--annealing-steps", type=int, default=0, help="annealing steps of each (default: 0)")
    parser.add_argument("--results", type=Path, help="file for the results in full precision, by seed")
    parser.add_argument("--summarize", nargs="+", type=Path, metavar="RESULTS", help="print earlier results")
    parser.add_argument("--others", action="store_true", help="print what others have measured")
    return parser


# ---------------------------------------------------------------------- candidates


class Candidate(NamedTuple):
    """Parameters of a machine, and the order in which it sees the columns."""

    parameters: dict
    order: int

    @property
    def name(self):
        """Widths, autoregressive layers, and the order of columns if it is not the usual one."""
        widths = "-".join(map(str, self.parameters["hidden_layer_sizes"]))
        layers = self.parameters["autoregressive"] or "plain"
        layers = layers if isinstance(layers, str) else " + ".join(layers)
        return f"{widths} {layers}" + (" backwards" if self.order == BACKWARDS else "")

    @property
    def kind(self):
        """What is told apart while choosing: all but the strength of the prior."""
        return self.name, self.parameters["recognition_update"], self.parameters["learning_rate_init"]

    def with_one_latent(self):
        return self._replace(parameters={**self.parameters, "hidden_layer_sizes": (1,)})


def candidates(options):
    """Return the machines to choose from."""
    structures = [((100,), None, "both", PLAIN_PARTICLES, FORWARDS)] if options.plain else STRUCTURES
    return [
        Candidate(
            {
                "hidden_layer_sizes": tuple(options.widths or widths),
                "autoregressive": autoregressive,
                "recognition_update": update,
                "n_particles": n_particles,
                "learning_rate_init": rate,
                "alpha": alpha,
            },
            order,
        )
        for (widths, autoregressive, update, n_particles, order), rate, alpha in product(structures, RATES, STRENGTHS)
    ]


class Trainee:
    """A machine in training, and the best of it so far."""

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
        """Train for some seconds, keeping the best on validation rows; steps shrink to `last_step` of the first."""
        train, valid = self._ordered(train), self._ordered(valid)
        first_step = self.candidate.parameters["learning_rate_init"]
        start, elapsed = time.perf_counter(), 0.0
        due = iter(seconds * np.geomspace(0.01, 1, CHECKS))  # small sets are at their best early
        check = next(due)
        with quiet():
            while elapsed < seconds:
                step = first_step * (1 - (1 - last_step) * elapsed / seconds)
                self.machine.set_params(learning_rate_init=step).fit(train)
                elapsed = time.perf_counter() - start
                if elapsed >= check:
                    self._check(valid)
                    check = next(due, seconds)
            self._check(valid)
        self.seconds += elapsed
        return self

    def _ordered(self, rows):
        return np.ascontiguousarray(rows[:, :: self.candidate.order])

    def _check(self, valid):
        score = self.machine.score(valid)
        if score > self.score:
            self.score, self.best = score, copy.deepcopy(self.machine)

    def evaluate(self, test, options):
        """Return the test log-likelihood in nats per row, its standard error over rows, and the peak memory in MB."""
        self.best.set_params(n_score_particles=options.particles, n_score_steps=options.annealing_steps)
        scores = self.best.score_samples(self._ordered(test))
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return scores.mean(), scores.std(ddof=1) / np.sqrt(len(scores)), memory


# ---------------------------------------------------------------------- the recipe


def benchmark(dataset, options):
    """Run the recipe on one set, print the outcome, and return its results, one dict for each training."""
    train, valid, test = load_binary(options, dataset)
    valid = valid[np.random.default_rng(0).permutation(len(valid))[: 200 if options.quick else N_VALID]]
    print(f"\n{dataset}: {train.shape[1]} columns, {len(train)} training rows", flush=True)
    start, seconds = time.perf_counter(), 60 * options.budget_minutes
    trainees = [Trainee(candidate, seed=0) for candidate in candidates(options)]
    chosen = choose(trainees, train, valid, CHOOSING * seconds, options.n_jobs)
    seconds *= 1 - CHOOSING
    runs = [(chosen, seed, seconds) for seed in range(options.seeds)]
    if not options.plain:
        runs.append((chosen.with_one_latent(), 0, ONE_LATENT * seconds))
    # All at the same time: they end together, however many processors share them.
    finished = Parallel(n_jobs=len(runs))(
        delayed(finish)(candidate, seed, train, valid, test, share, options) for candidate, seed, share in runs
    )
    minutes = (time.perf_counter() - start) / 60
    results = [
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
        for (candidate, seed, _), (score, error, memory) in zip(runs, finished, strict=True)
    ]
    print_results(results, dataset, options)
    return results


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
    """Return the first `n_best` of each kind, of trainees in order, the best first."""
    seen, best = Counter(), []
    for trainee in trainees:
        seen[trainee.candidate.kind] += 1
        if seen[trainee.candidate.kind] <= n_best:
            best.append(trainee)
    return best


def finish(candidate, seed, train, valid, test, seconds, options):
    """Train a machine and evaluate it."""
    return Trainee(candidate, seed).train(train, valid, seconds, LAST_STEP).evaluate(test, options)


def print_results(results, dataset, options):
    """Print the results on one set, and the models that others have measured on it, the best first."""
    table = Table(options, ("model", "test", "error or origin"), label=44, digits=2)
    for row in results:
        table.row(f"{row['machine']}, seed {row['seed']}", row["test_ll"], row["standard_error"])
    table.row("mean of the seeds", np.mean([row["test_ll"] for row in results[: options.seeds]]), None)
    try:
        references = read_rows(data_file(options, "reference.csv"))
    except MissingDataError:
        references = []
    for row in known_for(dataset, references):
        table.row(row["model"], float(row["test_ll"]), row["origin"])
    print(f"{results[0]['minutes']:.1f} minutes in all, {max(row['peak_mb'] for row in results):.0f} MB at most")


# ---------------------------------------------------------------------- tables of the documentation


def print_summary(results, options):
    """Print a line for each machine, beside the best that others have measured."""
    references = read_rows(data_file(options, "reference.csv"))
    columns = ("set", "machine", "mean", "error", "spread", "one unit", "best of others", "whose")
    table = Table(options, columns, label=12, digits=2)
    for dataset, machine, seeds in machines(results):
        scores = np.array([float(row["test_ll"]) for row in seeds])
        best = known_for(dataset, references, machine)[0]
        alone = [r for r in results if (r["dataset"], r["machine"]) == (dataset, "1 " + machine.partition(" ")[2])]
        table.row(
            dataset,
            machine,
            scores.mean(),
            float(seeds[0]["standard_error"]),
            scores.std(ddof=1) if len(scores) > 1 else None,
            float(alone[0]["test_ll"]) if alone else None,
            float(best["test_ll"]),
            best["model"],
        )


def print_others(options):
    """Print all that others have measured, a line for each set and model, the best of each set first."""
    references = read_rows(data_file(options, "reference.csv"))
    table = Table(options, ("set", "model", "log-likelihood", "origin"), label=12, digits=2)
    for dataset in options.datasets or binary_sets(options.data_dir):
        for row in known_for(dataset, references):
            table.row(dataset, row["model"], float(row["test_ll"]), row["origin"])


def machines(results):
    """Yield set, machine and the results of all seeds, without the machines of a single latent."""

    def key(row):
        return row["dataset"], row["machine"]

    trained = sorted((row for row in results if not row["machine"].startswith("1 ")), key=key)
    for (dataset, machine), seeds in groupby(trained, key=key):
        yield dataset, machine, list(seeds)


def known_for(dataset, references, machine=""):
    """Return what others have measured on a set, the best first; for plain machines, with the same widths."""
    widths, _, layers = machine.partition(" ")
    known = [row for row in references if row["dataset"] == dataset]
    if layers == "plain":
        known = [row for row in known if widths in row["model"].split()]
    return sorted(known, key=lambda row: -float(row["test_ll"]))


# ---------------------------------------------------------------------- files


def binary_sets(folder):
    """Return the names of the binary sets in a folder."""
    names = []
    for path in sorted(folder.glob("*.npz")) if folder else ():
        with np.load(path) as data:
            if str(data["kind"]) == "binary-packed":
                names.append(path.stem)
    if not names:
        raise MissingDataError("There are no sets. Pass the folder that holds them as --data-dir.")
    return names


def read_rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write_rows(path, rows):
    if path:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
