"""Learning curves."""

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skwakesleep.plotting._drawing import figure_and_axes


class TrainingDisplay:
    """Lower bound of each epoch, and held-out score of each epoch if it was computed.

    Parameters
    ----------
    lower_bounds : sequence of float
        Mean lower bound of each epoch on the training rows, in nats per row.
    validation_scores : sequence of float
        Held-out log-likelihood after each epoch, in nats per row. May be empty.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the curves.
    figure_ : matplotlib Figure
        Figure of the axes.
    lines_ : list of matplotlib Line2D
        The curves.

    Examples
    --------
    >>> import numpy as np
    >>> from skwakesleep import HelmholtzMachine
    >>> from skwakesleep.plotting import TrainingDisplay
    >>> X = np.random.default_rng(0).random((50, 16)) < 0.5
    >>> machine = HelmholtzMachine(4, max_iter=2, tol=None, random_state=0).fit(X)
    >>> len(TrainingDisplay.from_estimator(machine).lines_)
    1
    """

    def __init__(self, lower_bounds: Any, validation_scores: Any = ()) -> None:
        self.lower_bounds = lower_bounds
        self.validation_scores = validation_scores

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> "TrainingDisplay":
        """Draw the learning curves of a fitted machine.

        Parameters
        ----------
        estimator : HelmholtzMachine
            Fitted machine.
        ax : matplotlib Axes, optional
            Axes to draw on. Default: a new figure.

        Returns
        -------
        display : TrainingDisplay
            Display after `plot`.

        Raises
        ------
        NotFittedError
            If the estimator has not been fitted.

        Examples
        --------
        >>> from skwakesleep import HelmholtzMachine
        >>> from skwakesleep.datasets import make_bars
        >>> from skwakesleep.plotting import TrainingDisplay
        >>> X, _ = make_bars(50, random_state=0)
        >>> machine = HelmholtzMachine(4, max_iter=2, tol=None, random_state=0).fit(X)
        >>> len(TrainingDisplay.from_estimator(machine).lower_bounds)
        2
        """
        check_is_fitted(estimator)
        return cls(estimator.lower_bounds_, estimator.validation_scores_).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> "TrainingDisplay":
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on. Default: a new figure.

        Returns
        -------
        self : TrainingDisplay
            Display after `plot`.

        Raises
        ------
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> from skwakesleep.plotting import TrainingDisplay
        >>> TrainingDisplay([-5.0, -4.0]).plot().ax_.get_ylabel()
        'nats per row'
        """
        self.figure_, self.ax_ = figure_and_axes(ax)
        curves = {"lower bound, training rows": self.lower_bounds, "log-likelihood, held out": self.validation_scores}
        self.lines_ = [
            self.ax_.plot(np.arange(1, len(curve) + 1), curve, label=label, marker="o" if len(curve) == 1 else None)[0]
            for label, curve in curves.items()
            if len(curve)
        ]
        self.ax_.set(xlabel="epoch", ylabel="nats per row", title="Training")
        self.ax_.locator_params(axis="x", integer=True)
        if self.lines_:  # empty if training was interrupted in the first epoch
            self.ax_.legend()
        return self
