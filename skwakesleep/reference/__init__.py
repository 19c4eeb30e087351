"""Simple densities of binary rows with exact likelihoods, to hold a fit against.

They form a ladder: independent columns, the best tree of pairwise dependencies, a mixture of independent columns. A
model with hidden units should do better than all of them on the same rows; `compare_densities` says by how much, and
how sure that is.
"""

from skwakesleep.reference._chow_liu_tree import ChowLiuTree
from skwakesleep.reference._comparison import compare_densities
from skwakesleep.reference._independent_bernoulli import IndependentBernoulli
from skwakesleep.reference._mixture import BernoulliMixture

__all__ = ["BernoulliMixture", "ChowLiuTree", "IndependentBernoulli", "compare_densities"]
