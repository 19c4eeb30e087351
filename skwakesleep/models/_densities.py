"""Bases of models that derive densities from natural parameters, and a likelihood from a sum over the latents."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.arrays.numerics import log_sum_exp
from skwakesleep.models._bases import Model
from skwakesleep.models._protocol import ExponentialFamily

# Numbers in the largest scratch array, of latent nodes by observations: 16 MB.
BLOCK_ELEMENTS = 2**21


class ExponentialFamilyModel(Model, ExponentialFamily):
    """A model whose observations are an exponential family given its latents: densities and gradient follow.

    A subclass has `_conditional`, `log_prior` and `natural_vjp`.
    """

    def _conditional(self, theta: NDArray, z: Any) -> tuple[NDArray, NDArray]:
        """Return ``eta (n, S)`` and ``a (n,)``, with ``log p(x | z) = eta . s(x) - a``, in nats."""
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
            Log-density of each, in nats.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import SigmoidBeliefNetwork
        >>> model = SigmoidBeliefNetwork(4, 2)  # with all parameters zero, each unit is 0 or 1 with probability 1/2
        >>> np.exp(model.log_prior(np.zeros(model.n_params), (np.zeros((1, 2)),))).round(6)
        array([0.25])
        """
        raise NotImplementedError

    def sufficient_statistics(self, x: NDArray) -> NDArray:
        return x

    def natural_parameters(self, theta: NDArray, z: Any) -> tuple[NDArray, NDArray]:
        # log p(z, x) = eta . s(x) - a + log p(z), so psi = a - log p(z).
        eta, log_normalizer = self._conditional(theta, z)
        return eta, log_normalizer - self.log_prior(theta, z)

    def grad_log_joint(self, theta: NDArray, z: Any, x: NDArray, weights: NDArray) -> NDArray:
        """Return the weighted sum of scores, ``sum_n weights[n] * grad log p(z[n], x[n])``.

        Parameters
        ----------
        theta : ndarray of shape (n_params,)
            Flat parameters.
        z : ndarray or tuple of ndarray, of leading length n
            Latents.
        x : ndarray of shape (n, n_features)
            Observations.
        weights : ndarray of shape (n,)
            Real numbers, of either sign.

        Returns
        -------
        gradient : ndarray of shape (n_params,)
            In nats per unit of each parameter.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import LatentFactors
        >>> model, rng = LatentFactors(3, 1), np.random.default_rng(0)
        >>> theta = np.zeros(model.n_params)
        >>> z, x = model.sample(theta, 5, rng)
        >>> model.grad_log_joint(theta, z, x, np.full(5, 1 / 5)).shape == theta.shape
        True
        """
        return self.natural_vjp(theta, z, weights[:, np.newaxis] * self.sufficient_statistics(x), -weights)

    def log_joint(self, theta: NDArray, z: Any, x: NDArray) -> NDArray:
        """Return ``log p(z[n], x[n])``.

        Parameters
        ----------
        theta : ndarray of shape (n_params,)
            Flat parameters.
        z : ndarray or tuple of ndarray, of leading length n
            Latents.
        x : ndarray of shape (n, n_features)
            Observations.

        Returns
        -------
        log_prob : ndarray of shape (n,)
            Log-density of each pair, in nats.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import SigmoidBeliefNetwork
        >>> model = SigmoidBeliefNetwork(2, 1)  # with all parameters zero, each unit is 0 or 1 with probability 1/2
        >>> z, x = (np.zeros((1, 1)),), np.ones((1, 2))
        >>> np.exp(model.log_joint(np.zeros(model.n_params), z, x)).round(6)
        array([0.125])
        """
        eta, psi = self.natural_parameters(theta, z)
        return np.vecdot(eta, self.sufficient_statistics(x)) - psi

    def log_prob_x_given_z(self, theta: NDArray, z: Any, x: NDArray) -> NDArray:
        """Return ``log p(x[m] | z[n])`` for all pairs.

        Parameters
        ----------
        theta : ndarray of shape (n_params,)
            Flat parameters.
        z : ndarray or tuple of ndarray, of leading length n
            Latents.
        x : ndarray of shape (m, n_features)
            Observations, each of which is paired with every latent.

        Returns
        -------
        log_prob : ndarray of shape (n, m)
            Log-density of each observation given each latent, in nats.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import SigmoidBeliefNetwork
        >>> model = SigmoidBeliefNetwork(2, 1)  # with all parameters zero, each unit is 0 or 1 with probability 1/2
        >>> z, x = (np.zeros((1, 1)),), np.ones((3, 2))
        >>> np.exp(model.log_prob_x_given_z(np.zeros(model.n_params), z, x)).round(6)
        array([[0.25, 0.25, 0.25]])
        """
        eta, log_normalizer = self._conditional(theta, z)
        return eta @ self.sufficient_statistics(x).T - log_normalizer[:, np.newaxis]


