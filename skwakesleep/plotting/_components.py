"""Generative weights as images."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from skwakesleep._engine.machine.columns import KINDS
from skwakesleep.plotting._drawing import draw_images, figure_and_axes, shape_of_images


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
            If the number of columns is not that of the pixels of an image.

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
        unit = KINDS[getattr(estimator, "visible_", "bernoulli")].family.natural_unit
        return cls(components[largest], shape_of_images(components.shape[1], image_shape), unit).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> "ComponentsDisplay":
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
        self.image_ = draw_images(
            self.ax_, self.components, self.image_shape, cmap="RdBu_r", limits=(-limit, limit), label="hidden unit"
        )
        self.figure_.colorbar(self.image_, ax=self.ax_, shrink=0.8, label=f"weight ({self.unit})")
        n_units = len(self.components)
        self.ax_.set_title(f"Generative weights of {n_units} hidden unit{'s' if n_units > 1 else ''}")
        return self
