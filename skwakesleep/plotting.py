"""Pictures of what a machine has learned, as display classes in scikit-learn's manner.

Each class holds what it shows; `from_estimator` computes that, and `plot` draws it on given or new axes. Matplotlib is
imported when something is drawn.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

__all__ = [
    "ActivityDisplay",
    "ComparisonDisplay",
    "ComponentsDisplay",
    "ReconstructionDisplay",
    "SamplesDisplay",
    "ScoreDisplay",
    "TrainingDisplay",
]

# A unit that is on less often than this is called dead, and one that is off less often always on.
RARELY = 0.01


class ComponentsDisplay:
    """The bottom generative weights as images: what each hidden unit adds to the picture.

    Parameters
    ----------
    components : ndarray of shape (n_components, n_features)
        Weights.
    image_shape : tuple of int
        Height and width of the images, with ``height * width == n_features``.
    unit : str, default="log-odds"
        What the weights are measured in.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the mosaic.
    figure_ : matplotlib Figure
        Figure containing it.
    image_ : matplotlib AxesImage
        The mosaic; red adds to a column, blue takes from it.

    Examples
    --------
    >>> import numpy as np
    >>> from skwakesleep import HelmholtzMachine
    >>> from skwakesleep.plotting import ComponentsDisplay
    >>> X = np.random.default_rng(0).random((50, 16)) < 0.5
    >>> machine = HelmholtzMachine(4, max_iter=2, tol=None, random_state=0).fit(X)
    >>> display = ComponentsDisplay.from_estimator(machine)
    >>> display.image_shape
    (4, 4)
    """

    def __init__(self, components: NDArray, image_shape: tuple[int, int], unit: str = "log-odds") -> None:
        self.components = components
        self.image_shape = image_shape
        self.unit = unit

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        image_shape: tuple[int, int] | None = None,
        max_components: int = 100,
        ax: Any = None,
    ) -> "ComponentsDisplay":
        """Show the components of a fitted machine, those with the largest weights first.

        Parameters
        ----------
        estimator : HelmholtzMachine
            Fitted machine, or any estimator with `components_`.
        image_shape : tuple of int, optional
            Height and width of the images; by default they are square.
        max_components : int, default=100
            Show no more than these.
        ax : matplotlib Axes, optional
            Where to draw; on a new figure by default.

        Returns
        -------
        display : ComponentsDisplay
            With what it drew.

        Raises
        ------
        ValueError
            If the columns do not fill images of the given shape, or do not make squares.

        Examples
        --------
        >>> from skwakesleep import HelmholtzMachine
        >>> from skwakesleep.datasets import make_bars
        >>> from skwakesleep.plotting import ComponentsDisplay
        >>> X, _ = make_bars(50, random_state=0)
        >>> machine = HelmholtzMachine(4, max_iter=2, tol=None, random_state=0).fit(X)
        >>> ComponentsDisplay.from_estimator(machine, image_shape=(2, 8)).image_shape
        (2, 8)
        """
        check_is_fitted(estimator)
        components = np.asarray(estimator.components_)
        strongest = np.argsort(-np.linalg.norm(components, axis=1), kind="stable")[:max_components]
        unit = "standard deviations" if getattr(estimator, "visible_", None) == "gaussian" else "log-odds"
        return cls(components[strongest], _image_shape(components.shape[1], image_shape), unit).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> "ComponentsDisplay":
        """Draw the mosaic.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; on a new figure by default.

        Returns
        -------
        self : ComponentsDisplay
            With what it drew.

        Raises
        ------
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.plotting import ComponentsDisplay
        >>> ComponentsDisplay(np.eye(4), (2, 2)).plot().ax_.get_title()
        'Generative weights of 4 hidden units'
        """
        self.figure_, self.ax_ = _axes(ax)
        limit = np.abs(self.components).max() or 1.0
        self.image_ = _draw_mosaic(self.ax_, self.components, self.image_shape, cmap="RdBu_r", limits=(-limit, limit))
        self.figure_.colorbar(self.image_, ax=self.ax_, shrink=0.8, label=f"weight ({self.unit})")
        self.ax_.set_title(f"Generative weights of {len(self.components)} hidden units")
        return self


class SamplesDisplay:
    """Samples of a machine beside rows of data.

    Parameters
    ----------
    data, samples : ndarray of shape (n_images, n_features)
        What to show side by side, on one scale.
    image_shape : tuple of int
        Height and width of the images.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        Axes with the data and the samples.
    figure_ : matplotlib Figure
        Figure containing them.

    Examples
    --------
    >>> import numpy as np
    >>> from skwakesleep import HelmholtzMachine
    >>> from skwakesleep.plotting import SamplesDisplay
    >>> X = np.random.default_rng(0).random((50, 16)) < 0.5
    >>> machine = HelmholtzMachine(4, max_iter=2, tol=None, random_state=0).fit(X)
    >>> SamplesDisplay.from_estimator(machine, X, n_images=9, random_state=0).samples.shape
    (9, 16)
    """

    titles = ("Data", "Samples of the machine")

    def __init__(self, data: NDArray, samples: NDArray, image_shape: tuple[int, int]) -> None:
        self.data = data
        self.samples = samples
        self.image_shape = image_shape

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        n_images: int = 64,
        image_shape: tuple[int, int] | None = None,
        random_state: Any = 0,
        axes: Any = None,
    ) -> "SamplesDisplay":
        """Draw as many samples as there are rows to show beside them.

        Parameters
        ----------
        estimator : HelmholtzMachine or AmortisedWakeSleep
            Fitted estimator with a method `sample`.
        X : array-like of shape (n_samples, n_features)
            Data; its first rows are shown.
        n_images : int, default=64
            Show no more than these.
        image_shape : tuple of int, optional
            Height and width of the images; by default they are square.
        random_state : int, RandomState instance or None, default=0
            Seeds the samples.
        axes : pair of matplotlib Axes, optional
            Where to draw; on a new figure by default.

        Returns
        -------
        display : SamplesDisplay
            With what it drew.

        Raises
        ------
        ValueError
            If the columns do not fill images of the given shape, or do not make squares.

        Examples
        --------
        >>> from skwakesleep import HelmholtzMachine
        >>> from skwakesleep.datasets import make_bars
        >>> from skwakesleep.plotting import SamplesDisplay
        >>> X, _ = make_bars(50, random_state=0)
        >>> machine = HelmholtzMachine(4, max_iter=2, tol=None, random_state=0).fit(X)
        >>> SamplesDisplay.from_estimator(machine, X, n_images=9).samples.shape
        (9, 16)
        """
        check_is_fitted(estimator)
        data = _dense(X)[:n_images]
        samples = estimator.sample(len(data), random_state=random_state)
        return cls(data, samples, _image_shape(data.shape[1], image_shape)).plot(axes=axes)

    def plot(self, *, axes: Any = None) -> "SamplesDisplay":
        """Draw the two mosaics.

        Parameters
        ----------
        axes : pair of matplotlib Axes, optional
            Where to draw; on a new figure by default.

        Returns
        -------
        self : SamplesDisplay
            With what it drew.

        Raises
        ------
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.plotting import SamplesDisplay
        >>> left, right = SamplesDisplay(np.eye(4), 1 - np.eye(4), (2, 2)).plot().axes_
        """
        self.figure_, self.axes_ = _pair_of_axes(axes)
        limits = min(self.data.min(), self.samples.min()), max(self.data.max(), self.samples.max())
        for ax, images, title in zip(self.axes_, (self.data, self.samples), self.titles, strict=True):
            _draw_mosaic(ax, images, self.image_shape, cmap="gray_r", limits=limits)
            ax.set_title(title)
        return self


class ReconstructionDisplay(SamplesDisplay):
    """Rows of data beside what is left of them after a passage through the top hidden layer.

    Parameters
    ----------
    data, samples : ndarray of shape (n_images, n_features)
        Rows, and their reconstructions.
    image_shape : tuple of int
        Height and width of the images.

    Examples
    --------
    >>> import numpy as np
    >>> from skwakesleep import HelmholtzMachine
    >>> from skwakesleep.plotting import ReconstructionDisplay
    >>> X = np.random.default_rng(0).random((50, 16)) < 0.5
    >>> machine = HelmholtzMachine(4, max_iter=2, tol=None, random_state=0).fit(X)
    >>> ReconstructionDisplay.from_estimator(machine, X, n_images=9).samples.shape
    (9, 16)
    """

    titles = ("Data", "Reconstructed from the top hidden layer")

    @classmethod
    def from_estimator(  # type: ignore[override]
        cls,
        estimator: Any,
        X: Any,
        *,
        n_images: int = 64,
        image_shape: tuple[int, int] | None = None,
        axes: Any = None,
    ) -> "ReconstructionDisplay":
        """Infer the top hidden layer's means, and the expected columns given these.

        Parameters
        ----------
        estimator : HelmholtzMachine
            Fitted machine.
        X : array-like of shape (n_samples, n_features)
            Data; its first rows are shown.
        n_images : int, default=64
            Show no more than these.
        image_shape : tuple of int, optional
            Height and width of the images; by default they are square.
        axes : pair of matplotlib Axes, optional
            Where to draw; on a new figure by default.

        Returns
        -------
        display : ReconstructionDisplay
            With what it drew.

        Raises
        ------
        ValueError
            If the columns do not fill images of the given shape, or do not make squares.

        Examples
        --------
        >>> from skwakesleep import HelmholtzMachine
        >>> from skwakesleep.datasets import make_bars
        >>> from skwakesleep.plotting import ReconstructionDisplay
        >>> X, _ = make_bars(50, random_state=0)
        >>> machine = HelmholtzMachine(4, max_iter=2, tol=None, random_state=0).fit(X)
        >>> ReconstructionDisplay.from_estimator(machine, X, n_images=9).samples.shape
        (9, 16)
        """
        check_is_fitted(estimator)
        data = _dense(X)[:n_images]
        reconstructions = estimator.inverse_transform(np.asarray(estimator.transform(data)))
        display = cls(data, reconstructions, _image_shape(data.shape[1], image_shape))
        display.plot(axes=axes)
        return display


class TrainingDisplay:
    """Lower bound, and held-out score if there is one, over the epochs.

    Parameters
    ----------
    lower_bounds : sequence of float
        Mean lower bound of each epoch on the training rows, in nats per row.
    validation_scores : sequence of float
        Held-out log-likelihood after each epoch, in nats per row; may be empty.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the curves.
    figure_ : matplotlib Figure
        Figure containing them.
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
        """Show how the training of a fitted machine went.

        Parameters
        ----------
        estimator : HelmholtzMachine
            Fitted machine.
        ax : matplotlib Axes, optional
            Where to draw; on a new figure by default.

        Returns
        -------
        display : TrainingDisplay
            With what it drew.

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
            Where to draw; on a new figure by default.

        Returns
        -------
        self : TrainingDisplay
            With what it drew.

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
        self.figure_, self.ax_ = _axes(ax)
        curves = {"lower bound, training rows": self.lower_bounds, "log-likelihood, held out": self.validation_scores}
        self.lines_ = [
            self.ax_.plot(np.arange(1, len(curve) + 1), curve, label=label)[0]
            for label, curve in curves.items()
            if len(curve)
        ]
        self.ax_.set(xlabel="epoch", ylabel="nats per row", title="Training")
        self.ax_.legend()
        return self


class ActivityDisplay:
    """How often each unit of the top hidden layer is on; dead and always-on units are named.

    Parameters
    ----------
    activity : ndarray of shape (n_hidden,)
        Mean of each unit over the data, in [0, 1].
    names : sequence of str
        Names of the units.

    Attributes
    ----------
    dead_, always_on_ : list of str
        Units that are on in less than one row of a hundred, or off in less.
    ax_ : matplotlib Axes
        Axes with the bars, one for each unit in the order of their activity.
    figure_ : matplotlib Figure
        Figure containing them.

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

    def __init__(self, activity: NDArray, names: Any) -> None:
        self.activity = activity
        self.names = names
        self.dead_ = [str(name) for name, mean in zip(names, activity, strict=True) if mean < RARELY]
        self.always_on_ = [str(name) for name, mean in zip(names, activity, strict=True) if mean > 1 - RARELY]

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, *, ax: Any = None) -> "ActivityDisplay":
        """Infer the top hidden layer for some data, and average over its rows.

        Parameters
        ----------
        estimator : HelmholtzMachine
            Fitted machine.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.
        ax : matplotlib Axes, optional
            Where to draw; on a new figure by default.

        Returns
        -------
        display : ActivityDisplay
            With what it drew.

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
        activity = np.asarray(estimator.transform(X)).mean(axis=0)
        return cls(activity, estimator.get_feature_names_out()).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> "ActivityDisplay":
        """Draw the bars.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; on a new figure by default.

        Returns
        -------
        self : ActivityDisplay
            With what it drew.

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
        self.figure_, self.ax_ = _axes(ax)
        self.ax_.bar(np.arange(len(self.activity)), np.sort(self.activity)[::-1], width=1.0, color="tab:blue")
        self.ax_.axhline(0.5, color="0.5", linewidth=0.8, linestyle="--")
        self.ax_.set(xlabel="hidden unit, the most active first", ylabel="mean activity", ylim=(0, 1))
        self.ax_.set_title(f"{_listed('dead', self.dead_)}\n{_listed('always on', self.always_on_)}", fontsize="medium")
        self.ax_.margins(x=0.01)
        return self


