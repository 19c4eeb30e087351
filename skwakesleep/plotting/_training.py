"""Learning curves, and the activity of the hidden units they led to."""

from copy import copy
from typing import Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from skwakesleep.plotting._axes import figure_and_axes

# Mean activity below which a unit counts as dead. Above one minus this value, it counts as always on.
DEAD_ACTIVITY = 0.01


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

    def __init__(self, lower_bounds, validation_scores=()) -> None:
        self.lower_bounds = lower_bounds
        self.validation_scores = validation_scores

    @classmethod
    def from_estimator(cls, estimator, *, ax=None) -> Self:
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

    def plot(self, *, ax=None) -> Self:
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


class ActivityDisplay:
    """Mean activity of each unit of the top hidden layer. Dead and always-on units are named.

    Parameters
    ----------
    activity : ndarray of shape (n_hidden,)
        Mean activity of each unit over the data, in [0, 1].
    names : sequence of str
        Names of the units.

    Attributes
    ----------
    dead_, always_on_ : list of str
        Names of units with a mean activity below 0.01, or above 0.99.
    ax_ : matplotlib Axes
        Axes with one bar for each unit, in decreasing order of activity.
    figure_ : matplotlib Figure
        Figure of the axes.

    Examples
    --------
    >>> import numpy as np
    >>> from skwakesleep import HelmholtzMachine
    >>> from skwakesleep.plotting import ActivityDisplay
    >>> X = np.random.default_rng(0).random((50, 16)) < 0.5
    >>> machine = HelmholtzMachine(4, max_iter=2, tol=None, random_state=0).fit(X)
    >>> ActivityDisplay.from_estimator(machine, X).dead_
    []
    """

    def __init__(self, activity: NDArray, names) -> None:
        self.activity = activity
        self.names = names
        self.dead_ = [str(name) for name, mean in zip(names, activity, strict=True) if mean < DEAD_ACTIVITY]
        self.always_on_ = [str(name) for name, mean in zip(names, activity, strict=True) if mean > 1 - DEAD_ACTIVITY]

    @classmethod
    def from_estimator(cls, estimator, X, *, ax=None) -> Self:
        """Infer the probabilities of the top units for each row, average over the rows, and draw the result.

        Parameters
        ----------
        estimator : HelmholtzMachine
            Fitted machine.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.
        ax : matplotlib Axes, optional
            Axes to draw on. Default: a new figure.

        Returns
        -------
        display : ActivityDisplay
            Display after `plot`.

        Raises
        ------
        NotFittedError
            If the estimator has not been fitted.

        Examples
        --------
        >>> from skwakesleep import HelmholtzMachine
        >>> from skwakesleep.datasets import make_bars
        >>> from skwakesleep.plotting import ActivityDisplay
        >>> X, _ = make_bars(50, random_state=0)
        >>> machine = HelmholtzMachine(4, max_iter=2, tol=None, random_state=0).fit(X)
        >>> ActivityDisplay.from_estimator(machine, X).activity.shape
        (4,)
        """
        check_is_fitted(estimator)
        probabilities = copy(estimator).set_params(output="means").transform(X)
        activity = np.asarray(probabilities).mean(axis=0)
        return cls(activity, estimator.get_feature_names_out()).plot(ax=ax)

    def plot(self, *, ax=None) -> Self:
        """Draw the bars.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on. Default: a new figure.

        Returns
        -------
        self : ActivityDisplay
            Display after `plot`.

        Raises
        ------
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.plotting import ActivityDisplay
        >>> print(ActivityDisplay(np.array([0.2, 0.0]), ["first", "second"]).plot().ax_.get_title())
        1 unit is dead: second
        no unit is always on
        """
        self.figure_, self.ax_ = figure_and_axes(ax)
        self.ax_.bar(np.arange(len(self.activity)), np.sort(self.activity)[::-1], width=1.0, color="tab:blue")
        self.ax_.axhline(0.5, color="0.5", linewidth=0.8, linestyle="--")
        self.ax_.set(xlabel="hidden unit, the most active first", ylabel="mean activity", ylim=(0, 1))
        self.ax_.set_title(f"{_phrase('dead', self.dead_)}\n{_phrase('always on', self.always_on_)}", fontsize="medium")
        self.ax_.margins(x=0.01)
        self.ax_.locator_params(axis="x", integer=True)
        return self


def _phrase(label: str, names: list[str], max_names: int = 2) -> str:
    """Return a phrase with the number of the units and the names of the first ones."""
    if not names:
        return f"no unit is {label}"
    more = f" and {len(names) - max_names} more" if len(names) > max_names else ""
    verb = "unit is" if len(names) == 1 else "units are"
    return f"{len(names)} {verb} {label}: {', '.join(names[:max_names])}{more}"
