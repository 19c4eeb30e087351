"""Step size and settling of a training, judged by its gradients, on a quadratic objective with noise."""

from copy import deepcopy

import numpy as np
import pytest

from skwakesleep._engine.amortised.progress import (
    LARGE_LOSS,
    LENGTHENING,
    MIN_PARAMETERS,
    SETTLING_FACTOR,
    SHORTENING,
    TOLERATED_LOSS,
    Progress,
)

INTERVAL = 25


def ascend(progress, start, curvature, n_steps, *, step=0.05, noise=1.0, seed=0):
    """Follow the noisy gradient of ``-curvature * x^2 / 2``, and return the iterates."""
    rng, x, path = np.random.default_rng(seed), np.array([float(start)]), []
    for n in range(n_steps):
        if n % INTERVAL == 0:
            progress.review(x, n)
        gradient = -curvature * x + noise * rng.normal(size=1)
        progress.record(gradient)
        x = x + step * progress.factor * gradient
        path.append(x[0])
    return np.array(path)


def judged(gains, n_parameters=MIN_PARAMETERS):
    """Return the progress after given gains, in multiples of the tolerated loss."""
    progress = Progress()
    for number, gain in enumerate(gains, start=1):
        progress._judge(gain * TOLERATED_LOSS * n_parameters, n_parameters, INTERVAL * number)
    return progress


def test_gain_is_that_of_repeating_the_displacement():
    """The parameters move from 1 to 3 in the first interval; the mean gradient of the second is 4."""
    progress = Progress()
    progress.review(np.array([1.0]), 0)
    progress.record(np.array([100.0]))  # has no influence: its noise is part of the displacement
    progress.review(np.array([3.0]), 1)
    assert progress.last_gain == np.inf
    for gradient in 3.0, 5.0:
        progress.record(np.array([gradient]))
    progress.review(np.array([0.0]), 3)
    assert progress.last_gain == 8.0


def test_climb_has_not_settled_and_takes_full_steps():
    progress = Progress()
    ascend(progress, start=1000, curvature=0.01, n_steps=400)
    assert progress.level_at is None
    assert progress.factor == 1


@pytest.mark.parametrize("seed", range(3))
def test_training_settles_at_an_optimum_and_its_steps_are_shortened(seed):
    progress = Progress()
    path = ascend(progress, start=20, curvature=1.0, n_steps=2000, seed=seed)
    assert 50 < progress.level_at < 600
    assert progress.has_settled(2000)
    assert progress.factor < 0.5
    constant = ascend(Progress(), start=0, curvature=1.0, n_steps=1000, step=0.05, seed=seed)
    assert path[1000:].var() < 0.7 * constant[:INTERVAL].var() + 0.01


def test_large_loss_shortens_the_steps_at_once():
    assert judged([-0.5 * LARGE_LOSS]).factor == 1
    assert judged([-2 * LARGE_LOSS]).factor == SHORTENING
    assert judged([-2 * LARGE_LOSS]).level_at is None


def test_single_loss_after_a_larger_gain_is_noise():
    assert judged([-1]).level_at is None
    assert judged([5, -1]).level_at is None
    assert judged([5, -1, -1]).level_at == 3 * INTERVAL
    assert judged([0.5, -1]).level_at == 2 * INTERVAL


def test_steps_are_shortened_in_proportion_once_settled():
    settled = [-1, -1, 0]  # level at the second review, settled at the third
    assert judged(settled).level_at == 2 * INTERVAL
    assert judged(settled).has_settled(3 * INTERVAL)
    assert judged([*settled, -2]).factor == pytest.approx(np.sqrt(1 / 2))
    assert judged([*settled, -100]).factor == SHORTENING
    assert judged([*settled, -0.5]).factor == 1
    assert judged([*settled, -100, 2]).factor == pytest.approx(SHORTENING * LENGTHENING)
    assert judged([*settled, 2]).factor == 1


def test_tolerated_loss_is_per_parameter():
    assert judged([-1, -1, 0, -2], n_parameters=70).factor == pytest.approx(np.sqrt(1 / 2))
    few = -2 * MIN_PARAMETERS / 5
    assert judged([-1, -1, 0, few], n_parameters=5).factor == pytest.approx(np.sqrt(1 / 2))


def test_training_settles_after_a_multiple_of_the_steps():
    progress = Progress(level_at=100)
    assert not progress.has_settled(int(SETTLING_FACTOR * 100) - 1)
    assert progress.has_settled(int(SETTLING_FACTOR * 100))


def test_interrupt_forgets_the_interval_and_keeps_the_findings():
    progress = judged([-1, -1, 0, -2])
    progress.review(np.zeros(1), 0)
    progress.record(np.ones(1))
    before = deepcopy(progress)
    progress.interrupt()
    assert (progress.factor, progress.level_at) == (before.factor, before.level_at)
    assert progress.total is progress.start is progress.displacement is None
    progress.record(np.ones(1))
    progress.review(np.ones(1), 1)  # there is no displacement to judge
    assert progress.last_gain == before.last_gain


@pytest.mark.parametrize(
    "damage",
    [{"factor": 2.0}, {"factor": np.nan}, {"n_gradients": -1}, {"total": np.zeros(3)}, {"start": np.full(2, np.nan)}],
)
def test_damaged_progress_is_rejected(damage):
    Progress(total=np.zeros(2)).check(2)
    with pytest.raises(ValueError, match=r"factor of the steps|total has shape|start is not finite"):
        Progress(**damage).check(2)
