"""Comparison of densities."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from skwakesleep.plotting._drawing import figure_and_axes
from skwakesleep.reference._comparison import compare_scores, score_densities


class ComparisonDisplay:
    """Mean scores of several densities on the same rows, with standard errors of paired differences to the best.

    Parameters
    ----------
    scores : dict of str to ndarray of shape (n_samples,)
        Log-likelihoods of the same rows in nats, by the name of the density.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with one error bar for each density, the best on top.
    figure_ : matplotlib Figure
        Figure of the axes.

    Examples
    --------
    >>> import numpy as np
    >>> from skwakesleep import HelmholtzMachine
    >>> from skwakesleep.plotting import ComparisonDisplay
    >>> X = np.random.default_rng(0).random((50, 16)) < 0.5
    >>> machines = {n: HelmholtzMachine(n, max_iter=2, tol=None, random_state=0).fit(X) for n in (2, 4)}
    >>> display = ComparisonDisplay.from_estimators({f"{n} units": machine for n, machine in machines.items()}, X)
    >>> sorted(display.scores)
    ['2 units', '4 units']
    """

    def __init__(self, scores: Mapping[str, NDArray]) -> None:
        self.scores = dict(scores)

    @classmethod
    def from_estimators(cls, estimators: Mapping[str, Any], X: Any, *, ax: Any = None) -> "ComparisonDisplay":
        """Score the same rows under several densities, and draw the result.

        Parameters
        ----------
        estimators : dict of str to estimator
            Fitted densities with a method `score_samples`.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.
        ax : matplotlib Axes, optional
            Axes to draw on. Default: a new figure.

        Returns
        -------
        display : ComparisonDisplay
            Display after `plot`.

        Raises
        ------
        NotFittedError
            If an estimator has not been fitted.

        ValueError
            If the scores cannot be compared, as in `compare_densities`.

        See Also
        --------
        skwakesleep.reference.compare_densities : The same comparison as a table.

        Examples
        --------
        >>> from skwakesleep import HelmholtzMachine
        >>> from skwakesleep.datasets import make_bars
        >>> from skwakesleep.plotting import ComparisonDisplay
        >>> X, _ = make_bars(50, random_state=0)
        >>> machine = HelmholtzMachine(4, max_iter=2, tol=None, random_state=0).fit(X)
        >>> list(ComparisonDisplay.from_estimators({"four units": machine}, X).scores)
        ['four units']
        """
        return cls(score_densities(estimators, X)).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> "ComparisonDisplay":
        """Draw the mean scores and the error bars.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on. Default: a new figure.

        Returns
        -------
        self : ComparisonDisplay
            Display after `plot`.

        Raises
        ------
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.plotting import ComparisonDisplay
        >>> scores = {"machine": np.array([-5.0, -4.0]), "tree": np.array([-6.0, -6.0])}
        >>> ComparisonDisplay(scores).plot().ax_.get_title()
        'Densities on the same 2 rows'
        """
        self.figure_, self.ax_ = figure_and_axes(ax)
        table = {column: values[::-1] for column, values in compare_scores(self.scores).items()}
        names, means = table["density"], table["score"]
        self.ax_.errorbar(means, names, xerr=table["difference_error"], fmt="o", capsize=4)
        for mean, name in zip(means, names, strict=True):
            self.ax_.annotate(f"{mean:.2f}", (mean, name), xytext=(0, 7), textcoords="offset points", ha="center")
        self.ax_.margins(x=0.15, y=0.2)
        self.ax_.set(
            xlabel="log-likelihood (nats per row)\nbars: standard error of the difference to the best",
            title=f"Densities on the same {len(self.scores[names[0]])} rows",
        )
        return self
