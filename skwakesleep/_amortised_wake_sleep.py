"""Amortised learning by wake-sleep as a scikit-learn estimator."""

import warnings
from copy import copy
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, clone
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skwakesleep._adapters import kinds, validation
from skwakesleep._adapters._sklearn import CallbackSupportMixin, HasMethods, Interval, StrOptions, with_callbacks
from skwakesleep._adapters.documentation import DocumentationLinkMixin
from skwakesleep._adapters.model_comparison import same_model
from skwakesleep._adapters.monitor import FitMonitor
from skwakesleep._adapters.tables import check_table
from skwakesleep._adapters.threads import limited_threads
from skwakesleep._adapters.training_state import DiscardableTrainingMixin
from skwakesleep._adapters.versions import VersionedPickleMixin
from skwakesleep._engine.amortised import inference
from skwakesleep._engine.amortised.forms import FORMS, Direct
from skwakesleep._engine.amortised.optional_methods import COLUMN_UNITS, missing_methods, offers
from skwakesleep._engine.amortised.problem import Problem, Settings
from skwakesleep._engine.amortised.state import Fit
from skwakesleep._engine.amortised.trainer import Trainer
from skwakesleep._engine.amortised.tuning import RegressionSettings
from skwakesleep._engine.amortised.units import units_for
from skwakesleep._engine.arrays.random import Streams
from skwakesleep._engine.training.loop import TrainingDivergedError
from skwakesleep._engine.training.state import check_vector
from skwakesleep.models import LatentFactors
from skwakesleep.models._checks import GuardedModel, check_protocol, probe

# Columns of a typical table, for the size of the matrix products of a step.
N_TYPICAL_COLUMNS = 50
# Largest magnitude of values whose squares, added up, do not overflow.
MAX_MAGNITUDE = 1e150


