"""A generative model from plain functions."""

import warnings
from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skwakesleep._engine.amortised.units import RELATIVE_STEP
from skwakesleep.models._checks import GuardedModel
from skwakesleep.models._documentation import documented

# Parameters beyond which differences are slow: each takes two evaluations of the log joint.
MANY_PARAMS = 100


@documented
class FunctionModel:
    """A generative model from functions of your own.

    Parameters
    ----------
    sample : callable
        ``sample(theta, n, rng) -> (z, x)``: ``n`` independent pairs of latents, an array or a tuple of arrays of
        leading length ``n``, and observations ``(n, n_features)``, drawn from the `numpy.random.Generator` handed in.

    log_joint : callable or None, default=None
        ``log_joint(theta, z, x) -> (n,)``: log-density of each pair in nats, up to a constant that is free of `theta`.
        Needed unless there is `grad_log_joint`.

    grad_log_joint : callable or None, default=None
        ``grad_log_joint(theta, z, x, weights) -> (n_params,)``: weighted sum over pairs of the gradients of the log
        joint; what JAX or PyTorch give for ``weights @ log_joint(theta, z, x)`` in one backward pass. None takes
        central differences of `log_joint`.

    n_params : int
        Number of parameters.

    n_features : int
        Number of columns of the observations.

    initial_params : array-like of shape (n_params,), callable or None, default=None
        Where to start, or a function ``initial_params(X, rng) -> (n_params,)``. None is small random numbers.

    **optional : callable
        Any other methods of the protocols in `skwakesleep.models`, by name: ``log_likelihood``, ``project``,
        ``latent_function``, ``log_prob_x_given_z`` and so on.

    Warns
    -----
    UserWarning
        When more than 100 parameters are left to central differences.

    Examples
    --------
    A coin ``z``, observed with normal noise around ``theta`` or around zero:

    >>> import numpy as np
    >>> from skwakesleep import AmortisedWakeSleep
    >>> from skwakesleep.models import FunctionModel
    >>> def sample(theta, n, rng):
    ...     z = rng.integers(2, size=n)
    ...     return z, rng.normal(theta * z, 1.0)[:, np.newaxis]
    >>> def log_joint(theta, z, x):
    ...     return -0.5 * (x[:, 0] - theta * z) ** 2
    >>> coin = FunctionModel(sample, log_joint, n_params=1, n_features=1, initial_params=[1.0])
    >>> rng = np.random.default_rng(0)
    >>> X = sample(4.0, 500, rng)[1]
    >>> fitted = AmortisedWakeSleep(coin, n_sleep=200, max_iter=150, random_state=0).fit(X)
    >>> bool(abs(fitted.theta_[0] - 4) < 0.3)
    True
    """

    def __init__(
        self,
        sample: Callable[..., tuple[Any, NDArray]],
        log_joint: Callable[..., NDArray] | None = None,
        grad_log_joint: Callable[..., NDArray] | None = None,
        *,
        n_params: int,
        n_features: int,
        initial_params: ArrayLike | Callable[..., NDArray] | None = None,
        **optional: Callable[..., Any],
    ) -> None:
        for name, count in {"n_params": n_params, "n_features": n_features}.items():
            if not isinstance(count, Integral) or isinstance(count, bool) or count < 1:
                raise ValueError(f"{name} of FunctionModel must be an int, at least 1. Got {count!r} instead.")
        functions = {"sample": sample, "log_joint": log_joint, "grad_log_joint": grad_log_joint, **optional}
        functions = {name: function for name, function in functions.items() if function is not None}
        for name, function in functions.items():
            if not callable(function):
                raise TypeError(f"{name} of FunctionModel must be callable. Got {function!r} instead.")
        if log_joint is None and grad_log_joint is None:
            raise TypeError("FunctionModel needs log_joint, or grad_log_joint, or both.")
        self.n_params = int(n_params)
        self.n_features = int(n_features)
        self._initial_params = initial_params
        if grad_log_joint is None and self.n_params > MANY_PARAMS:
            warnings.warn(
                f"The gradient in n_params={self.n_params} parameters is taken by central differences, which are slow "
                f"beyond about {MANY_PARAMS}. Pass grad_log_joint.",
                UserWarning,
                stacklevel=2,
            )
        vars(self).update(functions)  # a gradient among them hides the one below

    def __repr__(self) -> str:
        name = getattr(vars(self)["sample"], "__name__", "sample")
        return f"FunctionModel({name}, n_params={self.n_params}, n_features={self.n_features})"

    def initial_params(self, X: NDArray, rng: np.random.Generator) -> NDArray:
        """Return where to start, ``(n_params,)``."""
        if callable(self._initial_params):
            return self._initial_params(X, rng)
        if self._initial_params is None:
            return 0.1 * rng.standard_normal(self.n_params)
        return np.array(self._initial_params, dtype=np.float64)

    def grad_log_joint(self, theta: NDArray, z: Any, x: NDArray, weights: NDArray) -> NDArray:
        """Return the weighted sum of scores as differences of the log joint, two evaluations for each parameter."""
        log_joint = GuardedModel(self).log_joint  # which checks the shape
        gradient = np.empty(self.n_params)
        for index, step in enumerate(RELATIVE_STEP * np.maximum(1.0, np.abs(theta))):
            ends = np.stack([theta, theta])
            ends[0, index] += step
            ends[1, index] -= step
            upper, lower = (log_joint(end, z, x) for end in ends)
            gradient[index] = weights @ (upper - lower) / (ends[0, index] - ends[1, index])
        return gradient
