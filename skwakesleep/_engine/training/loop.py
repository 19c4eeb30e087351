"""The training loop: epochs of shuffled mini-batches, stopping and history, independent of the model."""

from collections.abc import Callable
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.training.prior import WeightPrior
from skwakesleep._engine.training.state import Stopping, TrainingState

# Training has diverged if an epoch costs more than this number of nats per unit on average; a fair binary unit costs
# log 2 = 0.7 nats.
LOST_EPOCH = 50.0


class Objective(Protocol):
    """The function to maximize."""

    gradient: NDArray
    damping: NDArray | None
    prior: WeightPrior | None

    def __call__(self, batch: Any) -> float | None:
        """Set `gradient` at the current parameters and return the objective's mean over the batch.

        The value is None if it is not known, and NaN if the gradient is not finite.
        """


class ScoredObjective(Objective, Protocol):
    """An objective that has a value."""

    def floor(self, nats: float) -> float:
        """Return the value at which every unit of the model costs this number of nats on average."""


class TrainingRows(Protocol):
    """Rows to train on."""

    def __len__(self) -> int: ...

    def take(self, indices: NDArray) -> Any:
        """Return the rows at `indices`, in the form that the objective needs."""


class TrainingDivergedError(ValueError):
    """Training has diverged; the parameters are the last known good ones."""

    def __init__(self, epoch: int, reason: str) -> None:
        super().__init__(f"training diverged at epoch {epoch}: {reason}")
        self.epoch = epoch


class Monitor(Protocol):
    """Is called before and after each epoch."""

    def epoch_begin(self) -> None:
        """Called before each epoch."""

    def epoch_end(self, state: TrainingState) -> bool:
        """Called after each epoch; training ends when it returns true."""


def train(
    state: TrainingState,
    objective: Objective,
    rows: TrainingRows,
    *,
    n_epochs: int,
    batch_size: int,
    shuffle: bool,
    stopping: Stopping | None,
    validate: Callable[[NDArray], float] | None,
    monitor: Monitor,
    backend: NumpyBackend,
    project: Callable[[NDArray], NDArray] | None = None,
    rows_id: str = "",
) -> bool:
    """Train `state` in place for at most `n_epochs` epochs.

    Parameters
    ----------
    state : TrainingState
        The state; `objective` reads its parameters and this loop changes them.
    objective : Objective
        The function to maximize.
    rows : TrainingRows
        Training rows.
    n_epochs : int
        Upper limit of epochs.
    batch_size : int
        Rows in a mini-batch; the last of an epoch may be smaller.
    shuffle : bool
        Whether to visit the rows in a new order each epoch.
    stopping : Stopping or None
        When to stop early.
    validate : callable or None
        Scores parameters on held-out rows; the best are kept.
    monitor : Monitor
        Is called before and after each epoch; may end the training.
    backend : NumpyBackend
        Makes the steps of the optimizer.
    project : callable or None
        Maps parameters to the nearest admissible ones, after each step.
    rows_id : str
        Identifies the rows, see `TrainingState.resume`.

    Returns
    -------
    exhausted : bool
        Whether training ended because all epochs were used.

    Raises
    ------
    TrainingDivergedError
        If the objective falls too far or parameters are not finite. The parameters are then those before the last good
        epoch, and the optimizer is reset.
    """
    state.resume(validate, rows_id)
    good = state.iterates()
    for _ in range(n_epochs):
        monitor.epoch_begin()
        before = state.iterates()
        with np.errstate(over="ignore", invalid="ignore"):  # divergence is reported below
            lower_bound = _epoch(state, objective, rows, batch_size, shuffle, backend, project)
        if _is_lost(objective, lower_bound) or not are_usable(state.parameters):
            state.go_back(good)
            reason = "parameters are too large"
            if lower_bound is not None:
                reason = f"the mean lower bound fell to {lower_bound:.3g}"
            raise TrainingDivergedError(state.n_epochs + 1, reason)
        good = before
        state.record(lower_bound, validate(state.average) if validate else None, stopping)
        stop = monitor.epoch_end(state)
        if stop or state.converged:
            return False
    return True


def _is_lost(objective: Objective, value: float | None) -> bool:
    """Return whether the gradient was not finite, or the value, if there is one, is below the floor."""
    if value is None or np.isnan(value):
        return value is not None
    return value < cast(ScoredObjective, objective).floor(LOST_EPOCH)


def are_usable(parameters: NDArray) -> bool:
    """Return whether products of parameters and data, and their squares, are finite."""
    return bool(np.abs(parameters).max(initial=0) < np.finfo(parameters.dtype).max ** 0.25)


def _epoch(
    state: TrainingState,
    objective: Objective,
    rows: TrainingRows,
    batch_size: int,
    shuffle: bool,
    backend: NumpyBackend,
    project: Callable[[NDArray], NDArray] | None,
) -> float | None:
    """Visit every row once and return the mean objective, None if it has no value; stop early if it is NaN."""
    n_rows = len(rows)
    order = state.streams["shuffle"].permutation(n_rows) if shuffle else np.arange(n_rows)
    total: float | None = 0.0
    for start in range(0, n_rows, batch_size):
        chosen = order[start : start + batch_size]
        value = objective(rows.take(chosen))
        if value is not None and np.isnan(value):
            return value
        total = None if value is None or total is None else total + value * len(chosen)
        state.optimizer.ascend(state.parameters, objective.gradient, backend, objective.damping, objective.prior)
        if project is not None:
            state.parameters[...] = project(state.parameters)
        state.average_iterate(backend)
    return None if total is None else total / n_rows
