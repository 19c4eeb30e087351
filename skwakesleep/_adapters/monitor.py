"""Reports of each epoch of a fit, to scikit-learn's callbacks and to the terminal."""

from collections.abc import Callable
from time import perf_counter
from typing import Any

from skwakesleep._engine.training.state import TrainingState


class FitMonitor:
    """Passes each epoch of the training loop to scikit-learn's callbacks and to `verbose`.

    Parameters
    ----------
    estimator : estimator
        The estimator that is fitted, with or without callbacks.
    X : array-like
        The training data, for callbacks.
    n_epochs : int
        Upper limit of epochs.
    attributes : callable
        Maps a training state to fitted attributes, for callbacks that need a fitted estimator.
    report : callable, optional
        Maps a training state to the text that `verbose` prints; by default its bound and score.
    """

    def __init__(
        self,
        estimator: Any,
        X: Any,
        n_epochs: int,
        attributes: Callable[[TrainingState], dict[str, Any]],
        report: Callable[[Any], str] | None = None,
    ) -> None:
        self._estimator = estimator
        self._X = X
        self._attributes = attributes
        self._report = report or _bound_and_score
        self._started = perf_counter()
        self._root: Any = None
        self._epoch: Any = None
        if estimator._has_callbacks():
            self._root = estimator._init_callback_context(max_subtasks=n_epochs)
            self._root.call_on_fit_task_begin(estimator=estimator, X=X)

    def epoch_begin(self) -> None:
        """Open the task of an epoch."""
        self._started = perf_counter()
        if self._root is not None:
            self._epoch = self._root.subcontext(task_name="epoch")
            self._epoch.call_on_fit_task_begin(estimator=self._estimator, X=self._X)

    def epoch_end(self, state: TrainingState) -> bool:
        """Report an epoch; return whether a callback ends the training."""
        if self._estimator.verbose:
            print(self._line(state), flush=True)
        return self._call_end(self._epoch, state)

    def fit_end(self, state: TrainingState) -> None:
        """Close the task of the whole fit."""
        self._call_end(self._root, state)

    def _call_end(self, context: Any, state: TrainingState) -> bool:
        if context is None:
            return False
        return context.call_on_fit_task_end(
            estimator=self._estimator,
            X=self._X,
            reconstruction_attributes=lambda: self._attributes(state.copy()),  # training goes on
        )

    def _line(self, state: TrainingState) -> str:
        line = f"[{type(self._estimator).__name__}] Iteration {state.n_epochs}, {self._report(state)}, "
        return line + f"time = {perf_counter() - self._started:.2f}s"


def _bound_and_score(state: TrainingState) -> str:
    report = f"lower bound = {state.lower_bounds[-1]:.2f}"
    if state.validation_scores:
        report += f", validation score = {state.validation_scores[-1]:.2f}"
    return report
