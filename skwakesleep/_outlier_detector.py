"""Outlier detection by the likelihood under any density, behind scikit-learn's interface of outlier detectors."""

from copy import deepcopy
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin, clone
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skwakesleep._adapters.densities import dreams_like, held_out_scores, seeded
from skwakesleep._adapters.sklearn_compat import DocumentationLinkMixin, HasMethods, Interval, StrOptions
from skwakesleep._helmholtz_machine import HelmholtzMachine

# The p-value up to which a row is an outlier with contamination="auto".
LEVEL = 0.05
# With fewer reference scores, no p-value would be as low as the level.
MIN_REFERENCE = round(1 / LEVEL) - 1


def _check_reference(density, cv, what):
    """Raise AttributeError unless there are reference scores."""
    if cv is None and density is not None and not hasattr(density, "sample"):
        raise AttributeError(
            f"{what} needs the dreams of a density with a method `sample`, or held-out rows, but {density!r} has no "
            "`sample`. Set cv, for instance to 5, to hold out rows."
        )


def _has_p_values(detector):
    _check_reference(getattr(detector, "density_", detector.density), detector.cv, "p_values")
    return True


class DensityOutlierDetector(DocumentationLinkMixin, OutlierMixin, BaseEstimator):
    """Outlier detection by low likelihood under a density.

    A clone of the density is fitted to the rows. The score of a row is its log-likelihood, and rows whose score is
    below a threshold are outliers. Scores become p-values by comparison with reference scores. These are the scores of
    dreams, which are rows sampled from the fitted density, or those of held-out training rows.

    Parameters
    ----------
    density : estimator, default=None
        Density with the methods `fit` and `score_samples`, such as :class:`HelmholtzMachine`,
        :class:`~sklearn.mixture.GaussianMixture`, :class:`~sklearn.neighbors.KernelDensity`, a pipeline that ends with
        one of them, a density of `skwakesleep.reference`, or :class:`AmortisedWakeSleep` with a model that has a
        likelihood. None is a `HelmholtzMachine` with default parameters.

    contamination : "auto" or float, default="auto"
        How the threshold is chosen. With "auto", a row is an outlier if its p-value is at most 0.05. A float in
        (0, 0.5] is the share of training rows that score below the threshold, in cross-validation if `cv` is set.

    cv : int, cross-validation generator, iterable or None, default=None
        Folds in which training rows are held out. The density is fitted once more for each fold. An int is a number of
        folds of neighboring rows: pass ``KFold(5, shuffle=True)`` if their order has a meaning. With None, no rows are
        held out, and flexible densities of few rows give more false alarms than expected, see :ref:`anomalies`.

    n_dreams : int, default=1000
        Number of dreams, at least 19. Not used if `cv` is set.

    random_state : int, RandomState instance or None, default=None
        Seed of the dreams, and of the density where its own `random_state` is None. Pass an int for reproducible
        results across calls.

    Attributes
    ----------
    density_ : estimator
        The fitted density.

    offset_ : float
        Threshold of the scores, in nats: the decision function is ``score_samples(X) - offset_``.

    reference_scores_ : ndarray of shape (n_reference,) or None
        Log-likelihoods in nats, in ascending order: of the dreams, or of the held-out training rows if `cv` is set.
        None if the density has no method `sample` and `cv` is None.

    n_features_in_ : int
        Number of columns in `fit`, if the density says it.

    feature_names_in_ : ndarray of str of shape (`n_features_in_`,)
        Names of these columns, if they have names.

    See Also
    --------
    sklearn.ensemble.IsolationForest : Isolates rows by random splits; fast, and without a likelihood.
    sklearn.neighbors.LocalOutlierFactor : Compares the local density of a row with that of its neighbors.
    HelmholtzMachine.score_columns : Shows which columns make a row improbable.

    Notes
    -----
    With missing values, the score is the log-likelihood of the observed values. Dreams then have the missing cells of
    training rows drawn at random. A row with fewer values has a higher score, so it is less often an outlier.

    References
    ----------
    .. [1] C. M. Bishop. "Novelty detection and neural network validation". IEE Proceedings - Vision, Image and Signal
       Processing 141 (1994) 217-222.
    .. [2] V. Vovk. "Cross-conformal predictors". Annals of Mathematics and Artificial Intelligence 74 (2015) 9-28.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.mixture import GaussianMixture
    >>> from skwakesleep import DensityOutlierDetector
    >>> X = np.random.default_rng(0).normal(size=(200, 2))
    >>> detector = DensityOutlierDetector(GaussianMixture(random_state=0), random_state=0).fit(X)
    >>> detector.predict([[0, 0], [5, 5]])
    array([ 1, -1])
    >>> detector.p_values([[0, 0], [5, 5]]).round(3)
    array([1.   , 0.001])
    """

    _parameter_constraints = {
        "density": [HasMethods(["fit", "score_samples"]), None],
        "contamination": [StrOptions({"auto"}), Interval(Real, 0, 0.5, closed="right")],
        "cv": ["cv_object"],
        "n_dreams": [Interval(Integral, MIN_REFERENCE, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(self, density=None, *, contamination="auto", cv=None, n_dreams=1000, random_state=None):
        self.density = density
        self.contamination = contamination
        self.cv = cv
        self.n_dreams = n_dreams
        self.random_state = random_state

    def fit(self, X, y=None):
        """Fit the density to `X`, and choose the threshold.

        Parameters
        ----------
        X : array-like, sparse matrix or data frame of shape (n_samples, n_features)
            Training data, in any form that the density accepts.

        y : None
            Ignored.

        Returns
        -------
        self : DensityOutlierDetector
            The fitted detector.

        Raises
        ------
        ValueError
            If the threshold is not finite, if there are fewer than 19 held-out rows for ``contamination="auto"``, and
            as the density raises.

        AttributeError
            If ``contamination="auto"`` and there are no reference scores, because the density has no method `sample`
            and `cv` is None.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.neighbors import KernelDensity
        >>> from skwakesleep import DensityOutlierDetector
        >>> X = np.random.default_rng(0).normal(size=(200, 2))
        >>> detector = DensityOutlierDetector(KernelDensity(), contamination=0.1).fit(X)
        >>> int((detector.predict(X) == -1).sum())
        20
        """
        self._validate_params()
        density = HelmholtzMachine() if self.density is None else clone(self.density)
        if self.contamination == "auto":
            _check_reference(density, self.cv, "contamination='auto'")
        density = seeded(density, self.random_state).fit(X)
        reference = self._reference_scores(density, X)
        offset = self._threshold(density, X, reference)
        if not np.isfinite(offset):
            raise ValueError(f"The threshold must be finite, but {density!r} has scores that give {offset}.")
        self.density_, self.reference_scores_, self.offset_ = density, reference, float(offset)
        return self

    def _reference_scores(self, density, X):
        """Return the scores of dreams or of held-out rows in ascending order, None if there are neither."""
        if self.cv is not None:
            return np.sort(held_out_scores(density, X, self.cv))
        if not hasattr(density, "sample"):
            return None
        return np.sort(density.score_samples(dreams_like(density, X, self.n_dreams, self.random_state)))

    def _threshold(self, density, X, reference):
        """Return the score below which rows are outliers."""
        if self.contamination != "auto":
            return np.quantile(density.score_samples(X) if self.cv is None else reference, self.contamination)
        if len(reference) < MIN_REFERENCE:
            raise ValueError(
                f"contamination='auto' needs at least {MIN_REFERENCE} held-out rows, because no p-value is as low as "
                f"{LEVEL} with fewer. Got {len(reference)}. Set contamination to a share, or cv to None."
            )
        # Scores below it are those whose p-value is at most the level.
        return reference[int(LEVEL * (len(reference) + 1)) - 1]

    def score_samples(self, X):
        """Compute the log-likelihood of each row under the fitted density.

        Parameters
        ----------
        X : array-like, sparse matrix or data frame of shape (n_samples, n_features)
            Data.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Log-likelihoods in nats. The lower, the more abnormal.

        Raises
        ------
        NotFittedError
            If the detector has not been fitted.

        ValueError
            As the density raises, for example if `X` has other columns than in `fit`.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.neighbors import KernelDensity
        >>> from skwakesleep import DensityOutlierDetector
        >>> X = np.random.default_rng(0).normal(size=(200, 2))
        >>> detector = DensityOutlierDetector(KernelDensity(), random_state=0).fit(X)
        >>> detector.score_samples(X[:3]).shape
        (3,)
        """
        check_is_fitted(self)
        return self.density_.score_samples(X)

    def decision_function(self, X):
        """Compute by how much the score of each row is above the threshold.

        Parameters
        ----------
        X : array-like, sparse matrix or data frame of shape (n_samples, n_features)
            Data.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            ``score_samples(X) - offset_``, in nats. Negative values are outliers.

        Raises
        ------
        NotFittedError, ValueError
            As `score_samples`.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.neighbors import KernelDensity
        >>> from skwakesleep import DensityOutlierDetector
        >>> X = np.random.default_rng(0).normal(size=(200, 2))
        >>> detector = DensityOutlierDetector(KernelDensity(), random_state=0).fit(X)
        >>> detector.decision_function([[0, 0], [5, 5]]) > 0
        array([ True, False])
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X):
        """Predict whether each row is an outlier.

        Parameters
        ----------
        X : array-like, sparse matrix or data frame of shape (n_samples, n_features)
            Data.

        Returns
        -------
        labels : ndarray of int of shape (n_samples,)
            -1 for outliers, 1 for inliers.

        Raises
        ------
        NotFittedError, ValueError
            As `score_samples`.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.neighbors import KernelDensity
        >>> from skwakesleep import DensityOutlierDetector
        >>> X = np.random.default_rng(0).normal(size=(200, 2))
        >>> DensityOutlierDetector(KernelDensity(), random_state=0).fit(X).predict([[0, 0], [5, 5]])
        array([ 1, -1])
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    @available_if(_has_p_values)
    def p_values(self, X):
        """Compute the share of dreams, or of held-out training rows, whose score is as low as that of each row.

        The row itself is counted as one of them, as in any Monte-Carlo test [1]_. If it had their distribution, its
        p-value would be uniform.

        Parameters
        ----------
        X : array-like, sparse matrix or data frame of shape (n_samples, n_features)
            Data.

        Returns
        -------
        p_values : ndarray of shape (n_samples,)
            P-values from ``1 / (n + 1)`` to 1, where `n` is the number of dreams or held-out rows. With many rows,
            control the false discovery rate by :func:`scipy.stats.false_discovery_control`.

        Raises
        ------
        AttributeError
            If the density has no method `sample`, and `cv` is None.

        NotFittedError, ValueError
            As `score_samples`.

        References
        ----------
        .. [1] A. C. Davison, D. V. Hinkley. "Bootstrap Methods and their Application". Cambridge University Press,
           1997.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.neighbors import KernelDensity
        >>> from skwakesleep import DensityOutlierDetector
        >>> X = np.random.default_rng(0).normal(size=(200, 2))
        >>> detector = DensityOutlierDetector(KernelDensity(), n_dreams=99, random_state=0).fit(X)
        >>> detector.p_values([[9, 9]])
        array([0.01])
        """
        scores, reference = self.score_samples(X), self.reference_scores_
        return (1 + np.searchsorted(reference, scores, side="right")) / (1 + len(reference))

    @property
    def n_features_in_(self):
        """Number of columns in `fit`."""
        return self._fitted_density().n_features_in_

    @property
    def feature_names_in_(self):
        """Names of these columns, if they have names."""
        return self._fitted_density().feature_names_in_

    def _fitted_density(self):
        if "density_" not in vars(self):
            raise AttributeError("This DensityOutlierDetector is not fitted yet.")
        return self.density_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags = deepcopy(get_tags(HelmholtzMachine() if self.density is None else self.density).input_tags)
        return tags
