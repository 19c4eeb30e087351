"""How well log-likelihoods are known: estimators, bounds and certificates beside exact values.

Machines with random generative networks, small enough to sum over all their states, whose recognition networks have
learned from dreams. Four tables:

1. importance sampling at 100 particles: how far below the exact value, in nats per row;
2. annealed importance sampling started from the recognition network and from the prior, at equal particles and steps:
   the mean absolute error of a row;
3. certificates: how often the interval covers the exact mean log-likelihood of the dreams, how often the bounds are out
   of order by more than three standard errors, and how wide the interval is;
4. two candidates of a grid search: the Monte-Carlo error of the difference of their scores, with random numbers in
   common, as `score` has them, and with each their own.

    python examples/benchmarks/likelihood.py [--machines 200]
"""

import argparse

import numpy as np
from sklearn.datasets import load_digits

from skwakesleep import HelmholtzMachine
from skwakesleep._engine.arrays.random import CommonNoise, FineNoise, Streams
from skwakesleep._engine.arrays.workspace import Workspace
from skwakesleep._engine.machine.families import Bernoulli
from skwakesleep._engine.machine.networks import Machine
from skwakesleep._engine.machine.rows import Batch
from skwakesleep._engine.machine.wake_sleep import WakeSleep
from skwakesleep._engine.posterior import certification
from skwakesleep._engine.posterior.annealing import AnnealedImportanceSampling
from skwakesleep._engine.posterior.enumeration import Enumeration
from skwakesleep._engine.training.optimizers import Adam

EVERYWHERE = ("prior", "visible", "hidden", "recognition")
KINDS = [((8, 6), ()), ((16, 6, 4), ("prior",)), ((6, 5, 3), EVERYWHERE), ((24, 10), ())]
N_DREAMS = 50


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--machines", type=int, default=200, help="number of random machines (default: 200)")
    args = parser.parse_args()
    machines = [random_machine(*KINDS[seed % len(KINDS)], seed) for seed in range(args.machines)]
    print_gaps(machines)
    print_starts()
    print_certificates(machines)
    print_pairing()


def random_machine(sizes, autoregressive, seed, scale=1.0, n_lessons=150):
    """Return a machine with normal parameters, and its recognition network as its dreams have taught it."""
    rng = np.random.default_rng(seed)
    machine = Machine(Bernoulli(), sizes, n_active=1.0, autoregressive=autoregressive)
    flat = scale * rng.standard_normal(machine.layout.size)
    for views in machine.layout.bind(flat).values():
        if "triangle" in views:
            views["triangle"][...] = np.triu(views["triangle"], k=1)
    machine.recognition_part(flat)[...] = 0
    lesson = WakeSleep(machine, flat, n_particles=1, recognition_update="sleep", alpha=0.0, streams=Streams(seed))
    optimizer, gradient = Adam(0.1, np.ones_like(flat)), np.zeros_like(flat)
    for _ in range(n_lessons):
        lesson(Batch.dense(np.zeros((100, sizes[0]))))
        machine.recognition_part(gradient)[...] = machine.recognition_part(lesson.gradient)
        optimizer.ascend(flat, gradient)
    return machine, flat


def dreams_of(machine, flat, noise, n_dreams=N_DREAMS):
    """Return dreams and their exact log-likelihoods."""
    theta = machine.bind(flat)
    *_, x = machine.generative.sample(theta.generative, None, (n_dreams,), noise, Workspace())
    return x.copy(), Enumeration(machine, theta, Workspace())(x).log_likelihood


def sampler(machine, flat, n_particles, n_steps=0, seed=0, **options):
    noise = FineNoise(np.random.default_rng(seed))
    return AnnealedImportanceSampling(
        machine, machine.bind(flat), Workspace(), n_particles, n_steps, noise=lambda: noise, **options
    )


def print_gaps(machines):
    gaps = []
    for seed, (machine, flat) in enumerate(machines):
        x, exact = dreams_of(machine, flat, FineNoise(np.random.default_rng(seed)))
        gaps.append((exact - sampler(machine, flat, 100)(x).log_likelihood).mean())
    print(f"1. Importance sampling, 100 particles, {len(machines)} machines: nats per row below the exact value")
    print(f"   mean {np.mean(gaps):.4f}, median {np.median(gaps):.4f}, 95th percentile {np.quantile(gaps, 0.95):.4f}")


