"""Independent binary factors, enumerated where they are few."""

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.arrays.numerics import sigmoid
from skwakesleep._engine.posterior.enumeration import all_states
from skwakesleep._engine.posterior.likelihood import ENUMERABLE_LATENTS
from skwakesleep.models._binary import random_bits
from skwakesleep.models._priors._base import Discrete


class Bernoulli(Discrete):
    """Independent binary factors ``z (n, k)`` with probabilities that are learned."""

    def sample(self, params: NDArray, n: int, rng: np.random.Generator) -> NDArray:
        return random_bits(np.broadcast_to(params, (n, self.n_components)), rng)

    def log_prob(self, params: NDArray, z: NDArray) -> NDArray:
        return z @ params - np.logaddexp(0, params).sum()

    def vjp(self, params: NDArray, z: NDArray, ct: NDArray) -> NDArray:
        return ct @ z - ct.sum() * self._probabilities(params)

    @property
    def summable(self) -> bool:
        return self.n_components <= ENUMERABLE_LATENTS

    def nodes(self) -> tuple[NDArray, NDArray]:
        z = all_states(self.n_components, np.dtype(np.float64))
        return z, np.zeros(len(z))

    def _probabilities(self, params: NDArray) -> NDArray:
        return sigmoid(params, np.empty_like(params))
