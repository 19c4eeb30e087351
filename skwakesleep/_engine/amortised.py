"""The amortised step: the gradient of the log-likelihood, learned by regression on dreams.

By Fisher's identity, ``grad log p(x) = E[grad log p(z, x) | x]``. Asleep, the model dreams pairs of latents and
observations; the conditional expectation is learned from them by kernel ridge regression. Awake, it is evaluated at the
data (Wenliang, Moskovitz, Kanagawa & Sahani 2020). The posterior is never represented.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.feature_maps import learned_directions, predictive_directions, scaling
from skwakesleep._engine.kernel_regression import (
    KernelRegression,
    RandomFeatureRegression,
    Regression,
    median_distance,
    squared_distances,
    standardized,
    tune,
)
from skwakesleep._engine.random import Streams
from skwakesleep._engine.training import TrainingState

FeatureMap = Callable[[NDArray], NDArray]
Latents = Any

# Pairs beyond which the kernel is approximated by random features, and the number of these.
MAX_KERNEL_PAIRS = 2000
N_RANDOM_FEATURES = 2000
# Pairs that the regression is tuned on, and the number of steps after which it is tuned anew.
N_TUNING_PAIRS = 300
TUNING_INTERVAL = 25
# Wider kernels and lower ridges would predict dreams better still, but as polynomials do, and the data are not dreams:
# they may lie where polynomials go astray. A column whose noise is underestimated makes dreams easier to predict, and
# so the ridge lower, and the noise smaller yet: the least ridge breaks this circle.
BANDWIDTH_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
RIDGE_FACTORS = tuple(10.0 ** (power / 2) for power in range(-1, 9))
# Median number of effective samples from which importance weighting is the better of the two: chosen by measurement.
ENOUGH_EFFECTIVE_SAMPLES = 5.0
# Steps before importance weighting is considered: exact enough to climb the nearest hill, it would stay there, where
# a regression, smooth over all dreams, sees past the local maxima of the first steps.
N_REGRESSED_STEPS = 100
# Columns that a kernel resolves as they are: there is nothing to reduce.
FEW_COLUMNS = 3
# Dreams that a row of data is paired with, where importance weights cannot be contracted analytically.
N_RESAMPLED = 10
# Part of the dreams of an earlier step that must still be effective, for them to be used again.
STILL_EFFECTIVE = 0.5
# A row of data is covered when its nearest dream is as near as that of this part of the dreams.
COVERED = 0.95


class Pairs(NamedTuple):
    """Latents with the observations that they caused, or the inputs of local factors."""

    z: Latents
    x: NDArray

    def head(self, n: int) -> "Pairs":
        """Return the first pairs."""
        return Pairs(select(self.z, slice(n)), self.x[:n])


def select(z: Latents, index: Any) -> Latents:
    """Return some of the latents, which are an array or a tuple of arrays."""
    return tuple(part[index] for part in z) if isinstance(z, tuple) else z[index]


class Phases(Protocol):
    """How pairs are dreamed, and their scores computed."""

    def dream(self, theta: NDArray, n: int, batch: NDArray, rng: np.random.Generator) -> Pairs:
        """Return ``n`` pairs."""

    def score(self, theta: NDArray, z: Latents, x: NDArray, weights: NDArray) -> NDArray:
        """Return the weighted sum of the pairs' scores, ``(P,)``."""

    def inputs(self, theta: NDArray, x: NDArray) -> NDArray:
        """Return what the scores are regressed on, before any feature map."""


