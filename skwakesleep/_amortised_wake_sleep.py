"""Amortised learning by wake-sleep as a scikit-learn estimator."""

import warnings
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, clone
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skwakesleep._adapters import kinds, validation
from skwakesleep._adapters._sklearn import CallbackSupportMixin, HasMethods, Interval, StrOptions, with_callbacks
from skwakesleep._adapters.documentation import DocumentationLinkMixin
from skwakesleep._adapters.monitor import FitMonitor
from skwakesleep._adapters.tables import check_table
from skwakesleep._adapters.threads import limited_threads
from skwakesleep._adapters.training_state import DiscardableTrainingMixin
from skwakesleep._adapters.versions import VersionedPickleMixin
from skwakesleep._engine.amortised.dreams import (
    FailedSimulationsError,
    LocalFactors,
    Pairs,
    WholeObservations,
    described_params,
    failing_at,
    finite_draws,
    importance_weights,
    kept,
    memory_for,
)
from skwakesleep._engine.amortised.feature_maps import FittedTransformer
from skwakesleep._engine.amortised.forms import Direct, Exact, Exponential, Form, ImportanceWeighted
from skwakesleep._engine.amortised.gradient import AmortisedGradient, AmortisedState, Fit
from skwakesleep._engine.amortised.likelihood_watch import (
    N_WATCHED_ROWS,
    LikelihoodWatch,
    remaining_gain,
    significant,
    spread_rows,
)
from skwakesleep._engine.amortised.tuning import RegressionSettings, RegressionState, expectation
from skwakesleep._engine.amortised.units import Units, gradient_in_units
from skwakesleep._engine.arrays.random import Streams
from skwakesleep._engine.machine.moments import Moments
from skwakesleep._engine.training.loop import TrainingDivergedError, train
from skwakesleep._engine.training.optimizers import Adam
from skwakesleep._engine.training.state import check_vector
from skwakesleep.models import LatentFactors
from skwakesleep.models._checks import EXPONENTIAL, LOCAL, UNITS, GuardedModel, check_protocol, probe

DEFAULT_BATCH_SIZE = 200
# Directions of the observations that a kernel resolves, for the size of its matrix products.
N_DIRECTIONS = 50
# Units of columns that are not standardized.
AS_THEY_ARE = Units(np.zeros(1), np.ones(1))
# Magnitude of values whose squares, added up, are finite.
MAX_MAGNITUDE = 1e150
# How often a fit looks at the likelihood, where there is one.
N_LOOKS = 20
# Steps from which on a fit is compared with the exact gradient: shorter ones end for want of steps.
N_STEPS_TO_JUDGE = 200
# Nats per row whose gain by the exact gradient is worth a warning.
MUCH_TO_GAIN = 0.5
# Dreams drawn at the end of a training, to see whether the last step was one too far.
N_CHECKED_DREAMS = 20
# What each form of the gradient needs of a model.
NEEDS = {
    "exponential": EXPONENTIAL,
    "direct": ("grad_log_joint",),
    "importance": ("log_prob_x_given_z",),
    "exact": ("grad_log_likelihood",),
}


def _model_has(method):
    """Return a check, for `available_if`, that the model has a method; the default model has them all."""

    def check(estimator):
        return estimator.model is None or hasattr(estimator.model, method)

    return check


