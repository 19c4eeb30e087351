"""Whether parameters are at the maximum of the likelihood, and how biased the regressed scores are there.

The score has mean zero over observations of the model itself. The mean regressed score of fresh dreams, which the
regression has not seen, is therefore its bias. Subtracted from the mean over the data, it leaves the gradient of the
log-likelihood, wherever data and dreams are alike.

Vectors are measured in the natural metric, by the Fisher information `I` of a row: a gradient `g` promises a gain of
``g' I^-1 g / 2`` nats per row by one step of Fisher scoring. If a regression shrinks all scores, or mixes them
linearly, this number stays the same. Noise of the regression adds to the information, so that the number is too small;
the information is that of scores averaged over several regressions.
"""

from copy import deepcopy
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import linalg

from skwakesleep._engine.amortised.forms import Exact
from skwakesleep._engine.amortised.likelihood_watch import significant, spread_rows
from skwakesleep._engine.amortised.problem import Problem
from skwakesleep._engine.amortised.row_scores import REGRESSED, RegressedScores
from skwakesleep._engine.amortised.state import RegressionState

# Gain in nats per row that is worth a warning, and the standard errors that it must exceed as well.
NOTABLE_GAIN = 0.05
N_ERRORS = 2.0


class Effort(NamedTuple):
    """How much is simulated.

    Attributes
    ----------
    n_repeats : int
        Repetitions with independent dreams, from which the Monte-Carlo error is estimated; at least 3.
    n_rows : int
        Upper limit of the rows of data, and of the fresh dreams, that a mean is taken over.
    n_fresh : int
        Fresh dreams of a repetition, for each dream that the regression is fitted to.
    n_informative : int
        Fresh dreams that the information is estimated from.
    """

    n_repeats: int
    n_rows: int
    n_fresh: int
    n_informative: int


THOROUGH = Effort(n_repeats=8, n_rows=10_000, n_fresh=4, n_informative=500)
# For the end of each fit: it takes as long as some 60 steps, and simulates as much as 12.
QUICK = Effort(n_repeats=6, n_rows=2_000, n_fresh=1, n_informative=200)


@dataclass(frozen=True)
class Diagnosis:
    """Repeated estimates at given parameters.

    Attributes
    ----------
    at_data : ndarray of shape (R, P)
        Mean regressed score of the data, plus the gradient of the log prior per row, in each repetition.
    at_dreams : ndarray of shape (R, P)
        Mean regressed score of fresh dreams, which is the bias of the regression.
    information : ndarray of shape (P, P)
        Second moments of the scores of fresh dreams, regressed in each repetition and averaged.
    error : float
        Leave-one-out error of the regression when it was tuned, relative to predicting the mean; NaN without one.
    coverages : ndarray of shape (R,)
        Shares of the data that dreams cover.
    """

    at_data: NDArray
    at_dreams: NDArray
    information: NDArray
    error: float
    coverages: NDArray

    @property
    def gradients(self) -> NDArray:
        """Gradient of the mean log-likelihood in each repetition, without the bias, ``(R, P)``."""
        return self.at_data - self.at_dreams

    def gain(self, vectors: NDArray) -> tuple[float, float]:
        """Return ``v' I^-1 v / 2`` for the expectation `v` of vectors ``(R, P)``, in nats, and its standard error.

        Products of different repetitions have no noise in common, so that their mean is unbiased.
        """
        root = linalg.cholesky(self.information, lower=True)  # raises an error if something is not finite
        whitened = linalg.solve_triangular(root, vectors.T, lower=True).T
        n = len(vectors)
        products = whitened @ whitened.T
        # Jackknife: the value without one repetition is that without its row and column.
        own, rows = products.diagonal(), products.sum(axis=1)
        off_diagonal = products.sum() - own.sum()
        without = (off_diagonal - 2 * (rows - own)) / ((n - 1) * (n - 2))
        error = np.sqrt((n - 1) / n * np.square(without - without.mean()).sum())
        return float(off_diagonal / (n * (n - 1)) / 2), float(error / 2)

    def shifts(self, vectors: NDArray, n_rows: int) -> tuple[NDArray, NDArray]:
        """Return the step ``I^-1 v`` of each parameter, in standard errors of its estimate, and their own errors."""
        inverse = np.linalg.inv(self.information)
        steps = vectors @ inverse / np.sqrt(inverse.diagonal() / n_rows)
        return steps.mean(axis=0), steps.std(axis=0, ddof=1) / np.sqrt(len(steps))


