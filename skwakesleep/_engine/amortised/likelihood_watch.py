"""What a likelihood says of a fit that does not use it: whether it fell, what the exact gradient would still gain."""

from collections.abc import Callable
from copy import deepcopy

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from skwakesleep._engine.amortised.gradient import AmortisedState

# Rows by whose likelihood a fit is watched, and judged at its end. The likelihood may be a costly sum.
N_WATCHED_ROWS = 200
N_JUDGED_ROWS = 1000
# By how many nats per row the likelihood must have fallen to go back: iterates of a fit that is done differ by less, or
# by what is not significant with few rows, see `significant`.
FALL = 0.3
# What the learning rate is multiplied by then: steps that change the mean of a column by more than its noise lose what
# was learned, and the noise is not known beforehand.
STEP_FACTOR = 0.5
# Evaluations of the likelihood in the climb that shows what is still to be gained.
N_EVALUATIONS = 30


class LikelihoodWatch:
    """Keeps the iterates that scored best, and returns a training to them when it has lost likelihood.

    Parameters
    ----------
    log_likelihood : callable
        Maps parameters and rows to the log-likelihood of each row.
    project : callable
        Maps parameters to the nearest admissible ones.
    rows : ndarray of shape (n, D)
        The data.
    state : AmortisedState
        What is about to be trained.

    Attributes
    ----------
    best_score : float
        The highest score so far, in nats per row.
    best_epoch : int
        The number of epochs after which it was reached.
    score : float
        The score at the last look.
    """

    def __init__(
        self,
        log_likelihood: Callable[[NDArray, NDArray], NDArray],
        project: Callable[[NDArray], NDArray],
        rows: NDArray,
        state: AmortisedState,
    ) -> None:
        self._log_likelihood = log_likelihood
        self._project = project
        self._rows = spread_rows(rows, N_WATCHED_ROWS)
        self._fall = significant(FALL, len(state.parameters), len(rows))
        self._state = state
        self._look()
        self._keep()

    def look(self) -> None:
        """Score the average; after a fall, go on from the best average with smaller steps."""
        self._look()
        if self.score >= self.best_score:
            self._keep()
        elif self.has_fallen:
            self._return()
            self._state.change_course(STEP_FACTOR)

    @property
    def has_fallen(self) -> bool:
        """Whether the last score is below the best by more than iterates of a fit that is done differ."""
        return not self.score >= self.best_score - self._fall

    def settle(self) -> None:
        """Return to the best iterates for good, if the likelihood has fallen."""
        if self.has_fallen:
            self._return()

    def _look(self) -> None:
        theta = self._project(self._state.average.copy())
        score = float(self._log_likelihood(theta, self._rows).mean())
        self.score = -np.inf if np.isnan(score) else score

    def _keep(self) -> None:
        self.best_score, self.best_epoch = self.score, self._state.n_epochs
        self._best = self._state.iterates()
        self._optimizer = deepcopy(self._state.optimizer)

    def _return(self) -> None:
        learning_rate = self._state.optimizer.learning_rate
        self._state.go_back(self._best)
        self._state.parameters[...] = self._state.average  # the iterate scores less, and smaller steps would stay there
        self._state.optimizer = deepcopy(self._optimizer)  # steps without what it remembers would be large
        self._state.optimizer.learning_rate = learning_rate


def remaining_gain(
    log_likelihood: Callable[[NDArray, NDArray], NDArray],
    gradient: Callable[[NDArray, NDArray], NDArray],
    project: Callable[[NDArray], NDArray],
    theta: NDArray,
    rows: NDArray,
) -> float:
    """Return how many nats per row a short climb along the exact gradient gains.

    Where there are many rows, the gain is measured on others than those that the climb has seen.
    """
    climbed, judged = (spread_rows(part, N_JUDGED_ROWS) for part in _halves(rows))

    def loss(parameters: NDArray) -> tuple[float, NDArray]:
        admissible = project(parameters)
        return -float(log_likelihood(admissible, climbed).mean()), -gradient(admissible, climbed)

    climb = minimize(loss, theta, jac=True, method="L-BFGS-B", options={"maxfun": N_EVALUATIONS})
    before, after = (float(log_likelihood(end, judged).mean()) for end in (theta, project(climb.x)))
    return after - before


def significant(difference: float, n_params: int, n_rows: int) -> float:
    """Return a difference in nats per row, or a greater one where the rows are too few to tell by it.

    In all rows together, the likelihood of parameters that the data do not tell from the best ones is lower by nats of
    the order of their number.
    """
    return max(difference, n_params / n_rows)


def spread_rows(rows: NDArray, n: int) -> NDArray:
    """Return at most ``n`` rows, evenly spread."""
    return rows[np.linspace(0, len(rows) - 1, min(n, len(rows))).astype(int)]


def _halves(rows: NDArray) -> tuple[NDArray, NDArray]:
    return (rows, rows) if len(rows) < 2 * N_JUDGED_ROWS else (rows[::2], rows[1::2])
