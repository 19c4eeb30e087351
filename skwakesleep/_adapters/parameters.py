"""Checks of parameters, with messages in scikit-learn's style: what was expected, what came, what to do."""

from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from skwakesleep._adapters.sklearn_compat import Interval, InvalidParameterError, validate_parameter_constraints
from skwakesleep._engine.machine.columns import Columns

AUTOREGRESSIVE_LAYERS = {"prior", "visible", "hidden", "recognition"}
# Visible units up to which "auto" makes the visible layer autoregressive: weights and time grow with the square.
MAX_AUTOREGRESSIVE_UNITS = 1000
# Dispersion below which most columns hold grey levels. Their score is not a density, so that "auto" favors features.
GREY_DISPERSION = 0.9


def check_layer_sizes(hidden_layer_sizes: Any) -> tuple[int, ...]:
    """Return the widths of the hidden layers as a tuple of ints, nearest the data first."""
    # scikit-learn's constraints check the container but not the items.
    sizes: Any = (hidden_layer_sizes,) if isinstance(hidden_layer_sizes, Integral) else hidden_layer_sizes
    well_formed = isinstance(sizes, list | tuple | np.ndarray) and len(sizes) > 0
    if not well_formed or not all(_is_int(size) and size >= 1 for size in sizes):
        raise InvalidParameterError(
            "The 'hidden_layer_sizes' parameter of HelmholtzMachine must be an int in the range [1, inf) or a "
            "non-empty sequence of such ints, the layer nearest the data first. "
            f"Got {hidden_layer_sizes!r} instead."
        )
    return tuple(int(size) for size in sizes)


def check_autoregressive(autoregressive: Any, columns: Columns) -> frozenset[str]:
    """Return the names of the autoregressive layers of a machine with the given columns."""
    if isinstance(autoregressive, str) and autoregressive == "auto":
        connected = columns.n_units <= MAX_AUTOREGRESSIVE_UNITS and columns.dispersion >= GREY_DISPERSION
        return frozenset({"prior", "visible"} if connected else {"prior"})
    layers = autoregressive if isinstance(autoregressive, tuple) else (autoregressive,)
    names = [layer for layer in layers if layer is not None]
    if not all(isinstance(name, str) and name in AUTOREGRESSIVE_LAYERS for name in names):
        raise InvalidParameterError(
            "The 'autoregressive' parameter of HelmholtzMachine must be 'auto', None, one of "
            f"{sorted(AUTOREGRESSIVE_LAYERS)} or a tuple of these. Got {autoregressive!r} instead."
        )
    return frozenset(names)


def _is_int(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)  # Python's booleans are ints


def check_n_samples(n_samples: Any, name: str = "n_samples") -> int:
    """Return the number of samples as an int; `name` is that of the parameter, for the message."""
    if not _is_int(n_samples):
        raise TypeError(f"{name} must be an int, at least 1. Got {n_samples!r} instead.")
    if n_samples < 1:
        raise ValueError(f"{name} must be at least 1. Got {n_samples!r} instead.")
    return int(n_samples)


def check_column(estimator: Any, column: Any) -> int:
    """Return the number of a column of a fitted estimator, which is named or numbered."""
    names = list(getattr(estimator, "feature_names_in_", ()))
    if column in names:
        return names.index(column)
    if _is_int(column) and -estimator.n_features_in_ <= column < estimator.n_features_in_:
        return int(column) % estimator.n_features_in_
    known = f"one of {names}" if names else f"an int below {estimator.n_features_in_}"
    raise ValueError(f"column must be {known}. Got {column!r}.")


def check_levels(quantiles: Any, column: Any, *, is_numeric: bool) -> list[float] | None:
    """Return the levels of quantiles as a list of floats; None if none are asked for."""
    if quantiles is None:
        return None
    if not is_numeric:
        raise ValueError(f"Quantiles need a numeric column, but column {column!r} holds categories or zeros and ones.")
    levels = np.atleast_1d(np.asarray(quantiles, float)).tolist()
    if not all(0 < level < 1 for level in levels):
        raise ValueError(f"quantiles must be in (0, 1). Got {quantiles!r}.")
    return levels


def check_certification(n_samples: Any, confidence: Any, n_particles: int) -> int:
    """Return the number of samples to certify a machine with."""
    validate_parameter_constraints(
        {"confidence": [Interval(Real, 0, 1, closed="neither")]}, {"confidence": confidence}, "certify"
    )
    if check_n_samples(n_samples) < 2:
        raise ValueError(f"n_samples must be at least 2 for an interval of confidence. Got {n_samples!r} instead.")
    if n_particles < 2:
        raise ValueError(
            f"The error of a single particle cannot be estimated: n_score_particles is {n_particles!r}, and must be at "
            "least 2 here. Raise it by set_params(n_score_particles=...)."
        )
    return int(n_samples)


def entropy(random_state: int | np.random.RandomState | None) -> list[int]:
    """Return the seed of the streams of a call; None draws it from NumPy's global generator, as in scikit-learn."""
    # 31 bits each, which RandomState draws alike on all platforms. Four of them seed independent streams.
    validate_parameter_constraints({"random_state": ["random_state"]}, {"random_state": random_state}, "sample")
    return check_random_state(random_state).randint(2**31, size=4).tolist()
