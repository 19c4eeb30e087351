"""Distributions of the columns around a linear map of the latents, as exponential families.

Given the value of the map ``m (n, D)`` and parameters of its own, the log-density of an observation is
``eta . s(x) - a``, with all constants inside ``a``.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.arrays.numerics import LOG_2_PI, sigmoid
from skwakesleep._engine.machine.moments import measure
from skwakesleep.models._binary import random_bits

# Initial probabilities of binary columns are kept this far from 0 and 1, where the logits are infinite.
MIN_PROBABILITY = 0.01


class Observation:
    """Distribution of the columns, with parameters ``(n_params,)`` of its own.

    Normal noise around the map has units, a covariance, and a lower bound of its standard deviations besides.

    Parameters
    ----------
    n_features : int
        Number of columns, ``D``.
    noise : {"spherical", "diagonal", "full"}
        Covariance of normal noise.
    floor : float
        Lower bound of the standard deviations of normal noise.

    Attributes
    ----------
    n_params : int
        Number of parameters.
    range : tuple of float
        Smallest and largest value of a column.
    is_normal : bool
        Whether it is normal noise around the map.
    """

    n_params = 0
    range = (-np.inf, np.inf)
    is_normal = False

    def __init__(self, n_features: int, noise: str, floor: float) -> None:
        self._n_features = n_features

    def initial(self, X: NDArray) -> tuple[NDArray, NDArray, NDArray]:
        """Return the location ``(D,)`` and spread ``(D,)`` of the map's value, and parameters to start from."""
        raise NotImplementedError

    def sample(self, params: NDArray, m: NDArray, rng: np.random.Generator) -> NDArray:
        """Return an observation for each value of the map, ``(n, D)``."""
        raise NotImplementedError

    def statistics(self, x: NDArray) -> NDArray:
        """Return the sufficient statistics ``(n, S)``."""
        return x

    def natural(self, params: NDArray, m: NDArray) -> tuple[NDArray, NDArray]:
        """Return ``eta (n, S)`` and the log-normalizer ``a (n,)``."""
        raise NotImplementedError

    def vjp(self, params: NDArray, m: NDArray, ct_eta: NDArray, ct_a: NDArray) -> tuple[NDArray, NDArray]:
        """Return the gradients of ``sum(ct_eta * eta) + sum(ct_a * a)`` in ``m (n, D)`` and in the parameters."""
        raise NotImplementedError

    def project(self, params: NDArray) -> NDArray:
        """Return the nearest admissible parameters."""
        return params

    def unpack(self, params: NDArray) -> dict[str, NDArray]:
        """Return the parameters by name."""
        return {}

    def common_scale(self, std: NDArray) -> NDArray:
        """Return scales by which normal columns can be multiplied, ``(D,)``, from their standard deviations."""
        return std

    def rescaled(self, params: NDArray, scale: NDArray) -> NDArray:
        """Return the parameters after normal columns are multiplied by a scale ``(D,)``."""
        raise NotImplementedError

    def covariance(self, params: NDArray) -> NDArray:
        """Return the covariance of normal noise, ``(D, D)``."""
        raise NotImplementedError

    def covariance_vjp(self, params: NDArray, ct: NDArray) -> NDArray:
        """Return the gradient of ``sum(ct * covariance)`` in the parameters."""
        raise NotImplementedError


class BernoulliColumns(Observation):
    """Zeros and ones; the map is their logits."""

    range = (0.0, 1.0)

    def initial(self, X: NDArray) -> tuple[NDArray, NDArray, NDArray]:
        means = np.clip(X.mean(axis=0), MIN_PROBABILITY, 1 - MIN_PROBABILITY)
        return np.log(means) - np.log1p(-means), np.ones(X.shape[1]), np.zeros(0)

    def sample(self, params: NDArray, m: NDArray, rng: np.random.Generator) -> NDArray:
        return random_bits(m, rng)

    def natural(self, params: NDArray, m: NDArray) -> tuple[NDArray, NDArray]:
        return m, np.logaddexp(0, m).sum(axis=1)

    def vjp(self, params: NDArray, m: NDArray, ct_eta: NDArray, ct_a: NDArray) -> tuple[NDArray, NDArray]:
        means = sigmoid(m, np.empty_like(m))
        means *= ct_a[:, np.newaxis]
        return ct_eta + means, np.zeros(0)


