"""Fits of an estimator to its own dreams."""

from collections.abc import Mapping
from typing import Any, Self

from skwakesleep.inspection import recover_parameters
from skwakesleep.plotting._axes import LEVEL, MARKED, PLAIN, figure_and_axes


class RecoveryDisplay:
    """Parameters recovered from dreams, and deviations of dreams and data from their fits.

    Left: values recovered from each simulated data set against the values that it was simulated from, as means with one
    standard deviation, and as red diamonds where the difference is significant at a level of 0.05. Right: the largest
    deviation of each simulated data set from its fit, and that of the data.

    Parameters
    ----------
    result : Bunch
        What `skwakesleep.inspection.recover_parameters` returns.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        Axes of the parameters and of the deviations.
    figure_ : matplotlib Figure
        Figure of the axes.

    Examples
    --------
    >>> from skwakesleep import AmortisedWakeSleep, datasets
    >>> from skwakesleep.plotting import RecoveryDisplay
    >>> X, _ = datasets.make_ring(100, random_state=0)
    >>> fitted = AmortisedWakeSleep(n_sleep=100, max_iter=20, random_state=0).fit(X)
    >>> len(RecoveryDisplay.from_estimator(fitted, X, n_data_sets=2).result.refits["discrepancy"])
    2
    """

    def __init__(self, result: Mapping[str, Any]) -> None:
        self.result = result

    @classmethod
    def from_estimator(
        cls, estimator, X, *, statistics=None, n_data_sets: int = 19, n_jobs=None, random_state=0, axes=None
    ) -> Self:
        """Fit the estimator to its own dreams, and draw the results.

        Parameters
        ----------
        estimator : AmortisedWakeSleep
            Fitted estimator.
        X : array-like of shape (n_samples, n_features)
            The training data.
        statistics : dict of str to callable or None, default=None
            Further statistics, as for `compare_with_dreams`.
        n_data_sets : int, default=19
            Number of data sets, and of fits.
        n_jobs : int or None, default=None
            Number of fits at the same time.
        random_state : int, RandomState instance or None, default=0
            Seeds the simulations and the fits.
        axes : sequence of two matplotlib Axes, optional
            Axes to draw on. Default: a new figure.

        Returns
        -------
        display : RecoveryDisplay
            Display after `plot`.

        Raises
        ------
        NotFittedError, TypeError, ValueError
            As for `recover_parameters`.

        Examples
        --------
        >>> from skwakesleep import AmortisedWakeSleep, datasets
        >>> from skwakesleep.plotting import RecoveryDisplay
        >>> X, _ = datasets.make_ring(100, random_state=0)
        >>> fitted = AmortisedWakeSleep(n_sleep=100, max_iter=20, random_state=0).fit(X)
        >>> [ax.get_title() for ax in RecoveryDisplay.from_estimator(fitted, X, n_data_sets=1).axes_]
        ['Parameters', 'Deviation from the fit: p = 0.500']
        """
        options = {"statistics": statistics, "n_data_sets": n_data_sets, "n_jobs": n_jobs, "random_state": random_state}
        return cls(recover_parameters(estimator, X, **options)).plot(axes=axes)

    def plot(self, *, axes=None) -> Self:
        """Draw parameters and deviations.

        Parameters
        ----------
        axes : sequence of two matplotlib Axes, optional
            Axes to draw on. Default: a new figure.

        Returns
        -------
        self : RecoveryDisplay
            Display after `plot`.

        Raises
        ------
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.plotting import RecoveryDisplay
        >>> table = {name: np.array([0.5]) for name in ("fitted", "recovered", "recovered_std", "p_adjusted")}
        >>> refits = {"discrepancy": np.array([2.0, 3.0])}
        >>> result = {"p_value": 2 / 3, "discrepancy": 2.5, "table": table, "refits": refits}
        >>> RecoveryDisplay(result).plot().axes_[1].get_title()
        'Deviation from the fit: p = 0.667'
        """
        self.figure_, self.axes_ = figure_and_axes(axes, ncols=2, figsize=(9, 4))
        self._plot_parameters(self.axes_[0])
        self._plot_deviations(self.axes_[1])
        return self

    def _plot_parameters(self, ax) -> None:
        table = self.result["table"]
        ax.axline((table["fitted"][0],) * 2, slope=1, color="0.8", zorder=0)
        significant = table["p_adjusted"] < LEVEL
        for chosen, style in ((~significant, PLAIN), (significant, MARKED)):
            means, stds = table["recovered"][chosen], table["recovered_std"][chosen]
            ax.errorbar(table["fitted"][chosen], means, yerr=stds, linestyle="none", **style)
        ax.set(xlabel="simulated from", ylabel="recovered", title="Parameters")

    def _plot_deviations(self, ax) -> None:
        of_dreams, of_data = self.result["refits"]["discrepancy"], self.result["discrepancy"]
        ax.hist(of_dreams, bins="auto", color="tab:blue", alpha=0.5, label=f"{len(of_dreams)} simulated data sets")
        ax.axvline(of_data, color="tab:red", label="data")
        ax.set(
            xlabel="largest deviation of a statistic (standard deviations)",
            ylabel="data sets",
            title=f"Deviation from the fit: p = {self.result['p_value']:.3f}",
        )
        ax.locator_params(axis="y", integer=True)
        ax.legend()
