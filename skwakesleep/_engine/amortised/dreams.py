"""Dreams: simulated pairs of latents and observations, and their importance weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.amortised.filling import Filling

Latents = Any

# Share of the simulations that may fail. The others are conditional on success, which changes their density little.
MAX_FAILED_SHARE = 0.1
# Standard errors by which the share may be exceeded by chance. A training has thousands of steps.
N_STANDARD_ERRORS = 3.0
# Upper limit of the rounds in which failed draws are replaced.
MAX_ROUNDS = 100
# Dreams of an earlier step are used again while their effective number is at least this share of them.
MIN_EFFECTIVE_SHARE = 0.5


class Pairs(NamedTuple):
    """Latents, and the observations simulated from them (or the rows of local factors)."""

    z: Latents
    x: NDArray

    def head(self, n: int) -> "Pairs":
        """Return the first `n` pairs."""
        return Pairs(select(self.z, slice(n)), self.x[:n])

    def split(self, share: float) -> tuple["Pairs", "Pairs"]:
        """Return the first pairs, a share of them, and the others."""
        n = round(share * len(self.x))
        return self.head(n), Pairs(select(self.z, slice(n, None)), self.x[n:])


def parts(z: Latents) -> tuple[Any, ...]:
    """Return the arrays of latents, which are one array or a tuple of arrays."""
    return z if isinstance(z, tuple) else (z,)


def select(z: Latents, index: Any) -> Latents:
    """Return some of the latents, which are an array or a tuple of arrays."""
    return tuple(part[index] for part in z) if isinstance(z, tuple) else z[index]


# ---------------------------------------------------------------------- simulations that fail


class FailedSimulationsError(ValueError):
    """Too many simulations are not finite."""


def finite_pairs(pairs: Pairs, source: str, missing: NDArray | None = None) -> tuple[Pairs, int]:
    """Return the pairs that are finite, and the number of those that are not; see `are_finite`."""
    finite = are_finite(pairs, source, missing)
    n_failed = int((~finite).sum())
    return (Pairs(select(pairs.z, finite), pairs.x[finite]), n_failed) if n_failed else (pairs, 0)


def are_finite(pairs: Pairs, source: str, missing: NDArray | None = None) -> NDArray:
    """Return whether each pair is finite, ``(n,)``.

    Parameters
    ----------
    pairs : Pairs
        What a model simulated.
    source : str
        Name of the method that simulated them, for the message.
    missing : ndarray of shape (n, D) or None
        Cells that are not observed, and so need not be finite.

    Raises
    ------
    FailedSimulationsError
        If the share of failures is significantly larger than `MAX_FAILED_SHARE`.
    """
    finite_cells = np.isfinite(pairs.x)
    finite = (finite_cells if missing is None else finite_cells | missing).all(axis=1)
    for part in parts(pairs.z):
        if np.asarray(part).dtype.kind in "fc":  # latents may also be integers, booleans or objects
            finite &= np.isfinite(part).reshape(len(finite), -1).all(axis=1)
    n, n_failed = len(finite), int((~finite).sum())
    chance = N_STANDARD_ERRORS * np.sqrt(MAX_FAILED_SHARE * (1 - MAX_FAILED_SHARE) * n)
    if n_failed > MAX_FAILED_SHARE * n + chance:
        raise FailedSimulationsError(
            f"{n_failed} of {n} simulations by {source} are not finite, the first is row {int(finite.argmin())}; at "
            f"most {MAX_FAILED_SHARE:.0%} may fail, up to chance"
        )
    return finite


def described_params(theta: NDArray) -> str:
    """Return parameters as messages show them."""
    return f"theta = {np.array2string(theta, precision=3, threshold=8, edgeitems=3)}"


@contextmanager
def failing_at(theta: NDArray) -> Iterator[None]:
    """Add the parameters to the message when simulations fail."""
    try:
        yield
    except FailedSimulationsError as error:
        raise FailedSimulationsError(f"{error}, at {described_params(theta)}.") from error


# ---------------------------------------------------------------------- where dreams come from


class Simulation:
    """Simulates pairs of latents and whole observations.

    Parameters
    ----------
    model : GenerativeModel
        Has ``sample`` and, for its scores, ``grad_log_joint``.

    Attributes
    ----------
    log_joint : callable or None
        The model's log-density of pairs, if it has one.
    log_prob_x_given_z : callable or None
        The model's log-density of observations given latents, if it has one.
    """

    local = False
    source = "sample"

    def __init__(self, model: Any) -> None:
        self.model = model
        whole = None if self.local else model  # the densities of a model are of whole observations
        self.log_joint = getattr(whole, "log_joint", None)
        self.log_prob_x_given_z = getattr(whole, "log_prob_x_given_z", None)

    def rows(self, X: NDArray) -> NDArray:
        """Return the rows to train on, given the data."""
        return X

    def dream(self, theta: NDArray, n: int, batch: NDArray, rng: np.random.Generator) -> tuple[Pairs, int]:
        """Return ``n`` pairs less those that are not finite, and the number of the latter."""
        rows = self.spread(batch, n, rng)
        return finite_pairs(self.draw(theta, n, rows, rng), self.source, self.missing(rows))

    def spread(self, batch: NDArray, n: int, rng: np.random.Generator) -> NDArray:
        """Return the rows to dream for, given a batch."""
        return batch

    def missing(self, rows: NDArray | None) -> NDArray | None:
        """Return the cells that are missing in what is drawn for some rows; None if there are none."""
        return None

    def draw(self, theta: NDArray, n: int, rows: NDArray | None, rng: np.random.Generator) -> Pairs:
        """Return ``n`` pairs. Subclasses draw them for some rows."""
        return Pairs(*self.model.sample(theta, n, rng))

    def score(self, theta: NDArray, z: Latents, x: NDArray, weights: NDArray) -> NDArray:
        """Return the weighted sum of the scores of pairs, ``(P,)``."""
        return self.model.grad_log_joint(theta, z, x, weights)

    def scores(self, theta: NDArray, pairs: Pairs) -> NDArray:
        """Return the score of each pair, ``(n, P)``."""
        if not self.local and hasattr(self.model, "scores"):
            return self.model.scores(theta, pairs.z, pairs.x)
        weight, singles = np.ones(1), [slice(n, n + 1) for n in range(len(pairs.x))]
        return np.stack([self.score(theta, select(pairs.z, single), pairs.x[single], weight) for single in singles])

    def inputs(self, theta: NDArray, x: NDArray) -> NDArray:
        """Return the inputs of the regression, before any feature map."""
        return x


class LocalSimulation(Simulation):
    """Simulates one step from each observed history, for models whose log joint is a sum of local factors."""

    local = True
    source = "sample_local"

    def rows(self, X: NDArray) -> NDArray:
        return self.model.local_inputs(X)

    def draw(self, theta: NDArray, n: int, rows: NDArray | None, rng: np.random.Generator) -> Pairs:
        return Pairs(*self.model.sample_local(theta, rows, n, rng))

    def score(self, theta: NDArray, z: Latents, x: NDArray, weights: NDArray) -> NDArray:
        return self.model.local_grad_log_joint(theta, z, x, weights)

    def inputs(self, theta: NDArray, x: NDArray) -> NDArray:
        return self.model.local_features(theta, x) if hasattr(self.model, "local_features") else x


class GivenSimulation(Simulation):
    """Simulates for the context of rows of data: the inputs in their columns, and their missing cells.

    Missing cells are NaN. The inputs of the regression have their linear predictions in their place, and an indicator
    for each column that has some.

    Parameters
    ----------
    model : GenerativeModel
        Has ``sample_given`` if rows have inputs, and ``sample`` otherwise.
    X : ndarray of shape (n, D)
        The data.
    """

    def __init__(self, model: Any, X: NDArray) -> None:
        super().__init__(model)
        self._has_inputs = hasattr(model, "sample_given")
        self.source = "sample_given" if self._has_inputs else "sample"
        self._holed = np.isnan(X).any(axis=0)
        self._filled = Filling(X)

    def spread(self, batch: NDArray, n: int, rng: np.random.Generator) -> NDArray:
        return batch[rng.permutation(max(n, len(batch)))[:n] % len(batch)]

    def missing(self, rows: NDArray | None) -> NDArray | None:
        return None if rows is None else np.isnan(rows)

    def draw(self, theta: NDArray, n: int, rows: NDArray | None, rng: np.random.Generator) -> Pairs:
        if rows is None:
            return super().draw(theta, n, rows, rng)
        z, x = self.model.sample_given(theta, rows, rng) if self._has_inputs else self.model.sample(theta, n, rng)
        return Pairs(z, np.where(np.isnan(rows), np.nan, x))

    def inputs(self, theta: NDArray, x: NDArray) -> NDArray:
        return np.hstack([self._filled(x), np.isnan(x[:, self._holed])])


def simulation_of(model: Any, X: NDArray, *, local: bool = False) -> Simulation:
    """Return the simulation that suits a model: of local factors, for given rows, or of whole observations."""
    if local:
        return LocalSimulation(model)
    given = hasattr(model, "sample_given") or getattr(model, "allow_nan", False)
    return GivenSimulation(model, X) if given else Simulation(model)


def finite_draws(
    simulation: Simulation, theta: NDArray, n: int, rows: NDArray | None, rng: np.random.Generator
) -> NDArray:
    """Return ``n`` observations, ``(n, D)``, that are finite, drawn for as many rows; failed draws are drawn again."""
    x, todo = np.empty((n, simulation.model.n_features)), np.arange(n)
    for _ in range(MAX_ROUNDS):
        given = None if rows is None else rows[todo]
        pairs = simulation.draw(theta, len(todo), given, rng)
        x[todo] = pairs.x
        todo = todo[~are_finite(pairs, simulation.source, simulation.missing(given))]
        if len(todo) == 0:
            return x
    raise FailedSimulationsError(f"{simulation.source} still gives rows that are not finite after {MAX_ROUNDS} rounds")


# ---------------------------------------------------------------------- importance weights


def importance_weights(log_prob: NDArray) -> NDArray:
    """Return weights ``(N, M)`` that sum to one over the dreams, for each row of data."""
    weights = np.exp(log_prob - log_prob.max(axis=0))  # at most one, so that nothing overflows
    weights /= weights.sum(axis=0)
    return weights


def effective_sample_size(log_prob: NDArray) -> float:
    """Return the median over rows of the effective number of dreams, ``1 / sum(weights^2)``."""
    return float(np.median(1 / np.square(importance_weights(log_prob)).sum(axis=0)))


def systematic_resample(weights: NDArray, n: int, rng: np.random.Generator) -> NDArray:
    """Return indices ``(M, n)`` of dreams, drawn by systematic resampling with weights ``(N, M)``."""
    positions = (rng.random((weights.shape[1], 1)) + np.arange(n)) / n
    cumulative = np.cumsum(weights, axis=0).T
    rows = zip(cumulative, positions, strict=True)
    # By rounding, the last cumulative weight may be below the last position.
    return np.stack([np.minimum(np.searchsorted(row, at), len(row) - 1) for row, at in rows])


@dataclass
class StoredDreams:
    """Dreams of an earlier step, to be used again.

    Attributes
    ----------
    z, x : Latents, ndarray of shape (n, D)
        The pairs.
    log_joint : ndarray of shape (n,)
        Their log-densities at the parameters of that step, in nats.
    """

    z: Latents
    x: NDArray
    log_joint: NDArray

    def check(self) -> None:
        """Raise ValueError unless there are as many latents as observations and log joints."""
        sizes = {len(part) for part in (self.x, self.log_joint, *parts(self.z))}
        if len(sizes) > 1 or self.x.ndim != 2 or self.log_joint.ndim != 1:
            raise ValueError("the dreams to be used again have not one latent and one log joint each")

    def resampled(self, log_joint: NDArray, rng: np.random.Generator) -> Pairs | None:
        """Return the pairs resampled by importance, given their present log joints; None if too few are effective."""
        log_weights = (log_joint - self.log_joint)[:, np.newaxis]
        # NaN, from densities that are not finite, counts as too few.
        if not effective_sample_size(log_weights) >= MIN_EFFECTIVE_SHARE * len(log_joint):
            return None
        chosen = systematic_resample(importance_weights(log_weights), len(log_joint), rng)[0]
        return Pairs(select(self.z, chosen), self.x[chosen])
