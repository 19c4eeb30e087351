"""Networks against the oracle: joint probabilities, ancestral samples, and Geweke's check (ladder 4 and 7)."""

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import kstest, norm

from skwakesleep._engine.arrays.random import CoarseNoise, FineNoise
from skwakesleep._engine.arrays.workspace import Workspace
from skwakesleep._engine.machine.families import Bernoulli
from skwakesleep._engine.machine.networks import Machine
from tests import oracle
from tests.engine.machines import gaussian, random_machine

N = 50_000
SMALLEST_P = 1e-3
SIZES = [(3, 2), (3, 2, 2), (2, 2, 1, 2)]


def sampled(machine, flat, noise=FineNoise, seed=0):
    source = noise(np.random.Generator(np.random.SFC64(seed)))
    states = machine.generative.sample(machine.bind(flat).generative, None, (N,), source, Workspace())
    return [state.copy() for state in states]


@pytest.mark.parametrize("gaussian", [False, True])
@pytest.mark.parametrize("sizes", SIZES)
def test_joint_log_probabilities_are_the_oracles(sizes, gaussian, rng):
    model, machine, flat = random_machine(sizes, seed=1, scale=2.0, gaussian=gaussian)
    theta, hidden, x = machine.bind(flat), oracle.hidden_states(model), rng.random(sizes[0])
    rows = np.broadcast_to(x, (len(hidden[0]), len(x))).copy()
    p = machine.generative.evaluate(theta.generative, None, [*hidden[::-1], rows], Workspace())
    np.testing.assert_allclose(p.log_prob, oracle.log_joint(model, hidden, x), rtol=1e-11)
    q = machine.recognition.evaluate(theta.recognition, rows, hidden, Workspace())
    np.testing.assert_allclose(q.log_prob, oracle.log_proposal(model, hidden, x), rtol=1e-11)


@pytest.mark.parametrize("noise", [FineNoise, CoarseNoise])
@pytest.mark.parametrize("sizes", SIZES)
def test_ancestral_frequencies(sizes, noise):
    model, machine, flat = random_machine(sizes, seed=2)
    dreams = sampled(machine, flat, noise)
    observed = oracle.codes(np.concatenate(dreams[::-1], axis=1))  # x, then the hidden layers bottom up

    def p_value(model):
        hidden, x, probabilities = oracle.dreams(model)
        ordered = np.empty(len(probabilities))
        ordered[oracle.codes(np.concatenate([x, *hidden], axis=1))] = probabilities
        return oracle.frequency_p_value(observed, ordered)

    assert p_value(model) > SMALLEST_P
    assert p_value(model._replace(prior_intercept=model.prior_intercept + 0.1)) < SMALLEST_P  # negative control


@pytest.mark.parametrize("noise", [FineNoise, CoarseNoise])
@pytest.mark.parametrize("sizes", SIZES)
def test_ancestral_density_of_gaussian_rows(sizes, noise):
    model, machine, flat = random_machine(sizes, seed=3, gaussian=True)
    x = sampled(machine, flat, noise)[-1]
    hidden = oracle.hidden_states(model)
    causes = np.exp(oracle.log_causes(model, hidden))
    means = oracle.affine(hidden[0], model.generative_coefs[0], model.generative_intercepts[0])

    def p_value(stretch):
        """Each column is a mixture of normals, one for each hidden state."""
        deviations = np.sqrt(stretch * model.variance)
        return min(
            kstest(x[:, j], lambda t, j=j: norm.cdf(t[:, None], means[:, j], deviations[j]) @ causes).pvalue
            for j in range(sizes[0])
        )

    assert p_value(1.0) > SMALLEST_P
    assert p_value(1.3) < SMALLEST_P  # negative control


def test_recognition_frequencies():
    model, machine, flat = random_machine((3, 2, 2), seed=4)
    x = np.array([[1.0, 0.0, 1.0]])
    noise = CoarseNoise(np.random.Generator(np.random.SFC64(5)))
    q = machine.recognition.draw(machine.bind(flat).recognition, x, (N, 1), noise, Workspace())
    observed = oracle.codes(np.concatenate([state[:, 0] for state in q.states], axis=1))
    assert oracle.frequency_p_value(observed, oracle.proposal(model, x[0])) > SMALLEST_P
    assert oracle.frequency_p_value(observed, oracle.proposal(model, 1 - x[0])) < SMALLEST_P  # negative control


def test_geweke():
    """Geweke (2004): alternating ``x ~ p(.|h)`` and ``h ~ p(.|x)`` leaves the joint law of dreams as it is.

    Chains start from dreams, the posterior is the oracle's; many short chains keep the final states independent.
    """
    model, machine, flat = random_machine((3, 2, 2), seed=6)
    theta, noise = machine.bind(flat).generative, FineNoise(np.random.default_rng(7))
    rng = np.random.default_rng(8)
    all_x, all_h = oracle.binary_states(3), np.concatenate(oracle.hidden_states(model), axis=1)
    dreams = oracle.dreams(model)
    law = np.zeros(2**7)
    law[oracle.codes(np.concatenate([dreams[1], *dreams[0]], axis=1))] = dreams[2]

    def final_states(posterior_of):
        table = np.cumsum([oracle.posterior(posterior_of, x) for x in all_x], axis=1)
        x = sampled(machine, flat, seed=9)[-1]
        for _ in range(3):
            h = all_h[(rng.random((N, 1)) > table[oracle.codes(x)]).sum(axis=1).clip(max=len(all_h) - 1)]
            x = machine.generative.layers[-1].sample(theta[-1], h[:, :2].copy(), (N,), noise, Workspace())
        return oracle.codes(np.concatenate([x, h], axis=1))

    assert oracle.frequency_p_value(final_states(model), law) > SMALLEST_P
    wrong = model._replace(prior_intercept=model.prior_intercept + 0.2)
    assert oracle.frequency_p_value(final_states(wrong), law) < SMALLEST_P  # negative control


