"""The tree of pairwise dependencies with the highest likelihood."""

import numpy as np
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree

from skwakesleep._adapters.tables import dense
from skwakesleep.reference._base import BinaryDensity, column_sums, probabilities, smoothed_means


class ChowLiuTree(BinaryDensity):
    """The tree of pairwise dependencies between binary columns that has the highest likelihood.

    Each column except the root depends on one other column, its parent. The tree is the spanning tree of the columns
    with the largest sum of mutual information [1]_.

    The score of a row of fractions is the expected log-probability of zeros and ones drawn independently with these
    probabilities.

    Parameters
    ----------
    smoothing : float, default=1.0
        Number of pseudo-rows added to the data, in (0, inf). Conditional probabilities are smoothed by rows of
        independent columns. The means of these rows and of the root are smoothed by rows of the value 0.5.

    binarize : float or None, default=None
        Values above the threshold are ones, others zeros. With None, values must be in [0, 1]; fractions are
        probabilities.

    Attributes
    ----------
    parents_ : ndarray of shape (n_features,), int
        Parent of each column; -1 for the root.

    order_ : ndarray of shape (n_features,), int
        The columns, parents before children.

    conditionals_ : ndarray of shape (n_features, 2)
        Probability of a one in each column, if its parent is zero and if it is one. For the root, both are the same.

    n_features_in_ : int
        Number of features seen during `fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen during `fit`. Defined only when `X` has feature names that are all strings.

    References
    ----------
    .. [1] C. K. Chow, C. N. Liu. "Approximating discrete probability distributions with dependence trees". IEEE
       Transactions on Information Theory 14 (1968) 462-467.

    Examples
    --------
    >>> import numpy as np
    >>> from skwakesleep.reference import ChowLiuTree
    >>> first, third = np.random.default_rng(0).integers(2, size=(2, 100))
    >>> tree = ChowLiuTree().fit(np.column_stack([first, third, first]))
    >>> int(tree.parents_[2])  # a copy of the first column
    0
    """

    def _fitted_attributes(self, X):
        # For fractions, sums over pairs are expected counts: those of independent draws with these probabilities.
        n_samples, ones, both = X.shape[0], column_sums(X), dense(X.T @ X)
        means = smoothed_means(X, self.smoothing)
        marginals = probabilities((ones + self.smoothing * means) / (n_samples + self.smoothing))
        joint = (both + self.smoothing * np.outer(means, means)) / (n_samples + self.smoothing)
        order, parents = _maximum_spanning_tree(_mutual_information(joint, marginals))
        conditionals = np.column_stack([means, means])
        child, parent = order[1:], parents[order[1:]]
        added = self.smoothing * means[parent]
        conditionals[child, 1] = (both[child, parent] + added * means[child]) / (ones[parent] + added)
        added = self.smoothing * (1 - means[parent])
        zeros = n_samples - ones[parent]
        conditionals[child, 0] = (ones[child] - both[child, parent] + added * means[child]) / (zeros + added)
        return {"order_": order, "parents_": parents, "conditionals_": probabilities(conditionals)}

    def _log_prob(self, X):
        # Both conditionals of the root are the same, so that its parent, index -1, has no effect.
        zero, one = np.log1p(-self.conditionals_).T, np.log(self.conditionals_).T
        parents = X[:, self.parents_]
        given_zero = zero[0] + X * (one[0] - zero[0])
        given_one = zero[1] + X * (one[1] - zero[1])
        return ((1 - parents) * given_zero + parents * given_one).sum(axis=1)

    def _draw(self, n_samples, generator):
        X = generator.random((n_samples, len(self.order_)))
        for column in self.order_:
            parent = X[:, self.parents_[column]].astype(np.intp)  # no effect on the root
            X[:, column] = X[:, column] < self.conditionals_[column][parent]
        return X


def _mutual_information(both, means):
    """Return the mutual information of each pair of columns in nats, from probabilities of ones."""
    information = np.zeros_like(both)
    zeros, first = 1 - means, means[:, np.newaxis]
    for joint, left, right in (
        (1 - first - means + both, zeros, zeros),
        (means - both, zeros, means),
        (first - both, means, zeros),
        (both, means, means),
    ):
        positive = np.maximum(joint, np.finfo(float).tiny)  # rounding may give a small negative difference
        information += positive * (np.log(positive) - np.log(np.outer(left, right)))
    return information


def _maximum_spanning_tree(weights):
    """Return the columns, parents before children, and the parents in the maximum spanning tree."""
    if len(weights) == 1:
        return np.zeros(1, np.intp), np.array([-1])
    # SciPy's graphs take zeros as absent edges, so that the costs must be positive.
    costs = np.triu(1 + weights.max() - weights, k=1)
    order, parents = breadth_first_order(minimum_spanning_tree(costs), 0, directed=False)
    return order.astype(np.intp), np.where(parents < 0, -1, parents).astype(np.intp)
