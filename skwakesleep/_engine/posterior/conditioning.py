"""Columns given others: their distribution under the posterior, and draws from it."""

import numpy as np
from numpy.typing import NDArray

from skwakesleep._engine.arrays.random import Noise
from skwakesleep._engine.machine.columns import Columns
from skwakesleep._engine.machine.layers import BoundLayer
from skwakesleep._engine.machine.predictions import Prediction
from skwakesleep._engine.machine.rows import Visible
from skwakesleep._engine.posterior.particles import Particles


def predict(columns: Columns, visible: BoundLayer, particles: Particles) -> list[Prediction]:
    """Return the distribution of the columns of each block, given what was observed of each row.

    Given the hidden units, the distribution of a column is known: its mean over the particles varies less than draws.

    Parameters
    ----------
    columns : Columns
        The columns of the machine.
    visible : BoundLayer
        The visible layer, not autoregressive.
    particles : Particles
        The posterior given what was observed.
    """
    weights, natural = particles.weights, visible.natural(particles.states)
    return [run.family.predict(run.codec, visible.params, weights, natural[..., run.units]) for run in columns.runs]


def draw(visible: BoundLayer, rows: Visible, particles: Particles, n_draws: int, noise: Noise) -> NDArray:
    """Draw the missing units of each row, given those observed, ``(B, n_draws, N)``.

    A particle is chosen by its weight, then the units given its hidden units.
    """
    shares = np.cumsum(particles.weights, axis=1)
    levels = noise.uniform((len(shares), n_draws), np.dtype(np.float64)) * shares[:, -1:]
    chosen = np.minimum((shares[:, np.newaxis] <= levels[..., np.newaxis]).sum(axis=-1), shares.shape[1] - 1)
    row = np.arange(len(shares))[:, np.newaxis]
    if particles.units is not None:
        return particles.units[row, chosen]
    states = particles.states[row if len(particles.states) > 1 else 0, chosen]
    missing = np.zeros(rows.units.shape, bool) if rows.missing is None else rows.missing
    return visible.complete(states, rows.units, missing, noise)
