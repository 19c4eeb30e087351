"""The learning rule against the oracle's enumerated gradients: ladder check 3 of the learning rules.

The statistic is the largest |z| of a gradient's mean over independent mini-batches, over all parameters. THRESHOLD is
passed by chance once in 500 for the 40 parameters of the largest machine here. Each expectation is the negative
control of another: what the right one passes, its neighbour must exceed.
"""

from typing import NamedTuple

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import cauchy

from skwakesleep._engine.arrays.random import CoarseNoise
from skwakesleep._engine.machine.rows import Batch
from skwakesleep._engine.machine.wake_sleep import NEGLIGIBLE, settle, thin
from skwakesleep._engine.training.loop import LOST_EPOCH
from tests import oracle
from tests.engine.machines import model_of, random_machine, wake_sleep

THRESHOLD = 5.0
N_BATCHES = 30
MACHINES = [((3, 2), False), ((3, 2, 2), False), ((2, 2, 1, 2), False), ((2, 2), True), ((2, 2, 2), True)]


class Case(NamedTuple):
    """A rule, the sizes at which its expectation is reached, and what it then is."""

    rule: str
    n_particles: int
    copies: int  # of each row, and so the number of dreams
    generative: str
    recognition: tuple[str, ...]


CASES = [
    Case("wake", 5000, 1, "likelihood", ("posterior",)),
    Case("sleep", 1, 1000, "wake", ("sleep",)),
    Case("both", 2000, 10, "likelihood", ("posterior", "sleep")),
]


def expectations(model, X):
    """Return every expectation that a gradient may have, by name."""
    return {
        "likelihood": oracle.likelihood_gradient(model, X).generative,  # many particles
        "wake": oracle.wake_gradient(model, X).generative,  # one particle
        "posterior": oracle.posterior_gradient(model, X).recognition,
        "sleep": oracle.sleep_gradient(model).recognition,
    }


def flat(arrays):
    return np.concatenate([array.ravel() for array in arrays])


def mean_of(gradients):
    return np.mean([flat(arrays) for arrays in gradients], axis=0)


def sampled_gradients(machine, parameters, case, X):
    """Return a generative and a recognition gradient for each of N_BATCHES mini-batches."""
    objective = wake_sleep(machine, parameters, case.rule, case.n_particles, seed=1)
    generative, recognition = [], []
    for _ in range(N_BATCHES):
        objective(Batch.dense(np.repeat(X, case.copies, axis=0)))
        gradient = model_of(machine, objective.gradient)
        generative.append(flat(gradient.generative))
        recognition.append(flat(gradient.recognition))
    return np.array(generative), np.array(recognition)


def largest_z(samples, expected):
    # A column that is zero in every row has a gradient without variance; 1e-8 is far above the oracle's rounding.
    standard_error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples)) + 1e-8
    return np.abs((samples.mean(axis=0) - expected) / standard_error).max()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}-{case.n_particles}")
@pytest.mark.parametrize(("sizes", "gaussian"), MACHINES, ids=str)
def test_gradients_are_the_enumerated_expectations(sizes, gaussian, case):
    model, machine, parameters = random_machine(sizes, seed=2, gaussian=gaussian)
    _, X = oracle.sample(model, 4, np.random.default_rng(3))
    expected = expectations(model, X)
    generative, recognition = sampled_gradients(machine, parameters, case, X)
    recognition_expected = mean_of([expected[name] for name in case.recognition])
    assert largest_z(generative, flat(expected[case.generative])) < THRESHOLD
    assert largest_z(recognition, recognition_expected) < THRESHOLD
    # Negative controls: the other expectation, a tenth too long a step, the wrong direction.
    other = {"likelihood": "wake", "wake": "likelihood", "posterior": "sleep", "sleep": "posterior"}
    assert largest_z(generative, flat(expected[other[case.generative]])) > THRESHOLD
    assert largest_z(recognition, flat(expected[other[case.recognition[0]]])) > THRESHOLD
    assert largest_z(generative, 1.1 * flat(expected[case.generative])) > THRESHOLD
    assert largest_z(recognition, -recognition_expected) > THRESHOLD


