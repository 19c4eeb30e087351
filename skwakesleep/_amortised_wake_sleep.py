"""Amortised learning by wake-sleep as a scikit-learn estimator."""

from copy import copy
from numbers import Integral, Real

from skwakesleep._adapters import amortised, kinds
from skwakesleep._adapters.fitting import FitMonitor, FittingMixin
from skwakesleep._adapters.persistence import VersionedPickleMixin
from skwakesleep._adapters.sklearn_compat import (
    CallbackSupportMixin,
    DocumentationLinkMixin,
    HasMethods,
    Interval,
    StrOptions,
    with_callbacks,
)
from skwakesleep._adapters.starts import Starts
from skwakesleep._engine.amortised.forms import FORMS
from skwakesleep._engine.amortised.optional_methods import COLUMN_UNITS, offers
from skwakesleep._engine.amortised.state import Fit
from skwakesleep._engine.arrays.backend import default_backend
from skwakesleep._engine.training.state import check_vector
from skwakesleep._fitted_model import FittedModel
from skwakesleep._inference import InferenceMixin
from skwakesleep.models import LatentFactors
from skwakesleep.models._checks import check_protocol
from skwakesleep.models._declared_model import flat_model


class AmortisedWakeSleep(
    DocumentationLinkMixin,
    VersionedPickleMixin,
    FittingMixin,
    CallbackSupportMixin,
    InferenceMixin,
    FittedModel,
):
    """Maximum-likelihood fitting of any latent-variable model that can be simulated.

    The gradient of the log-likelihood is the posterior expectation of the gradient of the log joint, and a conditional
    expectation can be learned by regression. In the sleep phase, the model dreams pairs of latents and observations,
    and kernel ridge regression learns the expected score given an observation. In the wake phase, it is evaluated at
    the data [1]_. The posterior is not approximated, so latents may be discrete, mixed, or on a circle. The bias of the
    regression, measured at fresh dreams, is subtracted once the training has settled.

    Parameters
    ----------
    model : GenerativeModel or None, default=None
        The model to fit: any object with the methods of `skwakesleep.models.GenerativeModel`, for example one of those
        in `skwakesleep.models`. None is factor analysis with up to two factors, ``LatentFactors(n_features, 2)``.
    fixed : dict of str to array-like or None, default=None
        Values of parameters that are not fitted, by name, for models that declare their parameters. NaN in an array
        stands for an entry that is fitted.
    gradient : {"auto", "exponential", "direct", "importance", "exact"}, default="auto"
        Form of the gradient. "direct" regresses scores and needs nothing but the required methods. "exponential"
        regresses natural parameters, for models that are exponential families given their latents; it is more accurate.
        "importance" weights the dreamed latents by how well they explain each row, without any regression, for models
        with ``log_prob_x_given_z``. "exact" is the model's own ``grad_log_likelihood``, for comparison. "auto" is
        "exponential" where the model offers it and "direct" elsewhere; from the 100th step on it is "importance",
        where the model offers it, while the median row has five or more effective dreams.
    n_sleep : int, default=500
        Pairs dreamed at each step for the regression; as many again once the training has settled. The time of a step
        grows with their cube. It grows linearly beyond 2000, where random features approximate the kernel, and without
        a kernel.
    batch_size : int or "auto", default="auto"
        Rows in a mini-batch. "auto" is ``min(200, n_samples)``.
    max_iter : int, default=200
        Number of epochs of a `fit`. There is no early stopping, because the value of the objective is not known.
    learning_rate_init : float, default=0.02
        Step size of Adam, in the units of the parameters (of standardized columns, see Notes). Steps become shorter
        when they no longer gain, judged by the gradients after them, and half as long when the likelihood has fallen,
        if the model has one. The result is the running average of the iterates over the last
        tenth or so of the steps.
    bandwidth : float or "median", default="median"
        Standard deviation of the Gaussian kernel, in units of its inputs. "median" is the median distance of dreams.
    ridge : float, default=1e-4
        Added to the diagonal of the kernel, whose entries are one, or near one if the regression is additive.
    tune : {"loo"} or None, default="loo"
        Whether bandwidth and ridge are chosen every 25 steps, from grids around their values, by leave-one-out error.
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
    n_restarts : int, default=4
        Number of starts of a `fit`. Each is trained for a quarter of the epochs, and the best for the rest, see
        ``starts_``. Four take three quarters longer than one on one processor. One is enough if the likelihood has a
        single maximum. `partial_fit` has one, and so has a `fit` of fewer than four epochs.
    n_jobs : int or None, default=None
        Number of processes that train starts side by side: None is one, -1 as many as processors. It does not change
        the result.
    warm_start : bool, default=False
        Whether `fit` continues from the previous solution, optimizer and random streams included: two fits of five
        epochs then equal one of ten.
    random_state : int, RandomState instance or None, default=None
        Seeds the initialization, the order of rows, and the dreams. Pass an int for reproducible results across calls.
    verbose : int, default=0
        Whether to print a line per epoch, of the start that is continued.

    Attributes
    ----------
    params_ : dict of str to ndarray
        The fitted parameters by name, fixed ones included; ``{"theta": theta_}`` if the model gives them none.
    theta_ : ndarray of shape (n_params,)
        The same as one flat vector, of unconstrained numbers if the model declares its parameters.
    model_ : GenerativeModel
        The model that was fitted. It is a copy of `model` if that has ``get_params``.
    gradient_ : str
        Form of the gradient in use at the end.
    bandwidth_, ridge_ : float
        Bandwidth (None if the regression is additive) and ridge at the end.
    loo_errors_ : list of float
        Leave-one-out error of the regression at each tuning, relative to predicting the mean. It measures how well
        dreams are predicted, not how well data are explained.
    coverages_ : list of float
        Share of a mini-batch, at each tuning, that is as near to its nearest dream as dreams are to theirs.
    effective_sample_sizes_ : list of float
        Median number of effective dreams for a row, at each tuning; empty without ``log_prob_x_given_z``.
    failed_share_ : float
        Share of the simulations in training that were not finite and so left out.
    starts_ : dict of str to ndarray of shape (n_restarts,)
        The starts, as columns of a table: score at the "start" and at the "end" of the training of each, its "steps",
        the "score" by which it was judged after a quarter of the epochs, and whether it was "chosen". Scores are mean
        log-likelihoods of up to 1000 rows in nats, or without a likelihood negative squared maximum mean discrepancies
        between rows and dreams; NaN if there is one start.
    n_iter_, n_steps_ : int
        Number of epochs trained, and of gradients that led to the parameters, one for each mini-batch.
    n_parameters_ : int
        Number of parameters that were fitted, those of ``theta_`` that are not fixed.
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
    Models with the methods of ``column_units``, such as `LatentFactors` with normal noise, are trained
    in standardized columns. Results are in the units of `X`; only bounds of the model itself, such as ``noise_floor``,
    are in standardized units. In `partial_fit` the units follow the stream. Other models see the columns as they are:
    standardize those whose scale is far from one.

    If the model has a likelihood, `fit` checks it 20 times. When it falls, training continues from the best parameters
    with smaller steps, and the best are the result; a warning says when it has fallen at the end. After 200 steps and
    more, a warning says when a few steps along ``grad_log_likelihood`` gain more than half a nat per row.

    Simulations that are not finite are dropped, up to a tenth of each step and an allowance for chance. The model is
    then fitted, and sampled from, given that a simulation succeeds. More failures are an error.

    A training has settled when it has made half as many steps again as it took until its steps first gained nothing.
    From then on, the mean of the estimated score over fresh dreams is subtracted from that over the data: the mean
    score of a model's own observations is zero. The rule does not depend on `max_iter`.

    Importance weighting is close to the exact gradient, and so leads to the nearest maximum of the likelihood; the
    regression is smoother and avoids some local maxima. With binary latents, clusters or several angles, about one
    start in five ends in a lower one.

    `inference` gives standard errors and confidence intervals of the parameters.

    `transform` exists only if the model has a ``latent_function``, `score_samples` and ``score`` if it has a
    ``log_likelihood``.

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
        "fixed": [dict, None],
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
        "n_jobs": [Integral, None],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        model=None,
        *,
        fixed=None,
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
        n_restarts=4,
        n_jobs=None,
        warm_start=False,
        random_state=None,
        verbose=0,
    ):
        self.model = model
        self.fixed = fixed
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
        self.n_jobs = n_jobs
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
            If the likelihood has fallen, or a further step along the gradient would raise it by much, after at least
            200 steps; if the regression predicts nothing; if `batch_size` is larger than the table.

        Examples
        --------
        >>> from skwakesleep import AmortisedWakeSleep, datasets
        >>> X, _ = datasets.make_ring(100, random_state=0)
        >>> fitted = AmortisedWakeSleep(n_sleep=100, max_iter=5, random_state=0).fit(X)
        >>> fitted.n_iter_, fitted.theta_.shape
        (5, (24,))
        """
        return self._fit(X)

    def partial_fit(self, X, y=None):
        """Train for one epoch on `X`, continuing from the previous solution.

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
            If training diverges; the previous solution is kept.

        Examples
        --------
        >>> from skwakesleep import AmortisedWakeSleep, datasets
        >>> X, _ = datasets.make_ring(100, random_state=0)
        >>> estimator = AmortisedWakeSleep(n_sleep=100, random_state=0)
        >>> estimator.partial_fit(X[:50]).partial_fit(X[50:]).n_iter_
        2
        """
        return self._partial_fit(X)

    @with_callbacks
    def _train(self, X, *, fresh, partial):
        """Train copies of the state, set the fitted attributes on success, and return warnings."""
        self._validate_params()
        model_for = self._asked_model if fresh else lambda n_columns: self._fitted.model
        X, columns = amortised.read_model_table(self, X, model_for, reset=fresh)
        model, names = columns.pop("model_"), columns.get("feature_names_in_")
        n_extreme_before = self._fitted.state.moments.n_extreme if partial and not fresh else 0
        moments = kinds.column_moments(X, names)
        start = amortised.new_training if fresh else amortised.continued_training
        trainer, states = start(self, model, X, moments, partial=partial)
        n_epochs = 1 if partial else self.max_iter
        n_epochs_before = states[0].n_epochs
        starts, state = Starts(trainer, states), states[0]

        def attributes(state):
            return {**columns, **amortised.fitted_attributes(model, trainer, state)}

        def best_trained():
            trained = [state for state in states if state.n_epochs > n_epochs_before]
            return max(trained, key=trainer.score, default=None)

        def diverged(error):
            return state, (
                f"{error}. Lower learning_rate_init, which is {self.learning_rate_init!r}, or bound the parameters "
                "with a `project` of the model. The last finite parameters are kept."
            )

        # A warm start that diverges keeps its last finite parameters; `partial_fit` keeps the previous solution.
        replace = not (fresh or partial)
        with self._keeping(attributes, best_trained, diverged, replace=replace), self._limited_threads():
            chosen = starts.choose(
                model, X, state.units, amortised.settings(self, self.gradient), n_epochs, self.n_jobs
            )
            state = states[chosen]
            n_left = n_epochs_before + n_epochs - state.n_epochs
            monitor = FitMonitor(self, X, n_left, attributes, amortised.report)
            trainer.run(state, n_left, monitor, default_backend(), watched=not partial)
            notices = amortised.notices(trainer, state, self.batch_size, complete=not partial)
        if fresh:
            columns["starts_"] = starts.table(state)
        self._adopt(attributes(state))
        monitor.fit_end(state)
        if offers(model, COLUMN_UNITS):
            notices += kinds.extremes(n_extreme_before, state.moments.n_extreme, names)
        return notices

    def _asked_model(self, n_features):
        """Return the model to fit: a copy, if it has parameters that the user can set later."""
        model = LatentFactors(n_features, min(2, n_features)) if self.model is None else self.model
        flat = flat_model(copy(model) if hasattr(model, "get_params") else model, self.fixed)
        check_protocol(flat, n_features)
        return flat

    # ------------------------------------------------------------------ fitted estimators

    _LEARNED = ("model_", "_fitted", "theta_", "gradient_", "n_features_in_")

    def _check_learned(self):
        if not isinstance(self._fitted, Fit) or self.gradient_ not in FORMS:
            raise ValueError("_fitted is of the wrong type, or gradient_ is unknown")
        model = self._fitted.model
        if model.n_features != self.n_features_in_:
            raise ValueError(f"model_ has {model.n_features} columns, but n_features_in_={self.n_features_in_}")
        check_vector("theta_", self.theta_, model.n_params)
        self._fitted.check()
