"""Standard normal factors: factor analysis and probabilistic principal components."""

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.arrays.numerics import LOG_2_PI
from skwakesleep.models._priors._base import Continuous

# The trapezoidal rule reaches this many standard deviations to each side: less than 2e-15 of the mass is beyond.
REACH = 8.0


class Normal(Continuous):
    """Standard normal factors."""

    is_normal = True

    def sample(self, params: NDArray, n: int, rng: np.random.Generator) -> NDArray:
        return rng.standard_normal((n, self.n_components))

    def _log_density(self, z: NDArray) -> NDArray:
        return -0.5 * z**2 - 0.5 * LOG_2_PI

    def _rule(self, n: int) -> tuple[NDArray, NDArray]:
        points = np.linspace(-REACH, REACH, n)
        return points, np.full(n, points[1] - points[0])