class AmortisedWakeSleep(
    DocumentationLinkMixin,
    VersionedPickleMixin,
    DiscardableTrainingMixin,
    CallbackSupportMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    BaseEstimator,
):
    """Maximum-likelihood fitting of any latent-variable model that can be simulated.

    The gradient of the log-likelihood is the posterior expectation of the gradient of the log joint, and a conditional
    expectation can be learned by regression: asleep, the model dreams pairs of latents and observations; a kernel ridge
    regression learns from them what the score is given an observation; awake, it is evaluated at the data [1]_. The
    posterior is never approximated, so latents may be discrete, mixed, or live on a circle.

    Parameters
    ----------
    model : GenerativeModel or None, default=None
        The model to fit: any object with the methods of `skwakesleep.models.GenerativeModel`, among them those in
        `skwakesleep.models`. None is factor analysis with up to two factors, ``LatentFactors(n_features, 2)``.

    gradient : {"auto", "exponential", "direct", "importance", "exact"}, default="auto"
        Form of the gradient. "direct" regresses scores and needs nothing but the required methods. "exponential"
        regresses natural parameters, for models that are exponential families given their latents; it is more accurate.
        "importance" weighs the dreamed latents by how well they explain each row, without any regression, for models
        that offer ``log_prob_x_given_z``. "exact" is the model's own ``grad_log_likelihood``, for comparison. "auto" is
        "exponential" where the model offers it, "direct" elsewhere; and "importance" instead, where it is on offer,
        from the 100th step on and as long as the median row has five or more effective dreams.

    n_sleep : int, default=500
        Pairs dreamed at each step. The time of a step grows with their cube, and linearly beyond 2000, where random
        features approximate the kernel, or without a kernel.

    batch_size : int or "auto", default="auto"
        Rows in a mini-batch. "auto" is ``min(200, n_samples)``.

    max_iter : int, default=200
        Number of epochs of a `fit`. All are trained: the objective is not known, so nothing can be stopped by it.

    learning_rate_init : float, default=0.02
        Step size of Adam, in the units of the parameters (of standardized columns, see Notes). It is halved whenever
        the likelihood has fallen, where there is one. What is kept of the iterates is their running average over the
        last tenth or so of the steps.

    bandwidth : float or "median", default="median"
        Standard deviation of the Gaussian kernel, in units of the features that it sees. "median" is the median
        distance between dreams.

    ridge : float, default=1e-4
        What is added to the diagonal of the kernel, whose entries are one, or near it in an additive regression.

    tune : {"loo"} or None, default="loo"
        Whether bandwidth and ridge are chosen anew every 25 steps, by leave-one-out error on dreams, from grids
        around the values given.

    n_components : int or None, default=None
        Width of the feature maps "predictive" and "learned". None is as many directions as there are independent
        targets.

    feature_map : {"predictive", "learned", "additive"}, transformer or None, default="predictive"
        What the kernel sees of the observations. "predictive" is the directions that predict the targets of the
        regression linearly, weighted by how well they do, by canonical correlation analysis. "learned" goes on from
        there by the gradient of the leave-one-out error, where held-out dreams confirm it: for latents that show in the
        observations otherwise than linearly. "additive" has no kernel: each latent is predicted linearly, and the
        targets as a sum of functions of single predictions and products of pairs. It is for up to some 50 independent
        latents that are not normal, of which a kernel says little, being blind to rotations. The model needs
        ``latent_function``, and to be an exponential family given its latents. A scikit-learn transformer is fitted to
        dreams. None is the columns with unit variance, of which a kernel resolves up to about 25; so are "predictive"
        and "learned" of three columns or fewer.

    reuse_sleep : bool, default=False
        Whether a step may use dreams of earlier ones, resampled by how likely they have become, as long as half of them
        are effective. For models that take long to simulate and have ``log_joint``; those of local factors always dream
        anew.

    n_restarts : int, default=1
        Number of fits from different starts, of which the one with the highest likelihood is kept. More than one needs
        a model with a likelihood.

    warm_start : bool, default=False
        Whether `fit` continues from the previous solution, optimizer and random streams included: two fits of five
        epochs then equal one of ten.

    random_state : int, RandomState instance or None, default=None
        Seeds the initialization, the order of rows, and the dreams. Pass an int for reproducible results across calls.

    verbose : int, default=0
        Whether to print a line per epoch.

    Attributes
    ----------
    params_ : dict of str to ndarray
        The fitted parameters by name; ``{"theta": theta_}`` where the model gives them none.

    theta_ : ndarray of shape (n_params,)
        The same as one flat vector.

    model_ : GenerativeModel
        The model that was fitted.

    gradient_ : str
        Form of the gradient in use at the end.

    bandwidth_ : float or None
        Bandwidth at the end; None if the regression is additive.

    ridge_ : float
        Ridge at the end.

    loo_errors_ : list of float
        Leave-one-out error of the regression at each tuning, as part of the error of predicting the mean. It says how
        well dreams explain themselves; it is not a likelihood.

    coverages_ : list of float
        Part of a mini-batch, at each tuning, that is as near to its nearest dream as dreams are to theirs. Data that
        are not covered teach little.

    effective_sample_sizes_ : list of float
        Median number of effective dreams for a row of data, at each tuning; empty unless the model offers
        ``log_prob_x_given_z``.

    failed_share_ : float
        Part of the simulations, in training, that were not finite and so left out.

    n_iter_ : int
        Number of epochs trained.

    n_steps_ : int
        Number of gradients that led to the parameters, one for each mini-batch.

    n_features_in_ : int
        Number of features seen during `fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen during `fit`. Defined only when `X` has feature names that are all strings.

    See Also
    --------
    HelmholtzMachine : Deep networks of binary units, with a recognition network.
    skwakesleep.models.check_generative_model : Tests a model of your own.

    Notes
    -----
    Models with ``column_units`` and ``params_in_units``, such as `LatentFactors` with normal noise, are trained
    in standardized columns. Parameters, scores, samples and gradients are in the units of `X`; only bounds of the model
    itself, such as its ``noise_floor``, are in standardized units. In `partial_fit` the units follow the stream. Other
    models see the columns as they are: standardize those whose scale is far from one.

    Where the model has a likelihood, `fit` looks at it now and then. When it falls, training goes on from the best
    parameters with smaller steps, and the best are what is kept; a warning says so when it has fallen at the end. With
    ``grad_log_likelihood``, fits of 200 steps and more are compared with the exact gradient, and a warning says when a
    short climb along it gains more than half a nat per row.

    Simulations that are not finite are left out, up to a tenth of each step's and what chance adds to that. The model
    is then fitted, and sampled from, given that a simulation succeeds. More than that is an error.

    Importance weighting follows the exact gradient closely, and so into the nearest maximum of the likelihood; the
    regression is smoother and passes by some. Where the likelihood has several maxima, as with binary latents, set
    ``n_restarts``.

    Methods that need something of the model exist only where it offers it: `transform` needs a ``latent_function``,
    `score` and `score_samples` a ``log_likelihood``.

    References
    ----------
    .. [1] L. K. Wenliang, T. Moskovitz, H. Kanagawa, M. Sahani. "Amortised learning by wake-sleep". ICML 2020.
       arXiv:2002.09737.

    Examples
    --------
    >>> import numpy as np
    >>> from skwakesleep import AmortisedWakeSleep
    >>> from skwakesleep.models import LatentFactors
    >>> rng = np.random.default_rng(0)
    >>> angle = rng.uniform(0, 2 * np.pi, (300, 1))
    >>> X = np.hstack([np.cos(angle), np.sin(angle)]) + 0.1 * rng.normal(size=(300, 2))
    >>> ring = LatentFactors(2, 1, latents="angle", noise="spherical")
    >>> fitted = AmortisedWakeSleep(ring, n_sleep=200, max_iter=120, random_state=0).fit(X)
    >>> fitted.score(X) > -1.3  # nats per row; a normal density has -2.1
    True
    >>> np.round(fitted.params_["noise_variance"], 2)
    array([0.01])
    """

    _parameter_constraints: dict = {
        "model": "no_validation",  # its protocol has many parts, see `check_protocol`
        "gradient": [StrOptions({"auto", *NEEDS})],
        "n_sleep": [Interval(Integral, 2, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "bandwidth": [StrOptions({"median"}), Interval(Real, 0, None, closed="neither")],
        "ridge": [Interval(Real, 0, None, closed="neither")],
        "tune": [StrOptions({"loo"}), None],
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "feature_map": [StrOptions({"predictive", "learned", "additive"}), HasMethods(["fit", "transform"]), None],
        "reuse_sleep": ["boolean"],
        "n_restarts": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        model=None,
        *,
        gradient="auto",
        n_sleep=500,
        batch_size="auto",
        max_iter=200,
        learning_rate_init=0.02,
        bandwidth="median",
        ridge=1e-4,
        tune="loo",
        n_components=None,
        feature_map="predictive",
        reuse_sleep=False,
        n_restarts=1,
        warm_start=False,
        random_state=None,
        verbose=0,
    ):
        self.model = model
        self.gradient = gradient
        self.n_sleep = n_sleep
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.learning_rate_init = learning_rate_init
        self.bandwidth = bandwidth
        self.ridge = ridge
        self.tune = tune
        self.n_components = n_components
        self.feature_map = feature_map
        self.reuse_sleep = reuse_sleep
        self.n_restarts = n_restarts
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    # ------------------------------------------------------------------ training

    def fit(self, X, y=None):
        """Fit the model's parameters to `X` by maximum likelihood.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data.

        y : None
            Ignored.

        Returns
        -------
        self : AmortisedWakeSleep
            The fitted estimator.

        Raises
        ------
        TypeError
            If the model lacks a method that is needed.

        ValueError
            If the model gives something other than its protocol says, if more than a tenth of the simulations fail, or
            if training diverges; the estimator then keeps the last finite parameters.

        KeyboardInterrupt
            If training is interrupted. With an epoch complete, the estimator is fitted as far as training got, and with
            ``warm_start=True`` another `fit` continues; otherwise it is left as it was.

        Warns
        -----
        UserWarning
            If the likelihood has fallen, or the exact gradient would raise it by much; if the regression predicts
            nothing; if `batch_size` is larger than the table.

        Examples
        --------
        >>> from skwakesleep import AmortisedWakeSleep
        >>> from skwakesleep.datasets import make_ring
        >>> from skwakesleep.models import LatentFactors
        >>> X, _ = make_ring(100, random_state=0)
        >>> ring = LatentFactors(6, 1, latents="angle")
        >>> fitted = AmortisedWakeSleep(ring, n_sleep=100, max_iter=5, random_state=0).fit(X)
        >>> fitted.n_iter_, fitted.theta_.shape
        (5, (24,))
        """
        fresh = not (self.warm_start and self.__sklearn_is_fitted__())
        for notice in self._train(X, fresh=fresh):
            warnings.warn(notice, stacklevel=2)
        return self

    def partial_fit(self, X, y=None):
        """Train for one epoch on `X`, continuing from whatever was learned before.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data, one part of a stream.

        y : None
            Ignored.

        Returns
        -------
        self : AmortisedWakeSleep
            The estimator.

        Raises
        ------
        ValueError
            If training diverges; what was learned before is kept.

        Examples
        --------
        >>> from skwakesleep import AmortisedWakeSleep
        >>> from skwakesleep.datasets import make_ring
        >>> from skwakesleep.models import LatentFactors
        >>> X, _ = make_ring(100, random_state=0)
        >>> estimator = AmortisedWakeSleep(LatentFactors(6, 1, latents="angle"), n_sleep=100, random_state=0)
        >>> for part in (X[:50], X[50:]):
        ...     _ = estimator.partial_fit(part)
        >>> estimator.n_iter_
        2
        """
        for notice in self._train(X, fresh=not self.__sklearn_is_fitted__(), partial=True):
            warnings.warn(notice, stacklevel=2)
        return self

    @with_callbacks
    def _train(self, X, *, fresh, partial=False):
        """Train copies of the state, set the fitted attributes to the best, and return what to warn of."""
        self._validate_params()
        X, header = self._check_table(X, reset=fresh)
        model = self._asked_model(X.shape[1]) if fresh else self._fitted.model
        names = header.get("feature_names_in_")
        kinds.check_range(X, _observation_range(model), names)
        header["model_"] = model
        moments = kinds.column_moments(X, names)
        if fresh:
            trainer = _Trainer(self, model, X, _units(model, moments))
            states = trainer.starts(1 if partial else self.n_restarts, moments)
        else:
            states = [self._resumable(moments, partial=partial)]
            trainer = _Trainer(self, model, X, states[0].units)
        seen_before = self._fitted.state.moments if partial and not fresh else None
        n_epochs = 1 if partial else self.max_iter
        n_before = states[0].n_epochs

        def attributes(state):
            return {**header, **trainer.attributes(state)}

        monitor = FitMonitor(self, X, n_epochs * len(states), attributes, _report)
        try:
            with self._limited_threads():
                for state in states:
                    self._run(trainer, state, n_epochs, monitor, attributes, fresh=fresh, partial=partial)
                state = trainer.best(states)
                notices = trainer.notices(state)
        except KeyboardInterrupt as interrupt:
            trained = [state for state in states if state.n_epochs > n_before]
            if trained:
                state = trainer.best(trained)
                self._adopt(attributes(state))
                interrupt.add_note(
                    f"AmortisedWakeSleep: training was interrupted after {state.n_epochs} epochs. The estimator is "
                    "usable; fit with warm_start=True continues."
                )
            raise
        self._adopt(attributes(state))
        monitor.fit_end(state)
        return notices + (kinds.extremes(seen_before, state.moments, names) if _has(model, UNITS) else [])

    def _limited_threads(self):
        return limited_threads(N_DIRECTIONS * self.n_sleep**2)

    def _run(self, trainer, state, n_epochs, monitor, attributes, *, fresh, partial):
        """Train a state in place; where that diverges, say so and keep what is finite."""
        try:
            trainer.run(state, n_epochs, monitor, watched=not partial)
        except TrainingDivergedError as error:
            if not trainer.has_followed:
                raise ValueError(f"AmortisedWakeSleep cannot be trained: {trainer.failure}.") from error
            trainer.retreat(state)
            if not self.__sklearn_is_fitted__() or not (fresh or partial):
                self._adopt(attributes(state))  # otherwise what was fitted before is worth more
            raise ValueError(
                f"AmortisedWakeSleep: training diverged at epoch {error.epoch}: {trainer.failure}. Lower "
                f"learning_rate_init, which is {self.learning_rate_init!r}, or bound the parameters with a "
                "`project` of the model. The last finite parameters are kept."
            ) from error

    def _check_table(self, X, *, reset):
        X, header = check_table(self, X, reset=reset, accept_sparse=False, dtype=np.float64)
        _check_magnitude(X)
        return X, header

    def _asked_model(self, n_features):
        model = LatentFactors(n_features, min(2, n_features)) if self.model is None else self.model
        check_protocol(model, n_features)
        return model

    def _resumable(self, moments, *, partial):
        """Return a copy of the state, with the step size asked for now, in the units of these rows or of the stream."""
        model = self._fitted.model
        if self.model is not None and self.model is not model and repr(self.model) != repr(model):
            raise ValueError(
                f"model is {self.model!r}, but the one to continue from is {model!r}. Restore it, or start anew "
                "with fit and warm_start=False."
            )
        state = self._training_state().copy()
        state.set_learning_rate(float(self.learning_rate_init))
        state.moments = state.moments.merged(moments) if partial else moments
        units = _units(model, state.moments)
        if state.units.differ(units):
            state.enter(units, GuardedModel(model).params_in_units)
        return state

    def _settings(self, model, units):
        feature_map = self.feature_map
        if not (feature_map is None or isinstance(feature_map, str)):
            feature_map = _fitter(feature_map, units)
        return RegressionSettings(
            bandwidth=None if self.bandwidth == "median" else float(self.bandwidth),
            ridge=float(self.ridge),
            tuned=self.tune is not None,
            n_components=self.n_components,
            feature_map=feature_map,
            latent_function=getattr(model, "latent_function", None),
        )

    def _adopt(self, attributes):
        """Set the fitted attributes, all at once."""
        kept = {name: value for name, value in vars(self).items() if name != "feature_names_in_"}
        self.__dict__ = {**kept, **attributes}

    # ------------------------------------------------------------------ what was learned

    _LEARNED = ("model_", "_fitted", "theta_", "gradient_", "n_features_in_")

    def _check_learned(self):
        if not isinstance(self._fitted, Fit) or self.gradient_ not in NEEDS:
            raise ValueError("_fitted is of the wrong type, or gradient_ is unknown")
        if self.model_.n_features != self.n_features_in_:
            raise ValueError(f"model_ has {self.model_.n_features} columns, but n_features_in_={self.n_features_in_}")
        check_vector("theta_", self.theta_, self.model_.n_params)
        self._fitted.check()

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_fitted")

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
            `n_sleep` fresh dreams.

        Raises
        ------
        NotFittedError
            If the estimator has not been fitted.

        ValueError
            If `X` has other columns than the training data, or the model gives something other than its protocol says.

        Examples
        --------
        >>> from skwakesleep import AmortisedWakeSleep
        >>> from skwakesleep.datasets import make_ring
        >>> from skwakesleep.models import LatentFactors
        >>> X, _ = make_ring(100, random_state=0)
        >>> ring = LatentFactors(6, 1, latents="angle")
        >>> fitted = AmortisedWakeSleep(ring, n_sleep=100, max_iter=5, random_state=0).fit(X)
        >>> fitted.estimate_gradient(X, random_state=0).shape
        (24,)
        """
        fit, X = self._checked(X)
        with self._limited_threads():
            return self._trainer_of(fit, X).gradient(fit, Streams(validation.entropy(random_state)))

    def expect(self, X, f):
        """Estimate the posterior expectation of any function of the latents.

        The function is evaluated at dreamed latents and regressed on the dreamed observations, with bandwidth and ridge
        tuned for it. Where importance weighting was the better form of the gradient, it serves here too. Dreams are the
        same at each call.

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
        NotFittedError
            If the estimator has not been fitted.

        ValueError
            If `X` has other columns than the training data, or the model gives something other than its protocol says.

        Examples
        --------
        The probability that an angle is between zero and pi:

        >>> import numpy as np
        >>> from skwakesleep import AmortisedWakeSleep
        >>> from skwakesleep.datasets import make_ring
        >>> from skwakesleep.models import LatentFactors
        >>> X, _ = make_ring(100, random_state=0)
        >>> ring = LatentFactors(6, 1, latents="angle")
        >>> fitted = AmortisedWakeSleep(ring, n_sleep=100, max_iter=5, random_state=0).fit(X)
        >>> fitted.expect(X, lambda z: z[:, 0] < np.pi).shape
        (100,)
        """
        fit, X = self._checked(X)
        with self._limited_threads():
            return self._trainer_of(fit, X).expectation(fit, f)

    def transform(self, X):
        """Estimate the posterior expectation of the model's default function of its latents.

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
        NotFittedError
            If the estimator has not been fitted.

        ValueError
            If `X` has other columns than the training data, or the model gives something other than its protocol says.

        AttributeError
            If the model has no ``latent_function``.

        Examples
        --------
        Expected cosines and sines of the angles:

        >>> from skwakesleep import AmortisedWakeSleep
        >>> from skwakesleep.datasets import make_ring
        >>> from skwakesleep.models import LatentFactors
        >>> X, _ = make_ring(100, random_state=0)
        >>> ring = LatentFactors(6, 1, latents="angle")
        >>> fitted = AmortisedWakeSleep(ring, n_sleep=100, max_iter=5, random_state=0).fit(X)
        >>> fitted.transform(X).shape
        (100, 2)
        """
        fit, X = self._checked(X)
        return self._trainer_of(fit, X).expectation(fit, fit.model.latent_function)

    @property
    def _n_features_out(self):
        fit = self._fitted
        z, _ = fit.model.sample(fit.theta, 1, np.random.default_rng(0))
        return fit.model.latent_function(z).shape[1]

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
        NotFittedError
            If the estimator has not been fitted.

        ValueError
            If `X` has other columns than the training data, or the model gives something other than its protocol says.

        AttributeError
            If the model has no ``log_likelihood``.

        Examples
        --------
        >>> from skwakesleep import AmortisedWakeSleep
        >>> from skwakesleep.datasets import make_ring
        >>> from skwakesleep.models import LatentFactors
        >>> X, _ = make_ring(100, random_state=0)
        >>> ring = LatentFactors(6, 1, latents="angle")
        >>> fitted = AmortisedWakeSleep(ring, n_sleep=100, max_iter=5, random_state=0).fit(X)
        >>> fitted.score_samples(X).shape
        (100,)
        """
        fit, X = self._checked(X)
        units = fit.state.units
        return GuardedModel(fit.model).log_likelihood(fit.theta, units.standardized(X)) - units.log_volume

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
        NotFittedError
            If the estimator has not been fitted.

        ValueError
            If `X` has other columns than the training data, or the model gives something other than its protocol says.

        AttributeError
            If the model has no ``log_likelihood``.

        Examples
        --------
        >>> from skwakesleep import AmortisedWakeSleep
        >>> from skwakesleep.datasets import make_ring
        >>> from skwakesleep.models import LatentFactors
        >>> X, _ = make_ring(100, random_state=0)
        >>> ring = LatentFactors(6, 1, latents="angle")
        >>> fitted = AmortisedWakeSleep(ring, n_sleep=100, max_iter=5, random_state=0).fit(X)
        >>> fitted.score(X) == float(fitted.score_samples(X).mean())
        True
        """
        return float(self.score_samples(X).mean())

    def sample(self, n_samples=1, random_state=None):
        """Draw independent samples from the fitted model.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows to draw.

        random_state : int, RandomState instance or None, default=None
            Seeds the draw; None draws anew at each call.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Samples.

        Raises
        ------
        NotFittedError
            If the estimator has not been fitted.

        TypeError
            If `n_samples` is not an int.

        ValueError
            If `n_samples` is less than 1.

        Examples
        --------
        >>> from skwakesleep import AmortisedWakeSleep
        >>> from skwakesleep.datasets import make_ring
        >>> from skwakesleep.models import LatentFactors
        >>> X, _ = make_ring(100, random_state=0)
        >>> ring = LatentFactors(6, 1, latents="angle")
        >>> fitted = AmortisedWakeSleep(ring, n_sleep=100, max_iter=5, random_state=0).fit(X)
        >>> fitted.sample(3, random_state=0).shape
        (3, 6)
        """
        check_is_fitted(self)
        n_samples = validation.check_n_samples(n_samples)
        rng = np.random.default_rng(validation.entropy(random_state))
        fit = self._fitted
        model = GuardedModel(fit.model)
        with memory_for("n_samples", n_samples), failing_at(fit.theta_in_units):
            x = finite_draws(lambda n: model.sample(fit.theta, n, rng), n_samples, model.label("sample"))
            return fit.state.units.restored(x)

    def _checked(self, X):
        """Return what was fitted, which another thread may replace meanwhile, and a valid table."""
        check_is_fitted(self)
        fit, (X, header) = self._fitted, self._check_table(X, reset=False)
        kinds.check_range(X, _observation_range(fit.model), header.get("feature_names_in_"))
        return fit, X

    def _trainer_of(self, fit, X):
        return _Trainer(self, fit.model, X, fit.state.units)


# scikit-learn wraps `transform` for `set_output` while the class is made, and would lose the condition.
AmortisedWakeSleep.transform = available_if(_model_has("latent_function"))(  # type: ignore[method-assign]
    AmortisedWakeSleep.transform
)


def _fitter(transformer, units):
    """Return a function that fits a fresh transformer to dreams, in the units of the columns, and returns the map."""

    def fitted(x):
        return FittedTransformer(clone(transformer).fit(units.restored(x)), units)

    return fitted


def _units(model, moments):
    """Return the units in which a model wants its columns; those of the data, unless it says otherwise."""
    if not _has(model, UNITS):
        return AS_THEY_ARE
    return Units(*GuardedModel(model).column_units(moments.means, moments.deviations))


def _observation_range(model):
    return getattr(model, "observation_range", (-np.inf, np.inf))


def _check_magnitude(X):
    """Raise where squares would overflow."""
    largest = np.abs(X).max(axis=0)
    if largest.max() > MAX_MAGNITUDE:
        column = int(largest.argmax())
        raise ValueError(
            f"X must hold values of at most {MAX_MAGNITUDE:g} in magnitude, for their squares are needed. Column "
            f"{column} holds {float(largest[column])!r}. Rescale X."
        )


def _report(state):
    regression = state.regression
    report = f"gradient = {regression.form}, coverage = {regression.coverages[-1]:.2f}"
    if regression.errors:
        report += f", leave-one-out error = {regression.errors[-1]:.3f}"
    if regression.effective_sample_sizes:
        report += f", effective samples = {regression.effective_sample_sizes[-1]:.1f}"
    return report


class _Rows:
    """Rows to train on."""

    def __init__(self, X):
        self._X = X

    def __len__(self):
        return len(self._X)

    def take(self, indices):
        return self._X[indices]


class _Trainer:
    """Puts a model, data and an estimator's parameters together for the engine."""

    def __init__(self, estimator: AmortisedWakeSleep, model: Any, X: Any, units: Units) -> None:
        self._estimator = estimator
        self._model = GuardedModel(model)
        self._units = units
        self._X = units.standardized(X)
        self._local = _has(model, LOCAL) and estimator.gradient != "exact"
        self._forms = self._asked_forms()
        self._settings = self._asked_settings()
        self._rows = self._model.local_inputs(self._X) if self._local else self._X
        self._phases = (LocalFactors if self._local else WholeObservations)(self._model)
        self._objective: AmortisedGradient | None = None
        self._watches: dict[int, LikelihoodWatch] = {}

    @property
    def failure(self) -> str:
        """What was not finite, and at which parameters in the units of the columns."""
        objective = self._objective
        assert objective is not None
        if objective.failed_at is None:
            return "a step led to parameters that are not finite, or too large"
        return f"{objective.failure}, at {described_params(self._params_in_units(objective.failed_at))}"

    @property
    def has_followed(self) -> bool:
        """Whether there was any gradient that could be followed."""
        return self._objective is not None and self._objective.n_followed > 0

    @property
    def batch_size(self) -> int:
        asked = self._estimator.batch_size
        return min(DEFAULT_BATCH_SIZE if asked == "auto" else asked, len(self._rows))

    def _asked_forms(self) -> list[str]:
        """Return the forms of the gradient to choose from, importance weighting first."""
        asked, model = self._estimator.gradient, self._model
        if asked != "auto":
            needs = LOCAL if asked == "direct" and _has(model, LOCAL) else NEEDS[asked]
            missing = [name for name in needs if not hasattr(model, name)]
            if missing:
                raise TypeError(
                    f"gradient={asked!r} needs {', '.join(missing)} of the model, which has no such method. Use "
                    "gradient='auto'."
                )
            return [asked]
        if _has(model, LOCAL):
            return ["direct"]
        regressed = "exponential" if _has(model, EXPONENTIAL) else "direct"
        if not _has(model, NEEDS[regressed]):
            raise TypeError("model has neither grad_log_joint nor the methods of an exponential family.")
        return ["importance", regressed] if _has(model, NEEDS["importance"]) else [regressed]

    def _asked_settings(self) -> RegressionSettings:
        settings = self._estimator._settings(self._model, AS_THEY_ARE if self._local else self._units)
        if settings.feature_map == "additive":
            if settings.latent_function is None:
                raise TypeError(
                    "feature_map='additive' needs latent_function of the model, which has no such method. Use "
                    "feature_map='predictive'."
                )
            if "direct" in self._forms:
                raise ValueError(
                    "feature_map='additive' predicts natural parameters, not the scores that gradient='direct' "
                    "regresses, and so does 'auto' unless the model is an exponential family. Use "
                    "feature_map='predictive'."
                )
        return settings

    def _form(self, name: str) -> Form:
        if name == "direct":
            return Direct(self._phases)
        forms: dict[str, Any] = {
            "exponential": Exponential,
            "importance": ImportanceWeighted,
            "exact": Exact,
        }
        return forms[name](self._model)

    def starts(self, n_restarts: int, moments: Moments) -> list[AmortisedState]:
        """Return states from which to train, each with streams of its own."""
        if n_restarts > 1 and not hasattr(self._model, "log_likelihood"):
            raise ValueError(
                f"n_restarts={n_restarts} needs a model with log_likelihood, by which to choose among the fits. Set "
                "n_restarts=1, or fit with several values of random_state and choose by what matters to you."
            )
        entropy = validation.entropy(self._estimator.random_state)
        return [self._start(Streams([*entropy, n] if n else entropy), moments) for n in range(n_restarts)]

    def _start(self, streams: Streams, moments: Moments) -> AmortisedState:
        theta = self._model.initial_params(self._X, streams["initialization"])
        theta = self._projected(np.array(theta))
        probe(self._model, theta, self._rows, local=self._local)
        optimizer = Adam(float(self._estimator.learning_rate_init), np.ones_like(theta))
        return AmortisedState(theta, optimizer, streams, units=self._units, moments=moments)

    def _projected(self, theta: Any) -> Any:
        return self._model.project(theta) if hasattr(self._model, "project") else theta

    def run(self, state: AmortisedState, n_epochs: int, monitor: FitMonitor, *, watched: bool) -> None:
        """Train a state in place, and watch the likelihood where there is one."""
        self._objective = objective = self._gradient(
            self._forms, state.regression, state.parameters, state.streams, self._recollection()
        )
        watch = None
        if watched and hasattr(self._model, "log_likelihood"):
            watch = LikelihoodWatch(self._model.log_likelihood, self._projected, self._X, state)
            self._watches[id(state)] = watch
        for part in _parts(n_epochs):
            exhausted = train(
                state,
                objective,
                _Rows(self._rows),
                n_epochs=part,
                batch_size=self.batch_size,
                shuffle=True,
                stopping=None,
                validate=None,
                monitor=monitor,
                project=self._model.project if hasattr(self._model, "project") else None,
            )
            if watch is not None:
                watch.look()
            if not exhausted:
                break
        if watch is not None:
            watch.settle()
        self._check_end(state, objective)

    def _check_end(self, state: AmortisedState, objective: AmortisedGradient) -> None:
        """Raise unless the parameters, which the last step has changed, give something finite."""
        theta = self._theta(state)
        reported = self._reported(theta)
        finite = [theta, *(value for value in reported["params_"].values() if np.asarray(value).dtype.kind == "f")]
        if hasattr(self._model, "log_likelihood"):
            finite.append(self._model.log_likelihood(theta, spread_rows(self._X, N_WATCHED_ROWS)))
        if not all(np.isfinite(values).all() for values in finite):
            lost = objective.fail("parameters or likelihood were not finite after the last step", theta)
            raise TrainingDivergedError(state.n_epochs, lost)
        rng = np.random.default_rng(state.streams.validation_seed)
        try:
            kept(self._phases.dream(theta, N_CHECKED_DREAMS, self._rows, rng), self._phases.source)
        except FailedSimulationsError as error:
            raise TrainingDivergedError(state.n_epochs, objective.fail(str(error), theta)) from error

    def retreat(self, state: AmortisedState) -> None:
        """Take a diverged state back to the last parameters whose dreams and gradient were finite."""
        if self._objective is not None:
            state.parameters[...] = state.average[...] = self._objective.followed

    def _gradient(
        self, forms: list[str], regression: RegressionState, parameters: Any, streams: Streams, log_joint: Any = None
    ) -> AmortisedGradient:
        return AmortisedGradient(
            self._phases,
            [self._form(name) for name in forms],
            self._settings,
            regression,
            parameters,
            n_dreams=int(self._estimator.n_sleep),
            streams=streams,
            log_prob_x_given_z=None if self._local else getattr(self._model, "log_prob_x_given_z", None),
            log_joint=log_joint,
        )

    def _recollection(self) -> Any:
        """Return what weighs dreams of earlier steps, None if each step is to dream anew."""
        if not self._estimator.reuse_sleep or self._local:
            return None
        if not hasattr(self._model, "log_joint"):
            raise TypeError(
                "reuse_sleep=True needs log_joint of the model, which has no such method. Use reuse_sleep=False."
            )
        return self._model.log_joint

    def gradient(self, fit: Fit, streams: Streams) -> Any:
        """Return the gradient at fitted parameters over all rows, in the units of the columns."""
        objective = self._gradient([fit.state.regression.form], RegressionState(), fit.theta, streams)
        if objective(self._rows) is not None:
            self._objective = objective
            raise ValueError(f"The gradient cannot be estimated: {self.failure}.")
        if not _has(self._model, UNITS):
            return objective.gradient
        location, scale = AS_THEY_ARE.seen_from(self._units)
        return gradient_in_units(
            objective.gradient, fit.theta_in_units, lambda theta: self._model.params_in_units(theta, location, scale)
        )

    def expectation(self, fit: Fit, f: Any) -> Any:
        """Return the posterior expectation of a function of the latents at each row."""
        n_sleep = int(self._estimator.n_sleep)
        rng = np.random.default_rng(fit.state.streams.validation_seed)
        with memory_for("n_sleep", n_sleep), failing_at(fit.theta_in_units):
            dreams, _ = kept(self._phases.dream(fit.theta, n_sleep, self._rows, rng), self._phases.source)
            values = np.asarray(f(dreams.z), dtype=np.float64)
            if values.ndim < 1 or len(values) != len(dreams.x):
                raise ValueError(
                    f"f must return an array of shape ({len(dreams.x)}, ...), one value for each latent. Got shape "
                    f"{values.shape}."
                )
            targets = values.reshape(len(dreams.x), -1)
            expected = self._expected(fit, dreams, targets, rng)
        return expected.reshape(len(self._rows), *values.shape[1:])

    def _expected(self, fit: Fit, dreams: Pairs, targets: Any, rng: Any) -> Any:
        if fit.state.regression.form == "importance":
            log_prob = self._model.log_prob_x_given_z(fit.theta, dreams.z, self._rows)
            return importance_weights(log_prob).T @ targets
        dreamed, rows = (self._phases.inputs(fit.theta, x) for x in (dreams.x, self._rows))
        return expectation(self._settings, Pairs(dreams.z, dreamed), targets, rows, rng)

    def best(self, states: list[AmortisedState]) -> AmortisedState:
        """Return the state with the highest likelihood; there is one where there are several."""
        if len(states) == 1:
            return states[0]
        return max(states, key=lambda state: self._model.log_likelihood(self._theta(state), self._X).mean())

    def _theta(self, state: AmortisedState) -> Any:
        return self._projected(state.selected_parameters.copy())

    def _params_in_units(self, theta: Any) -> Any:
        """Return parameters in the units of the columns."""
        if not _has(self._model, UNITS):
            return theta
        return self._model.params_in_units(theta, *self._units.seen_from(AS_THEY_ARE))

    def _reported(self, theta: Any) -> dict[str, Any]:
        """Return parameters in the units of the columns, flat and by name."""
        theta = self._params_in_units(theta)
        named = self._model.unpack(theta) if hasattr(self._model, "unpack") else {"theta": theta}
        return {"theta_": theta, "params_": named}

    def attributes(self, state: AmortisedState) -> dict[str, Any]:
        """Return the fitted attributes that stand for a state of training."""
        theta, regression = self._theta(state), state.regression
        reported = self._reported(theta)
        return {
            **reported,
            "gradient_": regression.form,
            "bandwidth_": regression.bandwidth,
            "ridge_": regression.ridge,
            "loo_errors_": list(regression.errors),
            "coverages_": list(regression.coverages),
            "effective_sample_sizes_": list(regression.effective_sample_sizes),
            "failed_share_": regression.n_failed / max(regression.n_dreamed, 1),
            "n_iter_": state.n_epochs,
            "n_steps_": state.n_steps,
            "_fitted": Fit(self._model.unguarded, state, theta, reported["theta_"]),
        }

    def notices(self, state: AmortisedState) -> list[Warning]:
        """Return warnings of what a completed fit did otherwise than it was asked to, or could not do."""
        notices: list[Warning] = []
        if self._estimator.batch_size not in ("auto", self.batch_size):
            notices.append(
                UserWarning(
                    f"batch_size={self._estimator.batch_size} is larger than the number of training rows and was "
                    f"clipped to {self.batch_size}."
                )
            )
        errors = state.regression.errors
        if errors and errors[-1] >= 1 and state.regression.form != "importance":
            notices.append(
                UserWarning(
                    f"The regression predicts no better than a constant (leave-one-out error {errors[-1]:.2f}), so the "
                    "fit says little. Raise n_sleep, or set feature_map."
                )
            )
        return notices + self._likelihood_notices(state)

    def _likelihood_notices(self, state: AmortisedState) -> list[Warning]:
        watch = self._watches.get(id(state))
        if watch is None:
            return []
        offset = self._units.log_volume
        if watch.has_fallen:
            return [
                UserWarning(
                    f"The mean log-likelihood was {watch.best_score - offset:.2f} nats after epoch {watch.best_epoch}, "
                    f"and {watch.score - offset:.2f} at the end of training. The parameters of the former are kept. "
                    f"Raise n_sleep, lower learning_rate_init{self._exact_advice()}."
                )
            ]
        exact = hasattr(self._model, "grad_log_likelihood") and state.n_steps >= N_STEPS_TO_JUDGE
        gain = self._remaining_gain(state) if exact else 0.0
        if gain <= significant(MUCH_TO_GAIN, len(state.parameters), len(self._X)):
            return []
        return [
            UserWarning(
                f"A short climb along the exact gradient raises the mean log-likelihood by {gain:.2f} nats. Raise "
                f"max_iter, n_sleep{self._exact_advice()}."
            )
        ]

    def _exact_advice(self) -> str:
        offered = hasattr(self._model, "grad_log_likelihood") and self._forms != ["exact"]
        return ", or set gradient='exact'" if offered else ""

    def _remaining_gain(self, state: AmortisedState) -> float:
        model = self._model
        return remaining_gain(
            model.log_likelihood, model.grad_log_likelihood, self._projected, self._theta(state), self._X
        )


def _parts(n_epochs: int) -> list[int]:
    """Return numbers of epochs, about equal, after each of which the likelihood is looked at."""
    ends = np.linspace(0, n_epochs, min(n_epochs, N_LOOKS) + 1).astype(int)
    return np.diff(ends).tolist()


def _has(model: Any, methods: Any) -> bool:
    return all(hasattr(model, name) for name in methods)
