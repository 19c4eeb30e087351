"""Real units with normal noise."""

from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from skwakesleep._engine.arrays.numerics import broadcast_shape
from skwakesleep._engine.arrays.numpy_backend import NumpyBackend, matrix_rows
from skwakesleep._engine.arrays.random import Noise
from skwakesleep._engine.machine.families.protocol import Group, single_units
from skwakesleep._engine.machine.predictions import NormalPrediction
from skwakesleep._engine.training.layout import Shapes, Views

# Standardized noise below which the steps of a unit's parameters are proportional to it. Chosen by measurement: two
# clusters 10000 standard deviations apart are then fitted to within .03 nats, and ordinary tables are as before.
UNDAMPED_DEVIATION = 0.1
# Largest logarithm of a variance: far above any standardized variance, so that a diverging fit does not overflow.
LARGEST_LOG_VARIANCE = 30.0


class Gaussian:
    """Real units with the mean as natural parameter and a learned variance for each unit.

    Rows far from the mean have a bounded influence on training, as in robust regression (Huber 1964): residuals are
    clipped at `LARGEST_RESIDUAL` standard deviations. Log-probabilities are exact.

    Parameters
    ----------
    smallest_variance : ndarray of shape (n_units,)
        Lower bound of the variance. Without it, the density of rounded or repeated values would grow without bound.
    """

    is_binary = False
    uses_natural = False
    natural_unit = "standard deviations"
    LARGEST_RESIDUAL = 10.0
    neutral = 0.0

    def __init__(self, smallest_variance: NDArray) -> None:
        self.smallest_variance = smallest_variance

    def shapes(self, n_units: int) -> Shapes:
        return {"log_variance": (n_units,)}

    def initial(self, means: NDArray) -> Views:
        return {"intercept": means, "log_variance": np.zeros_like(means)}

    def variance(self, params: Views) -> NDArray:
        """Return the variance of each unit, above its lower bound."""
        free = self._free_variance(params)
        return free + self.smallest_variance.astype(free.dtype)

    def set_variance(self, params: Views, variance: NDArray) -> None:
        """Change the parameters so that units have the given variance, or about the least possible one."""
        free = np.maximum(variance - self.smallest_variance, self.smallest_variance)
        params["log_variance"][...] = np.log(free)

    @staticmethod
    def _free_variance(params: Views) -> NDArray:
        return np.exp(np.minimum(params["log_variance"], LARGEST_LOG_VARIANCE))

    def mean(self, natural: NDArray, out: NDArray, backend: NumpyBackend) -> NDArray:
        if out is not natural:
            np.copyto(out, natural)
        return out

    def sample(self, params: Views, natural: NDArray, noise: Noise, out: NDArray, backend: NumpyBackend) -> NDArray:
        np.multiply(noise.normal(out.shape, out.dtype), np.sqrt(self.variance(params)), out=out)
        return np.add(out, natural, out=out)

    def thresholds(self, params: Views, noise: Noise, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray:
        return noise.normal(shape, dtype) * np.sqrt(self.variance(params)).astype(dtype)

    def decide(self, natural: NDArray, thresholds: NDArray, out: NDArray) -> NDArray:
        return np.add(natural, thresholds, out=out)

    def groups(self, n_units: int) -> list[Group]:
        return single_units(self, n_units)

    def unnormalized_log_prob(self, params: Views, natural: NDArray, target: NDArray, backend: NumpyBackend) -> NDArray:
        shape = broadcast_shape(target, natural)
        deviation = np.subtract(target, natural, out=backend.empty("deviation", shape, natural.dtype))
        np.square(deviation, out=deviation)
        return -0.5 * np.vecdot(deviation, 1 / self.variance(params))

    def log_normalizer(
        self,
        params: Views,
        natural: NDArray,
        mean: NDArray | None,
        backend: NumpyBackend,
        missing: NDArray | None = None,
    ) -> NDArray | float:
        if mean is not None:
            self.mean(natural, mean, backend)
        terms = 0.5 * np.log(2 * np.pi * self.variance(params))
        return (terms if missing is None else np.where(missing, 0, terms)).sum(axis=-1, dtype=np.float64)

    def residual(self, params: Views, mean: NDArray, target: NDArray, out: NDArray) -> NDArray:
        np.subtract(target, mean, out=out)
        variance = self.variance(params)
        largest = self.LARGEST_RESIDUAL * np.sqrt(variance)
        np.clip(out, -largest, largest, out=out)
        return np.divide(out, variance, out=out)

    def curvature(self, params: Views, mean: NDArray) -> NDArray:
        return np.broadcast_to(1 / self.variance(params), mean.shape)

    def gradient(
        self,
        params: Views,
        natural: NDArray | None,
        target: NDArray,
        residual: NDArray,
        weights: NDArray,
        grad: Views,
        missing: NDArray | None = None,
    ) -> None:
        # d log p / d variance = (residual^2 - 1 / variance) / 2, times d variance / d log_variance.
        rows = matrix_rows(residual)
        squares = np.einsum("n,nd,nd->d", weights.ravel(), rows, rows)
        total = np.sum(weights)
        if missing is not None:
            total = total - matrix_rows(weights[..., np.newaxis] * missing).sum(axis=0)
        np.subtract(squares, total / self.variance(params), out=grad["log_variance"])
        grad["log_variance"] *= 0.5 * self._free_variance(params)

    def intercept_pull(self, intercept: NDArray) -> None:
        return None

    def damping(self, params: Views) -> NDArray | None:
        # With fixed steps, the mean of a unit with little noise keeps moving by more than its noise, which then grows.
        return np.minimum(1.0, np.sqrt(self.variance(params)) / UNDAMPED_DEVIATION)

    def predict(self, codec: Any, params: Views, weights: NDArray, natural: NDArray) -> NormalPrediction:
        means = np.broadcast_to(natural, (len(weights), *natural.shape[1:]))
        return NormalPrediction(codec, weights, means, np.sqrt(self.variance(params)))

    @classmethod
    def of_codec(cls, codec: Any) -> Self:
        return cls(codec.smallest_variance)
