"""Columns of tables, and scores of the values of a row."""

import warnings
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from skwakesleep._adapters.frames import columns_of
from skwakesleep._adapters.machine_tables import read_machine_table
from skwakesleep._adapters.sklearn_compat import check_feature_names_in, num_samples
from skwakesleep._adapters.tables import dense
from skwakesleep.plotting._axes import figure_and_axes

# Numeric columns of at most this number of distinct values are drawn as bars, like categories.
MAX_BARS = 12
N_BINS = 30
# Panels in a row of the figure.
N_PANELS = 4


class TableDisplay:
    """Distribution of each column of a table, beside that of samples of the machine.

    Categories, and numbers of at most twelve distinct values, are shown as bars, other numbers as histograms. Missing
    values are left out.

    Parameters
    ----------
    data, samples : ndarray of shape (n_rows, n_features)
        Values of the columns, NaN where missing. Those of categories are their numbers.
    names : sequence of str
        Names of the columns.
    categories : sequence of array-like or None
        For each column its categories; None for columns of numbers.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        Axes with one panel for each column.
    figure_ : matplotlib Figure
        Figure of the axes.

    Examples
    --------
    >>> import pandas as pd
    >>> from skwakesleep import HelmholtzMachine
    >>> from skwakesleep.plotting import TableDisplay
    >>> table = pd.DataFrame({"color": ["red", "green", "red"] * 20, "size": range(60)})
    >>> machine = HelmholtzMachine(4, max_iter=2, tol=None, random_state=0).fit(table)
    >>> TableDisplay.from_estimator(machine, table).names
    ['color', 'size']
    """

    def __init__(
        self, data: NDArray, samples: NDArray, names: Sequence[str], categories: Sequence[Any | None] | None = None
    ) -> None:
        self.data = data
        self.samples = samples
        self.names = names
        self.categories = [None] * len(names) if categories is None else categories

    @classmethod
    def from_estimator(cls, estimator, X, *, max_columns: int = 20, random_state=0, axes=None) -> Self:
        """Draw as many samples as there are rows, and show the columns of both.

        Parameters
        ----------
        estimator : HelmholtzMachine
            Fitted machine.
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Data.
        max_columns : int, default=20
            Maximum number of columns. The first are shown.
        random_state : int, RandomState instance or None, default=0
            Seed of the samples.
        axes : array of matplotlib Axes, optional
            Axes to draw on, at least one for each column. Default: a new figure.

        Returns
        -------
        display : TableDisplay
            Display after `plot`.

        Raises
        ------
        NotFittedError
            If the estimator has not been fitted.

        ValueError
            If `X` has other columns than the training data, or values outside their domain.

        Examples
        --------
        >>> from skwakesleep import HelmholtzMachine
        >>> from skwakesleep.datasets import make_bars
        >>> from skwakesleep.plotting import TableDisplay
        >>> X, _ = make_bars(50, random_state=0)
        >>> machine = HelmholtzMachine(4, max_iter=2, tol=None, random_state=0).fit(X)
        >>> TableDisplay.from_estimator(machine, X, max_columns=3).names
        ['x0', 'x1', 'x2']
        """
        check_is_fitted(estimator)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "X does not have valid feature names")  # samples may be arrays
            samples = estimator.sample(num_samples(X), random_state=random_state)
            data, sampled = (dense(read_machine_table(estimator, rows, reset=False).values) for rows in (X, samples))
        shown = slice(max_columns)
        names = list(map(str, check_feature_names_in(estimator)[shown]))
        return cls(data[:, shown], sampled[:, shown], names, estimator.categories_[shown]).plot(axes=axes)

    def plot(self, *, axes=None) -> Self:
        """Draw the columns.

        Parameters
        ----------
        axes : array of matplotlib Axes, optional
            Axes to draw on, at least one for each column. Default: a new figure.

        Returns
        -------
        self : TableDisplay
            Display after `plot`.

        Raises
        ------
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.plotting import TableDisplay
        >>> data, samples = np.array([[0.0], [1.0]]), np.array([[1.0], [1.0]])
        >>> TableDisplay(data, samples, ["size"], [["small", "large"]]).plot().axes_[0].get_title()
        'size'
        """
        n_across = min(len(self.names), N_PANELS)
        n_down = -(-len(self.names) // N_PANELS)
        shape = {"nrows": n_down, "ncols": n_across, "figsize": (3 * n_across, 2.4 * n_down + 0.4), "squeeze": False}
        self.figure_, axes = figure_and_axes(axes, **shape)
        axes = np.ravel(axes)
        for unused in axes[len(self.names) :]:
            unused.set_axis_off()
        self.axes_ = axes[: len(self.names)]
        for column, ax in enumerate(self.axes_):
            sources = {"data": self.data[:, column], "samples": self.samples[:, column]}
            sources = {name: values[~np.isnan(values)] for name, values in sources.items()}
            _draw_column(ax, sources, self.categories[column])
            ax.set_title(self.names[column])
        self.axes_[0].margins(y=0.4)  # space for the legend
        self.axes_[0].legend(loc="upper right", ncols=2)
        return self


def _draw_column(ax: Any, sources: dict[str, NDArray], categories: Any | None) -> None:
    """Draw the distribution of a column in the data and in the samples."""
    both = np.concatenate(list(sources.values()))
    codes = np.unique(both) if categories is None else np.arange(len(categories))
    if categories is None and len(codes) > MAX_BARS:
        edges = np.histogram_bin_edges(both, bins=N_BINS)
        for name, values in sources.items():
            ax.hist(values, bins=edges, density=True, histtype="step", linewidth=1.5, label=name)
        ax.set_ylabel("density")
        return
    places = np.arange(len(codes))
    for offset, (name, values) in zip((-0.2, 0.2), sources.items(), strict=True):
        shares = [np.mean(values == code) if len(values) else 0.0 for code in codes]
        ax.bar(places + offset, shares, width=0.4, label=name)
    labels = [f"{each:g}" for each in codes] if categories is None else list(map(str, categories))
    is_long = sum(map(len, labels)) > 24
    ax.set_xticks(places, labels, rotation=45 if is_long else 0, ha="right" if is_long else "center")
    ax.set_ylabel("share")


class ExplanationDisplay:
    """Log-probability of each value of a row given the rest of the row. The lowest explain why the row is improbable.

    Parameters
    ----------
    scores : ndarray of shape (n_features,)
        Log-probabilities in nats, NaN where a value is missing.
    labels : sequence of str
        Names and values of the columns.
    typical : ndarray of shape (n_features,), optional
        Scores of the columns in other rows, which are subtracted. Default: zeros.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with one bar for each value, the lowest on top.
    figure_ : matplotlib Figure
        Figure of the axes.

    Examples
    --------
    >>> from skwakesleep import HelmholtzMachine
    >>> from skwakesleep.datasets import make_bars
    >>> from skwakesleep.plotting import ExplanationDisplay
    >>> X, _ = make_bars(50, random_state=0)
    >>> machine = HelmholtzMachine(4, max_iter=2, tol=None, random_state=0).fit(X)
    >>> ExplanationDisplay.from_estimator(machine, X[:1]).scores.shape
    (16,)
    """

    def __init__(self, scores: NDArray, labels: Sequence[str], typical: NDArray | None = None) -> None:
        self.scores = scores
        self.labels = labels
        self.typical = typical

    @classmethod
    def from_estimator(cls, estimator, row, *, X=None, max_columns: int = 20, ax=None) -> Self:
        """Score the values of a row, and draw the result.

        Parameters
        ----------
        estimator : HelmholtzMachine
            Fitted machine.
        row : {array-like, data frame} of shape (1, n_features)
            The row to explain.
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features), optional
            Other rows. The median score of each column over these rows is subtracted, so that columns in different
            units can be compared. Default: the scores as they are.
        max_columns : int, default=20
            Maximum number of bars. The lowest are shown.
        ax : matplotlib Axes, optional
            Axes to draw on. Default: a new figure.

        Returns
        -------
        display : ExplanationDisplay
            Display after `plot`.

        Raises
        ------
        NotFittedError
            If the estimator has not been fitted.

        ValueError
            If `row` is not a single row, and as `HelmholtzMachine.score_columns`.

        Examples
        --------
        >>> import pandas as pd
        >>> from skwakesleep import HelmholtzMachine
        >>> from skwakesleep.plotting import ExplanationDisplay
        >>> table = pd.DataFrame({"color": ["red", "green"] * 30, "size": [1, 2] * 30})
        >>> machine = HelmholtzMachine(4, max_iter=2, tol=None, random_state=0).fit(table)
        >>> ExplanationDisplay.from_estimator(machine, table.head(1), X=table).labels
        ['color = red', 'size = 1']
        """
        check_is_fitted(estimator)
        if num_samples(row) != 1:
            raise ValueError(f"row must be a table of one row, for instance X[:1]. Got {num_samples(row)} rows.")
        scores = estimator.score_columns(row)[0]
        typical = None if X is None else np.nanmedian(estimator.score_columns(X), axis=0)
        names = check_feature_names_in(estimator)
        labels = [f"{name} = {_text(column)}" for name, column in zip(names, columns_of(row), strict=True)]
        lowest = np.sort(np.argsort(scores if typical is None else scores - typical, kind="stable")[:max_columns])
        chosen = [labels[column] for column in lowest]
        return cls(scores[lowest], chosen, None if typical is None else typical[lowest]).plot(ax=ax)

    def plot(self, *, ax=None) -> Self:
        """Draw the bars.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on. Default: a new figure.

        Returns
        -------
        self : ExplanationDisplay
            Display after `plot`.

        Raises
        ------
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.plotting import ExplanationDisplay
        >>> display = ExplanationDisplay(np.array([-0.1, -7.0]), ["color = red", "size = 9"]).plot()
        >>> [label.get_text() for label in display.ax_.get_yticklabels()]
        ['size = 9', 'color = red']
        """
        shown = self.scores if self.typical is None else self.scores - self.typical
        order = [column for column in np.argsort(shown, kind="stable") if not np.isnan(shown[column])]
        self.figure_, self.ax_ = figure_and_axes(ax, figsize=(6.4, 1.2 + 0.3 * len(order)))
        places = np.arange(len(order))
        self.ax_.barh(places, shown[order], color=np.where(shown[order] < 0, "tab:red", "tab:blue"))
        self.ax_.set_yticks(places, [self.labels[column] for column in order])
        self.ax_.invert_yaxis()
        self.ax_.axvline(0, color="0.5", linewidth=0.8)
        minus = "" if self.typical is None else "\nminus the median of the column"
        self.ax_.set(xlabel=f"log-probability given the rest of the row (nats){minus}", title="Values of a row")
        return self


def _text(column: Any) -> str:
    """Return the only value of a column."""
    value = column.values[0]
    return str(value) if column.type == "word" else f"{value:g}"
