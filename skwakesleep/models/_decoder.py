"""Binary latents decoded by a small neural network into binary observations."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from skwakesleep._engine.posterior.enumeration import all_states
from skwakesleep._engine.posterior.likelihood import ENUMERABLE_LATENTS
from skwakesleep.models._bases import (
    SummableModel,
    bernoulli_log_prob,
    check_counts,
    mean_logits,
    random_bits,
    softplus,
)
from skwakesleep.models._documentation import documented
from skwakesleep.models._perceptron import Perceptron

# Latents that make too little difference at the start are not found by a regression, and never will make any.
INITIAL_GAIN = 2.0


@documented
class NeuralDecoder(SummableModel):
    """Independent binary latents, decoded by a perceptron with one hidden layer into binary columns.

    Latents ``z`` are ``(n, n_latents)`` zeros and ones with their own probabilities; observations are Bernoulli with
    logits ``tanh(z @ weights_0 + intercept_0) @ weights_1 + intercept_1``. The posterior over the latents has no
    particular form, but with few of them it can be listed: up to 14, the model has a likelihood.

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
    SigmoidBeliefNetwork : Its hidden units are random too.

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

    def __init__(self, n_features: int, n_latents: int = 8, n_hidden: int = 50) -> None:
        check_counts(n_features=n_features, n_latents=n_latents, n_hidden=n_hidden)
        self.n_latents = n_latents
        self.n_hidden = n_hidden
        self._network = Perceptron(n_latents, n_hidden, n_features)
        super().__init__(n_features, {"prior": (n_latents,), **self._network.shapes()})

    observation_range = (0.0, 1.0)

    @property
    def summable(self) -> bool:
        """Whether the latents are few enough to be listed."""
        return self.n_latents <= ENUMERABLE_LATENTS

    def initial_params(self, X: NDArray, rng: np.random.Generator) -> NDArray:
        """Return random weights, fair latents, and the columns' own means.

        Parameters
        ----------
        X : ndarray of shape (m, D)
            Data in [0, 1].
        rng : numpy.random.Generator
            Breaks the symmetry among the latents.

        Returns
        -------
        theta : ndarray of shape (n_params,)
            Flat parameters.
        """
        network = self._network.initial(rng)
        network["weights_0"] *= INITIAL_GAIN
        network["intercept_0"] = -0.5 * network["weights_0"].sum(axis=0)  # latents are on or off with equal effect
        network["intercept_1"] = mean_logits(X)
        return self.pack(prior=np.zeros(self.n_latents), **network)

    def sample(self, theta: NDArray, n: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
        """Return ``n`` pairs of latents ``(n, n_latents)`` and observations ``(n, D)``, zeros and ones."""
        parameters = self.unpack(theta)
        z = random_bits(np.broadcast_to(parameters["prior"], (n, self.n_latents)), rng)
        logits, _ = self._network.forward(parameters, z)
        return z, random_bits(logits, rng)

    def natural_parameters(self, theta: NDArray, z: NDArray) -> tuple[NDArray, NDArray]:
        """Return the logits of the columns, ``eta (n, D)``, and ``psi (n,)``."""
        eta, _ = self._network.forward(self.unpack(theta), z)
        return eta, softplus(eta).sum(axis=1) - self.log_prior(theta, z)

    def natural_vjp(self, theta: NDArray, z: NDArray, ct_eta: NDArray, ct_psi: NDArray) -> NDArray:
        """Return the gradient of ``sum(ct_eta * eta) + sum(ct_psi * psi)``, of shape ``(n_params,)``."""
        parameters = self.unpack(theta)
        eta, tape = self._network.forward(parameters, z)
        gradient = dict(self._network.vjp(parameters, tape, ct_eta + ct_psi[:, np.newaxis] * expit(eta)))
        return self.pack(prior=-ct_psi @ (z - expit(parameters["prior"])), **gradient)

    def log_prior(self, theta: NDArray, z: NDArray) -> NDArray:
        """Return ``log p(z[n])`` of shape ``(n,)``, in nats."""
        return bernoulli_log_prob(self.unpack(theta)["prior"], z)

    def latent_nodes(self, theta: NDArray) -> tuple[NDArray, NDArray]:
        """Return every state of the latents, ``(2 ** n_latents, n_latents)``, each of log volume zero."""
        z = all_states(self.n_latents, np.dtype(np.float64))
        return z, np.zeros(len(z))

    def latent_function(self, z: NDArray) -> NDArray:
        """Return the latents themselves: their posterior expectations are their probabilities."""
        return z