class IndependentNoise(Observation):
    """Independent normal noise; its parameters are log standard deviations, one for all columns or one for each."""

    is_normal = True

    def __init__(self, n_features: int, noise: str, floor: float) -> None:
        super().__init__(n_features, noise, floor)
        self.n_params = 1 if noise == "spherical" else n_features
        self._log_floor = np.log(floor)

    def initial(self, X: NDArray) -> tuple[NDArray, NDArray, NDArray]:
        spread = _spread(X)
        variances = np.square(spread)
        noise = variances.mean(keepdims=True) if self.n_params == 1 else variances
        return X.mean(axis=0), spread, 0.5 * np.log(noise)

    def sample(self, params: NDArray, m: NDArray, rng: np.random.Generator) -> NDArray:
        return m + np.exp(params) * rng.standard_normal(m.shape)

    def statistics(self, x: NDArray) -> NDArray:
        return np.concatenate([x, x**2], axis=1)

    def natural(self, params: NDArray, m: NDArray) -> tuple[NDArray, NDArray]:
        precision = self._precision(params)
        location = m * precision
        eta = np.concatenate([location, np.broadcast_to(-0.5 * precision, m.shape)], axis=1)
        log_scales = self._n_features * (params.mean() + 0.5 * LOG_2_PI)
        return eta, 0.5 * np.vecdot(location, m) + log_scales

    def vjp(self, params: NDArray, m: NDArray, ct_eta: NDArray, ct_a: NDArray) -> tuple[NDArray, NDArray]:
        linear, quadratic = ct_eta[:, : self._n_features], ct_eta[:, self._n_features :]
        precision = self._precision(params)
        weighted = ct_a[:, np.newaxis] * m
        grad_precision = np.vecdot((linear + 0.5 * weighted).T, m.T) - 0.5 * quadratic.sum(axis=0)
        # In the log standard deviation, the precision has the derivative -2 * precision.
        grad = ct_a.sum() - 2 * precision * grad_precision
        return (linear + weighted) * precision, grad.sum(keepdims=True) if self.n_params == 1 else grad

    def covariance(self, params: NDArray) -> NDArray:
        return np.diag(1 / self._precision(params))

    def covariance_vjp(self, params: NDArray, ct: NDArray) -> NDArray:
        grad = 2 * ct.diagonal() / self._precision(params)
        return grad.sum(keepdims=True) if self.n_params == 1 else grad

    def project(self, params: NDArray) -> NDArray:
        return np.maximum(params, self._log_floor)

    def unpack(self, params: NDArray) -> dict[str, NDArray]:
        return {"noise_variance": np.exp(2 * params)}

    def common_scale(self, std: NDArray) -> NDArray:
        return np.full_like(std, _root_mean_square(std)) if self.n_params == 1 else std

    def rescaled(self, params: NDArray, scale: NDArray) -> NDArray:
        return params + np.log(scale[: self.n_params])

    def _precision(self, params: NDArray) -> NDArray:
        return np.broadcast_to(np.exp(-2 * params), (self._n_features,))


