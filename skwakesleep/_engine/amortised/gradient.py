"""The amortised step: the gradient of the log-likelihood, learned by regression on dreams.

By Fisher's identity, ``grad log p(x) = E[grad log p(z, x) | x]``. Asleep, the model dreams pairs of latents and
observations; the conditional expectation is learned from them by kernel ridge regression. Awake, it is evaluated at the
data (Wenliang, Moskovitz, Kanagawa & Sahani 2020). The posterior is never represented.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.amortised.dreams import (
    FailedSimulationsError,
    Latents,
    Memory,
    Pairs,
    Phases,
    effective_sample_size,
    kept,
    memory_for,
)
from skwakesleep._engine.amortised.forms import BatchRegression, Form
from skwakesleep._engine.amortised.tuning import (
    N_TUNING_PAIRS,
    RegressionSettings,
    RegressionState,
    coverage,
    fit_regression,
    set_regression,
)
from skwakesleep._engine.amortised.units import Units
from skwakesleep._engine.arrays.random import Streams
from skwakesleep._engine.machine.moments import Moments
from skwakesleep._engine.training.state import TrainingState, check_vector

# Steps after which the regression is tuned anew.
TUNING_INTERVAL = 25
# Median number of effective samples from which importance weighting is the better of the two: chosen by measurement.
ENOUGH_EFFECTIVE_SAMPLES = 5.0
# Steps before importance weighting is considered: exact enough to climb the nearest hill, it would stay there, where
# a regression, smooth over all dreams, sees past the local maxima of the first steps.
N_REGRESSED_STEPS = 100


@dataclass
class AmortisedState(TrainingState):
    """State of a training that includes its regression's.

    Attributes
    ----------
    regression : RegressionState
        How the regression is set.
    units : Units
        Those in which the parameters are.
    moments : Moments or None
        Moments of the rows seen so far.
    step_factor : float
        What the learning rate asked for is multiplied by.
    """

    regression: RegressionState = field(default_factory=RegressionState)
    units: Units = field(default_factory=lambda: Units(np.zeros(1), np.ones(1)))
    moments: Moments | None = None
    step_factor: float = 1.0

    def enter(self, units: Units, params_in_units: Callable[[NDArray, NDArray, NDArray], NDArray]) -> None:
        """Go on in other units, with an optimizer that remembers nothing.

        Densities stay the same, but for columns whose spread has shown only now: there the parameters are taken to be
        in the new units already. Noise that is too narrow for what comes is hard to learn from, and so is a location
        that is far from it.
        """
        location, scale = self.units.seen_from(units)
        grown = self.units.have_grown(units)
        location, scale = np.where(grown, 0.0, location), np.where(grown, 1.0, scale)
        for parameters in (self.parameters, self.average):
            parameters[...] = params_in_units(parameters, location, scale)
        self.optimizer.reset()
        self.regression.expire()
        self.units = units

    def set_learning_rate(self, asked: float) -> None:
        """Follow what is asked for, as far as falls of the likelihood let it."""
        self.optimizer.learning_rate = asked * self.step_factor

    def change_course(self, factor: float) -> None:
        """Take smaller steps from here on, and the other form of the gradient, if there are two."""
        self.step_factor *= factor
        self.optimizer.learning_rate *= factor
        self.regression.weighing_preferred = not self.regression.weighing_preferred

    def go_back(self, iterates: tuple[NDArray, NDArray, int, int]) -> None:
        """Return to earlier iterates, with an optimizer that remembers nothing, and a tuning ahead."""
        super().go_back(iterates)
        self.regression.expire()

    def copy(self) -> "AmortisedState":
        """Return a state whose training leaves this one alone."""
        other = super().copy()
        assert isinstance(other, AmortisedState)
        other.regression = deepcopy(self.regression)
        return other

    def for_inference(self) -> "AmortisedState":
        """Return a state that serves inference alone; it keeps how the regression was set and how it did."""
        other = super().for_inference()
        assert isinstance(other, AmortisedState)
        other.regression = replace(self.regression, feature_map=None, memory=None)
        return other

    def check(self, n_parameters: int) -> None:
        """Raise ValueError unless all that was learned is finite and of the right size."""
        super().check(n_parameters)
        if self.regression.memory is not None:
            self.regression.memory.check()


@dataclass(frozen=True)
class Fit:
    """What a training has led to: all that methods of a fitted estimator read."""

    model: Any
    state: AmortisedState
    theta: NDArray  # in the units of the state
    theta_in_units: NDArray  # in those of the columns

    def check(self) -> None:
        """Raise ValueError unless all that was learned is finite and of the right size."""
        for name in ("theta", "theta_in_units"):
            check_vector(name, getattr(self, name), self.model.n_params)
        self.state.check(self.model.n_params)


class AmortisedGradient:
    """Gradient of the mean log-likelihood of a mini-batch, for ascent.

    Parameters
    ----------
    phases : Phases
        Dreams of whole observations, or of local factors.
    forms : sequence of Form
        What there is to choose from. With importance weighting first among several, it is used while enough dreams
        explain a row of data, the first steps excepted.
    settings : RegressionSettings
        What the user decides.
    state : RegressionState
        Where the regression has got to; updated in place.
    parameters : ndarray of shape (P,)
        The flat vector that is being trained; read at every call.
    n_dreams : int
        Pairs dreamed at each step.
    streams : Streams
        Provides the streams "dreams" and "particles".
    log_prob_x_given_z : callable or None
        Gives the effective sample size.
    log_joint : callable or None
        Weighs dreams of earlier steps, to use them again; None dreams anew at each step.

    Attributes
    ----------
    gradient : ndarray of shape (P,)
        Gradient at the last mini-batch.
    failure : str
        What was not finite, if anything was.
    failed_at : ndarray of shape (P,) or None
        The parameters at which it was not.
    n_followed : int
        Number of gradients that were finite.
    followed : ndarray of shape (P,)
        The last parameters at which the gradient was finite.
    """

    def __init__(
        self,
        phases: Phases,
        forms: Sequence[Form],
        settings: RegressionSettings,
        state: RegressionState,
        parameters: NDArray,
        *,
        n_dreams: int,
        streams: Streams,
        log_prob_x_given_z: Callable[[NDArray, Latents, NDArray], NDArray] | None = None,
        log_joint: Callable[[NDArray, Latents, NDArray], NDArray] | None = None,
    ) -> None:
        self.gradient = np.zeros_like(parameters)
        self.damping: NDArray | None = None
        self.failure = ""
        self.failed_at: NDArray | None = None
        self.n_followed = 0
        self.followed = parameters.copy()
        self._phases = phases
        self._forms = {form.name: form for form in forms}
        self._settings = settings
        self._state = state
        self._parameters = parameters
        self._n_dreams = n_dreams
        self._streams = streams
        self._log_prob = log_prob_x_given_z
        self._log_joint = log_joint
        if state.form not in self._forms:
            state.form = next(reversed(self._forms))

    def floor(self, nats: float) -> float:
        """Return a bound that NaN alone falls short of: the objective has no value."""
        return -np.inf

    def __call__(self, batch: NDArray) -> float | None:
        """Set `gradient` for a mini-batch; return None, or NaN if it is not finite."""
        with np.errstate(all="ignore"), memory_for("n_sleep", self._n_dreams):
            try:
                return self._step(batch)
            except FailedSimulationsError as error:
                return self.fail(str(error), self._parameters)

    def fail(self, failure: str, theta: NDArray) -> float:
        """Take down what was not finite, and where; return nan."""
        self.failure, self.failed_at = failure, theta.copy()
        return np.nan

    def _step(self, batch: NDArray) -> float | None:
        theta, state = self._parameters, self._state
        dreams = self._dreams(theta, batch)
        if self._tuning_is_due():
            self._tune(theta, dreams, batch)
            state.tuned_at = state.n_steps
        state.n_steps += 1
        form = self._forms[state.form]
        rng = self._streams["particles"]
        regression = self._fitted(theta, dreams, batch, rng) if form.regresses else _no_regression
        self.gradient[...] = form(theta, dreams, batch, regression, rng)
        if not np.isfinite(self.gradient).all():
            return self.fail("the gradient was not finite", theta)
        self.followed[...] = theta
        self.n_followed += 1
        return None

    def _tuning_is_due(self) -> bool:
        tuned_at = self._state.tuned_at
        return tuned_at is None or self._state.n_steps >= tuned_at + TUNING_INTERVAL

    def _dreams(self, theta: NDArray, batch: NDArray) -> Pairs:
        """Return fresh dreams, or those of earlier steps where these are kept and still likely enough."""
        state, rng = self._state, self._streams["dreams"]
        # When tuning, a dream that is there twice could not be left out.
        if self._log_joint is not None and state.memory is not None and not self._tuning_is_due():
            log_joint = self._log_joint(theta, state.memory.z, state.memory.x)
            recalled = state.memory.recalled(log_joint, rng)
            if recalled is not None:
                return recalled
        dreams, n_failed = kept(self._phases.dream(theta, self._n_dreams, batch, rng), self._phases.source)
        state.n_dreamed += self._n_dreams
        state.n_failed += n_failed
        if self._log_joint is not None:
            state.memory = Memory(dreams.z, dreams.x, self._log_joint(theta, dreams.z, dreams.x))
        return dreams

    def _fitted(self, theta: NDArray, dreams: Pairs, batch: NDArray, rng: np.random.Generator) -> BatchRegression:
        state = self._state
        assert state.feature_map is not None
        dreamed, inputs = (state.feature_map(self._phases.inputs(theta, x)) for x in (dreams.x, batch))
        regression = fit_regression(dreamed, state.bandwidth, state.ridge, rng)
        return lambda values: regression.mean_weights(inputs, values)

    def _tune(self, theta: NDArray, dreams: Pairs, batch: NDArray) -> None:
        """Choose the form of the gradient, and the regression's feature map, bandwidth and ridge."""
        state = self._state
        inputs = self._phases.inputs(theta, dreams.x)
        state.coverages.append(coverage(inputs[:N_TUNING_PAIRS], self._phases.inputs(theta, batch)))
        enough = False
        if self._log_prob is not None:
            size = effective_sample_size(self._log_prob(theta, dreams.z, batch))
            state.effective_sample_sizes.append(size)
            enough = size >= ENOUGH_EFFECTIVE_SAMPLES and state.n_steps >= N_REGRESSED_STEPS
            enough |= state.weighing_preferred
        weighted, regressed = next(iter(self._forms.values())), next(reversed(self._forms.values()))
        state.form = weighted.name if enough else regressed.name
        if self._forms[state.form].regresses:
            groups = self._forms[state.form].targets(theta, dreams)
            pairs = Pairs(dreams.z, inputs).head(len(groups[0]))
            set_regression(state, self._settings, pairs, groups)


def _no_regression(values: NDArray) -> NDArray:
    raise NotImplementedError
