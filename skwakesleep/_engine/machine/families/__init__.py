"""Distributions of units given their natural parameters, one file each."""

from skwakesleep._engine.machine.families.bernoulli import Bernoulli
from skwakesleep._engine.machine.families.cells import Cells, Grid
from skwakesleep._engine.machine.families.gaussian import Gaussian
from skwakesleep._engine.machine.families.protocol import ColumnFamily, Domain, Family, Group, ScaleFamily, single_units

__all__ = [
    "Bernoulli",
    "Cells",
    "ColumnFamily",
    "Domain",
    "Family",
    "Gaussian",
    "Grid",
    "Group",
    "ScaleFamily",
    "single_units",
]
