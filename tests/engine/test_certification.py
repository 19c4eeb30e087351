"""Certificates of machines whose likelihood can be enumerated.

The certified interval is to cover the exact mean log-likelihood of the dreams in at least 95 of 100 machines: here in
114 of 40 at three settings each, with negative controls that it must miss more often.
"""

import numpy as np
import pytest

from skwakesleep._engine.arrays.random import FineNoise
from skwakesleep._engine.arrays.workspace import Workspace
from skwakesleep._engine.posterior import likelihood
from skwakesleep._engine.posterior.annealing import AnnealedImportanceSampling
from skwakesleep._engine.posterior.certification import certify
from skwakesleep._engine.posterior.enumeration import Enumeration
from tests.engine.machines import taught_machine

EVERYWHERE = ("prior", "visible", "hidden", "recognition")
N_DREAMS = 40


@pytest.fixture
def sampled(monkeypatch):
    """Keep machines that can be enumerated from being so."""
    monkeypatch.setattr(likelihood, "ENUMERABLE_LATENTS", 0)


@pytest.fixture(scope="module")
def machines():
    """Random machines of three kinds, whose recognition networks have learned from dreams."""
    kinds = [((8, 6), ()), ((8, 4, 3), ("prior",)), ((6, 5, 3), EVERYWHERE), ((12, 8), ())]
    return [
        taught_machine(kinds[seed % 4][0], seed, scale=1.5, autoregressive=kinds[seed % 4][1], n_lessons=60)
        for seed in range(40)
    ]


def exact(machine, flat, seed):
    """Return the exact mean log-likelihood of the dreams that a seed stands for."""
    theta = machine.bind(flat)
    noise = FineNoise(np.random.default_rng(np.random.SeedSequence(seed).spawn(2)[0]))
    *_, x = machine.generative.sample(theta.generative, None, (N_DREAMS,), noise, Workspace())
    return Enumeration(machine, theta, Workspace())(x).log_likelihood.mean()


def coverage(machines, n_particles, n_steps):
    """Return in how many machines the exact value is in the interval."""
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
        AnnealedImportanceSampling, "_log_weights_backwards", lambda self, x, *_: np.full(len(x), -np.inf)
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
def test_more_particles_and_steps_narrow_it(machines):
    machine, flat = machines[3]

    def width(n_particles, n_steps):
        return certify(machine, flat, 0, n_dreams=200, n_particles=n_particles, n_steps=n_steps).width

    assert width(4, 0) > 2 * width(64, 0)
    assert width(4, 0) > 2 * width(4, 30)


@pytest.mark.usefixtures("sampled")
def test_what_a_certificate_holds(machines):
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
def test_higher_confidence_is_wider(machines):
    narrow, wide = (certify(*machines[0], 1, n_dreams=30, n_particles=9, confidence=c) for c in (0.5, 0.99))
    assert narrow.width == wide.width
    assert wide.interval[0] < narrow.interval[0] < narrow.interval[1] < wide.interval[1]
    assert wide.width_interval[1] > narrow.width_interval[1]


@pytest.mark.usefixtures("sampled")
def test_dreams_do_not_depend_on_how_many_are_taken_at_once(machines, monkeypatch):
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