def test_error_falls_with_the_particles():
    model, machine, parameters = random_machine((3, 2, 2), seed=4)
    _, X = oracle.sample(model, 4, np.random.default_rng(5))
    exact = flat(oracle.likelihood_gradient(model, X).generative)
    errors = []
    for n_particles in (1, 30, 1000, 30_000):
        objective = wake_sleep(machine, parameters, "sleep", n_particles)
        objective(Batch.dense(X))
        errors.append(np.abs(flat(model_of(machine, objective.gradient).generative) - exact).max())
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.02 < errors[0] / 10


@pytest.mark.parametrize("gaussian", [False, True])
def test_both_is_the_mean_of_wake_and_sleep(gaussian):
    _, machine, parameters = random_machine((3, 3, 2), seed=6, gaussian=gaussian)
    gradients = {}
    for rule in ("wake", "sleep", "both"):
        objective = wake_sleep(machine, parameters, rule, 5)
        objective(Batch.dense(np.eye(3)))
        gradients[rule] = model_of(machine, objective.gradient.copy())
    halves = (flat(gradients["wake"].recognition) + flat(gradients["sleep"].recognition)) / 2
    np.testing.assert_allclose(flat(gradients["both"].recognition), halves, rtol=1e-12, atol=1e-15)
    for rule in ("wake", "sleep"):  # the generative network learns alike
        np.testing.assert_array_equal(flat(gradients["both"].generative), flat(gradients[rule].generative))


def perfect_recognition():
    """Return a machine whose recognition network is the posterior: of one hidden unit, its logit is affine in x."""
    _, machine, parameters = random_machine((3, 1), seed=7)
    model = model_of(machine, parameters)
    prior, (weights,), (intercept,) = model.prior_intercept, model.generative_coefs, model.generative_intercepts
    model.recognition_coefs[0][...] = weights.T
    softplus = np.logaddexp(0, intercept + weights[0]) - np.logaddexp(0, intercept)
    model.recognition_intercepts[0][...] = prior - softplus.sum()
    return model, machine, parameters


@pytest.mark.parametrize("rule", ["wake", "sleep", "both"])
def test_with_the_posterior_the_bound_is_exact_at_any_number_of_particles(rule):
    """Every weight is then p(x)."""
    model, machine, parameters = perfect_recognition()
    X = oracle.binary_states(3)
    bound = wake_sleep(machine, parameters, rule, 3)(Batch.dense(X))
    assert bound == pytest.approx(oracle.log_likelihood(model, X).mean(), rel=1e-12)


def test_with_the_posterior_the_baseline_takes_all_noise_from_the_wake_update():
    """Every normalized weight is 1/K (Bornschein & Bengio 2015): there is nothing to learn, and nothing is done."""
    _, machine, parameters = perfect_recognition()
    objective = wake_sleep(machine, parameters, "wake", 3)
    objective(Batch.dense(oracle.binary_states(3)))
    gradient = model_of(machine, objective.gradient)
    np.testing.assert_allclose(flat(gradient.recognition), 0, atol=1e-15)
    assert np.abs(flat(gradient.generative)).min() > 1e-3


def test_penalty_is_a_cauchy_prior_on_the_weights_alone():
    """With ``alpha = 1 / n_samples``; its gradient is taken by finite differences of the density of SciPy."""
    _, machine, parameters = random_machine((3, 2, 2), seed=8)
    plain, penalized = (wake_sleep(machine, parameters, "wake", 3, alpha=alpha) for alpha in (0.0, 0.25))
    plain(Batch.dense(np.eye(3)))
    penalized(Batch.dense(np.eye(3)))
    step, prior = 1e-6, cauchy(scale=0.1)
    for name, views in machine.layout.bind(plain.gradient - penalized.gradient).items():
        for kind, pull in views.items():
            w = machine.layout.bind(parameters)[name][kind]
            slope = (prior.logpdf(w + step) - prior.logpdf(w - step)) / (2 * step)
            np.testing.assert_allclose(pull, -0.25 * slope if kind == "weights" else np.zeros_like(w), atol=1e-8)


