"""Linear latent-factor models: factor analysis, rings, mixtures, independent components, matrix factorization."""

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.arrays.numerics import log_sum_exp
from skwakesleep.models._bases import available_if
from skwakesleep.models._documentation import documented
from skwakesleep.models._latents import MAX_NODES, PRIORS, Normal, Prior
from skwakesleep.models._observations import BernoulliColumns, CorrelatedNoise, IndependentNoise, Observation, gaussian

NOISES = ("spherical", "diagonal", "full")
OBSERVATIONS = ("gaussian", "bernoulli")
# Rows whose likelihood is summed over the nodes at a time: a few megabytes of scratch.
BLOCK = 64


@documented
class LatentFactors:
    """Columns around a linear map of latent factors, ``x = loadings @ h(z) + intercept + noise``.

    The prior of the factors decides which model it is:

    =============  ==============================  ========================================  =======================
    `latents`      ``z``                           ``h(z)``                                  known as
    =============  ==============================  ========================================  =======================
    "normal"       standard normal ``(n, k)``      ``z``                                     factor analysis
    "angle"        uniform on the circle           ``cos(z), sin(z)``, of shape ``(n, 2k)``  ring, torus
    "bernoulli"    0 or 1, probabilities learned   ``z``                                     binary factors
    "categorical"  0 to k - 1, likewise ``(n,)``   the indicators of the categories          mixture with tied noise
    "laplace"      Laplace of unit variance        ``z``                                     independent components
    "uniform"      uniform on [0, 1]               ``z``, with loadings >= 0                 matrix factorization
    =============  ==============================  ========================================  =======================

    Parameters
    ----------
    n_features : int
        Number of columns, ``D``.

    n_components : int, default=2
        Number of factors (of categories), ``k``.

    latents : {"normal", "angle", "bernoulli", "categorical", "laplace", "uniform"}, default="normal"
        Prior of the factors.

    observations : {"gaussian", "bernoulli"}, default="gaussian"
        Distribution of the columns: the map plus normal noise, or zeros and ones of which it gives the logits.

    noise : {"spherical", "diagonal", "full"}, default="diagonal"
        Covariance of normal noise. Ignored with Bernoulli observations.

    noise_floor : float, default=1e-3
        Lower bound of the noise's standard deviations, in the units of the columns that the model is given. These are
        standardized by `AmortisedWakeSleep`, where it is a part of the columns' own standard deviations (of their
        root mean square for spherical noise).

    Attributes
    ----------
    n_params : int
        Number of parameters, ``P``.

    Notes
    -----
    The log-likelihood is in closed form for normal latents with normal noise, a sum over all configurations of binary
    or categorical latents, and elsewhere a quadrature over one or two factors. The methods `log_likelihood` and
    `grad_log_likelihood` exist in these cases only (up to 14 binary factors).

    Parameters of normal noise start from the standard deviations of the columns.

    Examples
    --------
    >>> import numpy as np
    >>> from skwakesleep.models import LatentFactors
    >>> ring = LatentFactors(6, 1, latents="angle", noise="spherical")
    >>> rng = np.random.default_rng(0)
    >>> theta = ring.initial_params(rng.normal(size=(100, 6)), rng)
    >>> z, x = ring.sample(theta, 3, rng)
    >>> z.shape, x.shape, ring.log_likelihood(theta, x).shape
    ((3, 1), (3, 6), (3,))
    >>> {name: array.shape for name, array in ring.unpack(theta).items()}
    {'loadings': (6, 2), 'intercept': (6,), 'noise_variance': (1,)}
    """

    def __init__(
        self,
        n_features: int,
        n_components: int = 2,
        *,
        latents: str = "normal",
        observations: str = "gaussian",
        noise: str = "diagonal",
        noise_floor: float = 1e-3,
    ) -> None:
        _check_count("n_features", n_features)
        _check_count("n_components", n_components)
        _check_choice("latents", latents, tuple(PRIORS))
        _check_choice("observations", observations, OBSERVATIONS)
        _check_choice("noise", noise, NOISES)
        _check_positive("noise_floor", noise_floor)
        self.n_features = int(n_features)
        self.n_components = int(n_components)
        self.latents = latents
        self.observations = observations
        self.noise = noise
        self.noise_floor = noise_floor
        self._prior: Prior = PRIORS[latents](self.n_components)
        self._observation: Observation = (
            BernoulliColumns() if observations == "bernoulli" else gaussian(self.n_features, noise, float(noise_floor))
        )
        n_map = self.n_features * (self._prior.n_features + 1)
        self._slices = np.cumsum([n_map - self.n_features, self.n_features, self._observation.n_params])
        self.n_params = n_map + self._observation.n_params + self._prior.n_params

    @property
    def observation_range(self) -> tuple[float, float]:
        """Smallest and largest value of the columns."""
        return (0.0, 1.0) if self.observations == "bernoulli" else (-np.inf, np.inf)

    def __repr__(self) -> str:
        noise = f", noise={self.noise!r}" if self.observations == "gaussian" else ""
        return (
            f"LatentFactors({self.n_features}, {self.n_components}, latents={self.latents!r}, "
            f"observations={self.observations!r}{noise})"
        )

    # ------------------------------------------------------------------ required

    def initial_params(self, X: NDArray, rng: np.random.Generator) -> NDArray:
        """Return small random loadings, the columns' means, and noise as wide as the columns."""
        location, spread, observation = self._observation.initial(X)
        shape = (self.n_features, self._prior.n_features)
        loadings = 0.5 * spread[:, np.newaxis] * rng.standard_normal(shape)
        if self.latents == "uniform":
            loadings = np.abs(loadings)
            location = location - loadings.sum(axis=1) / 2
        return np.concatenate([loadings.ravel(), location, observation, np.zeros(self._prior.n_params)])

    def sample(self, theta: NDArray, n: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
        """Return ``n`` independent pairs of latents and observations."""
        _, _, observation, prior = self._split(theta)
        z = self._prior.sample(prior, n, rng)
        return z, self._observation.sample(observation, self._map(theta, self._prior.features(z)), rng)

    def grad_log_joint(self, theta: NDArray, z: NDArray, x: NDArray, weights: NDArray) -> NDArray:
        """Return the weighted sum of scores, ``(P,)``."""
        return self.natural_vjp(theta, z, weights[:, np.newaxis] * self.sufficient_statistics(x), -weights)

    # ------------------------------------------------------------------ exponential family

    def sufficient_statistics(self, x: NDArray) -> NDArray:
        """Return the columns, and for normal noise their squares (with full covariance, all products)."""
        return self._observation.statistics(x)

    def natural_parameters(self, theta: NDArray, z: NDArray) -> tuple[NDArray, NDArray]:
        """Return ``eta (n, S)`` and ``psi (n,)``; the log prior is inside ``-psi``."""
        _, _, observation, prior = self._split(theta)
        eta, psi = self._observation.natural(observation, self._map(theta, self._prior.features(z)))
        return eta, psi - self._prior.log_prob(prior, z)

    def natural_vjp(self, theta: NDArray, z: NDArray, ct_eta: NDArray, ct_psi: NDArray) -> NDArray:
        """Return the gradient of ``sum(ct_eta * eta) + sum(ct_psi * psi)``, ``(P,)``."""
        _, _, observation, prior = self._split(theta)
        features = self._prior.features(z)
        grad_map, grad_observation = self._observation.vjp(observation, self._map(theta, features), ct_eta, ct_psi)
        grad_prior = self._prior.vjp(prior, z, -ct_psi)
        return np.concatenate([(grad_map.T @ features).ravel(), grad_map.sum(axis=0), grad_observation, grad_prior])

    # ------------------------------------------------------------------ densities

    def log_joint(self, theta: NDArray, z: NDArray, x: NDArray) -> NDArray:
        """Return the log-density of each pair, ``(n,)``, in nats."""
        eta, psi = self.natural_parameters(theta, z)
        return np.vecdot(eta, self.sufficient_statistics(x)) - psi

    def log_prob_x_given_z(self, theta: NDArray, z: NDArray, x: NDArray) -> NDArray:
        """Return the log-density of each observation given each latent, ``(n, m)``, in nats."""
        _, _, observation, _ = self._split(theta)
        eta, psi = self._observation.natural(observation, self._map(theta, self._prior.features(z)))
        return eta @ self.sufficient_statistics(x).T - psi[:, np.newaxis]

    @property
    def log_likelihood(self) -> Callable[[NDArray, NDArray], NDArray]:
        """Log-likelihood of each row, ``(theta, X) -> (m,)``, in nats; exact or by quadrature."""
        return self._tractable("log_likelihood", self._normal_log_likelihood, self._summed_log_likelihood)

    @property
    def grad_log_likelihood(self) -> Callable[[NDArray, NDArray], NDArray]:
        """Gradient of the mean log-likelihood of the rows in nats, ``(theta, X) -> (P,)``."""
        return self._tractable("grad_log_likelihood", self._normal_gradient, self._summed_gradient)

    def _tractable(self, name: str, closed: Callable[..., NDArray], summed: Callable[..., NDArray]) -> Any:
        if isinstance(self._prior, Normal) and self.observations == "gaussian":
            return closed
        if self._prior.n_nodes() <= MAX_NODES:
            return summed
        raise AttributeError(f"{self!r} has no {name}: its latents are too many to sum or integrate over.")

    # ------------------------------------------------------------------ bounds and names

    def project(self, theta: NDArray) -> NDArray:
        """Return the parameters with noise at or above the floor and, for uniform latents, loadings not negative."""
        loadings, intercept, observation, prior = self._split(theta)
        if self.latents == "uniform":
            loadings = np.maximum(loadings, 0)
        return np.concatenate([loadings.ravel(), intercept, self._observation.project(observation), prior])

    def unpack(self, theta: NDArray) -> dict[str, NDArray]:
        """Return "loadings" ``(D, H)``, "intercept" ``(D,)``, the noise, and the probabilities of discrete latents."""
        loadings, intercept, observation, prior = self._split(theta)
        named = {"loadings": loadings, "intercept": intercept, **self._observation.unpack(observation)}
        if self._prior.n_params:
            named["probabilities"] = self._prior.probabilities(prior)  # type: ignore[attr-defined]
        return named

    def latent_function(self, z: NDArray) -> NDArray:
        """Return what the loadings multiply, ``h(z)`` of shape ``(n, H)``."""
        return self._prior.features(z)

    # ------------------------------------------------------------------ units of the columns

    @property
    def has_normal_noise(self) -> bool:
        """Whether columns are real, with normal noise, and so have units."""
        return self.observations == "gaussian"

    @available_if("has_normal_noise")
    def column_units(self, mean: NDArray, std: NDArray) -> tuple[NDArray, NDArray]:
        """Return the means and standard deviations; for spherical noise, the root mean square of the latter."""
        return mean, self._noise.common_scale(std)

    @available_if("has_normal_noise")
    def params_in_units(self, theta: NDArray, location: NDArray, scale: NDArray) -> NDArray:
        """Return the parameters of ``location + scale * x``; spherical noise takes one scale for all columns."""
        loadings, intercept, observation, prior = self._split(theta)
        rescaled = [(scale[:, np.newaxis] * loadings).ravel(), location + scale * intercept]
        return np.concatenate([*rescaled, self._noise.rescaled(observation, scale), prior])

    # ------------------------------------------------------------------ likelihood

    def _normal_log_likelihood(self, theta: NDArray, X: NDArray) -> NDArray:
        try:
            factor = np.linalg.cholesky(self._covariance(theta))
        except np.linalg.LinAlgError:  # not finite, or singular to working precision
            return np.full(len(X), np.nan)
        whitened = np.linalg.solve(factor, (X - self._split(theta)[1]).T)
        log_scales = np.log(factor.diagonal()).sum() + 0.5 * self.n_features * np.log(2 * np.pi)
        return -0.5 * np.square(whitened).sum(axis=0) - log_scales

    def _normal_gradient(self, theta: NDArray, X: NDArray) -> NDArray:
        loadings, intercept, observation, _ = self._split(theta)
        precision = np.linalg.inv(self._covariance(theta))
        explained = (X - intercept) @ precision
        grad_covariance = 0.5 * (explained.T @ explained / len(X) - precision)
        grad_loadings = 2 * grad_covariance @ loadings
        grad_observation = self._noise.covariance_vjp(observation, grad_covariance)
        return np.concatenate([grad_loadings.ravel(), explained.mean(axis=0), grad_observation])

    def _covariance(self, theta: NDArray) -> NDArray:
        loadings, _, observation, _ = self._split(theta)
        return loadings @ loadings.T + self._noise.covariance(observation)

    @property
    def _noise(self) -> IndependentNoise | CorrelatedNoise:
        assert isinstance(self._observation, IndependentNoise | CorrelatedNoise)
        return self._observation

    def _summed_log_likelihood(self, theta: NDArray, X: NDArray) -> NDArray:
        z, log_weights = self._prior.nodes(self._split(theta)[3])
        blocks = [X[start : start + BLOCK] for start in range(0, len(X), BLOCK)]
        return np.concatenate(
            [
                log_sum_exp(self.log_prob_x_given_z(theta, z, block) + log_weights[:, np.newaxis], axis=0)
                for block in blocks
            ]
        )

    def _summed_gradient(self, theta: NDArray, X: NDArray) -> NDArray:
        """Weigh the scores at the nodes by their posterior probabilities: Fisher's identity."""
        z, log_weights = self._prior.nodes(self._split(theta)[3])
        gradient = np.zeros(self.n_params)
        for start in range(0, len(X), BLOCK):
            x = X[start : start + BLOCK]
            log_posterior = self.log_prob_x_given_z(theta, z, x) + log_weights[:, np.newaxis]
            posterior = np.exp(log_posterior - log_sum_exp(log_posterior, axis=0)) / len(X)
            statistics = posterior @ self.sufficient_statistics(x)
            gradient += self.natural_vjp(theta, z, statistics, -posterior.sum(axis=1))
        return gradient

    def _split(self, theta: NDArray) -> tuple[NDArray, NDArray, NDArray, NDArray]:
        loadings, intercept, observation, prior = np.split(theta, self._slices)
        return loadings.reshape(self.n_features, self._prior.n_features), intercept, observation, prior

    def _map(self, theta: NDArray, features: NDArray) -> NDArray:
        loadings, intercept, _, _ = self._split(theta)
        return features @ loadings.T + intercept


def _check_count(name: str, value: Any) -> None:
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} of LatentFactors must be an int, at least 1. Got {value!r} instead.")


def _check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(
            f"{name} of LatentFactors must be one of {', '.join(map(repr, choices))}. Got {value!r} instead."
        )


def _check_positive(name: str, value: Any) -> None:
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 < float(value) < np.inf:
        raise ValueError(f"{name} of LatentFactors must be a float in (0, inf). Got {value!r} instead.")
