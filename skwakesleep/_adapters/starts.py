"""Several starts of a fit of `AmortisedWakeSleep`: short fits side by side, of which the best is continued."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.parallel import Parallel, delayed

from skwakesleep._adapters.threads import limited_threads
from skwakesleep._engine.amortised.problem import Problem, Settings
from skwakesleep._engine.amortised.state import AmortisedState
from skwakesleep._engine.amortised.trainer import Trainer
from skwakesleep._engine.amortised.units import Units
from skwakesleep._engine.arrays.backend import default_backend
from skwakesleep._engine.training.loop import TrainingDivergedError
from skwakesleep._engine.training.state import TrainingState
from skwakesleep.models._checks import GuardedModel

# Share of the epochs of a fit after which starts are compared. Most fits have then found their maximum, up to noise.
SHORT_SHARE = 0.25


class Starts:
    """The starts of one fit.

    Parameters
    ----------
    trainer : Trainer
        Trains one of them.
    states : list of AmortisedState
        The starts. `choose` replaces them by the states after the short fits.
    """

    def __init__(self, trainer: Trainer, states: list[AmortisedState]) -> None:
        self.states = states
        self._trainer = trainer
        self._before = self._after = np.full(1, np.nan)

    def choose(self, model: Any, X: NDArray, units: Units, settings: Settings, n_epochs: int, n_jobs: Any) -> int:
        """Train all starts for a while, and return the number of the best; with one start or few epochs, do nothing.

        Parameters
        ----------
        model : GenerativeModel
            The user's model.
        X : ndarray of shape (n, D)
            Data in the units of the columns.
        units : Units
            The units that the parameters refer to.
        settings : Settings
            What the user decides.
        n_epochs : int
            Number of epochs of the whole fit.
        n_jobs : int or None
            Number of processes.

        Raises
        ------
        TrainingDivergedError
            If all starts diverge.
        """
        n_short = int(SHORT_SHARE * n_epochs)
        if n_short == 0:
            del self.states[1:]
        if len(self.states) == 1:
            return 0
        jobs = (delayed(_short_fit)(model, X, units, settings, state, n_short) for state in self.states)
        results = Parallel(n_jobs=n_jobs)(jobs)
        self.states[:] = [state for state, *_ in results]
        self._before, self._after = (np.array([result[part] for result in results]) for part in (1, 2))
        failures = [failure for *_, failure in results]
        if all(failures):
            raise failures[0]
        return int(np.argmax(self._after))

    def table(self, state: AmortisedState) -> dict[str, NDArray]:
        """Return the attribute `starts_`, given the state that was continued."""
        chosen = np.array([other is state for other in self.states])
        end = self._after.copy()
        if len(end) > 1:
            end[chosen] = self._trainer.score(state)
        steps = np.array([other.n_steps for other in self.states])
        return {"start": self._before, "end": end, "steps": steps, "score": self._after, "chosen": chosen}


class _Unmonitored:
    """A monitor that does nothing. Other processes cannot report."""

    def epoch_begin(self) -> None:
        pass

    def epoch_end(self, state: TrainingState) -> bool:
        return False


def _short_fit(
    model: Any, X: NDArray, units: Units, settings: Settings, state: AmortisedState, n_epochs: int
) -> tuple[AmortisedState, float, float, Exception | None]:
    """Return the trained state, its scores before and after, and the error if it diverged."""
    trainer = Trainer(Problem(GuardedModel(model), X, units, settings))
    # One thread, here and in every other process, so that rounding does not depend on the number of processes.
    with limited_threads(0):
        before = trainer.score(state)
        try:
            trainer.run(state, n_epochs, _Unmonitored(), default_backend(), watched=True)
        except TrainingDivergedError as error:
            return state, before, -np.inf, error
        return state, before, trainer.score(state), None
