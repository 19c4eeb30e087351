"""The regression on dreams: how it is tuned, and how well it does."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from skwakesleep._engine.amortised import feature_maps, kernels, regression
from skwakesleep._engine.amortised.dreams import Pairs
from skwakesleep._engine.amortised.problem import Settings
from skwakesleep._engine.amortised.regression import N_TUNING_PAIRS, RidgeRegression
from skwakesleep._engine.amortised.state import RegressionState

# Pairs beyond which random features approximate the kernel, and the number of these features.
MAX_KERNEL_PAIRS = 2000
N_RANDOM_FEATURES = 2000


class Grid(NamedTuple):
    """Factors of the bandwidth and of the ridge to choose from."""

    bandwidths: Sequence[float]
    ridges: Sequence[float]


def _half_decades(first: int, last: int) -> tuple[float, ...]:
    return tuple(10.0 ** (power / 2) for power in range(first, last + 1))


# Wider kernels and lower ridges than those would predict dreams even better, but like polynomials, which do badly where
# data lie outside the dreams. If the noise of a column is underestimated, its dreams are easier to predict, the ridge
# becomes lower, and the noise smaller still; the lowest ridge ends this.
WIDE_GRID = Grid((0.25, 0.5, 1.0, 2.0, 4.0), _half_decades(-1, 8))
# In training, the ridge has an upper bound as well. Without it, shrunken predictions of the latents make the loadings
# smaller, the latents become harder to predict and the ridge higher, until the model is all noise.
TRAINING_GRID = Grid(WIDE_GRID.bandwidths, _half_decades(-1, 4))
# The contrast subtracts what such a regression does at dreams, and needs them to be like the data in any case.
CONTRAST_GRID = Grid((*WIDE_GRID.bandwidths, 8.0), _half_decades(-5, 4))
# A kernel resolves this number of columns as they are.
FEW_COLUMNS = 3
# Principal components of targets whose singular value is below this share of the largest are left out.
TARGET_RANK_TOLERANCE = 1e-6
# A row of data is covered if its nearest dream is as near as the nearest neighbor of this share of the dreams.
COVERED = 0.95


def fit_regression(inputs: NDArray, bandwidth: float | None, ridge: float, rng: Generator) -> RidgeRegression:
    """Return a regression on given inputs: additive without a bandwidth, on random features if there are many."""
    if bandwidth is None:
        return regression.feature_regression(inputs, kernels.additive_features, ridge)
    if len(inputs) <= MAX_KERNEL_PAIRS:
        return regression.kernel_regression(inputs, bandwidth, ridge)
    random_features = kernels.RandomFeatures(inputs.shape[1], bandwidth, N_RANDOM_FEATURES, rng)
    return regression.feature_regression(inputs, random_features, ridge)


def set_regression(
    state: RegressionState,
    settings: Settings,
    pairs: Pairs,
    groups: Sequence[NDArray],
    grid: Grid = TRAINING_GRID,
) -> None:
    """Choose feature map, bandwidth and ridge for groups ``(n, T)`` of targets, and write them to the state."""
    targets = balanced(groups)
    state.feature_map = _fitted_map(settings, state, pairs, targets)
    inputs = state.feature_map(pairs.x)
    ridges = [settings.ridge * factor for factor in grid.ridges] if settings.tuned else [settings.ridge]
    if settings.feature_map == "additive":
        state.bandwidth = None
        state.ridge, error = regression.tune_ridge(kernels.additive_features(inputs), targets, ridges)
    else:
        error = _tune_kernel(
            state, settings, inputs[:N_TUNING_PAIRS], targets[:N_TUNING_PAIRS], ridges, grid.bandwidths
        )
    state.errors.append(error)


def _tune_kernel(
    state: RegressionState,
    settings: Settings,
    inputs: NDArray,
    targets: NDArray,
    ridges: Sequence[float],
    bandwidth_factors: Sequence[float],
) -> float:
    """Choose bandwidth and ridge, and return the error."""
    center = kernels.median_distance(inputs) if settings.bandwidth is None else settings.bandwidth
    factors = factors_near(state.factor, bandwidth_factors) if settings.tuned else (1.0,)
    bandwidths = [center * factor for factor in factors]
    state.bandwidth, state.ridge, error = regression.tune_kernel(inputs, targets, bandwidths, ridges)
    state.factor = state.bandwidth / center
    return error


def factors_near(factor: float | None, factors: Sequence[float]) -> Sequence[float]:
    """Return the factors of the bandwidth to try: all of them at first, later those next to the last choice."""
    if factor is None:
        return factors
    nearest = int(np.argmin(np.abs(np.log(factors) - np.log(factor))))
    return factors[max(0, nearest - 1) : nearest + 2]


def _fitted_map(settings: Settings, state: RegressionState, pairs: Pairs, targets: NDArray) -> kernels.FeatureMap:
    feature_map, x = settings.feature_map, pairs.x
    if callable(feature_map):
        return feature_map(x)
    if feature_map == "additive":
        assert settings.latent_function is not None
        return feature_maps.latent_directions(x, settings.latent_function(pairs.z))
    if feature_map is None or x.shape[1] <= FEW_COLUMNS:
        return feature_maps.scaling(x)
    if feature_map == "predictive":
        return feature_maps.predictive_directions(x, targets, settings.n_components)
    ridge = settings.ridge if state.factor is None else state.ridge
    n = N_TUNING_PAIRS  # each iteration factorizes a kernel
    return feature_maps.learned_directions(x[:n], targets[:n], settings.n_components, state.factor or 1.0, ridge)


def balanced(groups: Sequence[NDArray]) -> NDArray:
    """Return all targets side by side; each group counts the same, and so do the principal components of a group."""
    return np.concatenate([_principal(regression.standardized(group)) for group in groups], axis=1)


def _principal(targets: NDArray) -> NDArray:
    """Return the principal components of targets with mean zero, scaled to a total variance of one."""
    vectors, singular, _ = np.linalg.svd(targets, full_matrices=False)
    rank = int((singular > TARGET_RANK_TOLERANCE * singular.max(initial=0.0)).sum())
    return vectors[:, :rank] * np.sqrt(len(targets) / max(rank, 1))


def expectation(settings: Settings, pairs: Pairs, targets: NDArray, x_new: NDArray, rng: Generator) -> NDArray:
    """Return the conditional expectation of targets ``(n, T)`` at new observations ``(M, D)``, of shape ``(M, T)``."""
    state = RegressionState()
    set_regression(state, settings, pairs, [targets], WIDE_GRID)
    assert state.feature_map is not None
    fitted = fit_regression(state.feature_map(pairs.x), state.bandwidth, state.ridge, rng)
    return fitted.predict(state.feature_map(x_new), targets)


def coverage(dreams: NDArray, data: NDArray) -> float:
    """Return the share of the data whose nearest dream is as near as that of `COVERED` of the dreams."""
    if len(dreams) < 2:
        return 0.0
    scale = feature_maps.scaling(dreams)
    dreams, data = scale(dreams), scale(data)
    among = kernels.squared_distances(dreams, dreams)
    np.fill_diagonal(among, np.inf)
    near = np.quantile(among.min(axis=0), COVERED)
    return float((kernels.squared_distances(dreams, data).min(axis=0) <= near).mean())
