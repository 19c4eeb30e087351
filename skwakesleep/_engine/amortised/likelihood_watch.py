"""Checks of a fit by the likelihood: whether it has fallen, and how much the exact gradient would still gain."""

from collections.abc import Callable
from copy import deepcopy

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from skwakesleep._engine.amortised.state import AmortisedState

# Rows whose likelihood is watched during a fit, and rows used at its end. Each may cost a sum over latent states.
N_WATCHED_ROWS = 200
N_JUDGED_ROWS = 1000
# Fall of the log-likelihood, in nats per row, after which training goes back. Iterates of a fit that has converged
# differ by less, or by what is not significant with few rows, see `significant`.
FALL = 0.3
# Factor of the learning rate after a fall. Steps that change the mean of a column by more than its noise undo what was
# learned, and the noise is not known in advance.
STEP_FACTOR = 0.5
# Evaluations of the likelihood in the climb along the exact gradient.
N_EVALUATIONS = 30

RowFunction = Callable[[NDArray, NDArray], NDArray]
Projection = Callable[[NDArray], NDArray]


class LikelihoodWatch:
    """Stores the iterates with the highest score, and takes a training back to them when the likelihood has fallen.

    Parameters
    ----------
    log_likelihood : callable
        Maps parameters and rows to the log-likelihood of each row.
    project : callable
        Maps parameters to the nearest admissible ones.
    rows : ndarray of shape (n, D)
        The data.
    state : AmortisedState
        The state that is about to be trained.

    Attributes
    ----------
    state : AmortisedState
        The state that is watched.
    score : float
        Mean log-likelihood at the last check, in nats per row.
    best_score : float
        The highest score so far.
    best_epoch : int
        The number of epochs at which it was reached.
    """

    def __init__(self, log_likelihood: RowFunction, project: Projection, rows: NDArray, state: AmortisedState) -> None:
        self.state = state
        self._log_likelihood = log_likelihood
        self._project = project
        self._rows = spread_rows(rows, N_WATCHED_ROWS)
        self._fall = significant(FALL, len(state.parameters), len(rows))
        self._measure()
        self._store()

    def check(self) -> None:
        """Score the average iterate. After a fall, return to the best average, with smaller steps."""
        self._measure()
        if self.score >= self.best_score:
            self._store()
        elif self.has_fallen:
            self._go_back()
            self.state.change_course(STEP_FACTOR)

    def finish(self) -> None:
        """Return to the best iterates if the likelihood has fallen."""
        if self.has_fallen:
            self._go_back()

    @property
    def has_fallen(self) -> bool:
        """Whether the last score is significantly lower than the best."""
        return not self.score >= self.best_score - self._fall

    def _measure(self) -> None:
        theta = self._project(self.state.average.copy())
        score = float(self._log_likelihood(theta, self._rows).mean())
        self.score = -np.inf if np.isnan(score) else score

    def _store(self) -> None:
        self.best_score, self.best_epoch = self.score, self.state.n_epochs
        self._best = self.state.iterates()
        self._optimizer = deepcopy(self.state.optimizer)

    def _go_back(self) -> None:
        learning_rate = self.state.optimizer.learning_rate
        self.state.go_back(self._best)
        # The iterate scores lower than the average, and smaller steps would not leave its neighborhood.
        self.state.parameters[...] = self.state.average
        # The first steps of an optimizer without moments would be large.
        self.state.optimizer = deepcopy(self._optimizer)
        self.state.optimizer.learning_rate = learning_rate


def remaining_gain(
    log_likelihood: RowFunction, gradient: RowFunction, project: Projection, theta: NDArray, rows: NDArray
) -> float:
    """Return how many nats per row a few quasi-Newton steps along the exact gradient gain.

    If there are many rows, the gain is measured on other rows than those that the steps use.
    """
    climbed, judged = (spread_rows(part, N_JUDGED_ROWS) for part in _halves(rows))

    def loss(parameters: NDArray) -> tuple[float, NDArray]:
        admissible = project(parameters)
        return -float(log_likelihood(admissible, climbed).mean()), -gradient(admissible, climbed)

    climb = minimize(loss, theta, jac=True, method="L-BFGS-B", options={"maxfun": N_EVALUATIONS})
    before, after = (float(log_likelihood(end, judged).mean()) for end in (theta, project(climb.x)))
    return after - before


def significant(difference: float, n_params: int, n_rows: int) -> float:
    """Return a difference in nats per row, or a larger one if there are too few rows for it to be significant.

    By chance, the total log-likelihood of equally good parameters differs by the order of their number, in nats.
    """
    return max(difference, n_params / n_rows)


def spread_rows(rows: NDArray, n: int) -> NDArray:
    """Return at most ``n`` rows, evenly spread."""
    return rows[np.linspace(0, len(rows) - 1, min(n, len(rows))).astype(int)]


def _halves(rows: NDArray) -> tuple[NDArray, NDArray]:
    return (rows, rows) if len(rows) < 2 * N_JUDGED_ROWS else (rows[::2], rows[1::2])
