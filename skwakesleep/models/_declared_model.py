"""Models that declare their parameters, as models with one flat vector of unconstrained parameters."""

from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.metaestimators import available_if

from skwakesleep._engine.amortised.optional_methods import COLUMN_UNITS, EXPONENTIAL_FAMILY
from skwakesleep._engine.arrays.numerics import differences
from skwakesleep.models._checks import GuardedModel, ModelError
from skwakesleep.models._methods import METHODS, arrays
from skwakesleep.models._named_parameters import NamedParameters

# Standard deviation of the unconstrained numbers at a start that is not declared; it breaks symmetries.
START_SPREAD = 0.1
# Priors and fixed values are in the units of the columns, so these are not standardized. Scores are made for the model.
HIDDEN = (*COLUMN_UNITS, "scores")
# Methods that draw or take latents without their covariates.
WITHOUT_COVARIATES = ("sample", *EXPONENTIAL_FAMILY)


def is_declared(model: Any) -> bool:
    """Return whether a model declares its parameters."""
    return not isinstance(model, type) and getattr(model, "parameters", None) is not None


def flat_model(model: Any, fixed: dict[str, Any] | None = None) -> Any:
    """Return a model with flat parameters: a declared one is wrapped, others are returned as they are.

    Raises
    ------
    TypeError, ValueError
        If the declaration or the fixed values are not valid, or if values are fixed and nothing is declared.
    """
    if is_declared(model):
        return DeclaredModel(model, fixed)
    if fixed:
        raise TypeError(
            f"fixed={fixed!r} needs a model that declares its parameters by name, but {model!r} has no `parameters`. "
            "Set fixed=None."
        )
    return model


def declared_model(model: Any) -> Any:
    """Return the user's model, given one with flat parameters."""
    return model.declared if isinstance(model, DeclaredModel) else model


