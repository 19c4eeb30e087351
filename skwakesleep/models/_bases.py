"""What the models of this package share: parameters by name, and densities from natural parameters."""

from collections.abc import Callable, Iterator
from math import prod
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logsumexp

from skwakesleep.models._documentation import documented

# Numbers in the largest scratch array, of latent nodes by observations: 16 MB.
BLOCK_ELEMENTS = 2**21
LOG_2_PI = np.log(2 * np.pi)


@documented
class NamedParameterModel:
    """A model whose flat parameter vector is cut into named arrays.

    Parameters
    ----------
    n_features : int
        Number of columns of the observations.
    shapes : dict of str to tuple of int
        Shapes of the arrays, in the order in which they are laid out.
    """

    def __init__(self, n_features: int, shapes: dict[str, tuple[int, ...]]) -> None:
        self.n_features = n_features
        self.n_params = sum(prod(shape) for shape in shapes.values())
        self._shapes = shapes

    def unpack(self, theta: NDArray) -> dict[str, NDArray]:
        """Return views of the parameters, by name.

        Parameters
        ----------
        theta : ndarray of shape (n_params,)
            Flat parameters.

        Returns
        -------
        views : dict of str to ndarray
            Writing to a view writes to `theta`.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import HodgkinHuxley
        >>> HodgkinHuxley().unpack(np.arange(6.0))
        {'means': array([0., 1., 2.]), 'log_scales': array([3., 4., 5.])}
        """
        views = {}
        start = 0
        for name, shape in self._shapes.items():
            stop = start + prod(shape)
            views[name] = theta[start:stop].reshape(shape)
            start = stop
        return views

    def pack(self, **arrays: NDArray) -> NDArray:
        """Return the flat vector of named parameters: the inverse of `unpack`.

        Parameters
        ----------
        **arrays : array-like
            Every parameter by name; numbers are spread over an array's shape.

        Returns
        -------
        theta : ndarray of shape (n_params,), float64
            Flat parameters.

        Raises
        ------
        TypeError
            When a name is missing or unknown.

        Examples
        --------
        >>> from skwakesleep.models import HodgkinHuxley
        >>> HodgkinHuxley().pack(means=0.0, log_scales=[-1.0, -2.0, -3.0])
        array([ 0.,  0.,  0., -1., -2., -3.])
        """
        if arrays.keys() != self._shapes.keys():
            raise TypeError(f"expected the parameters {sorted(self._shapes)}. Got {sorted(arrays)}.")
        theta = np.empty(self.n_params)
        for name, view in self.unpack(theta).items():
            view[...] = arrays[name]
        return theta


@documented
class ExponentialFamilyModel(NamedParameterModel):
    """A model from its natural parameters: densities and the weighted gradient follow.

    A subclass has `sufficient_statistics`, `natural_parameters` and `natural_vjp`, and `log_prior`, which is inside
    ``-psi`` too; `log_carrier` is what is free of the parameters.
    """

    def sufficient_statistics(self, x: NDArray) -> NDArray:
        """Return ``s(x)`` of shape ``(m, S)``: here, the observations themselves."""
        return x

    def natural_parameters(self, theta: NDArray, z: Any) -> tuple[NDArray, NDArray]:
        """Return ``eta (n, S)`` and ``psi (n,)``, with ``log p(z, x) = eta . s(x) - psi``."""
        raise NotImplementedError

    def natural_vjp(self, theta: NDArray, z: Any, ct_eta: NDArray, ct_psi: NDArray) -> NDArray:
        """Return the gradient of ``sum(ct_eta * eta) + sum(ct_psi * psi)``, of shape ``(n_params,)``."""
        raise NotImplementedError

    def log_prior(self, theta: NDArray, z: Any) -> NDArray:
        """Return ``log p(z[n])``.

        Parameters
        ----------
        theta : ndarray of shape (n_params,)
            Flat parameters.
        z : ndarray or tuple of ndarray, of leading length n
            Latents.

        Returns
        -------
        log_prob : ndarray of shape (n,)
            Of each, in nats.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import SigmoidBeliefNetwork
        >>> model = SigmoidBeliefNetwork(4, 2)  # fair coins, when all parameters are zero
        >>> np.exp(model.log_prior(np.zeros(model.n_params), (np.zeros((1, 2)),))).round(6)
        array([0.25])
        """
        raise NotImplementedError

    def grad_log_joint(self, theta: NDArray, z: Any, x: NDArray, weights: NDArray) -> NDArray:
        """Return ``sum_n weights[n] * grad log p(z[n], x[n])`` of shape ``(n_params,)``."""
        return self.natural_vjp(theta, z, weights[:, np.newaxis] * self.sufficient_statistics(x), -weights)

    def log_joint(self, theta: NDArray, z: Any, x: NDArray) -> NDArray:
        """Return ``log p(z[n], x[n])`` of shape ``(n,)``, in nats."""
        eta, psi = self.natural_parameters(theta, z)
        return np.vecdot(eta, self.sufficient_statistics(x)) - psi

    def log_prob_x_given_z(self, theta: NDArray, z: Any, x: NDArray) -> NDArray:
        """Return ``log p(x[m] | z[n])`` for all pairs, of shape ``(n, m)``, in nats."""
        return self._log_joint_of_pairs(theta, z, x) - self.log_prior(theta, z)[:, np.newaxis]

    def _log_joint_of_pairs(self, theta: NDArray, z: Any, x: NDArray) -> NDArray:
        eta, psi = self.natural_parameters(theta, z)
        return eta @ self.sufficient_statistics(x).T - psi[:, np.newaxis]