class AvailableIf:
    """A method that an object has only where one of its attributes is true; elsewhere `hasattr` is false.

    Parameters
    ----------
    attribute : str
        Name of the attribute.
    reason : str
        Why the method is not there, as the message of the error says.
    method : callable
        The method.
    """

    def __init__(self, attribute: str, reason: str, method: Callable) -> None:
        self._attribute = attribute
        self._reason = reason
        self.__wrapped__ = method

    def __get__(self, instance: Any, owner: type) -> Any:
        """Return the method, bound as usual."""
        if instance is not None and not getattr(instance, self._attribute):
            raise AttributeError(f"{instance!r} has no {self.__wrapped__.__name__}: {self._reason}.")
        return self.__wrapped__.__get__(instance, owner)


def available_if(attribute: str, reason: str) -> Callable[[Callable], Any]:
    """Return a decorator of methods that are there only where an attribute is true."""
    return lambda method: AvailableIf(attribute, reason, method)


needs_summable = available_if("summable", "its latents are too many to sum or integrate over")


class SummableModel(ExponentialFamilyModel):
    """A model whose latents can be summed out, by enumeration or on a grid.

    A subclass has `latent_nodes`; the likelihood, its gradient and posterior expectations are sums over these nodes.
    Where nodes move with the parameters, the gradient is that of the integral, not of its approximation: the same up to
    the error of the quadrature.
    """

    @property
    def summable(self) -> bool:
        """Whether the latents are few enough for a likelihood."""
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
            Logarithm of the volume around each; zero for discrete latents.

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

    @needs_summable
    def log_likelihood(self, theta: NDArray, X: NDArray) -> NDArray:
        """Return ``log p(X[m])``, with the latents summed out.

        The method exists only where the latents are few enough.

        Parameters
        ----------
        theta : ndarray of shape (n_params,)
            Flat parameters.
        X : ndarray of shape (m, n_features)
            Data.

        Returns
        -------
        log_prob : ndarray of shape (m,)
            Log-likelihood of each row, in nats.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import SigmoidBeliefNetwork
        >>> model = SigmoidBeliefNetwork(2, 1)  # with all parameters zero, each unit is 0 or 1 with probability 1/2
        >>> np.exp(model.log_likelihood(np.zeros(model.n_params), np.eye(2))).round(6)
        array([0.25, 0.25])
        """
        return np.concatenate([log_total for log_total, _, _ in self._summed_out(theta, X)])

    @needs_summable
    def grad_log_likelihood(self, theta: NDArray, X: NDArray) -> NDArray:
        """Return the gradient of the mean over rows of ``log p(X[m])``.

        It is the expected score under the exact posterior. The method exists where `log_likelihood` does.

        Parameters
        ----------
        theta : ndarray of shape (n_params,)
            Flat parameters.
        X : ndarray of shape (m, n_features)
            Data.

        Returns
        -------
        gradient : ndarray of shape (n_params,)
            In nats per row and unit of each parameter.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import SigmoidBeliefNetwork
        >>> model = SigmoidBeliefNetwork(2, 1)
        >>> gradient = model.grad_log_likelihood(np.zeros(model.n_params), np.ones((4, 2)))
        >>> model.unpack(gradient)["intercept_0"]  # the columns are 1, their means under the model 1/2
        array([0.5, 0.5])
        """
        # Fisher's identity. The score is linear in the statistics of a row: these are added up over the rows, under the
        # posterior of each, and one vector-Jacobian product is enough.
        z, _ = self.latent_nodes(theta)
        statistics = weights = np.zeros(1)
        for _, posterior, x in self._summed_out(theta, X):
            statistics = statistics + posterior @ self.sufficient_statistics(x)
            weights = weights + posterior.sum(axis=1)
        return self.natural_vjp(theta, z, statistics / len(X), -weights / len(X))

    def _summed_out(self, theta: NDArray, X: NDArray) -> Iterator[tuple[NDArray, NDArray, NDArray]]:
        """Yield the log-likelihoods of some rows, the posterior over the nodes ``(J, rows)`` and the rows."""
        z, log_volume = self.latent_nodes(theta)
        log_weights = log_volume + self.log_prior(theta, z)
        # Rows do not depend on each other: blocks bound the memory.
        n_rows = max(1, BLOCK_ELEMENTS // len(log_weights))
        for start in range(0, len(X), n_rows):
            x = X[start : start + n_rows]
            log_joint = self.log_prob_x_given_z(theta, z, x) + log_weights[:, np.newaxis]
            log_total = log_sum_exp(log_joint, axis=0)
            yield log_total, np.exp(log_joint - log_total), x
