"""Factors uniform on [0, 1]: matrix factorization, with loadings that are not negative."""

import numpy as np
from numpy.typing import NDArray

from skwakesleep.models._priors._base import Continuous


class Uniform(Continuous):
    """Factors uniform on [0, 1]."""

    has_signed_loadings = False

    def sample(self, params: NDArray, n: int, rng: np.random.Generator) -> NDArray:
        return rng.random((n, self.n_components))

    def _log_density(self, z: NDArray) -> NDArray:
        return np.zeros_like(z)

    def _rule(self, n: int) -> tuple[NDArray, NDArray]:
        points, weights = np.polynomial.legendre.leggauss(n)
        return (points + 1) / 2, weights / 2
