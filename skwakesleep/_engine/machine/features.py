"""Features of rows: how strongly the recognition network activates the units of the top hidden layer.

An activation is the sigmoid of half the log-odds of a unit, ``sqrt(p) / (sqrt(p) + sqrt(1 - p))`` of the probability
`p` that it is active, standardized over dreams. Probabilities alone would hide units that are active in few rows: as
with counts, roots of rare and of frequent units have nearly the same spread.
"""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from skwakesleep._engine.arrays.numerics import sigmoid
from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.arrays.random import FineNoise
from skwakesleep._engine.machine.networks import BeliefNetwork, Machine

# Dreams that determine the scale, and the seed of their noise: any other gives much the same.
N_DREAMS, SEED = 500, 0
# Smallest deviation: a unit that is inactive in all dreams, but not in all rows, would get huge activations otherwise.
SMALLEST_DEVIATION = 1e-3


class ActivationScale(NamedTuple):
    """Mean and standard deviation of the roots of each top unit in dreams, ``(n_top,)``."""

    mean: NDArray
    deviation: NDArray

    @classmethod
    def of_dreams(cls, machine: Machine, parameters: NDArray, backend: NumpyBackend) -> Self:
        """Return the scale of a machine."""
        networks = machine.bind(parameters, backend)
        x = networks.generative.sample(None, (N_DREAMS, 1), FineNoise(np.random.default_rng(SEED)))[-1]
        roots = _roots(networks.recognition, machine.columns.root(machine.columns.bounded(x), None))[:, 0]
        return cls(roots.mean(axis=0), np.maximum(roots.std(axis=0), SMALLEST_DEVIATION))

    def astype(self, dtype: DTypeLike) -> Self:
        """Return the scale in a precision."""
        return type(self)(self.mean.astype(dtype), self.deviation.astype(dtype))

    def activations(self, recognition: BeliefNetwork, root: NDArray) -> NDArray:
        """Return the activations given the input of the recognition network."""
        roots = _roots(recognition, root)
        roots -= self.mean
        roots /= self.deviation
        return roots

    def probabilities(self, activations: NDArray) -> NDArray:
        """Return the probabilities of units with the given activations, which may be any numbers."""
        roots = np.clip(activations * self.deviation + self.mean, 0, 1)
        odds = np.square(roots)
        odds /= odds + np.square(1 - roots)
        return odds


def _roots(recognition: BeliefNetwork, root: NDArray) -> NDArray:
    halves = recognition.natural(root)
    halves *= 0.5
    return sigmoid(halves, halves)
