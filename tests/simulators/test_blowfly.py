"""BlowflyDynamics against central differences, adaptive quadrature and simulation."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import gamma, kstest

from skwakesleep import AmortisedWakeSleep
from skwakesleep.datasets import load_blowfly
from skwakesleep.simulators import BlowflyDynamics
from skwakesleep.simulators._population_steps import log_densities, summed_out
from tests.models import difference

pytestmark = pytest.mark.arithmetic

# Counts in thousands.
X = load_blowfly()[np.newaxis] / 1000
# Logs of fecundity, capacity, mortality, and the noise of recruitment and survival.
PARAMETERS = {
    "typical": np.log([6.0, 0.7, 0.3, 0.6, 0.6]),
    "noisy": np.log([6.0, 0.7, 0.3, 1.5, 1.5]),
    "very noisy": np.log([20.0, 0.4, 0.15, 3.0, 3.0]),
    "mixed": np.log([20.0, 0.4, 0.15, 0.4, 1.3]),
    "quiet": np.log([6.0, 0.7, 0.3, 0.1, 0.1]),
}
every_parameters = pytest.mark.parametrize("theta", PARAMETERS.values(), ids=PARAMETERS.keys())


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def model():
    return BlowflyDynamics(10, delay=3)


def quadrature_log_likelihood(theta, delay, series):
    """Integrate the definition over the log of the losses above their minimum, one step at a time."""
    fecundity, capacity, mortality, noise_r, noise_s = np.exp(theta)
    total = 0.0
    for t in range(delay, len(series) - 1):
        births = fecundity * series[t - delay] * np.exp(-series[t - delay] / capacity)
        min_loss = max(0.0, np.log(series[t] / series[t + 1]))

        def integrand(log_excess, t=t, births=births, min_loss=min_loss):
            loss = min_loss + np.exp(log_excess)
            recruits = series[t + 1] - series[t] * np.exp(-loss)
            density = gamma.pdf(recruits, noise_r**-2, scale=births * noise_r**2)
            return density * gamma.pdf(loss, noise_s**-2, scale=mortality * noise_s**2) * np.exp(log_excess)

        total += np.log(quad(integrand, -40, np.log(40 * mortality), limit=1000, epsrel=1e-10)[0])
    return total


@pytest.mark.parametrize("name", ["typical", "mixed"])
def test_likelihood_equals_the_integral_of_the_definition(name):
    delay, series = 3, X[:, :14]
    expected = quadrature_log_likelihood(PARAMETERS[name], delay, series[0])
    assert BlowflyDynamics(14, delay).log_likelihood(PARAMETERS[name], series) == pytest.approx(expected, abs=1e-5)


@every_parameters
def test_likelihood_does_not_depend_on_the_number_of_nodes(theta):
    values = [BlowflyDynamics(180, 7, n_nodes=n_nodes).log_likelihood(theta, X)[0] for n_nodes in (100, 200, 1000)]
    assert np.ptp(values) < 1e-5


def test_few_nodes_are_inaccurate():
    """Negative control."""
    theta = PARAMETERS["mixed"]
    values = [BlowflyDynamics(180, 7, n_nodes=n_nodes).log_likelihood(theta, X)[0] for n_nodes in (12, 200)]
    assert np.ptp(values) > 0.05


def test_density_of_one_step_integrates_to_one():
    """The integral is over the next population."""
    model, step = BlowflyDynamics(4, delay=2), 0.01
    after = np.arange(step / 2, 40, step)
    series = np.column_stack([np.tile([0.5, 0.4, 1.5], (len(after), 1)), after])
    assert step * np.exp(model.log_likelihood(PARAMETERS["typical"], series)).sum() == pytest.approx(1, abs=1e-4)


def test_likelihood_follows_the_change_of_units():
    in_thousands = PARAMETERS["typical"]
    in_individuals = in_thousands + np.log([1, 1000, 1, 1, 1])
    model = BlowflyDynamics(180, 7)
    difference_in_nats = model.log_likelihood(in_thousands, X) - model.log_likelihood(in_individuals, 1000 * X)
    assert difference_in_nats == pytest.approx(172 * np.log(1000))


def test_likelihoods_of_series_are_independent():
    model = BlowflyDynamics(20, 4)
    series = X[0, :100].reshape(5, 20)
    all_series = model.log_likelihood(PARAMETERS["typical"], series)
    one_by_one = [model.log_likelihood(PARAMETERS["typical"], series[[row]])[0] for row in range(5)]
    np.testing.assert_allclose(all_series, one_by_one, rtol=1e-12)


def test_local_gradient_equals_central_differences(rng):
    model, theta = BlowflyDynamics(180, 7), PARAMETERS["typical"]
    z, rows = model.sample_local(theta, model.local_inputs(X), 300, rng)
    weights = rng.normal(size=300)
    expected = difference.slope(lambda t: weights @ log_densities(t, z, np.exp(rows[:, 2])), theta)
    assert difference.relative_error(model.local_grad_log_joint(theta, z, rows, weights), expected) < 1e-6


@every_parameters
def test_exact_gradient_equals_central_differences(theta):
    assert difference.likelihood_gradient_error(BlowflyDynamics(180, 7), theta, X) < 1e-6


def test_mean_local_score_is_zero(rng):
    local = Local(BlowflyDynamics(180, 7))
    assert np.abs(difference.score_in_standard_errors(local, PARAMETERS["typical"], rng)).max() < 5


class Local(difference.Wrapped):
    """A model whose rows are the steps of the blowfly counts."""

    def sample(self, theta, n, rng):
        return self.model.sample_local(theta, self.model.local_inputs(X), n, rng)

    def grad_log_joint(self, *args):
        return self.model.local_grad_log_joint(*args)


@pytest.mark.parametrize("parameter", range(5))
def test_mean_score_is_not_zero_with_a_perturbed_parameter(parameter, model, rng):
    """Negative control: one parameter is perturbed when sampling."""

    class Perturbed(difference.Wrapped):
        def sample(self, theta, n, rng):
            return self.model.sample(theta + 0.05 * (np.arange(5) == parameter), n, rng)

    assert np.abs(difference.score_in_standard_errors(Perturbed(model), PARAMETERS["typical"], rng)).max() > 5


def test_simulated_populations_follow_the_likelihood(rng):
    """The probability integral transform of simulated populations is uniform."""
    theta, n_draws = PARAMETERS["typical"], 4000
    model = BlowflyDynamics(3, delay=1, history=[0.5, 1.5])
    _, x = model.sample(theta, n_draws, rng)
    edges = np.arange(0.005, 30, 0.01)
    series = np.column_stack([np.tile(model.history, (len(edges), 1)), edges])
    mass = 0.01 * np.cumsum(np.exp(model.log_likelihood(theta, series)))
    assert kstest(np.interp(x[:, 2], edges + 0.005, mass), "uniform").pvalue > 1e-3
    assert kstest(np.interp(1.1 * x[:, 2], edges + 0.005, mass), "uniform").pvalue < 1e-3  # negative control


def test_latents_are_consistent_with_observations(rng):
    model, theta = BlowflyDynamics(12, delay=2, history=[0.3, 0.5, 0.4]), PARAMETERS["typical"]
    (recruits, losses), x = model.sample(theta, 6, rng)
    assert recruits.shape == losses.shape == (6, 9)
    np.testing.assert_array_equal(x[:, :3], np.tile([0.3, 0.5, 0.4], (6, 1)))
    np.testing.assert_allclose(x[:, 3:], np.exp(recruits) + x[:, 2:-1] * np.exp(-np.exp(losses)))
    survivors = model.latent_function((recruits, losses)) * x[:, 2:-1]
    np.testing.assert_allclose(survivors + np.exp(recruits), x[:, 3:])


def test_local_inputs_and_samples(rng):
    model = BlowflyDynamics(180, 7)
    rows = model.local_inputs(X)
    assert rows.shape == (172, 3)
    np.testing.assert_allclose(np.exp(rows[0]), [X[0, 8], X[0, 7], X[0, 0]])
    np.testing.assert_allclose(np.exp(rows[-1]), [X[0, 179], X[0, 178], X[0, 171]])
    (recruits, losses), simulated = model.sample_local(PARAMETERS["typical"], rows, 2 * len(rows), rng)
    np.testing.assert_allclose(simulated[:, 1:], np.repeat(rows[:, 1:], 2, axis=0))
    np.testing.assert_allclose(
        np.exp(simulated[:, 0]), np.exp(recruits) + np.exp(simulated[:, 1]) * np.exp(-np.exp(losses))
    )


def test_posterior_depends_only_on_local_features():
    """Two histories with different scales and equal features have the same posterior relative to the prior."""
    theta = PARAMETERS["typical"]
    delayed = np.array([0.5, 2.0])
    births = 6.0 * delayed * np.exp(-delayed / 0.7)
    rows = np.log(np.column_stack([1.3 * births, 0.8 * births, delayed]))
    model = BlowflyDynamics(3, delay=1)
    np.testing.assert_allclose(*model.local_features(theta, rows), rtol=1e-12)
    series = np.exp(rows[:, [2, 1, 0]])
    _, posterior, (recruits, losses) = summed_out(theta, model._windows(series), model.n_nodes)
    expected_recruits = np.sum(posterior * np.exp(recruits), axis=-1)[:, 0] / births
    expected_losses = np.sum(posterior * np.exp(losses), axis=-1)[:, 0]
    assert expected_recruits[0] == pytest.approx(expected_recruits[1], rel=1e-6)
    assert expected_losses[0] == pytest.approx(expected_losses[1], rel=1e-6)


def test_transform_estimates_the_expected_survival_of_each_step():
    """The regression on dreams is compared with the exact posterior."""
    theta = PARAMETERS["noisy"]

    class FixedStart(BlowflyDynamics):
        def initial_params(self, X, rng):
            return theta

    model = FixedStart(180, 7)
    estimator = AmortisedWakeSleep(
        model, n_sleep=1000, max_iter=1, learning_rate_init=1e-9, feature_map=None, random_state=0
    )
    fitted = estimator.fit(X)
    _, posterior, z = summed_out(theta, model._windows(X), model.n_nodes)
    exact = np.sum(posterior * model.latent_function(z).reshape(posterior.shape), axis=-1)[0]
    expected = fitted.transform(X)[:, 0]
    assert np.sqrt(np.mean((expected - exact) ** 2)) < 0.8 * exact.std()
    assert np.corrcoef(expected, exact)[0, 1] > 0.75
    assert np.corrcoef(expected, exact[::-1])[0, 1] < 0.5  # negative control: steps in reverse order


def test_extreme_noise_gives_finite_results(rng):
    model = BlowflyDynamics(60, 7)
    for noise in (-50.0, 50.0):
        theta = model.project(PARAMETERS["typical"] + [0, 0, 0, noise, noise])
        z, x = model.sample(theta, 50, rng)
        assert np.isfinite(x).all()
        assert (x > 0).all()
        assert np.isfinite(model.grad_log_joint(theta, z, x, np.ones(50))).all()
        assert np.isfinite(model.grad_log_likelihood(theta, X[:, :60])).all()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_features": 8, "delay": 7}, "n_features must be more than delay \\+ 1 = 8. Got 8."),
        ({"delay": 0}, "delay of BlowflyDynamics must be an int, at least 1. Got 0 instead."),
        ({"n_nodes": 2.5}, "n_nodes of BlowflyDynamics must be an int, at least 1. Got 2.5 instead."),
        ({"history": [1.0, 2.0]}, r"history must have delay \+ 1 = 8 values. Got shape \(2,\)."),
    ],
)
def test_invalid_parameters_raise(parameters, message):
    with pytest.raises(ValueError, match=message):
        BlowflyDynamics(**parameters)
