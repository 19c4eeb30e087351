"""Diagnostics of fitted black-box models."""

from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np

from skwakesleep.inspection import check_convergence, check_regression, compare_with_dreams
from skwakesleep.plotting._axes import LEVEL, MARKED, PLAIN, figure_and_axes

# Rows of a figure: the parameters or statistics that deviate most.
N_ROWS = 30


class _DeviationDisplay:
    """One row for each entry of a table, with a deviation and its error, the largest deviations on top.

    Subclasses set the columns of the table that are drawn, and write the title.
    """

    _label = "parameter"
    _deviation: str
    _error: str | None
    _x_label: str
    _band = (-1, 1)

    def __init__(self, result: Mapping[str, Any]) -> None:
        self.result = result

    def plot(self, *, ax=None) -> Self:
        """Draw the deviations, at most the 30 largest.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on. Default: a new figure.

        Returns
        -------
        self : display
            Display after `plot`.

        Raises
        ------
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.plotting import RegressionDisplay
        >>> table = {"parameter": np.array(["noise"]), "bias": np.array([0.5]), "bias_error": np.array([0.2])}
        >>> result = {"table": table, "bias": 0.01, "bias_error": 0.01, "loo_error": 0.5, "coverage": 0.9}
        >>> RegressionDisplay(result).plot().ax_.get_yticklabels()[0].get_text()
        'noise'
        """
        table = self.result["table"]
        order = np.argsort(-np.abs(table[self._deviation]), kind="stable")[:N_ROWS][::-1]
        height = 1.5 + 0.22 * len(order)
        self.figure_, self.ax_ = figure_and_axes(ax, figsize=(6.4, height))
        rows, values = np.arange(len(order)), table[self._deviation][order]
        errors = None if self._error is None else 2 * table[self._error][order]
        self.ax_.axvspan(*self._band, color="0.93", zorder=0)
        self.ax_.axvline(0, color="0.5", linewidth=0.8, zorder=0)
        self.ax_.errorbar(values, rows, xerr=errors, fmt="none", ecolor="0.4", zorder=1)
        marked = self._marked(order)
        for chosen, style in ((~marked, PLAIN), (marked, MARKED)):
            self.ax_.plot(values[chosen], rows[chosen], linestyle="none", **style)
        self.ax_.set_yticks(rows, table[self._label][order])
        self.ax_.set(xlabel=self._x_label)
        self.ax_.set_title(self._title(), fontsize="medium")
        return self

    def _marked(self, order):
        """Return which rows are drawn in red: those outside of the band by more than their error."""
        table = self.result["table"]
        return np.abs(table[self._deviation][order]) > 1 + 2 * table[self._error][order]

    def _title(self) -> str:
        raise NotImplementedError


class _GradientDisplay(_DeviationDisplay):
    """Deviations of the gradient, for each parameter. Subclasses have the function that estimates them."""

    _check: Callable[..., Any]

    @classmethod
    def from_estimator(cls, estimator, X, *, random_state=0, ax=None) -> Self:
        """Check a fit, and draw the result.

        Parameters
        ----------
        estimator : AmortisedWakeSleep
            Fitted estimator.
        X : array-like of shape (n_samples, n_features)
            The training data.
        random_state : int, RandomState instance or None, default=0
            Seeds the dreams.
        ax : matplotlib Axes, optional
            Axes to draw on. Default: a new figure.

        Returns
        -------
        display : display
            Display after `plot`.

        Raises
        ------
        NotFittedError
            If the estimator has not been fitted.
        ValueError
            If `X` has other columns than the training data.

        Examples
        --------
        >>> from skwakesleep import AmortisedWakeSleep, datasets
        >>> from skwakesleep.plotting import ConvergenceDisplay
        >>> X, _ = datasets.make_ring(200, random_state=0)
        >>> fitted = AmortisedWakeSleep(n_sleep=100, max_iter=50, random_state=0).fit(X)
        >>> ConvergenceDisplay.from_estimator(fitted, X).ax_.get_xlabel()
        'distance to the maximum (standard errors of the estimate)'
        """
        return cls(cls._check(estimator, X, random_state=random_state)).plot(ax=ax)


class ConvergenceDisplay(_GradientDisplay):
    """How far each parameter is from the maximum of the likelihood, in standard errors of its estimate.

    Bars are two Monte-Carlo standard errors. Parameters that are more than one standard error away are red
    diamonds.

    Parameters
    ----------
    result : Bunch
        What `skwakesleep.inspection.check_convergence` returns.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with one row for each parameter.
    figure_ : matplotlib Figure
        Figure of the axes.

    Examples
    --------
    >>> from skwakesleep import AmortisedWakeSleep, datasets
    >>> from skwakesleep.models import LatentFactors
    >>> from skwakesleep.plotting import ConvergenceDisplay
    >>> X, _ = datasets.make_ring(200, random_state=0)
    >>> short = AmortisedWakeSleep(LatentFactors(6, 2), n_sleep=100, max_iter=5, random_state=0).fit(X)
    >>> ConvergenceDisplay.from_estimator(short, X).result.converged
    False
    """

    _deviation, _error = "shift", "shift_error"
    _x_label = "distance to the maximum (standard errors of the estimate)"

    _check = staticmethod(check_convergence)

    def _title(self) -> str:
        result = self.result
        verdict = "converged" if result["converged"] else "not converged"
        return f"Gain of a further step {result['gain']:.3f} ± {result['gain_error']:.3f} nats per row: {verdict}"


