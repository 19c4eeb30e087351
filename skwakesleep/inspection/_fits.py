"""What the diagnostics need of a fitted estimator: the fit, names of parameters, and data sets that it simulates."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.amortised.inference import samples
from skwakesleep._engine.amortised.state import Fit
from skwakesleep.models._checks import GuardedModel

# Relative change of a parameter, to see which named value depends on it.
CHANGE = 1e-4


def checked_fit(estimator: Any, X: Any) -> tuple[Fit, NDArray]:
    """Return the fit of an estimator for a black-box model, and a valid table."""
    if not hasattr(estimator, "estimate_gradient"):
        raise TypeError(f"estimator must be a fitted AmortisedWakeSleep. Got {estimator!r}.")
    return estimator._checked(X)


def flat_values(params: Mapping[str, Any]) -> dict[str, float]:
    """Return the single numbers of named arrays, by label, such as "loadings[0, 1]"."""
    return {
        f"{name}[{', '.join(map(str, index))}]" if index else name: float(value)
        for name, values in params.items()
        for index, value in np.ndenumerate(np.asarray(values, dtype=np.float64))
    }


def parameter_labels(fit: Fit) -> NDArray:
    """Return a label for each entry of the flat vector: that of the only named number that depends on it, if so."""
    model, theta = GuardedModel(fit.model), fit.theta_in_units
    labels = [f"theta[{number}]" for number in range(len(theta))]
    if hasattr(model, "unpack"):
        before = flat_values(model.unpack(theta))
        for number, value in enumerate(theta):
            changed = theta.copy()
            changed[number] += CHANGE * max(1.0, abs(value))
            after = flat_values(model.unpack(changed))
            names = [name for name in before if after[name] != before[name]]
            labels[number] = names[0] if len(names) == 1 else labels[number]
    return np.array(labels)


def simulator(fit: Fit, X: NDArray) -> Callable[[np.random.Generator], NDArray]:
    """Return a function that simulates a data set of as many rows, with the same covariates and missing cells."""
    given = hasattr(fit.model, "sample_given") or getattr(fit.model, "allow_nan", False)
    n, rows = (1, X) if given else (len(X), None)
    return lambda rng: samples(GuardedModel(fit.model), fit, n, rows, rng)
