"""Bases of the models of this package: parameters as scikit-learn handles them, and named arrays."""

from collections.abc import Iterable
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from skwakesleep.models._parameters import same_model


class Model(BaseEstimator):
    """A model with parameters that can be read, set, cloned and compared.

    A constructor checks its arguments and stores them unchanged, as scikit-learn's `clone` requires. Everything else is
    derived from them by properties, so that it follows them when they are set.
    """

    def set_params(self, **params: Any) -> "Model":
        """Set parameters of the model.

        Parameters
        ----------
        **params : object
            Parameters of the constructor by name. They are checked as there; the model keeps its parameters if
            one is not valid.

        Returns
        -------
        self : Model
            The model.

        Raises
        ------
        ValueError
            If there is no parameter of a name, or its value is not valid.

        Examples
        --------
        >>> from skwakesleep.models import LatentFactors
        >>> LatentFactors(6, 1).set_params(n_components=3).n_params
        30
        """
        valid = self.get_params(deep=False)
        for name in params:
            if name not in valid:
                raise ValueError(f"{type(self).__name__} has no parameter {name!r}. Its parameters are {list(valid)}.")
        # Checks all parameters together, before any is changed.
        self.__dict__ = type(self)(**{**valid, **params}).__dict__
        return self

    def __eq__(self, other: object) -> bool:
        return same_model(self, other) if type(self) is type(other) else NotImplemented

    def __hash__(self) -> int:
        # Parameters can be set, and can be arrays: equal models have the same class at any time, and nothing more.
        return hash(type(self))


class NamedArrays:
    """Parameters in one flat vector, which is cut into named arrays. A subclass has `_shapes`."""

    @property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each array by name, in the order of the vector."""
        raise NotImplementedError

    @property
    def n_params(self) -> int:
        """Number of parameters."""
        return sum(prod(map(int, shape)) for shape in self._shapes.values())

    def unpack(self, theta: NDArray) -> dict[str, NDArray]:
        """Return views of the parameters, by name.

        Parameters
        ----------
        theta : ndarray of shape (n_params,)
            Flat parameters.

        Returns
        -------
        views : dict of str to ndarray
            Writing to a view writes to `theta`.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep.simulators import HodgkinHuxley
        >>> HodgkinHuxley().unpack(np.arange(6.0))
        {'means': array([0., 1., 2.]), 'log_scales': array([3., 4., 5.])}
        """
        # Pieces of a split and reshapes of them are views.
        shapes = self._shapes
        parts = np.split(theta, np.cumsum([prod(shape) for shape in shapes.values()])[:-1])
        return {name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}

    def pack(self, **arrays: NDArray) -> NDArray:
        """Return the flat vector of named parameters: the inverse of `unpack`.

        Parameters
        ----------
        **arrays : array-like
            Every parameter by name; a number fills the whole array.

        Returns
        -------
        theta : ndarray of shape (n_params,), float64
            Flat parameters.

        Raises
        ------
        TypeError
            When a name is missing or unknown.

        Examples
        --------
        >>> from skwakesleep.simulators import HodgkinHuxley
        >>> HodgkinHuxley().pack(means=0.0, log_scales=[-1.0, -2.0, -3.0])
        array([ 0.,  0.,  0., -1., -2., -3.])
        """
        if arrays.keys() != self._shapes.keys():
            raise TypeError(f"expected the parameters {sorted(self._shapes)}. Got {sorted(arrays)}.")
        theta = np.empty(self.n_params)
        for name, view in self.unpack(theta).items():
            view[...] = arrays[name]
        return theta

    def _clipped(self, theta: NDArray, **bounds: Iterable[float]) -> NDArray:
        """Return the parameters with the named arrays between their lower and upper bound."""
        theta = theta.copy()
        parameters = self.unpack(theta)
        for name, limits in bounds.items():
            np.clip(parameters[name], *limits, out=parameters[name])
        return theta
