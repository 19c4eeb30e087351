"""The thorough check of a model: shapes, random numbers, gradients, identities and the mean score."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skwakesleep._engine.amortised.dreams import Pairs, Simulation, finite_pairs, simulation_of
from skwakesleep._engine.amortised.optional_methods import COLUMN_UNITS, EXPONENTIAL_FAMILY, offers
from skwakesleep._engine.arrays.numerics import differences
from skwakesleep.models._checks import GuardedModel, ModelError, check_protocol, mean_scores, natural_form, parts
from skwakesleep.models._declared_model import DeclaredModel, flat_model, is_declared
from skwakesleep.models._declared_parameter import Parameter

# Relative errors beyond these are mistakes: of central differences, and of identities that hold to rounding.
DIFFERENCE_TOLERANCE = 1e-5
IDENTITY_TOLERANCE = 1e-8
# Standard errors beyond which a mean is not zero: a correct model fails once in a million tests.
N_STANDARD_ERRORS = 5.0
# Pairs at which gradients and identities are compared.
N_PAIRS = 8
# Batches from which the standard error of the mean score is found.
N_BATCHES = 100


def check_generative_model(
    model: Any, theta: Any, rng: np.random.Generator, *, n_draws: int = 20_000, X: ArrayLike | None = None
) -> None:
    """Check the methods of a generative model at given parameters.

    Checks, in this order: that the required methods are there and return the documented shapes; that constraints of
    declared parameters agree with their inverses and Jacobians; that equal generators give equal draws; that gradients
    agree with central differences of ``log_joint`` and of ``log_likelihood``; that the natural parameters reproduce the
    log joint and its gradient; that ``params_in_units`` gives the densities and draws of a change of variables; and
    that the mean score at the model's own draws is zero, as it is for every correct density. Checks of optional methods
    are left out where a model does not have them.

    Parameters
    ----------
    model : GenerativeModel
        The model.

    theta : array-like of shape (n_params,), or dict
        Parameters to check at; values by name if the model declares its parameters. Choose some without symmetry:
        mistakes are hidden at zero.

    rng : numpy.random.Generator
        Draws the pairs.

    n_draws : int, default=20000
        Pairs drawn for the mean score; more find smaller mistakes.

    X : array-like of shape (m, n_columns) or None, default=None
        Rows to simulate for. Needed by models with covariates; with missing cells, these are checked too.

    Raises
    ------
    TypeError
        If the model lacks required methods.

    ValueError
        If `theta` is not ``n_params`` finite numbers, or not an admitted value for each name; if the model has
        covariates and there is no `X`.

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
    flat = flat_model(model)
    check_protocol(flat, getattr(flat, "n_features", 0))
    guarded = GuardedModel(flat)
    if is_declared(model):
        theta = flat.pack(theta, "theta")
        check_constraints(flat, theta)
    theta = np.asarray(theta, dtype=np.float64)
    if theta.shape != (guarded.n_params,) or not np.isfinite(theta).all():
        raise ValueError(f"theta must be n_params={guarded.n_params} finite numbers. Got {theta}.")
    check = _Check(guarded, theta, rng, n_draws, *_simulation(guarded, X))
    check.draws()
    z, x = check.pairs(N_PAIRS, rng)
    check.gradients(z, x)
    if offers(guarded, EXPONENTIAL_FAMILY):
        check.exponential_family(z, x)
    if offers(guarded, COLUMN_UNITS) and X is None:
        check.units()
    if hasattr(guarded, "grad_log_joint") or offers(guarded, EXPONENTIAL_FAMILY):
        check.mean_score()


