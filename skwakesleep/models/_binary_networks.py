"""Networks of binary latents over binary columns: the sigmoid belief network, and a neural decoder."""

from collections.abc import Sequence
from itertools import pairwise

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

# Factor of the decoder's first initial weights. With smaller weights the regression does not find the latents.
INITIAL_GAIN = 2.0


class SigmoidBeliefNetwork(NamedArrays, SummableModel):
    """Layers of binary units whose logits are affine functions of the layer above.

    The generative network of `HelmholtzMachine`, fitted without a recognition network: the same model under two
    algorithms. Latents ``z`` are a tuple of the hidden layers, the layer nearest the data first. With up to 14 hidden
    units in all, the model has a likelihood, by enumeration of their states.

    Parameters
    ----------
    n_features : int
        Number of binary columns, ``D``.
    hidden_layer_sizes : int or sequence of int, default=(8,)
        Number of units in each hidden layer, the layer nearest the data first. An int is one layer.

    Attributes
    ----------
    n_params : int
        Number of parameters.

    Raises
    ------
    ValueError
        When a number is not a positive int.

    References
    ----------
    .. [1] R. M. Neal. "Connectionist learning of belief networks". Artificial Intelligence 56 (1992) 71-113.

    Examples
    --------
    The parameters of a Helmholtz machine, in this model:

    >>> import numpy as np
    >>> from skwakesleep import HelmholtzMachine
    >>> from skwakesleep.models import SigmoidBeliefNetwork
    >>> X = np.repeat(np.eye(6), 5, axis=0)
    >>> machine = HelmholtzMachine(3, autoregressive=None, max_iter=5, tol=None, random_state=0).fit(X)
    >>> model = SigmoidBeliefNetwork(6, 3)
    >>> theta = model.pack(
    ...     prior=machine.prior_intercept_,
    ...     coefs_0=machine.generative_coefs_[0],
    ...     intercept_0=machine.generative_intercepts_[0],
    ... )
    >>> np.allclose(model.log_likelihood(theta, X), machine.score_samples(X))
    True
    """

    observation_range = (0.0, 1.0)

    def __init__(self, n_features: int, hidden_layer_sizes: int | Sequence[int] = (8,)) -> None:
        self.n_features = n_features
        self.hidden_layer_sizes = hidden_layer_sizes
        if not len(self._sizes) or isinstance(hidden_layer_sizes, str):
            raise ValueError(f"hidden_layer_sizes must be an int or a sequence of int. Got {hidden_layer_sizes!r}.")
        check_counts(self, n_features=n_features)
        for size in self._sizes:
            check_counts(self, hidden_layer_sizes=size)

    @property
    def _sizes(self) -> tuple[int, ...]:
        sizes = self.hidden_layer_sizes
        return tuple(sizes) if isinstance(sizes, Sequence) else (sizes,)

    @property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {"prior": (self._sizes[-1],)}
        for layer, (below, above) in enumerate(pairwise((self.n_features, *self._sizes))):
            shapes[f"coefs_{layer}"] = (above, below)
            shapes[f"intercept_{layer}"] = (below,)
        return shapes

    @property
    def summable(self) -> bool:
        return sum(self._sizes) <= ENUMERABLE_LATENTS

    def initial_params(self, X: NDArray, rng: np.random.Generator) -> NDArray:
        """Return random weights, latents that are 0 or 1 with probability 1/2, and the columns' own means.

        Parameters
        ----------
        X : ndarray of shape (m, n_features)
            Data in [0, 1].
        rng : numpy.random.Generator
            Breaks the symmetry among the units.

        Returns
        -------
        theta : ndarray of shape (n_params,)
            Flat parameters.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import SigmoidBeliefNetwork
        >>> SigmoidBeliefNetwork(4, 2).initial_params(np.eye(4), np.random.default_rng(0)).shape
        (14,)
        """
        theta = np.zeros(self.n_params)
        parameters = self.unpack(theta)
        parameters["intercept_0"][...] = mean_logits(X)
        for layer in range(len(self._sizes)):
            coefs = parameters[f"coefs_{layer}"]
            coefs[...] = rng.standard_normal(coefs.shape) / np.sqrt(len(coefs))
            parameters[f"intercept_{layer}"][...] -= 0.5 * coefs.sum(axis=0)  # each unit is 0 or 1 about equally often
        return theta

    def sample(self, theta: NDArray, n: int, rng: np.random.Generator) -> tuple[tuple[NDArray, ...], NDArray]:
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
        z : tuple of ndarray of shape (n, n_units)
            Units of each hidden layer, the layer nearest the data first.
        x : ndarray of shape (n, n_features)
            Zeros and ones.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import SigmoidBeliefNetwork
        >>> model = SigmoidBeliefNetwork(4, (3, 2))
        >>> z, x = model.sample(np.zeros(model.n_params), 5, np.random.default_rng(0))
        >>> [layer.shape for layer in z], x.shape
        ([(5, 3), (5, 2)], (5, 4))
        """
        parameters = self.unpack(theta)
        # From the top down: each layer is drawn given the one above.
        units = [random_bits(np.broadcast_to(parameters["prior"], (n, self._sizes[-1])), rng)]
        for layer in reversed(range(len(self._sizes))):
            units.append(random_bits(_logits(parameters, layer, units[-1]), rng))
        x = units.pop()
        return tuple(units[::-1]), x

    def _conditional(self, theta: NDArray, z: tuple[NDArray, ...]) -> tuple[NDArray, NDArray]:
        logits = _logits(self.unpack(theta), 0, z[0])
        return logits, softplus(logits).sum(axis=1)

    def natural_vjp(self, theta: NDArray, z: tuple[NDArray, ...], ct_eta: NDArray, ct_psi: NDArray) -> NDArray:
        parameters = self.unpack(theta)
        weights = ct_psi[:, np.newaxis]
        # The derivative of softplus, the log-normalizer, is the mean of the unit.
        gradient = {"prior": -ct_psi @ (z[-1] - expit(parameters["prior"]))}
        cotangent = ct_eta + weights * expit(_logits(parameters, 0, z[0]))
        for layer, units in enumerate(z):
            if layer:  # hidden layers are part of the prior, inside -psi
                cotangent = -weights * (z[layer - 1] - expit(_logits(parameters, layer, units)))
            gradient[f"coefs_{layer}"] = units.T @ cotangent
            gradient[f"intercept_{layer}"] = cotangent.sum(axis=0)
        return self.pack(**gradient)

    def log_prior(self, theta: NDArray, z: tuple[NDArray, ...]) -> NDArray:
        parameters = self.unpack(theta)
        log_prob = bernoulli_log_prob(parameters["prior"], z[-1])
        for layer, (below, above) in enumerate(pairwise(z), start=1):
            log_prob = log_prob + bernoulli_log_prob(_logits(parameters, layer, above), below)
        return log_prob

    def latent_nodes(self, theta: NDArray) -> tuple[tuple[NDArray, ...], NDArray]:
        states = all_states(sum(self._sizes), np.dtype(np.float64))
        return tuple(np.split(states, np.cumsum(self._sizes[:-1]), axis=1)), np.zeros(len(states))

    def latent_function(self, z: tuple[NDArray, ...]) -> NDArray:
        """Return the top hidden layer.

        Parameters
        ----------
        z : tuple of ndarray of shape (n, n_units)
            Units of each hidden layer.

        Returns
        -------
        features : ndarray of shape (n, n_top_units)
            The last of them.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import SigmoidBeliefNetwork
        >>> SigmoidBeliefNetwork(4, (2, 1)).latent_function((np.zeros((3, 2)), np.ones((3, 1)))).shape
        (3, 1)
        """
        return z[-1]


def _logits(parameters: dict[str, NDArray], layer: int, above: NDArray) -> NDArray:
    return above @ parameters[f"coefs_{layer}"] + parameters[f"intercept_{layer}"]


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
        eta, hidden = self._network.forward(parameters, z)
        gradient = self._network.vjp(parameters, z, hidden, ct_eta + ct_psi[:, np.newaxis] * expit(eta))
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
