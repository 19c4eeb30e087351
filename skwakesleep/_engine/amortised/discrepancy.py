"""Statistics of data sets, and how unusual those of one data set are among those of others."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


def column_statistics(X: NDArray, names: list[str], n_covariates: int = 0) -> dict[str, float]:
    """Return means, standard deviations, extremes and correlations of columns, from the cells that are observed.

    The last columns may be covariates, which are only correlated with the others.
    """
    n_observed = X.shape[1] - n_covariates
    cells = np.ma.masked_invalid(X)
    observed = cells[:, :n_observed]
    by_column = {
        "mean": observed.mean(axis=0),
        "std": observed.std(axis=0),
        "min": observed.min(axis=0),
        "max": observed.max(axis=0),
    }
    statistics = {
        f"{kind} of {name}": value
        for kind, values in by_column.items()
        for name, value in zip(names, np.ma.filled(values.astype(np.float64), np.nan).tolist(), strict=False)
    }
    correlations = _correlations(cells)
    for one in range(n_observed):
        for other in range(one + 1, X.shape[1]):
            statistics[f"correlation of {names[one]}, {names[other]}"] = float(correlations[one, other])
    return statistics


def _correlations(cells: np.ma.MaskedArray) -> NDArray:
    """Return correlations from the rows where both columns are observed; NaN where one of them is constant there."""
    observed = (~np.ma.getmaskarray(cells)).astype(np.float64)
    centered = (cells - cells.mean(axis=0)).filled(0.0)
    counts = np.maximum(observed.T @ observed, 1)
    sums = centered.T @ observed  # of a column, over the rows where the other is observed
    products = centered.T @ centered / counts - sums / counts * (sums.T / counts)
    squares = np.square(centered).T @ observed / counts - np.square(sums / counts)
    scales = np.sqrt(np.maximum(squares * squares.T, 0))
    tiny = np.finfo(np.float64).eps * np.square(centered).max(initial=1.0)
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
