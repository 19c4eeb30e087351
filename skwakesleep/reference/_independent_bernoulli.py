"""Independent binary columns."""

import numpy as np

from skwakesleep.reference._base import BinaryDensity, smoothed_means


class IndependentBernoulli(BinaryDensity):
    """Independent binary columns: the baseline without any dependence.

    Parameters
    ----------
    smoothing : float, default=1.0
        Number of pseudo-rows of the value 0.5 added to the data, in (0, inf), so that unseen values have a positive
        probability. The value 1 is Jeffreys' prior.

    binarize : float or None, default=None
        Values above the threshold are ones, others zeros. With None, values must be in [0, 1]; fractions are
        probabilities.

    Attributes
    ----------
    means_ : ndarray of shape (n_features,)
        Probability of a one in each column.

    n_features_in_ : int
        Number of features seen during `fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen during `fit`. Defined only when `X` has feature names that are all strings.

    See Also
    --------
    ChowLiuTree : Each column depends on one other column.
    BernoulliMixture : The columns are independent given the component.

    Examples
    --------
    >>> import numpy as np
    >>> from skwakesleep.reference import IndependentBernoulli
    >>> coins = np.array([[0, 1], [1, 1], [0, 0], [1, 0]])
    >>> density = IndependentBernoulli().fit(coins)
    >>> density.score_samples(coins).round(3)
    array([-1.386, -1.386, -1.386, -1.386])
    """

    def __init__(self, *, smoothing=1.0, binarize=None):
        self.smoothing = smoothing
        self.binarize = binarize

    def _fitted_attributes(self, X):
        return {"means_": smoothed_means(X, self.smoothing)}

    def _log_prob(self, X):
        log_zero = np.log1p(-self.means_)
        return X @ (np.log(self.means_) - log_zero) + log_zero.sum()

    def _draw(self, n_samples, generator):
        return generator.random((n_samples, len(self.means_))) < self.means_
