"""Helpers of the displays: figures, axes and mosaics of images."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skwakesleep._adapters.tables import check_matrix


def pyplot() -> Any:
    """Import and return `matplotlib.pyplot`."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "Displays need matplotlib, which is not installed. Install it with: pip install 'skwakesleep[plot]'"
        ) from error
    return plt


def figure_and_axes(ax: Any) -> tuple[Any, Any]:
    """Return a figure and the axes to draw on."""
    if ax is None:
        _, ax = pyplot().subplots(layout="constrained")
    return ax.figure, ax


def figure_and_pair(axes: Any) -> tuple[Any, Any]:
    """Return a figure and the two axes to draw on."""
    if axes is None:
        _, axes = pyplot().subplots(1, 2, figsize=(9, 4.8), layout="constrained")
    return axes[0].figure, axes


def head(X: Any, n_rows: int) -> Any:
    """Return the first rows of an array, a data frame or a sparse matrix, in the same container."""
    if hasattr(X, "tocsr"):
        X = X.tocsr()
    return (X.iloc if hasattr(X, "iloc") else X)[:n_rows]


def dense(X: Any) -> NDArray:
    """Return the rows as a dense float array."""
    X = check_matrix(X, accept_sparse="csr")
    return X if isinstance(X, np.ndarray) else X.toarray()


def shape_of_images(n_features: int, image_shape: tuple[int, int] | None) -> tuple[int, int]:
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


def draw_images(ax: Any, images: NDArray, image_shape: tuple[int, int], *, cmap: str, limits: Any, label: str) -> Any:
    """Draw images in a grid, or strips of height one below each other. `label` is the axis label of strips."""
    if image_shape[0] == 1:
        ax.set(xlabel="column", ylabel=label)
        whole, aspect = images, "auto"
    else:
        ax.set_axis_off()
        whole, aspect = mosaic(images, image_shape), "equal"
    image = ax.imshow(whole, cmap=cmap, vmin=limits[0], vmax=limits[1], interpolation="nearest", aspect=aspect)
    ax.locator_params(integer=True)
    return image


def mosaic(images: NDArray, image_shape: tuple[int, int]) -> NDArray:
    """Return one image with all images in a nearly square grid, row by row, separated by a line of nan."""
    n_columns = int(np.ceil(np.sqrt(len(images))))
    n_rows = -(-len(images) // n_columns)
    height, width = image_shape
    tiles = np.full((n_rows, n_columns, height + 1, width + 1), np.nan)
    tiles.reshape(-1, height + 1, width + 1)[: len(images), :height, :width] = images.reshape(-1, height, width)
    return tiles.swapaxes(1, 2).reshape(n_rows * (height + 1), -1)[:-1, :-1]
