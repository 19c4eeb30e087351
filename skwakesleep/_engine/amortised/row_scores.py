"""Scores of rows: gradients of their log-likelihoods, from the likelihood or learned from dreams."""

from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from skwakesleep._engine.amortised import feature_maps, kernels, tuning
from skwakesleep._engine.amortised.dreams import Pairs, select
from skwakesleep._engine.amortised.forms import FORMS, Contraction, Direct, Exponential, Rows
from skwakesleep._engine.amortised.optional_methods import offers
from skwakesleep._engine.amortised.problem import Problem, Settings
from skwakesleep._engine.amortised.state import RegressionState
from skwakesleep._engine.arrays.numerics import differences

# Forms of the gradient with a regression.
REGRESSED = (Direct.name, Exponential.name)
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


class RegressedScores:
    """Scores of rows, as a regression on dreams of given parameters estimates them.

    Parameters
    ----------
    problem : Problem
        Model, rows whose context the dreams share, and settings of the regression.
    theta : ndarray of shape (P,)
        The parameters.
    form : str
        Name of the form of the gradient.
    state : RegressionState
        The regression, which is tuned if it is not yet.
    rng : numpy.random.Generator
        Draws the dreams.
    n_dreams : int or None
        Number of dreams; None is that of the settings.
    """

    def __init__(
        self,
        problem: Problem,
        theta: NDArray,
        form: str,
        state: RegressionState,
        rng: Generator,
        n_dreams: int | None = None,
    ) -> None:
        self._theta, self._simulation, self._rng = theta, problem.simulation, rng
        self._form, self._state = FORMS[form](problem.simulation), state
        self._dreams, _ = problem.simulation.dream(theta, n_dreams or problem.settings.n_dreams, problem.rows, rng)
        self._regression = None
        if form in REGRESSED:
            if state.feature_map is None:
                self._tune(problem.settings)
            dreamed = self._mapped(self._dreams.x)
            self._regression = tuning.fit_regression(dreamed, state.bandwidth, state.ridge, rng)

    def _tune(self, settings: Settings) -> None:
        targets = self._form.targets(self._theta, self._dreams)
        pairs = Pairs(self._dreams.z, self.dreamed_inputs).head(len(targets[0]))
        tuning.set_regression(self._state, settings, pairs, targets, tuning.CONTRAST_GRID)

    @cached_property
    def dreamed_inputs(self) -> NDArray:
        """Inputs of the regression at the dreams, before any feature map."""
        return self._simulation.inputs(self._theta, self._dreams.x)

    def mean(self, rows: NDArray) -> NDArray:
        """Return the mean score of rows, ``(P,)``."""
        return self._at(rows, lambda values: self._weights(rows, values))

    def each(self, rows: NDArray) -> NDArray:
        """Return the score of each row, ``(n, P)``."""
        if self._regression is None:
            return np.stack([self.mean(row) for row in rows[:, np.newaxis]])
        if self._form.name == Direct.name:
            return self._regression.predict(self._mapped(rows), self._scores_of_dreams)
        weights = self._weights(rows, np.eye(len(rows))).T
        return np.stack(
            [self._at(row, partial(np.outer, own)) for row, own in zip(rows[:, np.newaxis], weights, strict=True)]
        )

    @cached_property
    def _scores_of_dreams(self) -> NDArray:
        return self._simulation.scores(self._theta, self._dreams)

    def _at(self, rows: NDArray, contract: Contraction) -> NDArray:
        weighted = Rows(rows, np.full(len(rows), 1 / len(rows)))
        return self._form(self._theta, self._dreams, weighted, contract, self._rng)

    def _weights(self, rows: NDArray, values: NDArray) -> NDArray:
        assert self._regression is not None
        return self._regression.mean_weights(self._mapped(rows), values)

    def _mapped(self, rows: NDArray) -> NDArray:
        assert self._state.feature_map is not None
        return self._state.feature_map(self._simulation.inputs(self._theta, rows))

    def coverage(self, rows: NDArray) -> float:
        """Return the share of rows that the dreams cover."""
        return tuning.coverage(self.dreamed_inputs, self._simulation.inputs(self._theta, rows))


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
        is_exponential = not problem.simulation.local and offers(problem.model, Exponential.needs)
        form = Exponential.name if is_exponential else Direct.name
        n_dreams = max(problem.settings.n_dreams, N_REGRESSION_DREAMS)
        self._scores = RegressedScores(problem, theta, form, RegressionState(), rng, n_dreams)
        self._inputs = partial(problem.simulation.inputs, theta)
        self._scaling = feature_maps.scaling(self._scores.dreamed_inputs)

    def __call__(self, x: NDArray) -> NDArray:
        blocks = [x[start : start + BLOCK_SIZE] for start in range(0, len(x), BLOCK_SIZE)]
        scores = np.concatenate([self._scores.each(block) for block in blocks])
        inputs = self._inputs(x)
        if inputs.shape[1] > MAX_COLUMNS:
            return scores
        return np.hstack([scores, kernels.additive_features(self._scaling(inputs))])