@dataclass(frozen=True)
class _Check:
    """Checks of a model at given parameters. Each raises a ModelError on a mistake."""

    model: GuardedModel
    theta: NDArray
    rng: np.random.Generator
    n_draws: int
    simulation: Simulation
    rows: NDArray

    def pairs(self, n: int, rng: np.random.Generator) -> Pairs:
        """Return pairs that are finite."""
        given = self.simulation.spread(self.rows, n, self.rng)
        pairs = self.simulation.draw(self.theta, n, given, rng)
        return finite_pairs(pairs, self.model.label(self.simulation.source), self.simulation.missing(given))[0]

    def draws(self) -> None:
        """Check that draws depend on the generator that is passed in, and on no other."""
        seed, label = int(self.rng.integers(2**32)), self.model.label(self.simulation.source)
        given = self.simulation.spread(self.rows, N_PAIRS, self.rng)
        (z, first), (_, second), (z_other, other) = (
            self.simulation.draw(self.theta, N_PAIRS, given, np.random.default_rng(s)) for s in (seed, seed, seed + 1)
        )
        finite_pairs(Pairs(z, first), label, self.simulation.missing(given))
        if not np.array_equal(first, second, equal_nan=True):
            raise ModelError(
                f"{label} draws something else from an equal generator: it must draw from the generator that is passed "
                "in, and from no other."
            )
        if np.array_equal(first, other, equal_nan=True) and all(map(np.array_equal, parts(z), parts(z_other))):
            raise ModelError(f"{label} draws the same whatever the generator that is passed in.")

    def gradients(self, z: Any, x: NDArray) -> None:
        """Compare gradients with differences of the functions that they belong to."""
        model, weights = self.model, self.rng.standard_normal(len(x))
        if hasattr(model, "scores"):
            _check_equal(
                f"{model.label('scores')} disagree with grad_log_joint",
                weights @ model.scores(self.theta, z, x),
                model.grad_log_joint(self.theta, z, x, weights),
            )
        if offers(model, ("log_joint", "grad_log_joint")):
            self._slope("grad_log_joint", (z, x, weights), "log_joint", lambda t: weights @ model.log_joint(t, z, x))
        if offers(model, ("log_likelihood", "grad_log_likelihood")):
            self._slope("grad_log_likelihood", (x,), "log_likelihood", lambda t: model.log_likelihood(t, x).mean())

    def exponential_family(self, z: Any, x: NDArray) -> None:
        """Compare natural parameters with the log joint, and their vector-Jacobian product with differences."""
        (eta, psi), statistics = natural_form(self.model, self.theta, z, x)
        if hasattr(self.model, "log_joint"):
            # The identity holds up to a function of the observations, so the change with theta is compared.
            other = self.theta + 0.1 * self.rng.standard_normal(len(self.theta))
            eta_other, psi_other = self.model.natural_parameters(other, z)
            _check_equal(
                f"{self.model.label('log_joint')} changes with theta otherwise than eta . s(x) - psi does",
                self.model.log_joint(other, z, x) - self.model.log_joint(self.theta, z, x),
                np.vecdot(eta_other - eta, statistics) - (psi_other - psi),
            )
        ct_eta, ct_psi = self.rng.standard_normal(eta.shape), self.rng.standard_normal(psi.shape)

        def product(t: NDArray) -> float:
            eta, psi = self.model.natural_parameters(t, z)
            return float((ct_eta * eta).sum() + ct_psi @ psi)

        self._slope("natural_vjp", (z, ct_eta, ct_psi), "natural_parameters", product)

    def _slope(self, name: str, arguments: tuple[Any, ...], primitive: str, function: Callable[[NDArray], Any]) -> None:
        """Compare the gradient that a method returns with the central differences of its primitive."""
        _check_equal(
            f"{self.model.label(name)} disagrees with central differences of {primitive}",
            getattr(self.model, name)(self.theta, *arguments),
            np.array([change / length for change, length in differences(function, self.theta)]),
            DIFFERENCE_TOLERANCE,
        )

    def units(self) -> None:
        """Compare densities, draws and the inverse map with a change of variables."""
        model, theta, rng, D = self.model, self.theta, self.rng, self.model.n_features
        location, scale = model.column_units(rng.standard_normal(D), np.exp(rng.standard_normal(D)))
        scale = np.where(scale > 0, scale, 1.0)
        rescaled = model.params_in_units(theta, location, scale)
        back = model.params_in_units(rescaled, -location / scale, 1 / scale)
        label = model.label("params_in_units")
        _check_equal(f"{label} is not undone by the inverse change of units", back, theta)
        z, x = model.sample(theta, N_PAIRS, rng)
        for name, latents in (("log_joint", (z,)), ("log_likelihood", ())):
            if hasattr(model, name):
                density = getattr(model, name)
                _check_equal(
                    f"{label} gives parameters at which {name} does not obey the change of variables",
                    density(rescaled, *latents, location + scale * x),
                    density(theta, *latents, x) - np.log(scale).sum(),
                )
        (_, x), (_, other) = (model.sample(t, self.n_draws, rng) for t in (theta, rescaled))
        _check_moments(label, x, (other - location) / scale)

    def mean_score(self) -> None:
        """Check that the mean score is zero, within standard errors found from batches."""
        label, size = self.model.label(self.simulation.source), max(1, self.n_draws // N_BATCHES)
        means = []
        for _ in range(N_BATCHES):
            z, x = self.pairs(size, self.rng)
            _, score = next(mean_scores(self.model, self.theta, z, x))
            means.append(score)
        mean, error = np.mean(means, axis=0), np.std(means, axis=0, ddof=1) / np.sqrt(N_BATCHES)
        if (np.abs(mean) > _chance(error)).any():
            worst = int(np.argmax(np.abs(mean) - _chance(error)))
            raise ModelError(
                f"The mean score at draws of {label} must be zero. For parameter {worst}, it is {mean[worst]:.3g} with "
                f"a standard error of {error[worst]:.2g}: sample and the gradient belong to different densities."
            )


def _simulation(model: GuardedModel, X: ArrayLike | None) -> tuple[Simulation, NDArray]:
    """Return a simulation, and the rows to simulate for."""
    if X is None:
        if not hasattr(model, "sample"):
            raise ValueError(
                f"X must be rows to simulate for, because {model.label('sample_given')} needs some. Got None."
            )
        rows = np.zeros((1, model.n_features))
    else:
        rows = np.asarray(X, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != model.n_features or len(rows) == 0:
            raise ValueError(f"X must be rows of {model.n_features} columns. Got shape {rows.shape}.")
    return simulation_of(model, rows), rows


def check_constraints(model: DeclaredModel, theta: NDArray) -> None:
    """Compare the constraints of declared parameters with their inverses and Jacobians."""
    for name, parameter in model.named.items():
        label = f"{type(parameter).__name__} of {name!r} of {model.class_name}"
        free = parameter.free(np.asarray(model.unpack(theta)[name]))
        value = parameter.value(free)
        if not parameter.admits(value, limits=True):
            raise ModelError(f"{label}: value gives {value}, which is not {parameter.expected}.")
        _check_equal(f"{label}: free is not the inverse of value", parameter.free(value).ravel(), free.ravel())
        slopes = differences(partial(_value_at, parameter), free.ravel())
        cotangent = 1.0 + np.arange(value.size).reshape(value.shape)
        _check_equal(
            f"{label}: pullback disagrees with central differences of value",
            parameter.pullback(free, cotangent).ravel(),
            np.array([(cotangent * change).sum() / length for change, length in slopes]),
            DIFFERENCE_TOLERANCE,
        )


def _value_at(parameter: Parameter, flat: NDArray) -> NDArray:
    return parameter.value(flat.reshape(parameter.free_shape))


def _check_moments(label: str, x: NDArray, other: NDArray) -> None:
    """Compare draws with standardized draws in other units by their first two moments."""
    for name, power in (("means", 1), ("mean squares", 2)):
        difference = (other**power).mean(axis=0) - (x**power).mean(axis=0)
        error = np.sqrt(((x**power).var(axis=0) + (other**power).var(axis=0)) / len(x))
        beyond = np.abs(difference) > _chance(error)
        if beyond.any():
            first = int(np.argmax(beyond))
            raise ModelError(
                f"{label} gives parameters whose draws, standardized, have other {name} than draws of the parameters "
                f"given: column {first} differs by {float(difference[first]):.3g}."
            )


def _chance(error: NDArray) -> NDArray:
    """Return the size beyond which a mean of the given standard error is not zero, rounding included."""
    return N_STANDARD_ERRORS * error + 1e-12


def _check_equal(complaint: str, got: NDArray, expected: NDArray, tolerance: float = IDENTITY_TOLERANCE) -> None:
    difference = np.abs(got - expected)
    # Differences of a function of order one are off by the resolution of float64 divided by the step.
    if not (difference <= tolerance * max(np.abs(expected).max(initial=0.0), 1.0)).all():
        worst = int(np.nanargmax(np.where(np.isnan(difference), np.inf, difference)))
        raise ModelError(f"{complaint}: at index {worst}, expected {expected[worst]:.6g} but got {got[worst]:.6g}.")
