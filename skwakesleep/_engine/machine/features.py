"""Features of rows: how strongly the recognition network activates the units of the top hidden layer."""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.arrays.backend import default_backend
from skwakesleep._engine.arrays.numerics import sigmoid
from skwakesleep._engine.arrays.random import FineNoise
from skwakesleep._engine.machine.networks import BeliefNetwork, Machine

# Dreams whose log-odds determine the scale, and the seed of their noise: any other gives much the same scale.
N_DREAMS, SEED = 500, 0
# Log-odds that vary by less, relative to their mean, are taken to be constant: rounding would be blown up otherwise.
SMALLEST_SHARE = 1e-5


class ActivationScale(NamedTuple):
    """Mean and standard deviation of the log-odds of each top unit, given dreams.

    An activation is ``log(1 + exp(z))`` of the standardized log-odds `z`. Means would be useless as features of a unit
    that is active in few rows, or in nearly all: they hardly differ between rows.
    """

    mean: NDArray
    deviation: NDArray

    @classmethod
    def of_dreams(cls, machine: Machine, parameters: NDArray) -> Self:
        """Return the scale of a machine."""
        networks = machine.bind(parameters, default_backend())
        x = networks.generative.sample(None, (N_DREAMS, 1), FineNoise(np.random.default_rng(SEED)))[-1]
        log_odds = networks.recognition.natural(machine.columns.root(machine.columns.bounded(x), None))
        log_odds = log_odds.reshape(-1, log_odds.shape[-1])
        mean, deviation = log_odds.mean(axis=0), log_odds.std(axis=0)
        varies = deviation > SMALLEST_SHARE * (1 + abs(mean))
        return cls(mean, np.where(varies, deviation, 1))

    def activations(self, recognition: BeliefNetwork, root: NDArray) -> NDArray:
        """Return the activations given the input of the recognition network."""
        z = recognition.natural(root)
        z -= self.mean
        z /= self.deviation
        return np.logaddexp(z, 0, out=z)

    def means(self, activations: NDArray) -> NDArray:
        """Return the means of the units with the given activations."""
        positive = np.maximum(activations, np.finfo(activations.dtype).tiny)
        log_odds = (positive + np.log(-np.expm1(-positive))) * self.deviation + self.mean
        return sigmoid(log_odds, np.empty_like(log_odds))
