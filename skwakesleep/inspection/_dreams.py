"""Whether a model fits: statistics of the data against those of dreams."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from skwakesleep._adapters.parameters import check_n_samples, entropy
from skwakesleep._engine.amortised.discrepancy import Discrepancies, column_statistics
from skwakesleep._engine.amortised.state import Fit
from skwakesleep.inspection._fits import checked_fit, flat_values, simulator


def compare_with_dreams(estimator, X, *, statistics=None, n_data_sets: int = 199, random_state=None) -> Bunch:
    """Compare statistics of the data with those of data sets that the fitted model simulates.

    Each simulated data set has as many rows as `X`, with the same covariates and missing cells.

    Parameters
    ----------
    estimator : AmortisedWakeSleep
        Fitted estimator.
    X : array-like of shape (n_samples, n_features)
        Data, preferably the training data.
    statistics : dict of str to callable or None, default=None
        Further statistics by name. Each maps a table, as an array with NaN in missing cells, to a number or an array.
        They are added to the mean, standard deviation, minimum and maximum of each column and the correlations of all
        pairs of columns. A single row has no such statistics of columns.
    n_data_sets : int, default=199
        Number of simulated data sets. The smallest possible p-value is ``1 / (n_data_sets + 1)``.
    random_state : int, RandomState instance or None, default=None
        Seeds the simulations; None draws anew at each call.

    Returns
    -------
    result : Bunch
        With the fields

        - p_value, float: of the largest deviation of all statistics.
        - table, dict of arrays of shape (n_statistics,), for `pandas.DataFrame`, with the largest deviations first:
          "statistic", its name; "data", its value in `X`; "dreams" and "dreams_std", mean and standard deviation over
          the simulated data sets; "z", the deviation in these standard deviations; "p_value", for this statistic alone;
          "p_adjusted", for this deviation to be that of any statistic.

    Raises
    ------
    NotFittedError
        If the estimator has not been fitted.
    TypeError, ValueError
        If `X` is not valid, if a statistic is not a function that returns finite numbers of one shape, or if there is
        no statistic.

    See Also
    --------
    skwakesleep.plotting.DreamComparisonDisplay : The deviations as a figure.
    recover_parameters : P-values that allow for the fit.

    Notes
    -----
    Of many statistics, some have a small "p_value" by chance. "p_adjusted" counts all of them: among models that are
    right, one in twenty has any value below 0.05. It is computed from the largest deviation in each simulated data set
    [1]_, so that correlated statistics are not counted twice.

    The parameters were fitted to the same data. Statistics that the fit adapts to, such as means, therefore agree too
    well, and p-values are too large rather than too small: a small one is evidence against the model, or against the
    fit, but a large one of such a statistic says little. With held-out rows, p-values tend to be too small instead,
    because the error of the estimates is not counted.

    References
    ----------
    .. [1] Westfall, P. H., & Young, S. S. (1993). Resampling-based multiple testing. Wiley.

    Examples
    --------
    >>> from skwakesleep import AmortisedWakeSleep, datasets
    >>> from skwakesleep.inspection import compare_with_dreams
    >>> X, _ = datasets.make_ring(200, random_state=0)
    >>> fitted = AmortisedWakeSleep(n_sleep=100, max_iter=50, random_state=0).fit(X)
    >>> statistics = {"size": lambda X: (X**2).sum(axis=1).max()}
    >>> result = compare_with_dreams(fitted, X, statistics=statistics, n_data_sets=99, random_state=0)
    >>> result.p_value < 0.1, "size" in result.table["statistic"]
    (True, True)
    """
    fit, X = checked_fit(estimator, X)
    measure = measure_for(fit, X, column_names(estimator), statistics)
    rng = np.random.default_rng(entropy(random_state))
    with estimator._limited_threads():
        labels, compared = discrepancies(fit, X, measure, check_n_samples(n_data_sets, "n_data_sets"), rng)
    order = np.argsort(-np.abs(compared.z), kind="stable")
    single, adjusted = compared.p_values()
    table = {
        "statistic": np.array(labels),
        "data": compared.observed,
        "dreams": compared.simulated.mean(axis=0),
        "dreams_std": compared.simulated.std(axis=0),
        "z": compared.z,
        "p_value": single,
        "p_adjusted": adjusted,
    }
    return Bunch(p_value=float(adjusted.min()), table={name: values[order] for name, values in table.items()})


def column_names(estimator: Any) -> list[str]:
    """Return the names of the columns, as `get_feature_names_out` of other transformers does for arrays."""
    return list(getattr(estimator, "feature_names_in_", [f"x{column}" for column in range(estimator.n_features_in_)]))


def measure_for(
    fit: Fit, X: NDArray, names: list[str], statistics: Mapping[str, Callable] | None
) -> Callable[[NDArray], dict[str, float]]:
    """Return a function that maps a data set to its statistics by label.

    Raises
    ------
    TypeError, ValueError
        If `statistics` does not map names to functions, or if there is no statistic at all.
    """
    own = {} if statistics is None else statistics
    if not isinstance(own, Mapping) or not all(map(callable, own.values())):
        raise TypeError(f"statistics must be a dict of functions by name, or None. Got {statistics!r}.")
    n_covariates = getattr(fit.model, "n_covariates", 0)
    by_column = len(X) > 1
    if not own and not by_column:
        raise ValueError(
            "X has a single row, which has no statistics of columns. Pass functions of a table with one row as "
            "statistics, for instance {'largest': np.max}."
        )

    def measure(table: NDArray) -> dict[str, float]:
        measured = column_statistics(table, names, n_covariates) if by_column else {}
        return measured | _own_statistics(own, table)

    return measure


def _own_statistics(functions: Mapping[str, Callable], table: NDArray) -> dict[str, float]:
    values = {name: function(table) for name, function in functions.items()}
    measured = flat_values(values)
    bad = [name for name, value in measured.items() if not np.isfinite(value)]
    if bad:
        raise ValueError(
            f"statistics must return finite numbers, for data and for dreams. {bad[0]!r} is {measured[bad[0]]}."
        )
    return measured


def discrepancies(
    fit: Fit, X: NDArray, measure: Callable[[NDArray], dict[str, float]], n_data_sets: int, rng: np.random.Generator
) -> tuple[list[str], Discrepancies]:
    """Return the labels of the statistics that are defined for all data sets, and those of data and simulations."""
    simulate, observed = simulator(fit, X), measure(X)
    simulated = [measure(simulate(rng)) for _ in range(n_data_sets)]
    if any(each.keys() != observed.keys() for each in simulated):
        raise ValueError("statistics must return arrays of one shape, for data and for dreams.")
    values = np.array([list(each.values()) for each in (observed, *simulated)])
    defined = np.isfinite(values).all(axis=0)
    labels = [label for label, is_defined in zip(observed, defined, strict=True) if is_defined]
    return labels, Discrepancies(values[0, defined], values[1:, defined])
