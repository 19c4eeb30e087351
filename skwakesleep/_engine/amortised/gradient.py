"""One step of amortised learning: the gradient of the log-likelihood, learned by regression on dreams.

By Fisher's identity, ``grad log p(x) = E[grad log p(z, x) | x]``. In the sleep phase, the model dreams pairs of latents
and observations, and kernel ridge regression learns the conditional expectation from them. In the wake phase, it is
evaluated at the data (Wenliang, Moskovitz, Kanagawa & Sahani 2020). The posterior is not approximated.

The regression is biased. The mean score of the model's own observations is zero, so its estimate at fresh dreams is
the bias there, and is subtracted from that at the data once these are alike.
"""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.amortised import tuning
from skwakesleep._engine.amortised.dreams import FailedSimulationsError, Pairs, StoredDreams, effective_sample_size
from skwakesleep._engine.amortised.forms import FORMS, Form, Rows
from skwakesleep._engine.amortised.problem import Problem, memory_limited_by
from skwakesleep._engine.amortised.regression import N_TUNING_PAIRS
from skwakesleep._engine.amortised.state import RegressionState
from skwakesleep._engine.arrays.random import Streams
from skwakesleep._engine.training.prior import WeightPrior

# Steps between two tunings of the regression.
TUNING_INTERVAL = 25
# Median number of effective dreams from which importance weighting is more accurate than a regression, as measured.
ENOUGH_EFFECTIVE_DREAMS = 5.0
# Steps before importance weighting is considered. It is accurate enough to end in the nearest local maximum, while the
# regression, which is smooth over all dreams, passes by the local maxima of the first steps.
N_REGRESSED_STEPS = 100


