"""The sigmoid belief network as a generative model: the same as a Helmholtz machine's, without the recognition."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

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


@documented
class SigmoidBeliefNetwork(SummableModel):
    """Layers of binary units, each unit a coin whose logit is an affine function of the layer above.

    The generative network of `HelmholtzMachine`, to be fitted without a recognition network: the same model under two
    algorithms. Latents ``z`` are a tuple of the hidden layers, the layer nearest the data first. Up to 14 hidden units
    in all, the model has a likelihood, by listing their states.

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

    def __init__(self, n_features: int, hidden_layer_sizes: int | Sequence[int] = (8,)) -> None:
        sizes = hidden_layer_sizes if isinstance(hidden_layer_sizes, Sequence) else (hidden_layer_sizes,)
        if not len(sizes) or isinstance(sizes, str):
            raise ValueError(f"hidden_layer_sizes must be an int or a sequence of int. Got {hidden_layer_sizes!r}.")
        check_counts(n_features=n_features)
        for size in sizes:
            check_counts(hidden_layer_sizes=size)
        self.hidden_layer_sizes = tuple(sizes)
        shapes: dict[str, tuple[int, ...]] = {"prior": (sizes[-1],)}
        for layer, (below, above) in enumerate(pairwise((n_features, *sizes))):
            shapes[f"coefs_{layer}"] = (above, below)
            shapes[f"intercept_{layer}"] = (below,)
        super().__init__(n_features, shapes)

    observation_range = (0.0, 1.0)

    @property
    def summable(self) -> bool:
        """Whether the latents are few enough to be listed."""
        return sum(self.hidden_layer_sizes) <= ENUMERABLE_LATENTS

    def initial_params(self, X: NDArray, rng: np.random.Generator) -> NDArray:
        """Return random weights, fair latents, and the columns' own means.

        Parameters
        ----------
        X : ndarray of shape (m, D)
            Data in [0, 1].
        rng : numpy.random.Generator
            Breaks the symmetry among the units.

        Returns
        -------
        theta : ndarray of shape (n_params,)
            Flat parameters.
        """
        theta = np.zeros(self.n_params)
        parameters = self.unpack(theta)
        parameters["intercept_0"][...] = mean_logits(X)
        for layer in range(len(self.hidden_layer_sizes)):
            coefs = parameters[f"coefs_{layer}"]
            coefs[...] = rng.standard_normal(coefs.shape) / np.sqrt(len(coefs))
            parameters[f"intercept_{layer}"][...] -= 0.5 * coefs.sum(axis=0)  # a unit is on as often as off
        return theta

    def sample(self, theta: NDArray, n: int, rng: np.random.Generator) -> tuple[tuple[NDArray, ...], NDArray]:
        """Return ``n`` pairs: the hidden layers, a tuple of ``(n, n_units)``, and observations ``(n, D)``."""
        parameters = self.unpack(theta)
        units = [random_bits(np.broadcast_to(parameters["prior"], (n, self.hidden_layer_sizes[-1])), rng)]
        for layer in reversed(range(len(self.hidden_layer_sizes))):
            units.append(random_bits(_logits(parameters, layer, units[-1]), rng))
        x = units.pop()
        return tuple(units[::-1]), x

    def natural_parameters(self, theta: NDArray, z: tuple[NDArray, ...]) -> tuple[NDArray, NDArray]:
        """Return the logits of the columns, ``eta (n, D)``, and ``psi (n,)``."""
        eta = _logits(self.unpack(theta), 0, z[0])
        return eta, softplus(eta).sum(axis=1) - self.log_prior(theta, z)

    def natural_vjp(self, theta: NDArray, z: tuple[NDArray, ...], ct_eta: NDArray, ct_psi: NDArray) -> NDArray:
        """Return the gradient of ``sum(ct_eta * eta) + sum(ct_psi * psi)``, of shape ``(n_params,)``."""
        parameters = self.unpack(theta)
        weights = ct_psi[:, np.newaxis]
        gradient = {"prior": -ct_psi @ (z[-1] - expit(parameters["prior"]))}
        cotangent = ct_eta + weights * expit(_logits(parameters, 0, z[0]))
        for layer, units in enumerate(z):
            if layer:  # a hidden layer is a part of the prior: its log-probability is inside -psi
                cotangent = -weights * (z[layer - 1] - expit(_logits(parameters, layer, units)))
            gradient[f"coefs_{layer}"] = units.T @ cotangent
            gradient[f"intercept_{layer}"] = cotangent.sum(axis=0)
        return self.pack(**gradient)

    def log_prior(self, theta: NDArray, z: tuple[NDArray, ...]) -> NDArray:
        """Return ``log p(z[n])`` of all hidden layers, of shape ``(n,)``, in nats."""
        parameters = self.unpack(theta)
        log_prob = bernoulli_log_prob(parameters["prior"], z[-1])
        for layer, (below, above) in enumerate(pairwise(z), start=1):
            log_prob = log_prob + bernoulli_log_prob(_logits(parameters, layer, above), below)
        return log_prob

    def latent_nodes(self, theta: NDArray) -> tuple[tuple[NDArray, ...], NDArray]:
        """Return every joint state of the hidden layers, each of log volume zero."""
        states = all_states(sum(self.hidden_layer_sizes), np.dtype(np.float64))
        return tuple(_split(states, self.hidden_layer_sizes)), np.zeros(len(states))

    def latent_function(self, z: tuple[NDArray, ...]) -> NDArray:
        """Return the top hidden layer."""
        return z[-1]


def _logits(parameters: dict[str, NDArray], layer: int, above: NDArray) -> NDArray:
    return above @ parameters[f"coefs_{layer}"] + parameters[f"intercept_{layer}"]


def _split(states: NDArray, sizes: Sequence[int]) -> Iterator[NDArray]:
    start = 0
    for size in sizes:
        yield states[:, start : start + size]
        start += size
