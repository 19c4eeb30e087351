"""The thorough check of a model: whether it keeps the promises that the regression relies on."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.amortised.dreams import Pairs, finite_pairs
from skwakesleep.models._checks import EXPONENTIAL, UNITS, GuardedModel, ModelError, check_protocol

RELATIVE_STEP = 1e-5
# Relative errors beyond these are mistakes: of central differences, and of identities.
DIFFERENCE_TOLERANCE = 1e-5
IDENTITY_TOLERANCE = 1e-8
# Standard errors beyond which a mean is not zero.
N_STANDARD_ERRORS = 5.0
N_PAIRS = 8


def check_generative_model(model: Any, theta: NDArray, rng: np.random.Generator, *, n_draws: int = 20_000) -> None:
    """Check that a generative model keeps the promises of its protocol, at given parameters.

    In turn: that it has the required methods and returns the promised shapes; that equal generators give equal draws;
    that gradients agree with central differences of ``log_joint`` and of ``log_likelihood``, where there are these;
    that the natural parameters reproduce the log joint and its gradient; that parameters in other units of the columns
    give the densities and draws that a change of variables gives; and that the mean score at the model's own
    draws is zero, as it is for every correct density.

    Parameters
    ----------
    model : GenerativeModel
        The model.

    theta : array-like of shape (n_params,)
        Parameters to check at. Choose some without symmetry: mistakes hide at zero.

    rng : numpy.random.Generator
        Draws the pairs.

    n_draws : int, default=20000
        Pairs drawn for the mean score; more find smaller mistakes.

    Raises
    ------
    TypeError
        If the model lacks required methods.

    ValueError
        Naming the first promise that is broken, and by how much.

    Examples
    --------
    >>> import numpy as np
    >>> from skwakesleep.models import LatentFactors, check_generative_model
    >>> rng = np.random.default_rng(0)
    >>> model = LatentFactors(4, 2)
    >>> check_generative_model(model, rng.normal(size=model.n_params), rng)
    """
    check_protocol(model, model.n_features if hasattr(model, "n_features") else 0)
    guarded = GuardedModel(model)
    theta = guarded._finite("theta", guarded._shaped("theta", theta, (guarded.n_params,)))
    _check_draws(guarded, theta, rng)
    z, x = guarded.sample(theta, N_PAIRS, rng)
    weights = rng.standard_normal(N_PAIRS)
    if hasattr(guarded, "log_joint") and hasattr(guarded, "grad_log_joint"):
        _check_slope(
            guarded,
            "grad_log_joint",
            "log_joint",
            guarded.grad_log_joint(theta, z, x, weights),
            lambda t: weights @ guarded.log_joint(t, z, x),
            theta,
        )
    if hasattr(guarded, "log_likelihood") and hasattr(guarded, "grad_log_likelihood"):
        _check_slope(
            guarded,
            "grad_log_likelihood",
            "log_likelihood",
            guarded.grad_log_likelihood(theta, x),
            lambda t: guarded.log_likelihood(t, x).mean(),
            theta,
        )
    if all(hasattr(guarded, name) for name in EXPONENTIAL):
        _check_exponential_family(guarded, theta, z, x, rng)
    if all(hasattr(guarded, name) for name in UNITS):
        _check_units(guarded, theta, n_draws, rng)
    _check_mean_score(guarded, theta, n_draws, rng)


def _check_draws(model: GuardedModel, theta: NDArray, rng: np.random.Generator) -> None:
    seed = int(rng.integers(2**32))
    (z, first), (_, second), (z_other, other) = (
        model.sample(theta, N_PAIRS, np.random.default_rng(s)) for s in (seed, seed, seed + 1)
    )
    finite_pairs(Pairs(z, first), model.label("sample"))
    if not np.array_equal(first, second, equal_nan=True):
        raise ModelError(
            f"{model.label('sample')} draws something else from an equal generator: it must draw from the generator "
            "that is passed in, and from no other."
        )
    if np.array_equal(first, other, equal_nan=True) and all(map(np.array_equal, _parts(z), _parts(z_other))):
        raise ModelError(f"{model.label('sample')} draws the same whatever the generator that is passed in.")


def _parts(z: Any) -> tuple[NDArray, ...]:
    return z if isinstance(z, tuple) else (z,)


def _check_slope(
    model: GuardedModel,
    name: str,
    primitive: str,
    gradient: NDArray,
    function: Callable[[NDArray], float],
    theta: NDArray,
) -> None:
    """Compare a gradient with the central differences of what it is the gradient of."""
    _check_equal(
        f"{model.label(name)} disagrees with central differences of {primitive}",
        gradient,
        central_differences(function, theta),
        DIFFERENCE_TOLERANCE,
    )


def central_differences(function: Callable[[NDArray], float], theta: NDArray) -> NDArray:
    """Return the central differences of a function of the parameters, in each of these."""
    slopes = np.empty_like(theta)
    for index, step in enumerate(RELATIVE_STEP * np.maximum(1.0, np.abs(theta))):
        ends = np.stack([theta, theta])
        ends[0, index] += step
        ends[1, index] -= step
        slopes[index] = (function(ends[0]) - function(ends[1])) / (ends[0, index] - ends[1, index])
    return slopes


def _check_exponential_family(
    model: GuardedModel, theta: NDArray, z: Any, x: NDArray, rng: np.random.Generator
) -> None:
    eta, psi = model.natural_parameters(theta, z)
    statistics = model.sufficient_statistics(x)
    if eta.shape != statistics.shape:
        raise ModelError(
            f"{model.label('natural_parameters')} and sufficient_statistics must have equally many columns. "
            f"Got {eta.shape[1]} and {statistics.shape[1]}."
        )
    if hasattr(model, "log_joint"):
        # The identity holds up to a function of the observations, so it is the change with theta that is compared.
        other = theta + 0.1 * rng.standard_normal(len(theta))
        eta_other, psi_other = model.natural_parameters(other, z)
        _check_equal(
            f"{model.label('log_joint')} changes with theta otherwise than eta . s(x) - psi does",
            model.log_joint(other, z, x) - model.log_joint(theta, z, x),
            np.vecdot(eta_other - eta, statistics) - (psi_other - psi),
            IDENTITY_TOLERANCE,
        )
    ct_eta, ct_psi = rng.standard_normal(eta.shape), rng.standard_normal(psi.shape)

    def product(t: NDArray) -> float:
        eta, psi = model.natural_parameters(t, z)
        return float((ct_eta * eta).sum() + ct_psi @ psi)

    _check_slope(
        model, "natural_vjp", "natural_parameters", model.natural_vjp(theta, z, ct_eta, ct_psi), product, theta
    )


def _check_units(model: GuardedModel, theta: NDArray, n_draws: int, rng: np.random.Generator) -> None:
    """Compare densities, draws and the way back with what follows from a change of variables."""
    D = model.n_features
    location, scale = model.column_units(rng.standard_normal(D), np.exp(rng.standard_normal(D)))
    scale = np.where(scale > 0, scale, 1.0)
    rescaled = model.params_in_units(theta, location, scale)
    label = model.label("params_in_units")
    back = model.params_in_units(rescaled, -location / scale, 1 / scale)
    _check_equal(f"{label} does not lead back to where it came from", back, theta, IDENTITY_TOLERANCE)
    z, x = model.sample(theta, N_PAIRS, rng)
    for name in ("log_joint", "log_likelihood"):
        if hasattr(model, name):
            between = (z,) if name == "log_joint" else ()
            density = getattr(model, name)
            _check_equal(
                f"{label} gives parameters at which {name} is not what the change of variables makes it",
                density(rescaled, *between, location + scale * x),
                density(theta, *between, x) - np.log(scale).sum(),
                IDENTITY_TOLERANCE,
            )
    (_, x), (_, other) = model.sample(theta, n_draws, rng), model.sample(rescaled, n_draws, rng)
    other = (other - location) / scale
    for name, power in (("means", 1), ("mean squares", 2)):
        difference = (other**power).mean(axis=0) - (x**power).mean(axis=0)
        error = np.sqrt(((x**power).var(axis=0) + (other**power).var(axis=0)) / n_draws)
        beyond = np.abs(difference) > N_STANDARD_ERRORS * error + 1e-12
        if beyond.any():
            raise ModelError(
                f"{label} gives parameters whose draws, standardized, have other {name} than draws of the parameters "
                f"given: column {int(np.argmax(beyond))} differs by {float(difference[np.argmax(beyond)]):.3g}."
            )


def _check_equal(complaint: str, got: NDArray, expected: NDArray, tolerance: float) -> None:
    scale = np.abs(expected).max(initial=0.0)
    difference = np.abs(got - expected)
    # Differences of a function of order one are off by the resolution of float64 divided by the step.
    if not (difference <= tolerance * max(scale, 1.0)).all():
        worst = int(np.nanargmax(np.where(np.isnan(difference), np.inf, difference)))
        raise ModelError(f"{complaint}: at index {worst}, expected {expected[worst]:.6g} but got {got[worst]:.6g}.")


def _check_mean_score(model: GuardedModel, theta: NDArray, n_draws: int, rng: np.random.Generator) -> None:
    """Check that the mean score is zero, within standard errors found from batches."""
    n_batches = 100
    size = max(1, n_draws // n_batches)
    weights = np.full(size, 1 / size)
    batches = [finite_pairs(Pairs(*model.sample(theta, size, rng)), model.label("sample"))[0] for _ in range(n_batches)]
    means = np.stack([_score(model, theta, z, x, weights[: len(x)]) for z, x in batches])
    mean, error = means.mean(axis=0), means.std(axis=0, ddof=1) / np.sqrt(n_batches)
    beyond = np.abs(mean) > N_STANDARD_ERRORS * error + 1e-12
    if beyond.any():
        worst = int(np.argmax(np.abs(mean) - N_STANDARD_ERRORS * error))
        raise ModelError(
            f"The mean score at draws of {model.label('sample')} must be zero. For parameter {worst}, it is "
            f"{mean[worst]:.3g} with a standard error of {error[worst]:.2g}: sample and the gradient belong to "
            "different densities."
        )


def _score(model: GuardedModel, theta: NDArray, z: Any, x: NDArray, weights: NDArray) -> NDArray:
    if hasattr(model, "grad_log_joint"):
        return model.grad_log_joint(theta, z, x, weights)
    return model.natural_vjp(theta, z, weights[:, np.newaxis] * model.sufficient_statistics(x), -weights)
