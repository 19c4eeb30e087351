"""Checks of what users pass in, in scikit-learn's manner: what was expected, what came, what to do."""

from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import check_random_state, gen_batches

from skwakesleep._adapters._sklearn import Interval, InvalidParameterError, validate_parameter_constraints
from skwakesleep._engine.families import Bernoulli, Family, Gaussian
from skwakesleep._engine.rows import Table

AUTOREGRESSIVE_LAYERS = {"prior", "visible", "hidden", "recognition"}


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


def resolve_visible(visible: str, X: Table) -> str:
    """Return the family that "auto" stands for on `X`: Bernoulli where all values are in [0, 1], else Gaussian."""
    if visible != "auto":
        return visible
    values = X.data if sparse.issparse(X) else X
    return "bernoulli" if values.size == 0 or (values.min() >= 0 and values.max() <= 1) else "gaussian"


def check_domain(X: Table, visible: str, names: NDArray | None, *, found: bool) -> None:
    """Check that every value of `X` belongs to the domain of the visible family.

    Parameters
    ----------
    X : {ndarray, csr_array} of shape (n_samples, n_features)
        What to check.
    visible : str
        The family.
    names : ndarray of str or None
        Names of the columns, for the message.
    found : bool
        Whether the family was found in earlier data rather than named by the user, for the message.

    Raises
    ------
    ValueError
        Naming the first column outside, its offending value, and what to set.
    """
    if visible != "bernoulli" or resolve_visible("auto", X) == "bernoulli":
        return
    column, value = _first_outside(X)
    label = f"{column}" if names is None else f"{column} ({names[column]!r})"
    fixed = " (found in the data of the first fit or partial_fit)" if found else ""
    negative = "Negative values in data: " if value < 0 else ""  # scikit-learn's words
    raise ValueError(
        f"{negative}Bernoulli columns must be in [0, 1]{fixed}, but column {label} of X holds {value!r}. "
        "Rescale or clip X, or set visible='gaussian'."
    )


def _first_outside(X: Table) -> tuple[int, Any]:
    """Return the first column of `X` with a value outside [0, 1], and its first such value."""
    if not isinstance(X, np.ndarray):
        entries = X.tocoo()
        outside = (entries.data < 0) | (entries.data > 1)
        first = np.argmin(entries.col[outside])
        return int(entries.col[outside][first]), entries.data[outside][first]
    outside = (X < 0) | (X > 1)
    column = int(outside.any(axis=0).argmax())
    return column, X[outside[:, column].argmax(), column]


def visible_family(visible: str, X: Table) -> tuple[Family, NDArray, float]:
    """Return the visible family, the means of the encoded columns, and the mean squared norm of an encoded row."""
    if visible == "bernoulli":
        means = np.asarray(X.mean(axis=0, dtype=np.float64)).ravel()
        return Bernoulli(), means, float(means.sum())
    location, scale = _moments(X)
    return Gaussian(location, scale), np.zeros_like(location), float(len(location))


def _moments(X: Table) -> tuple[NDArray, NDArray]:
    """Mean and standard deviation of each column, a block of rows at a time; one where a column is constant."""
    mean = np.asarray(X.mean(axis=0, dtype=np.float64)).ravel()
    span = np.zeros_like(mean)
    for deviation in _deviations(X, mean):
        np.maximum(span, abs(deviation).max(axis=0), out=span)
    constant = span <= 10 * np.finfo(X.dtype).eps * abs(mean)
    span[constant] = 1
    squares = sum((np.square(deviation / span).sum(axis=0) for deviation in _deviations(X, mean)), np.zeros_like(mean))
    return mean, np.where(constant, 1, span * np.sqrt(squares / X.shape[0]))  # the span, lest squares overflow


def _deviations(X: Table, mean: NDArray) -> Iterator[NDArray]:
    for block in gen_batches(X.shape[0], 256):
        rows = X[block]
        yield (rows if isinstance(rows, np.ndarray) else rows.toarray()) - mean


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


def entropy(random_state: int | np.random.RandomState | None) -> list[int] | None:
    """Return what seeds the streams of a call; None asks the operating system and leaves NumPy's generator alone."""
    validate_parameter_constraints({"random_state": ["random_state"]}, {"random_state": random_state}, "sample")
    if random_state is None:
        return None
    return check_random_state(random_state).randint(2**31, size=4).tolist()
