"""A generative model from plain functions."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skwakesleep._engine.arrays.numerics import differences
from skwakesleep.models._bases import Model
from skwakesleep.models._checks import GuardedModel
from skwakesleep.models._methods import METHODS
from skwakesleep.models._parameters import check_counts

# Parameters beyond which differences are slow: each takes two evaluations of the log joint.
MANY_PARAMS = 100


class FunctionModel(Model):
    """A generative model from functions of your own.

    Parameters
    ----------
    sample : callable
        ``sample(theta, n, rng) -> (z, x)``: ``n`` independent pairs of latents, an array or a tuple of arrays of
        leading length ``n``, and observations ``(n, n_features)``, drawn from the `numpy.random.Generator` passed in.

    log_joint : callable or None, default=None
        ``log_joint(theta, z, x) -> (n,)``: log-density of each pair in nats, up to a constant that is free of `theta`.
        Needed unless there is `grad_log_joint`.

    grad_log_joint : callable or None, default=None
        ``grad_log_joint(theta, z, x, weights) -> (n_params,)``: weighted sum over pairs of the gradients of the log
        joint, in JAX or PyTorch one backward pass of ``weights @ log_joint(theta, z, x)``. None takes
        central differences of `log_joint`.

    n_params : int
        Number of parameters.

    n_features : int
        Number of columns of the observations.

    initial_params : array-like of shape (n_params,), callable or None, default=None
        Parameters to start from, or a function ``initial_params(X, rng) -> (n_params,)``. None is small random numbers.

    **optional : callable
        Optional methods of a model by name, such as ``log_likelihood``, ``project`` or ``latent_function``. The
        :ref:`user guide <optional-methods>` lists them.

    Raises
    ------
    TypeError
        When a function is missing, is not callable, or has no place in a model.

    ValueError
        When a number is not a positive int.

    Warns
    -----
    UserWarning
        When there are more than 100 parameters and no `grad_log_joint`.

    Examples
    --------
    The latent ``z`` is 0 or 1, and the observation is normal around ``theta * z``:

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
        check_counts(self, n_params=n_params, n_features=n_features)
        given = {"log_joint": log_joint, "grad_log_joint": grad_log_joint, **optional}
        functions = {"sample": sample} | {name: function for name, function in given.items() if function is not None}
        for name, function in functions.items():
            if name not in METHODS:
                raise TypeError(f"FunctionModel has no method {name!r}. The methods are {', '.join(METHODS)}.")
            if not callable(function):
                raise TypeError(f"{name} of FunctionModel must be callable. Got {function!r} instead.")
        if log_joint is None and grad_log_joint is None:
            raise TypeError("FunctionModel needs log_joint, or grad_log_joint, or both.")
        if grad_log_joint is None and n_params > MANY_PARAMS:
            warnings.warn(
                f"The gradient in n_params={n_params} parameters is taken by central differences, which are slow "
                f"beyond about {MANY_PARAMS}. Pass grad_log_joint.",
                stacklevel=2,
            )
        self.n_params = n_params
        self.n_features = n_features
        self._start = initial_params
        self.__dict__.update(functions)  # the method grad_log_joint below is hidden if there is a function of this name

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get the parameters of the model.

        Parameters
        ----------
        deep : bool, default=True
            Ignored: no parameter has parameters of its own.

        Returns
        -------
        params : dict of str to object
            Arguments of the constructor by name, with the optional functions that were given.

        Examples
        --------
        >>> from skwakesleep.models import FunctionModel
        >>> model = FunctionModel(print, print, n_params=1, n_features=2, project=abs)
        >>> sorted(model.get_params())
        ['grad_log_joint', 'initial_params', 'log_joint', 'n_features', 'n_params', 'project', 'sample']
        """
        functions = {name: vars(self)[name] for name in METHODS if name in vars(self)}
        numbers = {"n_params": self.n_params, "n_features": self.n_features}
        return {"log_joint": None, "grad_log_joint": None, **functions, **numbers, "initial_params": self._start}

    def initial_params(self, X: NDArray, rng: np.random.Generator) -> NDArray:
        """Return parameters to start from.

        Parameters
        ----------
        X : ndarray of shape (m, n_features)
            Data.
        rng : numpy.random.Generator
            Draws them, unless they were given.

        Returns
        -------
        theta : ndarray of shape (n_params,)
            Parameters.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import FunctionModel
        >>> model = FunctionModel(print, print, n_params=2, n_features=1, initial_params=[1.0, 0.5])
        >>> model.initial_params(np.zeros((3, 1)), np.random.default_rng(0))
        array([1. , 0.5])
        """
        if callable(self._start):
            return self._start(X, rng)
        if self._start is None:
            return 0.1 * rng.standard_normal(self.n_params)
        return np.array(self._start, dtype=np.float64)

    def grad_log_joint(self, theta: NDArray, z: Any, x: NDArray, weights: NDArray) -> NDArray:
        """Return the weighted sum of scores, ``sum_n weights[n] * grad log p(z[n], x[n])``.

        This is the function that was given. Without one, it is computed by central differences of the log joint, which
        take two evaluations for each parameter.

        Parameters
        ----------
        theta : ndarray of shape (n_params,)
            Parameters.
        z : ndarray or tuple of ndarray, of leading length n
            Latents.
        x : ndarray of shape (n, n_features)
            Observations.
        weights : ndarray of shape (n,)
            Real numbers, of either sign.

        Returns
        -------
        gradient : ndarray of shape (n_params,)
            In nats per unit of each parameter.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import FunctionModel
        >>> model = FunctionModel(print, lambda theta, z, x: theta * z, n_params=1, n_features=1)
        >>> model.grad_log_joint(np.ones(1), np.arange(3.0), np.zeros((3, 1)), np.ones(3)).round(6)
        array([3.])
        """
        log_joint = GuardedModel(self).log_joint  # which checks the shape
        changes = differences(lambda end: log_joint(end, z, x), theta)
        return np.array([weights @ change / length for change, length in changes])
