"""Generators of data with known latents, and loaders of small data sets."""

from importlib.resources import files
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state, check_scalar

__all__ = ["load_blowfly", "make_bars", "make_pinwheel", "make_ring"]


def load_blowfly() -> NDArray:
    """Load counts of adult blowflies in a cage, every other day.

    A classic data set of population dynamics: 180 counts of *Lucilia cuprina* on a limited diet. They rise and crash
    every five to six weeks, because starving flies lay few eggs, and eggs become adults two weeks later.

    Returns
    -------
    counts : ndarray of shape (180,), float64
        Number of adult flies, every other day.

    See Also
    --------
    skwakesleep.simulators.BlowflyDynamics : A model of these counts.

    References
    ----------
    .. [1] A. J. Nicholson. "The self-adjustment of populations to change". Cold Spring Harbor Symposia on Quantitative
       Biology 22 (1957) 153-173.

    Examples
    --------
    >>> from skwakesleep.datasets import load_blowfly
    >>> counts = load_blowfly()
    >>> counts.shape, int(counts.min()), int(counts.max())
    ((180,), 60, 8921)
    """
    text = files("skwakesleep.data").joinpath("blowfly.csv").read_text(encoding="ascii")
    return np.array(text.split()[1:], dtype=np.float64)


class Ring(NamedTuple):
    """Parameters and latents of the points of `make_ring`.

    ``loadings (n_features, 2)`` map the circle to the data. ``angles (n_samples,)`` are in radians.
    """

    loadings: NDArray
    angles: NDArray


def make_ring(n_samples=100, n_features=6, *, noise=0.2, random_state=None):
    """Generate noisy points on a circle that is mapped linearly to `n_features` dimensions.

    ``X = (cos(angle), sin(angle)) @ loadings.T + noise``. Angles are uniform on the circle, loadings are standard
    normal.

    Parameters
    ----------
    n_samples : int, default=100
        Number of points.
    n_features : int, default=6
        Number of columns.
    noise : float, default=0.2
        Standard deviation of the normal noise.
    random_state : int, RandomState instance or None, default=None
        Seed of loadings, angles and noise. Pass an int for reproducible output across calls.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        The points.
    truth : Ring
        A named tuple of ``loadings (n_features, 2)`` and ``angles (n_samples,)`` in radians.

    Examples
    --------
    >>> from skwakesleep.datasets import make_ring
    >>> X, truth = make_ring(50, random_state=0)
    >>> X.shape, truth.loadings.shape, truth.angles.shape
    ((50, 6), (6, 2), (50,))
    """
    _check_counts(n_samples=n_samples, n_features=n_features)
    _check_scales(noise=noise)
    rng = check_random_state(random_state)
    loadings = rng.standard_normal((n_features, 2))
    angles = rng.uniform(0, 2 * np.pi, n_samples)
    X = np.column_stack([np.cos(angles), np.sin(angles)]) @ loadings.T
    return X + noise * rng.standard_normal(X.shape), Ring(loadings, angles)


def make_pinwheel(n_samples=100, *, n_arms=5, radial_scale=0.3, tangential_scale=0.05, rate=0.25, random_state=None):
    """Generate points in a plane, in arms that bend around the origin.

    In each arm, points are normal around a distance of one from the origin, wide along the arm and narrow across it.
    Then they are rotated about the origin by an angle that grows exponentially with the distance.

    Parameters
    ----------
    n_samples : int, default=100
        Number of points, divided evenly among the arms, in random order.
    n_arms : int, default=5
        Number of arms.
    radial_scale : float, default=0.3
        Standard deviation along an arm, before the rotation.
    tangential_scale : float, default=0.05
        Standard deviation across an arm, before the rotation.
    rate : float, default=0.25
        Angle of the rotation at distance zero, in radians.
    random_state : int, RandomState instance or None, default=None
        Seed of the points and their order. Pass an int for reproducible output across calls.

    Returns
    -------
    X : ndarray of shape (n_samples, 2)
        The points.
    y : ndarray of shape (n_samples,)
        Arm of each point.

    References
    ----------
    .. [1] M. J. Johnson et al. "Composing graphical models with neural networks for structured representations and fast
       inference". NeurIPS 2016. arXiv:1603.06277.

    Examples
    --------
    >>> from skwakesleep.datasets import make_pinwheel
    >>> X, y = make_pinwheel(50, random_state=0)
    >>> X.shape, sorted(set(y.tolist()))
    ((50, 2), [0, 1, 2, 3, 4])
    """
    _check_counts(n_samples=n_samples, n_arms=n_arms)
    _check_scales(radial_scale=radial_scale, tangential_scale=tangential_scale)
    rng = check_random_state(random_state)
    y = rng.permutation(np.arange(n_samples) % n_arms)
    along = 1 + radial_scale * rng.standard_normal(n_samples)
    across = tangential_scale * rng.standard_normal(n_samples)
    angle = 2 * np.pi * y / n_arms + rate * np.exp(along)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.column_stack([along * cos + across * sin, across * cos - along * sin]), y


def make_bars(n_samples=100, side=4, *, probability=0.2, random_state=None):
    """Generate binary images of horizontal and vertical bars, each present or absent at random.

    Parameters
    ----------
    n_samples : int, default=100
        Number of images.
    side : int, default=4
        Number of pixels along each side of an image. An image has up to ``2 * side`` bars.
    probability : float, default=0.2
        Probability of each bar, in [0, 1].
    random_state : int, RandomState instance or None, default=None
        Seed of the bars. Pass an int for reproducible output across calls.

    Returns
    -------
    X : ndarray of shape (n_samples, side ** 2)
        Images, row by row. Pixels of bars are ones.
    y : ndarray of shape (n_samples, 2 * side)
        Ones for the bars in an image: horizontal bars from the top, then vertical bars from the left.

    References
    ----------
    .. [1] P. Földiák. "Forming sparse representations by local anti-Hebbian learning". Biological Cybernetics 64 (1990)
       165-170.

    Examples
    --------
    >>> from skwakesleep.datasets import make_bars
    >>> X, y = make_bars(50, random_state=0)
    >>> X.shape, y.shape
    ((50, 16), (50, 8))
    """
    _check_counts(n_samples=n_samples, side=side)
    check_scalar(probability, "probability", (float, int), min_val=0, max_val=1)
    rng = check_random_state(random_state)
    y = (rng.random_sample((n_samples, 2 * side)) < probability).astype(np.float64)
    horizontal, vertical = y[:, :side, np.newaxis], y[:, np.newaxis, side:]
    return np.maximum(horizontal, vertical).reshape(n_samples, -1), y


def _check_counts(**counts):
    for name, value in counts.items():
        check_scalar(value, name, (int, np.integer), min_val=1)


def _check_scales(**scales):
    for name, value in scales.items():
        check_scalar(value, name, (float, int, np.floating), min_val=0)
