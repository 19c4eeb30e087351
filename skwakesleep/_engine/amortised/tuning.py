"""The regression on dreams: its settings, what it is tuned to, and how well it does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.amortised.dreams import Latents, Memory, Pairs
from skwakesleep._engine.amortised.feature_maps import (
    latent_directions,
    learned_directions,
    predictive_directions,
    scaling,
)
from skwakesleep._engine.amortised.feature_regression import (
    FeatureMap,
    FeatureRegression,
    RandomFeatures,
    additive_features,
    tune_ridge,
)
from skwakesleep._engine.amortised.kernel_regression import (
    KernelRegression,
    Regression,
    median_distance,
    squared_distances,
    standardized,
    tune,
)

# Pairs beyond which the kernel is approximated by random features, and the number of these.
MAX_KERNEL_PAIRS = 2000
N_RANDOM_FEATURES = 2000
# Pairs that the regression is tuned on.
N_TUNING_PAIRS = 300
# Wider kernels and lower ridges would predict dreams better still, but as polynomials do, and the data are not dreams:
# they may lie where polynomials go astray. A column whose noise is underestimated makes dreams easier to predict, and
# so the ridge lower, and the noise smaller yet: the least ridge breaks this circle.
BANDWIDTH_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
RIDGE_FACTORS = tuple(10.0 ** (power / 2) for power in range(-1, 9))
# Shrunken predictions of latents make loadings smaller, and so latents harder to predict and the ridge higher, until
# all is noise. In training, the greatest ridge breaks this circle: what little can be predicted is hardly shrunk.
TRAINING_RIDGE_FACTORS = RIDGE_FACTORS[:6]
# Columns that a kernel resolves as they are: there is nothing to reduce.
FEW_COLUMNS = 3
# A row of data is covered when its nearest dream is as near as that of this part of the dreams.
COVERED = 0.95


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
    feature_map : callable, "predictive", "learned", "additive" or None
        Fits a feature map to dreamed observations; "predictive" keeps the directions that predict the targets,
        "learned" improves on them by the gradient of the leave-one-out error; "additive" has no kernel, but a sum of
        functions of the latents' linear predictions.
    latent_function : callable or None
        Maps latents to what "additive" predicts, ``(n, H)``; nothing else needs it.
    """

    bandwidth: float | None = None
    ridge: float = 1e-4
    tuned: bool = True
    n_components: int | None = None
    feature_map: Callable[[NDArray], FeatureMap] | str | None = "predictive"
    latent_function: Callable[[Latents], NDArray] | None = None


@dataclass
class RegressionState:
    """How the regression is set at this time of the training, and how it has done so far.

    Attributes
    ----------
    n_steps : int
        Gradients computed so far.
    tuned_at : int or None
        Number of gradients at the last tuning; None asks for one.
    n_dreamed, n_failed : int
        Simulations so far, and those among them that were not finite.
    weighing_preferred : bool
        Whether importance weighting is used, where it is on offer, even if few dreams are effective.
    form : str
        Name of the form in use.
    bandwidth : float or None
        Bandwidth in units of the features; None where the regression is additive, without a kernel.
    ridge, factor : float
        Ridge, and the bandwidth's place on its grid.
    feature_map : callable or None
        Map of observations to the regression's inputs.
    memory : Memory or None
        Dreams to be used again, if any are.
    errors, coverages, effective_sample_sizes : list of float
        One for each tuning: leave-one-out error relative to predicting the mean, covered part of the data, median
        number of effective dreams for a row of data.
    """

    n_steps: int = 0
    tuned_at: int | None = None
    n_dreamed: int = 0
    n_failed: int = 0
    weighing_preferred: bool = False
    form: str = ""
    bandwidth: float | None = 1.0
    ridge: float = 1.0
    factor: float | None = None
    feature_map: FeatureMap | None = None
    memory: Memory | None = None
    errors: list[float] = field(default_factory=list)
    coverages: list[float] = field(default_factory=list)
    effective_sample_sizes: list[float] = field(default_factory=list)

    def expire(self) -> None:
        """Ask for fresh dreams and a tuning at the next step: parameters have changed otherwise than by a step."""
        self.tuned_at = self.memory = None