class WholeObservations:
    """Dreams of whole observations."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def dream(self, theta: NDArray, n: int, batch: NDArray, rng: np.random.Generator) -> Pairs:
        return Pairs(*self._model.sample(theta, n, rng))

    def score(self, theta: NDArray, z: Latents, x: NDArray, weights: NDArray) -> NDArray:
        return self._model.grad_log_joint(theta, z, x, weights)

    def inputs(self, theta: NDArray, x: NDArray) -> NDArray:
        return x


class LocalFactors:
    """Dreams of one step from the observed history, for models whose log joint is a sum of local terms."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def dream(self, theta: NDArray, n: int, batch: NDArray, rng: np.random.Generator) -> Pairs:
        return Pairs(*self._model.sample_local(theta, batch, n, rng))

    def score(self, theta: NDArray, z: Latents, x: NDArray, weights: NDArray) -> NDArray:
        return self._model.local_grad_log_joint(theta, z, x, weights)

    def inputs(self, theta: NDArray, x: NDArray) -> NDArray:
        return self._model.local_features(theta, x) if hasattr(self._model, "local_features") else x


# ---------------------------------------------------------------------- forms of the gradient


class Form(Protocol):
    """A way to compute the gradient of the mean log-likelihood of a batch from dreams."""

    name: str
    regresses: bool

    def targets(self, theta: NDArray, pairs: Pairs) -> list[NDArray]:
        """Return what the regression is tuned to predict, of some of the pairs or all of them, the first ones first.

        Groups ``(n, T)`` of targets count the same.
        """

    def __call__(
        self, theta: NDArray, dreams: Pairs, batch: NDArray, regression: "BatchRegression", rng: np.random.Generator
    ) -> NDArray:
        """Return the gradient, ``(P,)``."""


class BatchRegression(Protocol):
    """A regression on dreams, evaluated at a batch of data."""

    def __call__(self, values: NDArray) -> NDArray:
        """Return ``sum_m A[:, m] values[m]``, ``(N, C)``."""


class Direct:
    """Regress the scores themselves: all that a black box needs to give.

    The regression's weights are averaged over the batch, so that one weighted sum of scores is enough.
    """

    name = "direct"
    regresses = True

    def __init__(self, phases: Phases) -> None:
        self._phases = phases

    def targets(self, theta: NDArray, pairs: Pairs) -> list[NDArray]:
        one = np.ones(1)
        pairs = pairs.head(N_TUNING_PAIRS)  # a call for each
        return [
            np.stack(
                [
                    self._phases.score(theta, select(pairs.z, slice(n, n + 1)), pairs.x[n : n + 1], one)
                    for n in range(len(pairs.x))
                ]
            )
        ]

    def __call__(
        self, theta: NDArray, dreams: Pairs, batch: NDArray, regression: BatchRegression, rng: np.random.Generator
    ) -> NDArray:
        weights = regression(np.full((len(batch), 1), 1 / len(batch)))
        return self._phases.score(theta, dreams.z, dreams.x, weights[:, 0])


class Exponential:
    """Regress natural parameters, and combine them with the statistics of the data.

    The log joint is ``eta(z) . s(x) - psi(z)``: only functions of the latents remain to be predicted, and the data
    themselves take the place of dreamed observations.
    """

    name = "exponential"
    regresses = True

    def __init__(self, model: Any) -> None:
        self._model = model

    def targets(self, theta: NDArray, pairs: Pairs) -> list[NDArray]:
        eta, psi = self._model.natural_parameters(theta, pairs.z)
        return [eta, psi[:, np.newaxis]]

    def __call__(
        self, theta: NDArray, dreams: Pairs, batch: NDArray, regression: BatchRegression, rng: np.random.Generator
    ) -> NDArray:
        statistics = self._model.sufficient_statistics(batch)
        values = np.column_stack([np.ones(len(batch)), statistics]) / len(batch)
        contracted = regression(values)
        return self._model.natural_vjp(theta, dreams.z, contracted[:, 1:], -contracted[:, 0])


