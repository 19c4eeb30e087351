"""Generated data compared with their known causes, and shipped data."""

import numpy as np
import pytest

from skwakesleep.datasets import load_blowfly, make_bars, make_pinwheel, make_ring

GENERATORS = {"ring": make_ring, "pinwheel": make_pinwheel, "bars": make_bars}
every_generator = pytest.mark.parametrize("make", GENERATORS.values(), ids=GENERATORS.keys())


def test_blowfly_counts():
    counts = load_blowfly()
    assert counts.shape == (180,)
    assert counts.dtype == np.float64
    assert counts[:3].tolist() == [948, 942, 911]
    assert counts[-1] == 1346
    assert counts.sum() == 446_569


@every_generator
def test_the_same_seed_gives_the_same_data(make):
    X, again, other = (make(20, random_state=seed)[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(X, again)
    assert not np.array_equal(X, other)
    rng = np.random.RandomState(0)
    np.testing.assert_array_equal(make(20, random_state=rng)[0], X)


@every_generator
@pytest.mark.parametrize("n_samples", [0, -1])
def test_too_few_samples_raise_an_error(make, n_samples):
    with pytest.raises(ValueError, match=f"n_samples == {n_samples}, must be >= 1"):
        make(n_samples)


@every_generator
def test_the_number_of_samples_must_be_an_integer(make):
    with pytest.raises(TypeError, match="n_samples must be an instance of"):
        make(2.5)


def test_the_ring_without_noise_is_a_circle_of_its_angles():
    X, truth = make_ring(50, 4, noise=0.0, random_state=0)
    circle = X @ np.linalg.pinv(truth.loadings).T
    np.testing.assert_allclose(circle, np.column_stack([np.cos(truth.angles), np.sin(truth.angles)]), atol=1e-12)
    assert truth.loadings.shape == (4, 2)


def test_noise_of_the_ring():
    X, truth = make_ring(5000, 4, noise=0.2, random_state=0)
    residual = X - np.column_stack([np.cos(truth.angles), np.sin(truth.angles)]) @ truth.loadings.T
    assert residual.std() == pytest.approx(0.2, rel=0.02)


def test_arms_of_the_pinwheel_are_radial_after_unwinding():
    X, y = make_pinwheel(5000, n_arms=3, radial_scale=0.3, tangential_scale=0.05, rate=0.25, random_state=0)
    assert np.bincount(y).tolist() == [1667, 1667, 1666]
    # Far from the origin, the distance gives the position along the arm, and so its rotation.
    distance = np.hypot(*X.T)
    angle = np.arctan2(-X[:, 1], X[:, 0]) - 0.25 * np.exp(distance) - 2 * np.pi * y / 3
    across = distance * (np.mod(angle + np.pi, 2 * np.pi) - np.pi)
    assert np.median(np.abs(across[distance > 0.5])) == pytest.approx(0.6745 * 0.05, rel=0.1)
    assert distance.mean() == pytest.approx(1, abs=0.02)


def test_bars_are_at_their_places():
    X, y = make_bars(200, side=3, random_state=0)
    for image, bars in zip(X.reshape(-1, 3, 3), y, strict=True):
        expected = np.zeros((3, 3))
        expected[bars[:3] == 1] = 1
        expected[:, bars[3:] == 1] = 1
        np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize("probability", [0, 1])
def test_all_bars_or_none(probability):
    X, y = make_bars(5, probability=probability, random_state=0)
    np.testing.assert_array_equal(X, probability)
    np.testing.assert_array_equal(y, probability)


@pytest.mark.parametrize(
    "call",
    [
        lambda: make_ring(5, 0),
        lambda: make_ring(5, noise=-1.0),
        lambda: make_pinwheel(5, n_arms=0),
        lambda: make_pinwheel(5, radial_scale=-1.0),
        lambda: make_pinwheel(5, tangential_scale=-1.0),
        lambda: make_bars(5, side=0),
        lambda: make_bars(5, probability=1.5),
    ],
)
def test_bad_parameters(call):
    with pytest.raises(ValueError, match="must be"):
        call()
