"""How a call of `fit` or `partial_fit` goes: train a copy of the state, set the fitted attributes on success."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

from skwakesleep._adapters.training_state import DiscardableTrainingMixin
from skwakesleep._engine.training.loop import TrainingDivergedError
from skwakesleep._engine.training.state import TrainingState


class FittingMixin(DiscardableTrainingMixin):
    """An estimator with `fit` and `partial_fit`.

    Its class has a method ``_train(X, fresh, partial)``, which trains and returns what to warn of.
    """

    warm_start: bool
    _train: Callable[..., list[Warning]]

    def __sklearn_is_fitted__(self):
        return "_fitted" in vars(self)

    def _fit(self, X: Any) -> Self:
        """Train as `fit` does, and warn of what came out."""
        return self._warned(self._train(X, fresh=not (self.warm_start and self.__sklearn_is_fitted__()), partial=False))

    def _partial_fit(self, X: Any) -> Self:
        """Train as `partial_fit` does, and warn of what came out."""
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
        """Keep what was learned if training is interrupted or diverges, and raise.

        Parameters
        ----------
        attributes : callable
            Maps a state to the fitted attributes.
        trained : callable
            Returns the state to keep; None if no epoch is complete.
        diverged : callable
            Maps the error to the last finite state, None if there is none, and a message with advice.
        replace : bool
            Whether the last finite state of a diverged training replaces an earlier fit.
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
            if state is not None and replace:
                self._adopt(attributes(state))
            raise ValueError(f"{name}: {message}") from error