class ImportanceWeighted:
    """Weigh the same dreams by how well their latents explain each row of data.

    Better and cheaper than a regression while many dreams explain a row, useless once hardly any does.
    """

    name = "importance"
    regresses = False

    def __init__(self, model: Any) -> None:
        self._model = model

    def targets(self, theta: NDArray, pairs: Pairs) -> list[NDArray]:
        return []

    def __call__(
        self, theta: NDArray, dreams: Pairs, batch: NDArray, regression: BatchRegression, rng: np.random.Generator
    ) -> NDArray:
        weights = importance_weights(self._model.log_prob_x_given_z(theta, dreams.z, batch))
        if hasattr(self._model, "natural_vjp"):
            statistics = weights @ (self._model.sufficient_statistics(batch) / len(batch))
            return self._model.natural_vjp(theta, dreams.z, statistics, -weights.mean(axis=1))
        chosen = resampled(weights, N_RESAMPLED, rng)
        z, x = select(dreams.z, chosen.ravel()), np.repeat(batch, N_RESAMPLED, axis=0)
        return self._model.grad_log_joint(theta, z, x, np.full(len(x), 1 / len(x)))


class Exact:
    """The model's own gradient of its log-likelihood: no dreams at all."""

    name = "exact"
    regresses = False

    def __init__(self, model: Any) -> None:
        self._model = model

    def targets(self, theta: NDArray, pairs: Pairs) -> list[NDArray]:
        return []

    def __call__(
        self, theta: NDArray, dreams: Pairs, batch: NDArray, regression: BatchRegression, rng: np.random.Generator
    ) -> NDArray:
        return self._model.grad_log_likelihood(theta, batch)


def importance_weights(log_prob: NDArray) -> NDArray:
    """Return weights ``(N, M)`` that sum to one over the dreams, for each row of data."""
    weights = np.exp(log_prob - log_prob.max(axis=0))
    weights /= weights.sum(axis=0)
    return weights


def effective_sample_size(log_prob: NDArray) -> float:
    """Return the median over rows of the effective number of dreams, ``1 / sum(weights^2)``."""
    return float(np.median(1 / np.square(importance_weights(log_prob)).sum(axis=0)))


def resampled(weights: NDArray, n: int, rng: np.random.Generator) -> NDArray:
    """Return indices ``(M, n)`` of dreams drawn by their weights ``(N, M)``, systematically."""
    positions = (rng.random((weights.shape[1], 1)) + np.arange(n)) / n
    cumulative = np.cumsum(weights, axis=0).T
    rows = zip(cumulative, positions, strict=True)
    return np.stack([np.minimum(np.searchsorted(row, at), len(row) - 1) for row, at in rows])


@dataclass
class Memory:
    """Dreams of an earlier step, and the log joint ``(n,)`` of each at that step's parameters."""

    z: Latents
    x: NDArray
    log_joint: NDArray

    def recalled(self, log_joint: NDArray, rng: np.random.Generator) -> Pairs | None:
        """Return the dreams resampled by importance, given their log joints of now; None if too few would count."""
        log_weights = (log_joint - self.log_joint)[:, np.newaxis]
        if not effective_sample_size(log_weights) >= STILL_EFFECTIVE * len(log_joint):
            return None
        chosen = resampled(importance_weights(log_weights), len(log_joint), rng)[0]
        return Pairs(select(self.z, chosen), self.x[chosen])


# ---------------------------------------------------------------------- the regression's own state


@dataclass
class RegressionSettings:
    """What the user decides about the regression.

    Attributes
    ----------
    bandwidth : float or None
        Bandwidth (center of its grid); None for the median distance between dreams.
    ridge : float
        Ridge (center of its grid).
    tuned : bool
        Whether both are chosen by leave-one-out error.
    n_components : int or None
        Width of a learned feature map.
    feature_map : callable, "predictive", "learned" or None
        Fits a feature map to dreamed observations; "predictive" keeps the directions that predict the targets,
        "learned" improves on them by the gradient of the leave-one-out error.
    """

    bandwidth: float | None = None
    ridge: float = 1e-4
    tuned: bool = True
    n_components: int | None = None
    feature_map: Callable[[NDArray], FeatureMap] | str | None = "predictive"


