"""Checks of a fit by the likelihood: whether it has fallen, and how much the exact gradient would still gain."""

from copy import deepcopy

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from skwakesleep._engine.amortised.problem import Problem
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


class LikelihoodWatch:
    """Stores the iterates with the highest score, and takes a training back to them when the likelihood has fallen.

    Parameters
    ----------
    problem : Problem
        The data, and a model that has a likelihood.
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

    def __init__(self, problem: Problem, state: AmortisedState) -> None:
        self.state = state
        self._problem = problem
        self._rows = spread_rows(problem.X)
        self._fall = significant(FALL, len(state.parameters), len(problem.X))
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
        theta = self._problem.projected(self.state.average.copy())
        score = self._problem.score(theta, self._rows)
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


def remaining_gain(problem: Problem, theta: NDArray) -> float:
    """Return how many nats per row a few quasi-Newton steps along the exact gradient gain.

    If there are many rows, the gain is measured on other rows than those that the steps use.
    """
    X = problem.X
    halves = (X, X) if len(X) < 2 * N_JUDGED_ROWS else (X[::2], X[1::2])
    climbed, judged = (spread_rows(half, N_JUDGED_ROWS) for half in halves)

    def loss(parameters: NDArray) -> tuple[float, NDArray]:
        admissible = problem.projected(parameters)
        return -problem.score(admissible, climbed), -problem.grad_score(admissible, climbed)

    climb = minimize(loss, theta, jac=True, method="L-BFGS-B", options={"maxfun": N_EVALUATIONS})
    return problem.score(problem.projected(climb.x), judged) - problem.score(theta, judged)


def significant(difference: float, n_params: int, n_rows: int) -> float:
    """Return a difference in nats per row, or a larger one if there are too few rows for it to be significant.

    By chance, the total log-likelihood of equally good parameters differs by the order of their number, in nats.
    """
    return max(difference, n_params / n_rows)


def spread_rows(rows: NDArray, n: int = N_WATCHED_ROWS) -> NDArray:
    """Return at most ``n`` rows, evenly spread."""
    return rows[np.linspace(0, len(rows) - 1, min(n, len(rows))).astype(int)]
