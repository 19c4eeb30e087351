"""The thorough check of a model: shapes, random numbers, gradients, identities and the mean score."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.amortised.dreams import Pairs, finite_pairs
from skwakesleep._engine.amortised.optional_methods import COLUMN_UNITS, EXPONENTIAL_FAMILY
from skwakesleep._engine.arrays.numerics import differences
from skwakesleep.models._checks import (
    GuardedModel,
    ModelError,
    check_protocol,
    natural_form,
    parts,
)

# Relative errors beyond these are mistakes: of central differences, and of identities that hold to rounding.
DIFFERENCE_TOLERANCE = 1e-5
IDENTITY_TOLERANCE = 1e-8
# Standard errors beyond which a mean is not zero: a correct model fails once in a million tests.
N_STANDARD_ERRORS = 5.0
# Pairs at which gradients and identities are compared.
N_PAIRS = 8
# Batches from which the standard error of the mean score is found.
N_BATCHES = 100


def check_generative_model(model: Any, theta: NDArray, rng: np.random.Generator, *, n_draws: int = 20_000) -> None:
    """Check the methods of a generative model at given parameters.

    Checks, in this order: that the required methods are there and return the documented shapes; that equal generators
    give equal draws; that gradients agree with central differences of ``log_joint`` and of ``log_likelihood``; that the
    natural parameters reproduce the log joint and its gradient; that ``params_in_units`` gives the densities and draws
    of a change of variables; and that the mean score at the model's own draws is zero, as it is for every correct
    density. Checks of optional methods are left out where a model does not have them.

    Parameters
    ----------
    model : GenerativeModel
        The model.

    theta : array-like of shape (n_params,)
        Parameters to check at. Choose some without symmetry: mistakes are hidden at zero.

    rng : numpy.random.Generator
        Draws the pairs.

    n_draws : int, default=20000
        Pairs drawn for the mean score; more find smaller mistakes.

    Raises
    ------
    TypeError
        If the model lacks required methods.

    ValueError
        If `theta` is not ``n_params`` finite numbers.

    ModelError
        If a check fails. The message names the method, and says by how much it is wrong.

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
    theta = np.asarray(theta, dtype=np.float64)
    if theta.shape != (guarded.n_params,) or not np.isfinite(theta).all():
        raise ValueError(f"theta must be n_params={guarded.n_params} finite numbers. Got {theta}.")
    _check_draws(guarded, theta, rng)
    z, x = guarded.sample(theta, N_PAIRS, rng)
    _check_gradients(guarded, theta, z, x, rng.standard_normal(N_PAIRS))
    if _has(guarded, *EXPONENTIAL_FAMILY):
        _check_exponential_family(guarded, theta, z, x, rng)
    if _has(guarded, *COLUMN_UNITS):
        _check_units(guarded, theta, n_draws, rng)
    if hasattr(guarded, "grad_log_joint") or _has(guarded, *EXPONENTIAL_FAMILY):
        _check_mean_score(guarded, theta, n_draws, rng)


def _has(model: Any, *names: str) -> bool:
    return all(hasattr(model, name) for name in names)


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
    if np.array_equal(first, other, equal_nan=True) and all(map(np.array_equal, parts(z), parts(z_other))):
        raise ModelError(f"{model.label('sample')} draws the same whatever the generator that is passed in.")


def _check_gradients(model: GuardedModel, theta: NDArray, z: Any, x: NDArray, weights: NDArray) -> None:
    if _has(model, "log_joint", "grad_log_joint"):
        gradient = model.grad_log_joint(theta, z, x, weights)
        _check_slope(
            model, "grad_log_joint", "log_joint", gradient, lambda t: weights @ model.log_joint(t, z, x), theta
        )
    if _has(model, "log_likelihood", "grad_log_likelihood"):
        gradient = model.grad_log_likelihood(theta, x)
        _check_slope(
            model,
            "grad_log_likelihood",
            "log_likelihood",
            gradient,
            lambda t: model.log_likelihood(t, x).mean(),
            theta,
        )


def _check_slope(
    model: GuardedModel,
    name: str,
    primitive: str,
    gradient: NDArray,
    function: Callable[[NDArray], Any],
    theta: NDArray,
) -> None:
    """Compare a gradient with the central differences of its primitive."""
    _check_equal(
        f"{model.label(name)} disagrees with central differences of {primitive}",
        gradient,
        np.array([change / length for change, length in differences(function, theta)]),
        DIFFERENCE_TOLERANCE,
    )


def _check_exponential_family(
    model: GuardedModel, theta: NDArray, z: Any, x: NDArray, rng: np.random.Generator
) -> None:
    (eta, psi), statistics = natural_form(model, theta, z, x)
    if hasattr(model, "log_joint"):
        # The identity holds up to a function of the observations, so the change with theta is compared.
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
    """Compare densities, draws and the inverse map with a change of variables."""
    D = model.n_features
    location, scale = model.column_units(rng.standard_normal(D), np.exp(rng.standard_normal(D)))
    scale = np.where(scale > 0, scale, 1.0)
    rescaled = model.params_in_units(theta, location, scale)
    back = model.params_in_units(rescaled, -location / scale, 1 / scale)
    label = model.label("params_in_units")
    _check_equal(f"{label} is not undone by the inverse change of units", back, theta, IDENTITY_TOLERANCE)
    z, x = model.sample(theta, N_PAIRS, rng)
    for name in ("log_joint", "log_likelihood"):
        if hasattr(model, name):
            latents = (z,) if name == "log_joint" else ()
            density = getattr(model, name)
            _check_equal(
                f"{label} gives parameters at which {name} does not obey the change of variables",
                density(rescaled, *latents, location + scale * x),
                density(theta, *latents, x) - np.log(scale).sum(),
                IDENTITY_TOLERANCE,
            )
    (_, x), (_, other) = model.sample(theta, n_draws, rng), model.sample(rescaled, n_draws, rng)
    _check_moments(label, x, (other - location) / scale)


def _check_moments(label: str, x: NDArray, other: NDArray) -> None:
    """Compare draws with standardized draws in other units by their first two moments."""
    for name, power in (("means", 1), ("mean squares", 2)):
        difference = (other**power).mean(axis=0) - (x**power).mean(axis=0)
        error = np.sqrt(((x**power).var(axis=0) + (other**power).var(axis=0)) / len(x))
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
    size = max(1, n_draws // N_BATCHES)
    weights = np.full(size, 1 / size)
    batches = [finite_pairs(Pairs(*model.sample(theta, size, rng)), model.label("sample"))[0] for _ in range(N_BATCHES)]
    means = np.stack([_score(model, theta, z, x, weights[: len(x)]) for z, x in batches])
    mean, error = means.mean(axis=0), means.std(axis=0, ddof=1) / np.sqrt(N_BATCHES)
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