@dataclass
class RegressionState:
    """How the regression is set at this time of the training, and how it has done so far.

    Attributes
    ----------
    n_steps : int
        Gradients computed so far.
    form : str
        Name of the form in use.
    bandwidth, ridge, factor : float
        Bandwidth in units of the features, ridge, and the bandwidth's place on its grid.
    feature_map : callable or None
        Map of observations to the regression's inputs.
    memory : Memory or None
        Dreams to be used again, if any are.
    errors, coverages, effective_sample_sizes : list of float
        One for each tuning: leave-one-out error relative to predicting the mean, covered part of the data, median
        number of effective dreams for a row of data.
    """

    n_steps: int = 0
    form: str = ""
    bandwidth: float = 1.0
    ridge: float = 1.0
    factor: float | None = None
    feature_map: FeatureMap | None = None
    memory: Memory | None = None
    errors: list[float] = field(default_factory=list)
    coverages: list[float] = field(default_factory=list)
    effective_sample_sizes: list[float] = field(default_factory=list)


@dataclass
class AmortisedState(TrainingState):
    """State of a training that includes its regression's."""

    regression: RegressionState = field(default_factory=RegressionState)

    def copy(self) -> "AmortisedState":
        """Return a state whose training leaves this one alone."""
        other = super().copy()
        assert isinstance(other, AmortisedState)
        other.regression = deepcopy(self.regression)
        return other


# ---------------------------------------------------------------------- the step


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
        self.failure = ""
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
        """Return what every finite gradient reaches: there is no objective to fall short of."""
        return 0.0

    def __call__(self, batch: NDArray) -> float:
        """Set `gradient` for a mini-batch; return zero, for the objective is not known, or nan if it is not finite."""
        with np.errstate(all="ignore"):  # a training that diverges is reported once, below
            return self._step(batch)

    def _step(self, batch: NDArray) -> float:
        theta, state = self._parameters, self._state
        dreams = self._dreams(theta, batch)
        if not np.isfinite(dreams.x).all():
            self.failure = "the model's samples were not finite"
            return np.nan
        if state.n_steps % TUNING_INTERVAL == 0:
            self._tune(theta, dreams, batch)
        state.n_steps += 1
        form = self._forms[state.form]
        rng = self._streams["particles"]
        regression = self._fitted(theta, dreams, batch, rng) if form.regresses else _no_regression
        self.gradient[...] = form(theta, dreams, batch, regression, rng)
        if not np.isfinite(self.gradient).all():
            self.failure = "the gradient was not finite"
            return np.nan
        self.followed[...] = theta
        return 0.0

    def _dreams(self, theta: NDArray, batch: NDArray) -> Pairs:
        """Return fresh dreams, or those of earlier steps where these are kept and still likely enough."""
        state, rng = self._state, self._streams["dreams"]
        tuning = state.n_steps % TUNING_INTERVAL == 0  # a dream that is there twice cannot be left out
        if self._log_joint is not None and state.memory is not None and not tuning:
            log_joint = self._log_joint(theta, state.memory.z, state.memory.x)
            recalled = state.memory.recalled(log_joint, rng)
            if recalled is not None:
                return recalled
        dreams = self._phases.dream(theta, self._n_dreams, batch, rng)
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
        weighted, regressed = next(iter(self._forms.values())), next(reversed(self._forms.values()))
        state.form = weighted.name if enough else regressed.name
        if self._forms[state.form].regresses:
            groups = self._forms[state.form].targets(theta, dreams)
            set_regression(state, self._settings, inputs[: len(groups[0])], groups)


def _no_regression(values: NDArray) -> NDArray:
    raise NotImplementedError


def fit_regression(inputs: NDArray, bandwidth: float, ridge: float, rng: np.random.Generator) -> Regression:
    """Return the regression on given inputs, with random features where they are many."""
    if len(inputs) <= MAX_KERNEL_PAIRS:
        return KernelRegression(inputs, bandwidth, ridge)
    return RandomFeatureRegression(inputs, bandwidth, ridge, N_RANDOM_FEATURES, rng)


