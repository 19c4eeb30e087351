"""Forms of the gradient of the log-likelihood, computed from dreams."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.amortised.dreams import Pairs, Phases, importance_weights, resampled, select
from skwakesleep._engine.amortised.tuning import N_TUNING_PAIRS

# Dreams that a row of data is paired with, where importance weights cannot be contracted analytically.
N_RESAMPLED = 10


class Form(Protocol):
    """A way to compute the gradient of the mean log-likelihood of a batch from dreams."""

    name: str
    regresses: bool

    def targets(self, theta: NDArray, pairs: Pairs) -> list[NDArray]:
        """Return what the regression is tuned to predict, of some of the pairs or all of them, the first ones first.

        Groups ``(n, T)`` of targets count the same.
        """

    def __call__(
        self, theta: NDArray, dreams: Pairs, batch: NDArray, regression: "BatchRegression", rng: np.random.Generator
    ) -> NDArray:
        """Return the gradient, ``(P,)``."""


class BatchRegression(Protocol):
    """A regression on dreams, evaluated at a batch of data."""

    def __call__(self, values: NDArray) -> NDArray:
        """Return ``sum_m A[:, m] values[m]``, ``(N, C)``."""


class Direct:
    """Regress the scores themselves: all that a black box needs to give.

    The regression's weights are averaged over the batch, so that one weighted sum of scores is enough.
    """

    name = "direct"
    regresses = True

    def __init__(self, phases: Phases) -> None:
        self._phases = phases

    def targets(self, theta: NDArray, pairs: Pairs) -> list[NDArray]:
        one = np.ones(1)
        pairs = pairs.head(N_TUNING_PAIRS)  # a call for each
        return [
            np.stack(
                [
                    self._phases.score(theta, select(pairs.z, slice(n, n + 1)), pairs.x[n : n + 1], one)
                    for n in range(len(pairs.x))
                ]
            )
        ]

    def __call__(
        self, theta: NDArray, dreams: Pairs, batch: NDArray, regression: BatchRegression, rng: np.random.Generator
    ) -> NDArray:
        weights = regression(np.full((len(batch), 1), 1 / len(batch)))
        return self._phases.score(theta, dreams.z, dreams.x, weights[:, 0])


class Exponential:
    """Regress natural parameters, and combine them with the statistics of the data.

    The log joint is ``eta(z) . s(x) - psi(z)``: only functions of the latents remain to be predicted, and the data
    themselves take the place of dreamed observations.
    """

    name = "exponential"
    regresses = True

    def __init__(self, model: Any) -> None:
        self._model = model

    def targets(self, theta: NDArray, pairs: Pairs) -> list[NDArray]:
        eta, psi = self._model.natural_parameters(theta, pairs.z)
        return [eta, psi[:, np.newaxis]]

    def __call__(
        self, theta: NDArray, dreams: Pairs, batch: NDArray, regression: BatchRegression, rng: np.random.Generator
    ) -> NDArray:
        statistics = self._model.sufficient_statistics(batch)
        values = np.column_stack([np.ones(len(batch)), statistics]) / len(batch)
        contracted = regression(values)
        return self._model.natural_vjp(theta, dreams.z, contracted[:, 1:], -contracted[:, 0])


class WithoutRegression:
    """A form that is a function of dreams and data alone."""

    regresses = False

    def __init__(self, model: Any) -> None:
        self._model = model

    def targets(self, theta: NDArray, pairs: Pairs) -> list[NDArray]:
        return []


class ImportanceWeighted(WithoutRegression):
    """Weigh the same dreams by how well their latents explain each row of data.

    Better and cheaper than a regression while many dreams explain a row, useless once hardly any does.
    """

    name = "importance"

    def __call__(
        self, theta: NDArray, dreams: Pairs, batch: NDArray, regression: BatchRegression, rng: np.random.Generator
    ) -> NDArray:
        weights = importance_weights(self._model.log_prob_x_given_z(theta, dreams.z, batch))
        if hasattr(self._model, "natural_vjp"):
            statistics = weights @ (self._model.sufficient_statistics(batch) / len(batch))
            return self._model.natural_vjp(theta, dreams.z, statistics, -weights.mean(axis=1))
        chosen = resampled(weights, N_RESAMPLED, rng)
        z, x = select(dreams.z, chosen.ravel()), np.repeat(batch, N_RESAMPLED, axis=0)
        return self._model.grad_log_joint(theta, z, x, np.full(len(x), 1 / len(x)))


class Exact(WithoutRegression):
    """The model's own gradient of its log-likelihood: no dreams at all."""

    name = "exact"

    def __call__(
        self, theta: NDArray, dreams: Pairs, batch: NDArray, regression: BatchRegression, rng: np.random.Generator
    ) -> NDArray:
        return self._model.grad_log_likelihood(theta, batch)
