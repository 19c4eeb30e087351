"""Scores of single rows: gradients of their log-likelihoods, from the likelihood or learned from dreams."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from skwakesleep._engine.amortised import feature_maps, kernels, tuning
from skwakesleep._engine.amortised.dreams import Pairs, select
from skwakesleep._engine.amortised.forms import Direct, Exponential
from skwakesleep._engine.amortised.optional_methods import offers
from skwakesleep._engine.amortised.problem import Problem
from skwakesleep._engine.amortised.state import RegressionState
from skwakesleep._engine.arrays.numerics import differences

# Dreams that the regression is fitted to, if training has not more. It is fitted once, not at each step.
N_REGRESSION_DREAMS = 1000
# Rows whose regression weights, one for each dream, are in memory at a time.
BLOCK_SIZE = 500
# Columns up to which simple functions of them are statistics, too. The number of functions grows with the square.
MAX_COLUMNS = 30


def row_statistics(problem: Problem, theta: NDArray, rng: Generator) -> Callable[[NDArray], NDArray]:
    """Return a function from rows ``(M, L)`` to statistics ``(M, R)``, of which their scores are linear functions.

    The statistics are the scores themselves, if the model has a likelihood of such rows. Otherwise they are learned
    from dreams, and the scores are their linear functions up to the errors of the regression.
    """
    if has_likelihood(problem):
        return partial(likelihood_scores, problem.model, theta)
    return LearnedStatistics(problem, theta, rng)


def has_likelihood(problem: Problem) -> bool:
    """Return whether the model has a likelihood of the rows to train on."""
    return offers(problem.model, ["log_likelihood"]) and not problem.simulation.local


def likelihood_scores(model: Any, theta: NDArray, x: NDArray) -> NDArray:
    """Return the scores of rows by central differences of the log-likelihood."""
    changes = differences(lambda end: model.log_likelihood(end, x), theta)
    return np.stack([change / length for change, length in changes], axis=1)


def pair_scores(problem: Problem, theta: NDArray, pairs: Pairs) -> NDArray:
    """Return the score of each pair, ``(n, P)``."""
    model = problem.model
    if problem.simulation.local or offers(model, Direct.needs):
        return problem.simulation.scores(theta, pairs)
    statistics, sign = model.sufficient_statistics(pairs.x), -np.ones(1)
    singles = [slice(n, n + 1) for n in range(len(pairs.x))]
    return np.stack([model.natural_vjp(theta, select(pairs.z, single), statistics[single], sign) for single in singles])


class LearnedStatistics:
    """Scores of rows by a regression on dreams, and simple functions of the columns, for what the regression misses.

    An exponential family has its natural parameters regressed, which is more accurate; see `Exponential`. For other
    models the scores of pairs are regressed.

    Parameters
    ----------
    problem : Problem
        Model, rows whose context the dreams share, and settings of the regression.
    theta : ndarray of shape (P,)
        Parameters.
    rng : numpy.random.Generator
        Draws the dreams.
    """

    def __init__(self, problem: Problem, theta: NDArray, rng: Generator) -> None:
        self._problem = problem
        self._theta = theta
        simulation = problem.simulation
        n_dreams = max(problem.settings.n_dreams, N_REGRESSION_DREAMS)
        self._dreams, _ = simulation.dream(theta, n_dreams, problem.rows, rng)
        self._is_exponential = not simulation.local and offers(problem.model, Exponential.needs)
        groups = (Exponential if self._is_exponential else Direct)(simulation).targets(theta, self._dreams)
        self._state = RegressionState()
        inputs = simulation.inputs(theta, self._dreams.x)
        self._scaling = feature_maps.scaling(inputs)
        pairs = Pairs(self._dreams.z, inputs).head(len(groups[0]))
        tuning.set_regression(self._state, problem.settings, pairs, groups)
        dreamed = self._mapped(self._dreams.x)
        self._regression = tuning.fit_regression(dreamed, self._state.bandwidth, self._state.ridge, rng)
        self._scores = None if self._is_exponential else simulation.scores(theta, self._dreams)

    def __call__(self, x: NDArray) -> NDArray:
        blocks = [x[start : start + BLOCK_SIZE] for start in range(0, len(x), BLOCK_SIZE)]
        scores = np.concatenate([self._block(block) for block in blocks])
        inputs = self._problem.simulation.inputs(self._theta, x)
        if inputs.shape[1] > MAX_COLUMNS:
            return scores
        return np.hstack([scores, kernels.additive_features(self._scaling(inputs))])

    def _block(self, x: NDArray) -> NDArray:
        inputs = self._mapped(x)
        if self._scores is not None:
            return self._regression.predict(inputs, self._scores)
        weights = self._regression.mean_weights(inputs, np.eye(len(x)))
        model, statistics = self._problem.model, self._problem.model.sufficient_statistics(x)
        # The score of row m is the gradient of sum_n A_nm (eta(z_n) . s(x_m) - psi(z_n)).
        return np.stack(
            [
                model.natural_vjp(self._theta, self._dreams.z, np.outer(weight, statistic), -weight)
                for weight, statistic in zip(weights.T, statistics, strict=True)
            ]
        )

    def _mapped(self, x: NDArray) -> NDArray:
        assert self._state.feature_map is not None
        return self._state.feature_map(self._problem.simulation.inputs(self._theta, x))
