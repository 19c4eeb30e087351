"""Constraints of parameters that a model declares.

A constraint is one class: the map from unconstrained numbers to values, its inverse, and the product of a gradient with
its Jacobian. Optimizers work on the unconstrained numbers, and models see the values.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skwakesleep.models._declared_parameter import Parameter
from skwakesleep.models._parameters import is_count

# Numbers of a simplex must add up to one, and a covariance matrix be symmetric, up to this error.
TOLERANCE = 1e-8


class Real(Parameter):
    """Real numbers.

    Parameters
    ----------
    shape : int or tuple of int, default=()
        Shape of the array; ``()`` is a single number.
    scale : float, default=1.0
        Typical size of the numbers. The optimizer's steps are in this unit.
    prior, start : optional
        See `Parameter`.

    Examples
    --------
    >>> from scipy.stats import norm
    >>> from skwakesleep.models import Real
    >>> Real(3, prior=norm(0, 10)).shape
    (3,)
    """

    def __init__(
        self,
        shape: int | tuple[int, ...] = (),
        *,
        scale: float = 1.0,
        prior: Any = None,
        start: ArrayLike | None = None,
    ) -> None:
        self.scale = _positive(scale, "scale of Real")
        super().__init__(shape, prior=prior, start=start)

    def value(self, free: NDArray) -> NDArray:
        return self.scale * free

    def free(self, value: NDArray) -> NDArray:
        return value / self.scale

    def pullback(self, free: NDArray, gradient: NDArray) -> NDArray:
        return self.scale * gradient

    def admits(self, value: NDArray, limits: bool) -> bool:
        return True


class Positive(Parameter):
    """Positive numbers, by the exponential function.

    Parameters
    ----------
    shape : int or tuple of int, default=()
        Shape of the array; ``()`` is a single number.
    prior, start : optional
        See `Parameter`.

    Examples
    --------
    >>> import numpy as np
    >>> from skwakesleep.models import Positive
    >>> Positive(2).value(np.zeros(2))
    array([1., 1.])
    """

    expected = "positive"

    def value(self, free: NDArray) -> NDArray:
        return np.exp(free)

    def free(self, value: NDArray) -> NDArray:
        return np.log(value)

    def pullback(self, free: NDArray, gradient: NDArray) -> NDArray:
        return np.exp(free) * gradient

    def admits(self, value: NDArray, limits: bool) -> bool:
        return bool((value >= 0).all() if limits else (value > 0).all())


class Interval(Parameter):
    """Numbers between two bounds, by the logistic function.

    Parameters
    ----------
    lower, upper : float
        The bounds.
    shape : int or tuple of int, default=()
        Shape of the array; ``()`` is a single number.
    prior, start : optional
        See `Parameter`.

    Examples
    --------
    >>> import numpy as np
    >>> from skwakesleep.models import Interval
    >>> float(Interval(-1, 3).value(np.zeros(())))
    1.0
    """

    def __init__(
        self,
        lower: float,
        upper: float,
        shape: int | tuple[int, ...] = (),
        *,
        prior: Any = None,
        start: ArrayLike | None = None,
    ) -> None:
        if not -np.inf < lower < upper < np.inf:
            raise ValueError(f"Interval needs finite bounds with lower < upper. Got {lower!r} and {upper!r}.")
        self.lower = lower
        self.upper = upper
        super().__init__(shape, prior=prior, start=start)

    @property
    def expected(self) -> str:  # type: ignore[override]
        """What the constraint demands, for messages."""
        return f"between {self.lower:g} and {self.upper:g}"

    def value(self, free: NDArray) -> NDArray:
        return self.lower + (self.upper - self.lower) * _share(free)

    def free(self, value: NDArray) -> NDArray:
        return np.log((value - self.lower) / (self.upper - value))

    def pullback(self, free: NDArray, gradient: NDArray) -> NDArray:
        return (self.upper - self.lower) * _share(free) * _share(-free) * gradient

    def admits(self, value: NDArray, limits: bool) -> bool:
        inside = (self.lower < value) & (value < self.upper)
        return bool((inside | limits & ((value == self.lower) | (value == self.upper))).all())


class Simplex(Parameter):
    """Probabilities that add up to one along the last axis, by the softmax function.

    The last unconstrained number of the softmax is zero, so there is one less than probabilities.

    Parameters
    ----------
    shape : int or tuple of int
        Shape of the array.
    prior, start : optional
        See `Parameter`.

    Examples
    --------
    >>> import numpy as np
    >>> from skwakesleep.models import Simplex
    >>> Simplex(4).value(np.zeros(3))
    array([0.25, 0.25, 0.25, 0.25])
    """

    elementwise = False
    expected = "positive numbers that add up to one along the last axis"

    def __init__(self, shape: int | tuple[int, ...], *, prior: Any = None, start: ArrayLike | None = None) -> None:
        _check_last_axis(self, shape)
        super().__init__(shape, prior=prior, start=start)

    @property
    def free_shape(self) -> tuple[int, ...]:
        """Shape of the unconstrained numbers."""
        return (*self.shape[:-1], self.shape[-1] - 1)

    def value(self, free: NDArray) -> NDArray:
        logits = np.concatenate([free, np.zeros((*self.shape[:-1], 1))], axis=-1)
        odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return odds / odds.sum(axis=-1, keepdims=True)

    def free(self, value: NDArray) -> NDArray:
        return np.log(value[..., :-1] / value[..., -1:])

    def pullback(self, free: NDArray, gradient: NDArray) -> NDArray:
        value = self.value(free)
        return (value * (gradient - (value * gradient).sum(axis=-1, keepdims=True)))[..., :-1]

    def admits(self, value: NDArray, limits: bool) -> bool:
        signs = (value >= 0).all() if limits else (value > 0).all()
        return bool(signs and (np.abs(value.sum(axis=-1) - 1) <= TOLERANCE).all())


class Ordered(Parameter):
    """Numbers in ascending order along the last axis: the first one, and logarithms of the differences.

    Parameters
    ----------
    shape : int or tuple of int
        Shape of the array.
    prior, start : optional
        See `Parameter`.

    Examples
    --------
    >>> import numpy as np
    >>> from skwakesleep.models import Ordered
    >>> Ordered(3).value(np.zeros(3))
    array([0., 1., 2.])
    """

    elementwise = False
    expected = "in ascending order along the last axis"

    def __init__(self, shape: int | tuple[int, ...], *, prior: Any = None, start: ArrayLike | None = None) -> None:
        _check_last_axis(self, shape)
        super().__init__(shape, prior=prior, start=start)

    def value(self, free: NDArray) -> NDArray:
        return np.cumsum(self._parts(free), axis=-1)

    def free(self, value: NDArray) -> NDArray:
        return np.concatenate([value[..., :1], np.log(np.diff(value, axis=-1))], axis=-1)

    def pullback(self, free: NDArray, gradient: NDArray) -> NDArray:
        by_part = np.flip(np.cumsum(np.flip(gradient, axis=-1), axis=-1), axis=-1)
        slopes = self._parts(free)  # an exponential is its own derivative
        slopes[..., 0] = 1.0
        return slopes * by_part

    def admits(self, value: NDArray, limits: bool) -> bool:
        steps = np.diff(value, axis=-1)
        return bool((steps >= 0).all() if limits else (steps > 0).all())

    def _parts(self, free: NDArray) -> NDArray:
        return np.concatenate([free[..., :1], np.exp(free[..., 1:])], axis=-1)


class Covariance(Parameter):
    """A covariance matrix, by its Cholesky factor.

    The logarithms of the diagonal of the factor are unconstrained numbers, and so are the other entries, relative to
    the diagonal entry of the row. Steps of the optimizer then do not depend on the units of the columns.

    Parameters
    ----------
    n_rows : int
        Number of rows, and of columns.
    prior, start : optional
        See `Parameter`; for example `scipy.stats.invwishart`.

    Examples
    --------
    >>> import numpy as np
    >>> from skwakesleep.models import Covariance
    >>> Covariance(2).value(np.array([0.0, 1.0, 0.0]))
    array([[1., 1.],
           [1., 2.]])
    """

    elementwise = False
    expected = "a covariance matrix, symmetric and positive definite"

    def __init__(self, n_rows: int, *, prior: Any = None, start: ArrayLike | None = None) -> None:
        super().__init__((n_rows, n_rows), prior=prior, start=start)

    @property
    def free_shape(self) -> tuple[int, ...]:
        """Shape of the unconstrained numbers: the lower triangle, row by row."""
        return (self.shape[0] * (self.shape[0] + 1) // 2,)

    def value(self, free: NDArray) -> NDArray:
        factor = self._factor(free)
        return factor @ factor.T

    def free(self, value: NDArray) -> NDArray:
        factor = np.linalg.cholesky(value)
        scales = factor.diagonal().copy()
        factor /= scales[:, np.newaxis]
        np.fill_diagonal(factor, np.log(scales))
        return factor[np.tril_indices(len(value))]

    def pullback(self, free: NDArray, gradient: NDArray) -> NDArray:
        factor = self._factor(free)
        by_factor = np.tril((gradient + gradient.T) @ factor)
        by_free = by_factor * factor.diagonal()[:, np.newaxis]
        np.fill_diagonal(by_free, np.vecdot(by_factor, factor))
        return by_free[np.tril_indices(len(factor))]

    def admits(self, value: NDArray, limits: bool) -> bool:
        if (np.abs(value - value.T) > TOLERANCE * np.abs(value).max()).any():
            return False
        lowest = np.linalg.eigvalsh(value)[0]
        return bool(lowest >= -TOLERANCE * np.abs(value).max() if limits else lowest > 0)

    def _factor(self, free: NDArray) -> NDArray:
        factor = np.zeros(self.shape)
        factor[np.tril_indices(len(factor))] = free
        scales = np.exp(factor.diagonal())
        np.fill_diagonal(factor, 1.0)
        return factor * scales[:, np.newaxis]


def _share(free: NDArray) -> NDArray:
    """Return the logistic function."""
    return 0.5 * (1 + np.tanh(0.5 * free))  # never overflows


def _check_last_axis(parameter: Parameter, shape: Any) -> None:
    last = shape[-1] if isinstance(shape, tuple) and shape else shape
    if not is_count(last) or last < 2:
        raise ValueError(
            f"shape of {type(parameter).__name__} must end with an int, at least 2, the length of the last axis. "
            f"Got {shape!r}."
        )


def _positive(value: Any, label: str) -> float:
    if not 0 < float(value) < np.inf:
        raise ValueError(f"{label} must be a float in (0, inf). Got {value!r}.")
    return float(value)
