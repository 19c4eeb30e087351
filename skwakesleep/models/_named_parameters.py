"""Declared parameters by name: their fixed entries, and their places in one flat vector."""

from collections.abc import Iterator, Mapping
from keyword import iskeyword
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skwakesleep._engine.arrays.numerics import RELATIVE_STEP, differences
from skwakesleep.models._declared_parameter import Parameter, checked, shaped


class Place:
    """A declared parameter, its fixed entries, and how it is part of the flat vector.

    Parameters
    ----------
    parameter : Parameter
        The declaration.
    fixed : ndarray
        Fixed values; NaN where an entry is free.

    Attributes
    ----------
    size : int
        Number of unconstrained numbers in the flat vector.
    """

    def __init__(self, parameter: Parameter, fixed: NDArray) -> None:
        self.parameter = parameter
        self._fixed = fixed
        free = np.isnan(fixed)
        self._kept = free if parameter.elementwise else np.full(parameter.free_shape, free.any())
        self.size = int(self._kept.sum())

    def value(self, part: NDArray) -> NDArray:
        """Return the value, given the part of the flat vector."""
        if self.size == 0:
            return self._fixed.copy()
        return np.where(np.isnan(self._fixed), self.parameter.value(self._whole(part)), self._fixed)

    def part(self, value: ArrayLike, label: str) -> NDArray:
        """Return the part of the flat vector, given a value; fixed entries are ignored.

        Raises
        ------
        ValueError
            With `label`, if the value is not admitted.
        """
        value = np.where(np.isnan(self._fixed), shaped(self.parameter, value, label), _inside(self.parameter))
        return self.parameter.free(checked(self.parameter, value, label))[self._kept]

    def pullback(self, part: NDArray, gradient: NDArray) -> NDArray:
        """Return the gradient in the part of the flat vector, given that in the value."""
        return self.parameter.pullback(self._whole(part), gradient)[self._kept]

    def log_prior(self, part: NDArray) -> float:
        """Return the log prior of the value, in nats; zero if there is none, or all is fixed."""
        return float(np.sum(self._log_densities(part))) if self.has_prior else 0.0

    def grad_log_prior(self, part: NDArray) -> NDArray:
        """Return the gradient of the log prior in the part of the flat vector, by central differences."""
        if not self.has_prior:
            return np.zeros(self.size)
        steps = RELATIVE_STEP * np.maximum(1.0, np.abs(part))
        change = self._log_densities(part + steps) - self._log_densities(part - steps)
        if self.parameter.elementwise and change.shape == self.parameter.shape:
            return change[self._kept] / (2 * steps)  # entries are independent: one difference serves all

        def total(end: NDArray) -> NDArray:
            return np.sum(self._log_densities(end))

        return np.array([change / length for change, length in differences(total, part)])

    @property
    def has_prior(self) -> bool:
        """Whether the prior has an effect."""
        return self.parameter.prior is not None and self.size > 0

    def _log_densities(self, part: NDArray) -> NDArray:
        return np.asarray(self.parameter.prior.logpdf(self.value(part)))

    def _whole(self, part: NDArray) -> NDArray:
        """Return all unconstrained numbers. Those of fixed entries, on which no others depend, are zero."""
        whole = np.zeros(self.parameter.free_shape)
        whole[self._kept] = part
        return whole


