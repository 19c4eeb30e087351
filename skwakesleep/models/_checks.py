"""Checks at every fit: that a model has the required methods, and that each call returns the right shapes."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.amortised.dreams import Simulation, described_params, failing_at, finite_pairs, parts
from skwakesleep._engine.amortised.optional_methods import EXPONENTIAL_FAMILY, missing_methods, offers
from skwakesleep.models._methods import METHODS, Shape, arrays
from skwakesleep.models._parameters import is_count

REQUIRED = ("n_features", "n_params", "initial_params")
# One of these is required, too. Rows with inputs can only be simulated by the latter.
SIMULATIONS = ("sample", "sample_given")
# One of these gradients is required too.
GRADIENTS = ("grad_log_joint", "natural_vjp", "grad_log_likelihood", "local_grad_log_joint")
# Pairs drawn by `probe`: few, since simulations may be slow, and more than one, to find wrong shapes.
N_PROBED = 3


class ModelError(ValueError):
    """Error in the methods of a generative model.

    Raised when a method returns a wrong shape or numbers that are not finite, when it raises an error of its own, which
    is then the cause of this one, and when :func:`~skwakesleep.models.check_generative_model` finds a mistake. The
    message names the class and the method.

    See Also
    --------
    check_generative_model : Tests a model of your own.

    Examples
    --------
    >>> import numpy as np
    >>> from skwakesleep.models import LatentFactors, ModelError, check_generative_model
    >>> class Wrong(LatentFactors):
    ...     def log_joint(self, theta, z, x):
    ...         return super().log_joint(theta, z, x).sum()
    >>> model, rng = Wrong(4), np.random.default_rng(0)
    >>> try:
    ...     check_generative_model(model, rng.normal(size=model.n_params), rng)
    ... except ModelError as error:
    ...     print(error)
    Wrong.log_joint must return an array of shape (8,). Got shape ().
    """

    __module__ = "skwakesleep.models"  # the public path, which tracebacks show


def check_protocol(model: Any, n_features: int) -> None:
    """Check that a model has the required methods, and as many columns as the data.

    Raises
    ------
    TypeError
        If it is a class, or lacks a method.
    ValueError
        If it has another number of columns, or its numbers of columns and parameters are not positive ints.
    """
    if isinstance(model, type):
        raise TypeError(f"model must be an instance, but {model.__name__} is a class. Did you mean {model.__name__}()?")
    missing = missing_methods(model, REQUIRED)
    missing += [names[0] for names in (SIMULATIONS, GRADIENTS) if not any(hasattr(model, name) for name in names)]
    if missing:
        raise TypeError(
            f"model {model!r} lacks {', '.join(missing)} of the protocol skwakesleep.models.GenerativeModel."
        )
    for name in ("n_features", "n_params"):
        if not is_count(getattr(model, name)):
            raise ValueError(f"{name} of model {model!r} must be an int, at least 1. Got {getattr(model, name)!r}.")
    if model.n_features != n_features:
        n_covariates = getattr(model, "n_covariates", 0)
        inputs = f" and is given n_covariates={n_covariates}" if n_covariates else ""
        raise ValueError(
            f"X has {n_features} columns, but model {model!r} generates n_features={model.n_features - n_covariates}"
            f"{inputs}."
        )


class GuardedModel:
    """A model whose every call is checked: errors name the method, and results have the shapes in the table of methods.

    It has the same attributes as the model.

    Parameters
    ----------
    model : GenerativeModel
        Any model.
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    def __getattr__(self, name: str) -> Any:
        # Python calls this for names that the guard itself does not have: those of the model.
        attribute = getattr(self._model, name)
        return partial(self._call, name, attribute) if callable(attribute) else attribute

    def _call(self, name: str, method: Callable[..., Any], *args: Any) -> Any:
        try:
            with np.errstate(all="ignore"):  # an overflow shows in the result
                result = method(*args)
        except (MemoryError, ModelError):  # not a mistake of this method
            raise
        except Exception as error:
            called_with = ", ".join(map(_description, args))
            raise ModelError(
                f"{self.label(name)} raised {type(error).__name__}: {error} (called with {called_with})."
            ) from error
        return self._checked(name, result, args) if name in METHODS else result

    def label(self, name: str) -> str:
        """Return the name of a method as it is in messages."""
        return f"{getattr(self._model, 'class_name', type(self._model).__name__)}.{name}"

    def _checked(self, name: str, result: Any, args: tuple[Any, ...]) -> Any:
        """Return the result of a method as arrays of float64 with the shapes of the table; latents stay as they are."""
        if name == "unpack":
            if not isinstance(result, Mapping):
                raise self._wrong(name, "a dict of arrays by name", _description(result))
            return result
        returned = arrays(METHODS[name].returns)
        results = (result,) if len(returned) == 1 else result
        if not (isinstance(results, tuple) and len(results) == len(returned)):
            raise self._wrong(name, f"a pair ({', '.join(returned)})", _description(result))
        sizes = {"P": self.n_params, "D": self.n_features} | _sizes(arrays(METHODS[name].arguments), args)
        checked = tuple(
            self._latents(name, value, sizes["n"])
            if "..." in shape
            else self._array(name, value, tuple(sizes.get(size, "any") for size in shape))
            for shape, value in zip(returned.values(), results, strict=True)
        )
        if name == "column_units":
            self._check_scale(name, checked[1])
        return checked if len(checked) > 1 else checked[0]

    def _wrong(self, name: str, expected: str, got: str) -> ModelError:
        return ModelError(f"{self.label(name)} must return {expected}. Got {got}.")

    def _latents(self, name: str, z: Any, n: int) -> Any:
        for part in parts(z):
            if getattr(part, "shape", ())[:1] != (n,):
                expected = f"latents of leading length {n}, as an array or a tuple of arrays"
                raise self._wrong(name, expected, _description(part))
        return z

    def _array(self, name: str, array: Any, expected: tuple[int | str, ...]) -> NDArray:
        """Return an array of float64 of the expected shape, in which "any" stands for any length."""
        try:
            array = np.asarray(array, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise self._wrong(name, "numbers", _description(array)) from error
        fits = array.ndim == len(expected) and all(
            length in ("any", actual) for length, actual in zip(expected, array.shape, strict=True)
        )
        if not fits:
            shape = f"({', '.join(map(str, expected))}{',' * (len(expected) == 1)})"
            raise self._wrong(name, f"an array of shape {shape}", f"shape {array.shape}")
        if METHODS[name].finite and not np.isfinite(array).all():
            first = int(np.argwhere(~np.isfinite(array))[0, 0])
            raise ModelError(f"{self.label(name)} returned numbers that are not finite; the first is at {first}.")
        return array

    def _check_scale(self, name: str, scale: NDArray) -> None:
        if (scale < 0).any():
            first = int(np.argmax(scale < 0))
            raise self._wrong(name, "scales of zero or more", f"{float(scale[first])!r} for column {first}")


def _sizes(arguments: Mapping[str, Shape], args: tuple[Any, ...]) -> dict[str, int]:
    """Return the sizes in the arguments of a call: ``n`` by its value, the others from the shapes of arrays."""
    sizes: dict[str, int] = {}
    for (name, shape), value in zip(arguments.items(), args, strict=False):
        # An argument without a shape, as n, stands for itself.
        sizes |= zip(shape, np.shape(parts(value)[0]), strict=False) if shape else {name: value}
    return sizes


def _description(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_description, value))})"
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    if isinstance(value, int | float):
        return repr(value)
    return type(value).__name__