def fit_regression(inputs: NDArray, bandwidth: float | None, ridge: float, rng: np.random.Generator) -> Regression:
    """Return the regression on given inputs: additive without a bandwidth, with random features where they are many."""
    if bandwidth is None:
        return FeatureRegression(inputs, additive_features, ridge)
    if len(inputs) <= MAX_KERNEL_PAIRS:
        return KernelRegression(inputs, bandwidth, ridge)
    return FeatureRegression(inputs, RandomFeatures(inputs.shape[1], bandwidth, N_RANDOM_FEATURES, rng), ridge)


def set_regression(
    state: RegressionState,
    settings: RegressionSettings,
    pairs: Pairs,
    groups: Sequence[NDArray],
    ridge_factors: Sequence[float] = TRAINING_RIDGE_FACTORS,
) -> None:
    """Choose feature map, bandwidth and ridge for targets in groups ``(n, T)``, and write them to the state."""
    targets = balanced(groups)
    state.feature_map = _fitted_map(settings, state, pairs, targets)
    inputs = state.feature_map(pairs.x)
    ridges = [settings.ridge * factor for factor in ridge_factors] if settings.tuned else [settings.ridge]
    if settings.feature_map == "additive":
        _tune_additive(state, inputs, targets, ridges)
    else:
        _tune_kernel(state, settings, inputs[:N_TUNING_PAIRS], targets[:N_TUNING_PAIRS], ridges)


def _tune_additive(state: RegressionState, inputs: NDArray, targets: NDArray, ridges: Sequence[float]) -> None:
    state.bandwidth = None
    state.ridge, error = tune_ridge(additive_features(inputs), targets, ridges)
    state.errors.append(error)


def _tune_kernel(
    state: RegressionState, settings: RegressionSettings, inputs: NDArray, targets: NDArray, ridges: Sequence[float]
) -> None:
    center = median_distance(inputs) if settings.bandwidth is None else settings.bandwidth
    factors = _factors_near(state.factor) if settings.tuned else (1.0,)
    state.bandwidth, state.ridge, error = tune(inputs, targets, [center * factor for factor in factors], ridges)
    state.factor = state.bandwidth / center
    state.errors.append(error)


def expectation(
    settings: RegressionSettings, pairs: Pairs, targets: NDArray, x_new: NDArray, rng: np.random.Generator
) -> NDArray:
    """Return the conditional expectation of targets ``(n, T)`` at new observations ``(M, D)``, of shape ``(M, T)``."""
    state = RegressionState()
    set_regression(state, settings, pairs, [targets], RIDGE_FACTORS)
    assert state.feature_map is not None
    regression = fit_regression(state.feature_map(pairs.x), state.bandwidth, state.ridge, rng)
    return regression.predict(state.feature_map(x_new), targets)


def balanced(groups: Sequence[NDArray]) -> NDArray:
    """Return all targets side by side; groups count the same, and so do the principal components of each."""
    return np.concatenate([_principal(standardized(group)) for group in groups], axis=1)


def _principal(targets: NDArray) -> NDArray:
    """Return the principal components of targets with mean zero, scaled to a total variance of one."""
    vectors, singular, _ = np.linalg.svd(targets, full_matrices=False)
    rank = int((singular > 1e-6 * singular.max(initial=0.0)).sum())
    return vectors[:, :rank] * np.sqrt(len(targets) / max(rank, 1))


def _fitted_map(settings: RegressionSettings, state: RegressionState, pairs: Pairs, targets: NDArray) -> FeatureMap:
    x = pairs.x
    if settings.feature_map == "additive":
        assert settings.latent_function is not None
        return latent_directions(x, settings.latent_function(pairs.z))
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
