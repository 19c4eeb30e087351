"""Training of a model on given rows: starts, epochs, the result, and findings that are worth a warning."""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.amortised.diagnosis import is_notable, quick_gain
from skwakesleep._engine.amortised.dreams import FailedSimulationsError
from skwakesleep._engine.amortised.forms import Exact, ImportanceWeighted
from skwakesleep._engine.amortised.gradient import AmortisedGradient
from skwakesleep._engine.amortised.likelihood_watch import LikelihoodWatch, remaining_gain, significant, spread_rows
from skwakesleep._engine.amortised.optional_methods import offers
from skwakesleep._engine.amortised.problem import Problem
from skwakesleep._engine.amortised.state import AmortisedState
from skwakesleep._engine.amortised.two_samples import discrepancy
from skwakesleep._engine.arrays.numpy_backend import NumpyBackend
from skwakesleep._engine.arrays.random import Streams
from skwakesleep._engine.machine.moments import Moments
from skwakesleep._engine.training.loop import Monitor, TrainingDivergedError, train
from skwakesleep._engine.training.optimizers import Adam

# Checks of the likelihood in a training, where the model has one.
N_CHECKS = 20
# Steps from which on a fit is compared with the exact gradient. Shorter trainings are not expected to converge.
N_STEPS_TO_JUDGE = 200
# Gain by the exact gradient that is worth a warning, in nats per row.
LARGE_GAIN = 0.5
# Rows, and dreams, by which states are compared.
N_COMPARED_ROWS = 1000
# Dreams drawn at the end of a training, to check that simulations succeed after the last step too.
N_CHECKED_DREAMS = 20


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
        return min(self._problem.settings.batch_size, len(self._problem))

    def starts(self, n: int, entropy: list[int], moments: Moments) -> list[AmortisedState]:
        """Return ``n`` states to train, each with its own random streams."""
        return [self._start(Streams([*entropy, number] if number else entropy), moments) for number in range(n)]

    def _start(self, streams: Streams, moments: Moments) -> AmortisedState:
        problem = self._problem
        # A copy, because training changes it in place and the model may keep the original.
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
        problem, watch = self._problem, None
        objective = AmortisedGradient(problem, state.regression, state.parameters, state.streams)
        train_part = partial(
            train,
            state,
            objective,
            problem,
            batch_size=self.batch_size,
            shuffle=True,
            stopping=None,
            validate=None,
            monitor=monitor,
            backend=backend,
            project=problem.projected,
        )
        if watched and offers(self._model, ["log_likelihood"]):
            watch = LikelihoodWatch(problem, state)
            self._watches.append(watch)
        try:
            _run_parts(train_part, n_epochs, watch)
            objective.failure = self._failure_at_end(state)
            if objective.failure is not None:
                raise TrainingDivergedError(state.n_epochs, objective.failure)
        except TrainingDivergedError as error:
            reason = objective.failure or "a step led to parameters that are not finite, or too large"
            if objective.followed is None:
                raise ValueError(f"The model cannot be trained: {reason}.") from error
            state.parameters[...] = state.average[...] = objective.followed
            raise TrainingDivergedError(error.epoch, reason) from error

    def _failure_at_end(self, state: AmortisedState) -> str | None:
        """Return why the parameters, which the last step has changed, do not give something finite; None if they do."""
        problem = self._problem
        theta, _, named = self.parameters(state)
        finite = [theta, *(value for value in named.values() if np.asarray(value).dtype.kind == "f")]
        if offers(self._model, ["log_likelihood"]):
            finite.append(self._model.log_likelihood(theta, spread_rows(problem.X)))
        if not all(np.isfinite(values).all() for values in finite):
            return problem.described("parameters or likelihood were not finite after the last step", theta)
        rng = np.random.default_rng(state.streams.validation_seed)
        try:
            problem.simulation.dream(theta, N_CHECKED_DREAMS, problem.rows, rng)
        except FailedSimulationsError as error:
            return problem.described(str(error), theta)
        return None

    # ------------------------------------------------------------------ the result

    def parameters(self, state: AmortisedState) -> tuple[NDArray, NDArray, dict[str, NDArray]]:
        """Return the parameters of a state in its units, in the units of the columns, and the latter by name."""
        theta = self._theta(state)
        in_units = self._problem.params_in_units(theta)
        named = self._model.unpack(in_units) if hasattr(self._model, "unpack") else {"theta": in_units}
        return theta, in_units, named

    def _theta(self, state: AmortisedState) -> NDArray:
        return self._problem.projected(state.selected_parameters.copy())

    def score(self, state: AmortisedState) -> float:
        """Return a number by which states can be compared, the higher the better.

        It is the mean log-likelihood in nats per row, in the units of the columns, plus the log prior. Without a
        likelihood, it is the negative squared maximum mean discrepancy between rows and dreams.
        """
        theta, problem = self._theta(state), self._problem
        if offers(self._model, ["log_likelihood"]):
            score = problem.score(theta, spread_rows(problem.X, N_COMPARED_ROWS)) - problem.units.log_volume
        else:
            score = -self._discrepancy(theta)
        return score if np.isfinite(score) else -np.inf

    def _discrepancy(self, theta: NDArray) -> float:
        """Return how unlike dreams and rows are, infinite if too many simulations fail."""
        rows, simulation = spread_rows(self._problem.rows, N_COMPARED_ROWS), self._problem.simulation
        rng = np.random.default_rng(N_COMPARED_ROWS)  # the same random numbers for all states
        try:
            dreams, _ = simulation.dream(theta, N_COMPARED_ROWS, rows, rng)
        except FailedSimulationsError:
            return np.inf
        # The features of local factors depend on the parameters, and are not comparable.
        return discrepancy(*(x if simulation.local else simulation.inputs(theta, x) for x in (rows, dreams.x)))

    # ------------------------------------------------------------------ findings that are worth a warning

    @property
    def could_use_exact(self) -> bool:
        """Whether the exact gradient is on offer, and was not used."""
        return offers(self._model, Exact.needs) and self._problem.settings.gradient != Exact.name

    def useless_error(self, state: AmortisedState) -> float | None:
        """Return the last leave-one-out error of the regression if it is no better than predicting a constant."""
        regression = state.regression
        # Errors may be from before importance weighting, which uses no regression.
        error = regression.errors[-1] if regression.errors else 0.0
        return error if error >= 1 and regression.form != ImportanceWeighted.name else None

    def fall(self, state: AmortisedState) -> tuple[float, int, float] | None:
        """Return, if the likelihood has fallen, its best mean with the epoch, and its last mean, in nats per row."""
        watch = self._watch(state)
        if watch is None or not watch.has_fallen:
            return None
        offset = self._problem.units.log_volume  # from standardized columns to those of the user
        return watch.best_score - offset, watch.best_epoch, watch.score - offset

    def exact_gain(self, state: AmortisedState) -> float | None:
        """Return the nats per row that the exact gradient would still gain, if it is on offer and they are many."""
        watch = self._watch(state)
        judged = watch is not None and not watch.has_fallen and state.n_steps >= N_STEPS_TO_JUDGE
        if not judged or not offers(self._model, Exact.needs):
            return None
        gain = remaining_gain(self._problem, self._theta(state))
        return gain if gain > significant(LARGE_GAIN, len(state.parameters), len(self._problem.X)) else None

    def unfinished_gain(self, state: AmortisedState) -> float | None:
        """Return the nats per row that a step along the gradient, without bias, would still gain, if they are many.

        It needs no likelihood. With the exact gradient on offer, `exact_gain` is more accurate.
        """
        if offers(self._model, Exact.needs) or state.n_steps < N_STEPS_TO_JUDGE:
            return None
        rng = np.random.default_rng(state.streams.validation_seed)
        gain, error = quick_gain(self._problem, self._theta(state), state.regression, rng)
        return gain if is_notable(gain, error, len(state.parameters), len(self._problem)) else None

    def _watch(self, state: AmortisedState) -> LikelihoodWatch | None:
        return next((watch for watch in self._watches if watch.state is state), None)


def _run_parts(train_part: Callable[..., bool], n_epochs: int, watch: LikelihoodWatch | None) -> None:
    """Train in parts, with a check of the likelihood after each."""
    ends = np.linspace(0, n_epochs, min(n_epochs, N_CHECKS) + 1).astype(int)
    for part in np.diff(ends).tolist():
        exhausted = train_part(n_epochs=part)
        if watch is not None:
            watch.check()
        if not exhausted:
            break
    if watch is not None:
        watch.finish()
