"""All parameters in one flat vector, with named views into it."""

from collections.abc import Collection
from math import prod

import numpy as np
from numpy.typing import NDArray

Shapes = dict[str, tuple[int, ...]]
Views = dict[str, NDArray]


class ParameterLayout:
    """The place of each named array in the flat vector.

    Optimizer, early stopping, averaging and persistence work on one array; the learning rule and the user see its parts
    by name.

    Parameters
    ----------
    groups : dict of str to (dict of str to tuple of int)
        For each group (a layer) the shapes of its arrays, in the order they are laid out.
    """

    def __init__(self, groups: dict[str, Shapes]) -> None:
        self.groups = groups
        self.size = sum(prod(shape) for shapes in groups.values() for shape in shapes.values())

    def views(self, flat: NDArray) -> dict[str, Views]:
        """Return the views of `flat`, by group and by name."""
        bound: dict[str, Views] = {}
        start = 0
        for group, shapes in self.groups.items():
            bound[group] = {}
            for name, shape in shapes.items():
                stop = start + prod(shape)
                bound[group][name] = flat[start:stop].reshape(shape)
                start = stop
        return bound

    def mask(self, wanted: Collection[str], dtype: np.dtype) -> NDArray:
        """Return a flat vector of ones where the array's name is in `wanted`, zeros elsewhere."""
        flat = np.zeros(self.size, dtype)
        for views in self.views(flat).values():
            for name in views.keys() & wanted:
                views[name][...] = 1
        return flat
