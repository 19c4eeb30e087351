"""One of several categories: a mixture with tied noise."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from skwakesleep._engine.posterior.likelihood import ENUMERABLE_LATENTS
from skwakesleep.models._priors._base import Discrete


class Categorical(Discrete):
    """One of ``k`` categories, ``z (n,)`` of int, with probabilities that are learned."""

    def features(self, z: NDArray) -> NDArray:
        return np.eye(self.n_components)[z]

    def sample(self, params: NDArray, n: int, rng: np.random.Generator) -> NDArray:
        cumulative = np.cumsum(self._probabilities(params))
        return np.minimum(np.searchsorted(cumulative, rng.random(n), side="right"), self.n_components - 1)

    def log_prob(self, params: NDArray, z: NDArray) -> NDArray:
        return np.log(self._probabilities(params))[z]

    def vjp(self, params: NDArray, z: NDArray, ct: NDArray) -> NDArray:
        return np.bincount(z, ct, minlength=self.n_components) - ct.sum() * self._probabilities(params)

    @property
    def summable(self) -> bool:
        return self.n_components <= 2**ENUMERABLE_LATENTS

    def nodes(self) -> tuple[NDArray, NDArray]:
        return np.arange(self.n_components), np.zeros(self.n_components)

    def _probabilities(self, params: NDArray) -> NDArray:
        return softmax(params)
