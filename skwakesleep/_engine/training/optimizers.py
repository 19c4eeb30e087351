"""Update rules over one flat parameter vector, all of them ascending."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.arrays.loops import LOOPS


@runtime_checkable
class Optimizer(Protocol):
    """Moves the parameters along a gradient; whatever it remembers is part of the training state."""

    learning_rate: float

    def reset(self) -> None:
        """Forget all gradients seen so far."""

    def join(self, others: Sequence[Any]) -> None:
        """Remember the mean of what this and other optimizers of the same kind do."""

    def rescale(self, factors: NDArray) -> None:
        """Adapt what is remembered to parameters that have been multiplied by `factors`."""

    def ascend(self, parameters: NDArray, gradient: NDArray, damping: NDArray | None = None) -> None:
        """Update `parameters` in place; `gradient` may be overwritten.

        Steps of a fixed size are multiplied by `damping`, where there is one.
        """


class SGD:
    """Plain stochastic gradient ascent, ``parameters += learning_rate * gradient``."""

    def __init__(self, learning_rate: float) -> None:
        self.learning_rate = learning_rate

    def reset(self) -> None:
        """Forget all gradients seen so far: there is nothing to forget."""

    def join(self, others: Sequence["SGD"]) -> None:
        """Remember the mean of what all remember: there is nothing to remember."""

    def rescale(self, factors: NDArray) -> None:
        """Adapt what is remembered: there is nothing to adapt."""

    def ascend(self, parameters: NDArray, gradient: NDArray, damping: NDArray | None = None) -> None:
        """Update `parameters` in place; `gradient` is overwritten. Steps are not of a fixed size: no damping."""
        gradient *= self.learning_rate
        parameters += gradient


class Adam:
    """Adam (Kingma & Ba 2015), with a step size of its own for each parameter.

    The moments are kept as plain decaying sums; their normalization and the bias corrections are folded into
    the step size and epsilon, which saves passes over the parameters and needs no scratch array.

    Parameters
    ----------
    learning_rate : float
        Step size.
    scales : ndarray of shape (n_parameters,)
        What the step size is multiplied by, for each parameter.
    """

    BETA_1 = 0.9
    BETA_2 = 0.999
    EPSILON = 1e-8

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
        """Forget all gradients seen so far."""
        self._first[...] = 0
        self._second[...] = 0
        self._n_steps = 0

    def join(self, others: Sequence["Adam"]) -> None:
        """Remember the mean of what this and others do."""
        everyone = [self, *others]
        self._first[...] = np.mean([one._first for one in everyone], axis=0)
        self._second[...] = np.mean([one._second for one in everyone], axis=0)
        self._n_steps = max(one._n_steps for one in everyone)

    def rescale(self, factors: NDArray) -> None:
        """Adapt the moments of the gradient to parameters that have been multiplied by `factors`."""
        self._first /= factors
        self._second /= np.square(factors)

    def ascend(self, parameters: NDArray, gradient: NDArray, damping: NDArray | None = None) -> None:
        """Update `parameters` in place, with steps multiplied by `damping`; `gradient` is overwritten."""
        self._n_steps += 1
        scale_1 = (1 - self.BETA_1) / (1 - self.BETA_1**self._n_steps)
        scale_2 = ((1 - self.BETA_2) / (1 - self.BETA_2**self._n_steps)) ** 0.5
        numbers = self.BETA_1, self.BETA_2, self.learning_rate * scale_1 / scale_2, self.EPSILON / scale_2
        scales = self._scales if damping is None else self._scales * damping
        arrays = parameters, gradient, self._first, self._second, scales
        LOOPS.adam(*arrays, *map(parameters.dtype.type, numbers))
