"""How a call of `fit` or `partial_fit` goes: train a copy of the state, set the fitted attributes on success."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from skwakesleep._adapters.training_state import DiscardableTrainingMixin
from skwakesleep._engine.machine.rows import Table
from skwakesleep._engine.training.loop import TrainingDivergedError
from skwakesleep._engine.training.state import TrainingState


class FittingMixin(DiscardableTrainingMixin):
    """An estimator with `fit` and `partial_fit`.

    Its class has a method ``_train(X, fresh, partial)``, which trains and returns warnings.
    """

    warm_start: bool
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

    def _adopt(self, attributes: dict[str, Any]) -> None:
        """Set the fitted attributes, all at once."""
        kept = {name: value for name, value in vars(self).items() if name != "feature_names_in_"}
        self.__dict__ = {**kept, **attributes}

    @contextmanager
    def _keeping(
        self,
        attributes: Callable[[Any], dict[str, Any]],
        trained: Callable[[], TrainingState | None],
        diverged: Callable[[TrainingDivergedError], tuple[TrainingState | None, str]],
        *,
        replace: bool,
    ) -> Iterator[None]:
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
            state = trained()
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


def hold_out(X: Table, fraction: float, seed: int) -> tuple[NDArray, NDArray]:
    """Return the indices of the rows to train on and of those held out."""
    n_samples = X.shape[0]
    n_held_out = int(fraction * n_samples)
    if not 0 < n_held_out < n_samples:
        raise ValueError(
            f"Early stopping with validation_fraction={fraction} holds out {n_held_out} rows of n_samples={n_samples}, "
            "and at least one row must be held out and one be left. Enlarge validation_fraction or the data."
        )
    order = np.random.default_rng(seed).permutation(n_samples)
    return order[n_held_out:], order[:n_held_out]


def identify_rows(X: Table, *settings: Any) -> str:
    """Return an identifier of the rows and settings of a fit, to recognize them in a later fit."""
    parts = [X] if isinstance(X, np.ndarray) else [X.data, X.indices, X.indptr]
    digest = blake2b(repr((X.shape, *settings)).encode(), digest_size=16)
    for part in parts:
        digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()
