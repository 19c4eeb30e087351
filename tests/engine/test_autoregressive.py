"""Autoregressive layers: what is drawn and what is evaluated must use the same triangle.

Every probability is compared with one computed here by the chain rule, unit after unit. Thresholds: relative errors as
stated; frequencies by a chi-square test at p > 1e-3 with fixed seeds, whose negative control, the transposed triangle,
must fail it.
"""

from itertools import product

import numpy as np
import pytest
from scipy.stats import chisquare

from skwakesleep import HelmholtzMachine
from skwakesleep._engine.arrays.random import CoarseNoise, CommonNoise, FineNoise, Streams
from skwakesleep._engine.arrays.workspace import Workspace
from skwakesleep._engine.machine.families import Bernoulli, Gaussian
from skwakesleep._engine.machine.layers import Layer
from skwakesleep._engine.machine.networks import Machine
from skwakesleep._engine.machine.rows import Batch, Rows
from skwakesleep._engine.machine.wake_sleep import WakeSleep
from skwakesleep._engine.posterior.likelihood import AnnealedImportanceSampling, all_states, log_likelihood
from tests.engine.machines import gaussian

EVERYWHERE = ("prior", "visible", "hidden", "recognition")
N_DRAWS = 20_000


def random_theta(layer, rng):
    """Return random parameters of a layer, its triangle strictly upper."""
    theta = {name: rng.normal(size=shape) for name, shape in layer.shapes().items()}
    theta["triangle"] = np.triu(2 * theta["triangle"], k=1)
    return theta


def random_machine(sizes, rng, autoregressive=EVERYWHERE):
    """Return a machine with random parameters."""
    machine = Machine(Bernoulli(), sizes, n_active=1.0, autoregressive=autoregressive)
    flat = rng.normal(size=machine.layout.size)
    for views in machine.layout.bind(flat).values():
        if "triangle" in views:
            views["triangle"][...] = np.triu(views["triangle"], k=1)
    return machine, flat


def chain_rule(theta, parent, target):
    """Return the log-probability of binary units, one after the other."""
    total = 0.0
    for unit, value in enumerate(target):
        logit = theta["intercept"][unit]
        if "triangle" in theta:
            logit += sum(target[i] * theta["triangle"][i, unit] for i in range(unit))
        if parent is not None:
            logit += sum(p * w for p, w in zip(parent, theta["weights"][:, unit], strict=True))
        total -= np.log1p(np.exp(-logit if value else logit))
    return total


def by_hand(machine, flat, x):
    """Return log p(x) by enumeration of every hidden state and the chain rule."""
    theta = machine.bind(flat).generative
    joint = []
    for states in product(*(all_states(n, float) for n in machine.sizes[:0:-1])):
        chain = [*states, x]
        joint.append(sum(chain_rule(t, p, c) for t, p, c in zip(theta, [None, *chain[:-1]], chain, strict=True)))
    return np.logaddexp.reduce(joint)


NOISES = {
    "fine": lambda n: FineNoise(np.random.default_rng(0)),
    "coarse": lambda n: CoarseNoise(Streams(0)["dreams"]),
    "common": lambda n: CommonNoise(N_DRAWS, n),
}


@pytest.mark.parametrize("n_parents", [0, 3])
@pytest.mark.parametrize("noise", NOISES)
def test_frequencies_match_probabilities_which_sum_to_one(noise, n_parents, rng):
    layer = Layer("layer", Bernoulli(), n_parents, 4, autoregressive=True)
    theta, states = random_theta(layer, rng), all_states(4, float)
    one = rng.integers(2, size=n_parents).astype(float) if n_parents else None
    parent = None if one is None else np.tile(one, (N_DRAWS, 1, 1))
    units = layer.sample(theta, parent, (N_DRAWS, 1), NOISES[noise](4), Workspace())
    counts = np.bincount((units[:, 0] @ 2 ** np.arange(4)).astype(int), minlength=16)

    def probabilities(triangle):
        above = None if one is None else np.tile(one, (16, 1))
        return np.exp(layer.log_prob(theta | {"triangle": triangle}, above, states, Workspace()))

    def p_value(expected):
        return chisquare(counts, N_DRAWS * expected / expected.sum()).pvalue

    right, crossed = probabilities(theta["triangle"]), probabilities(theta["triangle"].T)
    assert right.sum() == pytest.approx(1, abs=1e-12)
    assert p_value(right) > 1e-3
    assert p_value(crossed) < 1e-3


