"""Training of a model on given rows: starts, epochs, the result, and findings that are worth a warning."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.amortised.dreams import FailedSimulationsError, described_params
from skwakesleep._engine.amortised.forms import Exact, ImportanceWeighted
from skwakesleep._engine.amortised.gradient import AmortisedGradient, Failure
from skwakesleep._engine.amortised.likelihood_watch import (
    N_WATCHED_ROWS,
    LikelihoodWatch,
    remaining_gain,
    significant,
    spread_rows,
)
from skwakesleep._engine.amortised.optional_methods import offers
from skwakesleep._engine.amortised.problem import Problem
from skwakesleep._engine.amortised.state import AmortisedState
from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.arrays.random import Streams
from skwakesleep._engine.machine.moments import Moments
from skwakesleep._engine.training.loop import Monitor, TrainingDivergedError, train
from skwakesleep._engine.training.optimizers import Adam

DEFAULT_BATCH_SIZE = 200
# Checks of the likelihood in a training, where the model has one.
N_CHECKS = 20
# Steps from which on a fit is compared with the exact gradient. Shorter trainings are not expected to converge.
N_STEPS_TO_JUDGE = 200
# Gain by the exact gradient that is worth a warning, in nats per row.
LARGE_GAIN = 0.5
# Dreams drawn at the end of a training, to check that simulations succeed after the last step too.
N_CHECKED_DREAMS = 20


class Parameters(NamedTuple):
    """The parameters that a state of training stands for.

    Attributes
    ----------
    theta : ndarray of shape (P,)
        In the units of the state.
    theta_in_units : ndarray of shape (P,)
        In the units of the columns.
    named : dict of str to ndarray
        The latter by name.
    """

    theta: NDArray
    theta_in_units: NDArray
    named: dict[str, NDArray]


class Fall(NamedTuple):
    """A fall of the mean log-likelihood, in nats per row: the best one with its epoch, and the last one."""

    best_score: float
    best_epoch: int
    score: float


@dataclass(frozen=True)
class Findings:
    """What a training has found that is worth a warning.

    Attributes
    ----------
    batch_size : int
        Rows in a mini-batch.
    useless_error : float or None
        Leave-one-out error of the regression at the end, if it is no better than predicting a constant.
    fall : Fall or None
        The likelihood has fallen; the parameters are those with the best one.
    exact_gain : float or None
        Nats per row by which the exact gradient would still raise the likelihood, if that is much.
    could_use_exact : bool
        Whether the exact gradient is on offer, and was not used.
    """

    batch_size: int
    useless_error: float | None
    fall: Fall | None
    exact_gain: float | None
    could_use_exact: bool


class Rows:
    """An array of rows to train on."""

    def __init__(self, rows: NDArray) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def take(self, indices: NDArray) -> NDArray:
        """Return the rows at `indices`."""
        return self._rows[indices]


class Trainer:
    """Trains states on the rows of a problem.

    Parameters
    ----------
    problem : Problem
        Model, rows and settings.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._model = problem.model
        self._watches: list[LikelihoodWatch] = []

    @property
    def batch_size(self) -> int:
        """Rows in a mini-batch."""
        asked = self._problem.settings.batch_size
        return min(DEFAULT_BATCH_SIZE if asked is None else asked, len(self._problem.rows))

    def starts(self, n: int, entropy: list[int], moments: Moments) -> list[AmortisedState]:
        """Return ``n`` states to train, each with its own random streams."""
        return [self._start(Streams([*entropy, number] if number else entropy), moments) for number in range(n)]

    def _start(self, streams: Streams, moments: Moments) -> AmortisedState:
        problem = self._problem
        theta = problem.projected(np.array(self._model.initial_params(problem.X, streams["initialization"])))
        optimizer = Adam(problem.settings.learning_rate, np.ones_like(theta))
        return AmortisedState(theta, optimizer, streams, units=problem.units, moments=moments)

    def run(
        self, state: AmortisedState, n_epochs: int, monitor: Monitor, backend: NumpyBackend, *, watched: bool
    ) -> None:
        """Train a state in place.

        Parameters
        ----------
        state : AmortisedState
            The state.
        n_epochs : int
            Number of epochs.
        monitor : Monitor
            Called before and after each epoch; may end the training.
        backend : NumpyBackend
            Makes the steps of the optimizer.
        watched : bool
            Whether the likelihood is checked, where the model has one.

        Raises
        ------
        TrainingDivergedError
            If the gradient, the parameters, the likelihood or the dreams are not finite. The state then has the last
            parameters with a finite gradient.
        ValueError
            If there was no finite gradient at all.
        """
        problem, settings = self._problem, self._problem.settings
        objective = AmortisedGradient(
            problem.simulation,
            problem.forms,
            problem.regression,
            state.regression,
            state.parameters,
            n_dreams=settings.n_dreams,
            streams=state.streams,
            reuse_dreams=settings.reuse_dreams,
        )
        try:
            self._run_epochs(state, objective, n_epochs, monitor, backend, watched)
            self._check_end(state)
        except TrainingDivergedError as error:
            if objective.followed is None:
                raise ValueError(f"The model cannot be trained: {self._described(objective.failure)}.") from error
            state.parameters[...] = state.average[...] = objective.followed
            raise

    def _run_epochs(
        self,
        state: AmortisedState,
        objective: AmortisedGradient,
        n_epochs: int,
        monitor: Monitor,
        backend: NumpyBackend,
        watched: bool,
    ) -> None:
        """Train in parts, with a check of the likelihood after each."""
        problem, watch = self._problem, None
        if watched and offers(self._model, ["log_likelihood"]):
            watch = LikelihoodWatch(self._model.log_likelihood, problem.projected, problem.X, state)
            self._watches.append(watch)
        ends = np.linspace(0, n_epochs, min(n_epochs, N_CHECKS) + 1).astype(int)
        for part in np.diff(ends).tolist():
            try:
                exhausted = train(
                    state,
                    objective,
                    Rows(problem.rows),
                    n_epochs=part,
                    batch_size=self.batch_size,
                    shuffle=True,
                    stopping=None,
                    validate=None,
                    monitor=monitor,
                    backend=backend,
                    project=problem.projected,
                )
            except TrainingDivergedError as error:
                raise TrainingDivergedError(error.epoch, self._described(objective.failure)) from error
            if watch is not None:
                watch.check()
            if not exhausted:
                break
        if watch is not None:
            watch.finish()

    def _check_end(self, state: AmortisedState) -> None:
        """Raise unless the parameters, which the last step has changed, give something finite."""
        problem = self._problem
        theta, _, named = self.parameters(state)
        finite = [theta, *(value for value in named.values() if np.asarray(value).dtype.kind == "f")]
        if offers(self._model, ["log_likelihood"]):
            finite.append(self._model.log_likelihood(theta, spread_rows(problem.X, N_WATCHED_ROWS)))
        if not all(np.isfinite(values).all() for values in finite):
            failure = Failure("parameters or likelihood were not finite after the last step", theta)
            raise TrainingDivergedError(state.n_epochs, self._described(failure))
        rng = np.random.default_rng(state.streams.validation_seed)
        try:
            problem.simulation.dream(theta, N_CHECKED_DREAMS, problem.rows, rng)
        except FailedSimulationsError as error:
            raise TrainingDivergedError(state.n_epochs, self._described(Failure(str(error), theta))) from error

    def _described(self, failure: Failure | None) -> str:
        """Return the reason of a failure, and the parameters at which it occurred, in the units of the columns."""
        if failure is None:
            return "a step led to parameters that are not finite, or too large"
        return f"{failure.reason}, at {described_params(self._problem.params_in_units(failure.theta))}"

    # ------------------------------------------------------------------ the result

    def parameters(self, state: AmortisedState) -> Parameters:
        """Return the parameters that a state stands for."""
        theta = self._theta(state)
        in_units = self._problem.params_in_units(theta)
        named = self._model.unpack(in_units) if hasattr(self._model, "unpack") else {"theta": in_units}
        return Parameters(theta, in_units, named)

    def _theta(self, state: AmortisedState) -> NDArray:
        return self._problem.projected(state.selected_parameters.copy())

    def best(self, states: Sequence[AmortisedState]) -> AmortisedState:
        """Return the state with the highest likelihood. Several states need a model that has one."""
        if len(states) == 1:
            return states[0]
        X = self._problem.X
        return max(states, key=lambda state: self._model.log_likelihood(self._theta(state), X).mean())

    def findings(self, state: AmortisedState) -> Findings:
        """Return findings that are worth a warning, after the training of a state."""
        regression = state.regression
        error = regression.errors[-1] if regression.errors else 0.0
        useless = error >= 1 and regression.form != ImportanceWeighted.name
        could_use_exact = offers(self._model, Exact.needs) and self._problem.forms.named(Exact.name) is None
        watch = next((watch for watch in self._watches if watch.state is state), None)
        fall = gain = None
        if watch is not None and watch.has_fallen:
            offset = self._problem.units.log_volume
            fall = Fall(watch.best_score - offset, watch.best_epoch, watch.score - offset)
        elif watch is not None:
            gain = self._large_gain(state)
        return Findings(self.batch_size, error if useless else None, fall, gain, could_use_exact)

    def _large_gain(self, state: AmortisedState) -> float | None:
        """Return the nats per row that the exact gradient would gain, if it is on offer and they are many."""
        problem, model = self._problem, self._model
        if not offers(model, Exact.needs) or state.n_steps < N_STEPS_TO_JUDGE:
            return None
        theta = self._theta(state)
        gain = remaining_gain(model.log_likelihood, model.grad_log_likelihood, problem.projected, theta, problem.X)
        return gain if gain > significant(LARGE_GAIN, len(theta), len(problem.X)) else None
