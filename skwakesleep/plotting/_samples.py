"""Images of data beside samples, or beside their reconstructions."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from skwakesleep.plotting._drawing import dense, draw_images, figure_and_pair, head, shape_of_images


class SamplesDisplay:
    """Samples of a machine beside rows of data.

    Parameters
    ----------
    data, samples : ndarray of shape (n_images, n_features)
        What to show side by side, on one scale.
    image_shape : tuple of int
        Height and width of the images. Those of height one are drawn as strips, and columns
        with values outside [0, 1] then each on a scale of its own: ``(1, n_features)`` shows a table.

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
            Height and width of the images; by default they are square, or where columns make no square, strips of
            one pixel in height, one below the other.
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
            If the columns do not fill images of the given shape, or if `X` is no table of numbers.

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
        data = dense(head(X, n_images))
        samples = estimator.sample(len(data), random_state=random_state)
        return cls(data, samples, shape_of_images(data.shape[1], image_shape)).plot(axes=axes)

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
        self.figure_, self.axes_ = figure_and_pair(axes)
        both = np.concatenate([self.data, self.samples])
        low, scale = _scale(both, axis=0 if self.image_shape[0] == 1 else None)
        for ax, images, title in zip(self.axes_, (self.data, self.samples), self.titles, strict=True):
            scaled = (images - low) / scale
            draw_images(ax, scaled, self.image_shape, cmap="gray_r", limits=(0, 1), label="row")
            ax.set_title(title)
        return self


def _scale(values: NDArray, axis: int | None) -> tuple[Any, Any]:
    """Return what to take from values and what to divide them by so that they are in [0, 1]; nothing if they are."""
    low, high = values.min(axis=axis), values.max(axis=axis)
    if np.all(low >= 0) and np.all(high <= 1):
        return 0.0, 1.0
    return low, np.where(high > low, high - low, 1)


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
            Height and width of the images; by default they are square, or where columns make no square, strips of
            one pixel in height, one below the other.
        axes : pair of matplotlib Axes, optional
            Where to draw; on a new figure by default.

        Returns
        -------
        display : ReconstructionDisplay
            With what it drew.

        Raises
        ------
        ValueError
            If the columns do not fill images of the given shape, or if `X` is no table of numbers.

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
        rows = head(X, n_images)
        data = dense(rows)
        reconstructions = estimator.inverse_transform(np.asarray(estimator.transform(rows)))
        display = cls(data, reconstructions, shape_of_images(data.shape[1], image_shape))
        display.plot(axes=axes)
        return display
