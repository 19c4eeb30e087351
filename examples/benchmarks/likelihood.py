"""How well log-likelihoods are known: estimates, their starts, certificates and differences.

All in nats per row. The first three tables compare with exact values: machines of 15 latents, which the package scores
by sampling, are trained on rows from random networks, and summed over their states here.

gaps           how far scores by importance sampling with 100 particles are below the exact value.
starts         annealed importance sampling from the recognition network, and from a recognition network that ignores
               the row (with one hidden layer, the prior): the mean absolute error of a row.
certificates   how often the interval of `certify` covers the exact mean log-likelihood of the dreams, how often the
               bounds are out of order by more than three standard errors, and how wide the interval is.
differences    candidates of a grid search on scikit-learn's digits, beside the default: Monte-Carlo errors of two
               scores and of their difference, with the random numbers in common that `score` has; and standard errors
               over the rows, of the paired and of the unpaired difference.
trained        machines trained on Mushrooms and on MNIST: the score of 100 validation rows, the seconds it took, and
               the width of the certificate of 100 dreams. Scores are too low rather than too high, so that of one
               machine's the greatest is the nearest.

    python examples/benchmarks/likelihood.py --tables gaps starts certificates differences
    python examples/benchmarks/likelihood.py --tables trained --data-dir DIR

The first form takes about four minutes on one core, the second a quarter of an hour. The second
needs mushrooms.npz and mnist_fixed.npz.
"""

from copy import deepcopy

import numpy as np
from _harness import Table, load_binary, make_parser, parse, print_tables, quiet, timed
from scipy.special import expit, logit, logsumexp
from sklearn.datasets import load_digits
from sklearn.utils import check_random_state

from skwakesleep import HelmholtzMachine

EVERYWHERE = ("prior", "visible", "hidden", "recognition")
# Columns, hidden layers and autoregressive layers.
KINDS = [(8, (15,), None), (16, (9, 6), "prior"), (6, (9, 6), EVERYWHERE), (24, (15,), None)]
N_DREAMS = 50

# Hidden layers, autoregressive layers and epochs. Machines without autoregressive connections are the hardest to score.
TRAINED = {
    "mushrooms": [((100,), "prior", 60), ((40, 20, 10), "prior", 60)],
    "mnist_fixed": [((200,), None, 20), ((200, 200), None, 20), ((200, 200, 200), None, 20)],
}
# Particles, and the annealing steps of each.
SETTINGS = [(128, 0), (1000, 0), (10_000, 0), (20, 50), (10, 100), (5, 200), (5, 1000)]
QUICK_TRAINED = {"mushrooms": [((20, 10), "prior", 1)]}


def main():
    parser = make_parser(__doc__, seeds=10, data="mushrooms.npz and mnist_fixed.npz", tables=TABLES)
    parser.add_argument("--machines", type=int, default=200, help="number of machines of the first and third table")
    options = parse(parser, machines=4, seeds=2)
    with quiet():
        print_tables(TABLES, options)


# ---------------------------------------------------------------------- machines and their exact likelihood


def trained_on_random_network(
    n_features, hidden_layer_sizes, autoregressive, seed, *, scale=3.0, n_rows=500, max_iter=60
):
    """Return a machine trained on rows from a network of one layer with normal weights."""
    rng = np.random.default_rng(seed)
    causes = rng.random((n_rows, sum(hidden_layer_sizes))) < 0.5
    weights = scale * rng.standard_normal((causes.shape[1], n_features))
    X = (rng.random((n_rows, n_features)) < expit((causes - 0.5) @ weights)).astype(float)
    machine = HelmholtzMachine(hidden_layer_sizes, autoregressive=autoregressive, random_state=seed)
    return machine.set_params(max_iter=max_iter, tol=None).fit(X)


def random_machines(options):
    """Yield machines of all kinds in turn, and the seed of each."""
    for seed in range(options.machines):
        yield trained_on_random_network(*KINDS[seed % len(KINDS)], seed), seed


def generative_layers(machine):
    """Return weights, intercept and autoregressive weights of each layer, top down; the prior has no weights."""
    laterals = machine.autoregressive_coefs_
    layers = [(None, machine.prior_intercept_, laterals.get("prior"))]
    for depth, coefs in reversed(list(enumerate(machine.generative_coefs_))):
        layers.append((coefs, machine.generative_intercepts_[depth], laterals.get(f"generative.{depth}")))
    return layers


