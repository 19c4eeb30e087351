"""Figures, axes and marks of the displays."""

from typing import Any

import numpy as np

# Adjusted p-values below this are marked. Marks differ in shape too, for prints without color.
LEVEL = 0.05
PLAIN: dict[str, Any] = {"marker": "o", "markersize": 5, "color": "tab:blue"}
MARKED: dict[str, Any] = {"marker": "D", "markersize": 5, "color": "tab:red"}


def figure_and_axes(axes, **options) -> tuple:
    """Return a figure and its axes: those given, or new ones that `matplotlib.pyplot.subplots` makes with options."""
    if axes is None:
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError(
                "Displays need matplotlib, which is not installed. Install it with: pip install 'skwakesleep[plot]'"
            ) from error
        _, axes = plt.subplots(**options, layout="constrained")
    return np.ravel(axes)[0].figure, axes  # one or several
