"""Importance sampling and its annealed form, and the bounds they give, against enumeration.

Every statement about an average allows for four standard errors, over independent noise with fixed seeds, and each has
a planted defect that must break it.
"""

import numpy as np
import pytest

from skwakesleep._engine.arrays.random import CommonNoise, FineNoise
from skwakesleep._engine.arrays.workspace import Workspace
from skwakesleep._engine.machine.families import Bernoulli
from skwakesleep._engine.machine.networks import Machine
from skwakesleep._engine.machine.rows import Rows
from skwakesleep._engine.posterior import annealing
from skwakesleep._engine.posterior.annealing import AnnealedImportanceSampling
from skwakesleep._engine.posterior.enumeration import Enumeration
from skwakesleep._engine.posterior.estimates import estimate_of_weights
from skwakesleep._engine.posterior.expansions import Chain
from skwakesleep._engine.posterior.likelihood import estimate
from tests.engine.machines import gaussian, taught_machine

EVERYWHERE = ("prior", "visible", "hidden", "recognition")
MACHINES = {
    "shallow": ((6, 5), (), "bernoulli"),
    "deep": ((5, 4, 3, 2), (), "bernoulli"),
    "one unit": ((3, 1), (), "bernoulli"),
    "autoregressive": ((5, 4, 3), EVERYWHERE, "bernoulli"),
    "autoregressive prior": ((5, 6), ("prior",), "bernoulli"),
    "gaussian": ((3, 4, 2), (), "gaussian"),
    "autoregressive gaussian": ((3, 4, 2), EVERYWHERE, "gaussian"),
}


def untaught(name, scale=1.0):
    """Return a machine with random parameters in both networks."""
    sizes, autoregressive, family = MACHINES[name]
    n_visible = sizes[0]
    visible = Bernoulli() if family == "bernoulli" else gaussian(np.zeros(n_visible), np.ones(n_visible))
    machine = Machine(visible, sizes, n_active=1.0, autoregressive=autoregressive)
    flat = scale * np.random.default_rng(1).normal(size=machine.layout.size)
    for views in machine.layout.bind(flat).values():
        if "triangle" in views:
            views["triangle"][...] = np.triu(views["triangle"], k=1)
    return machine, flat


def dreams(machine, flat, n_rows, seed=2):
    """Return causes, bottom up, and rows."""
    noise = FineNoise(np.random.default_rng(seed))
    *causes, x = machine.generative.sample(machine.bind(flat).generative, None, (n_rows,), noise, Workspace())
    return [layer.copy() for layer in causes[::-1]], x.copy()


def exact(machine, flat, x):
    return Enumeration(machine, machine.bind(flat), Workspace())(x).log_likelihood


def sampler(machine, flat, n_particles, n_steps, seed=3, **options):
    noise = FineNoise(np.random.default_rng(seed))
    return AnnealedImportanceSampling(
        machine, machine.bind(flat), Workspace(), n_particles, n_steps, noise=lambda: noise, **options
    )


def deviations(values):
    """Return the mean in units of its standard error; exact zeros are none."""
    return values.mean() / max(values.std(ddof=1) / np.sqrt(len(values)), 1e-12)


# ---------------------------------------------------------------------- averages


def excess(machine, flat, n_steps, start="recognition"):
    """Return the estimate over the likelihood, less one, of independent pairs of particles."""
    _, x = dreams(machine, flat, 3)
    x = np.repeat(x, 4000, axis=0)
    estimates = sampler(machine, flat, 2, n_steps, start=start)(x).log_likelihood
    return np.expm1(estimates - np.tile(exact(machine, flat, x[::4000]), (4000, 1)).T.ravel())


@pytest.mark.parametrize("start", ["recognition", "prior"])
@pytest.mark.parametrize("name", MACHINES)
def test_the_mean_weight_is_the_likelihood(name, start):
    machine, flat = untaught(name, scale=0.6)
    assert abs(deviations(excess(machine, flat, 3, start))) < 4


@pytest.mark.parametrize("name", ["deep", "autoregressive"])
def test_a_chain_that_disregards_what_it_proposed_is_found_out(name, monkeypatch):
    machine, flat = untaught(name, scale=0.6)
    monkeypatch.setattr(annealing, "_log_bernoulli", lambda units, log_odds: 0.0)
    assert abs(deviations(excess(machine, flat, 3))) > 5


