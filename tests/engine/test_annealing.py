"""Importance sampling, its annealed form, and the bounds they give, compared with enumeration.

Tests of averages allow four standard errors, over independent noise with fixed seeds. Each has a planted defect that
must make it fail.
"""

import numpy as np
import pytest

from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.arrays.random import CommonNoise, FineNoise
from skwakesleep._engine.machine.rows import Rows
from skwakesleep._engine.posterior import annealing
from skwakesleep._engine.posterior.annealing import AnnealedImportanceSampling, HiddenDistribution
from skwakesleep._engine.posterior.likelihood import estimate
from skwakesleep._engine.posterior.particles import Particles, estimate_of
from tests.engine.machines import (
    EVERYWHERE,
    dreams,
    enumeration,
    exact_log_likelihood,
    random_machine,
    taught_machine,
    visible,
)

pytestmark = pytest.mark.statistical

MACHINES = {
    "shallow": ((6, 5), (), "bernoulli"),
    "deep": ((5, 4, 3, 2), (), "bernoulli"),
    "one unit": ((3, 1), (), "bernoulli"),
    "autoregressive": ((5, 4, 3), EVERYWHERE, "bernoulli"),
    "autoregressive prior": ((5, 6), ("prior",), "bernoulli"),
    "gaussian": ((3, 4, 2), (), "gaussian"),
    "autoregressive gaussian": ((3, 4, 2), EVERYWHERE, "gaussian"),
    "mixed": ((4, 4, 2), (), "mixed"),
    "autoregressive mixed": ((4, 4, 2), EVERYWHERE, "mixed"),
}


def untaught(name, scale=1.0):
    """Return a machine with random parameters in both networks."""
    sizes, autoregressive, kind = MACHINES[name]
    return random_machine(sizes, 1, kind=kind, autoregressive=autoregressive, scale=scale)


def sampler(machine, flat, n_particles, n_steps, seed=3, **options):
    noise = FineNoise(np.random.default_rng(seed))
    networks = machine.bind(flat, NumpyBackend(by_row=True))
    return AnnealedImportanceSampling(machine, networks, n_particles, n_steps, noise=lambda: noise, **options)


def deviations(values):
    """Return the mean in units of its standard error; zero if all values are zero."""
    return values.mean() / max(values.std(ddof=1) / np.sqrt(len(values)), 1e-12)


# ---------------------------------------------------------------------- averages


def excess(machine, flat, n_steps, start="recognition"):
    """Return the estimate divided by the likelihood, minus one, for independent pairs of particles."""
    _, x = dreams(machine, flat, 3)
    estimates = sampler(machine, flat, 2, n_steps, start=start)(visible(np.repeat(x, 4000, axis=0))).log_likelihood
    return np.expm1(estimates - np.repeat(exact_log_likelihood(machine, flat, x), 4000))


@pytest.mark.parametrize(
    ("name", "start"),
    [*((name, "recognition") for name in MACHINES), ("deep", "prior"), ("autoregressive mixed", "prior")],
)
def test_the_mean_weight_is_the_likelihood(name, start):
    machine, flat = untaught(name, scale=0.6)
    assert abs(deviations(excess(machine, flat, 3, start))) < 4


@pytest.mark.parametrize("name", ["deep", "autoregressive", "autoregressive mixed"])
def test_a_wrong_acceptance_probability_is_detected(name, monkeypatch):
    """Negative control: the probability of the proposal is left out."""
    machine, flat = untaught(name, scale=0.6)
    monkeypatch.setattr(annealing, "_log_bernoulli", lambda units, log_odds: 0.0)
    assert abs(deviations(excess(machine, flat, 3))) > 5


def margins(machine, flat, n_particles, n_steps, infer=lambda causes, x: causes):
    """Return by how many standard errors the bounds are on their sides, for 40 times 50 dreams."""
    posterior = sampler(machine, flat, n_particles, n_steps)
    below, above = [], []
    for seed in range(40):
        causes, x = dreams(machine, flat, 50, seed)
        truth = exact_log_likelihood(machine, flat, x)
        lower, upper = posterior.bracket(visible(x), infer(causes, x))
        below.append((truth - lower.log_likelihood).mean())
        above.append((upper.log_likelihood - truth).mean())
    return deviations(np.array(below)), deviations(np.array(above))


