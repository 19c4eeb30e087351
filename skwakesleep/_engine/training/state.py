"""The state of a training: everything that is needed to continue it exactly after an interruption."""

from collections.abc import Callable, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.arrays.random import Streams
from skwakesleep._engine.training.optimizers import SGD, Optimizer

# The average covers about the last 1/9 of all steps, in some thirty iterates: more of them would take time, and differ
# little from each other.
AVERAGING_DECAY = 9
AVERAGING_STRIDE = 1 / (30 * AVERAGING_DECAY)
# Epochs and steps before which scores may stand still without being at their end.
MIN_EPOCHS, MIN_STEPS = 10, 1000


@dataclass
class Stopping:
    """When training has converged.

    With `n_iter_no_change`, it has if the score has not improved by more than `tol` for this number of epochs in a row.
    Without, it has if the mean score of the last quarter of epochs exceeds that of the quarter before by `tol` at most,
    after at least `MIN_EPOCHS` epochs and `MIN_STEPS` steps. The window grows with the training, so that noise does not
    decide.
    """

    tol: float
    n_iter_no_change: int | None = None

    def is_met(self, scores: Sequence[float], n_stale: int, n_steps: int) -> bool:
        """Return whether training has converged, given the scores of its epochs."""
        if self.n_iter_no_change is not None:
            return n_stale >= self.n_iter_no_change
        quarter = len(scores) // 4
        if len(scores) < MIN_EPOCHS or n_steps < MIN_STEPS:
            return False
        return bool(np.mean(scores[-quarter:]) - np.mean(scores[-2 * quarter : -quarter]) <= self.tol)


