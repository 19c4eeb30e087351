"""Optimizers of one flat parameter vector, all of them ascending."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.training.prior import PRIOR_INFORMATION, WeightPrior

# Decay of the mean square of gradients: it covers about a thousand steps.
SQUARES_DECAY = 0.999


@runtime_checkable
class Optimizer(Protocol):
    """Moves the parameters along a gradient. Its memory of earlier gradients is part of the training state."""

    learning_rate: float

    def reset(self) -> None:
        """Forget all gradients so far."""

    def join(self, others: Sequence[Any]) -> None:
        """Set the memory to the mean over this and other optimizers of the same kind."""

    def rescale(self, factors: NDArray) -> None:
        """Adapt the memory to parameters that have been multiplied by `factors`."""

    def ascend(
        self,
        parameters: NDArray,
        gradient: NDArray,
        backend: NumpyBackend,
        damping: NDArray | None = None,
        prior: WeightPrior | None = None,
    ) -> None:
        """Update `parameters` in place; `gradient`, without that of the prior, may be overwritten.

        If the size of steps does not depend on that of the gradient, they are multiplied by `damping`.
        """


class SGD:
    """Stochastic gradient ascent, ``parameters += learning_rate * gradient``.

    It remembers the squares of gradients only if there is a prior.
    """

    learning_rate: float
    _squares: NDArray | None
    _n_steps: int

    def __init__(self, learning_rate: float) -> None:
        self.learning_rate = learning_rate
        self.reset()

    def reset(self) -> None:
        """Forget all gradients so far."""
        self._squares, self._n_steps = None, 0

    def join(self, others: Sequence["SGD"]) -> None:
        """Set the squares to their means over this and other optimizers."""
        everyone = [self, *others]
        squares = [one._squares for one in everyone if one._squares is not None]
        self._squares = np.mean(squares, axis=0) if squares else None
        self._n_steps = max(one._n_steps for one in everyone)

    def rescale(self, factors: NDArray) -> None:
        """Adapt the memory to parameters that have been multiplied by `factors`."""
        if self._squares is not None:
            self._squares /= np.square(factors)

    def ascend(
        self,
        parameters: NDArray,
        gradient: NDArray,
        backend: NumpyBackend,
        damping: NDArray | None = None,
        prior: WeightPrior | None = None,
    ) -> None:
        """Update `parameters` in place. Steps shrink with the gradient: no damping."""
        if prior is not None and prior.strengths.any():
            if self._squares is None:
                self._squares = np.zeros_like(gradient)
            self._n_steps += 1
            self._squares *= SQUARES_DECAY
            self._squares += np.square(gradient)
            information = normalization(SQUARES_DECAY, self._n_steps) * prior.rows_per_square
            pull = np.empty_like(gradient)
            backend.pull(parameters, self._squares, prior.strengths, information, pull)
            gradient -= prior.share(self._n_steps) * pull
        backend.blend(1.0, parameters, self.learning_rate, gradient)


class Adam:
    """Adam (Kingma & Ba 2015), with a step size for each parameter.

    The moments are decaying sums, whose normalization is part of the numbers handed to the backend. The gradient of the
    prior is part of neither: the squares are then proportional to the information of the rows, and a strong prior does
    not overshoot, since its part of a step is never larger than the step size. Steps shrink where
    the rows have less information about a parameter than one row can have: otherwise, a value that occurs once would
    change weights as much as a frequent one, and one that never occurs would become impossible.

    Parameters
    ----------
    learning_rate : float
        Step size.
    scales : ndarray of shape (n_parameters,)
        Factor of the step size, for each parameter.
    """

    BETA_1 = 0.9
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
        self,
        parameters: NDArray,
        gradient: NDArray,
        backend: NumpyBackend,
        damping: NDArray | None = None,
        prior: WeightPrior | None = None,
    ) -> None:
        """Update `parameters` in place, with steps multiplied by `damping`; `gradient` is overwritten."""
        self._n_steps += 1
        mean, square = (normalization(decay, self._n_steps) for decay in (self.BETA_1, SQUARES_DECAY))
        strengths, share, information, least = None, 0.0, 0.0, self.EPSILON**2
        if prior is not None:
            strengths, share = prior.strengths, prior.share(self._n_steps)
            information = square * prior.rows_per_square
            least = PRIOR_INFORMATION / prior.rows_per_square
        scales = self._scales if damping is None else self._scales * damping
        arrays = parameters, gradient, self._first, self._second, scales, strengths
        numbers = self.BETA_1, SQUARES_DECAY, self.learning_rate, mean, square, least, share, information
        backend.adam(*arrays, *numbers)


def normalization(decay: float, n_steps: int) -> float:
    """Return the number that makes a decaying sum of `n_steps` terms a weighted mean."""
    return (1 - decay) / (1 - decay**n_steps)
