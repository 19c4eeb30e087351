"""Whether the method recovers what it has simulated, and whether the data look like that."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.base import clone
from sklearn.utils import Bunch
from sklearn.utils.parallel import Parallel, delayed

from skwakesleep._adapters.parameters import check_n_samples, entropy
from skwakesleep._engine.amortised.inference import log_likelihood
from skwakesleep._engine.amortised.state import Fit
from skwakesleep.inspection._dreams import column_names, discrepancies, measure_for
from skwakesleep.inspection._fits import checked_fit, flat_values, simulator
from skwakesleep.models._checks import GuardedModel

# Data sets that a deviation is measured against. Its rank among refits is what counts, so a rough scale is enough.
N_COMPARED = 99


def recover_parameters(
    estimator, X, *, statistics=None, n_data_sets: int = 19, n_jobs=None, random_state=None
) -> Bunch:
    """Fit the estimator to its own dreams, and compare the results with what they were simulated from.

    Data sets with as many rows as `X`, with the same covariates and missing cells, are simulated from the fitted model.
    A clone of the estimator, with the same parameters, is fitted to each. Two questions are answered: does the method
    recover the parameters, if the model is right? And do the data deviate from their fit by more than such data sets
    from theirs? The second is a parametric bootstrap [1]_, and allows for the fit.

    Parameters
    ----------
    estimator : AmortisedWakeSleep
        Fitted estimator.
    X : array-like of shape (n_samples, n_features)
        The training data.
    statistics : dict of str to callable or None, default=None
        Further statistics, as for `compare_with_dreams`.
    n_data_sets : int, default=19
        Number of data sets, and of fits. The smallest possible p-value is ``1 / (n_data_sets + 1)``. One is enough for
        a first look at the recovery.
    n_jobs : int or None, default=None
        Number of fits at the same time, as in scikit-learn.
    random_state : int, RandomState instance or None, default=None
        Seeds the simulations and the fits; None draws anew at each call.

    Returns
    -------
    result : Bunch
        With the fields

        - p_value, float: probability, if the model is right, that the data deviate as much from their fit. The
          deviation is the largest of all statistics of `compare_with_dreams`.
        - discrepancy, float: that deviation of the data, in standard deviations.
        - table, dict of arrays of shape (n_values,), for `pandas.DataFrame`: "parameter", names of the single numbers
          in ``params_``; "fitted", their values, from which the data sets were simulated; "recovered" and
          "recovered_std", mean and standard deviation over the fits; "p_value", of Student's test that the mean of
          "recovered" is "fitted", NaN with one fit or without spread; "p_adjusted", the same multiplied by the number
          of parameters.
        - refits, dict of arrays of shape (n_data_sets,), for `pandas.DataFrame`: "discrepancy" of each data set from
          its fit; "score_fitted" and "score_recovered", mean log-likelihoods of the data set at the parameters that it
          was simulated from and at those recovered, in nats per row, NaN without a likelihood; "n_warnings", of the
          fit.

    Raises
    ------
    NotFittedError, TypeError, ValueError
        As for `compare_with_dreams`, and if a fit fails.

    See Also
    --------
    skwakesleep.plotting.RecoveryDisplay : Parameters and deviations as a figure.
    compare_with_dreams : The same deviations without any fit.

    Notes
    -----
    Parameters can be compared only if the model has one solution. Signs, rotations and the order of latents can differ
    from fit to fit; statistics and likelihoods do not depend on them. A fit that finds the maximum has a higher
    likelihood than the parameters that the data were simulated from, by about ``n_params / (2 * n_samples)``. Maximum
    likelihood itself is biased in small samples.

    References
    ----------
    .. [1] Efron, B., & Tibshirani, R. J. (1993). An introduction to the bootstrap. Chapman & Hall.

    Examples
    --------
    >>> from skwakesleep import AmortisedWakeSleep, datasets
    >>> from skwakesleep.inspection import recover_parameters
    >>> X, _ = datasets.make_ring(100, random_state=0)
    >>> fitted = AmortisedWakeSleep(n_sleep=100, max_iter=20, random_state=0).fit(X)
    >>> result = recover_parameters(fitted, X, n_data_sets=2, random_state=0)
    >>> result.refits["score_recovered"].shape
    (2,)
    """
    fit, X = checked_fit(estimator, X)
    n_data_sets = check_n_samples(n_data_sets, "n_data_sets")
    measure = measure_for(fit, X, column_names(estimator), statistics)
    first, *seeds = np.random.SeedSequence(entropy(random_state)).spawn(n_data_sets + 1)
    discrepancy = _deviation(fit, X, measure, np.random.default_rng(first))
    simulate = simulator(fit, X)
    results = Parallel(n_jobs=n_jobs)(delayed(_refit)(clone(estimator), fit, simulate, measure, seed) for seed in seeds)
    recovered, *columns = (np.array(column) for column in zip(*results, strict=True))
    refits = dict(zip(("discrepancy", "score_fitted", "score_recovered", "n_warnings"), columns, strict=True))
    return Bunch(
        p_value=float((1 + (refits["discrepancy"] >= discrepancy).sum()) / (n_data_sets + 1)),
        discrepancy=discrepancy,
        table=_table(flat_values(estimator.params_), recovered),
        refits=refits,
    )


def _deviation(fit: Fit, X: NDArray, measure: Callable, rng: np.random.Generator) -> float:
    """Return the largest deviation of the statistics of a data set from those of dreams of its fit."""
    return discrepancies(fit, X, measure, N_COMPARED, rng)[1].largest


def _refit(
    estimator: Any, fit: Fit, simulate: Callable, measure: Callable, seed: np.random.SeedSequence
) -> tuple[list[float], float, float, float, int]:
    """Return the parameters recovered from a simulated data set, its deviation, both scores, and the warnings."""
    rng = np.random.default_rng(seed)
    X = simulate(rng)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator.set_params(random_state=int(rng.integers(2**31)), verbose=0).fit(X)
    refit = estimator._fitted
    recovered = list(flat_values(estimator.params_).values())
    return recovered, _deviation(refit, X, measure, rng), _score(fit, X), _score(refit, X), len(caught)


def _score(fit: Fit, X: NDArray) -> float:
    if not hasattr(fit.model, "log_likelihood"):
        return np.nan
    return float(log_likelihood(GuardedModel(fit.model), fit, X).mean())


def _table(fitted: dict[str, float], recovered: NDArray) -> dict[str, NDArray]:
    """Return the table of parameters, given those recovered in each fit, ``(n_data_sets, n_values)``."""
    values = np.array(list(fitted.values()))
    n, spread = len(recovered), recovered.std(axis=0, ddof=1) if len(recovered) > 1 else np.zeros(len(values))
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(spread > 0, np.sqrt(n) * (recovered.mean(axis=0) - values) / spread, np.nan)
    p_values = 2 * stats.t.sf(np.abs(t), max(n - 1, 1))
    return {
        "parameter": np.array(list(fitted)),
        "fitted": values,
        "recovered": recovered.mean(axis=0),
        "recovered_std": spread,
        "p_value": p_values,
        "p_adjusted": np.minimum(1.0, p_values * np.isfinite(t).sum()),
    }
