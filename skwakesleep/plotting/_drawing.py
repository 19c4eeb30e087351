"""Axes to draw on, and mosaics of images."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def pyplot() -> Any:
    """Import matplotlib, now that something is to be drawn, or say how to install it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("Displays need matplotlib. Install it with: pip install 'skwakesleep[plot]'") from error
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


def dense(X: Any) -> NDArray:
    """Return the rows as a float array, sparse ones too."""
    return np.asarray(X.toarray() if hasattr(X, "toarray") else X, dtype=float)


def shape_of_images(n_features: int, image_shape: tuple[int, int] | None) -> tuple[int, int]:
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


def draw_mosaic(ax: Any, images: NDArray, image_shape: tuple[int, int], *, cmap: str, limits: Any) -> Any:
    """Draw images row by row in a grid as square as can be, a thin gap between them."""
    n_columns = int(np.ceil(np.sqrt(len(images))))
    n_rows = -(-len(images) // n_columns)
    height, width = image_shape
    mosaic = np.full((n_rows, n_columns, height + 1, width + 1), np.nan)
    mosaic.reshape(-1, height + 1, width + 1)[: len(images), :height, :width] = images.reshape(-1, height, width)
    whole = mosaic.swapaxes(1, 2).reshape(n_rows * (height + 1), -1)[:-1, :-1]
    ax.set_axis_off()
    return ax.imshow(whole, cmap=cmap, vmin=limits[0], vmax=limits[1], interpolation="nearest")