class ScoreDisplay:
    """Histograms of log-likelihoods, of data, of the machine's own dreams, and of anything else.

    Data whose scores lie below those of the dreams is not what the machine believes in: it is badly fitted, or foreign.

    Parameters
    ----------
    scores : dict of str to ndarray of shape (n_samples,)
        Log-likelihoods in nats, by the name of the rows they belong to.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the histograms.
    figure_ : matplotlib Figure
        Figure containing them.

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
        """Score some rows in nats, and as a measure of them dreams.

        Parameters
        ----------
        estimator : HelmholtzMachine
            Fitted density with methods `score_samples` and `sample`.
        X : array-like of shape (n_samples, n_features), or dict of str to such arrays
            Data; a dict names several sets of rows, outliers for instance.
        n_dreams : int, default=500
            Number of dreams; zero leaves them out.
        random_state : int, RandomState instance or None, default=0
            Seeds the dreams.
        ax : matplotlib Axes, optional
            Where to draw; on a new figure by default.

        Returns
        -------
        display : ScoreDisplay
            With what it drew.

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
        named = dict(X) if isinstance(X, Mapping) else {"data": X}
        if n_dreams:
            named["dreams"] = estimator.sample(n_dreams, random_state=random_state)
        return cls({name: estimator.score_samples(rows) for name, rows in named.items()}).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> "ScoreDisplay":
        """Draw the histograms of scores in nats, each with an area of one.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; on a new figure by default.

        Returns
        -------
        self : ScoreDisplay
            With what it drew.

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
        self.figure_, self.ax_ = _axes(ax)
        edges = np.histogram_bin_edges(np.concatenate(list(self.scores.values())), bins=40)
        for number, (name, scores) in enumerate(self.scores.items()):
            histogram = {"x": scores, "bins": edges, "density": True, "color": f"C{number}"}
            self.ax_.hist(**histogram, histtype="stepfilled", alpha=0.15)
            self.ax_.hist(**histogram, histtype="step", linewidth=1.5, label=f"{name}: mean {scores.mean():.1f}")
        self.ax_.set(xlabel="log-likelihood (nats)", ylabel="density of rows", title="Scores")
        self.ax_.legend()
        return self


class ComparisonDisplay:
    """Densities beside each other on the same rows, with standard errors of paired differences to the best.

    Parameters
    ----------
    scores : dict of str to ndarray of shape (n_samples,)
        Log-likelihoods of the same rows in nats, by the name of the density.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with a bar for each density, the best on top.
    figure_ : matplotlib Figure
        Figure containing it.

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
        """Score the same rows under several densities.

        Parameters
        ----------
        estimators : dict of str to estimator
            Fitted densities with a method `score_samples`.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.
        ax : matplotlib Axes, optional
            Where to draw; on a new figure by default.

        Returns
        -------
        display : ComparisonDisplay
            With what it drew.

        Raises
        ------
        NotFittedError
            If the estimator has not been fitted.

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
        return cls({name: estimator.score_samples(X) for name, estimator in estimators.items()}).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> "ComparisonDisplay":
        """Draw the bars.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; on a new figure by default.

        Returns
        -------
        self : ComparisonDisplay
            With what it drew.

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
        self.figure_, self.ax_ = _axes(ax)
        names = sorted(self.scores, key=lambda name: self.scores[name].mean())
        best = self.scores[names[-1]]
        errors = [(self.scores[name] - best).std() / np.sqrt(len(best)) for name in names]
        means = [self.scores[name].mean() for name in names]
        self.ax_.errorbar(means, names, xerr=errors, fmt="o", capsize=4)
        for mean, name in zip(means, names, strict=True):
            self.ax_.annotate(f"{mean:.2f}", (mean, name), xytext=(0, 7), textcoords="offset points", ha="center")
        self.ax_.margins(x=0.15, y=0.2)
        self.ax_.set(
            xlabel="log-likelihood (nats per row)\nbars: standard error of the difference to the best",
            title=f"Densities on the same {len(best)} rows",
        )
        return self


