"""The tree of pairwise dependencies that fits best."""

import numpy as np
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree

from skwakesleep.reference._base import BinaryDensity, column_sums, dense, probabilities, smoothed_means


class ChowLiuTree(BinaryDensity):
    """The tree of pairwise dependencies between binary columns that has the highest likelihood.

    Each column depends on one other, its parent, but for the root. The tree is the one that spans the columns with
    the largest sum of mutual information [1]_.

    Of a row of fractions, the score is the expected log-probability of zeros and ones drawn independently with these
    probabilities.

    Parameters
    ----------
    smoothing : float, default=1.0
        Number of rows that are added to the data, in (0, inf), for the probability of a column given its parent: rows
        of independent columns. Their means, and those of the root, have as many rows of coin tosses added.

    binarize : float or None, default=None
        Values above it are ones, others zeros. None takes values in [0, 1], fractions being probabilities.

    Attributes
    ----------
    parents_ : ndarray of shape (n_features,), int
        Parent of each column; -1 for the root.

    order_ : ndarray of shape (n_features,), int
        The columns, parents before children.

    conditionals_ : ndarray of shape (n_features, 2)
        Probability of a one in each column where its parent is zero, and where it is one; for the root the same twice.

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

    def __init__(self, *, smoothing=1.0, binarize=None):
        self.smoothing = smoothing
        self.binarize = binarize

    def _fitted_attributes(self, X):
        # Sums over pairs are expected counts: of fractions, those of independent columns with these probabilities.
        n_samples, ones, both = X.shape[0], column_sums(X), dense(X.T @ X)
        means = smoothed_means(X, self.smoothing)
        marginals = probabilities((ones + self.smoothing * means) / (n_samples + self.smoothing))
        joint = (both + self.smoothing * np.outer(means, means)) / (n_samples + self.smoothing)
        order, parents = _largest_tree(_mutual_information(joint, marginals))
        conditionals = np.column_stack([means, means])
        child, parent = order[1:], parents[order[1:]]
        added = self.smoothing * means[parent]
        conditionals[child, 1] = (both[child, parent] + added * means[child]) / (ones[parent] + added)
        added = self.smoothing * (1 - means[parent])
        zeros = n_samples - ones[parent]
        conditionals[child, 0] = (ones[child] - both[child, parent] + added * means[child]) / (zeros + added)
        return {"order_": order, "parents_": parents, "conditionals_": probabilities(conditionals)}

    def _log_prob(self, X):
        # Of the root, both conditionals are the same, and any column serves as its parent.
        zero, one = np.log1p(-self.conditionals_).T, np.log(self.conditionals_).T
        above = X[:, self.parents_]
        given_zero = zero[0] + X * (one[0] - zero[0])
        given_one = zero[1] + X * (one[1] - zero[1])
        return ((1 - above) * given_zero + above * given_one).sum(axis=1)

    def _draw(self, n_samples, generator):
        X = generator.random((n_samples, len(self.order_)))
        for column in self.order_:
            above = X[:, self.parents_[column]].astype(np.intp)  # the root does not heed it
            X[:, column] = X[:, column] < self.conditionals_[column][above]
        return X


def _mutual_information(both, means):
    """Return the mutual information of each pair of columns in nats, from probabilities of ones."""
    information = np.zeros_like(both)
    for first, second in ((0, 0), (0, 1), (1, 0), (1, 1)):
        left, right = (means if value else 1 - means for value in (first, second))
        joint = both if first and second else left[:, np.newaxis] - both if first else right - both
        if not (first or second):
            joint = 1 - means[:, np.newaxis] - means + both
        joint = np.maximum(joint, np.finfo(float).tiny)
        information += joint * (np.log(joint) - np.log(np.outer(left, right)))
    return information


def _largest_tree(weights):
    """Return the columns, parents before children, and the parents in the tree of the largest sum of weights."""
    if len(weights) == 1:
        return np.zeros(1, np.intp), np.array([-1])
    # An absent edge is a zero here, so that the costs must be positive.
    costs = np.triu(1 + weights.max() - weights, k=1)
    order, parents = breadth_first_order(minimum_spanning_tree(costs), 0, directed=False)
    return order.astype(np.intp), np.where(parents < 0, -1, parents).astype(np.intp)
