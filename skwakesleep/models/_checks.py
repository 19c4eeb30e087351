"""Checks that a model keeps the promises of the protocol: brief ones at every fit, thorough ones on request."""

import warnings
from collections.abc import Callable, Mapping
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.amortised.dreams import Pairs, described_params, failing_at, finite_pairs

# The methods without which there is nothing to learn from.
REQUIRED = ("n_features", "n_params", "initial_params", "sample")
SCORES = ("grad_log_joint", "natural_vjp", "grad_log_likelihood", "local_grad_log_joint")
EXPONENTIAL = ("sufficient_statistics", "natural_parameters", "natural_vjp")
LOCAL = ("local_inputs", "sample_local", "local_grad_log_joint")
UNITS = ("column_units", "params_in_units")
# Pairs drawn by the brief check.
N_PROBED = 3


class ModelError(ValueError):
    """A model gave something other than the protocol says."""


def check_protocol(model: Any, n_features: int) -> None:
    """Check that a model has what the protocol requires, and as many columns as the data.

    Raises
    ------
    TypeError
        When it is a class, or lacks a method.
    ValueError
        When it generates another number of columns, or its counts are not counts.
    """
    if isinstance(model, type):
        raise TypeError(f"model must be an instance, but {model.__name__} is a class. Did you mean {model.__name__}()?")
    missing = [name for name in REQUIRED if not hasattr(model, name)]
    if not any(hasattr(model, name) for name in SCORES):
        missing.append("grad_log_joint")
    if missing:
        raise TypeError(
            f"model {model!r} lacks {', '.join(missing)} of the protocol skwakesleep.models.GenerativeModel."
        )
    for name in ("n_features", "n_params"):
        count = getattr(model, name)
        if not isinstance(count, Integral) or isinstance(count, bool) or count < 1:
            raise ValueError(f"{name} of model {model!r} must be an int, at least 1. Got {count!r}.")
    if model.n_features != n_features:
        raise ValueError(f"X has {n_features} columns, but model {model!r} generates n_features={model.n_features}.")


