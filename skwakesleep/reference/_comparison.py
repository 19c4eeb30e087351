"""Comparison of densities on the same rows."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def compare_densities(densities: Mapping[str, Any], X: Any, *, reference: str | None = None) -> dict[str, NDArray]:
    """Compare fitted densities on the same rows.

    Rows that are hard for one density are mostly hard for another: the difference of two scores is known far better
    than either of them, and its standard error is that of the rows' differences.

    Parameters
    ----------
    densities : mapping of str to estimator
        Fitted estimators with `score_samples`, by name.

    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows that none of them was fitted to.

    reference : str, optional
        Name of the one that the others are compared with; the best by default.

    Returns
    -------
    comparison : dict of str to ndarray of shape (n_densities,)
        Columns of a table, the best density first, as `pandas.DataFrame` takes them: "density", its name; "score", the
        mean log-likelihood in nats per row; "score_error", its standard error over the rows; "difference", the score
        above the reference's; "difference_error", the standard error of this paired difference.

    Raises
    ------
    ValueError
        If there is nothing to compare, too few rows for an error, or no density of the reference's name.

    Examples
    --------
    >>> import numpy as np
    >>> from skwakesleep.reference import ChowLiuTree, IndependentBernoulli, compare_densities
    >>> first = np.random.default_rng(0).integers(2, size=(200, 1))
    >>> X = np.repeat(first, 3, axis=1)
    >>> fits = {"independent": IndependentBernoulli().fit(X[:100]), "tree": ChowLiuTree().fit(X[:100])}
    >>> comparison = compare_densities(fits, X[100:], reference="independent")
    >>> comparison["density"].tolist()
    ['tree', 'independent']
    >>> comparison["difference"].round(1)
    array([1.4, 0. ])
    """
    if not densities:
        raise ValueError("densities must name at least one fitted density. Got none.")
    if reference is not None and reference not in densities:
        raise ValueError(f"reference must be one of {sorted(densities)}. Got {reference!r} instead.")
    scores = np.array([density.score_samples(X) for density in densities.values()])
    if scores.shape[1] < 2:
        raise ValueError(f"X must have at least 2 rows for a standard error. Got {scores.shape[1]}.")
    order = np.argsort(-scores.mean(axis=1), kind="stable")
    names = list(densities)
    base = scores[order[0] if reference is None else names.index(reference)]
    differences = scores - base
    return {
        "density": np.array(names)[order],
        "score": scores.mean(axis=1)[order],
        "score_error": _standard_error(scores)[order],
        "difference": differences.mean(axis=1)[order],
        "difference_error": _standard_error(differences)[order],
    }


def _standard_error(values: NDArray) -> NDArray:
    return values.std(axis=1, ddof=1) / np.sqrt(values.shape[1])