class CorrelatedNoise(Observation):
    """Normal noise with any covariance; its parameters are the Cholesky factor of the precision, diagonal in logs."""

    is_normal = True

    def __init__(self, n_features: int, noise: str, floor: float) -> None:
        super().__init__(n_features, noise, floor)
        self.n_params = n_features * (n_features + 1) // 2
        self._log_ceiling = -np.log(floor)

    # Not an attribute: sizes of a model in a file are checked before arrays of these sizes are made.
    @property
    def _diagonal(self) -> NDArray:
        index = np.arange(self._n_features)
        return index * (index + 3) // 2  # places of the diagonal in the rows of the triangle

    def initial(self, X: NDArray) -> tuple[NDArray, NDArray, NDArray]:
        spread = _spread(X)
        params = np.zeros(self.n_params)
        params[self._diagonal] = -np.log(spread)
        return X.mean(axis=0), spread, params

    def sample(self, params: NDArray, m: NDArray, rng: np.random.Generator) -> NDArray:
        # L^-T e has the covariance (L L^T)^-1, the inverse of the precision.
        return m + np.linalg.solve(self._factor(params).T, rng.standard_normal(m.shape).T).T

    def statistics(self, x: NDArray) -> NDArray:
        return np.concatenate([x, (x[:, :, np.newaxis] * x[:, np.newaxis, :]).reshape(len(x), -1)], axis=1)

    def natural(self, params: NDArray, m: NDArray) -> tuple[NDArray, NDArray]:
        factor = self._factor(params)
        precision = factor @ factor.T
        location = m @ precision
        quadratic = np.broadcast_to(-0.5 * precision.ravel(), (len(m), self._n_features**2))
        log_scales = 0.5 * self._n_features * LOG_2_PI - params[self._diagonal].sum()
        return np.concatenate([location, quadratic], axis=1), 0.5 * np.vecdot(location, m) + log_scales

    def vjp(self, params: NDArray, m: NDArray, ct_eta: NDArray, ct_a: NDArray) -> tuple[NDArray, NDArray]:
        linear, quadratic = ct_eta[:, : self._n_features], ct_eta[:, self._n_features :].sum(axis=0)
        factor = self._factor(params)
        weighted = ct_a[:, np.newaxis] * m
        grad_precision = (linear + 0.5 * weighted).T @ m - 0.5 * quadratic.reshape(factor.shape)
        grad = self._factor_vjp(factor, grad_precision)
        grad[self._diagonal] -= ct_a.sum()
        return (linear + weighted) @ (factor @ factor.T), grad

    def covariance(self, params: NDArray) -> NDArray:
        inverse = np.linalg.inv(self._factor(params))
        return inverse.T @ inverse

    def covariance_vjp(self, params: NDArray, ct: NDArray) -> NDArray:
        covariance = self.covariance(params)
        return self._factor_vjp(self._factor(params), -covariance @ ct @ covariance)

    def project(self, params: NDArray) -> NDArray:
        params = params.copy()
        # The inverse of a diagonal element is the standard deviation of a column, given the columns after it.
        params[self._diagonal] = np.minimum(params[self._diagonal], self._log_ceiling)
        return params

    def unpack(self, params: NDArray) -> dict[str, NDArray]:
        return {"noise_covariance": self.covariance(params)}

    def rescaled(self, params: NDArray, scale: NDArray) -> NDArray:
        # The precision of scale * x is L L^T with each row of L divided by its scale.
        rescaled = params / scale[_lower_triangle(self._n_features)[0]]
        rescaled[self._diagonal] = params[self._diagonal] - np.log(scale)
        return rescaled

    def _factor(self, params: NDArray) -> NDArray:
        factor = np.zeros((self._n_features, self._n_features))
        factor[_lower_triangle(self._n_features)] = params
        np.fill_diagonal(factor, np.exp(params[self._diagonal]))
        return factor

    def _factor_vjp(self, factor: NDArray, grad_precision: NDArray) -> NDArray:
        """Return the gradient in the parameters from that in the precision ``factor @ factor.T``."""
        grad_factor = (grad_precision + grad_precision.T) @ factor
        grad = grad_factor[_lower_triangle(self._n_features)]
        grad[self._diagonal] *= factor.diagonal()
        return grad


def _spread(X: NDArray) -> NDArray:
    """Return the standard deviation of each column, one where it is constant."""
    # Extreme values are left out, and squares stay finite.
    spread = measure(np.asarray(X, dtype=np.float64)).deviations
    return np.where(spread > 0, spread, 1.0)


def _root_mean_square(values: NDArray) -> float:
    # Relative to the largest value, whose square can overflow.
    largest = values.max()
    return float(largest * np.sqrt(np.square(values / largest).mean())) if largest > 0 else 0.0


# Cached, since every call of a model makes its observation anew.
_lower_triangle = lru_cache(8)(np.tril_indices)


# From the number of columns, the kind of noise and the lower bound of its standard deviations.
Factory = Callable[[int, str, float], Observation]


def _gaussian(n_features: int, noise: str, floor: float) -> Observation:
    return (CorrelatedNoise if noise == "full" else IndependentNoise)(n_features, noise, floor)


NOISES = ("spherical", "diagonal", "full")
# To add a kind of columns, write its class and add it here.
OBSERVATIONS: dict[str, Factory] = {"gaussian": _gaussian, "bernoulli": BernoulliColumns}
