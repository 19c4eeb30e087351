"""The training loop: epochs of shuffled mini-batches, stopping and history. It knows no model."""

from collections.abc import Callable
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.training.state import Stopping, TrainingState

# Training has diverged if an epoch costs more than this number of nats per unit on average; a fair binary unit costs
# log 2 = 0.7 nats.
LOST_EPOCH = 50.0


class Objective(Protocol):
    """What is ascended."""

    gradient: NDArray
    damping: NDArray | None

    def __call__(self, batch: Any) -> float | None:
        """Set `gradient` at the current parameters and return the objective's mean over the batch.

        None if the objective has no value, NaN if the gradient cannot be followed.
        """


class ScoredObjective(Objective, Protocol):
    """An objective that has a value."""

    def floor(self, nats: float) -> float:
        """Return the value at which every unit of the model costs so many nats on average."""


class Table(Protocol):
    """Rows to train on."""

    def __len__(self) -> int: ...

    def take(self, indices: NDArray) -> Any:
        """Return the rows at `indices`, in the form that the objective takes them."""


class TrainingDivergedError(ValueError):
    """The objective was lost; the parameters are the last that are known to be good."""

    def __init__(self, epoch: int, reason: str) -> None:
        super().__init__(f"training diverged at epoch {epoch}: {reason}")
        self.epoch = epoch


class Monitor(Protocol):
    """Watches a training from outside."""

    def epoch_begin(self) -> None:
        """Called before each epoch."""

    def epoch_end(self, state: TrainingState) -> bool:
        """Called after each epoch; training ends when it returns true."""


def train(
    state: TrainingState,
    objective: Objective,
    rows: Table,
    *,
    n_epochs: int,
    batch_size: int,
    shuffle: bool,
    stopping: Stopping | None,
    validate: Callable[[NDArray], float] | None,
    monitor: Monitor,
    project: Callable[[NDArray], NDArray] | None = None,
    rows_id: str = "",
) -> bool:
    """Train `state` in place for at most `n_epochs` epochs.

    Parameters
    ----------
    state : TrainingState
        What to train; `objective` reads and this loop writes its parameters.
    objective : Objective
        What to ascend.
    rows : Table
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
        Told of each epoch; may end the training.
    project : callable or None
        Maps parameters to the nearest admissible ones, after each step.
    rows_id : str
        Identifies the rows, see `TrainingState.resume`.

    Returns
    -------
    exhausted : bool
        Whether training ended for want of epochs, and for no other reason.

    Raises
    ------
    TrainingDivergedError
        When the objective is lost. The parameters are then those before the last epoch that went well, being the last
        that are known to be good, and the optimizer starts afresh.
    """
    state.resume(validate, rows_id)
    good = state.iterates()
    for _ in range(n_epochs):
        monitor.epoch_begin()
        before = state.iterates()
        with np.errstate(over="ignore", invalid="ignore"):  # a training that diverges is reported once, below
            lower_bound = _epoch(state, objective, rows, batch_size, shuffle, project)
        if _is_lost(objective, lower_bound) or not are_usable(state.parameters):
            state.go_back(good)
            fall = (
                "parameters are too large" if lower_bound is None else f"the mean lower bound fell to {lower_bound:.3g}"
            )
            raise TrainingDivergedError(state.n_epochs + 1, fall)
        good = before
        state.record(lower_bound, validate(state.average) if validate else None, stopping)
        stop = monitor.epoch_end(state)
        if stop or state.converged:
            return False
    return True


def _is_lost(objective: Objective, value: float | None) -> bool:
    """Return whether the gradient could not be followed, or the value, if there is one, is below the floor."""
    if value is None or np.isnan(value):
        return value is not None
    return value < cast(ScoredObjective, objective).floor(LOST_EPOCH)


def are_usable(parameters: NDArray) -> bool:
    """Whether products of parameters and data are finite, and so are their squares."""
    return bool(np.abs(parameters).max(initial=0) < np.finfo(parameters.dtype).max ** 0.25)


def _epoch(
    state: TrainingState,
    objective: Objective,
    rows: Table,
    batch_size: int,
    shuffle: bool,
    project: Callable[[NDArray], NDArray] | None,
) -> float | None:
    """Visit every row once and return the mean objective; stop early if it is not a number."""
    n_rows = len(rows)
    order = state.streams["shuffle"].permutation(n_rows) if shuffle else np.arange(n_rows)
    total: float | None = 0.0
    for start in range(0, n_rows, batch_size):
        chosen = order[start : start + batch_size]
        value = objective(rows.take(chosen))
        if value is not None and np.isnan(value):
            return value
        total = None if value is None or total is None else total + value * len(chosen)
        state.optimizer.ascend(state.parameters, objective.gradient, objective.damping)
        if project is not None:
            state.parameters[...] = project(state.parameters)
        state.average_iterate(scratch=objective.gradient)
    return None if total is None else total / n_rows