class DeclaredModel:
    """A model whose parameters are one flat vector, from a model that declares them by name.

    Each method of the declared model is called with a named tuple of values in place of the flat vector. Gradients by
    name become gradients in the flat vector. If the model has covariates, which are the last columns of each row, the
    methods that get rows get these as a last argument.

    Parameters
    ----------
    declared : object
        The model. It has ``parameters``, a dict of `Parameter` by name or a method that returns one; ``n_features``;
        ``sample``; and either ``log_joint`` or ``grad_log_joint``. The attributes ``n_covariates`` and ``allow_nan``,
        and the other methods in the table of methods, are optional.
    fixed : dict of str to array-like or None, default=None
        Values that are not fitted, by name; NaN where an entry is to be fitted.

    Attributes
    ----------
    class_name : str
        Name of the class of the declared model, for messages.
    named : NamedParameters
        The parameters.
    n_covariates : int
        Number of columns of a row that are inputs of the simulation: the last ones.
    """

    def __init__(self, declared: Any, fixed: dict[str, Any] | None = None) -> None:
        self.declared = declared
        self.fixed = fixed
        self.class_name = type(declared).__name__
        parameters = declared.parameters() if callable(declared.parameters) else declared.parameters
        self.named = NamedParameters(self.class_name, parameters, fixed or {})
        self._params: Any = namedtuple("Params", self.named)  # type: ignore[misc]
        self.n_covariates = getattr(declared, "n_covariates", 0)
        if not isinstance(self.n_covariates, int | np.integer) or self.n_covariates < 0:
            raise ValueError(
                f"n_covariates of {self.class_name} must be an int, at least 0. Got {self.n_covariates!r}."
            )

    def __repr__(self) -> str:
        return repr(self.declared) + (f" with fixed={self.fixed!r}" if self.fixed else "")

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return what two equal models share."""
        return {"declared": self.declared, "fixed": self.fixed}

    @property
    def n_params(self) -> int:
        """Number of unconstrained parameters that are not fixed."""
        return self.named.size

    @property
    def n_features(self) -> int:
        """Number of columns of a row, covariates included."""
        return self.declared.n_features + self.n_covariates

    def params(self, theta: NDArray) -> Any:
        """Return the values of the parameters as the declared model gets them."""
        return self._params(**self.named.values(theta))

    def unpack(self, theta: NDArray) -> dict[str, Any]:
        """Return the values of the parameters by name."""
        return self.named.values(theta)

    def pack(self, values: Mapping[str, ArrayLike], label: str = "values") -> NDArray:
        """Return the flat vector of values by name; raise ValueError with `label` if one is not admitted."""
        with np.errstate(all="ignore"):  # fixed entries may be at a limit, where unconstrained numbers are infinite
            return self.named.flat(values, label)

    def initial_params(self, X: NDArray, rng: np.random.Generator) -> NDArray:
        """Return the flat vector to start from: the model's ``initial_params``, declared starts, or random numbers."""
        label = f"values of {self.class_name}.initial_params"
        values = self.named.values(START_SPREAD * rng.standard_normal(self.n_params))
        values |= {name: self.named[name].start for name in self.named if self.named[name].start is not None}
        if hasattr(self.declared, "initial_params"):
            x, *covariates = self._split(X)
            given = self.declared.initial_params(x, rng, *covariates)
            if not isinstance(given, Mapping):
                raise ModelError(f"{self.class_name}.initial_params must return values by name. Got {given!r}.")
            values |= given
        with errors_of_model():
            theta = self.pack(values, label)
        for name in self.named:
            if not np.isfinite(self.named.log_prior(theta, name)):
                raise ModelError(
                    f"The log prior of {name!r} of {self.class_name} is not finite at the start {values[name]}."
                )
        return theta

    # ------------------------------------------------------------------ methods of the declared model

    def __getattr__(self, name: str) -> Any:
        # Python calls this for names that this class does not have, and for methods below that are not available.
        if name.startswith("_") or name in HIDDEN or (self.n_covariates and name in WITHOUT_COVARIATES):
            raise AttributeError(name)
        attribute = getattr(self.declared, name)
        return partial(self._call, name, attribute) if name in METHODS else attribute

    def _call(self, name: str, method: Callable[..., Any], *args: Any) -> Any:
        """Call a method of the declared model, with its own form of arguments and results."""
        named: dict[str, Any] = dict(zip(arrays(METHODS[name].arguments), args, strict=True))
        covariates: list[NDArray] = []
        for rows in named.keys() & {"x", "X"}:
            named[rows], *covariates = self._split(named[rows])
        theta: Any = named.get("theta")
        if theta is not None:
            named["theta"] = self.params(theta)
        result, returned = method(*named.values(), *covariates), arrays(METHODS[name].returns)
        label = f"{self.class_name}.{name}"
        with errors_of_model():
            if "theta" in returned:
                return self.pack(result, f"values of {label}")
            if "gradient" in returned:
                by_name = result._asdict() if isinstance(result, self._params) else result
                return self.named.pullback(theta, by_name, f"gradients of {label}")
        return result

    def _split(self, rows: NDArray) -> list[NDArray]:
        """Return the observations in rows and, if there are any, the covariates."""
        return np.split(rows, [-self.n_covariates], axis=1) if self.n_covariates else [rows]

    # ------------------------------------------------------------------ methods that are made for it

    @available_if(lambda self: self.n_covariates > 0)
    def sample_given(self, theta: NDArray, rows: NDArray, rng: np.random.Generator) -> tuple[Any, NDArray]:
        """Return pairs simulated for the covariates of rows, which are the last columns of the result, too."""
        covariates = self._split(rows)[1]
        z, x = self.declared.sample(self.params(theta), len(rows), rng, covariates)
        shape = (len(rows), self.declared.n_features)
        if np.shape(x) != shape:
            raise ModelError(f"{self.class_name}.sample must return x of shape {shape}. Got shape {np.shape(x)}.")
        return z, np.hstack([x, covariates])

    @available_if(lambda self: self._needs_differences)
    def scores(self, theta: NDArray, z: Any, x: NDArray) -> NDArray:
        """Return the score of each pair, by central differences of the log joint."""
        log_joint = GuardedModel(self).log_joint  # which checks the shape
        changes = differences(lambda end: log_joint(end, z, x), theta)
        return np.stack([change / length for change, length in changes], axis=1)

    @available_if(lambda self: self._needs_differences)
    def grad_log_joint(self, theta: NDArray, z: Any, x: NDArray, weights: NDArray) -> NDArray:
        """Return the weighted sum of scores, by central differences of the log joint."""
        return weights @ self.scores(theta, z, x)

    @available_if(lambda self: self._has_prior)
    def log_prior_params(self, theta: NDArray) -> float:
        """Return the log-density of the values of the parameters, in nats."""
        return self.named.log_prior(theta) + float(self._own_log_prior(theta))

    @available_if(lambda self: self._has_prior)
    def grad_log_prior_params(self, theta: NDArray) -> NDArray:
        """Return the gradient of the log prior in the flat vector."""
        gradient = self.named.grad_log_prior(theta)
        if hasattr(self.declared, "log_prior_params"):
            changes = differences(self._own_log_prior, theta)
            gradient += np.array([change / length for change, length in changes])
        return gradient

    def _own_log_prior(self, theta: NDArray) -> NDArray:
        has_own = hasattr(self.declared, "log_prior_params")
        return np.asarray(self.declared.log_prior_params(self.params(theta)) if has_own else 0.0)

    @property
    def _needs_differences(self) -> bool:
        return hasattr(self.declared, "log_joint") and not hasattr(self.declared, "grad_log_joint")

    @property
    def _has_prior(self) -> bool:
        return hasattr(self.declared, "log_prior_params") or self.named.have_priors


@contextmanager
def errors_of_model() -> Iterator[None]:
    """Turn errors in values or gradients by name into errors of the model that returned them."""
    try:
        yield
    except ValueError as error:
        raise ModelError(str(error)) from error