class NamedParameters:
    """All parameters of a model by name, in the order of the flat vector.

    Parameters
    ----------
    owner : str
        Name of the class of the model, for messages.
    declared : Mapping of str to Parameter
        The declarations.
    fixed : Mapping of str to array-like
        Values that are not fitted; NaN where an entry is.

    Raises
    ------
    TypeError, ValueError
        If a declaration or a fixed value is not valid. The message names the parameter.
    """

    def __init__(self, owner: str, declared: Any, fixed: Mapping[str, ArrayLike]) -> None:
        self.owner = owner
        _check_declared(owner, declared)
        if unknown := fixed.keys() - declared.keys():
            raise ValueError(f"fixed has the name {min(unknown)!r}, but {owner} declares {', '.join(declared)}.")
        values = {name: _fixed_value(name, declared[name], fixed.get(name, np.nan)) for name in declared}
        self._places = {name: Place(declared[name], value) for name, value in values.items()}
        if self.size == 0:
            raise ValueError(f"fixed={dict(fixed)!r} leaves no parameter of {owner} to fit.")

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def items(self) -> Iterator[tuple[str, Parameter]]:
        """Yield the parameters with their names."""
        return ((name, place.parameter) for name, place in self._places.items())

    def __getitem__(self, name: str) -> Parameter:
        return self._places[name].parameter

    @property
    def size(self) -> int:
        """Number of unconstrained numbers in the flat vector."""
        return sum(place.size for place in self._places.values())

    @property
    def free(self) -> list[str]:
        """Names of the parameters that are not fixed."""
        return [name for name, place in self._places.items() if place.size]

    @property
    def have_priors(self) -> bool:
        """Whether a parameter has a prior."""
        return any(place.has_prior for place in self._places.values())

    def values(self, theta: NDArray) -> dict[str, Any]:
        """Return arrays and numbers by name, given the flat vector."""
        # An index of () makes a number of an array without axes, and leaves others as they are.
        return {name: place.value(part)[()] for name, place, part in self._parts(theta)}

    def flat(self, values: Mapping[str, ArrayLike], label: str) -> NDArray:
        """Return the flat vector, given values by name.

        Raises
        ------
        ValueError
            If a name is missing or unknown, or if a value is not admitted.
        """
        self._check_names(values, label)
        return np.concatenate([self._places[name].part(values[name], f"{name!r} of {label}") for name in self.free])

    def pullback(self, theta: NDArray, gradient: Mapping[str, ArrayLike], label: str) -> NDArray:
        """Return the gradient in the flat vector, given gradients by name.

        Raises
        ------
        ValueError
            If a name is missing or unknown, or if a gradient is of another shape than its parameter.
        """
        self._check_names(gradient, label)
        pulled = []
        for name, place, part in self._parts(theta):
            if place.size:
                array = np.asarray(gradient[name], dtype=np.float64)
                if array.shape != self[name].shape:
                    raise ValueError(f"{name!r} of {label} must have shape {self[name].shape}. Got {array.shape}.")
                pulled.append(place.pullback(part, array))
        return np.concatenate(pulled)

    def log_prior(self, theta: NDArray, name: str | None = None) -> float:
        """Return the sum of the log priors, or that of one parameter, in nats."""
        return sum(place.log_prior(part) for key, place, part in self._parts(theta) if name in (None, key))

    def grad_log_prior(self, theta: NDArray) -> NDArray:
        """Return the gradient of the log priors in the flat vector."""
        return np.concatenate([place.grad_log_prior(part) for _, place, part in self._parts(theta)])

    def _parts(self, theta: NDArray) -> Iterator[tuple[str, Place, NDArray]]:
        parts = np.split(theta, np.cumsum([place.size for place in self._places.values()])[:-1])
        for (name, place), part in zip(self._places.items(), parts, strict=True):
            yield name, place, part

    def _check_names(self, values: Any, label: str) -> None:
        if not isinstance(values, Mapping):
            raise ValueError(f"{label} must be a dict by name. Got {type(values).__name__}.")
        if missing := [name for name in self.free if name not in values]:
            raise ValueError(f"{label} lack {missing[0]!r}. {self.owner} declares {', '.join(self)}.")
        if unknown := values.keys() - self._places.keys():
            raise ValueError(f"{label} have the name {min(unknown)!r}, but {self.owner} declares {', '.join(self)}.")


def _check_declared(owner: str, declared: Any) -> None:
    if not isinstance(declared, Mapping) or not declared:
        raise TypeError(
            f"parameters of {owner} must be a dict of parameters, such as Real(), by name. Got {declared!r}."
        )
    for name, parameter in declared.items():
        if not isinstance(name, str) or not name.isidentifier() or iskeyword(name) or name.startswith("_"):
            raise ValueError(f"The name {name!r} of a parameter of {owner} must be a Python name without leading '_'.")
        if isinstance(parameter, type) and issubclass(parameter, Parameter):
            raise TypeError(
                f"Parameter {name!r} of {owner} is the class {parameter.__name__}. Did you mean {parameter.__name__}()?"
            )
        if not isinstance(parameter, Parameter):
            raise TypeError(f"Parameter {name!r} of {owner} must be one such as Real(). Got {parameter!r}.")


def _fixed_value(name: str, parameter: Parameter, value: ArrayLike) -> NDArray:
    """Return the fixed value of a parameter, with NaN where it is free."""
    label = f"{name!r} of fixed"
    fixed = shaped(parameter, value, label)
    free = np.isnan(fixed)
    if free.all():
        return fixed
    if free.any() and not parameter.elementwise:
        raise ValueError(f"{label} must be fixed as a whole, because it is {parameter.expected}. Got {value!r}.")
    checked(parameter, np.where(free, _inside(parameter), fixed), label, limits=True)
    return fixed


def _inside(parameter: Parameter) -> NDArray:
    """Return a value that the constraint admits."""
    return parameter.value(np.zeros(parameter.free_shape))