# ---------------------------------------------------------------------- the rest of the machine


@pytest.mark.parametrize("gaussian", [False, True])
def test_means_go_up_and_down(gaussian, rng):
    model, machine, flat = random_machine((3, 2, 4), seed=10, gaussian=gaussian)
    theta, x, top = machine.bind(flat), rng.random((5, 3)), rng.random((5, 4))
    up = x
    for coefs, intercept in zip(model.recognition_coefs, model.recognition_intercepts, strict=True):
        up = expit(up @ coefs + intercept)
    np.testing.assert_allclose(machine.recognition.means(theta.recognition, x, Workspace()), up)
    middle = expit(top @ model.generative_coefs[1] + model.generative_intercepts[1])
    down = middle @ model.generative_coefs[0] + model.generative_intercepts[0]
    down = down if gaussian else expit(down)
    np.testing.assert_allclose(machine.generative.means(theta.generative, top, Workspace(), first=1), down)


def test_layout_names_every_layer_once():
    machine = Machine(gaussian(np.zeros(5), np.ones(5)), (5, 4, 3), n_active=5.0)
    assert machine.layout.groups == {
        "prior": {"intercept": (3,)},
        "generative.1": {"weights": (3, 4), "intercept": (4,)},
        "generative.0": {"weights": (4, 5), "intercept": (5,), "log_variance": (5,)},
        "recognition.0": {"weights": (5, 4), "intercept": (4,)},
        "recognition.1": {"weights": (4, 3), "intercept": (3,)},
    }
    assert machine.n_latents == 7


def test_networks_share_no_parameter():
    machine = Machine(Bernoulli(), (3, 3, 3), n_active=1.0)
    flat = np.zeros(machine.layout.size)
    theta = machine.bind(flat)
    for views in theta.generative:
        for values in views.values():
            values[...] = 1
    assert all(not values.any() for views in theta.recognition for values in views.values())
    assert flat.sum() == sum(values.size for views in theta.generative for values in views.values())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_initial_parameters(dtype):
    machine = Machine(Bernoulli(), (6, 4, 3), n_active=3.0)
    means = np.linspace(0, 1, 6)
    flat = machine.initial_parameters(means, np.random.default_rng(0), dtype)
    assert flat.dtype == dtype
    for views in machine.layout.bind(flat).values():
        if "weights" in views:  # they break the symmetry of the units, and no two matrices are alike
            assert 0 < np.abs(views["weights"]).max() < 1
            assert len(np.unique(views["weights"])) == views["weights"].size
    visible = expit(machine.bind(flat).generative[-1]["intercept"].astype(float))
    np.testing.assert_allclose(visible, means, atol=1e-5)


@pytest.mark.parametrize(("n_units", "activity"), [(1, 1 / 2), (4, 1 / 3), (100, 1 / 11)])
def test_the_wider_a_layer_the_rarer_its_units_are_active_at_first(n_units, activity):
    """The odds of each are one to the root of their number, in both networks."""
    machine = Machine(Bernoulli(), (6, n_units, n_units), n_active=3.0)
    flat = machine.initial_parameters(np.full(6, 0.5), np.random.default_rng(0), np.float64)
    hidden = [views for name, views in machine.layout.bind(flat).items() if name != "generative.0"]
    assert len(hidden) == 4
    for views in hidden:
        np.testing.assert_allclose(expit(views["intercept"]), activity)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_step_scales_undo_the_number_of_active_parents(dtype):
    machine = Machine(Bernoulli(), (100, 16, 4), n_active=64.0)
    scales = machine.step_scales(dtype)
    assert scales.dtype == dtype
    by_name = {
        name: {scale for view in views.values() for scale in view.flat}
        for name, views in machine.layout.bind(scales).items()
    }
    assert by_name == {  # a prior, which has no parents, counts its own units
        "prior": {1 / 2},
        "generative.1": {1 / 2},
        "generative.0": {1 / 4},
        "recognition.0": {1 / 8},
        "recognition.1": {1 / 4},
    }


def test_units_learn_from_each_other_more_slowly_than_from_their_causes():
    machine = Machine(Bernoulli(), (100, 16, 4), 64.0, {"prior", "visible", "hidden", "recognition"})
    scales = machine.layout.bind(machine.step_scales(np.float64))
    triangles = {name: views["triangle"].max() for name, views in scales.items()}
    assert triangles == pytest.approx(
        {
            "prior": 1 / 2,
            "generative.1": 0.03 / 4,
            "generative.0": 0.03 / 8,
            "recognition.0": 0.03 / 4,
            "recognition.1": 0.03 / 2,
        }
    )


@pytest.mark.parametrize("n_active", [0.0, 1e-3, 1.0])
def test_steps_are_never_lengthened(n_active):
    assert Machine(Bernoulli(), (3, 1), n_active).step_scales(np.float64).max() == 1
