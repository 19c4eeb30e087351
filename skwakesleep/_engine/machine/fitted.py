"""A machine together with the state of its training."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from skwakesleep._engine.arrays.backend import default_backend
from skwakesleep._engine.machine.features import ActivationScale
from skwakesleep._engine.machine.networks import Machine
from skwakesleep._engine.training.state import TrainingState


@dataclass(frozen=True)
class FittedMachine:
    """A machine and the state of its training in one object, so that the two always belong together."""

    machine: Machine
    state: TrainingState

    @property
    def parameters(self) -> NDArray:
        """The flat vector of the parameters to use."""
        return self.state.selected_parameters

    @cached_property
    def activation_scale(self) -> ActivationScale:
        """The scale of the activations, which are the features of rows."""
        return ActivationScale.of_dreams(self.machine, self.parameters, default_backend())

    def __getstate__(self) -> dict[str, Any]:
        """Return both parts, without the scale, which is computed when it is needed."""
        return {"machine": self.machine, "state": self.state}

    def check(self) -> None:
        """Raise ValueError unless the two fit together."""
        self.machine.columns.check()
        self.state.check(self.machine.layout.size)
