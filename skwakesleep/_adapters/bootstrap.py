"""Parametric bootstrap: fits to tables that a fitted model simulates."""

import warnings
from functools import partial
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.parallel import Parallel, delayed

from skwakesleep._adapters import amortised, kinds
from skwakesleep._engine.amortised import inference
from skwakesleep._engine.amortised.information import flat_parameters
from skwakesleep._engine.amortised.optional_methods import COLUMN_UNITS, offers
from skwakesleep._engine.amortised.state import Fit
from skwakesleep._engine.amortised.trainer import Trainer
from skwakesleep._engine.amortised.units import units_for
from skwakesleep._engine.arrays.backend import default_backend
from skwakesleep._engine.training.state import TrainingState
from skwakesleep.models._checks import GuardedModel

# Share of `max_iter` for a fit that starts at the parameters which its table was simulated with.
EPOCHS_SHARE = 0.25


class Unmonitored:
    """A monitor that does nothing."""

    def epoch_begin(self) -> None:
        """Do nothing."""

    def epoch_end(self, state: TrainingState) -> bool:
        """Return that training goes on."""
        return False


def replicates(estimator: Any, fit: Fit, X: NDArray, n: int, n_jobs: int | None, entropy: list[int]) -> NDArray:
    """Return the named parameters ``(n, T)`` of fits to ``n`` tables simulated for the rows ``X``.

    Those of fits that failed are left out, with a warning.

    Raises
    ------
    ValueError
        If fewer than two fits succeeded.
    """
    attempt = delayed(partial(_attempt, estimator, fit, X))
    results = Parallel(n_jobs=n_jobs)(attempt([*entropy, number]) for number in range(n))
    succeeded = [result for result in results if not isinstance(result, str)]
    errors = [result for result in results if isinstance(result, str)]
    if len(succeeded) < 2:
        raise ValueError(f"{len(errors)} of {n} fits to simulated tables failed. The first error: {errors[0]}")
    if errors:
        warnings.warn(
            f"{len(errors)} of {n} fits to simulated tables failed and are left out, so errors may be too small. The "
            f"first error: {errors[0]}",
            stacklevel=4,
        )
    return np.stack(succeeded)


def _attempt(estimator: Any, fit: Fit, X: NDArray, entropy: list[int]) -> NDArray | str:
    """Return the parameters of a fit to a simulated table, or the error message."""
    try:
        with estimator._limited_threads():
            return flat_parameters(_refitted(estimator, fit, X, entropy))
    except ValueError as error:  # simulations failed, or training diverged
        return str(error)


def _refitted(estimator: Any, fit: Fit, X: NDArray, entropy: list[int]) -> dict[str, NDArray]:
    """Simulate a table like ``X`` and return the parameters, by name, of a fit to it."""
    model = fit.model
    guarded = GuardedModel(model)
    in_context = hasattr(model, "sample_given") or getattr(model, "allow_nan", False)
    n, rows = (1, X) if in_context else (len(X), None)
    table = inference.samples(guarded, fit, n, rows, np.random.default_rng(entropy))
    moments = kinds.column_moments(table, None)
    problem = amortised.problem(estimator, model, table, units_for(guarded, moments), estimator.gradient)
    trainer = Trainer(problem)
    state = trainer.starts(1, entropy, moments)[0]
    theta = fit.theta
    if offers(model, COLUMN_UNITS):
        theta = guarded.params_in_units(theta, *fit.state.units.seen_from(problem.units))
    state.parameters[...] = state.average[...] = theta
    n_epochs = ceil(EPOCHS_SHARE * estimator.max_iter)
    trainer.run(state, n_epochs, Unmonitored(), default_backend(), watched=False)
    return trainer.parameters(state)[2]
