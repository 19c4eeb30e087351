"""Protocols of generative models: the required methods, and two groups of optional ones.

Parameters are one flat vector ``theta (P,)`` of float64. Latents ``z`` are an array, or a tuple of arrays, of leading
length ``n`` and of any type: the estimator only passes them back to the model. Observations ``x (n, D)`` are float64.
Every log-probability is in nats. A model keeps no state between calls and draws from the generator that is passed in,
and from no other.

No base class is needed: a model has the methods. All methods, those outside of the protocols included, are in the table
`skwakesleep.models._methods.METHODS`.
"""

from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Latents: TypeAlias = Any  # an array or a tuple of arrays, as the model decides


@runtime_checkable
class GenerativeModel(Protocol):
    """A latent-variable model that can be simulated, and whose score can be computed at its own samples.

    These methods are required. They are enough for the direct form of the gradient: by Fisher's identity,
    ``grad log p(x) = E[grad log p(z, x) | x]``, the gradient of the likelihood is a conditional expectation, which is
    learned by regression. Optional methods are listed in the :ref:`user guide <optional-methods>`.

    Attributes
    ----------
    n_features : int
        Number of columns of the observations, ``D``.
    n_params : int
        Number of parameters, ``P``.
    observation_range : tuple of float
        The smallest and the largest value that an observation can have; data outside are refused. Optional.

    See Also
    --------
    FunctionModel : A model from plain functions.
    check_generative_model : Tests a model of your own.

    Notes
    -----
    A model can also :ref:`declare its parameters <declared-parameters>`, by name and with constraints. It then needs
    neither ``n_params`` nor ``initial_params`` nor, if it has ``log_joint``, a gradient.

    If a model has scikit-learn's ``get_params`` and ``set_params``, its parameters can be searched, as in
    ``GridSearchCV(AmortisedWakeSleep(model), {"model__n_components": [1, 2, 3]})``.

    Examples
    --------
    The latent ``z`` is 0 or 1 with equal probability. The observation is normal around ``theta * z``:

    >>> import numpy as np
    >>> from skwakesleep.models import GenerativeModel
    >>> class Coin:
    ...     n_features = n_params = 1
    ...     def initial_params(self, X, rng):
    ...         return X.max(axis=0)
    ...     def sample(self, theta, n, rng):
    ...         z = rng.integers(2, size=n)
    ...         return z, rng.normal(theta * z, 1.0)[:, np.newaxis]
    ...     def grad_log_joint(self, theta, z, x, weights):
    ...         return np.array([weights @ (z * (x[:, 0] - theta * z))])
    >>> isinstance(Coin(), GenerativeModel)
    True
    """

    @property
    def n_features(self) -> int:
        """Number of columns of the observations, ``D``."""

    @property
    def n_params(self) -> int:
        """Number of parameters, ``P``."""

    def initial_params(self, X: NDArray, rng: np.random.Generator) -> NDArray:
        """Return parameters to start from.

        Parameters
        ----------
        X : ndarray of shape (m, D), float64
            The data to be fitted. Start with noise about as wide as the data: it narrows during training, and dreams
            far from the data are of no use.
        rng : numpy.random.Generator
            Breaks symmetries; restarts have different generators.

        Returns
        -------
        theta : ndarray of shape (P,), float64
            Parameters.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import LatentFactors
        >>> model, rng = LatentFactors(3, 1), np.random.default_rng(0)
        >>> model.initial_params(rng.normal(size=(50, 3)), rng).shape == (model.n_params,)
        True
        """

    def sample(self, theta: NDArray, n: int, rng: np.random.Generator) -> tuple[Latents, NDArray]:
        """Return ``n`` independent pairs of latents and observations, ``(z, x)``.

        Parameters
        ----------
        theta : ndarray of shape (P,)
            Parameters.
        n : int
            Number of pairs, at least 1.
        rng : numpy.random.Generator
            The only source of random numbers.

        Returns
        -------
        z : ndarray or tuple of ndarray, of leading length n
            Latents, of any type.
        x : ndarray of shape (n, D), float64
            Observations.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import LatentFactors
        >>> model, rng = LatentFactors(3, 1), np.random.default_rng(0)
        >>> z, x = model.sample(np.zeros(model.n_params), 5, rng)
        >>> z.shape, x.shape
        ((5, 1), (5, 3))
        """

    def grad_log_joint(self, theta: NDArray, z: Latents, x: NDArray, weights: NDArray) -> NDArray:
        """Return the weighted sum of scores, ``sum_n weights[n] * grad log p(z[n], x[n])``.

        With automatic differentiation, this is one backward pass of the weighted sum of log joints.

        Parameters
        ----------
        theta : ndarray of shape (P,)
            Parameters.
        z : ndarray or tuple of ndarray, of leading length n
            Latents, as `sample` returns them.
        x : ndarray of shape (n, D)
            Observations; with importance weighting, data.
        weights : ndarray of shape (n,)
            Real numbers, of either sign.

        Returns
        -------
        gradient : ndarray of shape (P,)
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


@runtime_checkable
class ExponentialFamily(Protocol):
    """A model whose observations are an exponential family given its latents.

    These methods allow the exponential-family form of the gradient, which combines dreamed latents with the data
    themselves. The log joint is ``eta(z) . s(x) - psi(z)``, up to a term free of the parameters. The log prior is part
    of ``-psi``.

    Examples
    --------
    >>> from skwakesleep.models import ExponentialFamily, LatentFactors
    >>> isinstance(LatentFactors(4), ExponentialFamily)
    True
    """

    def sufficient_statistics(self, x: NDArray) -> NDArray:
        """Return ``s(x)``.

        Parameters
        ----------
        x : ndarray of shape (m, D)
            Observations.

        Returns
        -------
        statistics : ndarray of shape (m, S)
            Sufficient statistics of each.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import LatentFactors
        >>> LatentFactors(2, 1, observations="bernoulli").sufficient_statistics(np.eye(2))
        array([[1., 0.],
               [0., 1.]])
        """

    def natural_parameters(self, theta: NDArray, z: Latents) -> tuple[NDArray, NDArray]:
        """Return ``eta(z)`` and ``psi(z)``.

        Parameters
        ----------
        theta : ndarray of shape (P,)
            Parameters.
        z : ndarray or tuple of ndarray, of leading length n
            Latents.

        Returns
        -------
        eta : ndarray of shape (n, S)
            Natural parameters of the observation given each latent.
        psi : ndarray of shape (n,)
            Log-normalizer minus log prior, in nats.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import LatentFactors
        >>> model = LatentFactors(2, 1, observations="bernoulli")
        >>> eta, psi = model.natural_parameters(np.zeros(model.n_params), np.zeros((5, 1)))
        >>> eta.shape, psi.shape
        ((5, 2), (5,))
        """

    def natural_vjp(self, theta: NDArray, z: Latents, ct_eta: NDArray, ct_psi: NDArray) -> NDArray:
        """Return the gradient of ``sum(ct_eta * eta) + sum(ct_psi * psi)``, a vector-Jacobian product.

        Parameters
        ----------
        theta : ndarray of shape (P,)
            Parameters.
        z : ndarray or tuple of ndarray, of leading length n
            Latents.
        ct_eta : ndarray of shape (n, S)
            Cotangents of the natural parameters.
        ct_psi : ndarray of shape (n,)
            Cotangents of ``psi``.

        Returns
        -------
        gradient : ndarray of shape (P,)
            In the parameters.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import LatentFactors
        >>> model = LatentFactors(2, 1, observations="bernoulli")
        >>> theta, z = np.zeros(model.n_params), np.ones((5, 1))
        >>> model.natural_vjp(theta, z, np.ones((5, 2)), np.zeros(5))  # each logit is loading * z + intercept
        array([5., 5., 5., 5.])
        """


@runtime_checkable
class LocalFactors(Protocol):
    """A model whose log joint is a sum of local terms, such as a time series.

    The score of each factor is regressed on its local row, simulated one step from the *observed* history, instead of
    on a whole observation. A local row holds the values that a factor is conditioned on, and its own observation. The
    optional method ``local_features(theta, rows)`` reduces the rows to the inputs of this regression.

    Examples
    --------
    >>> import numpy as np
    >>> from skwakesleep.models import LocalFactors
    >>> from skwakesleep.simulators import BlowflyDynamics
    >>> model = BlowflyDynamics(20, delay=2)
    >>> isinstance(model, LocalFactors)
    True
    >>> model.local_inputs(np.ones((1, 20))).shape  # one row for each step after the history
    (17, 3)
    """

    def local_inputs(self, X: NDArray) -> NDArray:
        """Return one row for each factor.

        Parameters
        ----------
        X : ndarray of shape (n_series, D)
            Data.

        Returns
        -------
        rows : ndarray of shape (m, L)
            The values that each factor is conditioned on, and its own observation.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.simulators import BlowflyDynamics
        >>> BlowflyDynamics(20, delay=2).local_inputs(np.ones((1, 20))).shape
        (17, 3)
        """

    def sample_local(self, theta: NDArray, rows: NDArray, n: int, rng: np.random.Generator) -> tuple[Latents, NDArray]:
        """Simulate one step from the conditioning part of each row.

        Parameters
        ----------
        theta : ndarray of shape (P,)
            Parameters.
        rows : ndarray of shape (m, L)
            Local rows.
        n : int
            Number of rows to simulate, spread evenly over those given.
        rng : numpy.random.Generator
            The only source of random numbers.

        Returns
        -------
        z : ndarray or tuple of ndarray, of leading length n
            Latents of the steps.
        rows : ndarray of shape (n, L)
            Local rows with simulated observations.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.simulators import BlowflyDynamics
        >>> model, rng = BlowflyDynamics(20, delay=2), np.random.default_rng(0)
        >>> X = rng.uniform(50, 100, size=(1, 20))
        >>> theta = model.initial_params(X, rng)
        >>> z, rows = model.sample_local(theta, model.local_inputs(X), 34, rng)
        >>> rows.shape
        (34, 3)
        """

    def local_grad_log_joint(self, theta: NDArray, z: Latents, rows: NDArray, weights: NDArray) -> NDArray:
        """Return the weighted sum of the scores of the factors.

        Parameters
        ----------
        theta : ndarray of shape (P,)
            Parameters.
        z : ndarray or tuple of ndarray, of leading length n
            Latents of the steps.
        rows : ndarray of shape (n, L)
            Local rows.
        weights : ndarray of shape (n,)
            Real numbers, of either sign.

        Returns
        -------
        gradient : ndarray of shape (P,)
            In nats per unit of each parameter.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.simulators import BlowflyDynamics
        >>> model, rng = BlowflyDynamics(20, delay=2), np.random.default_rng(0)
        >>> X = rng.uniform(50, 100, size=(1, 20))
        >>> theta = model.initial_params(X, rng)
        >>> z, rows = model.sample_local(theta, model.local_inputs(X), 34, rng)
        >>> model.local_grad_log_joint(theta, z, rows, np.ones(34)).shape == theta.shape
        True
        """