def exact_log_likelihood(machine, X):
    """Return the log-likelihood of each row by summing over all states of the hidden layers, top down."""
    *hidden, visible = generative_layers(machine)
    states, log_prob = np.zeros((1, 0)), np.zeros(1)
    for targets, layer in [*((None, layer) for layer in hidden), (X, visible)]:
        weights, intercept, triangle = layer
        natural = intercept[np.newaxis] if weights is None else states @ weights + intercept
        states = all_states(len(intercept)) if targets is None else targets
        log_prob = logsumexp(log_prob[:, np.newaxis] + log_bernoulli(natural, triangle, states), axis=0)
    return log_prob


def all_states(n_units):
    return (np.arange(2**n_units)[:, np.newaxis] >> np.arange(n_units) & 1).astype(float)


def log_bernoulli(natural, triangle, targets):
    """Return ``log p(target | natural)`` for each pair of rows of `natural` and `targets`."""
    linear = natural @ targets.T
    if triangle is None:
        return linear - np.logaddexp(0, natural).sum(axis=1)[:, np.newaxis]
    laterals = targets @ triangle
    normalizers = [np.logaddexp(0, natural + lateral).sum(axis=1) for lateral in laterals]
    return linear + (targets * laterals).sum(axis=1) - np.stack(normalizers, axis=1)


def dreams_of_certificate(machine, seed):
    """Return the dreams that ``machine.certify(N_DREAMS, random_state=seed)`` draws, from the same random numbers."""
    entropy = check_random_state(seed).randint(2**31, size=4).tolist()
    rng = np.random.default_rng(np.random.SeedSequence(entropy).spawn(2)[0])
    units = None
    for weights, intercept, triangle in generative_layers(machine):
        natural = np.broadcast_to(
            intercept if weights is None else units @ weights + intercept, (N_DREAMS, len(intercept))
        )
        uniforms, units = rng.random(natural.shape), np.zeros(natural.shape)
        for unit, uniform in enumerate(uniforms.T):
            lateral = 0 if triangle is None else units @ triangle[:, unit]
            units[:, unit] = uniform < expit(natural[:, unit] + lateral)
    return units


def check_dreams():
    """Stop unless the dreams are those of the certificate, which is exact for a machine of few latents."""
    machine = trained_on_random_network(6, (5, 3), EVERYWHERE, 0, max_iter=5)
    exact = exact_log_likelihood(machine, dreams_of_certificate(machine, seed=1)).mean()
    if not np.isclose(machine.certify(N_DREAMS, random_state=1).lower, exact):
        raise AssertionError("certify() draws its dreams in another way: adapt dreams_of_certificate to it")


# ---------------------------------------------------------------------- tables


def gaps(options):
    """nats per row that importance sampling with 100 particles is below the exact value"""
    below = []
    for machine, seed in random_machines(options):
        X = machine.set_params(n_score_particles=100).sample(N_DREAMS, random_state=seed)
        below.append((exact_log_likelihood(machine, X) - machine.score_samples(X)).mean())
    table = Table(options, ("machines", "mean", "median", "95th percentile"), label=10, digits=4)
    table.row(str(len(below)), np.mean(below), np.median(below), np.quantile(below, 0.95))


def starts(options):
    """mean absolute error of a row in nats, annealed importance sampling with 20 particles"""
    table = Table(options, ("machine", "steps", "recognition", "ignoring the row", "ratio"), label=10)
    for n_features, hidden in [(16, (15,)), (60, (15,)), (120, (15,)), (120, (9, 6))][: 1 if options.quick else None]:
        machine = trained_on_random_network(n_features, hidden, None, 5, scale=1.0, n_rows=2000, max_iter=30)
        X = machine.sample(N_DREAMS, random_state=2)
        exact = exact_log_likelihood(machine, X)
        for n_steps in (0, 5, 20, 100):
            errors = [
                np.abs(each.set_params(n_score_particles=20, n_score_steps=n_steps).score_samples(X) - exact).mean()
                for each in (machine, ignoring_the_row(machine))
            ]
            name = "-".join(map(str, (n_features, *hidden)))
            table.row(name, n_steps, *errors, errors[1] / errors[0])


def ignoring_the_row(machine):
    """Return a machine whose first hidden units are inferred with their mean, whatever the row."""
    rng = np.random.default_rng(0)
    *hidden, _ = generative_layers(machine)
    chances = expit(hidden[0][1])
    for weights, intercept, _ in hidden[1:]:
        units = rng.random((10_000, len(chances))) < chances
        chances = expit(units @ weights + intercept)
    other = deepcopy(machine)
    other.recognition_coefs_[0][...] = 0
    other.recognition_intercepts_[0][...] = logit(chances.mean(axis=0) if chances.ndim > 1 else chances)
    return other


