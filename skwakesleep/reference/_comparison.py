"""Comparison of densities on the same rows."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import binarize

from skwakesleep._adapters.tables import check_matrix
from skwakesleep._engine.machine.columns import KINDS
from skwakesleep.reference._base import BinaryDensity


def compare_densities(densities: Mapping[str, Any], X: Any, *, reference: str | None = None) -> dict[str, NDArray]:
    """Compare fitted densities on the same rows.

    Rows that score low under one density mostly score low under another. The difference of two scores therefore has a
    much smaller standard error than either score. It is computed from the differences of single rows.

    Parameters
    ----------
    densities : mapping of str to estimator
        Fitted estimators with `score_samples`, by name. All must score the same rows. A pipeline that transforms the
        rows scores other rows; this is not detected.

    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows that no density was fitted to.

    reference : str, optional
        Name of the density that the others are compared with. Default: the best.

    Returns
    -------
    comparison : dict of str to ndarray of shape (n_densities,)
        Columns of a table, the best density first, for instance for `pandas.DataFrame`: "density", the name; "score",
        the mean log-likelihood in nats per row; "score_error", its standard error over the rows; "difference", the
        score minus the score of the reference; "difference_error", the standard error of this paired difference.

    Raises
    ------
    ValueError
        If `densities` is empty, if `X` has fewer than two rows, or if `reference` is not a name in `densities`. If the
        densities binarize the rows differently, or if some have Gaussian and others Bernoulli columns.

    Notes
    -----
    For Bernoulli columns, fractions are probabilities and the score is a cross-entropy. Under independent columns and
    under a tree, it is the expected log-probability of zeros and ones drawn with these probabilities. Under a density
    with hidden units it is a lower bound of that, if the columns are independent given the units.

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
    scores = score_densities(densities, X)
    if reference is not None and reference not in densities:
        raise ValueError(f"reference must be one of {sorted(densities)}. Got {reference!r} instead.")
    return compare_scores(scores, reference)


def score_densities(densities: Mapping[str, Any], X: Any) -> dict[str, NDArray]:
    """Return the scores of the rows under each density, after checking that they can be compared."""
    if not isinstance(densities, Mapping):
        raise TypeError(f"densities must be a mapping of names to fitted densities. Got {densities!r} instead.")
    if not densities:
        raise ValueError("densities must name at least one fitted density. Got none.")
    _check_rows(densities, X)
    _check_columns(densities)
    return {name: density.score_samples(X) for name, density in densities.items()}


def compare_scores(scores: Mapping[str, NDArray], reference: str | None = None) -> dict[str, NDArray]:
    """Return the table of `compare_densities` from scores of the same rows, by name."""
    names, values = list(scores), np.array(list(scores.values()))
    n_rows = values.shape[1]
    if n_rows < 2:
        raise ValueError(f"X must have at least 2 rows for a standard error. Got {n_rows}.")
    # Stable: densities of equal score stay in the order in which they were given.
    order = np.argsort(-values.mean(axis=1), kind="stable")
    with np.errstate(invalid="ignore"):  # a score may be -inf; its standard error is nan
        differences = values - values[order[0] if reference is None else names.index(reference)]
        return {
            "density": np.array(names)[order],
            "score": values.mean(axis=1)[order],
            "score_error": _standard_error(values)[order],
            "difference": differences.mean(axis=1)[order],
            "difference_error": _standard_error(differences)[order],
        }


def _standard_error(values: NDArray) -> NDArray:
    return values.std(axis=1, ddof=1) / np.sqrt(values.shape[1])


def _check_rows(densities: Mapping[str, Any], X: Any) -> None:
    """Raise an error if densities binarize `X` differently, unless no threshold changes `X`."""
    thresholds = {name: getattr(density, "binarize", None) for name, density in densities.items()}
    if len(set(thresholds.values())) == 1:
        return
    rows = check_matrix(X, accept_sparse="csr")
    for name, threshold in thresholds.items():
        if threshold is not None and abs(binarize(rows, threshold=threshold) - rows).max() > 0:
            other = next(other for other, value in thresholds.items() if value != threshold)
            raise ValueError(
                f"All densities must score the same rows, but {name!r} scores X binarized at {threshold!r}, and "
                f"{other!r} has binarize={thresholds[other]!r}. Fit them with binarize=None; to compare densities of "
                "zeros and ones, binarize X first, for instance with sklearn.preprocessing.binarize."
            )


def _check_columns(densities: Mapping[str, Any]) -> None:
    """Raise an error if some scores are log-probabilities and others are log-densities, as far as can be detected."""
    kinds = {name: _kinds(density) for name, density in densities.items()}
    first = {any(KINDS[kind].codec.is_density for kind in own): name for name, own in reversed(kinds.items()) if own}
    if len(first) == 2:
        discrete, continuous = first[False], first[True]
        raise ValueError(
            f"All densities must have the same kind of columns. {discrete!r} has {_named(kinds[discrete])} "
            f"columns, so its scores are log-probabilities; {continuous!r} has {_named(kinds[continuous])} "
            "columns, so its scores are log-densities. Fit all with the same kind of columns."
        )


def _kinds(density: Any) -> list[str]:
    """Return the kinds of the columns of a density; none if they are not known."""
    return ["bernoulli"] if isinstance(density, BinaryDensity) else sorted(set(getattr(density, "visible_", ())))


def _named(kinds: list[str]) -> str:
    return " and ".join(kind.capitalize() for kind in kinds)
