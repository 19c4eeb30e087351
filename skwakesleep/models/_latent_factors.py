"""Linear latent-factor models: factor analysis, rings, mixtures, independent components, matrix factorization."""

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.arrays.numerics import LOG_2_PI
from skwakesleep.models._densities import SummableModel, available_if, needs_summable
from skwakesleep.models._observations import NOISES, OBSERVATIONS, Observation
from skwakesleep.models._parameters import check_choice, check_counts, check_positive
from skwakesleep.models._priors import PRIORS, Prior

needs_normal_noise = available_if("has_normal_noise", "its columns are binary and have no units")


class LatentFactors(SummableModel):
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
        Distribution of the columns: the map plus normal noise, or zeros and ones with the map as logits.

    noise : {"spherical", "diagonal", "full"}, default="diagonal"
        Covariance of normal noise. Ignored with Bernoulli observations.

    noise_floor : float, default=1e-3
        Lower bound of the noise's standard deviations, in the units of the columns that the model is given.
        `AmortisedWakeSleep` standardizes the columns: there it is a fraction of their standard deviations (of the root
        mean square of these for spherical noise).

    Attributes
    ----------
    n_params : int
        Number of parameters, ``P``.

    Notes
    -----
    The log-likelihood is in closed form for normal latents with normal noise, a sum over all configurations of binary
    or categorical latents, and otherwise a quadrature over one or two factors. The methods `log_likelihood` and
    `grad_log_likelihood` exist in these cases only (up to 14 binary factors).

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
        check_counts(self, n_features=n_features, n_components=n_components)
        check_choice(self, "latents", latents, tuple(PRIORS))
        check_choice(self, "observations", observations, tuple(OBSERVATIONS))
        check_choice(self, "noise", noise, NOISES)
        check_positive(self, noise_floor=noise_floor)
        # Stored as given, as scikit-learn's clone requires; converted where they are used.
        self.n_features = n_features
        self.n_components = n_components
        self.latents = latents
        self.observations = observations
        self.noise = noise
        self.noise_floor = noise_floor

    @property
    def n_params(self) -> int:
        """Number of parameters."""
        n_map = int(self.n_features) * (self._prior.n_features + 1)
        return n_map + self._observation.n_params + self._prior.n_params

    @property
    def observation_range(self) -> tuple[float, float]:
        """Smallest and largest value of the columns."""
        return self._observation.range

    @property
    def has_normal_noise(self) -> bool:
        """Whether columns are real, with normal noise, and so have units."""
        return self._observation.is_normal

    @property
    def summable(self) -> bool:
        return self._is_normal or self.n_components <= self._prior.max_components

    @property
    def _prior(self) -> Prior:
        return PRIORS[self.latents](int(self.n_components))

    @property
    def _observation(self) -> Observation:
        return OBSERVATIONS[self.observations](int(self.n_features), self.noise, float(self.noise_floor))

    @property
    def _is_normal(self) -> bool:
        return self._prior.is_normal and self._observation.is_normal

    def initial_params(self, X: NDArray, rng: np.random.Generator) -> NDArray:
        """Return small random loadings, the columns' means, and noise as wide as the columns.

        Parameters
        ----------
        X : ndarray of shape (m, n_features)
            Data.
        rng : numpy.random.Generator
            Draws the loadings.

        Returns
        -------
        theta : ndarray of shape (n_params,)
            Flat parameters.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import LatentFactors
        >>> LatentFactors(3, 1).initial_params(np.eye(3), np.random.default_rng(0)).shape
        (9,)
        """
        prior = self._prior
        location, spread, observation = self._observation.initial(X)
        loadings = 0.5 * spread[:, np.newaxis] * rng.standard_normal((len(spread), prior.n_features))
        if not prior.has_signed_loadings:
            # Uniform factors have mean 1/2 and move the columns by half the sum of their loadings.
            loadings = np.abs(loadings)
            location = location - loadings.sum(axis=1) / 2
        return np.concatenate([loadings.ravel(), location, observation, np.zeros(prior.n_params)])

    def sample(self, theta: NDArray, n: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
        """Return ``n`` independent pairs of latents and observations.

        Parameters
        ----------
        theta : ndarray of shape (n_params,)
            Flat parameters.
        n : int
            Number of pairs.
        rng : numpy.random.Generator
            The only source of random numbers.

        Returns
        -------
        z : ndarray of shape (n, n_components), or (n,) for categories
            Latents.
        x : ndarray of shape (n, n_features)
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
        _, _, observation, prior = self._split(theta)
        z = self._prior.sample(prior, n, rng)
        return z, self._observation.sample(observation, self._map(theta, self._prior.features(z)), rng)

    def sufficient_statistics(self, x: NDArray) -> NDArray:
        return self._observation.statistics(x)

    def _conditional(self, theta: NDArray, z: NDArray) -> tuple[NDArray, NDArray]:
        _, _, observation, _ = self._split(theta)
        return self._observation.natural(observation, self._map(theta, self._prior.features(z)))

    def log_prior(self, theta: NDArray, z: NDArray) -> NDArray:
        return self._prior.log_prob(self._split(theta)[3], z)

    def natural_vjp(self, theta: NDArray, z: NDArray, ct_eta: NDArray, ct_psi: NDArray) -> NDArray:
        _, _, observation, prior = self._split(theta)
        features = self._prior.features(z)
        grad_map, grad_observation = self._observation.vjp(observation, self._map(theta, features), ct_eta, ct_psi)
        grad_prior = self._prior.vjp(prior, z, -ct_psi)
        return np.concatenate([(grad_map.T @ features).ravel(), grad_map.sum(axis=0), grad_observation, grad_prior])

    def latent_nodes(self, theta: NDArray) -> tuple[NDArray, NDArray]:
        return self._prior.nodes()

    @needs_summable
    def log_likelihood(self, theta: NDArray, X: NDArray) -> NDArray:
        return self._normal_log_likelihood(theta, X) if self._is_normal else super().log_likelihood(theta, X)

    @needs_summable
    def grad_log_likelihood(self, theta: NDArray, X: NDArray) -> NDArray:
        return self._normal_gradient(theta, X) if self._is_normal else super().grad_log_likelihood(theta, X)

    def _normal_log_likelihood(self, theta: NDArray, X: NDArray) -> NDArray:
        try:
            factor = np.linalg.cholesky(self._covariance(theta))
        except np.linalg.LinAlgError:  # not finite, or singular to working precision
            return np.full(len(X), np.nan)
        # The squared length of L^-1 (x - intercept) is the Mahalanobis distance.
        whitened = np.linalg.solve(factor, (X - self._split(theta)[1]).T)
        log_scales = np.log(factor.diagonal()).sum() + 0.5 * self.n_features * LOG_2_PI
        return -0.5 * np.square(whitened).sum(axis=0) - log_scales

    def _normal_gradient(self, theta: NDArray, X: NDArray) -> NDArray:
        loadings, intercept, observation, _ = self._split(theta)
        # With P the inverse covariance and S the scatter of the rows, d log N / d covariance = (P S P - P) / 2.
        precision = np.linalg.inv(self._covariance(theta))
        explained = (X - intercept) @ precision
        grad_covariance = 0.5 * (explained.T @ explained / len(X) - precision)
        # Twice, since the covariance holds the loadings twice: loadings @ loadings.T + noise.
        grad_loadings = 2 * grad_covariance @ loadings
        grad_observation = self._observation.covariance_vjp(observation, grad_covariance)
        return np.concatenate([grad_loadings.ravel(), explained.mean(axis=0), grad_observation])

    def _covariance(self, theta: NDArray) -> NDArray:
        loadings, _, observation, _ = self._split(theta)
        return loadings @ loadings.T + self._observation.covariance(observation)

    def project(self, theta: NDArray) -> NDArray:
        """Return the parameters with noise at or above the floor and, for uniform latents, loadings not negative.

        Parameters
        ----------
        theta : ndarray of shape (n_params,)
            Any parameters.

        Returns
        -------
        theta : ndarray of shape (n_params,)
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
        loadings, intercept, observation, prior = self._split(theta)
        if not self._prior.has_signed_loadings:
            loadings = np.maximum(loadings, 0)
        return np.concatenate([loadings.ravel(), intercept, self._observation.project(observation), prior])

    def unpack(self, theta: NDArray) -> dict[str, NDArray]:
        """Return the parameters by name.

        Parameters
        ----------
        theta : ndarray of shape (n_params,)
            Flat parameters.

        Returns
        -------
        params : dict of str to ndarray
            "loadings" ``(n_features, H)``, "intercept" ``(n_features,)``, "noise_variance" or "noise_covariance" of
            normal noise, and "probabilities" of discrete latents.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import LatentFactors
        >>> model = LatentFactors(3, 1)
        >>> list(model.unpack(np.zeros(model.n_params)))
        ['loadings', 'intercept', 'noise_variance']
        """
        loadings, intercept, observation, prior = self._split(theta)
        named = {"loadings": loadings, "intercept": intercept}
        return {**named, **self._observation.unpack(observation), **self._prior.unpack(prior)}

    def latent_function(self, z: NDArray) -> NDArray:
        """Return ``h(z)``, which the loadings multiply.

        Parameters
        ----------
        z : ndarray of shape (n, n_components), or (n,) for categories
            Latents.

        Returns
        -------
        features : ndarray of shape (n, H)
            Features of each.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import LatentFactors
        >>> LatentFactors(6, 1, latents="angle").latent_function(np.array([[0.0]]))
        array([[1., 0.]])
        """
        return self._prior.features(z)

    @needs_normal_noise
    def column_units(self, mean: NDArray, std: NDArray) -> tuple[NDArray, NDArray]:
        """Return the means and standard deviations; for spherical noise, the root mean square of the latter.

        Parameters
        ----------
        mean : ndarray of shape (n_features,)
            Mean of each column of the data.
        std : ndarray of shape (n_features,)
            Standard deviation of each column, zero where it is constant.

        Returns
        -------
        location : ndarray of shape (n_features,)
            Constants to subtract from the columns.
        scale : ndarray of shape (n_features,)
            Constants to divide them by.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import LatentFactors
        >>> LatentFactors(2, 1, noise="spherical").column_units(np.zeros(2), np.array([1.0, 7.0]))
        (array([0., 0.]), array([5., 5.]))
        """
        return mean, self._observation.common_scale(std)

    @needs_normal_noise
    def params_in_units(self, theta: NDArray, location: NDArray, scale: NDArray) -> NDArray:
        """Return the parameters of the model of ``location + scale * x``, given those of the model of ``x``.

        Parameters
        ----------
        theta : ndarray of shape (n_params,)
            Parameters of the model of ``x``.
        location : ndarray of shape (n_features,)
            Real numbers.
        scale : ndarray of shape (n_features,)
            Positive numbers, all equal for spherical noise.

        Returns
        -------
        theta : ndarray of shape (n_params,)
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
        loadings, intercept, observation, prior = self._split(theta)
        rescaled = [(scale[:, np.newaxis] * loadings).ravel(), location + scale * intercept]
        return np.concatenate([*rescaled, self._observation.rescaled(observation, scale), prior])

    def _split(self, theta: NDArray) -> tuple[NDArray, NDArray, NDArray, NDArray]:
        """Return loadings ``(D, H)``, intercept ``(D,)``, and the parameters of the observation and of the prior."""
        n_features = int(self.n_features)
        lengths = [n_features * self._prior.n_features, n_features, self._observation.n_params]
        loadings, intercept, observation, prior = np.split(theta, np.cumsum(lengths))
        return loadings.reshape(n_features, -1), intercept, observation, prior

    def _map(self, theta: NDArray, features: NDArray) -> NDArray:
        loadings, intercept, _, _ = self._split(theta)
        return features @ loadings.T + intercept