def certificates(options):
    """intervals of 95 % confidence from 50 dreams"""
    check_dreams()
    machines = [
        (machine, seed, exact_log_likelihood(machine, dreams_of_certificate(machine, seed)).mean())
        for machine, seed in random_machines(options)
    ]
    columns = ("particles", "steps", "covered", "out of order", "median width", "effective size")
    table = Table(options, columns, label=10)
    for n_particles, n_steps in ((10, 0), (100, 0), (1000, 0), (10, 10), (20, 50)):
        covered = disordered = 0
        widths, sizes = [], []
        for machine, seed, exact in machines:
            machine.set_params(n_score_particles=n_particles, n_score_steps=n_steps)
            certificate = machine.certify(N_DREAMS, random_state=seed)
            low, high = certificate.interval
            covered += low <= exact <= high
            errors = (certificate.lower - low) / 1.96, (high - certificate.upper) / 1.96
            disordered += certificate.lower - exact > 3 * errors[0] or exact - certificate.upper > 3 * errors[1]
            widths.append(certificate.width)
            sizes.append(np.median(certificate.effective_sizes))
        share = f"{covered / len(machines):.1%}"
        table.row(str(n_particles), n_steps, share, disordered, np.median(widths), f"{np.median(sizes):.1f}")


def differences(options):
    """scores less the default's at 32 particles, and errors; Monte-Carlo errors are the spread over seeds"""
    X = (load_digits().data > 7).astype(float)
    train, test = X[:1200], X[1200:1300] if options.quick else X[1200:1500]
    candidates = {
        "an epoch more": {"max_iter": 21},
        "a third of alpha": {"alpha": 1 / 3},
        "three times alpha": {"alpha": 3},
        "half the learning rate": {"learning_rate_init": 0.2},
        "another random_state": {},
    }

    def scores(seed, **change):
        """Return scores with few particles, and their Monte-Carlo errors, which many particles tell."""
        settings = {"max_iter": 20, "random_state": seed} | change
        machine = HelmholtzMachine(32, tol=None, **settings).fit(train)
        few, many = (machine.set_params(n_score_particles=n).score_samples(test) for n in (32, 4096))
        return few, few - many

    columns = ("candidate", "difference", "MC common", "MC own", "ratio", "paired", "unpaired", "ratio")
    table = Table(options, columns, label=24)
    default = [scores(seed) for seed in range(options.seeds)]
    for name, change in candidates.items():
        start = options.seeds if name == "another random_state" else 0
        other = [scores(start + seed, **change) for seed in range(options.seeds)]
        errors = np.array([[each[1].mean() for each in side] for side in (other, default)])
        common, own = np.std(errors[0] - errors[1], ddof=1), np.hypot(*errors.std(axis=1, ddof=1))
        rows = [np.array([each[0] for each in side]) for side in (other, default)]
        paired = (rows[0] - rows[1]).std(axis=1).mean() / np.sqrt(len(test))
        unpaired = np.hypot(*(row.std(axis=1).mean() for row in rows)) / np.sqrt(len(test))
        table.row(name, (rows[0] - rows[1]).mean(), common, own, own / common, paired, unpaired, unpaired / paired)


def trained(options):
    """scores of 100 validation rows, their seconds, and to within how many nats they are known"""
    columns = ("machine", "particles", "steps", "score", "seconds", "known to within", "interval", "effective size")
    table = Table(options, columns, digits=2)
    for dataset, structures in (QUICK_TRAINED if options.quick else TRAINED).items():
        train, valid, _ = load_binary(options, dataset)
        for widths, autoregressive, n_epochs in structures:
            machine = HelmholtzMachine(widths, autoregressive=autoregressive, max_iter=n_epochs, random_state=0)
            machine.set_params(tol=None).fit(train)
            for n_particles, n_steps in SETTINGS[: 2 if options.quick else None]:
                machine.set_params(n_score_particles=n_particles, n_score_steps=n_steps)
                score, seconds = timed(machine.score, valid[:100])
                certificate = machine.certify(100, random_state=0)
                interval = "{:.2f} to {:.2f}".format(*certificate.width_interval)
                name = f"{dataset}, {'-'.join(map(str, widths))}"
                size = f"{np.median(certificate.effective_sizes):.1f}"
                table.row(name, n_particles, n_steps, score, seconds, certificate.width, interval, size)


TABLES = {
    "gaps": gaps,
    "starts": starts,
    "certificates": certificates,
    "differences": differences,
    "trained": trained,
}

if __name__ == "__main__":
    main()