def _model_has(method):
    """Return a check, for `available_if`, that the model has a method; the default model has them all."""
    return lambda estimator: estimator.model is None or hasattr(estimator.model, method)


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
    expectation can be learned by regression. In the sleep phase, the model dreams pairs of latents and observations,
    and kernel ridge regression learns the expected score given an observation. In the wake phase, it is evaluated at
    the data [1]_. The posterior is not approximated, so latents may be discrete, mixed, or on a circle.

    Parameters
    ----------
    model : GenerativeModel or None, default=None
        The model to fit: any object with the methods of `skwakesleep.models.GenerativeModel`, for example one of those
        in `skwakesleep.models`. None is factor analysis with up to two factors, ``LatentFactors(n_features, 2)``.
    gradient : {"auto", "exponential", "direct", "importance", "exact"}, default="auto"
        Form of the gradient. "direct" regresses scores and needs nothing but the required methods. "exponential"
        regresses natural parameters, for models that are exponential families given their latents; it is more accurate.
        "importance" weights the dreamed latents by how well they explain each row, without any regression, for models
        with ``log_prob_x_given_z``. "exact" is the model's own ``grad_log_likelihood``, for comparison. "auto" is
        "exponential" where the model offers it and "direct" elsewhere; from the 100th step on it is "importance",
        where the model offers it, while the median row has five or more effective dreams.
    n_sleep : int, default=500
        Pairs dreamed at each step. The time of a step grows with their cube. It grows linearly beyond 2000, where
        random features approximate the kernel, and without a kernel.
    batch_size : int or "auto", default="auto"
        Rows in a mini-batch. "auto" is ``min(200, n_samples)``.
    max_iter : int, default=200
        Number of epochs of a `fit`. There is no early stopping, because the value of the objective is not known.
    learning_rate_init : float, default=0.02
        Step size of Adam, in the units of the parameters (of standardized columns, see Notes). It is halved when the
        likelihood has fallen, if the model has one. The result is the running average of the iterates over the last
        tenth or so of the steps.
    bandwidth : float or "median", default="median"
        Standard deviation of the Gaussian kernel, in units of its inputs. "median" is the median distance between
        dreams.
    ridge : float, default=1e-4
        Added to the diagonal of the kernel, whose entries are one, or near one if the regression is additive.
    tune : {"loo"} or None, default="loo"
        Whether bandwidth and ridge are chosen every 25 steps, by leave-one-out error on dreams, from grids around the
        values given.
    n_components : int or None, default=None
        Width of the feature maps "predictive" and "learned". None is the number of independent targets.
    feature_map : {"predictive", "learned", "additive"}, transformer or None, default="predictive"
        Maps observations to the inputs of the kernel. "predictive" is the directions that predict the targets of the
        regression linearly, weighted by how well they do, by canonical correlation analysis. "learned" improves them by
        the gradient of the leave-one-out error, if held-out dreams confirm it, for latents that affect the observations
        nonlinearly. "additive" has no kernel: each latent is predicted linearly, and the targets as a sum of functions
        of single predictions and products of pairs. It is for up to some 50 independent latents that are not normal,
        because a kernel does not depend on rotations. It needs ``latent_function`` of the model, and natural parameters
        to regress. A scikit-learn transformer is fitted to dreams. None is the columns with unit variance, of which a
        kernel resolves up to about 25; so are "predictive" and "learned" with three columns or fewer.
    reuse_sleep : bool, default=False
        Whether a step may use dreams of earlier ones, resampled by how likely they have become, while half of them are
        effective. For models that are slow to simulate and have ``log_joint``. Local factors are always dreamed anew.
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
        The fitted parameters by name; ``{"theta": theta_}`` if the model gives them none.
    theta_ : ndarray of shape (n_params,)
        The same as one flat vector.
    model_ : GenerativeModel
        The model that was fitted. It is a copy of `model` if that has ``get_params``.
    gradient_ : str
        Form of the gradient in use at the end.
    bandwidth_ : float or None
        Bandwidth at the end; None if the regression is additive.
    ridge_ : float
        Ridge at the end.
    loo_errors_ : list of float
        Leave-one-out error of the regression at each tuning, relative to predicting the mean. It measures how well
        dreams are predicted, not how well data are explained.
    coverages_ : list of float
        Share of a mini-batch, at each tuning, that is as near to its nearest dream as dreams are to theirs. Little can
        be learned from data that are not covered.
    effective_sample_sizes_ : list of float
        Median number of effective dreams for a row of data, at each tuning; empty unless the model offers
        ``log_prob_x_given_z``.
    failed_share_ : float
        Share of the simulations in training that were not finite and so left out.
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
    Models with the methods of `skwakesleep.models.ColumnUnits`, such as `LatentFactors` with normal noise, are trained
    in standardized columns. Parameters, scores, samples and gradients are in the units of `X`; only bounds of the model
    itself, such as its ``noise_floor``, are in standardized units. In `partial_fit` the units follow the stream. Other
    models see the columns as they are: standardize those whose scale is far from one.

    If the model has a likelihood, `fit` checks it 20 times. When it falls, training continues from the best parameters
    with smaller steps, and the best are the result; a warning says so when it has fallen at the end. With
    ``grad_log_likelihood``, fits of 200 steps and more are compared with the exact gradient, and a warning says when a
    few steps along it gain more than half a nat per row.

    Simulations that are not finite are left out, up to a tenth of each step's and what chance adds to that. The model
    is then fitted, and sampled from, given that a simulation succeeds. More failures are an error.

    Importance weighting follows the exact gradient closely, and so into the nearest maximum of the likelihood; the
    regression is smoother and passes by some. Where the likelihood has several maxima, as with binary latents, set
    ``n_restarts``.

    Methods that need an optional method of the model exist only where it offers it: `transform` needs
    ``latent_function``, `score` and `score_samples` need ``log_likelihood``.

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
        "model": "no_validation",  # its protocol has many parts, checked by `check_protocol`
        "gradient": [StrOptions({"auto", *FORMS})],
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
            If training is interrupted. If an epoch was completed, the estimator is fitted as far as training got, and
            with ``warm_start=True`` another `fit` continues; otherwise the estimator is unchanged.

        Warns
        -----
        UserWarning
            If the likelihood has fallen, or the exact gradient would raise it by much; if the regression predicts
            nothing; if `batch_size` is larger than the table.

        Examples
        --------
        >>> from skwakesleep import AmortisedWakeSleep
        >>> from skwakesleep.datasets import make_ring
        >>> X, _ = make_ring(100, random_state=0)
        >>> fitted = AmortisedWakeSleep(n_sleep=100, max_iter=5, random_state=0).fit(X)
        >>> fitted.n_iter_, fitted.theta_.shape
        (5, (24,))
        """
        fresh = not (self.warm_start and self.__sklearn_is_fitted__())
        for notice in self._train(X, fresh=fresh):
            warnings.warn(notice, stacklevel=2)
        return self

    def partial_fit(self, X, y=None):
        """Train for one epoch on `X`, continuing from what was learned before.

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
        >>> X, _ = make_ring(100, random_state=0)
        >>> estimator = AmortisedWakeSleep(n_sleep=100, random_state=0)
        >>> estimator.partial_fit(X[:50]).partial_fit(X[50:]).n_iter_
        2
        """
        for notice in self._train(X, fresh=not self.__sklearn_is_fitted__(), partial=True):
            warnings.warn(notice, stacklevel=2)
        return self

    @with_callbacks
    def _train(self, X, *, fresh, partial=False):
        """Train copies of the state, set the fitted attributes on success, and return what to warn of."""
        self._validate_params()
        X, header = self._check_table(X, reset=fresh)
        names = header.get("feature_names_in_")
        model = header["model_"] = self._checked_model(X.shape[1]) if fresh else self._fitted.model
        kinds.check_range(X, _observation_range(model), names)
        moments = kinds.column_moments(X, names)
        seen_before = self._fitted.state.moments if partial and not fresh else None
        n_epochs = 1 if partial else self.max_iter
        if fresh:
            problem = self._problem(model, X, units_for(GuardedModel(model), moments))
            trainer = Trainer(problem)
            states = self._starts(trainer, problem, moments, 1 if partial else self.n_restarts)
        else:
            states = [self._resumable(moments, partial)]
            trainer = Trainer(self._problem(model, X, states[0].units))
        n_before = states[0].n_epochs

        def attributes(state):
            return {**header, **_fitted_attributes(model, trainer, state)}

        monitor = FitMonitor(self, X, n_epochs * len(states), attributes, _report)
        try:
            with self._limited_threads():
                for state in states:
                    trainer.run(state, n_epochs, monitor, watched=not partial)
                state = trainer.best(states)
                notices = self._notices(trainer.findings(state))
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
        except TrainingDivergedError as error:
            if not self.__sklearn_is_fitted__() or not (fresh or partial):
                self._adopt(attributes(state))  # otherwise the earlier fit stays
            raise ValueError(
                f"AmortisedWakeSleep: {error}. Lower learning_rate_init, which is {self.learning_rate_init!r}, or "
                "bound the parameters with a `project` of the model. The last finite parameters are kept."
            ) from error
        self._adopt(attributes(state))
        monitor.fit_end(state)
        return notices + (kinds.extremes(seen_before, state.moments, names) if offers(model, COLUMN_UNITS) else [])

    def _limited_threads(self):
        return limited_threads(N_TYPICAL_COLUMNS * self.n_sleep**2)

    def _check_table(self, X, *, reset):
        X, header = check_table(self, X, reset=reset, accept_sparse=False, dtype=np.float64)
        _check_magnitude(X)
        return X, header

    def _checked_model(self, n_features):
        """Return the model to fit, as a copy if it has parameters that the user may change."""
        model = LatentFactors(n_features, min(2, n_features)) if self.model is None else self.model
        check_protocol(model, n_features)
        return copy(model) if hasattr(model, "get_params") else model

    def _starts(self, trainer, problem, moments, n_restarts):
        """Return states to train, after a first call of the methods of the model."""
        if n_restarts > 1 and not hasattr(problem.model, "log_likelihood"):
            raise ValueError(
                f"n_restarts={n_restarts} needs a model with log_likelihood, by which to choose among the fits. Set "
                "n_restarts=1, or fit with several values of random_state and choose by what matters to you."
            )
        states = trainer.starts(n_restarts, validation.entropy(self.random_state), moments)
        for state in states:
            probe(problem.model, state.parameters, problem.rows, local=problem.simulation.local)
        return states

    def _resumable(self, moments, partial):
        """Return a copy of the state, with the learning rate of now, in the units of these rows or of the stream."""
        model = self._fitted.model
        if self.model is not None and not same_model(self.model, model):
            raise ValueError(
                f"model is {self.model!r}, but the one to continue from is {model!r}. Restore it, or start anew "
                "with fit and warm_start=False."
            )
        state = self._training_state().copy()
        state.set_learning_rate(float(self.learning_rate_init))
        state.moments = state.moments.merged(moments) if partial else moments
        units = units_for(GuardedModel(model), state.moments)
        if state.units.differ(units):
            state.enter(units, GuardedModel(model).params_in_units)
        return state

    def _problem(self, model, X, units):
        """Return what the engine trains or infers with, if the model offers what the parameters need."""
        problem = Problem(GuardedModel(model), X, units, self._settings())
        needs = {"gradient": problem.forms.usual.needs}
        if self.reuse_sleep and not problem.simulation.local:
            needs["reuse_sleep"] = ("log_joint",)
        if self.feature_map == "additive":
            needs["feature_map"] = ("latent_function",)
        for name, methods in needs.items():
            if missing := missing_methods(problem.model, methods):
                raise TypeError(self._lacking(name, missing))
        if self.feature_map == "additive" and problem.forms.usual.name == Direct.name:
            raise ValueError(
                "feature_map='additive' predicts natural parameters, not the scores that gradient='direct' regresses, "
                "and so does 'auto' unless the model is an exponential family. Use feature_map='predictive'."
            )
        return problem

    def _lacking(self, name, missing):
        """Return the message for a parameter that needs methods which the model does not have."""
        if name == "gradient" and self.gradient == "auto":
            return "model has neither grad_log_joint nor the methods of an exponential family."
        default = {"gradient": "auto", "reuse_sleep": False, "feature_map": "predictive"}[name]
        return (
            f"{name}={getattr(self, name)!r} needs {', '.join(missing)} of the model, which has no such method. Use "
            f"{name}={default!r}."
        )

    def _settings(self):
        named = self.feature_map is None or isinstance(self.feature_map, str)
        transformer = self.feature_map
        return Settings(
            gradient=self.gradient,
            n_dreams=int(self.n_sleep),
            batch_size=None if self.batch_size == "auto" else self.batch_size,
            learning_rate=float(self.learning_rate_init),
            reuse_dreams=self.reuse_sleep,
            fit_transformer=None if named else lambda x: clone(transformer).fit(x),
            regression=RegressionSettings(
                bandwidth=None if self.bandwidth == "median" else float(self.bandwidth),
                ridge=float(self.ridge),
                tuned=self.tune is not None,
                n_components=self.n_components,
                feature_map=self.feature_map if named else None,
            ),
        )

    def _notices(self, findings):
        """Return warnings of what a completed fit did otherwise than it was asked to, or could not do."""
        messages = []
        if self.batch_size not in ("auto", findings.batch_size):
            messages.append(
                f"batch_size={self.batch_size} is larger than the number of training rows and was clipped to "
                f"{findings.batch_size}."
            )
        if findings.useless_error is not None:
            messages.append(
                "The regression predicts no better than a constant (leave-one-out error "
                f"{findings.useless_error:.2f}), so the fit says little. Raise n_sleep, or set feature_map."
            )
        exact = ", or set gradient='exact'" if findings.could_use_exact else ""
        if findings.fall is not None:
            best_score, best_epoch, score = findings.fall
            messages.append(
                f"The mean log-likelihood was {best_score:.2f} nats after epoch {best_epoch}, and {score:.2f} at the "
                "end of training. The parameters of the former are kept. Raise n_sleep, lower "
                f"learning_rate_init{exact}."
            )
        if findings.exact_gain is not None:
            messages.append(
                "A short climb along the exact gradient raises the mean log-likelihood by "
                f"{findings.exact_gain:.2f} nats. Raise max_iter, n_sleep{exact}."
            )
        return [UserWarning(message) for message in messages]

    def _adopt(self, attributes):
        """Set the fitted attributes, all at once."""
        kept = {name: value for name, value in vars(self).items() if name != "feature_names_in_"}
        self.__dict__ = {**kept, **attributes}

    # ------------------------------------------------------------------ what was learned

    _LEARNED = ("model_", "_fitted", "theta_", "gradient_", "n_features_in_")

    def _check_learned(self):
        if not isinstance(self._fitted, Fit) or self.gradient_ not in FORMS:
            raise ValueError("_fitted is of the wrong type, or gradient_ is unknown")
        if self.model_.n_features != self.n_features_in_:
            raise ValueError(f"model_ has {self.model_.n_features} columns, but n_features_in_={self.n_features_in_}")
        check_vector("theta_", self.theta_, self.model_.n_params)
        self._fitted.check()

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_fitted")

    def _checked(self, X):
        """Return the fit, which another thread may replace meanwhile, and a valid table."""
        check_is_fitted(self)
        fit, (X, header) = self._fitted, self._check_table(X, reset=False)
        kinds.check_range(X, _observation_range(fit.model), header.get("feature_names_in_"))
        return fit, X

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
        >>> X, _ = make_ring(100, random_state=0)
        >>> fitted = AmortisedWakeSleep(n_sleep=100, max_iter=5, random_state=0).fit(X)
        >>> fitted.estimate_gradient(X, random_state=0).shape
        (24,)
        """
        fit, X = self._checked(X)
        with self._limited_threads():
            problem = self._problem(fit.model, X, fit.state.units)
            return inference.estimate_gradient(problem, fit, Streams(validation.entropy(random_state)))

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
        NotFittedError
            If the estimator has not been fitted.
        ValueError
            If `X` has other columns than the training data, or the model gives something other than its protocol says.

        Examples
        --------
        >>> from skwakesleep import AmortisedWakeSleep
        >>> from skwakesleep.datasets import make_ring
        >>> X, _ = make_ring(100, random_state=0)
        >>> fitted = AmortisedWakeSleep(n_sleep=100, max_iter=5, random_state=0).fit(X)
        >>> fitted.expect(X, lambda z: z[:, 0] > 0).shape  # probability that the first factor is positive
        (100,)
        """
        fit, X = self._checked(X)
        return self._expectation(fit, X, f)

    def _expectation(self, fit, X, f):
        with self._limited_threads():
            return inference.posterior_expectation(self._problem(fit.model, X, fit.state.units), fit, f)

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
        NotFittedError
            If the estimator has not been fitted.
        ValueError
            If `X` has other columns than the training data, or the model gives something other than its protocol says.
        AttributeError
            If the model has no ``latent_function``.

        Examples
        --------
        >>> from skwakesleep import AmortisedWakeSleep
        >>> from skwakesleep.datasets import make_ring
        >>> X, _ = make_ring(100, random_state=0)
        >>> fitted = AmortisedWakeSleep(n_sleep=100, max_iter=5, random_state=0).fit(X)
        >>> fitted.transform(X).shape
        (100, 2)
        """
        fit, X = self._checked(X)
        return self._expectation(fit, X, fit.model.latent_function)

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
        >>> X, _ = make_ring(100, random_state=0)
        >>> fitted = AmortisedWakeSleep(n_sleep=100, max_iter=5, random_state=0).fit(X)
        >>> fitted.score_samples(X).shape
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
        >>> X, _ = make_ring(100, random_state=0)
        >>> fitted = AmortisedWakeSleep(n_sleep=100, max_iter=5, random_state=0).fit(X)
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
        >>> X, _ = make_ring(100, random_state=0)
        >>> fitted = AmortisedWakeSleep(n_sleep=100, max_iter=5, random_state=0).fit(X)
        >>> fitted.sample(3, random_state=0).shape
        (3, 6)
        """
        check_is_fitted(self)
        n_samples = validation.check_n_samples(n_samples)
        rng = np.random.default_rng(validation.entropy(random_state))
        model = GuardedModel(self._fitted.model)
        return inference.samples(model, self._fitted, n_samples, rng, model.label("sample"))


# scikit-learn wraps `transform` for `set_output` while the class is made, and would lose the condition.
AmortisedWakeSleep.transform = available_if(_model_has("latent_function"))(  # type: ignore[method-assign]
    AmortisedWakeSleep.transform
)


def _fitted_attributes(model, trainer, state):
    """Return the fitted attributes that stand for a state of training."""
    theta, theta_in_units, named = trainer.parameters(state)
    regression = state.regression
    return {
        "theta_": theta_in_units,
        "params_": named,
        "gradient_": regression.form,
        "bandwidth_": regression.bandwidth,
        "ridge_": regression.ridge,
        "loo_errors_": list(regression.errors),
        "coverages_": list(regression.coverages),
        "effective_sample_sizes_": list(regression.effective_sample_sizes),
        "failed_share_": regression.n_failed / max(regression.n_dreamed, 1),
        "n_iter_": state.n_epochs,
        "n_steps_": state.n_steps,
        "_fitted": Fit(model, state, theta, theta_in_units),
    }


def _observation_range(model):
    return getattr(model, "observation_range", (-np.inf, np.inf))


def _check_magnitude(X):
    """Raise an error for values whose squares would overflow."""
    largest = np.abs(X).max(axis=0)
    if largest.max() > MAX_MAGNITUDE:
        column = int(largest.argmax())
        raise ValueError(
            f"X must hold values of at most {MAX_MAGNITUDE:g} in magnitude, for their squares are needed. Column "
            f"{column} holds {float(largest[column])!r}. Rescale X."
        )


def _report(state):
    """Return what `verbose` prints of a state."""
    regression = state.regression
    report = f"gradient = {regression.form}, coverage = {regression.coverages[-1]:.2f}"
    if regression.errors:
        report += f", leave-one-out error = {regression.errors[-1]:.3f}"
    if regression.effective_sample_sizes:
        report += f", effective samples = {regression.effective_sample_sizes[-1]:.1f}"
    return report
