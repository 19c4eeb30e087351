"""Bases of priors: the interface of `LatentFactors`, and of continuous and of discrete factors."""

import numpy as np
from numpy.typing import NDArray

# Nodes along each factor, by the number of continuous factors. With three factors, a grid is too coarse.
NODES_PER_AXIS = {1: 512, 2: 96}


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
    is_normal : bool
        Whether the factors are standard normal, so that with normal noise the likelihood is in closed form.
    has_signed_loadings : bool
        Whether loadings can be negative.
    """

    n_params = 0
    is_normal = False
    has_signed_loadings = True

    def __init__(self, n_components: int) -> None:
        self.n_features = self.n_components = n_components

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

    @property
    def summable(self) -> bool:
        """Whether there are `nodes`."""
        return False

    def nodes(self) -> tuple[NDArray, NDArray]:
        """Return latents ``(Q, ...)`` and the logarithms of the volumes around them, ``(Q,)``."""
        raise NotImplementedError


class Continuous(Prior):
    """Independent factors ``z (n, k)`` with a fixed density; quadrature by product rules for one or two of them."""

    def log_prob(self, params: NDArray, z: NDArray) -> NDArray:
        return self._log_density(z).sum(axis=1)

    @property
    def summable(self) -> bool:
        return self.n_components in NODES_PER_AXIS

    def nodes(self) -> tuple[NDArray, NDArray]:
        points, weights = self._rule(NODES_PER_AXIS[self.n_components])
        z, volumes = (
            np.stack(np.meshgrid(*[axis] * self.n_components, indexing="ij"), axis=-1).reshape(-1, self.n_components)
            for axis in (points, weights)
        )
        return z, np.log(volumes).sum(axis=-1)

    def _log_density(self, z: NDArray) -> NDArray:
        """Return the log-density of each factor, ``(n, k)``."""
        raise NotImplementedError

    def _rule(self, n: int) -> tuple[NDArray, NDArray]:
        """Return points and weights of a rule for the integral over one factor."""
        raise NotImplementedError


class Discrete(Prior):
    """Latents with one logit for each component, which are learned."""

    def __init__(self, n_components: int) -> None:
        super().__init__(n_components)
        self.n_params = n_components

    def unpack(self, params: NDArray) -> dict[str, NDArray]:
        return {"probabilities": self._probabilities(params)}

    def _probabilities(self, params: NDArray) -> NDArray:
        """Return the probability of each component, ``(k,)``."""
        raise NotImplementedError