@pytest.mark.parametrize("gaussian", [False, True])
@pytest.mark.parametrize("rule", ["wake", "sleep", "both"])
def test_float32_is_kept_and_agrees_with_float64(rule, gaussian):
    _, machine, parameters = random_machine((3, 3, 2), seed=9, gaussian=gaussian)
    gradients = []
    for dtype in (np.float64, np.float32):
        objective = wake_sleep(machine, parameters.astype(dtype), rule, 4)
        objective(Batch.dense(np.eye(3, dtype=dtype)))
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
    _, machine, parameters = random_machine((3, 2, 2), seed=10, gaussian=gaussian)
    for views in machine.layout.bind(parameters).values():
        views["intercept"][...] = logit
    objective = wake_sleep(machine, parameters.astype(dtype), rule, 3)
    bound = objective(Batch.dense(np.array([[0.0, 1.0, 0.5]], dtype=dtype)))
    assert np.isfinite(bound)
    assert np.isfinite(objective.gradient).all()


def test_floor_is_far_below_an_untrained_machine_and_above_a_lost_one():
    _, machine, parameters = random_machine((4, 3), seed=11, scale=0.1)
    bound = wake_sleep(machine, parameters, "wake", 3)(Batch.dense(np.eye(4)))
    floor = wake_sleep(machine, parameters, "wake", 3).floor(LOST_EPOCH)
    lost = wake_sleep(machine, np.where(parameters > 0, -1e4, 1e4), "wake", 3)(Batch.dense(np.eye(4)))
    assert lost < floor < 10 * bound


@pytest.mark.parametrize("rule", ["wake", "sleep", "both"])
def test_a_sparse_root_is_the_same_root(rule):
    _, machine, parameters = random_machine((6, 3, 2), seed=3)
    x = np.eye(6)[[0, 3, 3, 5]]
    gradients = []
    for root in (x, sparse.csr_array(x), sparse.csr_array(x[::-1])):
        objective = wake_sleep(machine, parameters, rule, 3)
        objective(Batch(x, root))
        gradients.append(objective.gradient)
    np.testing.assert_allclose(gradients[1], gradients[0], rtol=1e-12, atol=1e-14)
    assert abs(gradients[2] - gradients[0]).max() > 1e-3  # negative control: the rows of another batch


# ---------------------------------------------------------------------- thinning


def importance_weights(n_particles, rng, spread=6.0):
    weights = np.exp(rng.normal(scale=spread, size=(n_particles, 50)))
    return weights / weights.sum(axis=0)


@pytest.mark.parametrize("n_particles", [2, 5, 50])
def test_thinned_weights_have_the_same_expectation(n_particles, rng):
    weights = importance_weights(n_particles, rng)
    noise = CoarseNoise(np.random.Generator(np.random.SFC64(0)))
    draws = np.array([thin(weights, noise) for _ in range(4000)])

    negligible = weights < NEGLIGIBLE / n_particles

    def z(draws):
        totals = draws[:, negligible].sum(axis=-1)
        return abs(totals.mean() - weights[negligible].sum()) / (totals.std() / np.sqrt(len(draws)))

    assert z(draws) < 4
    assert z(np.where(draws > 0, weights, 0)) > 6  # negative control: dropped without making up for it
    assert (draws == 0).mean() > 0.2


def test_weights_that_count_are_left_alone(rng):
    noise = CoarseNoise(np.random.Generator(np.random.SFC64(0)))
    alone = np.ones((1, 7), np.float32)
    np.testing.assert_array_equal(thin(alone, noise), alone)
    equal = np.full((4, 7), 0.25)
    np.testing.assert_array_equal(thin(equal, noise), equal)
    assert thin(alone, noise).dtype == np.float32


# ---------------------------------------------------------------------- units whose means are right


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_unit_is_left_alone_when_its_mean_is_right_to_1e_5(sign):
    """The number is written out: another one is another learning rule."""
    gradients = sign * np.array([0.0, 0.9e-5, 1.1e-5, 1.0])
    grad = {"weights": np.ones((2, 4)), "triangle": np.ones((4, 4)), "intercept": gradients.copy()}
    settle(grad)
    np.testing.assert_array_equal(grad["intercept"], np.where(np.abs(gradients) < 1e-5, 0, gradients))
    for name in "weights", "triangle":
        np.testing.assert_array_equal(grad[name], np.broadcast_to([0, 0, 1, 1], grad[name].shape))
