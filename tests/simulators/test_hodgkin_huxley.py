"""HodgkinHuxley: published values of the neuron, and scores of the population parameters."""

import numpy as np
import pytest

from skwakesleep.simulators import HodgkinHuxley
from skwakesleep.simulators._hodgkin_huxley import _kinetics
from tests.models import difference

pytestmark = pytest.mark.arithmetic


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def model():
    return HodgkinHuxley()


class Prior(difference.Wrapped):
    """The model without the simulation, on which the score does not depend."""

    def sample(self, theta, n, rng):
        return theta[:3] + np.exp(theta[3:]) * rng.standard_normal((n, 3)), np.zeros((n, 8))


THETA = np.array([0.1, -0.2, 0.3, -1.0, -0.5, -2.0])


def test_mean_score_is_zero(model, rng):
    assert np.abs(difference.score_in_standard_errors(Prior(model), THETA, rng)).max() < 5


def test_latents_of_samples_follow_the_prior(model, rng):
    z, x = model.sample(THETA, 400, rng)
    assert x.shape == (400, model.n_features)
    assert (np.abs(z.mean(axis=0) - THETA[:3]) < 5 * np.exp(THETA[3:]) / np.sqrt(400)).all()
    np.testing.assert_allclose(z.std(axis=0), np.exp(THETA[3:]), rtol=0.2)


def test_steady_states_at_rest():
    """Hodgkin and Huxley 1952: m, h and n at the resting potential."""
    steady = [value[0] for value, _ in _kinetics(np.array([-65.0]))]
    np.testing.assert_allclose(steady, [0.0529, 0.5961, 0.3177], atol=1e-4)


def test_kinetics_are_continuous_at_removable_singularities():
    for potential in (-40.0, -55.0):
        around = [np.array(_kinetics(np.array([potential + shift])))[..., 0] for shift in (-1e-6, 0.0, 1e-6)]
        assert np.isfinite(around).all()
        np.testing.assert_allclose(around[1], (around[0] + around[2]) / 2, rtol=1e-6)


def test_neuron_without_input_stays_at_rest():
    model = HodgkinHuxley(current=0.0, noise=0.0)
    potentials = model.simulate(np.zeros((1, 3)), np.random.default_rng(0))
    np.testing.assert_allclose(potentials, -65.0, atol=0.1)


def test_step_current_gives_the_known_firing_rate():
    model = HodgkinHuxley(current=10.0, noise=0.0)
    potential = model.simulate(np.zeros((1, 3)), np.random.default_rng(0))[0]
    spikes = model.times[1:][(potential[1:] > 0) & (potential[:-1] <= 0)]
    assert len(spikes) == 3
    np.testing.assert_allclose(np.diff(spikes), 14.6, atol=0.8)
    assert 30 < potential.max() < 50  # mV: below the reversal potential of sodium


def test_no_spikes_without_sodium():
    model = HodgkinHuxley(noise=0.0)
    potentials = model.simulate(np.array([[-10.0, 0.0, 0.0]]), np.random.default_rng(0))
    assert potentials.max() < -40


def test_summaries_of_an_artificial_trace():
    model = HodgkinHuxley()
    times = model.times
    trace = np.where((times >= 10) & (times < 50), -50.0, -64.0)
    trace[(times >= 20) & (times < 21)] = 30.0
    trace[times >= 55] = -70.0
    during = trace[(times >= 10) & (times < 50)]
    expected = [1.0, during.mean() + 65, during.std(), 30.0, 15.0, np.log(2), np.log(10.0), -5.0]
    actual = model.summarize(trace[np.newaxis])[0]
    np.testing.assert_allclose(actual * [2, 4, 6, 12, 2, 0.4, 0.6, 3], expected, rtol=1e-6)


def test_trials_differ_only_with_noise(model, rng):
    x = model.summarize(model.simulate(np.zeros((2, 3)), rng))
    assert (x[0] != x[1]).any()
    without_noise = HodgkinHuxley(noise=0.0)
    x = without_noise.summarize(without_noise.simulate(np.zeros((2, 3)), rng))
    np.testing.assert_array_equal(x[0], x[1])


def test_project_bounds_the_scales(model):
    projected = model.project(np.array([5.0, -5.0, 0.0, -10.0, 10.0, -1.0]))
    np.testing.assert_allclose(projected, [5.0, -5.0, 0.0, np.log(0.05), 0.0, -1.0])


@pytest.mark.parametrize("noise", [-1.0, np.nan])
def test_invalid_noise_raises(noise):
    with pytest.raises(ValueError, match=r"noise must be a number >= 0\. Got"):
        HodgkinHuxley(noise=noise)
