"""Optimizers of one flat parameter vector, all of them ascending."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.arrays.numpy_backend import NumpyBackend


@runtime_checkable
class Optimizer(Protocol):
    """Moves the parameters along a gradient. Its memory of earlier gradients is part of the training state."""

    learning_rate: float
    dead_zone: float
    """Units whose mean residual is smaller than this get no gradient."""

    def reset(self) -> None:
        """Forget all gradients so far."""

    def join(self, others: Sequence[Any]) -> None:
        """Set the memory to the mean over this and other optimizers of the same kind."""

    def rescale(self, factors: NDArray) -> None:
        """Adapt the memory to parameters that have been multiplied by `factors`."""

    def ascend(
        self, parameters: NDArray, gradient: NDArray, backend: NumpyBackend, damping: NDArray | None = None
    ) -> None:
        """Update `parameters` in place; `gradient` may be overwritten.

        If the size of steps does not depend on that of the gradient, they are multiplied by `damping`.
        """


class SGD:
    """Plain stochastic gradient ascent, ``parameters += learning_rate * gradient``."""

    dead_zone = 0.0

    def __init__(self, learning_rate: float) -> None:
        self.learning_rate = learning_rate

    def reset(self) -> None:
        """Do nothing: there is no memory."""

    def join(self, others: Sequence["SGD"]) -> None:
        """Do nothing: there is no memory."""

    def rescale(self, factors: NDArray) -> None:
        """Do nothing: there is no memory."""

    def ascend(
        self, parameters: NDArray, gradient: NDArray, backend: NumpyBackend, damping: NDArray | None = None
    ) -> None:
        """Update `parameters` in place. Steps shrink with the gradient: no damping."""
        backend.blend(1.0, parameters, self.learning_rate, gradient)


class Adam:
    """Adam (Kingma & Ba 2015), with a step size for each parameter.

    The moments are decaying sums. Their normalization and the bias corrections are part of the step size and of
    epsilon, which saves passes over the parameters.

    Parameters
    ----------
    learning_rate : float
        Step size.
    scales : ndarray of shape (n_parameters,)
        Factor of the step size, for each parameter.
    """

    BETA_1 = 0.9
    BETA_2 = 0.999
    EPSILON = 1e-8
    # Adam makes full steps however small the gradient: it would drive the probability of values that the rows so far
    # did not have to zero.
    dead_zone = 1e-5

    learning_rate: float
    _scales: NDArray
    _first: NDArray
    _second: NDArray
    _n_steps: int

    def __init__(self, learning_rate: float, scales: NDArray) -> None:
        self.learning_rate = learning_rate
        self._scales = scales
        self._first = np.zeros_like(scales)
        self._second = np.zeros_like(scales)
        self._n_steps = 0

    def reset(self) -> None:
        """Forget all gradients so far."""
        self._first[...] = 0
        self._second[...] = 0
        self._n_steps = 0

    def join(self, others: Sequence["Adam"]) -> None:
        """Set the moments to their means over this and other optimizers."""
        everyone = [self, *others]
        self._first[...] = np.mean([one._first for one in everyone], axis=0)
        self._second[...] = np.mean([one._second for one in everyone], axis=0)
        self._n_steps = max(one._n_steps for one in everyone)

    def rescale(self, factors: NDArray) -> None:
        """Adapt the moments of the gradient to parameters that have been multiplied by `factors`."""
        self._first /= factors
        self._second /= np.square(factors)

    def ascend(
        self, parameters: NDArray, gradient: NDArray, backend: NumpyBackend, damping: NDArray | None = None
    ) -> None:
        """Update `parameters` in place, with steps multiplied by `damping`; `gradient` is overwritten."""
        self._n_steps += 1
        scale_1 = (1 - self.BETA_1) / (1 - self.BETA_1**self._n_steps)
        scale_2 = ((1 - self.BETA_2) / (1 - self.BETA_2**self._n_steps)) ** 0.5
        numbers = self.BETA_1, self.BETA_2, self.learning_rate * scale_1 / scale_2, self.EPSILON / scale_2
        scales = self._scales if damping is None else self._scales * damping
        arrays = parameters, gradient, self._first, self._second, scales
        backend.adam(*arrays, *map(parameters.dtype.type, numbers))