def probe(model: GuardedModel, theta: NDArray, rows: NDArray, simulation: Simulation) -> None:
    """Call the methods that training uses on a few pairs, to find mistakes of a model before training.

    Parameters
    ----------
    model : GuardedModel
        The model to train.
    theta : ndarray of shape (P,)
        Parameters at the start of training.
    rows : ndarray of shape (m, D)
        The data, or the local inputs.
    simulation : Simulation
        Simulates for such rows.

    Raises
    ------
    ModelError
        If a shape is wrong, or a gradient is not finite.
    FailedSimulationsError
        If too many simulations are not finite.

    Warns
    -----
    UserWarning
        If two draws with equal generators differ.
    """
    given, label = simulation.spread(rows, N_PROBED, np.random.default_rng(0)), model.label(simulation.source)
    # Equal generators: a difference comes from another source of random numbers.
    pairs, again = (simulation.draw(theta, N_PROBED, given, np.random.default_rng(0)) for _ in range(2))
    with failing_at(theta):
        (z, x), _ = finite_pairs(pairs, label, simulation.missing(given))
    if not np.array_equal(pairs.x, again.x, equal_nan=True):
        warnings.warn(
            f"{label} draws something else from an equal generator: results will not be reproducible. "
            "Draw from the generator that is passed in, and from no other.",
            stacklevel=2,
        )
    for name, gradient in mean_scores(model, theta, z, x, local=simulation.local):
        if not np.isfinite(gradient).all():
            raise ModelError(
                f"{model.label(name)} returned a gradient that is not finite, parameter "
                f"{np.flatnonzero(~np.isfinite(gradient))[0]}, at {described_params(theta)}."
            )


def mean_scores(
    model: GuardedModel, theta: NDArray, z: Any, x: NDArray, *, local: bool = False
) -> Iterator[tuple[str, NDArray]]:
    """Yield the mean score of some pairs by each method that computes it, with the name of the method."""
    weights = np.full(len(x), 1 / len(x))
    name = "local_grad_log_joint" if local else "grad_log_joint"
    if hasattr(model, name):
        yield name, getattr(model, name)(theta, z, x, weights)
    if not local and offers(model, EXPONENTIAL_FAMILY):
        _, statistics = natural_form(model, theta, z, x)
        yield "natural_vjp", model.natural_vjp(theta, z, weights[:, np.newaxis] * statistics, -weights)


def natural_form(model: GuardedModel, theta: NDArray, z: Any, x: NDArray) -> tuple[tuple[NDArray, NDArray], NDArray]:
    """Return natural parameters and sufficient statistics, after a check that they have equally many columns."""
    natural, statistics = model.natural_parameters(theta, z), model.sufficient_statistics(x)
    if natural[0].shape != statistics.shape:
        raise ModelError(
            f"{model.label('natural_parameters')} and sufficient_statistics must have equally many columns. "
            f"Got {natural[0].shape[1]} and {statistics.shape[1]}."
        )
    return natural, statistics
