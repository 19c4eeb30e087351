"""Networks compared with the oracle: joint probabilities, ancestral samples, and Geweke's test."""

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import kstest, norm

from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.arrays.random import CoarseNoise, FineNoise
from skwakesleep._engine.machine.codecs import Standardization, UnitInterval
from skwakesleep._engine.machine.columns import Block, Columns
from skwakesleep._engine.machine.networks import Machine
from tests import oracle
from tests.engine.machines import EVERYWHERE, bernoulli_columns, columns_of, oracle_machine

pytestmark = pytest.mark.arithmetic

N = 50_000
SMALLEST_P = 1e-3
SIZES = [(3, 2), (3, 2, 2), (2, 2, 1, 2)]


def coarse(generator):
    return CoarseNoise(generator, NumpyBackend())


NOISES = {"fine": FineNoise, "coarse": coarse}


def sampled(machine, flat, noise=FineNoise, seed=0):
    """Return N states of each layer, ``(N, n_units)``."""
    source = noise(np.random.Generator(np.random.SFC64(seed)))
    return [state[:, 0] for state in machine.bind(flat, NumpyBackend()).generative.sample(None, (N, 1), source)]


@pytest.mark.parametrize("gaussian", [False, True])
@pytest.mark.parametrize("sizes", SIZES)
def test_joint_log_probabilities_equal_the_oracle(sizes, gaussian, rng):
    model, machine, flat = oracle_machine(sizes, seed=1, scale=2.0, gaussian=gaussian)
    networks, hidden, x = machine.bind(flat, NumpyBackend()), oracle.hidden_states(model), rng.random(sizes[0])
    rows = np.tile(x, (len(hidden[0]), 1, 1))
    states = [layer[:, np.newaxis] for layer in hidden]
    joint, proposal = oracle.log_joint(model, hidden, x), oracle.log_proposal(model, hidden, x)
    downward = [*states[::-1], rows]
    for p in networks.generative.evaluate(None, downward).log_prob, networks.generative.log_prob(None, downward):
        np.testing.assert_allclose(p[:, 0], joint, rtol=1e-11)
    for q in networks.recognition.evaluate(rows, states).log_prob, networks.recognition.log_prob(rows, states):
        np.testing.assert_allclose(q[:, 0], proposal, rtol=1e-11)


@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
@pytest.mark.parametrize("sizes", SIZES)
def test_ancestral_frequencies(sizes, noise):
    model, machine, flat = oracle_machine(sizes, seed=2)
    dreams = sampled(machine, flat, noise)
    observed = oracle.codes(np.concatenate(dreams[::-1], axis=1))  # x, then the hidden layers bottom up

    def p_value(model):
        hidden, x, probabilities = oracle.dreams(model)
        ordered = np.empty(len(probabilities))
        ordered[oracle.codes(np.concatenate([x, *hidden], axis=1))] = probabilities
        return oracle.frequency_p_value(observed, ordered)

    assert p_value(model) > SMALLEST_P
    assert p_value(model._replace(prior_intercept=model.prior_intercept + 0.1)) < SMALLEST_P  # negative control


@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
@pytest.mark.parametrize("sizes", SIZES)
def test_ancestral_density_of_gaussian_rows(sizes, noise):
    model, machine, flat = oracle_machine(sizes, seed=3, gaussian=True)
    x = sampled(machine, flat, noise)[-1]
    hidden = oracle.hidden_states(model)
    causes = np.exp(oracle.log_causes(model, hidden))
    means = oracle.affine(hidden[0], model.generative_coefs[0], model.generative_intercepts[0])

    def p_value(stretch):
        """Return the smallest p-value of a column, which is a mixture of normals, one for each hidden state."""
        deviations = np.sqrt(stretch * model.variance)
        return min(
            kstest(x[:, j], lambda t, j=j: norm.cdf(t[:, None], means[:, j], deviations[j]) @ causes).pvalue
            for j in range(sizes[0])
        )

    assert p_value(1.0) > SMALLEST_P
    assert p_value(1.3) < SMALLEST_P  # negative control


def test_recognition_frequencies():
    model, machine, flat = oracle_machine((3, 2, 2), seed=4)
    x = np.array([1.0, 0.0, 1.0])
    noise = coarse(np.random.Generator(np.random.SFC64(5)))
    q = machine.bind(flat, NumpyBackend()).recognition.draw(x.reshape(1, 1, 3), (1, N), noise)
    observed = oracle.codes(np.concatenate([state[0] for state in q.states], axis=1))
    assert oracle.frequency_p_value(observed, oracle.proposal(model, x)) > SMALLEST_P
    assert oracle.frequency_p_value(observed, oracle.proposal(model, 1 - x)) < SMALLEST_P  # negative control


