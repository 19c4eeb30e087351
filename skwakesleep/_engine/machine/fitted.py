"""A machine together with the state of its training."""

from dataclasses import dataclass

from numpy.typing import NDArray

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

    def check(self) -> None:
        """Raise ValueError unless the two fit together."""
        self.machine.columns.check()
        self.state.check(self.machine.layout.size)