def print_starts():
    print("\n2. Annealed importance sampling, 20 particles: mean absolute error of a row in nats")
    print(f"   {'machine':>14}{'steps':>7}{'from recognition':>18}{'from the prior':>16}{'ratio':>8}")
    for sizes in (16, 10), (60, 10), (120, 10), (120, 7, 4):
        machine, flat = random_machine(sizes, (), 5, scale=0.8)
        x, exact = dreams_of(machine, flat, FineNoise(np.random.default_rng(2)))
        for n_steps in 0, 5, 20, 100:
            near, far = (
                np.abs(sampler(machine, flat, 20, n_steps, start=start)(x).log_likelihood - exact).mean()
                for start in ("recognition", "prior")
            )
            print(f"   {'-'.join(map(str, sizes)):>14}{n_steps:7d}{near:18.3f}{far:16.3f}{far / near:8.1f}")


def print_certificates(machines):
    print(f"\n3. Certificates from {N_DREAMS} dreams, 95 % confidence, {len(machines)} machines")
    print(
        f"   {'particles':>9}{'steps':>7}{'covered':>9}{'out of order':>14}{'median width':>14}{'effective size':>16}"
    )
    choose = certification.choose
    try:
        certification.choose = lambda machine, theta, *setting, noise: AnnealedImportanceSampling(
            machine, theta, Workspace(), *setting, noise=noise
        )
        for n_particles, n_steps in (10, 0), (100, 0), (1000, 0), (10, 10), (20, 50):
            print_coverage(machines, n_particles, n_steps)
    finally:
        certification.choose = choose


def print_coverage(machines, n_particles, n_steps):
    covered = disordered = 0
    widths, sizes = [], []
    for seed, (machine, flat) in enumerate(machines):
        entropy = [seed, 1]
        certificate = certification.certify(
            machine, flat, entropy, n_dreams=N_DREAMS, n_particles=n_particles, n_steps=n_steps
        )
        # The dreams are those that the certificate is about: it draws them from this stream.
        dreaming = FineNoise(np.random.default_rng(np.random.SeedSequence(entropy).spawn(2)[0]))
        exact = dreams_of(machine, flat, dreaming)[1].mean()
        low, high = certificate.interval
        covered += low <= exact <= high
        errors = (certificate.lower - low) / 1.96, (high - certificate.upper) / 1.96
        disordered += certificate.lower - exact > 3 * errors[0] or exact - certificate.upper > 3 * errors[1]
        widths.append(certificate.width)
        sizes.append(np.median(certificate.effective_sizes))
    print(
        f"   {n_particles:9d}{n_steps:7d}{covered / len(machines):9.1%}{disordered:14d}{np.median(widths):14.3f}"
        f"{np.median(sizes):16.1f}"
    )


def print_pairing(n_seeds=20):
    X = (load_digits().data > 7).astype(float)
    train, test = X[:1200], X[1200:1500]
    base = {"hidden_layer_sizes": 32, "max_iter": 20, "tol": None, "n_score_particles": 32, "random_state": 0}
    candidates = {
        "an epoch more": {"max_iter": 21},
        "alpha=1e-5": {"alpha": 1e-5},
        "alpha=1e-3": {"alpha": 1e-3},
        "half the learning rate": {"learning_rate_init": 0.1},
        "another random_state": {"random_state": 1},
    }
    print("\n4. Candidates of a grid search on scikit-learn's digits: scores less the default's in nats, and errors")
    names = "difference", "common", "own", "factor", "paired", "unpaired", "factor"
    print(f"   {'':24}{'':11}{'Monte-Carlo':^33}{'over rows':^33}")
    print(f"   {'':24}" + "".join(f"{name:>11}" for name in names))
    reference = scores_over_seeds(HelmholtzMachine(**base), train, test, n_seeds)
    for name, change in candidates.items():
        scores = scores_over_seeds(HelmholtzMachine(**(base | change)), train, test, n_seeds)
        means = scores.mean(axis=1), reference.mean(axis=1)
        common, own = np.std(means[0] - means[1], ddof=1), np.hypot(*(mean.std(ddof=1) for mean in means))
        paired, unpaired = (scores - reference)[0].std(), np.hypot(scores[0].std(), reference[0].std())
        paired, unpaired = paired / np.sqrt(len(test)), unpaired / np.sqrt(len(test))
        figures = (means[0] - means[1]).mean(), common, own, own / common, paired, unpaired, unpaired / paired
        print(f"   {name:24}" + "".join(f"{figure:11.4f}" for figure in figures))


def scores_over_seeds(machine, train, test, n_seeds):
    """Return log-likelihoods of the test rows with so many tables of common random numbers, ``(n_seeds, n_rows)``."""
    machine.fit(train)
    seed_of_all, scores = CommonNoise.SEED, []
    try:
        for CommonNoise.SEED in range(n_seeds):
            scores.append(machine.score_samples(test))
    finally:
        CommonNoise.SEED = seed_of_all
    return np.array(scores)


if __name__ == "__main__":
    main()