def margins(machine, flat, n_particles, n_steps, infer=lambda causes, x: causes):
    """Return by how many standard errors the bounds are on their sides, for 40 times 50 dreams."""
    estimator = sampler(machine, flat, n_particles, n_steps)
    below, above = [], []
    for seed in range(40):
        causes, x = dreams(machine, flat, 50, seed)
        truth = exact(machine, flat, x)
        lower, upper = estimator.bracket(x, infer(causes, x))
        below.append((truth - lower.log_likelihood).mean())
        above.append((upper.log_likelihood - truth).mean())
    return deviations(np.array(below)), deviations(np.array(above))


@pytest.mark.parametrize("n_steps", [0, 4])
@pytest.mark.parametrize("name", MACHINES)
def test_lower_bound_exact_value_upper_bound(name, n_steps):
    below, above = margins(*untaught(name), 4, n_steps)
    assert below > -4
    assert above > -4


@pytest.mark.parametrize("n_steps", [0, 4])
def test_causes_that_are_only_inferred_give_no_upper_bound(n_steps):
    machine, flat = untaught("shallow", scale=2.0)
    noise = FineNoise(np.random.default_rng(14))

    def infer(causes, x):
        theta = machine.bind(flat).recognition
        return machine.recognition.sample(theta, x, (len(x),), noise, Workspace())

    _, above = margins(machine, flat, 2, n_steps, infer)
    assert above < -8


def test_steps_and_particles_narrow_the_bracket():
    machine, flat = untaught("deep")
    causes, x = dreams(machine, flat, 60)

    def width(n_particles, n_steps):
        lower, upper = sampler(machine, flat, n_particles, n_steps).bracket(x, causes)
        return (upper.log_likelihood - lower.log_likelihood).mean()

    assert width(4, 0) > 2 * width(4, 10) > 4 * width(4, 100) > 0
    assert width(4, 0) > 2 * width(64, 0) > 0


# ---------------------------------------------------------------------- how near


def errors(machine, flat, n_steps):
    """Return the mean absolute error in nats of 20 particles from the recognition network and from the prior."""
    _, x = dreams(machine, flat, 40)
    truth = exact(machine, flat, x)
    return [
        np.abs(sampler(machine, flat, 20, n_steps, start=start)(x).log_likelihood - truth).mean()
        for start in ("recognition", "prior")
    ]


@pytest.mark.parametrize("n_steps", [0, 5, 20])
@pytest.mark.parametrize("sizes", [(120, 10), (120, 7, 4)])
def test_the_recognition_network_starts_five_times_nearer_than_the_prior(sizes, n_steps):
    machine, flat = taught_machine(sizes, seed=5, scale=0.8)
    from_recognition, from_prior = errors(machine, flat, n_steps)
    assert from_prior > 5 * from_recognition
    # Negative control: a recognition network that knows nothing.
    machine.recognition_part(flat)[...] = 0
    from_recognition, from_prior = errors(machine, flat, n_steps)
    assert from_prior < 5 * from_recognition


@pytest.mark.parametrize("seed", range(3))
def test_a_hundred_particles_are_within_a_twentieth_of_a_nat(seed):
    machine, flat = taught_machine((12, 10), seed=seed, scale=0.7)
    _, x = dreams(machine, flat, 200)
    gap = (exact(machine, flat, x) - sampler(machine, flat, 100, 0)(x).log_likelihood).mean()
    assert abs(gap) < 0.05
    machine.recognition_part(flat)[...] *= -1  # negative control
    assert (exact(machine, flat, x) - sampler(machine, flat, 100, 0)(x).log_likelihood).mean() > 0.05


# ---------------------------------------------------------------------- errors and effective sizes


