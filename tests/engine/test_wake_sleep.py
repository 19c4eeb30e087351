"""The learning rule compared with the oracle's enumerated gradients.

The statistic is the largest |z| over all parameters, where z compares the mean of a gradient over independent
mini-batches with its expectation. With the 40 parameters of the largest machine here, it exceeds THRESHOLD by chance
once in 500. Expectations are each other's negative controls: the statistic must exceed THRESHOLD for the wrong one.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from scipy import sparse
from scipy.special import expit

from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.arrays.random import CoarseNoise
from skwakesleep._engine.machine.rows import Visible
from skwakesleep._engine.machine.wake_sleep import THINNED_SHARE, thin
from skwakesleep._engine.training.loop import LOST_EPOCH
from tests import oracle
from tests.engine.machines import (
    EVERYWHERE,
    dreams,
    exact_log_likelihood,
    model_of,
    oracle_machine,
    random_machine,
    wake_sleep,
)

pytestmark = pytest.mark.statistical

THRESHOLD = 5.0
N_BATCHES = 30
MACHINES = [((3, 2), False), ((3, 2, 2), False), ((2, 2, 1, 2), False), ((2, 2), True), ((2, 2, 2), True)]


class Case(NamedTuple):
    """A rule, sizes at which its gradient has the expectations below, and their names."""

    rule: str
    n_particles: int
    copies: int  # of each row; there are as many dreams as rows
    generative: str
    recognition: tuple[str, ...]


CASES = [
    Case("wake", 3000, 1, "likelihood", ("posterior",)),
    Case("sleep", 1, 1000, "wake", ("sleep",)),
    Case("both", 1000, 10, "likelihood", ("posterior", "sleep")),
]


@cache
def case_of(sizes, gaussian):
    """Return a machine and its parameters, rows, and all expectations of gradients by name."""
    model, machine, parameters = oracle_machine(sizes, seed=2, gaussian=gaussian)
    _, X = oracle.sample(model, 4, np.random.default_rng(3))
    expected = {
        "likelihood": oracle.likelihood_gradient(model, X).generative,  # many particles
        "wake": oracle.wake_gradient(model, X).generative,  # one particle
        "posterior": oracle.posterior_gradient(model, X).recognition,
        "sleep": oracle.sleep_gradient(model).recognition,
    }
    return machine, parameters, X, expected


def flat(arrays):
    return np.concatenate([array.ravel() for array in arrays])


def mean_of(gradients):
    return np.mean([flat(arrays) for arrays in gradients], axis=0)


def sampled_gradients(machine, parameters, case, X):
    """Return the gradients of both networks for each of N_BATCHES mini-batches."""
    objective = wake_sleep(machine, parameters, case.rule, case.n_particles, seed=1)
    generative, recognition = [], []
    for _ in range(N_BATCHES):
        objective(Visible.dense(np.repeat(X, case.copies, axis=0)))
        gradient = model_of(machine, objective.gradient)
        generative.append(flat(gradient.generative))
        recognition.append(flat(gradient.recognition))
    return np.array(generative), np.array(recognition)


def largest_z(samples, expected):
    # The gradient has no variance if a column is zero in every row. 1e-8 is far above the rounding of the oracle.
    standard_error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples)) + 1e-8
    return np.abs((samples.mean(axis=0) - expected) / standard_error).max()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}-{case.n_particles}")
@pytest.mark.parametrize(("sizes", "gaussian"), MACHINES, ids=str)
def test_gradients_are_the_enumerated_expectations(sizes, gaussian, case):
    machine, parameters, X, expected = case_of(sizes, gaussian)
    generative, recognition = sampled_gradients(machine, parameters, case, X)
    recognition_expected = mean_of([expected[name] for name in case.recognition])
    assert largest_z(generative, flat(expected[case.generative])) < THRESHOLD
    assert largest_z(recognition, recognition_expected) < THRESHOLD
    # Negative controls: the other expectation, a gradient that is 10% too large, the wrong direction.
    other = {"likelihood": "wake", "wake": "likelihood", "posterior": "sleep", "sleep": "posterior"}
    assert largest_z(generative, flat(expected[other[case.generative]])) > THRESHOLD
    assert largest_z(recognition, flat(expected[other[case.recognition[0]]])) > THRESHOLD
    assert largest_z(generative, 1.1 * flat(expected[case.generative])) > THRESHOLD
    assert largest_z(recognition, -recognition_expected) > THRESHOLD


@pytest.mark.parametrize("autoregressive", [(), EVERYWHERE], ids=["plain", "autoregressive"])
@pytest.mark.parametrize("kind", ["bernoulli", "gaussian", "mixed"])
def test_the_generative_gradient_is_the_slope_of_the_enumerated_likelihood(kind, autoregressive):
    machine, parameters = random_machine((3, 2, 2), 13, kind=kind, autoregressive=autoregressive, scale=0.7)
    x = dreams(machine, parameters, 4)[1]

    def slope(index):
        ends = []
        for step in (1e-5, -1e-5):
            moved = parameters.copy()
            moved[index] += step
            ends.append(exact_log_likelihood(machine, moved, x).mean())
        return (ends[0] - ends[1]) / 2e-5

    n_generative = parameters.size - machine.recognition_part(parameters).size
    free = machine.layout.mask({"weights", "intercept", "log_variance"}, float)[:n_generative] > 0
    expected = np.array([slope(index) for index in range(n_generative)])[free]
    objective = wake_sleep(machine, parameters, "wake", 3000, seed=1)
    samples = []
    for _ in range(N_BATCHES):
        objective(Visible.dense(x[:, 0]))
        samples.append(objective.gradient[:n_generative][free])
    assert largest_z(np.array(samples), expected) < THRESHOLD
    assert largest_z(np.array(samples), 1.1 * expected) > THRESHOLD  # negative control


def test_error_falls_with_the_particles():
    model, machine, parameters = oracle_machine((3, 2, 2), seed=4)
    _, X = oracle.sample(model, 4, np.random.default_rng(5))
    exact = flat(oracle.likelihood_gradient(model, X).generative)
    errors = []
    for n_particles in (1, 30, 1000, 30_000):
        objective = wake_sleep(machine, parameters, "sleep", n_particles)
        objective(Visible.dense(X))
        errors.append(np.abs(flat(model_of(machine, objective.gradient).generative) - exact).max())
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.02 < errors[0] / 10


@pytest.mark.parametrize("gaussian", [False, True])
def test_both_is_the_mean_of_wake_and_sleep(gaussian):
    _, machine, parameters = oracle_machine((3, 3, 2), seed=6, gaussian=gaussian)
    gradients = {}
    for rule in ("wake", "sleep", "both"):
        objective = wake_sleep(machine, parameters, rule, 5)
        objective(Visible.dense(np.eye(3)))
        gradients[rule] = model_of(machine, objective.gradient.copy())
    halves = (flat(gradients["wake"].recognition) + flat(gradients["sleep"].recognition)) / 2
    np.testing.assert_allclose(flat(gradients["both"].recognition), halves, rtol=1e-12, atol=1e-15)
    for rule in ("wake", "sleep"):  # the generative network learns the same
        np.testing.assert_array_equal(flat(gradients["both"].generative), flat(gradients[rule].generative))


def perfect_recognition():
    """Return a machine whose recognition network is the posterior: its one hidden unit has a logit affine in x."""
    _, machine, parameters = oracle_machine((3, 1), seed=7)
    model = model_of(machine, parameters)
    prior, (weights,), (intercept,) = model.prior_intercept, model.generative_coefs, model.generative_intercepts
    model.recognition_coefs[0][...] = weights.T
    softplus = np.logaddexp(0, intercept + weights[0]) - np.logaddexp(0, intercept)
    model.recognition_intercepts[0][...] = prior - softplus.sum()
    return model, machine, parameters


@pytest.mark.parametrize("rule", ["wake", "sleep", "both"])
def test_with_the_posterior_the_bound_is_exact_at_any_number_of_particles(rule):
    """Each importance weight is then p(x)."""
    model, machine, parameters = perfect_recognition()
    X = oracle.binary_states(3)
    bound = wake_sleep(machine, parameters, rule, 3)(Visible.dense(X))
    assert bound == pytest.approx(oracle.log_likelihood(model, X).mean(), rel=1e-12)


def test_with_the_posterior_the_baseline_makes_the_wake_update_zero():
    """Each normalized weight is then 1/K (Bornschein & Bengio 2015)."""
    _, machine, parameters = perfect_recognition()
    objective = wake_sleep(machine, parameters, "wake", 3)
    objective(Visible.dense(oracle.binary_states(3)))
    gradient = model_of(machine, objective.gradient)
    np.testing.assert_allclose(flat(gradient.recognition), 0, atol=1e-15)
    assert np.abs(flat(gradient.generative)).min() > 1e-3


def test_the_prior_is_on_weights_alone():
    """Of both networks, with autoregressive weights. Its gradient is not part of that of the objective."""
    machine, parameters = random_machine((3, 2, 2), 8, autoregressive=EVERYWHERE)
    objective = wake_sleep(machine, parameters, "wake", 3, alpha=0.5, n_rows=20, batch_size=7)
    assert (objective.prior.n_rows, objective.prior.batch_size) == (20, 7)
    for views in machine.layout.views(objective.prior.strengths).values():
        for kind, strengths in views.items():
            np.testing.assert_array_equal(strengths, 2 * 0.5 / 20 if kind in ("weights", "triangle") else 0)


@pytest.mark.parametrize("rule", ["wake", "sleep", "both"])
@pytest.mark.parametrize("kind", ["bernoulli", "mixed"])
def test_the_prior_of_binary_intercepts_is_part_of_the_gradient(kind, rule):
    """Of every binary layer of both networks: `alpha` rows of the value 0.5, of which each row has its share."""
    machine, parameters = random_machine((4, 3, 2), 9, kind=kind, autoregressive=EVERYWHERE)
    x = Visible.dense(dreams(machine, parameters, 5)[1][:, 0])
    gradients = []
    for alpha in (0.0, 0.5):
        objective = wake_sleep(machine, parameters, rule, 3, alpha=alpha, n_rows=20)
        objective(x)
        gradients.append(objective.gradient)
    names = dict(machine.layout.views(gradients[1] - gradients[0]))
    for name, views in names.items():
        binary = np.ones(machine.columns.n_units if name == "generative.0" else views["intercept"].size, bool)
        if name == "generative.0" and kind == "mixed":
            binary[machine.columns.runs[list(machine.columns.blocks).index("gaussian")].units] = False
        for part, difference in views.items():
            expected = np.zeros_like(difference)
            if part == "intercept":
                intercept = machine.layout.views(parameters)[name]["intercept"]
                expected[binary] = 0.5 / 20 * (0.5 - expit(intercept[binary]))
            np.testing.assert_allclose(difference, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("gaussian", [False, True])
@pytest.mark.parametrize("rule", ["wake", "sleep", "both"])
def test_float32_is_kept_and_agrees_with_float64(rule, gaussian):
    _, machine, parameters = oracle_machine((3, 3, 2), seed=9, gaussian=gaussian)
    gradients = []
    for dtype in (np.float64, np.float32):
        objective = wake_sleep(machine, parameters.astype(dtype), rule, 4)
        objective(Visible.dense(np.eye(3, dtype=dtype)))
        assert objective.gradient.dtype == dtype
        gradients.append(objective.gradient)
    # Bernoulli dreams are the same in both; Gaussian ones are drawn at the resolution of the dtype, and differ.
    generative_only = gaussian and rule != "wake"
    halves = [model_of(machine, gradient) for gradient in gradients]
    pairs = [(flat(half.generative), flat(half.generative if generative_only else half.recognition)) for half in halves]
    np.testing.assert_allclose(pairs[1][0], pairs[0][0], atol=1e-5)
    np.testing.assert_allclose(pairs[1][1], pairs[0][1], atol=1e-5)


@pytest.mark.parametrize("logit", [-1e4, 1e4])
@pytest.mark.parametrize("rule", ["wake", "sleep", "both"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("gaussian", [False, True])
def test_extreme_parameters_give_finite_gradients(rule, logit, dtype, gaussian):
    _, machine, parameters = oracle_machine((3, 2, 2), seed=10, gaussian=gaussian)
    for views in machine.layout.views(parameters).values():
        views["intercept"][...] = logit
    objective = wake_sleep(machine, parameters.astype(dtype), rule, 3)
    bound = objective(Visible.dense(np.array([[0.0, 1.0, 0.5]], dtype=dtype)))
    assert np.isfinite(bound)
    assert np.isfinite(objective.gradient).all()


def test_the_floor_is_below_the_bound_of_an_untrained_machine_and_above_that_of_a_diverged_one():
    _, machine, parameters = oracle_machine((4, 3), seed=11, scale=0.1)
    bound = wake_sleep(machine, parameters, "wake", 3)(Visible.dense(np.eye(4)))
    floor = wake_sleep(machine, parameters, "wake", 3).floor(LOST_EPOCH)
    lost = wake_sleep(machine, np.where(parameters > 0, -1e4, 1e4), "wake", 3)(Visible.dense(np.eye(4)))
    assert lost < floor < 10 * bound


@pytest.mark.parametrize("rule", ["wake", "sleep", "both"])
def test_a_sparse_root_gives_the_same_gradient(rule):
    _, machine, parameters = oracle_machine((6, 3, 2), seed=3)
    x = np.eye(6)[[0, 3, 3, 5]]
    gradients = []
    for root in (x[:, np.newaxis], sparse.csr_array(x), sparse.csr_array(x[::-1])):
        objective = wake_sleep(machine, parameters, rule, 3)
        objective(Visible(x[:, np.newaxis], root))
        gradients.append(objective.gradient)
    np.testing.assert_allclose(gradients[1], gradients[0], rtol=1e-12, atol=1e-14)
    assert abs(gradients[2] - gradients[0]).max() > 1e-3  # negative control: the rows of another batch


# ---------------------------------------------------------------------- thinning


def importance_weights(n_particles, rng, spread=6.0):
    weights = np.exp(rng.normal(scale=spread, size=(50, n_particles)))
    return weights / weights.sum(axis=1, keepdims=True)


def coarse_noise():
    return CoarseNoise(np.random.Generator(np.random.SFC64(0)), NumpyBackend())


@pytest.mark.parametrize("n_particles", [2, 5, 50])
def test_thinned_weights_have_the_same_expectation(n_particles, rng):
    weights, noise = importance_weights(n_particles, rng), coarse_noise()
    draws = np.array([thin(weights, noise) for _ in range(4000)])
    small = weights < THINNED_SHARE / n_particles

    def z(draws):
        totals = draws[:, small].sum(axis=-1)
        return abs(totals.mean() - weights[small].sum()) / (totals.std() / np.sqrt(len(draws)))

    assert z(draws) < 4
    assert z(np.where(draws > 0, weights, 0)) > 6  # negative control: weights that are kept are not raised
    assert (draws == 0).mean() > 0.2


def test_large_weights_are_not_changed():
    noise = coarse_noise()
    alone = np.ones((7, 1), np.float32)
    np.testing.assert_array_equal(thin(alone, noise), alone)
    equal = np.full((7, 4), 0.25)
    np.testing.assert_array_equal(thin(equal, noise), equal)
    assert thin(alone, noise).dtype == np.float32
