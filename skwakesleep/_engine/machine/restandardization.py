"""Standardization that follows a stream of rows: columns get new units, and the parameters are carried along."""

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.machine.families import Gaussian
from skwakesleep._engine.machine.fitted import FittedMachine
from skwakesleep._engine.machine.moments import Moments
from skwakesleep._engine.machine.networks import Machine
from skwakesleep._engine.training.layout import Views
from skwakesleep._engine.training.state import TrainingState

# Units are changed once a column's location is off by more than this part of its scale, or its scale by more than this
# factor. Smaller changes would gain nothing, and a stationary stream keeps its units.
TOLERATED_SHIFT = 0.1
TOLERATED_RATIO = 1.1
# The same for the smallest standard deviation.
TOLERATED_RESOLUTION = 2.0
# If a column's scale grows by more than this factor, the rows before did not show its spread.
FIRST_SPREAD = 2.0


def follow(machine: Machine, state: TrainingState, moments: Moments) -> Machine:
    """Return a machine that has seen rows of the given moments too, and carry the state's parameters along in place.

    Its columns have new units where the old ones have become unsuitable.
    """
    old = cast(Gaussian, machine.visible)
    seen = moments if old.seen is None else old.seen.merged(moments)
    new = Gaussian.of_moments(seen)
    if are_close(old, new):
        return machine.with_visible(old.having_seen(seen))
    change = ChangeOfUnits(machine, new, first_spread=FIRST_SPREAD)
    change.apply_to_state(state)
    for parameters in state.parameter_vectors:
        change.widen_noise(parameters)
    return machine.with_visible(new)


def restandardized(machine: Machine, moments: Moments) -> Machine:
    """Return a machine for rows of the given moments alone, with the units it has where these are suitable."""
    new = Gaussian.of_moments(moments)
    old = cast(Gaussian, machine.visible)
    return machine.with_visible(old.having_seen(moments) if are_close(old, new) else new)


def unified(replicas: Sequence[FittedMachine]) -> tuple[Machine, list[TrainingState]]:
    """Return one machine for replicas that have followed different rows, and copies of their states in its units."""
    first, *others = replicas
    states = [first.state.copy()]
    old = first.machine.visible
    seen = old.seen if isinstance(old, Gaussian) else None
    for other in others:
        states.append(other.state.copy())
        if isinstance(old, Gaussian):
            ChangeOfUnits(other.machine, old).apply_to_state(states[-1])
            theirs = cast(Gaussian, other.machine.visible).seen
            seen = seen.merged(theirs) if seen is not None and theirs is not None else None
    if not isinstance(old, Gaussian) or seen is None:
        return first.machine, states
    seen = replace(seen, counts=seen.counts / len(replicas))  # each has counted the rows from before they went apart
    return first.machine.with_visible(old.having_seen(seen)), states


def are_close(old: Gaussian, new: Gaussian) -> bool:
    """Whether the old units serve columns that would be given the new ones."""
    with np.errstate(over="ignore"):  # units beyond comparison are not close
        shift = np.abs(old.location - new.location) / new.scale
    ratio = np.abs(np.log(old.scale) - np.log(new.scale))
    resolution = np.abs(np.log(_resolution(old)) - np.log(_resolution(new)))
    return bool(
        (shift <= TOLERATED_SHIFT).all()
        and (ratio <= np.log(TOLERATED_RATIO)).all()
        and (resolution <= np.log(TOLERATED_RESOLUTION)).all()
    )


def _resolution(visible: Gaussian) -> NDArray:
    """Return the smallest standard deviation of each column, in the user's units."""
    return visible.scale * np.sqrt(visible.smallest_variance)


class ChangeOfUnits:
    """The map ``y' = ratio * y + shift`` between two standardizations of the columns, for a machine's parameters.

    Afterwards both networks do what they did in the user's units. That is of no use for a column whose spread was not
    seen before: its weights would be far too small on the way out and far too large on the way in. Its parameters are
    taken to be in the new units already, and its noise to be as wide as the column.

    Parameters
    ----------
    machine : Machine
        The machine, with its old units.
    new : Gaussian
        The new units.
    first_spread : float
        Growth of a scale beyond which the spread was not seen before.
    """

    def __init__(self, machine: Machine, new: Gaussian, first_spread: float = np.inf) -> None:
        old = cast(Gaussian, machine.visible)
        self._machine = machine
        self._old, self._new = old, new
        unseen = new.scale > first_spread * old.scale
        if old.seen is not None and new.seen is not None:
            unseen |= (old.seen.deviations == 0) & (new.seen.deviations > 0)
        with np.errstate(over="ignore"):  # in columns whose spread was not seen
            self._ratio = np.where(unseen, 1.0, old.scale / new.scale)
            self._shift = np.where(unseen, 0.0, (old.location - new.location) / new.scale)
        self._unseen = unseen

    def apply_to_state(self, state: TrainingState) -> None:
        """Rewrite all parameters of a state, and what its optimizer remembers."""
        for parameters in state.parameter_vectors:
            self.apply(parameters)
        state.optimizer.rescale(self.factors(state.parameters))

    def apply(self, flat: NDArray) -> None:
        """Rewrite a flat parameter vector in place."""
        networks = self._machine.bind(flat)
        visible, recognition = networks.generative[-1], networks.recognition[0]
        variance = np.where(self._unseen, 1.0, self._old.variance(visible) * np.square(self._ratio))
        self._set_variance(visible, variance)
        self._multiply(visible, recognition)
        visible["intercept"] += self._shift
        if "triangle" in visible:
            visible["intercept"] -= self._shift @ visible["triangle"]
        recognition["intercept"] -= self._shift @ recognition["weights"]

    def widen_noise(self, flat: NDArray) -> None:
        """Add what the variance of each column has grown by to its noise, since it is yet to be explained."""
        visible = self._machine.bind(flat).generative[-1]
        self._set_variance(visible, self._new.variance(visible) + np.maximum(1 - np.square(self._ratio), 0))

    def _set_variance(self, visible: Views, variance: NDArray) -> None:
        smallest = self._new.smallest_variance
        visible["log_variance"][...] = np.log(np.maximum(variance - smallest, smallest))

    def factors(self, flat: NDArray) -> NDArray:
        """Return what each parameter is multiplied by; what is added to it does not concern its gradient."""
        factors = np.ones_like(flat)
        networks = self._machine.bind(factors)
        self._multiply(networks.generative[-1], networks.recognition[0])
        return factors

    def _multiply(self, visible: Views, recognition: Views) -> None:
        visible["weights"] *= self._ratio
        visible["intercept"] *= self._ratio
        if "triangle" in visible:
            visible["triangle"] *= self._ratio / self._ratio[:, np.newaxis]
        recognition["weights"] /= self._ratio[:, np.newaxis]
