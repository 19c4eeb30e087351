"""Units that follow a stream of rows: columns get new units, and the parameters are changed accordingly."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.machine.codecs import Standardization
from skwakesleep._engine.machine.columns import Block, Columns, Run
from skwakesleep._engine.machine.families import ScaleFamily
from skwakesleep._engine.machine.fitted import FittedMachine
from skwakesleep._engine.machine.networks import Machine
from skwakesleep._engine.training.layout import Views
from skwakesleep._engine.training.state import TrainingState

# If the scale of a column grows by more than this factor, the rows so far did not show its spread.
FIRST_SPREAD = 2.0


def follow(machine: Machine, state: TrainingState, rows: Columns) -> Machine:
    """Return the machine for rows that come after those so far, and change the state's parameters in place.

    Columns get new units if the old ones have become unsuitable.
    """
    new = machine.columns.merged(rows)
    change = ChangeOfUnits(machine, new, first_spread=FIRST_SPREAD)
    if not change.is_identity:
        change.apply_to_state(state)
        for parameters in state.parameter_vectors:
            change.widen_noise(parameters)
    return machine.with_columns(new)


def unified(replicas: Sequence[FittedMachine]) -> tuple[Machine, list[TrainingState]]:
    """Return one machine for replicas that have followed different rows, and copies of their states in its units."""
    first, *others = replicas
    states = [first.state.copy()]
    columns = first.machine.columns
    for other in others:
        states.append(other.state.copy())
        ChangeOfUnits(other.machine, columns).apply_to_state(states[-1])
    blocks = {}
    for kind, block in columns.blocks.items():
        codecs: list[Any] = [replica.machine.columns.blocks[kind].codec for replica in replicas]
        shared: Any = _with_all_rows(codecs) if codecs[0].follows_rows else codecs[0]
        blocks[kind] = Block(shared, block.columns)
    return first.machine.with_columns(Columns(blocks, columns.with_holes)), states


def _with_all_rows(codecs: Sequence[Standardization]) -> Standardization:
    """Return the first codec with a summary of the rows of all."""
    first, *others = codecs
    seen = first.seen
    for other in others:
        seen = seen.merged(other.seen) if seen is not None and other.seen is not None else None
    if seen is not None:  # each replica has counted the rows from before they were made
        seen = replace(seen, counts=seen.counts / len(codecs))
    return first.having_seen(seen)


class ChangeOfUnits:
    """The map ``y' = ratio * y + shift`` between two units of the columns, applied to the parameters of a machine.

    Both networks then compute the same as before in the user's units. This is useless for a column whose spread was not
    seen before: its weights would be far too small in the generative network and far too large in the recognition
    network. Its parameters are taken to be in the new units already, and its noise to be as wide as the column.

    Parameters
    ----------
    machine : Machine
        The machine with the old units.
    new : Columns
        The new units.
    first_spread : float
        Growth of a scale above which the spread was not seen before.
    """

    def __init__(self, machine: Machine, new: Columns, first_spread: float = np.inf) -> None:
        self._machine = machine
        self._runs = list(zip(machine.columns.runs, new.runs, strict=True))
        maps = [old.codec.map_to(run.codec) for old, run in self._runs]
        ratio, shift = (np.concatenate(parts) for parts in zip(*maps, strict=True))
        unseen = np.concatenate([old.codec.is_unseen(run.codec) for old, run in self._runs])
        unseen |= ratio < 1 / first_spread
        self._unseen = unseen
        self._ratio = np.where(unseen, 1.0, ratio)
        self._shift = np.where(unseen, 0.0, shift)
        self.is_identity = bool((ratio == 1).all() and (shift == 0).all()) and not unseen.any()

    def apply_to_state(self, state: TrainingState) -> None:
        """Change all parameters of a state and the memory of its optimizer."""
        for parameters in state.parameter_vectors:
            self.apply(parameters)
        state.optimizer.rescale(self.factors(state.parameters))

    def apply(self, flat: NDArray) -> None:
        """Change a flat parameter vector in place."""
        views = self._machine.views(flat)
        visible, recognition = views.generative[-1], views.recognition[0]
        for old, new in self._rescalable():
            ratio, unseen = self._ratio[new.units], self._unseen[new.units]
            variance = cast(ScaleFamily, old.family).variance(visible) * np.square(ratio)
            cast(ScaleFamily, new.family).set_variance(visible, np.where(unseen, 1.0, variance))
        self._multiply(visible, recognition)
        visible["intercept"] += self._shift
        if "triangle" in visible:
            visible["intercept"] -= self._shift @ visible["triangle"]
        recognition["intercept"] -= self._shift @ recognition["weights"][: len(self._shift)]

    def widen_noise(self, flat: NDArray) -> None:
        """Add the growth of each column's variance, which is not explained yet, to its noise."""
        visible = self._machine.views(flat).generative[-1]
        for _, new in self._rescalable():
            family = cast(ScaleFamily, new.family)
            growth = np.maximum(1 - np.square(self._ratio[new.units]), 0)
            family.set_variance(visible, family.variance(visible) + growth)

    def _rescalable(self) -> list[tuple[Run, Run]]:
        """Return the runs of standardized columns, before and after."""
        return [(old, new) for old, new in self._runs if old.codec.follows_rows]

    def factors(self, flat: NDArray) -> NDArray:
        """Return the factor of each parameter; a shift does not change its gradient."""
        factors = np.ones_like(flat)
        views = self._machine.views(factors)
        self._multiply(views.generative[-1], views.recognition[0])
        return factors

    def _multiply(self, visible: Views, recognition: Views) -> None:
        visible["weights"] *= self._ratio
        visible["intercept"] *= self._ratio
        if "triangle" in visible:
            visible["triangle"] *= self._ratio / self._ratio[:, np.newaxis]
        recognition["weights"][: len(self._ratio)] /= self._ratio[:, np.newaxis]  # indicators of holes follow
