"""What training on several machines costs, in likelihood and in communication, against training on one.

Binarized digits of scikit-learn, a quarter of them held out, 100 hidden units. A local Dask cluster stands for the
machines: each of W workers keeps its part of the rows, trains a replica on it, and sends it back to be averaged.
Replicas take mini-batches of 100 / W rows and steps sqrt(W) times as long; the user guide says why, under "Growing past
one machine". A pass over the first hundred rows makes the machine that is replicated.

    python examples/benchmarks/data_parallel.py [--epochs 30] [--seeds 3]

Needs ``dask[distributed]``. Seconds are honest only where every worker has a processor of its own.
"""

import argparse
import pickle
from time import perf_counter

import numpy as np
from dask.distributed import Client, LocalCluster
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skwakesleep import HelmholtzMachine
from skwakesleep.contrib.replicas import average, replicate

N_HIDDEN, BATCH, RATE = 100, 100, 0.2
# Workers, and how often they are averaged in an epoch.
RUNS = ((2, 1), (4, 1), (4, 2))


def digits(seed):
    X = (load_digits().data > 7.5).astype(np.float32)
    return train_test_split(X, test_size=0.25, random_state=seed)


def machine(n_workers, seed):
    rate, batch = RATE * n_workers**0.5, BATCH // n_workers
    return HelmholtzMachine(N_HIDDEN, learning_rate_init=rate, batch_size=batch, random_state=seed)


def train(replica, rows):
    """Train a replica for an epoch where its rows are; return it with the seconds that took."""
    started = perf_counter()
    replica.partial_fit(rows)
    return replica, perf_counter() - started


def train_on_cluster(client, X, n_workers, n_epochs, n_rounds, seed):
    """Return the machine, and for each round its bytes, its seconds, and those not spent on training."""
    workers = list(client.scheduler_info(n_workers=-1)["workers"])[:n_workers]
    parts = np.array_split(np.random.default_rng(seed).permutation(X), n_workers)
    held = [
        [client.scatter(part[start::n_rounds], workers=[worker]) for part, worker in zip(parts, workers, strict=True)]
        for start in range(n_rounds)
    ]
    fitted = machine(n_workers, seed).partial_fit(X[:BATCH])
    costs = []
    for shares in held * n_epochs:
        started = perf_counter()
        futures = [
            client.submit(train, replica, rows, workers=[worker], pure=False)
            for replica, rows, worker in zip(replicate(fitted, n_workers), shares, workers, strict=True)
        ]
        trained, seconds = zip(*client.gather(futures), strict=True)
        fitted = average(trained)
        total = perf_counter() - started
        n_bytes = 2 * sum(len(pickle.dumps(replica)) for replica in trained)  # there and back
        costs.append((n_bytes, total, total - max(seconds)))
    return fitted, np.array(costs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    alone, seconds = [], []
    for seed in range(options.seeds):
        training, held_out = digits(seed)
        fitted = machine(1, seed)
        seconds += [train(fitted, training)[1] for _ in range(options.epochs)]
        alone.append(fitted.score(held_out))
    print(f"{options.epochs} epochs, {options.seeds} seeds; held-out log-likelihood in nats per image\n")
    print("| workers | rounds per epoch | nats | less than alone | kB per round | s per round | not training |")
    print("|---|---|---|---|---|---|---|")
    print(f"| 1 | | {np.mean(alone):.2f} | | | {np.median(seconds):.3f} per epoch | |")
    n_workers = max(n for n, _ in RUNS)
    with (
        LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        for n_workers, n_rounds in RUNS:
            losses, costs = [], []
            for seed in range(options.seeds):
                training, held_out = digits(seed)
                fitted, rounds = train_on_cluster(client, training, n_workers, options.epochs, n_rounds, seed)
                losses.append(alone[seed] - fitted.score(held_out))
                costs.append(np.median(rounds, axis=0))
            n_bytes, total, elsewhere = np.mean(costs, axis=0)
            row = (f"{np.mean(alone) - np.mean(losses):.2f}", f"{np.mean(losses):.3f} (at most {max(losses):.3f})")
            cost = (f"{n_bytes / 1e3:.0f}", f"{total:.3f}", f"{elsewhere:.3f}")
            print("|", " | ".join((str(n_workers), str(n_rounds), *row, *cost)), "|", flush=True)


if __name__ == "__main__":
    main()