class AvailableIf:
    """A method that an object has only where one of its attributes is true; elsewhere `hasattr` is false."""

    def __init__(self, attribute: str, method: Callable) -> None:
        self._attribute = attribute
        self.__wrapped__ = method

    def __get__(self, instance: Any, owner: type) -> Any:
        """Return the method, bound as usual."""
        if instance is not None and not getattr(instance, self._attribute):
            raise AttributeError(f"{self.__wrapped__.__name__} needs {self._attribute} of this {owner.__name__}")
        return self.__wrapped__.__get__(instance, owner)


def available_if(attribute: str) -> Callable[[Callable], Any]:
    """Return a decorator of methods that are there only where an attribute is true."""
    return lambda method: AvailableIf(attribute, method)


@documented
class SummableModel(ExponentialFamilyModel):
    """A model whose latents can be summed out, by enumeration or on a grid.

    A subclass lists nodes of the latents with `latent_nodes`; likelihood, its gradient and posterior expectations are
    then sums over them. Where nodes move with the parameters, the gradient is that of the integral, not of its
    approximation: the same up to the error of the quadrature.
    """

    @property
    def summable(self) -> bool:
        """Whether the nodes are few enough; otherwise there is no likelihood."""
        return True

    def latent_nodes(self, theta: NDArray) -> tuple[Any, NDArray]:
        """Return latents to sum over.

        Parameters
        ----------
        theta : ndarray of shape (n_params,)
            Flat parameters.

        Returns
        -------
        z : ndarray or tuple of ndarray, of leading length J
            Latents.
        log_volume : ndarray of shape (J,)
            Log of the volume that each stands for; zero where they are discrete.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import SigmoidBeliefNetwork
        >>> model = SigmoidBeliefNetwork(4, 2)
        >>> (states,), _ = model.latent_nodes(np.zeros(model.n_params))
        >>> states.tolist()
        [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
        """
        raise NotImplementedError

    @available_if("summable")
    def log_likelihood(self, theta: NDArray, X: NDArray) -> NDArray:
        """Return ``log p(X[m])`` of shape ``(m,)``, in nats, with the latents summed out."""
        return np.concatenate([log_total for log_total, _, _ in self._summed_out(theta, X)])

    @available_if("summable")
    def grad_log_likelihood(self, theta: NDArray, X: NDArray) -> NDArray:
        """Return the gradient of the mean over rows of ``log p(X[m])`` in nats, of shape ``(n_params,)``.

        The expected score under the exact posterior over the nodes.
        """
        z, _ = self.latent_nodes(theta)
        statistics = weights = np.zeros(1)
        for _, posterior, x in self._summed_out(theta, X):
            statistics = statistics + posterior @ self.sufficient_statistics(x)
            weights = weights + posterior.sum(axis=1)
        return self.natural_vjp(theta, z, statistics / len(X), -weights / len(X))

    def _summed_out(self, theta: NDArray, X: NDArray) -> Iterator[tuple[NDArray, NDArray, NDArray]]:
        """Yield the log-likelihoods of some rows, the posterior over the nodes ``(J, rows)`` and the rows."""
        z, log_volume = self.latent_nodes(theta)
        for x in in_blocks(X, BLOCK_ELEMENTS // len(log_volume)):
            log_joint = self._log_joint_of_pairs(theta, z, x) + log_volume[:, np.newaxis]
            log_total = logsumexp(log_joint, axis=0)
            yield log_total, np.exp(log_joint - log_total), x


def in_blocks(X: NDArray, size: int) -> Iterator[NDArray]:
    """Yield blocks of rows of at most a given size, and of one at least."""
    size = max(1, size)
    for start in range(0, len(X), size):
        yield X[start : start + size]


def softplus(logits: NDArray) -> NDArray:
    """Return ``log(1 + exp(logits))``: the log-normalizer of a Bernoulli."""
    return np.maximum(logits, 0) + np.log1p(np.exp(-np.abs(logits)))


def bernoulli_log_prob(logits: NDArray, units: NDArray) -> NDArray:
    """Return the log-probability of binary units, summed over the last axis, in nats."""
    return np.vecdot(units, logits) - softplus(logits).sum(axis=-1)


def normal_log_prob(values: NDArray, mean: NDArray, log_scale: NDArray) -> NDArray:
    """Return the log-density of independent normal variables, summed over the last axis, in nats."""
    standard = (values - mean) * np.exp(-log_scale)
    return -0.5 * np.vecdot(standard, standard) - np.sum(log_scale + 0.5 * LOG_2_PI, axis=-1)


def random_bits(logits: NDArray, rng: np.random.Generator) -> NDArray:
    """Return zeros and ones with the given logits, as float64."""
    return (rng.random(logits.shape) < expit(logits)).astype(np.float64)


def mean_logits(X: NDArray) -> NDArray:
    """Return the logits of the columns' means, as if half a row of each kind had been seen besides."""
    counts = X.sum(axis=0)
    return np.log(counts + 0.5) - np.log(len(X) - counts + 0.5)


def check_counts(**counts: Any) -> None:
    """Raise an error unless each named number is an int of one or more."""
    for name, count in counts.items():
        if not isinstance(count, Integral) or isinstance(count, bool) or count < 1:
            raise ValueError(f"{name} must be an int >= 1. Got {count!r}.")
