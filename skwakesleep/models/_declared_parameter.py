"""A parameter that a model declares: shape, constraint, prior and start."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skwakesleep.models._parameters import is_count, same_parts


class Parameter:
    """A parameter with a constraint. This is the base of `Real`, `Positive` and the others.

    Parameters
    ----------
    shape : int or tuple of int, default=()
        Shape of the array; ``()`` is a single number.
    prior : object or None, default=None
        A distribution with ``logpdf``, for example a frozen one of `scipy.stats`. One for single numbers is the prior
        of each number. With a prior the fit maximizes the posterior density of the values, without a Jacobian.
    start : array-like or None, default=None
        Value to start from, broadcast to the shape. None is a random value near the middle of what is allowed.

    Attributes
    ----------
    shape : tuple of int
        Shape of the array.
    elementwise : bool
        Whether each number of the value has an unconstrained number of its own.
    expected : str
        What the constraint demands, for messages.

    See Also
    --------
    check_generative_model : Tests constraints of your own, too.

    Notes
    -----
    The shape of the unconstrained numbers is the property ``free_shape``.

    A constraint of your own is a subclass with the methods `value`, `free`, `pullback` and `admits`, the attribute
    ``expected``, and ``free_shape`` unless it is ``shape``.

    Examples
    --------
    >>> import numpy as np
    >>> from skwakesleep.models import Parameter
    >>> class Negative(Parameter):
    ...     expected = "negative"
    ...     def value(self, free):
    ...         return -np.exp(free)
    ...     def free(self, value):
    ...         return np.log(-value)
    ...     def pullback(self, free, gradient):
    ...         return -np.exp(free) * gradient
    ...     def admits(self, value, limits):
    ...         return bool((value <= 0).all() if limits else (value < 0).all())
    >>> Negative(2, start=-1).start
    array([-1., -1.])
    """

    elementwise = True
    expected = "finite numbers"

    def __init__(self, shape: int | tuple[int, ...] = (), *, prior: Any = None, start: ArrayLike | None = None) -> None:
        self.shape: tuple[int, ...] = shape if isinstance(shape, tuple) else (shape,)
        if not all(map(is_count, self.shape)):
            raise ValueError(f"shape of {self._name} must be an int, at least 1, or a tuple of these. Got {shape!r}.")
        if prior is not None and not callable(getattr(prior, "logpdf", None)):
            raise TypeError(f"prior of {self._name} must have a method logpdf. Got {prior!r}.")
        self.prior = prior
        self.start = None if start is None else checked(self, start, f"start of {self._name}")

    @property
    def _name(self) -> str:
        return type(self).__name__

    @property
    def free_shape(self) -> tuple[int, ...]:
        """Shape of the unconstrained numbers."""
        return self.shape

    def value(self, free: NDArray) -> NDArray:
        """Return the value of unconstrained numbers.

        Parameters
        ----------
        free : ndarray, shape ``free_shape``
            Unconstrained numbers.

        Returns
        -------
        value : ndarray, shape ``shape``
            The value.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import Positive
        >>> Positive(2).value(np.zeros(2))
        array([1., 1.])
        """
        raise NotImplementedError

    def free(self, value: NDArray) -> NDArray:
        """Return the unconstrained numbers of a value: the inverse of `value`.

        Parameters
        ----------
        value : ndarray, shape ``shape``
            An admitted value, not at a limit.

        Returns
        -------
        free : ndarray, shape ``free_shape``
            Unconstrained numbers.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import Positive
        >>> Positive(2).free(np.ones(2))
        array([0., 0.])
        """
        raise NotImplementedError

    def pullback(self, free: NDArray, gradient: NDArray) -> NDArray:
        """Return the gradient in the unconstrained numbers, given that in the value: a vector-Jacobian product.

        Parameters
        ----------
        free : ndarray, shape ``free_shape``
            Unconstrained numbers.
        gradient : ndarray, shape ``shape``
            Gradient of some function in the value.

        Returns
        -------
        gradient : ndarray, shape ``free_shape``
            Gradient of the same function in the unconstrained numbers.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import Positive
        >>> Positive().pullback(np.log(3.0), 1.0)  # that of an exponential is its value
        np.float64(3.0000000000000004)
        """
        raise NotImplementedError

    def admits(self, value: NDArray, limits: bool) -> bool:
        """Return whether a value of finite numbers obeys the constraint.

        Parameters
        ----------
        value : ndarray, shape ``shape``
            The value.
        limits : bool
            Whether limits, such as zero for positive numbers, are admitted.

        Returns
        -------
        admitted : bool
            Whether it does.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.models import Positive
        >>> Positive().admits(np.array(0.0), limits=False)
        False
        """
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and same_parts(vars(self), vars(other))

    def __hash__(self) -> int:
        return hash((type(self), self.shape))

    def __repr__(self) -> str:
        return f"{self._name}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"


def shaped(parameter: Parameter, value: ArrayLike, label: str) -> NDArray:
    """Return a copy of a value as an array of the right shape; raise ValueError with `label` if it has another."""
    try:
        return np.broadcast_to(np.asarray(value, dtype=np.float64), parameter.shape).copy()
    except (TypeError, ValueError):
        raise ValueError(f"{label} must be numbers of shape {parameter.shape}. Got {value!r}.") from None


def checked(parameter: Parameter, value: ArrayLike, label: str, *, limits: bool = False) -> NDArray:
    """Return a copy of a value as an array of the right shape.

    Raises
    ------
    ValueError
        With `label`, if the value has another shape or is not admitted.
    """
    array = shaped(parameter, value, label)
    if not (np.isfinite(array).all() and parameter.admits(array, limits)):
        raise ValueError(f"{label} must be {parameter.expected}. Got {array.tolist()}.")
    return array
