"""Dreams: where pairs of latents and observations come from, and how they are weighed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Latents = Any

# Part of the simulations that may fail: dreams are then conditional on success, which changes little.
MAX_FAILED_SHARE = 0.1
# Standard errors by which the part may be exceeded by chance: there are many steps.
N_STANDARD_ERRORS = 3.0
# How often failed draws are drawn again.
MAX_ROUNDS = 100
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


class FailedSimulationsError(ValueError):
    """More simulations than may fail were not finite."""


def kept(pairs: Pairs, source: str) -> tuple[Pairs, int]:
    """Return the pairs that are finite, and the number of those that are not.

    Parameters
    ----------
    pairs : Pairs
        What a model simulated.
    source : str
        What simulated them, for the message.

    Raises
    ------
    FailedSimulationsError
        If more than a tenth of them are not finite, and more than by chance.
    """
    finite = np.isfinite(pairs.x).all(axis=1)
    for part in pairs.z if isinstance(pairs.z, tuple) else (pairs.z,):
        if np.asarray(part).dtype.kind in "fc":
            finite &= np.isfinite(part).reshape(len(finite), -1).all(axis=1)
    n, n_failed = len(finite), int((~finite).sum())
    if n_failed == 0:
        return pairs, 0
    chance = N_STANDARD_ERRORS * np.sqrt(MAX_FAILED_SHARE * (1 - MAX_FAILED_SHARE) * n)
    if n_failed > MAX_FAILED_SHARE * n + chance:
        raise FailedSimulationsError(
            f"{n_failed} of {n} simulations by {source} are not finite, the first is row {int(finite.argmin())}; at "
            f"most {MAX_FAILED_SHARE:.0%} may fail, up to chance"
        )
    return Pairs(select(pairs.z, finite), pairs.x[finite]), n_failed


def finite_draws(sample: Callable[[int], tuple[Latents, NDArray]], n: int, source: str) -> NDArray:
    """Return ``n`` simulated rows that are finite: what fails is drawn again."""
    parts: list[NDArray] = []
    n_missing = n
    while n_missing:
        pairs, n_missing = kept(Pairs(*sample(n_missing)), source)
        parts.append(pairs.x)
        if len(parts) > MAX_ROUNDS:
            raise FailedSimulationsError(f"{source} still gives rows that are not finite after {MAX_ROUNDS} rounds")
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def described_params(theta: NDArray) -> str:
    """Return parameters as messages show them."""
    return f"theta = {np.array2string(theta, precision=3, threshold=8, edgeitems=3)}"


@contextmanager
def failing_at(theta: NDArray) -> Iterator[None]:
    """Name the parameters at which simulations fail."""
    try:
        yield
    except FailedSimulationsError as error:
        raise FailedSimulationsError(f"{error}, at {described_params(theta)}.") from error


@contextmanager
def memory_for(parameter: str, value: int) -> Iterator[None]:
    """Name the parameter to lower when memory is out."""
    try:
        yield
    except MemoryError as error:
        raise MemoryError(f"{parameter}={value} needs more memory than there is: {error} Lower {parameter}.") from error


class Phases(Protocol):
    """How pairs are dreamed, and their scores computed."""

    source: str

    def dream(self, theta: NDArray, n: int, batch: NDArray, rng: np.random.Generator) -> Pairs:
        """Return ``n`` pairs."""

    def score(self, theta: NDArray, z: Latents, x: NDArray, weights: NDArray) -> NDArray:
        """Return the weighted sum of the pairs' scores, ``(P,)``."""

    def inputs(self, theta: NDArray, x: NDArray) -> NDArray:
        """Return what the scores are regressed on, before any feature map."""


class WholeObservations:
    """Dreams of whole observations."""

    source = "sample"

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

    source = "sample_local"

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