@pytest.mark.parametrize(
    ("name", "n_steps"), [*((name, 4) for name in MACHINES), ("deep", 0), ("autoregressive mixed", 0)]
)
def test_lower_bound_exact_value_upper_bound(name, n_steps):
    below, above = margins(*untaught(name), 4, n_steps)
    assert below > -4
    assert above > -4


@pytest.mark.parametrize("n_steps", [0, 4])
def test_inferred_causes_give_no_upper_bound(n_steps):
    """Negative control: causes drawn from the recognition network, not from the posterior."""
    machine, flat = untaught("shallow", scale=2.0)
    noise = FineNoise(np.random.default_rng(14))

    def infer(causes, x):
        return machine.bind(flat, NumpyBackend()).recognition.sample(x, (len(x), 1), noise)

    _, above = margins(machine, flat, 2, n_steps, infer)
    assert above < -8


def test_steps_and_particles_narrow_the_bracket():
    machine, flat = untaught("deep")
    causes, x = dreams(machine, flat, 60)

    def width(n_particles, n_steps):
        lower, upper = sampler(machine, flat, n_particles, n_steps).bracket(visible(x), causes)
        return (upper.log_likelihood - lower.log_likelihood).mean()

    assert width(4, 0) > 2 * width(4, 10) > 4 * width(4, 100) > 0
    assert width(4, 0) > 2 * width(64, 0) > 0


# ---------------------------------------------------------------------- accuracy


def errors(machine, flat, n_steps):
    """Return the mean absolute error in nats of 20 particles from the recognition network and from the prior."""
    _, x = dreams(machine, flat, 40)
    truth = exact_log_likelihood(machine, flat, x)
    return [
        np.abs(sampler(machine, flat, 20, n_steps, start=start)(visible(x)).log_likelihood - truth).mean()
        for start in ("recognition", "prior")
    ]


@pytest.mark.parametrize("n_steps", [0, 5, 20])
@pytest.mark.parametrize("sizes", [(120, 10), (120, 7, 4)])
def test_errors_from_the_recognition_network_are_five_times_smaller_than_from_the_prior(sizes, n_steps):
    machine, flat = taught_machine(sizes, seed=5, scale=0.8)
    from_recognition, from_prior = errors(machine, flat, n_steps)
    assert from_prior > 5 * from_recognition
    # Negative control: an untrained recognition network.
    machine.recognition_part(flat)[...] = 0
    from_recognition, from_prior = errors(machine, flat, n_steps)
    assert from_prior < 5 * from_recognition


@pytest.mark.parametrize("seed", range(3))
def test_the_error_of_a_hundred_particles_is_below_a_twentieth_of_a_nat(seed):
    machine, flat = taught_machine((12, 10), seed=seed, scale=0.7)
    _, x = dreams(machine, flat, 200)
    truth = exact_log_likelihood(machine, flat, x)
    gap = (truth - sampler(machine, flat, 100, 0)(visible(x)).log_likelihood).mean()
    assert abs(gap) < 0.05
    machine.recognition_part(flat)[...] *= -1  # negative control
    assert (truth - sampler(machine, flat, 100, 0)(visible(x)).log_likelihood).mean() > 0.05


# ---------------------------------------------------------------------- standard errors and effective sizes


def test_the_standard_error_is_the_spread_over_seeds():
    machine, flat = taught_machine((12, 10), seed=6)
    _, x = dreams(machine, flat, 30)

    def spread_and_error(n_steps):
        estimates = [estimate_of(sampler(machine, flat, 200, n_steps, seed)(visible(x))) for seed in range(30)]
        spread = np.std([one.log_likelihood for one in estimates], axis=0, ddof=1)
        return spread, np.mean([one.standard_error for one in estimates], axis=0)

    def ratio(error, spread):
        return np.exp(np.mean(np.log(error / spread)))

    (spread, error), (annealed_spread, annealed_error) = spread_and_error(0), spread_and_error(5)
    assert ratio(error, spread) == pytest.approx(1, abs=0.15)
    assert ratio(annealed_error, annealed_spread) == pytest.approx(1, abs=0.15)
    # Negative control: the error without steps is not the spread with steps.
    assert ratio(error, annealed_spread) > 1.15


