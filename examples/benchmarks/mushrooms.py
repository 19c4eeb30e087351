"""Exact log-likelihood on the Mushrooms set: reweighted wake-sleep beside classic wake-sleep.

Classic wake-sleep follows the plain gradient, with independent causes and no penalty, as published by Hinton, Dayan,
Frey & Neal (1995). Further rows give it what reweighted wake-sleep has by default: the solver and the penalty, then the
autoregressive prior as well, after which the two differ in nothing but the learning rule.

Machines with 12 latents, few enough to sum over all their states, are trained for 60 epochs in batches of 25, with the
default parameters of the constructor otherwise. The table has the mean log-likelihood of the test rows, in nats, for
each seed: with the default learning rate, and with each learning rule at its best one. That is chosen on the validation
rows, by the mean over the seeds, from multiples of the default.

    python examples/benchmarks/mushrooms.py --data-dir DIR

DIR holds mushrooms.npz, the one-hot encoded mushrooms of the UCI repository as split by Larochelle & Murray (2011), in
the form that packed_rows.py describes.
"""

import argparse
import warnings
from itertools import product
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from packed_rows import load
from sklearn.exceptions import ConvergenceWarning

from skwakesleep import HelmholtzMachine

CLASSIC = {"n_particles": 1, "recognition_update": "sleep"}
RULES = {
    "reweighted wake-sleep": {},
    "classic wake-sleep": {**CLASSIC, "autoregressive": None, "alpha": 0, "solver": "sgd"},
    "classic, Adam": {**CLASSIC, "autoregressive": None},
    "classic, all else equal": CLASSIC,
}


def main():
    parser = make_parser()
    args = parser.parse_args()
    path = args.data_dir / "mushrooms.npz"
    if not path.is_file():
        parser.error(f"{path} is missing. --data-dir must name a folder with mushrooms.npz; --help describes the file.")
    train, valid, test = load(path)

    default_rate = HelmholtzMachine().learning_rate_init
    rates = [default_rate * factor for factor in sorted({1.0, *args.factors})]
    common = {"autoregressive": tuple(args.autoregressive)}
    valid_scores, test_scores = {}, {}
    for name, rule in RULES.items():
        scores = Parallel(n_jobs=args.n_jobs)(
            delayed(train_and_score)({**common, **rule}, *choice, train, valid, test)
            for choice in product(rates, range(args.seeds))
        )
        scores = np.reshape(scores, (len(rates), args.seeds, 2))
        valid_scores[name], test_scores[name] = scores[..., 0], scores[..., 1]

    print_choice(rates, valid_scores)
    print_comparison(rates, default_rate, valid_scores, test_scores)


def make_parser():
    summary, _, details = __doc__.partition("\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir", type=Path, required=True, help="folder of mushrooms.npz")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds (default: 3)")
    parser.add_argument(
        "--factors",
        type=float,
        nargs="+",
        default=[0.25, 0.5, 1, 2, 4, 8],
        help="learning rates to choose from, as multiples of the default (default: 1/4 to 8)",
    )
    parser.add_argument(
        "--autoregressive",
        nargs="*",
        default=["prior"],
        help="autoregressive layers of reweighted wake-sleep, and of classic with all else equal (default: prior)",
    )
    parser.add_argument("--n-jobs", type=int, default=1, help="processes (default: 1)")
    return parser


def train_and_score(rule, rate, seed, train, valid, test):
    """Return the exact log-likelihoods of the validation and the test rows after training."""
    machine = HelmholtzMachine(12, max_iter=60, batch_size=25, learning_rate_init=rate, random_state=seed, **rule)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is 60 epochs, whether or not that is enough
        machine.fit(train)
    return machine.score(valid), machine.score(test)


def print_choice(rates, valid_scores):
    """Print what the learning rates are chosen by."""
    print("Validation log-likelihood, nats per row, mean of the seeds")
    print(f"{'learning rate':24}" + "".join(f"{rate:9.4g}" for rate in rates))
    for name, scores in valid_scores.items():
        print(f"{name:24}" + "".join(f"{score:9.2f}" for score in scores.mean(axis=1)))


def print_comparison(rates, default_rate, valid_scores, test_scores):
    """Print the test scores of each rule at the default and at its best learning rate, and the rules' difference."""
    best = {}
    print("\nTest log-likelihood, nats per row")
    n_seeds = test_scores["classic wake-sleep"].shape[1]
    print(f"{'':24}{'learning rate':>18}" + "".join(f"{f'seed {seed}':>9}" for seed in range(n_seeds)) + f"{'mean':>9}")
    for name in RULES:
        best_index = valid_scores[name].mean(axis=1).argmax()
        for choice, index in {"default": rates.index(default_rate), "best": best_index}.items():
            scores = test_scores[name][index]
            rate = f"{choice} {rates[index]:.4g}"
            print(f"{name:24}{rate:>18}" + "".join(f"{score:9.2f}" for score in scores) + f"{scores.mean():9.2f}")
        if index in (0, len(rates) - 1):
            print(f"{'':24}  (at the edge of the grid: widen it with --factors)")
        best[name] = scores
    print("\nReweighted wake-sleep above the others, each at its best learning rate, nats per row")
    reweighted, *others = best.items()
    for name, scores in others:
        pair = (reweighted[1], scores)
        difference = pair[0].mean() - pair[1].mean()
        error = np.sqrt(sum(each.var(ddof=1) / n_seeds for each in pair)) if n_seeds > 1 else np.nan
        print(f"{name:24}{difference:+9.2f}  (standard error over seeds {error:.2f})")


if __name__ == "__main__":
    main()
