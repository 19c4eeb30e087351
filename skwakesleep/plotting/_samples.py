"""Images of data beside samples or reconstructions."""

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
        Rows to show side by side, on the same scale.
    image_shape : tuple of int
        Height and width of the images. Images of height one are drawn as strips, so that ``(1, n_features)`` shows a
        table. If a table has values outside [0, 1], each column has its own scale.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        Axes with the data and the samples.
    figure_ : matplotlib Figure
        Figure of the axes.

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
        """Draw samples, and show them beside the same number of rows of data.

        Parameters
        ----------
        estimator : HelmholtzMachine or AmortisedWakeSleep
            Fitted estimator with a method `sample`.
        X : array-like of shape (n_samples, n_features)
            Data. The first rows are shown.
        n_images : int, default=64
            Maximum number of images.
        image_shape : tuple of int, optional
            Height and width of the images. Default: squares, or strips of height one if the number of columns is
            not a square.
        random_state : int, RandomState instance or None, default=0
            Seed of the samples.
        axes : pair of matplotlib Axes, optional
            Axes to draw on. Default: a new figure.

        Returns
        -------
        display : SamplesDisplay
            Display after `plot`.

        Raises
        ------
        ValueError
            If the number of columns is not that of the pixels of an image, or if `X` is not numeric.

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
            Axes to draw on. Default: a new figure.

        Returns
        -------
        self : SamplesDisplay
            Display after `plot`.

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
    """Return an offset and a scale that map the values to [0, 1]; 0 and 1 if they are in it already."""
    low, high = values.min(axis=axis), values.max(axis=axis)
    if np.all(low >= 0) and np.all(high <= 1):
        return 0.0, 1.0
    return low, np.where(high > low, high - low, 1)


class ReconstructionDisplay(SamplesDisplay):
    """Rows of data beside their reconstructions from the top hidden layer.

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
        """Infer the means of the top hidden layer, and show the expected columns given these beside the data.

        Parameters
        ----------
        estimator : HelmholtzMachine
            Fitted machine.
        X : array-like of shape (n_samples, n_features)
            Data. The first rows are shown.
        n_images : int, default=64
            Maximum number of images.
        image_shape : tuple of int, optional
            Height and width of the images. Default: squares, or strips of height one if the number of columns is
            not a square.
        axes : pair of matplotlib Axes, optional
            Axes to draw on. Default: a new figure.

        Returns
        -------
        display : ReconstructionDisplay
            Display after `plot`.

        Raises
        ------
        ValueError
            If the number of columns is not that of the pixels of an image, or if `X` is not numeric.

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
