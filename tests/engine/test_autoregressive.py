"""Autoregressive layers: draws and log-probabilities must use the same triangle.

Every log-probability is compared with one computed here by the chain rule, unit by unit. Frequencies are compared by a
chi-square test at p > 1e-3 with fixed seeds; its negative control, the transposed triangle, must fail it.
"""

from itertools import product

import numpy as np
import pytest
from scipy.stats import chisquare

from skwakesleep import HelmholtzMachine
from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.arrays.random import CoarseNoise, CommonNoise, FineNoise, Streams
from skwakesleep._engine.machine.families import Bernoulli, Gaussian
from skwakesleep._engine.machine.layers import Layer, Units
from skwakesleep._engine.machine.rows import Rows, Visible
from skwakesleep._engine.posterior.annealing import AnnealedImportanceSampling
from skwakesleep._engine.posterior.enumeration import all_states
from skwakesleep._engine.posterior.likelihood import estimate
from tests.engine.machines import EVERYWHERE, VARIANCE_FLOOR, columns_of, random_machine, wake_sleep

pytestmark = pytest.mark.statistical

N_DRAWS = 20_000
N_UNITS, N_PARENTS = 4, 3
FAMILIES = {
    "bernoulli": Bernoulli(),
    "gaussian": Gaussian(np.full(N_UNITS, VARIANCE_FLOOR)),
    "mixed": columns_of("mixed", N_UNITS),
}


def autoregressive_layer(family, with_parents):
    """Return a layer of four units, with or without three parents."""
    units, parents = (Units(family, n, np.full(n, 0.5), 1.0) for n in (N_UNITS, N_PARENTS))
    return Layer("layer", units, parents if with_parents else None, autoregressive=True)


def random_params(layer, rng):
    """Return random parameters of a layer, its triangle strictly upper."""
    params = {name: rng.normal(size=shape) for name, shape in layer.shapes().items()}
    params["triangle"] = np.triu(2 * params["triangle"], k=1)
    return params


def chain_rule(params, parent, target):
    """Return the log-probability of binary units, one after the other."""
    total = 0.0
    for unit, value in enumerate(target):
        logit = params["intercept"][unit]
        if "triangle" in params:
            logit += sum(target[i] * params["triangle"][i, unit] for i in range(unit))
        if parent is not None:
            logit += sum(p * w for p, w in zip(parent, params["weights"][:, unit], strict=True))
        total -= np.log1p(np.exp(-logit if value else logit))
    return total


def by_hand(machine, flat, x):
    """Return log p(x) by enumeration of every hidden state and the chain rule."""
    params = machine.views(flat).generative
    joint = []
    for states in product(*(all_states(n, float) for n in machine.hidden_sizes[::-1])):
        chain = [*states, x]
        joint.append(sum(chain_rule(t, p, c) for t, p, c in zip(params, [None, *chain[:-1]], chain, strict=True)))
    return np.logaddexp.reduce(joint)


def exact(machine, flat, X):
    rows = Rows(X, machine.columns, float, NumpyBackend())
    return estimate(machine, flat, rows, NumpyBackend(), n_particles=1).log_likelihood


NOISES = {
    "fine": lambda n: FineNoise(np.random.default_rng(0)),
    "coarse": lambda n: CoarseNoise(Streams(0)["dreams"], NumpyBackend()),
    "common": lambda n: CommonNoise(N_DRAWS, n),
}


@pytest.mark.parametrize("with_parents", [False, True])
@pytest.mark.parametrize("noise", NOISES)
def test_frequencies_match_probabilities_which_sum_to_one(noise, with_parents, rng):
    layer = autoregressive_layer(Bernoulli(), with_parents)
    params, states = random_params(layer, rng), all_states(N_UNITS, float)
    parent = rng.integers(2, size=(1, 1, N_PARENTS)).astype(float) if with_parents else None
    units = layer.bind(params, NumpyBackend()).sample(parent, (1, N_DRAWS), NOISES[noise](N_UNITS))
    counts = np.bincount((units[0] @ 2 ** np.arange(N_UNITS)).astype(int), minlength=2**N_UNITS)

    def probabilities(triangle):
        bound = layer.bind(params | {"triangle": triangle}, NumpyBackend())
        return np.exp(bound.log_prob(parent, states[np.newaxis]))[0]

    def p_value(expected):
        return chisquare(counts, N_DRAWS * expected / expected.sum()).pvalue

    right, transposed = probabilities(params["triangle"]), probabilities(params["triangle"].T)
    assert right.sum() == pytest.approx(1, abs=1e-12)
    assert p_value(right) > 1e-3
    assert p_value(transposed) < 1e-3


@pytest.mark.parametrize("shape", [(6, 1), (6, 5)])
def test_log_prob_is_the_chain_rule(shape, rng):
    layer = autoregressive_layer(Bernoulli(), with_parents=True)
    params = random_params(layer, rng)
    parent, target = (rng.integers(2, size=(*shape, n)).astype(float) for n in (N_PARENTS, N_UNITS))
    pairs = zip(parent.reshape(-1, N_PARENTS), target.reshape(-1, N_UNITS), strict=True)
    expected = [chain_rule(params, p, t) for p, t in pairs]
    bound = layer.bind(params, NumpyBackend())
    for log_prob in bound.log_prob(parent, target), bound.evaluate(parent, target).log_prob:
        np.testing.assert_allclose(log_prob.ravel(), expected, rtol=1e-12)


