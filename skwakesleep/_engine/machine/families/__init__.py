"""Distributions of units given their natural parameters, one file each."""

from skwakesleep._engine.machine.families.bernoulli import Bernoulli
from skwakesleep._engine.machine.families.gaussian import Gaussian
from skwakesleep._engine.machine.families.protocol import ColumnFamily, Domain, Family, ScaleFamily

__all__ = ["Bernoulli", "ColumnFamily", "Domain", "Family", "Gaussian", "ScaleFamily"]
