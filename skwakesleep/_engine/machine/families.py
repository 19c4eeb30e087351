"""Conditional distributions of a unit given its parents, one class each.

A family turns natural parameters into means, samples, log-probabilities and residuals. All families share
one gradient with respect to the natural parameters, ``residual = T(target) - E[T]`` up to a precision, and
broadcast freely: natural parameters and targets may each lack the particle axis, or the row axis too.
"""

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import DTypeLike, NDArray

from skwakesleep._engine.arrays.loops import LOOPS
from skwakesleep._engine.arrays.numerics import inner, sigmoid
from skwakesleep._engine.arrays.random import Noise
from skwakesleep._engine.arrays.workspace import Workspace
from skwakesleep._engine.machine.moments import Moments
from skwakesleep._engine.training.layout import Shapes, Views

# Variance of a constant column, in the square of its scale: one, or this number of units in the last place.
CONSTANT_VARIANCE = 1e-4
CONSTANT_ULPS = 1000.0
# Smallest standardized variance, near the limit of single precision.
RESOLVED_VARIANCE = 1e-12
# Standardized noise below which the steps of a column's parameters are proportional to it. Chosen by measurement: two
# clusters 10000 standard deviations apart are then fitted to within .03 nats, and ordinary tables are as before.
UNDAMPED_DEVIATION = 0.1


