"""How a call of `fit` or `partial_fit` goes: train a copy of the state, set the fitted attributes on success."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import blake2b
from time import perf_counter
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from skwakesleep._adapters.sklearn_compat import CallbackSupportMixin
from skwakesleep._engine.machine.rows import Table
from skwakesleep._engine.training.loop import TrainingDivergedError
from skwakesleep._engine.training.state import TrainingState


class FittingMixin(CallbackSupportMixin):
    """An estimator with `fit` and `partial_fit`.

    Its class has a method ``_train(X, fresh, partial)``, which trains and returns warnings.
    """

    warm_start: bool
    _fitted: Any  # a dataclass with a field `state`
    _adopt: Callable[[dict[str, Any]], None]
    _train: Callable[..., list[Warning]]

    def __sklearn_is_fitted__(self):
        return "_fitted" in vars(self)

    def _fit(self, X: Any) -> Self:
        """Train as `fit` does, and issue the warnings."""
        return self._warned(self._train(X, fresh=not (self.warm_start and self.__sklearn_is_fitted__()), partial=False))

    def _partial_fit(self, X: Any) -> Self:
        """Train as `partial_fit` does, and issue the warnings."""
        return self._warned(self._train(X, fresh=not self.__sklearn_is_fitted__(), partial=True))

    def _warned(self, notices: list[Warning]) -> Self:
        for notice in notices:
            warnings.warn(notice, stacklevel=4)  # the caller of fit
        return self

    @contextmanager
    def _keeping(self, attributes: Callable, trained: Callable, diverged: Callable, *, replace: bool) -> Iterator[None]:
        """Keep completed epochs if training is interrupted, and finite parameters if it diverges; raise in both cases.

        Parameters
        ----------
        attributes : callable
            Maps a state to the fitted attributes.
        trained : callable
            Returns the state to keep; None if no epoch is complete.
        diverged : callable
            Maps the error to the last finite state, None if there is none, and a message with advice.
        replace : bool
            Whether the last finite state of a diverged training replaces an earlier fit, if there is one.
        """
        name = type(self).__name__
        try:
            yield
        except KeyboardInterrupt as interrupt:
            state = trained()  # `record` completes an epoch in one step, so that it is either whole or absent
            if state is not None:
                self._adopt(attributes(state))
                interrupt.add_note(
                    f"{name}: training was interrupted after {state.n_epochs} epochs, which are kept. The estimator is "
                    "usable; fit with warm_start=True continues from here."
                )
            raise
        except TrainingDivergedError as error:
            state, message = diverged(error)
            if state is not None and (replace or not self.__sklearn_is_fitted__()):
                self._adopt(attributes(state))
            raise ValueError(f"{name}: {message}") from error

    def discard_training_state(self):
        """Discard everything that only further training needs, to save memory and to make saved files small.

        This is the memory of the solver, the last iterate besides the average, parameters kept for comparison, and
        dreams kept for later steps. All methods other than training give exactly the same results as before, and the
        fitted attributes stay. Afterwards `partial_fit`, `fit` with ``warm_start=True`` and `replicate` raise an error,
        until `fit` with ``warm_start=False`` trains anew.

        Returns
        -------
        self : estimator
            The estimator itself. Copies of it keep their training state.

        Raises
        ------
        NotFittedError
            If the estimator has not been fitted.

        Examples
        --------
        >>> import pickle
        >>> from skwakesleep import HelmholtzMachine
        >>> from skwakesleep.datasets import make_bars
        >>> X, _ = make_bars(100, random_state=0)
        >>> machine = HelmholtzMachine(100, max_iter=2, tol=None, random_state=0).fit(X)
        >>> before = len(pickle.dumps(machine))
        >>> after = len(pickle.dumps(machine.discard_training_state()))
        >>> before > 4 * after
        True
        """
        check_is_fitted(self)
        self._fitted = replace(self._fitted, state=self._fitted.state.for_inference())
        return self

    def _training_state(self) -> Any:
        """Return the state to continue from.

        Raises
        ------
        ValueError
            If it was discarded.
        """
        if self._fitted.state.discarded:
            raise ValueError(
                f"This {type(self).__name__} cannot be trained further, because discard_training_state was called. "
                "Train anew by fit with warm_start=False, or continue from a copy that was saved before."
            )
        return self._fitted.state


def hold_out(X: Table, fraction: float, seed: int) -> tuple[NDArray, NDArray]:
    """Return the indices of the rows to train on and of those held out."""
    n_samples = X.shape[0]
    n_held_out = int(fraction * n_samples)
    if not 0 < n_held_out < n_samples:
        raise ValueError(
            f"Early stopping with validation_fraction={fraction} holds out {n_held_out} rows of n_samples={n_samples}, "
            "and at least one row must be held out and one be left. Enlarge validation_fraction or the data."
        )
    # The seed belongs to the state of training, so that a warm start holds out the same rows.
    order = np.random.default_rng(seed).permutation(n_samples)
    return order[n_held_out:], order[:n_held_out]


def identify_rows(X: Table, *settings: Any) -> str:
    """Return an identifier of the rows and settings of a fit, to recognize them in a later fit."""
    parts = [X] if isinstance(X, np.ndarray) else [X.data, X.indices, X.indptr]
    # The shape too: tables of equal bytes may have other columns.
    digest = blake2b(repr((X.shape, *settings)).encode(), digest_size=16)
    for part in parts:
        digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()


def bound_and_score(state: TrainingState) -> str:
    """Return the bound and the score of the last epoch as text."""
    report = f"lower bound = {state.lower_bounds[-1]:.2f}"
    if state.validation_scores:
        report += f", validation score = {state.validation_scores[-1]:.2f}"
    return report


@dataclass
class FitMonitor:
    """Passes each epoch of the training loop to scikit-learn's callbacks and to `verbose`.

    Attributes
    ----------
    estimator : estimator
        The estimator that is fitted, with or without callbacks.
    X : array-like
        The training data, for callbacks.
    n_epochs : int
        Upper limit of epochs.
    attributes : callable
        Maps a training state to fitted attributes, for callbacks that need a fitted estimator.
    report : callable
        Maps a training state to the text that `verbose` prints; by default its bound and score.
    """

    estimator: Any
    X: Any
    n_epochs: int
    attributes: Callable[[Any], dict[str, Any]]
    report: Callable[[Any], str] = bound_and_score

    def __post_init__(self) -> None:
        self._root: Any = None
        self._epoch: Any = None
        if self.estimator._has_callbacks():
            self._root = self.estimator._init_callback_context(max_subtasks=self.n_epochs)
            self._root.call_on_fit_task_begin(estimator=self.estimator, X=self.X)

    def epoch_begin(self) -> None:
        """Open the task of an epoch."""
        self._started = perf_counter()
        if self._root is not None:
            self._epoch = self._root.subcontext(task_name="epoch")
            self._epoch.call_on_fit_task_begin(estimator=self.estimator, X=self.X)

    def epoch_end(self, state: TrainingState) -> bool:
        """Report an epoch; return whether a callback ends the training."""
        if self.estimator.verbose:
            name, seconds = type(self.estimator).__name__, perf_counter() - self._started
            print(f"[{name}] Iteration {state.n_epochs}, {self.report(state)}, time = {seconds:.2f}s", flush=True)
        return self._call_end(self._epoch, state)

    def fit_end(self, state: TrainingState) -> None:
        """Close the task of the whole fit."""
        self._call_end(self._root, state)

    def _call_end(self, context: Any, state: TrainingState) -> bool:
        if context is None:
            return False
        # A callback may keep the attributes while training goes on, so that it gets a copy of the state.
        return context.call_on_fit_task_end(
            estimator=self.estimator, X=self.X, reconstruction_attributes=lambda: self.attributes(state.copy())
        )
