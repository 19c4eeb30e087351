"""Expectation maximization of mixtures, from several starts."""

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skwakesleep._adapters.parameters import entropy
from skwakesleep._adapters.sklearn_compat import Interval

# Constraints of the parameters of a mixture.
MIXTURE_CONSTRAINTS: dict = {
    "n_components": [Interval(Integral, 1, None, closed="left")],
    "n_init": [Interval(Integral, 1, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "tol": [Interval(Real, 0, None, closed="left")],
    "random_state": ["random_state"],
}


def maximized(
    mixture: Any, start: Callable[[np.random.Generator], Any], iterate: Callable[[Any], tuple[float, Any]]
) -> tuple[Any, dict[str, Any]]:
    """Return the best components of several starts, and fitted attributes that describe how they were found.

    Parameters
    ----------
    mixture : estimator
        Its parameters are the number of starts, when to stop, and the seed.
    start : callable
        Returns components to begin with.
    iterate : callable
        Returns the objective of components, in nats per row, and better components.
    """
    # Expectation maximization finds local maxima, so that the best of several starts is kept.
    generator = np.random.default_rng(entropy(mixture.random_state))
    runs = [_climb(mixture, start(generator), iterate) for _ in range(mixture.n_init)]
    components, lower_bounds, converged = max(runs, key=lambda run: run[1][-1])
    return components, {
        "lower_bound_": lower_bounds[-1],
        "lower_bounds_": lower_bounds,
        "converged_": converged,
        "n_iter_": len(lower_bounds),
    }


def _climb(mixture: Any, components: Any, iterate: Callable[[Any], tuple[float, Any]]) -> tuple[Any, list[float], bool]:
    """Return the components after the last iteration, the objective in each iteration, and whether it converged."""
    lower_bounds: list[float] = []
    for _ in range(mixture.max_iter):
        objective, components = iterate(components)
        lower_bounds.append(objective)
        if len(lower_bounds) > 1 and lower_bounds[-1] - lower_bounds[-2] < mixture.tol:
            return components, lower_bounds, True
    return components, lower_bounds, False


def convergence_notices(mixture: Any) -> list[Warning]:
    """Return a warning unless a mixture converged."""
    if mixture.converged_:
        return []
    message = (
        f"{type(mixture).__name__} did not converge: after max_iter={mixture.max_iter} iterations its improvement is "
        f"not below tol={mixture.tol}. Increase max_iter or tol."
    )
    return [ConvergenceWarning(message)]
