"""Training on several machines against training on one: likelihood and communication.

Binarized digits of scikit-learn, a quarter of them held out, 100 hidden units. A local Dask cluster stands for the
machines: each of W workers keeps its part of the rows, trains a replica on it, and sends it back to be averaged.
Replicas take mini-batches of 100 / W rows, steps sqrt(W) times as long and a prior 1 / W times as strong, as the user
guide explains. A pass over the first hundred rows makes the machine that is replicated.

    python examples/benchmarks/data_parallel.py --seeds 5

About two minutes. Needs ``dask[distributed]``, no data. Seconds are meaningful only where every worker has a processor
of its own.
"""

import pickle

import numpy as np
from _harness import Table, make_parser, parse, timed
from dask.distributed import Client, LocalCluster
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skwakesleep import HelmholtzMachine
from skwakesleep.contrib.replicas import average, replicate

N_HIDDEN, BATCH, RATE = 100, 100, HelmholtzMachine().learning_rate_init
# Workers, and averages in an epoch.
RUNS = ((2, 1), (4, 1), (4, 2))


def main():
    parser = make_parser(__doc__, seeds=3)
    parser.add_argument("--epochs", type=int, default=30, help="passes over the rows (default: 30)")
    options = parse(parser, epochs=1, seeds=1)
    print("held-out log-likelihood in nats per image; kB and seconds of a round (of an epoch, with one worker)\n")
    columns = ("workers", "rounds per epoch", "nats", "loss", "largest loss", "kB", "seconds", "not training")
    table = Table(options, columns, label=8)
    alone = [train_alone(options, seed) for seed in range(options.seeds)]
    nats, seconds = map(np.array, zip(*alone, strict=True))
    table.row("1", None, nats.mean(), None, None, None, np.median(seconds), None)
    cluster = LocalCluster(n_workers=max(n for n, _ in RUNS), threads_per_worker=1, dashboard_address=None)
    with cluster, Client(cluster) as client:
        for n_workers, n_rounds in RUNS:
            runs = [train_on_cluster(options, seed, client, n_workers, n_rounds) for seed in range(options.seeds)]
            losses = nats - [score for score, _ in runs]
            n_bytes, total, elsewhere = np.mean([np.median(costs, axis=0) for _, costs in runs], axis=0)
            scores = nats.mean() - losses.mean(), losses.mean(), losses.max()
            table.row(str(n_workers), n_rounds, *scores, f"{n_bytes / 1e3:.0f}", total, elsewhere)


def digits(seed):
    X = (load_digits().data > 7.5).astype(np.float32)
    return train_test_split(X, test_size=0.25, random_state=seed)


def machine(n_workers, seed):
    rate, batch, alpha = RATE * n_workers**0.5, BATCH // n_workers, 1 / n_workers
    return HelmholtzMachine(N_HIDDEN, learning_rate_init=rate, batch_size=batch, alpha=alpha, random_state=seed)


def train(replica, rows):
    """Train a replica for an epoch where its rows are; return it with the seconds that took."""
    return timed(replica.partial_fit, rows)


def train_alone(options, seed):
    """Return the held-out score of one machine, and the seconds of each epoch."""
    training, held_out = digits(seed)
    fitted = machine(1, seed)
    seconds = [train(fitted, training)[1] for _ in range(options.epochs)]
    return fitted.score(held_out), seconds


def train_on_cluster(options, seed, client, n_workers, n_rounds):
    """Return the held-out score, and for each round its bytes, its seconds, and those not spent on training."""
    training, held_out = digits(seed)
    workers = list(client.scheduler_info(n_workers=-1)["workers"])[:n_workers]
    parts = np.array_split(np.random.default_rng(seed).permutation(training), n_workers)
    held = [
        [client.scatter(part[start::n_rounds], workers=[worker]) for part, worker in zip(parts, workers, strict=True)]
        for start in range(n_rounds)
    ]
    fitted = machine(n_workers, seed).partial_fit(training[:BATCH])
    costs = []
    for shares in held * options.epochs:
        (fitted, trained, seconds), total = timed(train_round, client, fitted, shares, workers)
        n_bytes = 2 * sum(len(pickle.dumps(replica)) for replica in trained)  # there and back
        costs.append((n_bytes, total, total - max(seconds)))
    return fitted.score(held_out), costs


def train_round(client, fitted, shares, workers):
    """Train a replica on each worker; return their average, the replicas and the seconds of each."""
    futures = [
        client.submit(train, replica, rows, workers=[worker], pure=False)
        for replica, rows, worker in zip(replicate(fitted, len(workers)), shares, workers, strict=True)
    ]
    trained, seconds = zip(*client.gather(futures), strict=True)
    return average(trained), trained, seconds


if __name__ == "__main__":
    main()
