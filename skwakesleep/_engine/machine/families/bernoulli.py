"""Binary units."""

from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from skwakesleep._engine.arrays.numerics import inner, sigmoid
from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.arrays.random import Noise
from skwakesleep._engine.machine.families.protocol import Group, single_units
from skwakesleep._engine.machine.predictions import CellPrediction
from skwakesleep._engine.training.layout import Shapes, Views


class Bernoulli:
    """Binary units with the logit as natural parameter.

    Targets between zero and one are accepted: the log-probability is then a cross-entropy.
    """

    is_binary = True
    uses_natural = False
    natural_unit = "log-odds"
    # A column that is constant in training keeps a probability of about 1e-5 to take its other value.
    LARGEST_LOGIT = 12.0
    neutral = -1000.0  # certainly zero

    def shapes(self, n_units: int) -> Shapes:
        return {}

    def initial(self, means: NDArray) -> Views:
        smallest = np.exp(-self.LARGEST_LOGIT)
        means = np.clip(means.astype(np.float64), smallest, 1 - smallest)
        return {"intercept": np.log(means) - np.log1p(-means)}

    def mean(self, natural: NDArray, out: NDArray, backend: NumpyBackend) -> NDArray:
        return backend.sigmoid(natural, out)

    def sample(self, params: Views, natural: NDArray, noise: Noise, out: NDArray, backend: NumpyBackend) -> NDArray:
        return noise.bernoulli(natural, out, backend)

    def thresholds(self, params: Views, noise: Noise, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray:
        # A uniform is below sigmoid(s) if its logit is below s.
        uniform = np.maximum(noise.uniform(shape, dtype), np.finfo(dtype).tiny)
        return np.log(uniform) - np.log1p(-uniform)

    def decide(self, natural: NDArray, thresholds: NDArray, out: NDArray) -> NDArray:
        return np.less(thresholds, natural, out=out)

    def groups(self, n_units: int) -> list[Group]:
        return single_units(self, n_units)

    def unnormalized_log_prob(self, params: Views, natural: NDArray, target: NDArray, backend: NumpyBackend) -> NDArray:
        return inner(target, natural)

    def log_normalizer(
        self,
        params: Views,
        natural: NDArray,
        mean: NDArray | None,
        backend: NumpyBackend,
        missing: NDArray | None = None,
    ) -> NDArray | float:
        return backend.softplus_sums(natural, mean)

    def residual(self, params: Views, mean: NDArray, target: NDArray, out: NDArray) -> NDArray:
        return np.subtract(target, mean, out=out)

    def curvature(self, params: Views, mean: NDArray) -> NDArray:
        return mean * (1 - mean)

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
        pass  # no parameters of its own

    def intercept_pull(self, intercept: NDArray) -> NDArray:
        # Jeffreys' prior, as one row of the value 0.5: values that did not occur stay possible.
        return 0.5 - sigmoid(intercept, np.empty_like(intercept))

    def damping(self, params: Views) -> NDArray | None:
        return None

    def predict(self, codec: Any, params: Views, weights: NDArray, natural: NDArray) -> CellPrediction:
        ones = np.matmul(weights[:, np.newaxis], sigmoid(natural, np.empty_like(natural)))[:, 0]
        return CellPrediction(codec, np.stack([1 - ones, ones], axis=-1))

    @classmethod
    def of_codec(cls, codec: Any) -> Self:
        return cls()
