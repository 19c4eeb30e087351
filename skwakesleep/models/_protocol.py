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
    def n_features(self) -> int: ...

    @property
    def n_params(self) -> int: ...

    def initial_params(self, X: NDArray, rng: np.random.Generator) -> NDArray:
        """Return where to start, ``theta (P,)``.

        Parameters
        ----------
        X : ndarray of shape (m, D), float64
            The data to be fitted. Start with noise about as wide as the data: it narrows as the model learns to
            explain, while dreams that miss the data have nothing to teach.
        rng : numpy.random.Generator
            Breaks symmetries; restarts differ by what it gives.
        """

    def sample(self, theta: NDArray, n: int, rng: np.random.Generator) -> tuple[Latents, NDArray]:
        """Return ``n`` independent pairs of latents and observations, ``(z, x)``."""

    def grad_log_joint(self, theta: NDArray, z: Latents, x: NDArray, weights: NDArray) -> NDArray:
        """Return the weighted sum of scores, ``sum_n weights[n] * grad log p(z[n], x[n])`` of shape ``(P,)``.

        The weights ``(n,)`` are real numbers, of either sign. One backward pass of the weighted sum of log joints
        serves, where there is automatic differentiation.
        """


@runtime_checkable
class ExponentialFamily(Protocol):
    """Unlocks the exponential-family form of the gradient, which combines sleep latents with the data themselves.

    The log joint is ``eta(z) . s(x) - psi(z)``, up to a term free of the parameters; the log prior is inside ``-psi``.
    """

    def sufficient_statistics(self, x: NDArray) -> NDArray:
        """Return ``s(x)`` of shape ``(m, S)``."""

    def natural_parameters(self, theta: NDArray, z: Latents) -> tuple[NDArray, NDArray]:
        """Return ``eta (n, S)`` and ``psi (n,)``."""

    def natural_vjp(self, theta: NDArray, z: Latents, ct_eta: NDArray, ct_psi: NDArray) -> NDArray:
        """Return the gradient of ``sum(ct_eta * eta) + sum(ct_psi * psi)``, of shape ``(P,)``.

        This is a vector-Jacobian product with the cotangents ``ct_eta (n, S)`` and ``ct_psi (n,)``.
        """


@runtime_checkable
class JointDensity(Protocol):
    """Unlocks checks of the gradient, and central differences in its place."""

    def log_joint(self, theta: NDArray, z: Latents, x: NDArray) -> NDArray:
        """Return ``log p(z[n], x[n])`` of shape ``(n,)``, in nats."""


@runtime_checkable
class ConditionalDensity(Protocol):
    """Unlocks importance weighting, and the effective sample size that says whether it can be trusted."""

    def log_prob_x_given_z(self, theta: NDArray, z: Latents, x: NDArray) -> NDArray:
        """Return ``log p(x[m] | z[n])`` for all pairs, of shape ``(n, m)``, in nats.

        There are ``n`` latents and ``m`` observations, which have nothing to do with each other.
        """


@runtime_checkable
class Likelihood(Protocol):
    """Unlocks `score`, `score_samples`, the choice among restarts, and so grid searches."""

    def log_likelihood(self, theta: NDArray, X: NDArray) -> NDArray:
        """Return ``log p(X[m])`` of shape ``(m,)``, in nats."""


@runtime_checkable
class LikelihoodGradient(Protocol):
    """Unlocks the exact gradient."""

    def grad_log_likelihood(self, theta: NDArray, X: NDArray) -> NDArray:
        """Return the gradient of the mean over rows of ``log p(X[m])``, of shape ``(P,)``."""


@runtime_checkable
class Projection(Protocol):
    """Keeps parameters within bounds, such as floors of noise scales."""

    def project(self, theta: NDArray) -> NDArray:
        """Return the nearest admissible parameters; applied after each step."""


@runtime_checkable
class NamedParameters(Protocol):
    """Gives parameters names: what it returns becomes `params_`, in place of ``{"theta": theta}``."""

    def unpack(self, theta: NDArray) -> dict[str, NDArray]:
        """Return the parameters by name, in their own shapes and units."""


@runtime_checkable
class LatentFunction(Protocol):
    """Unlocks `transform`, which is the posterior expectation of this function."""

    def latent_function(self, z: Latents) -> NDArray:
        """Return the features of the latents that are of interest, of shape ``(n, F)``."""


@runtime_checkable
class LocalFactors(Protocol):
    """Unlocks regression of local factors, for models whose log joint is a sum of local terms, such as time series.

    The scores of the factors are regressed on local inputs, simulated one step from the *observed* history, instead of
    on whole observations. Nothing else changes. A local row holds what the factor is conditioned on, and the factor's
    own observation.
    """

    def local_inputs(self, X: NDArray) -> NDArray:
        """Return one row for each factor, ``(m, L)``."""

    def sample_local(self, theta: NDArray, rows: NDArray, n: int, rng: np.random.Generator) -> tuple[Latents, NDArray]:
        """Simulate one step from the conditioning part of each row; return the latents and the rows that result.

        There are ``n`` rows in all, spread evenly over those given.
        """

    def local_grad_log_joint(self, theta: NDArray, z: Latents, rows: NDArray, weights: NDArray) -> NDArray:
        """Return the weighted sum of the scores of the factors, of shape ``(P,)``."""


@runtime_checkable
class LocalFeatures(Protocol):
    """Reduces the inputs of a local regression to what the factors' scores depend on."""

    def local_features(self, theta: NDArray, rows: NDArray) -> NDArray:
        """Return the inputs of the regression, ``(m, F)``, given the current parameters; otherwise, the rows."""
