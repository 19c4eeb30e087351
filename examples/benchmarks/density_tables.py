"""Turn what density.py measured into the tables of the documentation.

    python examples/benchmarks/density_tables.py --data-dir DIR RESULTS.csv ... --csv docs/density.csv \\
        > docs/density_tables.md

DIR holds reference.csv, the models that others have measured on the same sets. The results of all files are also
written to one.
"""

import argparse
import csv
from itertools import groupby
from pathlib import Path

import numpy as np

COLUMNS = [
    "set",
    "machine",
    "test log-likelihood",
    "best of others",
    "one latent",
    "error",
    "spread",
    "particles",
    "minutes",
]


def main():
    options = make_parser().parse_args()
    rows = [row for path in options.results for row in read(path)]
    with options.csv.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    references = read(options.data_dir / "reference.csv")
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
    """Print a line for each machine, beside the best that others have measured."""
    print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|")
    for dataset, machine, seeds in machines(rows):
        scores = np.array([float(row["test_ll"]) for row in seeds])
        first = seeds[0]
        known = [row for row in references if row["dataset"] == dataset]
        cells = [
            dataset,
            machine,
            f"**{scores.mean():.2f}**",
            best_of(comparable(known, machine)),
            one_latent(rows, dataset, machine),
            f"{float(first['standard_error']):.2f}",
            f"{scores.std(ddof=1):.2f}" if len(scores) > 1 else "",
            first["particles"] + (f", {first['annealing_steps']} steps" if first["annealing_steps"] != "0" else ""),
            f"{float(first['minutes']):.0f}",
        ]
        print("| " + " | ".join(cells) + " |")


def comparable(known, machine):
    """Return the models to compare with: for machines of given widths, those of the same."""
    widths, layers = machine.split(maxsplit=1)
    return [row for row in known if widths in row["model"].split()] if layers == "plain" else known


def best_of(known):
    best = max(known, key=lambda row: float(row["test_ll"]))
    return f"{float(best['test_ll']):.2f} {best['model']}"


def one_latent(rows, dataset, machine):
    """Return the log-likelihood of the machine that is left with a single latent, if it was trained."""
    alone = "1 " + machine.partition(" ")[2]
    return next(
        (f"{float(row['test_ll']):.2f}" for row in rows if (row["dataset"], row["machine"]) == (dataset, alone)), ""
    )


def print_references(rows, references):
    """Print all that others have measured, a line for each set."""
    print("\n## What others have measured\n\n| set | log-likelihoods |\n|---|---|")
    for dataset in dict.fromkeys(row["dataset"] for row in rows):
        known = [row for row in references if row["dataset"] == dataset]
        known.sort(key=lambda row: -float(row["test_ll"]))
        print(f"| {dataset} | " + "; ".join(f"{row['model']} {row['test_ll']}" for row in known) + " |")


def machines(rows):
    """Yield set, machine and the rows of all seeds, but for machines with a single latent."""
    trained = [row for row in rows if not row["machine"].startswith("1 ")]
    trained.sort(key=lambda row: (row["dataset"], row["machine"]))
    for (dataset, machine), seeds in groupby(trained, key=lambda row: (row["dataset"], row["machine"])):
        yield dataset, machine, list(seeds)


if __name__ == "__main__":
    main()