def particles(log_weights):
    """Return particles with the given log-weights, except for the division by their number."""
    log_weights = np.asarray(log_weights) - np.log(np.shape(log_weights)[1])
    return Particles(np.zeros((*log_weights.shape, 1)), log_weights, exact=False)


def test_effective_sizes():
    log_weights = np.array([[0.0, 0.0, 0.0, 0.0], [5.0, -800.0, -np.inf, -900.0], [0.0, 0.0, -np.inf, -800.0]])
    estimates = estimate_of(particles(log_weights))
    np.testing.assert_allclose(estimates.effective_size, [4, 1, 2])
    np.testing.assert_allclose(estimates.log_likelihood, [0, 5 - np.log(4), -np.log(2)])
    np.testing.assert_allclose(estimates.standard_error[0], 0, atol=1e-12)
    # Of four estimates that leave one particle out, two change by log 2.
    np.testing.assert_allclose(estimates.standard_error[2], 1.5 * np.log(2) / np.sqrt(3))
    assert estimates.standard_error[1] > 10  # unknown: one particle has all the weight


def test_the_error_of_one_particle_is_unknown():
    assert np.isnan(estimate_of(particles(np.zeros((3, 1)))).standard_error).all()


def test_no_particle_explains_the_row():
    assert estimate_of(particles(np.full((1, 3), -np.inf))).log_likelihood == -np.inf


def test_enumeration_is_exact():
    machine, flat = untaught("deep")
    causes, x = dreams(machine, flat, 4)
    lower, upper = enumeration(machine, flat).bracket(visible(x), causes)
    assert lower is upper
    assert lower.exact
    assert (estimate_of(lower).standard_error == 0).all()
    assert np.isinf(estimate_of(lower).effective_size).all()


# ---------------------------------------------------------------------- independence of the other rows


@pytest.mark.parametrize("autoregressive", [(), EVERYWHERE], ids=["plain", "autoregressive"])
@pytest.mark.parametrize("sizes", [(300, 17, 1), (1, 15), (70, 3, 2)])
@pytest.mark.parametrize(("n_particles", "n_steps"), [(1, 0), (3, 0), (50, 0), (1, 3), (7, 3)])
def test_a_score_depends_on_the_row_alone(sizes, autoregressive, n_particles, n_steps):
    machine, flat = random_machine(sizes, 7, autoregressive=autoregressive)
    x = (np.random.default_rng(8).random((70, sizes[0])) < 0.5).astype(float)

    def evaluate(x):
        rows = Rows(x, machine.columns, np.float64, NumpyBackend())
        return np.array(estimate(machine, flat, rows, NumpyBackend(), n_particles, n_steps))

    whole = evaluate(x)
    order = np.random.default_rng(9).permutation(len(x))
    np.testing.assert_array_equal(evaluate(x[order]), whole[:, order])
    np.testing.assert_array_equal(evaluate(x[60:67]), whole[:, 60:67])
    for row in 0, 63, 69:
        np.testing.assert_array_equal(evaluate(x[[row]]), whole[:, [row]])


def test_independent_noise_gives_different_scores():
    """Negative control of the test above."""
    machine, flat = untaught("shallow")
    _, x = dreams(machine, flat, 2)
    posterior = sampler(machine, flat, 3, 2)
    assert (posterior(visible(x)).log_likelihood != posterior(visible(x)).log_likelihood).any()


def test_common_noise_continues_after_its_table():
    noise = CommonNoise(4, 3)
    table, beyond = noise.uniform((2, 4, 3), np.float64), [noise.uniform((2, 4, 5), np.float64) for _ in range(2)]
    assert all((part[0] == part[1]).all() for part in beyond)
    assert len(np.unique(np.concatenate([table, *beyond], axis=-1)[0])) == 4 * 13
    noise.rewind()
    noise.uniform((2, 4, 3), np.float64)
    np.testing.assert_array_equal(noise.uniform((2, 4, 5), np.float64), beyond[0])


# ---------------------------------------------------------------------- log-odds


def distributions(machine, flat):
    networks, sizes = machine.bind(flat, NumpyBackend(by_row=True)), machine.hidden_sizes
    return {
        "model": HiddenDistribution(networks.generative, sizes, annealing._downwards),
        "recognition": HiddenDistribution(networks.recognition, sizes, annealing._upwards),
    }


