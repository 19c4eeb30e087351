"""Log-likelihoods of sets of rows, and of several densities."""

import warnings
from collections.abc import Mapping
from typing import Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from skwakesleep.plotting._axes import figure_and_axes
from skwakesleep.reference._comparison import compare_scores, score_densities


class ScoreDisplay:
    """Histograms of log-likelihoods of data, of dreams of the machine, and of other rows.

    If the scores of data are below the scores of the dreams, the data are fitted badly or are outliers.

    Parameters
    ----------
    scores : dict of str to ndarray of shape (n_samples,)
        Log-likelihoods in nats, by the name of the set of rows.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the histograms.
    figure_ : matplotlib Figure
        Figure of the axes.

    Examples
    --------
    >>> import numpy as np
    >>> from skwakesleep import HelmholtzMachine
    >>> from skwakesleep.plotting import ScoreDisplay
    >>> X = np.random.default_rng(0).random((50, 16)) < 0.5
    >>> machine = HelmholtzMachine(4, max_iter=2, tol=None, random_state=0).fit(X)
    >>> list(ScoreDisplay.from_estimator(machine, {"data": X, "inverted": ~X}).scores)
    ['data', 'inverted', 'dreams']
    """

    def __init__(self, scores: Mapping[str, NDArray]) -> None:
        self.scores = dict(scores)

    @classmethod
    def from_estimator(cls, estimator, X, *, n_dreams: int = 500, random_state=0, ax=None) -> Self:
        """Score rows and dreams in nats, and draw the histograms.

        Parameters
        ----------
        estimator : HelmholtzMachine
            Fitted density with methods `score_samples` and `sample`.
        X : array-like of shape (n_samples, n_features), or dict of str to such arrays
            Data. A dict has several sets of rows by name, for instance outliers.
        n_dreams : int, default=500
            Number of dreams. Zero omits them.
        random_state : int, RandomState instance or None, default=0
            Seed of the dreams.
        ax : matplotlib Axes, optional
            Axes to draw on. Default: a new figure.

        Returns
        -------
        display : ScoreDisplay
            Display after `plot`.

        Raises
        ------
        NotFittedError
            If the estimator has not been fitted.

        Examples
        --------
        >>> from skwakesleep import HelmholtzMachine
        >>> from skwakesleep.datasets import make_bars
        >>> from skwakesleep.plotting import ScoreDisplay
        >>> X, _ = make_bars(50, random_state=0)
        >>> machine = HelmholtzMachine(4, max_iter=2, tol=None, random_state=0).fit(X)
        >>> list(ScoreDisplay.from_estimator(machine, X, n_dreams=20).scores)
        ['data', 'dreams']
        """
        check_is_fitted(estimator)
        named = X if isinstance(X, Mapping) else {"data": X}
        scores = {name: estimator.score_samples(rows) for name, rows in named.items()}
        if n_dreams:
            dreams = estimator.sample(n_dreams, random_state=random_state)
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "X does not have valid feature names")  # dreams are arrays
                scores["dreams"] = estimator.score_samples(dreams)
        return cls(scores).plot(ax=ax)

    def plot(self, *, ax=None) -> Self:
        """Draw the histograms of scores in nats, each normalized to an area of one.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on. Default: a new figure.

        Returns
        -------
        self : ScoreDisplay
            Display after `plot`.

        Raises
        ------
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.plotting import ScoreDisplay
        >>> ScoreDisplay({"data": np.array([-5.0, -4.0])}).plot().ax_.get_xlabel()
        'log-likelihood (nats)'
        """
        self.figure_, self.ax_ = figure_and_axes(ax)
        edges = np.histogram_bin_edges(np.concatenate(list(self.scores.values())), bins=40)
        for number, (name, scores) in enumerate(self.scores.items()):
            histogram = {"x": scores, "bins": edges, "density": True, "color": f"C{number}"}
            self.ax_.hist(**histogram, histtype="stepfilled", alpha=0.15)
            self.ax_.hist(**histogram, histtype="step", linewidth=1.5, label=f"{name}: mean {scores.mean():.1f}")
        self.ax_.set(xlabel="log-likelihood (nats)", ylabel="density of rows", title="Scores")
        self.ax_.legend()
        return self


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
    def from_estimators(cls, estimators: Mapping, X, *, ax=None) -> Self:
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

    def plot(self, *, ax=None) -> Self:
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
