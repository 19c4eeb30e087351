"""What a fitted Helmholtz machine offers: its parameters, features, densities and samples."""

import warnings
from copy import copy
from functools import partial
from typing import Any

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, DensityMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from skwakesleep._adapters.frames import library_of
from skwakesleep._adapters.machine_tables import read_machine_table
from skwakesleep._adapters.parameters import check_certification, check_n_samples, entropy
from skwakesleep._adapters.sklearn_compat import output_library
from skwakesleep._adapters.tables import check_matrix, is_frame
from skwakesleep._adapters.threads import limited_threads
from skwakesleep._conditioning import ConditioningMixin
from skwakesleep._engine.arrays.backend import default_backend
from skwakesleep._engine.arrays.random import FineNoise
from skwakesleep._engine.machine.fitted import FittedMachine
from skwakesleep._engine.machine.free_parameters import n_free_parameters
from skwakesleep._engine.machine.networks import Machine
from skwakesleep._engine.machine.rows import Rows
from skwakesleep._engine.posterior.certification import certify
from skwakesleep._engine.posterior.conditioning import expected_columns
from skwakesleep._engine.posterior.likelihood import estimate
from skwakesleep._engine.training.state import TrainingState
from skwakesleep._information_criteria import InformationCriteriaMixin

# Rows computed at a time by `transform`: a few megabytes of scratch arrays.
TRANSFORM_BLOCK = 128
# Below this effective sample size one particle has most of the weight.
MIN_EFFECTIVE_SIZE = 2.0
# Minimum number of rows for the warning: a few rows say little about a machine.
MIN_ROWS_TO_WARN = 10


