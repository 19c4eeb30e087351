"""Laplace factors: independent components and sparse coding."""

import numpy as np
from numpy.typing import NDArray

from skwakesleep.models._priors._base import Continuous

# Scale of unit variance.
SCALE = 0.5**0.5
# The quadrature reaches this far to each side: less than a millionth of the mass is beyond.
REACH = 10.0


class Laplace(Continuous):
    """Laplace factors of unit variance."""

    def sample(self, params: NDArray, n: int, rng: np.random.Generator) -> NDArray:
        return rng.laplace(scale=SCALE, size=(n, self.n_components))

    def _log_density(self, z: NDArray) -> NDArray:
        return -np.abs(z) / SCALE - np.log(2 * SCALE)

    def _rule(self, n: int) -> tuple[NDArray, NDArray]:
        # The density has a kink at zero: one Gauss-Legendre rule to each side of it.
        points, weights = np.polynomial.legendre.leggauss(n // 2)
        half = REACH / 2
        return half * np.concatenate([points - 1, points + 1]), half * np.concatenate([weights, weights])