def set_regression(state: RegressionState, settings: RegressionSettings, x: NDArray, groups: Sequence[NDArray]) -> None:
    """Choose feature map, bandwidth and ridge for targets in groups ``(n, T)``, and write them to the state.

    The map is fitted to all pairs; bandwidth and ridge are tuned on the first `N_TUNING_PAIRS`.
    """
    targets = balanced(groups)
    state.feature_map = _fitted_map(settings, state, x, targets)
    inputs, targets = state.feature_map(x[:N_TUNING_PAIRS]), targets[:N_TUNING_PAIRS]
    center = median_distance(inputs) if settings.bandwidth is None else settings.bandwidth
    factors = _factors_near(state.factor) if settings.tuned else (1.0,)
    ridges = [settings.ridge * factor for factor in RIDGE_FACTORS] if settings.tuned else [settings.ridge]
    chosen = tune(inputs, targets, [center * factor for factor in factors], ridges)
    state.bandwidth, state.ridge = chosen.bandwidth, chosen.ridge
    state.factor = chosen.bandwidth / center
    state.errors.append(chosen.error)


def expectation(
    settings: RegressionSettings, x: NDArray, targets: NDArray, x_new: NDArray, rng: np.random.Generator
) -> NDArray:
    """Return the conditional expectation of targets ``(n, T)`` at new observations ``(M, D)``, of shape ``(M, T)``."""
    state = RegressionState()
    set_regression(state, settings, x, [targets])
    assert state.feature_map is not None
    regression = fit_regression(state.feature_map(x), state.bandwidth, state.ridge, rng)
    return regression.predict(state.feature_map(x_new), targets)


def balanced(groups: Sequence[NDArray]) -> NDArray:
    """Return all targets side by side; groups count the same, and so do the principal components of each."""
    return np.concatenate([_principal(standardized(group)) for group in groups], axis=1)


def _principal(targets: NDArray) -> NDArray:
    """Return the principal components of targets with mean zero, scaled to a total variance of one."""
    vectors, singular, _ = np.linalg.svd(targets, full_matrices=False)
    rank = int((singular > 1e-6 * singular.max(initial=0.0)).sum())
    return vectors[:, :rank] * np.sqrt(len(targets) / max(rank, 1))


def _fitted_map(settings: RegressionSettings, state: RegressionState, x: NDArray, targets: NDArray) -> FeatureMap:
    if isinstance(settings.feature_map, str) and x.shape[1] <= FEW_COLUMNS:
        return scaling(x)
    if settings.feature_map == "predictive":
        return predictive_directions(x, targets, settings.n_components)
    if settings.feature_map == "learned":
        ridge = settings.ridge if state.factor is None else state.ridge
        n = N_TUNING_PAIRS  # a factorization for each iteration
        return learned_directions(x[:n], targets[:n], settings.n_components, state.factor or 1.0, ridge)
    if callable(settings.feature_map):
        return settings.feature_map(x)
    return scaling(x)


def _factors_near(factor: float | None) -> Sequence[float]:
    """Return the factors of the bandwidth to try: all of them at first, later those next to the last choice."""
    if factor is None:
        return BANDWIDTH_FACTORS
    nearest = int(np.argmin(np.abs(np.log(BANDWIDTH_FACTORS) - np.log(factor))))
    return BANDWIDTH_FACTORS[max(0, nearest - 1) : nearest + 2]


def coverage(dreams: NDArray, data: NDArray) -> float:
    """Return the part of the data whose nearest dream is as near as that of `COVERED` of the dreams."""
    if len(dreams) < 2:
        return 0.0
    scale = scaling(dreams)
    dreams, data = scale(dreams), scale(data)
    among = squared_distances(dreams, dreams)
    np.fill_diagonal(among, np.inf)
    near = np.quantile(among.min(axis=0), COVERED)
    return float((squared_distances(dreams, data).min(axis=0) <= near).mean())
