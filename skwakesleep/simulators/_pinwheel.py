"""The hierarchical pinwheel: a mixture of normal latents, mapped to the data by a neural network."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from skwakesleep._engine.arrays.numerics import LOG_2_PI, normal_log_prob
from skwakesleep.models._bases import NamedArrays
from skwakesleep.models._densities import SummableModel
from skwakesleep.models._parameters import check_counts, check_positive
from skwakesleep.models._perceptron import Perceptron, Views

# The points are in a plane.
LATENT_DIM = 2
# The grid reaches this many standard deviations to each side: beyond is less than 1e-8 of a normal's mass.
GRID_REACH = 6.0
# Initial parameters, in units of the latent plane: categories on a circle of this radius, and their scale.
CIRCLE = 1.5
INITIAL_SCALE = 0.5
# Smallest scale of a category. The network can stretch the plane, so a narrower category is never needed.
MIN_SCALE = 0.2
# Points at which the initial network is fitted to a linear map, and the standard deviation of its weights' prior.
N_POINTS = 500
RIDGE = 0.05


class Pinwheel(NamedArrays, SummableModel):
    """A category, a normal latent for each category, a neural network of it, and normal noise.

    Latents ``z`` are a tuple: the category ``(n,)``, and a point of the plane ``(n, 2)``, normal with the category's
    mean and scales. Observations are ``tanh(point @ weights_0 + intercept_0) @ weights_1 + intercept_1`` with normal
    noise. The category is discrete and the point is not. The likelihood is a sum over categories of quadratures in the
    plane.

    Parameters
    ----------
    n_features : int, default=2
        Number of columns, ``D``.
    n_categories : int, default=5
        Number of categories.
    n_hidden : int, default=20
        Number of hidden units of the network.
    min_noise_scale : float, default=0.02
        Lower bound of the scale of the observation noise, in the units of the columns that the model is given.
        `AmortisedWakeSleep` standardizes the columns: there it is a fraction of their standard deviations. Errors of
        the regression can let the noise shrink, and dreams without noise cannot be learned from.
    n_nodes : int, default=81
        Nodes along each side of the square grid, one for each category, on which the likelihood is computed.

    Attributes
    ----------
    n_params : int
        Number of parameters.

    Raises
    ------
    ValueError
        When a number of anything is not a positive int, or the floor not positive.

    Notes
    -----
    The likelihood is computed by the trapezoidal rule, over six standard deviations to each side. Its error falls
    exponentially with the number of nodes, once their distance in the data is less than about the noise.

    References
    ----------
    The data: M. J. Johnson et al. "Composing graphical models with neural networks for structured representations and
    fast inference". NeurIPS 2016. arXiv:1603.06277. The model: L. Wenliang et al. "Amortised learning by wake-sleep".
    ICML 2020. arXiv:2002.09737.

    Examples
    --------
    >>> import numpy as np
    >>> from skwakesleep.datasets import make_pinwheel
    >>> from skwakesleep.simulators import Pinwheel
    >>> X, _ = make_pinwheel(100, random_state=0)
    >>> model = Pinwheel()
    >>> rng = np.random.default_rng(0)
    >>> theta = model.initial_params(X, rng)
    >>> (category, point), x = model.sample(theta, 4, rng)
    >>> category.shape, point.shape, x.shape
    ((4,), (4, 2), (4, 2))
    """

    def __init__(
        self,
        n_features: int = 2,
        n_categories: int = 5,
        n_hidden: int = 20,
        min_noise_scale: float = 0.02,
        n_nodes: int = 81,
    ) -> None:
        check_counts(self, n_features=n_features, n_categories=n_categories, n_hidden=n_hidden, n_nodes=n_nodes)
        check_positive(self, min_noise_scale=min_noise_scale)
        self.n_features = n_features
        self.n_categories = n_categories
        self.n_hidden = n_hidden
        self.min_noise_scale = min_noise_scale
        self.n_nodes = n_nodes

    @property
    def _network(self) -> Perceptron:
        return Perceptron(LATENT_DIM, self.n_hidden, self.n_features)

    @property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        components = (self.n_categories, LATENT_DIM)
        return {
            "logits": (self.n_categories,),
            "means": components,
            "log_scales": components,
            **self._network.shapes(),
            "log_noise": (self.n_features,),
        }

    def initial_params(self, X: NDArray, rng: np.random.Generator) -> NDArray:
        """Return categories on a circle, which the network maps to the plane of the data's principal components.

        Parameters
        ----------
        X : ndarray of shape (m, n_features)
            Data: the circle is as wide as they are, the noise half as wide.
        rng : numpy.random.Generator
            Draws the rotation of the circle and the weights of the hidden units.

        Returns
        -------
        theta : ndarray of shape (n_params,)
            Flat parameters.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.simulators import Pinwheel
        >>> Pinwheel(2, n_categories=3).initial_params(np.eye(2), np.random.default_rng(0)).shape
        (119,)
        """
        angles = rng.uniform(0, 2 * np.pi) + 2 * np.pi * np.arange(self.n_categories) / self.n_categories
        return self.pack(
            logits=np.zeros(self.n_categories),
            means=CIRCLE * np.column_stack([np.cos(angles), np.sin(angles)]),
            log_scales=np.log(INITIAL_SCALE),
            log_noise=np.log(0.5 * X.std(axis=0) + self.min_noise_scale),
            **self._initial_network(X, rng),
        )

    def _initial_network(self, X: NDArray, rng: np.random.Generator) -> Views:
        """Return a network with random hidden units, fitted to a linear map at points around the origin."""
        network = self._network.initial(rng)
        network["intercept_0"] = rng.standard_normal(self.n_hidden)
        points = CIRCLE * rng.standard_normal((N_POINTS, LATENT_DIM))
        hidden = np.tanh(points @ network["weights_0"] + network["intercept_0"])
        # Ridge regression as ordinary least squares with one more row for each weight.
        ridge = np.sqrt(N_POINTS) * RIDGE * np.eye(self.n_hidden)
        targets = points @ _principal_components(X, LATENT_DIM) / CIRCLE
        network["weights_1"] = np.linalg.lstsq(
            np.vstack([hidden, ridge]), np.vstack([targets, np.zeros((self.n_hidden, self.n_features))])
        )[0]
        network["intercept_1"] = X.mean(axis=0) - hidden.mean(axis=0) @ network["weights_1"]
        return network

    def project(self, theta: NDArray) -> NDArray:
        """Return the parameters with noise and latent scales at their lower bounds or above.

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
        >>> from skwakesleep.simulators import Pinwheel
        >>> model = Pinwheel(min_noise_scale=0.5)
        >>> np.exp(model.unpack(model.project(np.full(model.n_params, -5.0)))["log_noise"]).round(9)
        array([0.5, 0.5])
        """
        floors = np.log([self.min_noise_scale, MIN_SCALE])
        return self._clipped(theta, log_noise=(floors[0], np.inf), log_scales=(floors[1], np.inf))

    def column_units(self, mean: NDArray, std: NDArray) -> tuple[NDArray, NDArray]:
        """Return the means and standard deviations, by which the columns can be standardized.

        Parameters
        ----------
        mean : ndarray of shape (n_features,)
            Mean of each column of the data.
        std : ndarray of shape (n_features,)
            Standard deviation of each column, zero where it is constant.

        Returns
        -------
        location : ndarray of shape (n_features,)
            The means.
        scale : ndarray of shape (n_features,)
            The standard deviations.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.simulators import Pinwheel
        >>> Pinwheel().column_units(np.zeros(2), np.array([1.0, 7.0]))
        (array([0., 0.]), array([1., 7.]))
        """
        return mean, std

    def params_in_units(self, theta: NDArray, location: NDArray, scale: NDArray) -> NDArray:
        """Return the parameters of the model of ``location + scale * x``, given those of the model of ``x``.

        Parameters
        ----------
        theta : ndarray of shape (n_params,)
            Parameters of the model of ``x``.
        location : ndarray of shape (n_features,)
            Real numbers.
        scale : ndarray of shape (n_features,)
            Positive numbers.

        Returns
        -------
        theta : ndarray of shape (n_params,)
            Parameters of the model of ``location + scale * x``.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.simulators import Pinwheel
        >>> model = Pinwheel()
        >>> theta = model.params_in_units(np.ones(model.n_params), np.full(2, 100.0), np.full(2, 10.0))
        >>> model.unpack(theta)["intercept_1"]
        array([110., 110.])
        """
        theta = theta.copy()
        parameters = self.unpack(theta)
        parameters["weights_1"] *= scale
        parameters["intercept_1"] *= scale
        parameters["intercept_1"] += location
        parameters["log_noise"] += np.log(scale)
        return theta

    def sample(self, theta: NDArray, n: int, rng: np.random.Generator) -> tuple[tuple[NDArray, NDArray], NDArray]:
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
        z : tuple of ndarray of shapes (n,) and (n, 2)
            Categories, and points of the plane.
        x : ndarray of shape (n, n_features)
            Observations.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.simulators import Pinwheel
        >>> model = Pinwheel()
        >>> (category, point), x = model.sample(np.zeros(model.n_params), 4, np.random.default_rng(0))
        >>> category.shape, point.shape, x.shape
        ((4,), (4, 2), (4, 2))
        """
        parameters = self.unpack(theta)
        category = rng.choice(self.n_categories, size=n, p=np.exp(log_softmax(parameters["logits"])))
        scale = np.exp(parameters["log_scales"][category])
        point = parameters["means"][category] + scale * rng.standard_normal((n, LATENT_DIM))
        mean, _ = self._network.forward(parameters, point)
        return (category, point), mean + np.exp(parameters["log_noise"]) * rng.standard_normal(mean.shape)

    def sufficient_statistics(self, x: NDArray) -> NDArray:
        return np.hstack([x, x**2])

    def _conditional(self, theta: NDArray, z: tuple[NDArray, NDArray]) -> tuple[NDArray, NDArray]:
        parameters = self.unpack(theta)
        precision = np.exp(-2 * parameters["log_noise"])
        mean, _ = self._network.forward(parameters, z[1])
        log_normalizer = 0.5 * mean**2 @ precision + np.sum(parameters["log_noise"] + 0.5 * LOG_2_PI)
        return np.hstack([mean * precision, np.broadcast_to(-0.5 * precision, mean.shape)]), log_normalizer

    def natural_vjp(self, theta: NDArray, z: tuple[NDArray, NDArray], ct_eta: NDArray, ct_psi: NDArray) -> NDArray:
        parameters = self.unpack(theta)
        precision = np.exp(-2 * parameters["log_noise"])
        mean, hidden = self._network.forward(parameters, z[1])
        # eta = (mean * precision, -precision / 2) and a = mean^2 * precision / 2 + log scales.
        ct_linear, ct_square = np.hsplit(ct_eta, 2)
        ct_mean = (ct_linear + ct_psi[:, np.newaxis] * mean) * precision
        ct_precision = np.sum(ct_linear * mean - 0.5 * ct_square, axis=0) + 0.5 * ct_psi @ mean**2
        return self.pack(
            log_noise=-2 * precision * ct_precision + ct_psi.sum(),
            **self._network.vjp(parameters, z[1], hidden, ct_mean),
            **self._prior_vjp(parameters, z, -ct_psi),
        )

    def log_prior(self, theta: NDArray, z: tuple[NDArray, NDArray]) -> NDArray:
        parameters = self.unpack(theta)
        category, point = z
        mean, log_scale = parameters["means"][category], parameters["log_scales"][category]
        return log_softmax(parameters["logits"])[category] + normal_log_prob(point, mean, log_scale)

    def _prior_vjp(self, parameters: Views, z: tuple[NDArray, NDArray], weights: NDArray) -> Views:
        """Return the gradient of ``sum(weights * log_prior)`` with respect to each of its parameters."""
        category, point = z
        own = (category == np.arange(self.n_categories)[:, np.newaxis]) * weights
        scale = np.exp(parameters["log_scales"])
        standard = (point - parameters["means"][category]) / scale[category]
        return {
            "logits": own.sum(axis=1) - weights.sum() * np.exp(log_softmax(parameters["logits"])),
            "means": own @ standard / scale,
            "log_scales": own @ (standard**2 - 1),
        }

    def latent_nodes(self, theta: NDArray) -> tuple[tuple[NDArray, NDArray], NDArray]:
        # A square grid around each category, in units of its scales.
        parameters = self.unpack(theta)
        side, step = np.linspace(-GRID_REACH, GRID_REACH, self.n_nodes, retstep=True)
        grid = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, LATENT_DIM)
        category = np.repeat(np.arange(self.n_categories), len(grid))
        log_scale = parameters["log_scales"][category]
        point = parameters["means"][category] + np.exp(log_scale) * np.tile(grid, (self.n_categories, 1))
        return (category, point), LATENT_DIM * np.log(step) + log_scale.sum(axis=1)

    def latent_function(self, z: tuple[NDArray, NDArray]) -> NDArray:
        """Return the indicators of the categories: their posterior expectations are probabilities.

        Parameters
        ----------
        z : tuple of ndarray of shapes (n,) and (n, 2)
            Categories, and points of the plane.

        Returns
        -------
        features : ndarray of shape (n, n_categories)
            One for the category, zero elsewhere.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.simulators import Pinwheel
        >>> Pinwheel(n_categories=3).latent_function((np.array([2, 0]), np.zeros((2, 2))))
        array([[0., 0., 1.],
               [1., 0., 0.]])
        """
        return (z[0][:, np.newaxis] == np.arange(self.n_categories)).astype(np.float64)


def _principal_components(X: NDArray, n_components: int) -> NDArray:
    """Return the leading principal components, each of the length of its standard deviation; zeros beyond the rank."""
    _, singular, axes = np.linalg.svd((X - X.mean(axis=0)) / np.sqrt(len(X)), full_matrices=False)
    components = np.zeros((n_components, X.shape[1]))
    n_found = min(n_components, len(singular))
    components[:n_found] = singular[:n_found, np.newaxis] * axes[:n_found]
    return np.sqrt(n_components) * components