def test_the_standard_error_is_the_spread_over_seeds():
    machine, flat = taught_machine((12, 10), seed=6)
    _, x = dreams(machine, flat, 30)
    estimates = [sampler(machine, flat, 200, n_steps, seed)(x) for n_steps in (0, 5) for seed in range(30)]
    spread = np.std([one.log_likelihood for one in estimates[:30]], axis=0, ddof=1)
    told = np.mean([one.standard_error for one in estimates[:30]], axis=0)
    assert np.exp(np.mean(np.log(told / spread))) == pytest.approx(1, abs=0.15)
    annealed = np.std([one.log_likelihood for one in estimates[30:]], axis=0, ddof=1)
    told_annealed = np.mean([one.standard_error for one in estimates[30:]], axis=0)
    assert np.exp(np.mean(np.log(told_annealed / annealed))) == pytest.approx(1, abs=0.15)
    # Negative control: the errors of the one are not those of the other.
    assert np.exp(np.mean(np.log(told / annealed))) > 1.15


def test_effective_sizes():
    log_weights = np.array([[0.0, 0.0, 0.0, 0.0], [5.0, -800.0, -np.inf, -900.0], [0.0, 0.0, -np.inf, -800.0]])
    estimates = estimate_of_weights(log_weights)
    np.testing.assert_allclose(estimates.effective_size, [4, 1, 2])
    np.testing.assert_allclose(estimates.log_likelihood, [0, 5 - np.log(4), -np.log(2)])
    np.testing.assert_allclose(estimates.standard_error[0], 0, atol=1e-12)
    np.testing.assert_allclose(
        estimates.standard_error[2], 1.5 * np.log(2) / np.sqrt(3)
    )  # two changes of log 2 in four
    assert estimates.standard_error[1] > 10  # who knows


def test_one_particle_tells_nothing_of_its_error():
    assert np.isnan(estimate_of_weights(np.zeros((3, 1))).standard_error).all()


def test_no_particle_explains_the_row():
    estimates = estimate_of_weights(np.full((1, 3), -np.inf))
    assert estimates.log_likelihood == -np.inf


def test_enumeration_is_exact():
    machine, flat = untaught("deep")
    causes, x = dreams(machine, flat, 4)
    lower, upper = Enumeration(machine, machine.bind(flat), Workspace()).bracket(x, causes)
    assert lower is upper
    assert (lower.standard_error == 0).all()
    assert np.isinf(lower.effective_size).all()


# ---------------------------------------------------------------------- the row alone


@pytest.mark.parametrize("autoregressive", [(), EVERYWHERE], ids=["plain", "autoregressive"])
@pytest.mark.parametrize("sizes", [(300, 17, 1), (1, 15), (70, 3, 2)])
@pytest.mark.parametrize(("n_particles", "n_steps"), [(1, 0), (3, 0), (50, 0), (1, 3), (7, 3)])
def test_a_score_depends_on_the_row_alone(sizes, autoregressive, n_particles, n_steps):
    machine = Machine(Bernoulli(), sizes, n_active=1.0, autoregressive=autoregressive)
    flat = np.random.default_rng(7).normal(size=machine.layout.size)
    x = (np.random.default_rng(8).random((70, sizes[0])) < 0.5).astype(float)

    def evaluate(x):
        return np.array(estimate(machine, flat, Rows(x, machine.visible, np.float64), n_particles, n_steps))

    whole = evaluate(x)
    order = np.random.default_rng(9).permutation(len(x))
    np.testing.assert_array_equal(evaluate(x[order]), whole[:, order])
    np.testing.assert_array_equal(evaluate(x[60:67]), whole[:, 60:67])
    for row in 0, 63, 69:
        np.testing.assert_array_equal(evaluate(x[[row]]), whole[:, [row]])


def test_noise_of_its_own_for_each_row_is_found_out():
    """Negative control."""
    machine, flat = untaught("shallow")
    _, x = dreams(machine, flat, 2)
    estimator = sampler(machine, flat, 3, 2)
    assert (estimator(x).log_likelihood != estimator(x).log_likelihood).any()


def test_common_noise_goes_on_beyond_its_table():
    noise = CommonNoise(4, 3)
    table, beyond = noise.uniform((4, 2, 3), np.float64), [noise.uniform((4, 2, 5), np.float64) for _ in range(2)]
    assert all((part[:, 0] == part[:, 1]).all() for part in beyond)
    assert len(np.unique(np.concatenate([table, *beyond], axis=-1)[:, 0])) == 4 * 13
    noise.rewind()
    noise.uniform((4, 2, 3), np.float64)
    np.testing.assert_array_equal(noise.uniform((4, 2, 5), np.float64), beyond[0])