class RegressionDisplay(_GradientDisplay):
    """Bias of the regressed score of each parameter, in standard errors of the estimate.

    Bars are two Monte-Carlo standard errors. Parameters with a bias of more than one standard error are red
    diamonds.

    Parameters
    ----------
    result : Bunch
        What `skwakesleep.inspection.check_regression` returns.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with one row for each parameter.
    figure_ : matplotlib Figure
        Figure of the axes.

    Examples
    --------
    >>> from skwakesleep import AmortisedWakeSleep, datasets
    >>> from skwakesleep.plotting import RegressionDisplay
    >>> X, _ = datasets.make_ring(200, random_state=0)
    >>> fitted = AmortisedWakeSleep(n_sleep=100, max_iter=50, random_state=0).fit(X)
    >>> sorted(RegressionDisplay.from_estimator(fitted, X).result.table)
    ['bias', 'bias_error', 'parameter']
    """

    _deviation, _error = "bias", "bias_error"
    _x_label = "bias of the regression (standard errors of the estimate)"

    _check = staticmethod(check_regression)

    def _title(self) -> str:
        result = self.result
        return (
            f"Bias {result['bias']:.3f} ± {result['bias_error']:.3f} nats per row\n"
            f"leave-one-out error {result['loo_error']:.2f}, coverage {result['coverage']:.2f}"
        )


class DreamComparisonDisplay(_DeviationDisplay):
    """Deviation of each statistic of the data from simulated data sets, in their standard deviations.

    Deviations that are significant among all statistics, at a level of 0.05, are red diamonds.

    Parameters
    ----------
    result : Bunch
        What `skwakesleep.inspection.compare_with_dreams` returns.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with one row for each statistic.
    figure_ : matplotlib Figure
        Figure of the axes.

    Examples
    --------
    >>> from skwakesleep import AmortisedWakeSleep, datasets
    >>> from skwakesleep.plotting import DreamComparisonDisplay
    >>> X, _ = datasets.make_ring(200, random_state=0)
    >>> fitted = AmortisedWakeSleep(n_sleep=100, max_iter=50, random_state=0).fit(X)
    >>> len(DreamComparisonDisplay.from_estimator(fitted, X, n_data_sets=50).result.table["statistic"])
    39
    """

    _label, _deviation, _error = "statistic", "z", None
    _x_label = "data minus dreams (standard deviations over data sets)"
    _band = (-2, 2)

    @classmethod
    def from_estimator(cls, estimator, X, *, statistics=None, n_data_sets: int = 199, random_state=0, ax=None) -> Self:
        """Compare data with dreams, and draw the result.

        Parameters
        ----------
        estimator : AmortisedWakeSleep
            Fitted estimator.
        X : array-like of shape (n_samples, n_features)
            Data.
        statistics : dict of str to callable or None, default=None
            Further statistics, as for `compare_with_dreams`.
        n_data_sets : int, default=199
            Number of simulated data sets.
        random_state : int, RandomState instance or None, default=0
            Seeds the simulations.
        ax : matplotlib Axes, optional
            Axes to draw on. Default: a new figure.

        Returns
        -------
        display : DreamComparisonDisplay
            Display after `plot`.

        Raises
        ------
        NotFittedError, TypeError, ValueError
            As for `compare_with_dreams`.

        Examples
        --------
        >>> from skwakesleep import AmortisedWakeSleep, datasets
        >>> from skwakesleep.plotting import DreamComparisonDisplay
        >>> X, _ = datasets.make_ring(200, random_state=0)
        >>> fitted = AmortisedWakeSleep(n_sleep=100, max_iter=50, random_state=0).fit(X)
        >>> DreamComparisonDisplay.from_estimator(fitted, X, n_data_sets=50).ax_.get_xlabel()
        'data minus dreams (standard deviations over data sets)'
        """
        options = {"statistics": statistics, "n_data_sets": n_data_sets, "random_state": random_state}
        return cls(compare_with_dreams(estimator, X, **options)).plot(ax=ax)

    def _marked(self, order):
        return self.result["table"]["p_adjusted"][order] < LEVEL

    def _title(self) -> str:
        n_statistics = len(self.result["table"]["statistic"])
        return f"Largest deviation of {n_statistics} statistics: p = {self.result['p_value']:.3f}"