class GuardedModel:
    """A model whose every call is checked: errors inside it say which call it was, results have the shapes promised.

    It has those attributes that the model has.

    Parameters
    ----------
    model : GenerativeModel
        Any model.
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    @property
    def unguarded(self) -> Any:
        """The model itself."""
        return self._model

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._model, name)
        return self._guarded(name, attribute) if callable(attribute) else attribute

    def _guarded(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        check = getattr(type(self), f"_check_{name}", None)

        def call(*args: Any) -> Any:
            try:
                with np.errstate(all="ignore"):  # what overflows shows in the result
                    result = method(*args)
            except (MemoryError, ModelError):  # not the method's own mistake
                raise
            except Exception as error:
                raise ModelError(
                    f"{self.label(name)} raised {type(error).__name__}: {error} (called with "
                    f"{', '.join(map(_description, args))})."
                ) from error
            return result if check is None else check(self, result, *args)

        return call

    def label(self, name: str) -> str:
        """Return how messages call a method."""
        return f"{type(self._model).__name__}.{name}"

    def _check_initial_params(self, theta: Any, X: NDArray, rng: Any) -> NDArray:
        return self._finite("initial_params", self._shaped("initial_params", theta, (self.n_params,)))

    def _check_sample(self, pairs: Any, theta: NDArray, n: int, rng: Any) -> tuple[Any, NDArray]:
        return self._pairs("sample", pairs, n, self.n_features)

    def _check_sample_local(self, pairs: Any, theta: NDArray, rows: NDArray, n: int, rng: Any) -> tuple[Any, NDArray]:
        return self._pairs("sample_local", pairs, n, rows.shape[1])

    def _pairs(self, name: str, pairs: Any, n: int, width: int) -> tuple[Any, NDArray]:
        if not (isinstance(pairs, tuple) and len(pairs) == 2):
            raise ModelError(f"{self.label(name)} must return a pair (z, x). Got {_description(pairs)}.")
        z, x = pairs
        parts = z if isinstance(z, tuple) else (z,)
        for part in parts:
            if not hasattr(part, "shape") or np.ndim(part) < 1 or len(part) != n:
                raise ModelError(
                    f"{self.label(name)} must return latents of leading length {n}, as an array or a tuple of arrays. "
                    f"Got {_description(part)}."
                )
        return z, self._shaped(name, x, (n, width))

    def _check_grad_log_joint(self, gradient: Any, *args: Any) -> NDArray:
        return self._shaped("grad_log_joint", gradient, (self.n_params,))

    def _check_local_grad_log_joint(self, gradient: Any, *args: Any) -> NDArray:
        return self._shaped("local_grad_log_joint", gradient, (self.n_params,))

    def _check_natural_vjp(self, gradient: Any, *args: Any) -> NDArray:
        return self._shaped("natural_vjp", gradient, (self.n_params,))

    def _check_grad_log_likelihood(self, gradient: Any, *args: Any) -> NDArray:
        return self._shaped("grad_log_likelihood", gradient, (self.n_params,))

    def _check_project(self, theta: Any, given: NDArray) -> NDArray:
        return self._shaped("project", theta, given.shape)

    def _check_sufficient_statistics(self, statistics: Any, x: NDArray) -> NDArray:
        return self._shaped("sufficient_statistics", statistics, (len(x), None))

    def _check_natural_parameters(self, natural: Any, theta: NDArray, z: Any) -> tuple[NDArray, NDArray]:
        if not (isinstance(natural, tuple) and len(natural) == 2):
            raise ModelError(
                f"{self.label('natural_parameters')} must return a pair (eta, psi). Got {_description(natural)}."
            )
        n = len(z[0] if isinstance(z, tuple) else z)
        eta, psi = natural
        return self._shaped("natural_parameters", eta, (n, None)), self._shaped("natural_parameters", psi, (n,))

    def _check_log_prob_x_given_z(self, log_prob: Any, theta: NDArray, z: Any, x: NDArray) -> NDArray:
        n = len(z[0] if isinstance(z, tuple) else z)
        return self._shaped("log_prob_x_given_z", log_prob, (n, len(x)))

    def _check_log_joint(self, log_joint: Any, theta: NDArray, z: Any, x: NDArray) -> NDArray:
        return self._shaped("log_joint", log_joint, (len(x),))

    def _check_log_likelihood(self, log_likelihood: Any, theta: NDArray, X: NDArray) -> NDArray:
        return self._shaped("log_likelihood", log_likelihood, (len(X),))

    def _check_local_inputs(self, rows: Any, X: NDArray) -> NDArray:
        return self._finite("local_inputs", self._shaped("local_inputs", rows, (None, None)))

    def _check_local_features(self, features: Any, theta: NDArray, rows: NDArray) -> NDArray:
        return self._shaped("local_features", features, (len(rows), None))

    def _check_column_units(self, units: Any, mean: NDArray, std: NDArray) -> tuple[NDArray, NDArray]:
        name = "column_units"
        if not (isinstance(units, tuple) and len(units) == 2):
            raise ModelError(f"{self.label(name)} must return a pair (location, scale). Got {_description(units)}.")
        location, scale = (self._finite(name, self._shaped(name, part, mean.shape)) for part in units)
        if (scale < 0).any():
            first = int(np.argmax(scale < 0))
            raise ModelError(
                f"{self.label(name)} must return scales of zero or more. Got {float(scale[first])!r} for column "
                f"{first}."
            )
        return location, scale

    def _check_params_in_units(self, rescaled: Any, theta: NDArray, location: NDArray, scale: NDArray) -> NDArray:
        return self._finite("params_in_units", self._shaped("params_in_units", rescaled, theta.shape))

    def _check_unpack(self, named: Any, theta: NDArray) -> Mapping[str, NDArray]:
        if not isinstance(named, Mapping):
            raise ModelError(f"{self.label('unpack')} must return a dict of arrays by name. Got {_description(named)}.")
        return named

    def _check_latent_function(self, features: Any, z: Any) -> NDArray:
        n = len(z[0] if isinstance(z, tuple) else z)
        return self._shaped("latent_function", features, (n, None))

    def _shaped(self, name: str, array: Any, expected: tuple[int | None, ...]) -> NDArray:
        """Return an array of float64 of the expected shape, None standing for any length."""
        try:
            array = np.asarray(array, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ModelError(f"{self.label(name)} must return numbers. Got {_description(array)}.") from error
        fits = array.ndim == len(expected) and all(
            length in (None, actual) for length, actual in zip(expected, array.shape, strict=True)
        )
        if not fits:
            lengths = ", ".join("any" if length is None else str(length) for length in expected)
            raise ModelError(
                f"{self.label(name)} must return an array of shape ({lengths}{',' * (len(expected) == 1)}). "
                f"Got shape {array.shape}."
            )
        return array

    def _finite(self, name: str, array: NDArray, whose: str = "") -> NDArray:
        if not np.isfinite(array).all():
            first = int(np.argwhere(~np.isfinite(array))[0, 0])
            raise ModelError(
                f"{self.label(name)} returned numbers that are not finite{whose}; the first is at {first}."
            )
        return array


def _description(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_description, value))})"
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    if isinstance(value, int | float):
        return repr(value)
    return type(value).__name__


def probe(model: GuardedModel, theta: NDArray, X: NDArray, *, local: bool) -> None:
    """Call what a training will call, on a few pairs, so that a model's mistakes show before anything is trained.

    Parameters
    ----------
    model : GuardedModel
        What is to be trained.
    theta : ndarray of shape (P,)
        Where training starts.
    X : ndarray of shape (m, D)
        The data, or the local inputs.
    local : bool
        Whether local factors are trained.

    Raises
    ------
    ValueError
        When shapes are not those promised, when more simulations fail than may, or gradients are not finite.

    Warns
    -----
    UserWarning
        When two draws with equal generators differ.
    """
    name = "sample_local" if local else "sample"

    def draw() -> tuple[Any, NDArray]:
        rng = np.random.default_rng(0)
        return model.sample_local(theta, X[:1], N_PROBED, rng) if local else model.sample(theta, N_PROBED, rng)

    pairs, again = Pairs(*draw()), draw()[1]
    with failing_at(theta):
        (z, x), _ = finite_pairs(pairs, model.label(name))
    if not np.array_equal(pairs.x, again, equal_nan=True):
        warnings.warn(
            f"{model.label(name)} draws something else from an equal generator: results will not be reproducible. "
            "Draw from the generator that is passed in, and from no other.",
            UserWarning,
            stacklevel=2,
        )
    for gradient_name, gradient in _gradients(model, theta, z, x, local):
        if not np.isfinite(gradient).all():
            raise ModelError(
                f"{model.label(gradient_name)} returned a gradient that is not finite, parameter "
                f"{np.flatnonzero(~np.isfinite(gradient))[0]}, at {described_params(theta)}."
            )


def _gradients(model: GuardedModel, theta: NDArray, z: Any, x: NDArray, local: bool) -> list[tuple[str, NDArray]]:
    weights = np.full(len(x), 1 / len(x))
    if local:
        return [("local_grad_log_joint", model.local_grad_log_joint(theta, z, x, weights))]
    gradients = []
    if hasattr(model, "grad_log_joint"):
        gradients.append(("grad_log_joint", model.grad_log_joint(theta, z, x, weights)))
    if all(hasattr(model, name) for name in EXPONENTIAL):
        eta, _ = model.natural_parameters(theta, z)
        statistics = model.sufficient_statistics(x)
        if eta.shape != statistics.shape:
            raise ModelError(
                f"{model.label('natural_parameters')} and sufficient_statistics must have equally many columns. "
                f"Got {eta.shape[1]} and {statistics.shape[1]}."
            )
        gradients.append(("natural_vjp", model.natural_vjp(theta, z, weights[:, np.newaxis] * statistics, -weights)))
    return gradients
