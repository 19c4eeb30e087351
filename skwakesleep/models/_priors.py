"""Priors of the latent factors of `LatentFactors`, by name."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from skwakesleep._engine.arrays.numerics import LOG_2_PI, sigmoid
from skwakesleep._engine.posterior.enumeration import all_states
from skwakesleep._engine.posterior.likelihood import ENUMERABLE_LATENTS
from skwakesleep.models._binary import random_bits

# Nodes along each factor, by the number of continuous factors. With three factors, a grid is too coarse.
NODES_PER_AXIS = {1: 512, 2: 96}
# The trapezoidal rule reaches this many standard deviations to each side: less than 2e-15 of the mass is beyond.
NORMAL_REACH = 8.0
# Scale of a Laplace variable of unit variance.
LAPLACE_SCALE = 0.5**0.5
# The quadrature of Laplace factors reaches this far to each side: less than a millionth of the mass is beyond.
LAPLACE_REACH = 10.0


class Prior:
    """Prior of the latents ``z``, with parameters ``(n_params,)`` of its own.

    Parameters
    ----------
    n_components : int
        Number of factors (of categories).

    Attributes
    ----------
    n_features : int
        Number of features through which the factors act on the columns.
    n_params : int
        Number of parameters.
    features_per_component, params_per_component : int
        Features and parameters of each factor (of each category).
    max_components : int
        Largest number of components for which there are `nodes`.
    is_normal : bool
        Whether the factors are standard normal, so that with normal noise the likelihood is in closed form.
    has_signed_loadings : bool
        Whether loadings can be negative.
    """

    features_per_component = 1
    params_per_component = 0
    max_components = 0
    is_normal = False
    has_signed_loadings = True

    def __init__(self, n_components: int) -> None:
        self.n_components = n_components
        self.n_features = self.features_per_component * n_components
        self.n_params = self.params_per_component * n_components

    def features(self, z: NDArray) -> NDArray:
        """Return the features of latents, which the loadings multiply, ``(n, n_features)``."""
        return z

    def sample(self, params: NDArray, n: int, rng: np.random.Generator) -> NDArray:
        """Return ``n`` independent latents."""
        raise NotImplementedError

    def log_prob(self, params: NDArray, z: NDArray) -> NDArray:
        """Return the log-density of each latent, ``(n,)``, in nats."""
        raise NotImplementedError

    def vjp(self, params: NDArray, z: NDArray, ct: NDArray) -> NDArray:
        """Return the gradient of ``sum(ct * log_prob)`` in the parameters."""
        return np.zeros(0)

    def unpack(self, params: NDArray) -> dict[str, NDArray]:
        """Return the parameters by name."""
        return {}

    def nodes(self) -> tuple[NDArray, NDArray]:
        """Return latents ``(Q, ...)`` and the logarithms of the volumes around them, ``(Q,)``."""
        raise NotImplementedError


# ---------------------------------------------------------------------- continuous factors


class Continuous(Prior):
    """Independent factors ``z (n, k)`` with a fixed density; quadrature by product rules for one or two of them."""

    max_components = max(NODES_PER_AXIS)

    def log_prob(self, params: NDArray, z: NDArray) -> NDArray:
        return self._log_density(z).sum(axis=1)

    def nodes(self) -> tuple[NDArray, NDArray]:
        k = self.n_components
        z, volumes = (
            np.stack(np.meshgrid(*[axis] * k, indexing="ij"), axis=-1).reshape(-1, k)
            for axis in self._rule(NODES_PER_AXIS[k])
        )
        return z, np.log(volumes).sum(axis=-1)

    def _log_density(self, z: NDArray) -> NDArray:
        """Return the log-density of each factor, ``(n, k)``."""
        raise NotImplementedError

    def _rule(self, n: int) -> tuple[NDArray, NDArray]:
        """Return points and weights of a rule for the integral over one factor."""
        raise NotImplementedError


class Normal(Continuous):
    """Standard normal factors: factor analysis and probabilistic principal components."""

    is_normal = True

    def sample(self, params: NDArray, n: int, rng: np.random.Generator) -> NDArray:
        return rng.standard_normal((n, self.n_components))

    def _log_density(self, z: NDArray) -> NDArray:
        return -0.5 * z**2 - 0.5 * LOG_2_PI

    def _rule(self, n: int) -> tuple[NDArray, NDArray]:
        # Exponentially accurate: the density and its derivatives vanish at both ends.
        points = np.linspace(-NORMAL_REACH, NORMAL_REACH, n)
        return points, np.full(n, points[1] - points[0])


class Laplace(Continuous):
    """Laplace factors of unit variance: independent components and sparse coding."""

    def sample(self, params: NDArray, n: int, rng: np.random.Generator) -> NDArray:
        return rng.laplace(scale=LAPLACE_SCALE, size=(n, self.n_components))

    def _log_density(self, z: NDArray) -> NDArray:
        return -np.abs(z) / LAPLACE_SCALE - np.log(2 * LAPLACE_SCALE)

    def _rule(self, n: int) -> tuple[NDArray, NDArray]:
        # The density has a kink at zero: one Gauss-Legendre rule to each side of it.
        points, weights = np.polynomial.legendre.leggauss(n // 2)
        half = LAPLACE_REACH / 2
        return half * np.concatenate([points - 1, points + 1]), half * np.concatenate([weights, weights])


class Uniform(Continuous):
    """Factors uniform on [0, 1]: matrix factorization, with loadings that are not negative."""

    has_signed_loadings = False

    def sample(self, params: NDArray, n: int, rng: np.random.Generator) -> NDArray:
        return rng.random((n, self.n_components))

    def _log_density(self, z: NDArray) -> NDArray:
        return np.zeros_like(z)

    def _rule(self, n: int) -> tuple[NDArray, NDArray]:
        points, weights = np.polynomial.legendre.leggauss(n)
        return (points + 1) / 2, weights / 2


class Angle(Continuous):
    """Angles uniform on the circle, which act through their cosines and sines: data on rings and tori."""

    features_per_component = 2

    def features(self, z: NDArray) -> NDArray:
        return np.concatenate([np.cos(z), np.sin(z)], axis=1)

    def sample(self, params: NDArray, n: int, rng: np.random.Generator) -> NDArray:
        return rng.uniform(0, 2 * np.pi, (n, self.n_components))

    def _log_density(self, z: NDArray) -> NDArray:
        return np.full_like(z, -np.log(2 * np.pi))

    def _rule(self, n: int) -> tuple[NDArray, NDArray]:
        # Equal weights are exponentially accurate for a periodic integrand.
        return np.arange(n) * (2 * np.pi / n), np.full(n, 2 * np.pi / n)


# ---------------------------------------------------------------------- discrete latents


class Discrete(Prior):
    """Latents with one logit for each component, which are learned."""

    params_per_component = 1

    def unpack(self, params: NDArray) -> dict[str, NDArray]:
        return {"probabilities": self._probabilities(params)}

    def _probabilities(self, params: NDArray) -> NDArray:
        """Return the probability of each component, ``(k,)``."""
        raise NotImplementedError


class Bernoulli(Discrete):
    """Independent binary factors ``z (n, k)``, enumerated where they are few."""

    max_components = ENUMERABLE_LATENTS

    def sample(self, params: NDArray, n: int, rng: np.random.Generator) -> NDArray:
        return random_bits(np.broadcast_to(params, (n, self.n_components)), rng)

    def log_prob(self, params: NDArray, z: NDArray) -> NDArray:
        return z @ params - np.logaddexp(0, params).sum()

    def vjp(self, params: NDArray, z: NDArray, ct: NDArray) -> NDArray:
        return ct @ z - ct.sum() * self._probabilities(params)

    def nodes(self) -> tuple[NDArray, NDArray]:
        z = all_states(self.n_components, np.dtype(np.float64))
        return z, np.zeros(len(z))

    def _probabilities(self, params: NDArray) -> NDArray:
        return sigmoid(params, np.empty_like(params))


class Categorical(Discrete):
    """One of ``k`` categories, ``z (n,)`` of int: a mixture with tied noise."""

    max_components = 2**ENUMERABLE_LATENTS

    def features(self, z: NDArray) -> NDArray:
        return np.eye(self.n_components)[z]

    def sample(self, params: NDArray, n: int, rng: np.random.Generator) -> NDArray:
        # Rounding can leave the last cumulative probability below a uniform draw: take the last category then.
        cumulative = np.cumsum(self._probabilities(params))
        return np.minimum(np.searchsorted(cumulative, rng.random(n), side="right"), self.n_components - 1)

    def log_prob(self, params: NDArray, z: NDArray) -> NDArray:
        return np.log(self._probabilities(params))[z]

    def vjp(self, params: NDArray, z: NDArray, ct: NDArray) -> NDArray:
        return np.bincount(z, ct, minlength=self.n_components) - ct.sum() * self._probabilities(params)

    def nodes(self) -> tuple[NDArray, NDArray]:
        return np.arange(self.n_components), np.zeros(self.n_components)

    def _probabilities(self, params: NDArray) -> NDArray:
        return softmax(params)


# To add a prior, write its class and add its line here.
PRIORS: dict[str, type[Prior]] = {
    "normal": Normal,
    "laplace": Laplace,
    "uniform": Uniform,
    "angle": Angle,
    "bernoulli": Bernoulli,
    "categorical": Categorical,
}