# ---------------------------------------------------------------------- expansions


def chains(machine, flat):
    theta, hidden = machine.bind(flat), machine.sizes[1:]
    return {
        "model": Chain(machine.generative.layers, theta.generative, hidden, annealing._downwards, Workspace()),
        "recognition": Chain(machine.recognition.layers, theta.recognition, hidden, annealing._upwards, Workspace()),
    }


def flips(chain, x, units):
    """Return the exact log-odds of each unit, one flip at a time."""
    odds = np.empty_like(units)
    for unit in range(units.shape[-1]):
        on, off = units.copy(), units.copy()
        on[..., unit], off[..., unit] = 1, 0
        odds[..., unit] = chain.log_prob(x, on) - chain.log_prob(x, off)
    return odds


@pytest.mark.parametrize("network", ["model", "recognition"])
@pytest.mark.parametrize("name", MACHINES)
def test_log_odds_are_right_to_third_order(name, network):
    """Halving all weights takes a fourth of the error away at least four times over: it falls by more than four."""
    machine, flat = untaught(name, scale=0.5)
    _, x = dreams(machine, flat, 5)
    units = np.random.default_rng(10).integers(2, size=(5, 6, machine.n_latents)).astype(float)
    worst = []
    for scale in (1.0, 0.5):
        scaled = flat.copy()
        for views in machine.layout.bind(scaled).values():
            for weights in views.keys() & {"weights", "triangle"}:
                views[weights] *= scale
        chain = chains(machine, scaled)[network]
        expansion = chain.expand(x, units)
        np.testing.assert_allclose(expansion.log_prob, chain.log_prob(x, units), rtol=1e-12)
        worst.append(np.abs(expansion.log_odds - flips(chain, x, units)).max())
    assert worst[1] < 1e-12 or worst[0] > 4 * worst[1]
    assert worst[0] < 0.2


@pytest.mark.parametrize("network", ["model", "recognition"])
def test_parts_of_the_rows_make_a_whole(network, monkeypatch):
    machine, flat = untaught("autoregressive")
    _, x = dreams(machine, flat, 5)
    units = np.random.default_rng(14).integers(2, size=(5, 6, machine.n_latents)).astype(float)
    chain = chains(machine, flat)[network]
    log_prob, expansion = chain.log_prob(x, units), chain.expand(x, units)
    monkeypatch.setattr("skwakesleep._engine.posterior.expansions.CACHED", 12 * max(machine.sizes))  # two rows
    np.testing.assert_array_equal(chain.log_prob(x, units), log_prob)
    for part, whole in zip(chain.expand(x, units), expansion, strict=True):
        np.testing.assert_array_equal(part, whole)


def test_log_odds_are_exact_for_gaussian_columns():
    machine = Machine(gaussian(np.zeros(3), np.ones(3)), (3, 4), n_active=1.0)
    flat = np.random.default_rng(11).normal(size=machine.layout.size)
    x = np.random.default_rng(12).normal(size=(2, 3))
    units = np.random.default_rng(13).integers(2, size=(2, 5, 4)).astype(float)
    chain = chains(machine, flat)["model"]
    np.testing.assert_allclose(chain.expand(x, units).log_odds, flips(chain, x, units), rtol=1e-9)


def test_log_probabilities_are_the_networks():
    machine, flat = untaught("autoregressive")
    theta = machine.bind(flat)
    causes, x = dreams(machine, flat, 6)
    units = np.concatenate(causes, axis=1)[:, np.newaxis]
    expected = machine.generative.log_prob(theta.generative, None, [*causes[::-1], x], Workspace())
    np.testing.assert_allclose(chains(machine, flat)["model"].log_prob(x, units)[:, 0], expected, rtol=1e-12)
    expected = machine.recognition.log_prob(theta.recognition, x, causes, Workspace())
    np.testing.assert_allclose(chains(machine, flat)["recognition"].log_prob(x, units)[:, 0], expected, rtol=1e-12)
