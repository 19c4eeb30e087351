"""Binary latents decoded by a small neural network into binary observations."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from skwakesleep._engine.arrays.numerics import bernoulli_log_prob, softplus
from skwakesleep._engine.posterior.enumeration import all_states
from skwakesleep._engine.posterior.likelihood import ENUMERABLE_LATENTS
from skwakesleep.models._bases import NamedArrays
from skwakesleep.models._binary import mean_logits, random_bits
from skwakesleep.models._densities import SummableModel
from skwakesleep.models._parameters import check_counts
from skwakesleep.models._perceptron import Perceptron

# Factor of the first layer's initial weights. With smaller weights the regression does not find the latents.
INITIAL_GAIN = 2.0


class NeuralDecoder(NamedArrays, SummableModel):
    """Independent binary latents, decoded by a perceptron with one hidden layer into binary columns.

    Latents ``z`` are ``(n, n_latents)`` zeros and ones with their own probabilities; observations are Bernoulli with
    logits ``tanh(z @ weights_0 + intercept_0) @ weights_1 + intercept_1``. The posterior over the latents has no
    particular form. With up to 14 latents, the model has a likelihood, by enumeration of their states.

    Parameters
    ----------
    n_features : int
        Number of binary columns, ``D``.
    n_latents : int, default=8
        Number of binary latents.
    n_hidden : int, default=50
        Number of units between latents and columns.

    Attributes
    ----------
    n_params : int
        Number of parameters.

    Raises
    ------
    ValueError
        When a number is not a positive int.

    See Also
    --------
    SigmoidBeliefNetwork : All its hidden units are random.

    Examples
    --------
    >>> import numpy as np
    >>> from skwakesleep.models import NeuralDecoder
    >>> model = NeuralDecoder(16, n_latents=3, n_hidden=5)
    >>> rng = np.random.default_rng(0)
    >>> X = (rng.random((50, 16)) < 0.3).astype(float)
    >>> theta = model.initial_params(X, rng)
    >>> z, x = model.sample(theta, 4, rng)
    >>> z.shape, x.shape
    ((4, 3), (4, 16))
    >>> model.log_likelihood(theta, X).shape
    (50,)
    """

    observation_range = (0.0, 1.0)

    def __init__(self, n_features: int, n_latents: int = 8, n_hidden: int = 50) -> None:
        check_counts(self, n_features=n_features, n_latents=n_latents, n_hidden=n_hidden)
        self.n_features = n_features
        self.n_latents = n_latents
        self.n_hidden = n_hidden

    @property
    def _network(self) -> Perceptron:
        return Perceptron(self.n_latents, self.n_hidden, self.n_features)

    @property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {"prior": (self.n_latents,), **self._network.shapes()}

    @property
    def summable(self) -> bool:
        return self.n_latents <= ENUMERABLE_LATENTS

    def initial_params(self, X: NDArray, rng: np.random.Generator) -> NDArray:
        """Return random weights, latents that are 0 or 1 with probability 1/2, and the columns' own means.

        Parameters
        ----------
        X : ndarray of shape (m, n_features)
            Data in [0, 1].
        rng : numpy.random.Generator
            Breaks the symmetry among the latents.

        Returns
        -------
        theta : ndarray of shape (n_params,)
            Flat parameters.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import NeuralDecoder
        >>> NeuralDecoder(4, n_latents=2, n_hidden=3).initial_params(np.eye(4), np.random.default_rng(0)).shape
        (27,)
        """
        network = self._network.initial(rng)
        network["weights_0"] *= INITIAL_GAIN
        network["intercept_0"] = -0.5 * network["weights_0"].sum(axis=0)  # 0 and 1 have opposite effects
        network["intercept_1"] = mean_logits(X)
        return self.pack(prior=np.zeros(self.n_latents), **network)

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
        z : ndarray of shape (n, n_latents)
            Zeros and ones.
        x : ndarray of shape (n, n_features)
            Zeros and ones.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import NeuralDecoder
        >>> model = NeuralDecoder(4, n_latents=2, n_hidden=3)
        >>> z, x = model.sample(np.zeros(model.n_params), 5, np.random.default_rng(0))
        >>> z.shape, x.shape
        ((5, 2), (5, 4))
        """
        parameters = self.unpack(theta)
        z = random_bits(np.broadcast_to(parameters["prior"], (n, self.n_latents)), rng)
        logits, _ = self._network.forward(parameters, z)
        return z, random_bits(logits, rng)

    def _conditional(self, theta: NDArray, z: NDArray) -> tuple[NDArray, NDArray]:
        logits, _ = self._network.forward(self.unpack(theta), z)
        return logits, softplus(logits).sum(axis=1)

    def natural_vjp(self, theta: NDArray, z: NDArray, ct_eta: NDArray, ct_psi: NDArray) -> NDArray:
        parameters = self.unpack(theta)
        eta, tape = self._network.forward(parameters, z)
        gradient = dict(self._network.vjp(parameters, tape, ct_eta + ct_psi[:, np.newaxis] * expit(eta)))
        return self.pack(prior=-ct_psi @ (z - expit(parameters["prior"])), **gradient)

    def log_prior(self, theta: NDArray, z: NDArray) -> NDArray:
        return bernoulli_log_prob(self.unpack(theta)["prior"], z)

    def latent_nodes(self, theta: NDArray) -> tuple[NDArray, NDArray]:
        z = all_states(self.n_latents, np.dtype(np.float64))
        return z, np.zeros(len(z))

    def latent_function(self, z: NDArray) -> NDArray:
        """Return the latents themselves: their posterior expectations are their probabilities.

        Parameters
        ----------
        z : ndarray of shape (n, n_latents)
            Latents.

        Returns
        -------
        features : ndarray of shape (n, n_latents)
            The same.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import NeuralDecoder
        >>> NeuralDecoder(4, n_latents=2).latent_function(np.eye(2)).shape
        (2, 2)
        """
        return z
