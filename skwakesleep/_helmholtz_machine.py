"""The Helmholtz machine as a scikit-learn estimator."""

from collections.abc import Mapping
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning

from skwakesleep._adapters import kinds
from skwakesleep._adapters.fitting import FitMonitor, FittingMixin, hold_out, identify_rows
from skwakesleep._adapters.frames import NOMINAL
from skwakesleep._adapters.kinds import NON_NEGATIVE, asked_kinds, check_kinds, is_auto, named_kinds
from skwakesleep._adapters.machine_tables import check_descriptions, read_machine_table
from skwakesleep._adapters.parameters import AUTOREGRESSIVE_LAYERS, check_autoregressive, check_layer_sizes, entropy
from skwakesleep._adapters.persistence import VersionedPickleMixin
from skwakesleep._adapters.schedule import largest_n_epochs, rows_in_a_batch
from skwakesleep._adapters.sklearn_compat import DocumentationLinkMixin, Interval, StrOptions, with_callbacks
from skwakesleep._adapters.table_format import TableFormat
from skwakesleep._adapters.tables import is_frame
from skwakesleep._adapters.threads import limited_threads
from skwakesleep._engine.arrays.backend import default_backend
from skwakesleep._engine.arrays.numerics import bounded_mean
from skwakesleep._engine.arrays.random import Streams
from skwakesleep._engine.machine.columns import KINDS
from skwakesleep._engine.machine.fitted import FittedMachine
from skwakesleep._engine.machine.networks import Machine
from skwakesleep._engine.machine.restandardization import follow
from skwakesleep._engine.machine.rows import Rows
from skwakesleep._engine.machine.wake_sleep import WakeSleep
from skwakesleep._engine.posterior.likelihood import estimate
from skwakesleep._engine.training.loop import train
from skwakesleep._engine.training.optimizers import SGD, Adam, Optimizer
from skwakesleep._engine.training.state import Stopping, TrainingState
from skwakesleep._fitted_machine import FittedMachineMixin, fitted_attributes

# Of parameters, rows and gradients. A state saved by an earlier version may be in double precision, and stays so.
TRAINING_DTYPE = np.dtype(np.float32)


