"""What a generative model must offer to be fitted, and what it may offer besides.

Parameters are one flat vector ``theta (P,)`` of float64. Latents ``z`` are an array, or a tuple of arrays, of leading
length ``n``, of any type and meaning: the estimator hands them back to the model and looks at nothing but their number.
Observations ``x (n, D)`` are float64. Every log-probability is in nats. A model keeps no state between calls and draws
from the generator that it is handed, and from no other.

`GenerativeModel` is required. Each of the other protocols is optional and unlocks something; a model obeys it by having
its methods, no base class is needed.
"""

from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Latents: TypeAlias = NDArray | tuple[NDArray, ...]


@runtime_checkable
class GenerativeModel(Protocol):
    """A latent-variable model that can be simulated, and whose score can be computed at its own samples.

    This is all that the direct form of the gradient needs: Fisher's identity,
    ``grad log p(x) = E[grad log p(z, x) | x]``, turns the gradient of the likelihood into a conditional expectation,
    which is learned by regression.

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
    FunctionModel : Such a model from plain functions.
    check_generative_model : Tests whether a model keeps the promises made here.

    Examples
    --------
    Pairs whose sum is known: a coin ``z``, observed with normal noise around ``theta`` or around zero.

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
        """Return where to start, ``theta (P,)``.

        Parameters
        ----------
        X : ndarray of shape (m, D), float64
            The data to be fitted. Start with noise about as wide as the data: it narrows as the model learns to
            explain, while dreams that miss the data have nothing to teach.
        rng : numpy.random.Generator
            Breaks symmetries; restarts differ by what it gives.

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
            Where all randomness comes from.

        Returns
        -------
        z : ndarray or tuple of ndarray, of leading length n
            Latents, of any type and meaning.
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

        One backward pass of the weighted sum of log joints serves, where there is automatic differentiation.

        Parameters
        ----------
        theta : ndarray of shape (P,)
            Parameters.
        z : ndarray or tuple of ndarray, of leading length n
            Latents, some of those that `sample` gave.
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
    """Unlocks the exponential-family form of the gradient, which combines sleep latents with the data themselves.

    The log joint is ``eta(z) . s(x) - psi(z)``, up to a term free of the parameters; the log prior is inside ``-psi``.

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
class JointDensity(Protocol):
    """Unlocks checks of the gradient, and central differences in its place.

    Examples
    --------
    >>> from skwakesleep.models import JointDensity, LatentFactors
    >>> isinstance(LatentFactors(4), JointDensity)
    True
    """

    def log_joint(self, theta: NDArray, z: Latents, x: NDArray) -> NDArray:
        """Return ``log p(z[n], x[n])``.

        Parameters
        ----------
        theta : ndarray of shape (P,)
            Parameters.
        z : ndarray or tuple of ndarray, of leading length n
            Latents.
        x : ndarray of shape (n, D)
            Observations.

        Returns
        -------
        log_joint : ndarray of shape (n,)
            Of each pair, in nats.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import SigmoidBeliefNetwork
        >>> model = SigmoidBeliefNetwork(2, 1)  # three fair coins, when all parameters are zero
        >>> z, x = (np.zeros((1, 1)),), np.ones((1, 2))
        >>> np.exp(model.log_joint(np.zeros(model.n_params), z, x)).round(6)
        array([0.125])
        """


@runtime_checkable
class ConditionalDensity(Protocol):
    """Unlocks importance weighting, and the effective sample size that says whether it can be trusted.

    Examples
    --------
    >>> from skwakesleep.models import ConditionalDensity, HodgkinHuxley, LatentFactors
    >>> isinstance(LatentFactors(4), ConditionalDensity), isinstance(HodgkinHuxley(), ConditionalDensity)
    (True, False)
    """

    def log_prob_x_given_z(self, theta: NDArray, z: Latents, x: NDArray) -> NDArray:
        """Return ``log p(x[m] | z[n])`` for all pairs.

        Parameters
        ----------
        theta : ndarray of shape (P,)
            Parameters.
        z : ndarray or tuple of ndarray, of leading length n
            Latents.
        x : ndarray of shape (m, D)
            Observations, which have nothing to do with the latents.

        Returns
        -------
        log_prob : ndarray of shape (n, m)
            Log-density of each observation given each latent, in nats.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import SigmoidBeliefNetwork
        >>> model = SigmoidBeliefNetwork(2, 1)  # fair coins, when all parameters are zero
        >>> z, x = (np.zeros((1, 1)),), np.ones((3, 2))
        >>> np.exp(model.log_prob_x_given_z(np.zeros(model.n_params), z, x)).round(6)
        array([[0.25, 0.25, 0.25]])
        """


@runtime_checkable
class Likelihood(Protocol):
    """Unlocks `score`, `score_samples`, the choice among restarts, and so grid searches.

    Examples
    --------
    Up to 14 binary latents, the states are listed:

    >>> from skwakesleep.models import SigmoidBeliefNetwork
    >>> few, many = SigmoidBeliefNetwork(30, 8), SigmoidBeliefNetwork(30, 80)
    >>> hasattr(few, "log_likelihood"), hasattr(many, "log_likelihood")
    (True, False)
    """

    def log_likelihood(self, theta: NDArray, X: NDArray) -> NDArray:
        """Return ``log p(X[m])``.

        Parameters
        ----------
        theta : ndarray of shape (P,)
            Parameters.
        X : ndarray of shape (m, D)
            Data.

        Returns
        -------
        log_likelihood : ndarray of shape (m,)
            Of each row, in nats.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import SigmoidBeliefNetwork
        >>> model = SigmoidBeliefNetwork(2, 1)  # fair coins, when all parameters are zero
        >>> np.exp(model.log_likelihood(np.zeros(model.n_params), np.eye(2))).round(6)
        array([0.25, 0.25])
        """


@runtime_checkable
class LikelihoodGradient(Protocol):
    """Unlocks the exact gradient.

    Examples
    --------
    >>> from skwakesleep.models import LikelihoodGradient, SigmoidBeliefNetwork
    >>> isinstance(SigmoidBeliefNetwork(30, 8), LikelihoodGradient)
    True
    """

    def grad_log_likelihood(self, theta: NDArray, X: NDArray) -> NDArray:
        """Return the gradient of the mean over rows of ``log p(X[m])``.

        Parameters
        ----------
        theta : ndarray of shape (P,)
            Parameters.
        X : ndarray of shape (m, D)
            Data.

        Returns
        -------
        gradient : ndarray of shape (P,)
            In nats per row and unit of each parameter.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import SigmoidBeliefNetwork
        >>> model = SigmoidBeliefNetwork(2, 1)
        >>> gradient = model.grad_log_likelihood(np.zeros(model.n_params), np.ones((4, 2)))
        >>> model.unpack(gradient)["intercept_0"]  # ones, where fair coins expect a half
        array([0.5, 0.5])
        """


@runtime_checkable
class Projection(Protocol):
    """Keeps parameters within bounds, such as floors of noise scales.

    Examples
    --------
    Noise has a floor:

    >>> import numpy as np
    >>> from skwakesleep.models import LatentFactors, Projection
    >>> model = LatentFactors(2, 1, noise="spherical", noise_floor=0.1)
    >>> isinstance(model, Projection)
    True
    >>> float(model.unpack(model.project(np.full(model.n_params, -50.0)))["noise_variance"][0].round(9))
    0.01
    """

    def project(self, theta: NDArray) -> NDArray:
        """Return the nearest admissible parameters; applied after each step.

        Parameters
        ----------
        theta : ndarray of shape (P,)
            Any parameters.

        Returns
        -------
        theta : ndarray of shape (P,)
            Parameters within bounds.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import LatentFactors
        >>> model = LatentFactors(2, 1, noise_floor=0.1)
        >>> theta = model.project(np.full(model.n_params, -50.0))
        >>> model.unpack(theta)["noise_variance"].round(9)
        array([0.01, 0.01])
        """


@runtime_checkable
class ColumnUnits(Protocol):
    """Has the columns standardized for training, so that their scales do not matter.

    Only a model that stays in its family when columns are shifted and rescaled can offer this. It is trained on
    ``(X - location) / scale``; parameters, scores and samples are in the units of `X` nevertheless. What bounds a model
    has, such as floors of noise scales, are then in units of the standardized columns.

    Examples
    --------
    >>> from skwakesleep.models import LatentFactors
    >>> real, binary = LatentFactors(4), LatentFactors(4, observations="bernoulli")
    >>> hasattr(real, "column_units"), hasattr(binary, "column_units")
    (True, False)
    """

    def column_units(self, mean: NDArray, std: NDArray) -> tuple[NDArray, NDArray]:
        """Return the constants by which columns are to be standardized.

        Parameters
        ----------
        mean : ndarray of shape (D,)
            Mean of each column of the data.
        std : ndarray of shape (D,)
            Standard deviation of each column, zero where it is constant.

        Returns
        -------
        location : ndarray of shape (D,)
            What is subtracted from the columns.
        scale : ndarray of shape (D,)
            What they are divided by then; columns with zero are not divided.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import LatentFactors
        >>> LatentFactors(2, 1, noise="spherical").column_units(np.zeros(2), np.array([1.0, 7.0]))
        (array([0., 0.]), array([5., 5.]))
        """

    def params_in_units(self, theta: NDArray, location: NDArray, scale: NDArray) -> NDArray:
        """Return the parameters of the model of ``location + scale * x``, given those of the model of ``x``.

        Latents stay what they are: log-densities change by ``-sum(log(scale))``, and by nothing else.

        Parameters
        ----------
        theta : ndarray of shape (P,)
            Parameters of the model of ``x``.
        location : ndarray of shape (D,)
            Real numbers.
        scale : ndarray of shape (D,)
            Positive numbers, quotients of what `column_units` returned.

        Returns
        -------
        theta : ndarray of shape (P,)
            Parameters of the model of ``location + scale * x``.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import LatentFactors
        >>> model = LatentFactors(2, 1, noise="spherical")
        >>> theta = model.params_in_units(np.ones(model.n_params), np.full(2, 100.0), np.full(2, 10.0))
        >>> model.unpack(theta)["intercept"]
        array([110., 110.])
        """


@runtime_checkable
class NamedParameters(Protocol):
    """Gives parameters names: what it returns becomes `params_`, in place of ``{"theta": theta}``.

    Examples
    --------
    >>> import numpy as np
    >>> from skwakesleep.models import LatentFactors, NamedParameters
    >>> model = LatentFactors(3, 1)
    >>> isinstance(model, NamedParameters)
    True
    >>> list(model.unpack(np.zeros(model.n_params)))
    ['loadings', 'intercept', 'noise_variance']
    """

    def unpack(self, theta: NDArray) -> dict[str, NDArray]:
        """Return the parameters by name, in their own shapes and units.

        Parameters
        ----------
        theta : ndarray of shape (P,)
            Flat parameters.

        Returns
        -------
        params : dict of str to ndarray
            Named parameters.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import HodgkinHuxley
        >>> HodgkinHuxley().unpack(np.arange(6.0))
        {'means': array([0., 1., 2.]), 'log_scales': array([3., 4., 5.])}
        """


@runtime_checkable
class LatentFunction(Protocol):
    """Unlocks `transform`, which is the posterior expectation of this function.

    Examples
    --------
    An angle acts through its cosine and sine:

    >>> import numpy as np
    >>> from skwakesleep.models import LatentFactors, LatentFunction
    >>> ring = LatentFactors(6, 1, latents="angle")
    >>> isinstance(ring, LatentFunction)
    True
    >>> ring.latent_function(np.array([[0.0]]))
    array([[1., 0.]])
    """

    def latent_function(self, z: Latents) -> NDArray:
        """Return the features of the latents that are of interest.

        Parameters
        ----------
        z : ndarray or tuple of ndarray, of leading length n
            Latents.

        Returns
        -------
        features : ndarray of shape (n, F)
            What `transform` gives the expectation of.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import LatentFactors
        >>> LatentFactors(6, 1, latents="angle").latent_function(np.array([[0.0]]))
        array([[1., 0.]])
        """


@runtime_checkable
class LocalFactors(Protocol):
    """Unlocks regression of local factors, for models whose log joint is a sum of local terms, such as time series.

    The scores of the factors are regressed on local inputs, simulated one step from the *observed* history, instead of
    on whole observations. Nothing else changes. A local row holds what the factor is conditioned on, and the factor's
    own observation.

    Examples
    --------
    >>> import numpy as np
    >>> from skwakesleep.models import BlowflyDynamics, LocalFactors
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
            What each factor is conditioned on, and its own observation.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import BlowflyDynamics
        >>> BlowflyDynamics(20, delay=2).local_inputs(np.ones((1, 20))).shape
        (17, 3)
        """

    def sample_local(self, theta: NDArray, rows: NDArray, n: int, rng: np.random.Generator) -> tuple[Latents, NDArray]:
        """Simulate one step from the conditioning part of each row; return the latents and the rows that result.

        Parameters
        ----------
        theta : ndarray of shape (P,)
            Parameters.
        rows : ndarray of shape (m, L)
            Local rows.
        n : int
            Number of rows to simulate, spread evenly over those given.
        rng : numpy.random.Generator
            Where all randomness comes from.

        Returns
        -------
        z : ndarray or tuple of ndarray, of leading length n
            Latents of the steps.
        rows : ndarray of shape (n, L)
            Local rows with simulated observations.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import BlowflyDynamics
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
        >>> from skwakesleep.models import BlowflyDynamics
        >>> model, rng = BlowflyDynamics(20, delay=2), np.random.default_rng(0)
        >>> X = rng.uniform(50, 100, size=(1, 20))
        >>> theta = model.initial_params(X, rng)
        >>> z, rows = model.sample_local(theta, model.local_inputs(X), 34, rng)
        >>> model.local_grad_log_joint(theta, z, rows, np.ones(34)).shape == theta.shape
        True
        """


@runtime_checkable
class LocalFeatures(Protocol):
    """Reduces the inputs of a local regression to what the factors' scores depend on.

    Examples
    --------
    >>> from skwakesleep.models import BlowflyDynamics, LocalFeatures
    >>> isinstance(BlowflyDynamics(20, delay=2), LocalFeatures)
    True
    """

    def local_features(self, theta: NDArray, rows: NDArray) -> NDArray:
        """Return the inputs of the regression; without this method, they are the rows.

        Parameters
        ----------
        theta : ndarray of shape (P,)
            Current parameters.
        rows : ndarray of shape (m, L)
            Local rows.

        Returns
        -------
        features : ndarray of shape (m, F)
            What the scores depend on.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import BlowflyDynamics
        >>> model, rng = BlowflyDynamics(20, delay=2), np.random.default_rng(0)
        >>> X = rng.uniform(50, 100, size=(1, 20))
        >>> len(model.local_features(model.initial_params(X, rng), model.local_inputs(X)))
        17
        """
