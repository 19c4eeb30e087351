"""Generative weights as images."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from skwakesleep._engine.machine.columns import KINDS
from skwakesleep.plotting._drawing import draw_images, figure_and_axes, shape_of_images


class ComponentsDisplay:
    """The bottom generative weights as images: what each hidden unit adds to the picture.

    Parameters
    ----------
    components : ndarray of shape (n_components, n_features)
        Weights.
    image_shape : tuple of int
        Height and width of the images, with ``height * width == n_features``. Those of height one
        are drawn as strips: ``(1, n_features)`` shows a table.
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
            Height and width of the images; by default they are square, or where columns make no square, strips of
            one pixel in height, one below the other.
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
            If the columns do not fill images of the given shape.

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
        unit = KINDS[getattr(estimator, "visible_", "bernoulli")].family.natural_unit
        return cls(components[strongest], shape_of_images(components.shape[1], image_shape), unit).plot(ax=ax)

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
        self.figure_, self.ax_ = figure_and_axes(ax)
        limit = np.abs(self.components).max() or 1.0
        self.image_ = draw_images(
            self.ax_, self.components, self.image_shape, cmap="RdBu_r", limits=(-limit, limit), label="hidden unit"
        )
        self.figure_.colorbar(self.image_, ax=self.ax_, shrink=0.8, label=f"weight ({self.unit})")
        n_units = len(self.components)
        self.ax_.set_title(f"Generative weights of {n_units} hidden unit{'s' if n_units > 1 else ''}")
        return self