@pytest.mark.parametrize("n_dropped", [0, 3], ids="dropped={}".format)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("parent_shape", "target_shape"),
    [((6, 1), (6, 1)), ((6, 5), (6, 5)), ((6, 1), (6, 5)), ((6, 5), (6, 1)), (None, (6, 5))],
    ids=str,
)
def test_gradient_is_the_slope(family, parent_shape, target_shape, n_dropped, rng):
    layer = autoregressive_layer(FAMILIES[family], parent_shape is not None)
    params = random_params(layer, rng)
    parent = rng.normal(size=(*parent_shape, N_PARENTS)) if parent_shape else None
    target = rng.random((*target_shape, N_UNITS))
    if "log_variance" in params:
        params["log_variance"] += 4  # residuals of more than ten standard deviations would be clipped
    weights = rng.random(np.broadcast_shapes(parent_shape or (1, 1), target_shape))
    weights.flat[:n_dropped] = 0
    grad = {name: np.empty(shape) for name, shape in layer.shapes().items()}
    bound = layer.bind(params, NumpyBackend())
    bound.gradient(bound.evaluate(parent, target), weights, grad)

    def objective():
        return (weights * bound.log_prob(parent, target)).sum()

    for name, array in params.items():
        for index in np.ndindex(array.shape):
            if name == "triangle" and index[0] >= index[1]:
                assert grad[name][index] == 0
                continue
            value = array[index]
            ends = []
            for step in (1e-5, -1e-5):
                array[index] = value + step
                ends.append(objective())
            array[index] = value
            assert grad[name][index] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("sizes", [(4, 3), (4, 2, 2), (3, 2, 2, 1)], ids=str)
@pytest.mark.parametrize("autoregressive", [("prior",), ("visible",), ("hidden",), EVERYWHERE], ids="-".join)
def test_enumeration_is_exact_and_sums_to_one(sizes, autoregressive, rng):
    machine, flat = random_machine(sizes, rng, autoregressive=autoregressive)
    X = all_states(sizes[0], float)
    log_likelihood = exact(machine, flat, X)
    assert np.exp(log_likelihood).sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(log_likelihood[:4], [by_hand(machine, flat, x) for x in X[:4]], rtol=1e-10)


def test_importance_sampling_tends_to_the_exact_value(rng):
    """The error is below 0.02 nats with 2^15 particles of a random proposal, and above 0.1 with one."""
    machine, flat = random_machine((5, 4, 3), rng, autoregressive=EVERYWHERE, scale=0.5)
    X = all_states(5, float)
    truth = exact(machine, flat, X)

    def worst(n_particles):
        networks = machine.bind(flat, NumpyBackend(by_row=True))
        particles = AnnealedImportanceSampling(machine, networks, n_particles)(Visible.dense(X))
        return np.abs(particles.log_likelihood - truth).mean()

    assert worst(2**15) < 0.02
    assert worst(1) > 0.1


def test_a_step_leaves_the_lower_triangle_at_zero(rng):
    machine, flat = random_machine((5, 4, 3), rng, autoregressive=EVERYWHERE)
    objective = wake_sleep(machine, flat, "both", 4, alpha=0.1)
    objective(Visible.dense(rng.integers(2, size=(8, 5)).astype(float)))
    for views in machine.layout.views(objective.gradient).values():
        assert (np.tril(views["triangle"]) == 0).all()
        assert (np.triu(views["triangle"], 1) != 0).any() or views["triangle"].size == 1


def test_an_autoregressive_prior_learns_the_correlation_of_causes():
    """Two causes that mostly agree, each of six columns: independent causes lose more than a fifth of a nat."""
    rng = np.random.default_rng(0)
    first = rng.integers(2, size=1000)
    second = np.where(rng.random(1000) < 0.15, 1 - first, first)
    columns = np.repeat(np.stack([first, second], axis=1), 6, axis=1)
    X = np.where(rng.random(columns.shape) < 0.05, 1 - columns, columns).astype(float)

    def score(autoregressive):
        machine = HelmholtzMachine(
            2, autoregressive=autoregressive, max_iter=60, tol=None, batch_size=20, random_state=0
        )
        return machine.fit(X).score(X)

    assert score("prior") > score(None) + 0.2


@pytest.mark.parametrize("autoregressive", ["prior", "visible", EVERYWHERE])
@pytest.mark.parametrize("family", ["bernoulli", "gaussian"])
def test_the_estimator_takes_every_placement(autoregressive, family):
    rng = np.random.default_rng(1)
    X = (rng.random((60, 5)) < 0.4).astype(float) if family == "bernoulli" else rng.normal(size=(60, 5))
    machine = HelmholtzMachine((4, 3), visible=family, autoregressive=autoregressive, max_iter=3, tol=None).fit(X)
    assert np.isfinite(machine.score_samples(X)).all()
    assert machine.sample(7, random_state=0).shape == (7, 5)
    H = machine.transform(X)
    assert np.isfinite(H).all()
    assert np.isfinite(H).all()
    assert machine.inverse_transform(H).shape == X.shape
    np.testing.assert_array_equal(machine.score_samples(X[::-1])[::-1], machine.score_samples(X))


@pytest.mark.parametrize("autoregressive", ["top", ("prior", "top"), (1,), ["prior"]])
def test_an_unknown_layer_is_named(autoregressive):
    with pytest.raises(ValueError, match=r"'autoregressive'.*prior"):
        HelmholtzMachine(2, autoregressive=autoregressive).fit(np.eye(3))
