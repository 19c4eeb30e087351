"""Simple densities of binary rows with exact likelihoods, as references for a fitted machine.

They are: independent columns, the best tree of pairwise dependencies, and a mixture of independent columns. A model
with hidden units should score higher than all of them on the same rows. `compare_densities` returns the differences
and their standard errors.
"""

from skwakesleep.reference._chow_liu_tree import ChowLiuTree
from skwakesleep.reference._comparison import compare_densities
from skwakesleep.reference._mixture import BernoulliMixture, IndependentBernoulli

__all__ = ["BernoulliMixture", "ChowLiuTree", "IndependentBernoulli", "compare_densities"]
