"""Images of weights, data, samples and reconstructions."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from skwakesleep._adapters.tables import check_matrix, dense
from skwakesleep._engine.machine.columns import KINDS
from skwakesleep.plotting._axes import figure_and_axes

Shape = tuple[int, int]  # height and width in pixels


class ComponentsDisplay:
    """Generative weights from the first hidden layer to the columns, as one image for each hidden unit.

    Parameters
    ----------
    components : ndarray of shape (n_components, n_features)
        Weights.
    image_shape : tuple of int
        Height and width of the images, with ``height * width == n_features``. Images of height one are drawn as
        strips, so that ``(1, n_features)`` shows a table.
    unit : str, default="log-odds"
        Unit of the weights.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the mosaic.
    figure_ : matplotlib Figure
        Figure of the axes.
    image_ : matplotlib AxesImage
        The mosaic. Positive weights are red, negative weights blue.

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

    def __init__(self, components: NDArray, image_shape: Shape, unit: str = "log-odds") -> None:
        self.components = components
        self.image_shape = image_shape
        self.unit = unit

    @classmethod
    def from_estimator(cls, estimator, *, image_shape: Shape | None = None, max_components: int = 100, ax=None) -> Self:
        """Draw the components of a fitted machine, in decreasing order of their norm.

        Parameters
        ----------
        estimator : HelmholtzMachine
            Fitted machine, or any estimator with `components_`.
        image_shape : tuple of int, optional
            Height and width of the images. Default: squares, or strips of height one if the number of columns is
            not a square.
        max_components : int, default=100
            Maximum number of images.
        ax : matplotlib Axes, optional
            Axes to draw on. Default: a new figure.

        Returns
        -------
        display : ComponentsDisplay
            Display after `plot`.

        Raises
        ------
        ValueError
            If the number of columns is not that of the pixels of an image, or if the columns are not all of the kind
            "bernoulli" or all of the kind "gaussian": other columns have not one weight each.

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
        largest = np.argsort(-np.linalg.norm(components, axis=1), kind="stable")[:max_components]
        unit = _unit_of_weights(getattr(estimator, "visible_", ["bernoulli"]))
        return cls(components[largest], _shape_of_images(components.shape[1], image_shape), unit).plot(ax=ax)

    def plot(self, *, ax=None) -> Self:
        """Draw the mosaic.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on. Default: a new figure.

        Returns
        -------
        self : ComponentsDisplay
            Display after `plot`.

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
        self.figure_, self.ax_ = figure_and_axes(ax)
        limit = np.abs(self.components).max() or 1.0
        self.image_ = _draw_images(
            self.ax_, self.components, self.image_shape, cmap="RdBu_r", limits=(-limit, limit), label="hidden unit"
        )
        self.figure_.colorbar(self.image_, ax=self.ax_, shrink=0.8, label=f"weight ({self.unit})")
        n_units = len(self.components)
        self.ax_.set_title(f"Generative weights of {n_units} hidden unit{'s' if n_units > 1 else ''}")
        return self


def _unit_of_weights(kinds: Any) -> str:
    """Return the unit of the weights; raise ValueError unless columns are of one kind and have one weight each."""
    first, *others = dict.fromkeys(kinds)
    if others or KINDS[first].codec.has_base:
        raise ValueError(
            "Components can be drawn if all columns are of the kind 'bernoulli' or all of the kind 'gaussian'. Got "
            f"columns of kind {', '.join(map(repr, (first, *others)))}."
        )
    return KINDS[first].family.natural_unit


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

    def __init__(self, data: NDArray, samples: NDArray, image_shape: Shape) -> None:
        self.data = data
        self.samples = samples
        self.image_shape = image_shape

    @classmethod
    def from_estimator(
        cls, estimator, X, *, n_images: int = 64, image_shape: Shape | None = None, random_state=0, axes=None
    ) -> Self:
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
        # Only the rows shown are converted: the table may be large or sparse.
        data = dense(check_matrix(_head(X, n_images), accept_sparse="csr"))
        samples = check_matrix(estimator.sample(len(data), random_state=random_state))
        return cls(data, samples, _shape_of_images(data.shape[1], image_shape)).plot(axes=axes)

    def plot(self, *, axes=None) -> Self:
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
        self.figure_, self.axes_ = figure_and_axes(axes, ncols=2, figsize=(9, 4.8))
        both = np.concatenate([self.data, self.samples])
        low, scale = _scale(both, axis=0 if self.image_shape[0] == 1 else None)
        for ax, images, title in zip(self.axes_, (self.data, self.samples), self.titles, strict=True):
            scaled = (images - low) / scale
            _draw_images(ax, scaled, self.image_shape, cmap="gray_r", limits=(0, 1), label="row")
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
        cls, estimator, X, *, n_images: int = 64, image_shape: Shape | None = None, axes=None
    ) -> Self:
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
        rows = _head(X, n_images)
        data = dense(check_matrix(rows, accept_sparse="csr"))
        reconstructions = check_matrix(estimator.inverse_transform(np.asarray(estimator.transform(rows))))
        return cls(data, reconstructions, _shape_of_images(data.shape[1], image_shape)).plot(axes=axes)


def _head(X, n_rows: int):
    """Return the first rows of an array, a data frame or a sparse matrix, in the same container."""
    if hasattr(X, "tocsr"):
        X = X.tocsr()
    return (X.iloc if hasattr(X, "iloc") else X)[:n_rows]


def _shape_of_images(n_features: int, image_shape: Shape | None) -> Shape:
    """Return the shape of images with `n_features` pixels. Default: squares if possible, otherwise strips."""
    if image_shape is None:
        side = round(n_features**0.5)
        image_shape = (side, side) if side * side == n_features else (1, n_features)
    height, width = image_shape
    if height * width != n_features:
        raise ValueError(
            f"image_shape must have one pixel per column. image_shape={image_shape!r} has {height * width} pixels, but "
            f"there are {n_features} columns."
        )
    return height, width


def _draw_images(ax, images: NDArray, image_shape: Shape, *, cmap: str, limits: tuple[float, float], label: str):
    """Draw images in a grid, or strips of height one below each other. `label` is the axis label of strips."""
    if image_shape[0] == 1:
        ax.set(xlabel="column", ylabel=label)
        whole, aspect = images, "auto"
    else:
        ax.set_axis_off()
        whole, aspect = _mosaic(images, image_shape), "equal"
    image = ax.imshow(whole, cmap=cmap, vmin=limits[0], vmax=limits[1], interpolation="nearest", aspect=aspect)
    ax.locator_params(integer=True)
    return image


def _mosaic(images: NDArray, image_shape: Shape) -> NDArray:
    """Return one image with all images in a nearly square grid, row by row, separated by a line of nan."""
    n_columns = int(np.ceil(np.sqrt(len(images))))
    n_rows = -(-len(images) // n_columns)
    height, width = image_shape
    # Each tile has a margin of one pixel below and to the right; matplotlib leaves nan blank.
    tiles = np.full((n_rows, n_columns, height + 1, width + 1), np.nan)
    tiles.reshape(-1, height + 1, width + 1)[: len(images), :height, :width] = images.reshape(-1, height, width)
    return tiles.swapaxes(1, 2).reshape(n_rows * (height + 1), -1)[:-1, :-1]