@pytest.mark.parametrize("shape", [(6,), (5, 6)])
def test_log_prob_is_the_chain_rule(shape, rng):
    layer = Layer("layer", Bernoulli(), 3, 4, autoregressive=True)
    theta = random_theta(layer, rng)
    parent, target = (rng.integers(2, size=(*shape, n)).astype(float) for n in (3, 4))
    expected = [chain_rule(theta, p, t) for p, t in zip(parent.reshape(-1, 3), target.reshape(-1, 4), strict=True)]
    for log_prob in (
        layer.log_prob(theta, parent, target, Workspace()),
        layer.evaluate(theta, parent, target, Workspace()).log_prob,
    ):
        np.testing.assert_allclose(log_prob.ravel(), expected, rtol=1e-12)


@pytest.mark.parametrize("n_dropped", [0, 3], ids="dropped={}".format)
@pytest.mark.parametrize("family", [Bernoulli(), gaussian(np.zeros(4), np.ones(4))], ids=["bernoulli", "gaussian"])
@pytest.mark.parametrize(
    ("parent_shape", "target_shape"),
    [((6,), (6,)), ((5, 6), (5, 6)), ((6,), (5, 6)), ((5, 6), (6,)), (None, (5, 6))],
    ids=str,
)
def test_gradient_is_the_slope(family, parent_shape, target_shape, n_dropped, rng):
    layer = Layer("layer", family, 3 if parent_shape else 0, 4, autoregressive=True)
    theta = random_theta(layer, rng)
    parent = rng.normal(size=(*parent_shape, 3)) if parent_shape else None
    target = rng.random((*target_shape, 4))
    if isinstance(family, Gaussian):
        theta["log_variance"] += 4  # residuals of more than ten standard deviations would be clipped
    weights = rng.random((5, 6) if (5, 6) in (parent_shape, target_shape) else (6,))
    weights.flat[:n_dropped] = 0
    grad = {name: np.empty(shape) for name, shape in layer.shapes().items()}
    layer.gradient(theta, layer.evaluate(theta, parent, target, Workspace()), weights, grad, Workspace())

    def objective():
        return (weights * layer.log_prob(theta, parent, target, Workspace())).sum()

    for name, array in theta.items():
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
    machine, flat = random_machine(sizes, rng, autoregressive)
    X = all_states(sizes[0], float)
    exact = log_likelihood(machine, flat, Rows(X, machine.visible, float), n_particles=1)
    assert np.exp(exact).sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(exact[:4], [by_hand(machine, flat, x) for x in X[:4]], rtol=1e-10)


def test_importance_sampling_tends_to_the_exact_value(rng):
    """Within 0.02 nat at 2^15 particles of a random proposal, from above 0.1 with one."""
    machine, flat = random_machine((5, 4, 3), rng)
    flat *= 0.5
    X = all_states(5, float)
    exact = log_likelihood(machine, flat, Rows(X, machine.visible, float), n_particles=1)

    def worst(n_particles):
        estimate = AnnealedImportanceSampling(machine, machine.bind(flat), Workspace(), n_particles)(X)
        return np.abs(estimate.log_likelihood - exact).mean()

    assert worst(2**15) < 0.02
    assert worst(1) > 0.1


def test_a_step_leaves_the_lower_triangle_at_zero(rng):
    machine, flat = random_machine((5, 4, 3), rng)
    objective = WakeSleep(machine, flat, n_particles=4, recognition_update="both", alpha=0.1, streams=Streams(0))
    objective(Batch.dense(rng.integers(2, size=(8, 5)).astype(float)))
    for views in machine.layout.bind(objective.gradient).values():
        assert (np.tril(views["triangle"]) == 0).all()
        assert (np.triu(views["triangle"], 1) != 0).any() or views["triangle"].size == 1


def test_an_autoregressive_prior_learns_what_independent_causes_cannot():
    """Two causes that mostly agree, each behind six columns: independent causes lose a fifth of a nat and more."""
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
    assert ((H >= 0) & (H <= 1)).all()
    assert machine.inverse_transform(H).shape == X.shape
    np.testing.assert_array_equal(machine.score_samples(X[::-1])[::-1], machine.score_samples(X))


@pytest.mark.parametrize("autoregressive", ["top", ("prior", "top"), (1,), ["prior"]])
def test_an_unknown_layer_is_named(autoregressive):
    with pytest.raises(ValueError, match=r"'autoregressive'.*prior"):
        HelmholtzMachine(2, autoregressive=autoregressive).fit(np.eye(3))