class FittedMachineMixin(
    ConditioningMixin, InformationCriteriaMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, DensityMixin
):
    """Parameters, features, densities and samples of a machine that was fitted.

    The estimator has a `FittedMachine` as its attribute ``_fitted``, and the parameters `output`,
    `n_score_particles` and `n_score_steps`.
    """

    @property
    def _n_features_out(self):
        return self._fitted.machine.hidden_sizes[-1]

    # The engine lists the generative layers top down, the prior first; fitted attributes are bottom up.
    @property
    def generative_coefs_(self):
        """Weights of the generative network, bottom up."""
        return [views["weights"] for views in self._views().generative[:0:-1]]

    @property
    def generative_intercepts_(self):
        """Intercepts of the generative network, bottom up."""
        return [views["intercept"] for views in self._views().generative[:0:-1]]

    @property
    def prior_intercept_(self):
        """Logits of the prior over the top layer."""
        return self._views().generative[0]["intercept"]

    @property
    def recognition_coefs_(self):
        """Weights of the recognition network, bottom up."""
        return [views["weights"] for views in self._views().recognition]

    @property
    def recognition_intercepts_(self):
        """Intercepts of the recognition network, bottom up."""
        return [views["intercept"] for views in self._views().recognition]

    @property
    def autoregressive_coefs_(self):
        """Strictly upper triangular weights of the autoregressive layers, by layer."""
        views = self._views()
        named = zip(self._fitted.machine.layers, [*views.generative, *views.recognition], strict=True)
        return {layer.name: own["triangle"] for layer, own in named if layer.autoregressive}

    @property
    def components_(self):
        """The bottom generative weights."""
        return self.generative_coefs_[0]

    @property
    def n_parameters_(self):
        """Number of free parameters of the generative network."""
        self._views()
        return n_free_parameters(self._fitted.machine)

    def _views(self):
        if not self.__sklearn_is_fitted__():
            raise AttributeError(f"This {type(self).__name__} is not fitted yet and has no parameters.")
        fitted = self._fitted
        return fitted.machine.views(fitted.parameters)

    # ------------------------------------------------------------------ features, density, samples

    def transform(self, X):
        """Infer the top hidden layer with the recognition network.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Data. NaN, None and what the library of a data frame takes for them are missing values.

        Returns
        -------
        H : ndarray of shape (n_samples, n_hidden)
            A number for each unit of the top hidden layer, in the float dtype of `X`. With ``output="activations"``,
            it is ``log(1 + exp(z))``, where `z` are the log-odds that the unit is active given the row, standardized by
            their mean and standard deviation over dreams. With "means" it is the probability that the unit is active.
            Means are passed upwards through the layers below, without sampling.

        Raises
        ------
        NotFittedError
            If the machine has not been fitted.

        ValueError
            If `X` has other columns than the training data, or values outside their domain.

        Examples
        --------
        >>> from skwakesleep import HelmholtzMachine
        >>> from skwakesleep.datasets import make_bars
        >>> X, _ = make_bars(100, random_state=0)
        >>> machine = HelmholtzMachine(8, max_iter=5, tol=None, random_state=0).fit(X)
        >>> machine.transform(X[:3]).shape
        (3, 8)
        """
        X = self._check_X(X)
        fitted = self._fitted  # read once: another thread may fit the machine meanwhile
        machine = fitted.machine
        backend = default_backend()
        recognition = machine.bind(fitted.parameters.astype(X.dtype), backend).recognition
        inferred = recognition.means
        if self.output == "activations":
            inferred = partial(fitted.activation_scale.astype(X.dtype).activations, recognition)
        H = np.empty((X.shape[0], machine.hidden_sizes[-1]), X.dtype)
        with limited_threads(TRANSFORM_BLOCK * machine.largest_matrix):
            for block, batch in Rows(X, machine.columns, X.dtype, backend).blocks(TRANSFORM_BLOCK):
                H[block] = inferred(batch.root)[: block.stop - block.start, 0]
        return H

    def inverse_transform(self, X):
        """Compute the expected columns given the top hidden layer.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_hidden)
            Numbers for the top hidden layer, as `transform` returns them.

        Returns
        -------
        X_original : ndarray or data frame of shape (n_samples, n_features)
            Expected columns, in the units of the training data. Means are passed downwards through the layers. The
            table is of the type that `sample` returns; in a data frame, whole numbers and booleans are rounded.

        Raises
        ------
        NotFittedError
            If the machine has not been fitted.

        ValueError
            If the number of columns of `X` is not the number of units of the top hidden layer.

        Examples
        --------
        >>> from skwakesleep import HelmholtzMachine
        >>> from skwakesleep.datasets import make_bars
        >>> X, _ = make_bars(100, random_state=0)
        >>> machine = HelmholtzMachine(8, max_iter=5, tol=None, random_state=0).fit(X)
        >>> machine.inverse_transform(machine.transform(X[:3])).shape
        (3, 16)
        """
        check_is_fitted(self)
        H = check_matrix(X)
        if H.shape[1] != self._n_features_out:
            raise ValueError(
                f"X has {H.shape[1]} columns, but the top hidden layer of HelmholtzMachine has "
                f"{self._n_features_out} units."
            )
        learned = copy(self)  # another thread may fit the machine meanwhile
        fitted = learned._fitted
        if self.output == "activations":
            H = fitted.activation_scale.astype(H.dtype).probabilities(H)
        networks = fitted.machine.bind(fitted.parameters.astype(H.dtype), default_backend())
        with limited_threads(len(H) * fitted.machine.largest_matrix):
            expected = expected_columns(fitted.machine, networks.generative, H)
        return learned._given_back(expected, X)

    def score_samples(self, X, return_std=False):
        """Compute the log-likelihood of each row.

        It is exact if the machine has at most 14 hidden units. Otherwise it is estimated by importance sampling with
        `n_score_particles` draws from the recognition network, annealed in `n_score_steps` steps: a lower bound in
        expectation. All rows share their random numbers, so the result is deterministic and depends on the row alone,
        and machines of the same shape are compared with the same random numbers.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Data. NaN, None and what the library of a data frame takes for them are missing values.

        return_std : bool, default=False
            Whether to return the Monte-Carlo standard error as well.

        Returns
        -------
        log_likelihood : ndarray of shape (n_samples,), float64
            Log-likelihood of each row under the generative network, in nats. For "gaussian" and "continuous" columns it
            is a log-density in the units of the data. With missing values it is that of the observed values, zero if
            there are none: scores of rows with other missing values are not comparable.

        std : ndarray of shape (n_samples,), float64
            Monte-Carlo standard error in nats, by the jackknife over the particles: zero if the log-likelihood is
            exact, NaN with a single particle. Since rows share their random numbers, errors of similar rows are
            correlated and hardly cancel in a mean. Only returned if `return_std`.

        Raises
        ------
        NotFittedError
            If the machine has not been fitted.

        ValueError
            If `X` has other columns than the training data, or values outside their domain.

        Warns
        -----
        UserWarning
            If in most rows a single particle has most of the weight. The log-likelihood is then too low by an unknown
            number of nats, which `certify` measures.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep import HelmholtzMachine
        >>> X = np.random.default_rng(0).integers(2, size=(50, 8))
        >>> machine = HelmholtzMachine(20, max_iter=3, tol=None, random_state=0).fit(X)
        >>> log_likelihood, std = machine.score_samples(X[:4], return_std=True)
        >>> log_likelihood.shape, (std < 0.2).all()
        ((4,), np.True_)
        """
        X = self._check_X(X)
        fitted = self._fitted
        # In float64 whatever the dtype of training: sums over many columns lose digits in float32.
        machine, parameters = fitted.machine, fitted.parameters.astype(np.float64)
        backend = default_backend()
        rows = Rows(X, machine.columns, np.float64, backend)
        with limited_threads(self.n_score_particles * machine.largest_matrix):
            scores = estimate(machine, parameters, rows, backend, **self._effort())
        self._warn_of_few_particles(scores.effective_size)
        return (scores.log_likelihood, scores.standard_error) if return_std else scores.log_likelihood

    def score(self, X, y=None):
        """Compute the mean log-likelihood of the rows.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Data. NaN, None and what the library of a data frame takes for them are missing values.

        y : None
            Ignored.

        Returns
        -------
        score : float
            Mean log-likelihood per row, in nats.

        Raises
        ------
        NotFittedError
            If the machine has not been fitted.

        ValueError
            If `X` has other columns than the training data, or values outside their domain.

        Examples
        --------
        >>> from skwakesleep import HelmholtzMachine
        >>> from skwakesleep.datasets import make_bars
        >>> X, _ = make_bars(100, random_state=0)
        >>> machine = HelmholtzMachine(8, max_iter=5, tol=None, random_state=0).fit(X)
        >>> machine.score(X) > -11.1  # nats per row; coin tosses would have -11.1
        True
        """
        return float(self.score_samples(X).mean())

    def certify(self, n_samples=200, *, confidence=0.95, random_state=None):
        """Measure the error of `score_samples` on samples of the machine.

        The causes of these samples are known, which gives an upper bound of their log-likelihood besides the lower
        bound that `score_samples` estimates. Both use `n_score_particles` and `n_score_steps`, which can be raised with
        `set_params` until the width is small enough. The error may be larger on rows that are unlike the samples.

        Parameters
        ----------
        n_samples : int, default=200
            Number of samples, at least 2.

        confidence : float, default=0.95
            Confidence of the intervals, in (0, 1).

        random_state : int, RandomState instance or None, default=None
            Seed of the samples and the particles. With None, each call draws anew.

        Returns
        -------
        certificate : Certificate
            Immutable record with the mean bounds `lower` and `upper` in nats per row, an `interval` that covers the
            exact mean log-likelihood of the samples, their `width` and its `width_interval`, and the effective sample
            size of each sample. ``print(certificate)`` shows a summary.

        Raises
        ------
        NotFittedError
            If the machine has not been fitted.

        ValueError
            If `n_samples` or `n_score_particles` is less than 2, or `confidence` not in (0, 1).

        Warns
        -----
        UserWarning
            If in most of the rows a single particle has most of the weight.

        Examples
        --------
        >>> import numpy as np
        >>> from skwakesleep import HelmholtzMachine
        >>> X = np.random.default_rng(0).integers(2, size=(50, 8))
        >>> machine = HelmholtzMachine(20, max_iter=3, tol=None, random_state=0).fit(X)
        >>> certificate = machine.certify(50, random_state=0)
        >>> certificate.width < 0.1
        True
        """
        check_is_fitted(self)
        n_samples = check_certification(n_samples, confidence, self.n_score_particles)
        fitted, seed = self._fitted, entropy(random_state)
        machine, parameters = fitted.machine, fitted.parameters.astype(np.float64)
        settings = {"n_dreams": n_samples, "confidence": float(confidence), **self._effort()}
        with limited_threads(self.n_score_particles * machine.largest_matrix):
            certificate = certify(machine, parameters, default_backend(), seed, **settings)
        self._warn_of_few_particles(certificate.effective_sizes)
        return certificate

    def _effort(self):
        """Return the parameters that determine the accuracy of scores."""
        return {"n_particles": int(self.n_score_particles), "n_steps": int(self.n_score_steps)}

    def _warn_of_few_particles(self, effective_sizes):
        """Warn if in most rows one particle has most of the weight."""
        median = np.median(effective_sizes)
        if self.n_score_particles == 1 or len(effective_sizes) < MIN_ROWS_TO_WARN or median >= MIN_EFFECTIVE_SIZE:
            return  # with a single particle, the user has decided
        share = np.mean(effective_sizes < MIN_EFFECTIVE_SIZE)
        warnings.warn(
            f"The log-likelihood is unreliable: in {share:.0%} of the rows a single particle has most of the "
            f"weight (median effective sample size {median:.1f} of n_score_particles={self.n_score_particles}), and it "
            f"is too low by an unknown number of nats. Raise n_score_steps, which is {self.n_score_steps}, to 50 or "
            "more, or n_score_particles; certify() measures the error.",
            UserWarning,
            stacklevel=3,
        )

    def sample(self, n_samples=1, random_state=None, given=None):
        """Draw independent samples from the generative network.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows to draw, with `given` for each of its rows.

        random_state : int, RandomState instance or None, default=None
            Seed of the samples. With None, each call draws anew.

        given : {array-like, sparse matrix, data frame} of shape (n_rows, n_features), default=None
            Rows whose missing values are drawn given those observed, see `impute_draws`.

        Returns
        -------
        X : ndarray or data frame of shape (n_samples, n_features) or (n_rows * n_samples, n_features)
            Samples, in the units of the training data; with `given` the samples of its first row, then those of the
            second, and so on. If the first fit was to a data frame with words or categories,
            or if `set_output` asks for one, a data frame with the names, dtypes and categories of the training data;
            else an array.

        Raises
        ------
        NotFittedError
            If the machine has not been fitted.

        TypeError
            If `n_samples` is not an int.

        ValueError
            If `n_samples` is less than 1.

        Examples
        --------
        >>> from skwakesleep import HelmholtzMachine
        >>> from skwakesleep.datasets import make_bars
        >>> X, _ = make_bars(100, random_state=0)
        >>> machine = HelmholtzMachine(8, max_iter=5, tol=None, random_state=0).fit(X)
        >>> machine.sample(3, random_state=0).shape
        (3, 16)
        """
        check_is_fitted(self)
        n_samples = check_n_samples(n_samples)
        learned, backend = copy(self), default_backend()  # another thread may fit the machine meanwhile
        fitted = learned._fitted
        noise = FineNoise(np.random.default_rng(entropy(random_state)))
        if given is not None:
            drawn, effective_sizes = self._filled(given, lambda some: some.draw(n_samples, noise))
            self._warn_of_few_particles(effective_sizes)
            return learned._given_back(drawn.swapaxes(0, 1).reshape(-1, drawn.shape[-1]))
        with limited_threads(n_samples * fitted.machine.largest_matrix):
            networks = fitted.machine.bind(fitted.parameters.astype(np.float64), backend)
            states = networks.generative.sample(None, (n_samples, 1), noise)
        return learned._given_back(fitted.machine.columns.decode(states[-1][:, 0], noise))

    def _given_back(self, values, rows=None):
        """Return decoded values as the table of the first fit came in; `rows` is the table that they are made from."""
        index = rows.index if is_frame(rows) and library_of(rows) == "pandas" else None
        return self._format.table(values, self.categories_, output_library(self), index)

    def _check_X(self, X):
        check_is_fitted(self)
        return read_machine_table(self, X, reset=False).values


def fitted_attributes(machine: Machine, state: TrainingState) -> dict[str, Any]:
    """Return the fitted attributes that stand for a state of training."""
    return {
        "lower_bounds_": list(state.lower_bounds),
        "lower_bound_": state.lower_bounds[-1] if state.lower_bounds else float("-inf"),
        "validation_scores_": list(state.validation_scores),
        "converged_": state.converged,
        "n_iter_": state.n_epochs,
        "_fitted": FittedMachine(machine, state),
    }
