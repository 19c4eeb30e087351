"""A generative model from plain functions."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.metaestimators import available_if

from skwakesleep._engine.arrays.numerics import differences
from skwakesleep.models._bases import Model
from skwakesleep.models._checks import GuardedModel
from skwakesleep.models._declared_parameter import Parameter
from skwakesleep.models._methods import METHODS
from skwakesleep.models._named_parameters import NamedParameters
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

    n_params : int or None, default=None
        Number of parameters. Needed unless there are `parameters`.

    n_features : int
        Number of columns of the observations.

    initial_params : array-like of shape (n_params,), dict, callable or None, default=None
        Parameters to start from, or a function ``initial_params(X, rng)`` that returns them. None is small random
        numbers. If there are `parameters`, it is a dict of values by name; others start as they are declared.

    parameters : dict of str to Parameter or None, default=None
        Declares the parameters by name, see the :ref:`user guide <declared-parameters>`. The functions then get a named
        tuple of values as `theta`, and `grad_log_joint` returns a gradient for each name.

    n_covariates : int, default=0
        Number of columns after those of the observations, which the functions get as a last argument. Needs
        `parameters`.

    allow_nan : bool, default=False
        Whether observations can be missing.

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
        n_params: int | None = None,
        n_features: int,
        initial_params: ArrayLike | Mapping[str, ArrayLike] | Callable[..., Any] | None = None,
        parameters: Mapping[str, Parameter] | None = None,
        n_covariates: int = 0,
        allow_nan: bool = False,
        **optional: Callable[..., Any],
    ) -> None:
        if (n_params is None) == (parameters is None):
            raise TypeError(f"FunctionModel needs one of n_params and parameters. Got {n_params!r} and {parameters!r}.")
        if n_covariates and parameters is None:
            raise TypeError(f"n_covariates={n_covariates!r} of FunctionModel needs parameters, not n_params.")
        size: Any = n_params if parameters is None else NamedParameters("FunctionModel", parameters, {}).size
        check_counts(self, n_params=size, n_features=n_features)
        given = {"log_joint": log_joint, "grad_log_joint": grad_log_joint, **optional}
        functions = {"sample": sample} | {name: function for name, function in given.items() if function is not None}
        for name, function in functions.items():
            if name not in METHODS:
                raise TypeError(f"FunctionModel has no method {name!r}. The methods are {', '.join(METHODS)}.")
            if not callable(function):
                raise TypeError(f"{name} of FunctionModel must be callable. Got {function!r} instead.")
        if log_joint is None and grad_log_joint is None:
            raise TypeError("FunctionModel needs log_joint, or grad_log_joint, or both.")
        if grad_log_joint is None and size > MANY_PARAMS:
            warnings.warn(
                f"The gradient in n_params={size} parameters is taken by central differences, which are slow "
                f"beyond about {MANY_PARAMS}. Pass grad_log_joint.",
                stacklevel=2,
            )
        self.n_params: int = size
        self.n_features = n_features
        self.parameters = parameters
        self.n_covariates = n_covariates
        self.allow_nan = allow_nan
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
        >>> sorted(model.get_params())  # doctest: +NORMALIZE_WHITESPACE
        ['allow_nan', 'grad_log_joint', 'initial_params', 'log_joint', 'n_covariates', 'n_features', 'n_params',
        'parameters', 'project', 'sample']
        """
        functions = {name: vars(self)[name] for name in METHODS if name in vars(self)}
        numbers = {name: getattr(self, name) for name in ("n_features", "parameters", "n_covariates", "allow_nan")}
        numbers["n_params"] = self.n_params if self.parameters is None else None
        return {"log_joint": None, "grad_log_joint": None, **functions, **numbers, "initial_params": self._start}

    def initial_params(self, X: NDArray, rng: np.random.Generator, *covariates: NDArray) -> Any:
        """Return parameters to start from.

        Parameters
        ----------
        X : ndarray of shape (m, n_features)
            Data.
        rng : numpy.random.Generator
            Draws them, unless they were given.
        *covariates : ndarray of shape (m, n_covariates)
            Covariates of the rows, if the model has some.

        Returns
        -------
        theta : ndarray of shape (n_params,) or dict
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
            return self._start(X, rng, *covariates)
        if self.parameters is not None:
            return {} if self._start is None else self._start
        if self._start is None:
            return 0.1 * rng.standard_normal(self.n_params)
        return np.array(self._start, dtype=np.float64)

    @available_if(lambda self: self.parameters is None)
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