def test_geweke():
    """Geweke (2004): drawing ``h ~ p(.|x)`` and ``x ~ p(.|h)`` in turn keeps the joint distribution of dreams.

    Chains start from dreams, and draw from the posterior of the oracle. The final states of different chains are
    independent.
    """
    model, machine, flat = oracle_machine((3, 2, 2), seed=6)
    visible = machine.bind(flat, NumpyBackend()).generative.layers[-1]
    noise = FineNoise(np.random.default_rng(7))
    rng = np.random.default_rng(8)
    all_x, all_h = oracle.binary_states(3), np.concatenate(oracle.hidden_states(model), axis=1)
    dreams = oracle.dreams(model)
    expected = np.zeros(2**7)
    expected[oracle.codes(np.concatenate([dreams[1], *dreams[0]], axis=1))] = dreams[2]

    def final_states(posterior_of):
        table = np.cumsum([oracle.posterior(posterior_of, x) for x in all_x], axis=1)
        x = sampled(machine, flat, seed=9)[-1]
        for _ in range(3):
            h = all_h[(rng.random((N, 1)) > table[oracle.codes(x)]).sum(axis=1).clip(max=len(all_h) - 1)]
            x = visible.sample(h[:, np.newaxis, :2], (N, 1), noise)[:, 0]
        return oracle.codes(np.concatenate([x, h], axis=1))

    assert oracle.frequency_p_value(final_states(model), expected) > SMALLEST_P
    wrong = model._replace(prior_intercept=model.prior_intercept + 0.2)
    assert oracle.frequency_p_value(final_states(wrong), expected) < SMALLEST_P  # negative control


# ---------------------------------------------------------------------- means, parameters and step sizes


@pytest.mark.parametrize("gaussian", [False, True])
def test_means_pass_through_both_networks(gaussian, rng):
    model, machine, flat = oracle_machine((3, 2, 4), seed=10, gaussian=gaussian)
    networks, x, top = machine.bind(flat, NumpyBackend()), rng.random((5, 1, 3)), rng.random((5, 1, 4))
    up = x
    for coefs, intercept in zip(model.recognition_coefs, model.recognition_intercepts, strict=True):
        up = expit(up @ coefs + intercept)
    np.testing.assert_allclose(networks.recognition.means(x), up)
    middle = expit(top @ model.generative_coefs[1] + model.generative_intercepts[1])
    down = middle @ model.generative_coefs[0] + model.generative_intercepts[0]
    down = down if gaussian else expit(down)
    np.testing.assert_allclose(networks.generative.means(top, first=1), down)


def test_layout_names_every_layer_once():
    machine = Machine(columns_of("gaussian", 5), (4, 3))
    assert machine.layout.groups == {
        "prior": {"intercept": (3,)},
        "generative.1": {"weights": (3, 4), "intercept": (4,)},
        "generative.0": {"weights": (4, 5), "intercept": (5,), "log_variance": (5,)},
        "recognition.0": {"weights": (5, 4), "intercept": (4,)},
        "recognition.1": {"weights": (4, 3), "intercept": (3,)},
    }
    assert (machine.n_latents, machine.n_units) == (7, 12)


def test_networks_share_no_parameter():
    machine = Machine(bernoulli_columns(3), (3, 3))
    flat = np.zeros(machine.layout.size)
    generative, recognition = machine.views(flat)
    for views in generative:
        for values in views.values():
            values[...] = 1
    assert all(not values.any() for views in recognition for values in views.values())
    assert flat.sum() == sum(values.size for views in generative for values in views.values())
    recognition_part = machine.recognition_part(flat)
    assert not recognition_part.any()
    assert recognition_part.size == flat.size - flat.sum()


def test_bound_networks_read_the_flat_vector():
    """Parameters that change after binding count."""
    _, machine, flat = oracle_machine((3, 2, 2), seed=11)
    networks = machine.bind(flat, NumpyBackend())
    x, top = np.ones((1, 1, 3)), np.ones((1, 1, 2))
    flat *= 2
    again = machine.bind(flat.copy(), NumpyBackend())
    np.testing.assert_array_equal(networks.recognition.means(x), again.recognition.means(x))
    np.testing.assert_array_equal(networks.generative.means(top, first=1), again.generative.means(top, first=1))