class HelmholtzMachine(DocumentationLinkMixin, VersionedPickleMixin, FittingMixin, FittedMachineMixin, BaseEstimator):
    """Helmholtz machine trained by (reweighted) wake-sleep.

    A deep directed belief network generates the data from binary causes; a second network, the recognition network,
    infers the causes from the data. In the wake phase, the generative network is trained on causes that the recognition
    network infers from the data [1]_ [2]_. The recognition network is trained on the same particles, weighted by
    importance [3]_, or in the sleep phase on dreams of the generative network.

    A fitted machine is a feature extractor (`transform`), a density (`score_samples`) and a generator (`sample`).

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default=(100,)
        Number of binary units in each hidden layer, the layer nearest the data first. An int is one layer.

    visible : "auto", str, array-like of str of shape (n_features,), or dict of str to columns, default="auto"
        Kind of the columns of `X`: one for all, one for each, or a dictionary from kinds to names, numbers, a slice or
        a selector such as :func:`~sklearn.compose.make_column_selector`. Kinds are

        - "bernoulli": values in [0, 1]; fractions are probabilities;
        - "categorical" and "ordinal": words or numbers, without and with an order;
        - "count" and "continuous": whole numbers from zero on, and real values, of any distribution;
        - "gaussian": real values that are normal given the hidden units; they are standardized internally.

        With "auto", an array is "bernoulli" if all values of the first `X` are in [0, 1], up to rounding errors of
        1e-6, and "gaussian" otherwise. In a data frame, each column has the kind of its dtype, see :ref:`tables`.

    handle_unknown : {"error", "missing"}, default="error"
        Whether a category that did not occur in the first `X` is an error or taken for a missing value.

    autoregressive : "auto", None, str or tuple of str, default="auto"
        Layers whose units also depend on the units before them in the same layer [4]_: the "prior" over the top layer,
        the columns ("visible"), the "hidden" generative layers in between, the "recognition" network. With "visible",
        scores are better and features worse: columns explain each other, and hidden units only the rest. With None, the
        units of each layer are independent given their parents. "auto" is ``("prior", "visible")``. It is "prior" alone
        if most columns are grey levels, fractions in [0, 1] whose score is not a density, or if there are more than
        1000 visible units.

    n_particles : int, default=5
        Importance samples per row in training. With one particle, ``recognition_update="sleep"``, ``solver="sgd"``,
        ``alpha=0`` and ``autoregressive=None``, this is the wake-sleep algorithm of Hinton et al.

    recognition_update : {"wake", "sleep", "both"}, default="both"
        What the recognition network is trained on: the weighted particles of the data ("wake"), dreams ("sleep"), or
        both, with the mean of the two gradients ("both"). "wake" and "both" need ``n_particles >= 2``.

    alpha : float, default=1.0
        Strength of the prior, for any number of rows. In nats for all rows together, the penalty on the weights is
        ``alpha * sum(log(1 + (weights / errors) ** 2))``, where the standard error of each weight is estimated from its
        gradients. It shrinks weights that are smaller than their errors and hardly changes large ones [5]_. For grey
        levels it is weaker, see :ref:`weight-penalty`. For the intercepts of binary units, `alpha` rows of the value
        0.5 are added.

    learning_rate_init : float, default=0.4
        Step size of the solver. With "adam", it is divided by the square root of the number of active parents of a
        unit, so that the same value suits narrow and wide layers.

    solver : {"adam", "sgd"}, default="adam"
        Optimizer. The fitted parameters are the average of the iterates over about the last tenth of the steps.

    batch_size : int or "auto", default="auto"
        Rows in a mini-batch. "auto" is a tenth of the rows, 100 at most. The standard errors of the weights come from
        differences between mini-batches: with all rows in one, the prior has less effect.

    max_iter : int or "auto", default="auto"
        Largest number of epochs of a `fit`. "auto" is 20, or more if it takes more to make 5000 steps.

    shuffle : bool, default=True
        Whether to visit the rows in a new order each epoch.

    tol : float or None, default=0.05
        Training ends when the lower bound (the validation score, with early stopping) no longer rises by more than
        `tol` nats per row. None trains for exactly `max_iter` epochs.

    n_iter_no_change : int or "auto", default="auto"
        Number of epochs in a row without a rise by more than `tol` before training ends. With "auto", the mean of the
        last quarter of all epochs is compared with that of the quarter before, after 10 epochs and 1000 steps.

    early_stopping : bool, default=False
        Whether to hold out `validation_fraction` of the rows in `fit`, and keep the parameters that score best on them.
        With the default `alpha`, the rows are better used for training.

    validation_fraction : float, default=0.1
        Fraction of the rows held out, in (0, 1). Only used with early stopping.

    output : {"activations", "means"}, default="activations"
        What `transform` returns for each top hidden unit: its probability of being active, or an activation, which is
        a better feature: the sigmoid of half its log-odds, standardized over dreams.

    n_score_particles : int, default=128
        Importance samples per row in `score_samples`, unless the likelihood is computed exactly by enumeration.

    n_score_steps : int, default=0
        Number of annealing steps that move each sample from the recognition network towards the posterior. If the
        effective sample size is low, a few particles with 50 to 200 steps are more accurate in the same time; if it is
        high, more particles are. Not used in early stopping.

    warm_start : bool, default=False
        Whether `fit` continues from the previous solution, with its optimizer and random streams: two fits of five
        epochs then equal one of ten.

    random_state : int, RandomState instance or None, default=None
        Seed of the initialization, the validation split, the order of rows, and the particles and dreams of training.
        Pass an int for reproducible results across calls. None draws a seed from NumPy's global generator.

    verbose : int, default=0
        Whether to print a line per epoch.

    Attributes
    ----------
    generative_coefs_ : list of ndarray of shape (n_units_above, n_units)
        Weights of the generative network, bottom up; the first maps the first hidden layer to the columns.

    generative_intercepts_ : list of ndarray of shape (n_units,)
        Intercepts of the generative network, bottom up, without the prior's.

    prior_intercept_ : ndarray of shape (n_top_units,)
        Logits of the prior over the top layer.

    recognition_coefs_ : list of ndarray of shape (n_units_below, n_units)
        Weights of the recognition network, bottom up.

    recognition_intercepts_ : list of ndarray of shape (n_units,)
        Intercepts of the recognition network, bottom up.

    autoregressive_coefs_ : dict of str to ndarray of shape (n_units, n_units)
        Weights between the units of each autoregressive layer, strictly upper triangular: entry ``(i, j)`` is the
        weight from unit ``i`` to unit ``j``. Layers are called "prior", "generative.0" (the columns), "recognition.0"
        and so on.

    components_ : ndarray of shape (n_hidden, n_visible)
        The bottom generative weights, ``generative_coefs_[0]``. "bernoulli" and "gaussian" columns have one weight
        each, others one for each feature of their categories or intervals, and columns of one kind are neighbors. With
        Gaussian columns they, like the bottom recognition weights, refer to standardized columns.

    visible_ : ndarray of str of shape (n_features,)
        Kinds of the columns.

    categories_ : list
        For each column the categories in the first `X`, an array; None for columns of other kinds.

    lower_bound_ : float
        Mean lower bound of the last epoch, in nats per row. A row counts with at least -200 nats per unit.

    lower_bounds_ : list of float
        The same for every epoch.

    validation_scores_ : list of float
        Mean held-out log-likelihood after each epoch, in nats per row; empty without early stopping. Low outliers are
        raised to the lower quartile less ten interquartile ranges, or less ten nats if that is more.

    converged_ : bool
        Whether the last `fit` ended because the score no longer improved by more than `tol`.

    n_iter_ : int
        Number of epochs trained.

    n_parameters_ : int
        Number of free parameters of the generative network, for :ref:`information criteria <information-criteria>`.

    n_features_in_ : int
        Number of features seen during `fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen during `fit`. Defined only when `X` has feature names that are all strings.

    See Also
    --------
    sklearn.neural_network.BernoulliRBM : Undirected, two layers, no tractable likelihood estimate.
    sklearn.mixture.GaussianMixture : Density of real data from a single discrete cause.

    Notes
    -----
    For features, set ``autoregressive="prior"``, as "auto" does for grey levels: hidden units then have to explain all
    dependence between columns. Features need no scaler: they are standardized over dreams.

    References
    ----------
    .. [1] P. Dayan, G. E. Hinton, R. M. Neal, R. S. Zemel. "The Helmholtz machine". Neural Computation 7
       (1995) 889-904.
    .. [2] G. E. Hinton, P. Dayan, B. J. Frey, R. M. Neal. "The wake-sleep algorithm for unsupervised neural
       networks". Science 268 (1995) 1158-1161.
    .. [3] Jörg Bornschein, Yoshua Bengio. "Reweighted wake-sleep". ICLR 2015. arXiv:1406.2751.
    .. [4] K. Gregor, I. Danihelka, A. Mnih, C. Blundell, D. Wierstra. "Deep autoregressive networks". ICML 2014.
       arXiv:1310.8499.
    .. [5] E. J. Candès, M. B. Wakin, S. P. Boyd. "Enhancing sparsity by reweighted l1 minimization". Journal of
       Fourier Analysis and Applications 14 (2008) 877-905.

    Examples
    --------
    Features of handwritten digits:

    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from skwakesleep import HelmholtzMachine
    >>> X, y = load_digits(return_X_y=True)
    >>> features = HelmholtzMachine(max_iter=5, tol=None, random_state=0)
    >>> classifier = make_pipeline(features, LogisticRegression(max_iter=1000)).fit(X[:600] / 16, y[:600])
    >>> classifier.score(X[600:] / 16, y[600:]) > 0.85
    True

    A density:

    >>> from skwakesleep.datasets import make_bars
    >>> from skwakesleep.reference import ChowLiuTree
    >>> train, test = (make_bars(500, random_state=seed)[0] for seed in range(2))
    >>> machine = HelmholtzMachine(random_state=0).fit(train)
    >>> machine.score(test) > ChowLiuTree().fit(train).score(test) + 1  # nats per row
    True
    """

    _parameter_constraints: dict = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "visible": [StrOptions({"auto", *KINDS}), "array-like", Mapping],
        "handle_unknown": [StrOptions({"error", "missing"})],
        "autoregressive": [StrOptions({"auto", *AUTOREGRESSIVE_LAYERS}), tuple, None],
        "n_particles": [Interval(Integral, 1, None, closed="left")],
        "recognition_update": [StrOptions({"wake", "sleep", "both"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "solver": [StrOptions({"adam", "sgd"})],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "max_iter": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "tol": [Interval(Real, 0, None, closed="left"), None],
        "n_iter_no_change": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "output": [StrOptions({"activations", "means"})],
        "n_score_particles": [Interval(Integral, 1, None, closed="left")],
        "n_score_steps": [Interval(Integral, 0, None, closed="left")],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        *,
        visible="auto",
        handle_unknown="error",
        autoregressive="auto",
        n_particles=5,
        recognition_update="both",
        alpha=1.0,
        learning_rate_init=0.4,
        solver="adam",
        batch_size="auto",
        max_iter="auto",
        shuffle=True,
        tol=0.05,
        n_iter_no_change="auto",
        early_stopping=False,
        validation_fraction=0.1,
        output="activations",
        n_score_particles=128,
        n_score_steps=0,
        warm_start=False,
        random_state=None,
        verbose=0,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.visible = visible
        self.handle_unknown = handle_unknown
        self.autoregressive = autoregressive
        self.n_particles = n_particles
        self.recognition_update = recognition_update
        self.alpha = alpha
        self.learning_rate_init = learning_rate_init
        self.solver = solver
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.output = output
        self.n_score_particles = n_score_particles
        self.n_score_steps = n_score_steps
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    # ------------------------------------------------------------------ training

    def fit(self, X, y=None):
        """Fit the machine to `X` by (reweighted) wake-sleep.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Training data. Training is in single precision, scores are in double precision. NaN, None and what the
            library of a data frame takes for them are missing values.

        y : None
            Ignored.

        Returns
        -------
        self : HelmholtzMachine
            The fitted machine.

        Raises
        ------
        ValueError
            If training diverges; the estimator then keeps the last finite parameters. For values outside the domain of
            their kind, unknown categories in a warm start, and kinds that do not name each column once.

        TypeError
            For dates, for words and numbers in one column, and for other objects in cells.

        KeyboardInterrupt
            If interrupted; completed epochs are kept. If no epoch is complete, the earlier fit stays.

        Warns
        -----
        ConvergenceWarning
            If `max_iter`, given as a number, epochs pass before training ends by `tol`.

        UserWarning
            If "auto" takes whole numbers, columns of two values, or a table with few values outside [0, 1] for real
            values; if Gaussian columns hold extreme values; if a column has no value; if `batch_size` is larger than
            the table.

        Examples
        --------
        >>> from skwakesleep import HelmholtzMachine
        >>> from skwakesleep.datasets import make_bars
        >>> X, _ = make_bars(100, random_state=0)
        >>> machine = HelmholtzMachine(8, max_iter=5, tol=None, random_state=0).fit(X)
        >>> machine.n_iter_, len(machine.lower_bounds_)
        (5, 5)
        """
        return self._fit(X)

    def partial_fit(self, X, y=None):
        """Train for one epoch on `X`, continuing from the previous solution.

        The first call determines the kind of columns. Gaussian columns are standardized by the location and scale of
        all rows so far, and the parameters are changed accordingly. Early stopping does not apply.

        Parameters
        ----------
        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Training data, one part of a stream or of a table larger than memory.

        y : None
            Ignored.

        Returns
        -------
        self : HelmholtzMachine
            The machine.

        Raises
        ------
        ValueError
            If training diverges, or if `X` has values outside the domain of its kind; the previous solution is kept.

        Examples
        --------
        >>> from skwakesleep import HelmholtzMachine
        >>> from skwakesleep.datasets import make_bars
        >>> X, _ = make_bars(100, random_state=0)
        >>> machine = HelmholtzMachine(8, random_state=0)
        >>> for part in (X[:50], X[50:]):
        ...     _ = machine.partial_fit(part)
        >>> machine.n_iter_
        2
        """
        return self._partial_fit(X)

    @with_callbacks
    def _train(self, X, *, fresh, partial):
        """Train a copy of the state, set the fitted attributes on success, and return warnings."""
        sizes = self._check_parameters()
        table = read_machine_table(self, X, reset=fresh)
        if not fresh:
            self._check_unchanged(sizes, X if is_frame(X) else table.values)
        given, X = X, table.values
        # Scores of the same rows, held out alike, are comparable with those of an earlier fit.
        rows_id = "" if partial else identify_rows(X, self.early_stopping and self.validation_fraction)
        machine, state = self._initialized(table, sizes) if fresh else self._resumable(table, rows_id)
        n_extreme_before = self._fitted.machine.columns.n_extreme if partial and not fresh else 0
        n_epochs_before = state.n_epochs

        def attributes(state):
            return {**table.attributes, **fitted_attributes(machine, state)}

        def trained():
            return state if state.n_epochs > n_epochs_before else None

        def diverged(error):
            advice = f"Lower learning_rate_init, which is {self.learning_rate_init!r}."
            return state, f"{error}. {advice} The last finite parameters are kept."

        monitor = FitMonitor(
            self, given, 1 if partial else largest_n_epochs(self.max_iter, self.batch_size, X.shape[0]), attributes
        )
        keeping = self._keeping(attributes, trained, diverged, replace=not (fresh or partial))
        largest_product = rows_in_a_batch(self.batch_size, X.shape[0]) * self.n_particles * machine.largest_matrix
        with keeping, limited_threads(largest_product):
            notices = self._run(X, machine, state, monitor, rows_id, partial)
        self._adopt(attributes(state))
        monitor.fit_end(state)
        return table.notices + notices + kinds.extremes(n_extreme_before, machine.columns.n_extreme, table.names)

    def _run(self, X, machine, state, monitor, rows_id, partial):
        """Train the state in place, and return warnings."""
        training = validate = None
        backend, dtype = default_backend(), state.parameters.dtype
        if self.early_stopping and not partial:
            training, held_out = hold_out(X, self.validation_fraction, state.streams.validation_seed)
            validate = self._validation_score(machine, Rows(X, machine.columns, dtype, backend, held_out), backend)
        rows = Rows(X, machine.columns, dtype, backend, training)
        batch_size = rows_in_a_batch(self.batch_size, len(rows))
        state.n_rows = len(rows) + (state.n_rows if partial else 0)
        objective = WakeSleep(
            machine,
            state.parameters,
            backend,
            n_particles=int(self.n_particles),  # a NumPy scalar would promote float32 to float64 on its way
            recognition_update=self.recognition_update,
            alpha=float(self.alpha),
            n_rows=state.n_rows,
            batch_size=batch_size,
            streams=state.streams,
        )
        exhausted = train(
            state,
            objective,
            rows,
            n_epochs=monitor.n_epochs,
            batch_size=batch_size,
            shuffle=self.shuffle,
            stopping=None if partial else self._stopping(),
            validate=validate,
            monitor=monitor,
            backend=backend,
            rows_id=rows_id,
        )
        return [] if partial else self._notices(batch_size, exhausted)

    def _stopping(self):
        n_iter_no_change = None if self.n_iter_no_change == "auto" else self.n_iter_no_change
        return None if self.tol is None else Stopping(self.tol, n_iter_no_change)

    def _validation_score(self, machine, held_out, backend):
        def validate(parameters):
            # Never annealed: a score after each epoch must take less time than the epoch.
            scores = estimate(machine, parameters, held_out, backend, self.n_score_particles)
            return bounded_mean(scores.log_likelihood.astype(np.float64))

        return validate

    def _notices(self, batch_size, exhausted):
        """Return warnings of a clipped batch size and of an early end of training."""
        notices = []
        if self.batch_size not in ("auto", batch_size):
            message = (
                f"batch_size={self.batch_size} is larger than the number of training rows and was clipped to "
                f"{batch_size}."
            )
            notices.append(UserWarning(message))
        if self.tol is not None and exhausted and self.max_iter != "auto":
            message = (
                f"HelmholtzMachine reached max_iter={self.max_iter} epochs before its improvement fell below "
                f"tol={self.tol}. Raise max_iter, or set tol=None to train for exactly max_iter epochs."
            )
            notices.append(ConvergenceWarning(message))
        return notices

    def _check_parameters(self):
        """Check the constructor's parameters, each and together; return the widths of the hidden layers."""
        self._validate_params()
        check_kinds(self.visible)
        if self.n_particles < 2 and self.recognition_update != "sleep":
            raise ValueError(
                f"recognition_update={self.recognition_update!r} compares particles with each other and needs "
                f"n_particles >= 2. Got n_particles={self.n_particles!r}. Raise it, or set recognition_update='sleep'."
            )
        return check_layer_sizes(self.hidden_layer_sizes)

    def _check_unchanged(self, sizes, X):
        """Check that parameters that shape the networks have not changed."""
        machine, kinds = self._fitted.machine, self.visible_.tolist()
        asked = {
            "hidden_layer_sizes": (sizes, machine.hidden_sizes),
            "visible": (kinds if is_auto(self.visible) else asked_kinds(self.visible, X).tolist(), kinds),
            "autoregressive": (
                check_autoregressive(self.autoregressive, machine.columns),
                machine.autoregressive,
            ),
        }
        for name, (new, old) in asked.items():
            if new != old:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}, which asks for {new!r}, but the machine to continue from was "
                    f"trained with {old!r}. Restore it, or start anew with fit and warm_start=False."
                )

    def _initialized(self, table, sizes):
        """Return a machine for the columns of a table and an untrained state."""
        columns = table.columns()
        machine = Machine(columns, sizes, check_autoregressive(self.autoregressive, columns))
        streams = Streams(entropy(self.random_state))
        try:
            parameters = machine.initial_parameters(streams["initialization"], TRAINING_DTYPE)
            return machine, TrainingState(parameters, self._optimizer(machine, TRAINING_DTYPE), streams)
        except MemoryError as error:  # name the parameter that is too large
            raise MemoryError(f"hidden_layer_sizes={self.hidden_layer_sizes!r}: {error}") from error

    def _resumable(self, table, rows_id):
        """Return the machine and a copy of its state, ready for the rows of a table."""
        machine, state = self._fitted.machine, self._training_state().copy()
        optimizer = self._optimizer(machine, state.parameters.dtype)
        # The same solver keeps its moments, another one begins without.
        if type(state.optimizer) is type(optimizer):
            state.optimizer.learning_rate = optimizer.learning_rate
        else:
            state.optimizer = optimizer
        # Standardized columns: in a stream, units follow all rows so far, and the parameters are changed accordingly.
        # In a fit to other rows, units change only where those of the earlier rows do not suit.
        if machine.columns.follow_rows and not rows_id:
            machine = follow(machine, state, table.columns())
        elif machine.columns.follow_rows and rows_id != state.rows_id:
            machine = machine.with_columns(machine.columns.renewed(table.columns()))
        return machine, state

    def _optimizer(self, machine, dtype) -> Optimizer:
        learning_rate = float(self.learning_rate_init)
        return SGD(learning_rate) if self.solver == "sgd" else Adam(learning_rate, machine.step_scales(dtype))

    _LEARNED = ("_fitted", "n_features_in_", "visible_")

    def _check_learned(self):
        if not isinstance(self._fitted, FittedMachine):
            raise ValueError("_fitted is of the wrong type")
        n_columns = self._fitted.machine.columns.n_columns
        if n_columns != self.n_features_in_:
            raise ValueError(f"the machine has {n_columns} columns, but n_features_in_={self.n_features_in_}")
        if isinstance(self.visible_, str):  # of version 0.2, in which all columns were of one kind
            self.visible_ = np.full(n_columns, self.visible_, object)
            self.categories_ = [None] * n_columns
            self._format = TableFormat()
        check_descriptions(self.visible_, self.categories_, n_columns)
        self._format.check(n_columns)
        self._fitted.check()

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        named = set(named_kinds(self.visible))
        tags.input_tags.sparse = named.isdisjoint(NOMINAL)
        tags.input_tags.allow_nan = True
        tags.input_tags.positive_only = not NON_NEGATIVE.isdisjoint(named)
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