@runtime_checkable
class Family(Protocol):
    """What a layer asks of the distribution of its units.

    A visible family also translates between the user's columns and what the engine sees of them.
    """

    log_volume: float
    """Log of the volume, in the user's units, that the engine sees as one."""
    keeps_zeros: bool
    """Whether the engine sees the user's zeros as zeros."""

    def shapes(self, n_units: int) -> Shapes:
        """Shapes of the parameters that a layer holds beside weights and intercept."""

    def initial(self, means: NDArray) -> Views:
        """Parameters of a layer with no weights whose units have the given means, as the engine sees them."""

    def mean(self, natural: NDArray, out: NDArray) -> NDArray:
        """Expected value of the units, in `out` or in `natural` itself."""

    def sample(self, theta: Views, mean: NDArray, noise: Noise, out: NDArray) -> NDArray:
        """Draw units with the given means into `out`."""

    def thresholds(self, theta: Views, noise: Noise, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray:
        """Noise that decides units, `shape`, before their natural parameters are known."""

    def decide(self, natural: NDArray, thresholds: NDArray, out: NDArray) -> NDArray:
        """Write into `out` the units that natural parameters and noise make; the same law as `sample`."""

    def unnormalized_log_prob(self, theta: Views, natural: NDArray, target: NDArray, workspace: Workspace) -> NDArray:
        """Log-probability of each row of `target` in nats, summed over its units, plus its log-normalizer."""

    def log_normalizer(self, theta: Views, natural: NDArray, mean: NDArray | None, workspace: Workspace) -> NDArray:
        """What normalizes each row, in nats; expected units go into `mean`, where wanted, which may be `natural`."""

    def residual(self, theta: Views, mean: NDArray, target: NDArray, out: NDArray) -> NDArray:
        """Gradient of the log-probability with respect to the natural parameters."""

    def curvature(self, theta: Views, mean: NDArray) -> NDArray:
        """Slope by which the residual falls as the natural parameters rise."""

    def gradient(self, theta: Views, residual: NDArray, weights: NDArray, grad: Views) -> None:
        """Write the weighted gradient with respect to the parameters of `shapes`."""

    def damping(self, theta: Views) -> NDArray | None:
        """Factors, one for each unit, of the steps of its weights and intercept; None for no damping."""

    def encode(self, columns: NDArray) -> NDArray:
        """Turn the user's columns into the engine's, in place."""

    def bounded(self, units: NDArray) -> NDArray:
        """Return units as the recognition network sees them: `units` itself, or a copy without extreme values."""

    def decode(self, values: NDArray) -> NDArray:
        """Turn the engine's values back into the user's units, in place."""


class Bernoulli:
    """Binary units with the logit as natural parameter.

    Targets between zero and one are accepted: the log-probability is then a cross-entropy.
    """

    # A column that is constant in training keeps a probability of about one in a hundred thousand to differ.
    LARGEST_LOGIT = 12.0
    log_volume = 0.0
    keeps_zeros = True

    def shapes(self, n_units: int) -> Shapes:
        return {}

    def initial(self, means: NDArray) -> Views:
        smallest = np.exp(-self.LARGEST_LOGIT)
        means = np.clip(means.astype(np.float64), smallest, 1 - smallest)
        return {"intercept": np.log(means) - np.log1p(-means)}

    def mean(self, natural: NDArray, out: NDArray) -> NDArray:
        return sigmoid(natural, out)

    def sample(self, theta: Views, mean: NDArray, noise: Noise, out: NDArray) -> NDArray:
        return np.less(noise.uniform(out.shape, out.dtype), mean, out=out)

    def thresholds(self, theta: Views, noise: Noise, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray:
        # A uniform is below sigmoid(s) where its own logit is below s.
        uniform = np.maximum(noise.uniform(shape, dtype), np.finfo(dtype).tiny)
        return np.log(uniform) - np.log1p(-uniform)

    def decide(self, natural: NDArray, thresholds: NDArray, out: NDArray) -> NDArray:
        return np.less(thresholds, natural, out=out)

    def unnormalized_log_prob(self, theta: Views, natural: NDArray, target: NDArray, workspace: Workspace) -> NDArray:
        return inner(target, natural)

    def log_normalizer(self, theta: Views, natural: NDArray, mean: NDArray | None, workspace: Workspace) -> NDArray:
        scratch = workspace.array("normalizer", natural.shape, natural.dtype)
        return LOOPS.softplus_sums(natural, mean, scratch)

    def residual(self, theta: Views, mean: NDArray, target: NDArray, out: NDArray) -> NDArray:
        return np.subtract(target, mean, out=out)

    def curvature(self, theta: Views, mean: NDArray) -> NDArray:
        return mean * (1 - mean)

    def gradient(self, theta: Views, residual: NDArray, weights: NDArray, grad: Views) -> None:
        pass

    def damping(self, theta: Views) -> NDArray | None:
        return None

    def encode(self, columns: NDArray) -> NDArray:
        return columns

    def bounded(self, units: NDArray) -> NDArray:
        return units

    def decode(self, values: NDArray) -> NDArray:
        return values


class Gaussian:
    """Real units with a mean as natural parameter and a learned variance per unit.

    Columns are standardized on the way in and restored on the way out, with constants fixed before training,
    so that one learning rate serves any unit of measurement; densities are in the user's units.

    Rows far from what the network expects have a bounded influence on training, as in robust regression (Huber 1964):
    residuals are clipped at `LARGEST_RESIDUAL` standard deviations. Log-probabilities are exact.

    Parameters
    ----------
    location, scale : ndarray of shape (n_units,)
        What is subtracted from each column, and what it is then divided by.
    smallest_variance : ndarray of shape (n_units,)
        Lower bound of the variance in standardized units. Without it, the density of rounded or repeated values would
        grow without bound.
    seen : Moments, optional
        Summary of the rows seen so far, to which later ones are added.
    """

    keeps_zeros = False
    LARGEST_RESIDUAL = 10.0
    # Standardized values beyond this are seen as this by the recognition network: one such value would otherwise
    # dominate the gradients of its weights for thousands of steps.
    LARGEST_INPUT = 30.0

    def __init__(
        self, location: NDArray, scale: NDArray, smallest_variance: NDArray, seen: Moments | None = None
    ) -> None:
        self.location = location
        self.scale = scale
        self.smallest_variance = smallest_variance
        self.seen = seen
        self.log_volume = float(np.log(scale).sum())

    @classmethod
    def of_moments(cls, moments: Moments) -> "Gaussian":
        """Return the family that standardizes columns of the given moments.

        Values that are multiples of a gap have been rounded to within half of it, with a variance of ``gap^2 / 12``: a
        conditional variance below that would model the rounding. It is no more than the column's own variance, and no
        less than what single precision resolves.
        """
        constant = moments.deviations == 0
        scale = np.where(constant, np.maximum(1.0, CONSTANT_ULPS * moments.ulps), moments.deviations)
        gaps = np.where(constant, np.sqrt(12 * CONSTANT_VARIANCE), np.minimum(moments.gaps / scale, np.sqrt(12)))
        return cls(moments.means, scale, np.maximum(np.square(gaps) / 12, RESOLVED_VARIANCE), moments)

    def having_seen(self, seen: Moments) -> "Gaussian":
        """Return the family with the same units and another summary of the rows seen so far."""
        return Gaussian(self.location, self.scale, self.smallest_variance, seen)

    def shapes(self, n_units: int) -> Shapes:
        return {"log_variance": (n_units,)}

    def initial(self, means: NDArray) -> Views:
        return {"intercept": np.zeros_like(means), "log_variance": np.zeros_like(means)}

    def variance(self, theta: Views) -> NDArray:
        """Variance of each standardized unit, above its lower bound."""
        return self._free_variance(theta) + self.smallest_variance

    @staticmethod
    def _free_variance(theta: Views) -> NDArray:
        # The cap is far above any standardized variance; it keeps a diverging fit from overflowing.
        return np.exp(np.minimum(theta["log_variance"], 30))

    def mean(self, natural: NDArray, out: NDArray) -> NDArray:
        return natural

    def sample(self, theta: Views, mean: NDArray, noise: Noise, out: NDArray) -> NDArray:
        np.multiply(noise.normal(out.shape, out.dtype), np.sqrt(self.variance(theta)), out=out)
        return np.add(out, mean, out=out)

    def thresholds(self, theta: Views, noise: Noise, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray:
        return noise.normal(shape, dtype) * np.sqrt(self.variance(theta)).astype(dtype)

    def decide(self, natural: NDArray, thresholds: NDArray, out: NDArray) -> NDArray:
        return np.add(natural, thresholds, out=out)

    def unnormalized_log_prob(self, theta: Views, natural: NDArray, target: NDArray, workspace: Workspace) -> NDArray:
        shape = np.broadcast_shapes(target.shape, natural.shape)
        deviation = np.subtract(target, natural, out=workspace.array("deviation", shape, natural.dtype))
        np.square(deviation, out=deviation)
        return -0.5 * np.vecdot(deviation, 1 / self.variance(theta))

    def log_normalizer(self, theta: Views, natural: NDArray, mean: NDArray | None, workspace: Workspace) -> NDArray:
        if mean is not None:
            np.copyto(mean, natural)
        return self.log_volume + 0.5 * np.log(2 * np.pi * self.variance(theta)).sum(dtype=np.float64)

    def residual(self, theta: Views, mean: NDArray, target: NDArray, out: NDArray) -> NDArray:
        np.subtract(target, mean, out=out)
        variance = self.variance(theta)
        largest = self.LARGEST_RESIDUAL * np.sqrt(variance)
        np.clip(out, -largest, largest, out=out)
        return np.divide(out, variance, out=out)

    def curvature(self, theta: Views, mean: NDArray) -> NDArray:
        return np.broadcast_to(1 / self.variance(theta), mean.shape)

    def gradient(self, theta: Views, residual: NDArray, weights: NDArray, grad: Views) -> None:
        # d log p / d variance = (residual^2 - 1 / variance) / 2, then the chain rule through the exponential.
        variance = self.variance(theta)
        rows = residual.reshape(-1, residual.shape[-1])
        squares = np.einsum("n,nd,nd->d", weights.ravel(), rows, rows)
        np.subtract(squares, np.sum(weights) / variance, out=grad["log_variance"])
        grad["log_variance"] *= 0.5 * self._free_variance(theta)

    def damping(self, theta: Views) -> NDArray | None:
        # Fixed steps would keep the mean of a nearly noiseless column moving by more than its noise, which then grows.
        return np.minimum(1.0, np.sqrt(self.variance(theta)) / UNDAMPED_DEVIATION)

    def encode(self, columns: NDArray) -> NDArray:
        largest = np.finfo(columns.dtype).max ** 0.25  # whose square over the smallest variance is finite
        with np.errstate(over="ignore"):
            columns -= self.location
            columns /= self.scale
        return np.clip(columns, -largest, largest, out=columns)

    def bounded(self, units: NDArray) -> NDArray:
        if units.size == 0 or max(units.max(), -units.min()) <= self.LARGEST_INPUT:
            return units
        return np.clip(units, -self.LARGEST_INPUT, self.LARGEST_INPUT)

    def decode(self, values: NDArray) -> NDArray:
        largest = np.finfo(values.dtype).max
        with np.errstate(over="ignore"):
            values *= self.scale
            values += self.location
        return np.clip(values, -largest, largest, out=values)