class AmortisedGradient:
    """Gradient of the mean log-likelihood of a mini-batch, for ascent. The log-likelihood itself is not known.

    If the parameters have a prior, its gradient per row is added.

    Parameters
    ----------
    problem : Problem
        Model, settings, and the forms of the gradient to choose from.
    state : RegressionState
        State of the regression; updated in place.
    parameters : ndarray of shape (P,)
        The flat vector that is being trained; read at every call.
    streams : Streams
        Provides the streams "dreams" and "particles".

    Attributes
    ----------
    gradient : ndarray of shape (P,)
        Gradient at the last mini-batch.
    damping : ndarray of shape (P,) or None
        Factor of the next step, see `Progress`.
    failure : str or None
        Why the last gradient could not be followed, and at which parameters, if so.
    followed : ndarray of shape (P,) or None
        The last parameters at which the gradient was finite; None before the first.
    """

    damping: NDArray | None
    prior: WeightPrior | None = None

    def __init__(self, problem: Problem, state: RegressionState, parameters: NDArray, streams: Streams) -> None:
        self.gradient = np.zeros_like(parameters)
        self.damping = None
        self.failure: str | None = None
        self.followed: NDArray | None = None
        self._problem = problem
        self._simulation = problem.simulation
        self._forms = problem.forms
        self._state = state
        self._parameters = parameters
        self._streams = streams
        self._log_joint = problem.simulation.log_joint if problem.settings.reuse_dreams else None
        if state.form not in [form.name for form in problem.forms]:  # tuned for another form, or not tuned at all
            state.tuned_at = None

    def __call__(self, batch: NDArray) -> float | None:
        """Set `gradient` for a mini-batch; return None, or NaN if it cannot be followed."""
        # Overflow of a model shows in the gradient, and is reported below.
        with np.errstate(all="ignore"), memory_limited_by("n_sleep", self._problem.settings.n_dreams):
            try:
                self.gradient[...] = self._at(self._parameters, batch) + self._problem.grad_log_prior(self._parameters)
            except FailedSimulationsError as error:
                return self._fail(str(error))
        if not np.isfinite(self.gradient).all():
            return self._fail("the gradient was not finite")
        self.followed = self._parameters.copy()
        self._state.progress.record(self.gradient)
        self.damping = np.full_like(self.gradient, self._state.progress.factor)
        return None

    def _fail(self, reason: str) -> float:
        self.failure = self._problem.described(reason, self._parameters)
        return np.nan

    def _at(self, theta: NDArray, batch: NDArray) -> NDArray:
        """Return the gradient at some parameters."""
        state = self._state
        is_due = self._tuning_is_due()
        if is_due:
            state.progress.review(theta, state.n_steps)
            state.tuned_at = state.n_steps
        drawn = self._dreams(theta, batch, anew=is_due)
        dreams, fresh = drawn.split(self._problem.settings.n_dreams / self._n_drawn)
        if is_due:
            self._tune(theta, dreams, batch)
        state.n_steps += 1
        form = FORMS[state.form](self._simulation)
        rows = form.contrast(batch, fresh.x)
        # Some forms need no regression, so it is not fitted before it is asked for.
        contract = partial(self._contracted, theta, dreams, rows)
        return form(theta, dreams, rows, contract, self._streams["particles"])

    @property
    def _n_drawn(self) -> int:
        """Number of dreams of a step: as many fresh ones as the regression is fitted on, or none."""
        return (2 if self._state.contrasted else 1) * self._problem.settings.n_dreams

    def _dreams(self, theta: NDArray, batch: NDArray, *, anew: bool) -> Pairs:
        """Return new dreams, or those of an earlier step if they are stored and still likely enough."""
        state, rng = self._state, self._streams["dreams"]
        # A tuning needs new dreams: leaving out one of two equal dreams has no effect.
        if self._log_joint is not None and state.memory is not None and not anew:
            stored = state.memory
            resampled = stored.resampled(self._log_joint(theta, stored.z, stored.x), rng)
            if resampled is not None:
                return resampled
        dreams, n_failed = self._simulation.dream(theta, self._n_drawn, batch, rng)
        state.n_dreamed += self._n_drawn
        state.n_failed += n_failed
        if self._log_joint is not None:
            state.memory = StoredDreams(dreams.z, dreams.x, self._log_joint(theta, dreams.z, dreams.x))
        return dreams

    def _contracted(self, theta: NDArray, dreams: Pairs, rows: Rows, values: NDArray) -> NDArray:
        """Return the sum of values of rows, weighted by the regression at them."""
        state, rng = self._state, self._streams["particles"]
        assert state.feature_map is not None
        dreamed, inputs = (state.feature_map(self._simulation.inputs(theta, x)) for x in (dreams.x, rows.x))
        return tuning.fit_regression(dreamed, state.bandwidth, state.ridge, rng).mean_weights(inputs, values)

    def _tuning_is_due(self) -> bool:
        tuned_at = self._state.tuned_at
        return tuned_at is None or self._state.n_steps >= tuned_at + TUNING_INTERVAL

    def _tune(self, theta: NDArray, dreams: Pairs, batch: NDArray) -> None:
        """Choose the form of the gradient, and the regression's feature map, bandwidth and ridge."""
        state = self._state
        inputs = self._simulation.inputs(theta, dreams.x)
        state.coverages.append(tuning.coverage(inputs[:N_TUNING_PAIRS], self._simulation.inputs(theta, batch)))
        form = self._chosen_form(theta, dreams, batch)
        state.form = form.name
        groups = form.targets(theta, dreams)
        if groups:
            pairs = Pairs(dreams.z, inputs).head(len(groups[0]))
            grid = tuning.CONTRAST_GRID if state.contrasted else tuning.TRAINING_GRID
            tuning.set_regression(state, self._problem.settings, pairs, groups, grid)

    def _chosen_form(self, theta: NDArray, dreams: Pairs, batch: NDArray) -> Form:
        state, log_prob = self._state, self._simulation.log_prob_x_given_z
        if log_prob is None:
            return self._forms.usual
        size = effective_sample_size(log_prob(theta, dreams.z, batch))
        state.effective_sample_sizes.append(size)
        enough = size >= ENOUGH_EFFECTIVE_DREAMS and state.n_steps >= N_REGRESSED_STEPS
        return self._forms.weighted if enough or state.weighing_preferred else self._forms.usual
