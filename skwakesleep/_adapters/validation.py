"""Checks of what users pass in, in scikit-learn's manner: what was expected, what came, what to do."""

import datetime
from copy import copy
from hashlib import blake2b
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from skwakesleep._adapters._sklearn import Interval, InvalidParameterError, validate_parameter_constraints
from skwakesleep._engine.rows import Table

AUTOREGRESSIVE_LAYERS = {"prior", "visible", "hidden", "recognition"}
FLOAT_DTYPES = (np.float64, np.float32)
TEMPORAL = (np.datetime64, np.timedelta64, datetime.date, datetime.timedelta)


def check_table(
    estimator: Any, X: Any, *, reset: bool, accept_sparse: Any = "csr", dtype: Any = FLOAT_DTYPES
) -> tuple[Table, dict[str, Any]]:
    """Return `X` as a float array or CSR matrix, and what is known of its columns as fitted attributes.

    Defers to scikit-learn's `validate_data`, but leaves the estimator alone: a call that fails later on then
    has changed nothing.

    Raises
    ------
    TypeError
        For a masked array, whose mask would be lost, and for dates.
    ValueError
        For whatever scikit-learn rejects.
    """
    if isinstance(X, np.ma.MaskedArray):
        raise TypeError("X is a masked array, and its mask would be ignored. Pass X.filled(value) instead.")
    _reject_dates(X)
    draft = copy(estimator)
    X = validate_data(draft, X, accept_sparse=accept_sparse, dtype=dtype, reset=reset)
    if not isinstance(X, np.ndarray) and not X.has_canonical_format:
        X = X.copy()  # entries of one place are to be added up, but not in the user's table
        X.sum_duplicates()
    return X, {name: value for name, value in vars(draft).items() if name in ("n_features_in_", "feature_names_in_")}


def _reject_dates(X: Any) -> None:
    """Raise where NumPy would silently turn dates into numbers of some unit."""
    for column, dtype in _dtypes(np.asarray(X) if isinstance(X, list | tuple) else X):
        temporal = getattr(dtype, "kind", None) in ("M", "m") or str(dtype).startswith(("Date", "Time", "Duration"))
        if temporal or (
            isinstance(X, np.ndarray) and X.dtype.kind == "O" and any(isinstance(x, TEMPORAL) for x in X.flat)
        ):
            raise TypeError(f"Expected numeric data, but {column} has dtype {dtype}. Convert dates to numbers first.")


def _dtypes(X: Any) -> list[tuple[str, Any]]:
    """Pairs of a description and a dtype, for each column where columns have their own."""
    if hasattr(X, "columns") and hasattr(X, "dtypes"):
        return [(f"column {name!r} of X", dtype) for name, dtype in zip(X.columns, X.dtypes, strict=True)]
    return [("X", X.dtype)] if hasattr(X, "dtype") else []


def check_hidden_layer_sizes(hidden_layer_sizes: Any) -> tuple[int, ...]:
    """Return the widths of the hidden layers as a tuple of ints, nearest the data first."""
    sizes = hidden_layer_sizes
    if isinstance(sizes, Integral):
        sizes = (sizes,)
    well_formed = isinstance(sizes, list | tuple | np.ndarray) and len(sizes) > 0
    if not well_formed or not all(_is_positive_int(size) for size in sizes):
        raise InvalidParameterError(
            "The 'hidden_layer_sizes' parameter of HelmholtzMachine must be an int in the range [1, inf) or a "
            "non-empty sequence of such ints, the layer nearest the data first. "
            f"Got {hidden_layer_sizes!r} instead."
        )
    return tuple(int(size) for size in sizes)


def check_autoregressive(autoregressive: Any) -> frozenset[str]:
    """Return the names of the autoregressive layers."""
    layers = autoregressive if isinstance(autoregressive, tuple) else (autoregressive,)
    unknown = [
        layer
        for layer in layers
        if layer is not None and not (isinstance(layer, str) and layer in AUTOREGRESSIVE_LAYERS)
    ]
    if unknown:
        raise InvalidParameterError(
            "The 'autoregressive' parameter of HelmholtzMachine must be None, one of "
            f"{sorted(AUTOREGRESSIVE_LAYERS)} or a tuple of these. Got {autoregressive!r} instead."
        )
    return frozenset(layer for layer in layers if layer is not None)


def _is_positive_int(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool | np.bool_) and int(value) >= 1


def check_n_samples(n_samples: Any, name: str = "n_samples") -> int:
    """Return the number of samples to draw, or of whatever else is asked for under another name."""
    if not isinstance(n_samples, Integral) or isinstance(n_samples, bool | np.bool_):
        raise TypeError(f"{name} must be an int, at least 1. Got {n_samples!r} instead.")
    if n_samples < 1:
        raise ValueError(f"{name} must be at least 1. Got {n_samples!r} instead.")
    return int(n_samples)


def check_certification(n_samples: Any, confidence: Any, n_particles: int) -> int:
    """Return the number of samples to certify a machine with."""
    validate_parameter_constraints(
        {"confidence": [Interval(Real, 0, 1, closed="neither")]}, {"confidence": confidence}, "certify"
    )
    if check_n_samples(n_samples) < 2:
        raise ValueError(f"n_samples must be at least 2 for an interval of confidence. Got {n_samples!r} instead.")
    if n_particles < 2:
        raise ValueError(
            f"A single particle tells nothing of its own error: n_score_particles is {n_particles!r}, and must be at "
            "least 2 here. Raise it by set_params(n_score_particles=...)."
        )
    return int(n_samples)


def hold_out(X: Table, fraction: float, seed: int) -> tuple[NDArray, NDArray]:
    """Return the indices of the rows to train on and of those held out."""
    n_samples = X.shape[0]
    n_held_out = int(fraction * n_samples)
    if not 0 < n_held_out < n_samples:
        raise ValueError(
            f"Early stopping with validation_fraction={fraction} holds out {n_held_out} rows of n_samples={n_samples}, "
            "and at least one row must be held out and one be left. Enlarge validation_fraction or the data."
        )
    order = np.random.default_rng(seed).permutation(n_samples)
    return order[n_held_out:], order[:n_held_out]


def rows_id(X: Table, *settings: Any) -> str:
    """Return what tells whether a later fit is to the same rows under the same settings."""
    parts = [X] if isinstance(X, np.ndarray) else [X.data, X.indices, X.indptr]
    digest = blake2b(repr((X.shape, *settings)).encode(), digest_size=16)
    for part in parts:
        digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()


def entropy(random_state: int | np.random.RandomState | None) -> list[int]:
    """Return what seeds the streams of a call; None draws it from NumPy's global generator, as in scikit-learn."""
    validate_parameter_constraints({"random_state": ["random_state"]}, {"random_state": random_state}, "sample")
    return check_random_state(random_state).randint(2**31, size=4).tolist()
