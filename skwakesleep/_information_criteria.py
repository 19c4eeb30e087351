"""Information criteria of densities that know their number of parameters."""

import numpy as np
from sklearn.utils.metaestimators import available_if


def _has_likelihood(estimator):
    return hasattr(estimator, "score_samples")


class InformationCriteriaMixin:
    """Criteria of Akaike and Schwarz, for an estimator with `score_samples` and ``n_parameters_``."""

    @available_if(_has_likelihood)
    def aic(self, X):
        """Compute the Akaike information criterion of the data that the estimator was fitted to.

        Parameters
        ----------
        X : array-like, sparse matrix or data frame of shape (n_samples, n_features)
            Training data.

        Returns
        -------
        aic : float
            ``2 * n_parameters_ - 2 * L``, where `L` is the log-likelihood of all rows in nats. The lower the better.

        Raises
        ------
        NotFittedError, ValueError
            As `score_samples`.

        Notes
        -----
        For latent-variable models, held-out likelihood is the better criterion, see :ref:`information-criteria`.

        References
        ----------
        .. [1] H. Akaike. "A new look at the statistical model identification". IEEE Transactions on Automatic Control
           19 (1974) 716-723.

        Examples
        --------
        >>> from skwakesleep import HelmholtzMachine
        >>> from skwakesleep.datasets import make_bars
        >>> X, _ = make_bars(100, random_state=0)
        >>> machine = HelmholtzMachine(8, max_iter=5, tol=None, random_state=0).fit(X)
        >>> machine.aic(X) < machine.bic(X)
        True
        """
        return 2 * self.n_parameters_ - 2 * float(np.sum(self.score_samples(X)))

    @available_if(_has_likelihood)
    def bic(self, X):
        """Compute the Bayesian information criterion of the data that the estimator was fitted to.

        Parameters
        ----------
        X : array-like, sparse matrix or data frame of shape (n_samples, n_features)
            Training data.

        Returns
        -------
        bic : float
            ``log(n_samples) * n_parameters_ - 2 * L``, where `L` is the log-likelihood of all rows in nats. The lower
            the better.

        Raises
        ------
        NotFittedError, ValueError
            As `score_samples`.

        Notes
        -----
        For latent-variable models, held-out likelihood is the better criterion, see :ref:`information-criteria`.

        References
        ----------
        .. [1] G. Schwarz. "Estimating the dimension of a model". Annals of Statistics 6 (1978) 461-464.

        Examples
        --------
        >>> from skwakesleep import HelmholtzMachine
        >>> from skwakesleep.datasets import make_bars
        >>> X, _ = make_bars(100, random_state=0)
        >>> few, many = (HelmholtzMachine(n, max_iter=5, tol=None, random_state=0).fit(X) for n in (2, 50))
        >>> few.bic(X) < many.bic(X)
        True
        """
        scores = self.score_samples(X)
        return float(np.log(len(scores)) * self.n_parameters_ - 2 * np.sum(scores))
