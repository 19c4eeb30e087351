"""A model, rows of data and settings: the input of training and inference."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from skwakesleep._engine.amortised.dreams import LocalSimulation, Simulation
from skwakesleep._engine.amortised.feature_maps import in_units
from skwakesleep._engine.amortised.forms import asked_forms
from skwakesleep._engine.amortised.optional_methods import COLUMN_UNITS, LOCAL_FACTORS, offers
from skwakesleep._engine.amortised.tuning import RegressionSettings
from skwakesleep._engine.amortised.units import UNCHANGED, Units


@dataclass(frozen=True)
class Settings:
    """What the user decides; see the parameters of the estimator.

    Attributes
    ----------
    gradient : str
        Asks for a form of the gradient, or "auto".
    n_dreams : int
        Pairs simulated at each step.
    batch_size : int or None
        Rows in a mini-batch; None for the default.
    learning_rate : float
        Step size of the optimizer.
    reuse_dreams : bool
        Whether dreams of earlier steps may be used again.
    fit_transformer : callable or None
        Fits a transformer to rows in the units of the columns, and returns it.
    regression : RegressionSettings
        Settings of the regression, without the function of the latents, which the model has.
    """

    gradient: str
    n_dreams: int
    batch_size: int | None
    learning_rate: float
    reuse_dreams: bool
    fit_transformer: Callable[[NDArray], Any] | None
    regression: RegressionSettings


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
        What the user decides.

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
    regression : RegressionSettings
        Settings of the regression, complete.
    """

    def __init__(self, model: Any, X: NDArray, units: Units, settings: Settings) -> None:
        self.model = model
        self.units = units
        self.settings = settings
        self.X = units.standardized(X)
        local = settings.gradient in ("auto", "direct") and offers(model, LOCAL_FACTORS)
        self.simulation = (LocalSimulation if local else Simulation)(model)
        self.rows = self.simulation.rows(self.X)
        self.forms = asked_forms(settings.gradient, self.simulation)
        feature_map = settings.regression.feature_map
        if settings.fit_transformer is not None:
            feature_map = in_units(settings.fit_transformer, UNCHANGED if local else units)
        latent_function = getattr(model, "latent_function", None)
        self.regression = replace(settings.regression, feature_map=feature_map, latent_function=latent_function)

    def projected(self, theta: NDArray) -> NDArray:
        """Return the nearest admissible parameters."""
        return self.model.project(theta) if hasattr(self.model, "project") else theta

    def params_in_units(self, theta: NDArray) -> NDArray:
        """Return parameters in the units of the columns, given those in standardized units."""
        if not offers(self.model, COLUMN_UNITS):
            return theta
        return self.model.params_in_units(theta, *self.units.seen_from(UNCHANGED))
