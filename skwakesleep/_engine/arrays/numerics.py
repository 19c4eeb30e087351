"""Element-wise functions, reductions, log-densities and differences, none of which overflow."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.arrays.caching import cached

LOG_2_PI = float(np.log(2 * np.pi))
# Step of central differences, relative to a parameter's size: the cube root of the resolution of float64 balances the
# errors of truncation and of rounding.
RELATIVE_STEP = np.finfo(np.float64).eps ** (1 / 3)


def sigmoid(logits: NDArray, out: NDArray) -> NDArray:
    """Write ``1 / (1 + exp(-logits))`` into `out`, by tanh: NumPy's is vectorized, SciPy's `expit` is not."""
    np.multiply(logits, 0.5, out=out)
    np.tanh(out, out=out)
    out *= 0.5
    out += 0.5
    return out


def log_sum_exp(values: NDArray, axis: int = 0) -> NDArray:
    """Return ``log(sum(exp(values)))`` along `axis`; minus infinity if every term is."""
    lowest = np.finfo(values.dtype).min
    peak = np.maximum(values.max(axis=axis, keepdims=True), lowest)
    shifted = values - peak
    total = np.exp(shifted, out=shifted).sum(axis=axis)
    log_total = np.log(total, where=total > 0, out=np.full_like(total, -np.inf))
    return log_total + np.squeeze(peak, axis=axis)


def broadcast_shape(first: NDArray, second: NDArray) -> tuple[int, ...]:
    """Return the common shape of two arrays with equally many axes; NumPy's function takes six times as long."""
    return tuple(map(max, first.shape, second.shape))


def inner(targets: NDArray, naturals: NDArray) -> NDArray:
    """Return ``sum(targets * naturals)`` along the last axis, with broadcasting.

    All pairs of targets ``(B, 1, D)`` and natural parameters ``(1, S, D)`` are one matrix product.
    """
    if len(naturals) == 1 < min(len(targets), naturals.shape[1]) and targets.shape[1] == 1:
        return (naturals[0] @ targets[:, 0].T).T
    return np.vecdot(targets, naturals)


def row_sums(values: NDArray) -> NDArray:
    """Return the sums along the last axis, as inner products with ones: faster than NumPy's `sum`.

    A matrix-vector product would be faster still, but its rounding depends on the place of a row.
    """
    return np.vecdot(values, _ones(values.shape[-1], values.dtype))


def bounded_mean(scores: NDArray) -> float:
    """Return the mean of log-likelihoods in nats, with low outliers raised to a bound.

    The bound is ten interquartile ranges, or ten nats if that is more, below the lower quartile. Otherwise a single row
    with an extreme value would decide the mean.
    """
    low, high = np.quantile(scores, [0.25, 0.75])
    return float(np.maximum(scores, low - 10 * max(high - low, 1.0)).mean())


def softplus(logits: NDArray) -> NDArray:
    """Return ``log(1 + exp(logits))``: the log-normalizer of a Bernoulli variable."""
    return np.maximum(logits, 0) + np.log1p(np.exp(-np.abs(logits)))


def bernoulli_log_prob(logits: NDArray, units: NDArray) -> NDArray:
    """Return the log-probability of binary units, summed over the last axis, in nats."""
    return np.vecdot(units, logits) - softplus(logits).sum(axis=-1)


def normal_log_prob(values: NDArray, mean: NDArray, log_scale: NDArray) -> NDArray:
    """Return the log-density of independent normal variables, summed over the last axis, in nats."""
    standard = (values - mean) * np.exp(-log_scale)
    return -0.5 * np.vecdot(standard, standard) - np.sum(log_scale + 0.5 * LOG_2_PI, axis=-1)


def differences(function: Callable[[NDArray], NDArray], theta: NDArray) -> Iterator[tuple[NDArray, float]]:
    """Yield, for each parameter, the change of a function over a step around it, and the length of the step.

    Their quotient is the central difference. Callers divide after contracting the change.
    """
    for index, step in enumerate(RELATIVE_STEP * np.maximum(1.0, np.abs(theta))):
        ends = np.stack([theta, theta])
        ends[0, index] += step
        ends[1, index] -= step
        yield function(ends[0]) - function(ends[1]), ends[0, index] - ends[1, index]


@cached(2**20)
def _ones(n: int, dtype: np.dtype) -> NDArray:
    return np.ones(n, dtype)
