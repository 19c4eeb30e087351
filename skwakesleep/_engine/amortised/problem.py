"""A model, rows of data and settings: the input of training and inference."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.amortised.dreams import Simulation, described_params, simulation_of
from skwakesleep._engine.amortised.feature_maps import in_units
from skwakesleep._engine.amortised.forms import asked_forms
from skwakesleep._engine.amortised.optional_methods import COLUMN_UNITS, LOCAL_FACTORS, offers
from skwakesleep._engine.amortised.units import UNCHANGED, Units
from skwakesleep._engine.arrays.numerics import differences

DEFAULT_BATCH_SIZE = 200


@dataclass(frozen=True)
class Settings:
    """What the user decides; see the parameters of the estimator.

    Attributes
    ----------
    gradient : str
        Asks for a form of the gradient, or "auto".
    n_dreams : int
        Pairs simulated at each step.
    batch_size : int
        Rows in a mini-batch, if there are as many.
    learning_rate : float
        Step size of the optimizer.
    reuse_dreams : bool
        Whether dreams of earlier steps may be used again.
    bandwidth : float or None
        Center of the grid of bandwidths; None for the median distance between dreams.
    ridge : float
        Center of the grid of ridges.
    tuned : bool
        Whether both are chosen by leave-one-out error; otherwise they are the centers.
    n_components : int or None
        Width of the feature maps "predictive" and "learned"; None for the number of independent targets.
    feature_map : callable, "predictive", "learned", "additive" or None
        A callable fits a feature map to dreamed observations. "predictive" keeps the directions that predict the
        targets, "learned" improves them by the gradient of the leave-one-out error. "additive" has no kernel, but a sum
        of functions of the linear predictions of the latents. None scales the columns.
    latent_function : callable or None
        Maps latents to what "additive" predicts linearly, ``(n, H)``. Only "additive" needs it.
    """

    gradient: str = "auto"
    n_dreams: int = 500
    batch_size: int = DEFAULT_BATCH_SIZE
    learning_rate: float = 0.02
    reuse_dreams: bool = False
    bandwidth: float | None = None
    ridge: float = 1e-4
    tuned: bool = True
    n_components: int | None = None
    feature_map: Callable[[NDArray], Any] | str | None = "predictive"
    latent_function: Callable[[Any], NDArray] | None = None


class Problem:
    """A model with rows of data, in the units in which the model sees them.

    Parameters
    ----------
    model : GenerativeModel
        A model whose calls are checked.
    X : ndarray of shape (n, D)
        Data in the units of the columns.
    units : Units
        The units that the parameters refer to.
    settings : Settings
        What the user decides. A callable `feature_map` fits a transformer to rows in the units of the columns.

    Attributes
    ----------
    X : ndarray of shape (n, D)
        The data in standardized units.
    rows : ndarray of shape (m, L)
        The rows to train on: the data, or the inputs of local factors.
    simulation : Simulation
        Simulates the dreams.
    forms : Forms
        The forms of the gradient to choose from.
    n_rows : int
        Number of rows whose likelihood a prior on the parameters is weighed with.
    settings : Settings
        The settings with the model's function of the latents, and a `feature_map` for rows in the units of training.
    """

    def __init__(self, model: Any, X: NDArray, units: Units, settings: Settings) -> None:
        self.model = model
        self.units = units
        self.X = units.standardized(X)
        local = settings.gradient in ("auto", "direct") and offers(model, LOCAL_FACTORS)
        self.simulation = simulation_of(model, self.X, local=local)
        self.rows = self.simulation.rows(self.X)
        self.n_rows = len(X)
        self.forms = asked_forms(settings.gradient, self.simulation)
        feature_map = settings.feature_map
        if callable(feature_map):
            # The inputs of local factors, and those of given rows, are not only columns.
            feature_map = in_units(feature_map, units if type(self.simulation) is Simulation else UNCHANGED)
        latent_function = getattr(model, "latent_function", None)
        self.settings = replace(settings, feature_map=feature_map, latent_function=latent_function)

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, indices: NDArray) -> NDArray:
        """Return the rows to train on at `indices`."""
        return self.rows[indices]

    def projected(self, theta: NDArray) -> NDArray:
        """Return the nearest admissible parameters."""
        return self.model.project(theta) if hasattr(self.model, "project") else theta

    def params_in_units(self, theta: NDArray) -> NDArray:
        """Return parameters in the units of the columns, given those in standardized units."""
        if not offers(self.model, COLUMN_UNITS):
            return theta
        return self.model.params_in_units(theta, *self.units.seen_from(UNCHANGED))

    def gradient_in_units(self, gradient: NDArray, theta: NDArray) -> NDArray:
        """Return the gradient with respect to parameters in the units of the columns.

        Parameters
        ----------
        gradient : ndarray of shape (P,)
            Gradient with respect to the standardized parameters.
        theta : ndarray of shape (P,)
            Parameters in the units of the columns.
        """
        if not offers(self.model, COLUMN_UNITS):
            return gradient
        location, scale = UNCHANGED.seen_from(self.units)
        # Central differences give the Jacobian of the standardized parameters. For most models these are an affine
        # function of `theta`, for which central differences are exact up to rounding.
        changes = differences(lambda params: self.model.params_in_units(params, location, scale), theta)
        return np.array([gradient @ change / length for change, length in changes])

    def score(self, theta: NDArray, rows: NDArray) -> float:
        """Return the mean log-likelihood of rows in standardized units, plus the log prior per row, in nats."""
        return float(self.model.log_likelihood(theta, rows).mean() + self._log_prior(theta))

    def grad_score(self, theta: NDArray, rows: NDArray) -> NDArray:
        """Return the gradient of `score`, for models that have that of the likelihood."""
        return self.model.grad_log_likelihood(theta, rows) + self.grad_log_prior(theta)

    def grad_log_prior(self, theta: NDArray) -> NDArray:
        """Return the gradient of the log prior per row; zero without a prior."""
        if not offers(self.model, ["log_prior_params"]):
            return np.zeros_like(theta)
        if offers(self.model, ["grad_log_prior_params"]) and not offers(self.model, COLUMN_UNITS):
            return self.model.grad_log_prior_params(theta) / self.n_rows
        return np.array([change / length for change, length in differences(self._log_prior, theta)])

    def _log_prior(self, theta: NDArray) -> NDArray:
        if not offers(self.model, ["log_prior_params"]):
            return np.zeros(())
        return self.model.log_prior_params(self.params_in_units(theta)) / self.n_rows

    def described(self, reason: str, theta: NDArray) -> str:
        """Return the reason of a failure, with the parameters at which it occurred, in the units of the columns."""
        return f"{reason}, at {described_params(self.params_in_units(theta))}"


@contextmanager
def memory_limited_by(parameter: str, value: int) -> Iterator[None]:
    """Add the parameter to lower to the message when there is not enough memory."""
    try:
        yield
    except MemoryError as error:
        raise MemoryError(f"{parameter}={value} needs more memory than there is: {error} Lower {parameter}.") from error
