"""Statistics of data sets, and how unusual those of one data set are among those of others."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


def column_statistics(X: NDArray, names: list[str], n_covariates: int = 0) -> dict[str, float]:
    """Return means, standard deviations, extremes and correlations of columns, from the cells that are observed.

    The last columns may be covariates, which are only correlated with the others.
    """
    n_observed = X.shape[1] - n_covariates
    by_column = dict(zip(("mean", "std", "min", "max"), _moments_and_extremes(X[:, :n_observed]), strict=True))
    statistics = {
        f"{kind} of {name}": value
        for kind, values in by_column.items()
        for name, value in zip(names, values.tolist(), strict=False)
    }
    correlations = _correlations(X)
    for one in range(n_observed):
        for other in range(one + 1, X.shape[1]):
            statistics[f"correlation of {names[one]}, {names[other]}"] = float(correlations[one, other])
    return statistics


def _moments_and_extremes(X: NDArray) -> list[NDArray]:
    """Return means, standard deviations, minima and maxima of the observed cells; not finite for an empty column."""
    observed = np.isfinite(X)
    counts = np.where(observed.any(axis=0), observed.sum(axis=0), np.nan)
    mean = np.where(observed, X, 0.0).sum(axis=0) / counts
    std = np.sqrt(np.square(np.where(observed, X - mean, 0.0)).sum(axis=0) / counts)
    return [mean, std, np.where(observed, X, np.inf).min(axis=0), np.where(observed, X, -np.inf).max(axis=0)]


def _correlations(X: NDArray) -> NDArray:
    """Return correlations from the rows where both columns are observed; NaN where one of them is constant there."""
    seen = np.isfinite(X)
    observed = seen.astype(np.float64)
    means = np.where(seen, X, 0.0).sum(axis=0) / np.maximum(observed.sum(axis=0), 1)
    centered = np.where(seen, X - means, 0.0)
    counts = np.maximum(observed.T @ observed, 1)
    sums = centered.T @ observed  # of a column, over the rows where the other is observed
    products = centered.T @ centered / counts - sums / counts * (sums.T / counts)
    squares = np.square(centered).T @ observed / counts - np.square(sums / counts)
    scales = np.sqrt(np.maximum(squares * squares.T, 0))
    # Columns that are constant up to rounding have no correlation.
    tiny = np.finfo(np.float64).eps * (np.square(means) + np.square(means)[:, np.newaxis])
    return np.divide(products, scales, out=np.full_like(products, np.nan), where=scales > tiny)


@dataclass(frozen=True)
class Discrepancies:
    """Statistics of a data set compared with those of simulated data sets.

    Attributes
    ----------
    observed : ndarray of shape (S,)
        Statistics of the data set.
    simulated : ndarray of shape (B, S)
        Those of the simulated ones.
    """

    observed: NDArray
    simulated: NDArray

    @property
    def z(self) -> NDArray:
        """Deviation of each statistic from the mean of the simulated ones, in their standard deviations."""
        with np.errstate(divide="ignore"):  # a statistic that has no spread has an infinite deviation
            deviations = self.observed - self.simulated.mean(axis=0)
            return np.divide(deviations, self.simulated.std(axis=0), out=deviations * 0, where=deviations != 0)

    @property
    def largest(self) -> float:
        """The largest magnitude of a deviation."""
        return float(np.abs(self.z).max())

    def p_values(self) -> tuple[NDArray, NDArray]:
        """Return two-sided p-values, for each statistic alone and for the largest of all deviations.

        The second holds for all statistics together, however they depend on each other (Westfall & Young 1993). Data
        and simulations are treated alike, so that p-values are exact if the data are one more simulation.
        """
        pooled = np.vstack([self.observed, self.simulated])
        spread = pooled.std(axis=0)
        z = np.abs(pooled - pooled.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
        largest = z.max(axis=1, keepdims=True)
        # Equal values, as of counts, must compare as equal in spite of rounding.
        limit = z[0] - 1e-9
        return (z >= limit).mean(axis=0), (largest >= limit).mean(axis=0)