def diagnose(
    problem: Problem,
    theta: NDArray,
    form: str,
    rng: Generator,
    state: RegressionState | None = None,
    effort: Effort = THOROUGH,
) -> Diagnosis:
    """Return repeated estimates of the mean regressed scores of data and fresh dreams.

    Parameters
    ----------
    problem : Problem
        Model, rows and settings.
    theta : ndarray of shape (P,)
        The parameters.
    form : str
        Name of the form of the gradient.
    rng : Generator
        The source of all random numbers.
    state : RegressionState or None
        A regression that has been tuned; None tunes one.
    effort : Effort
        How much is simulated.
    """
    simulation, n_fresh = problem.simulation, min(effort.n_fresh * problem.settings.n_dreams, effort.n_rows)
    state = RegressionState() if state is None else deepcopy(state)
    at_data, at_dreams, regressed, coverages = [], [], [], []
    rows = spread_rows(problem.rows, effort.n_rows)
    some = spread_rows(rows, effort.n_informative)  # distances between many rows take memory
    with np.errstate(all="ignore"):  # what overflows shows in the result
        pairs, _ = simulation.dream(theta, effort.n_informative, rows, rng)
        for _ in range(effort.n_repeats):
            scores = RegressedScores(problem, theta, form, state, rng)
            fresh, _ = simulation.dream(theta, n_fresh, rows, rng)
            at_data.append(scores.mean(rows) + problem.grad_log_prior(theta))
            # The exact score is not biased, so its mean over dreams would be nothing but noise.
            at_dreams.append(np.zeros_like(theta) if form == Exact.name else scores.mean(fresh.x))
            regressed.append(scores.each(pairs.x))
            coverages.append(scores.coverage(some))
    free = _free(problem, theta, np.mean(at_data, axis=0) - np.mean(at_dreams, axis=0))
    information = _information(np.mean(regressed, axis=0))
    return Diagnosis(
        np.stack(at_data) * free,
        np.stack(at_dreams) * free,
        np.where(np.outer(free, free), information, np.diag(information.diagonal())),
        state.errors[-1] if form in REGRESSED else np.nan,
        np.array(coverages),
    )


def _information(scores: NDArray) -> NDArray:
    """Return the second moments of scores ``(n, P)``, which can be inverted."""
    moments = scores.T @ scores / len(scores)
    # Noise in as many directions as there are parameters makes some of them look flat, and others are flat.
    diagonal = moments.diagonal().copy()
    diagonal[diagonal == 0] = 1.0  # no row depends on such a parameter
    return moments + np.diag(diagonal * len(diagonal) / len(scores))


def _free(problem: Problem, theta: NDArray, gradient: NDArray) -> NDArray:
    """Return which parameters can follow a gradient: those at a bound cannot pass it."""
    length = 1e-6 * np.maximum(1.0, np.abs(theta))
    moved = theta + length * np.sign(gradient)
    return (problem.projected(moved.copy()) != theta) | (moved == theta)


def quick_gain(problem: Problem, theta: NDArray, state: RegressionState, rng: Generator) -> tuple[float, float]:
    """Return what a step would gain at the end of a fit, in nats per row, and its standard error, at small cost.

    Both are NaN if they cannot be estimated.
    """
    try:
        diagnosis = diagnose(problem, theta, state.form, rng, state, QUICK)
        return diagnosis.gain(diagnosis.gradients)
    except ValueError:  # of failed simulations or a singular matrix; a finding must not cost the fit
        return np.nan, np.nan


def is_notable(gain: float, error: float, n_params: int, n_rows: int) -> bool:
    """Return whether a gain per row is large, beyond its standard error and what few rows gain by chance."""
    return gain > max(significant(NOTABLE_GAIN, n_params, n_rows), N_ERRORS * error)
