"""Angles, which act through their cosines and sines: data on rings and tori."""

import numpy as np
from numpy.typing import NDArray

from skwakesleep.models._priors._base import Continuous


class Angle(Continuous):
    """Angles uniform on the circle."""

    def __init__(self, n_components: int) -> None:
        super().__init__(n_components)
        self.n_features = 2 * n_components

    def features(self, z: NDArray) -> NDArray:
        return np.concatenate([np.cos(z), np.sin(z)], axis=1)

    def sample(self, params: NDArray, n: int, rng: np.random.Generator) -> NDArray:
        return rng.uniform(0, 2 * np.pi, (n, self.n_components))

    def _log_density(self, z: NDArray) -> NDArray:
        return np.full_like(z, -np.log(2 * np.pi))

    def _rule(self, n: int) -> tuple[NDArray, NDArray]:
        return np.arange(n) * (2 * np.pi / n), np.full(n, 2 * np.pi / n)