@dataclass
class TrainingState:
    """Everything that a training needs to continue exactly after an interruption.

    Attributes
    ----------
    parameters : ndarray of shape (n_parameters,)
        The current iterate.
    average : ndarray of shape (n_parameters,)
        Running average of the iterates, see `average_iterate`.
    n_steps : int
        Number of iterates so far.
    n_averaged : int
        Number of iterates when one was last added to the average.
    optimizer : Optimizer
        The optimizer with its memory.
    streams : Streams
        The random streams in their current state.
    n_epochs : int
        Number of epochs trained so far.
    n_rows : int
        Number of rows that the parameters are fitted to; all parts of a stream so far.
    lower_bounds : list of float
        Mean objective over each epoch, in nats per row; empty if the objective has no value.
    validation_scores : list of float
        Held-out score after each epoch, in nats per row; empty without validation.
    best_score : float
        The highest score so far: of validation where there is one, of the objective otherwise.
    best_parameters : ndarray or None
        The average that reached it; kept only with validation.
    n_stale : int
        Epochs since the score last improved.
    compared_from : int
        Number of epochs whose scores belong to other rows, or to an earlier fit that has converged.
    steps_before : int
        Number of iterates in those epochs.
    rows_id : str
        Identifies the rows that the scores refer to; empty if they are parts of a stream.
    converged : bool
        Whether the last training ended because the score no longer improved.
    discarded : bool
        Whether everything that only training needs was discarded, so that training cannot continue.
    """

    parameters: NDArray
    optimizer: Optimizer
    streams: Streams
    average: NDArray = field(init=False)
    n_steps: int = 0
    n_averaged: int = 0
    n_epochs: int = 0
    n_rows: int = 0
    lower_bounds: list[float] = field(default_factory=list)
    validation_scores: list[float] = field(default_factory=list)
    best_score: float = -np.inf
    best_parameters: NDArray | None = None
    n_stale: int = 0
    compared_from: int = 0
    steps_before: int = 0
    rows_id: str = ""
    converged: bool = False
    discarded: bool = False

    def __post_init__(self) -> None:
        self.average = self.parameters.copy()

    @property
    def selected_parameters(self) -> NDArray:
        """The parameters to use: the best on held-out rows, or else the average."""
        return self.average if self.best_parameters is None else self.best_parameters

    @property
    def parameter_vectors(self) -> list[NDArray]:
        """The iterate, its average and, if there is one, the best average."""
        best = [] if self.best_parameters is None else [self.best_parameters]
        return [self.parameters, self.average, *best]

    def check(self, n_parameters: int) -> None:
        """Raise ValueError unless all arrays are finite and of the right size."""
        for part in (self, self.optimizer):
            for name, value in vars(part).items():
                if isinstance(value, np.ndarray):
                    check_vector(name, value, n_parameters)
                elif isinstance(value, Integral) and value < 0:
                    raise ValueError(f"{name} is negative: {value!r}")
        self.streams.check()

    def for_inference(self) -> "TrainingState":
        """Return a state for inference alone, with one array of parameters."""
        other = copy(self)
        other.parameters = other.average = self.selected_parameters
        other.best_parameters = None
        other.optimizer = SGD(self.optimizer.learning_rate)  # has no memory
        other.discarded = True
        return other

    def average_iterate(self, backend: NumpyBackend) -> None:
        """Count the current iterate and, if one is due, add it to the average.

        Polynomial-decay averaging (Shamir & Zhang 2013): at any time the average covers about the last tenth of all
        steps. With a constant step size it does what a schedule would do, without knowing when training ends.
        """
        self.n_steps += 1
        if self.n_steps < self.n_averaged * (1 + AVERAGING_STRIDE):
            return
        keep = (self.n_averaged / self.n_steps) ** AVERAGING_DECAY
        backend.blend(keep, self.average, 1 - keep, self.parameters)
        self.n_averaged = self.n_steps

    def copy(self) -> "TrainingState":
        """Return a state that can be trained without changing this one."""
        other = copy(self)
        other.parameters, other.average = self.parameters.copy(), self.average.copy()
        other.optimizer, other.streams = deepcopy(self.optimizer), deepcopy(self.streams)
        if self.best_parameters is not None:
            other.best_parameters = self.best_parameters.copy()
        other.lower_bounds, other.validation_scores = self.lower_bounds.copy(), self.validation_scores.copy()
        return other

    def iterates(self) -> tuple[NDArray, NDArray, int, int]:
        """Return copies of the iterate and the average, and the numbers of steps that led to them."""
        return self.parameters.copy(), self.average.copy(), self.n_steps, self.n_averaged

    def go_back(self, iterates: tuple[NDArray, NDArray, int, int]) -> None:
        """Return to earlier iterates, and reset the optimizer."""
        self.parameters[...], self.average[...], self.n_steps, self.n_averaged = iterates
        self.optimizer.reset()

    def resume(self, validate: Callable[[NDArray], float] | None, rows_id: str = "") -> None:
        """Prepare for more epochs, with held-out rows or without.

        If training continues on the same rows, the count of epochs without improvement continues as well. On other rows
        the best parameters, if any, are scored anew.
        """
        comparable = rows_id == self.rows_id and (validate is None) == (self.best_parameters is None)
        self.rows_id = rows_id
        if comparable and not self.converged:
            return
        self.converged = False  # a fit after convergence gets its full patience
        self.n_stale, self.compared_from, self.steps_before = 0, self.n_epochs, self.n_steps
        if comparable:
            return
        if validate is None:
            self.best_parameters = None
        self.best_score = -np.inf
        if validate is not None and self.best_parameters is not None:
            self.best_score = validate(self.best_parameters)

    def record(self, lower_bound: float | None, validation_score: float | None, stopping: Stopping | None) -> None:
        """Record the outcome of an epoch, and whether training has converged; an interrupt cannot split the record."""
        new: dict[str, Any] = {"n_epochs": self.n_epochs + 1}
        if lower_bound is not None:
            new["lower_bounds"] = [*self.lower_bounds, lower_bound]
        if validation_score is not None:
            new["validation_scores"] = [*self.validation_scores, validation_score]
        score = lower_bound if validation_score is None else validation_score
        if score is not None:
            new |= self._compared(score, validation_score is not None, stopping)
        vars(self).update(new)

    def _compared(self, score: float, held_out: bool, stopping: Stopping | None) -> dict[str, Any]:
        """Return the attributes that change when the score of an epoch is compared with the best so far."""
        tol = stopping.tol if stopping is not None else 0.0
        new: dict[str, Any] = {}
        if score > self.best_score:
            new["best_score"] = score
            if held_out:
                new["best_parameters"] = self.average.copy()
        improved = score > self.best_score + tol
        n_stale = 0 if improved else self.n_stale + 1
        scores = self.validation_scores if held_out else self.lower_bounds
        n_compared = self.n_epochs + 1 - self.compared_from
        compared, n_steps = [*scores, score][-n_compared:], self.n_steps - self.steps_before
        converged = stopping is not None and stopping.is_met(compared, n_stale, n_steps)
        return {**new, "n_stale": n_stale, "converged": converged}


def check_vector(name: str, vector: NDArray, size: int) -> None:
    """Raise ValueError unless a vector has a given size, and finite floats."""
    if vector.shape != (size,) or vector.dtype.kind != "f":
        raise ValueError(f"{name} has shape {vector.shape} and dtype {vector.dtype}, not {size} floats")
    if not np.isfinite(vector).all():
        raise ValueError(f"{name} is not finite")


def mean_state(states: Sequence[TrainingState]) -> TrainingState:
    """Return the mean of states that were trained apart for as many epochs, with the random streams of the first.

    Iterates, their averages and the moments of the optimizer are averaged, so that training can continue. Earlier
    scores are dropped: they belong to other parameters.
    """
    mean = states[0].copy()
    mean.parameters[...] = np.mean([state.parameters for state in states], axis=0)
    mean.average[...] = np.mean([state.average for state in states], axis=0)
    mean.n_steps = max(state.n_steps for state in states)
    mean.n_rows = max(state.n_rows for state in states)
    mean.n_averaged = max(state.n_averaged for state in states)
    mean.optimizer.join([state.optimizer for state in states[1:]])
    mean.lower_bounds = np.mean([state.lower_bounds for state in states], axis=0).tolist()
    mean.validation_scores, mean.best_parameters, mean.best_score = [], None, -np.inf
    mean.n_stale, mean.compared_from, mean.steps_before = 0, mean.n_epochs, mean.n_steps
    mean.converged = False
    return mean
