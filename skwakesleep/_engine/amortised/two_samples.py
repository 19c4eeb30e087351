"""How unlike two samples are."""

from numpy.typing import NDArray

from skwakesleep._engine.amortised.feature_maps import scaling
from skwakesleep._engine.amortised.kernels import gaussian_kernel, median_distance


def discrepancy(rows: NDArray, other: NDArray) -> float:
    """Return an unbiased estimate of the squared maximum mean discrepancy of two samples (Gretton et al. 2012).

    The kernel is Gaussian, on columns that are scaled to unit variance of the first sample. Its bandwidth is the median
    distance of the first sample, so that the estimates for several other samples are comparable. It is about zero if
    the samples have one distribution, and may be negative.

    Parameters
    ----------
    rows : ndarray of shape (n, D), n >= 2
        The sample to compare with.
    other : ndarray of shape (m, D), m >= 2
        Another sample.
    """
    scale = scaling(rows)
    rows, other = scale(rows), scale(other)
    bandwidth = median_distance(rows)
    across = gaussian_kernel(rows, other, bandwidth).mean()
    return float(_mean_of_pairs(rows, bandwidth) + _mean_of_pairs(other, bandwidth) - 2 * across)


def _mean_of_pairs(x: NDArray, bandwidth: float) -> float:
    """Return the mean of the kernel over all pairs of different rows."""
    n = len(x)
    return (gaussian_kernel(x, x, bandwidth).sum() - n) / (n * (n - 1))
