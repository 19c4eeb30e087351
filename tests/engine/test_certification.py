"""Certificates of machines whose likelihood can be enumerated.

The interval must cover the exact mean log-likelihood of the dreams for at least 95% of machines: here for 114 of 120,
which are 40 machines at three settings. Wrong intervals, the negative controls, must cover fewer.
"""

import numpy as np
import pytest

from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.posterior import certification, likelihood
from skwakesleep._engine.posterior.annealing import AnnealedImportanceSampling
from tests.engine.machines import EVERYWHERE, dreams, exact_log_likelihood, taught_machine

pytestmark = pytest.mark.statistical

N_DREAMS = 40


@pytest.fixture
def sampled(monkeypatch):
    """Turn enumeration off."""
    monkeypatch.setattr(likelihood, "ENUMERABLE_LATENTS", 0)


@pytest.fixture(scope="module")
def machines():
    """Random machines of three kinds, whose recognition networks have learned from dreams."""
    kinds = [((8, 6), ()), ((8, 4, 3), ("prior",)), ((6, 5, 3), EVERYWHERE), ((12, 8), ())]
    return [
        taught_machine(kinds[seed % 4][0], seed, scale=1.5, autoregressive=kinds[seed % 4][1], n_lessons=60)
        for seed in range(40)
    ]


def certify(machine, flat, seed, **options):
    return certification.certify(machine, flat, NumpyBackend(), seed, **options)


def exact(machine, flat, seed):
    """Return the exact mean log-likelihood of the dreams that a certificate with this seed is made of."""
    _, x = dreams(machine, flat, N_DREAMS, np.random.SeedSequence(seed).spawn(2)[0])
    return exact_log_likelihood(machine, flat, x).mean()


def coverage(machines, n_particles, n_steps):
    """Return for how many machines the exact value is in the interval."""
    covered = 0
    for seed, (machine, flat) in enumerate(machines):
        certificate = certify(machine, flat, seed, n_dreams=N_DREAMS, n_particles=n_particles, n_steps=n_steps)
        low, high = certificate.interval
        covered += low <= exact(machine, flat, seed) <= high
    return covered


@pytest.mark.usefixtures("sampled")
def test_the_interval_covers_the_exact_value(machines):
    assert sum(coverage(machines, *setting) for setting in [(100, 0), (10, 0), (10, 5)]) >= 114


@pytest.mark.usefixtures("sampled")
def test_an_interval_without_an_upper_bound_misses_it(machines, monkeypatch):
    monkeypatch.setattr(
        AnnealedImportanceSampling, "_annealed_backwards", lambda self, x, *_: np.full((len(x.units), 1), -np.inf)
    )
    assert coverage(machines, 10, 0) < 20


@pytest.mark.usefixtures("sampled")
def test_the_interval_of_another_machine_misses_it(machines):
    shifted = [(machine, flat + 0.1 * np.random.default_rng(0).normal(size=flat.size)) for machine, flat in machines]
    covered = 0
    for seed, (machine, flat) in enumerate(machines):
        certificate = certify(*shifted[seed], seed, n_dreams=N_DREAMS, n_particles=100)
        covered += certificate.interval[0] <= exact(machine, flat, seed) <= certificate.interval[1]
    assert covered < 30


@pytest.mark.usefixtures("sampled")
def test_more_particles_and_steps_narrow_the_interval(machines):
    machine, flat = machines[3]

    def width(n_particles, n_steps):
        return certify(machine, flat, 0, n_dreams=200, n_particles=n_particles, n_steps=n_steps).width

    assert width(4, 0) > 2 * width(64, 0)
    assert width(4, 0) > 2 * width(4, 30)


@pytest.mark.usefixtures("sampled")
def test_attributes_of_a_certificate(machines):
    machine, flat = machines[0]
    certificate = certify(machine, flat, 1, n_dreams=30, n_particles=50, n_steps=2, confidence=0.9)
    assert certificate.width == pytest.approx(certificate.upper - certificate.lower)
    assert certificate.interval[0] < certificate.lower < certificate.upper < certificate.interval[1]
    low, high = certificate.width_interval
    assert 0 <= low < certificate.width < high
    assert certificate.effective_sizes.shape == (30,)
    assert ((certificate.effective_sizes >= 1) & (certificate.effective_sizes <= 50)).all()
    assert (certificate.n_dreams, certificate.n_particles, certificate.n_steps) == (30, 50, 2)
    assert f"within {certificate.width:.2g} nats per row (90% confidence" in str(certificate)
    assert "50 particles and 2 annealing steps" in str(certificate)
    with pytest.raises(AttributeError):
        certificate.lower = 0.0
    with pytest.raises(ValueError, match="read-only"):
        certificate.effective_sizes[0] = 0


@pytest.mark.usefixtures("sampled")
def test_a_higher_confidence_gives_wider_intervals(machines):
    narrow, wide = (certify(*machines[0], 1, n_dreams=30, n_particles=9, confidence=c) for c in (0.5, 0.99))
    assert narrow.width == wide.width
    assert wide.interval[0] < narrow.interval[0] < narrow.interval[1] < wide.interval[1]
    assert wide.width_interval[1] > narrow.width_interval[1]


@pytest.mark.usefixtures("sampled")
def test_a_certificate_depends_on_the_seed_alone(machines):
    machine, flat = machines[0]
    together = certify(machine, flat, 1, n_dreams=30, n_particles=9)
    again = certify(machine, flat, 1, n_dreams=30, n_particles=9)
    assert together.interval == again.interval
    assert together.interval != certify(machine, flat, 2, n_dreams=30, n_particles=9).interval


def test_an_enumerated_score_is_exact(machines):
    certificate = certify(*machines[0], 1, n_dreams=N_DREAMS, n_particles=50)
    assert certificate.lower == certificate.upper == pytest.approx(exact(*machines[0], 1))
    assert certificate.interval == (certificate.lower, certificate.upper)
    assert certificate.width_interval == (0, 0)
    assert str(certificate) == "The score is exact."
