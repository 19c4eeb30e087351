"""Missing cells as inputs of a regression."""

import numpy as np
from numpy.typing import NDArray

# Rows that the moments are estimated from, and iterations of the EM algorithm. Inputs need no exact moments.
N_ROWS = 1000
N_ITERATIONS = 20
# Added to the variance of each column, which is about one, so that columns may depend on each other linearly.
RIDGE = 1e-6


class Filling:
    """Fills missing cells with their linear prediction from the observed cells of the row.

    With normal columns, this is the conditional mean. A linear function of a filled row is then the conditional mean of
    that function of the complete row, whichever cells are missing: one direction of the inputs serves all patterns.

    Parameters
    ----------
    X : ndarray of shape (n, D)
        Rows whose means and covariance are estimated, by the EM algorithm for normal rows with missing cells.
    """

    def __init__(self, X: NDArray) -> None:
        X = X[np.linspace(0, len(X) - 1, min(len(X), N_ROWS)).astype(int)]
        observed = np.isfinite(X)
        counts = np.maximum(observed.sum(axis=0), 1)
        self._location = np.where(observed, X, 0.0).sum(axis=0) / counts
        centered = np.where(observed, X - self._location, 0.0)
        scale = np.sqrt(np.square(centered).sum(axis=0) / counts)
        self._scale = np.where(scale > 0, scale, 1.0)
        self._mean = np.zeros(X.shape[1])
        self._covariance = np.eye(X.shape[1])
        for _ in range(N_ITERATIONS if not observed.all() else 0):
            self._improve(centered / self._scale, observed)

    def __call__(self, x: NDArray) -> NDArray:
        """Return rows without missing cells."""
        observed = np.isfinite(x)
        if observed.all():
            return x
        standard = np.where(observed, (x - self._location) / self._scale, 0.0)
        filled, _ = self._filled(standard, observed)
        return np.where(observed, x, self._location + self._scale * filled)

    def _improve(self, x: NDArray, observed: NDArray) -> None:
        """Set mean and covariance to those of the filled rows, plus the mean covariance of what is missing."""
        filled, explained = self._filled(x, observed)
        self._mean = filled.mean(axis=0)
        deviations = filled - self._mean
        unexplained = self._covariance - self._covariance @ explained @ self._covariance
        self._covariance = deviations.T @ deviations / len(x) + unexplained + RIDGE * np.eye(len(self._mean))

    def _filled(self, x: NDArray, observed: NDArray) -> tuple[NDArray, NDArray]:
        """Return filled rows, and the mean over rows of the precision matrix of their observed cells, else zero."""
        patterns, index, counts = np.unique(observed, axis=0, return_inverse=True, return_counts=True)
        both = patterns[:, :, np.newaxis] & patterns[:, np.newaxis, :]
        others = np.eye(x.shape[1]) * ~patterns[:, np.newaxis, :]
        precisions = np.linalg.inv(both * self._covariance + others) * both
        centered = np.where(observed, x - self._mean, 0.0)
        weighted = np.einsum("nij,nj->ni", precisions[index.ravel()], centered)
        mean_precision = np.tensordot(counts / len(x), precisions, axes=1)
        return self._mean + weighted @ self._covariance, mean_precision
