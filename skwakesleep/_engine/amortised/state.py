"""The state of an amortised training, and its result."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.amortised.dreams import StoredDreams
from skwakesleep._engine.amortised.kernels import FeatureMap
from skwakesleep._engine.amortised.progress import Progress
from skwakesleep._engine.amortised.units import UNCHANGED, Units
from skwakesleep._engine.machine.moments import Moments
from skwakesleep._engine.training.state import TrainingState, check_vector


@dataclass
class RegressionState:
    """The present settings of the regression, and how it has done so far.

    Attributes
    ----------
    n_steps : int
        Gradients computed so far.
    tuned_at : int or None
        Number of gradients at the last tuning; None if the next step must tune.
    n_dreamed, n_failed : int
        Simulations so far, and those of them that were not finite.
    weighing_preferred : bool
        Whether importance weighting is used, where there is a choice, even if few dreams are effective.
    form : str
        Name of the form of the gradient in use.
    bandwidth : float or None
        Bandwidth in units of the features; None if the regression is additive, without a kernel.
    ridge : float
        Ridge.
    factor : float or None
        The bandwidth relative to the center of its grid; None before the first tuning.
    feature_map : callable or None
        Map of observations to the inputs of the regression.
    memory : StoredDreams or None
        Dreams of an earlier step, to be used again.
    progress : Progress
        Whether the steps still climb.
    errors : list of float
        Leave-one-out error at each tuning, relative to predicting the mean.
    coverages : list of float
        Share of the data that dreams cover, at each tuning.
    effective_sample_sizes : list of float
        Median number of effective dreams for a row of data, at each tuning.
    """

    n_steps: int = 0
    tuned_at: int | None = None
    n_dreamed: int = 0
    n_failed: int = 0
    weighing_preferred: bool = False
    form: str = ""
    bandwidth: float | None = 1.0
    ridge: float = 1.0
    factor: float | None = None
    feature_map: FeatureMap | None = None
    memory: StoredDreams | None = None
    progress: Progress = field(default_factory=Progress)
    errors: list[float] = field(default_factory=list)
    coverages: list[float] = field(default_factory=list)
    effective_sample_sizes: list[float] = field(default_factory=list)

    @property
    def contrasted(self) -> bool:
        """Whether the mean over fresh dreams is subtracted from the gradient; it may change at each tuning."""
        return self.tuned_at is not None and self.progress.has_settled(self.tuned_at)

    def expire(self) -> None:
        """Make the next step dream and tune anew, because the parameters have changed by more than a step."""
        self.tuned_at = self.memory = None
        self.progress.interrupt()


@dataclass
class AmortisedState(TrainingState):
    """State of a training, with that of its regression.

    Attributes
    ----------
    regression : RegressionState
        State of the regression.
    units : Units
        The units that the parameters refer to.
    moments : Moments or None
        Moments of the rows so far.
    step_factor : float
        Multiplies the learning rate that the user asks for.
    """

    regression: RegressionState = field(default_factory=RegressionState)
    units: Units = UNCHANGED
    moments: Moments | None = None
    step_factor: float = 1.0

    def enter(self, units: Units, params_in_units: Callable[[NDArray, NDArray, NDArray], NDArray]) -> None:
        """Convert the parameters to other units, and reset the optimizer.

        Densities stay the same, except in columns whose spread shows only now: there the standardized parameters stay
        the same. Otherwise their noise would be far too narrow for the new rows, and their location far away, and both
        would be learned slowly.
        """
        location, scale = self.units.seen_from(units)
        grown = self.units.have_grown(units)
        location, scale = np.where(grown, 0.0, location), np.where(grown, 1.0, scale)
        for parameters in (self.parameters, self.average):
            parameters[...] = params_in_units(parameters, location, scale)
        self.optimizer.reset()  # its moments are of gradients in the earlier units
        self.regression.expire()
        self.regression.progress = Progress()  # the rows are others
        self.units = units

    def change_course(self, factor: float) -> None:
        """Multiply the step size by a factor, and use the other form of the gradient if there are two."""
        # Kept apart from the learning rate, which the user may change between fits.
        self.step_factor *= factor
        self.optimizer.learning_rate *= factor
        self.regression.weighing_preferred = not self.regression.weighing_preferred

    def go_back(self, iterates: tuple[NDArray, NDArray, int, int]) -> None:
        """Return to earlier iterates, with a reset optimizer and a regression that is tuned anew."""
        super().go_back(iterates)
        self.regression.expire()

    def copy(self) -> "AmortisedState":
        """Return a copy that can be trained without changing this state."""
        other: Any = super().copy()
        other.regression = deepcopy(self.regression)  # training appends to its lists
        return other

    def for_inference(self) -> "AmortisedState":
        """Return a state that serves inference alone; it keeps the settings of the regression and how it did."""
        other: Any = super().for_inference()
        # A feature map may hold a transformer of the user's, and stored dreams are large. Inference makes its own.
        progress = replace(self.regression.progress)
        progress.interrupt()
        other.regression = replace(self.regression, feature_map=None, memory=None, progress=progress)
        return other

    def check(self, n_parameters: int) -> None:
        """Raise ValueError unless all that was learned is finite and of the right size."""
        super().check(n_parameters)
        if self.regression.memory is not None:
            self.regression.memory.check()
        self.regression.progress.check(n_parameters)


@dataclass(frozen=True)
class Fit:
    """The result of a training: all that the methods of a fitted estimator read.

    Attributes
    ----------
    model : GenerativeModel
        The model.
    state : AmortisedState
        State at the end.
    theta : ndarray of shape (P,)
        Parameters in the units of the state.
    theta_in_units : ndarray of shape (P,)
        Parameters in the units of the columns.
    """

    model: Any
    state: AmortisedState
    theta: NDArray
    theta_in_units: NDArray

    def check(self) -> None:
        """Raise ValueError unless all that was learned is finite and of the right size."""
        for name in ("theta", "theta_in_units"):
            check_vector(name, getattr(self, name), self.model.n_params)
        self.state.check(self.model.n_params)
