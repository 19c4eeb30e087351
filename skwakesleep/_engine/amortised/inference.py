"""What a fitted model says of data: the gradient, posterior expectations, log-likelihoods and samples."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.amortised.dreams import (
    Latents,
    Pairs,
    failing_at,
    finite_draws,
    importance_weights,
    simulation_of,
)
from skwakesleep._engine.amortised.forms import ImportanceWeighted
from skwakesleep._engine.amortised.gradient import AmortisedGradient
from skwakesleep._engine.amortised.problem import Problem, memory_limited_by
from skwakesleep._engine.amortised.progress import Progress
from skwakesleep._engine.amortised.state import Fit, RegressionState
from skwakesleep._engine.amortised.tuning import expectation
from skwakesleep._engine.arrays.random import Streams


def estimate_gradient(problem: Problem, fit: Fit, streams: Streams) -> NDArray:
    """Return the gradient of the mean log-likelihood of all rows at fitted parameters, in the units of the columns."""
    # As in training: contrasted with fresh dreams if the fit has settled.
    progress = Progress(level_at=0 if fit.state.regression.contrasted else None)
    objective = AmortisedGradient(problem, RegressionState(progress=progress), fit.theta, streams)
    objective(problem.rows)
    if objective.failure is not None:
        raise ValueError(f"The gradient cannot be estimated: {objective.failure}.")
    return problem.gradient_in_units(objective.gradient, fit.theta_in_units)


def posterior_expectation(problem: Problem, fit: Fit, f: Callable[[Latents], Any]) -> NDArray:
    """Return the posterior expectation of a function of the latents at each row, ``(n, ...)``."""
    n_dreams = problem.settings.n_dreams
    rng = np.random.default_rng(fit.state.streams.validation_seed)  # equal calls give equal results
    with memory_limited_by("n_sleep", n_dreams), failing_at(fit.theta_in_units):
        dreams, _ = problem.simulation.dream(fit.theta, n_dreams, problem.rows, rng)
        values = np.asarray(f(dreams.z), dtype=np.float64)
        if values.ndim < 1 or len(values) != len(dreams.x):
            raise ValueError(
                f"f must return an array of shape ({len(dreams.x)}, ...), one value for each latent. Got shape "
                f"{values.shape}."
            )
        expected = _expected(problem, fit, dreams, values.reshape(len(dreams.x), -1), rng)
    return expected.reshape(len(problem.rows), *values.shape[1:])


def _expected(problem: Problem, fit: Fit, dreams: Pairs, targets: NDArray, rng: np.random.Generator) -> NDArray:
    if fit.state.regression.form == ImportanceWeighted.name:
        log_prob = problem.model.log_prob_x_given_z(fit.theta, dreams.z, problem.rows)
        return importance_weights(log_prob).T @ targets
    dreamed, rows = (problem.simulation.inputs(fit.theta, x) for x in (dreams.x, problem.rows))
    return expectation(problem.settings, Pairs(dreams.z, dreamed), targets, rows, rng)


def log_likelihood(model: Any, fit: Fit, X: NDArray) -> NDArray:
    """Return the log-likelihood of each row of data in the units of the columns, in nats."""
    units = fit.state.units
    # By the change of variables, densities differ by the Jacobian determinant.
    return model.log_likelihood(fit.theta, units.standardized(X)) - units.log_volume


def samples(model: Any, fit: Fit, n: int, rows: NDArray | None, rng: np.random.Generator) -> NDArray:
    """Return rows drawn from a fitted model whose calls are checked, in the units of the columns.

    There are ``n``, or ``n`` for each of some rows, with their inputs and missing cells.
    """
    units = fit.state.units
    with memory_limited_by("n_samples", n), failing_at(fit.theta_in_units):
        given = None if rows is None else np.repeat(units.standardized(rows), n, axis=0)
        n_draws = n if given is None else len(given)
        simulation = simulation_of(model, np.zeros((1, model.n_features)) if given is None else given)
        return units.restored(finite_draws(simulation, fit.theta, n_draws, given, rng))


def n_latent_features(fit: Fit) -> int:
    """Return the number of columns of the model's function of its latents."""
    # scikit-learn asks for it without data, so a draw shows the shape.
    row = np.zeros((1, fit.model.n_features))
    z, _ = simulation_of(fit.model, row).draw(fit.theta, 1, row, np.random.default_rng(0))
    return fit.model.latent_function(z).shape[1]
