"""Simple densities with exact likelihoods, as references for a fitted machine.

For binary rows: independent columns, the best tree of pairwise dependencies, and a mixture of independent columns. For
tables with columns of any kind and missing values: independent columns, and a mixture of them. A model with hidden
units should score higher than all of them on the same rows. `compare_densities` returns the differences
and their standard errors.
"""

from skwakesleep.reference._chow_liu_tree import ChowLiuTree
from skwakesleep.reference._comparison import compare_densities
from skwakesleep.reference._latent_classes import IndependentColumns, LatentClasses
from skwakesleep.reference._mixture import BernoulliMixture, IndependentBernoulli

__all__ = [
    "BernoulliMixture",
    "ChowLiuTree",
    "IndependentBernoulli",
    "IndependentColumns",
    "LatentClasses",
    "compare_densities",
]