def columns_with_means(means):
    """Return binary columns of the given means in a million rows."""
    return Columns({"bernoulli": Block(UnitInterval(np.array(means), 10**6), np.arange(len(means)))})


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_initial_parameters(dtype):
    means = np.linspace(0, 1, 6)
    machine = Machine(columns_with_means(means), (4, 3))
    flat = machine.initial_parameters(np.random.default_rng(0), dtype)
    assert flat.dtype == dtype
    for views in machine.layout.views(flat).values():
        if "weights" in views:  # all differ, so that units do not stay alike
            assert 0 < np.abs(views["weights"]).max() < 1
            assert len(np.unique(views["weights"])) == views["weights"].size
    visible = expit(machine.views(flat).generative[-1]["intercept"].astype(float))
    np.testing.assert_allclose(visible, means, atol=1e-5)


def test_few_rows_make_no_value_impossible():
    """The mean of a constant column is that with one more row, of the value 0.5."""

    def initial(n_rows):
        columns = Columns({"bernoulli": Block(UnitInterval(np.array([0.0, 0.5]), n_rows), np.arange(2))})
        flat = Machine(columns, [2]).initial_parameters(np.random.default_rng(0), np.float64)
        return expit(Machine(columns, [2]).views(flat).generative[-1]["intercept"])

    np.testing.assert_allclose(initial(1), [1 / 4, 0.5])
    np.testing.assert_allclose(initial(9), [1 / 20, 0.5])
    np.testing.assert_allclose(initial(np.array([9, 1])), [1 / 20, 0.5])
    np.testing.assert_allclose(initial(10**6), [np.exp(-12), 0.5], rtol=1e-4)


@pytest.mark.parametrize(("n_units", "activity"), [(1, 1 / 2), (4, 1 / 3), (100, 1 / 11)])
def test_units_of_wide_layers_are_rarely_active_before_training(n_units, activity):
    """The odds of each unit are one to the root of their number, in both networks."""
    machine = Machine(bernoulli_columns(6), (n_units, n_units))
    flat = machine.initial_parameters(np.random.default_rng(0), np.float64)
    hidden = [views for name, views in machine.layout.views(flat).items() if name != "generative.0"]
    assert len(hidden) == 4
    for views in hidden:
        np.testing.assert_allclose(expit(views["intercept"]), activity)


def scales_by_name(machine, dtype=np.float64):
    """Return the step scales of the arrays of each layer, which are each one number."""
    by_name = machine.layout.views(machine.step_scales(dtype))
    return {
        layer: {name: np.unique(scales).item() for name, scales in views.items()} for layer, views in by_name.items()
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_steps_are_divided_by_the_root_of_the_number_of_active_parents(dtype):
    machine = Machine(columns_with_means(np.ones(64)), (16, 4))
    assert machine.step_scales(dtype).dtype == dtype
    expected = {  # a prior, which has no parents, counts its own units
        "prior": 1 / 2,
        "generative.1": 1 / 2,
        "generative.0": 1 / 4,
        "recognition.0": 1 / 8,
        "recognition.1": 1 / 4,
    }
    scales = {layer: set(views.values()) for layer, views in scales_by_name(machine, dtype).items()}
    assert scales == {layer: {scale} for layer, scale in expected.items()}


def test_autoregressive_weights_of_layers_with_parents_take_smaller_steps():
    machine = Machine(columns_with_means(np.ones(64)), (16, 4), EVERYWHERE)
    triangles = {layer: views["triangle"] for layer, views in scales_by_name(machine).items()}
    assert triangles == pytest.approx(
        {
            "prior": 1 / 2,
            "generative.1": 0.3 / 4,
            "generative.0": 0.3 / 8,
            "recognition.0": 0.3 / 4,
            "recognition.1": 0.3 / 2,
        }
    )


@pytest.mark.parametrize("mean", [0.0, 1e-3, 0.3])
def test_steps_are_never_lengthened(mean):
    assert Machine(columns_with_means([mean] * 3), [1]).step_scales(np.float64).max() == 1


def test_real_columns_count_as_active_parents():
    columns = Columns({"gaussian": Block(Standardization(*np.ones((3, 25))), np.arange(25))})
    assert scales_by_name(Machine(columns, [1]))["recognition.0"]["weights"] == 1 / 5