# ---------------------------------------------------------------------- axes and mosaics


def _pyplot() -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("Displays need matplotlib. Install it with: pip install 'skwakesleep[plot]'") from error
    return plt


def _axes(ax: Any) -> tuple[Any, Any]:
    """Return a figure and the axes to draw on."""
    if ax is None:
        _, ax = _pyplot().subplots(layout="constrained")
    return ax.figure, ax


def _pair_of_axes(axes: Any) -> tuple[Any, Any]:
    if axes is None:
        _, axes = _pyplot().subplots(1, 2, figsize=(9, 4.8), layout="constrained")
    return axes[0].figure, axes


def _dense(X: Any) -> NDArray:
    return np.asarray(X.toarray() if hasattr(X, "toarray") else X, dtype=float)


def _image_shape(n_features: int, image_shape: tuple[int, int] | None) -> tuple[int, int]:
    """Return the shape of images of so many columns."""
    if image_shape is None:
        side = round(n_features**0.5)
        image_shape = side, side
        if side * side != n_features:
            raise ValueError(f"{n_features} columns do not make square images. Pass image_shape=(height, width).")
    height, width = image_shape
    if height * width != n_features:
        raise ValueError(
            f"image_shape={image_shape!r} has {height * width} pixels, but there are {n_features} columns."
        )
    return height, width


def _draw_mosaic(ax: Any, images: NDArray, image_shape: tuple[int, int], *, cmap: str, limits: Any) -> Any:
    """Draw images row by row in a grid as square as can be, a thin gap between them."""
    n_columns = int(np.ceil(np.sqrt(len(images))))
    n_rows = -(-len(images) // n_columns)
    height, width = image_shape
    mosaic = np.full((n_rows, n_columns, height + 1, width + 1), np.nan)
    mosaic.reshape(-1, height + 1, width + 1)[: len(images), :height, :width] = images.reshape(-1, height, width)
    whole = mosaic.swapaxes(1, 2).reshape(n_rows * (height + 1), -1)[:-1, :-1]
    ax.set_axis_off()
    return ax.imshow(whole, cmap=cmap, vmin=limits[0], vmax=limits[1], interpolation="nearest")


def _listed(label: str, names: list[str], most: int = 2) -> str:
    """Say how many units are of a kind, and name the first of them."""
    if not names:
        return f"no unit is {label}"
    more = f" and {len(names) - most} more" if len(names) > most else ""
    verb = "unit is" if len(names) == 1 else "units are"
    return f"{len(names)} {verb} {label}: {', '.join(names[:most])}{more}"
