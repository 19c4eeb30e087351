"""What a fitted estimator of a black-box model says of data, and its samples."""

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skwakesleep._adapters import amortised
from skwakesleep._adapters.parameters import check_n_samples, entropy
from skwakesleep._adapters.threads import limited_threads
from skwakesleep._engine.amortised import inference
from skwakesleep._engine.amortised.state import Fit
from skwakesleep._engine.arrays.random import Streams
from skwakesleep._information_criteria import InformationCriteriaMixin
from skwakesleep.models._checks import GuardedModel

# Columns of a typical table, for the size of the matrix products of a step.
N_TYPICAL_COLUMNS = 50


def _model_has(method):
    """Return a check, for `available_if`, that the model has a method; the default model has them all."""
    return lambda estimator: estimator.model is None or hasattr(estimator.model, method)


class FittedModel(InformationCriteriaMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """An estimator with a fitted model: gradient, posterior expectations, likelihoods and samples."""

    _fitted: Fit

    def _limited_threads(self):
        return limited_threads(N_TYPICAL_COLUMNS * self.n_sleep**2)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = bool(getattr(self.model, "allow_nan", False))
        return tags

    def _checked(self, X):
        """Return the fit, which another thread may replace meanwhile, and a valid table."""
        check_is_fitted(self)
        fit = self._fitted
        return fit, amortised.read_model_table(self, X, lambda n_columns: fit.model, reset=False)[0]

    def estimate_gradient(self, X, random_state=None):
        """Estimate the gradient of the mean log-likelihood of `X` at the fitted parameters.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.
        random_state : int, RandomState instance or None, default=None
            Seeds the dreams; None draws anew at each call.

        Returns
        -------
        gradient : ndarray of shape (n_params,)
            Gradient in nats per row (per local factor, where the model has these) and per unit of each parameter, from
            `n_sleep` dreams; contrasted with as many others if the training has settled.

        Raises
        ------
        NotFittedError
            If the estimator has not been fitted.
        ValueError
            If `X` has other columns than the training data, or the model gives something other than its protocol says.

        Examples
        --------
        >>> from skwakesleep import AmortisedWakeSleep, datasets
        >>> X, _ = datasets.make_ring(100, random_state=0)
        >>> fitted = AmortisedWakeSleep(n_sleep=100, max_iter=5, random_state=0).fit(X)
        >>> fitted.estimate_gradient(X, random_state=0).shape
        (24,)
        """
        fit, X = self._checked(X)
        with self._limited_threads():
            problem = amortised.problem(self, fit.model, X, fit.state.units, fit.state.regression.form)
            return inference.estimate_gradient(problem, fit, Streams(entropy(random_state)))

    def expect(self, X, f):
        """Estimate the posterior expectation of any function of the latents.

        The function is evaluated at dreamed latents and regressed on the dreamed observations, with bandwidth and ridge
        tuned for it. If importance weighting was the form of the gradient at the end, it is used here too. The dreams
        are the same at each call.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.
        f : callable
            Maps latents, as the model's ``sample`` returns them, to an array of shape (n, ...).

        Returns
        -------
        expectation : ndarray of shape (n_samples, ...)
            Estimate of ``E[f(z) | x]`` for each row; for a model with local factors, for each of these.

        Raises
        ------
        NotFittedError, ValueError
            As for `estimate_gradient`.

        Examples
        --------
        >>> from skwakesleep import AmortisedWakeSleep, datasets
        >>> X, _ = datasets.make_ring(100, random_state=0)
        >>> fitted = AmortisedWakeSleep(n_sleep=100, max_iter=5, random_state=0).fit(X)
        >>> fitted.expect(X, lambda z: z[:, 0] > 0).shape  # probability that the first factor is positive
        (100,)
        """
        fit, X = self._checked(X)
        return self._expectation(fit, X, f)

    def _expectation(self, fit, X, f):
        with self._limited_threads():
            problem = amortised.problem(self, fit.model, X, fit.state.units, fit.state.regression.form)
            return inference.posterior_expectation(problem, fit, f)

    def transform(self, X):
        """Estimate the posterior expectation of the model's ``latent_function``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        H : ndarray of shape (n_samples, n_latent_features)
            ``expect(X, model.latent_function)``.

        Raises
        ------
        NotFittedError, ValueError
            As for `estimate_gradient`.
        AttributeError
            If the model has no ``latent_function``.

        Examples
        --------
        >>> from skwakesleep import AmortisedWakeSleep, datasets
        >>> X, _ = datasets.make_ring(100, random_state=0)
        >>> AmortisedWakeSleep(n_sleep=100, max_iter=5, random_state=0).fit(X).transform(X).shape
        (100, 2)
        """
        fit, X = self._checked(X)
        return self._expectation(fit, X, fit.model.latent_function)

    @property
    def n_parameters_(self):
        """Number of parameters that were fitted."""
        return len(self._fitted.theta)

    @property
    def _n_features_out(self):
        return inference.n_latent_features(self._fitted)

    @available_if(_model_has("log_likelihood"))
    def score_samples(self, X):
        """Compute the log-likelihood of each row, as the model computes it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        log_likelihood : ndarray of shape (n_samples,), float64
            Log-likelihood of each row in nats.

        Raises
        ------
        NotFittedError, ValueError
            As for `estimate_gradient`.
        AttributeError
            If the model has no ``log_likelihood``.

        Examples
        --------
        >>> from skwakesleep import AmortisedWakeSleep, datasets
        >>> X, _ = datasets.make_ring(100, random_state=0)
        >>> AmortisedWakeSleep(n_sleep=100, max_iter=5, random_state=0).fit(X).score_samples(X).shape
        (100,)
        """
        fit, X = self._checked(X)
        return inference.log_likelihood(GuardedModel(fit.model), fit, X)

    @available_if(_model_has("log_likelihood"))
    def score(self, X, y=None):
        """Compute the mean log-likelihood of the rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.
        y : None
            Ignored.

        Returns
        -------
        score : float
            Mean log-likelihood per row, in nats.

        Raises
        ------
        NotFittedError, ValueError, AttributeError
            As for `score_samples`.

        Examples
        --------
        >>> from skwakesleep import AmortisedWakeSleep, datasets
        >>> X, _ = datasets.make_ring(100, random_state=0)
        >>> fitted = AmortisedWakeSleep(n_sleep=100, max_iter=5, random_state=0).fit(X)
        >>> fitted.score(X) == float(fitted.score_samples(X).mean())
        True
        """
        return float(self.score_samples(X).mean())

    def sample(self, n_samples=1, random_state=None, given=None):
        """Draw independent samples from the fitted model.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows to draw, with `given` for each of its rows.
        random_state : int, RandomState instance or None, default=None
            Seeds the draw; None draws anew at each call.
        given : array-like of shape (n_rows, n_features) or None, default=None
            Rows to draw for, which a model with covariates needs. Samples have the covariates of these rows, and the
            same missing cells. The observations in these rows are not used.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features) or (n_rows * n_samples, n_features)
            Samples; with `given` those for its first row, then those for the second, and so on.

        Raises
        ------
        NotFittedError
            If the estimator has not been fitted.
        TypeError, ValueError
            If `n_samples` is not an int, or less than 1; if the model has covariates and `given` is None; if it has
            neither covariates nor missing cells and `given` is not None.

        Examples
        --------
        >>> from skwakesleep import AmortisedWakeSleep, datasets
        >>> X, _ = datasets.make_ring(100, random_state=0)
        >>> AmortisedWakeSleep(n_sleep=100, max_iter=5, random_state=0).fit(X).sample(3, random_state=0).shape
        (3, 6)
        """
        check_is_fitted(self)
        n_samples = check_n_samples(n_samples)
        rng = np.random.default_rng(entropy(random_state))
        fit, rows = (self._fitted, None) if given is None else self._checked(given)
        amortised.check_rows_to_sample_for(fit.model, rows)
        return inference.samples(GuardedModel(fit.model), fit, n_samples, rows, rng)


# scikit-learn wraps `transform` for `set_output` while the class is made, and would lose the condition.
FittedModel.transform = available_if(_model_has("latent_function"))(  # type: ignore[method-assign]
    FittedModel.transform
)
