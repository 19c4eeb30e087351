"""Histograms of log-likelihoods."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from skwakesleep.plotting._drawing import figure_and_axes


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
    def from_estimator(
        cls, estimator: Any, X: Any, *, n_dreams: int = 500, random_state: Any = 0, ax: Any = None
    ) -> "ScoreDisplay":
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

    def plot(self, *, ax: Any = None) -> "ScoreDisplay":
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