def random_states(machine, n_rows, n_particles, seed=10):
    """Return states of all hidden units."""
    shape = (n_rows, n_particles, machine.n_latents)
    return np.random.default_rng(seed).integers(2, size=shape).astype(float)


def exact_log_odds(distribution, x, units):
    """Return the log-odds of each unit, from the log-probabilities with this unit on and off."""
    odds = np.empty_like(units)
    for unit in range(units.shape[-1]):
        on, off = units.copy(), units.copy()
        on[..., unit], off[..., unit] = 1, 0
        odds[..., unit] = distribution.log_prob(visible(x), on) - distribution.log_prob(visible(x), off)
    return odds


@pytest.mark.parametrize("network", ["model", "recognition"])
@pytest.mark.parametrize("name", MACHINES)
def test_log_odds_are_right_to_third_order(name, network):
    """With half the weights, the error falls by more than the factor of four of a second-order term."""
    machine, flat = untaught(name, scale=0.5)
    _, x = dreams(machine, flat, 5)
    units = random_states(machine, 5, 6)
    worst = []
    for scale in (1.0, 0.5):
        scaled = flat.copy()
        for views in machine.layout.views(scaled).values():
            for weights in views.keys() & {"weights", "triangle"}:
                views[weights] *= scale
        distribution = distributions(machine, scaled)[network]
        expansion = distribution.expand(visible(x), units)
        np.testing.assert_allclose(expansion.log_prob, distribution.log_prob(visible(x), units), rtol=1e-12)
        worst.append(np.abs(expansion.log_odds - exact_log_odds(distribution, x, units)).max())
    assert worst[1] < 1e-12 or worst[0] > 4 * worst[1]
    assert worst[0] < 0.2


@pytest.mark.parametrize("n_rows", [1, 2])
@pytest.mark.parametrize("network", ["model", "recognition"])
@pytest.mark.parametrize("autoregressive", [(), EVERYWHERE], ids=["plain", "autoregressive"])
@pytest.mark.parametrize("kind", ["bernoulli", "gaussian", "mixed"])
def test_results_do_not_depend_on_how_many_rows_are_computed_at_a_time(
    kind, autoregressive, network, n_rows, monkeypatch
):
    machine, flat = random_machine((300, 17, 4), 14, kind=kind, autoregressive=autoregressive, scale=0.3)
    _, x = dreams(machine, flat, 9)
    units = random_states(machine, 9, 6)
    distribution = distributions(machine, flat)[network]
    log_prob, expansion = distribution.log_prob(visible(x), units), distribution.expand(visible(x), units)
    widest = 300 if network == "model" else 17
    monkeypatch.setattr(annealing, "CACHED_UNITS", n_rows * 6 * widest)
    np.testing.assert_array_equal(distribution.log_prob(visible(x), units), log_prob)
    for part, whole in zip(distribution.expand(visible(x), units), expansion, strict=True):
        np.testing.assert_array_equal(part, whole)


def test_log_odds_are_exact_for_gaussian_columns():
    machine, flat = random_machine((3, 4), 11, kind="gaussian")
    x = np.random.default_rng(12).normal(size=(2, 1, 3))
    units = random_states(machine, 2, 5)
    distribution = distributions(machine, flat)["model"]
    expected = exact_log_odds(distribution, x, units)
    np.testing.assert_allclose(distribution.expand(visible(x), units).log_odds, expected, rtol=1e-9)


def test_log_probabilities_are_those_of_the_networks():
    machine, flat = untaught("autoregressive")
    networks = machine.bind(flat, NumpyBackend())
    causes, x = dreams(machine, flat, 6)
    units = np.concatenate(causes, axis=-1)
    expected = networks.generative.log_prob(None, [*causes[::-1], x])
    np.testing.assert_allclose(distributions(machine, flat)["model"].log_prob(visible(x), units), expected, rtol=1e-12)
    expected = networks.recognition.log_prob(x, causes)
    np.testing.assert_allclose(
        distributions(machine, flat)["recognition"].log_prob(visible(x), units), expected, rtol=1e-12
    )
