"""Dreams: where pairs of latents and observations come from, and how they are weighed."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Latents = Any

# Part of the dreams of an earlier step that must still be effective, for them to be used again.
STILL_EFFECTIVE = 0.5


class Pairs(NamedTuple):
    """Latents with the observations that they caused, or the inputs of local factors."""

    z: Latents
    x: NDArray

    def head(self, n: int) -> "Pairs":
        """Return the first pairs."""
        return Pairs(select(self.z, slice(n)), self.x[:n])


def select(z: Latents, index: Any) -> Latents:
    """Return some of the latents, which are an array or a tuple of arrays."""
    return tuple(part[index] for part in z) if isinstance(z, tuple) else z[index]


class Phases(Protocol):
    """How pairs are dreamed, and their scores computed."""

    def dream(self, theta: NDArray, n: int, batch: NDArray, rng: np.random.Generator) -> Pairs:
        """Return ``n`` pairs."""

    def score(self, theta: NDArray, z: Latents, x: NDArray, weights: NDArray) -> NDArray:
        """Return the weighted sum of the pairs' scores, ``(P,)``."""

    def inputs(self, theta: NDArray, x: NDArray) -> NDArray:
        """Return what the scores are regressed on, before any feature map."""


class WholeObservations:
    """Dreams of whole observations."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def dream(self, theta: NDArray, n: int, batch: NDArray, rng: np.random.Generator) -> Pairs:
        return Pairs(*self._model.sample(theta, n, rng))

    def score(self, theta: NDArray, z: Latents, x: NDArray, weights: NDArray) -> NDArray:
        return self._model.grad_log_joint(theta, z, x, weights)

    def inputs(self, theta: NDArray, x: NDArray) -> NDArray:
        return x


class LocalFactors:
    """Dreams of one step from the observed history, for models whose log joint is a sum of local terms."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def dream(self, theta: NDArray, n: int, batch: NDArray, rng: np.random.Generator) -> Pairs:
        return Pairs(*self._model.sample_local(theta, batch, n, rng))

    def score(self, theta: NDArray, z: Latents, x: NDArray, weights: NDArray) -> NDArray:
        return self._model.local_grad_log_joint(theta, z, x, weights)

    def inputs(self, theta: NDArray, x: NDArray) -> NDArray:
        return self._model.local_features(theta, x) if hasattr(self._model, "local_features") else x


def importance_weights(log_prob: NDArray) -> NDArray:
    """Return weights ``(N, M)`` that sum to one over the dreams, for each row of data."""
    weights = np.exp(log_prob - log_prob.max(axis=0))
    weights /= weights.sum(axis=0)
    return weights


def effective_sample_size(log_prob: NDArray) -> float:
    """Return the median over rows of the effective number of dreams, ``1 / sum(weights^2)``."""
    return float(np.median(1 / np.square(importance_weights(log_prob)).sum(axis=0)))


def resampled(weights: NDArray, n: int, rng: np.random.Generator) -> NDArray:
    """Return indices ``(M, n)`` of dreams drawn by their weights ``(N, M)``, systematically."""
    positions = (rng.random((weights.shape[1], 1)) + np.arange(n)) / n
    cumulative = np.cumsum(weights, axis=0).T
    rows = zip(cumulative, positions, strict=True)
    return np.stack([np.minimum(np.searchsorted(row, at), len(row) - 1) for row, at in rows])


@dataclass
class Memory:
    """Dreams of an earlier step, and the log joint ``(n,)`` of each at that step's parameters."""

    z: Latents
    x: NDArray
    log_joint: NDArray

    def check(self) -> None:
        """Raise ValueError unless there are as many latents as observations and log joints."""
        sizes = {len(part) for part in (self.x, self.log_joint, *(self.z if isinstance(self.z, tuple) else (self.z,)))}
        if len(sizes) > 1 or self.x.ndim != 2 or self.log_joint.ndim != 1:
            raise ValueError("the dreams to be used again have not one latent and one log joint each")

    def recalled(self, log_joint: NDArray, rng: np.random.Generator) -> Pairs | None:
        """Return the dreams resampled by importance, given their log joints of now; None if too few would count."""
        log_weights = (log_joint - self.log_joint)[:, np.newaxis]
        if not effective_sample_size(log_weights) >= STILL_EFFECTIVE * len(log_joint):
            return None
        chosen = resampled(importance_weights(log_weights), len(log_joint), rng)[0]
        return Pairs(select(self.z, chosen), self.x[chosen])
