"""Priors of latent factors, and the features through which factors act on the columns."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

# Beyond so many nodes, the likelihood is taken to be out of reach.
MAX_NODES = 2**14
# Nodes along each factor, by the number of continuous factors.
NODES_PER_AXIS = {1: 512, 2: 96}


class Prior(Protocol):
    """Prior of the latents ``z``, with parameters ``(n_params,)`` of its own."""

    n_features: int
    n_params: int

    def features(self, z: NDArray) -> NDArray:
        """Return what the loadings multiply, ``(n, n_features)``."""

    def sample(self, params: NDArray, n: int, rng: np.random.Generator) -> NDArray:
        """Return ``n`` independent latents."""

    def log_prob(self, params: NDArray, z: NDArray) -> NDArray:
        """Return the log-density of each latent, ``(n,)``."""

    def vjp(self, params: NDArray, z: NDArray, ct: NDArray) -> NDArray:
        """Return the gradient of ``sum(ct * log_prob)`` in the parameters."""

    def n_nodes(self) -> float:
        """Return how many nodes the likelihood needs; infinity where there are none."""

    def nodes(self, params: NDArray) -> tuple[NDArray, NDArray]:
        """Return latents ``(Q, ...)`` and log-weights ``(Q,)`` whose weighted sum is the integral over the prior."""


class Continuous:
    """Independent factors ``z (n, k)`` with a fixed density; quadrature by product rules where they are one or two."""

    n_params = 0

    def __init__(self, n_components: int) -> None:
        self.n_features = self.n_components = n_components

    def features(self, z: NDArray) -> NDArray:
        return z

    def log_prob(self, params: NDArray, z: NDArray) -> NDArray:
        return self._log_density(z).sum(axis=1)

    def vjp(self, params: NDArray, z: NDArray, ct: NDArray) -> NDArray:
        return np.zeros(0)

    def n_nodes(self) -> float:
        return NODES_PER_AXIS.get(self.n_components, np.inf) ** self.n_components

    def nodes(self, params: NDArray) -> tuple[NDArray, NDArray]:
        points, weights = self._rule(NODES_PER_AXIS[self.n_components])
        grid = np.stack(np.meshgrid(*[points] * self.n_components, indexing="ij"), axis=-1)
        products = np.log(np.stack(np.meshgrid(*[weights] * self.n_components, indexing="ij"), axis=-1)).sum(axis=-1)
        z = grid.reshape(-1, self.n_components)
        return z, products.reshape(-1) + self.log_prob(params, z)

    def _log_density(self, z: NDArray) -> NDArray:
        raise NotImplementedError

    def _rule(self, n: int) -> tuple[NDArray, NDArray]:
        """Return points and weights of a rule for the integral over one factor."""
        raise NotImplementedError


class Normal(Continuous):
    """Standard normal factors: probabilistic principal components and factor analysis."""

    def sample(self, params: NDArray, n: int, rng: np.random.Generator) -> NDArray:
        return rng.standard_normal((n, self.n_components))

    def _log_density(self, z: NDArray) -> NDArray:
        return -0.5 * z**2 - 0.5 * np.log(2 * np.pi)

    def _rule(self, n: int) -> tuple[NDArray, NDArray]:
        points = np.linspace(-8, 8, n)
        return points, np.full(n, points[1] - points[0])


class Laplace(Continuous):
    """Laplace factors of unit variance: independent components, sparse coding."""

    SCALE = 0.5**0.5
    BOUND = 10.0  # with less than a millionth of the probability beyond

    def sample(self, params: NDArray, n: int, rng: np.random.Generator) -> NDArray:
        return rng.laplace(scale=self.SCALE, size=(n, self.n_components))

    def _log_density(self, z: NDArray) -> NDArray:
        return -np.abs(z) / self.SCALE - np.log(2 * self.SCALE)

    def _rule(self, n: int) -> tuple[NDArray, NDArray]:
        points, weights = np.polynomial.legendre.leggauss(n // 2)
        half = self.BOUND / 2  # one rule on either side of the kink at zero
        return half * np.concatenate([points - 1, points + 1]), half * np.concatenate([weights, weights])


class Uniform(Continuous):
    """Factors uniform on [0, 1]: matrix factorization, with loadings that are not negative."""

    def sample(self, params: NDArray, n: int, rng: np.random.Generator) -> NDArray:
        return rng.random((n, self.n_components))

    def _log_density(self, z: NDArray) -> NDArray:
        return np.zeros_like(z)

    def _rule(self, n: int) -> tuple[NDArray, NDArray]:
        points, weights = np.polynomial.legendre.leggauss(n)
        return (points + 1) / 2, weights / 2


class Angle(Continuous):
    """Angles uniform on the circle, acting through their cosines and sines: data on rings and tori."""

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


class Bernoulli:
    """Independent binary factors ``z (n, k)`` with probabilities that are learned; enumerated where they are few."""

    def __init__(self, n_components: int) -> None:
        self.n_features = self.n_params = n_components

    def features(self, z: NDArray) -> NDArray:
        return z

    def sample(self, params: NDArray, n: int, rng: np.random.Generator) -> NDArray:
        return (rng.random((n, self.n_params)) * (1 + np.exp(-params)) < 1).astype(float)

    def log_prob(self, params: NDArray, z: NDArray) -> NDArray:
        return z @ params - np.logaddexp(0, params).sum()

    def vjp(self, params: NDArray, z: NDArray, ct: NDArray) -> NDArray:
        return ct @ z - ct.sum() * self.probabilities(params)

    def probabilities(self, params: NDArray) -> NDArray:
        return 0.5 * (1 + np.tanh(0.5 * params))

    def n_nodes(self) -> float:
        return 2.0**self.n_params

    def nodes(self, params: NDArray) -> tuple[NDArray, NDArray]:
        z = (np.arange(2**self.n_params)[:, np.newaxis] >> np.arange(self.n_params) & 1).astype(float)
        return z, self.log_prob(params, z)


class Categorical:
    """One of ``k`` categories, ``z (n,)`` of int, with probabilities that are learned: a mixture with tied noise."""

    def __init__(self, n_components: int) -> None:
        self.n_features = self.n_params = n_components

    def features(self, z: NDArray) -> NDArray:
        return np.eye(self.n_params)[z]

    def sample(self, params: NDArray, n: int, rng: np.random.Generator) -> NDArray:
        cumulative = np.cumsum(self.probabilities(params))
        return np.minimum(np.searchsorted(cumulative, rng.random(n), side="right"), self.n_params - 1)

    def log_prob(self, params: NDArray, z: NDArray) -> NDArray:
        return np.log(self.probabilities(params))[z]

    def vjp(self, params: NDArray, z: NDArray, ct: NDArray) -> NDArray:
        return np.bincount(z, ct, minlength=self.n_params) - ct.sum() * self.probabilities(params)

    def probabilities(self, params: NDArray) -> NDArray:
        likely = np.exp(params - params.max())
        return likely / likely.sum()

    def n_nodes(self) -> float:
        return self.n_params

    def nodes(self, params: NDArray) -> tuple[NDArray, NDArray]:
        z = np.arange(self.n_params)
        return z, self.log_prob(params, z)


PRIORS: dict[str, type] = {
    "normal": Normal,
    "laplace": Laplace,
    "uniform": Uniform,
    "angle": Angle,
    "bernoulli": Bernoulli,
    "categorical": Categorical,
}
