"""Turn what density.py measured into a page of the documentation.

    python examples/benchmarks/density_page.py --data-dir DIR RESULTS.csv ... --csv docs/density.csv > docs/density.md

DIR holds reference.csv, the models that others have measured on the same sets. The results of all files are also
written to one.
"""

import argparse
import csv
from itertools import groupby
from pathlib import Path

import numpy as np

INTRODUCTION = """\
# Densities of public benchmark sets

What `examples/benchmarks/density.py` measured, in nats per test row, higher is better. Structure, width, step size,
penalty and number of epochs were chosen on validation rows. The minutes are those of choosing, training all seeds and
scoring, on two cores that other work shared at times. Scores are importance-sampled, with 1000 particles per row or
more, and thus, if anything, too low. The error is that of the mean over the test rows, the spread that between the
seeds. "One latent" is the same machine left with a single hidden unit: the difference is what the others are worth.
It is large where only the causes see each other, since then nothing else can explain the columns; on Adult, whose
columns explain each other, it is next to nothing.
"""


def main():
    options = make_parser().parse_args()
    rows = [row for path in options.results for row in read(path)]
    with options.csv.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    references = read(options.data_dir / "reference.csv")
    print(INTRODUCTION)
    print_summary(rows, references)
    print_references(rows, references)


def make_parser():
    summary, _, details = __doc__.partition("\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", nargs="+", type=Path, help="what density.py wrote with --csv")
    parser.add_argument("--data-dir", type=Path, required=True, help="folder of reference.csv")
    parser.add_argument("--csv", type=Path, required=True, help="where to write all results")
    return parser


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def print_summary(rows, references):
    """Print a line for each machine, beside the mixture and the best model that others have measured."""
    print("| set | machine | test log-likelihood | error | spread | one latent | mixture | best of others | minutes |")
    print("|---|---|---|---|---|---|---|---|---|")
    for dataset, machine, seeds in machines(rows):
        scores = np.array([float(row["test_ll"]) for row in seeds])
        alone = [row["test_ll"] for row in rows if row["dataset"] == dataset and is_alone(row)]
        known = sorted((float(row["test_ll"]), row["model"]) for row in references if row["dataset"] == dataset)
        mixture = next((score for score, model in known if model == "mixture of Bernoullis"), np.nan)
        cells = [
            dataset,
            machine,
            f"**{scores.mean():.2f}**",
            f"{float(seeds[0]['standard_error']):.2f}",
            f"{scores.std(ddof=1):.2f}" if len(scores) > 1 else "",
            f"{float(alone[0]):.2f}" if alone and "plain" not in machine else "",
            f"{mixture:.2f}",
            "{:.2f} {}".format(*known[-1]),
            f"{float(seeds[0]['minutes']):.0f}",
        ]
        print("| " + " | ".join(cells) + " |")


def print_references(rows, references):
    """Print all that others have measured, a line for each set."""
    print("\n## What others have measured\n\n| set | log-likelihoods |\n|---|---|")
    for dataset in dict.fromkeys(row["dataset"] for row in rows):
        known = [row for row in references if row["dataset"] == dataset]
        known.sort(key=lambda row: -float(row["test_ll"]))
        print(f"| {dataset} | " + "; ".join(f"{row['model']} {row['test_ll']}" for row in known) + " |")


def machines(rows):
    """Yield set, machine and the rows of all seeds."""
    trained = sorted((row for row in rows if not is_alone(row)), key=lambda row: (row["dataset"], row["machine"]))
    for (dataset, machine), seeds in groupby(trained, key=lambda row: (row["dataset"], row["machine"])):
        yield dataset, machine, list(seeds)


def is_alone(row):
    return row["machine"].split()[0] == "1"


if __name__ == "__main__":
    main()
