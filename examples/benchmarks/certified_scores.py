"""How well the scores of trained machines are known, and what that costs.

Of machines trained on Mushrooms and on MNIST, with few particles and many, without annealing and with: the mean
log-likelihood of 100 validation rows and the seconds it took, and the certificate of 100 dreams: to within how many
nats the score is known, with its 95 % interval, and the median effective sample size. Estimates are too low rather than
too high, so that of one machine's the greatest is the nearest.

    python examples/benchmarks/certified_scores.py --data-dir DIR

DIR holds mushrooms.npz and mnist_fixed.npz, in the form that packed_rows.py describes.
"""

import argparse
import warnings
from pathlib import Path
from time import perf_counter

import numpy as np
from packed_rows import load

from skwakesleep import HelmholtzMachine

# Widths of the hidden layers, what sees its neighbours, and epochs. Plain machines are the ones that are hard to score.
MACHINES = {
    "mushrooms": [((100,), "prior", 60), ((40, 20, 10), "prior", 60)],
    "mnist_fixed": [((200,), None, 20), ((200, 200), None, 20), ((200, 200, 200), None, 20)],
}
# Particles, and the annealing steps that move each.
SETTINGS = [(128, 0), (1000, 0), (10_000, 0), (20, 50), (10, 100), (5, 200), (5, 1000)]
N_ROWS = 100


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="folder of mushrooms.npz and mnist_fixed.npz")
    folder = parser.parse_args().data_dir
    print(
        f"{'':28}{'particles':>10}{'steps':>7}{'score':>9}{'time':>9}{'known to within':>17}{'interval':>16}{'size':>7}"
    )
    for dataset, structures in MACHINES.items():
        path = folder / f"{dataset}.npz"
        if not path.is_file():
            parser.error(f"{path} is missing; packed_rows.py describes it.")
        train, valid, _ = load(path)
        for structure in structures:
            print_scores(dataset, trained(structure, train), valid[:N_ROWS])


def trained(structure, train):
    """Return a machine that has seen the training rows so many times."""
    widths, autoregressive, n_epochs = structure
    return HelmholtzMachine(widths, autoregressive=autoregressive, max_iter=n_epochs, tol=None, random_state=0).fit(
        train
    )


def print_scores(dataset, machine, rows):
    """Print the score and its certificate at every setting."""
    name = f"{dataset}, {'-'.join(map(str, machine.hidden_layer_sizes))}"
    for n_particles, n_steps in SETTINGS:
        machine.set_params(n_score_particles=n_particles, n_score_steps=n_steps)
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", UserWarning
            )  # that few particles have most of the weight: the table says it
            start = perf_counter()
            score = machine.score(rows)
            seconds = perf_counter() - start
            certificate = machine.certify(N_ROWS, random_state=0)
        low, high = certificate.width_interval
        print(
            f"{name:28}{n_particles:10d}{n_steps:7d}{score:9.2f}{seconds:7.1f} s{certificate.width:17.2f}"
            f"{f'{low:.2f} to {high:.2f}':>16}{np.median(certificate.effective_sizes):7.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
